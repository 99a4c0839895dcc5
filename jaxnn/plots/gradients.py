"""How signals and gradients pass through the layers, at once and along a training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from jaxnn.plots._style import COLORS, INK, MARKERS, SMALL, legend, new_axes, quiet

__all__ = ["animate_gradient_flow", "gradient_flow"]

ENTRIES = ("gradient_norm", "delta_variance", "activation_variance")
STYLES = ("-", "--", ":", "-.")


def gradient_flow(
    flow: Mapping[str, Mapping[str, Any]],
    ax: Axes | None = None,
    *,
    entries: Sequence[str] = ENTRIES,
) -> Axes:
    r"""Draws how large gradients and signals are in every layer.

    One line per entry over the layers, from the first to the last. Of a recorded flow the first
    entry alone is drawn over the epochs, one line per layer, from blue for the first layer to
    orange for the last. The axis is logarithmic: a straight slope means that every layer takes
    or adds the same factor. A zero is an open mark at the foot of the picture.

    Args:
        flow: what `diagnostics.gradient_flow` or `diagnostics.recorded_flow` returned: layer ->
            entry -> a number, or `[epochs]`.
        ax: where to draw; None makes a new figure.
        entries: which entries; those that no layer has are left out.

    Returns:
        The Axes.

    Raises:
        ValueError: if no layer has any of the entries.

    Example:
        >>> flow = {"dense_0": {"gradient_norm": 1e-3}, "dense_1": {"gradient_norm": 0.1}}
        >>> ax = gradient_flow(flow)
        >>> ax.get_yscale(), [tick.get_text() for tick in ax.get_xticklabels()]
        ('log', ['dense_0', 'dense_1'])
    """
    table, layers = _table("gradient_flow", flow, entries)
    if ax is None:
        ax = new_axes(max(4.8, 0.42 * len(layers) + 1.6), 3.4)
    quiet(ax)
    if next(iter(table.values())).shape[1] > 1:
        return _over_epochs(ax, *next(iter(table.items())), layers)
    _over_layers(ax, {entry: values[:, 0] for entry, values in table.items()}, layers)
    return ax


def animate_gradient_flow(
    flow: Mapping[str, Mapping[str, Any]],
    ax: Axes | None = None,
    *,
    entries: Sequence[str] = ENTRIES,
    interval: int = 100,
) -> FuncAnimation:
    """Moves the picture of `gradient_flow` through the epochs of a training.

    Args:
        flow: what `diagnostics.recorded_flow` returned: layer -> entry -> `[epochs]`.
        ax: where to draw; None makes a new figure.
        entries: which entries; those that no layer has are left out.
        interval: milliseconds from epoch to epoch.

    Returns:
        The animation: `animation.save("flow.gif", writer="pillow")`, or in a notebook
        `IPython.display.HTML(animation.to_jshtml())`. matplotlib warns if neither is done.

    Raises:
        ValueError: if no layer has any of the entries.

    Example:
        >>> flow = {"dense_0": {"gradient_norm": [1.0, 0.1]}, "dense_1": {"gradient_norm": [2, 3]}}
        >>> animation = animate_gradient_flow(flow)
        >>> animation.to_jshtml().count("data:image/png")    # frames
        2
    """
    table, layers = _table("animate_gradient_flow", flow, entries)
    if ax is None:
        ax = new_axes(max(4.8, 0.42 * len(layers) + 1.6), 3.4)
    epochs = int(np.isfinite(np.concatenate(list(table.values()))).any(0).sum())
    finite = np.concatenate([values.ravel() for values in table.values()])
    limits = _limits(finite)

    def draw(epoch):
        ax.clear()
        quiet(ax)
        _over_layers(ax, {k: v[:, epoch] for k, v in table.items()}, layers, limits)
        ax.set_xlabel(f"layer, epoch {epoch + 1}")
        return ax.lines

    figure: Any = ax.figure
    return FuncAnimation(figure, draw, frames=max(epochs, 1), interval=interval)


def _table(function, flow, entries) -> tuple[dict[str, np.ndarray], list[str]]:
    """Entry -> `[layers, epochs]`, nan where a layer lacks it, and the layers in order."""
    at = lambda name: np.ravel(flow[name].get("position", 0))[0]
    layers = sorted(flow, key=at)
    found = {}
    for entry in entries:
        rows = [np.atleast_1d(np.asarray(flow[n].get(entry, np.nan), float)) for n in layers]
        if any(entry in flow[name] for name in layers):
            rows = [_median(row) if row.ndim > 1 else row for row in rows]
            epochs = max(len(row) for row in rows)
            found[entry] = np.stack([np.broadcast_to(row, epochs) for row in rows])
    if not found:
        raise ValueError(
            f"{function}: flow must hold one of the entries {list(entries)}, got "
            f"{ {name: sorted(found) for name, found in flow.items()} }. "
            "Pass what `diagnostics.gradient_flow` returned."
        )
    return found, layers


def _median(members) -> np.ndarray:
    """A population `[members, epochs]` as its median, over those that still ran."""
    ran = np.isfinite(members).any(0)
    found = np.full(members.shape[1], np.nan)
    found[ran] = np.nanmedian(members[:, ran], 0)
    return found


def _limits(values) -> tuple[float, float]:
    """The limits of a logarithmic axis around all values above zero."""
    values = values[np.isfinite(values) & (values > 0)]
    if not values.size:
        return 0.1, 10.0
    low, high = np.log10(values.min()), np.log10(values.max())
    margin = max(0.07 * (high - low), 0.15)
    return 10 ** (low - margin), 10 ** (high + margin)


def _over_layers(ax, table, layers, limits=None) -> None:
    """A line per entry over the layers."""
    low, high = limits or _limits(np.concatenate(list(table.values())))
    places = np.arange(len(layers))
    for k, (entry, values) in enumerate(table.items()):
        look = dict(color=COLORS[k % len(COLORS)], marker=MARKERS[k % len(MARKERS)], markersize=5)
        shown = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        label = entry.replace("_", " ")
        ax.plot(places, shown, STYLES[k % len(STYLES)], linewidth=1.6, label=label, **look)
        zero = places[values == 0]
        if zero.size:  # at the foot, whatever the limits
            foot = np.full(len(zero), 0.03 + 0.045 * k)
            look |= dict(linestyle="", fillstyle="none", transform=ax.get_xaxis_transform())
            ax.plot(zero, foot, **look)
    if any((values == 0).any() for values in table.values()):
        ax.plot([], [], "o", color=INK, fillstyle="none", markersize=5, label="open mark: zero")
    _logarithmic(ax, low, high)
    ax.set_xlim(-0.5, len(layers) - 0.5)
    ax.set_xticks(places, layers, fontsize=SMALL)
    if max(map(len, layers)) * len(layers) > 48:
        for tick in ax.get_xticklabels():
            tick.set(rotation=45, ha="right", rotation_mode="anchor")
    ax.set_xlabel("layer")
    ax.set_ylabel("value, logarithmic")
    legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)


def _over_epochs(ax, entry, values, layers) -> Axes:
    """A line per layer over the epochs."""
    first, last = (np.array(_rgb(color)) for color in (COLORS[0], COLORS[1]))
    epochs = 1 + np.arange(values.shape[1])
    every = max(1, len(epochs) // 6)
    for i, (name, row) in enumerate(zip(layers, values, strict=True)):
        share = i / max(len(layers) - 1, 1)
        shown = np.where(np.isfinite(row) & (row > 0), row, np.nan)
        named = len(layers) <= 6 or i in (0, len(layers) // 2, len(layers) - 1)
        ax.plot(
            epochs, shown, color=tuple((1 - share) * first + share * last), linewidth=1.4,
            marker=MARKERS[i % len(MARKERS)], markersize=4, label=name if named else None,
            markevery=(i * every // max(len(layers), 1), every),
        )  # fmt: skip
    _logarithmic(ax, *_limits(values))
    ticks = MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
    ax.xaxis.set_major_locator(ticks)
    ax.set_xlabel("epoch")
    ax.set_ylabel(entry.replace("_", " "))
    legend(ax, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def _logarithmic(ax, low, high) -> None:
    """A logarithmic axis with a handful of ticks, however short it is."""
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    if high < 200 * low:
        ax.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())


def _rgb(color: str) -> tuple[float, ...]:
    return tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
