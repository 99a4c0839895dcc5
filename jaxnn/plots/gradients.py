"""How signals and gradients pass through the layers, at once and along a training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from jaxnn.plots._style import (
    COLORS,
    INK,
    MARKERS,
    SMALL,
    legend,
    legend_above,
    new_axes,
    quiet,
)

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
    or adds the same factor. What that axis can't show is marked: a zero, or a value below it, by an
    open mark at the foot of the picture, one that is not finite by a cross at the top. Epochs that
    early stopping left out, whose `position` is nan, are not drawn. Long names of layers lose their
    middle.

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
    ax = _axes(layers) if ax is None else ax
    quiet(ax)
    first, (places, values) = next(iter(table.items()))
    if values.shape[1] > 1:
        return _over_epochs(ax, first, places, values, layers)
    _over_layers(ax, table, layers)
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
    ax = _axes(layers) if ax is None else ax
    limits = _limits(*(values for _, values in table.values()))
    epochs = max(values.shape[1] for _, values in table.values())

    def draw(epoch):
        ax.clear()
        quiet(ax)
        _over_layers(ax, table, layers, epoch, limits)
        ax.set_xlabel(f"layer, epoch {epoch + 1}")
        return ax.lines

    draw(0)
    figure: Any = ax.figure
    return FuncAnimation(figure, draw, frames=epochs, interval=interval)


def _table(function, flow, entries) -> tuple[dict[str, tuple], list[str]]:
    """Entry -> which layers have it, and its values `[those, epochs]`; and the layers in order."""
    at = lambda name: np.ravel(flow[name].get("position", 0))[0]
    layers = sorted(flow, key=at)
    ran = _epochs(next((flow[n]["position"] for n in layers if "position" in flow[n]), 0))
    found = {}
    for entry in entries:
        places = [i for i, name in enumerate(layers) if entry in flow[name]]
        if places:
            rows = [np.atleast_1d(np.asarray(flow[layers[i]][entry], float)) for i in places]
            rows = [_median(row) if row.ndim > 1 else row for row in rows]
            found[entry] = np.array(places), np.stack(np.broadcast_arrays(*rows))[:, :ran]
    if not found:
        raise ValueError(
            f"{function}: flow must hold one of the entries {list(entries)}, got "
            f"{ {name: sorted(found) for name, found in flow.items()} }. "
            "Pass what `diagnostics.gradient_flow` returned."
        )
    return found, _short(layers)


def _short(names, most=20) -> list[str]:
    """Long names without their middle, in as many letters as tell them apart."""
    for length in range(most, max(map(len, names))):
        for first in sorted(range(2, length - 2), key=lambda first: abs(2 * first - length)):
            cut = lambda n, a=first, b=length - first - 1: f"{n[:a]}…{n[-b:]}"
            short = [name if len(name) <= length else cut(name) for name in names]
            if len(set(short)) == len(names):
                return short
    return names


def _axes(layers) -> Axes:
    """An Axes that leaves room for the names of the layers."""
    long = max(map(len, layers)) - 8 if _turned(layers) else 0
    return new_axes(max(4.8, 0.42 * len(layers) + 1.6), 3.4 + 0.07 * max(long, 0))


def _turned(layers, inches=4.8) -> bool:
    """Whether names at the ticks of an Axes so wide only have room if they are turned."""
    return max(map(len, layers)) * len(layers) > 13 * min(inches, 3.7)


def _epochs(position) -> int | None:
    """How many epochs ran: the position of a layer stays finite where training diverges."""
    positions = np.atleast_2d(np.asarray(position, float))
    ran = np.flatnonzero(np.isfinite(positions).any(0))
    return int(ran[-1]) + 1 if ran.size and positions.shape[1] > 1 else None


def _median(members) -> np.ndarray:
    """A population `[members, epochs]` as its median, over those that still ran."""
    ran = np.isfinite(members).any(0)
    found = np.full(members.shape[1], np.nan)
    found[ran] = np.nanmedian(members[:, ran], 0)
    return found


def _limits(*rows) -> tuple[float, float]:
    """The limits of a logarithmic axis around all values above zero, with room for marks."""
    values = np.concatenate([row.ravel() for row in rows])
    shown = values[np.isfinite(values) & (values > 0)]
    if not shown.size:
        return 0.1, 10.0
    low, high = np.log10(shown.min()), np.log10(shown.max())
    margin = max(0.07 * (high - low), 0.15)
    below, above = (3 if marked.any() else 1 for marked in _marked(values))
    return 10 ** (low - below * margin), 10 ** (high + above * margin)


def _marked(values) -> tuple[np.ndarray, np.ndarray]:
    """Where values are at the foot of a logarithmic axis, and where at its top."""
    return np.isfinite(values) & (values <= 0), ~np.isfinite(values)


def _mark(ax, places, values, k, count, color, shape) -> None:
    """Marks what a logarithmic axis can't show of the line `k`, at a height of its own."""
    look = dict(linestyle="", color=color, markersize=5, transform=ax.get_xaxis_transform())
    off = min(0.045, 0.13 / count) * k
    foot, top = (places[marked] for marked in _marked(values))
    if foot.size:
        ax.plot(foot, np.full(foot.shape, 0.03 + off), shape, fillstyle="none", **look)
    if top.size:
        ax.plot(top, np.full(top.shape, 0.97 - off), "x", **look)


def _name_marks(ax, values) -> None:
    """What the marks mean, in the legend, or in the middle of an empty picture."""
    foot, top = (marked.any() for marked in _marked(values))
    finite = values[np.isfinite(values)]
    if foot:
        label = "open mark: zero" + (" or below" if finite.min() < 0 else "")
        ax.plot([], [], "o", color=INK, fillstyle="none", markersize=5, label=label)
    if top:
        ax.plot([], [], "x", color=INK, markersize=5, label="not finite")
    if not finite.size:
        ax.text(0.5, 0.5, "no finite values", color=INK, ha="center", transform=ax.transAxes)


def _over_layers(ax, table, layers, epoch=0, limits=None) -> None:
    """A line per entry over the layers, in one epoch."""
    rows = [(at, values[:, min(epoch, values.shape[1] - 1)]) for at, values in table.values()]
    low, high = limits or _limits(*(values for _, values in rows))
    for k, (entry, (places, values)) in enumerate(zip(table, rows, strict=True)):
        color, shape = COLORS[k % len(COLORS)], MARKERS[k % len(MARKERS)]
        shown = np.full(len(layers), np.nan)  # a gap where a layer has no such entry
        shown[places] = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        ax.plot(
            shown, STYLES[k % len(STYLES)], linewidth=1.6, color=color, marker=shape, markersize=5,
            label=entry.replace("_", " "),
        )  # fmt: skip
        _mark(ax, places, values, k, len(rows), color, shape)
    _name_marks(ax, np.concatenate([values for _, values in rows]))
    _logarithmic(ax, low, high)
    ax.set_xlim(-0.5, len(layers) - 0.5)
    ax.set_xticks(range(len(layers)), layers, fontsize=SMALL)
    if _turned(layers, ax.get_window_extent().width / ax.figure.dpi):
        for tick in ax.get_xticklabels():
            tick.set(rotation=45, ha="right", rotation_mode="anchor")
    ax.set_xlabel("layer")
    ax.set_ylabel("value, logarithmic")
    legend_above(ax)


def _over_epochs(ax, entry, places, values, layers) -> Axes:
    """A line over the epochs per layer that has the entry."""
    first, last = (np.array(_rgb(color)) for color in (COLORS[0], COLORS[1]))
    epochs, count = 1 + np.arange(values.shape[1]), len(places)
    every = max(1, len(epochs) // 6)
    for i, row in enumerate(values):
        share = i / max(count - 1, 1)
        color = tuple((1 - share) * first + share * last)
        shown = np.where(np.isfinite(row) & (row > 0), row, np.nan)
        named = count <= 6 or i in (0, count // 2, count - 1)
        shape = MARKERS[i % len(MARKERS)]
        ax.plot(
            epochs, shown, color=color, linewidth=1.4, marker=shape, markersize=4,
            label=layers[places[i]] if named else None,
            markevery=sorted({*range(i * every // count, len(epochs), every), *_alone(shown)}),
        )  # fmt: skip
        _mark(ax, epochs, row, i, count, color, shape)
    _name_marks(ax, values)
    _logarithmic(ax, *_limits(values))
    margin = 0.04 * len(epochs)
    ax.set_xlim(1 - margin, len(epochs) + margin)
    ticks = MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
    ax.xaxis.set_major_locator(ticks)
    ax.set_xlabel("epoch")
    ax.set_ylabel(entry.replace("_", " "))
    beside = legend(ax, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    if beside.get_window_extent().width > 0.6 * ax.get_window_extent().width:
        legend_above(ax)
    return ax


def _alone(shown) -> list[int]:
    """Values between gaps, which no line shows."""
    there = np.isfinite(shown)
    around = np.pad(there, 1)
    return np.flatnonzero(there & ~around[:-2] & ~around[2:]).tolist()


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
