"""Normalization that neither overflows, underflows nor cancels.

The textbook formulas do: in float32 the square of 1e20 is infinite, the square of 1e-30 is
zero, and mean(x^2) - mean(x)^2 of 10000, 10001, 10002, 10003 is noise. Here the input is first
scaled by a power of two and shifted by one of its entries. Both are exact, both leave the
result as it is, and so both are constants to differentiation.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax


def normalize(x, axes, epsilon):
    """(x - mean) / sqrt(variance + epsilon), with mean and variance over `axes`, and `divide`.

    Mean and variance keep the reduced axes with size 1, and are constants to differentiation.
    `divide(h)` is h over that root, which the gradient needs: in two steps, because the factor
    itself may be too small for a float.
    """
    if x.size == 0:
        nothing = x.sum(axes, keepdims=True)
        return x, nothing, nothing, lambda h: h
    normalized, half, rest, mean, variance = _normalized(x, jnp.asarray(epsilon, x.dtype), axes)
    return normalized, mean, variance, lambda h: h * rest * half


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _normalized(x, epsilon, axes):
    """`x` normalized, two factors of the inverse root, and mean and variance.

    The first factor is about the root of both, so that neither order of multiplication leaves
    the numbers early.
    """
    two = _power_of_two(x, axes, epsilon)
    first = x
    for axis in axes:
        first = lax.slice_in_dim(first, 0, 1, axis=axis)
    shifted = x * two - first * two
    # The mean in two passes: what rounding leaves of it after the first, the second finds.
    guess = shifted.mean(axes, keepdims=True)
    shifted = shifted - guess
    rest = shifted.mean(axes, keepdims=True)
    centred = shifted - rest
    variance = (centred * centred).mean(axes, keepdims=True)
    factor = inverse_root(variance, epsilon * two * two)
    mean = (first * two + (guess + rest)) / two
    half = jnp.ldexp(jnp.ones_like(two), jnp.frexp(two)[1] // 2)
    return centred * factor, half, factor * (two / half), mean, variance / two / two


# Installed because autodiff takes the slope of the root, a cubed factor, times sums of the
# cotangent: with an offset far beyond the spread and a large cotangent it overflows.
@_normalized.defjvp
def _normalized_jvp(axes, primals, tangents):
    out = normalized, half, rest, mean, variance = _normalized(*primals, axes)
    t, in_epsilon = tangents
    t = t * half * rest  # first, so that backward, where cotangents may be small, it is last
    t = t - t.mean(axes, keepdims=True)
    along = (t * normalized).mean(axes, keepdims=True)
    # From the right, so that the usual tangent of epsilon, 0, stays 0.
    shrink = 0.5 * (half * (rest * (half * (rest * in_epsilon))))
    in_normalized = t - normalized * (along + shrink)
    in_rest = -rest * (along + shrink)
    in_half, in_mean, in_variance = map(jnp.zeros_like, (half, mean, variance))
    return out, (in_normalized, in_half, in_rest, in_mean, in_variance)


def normalize_vjp(h, normalized, divide, axes):
    """Cotangent of `x`, given the cotangent `h` of the normalized `x`."""
    centred = h - h.mean(axes, keepdims=True)
    return divide(centred - normalized * (centred * normalized).mean(axes, keepdims=True))


def by_root_mean_square(x, axes, epsilon):
    """x / sqrt(mean(x^2) + epsilon), and `divide(h)`, which is h over that root."""
    if x.size == 0:
        return x, lambda h: h
    two = _power_of_two(x, axes, epsilon)
    scaled = x * two
    factor = inverse_root((scaled * scaled).mean(axes, keepdims=True), epsilon * two * two)
    return scaled * factor, lambda h: h * factor * two


def by_root_mean_square_vjp(h, normalized, divide, axes):
    """Cotangent of `x`, given the cotangent `h` of the normalized `x`."""
    return divide(h - normalized * (h * normalized).mean(axes, keepdims=True))


def inverse_root(variance, epsilon):
    """1 / sqrt(variance + epsilon); 0 where both are 0, so that equal entries give 0."""
    total = variance + epsilon
    return jnp.where(total == 0, 0, 1 / jnp.sqrt(jnp.where(total == 0, 1, total)))


def _power_of_two(x, axes, epsilon):
    """The power of two that brings the largest of |x| and sqrt(epsilon) to within [2, 4).

    It is a normal number for every x, and squares of what it has scaled neither overflow nor
    vanish beside epsilon.
    """
    floor = jnp.maximum(jnp.sqrt(jnp.asarray(epsilon, x.dtype)), jnp.finfo(x.dtype).tiny)
    largest = jnp.abs(lax.stop_gradient(x)).max(axes, keepdims=True)
    _, exponent = jnp.frexp(jnp.maximum(largest, floor))
    return jnp.ldexp(jnp.ones_like(largest), 2 - exponent)
