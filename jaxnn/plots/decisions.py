"""What a classifier decides, and which classes it takes for each other."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from jaxnn.plots._style import (
    COLORS,
    INK,
    MARKERS,
    NORMAL,
    SHADES,
    SMALL,
    legend,
    new_axes,
    quiet,
    readable,
    settle,
)

__all__ = ["confusion_matrix", "decision_boundary"]


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

    ax = quiet(new_axes(4.6, 3.6) if ax is None else ax)
    _field(ax, sides, scores)
    for k, name in enumerate(names):
        ax.scatter(
            *points[owners == k].T, s=22, color=COLORS[k % len(COLORS)],
            marker=MARKERS[k % len(MARKERS)], edgecolors="white", linewidths=0.5, label=name,
        )  # fmt: skip
    ax.set_xlabel("feature 1")
    ax.set_ylabel("feature 2")
    legend(ax, loc="upper left", bbox_to_anchor=(1.0, 1.0), title="class")
    return settle(ax)


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
        ax = new_axes(side + 0.3, side)
    quiet(ax)
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
            color = readable(SHADES(share[i, j]), counts[i, j] == 0)
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
    return settle(ax)
