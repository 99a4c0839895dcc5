"""Differences, products and sums of which the rounding is known, or does no harm.

XLA keeps what is written here as it is, compiled or not: that is tested in `tests/test_fusion.py`.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def product(a, b, huge=1e6):
    """The product a * b and its rounding error (Dekker 1971); 0 where too tiny or huge for it."""
    p = rounded(a * b)
    (a_high, a_low), (b_high, b_low) = _halves(a, p.dtype), _halves(b, p.dtype)
    error = ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low
    known = (jnp.abs(p) > 1e-20) & (jnp.abs(p) < huge)
    return p, jax.lax.stop_gradient(jnp.where(known, error, 0))


def exact_difference(x: Array, y: Array) -> tuple[Array, Array]:
    """x - y and its rounding error (Dekker 1971), which is 0 at infinity."""
    difference = x - y
    larger_y = jnp.abs(x) < jnp.abs(y)  # what is left of the larger one is exact
    error = jnp.where(larger_y, x - (difference + y), (x - difference) - y)
    finite = jnp.abs(difference) <= jnp.finfo(difference.dtype).max
    return difference, jax.lax.stop_gradient(jnp.where(finite, error, 0))


@jax.custom_jvp
def rounded(p):
    """p, of which no compiler fuses the rounding away: it would turn p + c into one operation.

    Where p is a product, the largest p less the largest p would then not be 0.
    """
    return jnp.minimum(p, jnp.finfo(p.dtype).max)


rounded.defjvps(lambda t, _, p: t)


def _halves(a, dtype):
    """The upper and the lower half of the digits of a, whose products are exact.

    By bits: Veltkamp's splitting by products is open to the same fusion.
    """
    a = jax.lax.stop_gradient(jnp.asarray(a, dtype))
    bits = jnp.finfo(dtype).bits
    kind = jnp.dtype(f"uint{bits}")
    upper = np.asarray(2**bits - 2 ** (jnp.finfo(dtype).nmant // 2 + 1), kind)
    high = jax.lax.bitcast_convert_type(jax.lax.bitcast_convert_type(a, kind) & upper, dtype)
    return high, a - high


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def sums(axis, *arrays):
    """Sums along an axis, which is kept.

    Short rows in one reduction: XLA on CPU would go over them once per sum, up to three times
    slower. Long rows each by itself, because there only simple sums use its vectors.
    """
    if arrays[0].shape[axis] > 12:  # by measurement: from 16 on the latter is faster
        return tuple(array.sum(axis, keepdims=True) for array in arrays)
    add = lambda left, right: tuple(a + b for a, b in zip(left, right, strict=True))
    zeros = tuple(jnp.zeros((), array.dtype) for array in arrays)
    totals = jax.lax.reduce(arrays, zeros, add, (axis % arrays[0].ndim,))
    return tuple(jnp.expand_dims(total, axis) for total in totals)


# Installed because JAX has no reverse mode of such a reduction.
@sums.defjvp
def _sums_jvp(axis, primals, tangents):
    return sums(axis, *primals), tuple(t.sum(axis, keepdims=True) for t in tangents)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def others(powers, top, axis):
    """Of exponentials that are 1 at the top: their sum less 1, with all its digits; and the tops.

    Of several at the top all but one are others: counted, for to choose one takes an argmax,
    which is slow on CPU.
    """
    rest, count = sums(axis, jnp.where(top, 0, powers), top.astype(powers.dtype))
    return rest + jnp.maximum(count - 1, 0), count


# Installed because what is counted has a slope too.
@others.defjvp
def _others_jvp(axis, primals, tangents):
    total, count = others(*primals, axis)
    return (total, count), (tangents[0].sum(axis, keepdims=True), jnp.zeros_like(count))


def from_largest(x, axis):
    """x less its largest entry, the rounding error of that, and the exponential of both.

    The error counts: exp makes of half a unit in the last place of -60 thirty of its own.
    """
    x = rounded(x)  # or the largest is not recognized
    top = x.max(axis, keepdims=True, initial=-jnp.inf)  # of nothing, too
    below, error = exact_difference(x, jnp.where(top == -jnp.inf, 0, top))
    return below, error, jnp.exp(below) * (1 + error)


# The derivative of softmax cancels where a row is nearly one-hot, and 1 - s rounds to 0. So the
# mean <s, t> is subtracted twice: what rounding left of it the first time, the second finds. That
# is exact in forward mode and, transposed, in reverse mode too.


def centred(t, s, axis):
    """t less its mean under the weights s."""
    for _ in range(2):
        t = t - (s * t).sum(axis, keepdims=True)
    return t
