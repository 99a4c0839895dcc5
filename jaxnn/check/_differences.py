"""Derivatives by differences in float64, each with an estimate of its own error."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

LEVELS = 26  # how many steps there are, each half the one before


class Difference(NamedTuple):
    """What differences know of a derivative; arrays shaped like the points.

    Attributes:
        slope: the derivative; NaN where f has no value around the point.
        error: how far off it may be, estimated; infinite there.
        steepest: the larger of the slopes to both sides. Beside it the error tells a derivative
            that is 0, such as in a minimum, from one that drowns in rounding.
        flat: whether f did not move at all.
        doubt: how far off wider steps are, where they contradict: beside a kink, or where f is
            itself a difference that has lost its digits.
    """

    slope: np.ndarray
    error: np.ndarray
    steepest: np.ndarray
    flat: np.ndarray
    doubt: np.ndarray

    def known(self) -> np.ndarray:
        """Where f moves by more than its rounding, tenfold."""
        return 10 * self.error < self.steepest


def difference(f: Callable, x: np.ndarray) -> Difference:
    """f'(x) of an elementwise f in float64, at the step whose error is least.

    Steps are halved down two ladders: one from |x|, as f may change on the scale of x and end
    at 0, and one from 1, as near 0 and far from it f mostly does not. The ladder of the smaller
    steps is right where they contradict.
    """
    units = np.stack([np.minimum(scale(x), 1), np.maximum(scale(x), 1)])
    step = units[:, None] * np.exp2(-1.0 - np.arange(LEVELS)).reshape(-1, *[1] * x.ndim)
    values = _values(f, [x, *np.concatenate([*(x + step), *(x - step)])])
    eps, values = float(jnp.finfo(values.dtype).eps), values.astype(np.float64)
    here, (above, below) = values[0], values[1:].reshape(2, *step.shape)
    with np.errstate(all="ignore"):
        near, wide = (_best(x, here, eps, *one) for one in zip(step, above, below, strict=True))
        gap = np.abs(near.slope - wide.slope)
        apart = gap > near.error + wide.error
    better = (wide.error < near.error) & ~apart
    chosen = Difference(*(np.where(better, w, n) for n, w in zip(near, wide, strict=True)))
    contradicted = (apart & wide.known()) | (near.flat & (here == 0))
    return chosen._replace(flat=near.flat & np.isfinite(here), doubt=np.where(contradicted, gap, 0))


def _values(f, rows):
    return np.stack([np.asarray(f(jnp.asarray(row))) for row in rows])


def scale(x: np.ndarray) -> np.ndarray:
    """The power of 2 that |x| begins with; 1 for 0."""
    return np.exp2(np.floor(np.log2(np.abs(np.where(x == 0, 1, x)))))


def _best(x, here, eps, step, above, below):
    """The five-point formula at the best of the steps, which stand in the first axis."""
    central = (above - below) / ((x + step) - (x - step))
    slope = (4 * central[1:] - central[:-1]) / 3
    still = (above == here) & (below == here)
    still, up, down, step = still[1:] & still[:-1], above[1:] - here, below[1:] - here, step[1:]
    # f may reach what is tiny by way of numbers near 1, whose rounding hides that it moves.
    size = np.abs(here) + np.abs(up) + np.abs(down)
    rounding = eps * np.where(still, np.maximum(size, 1), size) / step
    error = _spread(slope, step) + rounding + _kink(np.abs(up + down) / step, rounding)
    error = np.where(np.isnan(error), np.inf, error)
    best = np.argmin(error, 0)[None]
    steepest = np.maximum(np.abs(up), np.abs(down)) / step
    found = slope, error, steepest, still, np.zeros_like(error)
    return Difference(*(np.take_along_axis(one, best, 0)[0] for one in found))


def _spread(slope, step):
    """How much finer steps change each slope; infinite for the last, which have none."""
    change = np.abs(slope[1:] - slope[:-1])
    # The next two show what error is left. All show the rounding of f, if it is more than eps of
    # its value: what it changes at one step, it changes half as much at the double.
    rounding = np.fmax.accumulate((change * step[1:])[::-1])[::-1]
    spread = np.full_like(slope, np.inf)
    spread[:-2] = np.maximum(np.abs(slope[2:] - slope[:-2]), 2 * (rounding / step[:-1])[:-1])
    return spread


def _kink(bend, rounding):
    """The jump of the slope at a kink; 0 where f is smooth, since there half the step halves it."""
    jump = np.zeros_like(bend)
    jump[:-1] = np.where((bend[1:] > 0.75 * bend[:-1]) & (bend > 10 * rounding)[1:], bend[:-1], 0)
    return jump


def mixed(f: Callable, x: np.ndarray) -> bool:
    """Whether f is not elementwise: an entry of f(x) moves with another entry of x."""
    index = np.arange(x.size).reshape(x.shape)
    # Any two entries differ in a bit of their index, so that one moves while the other stays.
    bits = [index >> bit & 1 == 1 for bit in range((x.size - 1).bit_length())]
    moving = np.stack([np.zeros_like(index, bool), *bits, *(~bit for bit in bits)])
    values = _values(f, np.where(moving, x + scale(x) / 4, x))
    same = (values == values[0]) | (np.isnan(values) & np.isnan(values[0]))
    return not bool((same | moving).all())
