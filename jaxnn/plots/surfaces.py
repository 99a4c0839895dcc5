"""The loss around a point, and along learning rates."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.ticker import MaxNLocator

from jaxnn.plots._style import COLORS, SHADES, colorbar, legend_above, new_axes, quiet

__all__ = ["learning_rate_range", "loss_landscape"]


def loss_landscape(landscape: Mapping[str, Any], ax: Axes | None = None) -> Axes:
    r"""Draws the loss on a line or a plane through the parameters.

    A plane is drawn in levels, each with a shade of its own and the same part of the way from the
    lowest to the highest loss: on a logarithmic scale where the loss is positive and grows at least
    threefold, on a linear one otherwise. A line is drawn as a curve. A cross marks the parameters
    themselves.

    Args:
        landscape: what `diagnostics.loss_landscape` returned: `"coordinates"` `[points]` and
            `"loss"` `[points]` or `[points, points]`.
        ax: where to draw; None makes a new figure.

    Returns:
        The Axes.

    Raises:
        ValueError: if the loss does not fit the coordinates, or is nowhere finite.

    Example:
        >>> at = np.linspace(-1, 1, 5)
        >>> ax = loss_landscape({"coordinates": at, "loss": at[:, None] ** 2 + at ** 2})
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('along direction 1', 'along direction 2')
    """
    at = np.asarray(landscape["coordinates"], float)
    loss = np.asarray(landscape["loss"], float)
    if loss.shape not in ((len(at),), (len(at), len(at))) or len(at) < 3:
        raise ValueError(
            "loss_landscape: loss must be [points] or [points, points] for three points or more, "
            f"got {loss.shape} for {len(at)}. Pass what `diagnostics.loss_landscape` returned."
        )
    if not np.isfinite(loss).any():
        raise ValueError(
            "loss_landscape: loss must be finite somewhere, got none. Choose a smaller radius."
        )
    loss = np.where(np.isfinite(loss), loss, np.nan)
    if loss.ndim == 1:
        ax = quiet(new_axes() if ax is None else ax)
        ax.plot(at, loss, color=COLORS[0], linewidth=1.8)
        ax.plot(0, np.interp(0, at, loss), "x", color=COLORS[1], markersize=8, markeredgewidth=2)
        ax.set_xlabel("along direction 1")
        ax.set_ylabel("loss")
        return ax
    ax = quiet(new_axes(4.6, 3.6) if ax is None else ax)
    levels = _levels(loss)
    shades = SHADES.reversed()
    norm = BoundaryNorm(levels, shades.N, extend="both")  # as many shades as levels, evenly apart
    drawn = ax.contourf(at, at, loss.T, levels, cmap=shades, norm=norm, extend="both")
    ax.contour(at, at, loss.T, levels, colors="white", linewidths=0.5, alpha=0.6, linestyles="-")
    ax.plot(0, 0, "x", color=COLORS[1], markersize=9, markeredgewidth=2.5)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    ax.set_xlabel("along direction 1")
    ax.set_ylabel("along direction 2")
    bar = colorbar(ax, drawn, "loss")
    bar.minorticks_off()
    bar.set_ticks(levels[::3].tolist(), labels=_numbers(levels[::3]))
    return ax


def _numbers(values) -> list[str]:
    """As few digits as tell the values apart."""
    written = ([f"{value:.{digits}g}" for value in values] for digits in range(2, 17))
    return next(texts for texts in written if len(set(texts)) == len(texts))


def _levels(loss) -> np.ndarray:
    """Levels of equal factors, or of equal steps where the loss is not positive."""
    low, high = np.nanmin(loss), np.nanmax(loss)
    largest = max(abs(low), abs(high))
    if high - low <= 1e-12 * largest:  # too flat for levels between
        return low + max(largest, 1) * np.linspace(-1, 1, 13)
    if low > 0 and high > 3 * low:
        return np.geomspace(low, high, 13)
    return np.linspace(low, high, 13)


def learning_rate_range(found: Mapping[str, Any], ax: Axes | None = None) -> Axes:
    r"""Draws the loss that each learning rate reached.

    Where a run diverged, a mark at the top says so. The rate of the lowest loss is named.

    Args:
        found: what `diagnostics.learning_rate_range` returned: `"rates"`, `"final"` and
            `"loss"` `[rates, steps]`.
        ax: where to draw; None makes a new figure.

    Returns:
        The Axes, its rates on a logarithmic axis.

    Raises:
        ValueError: if rates and final losses are not one each, or none is finite.

    Example:
        >>> found = {"rates": [0.01, 0.1, 1.0], "final": [2.0, 0.5, np.inf]}
        >>> ax = learning_rate_range(found)
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['lowest at 0.1', 'diverged']
    """
    rates, final = (np.asarray(found[name], float) for name in ("rates", "final"))
    if rates.ndim != 1 or final.shape != rates.shape or not np.isfinite(final).any():
        raise ValueError(
            "learning_rate_range: found must hold one finite final loss or more, one per rate, got "
            f"shapes {rates.shape} and {final.shape}. Pass what "
            "`diagnostics.learning_rate_range` returned, and smaller rates if all diverged."
        )
    ax = quiet(new_axes() if ax is None else ax)
    order = np.argsort(rates)
    rates, final = rates[order], final[order]
    fine = np.isfinite(final)
    # A run that is about to diverge has a loss that would flatten all others.
    low = final[fine].min()
    start = np.asarray(found["loss"], float)[:, 0] if "loss" in found else final[fine][:1]
    usual = np.median(start[np.isfinite(start)]) if np.isfinite(start).any() else low
    top = max(1.6 * usual - 0.6 * low, 1.05 * low) if usual > low else final[fine].max()
    inside = fine & (final <= top)
    shown = np.where(inside, final, np.nan)
    ax.plot(rates, shown, "-", color=COLORS[0], linewidth=1.8, marker=".", markersize=6)
    best = np.nanargmin(np.where(fine, final, np.nan))
    ax.plot(
        rates[best], final[best], "o", color=COLORS[1], markersize=8, markerfacecolor="none",
        markeredgewidth=2, label=f"lowest at {rates[best]:.2g}",
    )  # fmt: skip
    if (~inside).any():
        ax.plot(
            rates[~inside], np.full((~inside).sum(), 0.97), "x", color=COLORS[1], markersize=6,
            transform=ax.get_xaxis_transform(), label="diverged",
        )  # fmt: skip
    ax.set_xscale("log")
    ax.tick_params(which="minor", bottom=False)
    ax.margins(y=0.12)
    ax.set_xlabel("learning rate")
    ax.set_ylabel("loss after the steps")
    legend_above(ax)
    return ax
