"""Functions of one number beside their derivatives."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes

from jaxnn.plots._style import COLORS, INK, NORMAL, SMALL, new_axes, quiet, settle

__all__ = ["activation"]


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

    ax = quiet(new_axes() if ax is None else ax)
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
    return settle(ax)


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
