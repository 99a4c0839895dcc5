"""Means, norms and variances of numbers whose sums or squares leave the range of their type.

In float32 the square of 1e20 is infinite and that of 1e-30 is zero, the sum of two losses of
2e38 is infinite though their mean is not, and numbers around 1e6 have a rounded mean that is off
by a part of their deviation. Numbers over a power of two near the largest of them, less one of
them, have none of this, and both steps are exact.
"""

import jax
import jax.numpy as jnp


def unit(*arrays, axis=None):
    """A power of two near the largest size in the arrays, over all axes or those named.

    Axes that are named stay, with size 1. It is a constant to differentiation.
    """
    sizes = [jnp.abs(a).max(axis, keepdims=axis is not None, initial=0) for a in arrays]
    largest = jax.lax.stop_gradient(jnp.stack(sizes).max(0))
    _, exponent = jnp.frexp(largest)
    # Not the largest power, by whose inverse, a subnormal number, XLA would multiply.
    most = jnp.finfo(largest.dtype).maxexp - 2
    return jnp.ldexp(jnp.ones_like(largest), jnp.clip(exponent - 2, -most, most))


def mean(x, axis=None):
    """The mean; of parts where the sum, but not the mean, leaves the range."""
    x = jnp.asarray(x)
    count = x.size if axis is None else x.shape[axis]
    if not count:
        return x.mean(axis)
    dtype = jnp.result_type(x) if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.result_type(float)
    wide = jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype
    total, parts = x.astype(wide).sum(axis), (x.astype(wide) / count).sum(axis)
    return jnp.where(jnp.isfinite(total), total / count, parts).astype(dtype)


def norm(arrays):
    """The Euclidean norm over several arrays."""
    one = unit(*arrays)
    return one * jnp.sqrt(sum(jnp.square(a / one).sum() for a in arrays))


def lengths(x, axis):
    """Euclidean norms along the axes, which stay with size 1."""
    one = unit(x, axis=axis)
    return one * jnp.sqrt(jnp.square(x / one).sum(axis, keepdims=True))


def variance(x):
    """The variance, of all entries."""
    x = x.reshape(-1)
    one = unit(x)
    _, centred = _centred(x / one)
    return jnp.square(centred).mean() * one * one


def principal(x):
    """The principal axes of points `[examples, features]`, over a unit.

    Returns the unit; and in it the mean, the points less their mean, and their singular values;
    and unit vectors along these, of which the largest entry is positive.
    """
    one = unit(x)
    mean, centred = _centred(x / one)
    _, spread, directions = jnp.linalg.svd(centred, full_matrices=False)
    # A direction has no sign of its own: without a rule, one run would mirror another.
    largest = jnp.take_along_axis(directions, jnp.abs(directions).argmax(-1, keepdims=True), -1)
    directions = directions * jnp.where(largest < 0, -1, 1).astype(x.dtype)
    return one, mean, centred, spread, directions


def _centred(x):
    """The mean over the first axis, and what is left: shifted first, and the mean in two passes."""
    shifted = x - x[:1]
    guess = shifted.mean(0)
    rest = (shifted - guess).mean(0)
    return x[0] + (guess + rest), shifted - guess - rest
