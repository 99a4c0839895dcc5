"""Filters, feature maps, attention and attributions: arrays that are looked at as images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from jaxnn.plots._style import (
    COLORS,
    INK,
    NORMAL,
    SHADES,
    SIGNED,
    SMALL,
    colorbar,
    new_axes,
    new_figure,
    quiet,
)

__all__ = ["attention", "feature_maps", "filters", "receptive_field", "saliency"]


def filters(kernel: Any, ax: Axes | None = None) -> Axes:
    r"""Draws the filters of a convolution, each as a tile.

    Filters of one channel are blue below zero and orange above; filters of three are drawn in
    the colours they look for; of more channels, each row holds one channel of all filters.

    Args:
        kernel: `[height, width, inputs, outputs]`, as `conv` has it.
        ax: where to draw; None makes a new figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if the kernel has other axes, or an entry that is not finite.

    Example:
        >>> ax = filters(np.random.default_rng(0).normal(size=(3, 3, 1, 8)))
        >>> ax.get_xlabel(), ax.images[0].get_array().shape    # 2 rows of 4, and lines between
        ('8 filters of 3 × 3', (7, 15))
    """
    kernel = _finite("filters", "kernel", kernel, 4, "[height, width, inputs, outputs]")
    height, width, inputs, outputs = kernel.shape
    label = f"{outputs} filters of {height} × {width}"
    if inputs == 3:
        limit = np.abs(kernel).max() or 1.0
        tiles = np.moveaxis(0.5 + 0.5 * kernel / limit, 3, 0)
        return _mosaic(ax, tiles, _columns(outputs), label, None, None)
    tiles = np.moveaxis(kernel, (2, 3), (0, 1)).reshape(-1, height, width)
    columns = _columns(outputs) if inputs == 1 else outputs
    label += "" if inputs == 1 else f", {inputs} channels below each other"
    return _mosaic(ax, tiles, columns, label, SIGNED, "weight")


def feature_maps(maps: Any, ax: Axes | None = None) -> Axes:
    r"""Draws what each filter of a layer answers to one image, each as a tile.

    Args:
        maps: `[height, width, channels]`, of one example: one of
            `diagnostics.layer_outputs(...)["conv_0"]`.
        ax: where to draw; None makes a new figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if the maps have other axes, or an entry that is not finite.

    Example:
        >>> ax = feature_maps(np.random.default_rng(0).normal(size=(5, 6, 4)))
        >>> ax.get_xlabel(), ax.images[0].get_array().shape
        ('4 feature maps of 5 × 6', (11, 20))
    """
    maps = _finite("feature_maps", "maps", maps, 3, "[height, width, channels]")
    height, width, channels = maps.shape
    label = f"{channels} feature maps of {height} × {width}"
    cmap = SIGNED if maps.min() < 0 else SHADES
    return _mosaic(ax, np.moveaxis(maps, 2, 0), _columns(channels), label, cmap, "output")


def _columns(count) -> int:
    """Columns of a mosaic that is a little wider than high."""
    return int(np.ceil(np.sqrt(count * 1.6)))


def _mosaic(ax, tiles, columns, label, cmap, meaning) -> Axes:
    """Tiles side by side in one image, with a transparent line between."""
    count, height, width = tiles.shape[:3]
    columns = min(columns, count)
    rows = -(-count // columns)
    shape = (rows * (height + 1) - 1, columns * (width + 1) - 1, *tiles.shape[3:])
    image = np.full(shape, np.nan)
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (height + 1), (i % columns) * (width + 1)
        image[top : top + height, left : left + width] = tile
    if ax is None:
        wide = float(np.clip(0.62 * columns * width / max(width, height), 2.5, 9))
        ax = new_axes(wide + 0.9, float(np.clip(wide * shape[0] / shape[1], 1.2, 12)) + 0.5)
    quiet(ax)
    if cmap is None:  # colours: what lies between the tiles is transparent
        blank = np.isnan(image[..., :1])
        image = np.concatenate([np.nan_to_num(image), np.where(blank, 0.0, 1.0)], -1)
        ax.imshow(image, interpolation="nearest")
    else:
        low, high = _range(tiles, cmap)
        drawn = ax.imshow(image, cmap=cmap, interpolation="nearest", vmin=low, vmax=high)
        colorbar(ax, drawn, meaning)
    _bare(ax)
    room = ax.get_window_extent()
    if 5.4 / 72 * ax.figure.dpi * len(label) > min(room.width, room.height * shape[1] / shape[0]):
        label = label.replace(", ", ",\n")
    ax.set_xlabel(label)
    ax.set_anchor("C")  # at the edge, where a colour bar moves it, a narrow image cuts its label
    return ax


def _range(values, cmap) -> tuple[float, float]:
    """Limits of the colours: around zero where there are two signs, and from zero else."""
    largest = float(np.abs(values).max()) or 1.0
    return (-largest if cmap is SIGNED else 0.0), largest


def _bare(ax) -> None:
    """No ticks and no spines: an image has its own edge."""
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


def attention(
    weights: Any,
    tokens: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    keys: Sequence[str] | None = None,
) -> Any:
    r"""Draws where each query looks.

    Args:
        weights: `[queries, keys]`, or `[heads, queries, keys]` for a picture per head: one
            example of what `diagnostics.attention_maps` returned.
        tokens: names of the queries; None numbers them from 0.
        ax: where to draw a single head; None makes a new figure.
        keys: names of the keys; None takes those of the queries, if there are as many.

    Returns:
        The Axes; of several heads, an array of them.

    Raises:
        ValueError: if the weights have other axes or are not finite, there is not one name
            each, or `ax` is given for several heads.

    Example:
        >>> ax = attention([[1.0, 0.0], [0.3, 0.7]], ["the", "cat"])
        >>> [tick.get_text() for tick in ax.get_yticklabels()]
        ['the', 'cat']
    """
    array = np.asarray(weights, float)
    if array.ndim == 3 and len(array) == 1:
        array = array[0]
    if array.ndim not in (2, 3) or not np.isfinite(array).all() or not array.size:
        raise ValueError(
            "attention: weights must be finite, [queries, keys] or [heads, queries, keys], got "
            f"shape {array.shape}. Choose one example and one layer."
        )
    names = [
        _names("attention", "tokens", tokens, array.shape[-2]),
        _names("attention", "keys", _keys(tokens, keys, array), array.shape[-1]),
    ]
    if array.ndim == 2:
        side = float(np.clip(1.2 + 0.3 * max(array.shape), 3.0, 9.0))
        return _attended(new_axes(side + 0.9, side) if ax is None else ax, array, names, True)
    if ax is not None:
        raise ValueError(
            f"attention: ax holds one head, got {len(array)}. Pass weights[head], or no ax."
        )
    columns = min(len(array), 4)
    rows = -(-len(array) // columns)
    side = float(np.clip(0.9 + 0.22 * max(array.shape[1:]), 2.2, 6.0))
    figure = new_figure(side * columns, (side + 0.2) * rows)
    axes = []
    for head, one in enumerate(array):
        place = _attended(figure.add_subplot(rows, columns, head + 1), one, names, False)
        place.set_title(f"head {head}", loc="left", fontsize=NORMAL, color=INK)
        axes.append(place)
    return np.array(axes)


def _keys(tokens, keys, array):
    """The names of the keys: those of the queries, where both are one sequence."""
    return tokens if keys is None and array.shape[-1] == array.shape[-2] else keys


def _names(function, argument, names, count) -> list[str]:
    names = [str(i) for i in range(count)] if names is None else [str(name) for name in names]
    if len(names) != count:
        raise ValueError(
            f"{function}: {argument} must be one name each for {count}, got {len(names)}. "
            "Name them all, or pass None to number them."
        )
    return names


def _attended(ax, weights, names, bar) -> Axes:
    quiet(ax)
    drawn = ax.imshow(weights, cmap=SHADES, vmin=0, vmax=1, aspect="auto")
    for set_ticks, labels in ((ax.set_yticks, names[0]), (ax.set_xticks, names[1])):
        every = -(-len(labels) // 24)
        places = np.arange(0, len(labels), every)
        set_ticks(places, [labels[i] for i in places], fontsize=SMALL)
    if max(map(len, names[1])) > 2:
        for tick in ax.get_xticklabels():
            tick.set(rotation=60, ha="right", rotation_mode="anchor")
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_xlabel("looks at")
    ax.set_ylabel("token")
    if bar:
        colorbar(ax, drawn, "weight")
    return ax


def saliency(values: Any, image: Any = None, ax: Axes | None = None) -> Axes:
    r"""Draws how much a score depends on each place of an image, under the outline of the image.

    More of what is orange raises the score, more of what is blue lowers it; channels add up.

    Args:
        values: `[height, width]` or `[height, width, channels]`: one example of what
            `diagnostics.saliency` or `diagnostics.integrated_gradients` returned.
        image: the image itself, likewise; None leaves it out.
        ax: where to draw; None makes a new figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if the shapes differ or are no images, or an entry is not finite.

    Example:
        >>> ax = saliency(np.eye(4), np.tri(4))
        >>> len(ax.images), len(ax.collections)    # the values, and the outline of the image
        (1, 1)
    """
    shape = "[height, width] or [height, width, channels]"
    array = np.asarray(values, float)
    array = _finite("saliency", "values", array[..., None] if array.ndim == 2 else array, 3, shape)
    signed = array.sum(-1)
    limit = float(np.abs(signed).max()) or 1.0
    if image is not None:
        grey = np.asarray(image, float)
        grey = _finite("saliency", "image", grey[..., None] if grey.ndim == 2 else grey, 3, shape)
        if grey.shape[:2] != array.shape[:2]:
            raise ValueError(
                f"saliency: image must have the size of the values, {array.shape[:2]}, "
                f"got {grey.shape[:2]}. Pass the example they belong to."
            )
        image = grey.mean(-1)
    ax = quiet(new_axes(3.9, 3.2) if ax is None else ax)
    drawn = ax.imshow(signed, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
    if image is not None and min(image.shape) > 1 and np.ptp(image) > 0:
        middle = (image.min() + image.max()) / 2
        ax.contour(image, levels=[middle], colors="#222222", linewidths=1.2)
    colorbar(ax, drawn, "change of the score")
    _bare(ax)
    return ax


def receptive_field(field: Any, ax: Axes | None = None) -> Axes:
    r"""Draws how much one place of a feature map depends on each place of the image.

    A frame surrounds all that it sees at all, which is usually more than it looks at.

    Args:
        field: `[height, width]`, what `diagnostics.receptive_field` returned.
        ax: where to draw; None makes a new figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if the field has other axes, or an entry that is negative or not finite.

    Example:
        >>> field = np.pad(np.ones((3, 3)), 2)
        >>> receptive_field(field).get_title(loc="left")
        'sees 3 × 3 of 7 × 7'
    """
    field = _finite("receptive_field", "field", field, 2, "[height, width]")
    if field.min() < 0:
        raise ValueError(
            f"receptive_field: field must not be negative, got {field.min():g}. "
            "Pass what `diagnostics.receptive_field` returned."
        )
    ax = quiet(new_axes(4.1, 3.5) if ax is None else ax)
    drawn = ax.imshow(field, cmap=SHADES, vmin=0, interpolation="nearest")
    rows, columns = (np.flatnonzero(field.any(axis)) for axis in (1, 0))
    height = width = 0
    if rows.size:
        height, width = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
        corner = (columns[0] - 0.5, rows[0] - 0.5)
        frame = Rectangle(corner, width, height, fill=False, edgecolor=COLORS[1], linewidth=2)
        frame.set_clip_on(False)
        ax.add_patch(frame)
    title = f"sees {height} × {width} of {field.shape[0]} × {field.shape[1]}"
    ax.set_title(title, loc="left", fontsize=NORMAL, color=INK)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(6, integer=True))
    ax.set_xlabel("column")
    ax.set_ylabel("row")
    colorbar(ax, drawn, "mean size of the gradient")
    return ax


def _finite(function, name, array, axes, shape) -> np.ndarray:
    array = np.asarray(array, float)
    if array.ndim != axes or not array.size or not np.isfinite(array).all():
        raise ValueError(
            f"{function}: {name} must be finite and {shape}, got shape {array.shape}. "
            "Choose one example and one layer."
        )
    return array
