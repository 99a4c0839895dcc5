"""How training went: metrics, epoch by epoch."""

from collections.abc import Mapping
from typing import Any, overload

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from jaxnn.plots._style import COLORS, INK, legend, new_axes, new_figure, quiet, settle

__all__ = ["training_curves"]

VALIDATION = "validation_"


@overload
def training_curves(
    history: Mapping[str, Any], ax: Axes, *, metric: str | None = None, monitor: str = ...
) -> Axes: ...
@overload
def training_curves(
    history: Mapping[str, Any], ax: None = None, *, metric: str, monitor: str = ...
) -> Axes: ...
@overload
def training_curves(
    history: Mapping[str, Any], ax: None = None, *, metric: None = None, monitor: str = ...
) -> np.ndarray: ...
def training_curves(history, ax=None, *, metric=None, monitor="validation_loss"):
    r"""Draws each metric of training and validation, epoch by epoch.

    A metric and its `validation_` twin share one Axes and one colour; validation is dashed. A
    population is drawn as the median of its members, with a band from the 10th to the 90th
    percentile, over the members that still ran in that epoch. Epochs count from 1, and values
    that are not finite are left out.

    Args:
        history: metric name -> `[epochs]`, or `[members, epochs]` of a population, nan where
            not run: what `fit` returns as `history`.
        ax: where to draw; None makes a new figure.
        metric: which metric to draw, without `validation_`. None draws all of them side by
            side, `loss` first; into a given `ax`, only that first one. Names with a slash,
            such as those of `diagnostics.record_flow`, are left out.
        monitor: the metric whose lowest value marks the best epoch, in every Axes. Nothing is
            marked where there is no such metric, or one per member of a population.

    Returns:
        The Axes drawn in; all of them, as an array `[metrics]`, if neither `ax` nor `metric` is
        given.

    Raises:
        TypeError: if `history` is not a dict.
        ValueError: if it is empty, has no such metric or arrays of other shapes.

    Example:
        >>> history = {"loss": [2.0, 1.0, 0.5], "validation_loss": [2.0, 1.2, 1.3]}
        >>> ax = training_curves(history, metric="loss")
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['training', 'validation', 'best, epoch 2: 1.20']
        >>> len(training_curves(history | {"accuracy": [0.5, 0.8, 0.9]}))
        2
    """
    curves = _curves(history)
    names = list(dict.fromkeys(name.removeprefix(VALIDATION) for name in curves))
    names = [name for name in names if "/" not in name] or names
    names.sort(key=lambda name: name != "loss")
    if metric is not None and metric not in names:
        raise ValueError(
            f"training_curves: metric must be one of {names}, got {metric!r}. "
            "The name without `validation_` draws training and validation together."
        )
    best = None
    if monitor in curves and curves[monitor].ndim == 1 and np.isfinite(curves[monitor]).any():
        best = int(np.nanargmin(curves[monitor]))

    def draw(ax, name):
        color = COLORS[names.index(name) % len(COLORS)]
        return _metric(ax, name, curves.get(name), curves.get(VALIDATION + name), best, color)

    if ax is not None or metric is not None:
        return draw(new_axes() if ax is None else ax, metric or names[0])
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = new_figure(4.4 * columns, 3.3 * rows)
    places = [figure.add_subplot(rows, columns, i + 1) for i in range(len(names))]
    return np.array([draw(ax, name) for ax, name in zip(places, names, strict=True)])


def _curves(history) -> dict[str, np.ndarray]:
    """The history as float arrays, nan for whatever is not finite."""
    if not isinstance(history, Mapping):
        raise TypeError(
            "training_curves: history must be a dict of metric name to values per epoch, "
            f"got {type(history).__name__}. Pass the `history` of what `fit` returned."
        )
    curves = {name: np.asarray(values, dtype=float) for name, values in history.items()}
    if not curves or any(values.size == 0 for values in curves.values()):
        raise ValueError(
            "training_curves: history must hold at least one metric and one epoch, "
            f"got shapes { {name: values.shape for name, values in curves.items()} }. "
            "Train for an epoch first."
        )
    for name, values in curves.items():
        if values.ndim not in (1, 2):
            raise ValueError(
                f"training_curves: {name} must be [epochs] or [members, epochs], "
                f"got {values.shape}. Reshape it: one epoch is values[None]."
            )
    return {name: np.where(np.isfinite(v), v, np.nan) for name, v in curves.items()}


def _metric(ax, name, training, validation, best, color) -> Axes:
    """One metric in one Axes: training solid, validation dashed, the best epoch a dot."""
    quiet(ax)
    parts = [("training", training, "-"), ("validation", validation, "--")]
    parts = [part for part in parts if part[1] is not None and np.isfinite(part[1]).any()]
    ax.set_xlabel("epoch")
    ax.set_ylabel(name.replace("_", " "))
    if not parts:
        ax.text(0.5, 0.5, "no finite values", color=INK, ha="center", transform=ax.transAxes)
        return settle(ax)
    for label, values, style in parts:
        epochs = 1 + np.flatnonzero(np.isfinite(np.atleast_2d(values)).any(0))
        values = values[..., epochs - 1]
        low, median, high = np.nanquantile(np.atleast_2d(values), [0.1, 0.5, 0.9], axis=0)
        # Few points, or points far apart, hardly show as a line.
        marker = "." if len(epochs) < 3 or epochs.max() > 2 * len(epochs) else None
        look = dict(color=color, linewidth=1.6, marker=marker, markersize=7)
        ax.plot(epochs, median, style, label=label, **look)
        if values.ndim == 2:
            band = f"10-90 % of {len(values)}" if label == parts[-1][0] else None
            ax.fill_between(epochs, low, high, color=color, alpha=0.2, linewidth=0, label=band)
    chosen = parts[-1][1]
    if best is not None and chosen.ndim == 1 and np.isfinite(chosen[best : best + 1]).any():
        value = chosen[best]
        text = f"{value:#.3g}" if 1e-3 <= abs(value) < 100 else f"{value:.4g}"
        text = f"best, epoch {best + 1}: {text}"
        ax.plot(best + 1, value, "o", color=color, markersize=6, label=text)
    ticks = MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
    ax.xaxis.set_major_locator(ticks)
    legend(ax, loc="best")
    return settle(ax)
