r"""Pictures of training, activations, decisions and mistakes, drawn with matplotlib.

Arrays go in, Axes come out: nothing is shown and no global setting is changed, so every
picture can be placed in a figure of yours (`ax=`), altered and saved. Figures made here are
transparent and their text is mid-grey, so that one file is legible on a white and on a dark
page; `axes.figure.set_facecolor("white")` makes one opaque. The colours are those of Okabe and
Ito, which colour-blind readers tell apart, and whatever differs in colour differs in form too.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.ticker import MaxNLocator

__all__ = ["activation", "confusion_matrix", "decision_boundary", "training_curves"]

# Okabe and Ito, "Color universal design", 2008; without their black, which vanishes
# on a dark page, and their yellow, which does on a white one.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v")
# The grey whose contrast is the same, 4.3 to 1, against white and against #111111.
INK = "#7a7a7a"
SMALL, NORMAL = 9.0, 10.0
SHADES = LinearSegmentedColormap.from_list("jaxnn_shades", ["#f2f6fa", "#7fb3d5", "#00507d"])
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
            side, `loss` first; into a given `ax`, only that first one.
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
        return draw(_new_axes() if ax is None else ax, metric or names[0])
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure = _new_figure(4.4 * columns, 3.3 * rows)
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
    _quiet(ax)
    parts = [("training", training, "-"), ("validation", validation, "--")]
    parts = [part for part in parts if part[1] is not None and np.isfinite(part[1]).any()]
    ax.set_xlabel("epoch")
    ax.set_ylabel(name.replace("_", " "))
    if not parts:
        ax.text(0.5, 0.5, "no finite values", color=INK, ha="center", transform=ax.transAxes)
        return ax
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
    _legend(ax, loc="best")
    return ax


def activation(
    f: Callable, f_grad: Callable, ax: Axes | None = None, *, limits: tuple[float, float] = (-4, 4)
) -> Axes:
    r"""Draws a function of one number and its derivative.

    Both are labelled at their right end, and interrupted where they jump.

    Args:
        f: an elementwise function of float arrays.
        f_grad: its derivative, likewise.
        ax: where to draw; None makes a new figure.
        limits: the first and the last x.

    Returns:
        The Axes, titled with the name of `f`.

    Raises:
        TypeError: if `f` or `f_grad` is not a function.
        ValueError: if the limits do not increase, or a result is not shaped like its input
            or nowhere finite.

    Example:
        >>> ax = activation(np.tanh, lambda x: 1 - np.tanh(x) ** 2)
        >>> ax.get_title(loc="left"), [text.get_text() for text in ax.texts]
        ('tanh', ['f(x)', "f'(x)"])
    """
    for name, function in (("f", f), ("f_grad", f_grad)):
        if not callable(function):
            raise TypeError(
                f"activation: {name} must be a function, got {type(function).__name__}. "
                "Pass the function itself, such as `relu`, and not what it returns."
            )
    low, high = limits
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(
            f"activation: limits must be finite and increase, got {limits}. "
            "Pass (first, last), such as (-4, 4)."
        )
    # An even number of points keeps off 0, where so many activations have their kink.
    x = np.linspace(low, high, 1000, dtype=np.float32)
    curves = [_evaluate(function, x) for function in (f, f_grad)]

    ax = _quiet(_new_axes() if ax is None else ax)
    ax.axhline(0, color=INK, linewidth=0.8, alpha=0.6)
    if low <= 0 <= high:
        ax.axvline(0, color=INK, linewidth=0.8, alpha=0.6)
    for y, color, style in zip(curves, COLORS, ("-", "--"), strict=False):
        ax.plot(x, _interrupted(y), style, color=color, linewidth=1.8)
    ax.set_xlim(low, high)
    ax.set_xlabel("x")
    name = getattr(f, "__name__", "<none>")
    if not name.startswith("<"):
        ax.set_title(name.strip("_"), loc="left", fontsize=NORMAL, color=INK)
    bottom, top = ax.get_ylim()
    first, second = (y[np.isfinite(y)][-1] for y in curves)
    ends = _apart(first, second, 0.09 * (top - bottom))
    for label, end, color in zip(("f(x)", "f'(x)"), ends, COLORS, strict=False):
        ax.annotate(
            label, (high, end), (5, 0), textcoords="offset points", va="center",
            color=color, fontsize=SMALL, annotation_clip=False,
        )  # fmt: skip
    return ax


def _evaluate(function, x) -> np.ndarray:
    """The values of a function, nan for those that are not finite."""
    y = np.asarray(function(x), dtype=float)
    if y.shape != x.shape:
        raise ValueError(
            f"activation: f and f_grad must return an array shaped like x, {x.shape}, "
            f"got {y.shape}. Only elementwise functions can be drawn."
        )
    if not np.isfinite(y).any():
        raise ValueError(
            f"activation: f and f_grad must be finite somewhere from {x[0]:g} to {x[-1]:g}, "
            "got none but nan or inf. Choose other limits."
        )
    return np.where(np.isfinite(y), y, np.nan)


def _interrupted(y) -> np.ndarray:
    """`y` with nan at its jumps: steps of 3 % of the range, ten times those on both sides."""
    step = np.abs(np.diff(y, prepend=y[0], append=y[-1]))
    beside = np.maximum(step[:-2], step[2:])
    jump = (step[1:-1] > 0.03 * np.ptp(y)) & (step[1:-1] > 10 * beside)
    return np.where(np.append(jump, False), np.nan, y)


def _apart(first, second, gap) -> tuple[float, float]:
    """Two heights, moved from their middle if they are closer than `gap`."""
    lacking = max(0.0, gap - abs(first - second)) / 2
    lacking = lacking if first >= second else -lacking
    return first + lacking, second - lacking


def decision_boundary(
    predict: Callable, inputs: Any, labels: Any, ax: Axes | None = None, *, threshold: float = 0.0
) -> Axes:
    r"""Draws what a classifier of two features decides everywhere, and the examples.

    The colour is that of the likelier class, the stronger the surer: its probability is the
    softmax of the scores, or the sigmoid of a single one. Lines mark where the decision turns.

    Args:
        predict: function of float32 `[n, 2]` that returns scores: of class 1 `[n]` or `[n, 1]`,
            or of each class `[n, classes]`. Logits, as networks return them.
        inputs: the examples, `[examples, 2]`.
        labels: their classes, `[examples]` or `[examples, 1]`: whole numbers from 0; with a
            single score 0 and 1, or -1 and 1.
        ax: where to draw; None makes a new figure.
        threshold: the single score above which class 1 is predicted; 0.5 for probabilities.

    Returns:
        The Axes.

    Raises:
        TypeError: if `predict` is not a function.
        ValueError: if the inputs are not 2-D points, the labels are no classes or not one per
            point, or the scores have another shape or are not finite.

    Example:
        >>> inputs = np.array([[-1.0, 0.0], [1.0, 0.5], [2.0, -1.0]])
        >>> ax = decision_boundary(lambda x: 3 * x[:, 0], inputs, np.array([0, 1, 1]))
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['0', '1']
    """
    points, labels = _points(predict, inputs, labels)
    low, high = points.min(0), points.max(0)
    margin = np.where(high > low, 0.12 * (high - low), 0.5)
    sides = [np.linspace(*ends, 200) for ends in zip(low - margin, high + margin, strict=True)]
    grid = np.stack(np.meshgrid(*sides), -1).astype(np.float32)
    scores = _scores(predict, grid.reshape(-1, 2), threshold).reshape(200, 200, -1)
    classes = scores.shape[-1]
    names, owners = _classes(labels, classes, single=classes == 1)
    if classes == 1:  # sigmoid(s) is the second of softmax([0, s])
        scores = np.concatenate([np.zeros_like(scores), scores], -1)

    ax = _quiet(_new_axes(4.6, 3.6) if ax is None else ax)
    _field(ax, sides, scores)
    for k, name in enumerate(names):
        ax.scatter(
            *points[owners == k].T, s=22, color=COLORS[k % len(COLORS)],
            marker=MARKERS[k % len(MARKERS)], edgecolors="white", linewidths=0.5, label=name,
        )  # fmt: skip
    ax.set_xlabel("feature 1")
    ax.set_ylabel("feature 2")
    _legend(ax, loc="upper left", bbox_to_anchor=(1.0, 1.0), title="class")
    return ax


def _points(predict, inputs, labels) -> tuple[np.ndarray, np.ndarray]:
    if not callable(predict):
        raise TypeError(
            f"decision_boundary: predict must be a function, got {type(predict).__name__}. "
            "Pass `lambda x: network.apply(params, x)`."
        )
    points, labels = np.asarray(inputs, dtype=float), np.asarray(labels)
    if points.ndim != 2 or points.shape[-1] != 2 or not len(points):
        raise ValueError(
            f"decision_boundary: inputs must be points [examples, 2], got {points.shape}. "
            "Of more features, choose or project to two."
        )
    if not np.isfinite(points).all():
        raise ValueError(
            "decision_boundary: inputs must be finite, got nan or inf. Remove those points."
        )
    if labels.shape not in ((len(points),), (len(points), 1)):
        raise ValueError(
            f"decision_boundary: labels must be one class per point, ({len(points)},), "
            f"got {labels.shape}. Of one-hot rows, pass labels.argmax(-1)."
        )
    return points, labels.reshape(-1)


def _scores(predict, grid, threshold) -> np.ndarray:
    """Scores of the grid, `[n, classes]`; a single score is counted from the threshold."""
    scores = np.asarray(predict(grid), dtype=float)
    if scores.shape[:1] != grid.shape[:1] or scores.ndim > 2 or 0 in scores.shape:
        raise ValueError(
            f"decision_boundary: predict must return [n] or [n, classes], got {scores.shape} "
            f"for n = {len(grid)}. Give it all points at once, one per row."
        )
    if not np.isfinite(scores).all():
        raise ValueError(
            "decision_boundary: predict must return finite scores, got nan or inf. "
            "Look for where training diverged."
        )
    scores = scores.reshape(len(grid), -1)
    return scores - threshold if scores.shape[-1] == 1 else scores


def _classes(labels, classes, single) -> tuple[list[str], np.ndarray]:
    """The names of the classes, and to which of them each label belongs."""
    values = set(np.unique(labels).tolist())
    if single and -1 in values and values <= {-1, 1}:
        return ["-1", "1"], (labels > 0).astype(int)
    count = 2 if single else classes
    if not values <= set(range(count)):
        found = sorted(values)
        raise ValueError(
            f"decision_boundary: labels must be whole numbers from 0 to {count - 1}, as predict "
            f"returns scores of {count} classes, got {found[:5]}{'...' * (len(found) > 5)}. "
            "Number the classes from 0."
        )
    return [str(k) for k in range(count)], labels.astype(int)


def _field(ax, sides, scores) -> None:
    """Colours the plane by the likelier class, and outlines where the decision turns."""
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    sure = shares.max(-1) / shares.sum(-1)
    colors = np.array([to_rgb(COLORS[k % len(COLORS)]) for k in range(scores.shape[-1])])
    chance = 1 / scores.shape[-1]
    alpha = 0.08 + 0.42 * (sure - chance) / (1 - chance)
    image = np.concatenate([colors[scores.argmax(-1)], alpha[..., None]], -1)
    extent = (sides[0][0], sides[0][-1], sides[1][0], sides[1][-1])
    ax.imshow(image, origin="lower", extent=extent, aspect="auto", interpolation="nearest")
    for k in range(1 if scores.shape[-1] == 2 else 0, scores.shape[-1]):
        lead = scores[..., k] - np.delete(scores, k, -1).max(-1)
        if lead.min() < 0 < lead.max():
            ax.contour(*sides, lead, levels=[0], colors=INK, linewidths=1.2)


def confusion_matrix(
    matrix: Any, labels: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    r"""Draws how often each class was taken for each other.

    Each cell says its count, and its colour the share of the row, that is of the true class.
    Counts too small to read, from some fifty classes on, are left to the colour.

    Args:
        matrix: counts `[classes, classes]`, true classes in rows and predicted ones in columns,
            as `metrics.confusion_matrix` returns them.
        labels: names of the classes; None numbers them from 0.
        ax: where to draw; None makes a new figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if the matrix is not square, a count is negative or not finite, or there is
            not one label per class.

    Example:
        >>> ax = confusion_matrix([[50, 2], [5, 43]], ["benign", "malignant"])
        >>> [text.get_text() for text in ax.texts]
        ['50', '2', '5', '43']
    """
    counts = np.asarray(matrix, dtype=float)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(
            f"confusion_matrix: matrix must be [classes, classes], got {counts.shape}. "
            "Compute it by `metrics.confusion_matrix(predictions, labels, classes)`."
        )
    wrong = counts[~(np.isfinite(counts) & (counts >= 0))]
    if wrong.size:
        raise ValueError(
            f"confusion_matrix: counts must be finite and not negative, got {wrong[0]:g}. "
            "Under `jit`, a label that is no class makes them so: look at the labels."
        )
    classes = len(counts)
    names = [str(k) for k in range(classes)] if labels is None else [str(k) for k in labels]
    if len(names) != classes:
        raise ValueError(
            f"confusion_matrix: labels must be one name per class, {classes}, got {len(names)}. "
            "Name them all, or pass None to number them."
        )
    if ax is None:
        side = float(np.clip(1.5 + 0.42 * classes, 3.2, 12.0))
        ax = _new_axes(side + 0.3, side)
    _quiet(ax)
    return _matrix(ax, counts, names)


def _matrix(ax, counts, names) -> Axes:
    classes = len(counts)
    rows = counts.sum(-1, keepdims=True)
    share = np.divide(counts, rows, out=np.zeros_like(counts), where=rows > 0)
    ax.imshow(share, cmap=SHADES, vmin=0, vmax=1)
    whole = bool((counts == counts.round()).all())
    texts = [[f"{count:.0f}" if whole else f"{count:.2f}" for count in row] for row in counts]

    # A digit is some 0.64 of its size wide, and a fifth of each cell stays free.
    pitch = 72 * min(ax.get_window_extent().size / ax.figure.dpi) / classes
    digits = max(len(text) for row in texts for text in row)
    size = min(NORMAL, 0.8 * pitch / max(0.64 * digits, 1.3))
    if size >= 5:
        for i, j in np.ndindex(classes, classes):
            color = _readable(SHADES(share[i, j]), counts[i, j] == 0)
            ax.text(j, i, texts[i][j], ha="center", va="center", color=color, fontsize=size)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    every = int(np.ceil(8 / pitch))  # names must not touch
    ticks = np.arange(0, classes, every)
    size = float(np.clip(0.8 * pitch * every, 6, SMALL))
    ax.set_xticks(ticks, [names[k] for k in ticks], fontsize=size)
    ax.set_yticks(ticks, [names[k] for k in ticks], fontsize=size)
    ax.tick_params(length=0)
    if max(map(len, names)) * 0.64 * size > pitch * every:
        for label in ax.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    return ax


def _readable(color, quiet) -> str:
    """White on a dark cell and black on a light one; zeros step back."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    if np.dot(linear, (0.2126, 0.7152, 0.0722)) < 0.18:
        return "white"
    return "#6c6c6c" if quiet else "black"


def _new_figure(width, height):
    return plt.figure(figsize=(width, height), layout="constrained", facecolor="none")


def _new_axes(width=4.8, height=3.4) -> Axes:
    return _new_figure(width, height).add_subplot()


def _quiet(ax: Axes) -> Axes:
    """The one style: no frame, no ground, all writing in the ink of both white and dark pages."""
    ax.set_facecolor("none")
    ax.grid(False)
    for side, spine in ax.spines.items():
        spine.set(visible=side in ("left", "bottom"), color=INK, linewidth=0.8)
    ax.tick_params(colors=INK, labelsize=SMALL, width=0.8)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set(color=INK, fontsize=NORMAL)
        axis.offsetText.set(color=INK, fontsize=SMALL)
    ax.title.set_color(INK)
    return ax


def _legend(ax, **place) -> None:
    legend = ax.legend(frameon=False, fontsize=SMALL, labelcolor=INK, **place)
    legend.get_title().set(color=INK, fontsize=SMALL)
