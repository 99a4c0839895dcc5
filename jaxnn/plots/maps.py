"""Self-organizing maps and latent spaces: where examples lie in what a network made."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle, RegularPolygon

from jaxnn.plots._style import (
    COLORS,
    INK,
    MARKERS,
    NORMAL,
    SHADES,
    colorbar,
    legend,
    legend_above,
    new_axes,
    new_figure,
    quiet,
)

LINE = 14.5  # the height of a line of a legend, in points

__all__ = ["component_planes", "latent_space", "som"]


def som(
    values: Any,
    ax: Axes | None = None,
    *,
    hits: Any = None,
    hexagonal: bool = False,
    meaning: str = "distance to neighbours",
) -> Axes:
    r"""Draws one number per unit of a self-organizing map, and how many examples each answers.

    Dark ridges of the U-matrix are borders between clusters, light valleys the clusters.

    Args:
        values: `[rows, columns]`: `networks.u_matrix(params)`, hits, or one component of the
            codebook.
        ax: where to draw; None makes a new figure.
        hits: counts `[rows, columns]`, drawn as dots whose area is the count:
            `networks.som_hits(params, x)`.
        hexagonal: whether odd rows are shifted by half a unit.
        meaning: what the values are, beside the scale of colours.

    Returns:
        The Axes.

    Raises:
        ValueError: if the values are not `[rows, columns]` and finite, or hits have another
            shape or are negative.

    Example:
        >>> ax = som(np.ones((3, 4)), hits=np.eye(3, 4))
        >>> len(ax.collections[0].get_paths()), len(ax.collections[1].get_offsets())
        (12, 3)
    """
    values = np.asarray(values, float)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ValueError(
            f"som: values must be finite and [rows, columns], got shape {values.shape}. "
            "Draw a codebook with `component_planes`."
        )
    rows, columns = values.shape
    counts = None if hits is None else _counts(hits, values.shape)
    if ax is None:
        height = float(np.clip(0.35 * rows, 2.6, 8)) * (0.87 if hexagonal else 1)
        ax = new_axes(float(np.clip(0.35 * columns, 2.6, 8)) + 1.1, height + 0.4)
    quiet(ax)
    x, y = _places(rows, columns, hexagonal)
    drawn = PatchCollection(_cells(x, y, hexagonal), cmap=SHADES, linewidths=0.4)
    drawn.set_edgecolor("face")  # no gaps between neighbours
    drawn.set_array(values.ravel())
    ax.add_collection(drawn)
    if counts is not None:
        _dots(ax, x, y, counts)
    ax.set_xlim(-0.55, x.max() + 0.55)
    ax.set_ylim(y.max() + 0.62, -0.62)
    ax.set_aspect("equal")
    _unmarked(ax)
    colorbar(ax, drawn, meaning)
    return ax


def _places(rows, columns, hexagonal):
    row, column = (place.ravel() for place in np.indices((rows, columns)))
    if not hexagonal:
        return column.astype(float), row.astype(float)
    return column + 0.5 * (row % 2), row * np.sqrt(0.75)


def _cells(x, y, hexagonal) -> list[Any]:
    if hexagonal:
        return [RegularPolygon(at, 6, radius=1 / np.sqrt(3)) for at in zip(x, y, strict=True)]
    return [Rectangle((a - 0.5, b - 0.5), 1, 1) for a, b in zip(x, y, strict=True)]


def _counts(hits, shape) -> np.ndarray:
    hits = np.asarray(hits, float)
    if hits.shape != shape or not np.isfinite(hits).all() or (hits < 0).any():
        raise ValueError(
            f"som: hits must be counts of the shape of the values, {shape}, got {hits.shape}. "
            "Count with `networks.som_hits(params, x)`."
        )
    return hits.ravel()


def _dots(ax, x, y, counts) -> None:
    """A dot per unit that answers any example."""
    some = counts > 0
    # The largest dot just fits its unit.
    pitch = 72 * min(ax.get_window_extent().size / ax.figure.dpi / (x.max() + 1, y.max() + 1))
    area = (0.62 * pitch) ** 2 * counts[some] / max(counts.max(), 1)
    ax.scatter(
        x[some], y[some], area, color=COLORS[1], edgecolors="white", linewidths=0.6,
        label=f"examples, at most {counts.max():g}",
    )  # fmt: skip
    legend_above(ax, dots=40)


def _unmarked(ax) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_xlabel("column")
    ax.set_ylabel("row")


def component_planes(
    codebook: Any, names: Sequence[str] | None = None, *, hexagonal: bool = False
) -> np.ndarray:
    r"""Draws each feature of the codes of a self-organizing map, one map per feature.

    Where two maps look alike, the features go together.

    Args:
        codebook: `[rows, columns, features]`: `params["codebook"]`.
        names: of the features; None numbers them from 0.
        hexagonal: whether odd rows are shifted by half a unit.

    Returns:
        The Axes, `[features]`.

    Raises:
        ValueError: if the codebook has other axes, or there is not one name per feature.

    Example:
        >>> axes = component_planes(np.ones((3, 4, 2)), ["width", "height"])
        >>> [ax.get_title(loc="left") for ax in axes]
        ['width', 'height']
    """
    codebook = np.asarray(codebook, float)
    if codebook.ndim != 3 or not codebook.size:
        raise ValueError(
            "component_planes: codebook must be [rows, columns, features], got "
            f'{codebook.shape}. Pass `params["codebook"]`.'
        )
    rows, columns, features = codebook.shape
    titles = [str(i) for i in range(features)] if names is None else [str(n) for n in names]
    if len(titles) != features:
        raise ValueError(
            f"component_planes: names must be one per feature, {features}, got {len(titles)}. "
            "Name them all, or pass None to number them."
        )
    across = min(features, 4)
    down = -(-features // across)
    height = 2.5 * float(np.clip(rows / columns, 0.5, 2)) * (0.87 if hexagonal else 1)
    figure = new_figure(3.3 * across, (height + 0.5) * down)
    axes = []
    for i, title in enumerate(titles):
        ax = figure.add_subplot(down, across, i + 1)
        som(codebook[..., i], ax, hexagonal=hexagonal, meaning="")
        ax.set_title(title, loc="left", fontsize=NORMAL, color=INK)
        axes.append(ax)
    return np.array(axes)


def latent_space(points: Any, labels: Any = None, ax: Axes | None = None) -> Axes:
    r"""Draws examples where a network put them, by class.

    Args:
        points: `[examples, 2]`; of more dimensions take
            `diagnostics.principal_components(x).points`.
        labels: the class of each, `[examples]`; None draws all alike.
        ax: where to draw; None makes a new figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if the points are not `[examples, 2]` and finite, or there is not one label
            per point.

    Example:
        >>> ax = latent_space(np.eye(2), ["cat", "dog"])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['cat', 'dog']
    """
    points = np.asarray(points, float)
    if points.ndim != 2 or points.shape[-1] != 2 or not np.isfinite(points).all():
        raise ValueError(
            f"latent_space: points must be finite and [examples, 2], got shape {points.shape}. "
            "Of more dimensions pass `diagnostics.principal_components(x).points`."
        )
    classes = np.zeros(len(points), int) if labels is None else np.asarray(labels)
    if classes.shape != (len(points),):
        raise ValueError(
            f"latent_space: labels must be one per point, ({len(points)},), got {classes.shape}. "
            "Of one-hot rows, pass labels.argmax(-1)."
        )
    names = np.unique(classes)
    if ax is None:
        ax = _room_for([str(name) for name in names])
    quiet(ax)
    size = float(np.clip(3000 / max(len(points), 1), 6, 24))
    for k, name in enumerate(names):
        ax.scatter(
            *points[classes == name].T, s=size, color=COLORS[k % len(COLORS)],
            marker=MARKERS[k % len(MARKERS)], alpha=0.85, linewidths=0, label=str(name),
        )  # fmt: skip
    ax.set_xlabel("component 1")
    ax.set_ylabel("component 2")
    if labels is not None and names.size:
        rows = max(1, int(72 * _height(ax) / LINE) - 1)  # one is the title
        legend(
            ax, dots=28, loc="upper left", bbox_to_anchor=(1.0, 1.0), title="class",
            ncols=-(-len(names) // rows), columnspacing=0.8,
        )  # fmt: skip
    return ax


def _height(ax) -> float:
    """The height of an Axes, in inches."""
    return ax.get_window_extent().height / ax.figure.dpi


def _room_for(names) -> Axes:
    """An Axes beside which a legend of so many classes has room, in at most four columns."""
    rows = max(14, -(-len(names) // 4))
    columns = -(-len(names) // rows)
    width = 0.5 + 0.08 * max(map(len, names), default=0)
    return new_axes(4.2 + columns * width, max(3.6, rows * LINE / 72 / 0.77 + 0.3))
