r"""Pooling: what is left of a window is its largest entry, or its mean.

Windows are those of convolution (see `_windows.py`), moved by their own size unless `strides`
says otherwise, and each feature is pooled by itself. The gradient of a maximum goes to the
entry that won; that of a mean is shared by all entries of the window.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks, _exact
from jaxnn.layers._windows import overlay, patches, sizes_of, windows

__all__ = [
    "average_pool", "average_pool_vjp",
    "global_average_pool", "global_average_pool_vjp",
    "max_pool", "max_pool_vjp",
]  # fmt: skip

Padding = str | Sequence[tuple[int, int]]


def max_pool(
    x: Array,
    window: Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Array:
    r"""Largest entry of each window, \( y_p = \max_t x_{s p + t - pad} \).

    Of several entries that are largest the first has the gradient, as in PyTorch and XLA.
    Padding is never the largest.

    Args:
        x: inputs, `[..., *spatial, features]`, with one spatial axis per entry of `window`.
        window: its size along each spatial axis.
        strides: steps between windows, by default `window` (as in Keras; Flax steps by 1).
        padding: as in `conv`.

    Returns:
        `[..., *windows, features]`.

    Raises:
        ValueError: if shapes and options don't fit together.
        TypeError: if `x` does not hold floats, or `window` is no sequence of integers.

    Example:
        >>> max_pool(jnp.array([1.0, 4.0, 3.0, 2.0])[:, None], (2,))[:, 0]
        Array([4., 3.], dtype=float32)
    """
    at, rows = _windows("max_pool", x, window, strides, padding)
    with jax.named_scope("max_pool"):
        return _back(_exact.identity(_largest(patches(rows, at, -jnp.inf))), x, at)


def max_pool_vjp(
    g: Array,
    x: Array,
    window: Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Array:
    r"""Pulls the cotangent `g` of the output back through `max_pool`.

    With \( m_{p t} = 1 \) where tap t is the first largest entry of window p, and else 0,
    \( \partial x_q = \sum_{(p, t):\ s p + t - pad = q} m_{p t}\, g_p \): overlapping windows
    that the same entry won add up.
    """
    at, rows = _windows("max_pool_vjp", x, window, strides, padding)
    g = _cotangent("max_pool_vjp", g, x, at)
    seen = patches(rows, at, -jnp.inf)
    g = g * _exact.one(seen.max(-2))
    return overlay(jnp.where(_first_largest(seen), g[..., None, :], 0), at).reshape(x.shape)


def average_pool(
    x: Array,
    window: Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Array:
    r"""Mean of each window, \( y_p = \frac{1}{n_p} \sum_t x_{s p + t - pad} \).

    Padding is not counted: \( n_p \) is how many entries of the window are in the input (as in
    Keras; Flax and PyTorch count the zeros of the padding unless told otherwise).

    Args:
        x: inputs, `[..., *spatial, features]`, with one spatial axis per entry of `window`.
        window: its size along each spatial axis.
        strides: steps between windows, by default `window`.
        padding: as in `conv`.

    Returns:
        `[..., *windows, features]`.

    Raises:
        ValueError: if shapes and options don't fit together.
        TypeError: if `x` does not hold floats, or `window` is no sequence of integers.

    Example:
        >>> average_pool(jnp.array([1.0, 4.0, 3.0])[:, None], (2,), padding="SAME")[:, 0]
        Array([2.5, 3. ], dtype=float32)
    """
    at, rows = _windows("average_pool", x, window, strides, padding)
    with jax.named_scope("average_pool"):
        wide = rows.astype(_checks.wide(x.dtype))
        total, scale = _safe_sum(patches(wide, at), (-2,), at.taps)
        return _back((total * (scale / _counts(wide, at))).astype(x.dtype), x, at)


def average_pool_vjp(
    g: Array,
    x: Array,
    window: Sequence[int],
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Array:
    r"""Pulls the cotangent `g` of the output back through `average_pool`.

    Each entry of a window has an equal share:
    \( \partial x_q = \sum_{(p, t):\ s p + t - pad = q} g_p / n_p \).
    """
    at, rows = _windows("average_pool_vjp", x, window, strides, padding)
    g = _cotangent("average_pool_vjp", g, x, at).astype(_checks.wide(x.dtype))
    share = (g / _counts(rows.astype(g.dtype), at))[..., None, :]
    share = jnp.broadcast_to(share, (*share.shape[:-2], at.taps, share.shape[-1]))
    return overlay(share, at).reshape(x.shape).astype(x.dtype)


def global_average_pool(x: Array, spatial: int = 2) -> Array:
    r"""Mean over all positions, \( y = \frac{1}{n} \sum_p x_p \), which ends the spatial axes.

    Args:
        x: inputs, `[..., *spatial, features]`.
        spatial: how many spatial axes there are.

    Returns:
        `[..., features]`; zeros where there are no positions.

    Raises:
        ValueError: if `x` has too few axes.
        TypeError: if `x` does not hold floats.

    Example:
        >>> global_average_pool(jnp.arange(8.0).reshape(1, 2, 2, 2))
        Array([[3., 4.]], dtype=float32)

    Reference:
        Lin, Chen and Yan, "Network in network", ICLR 2014.
    """
    axes = _spatial("global_average_pool", x, spatial)
    with jax.named_scope("global_average_pool"):
        positions = math.prod(x.shape[axis] for axis in axes)
        total, scale = _safe_sum(x.astype(_checks.wide(x.dtype)), axes, positions)
        return (total * (scale / max(positions, 1))).astype(x.dtype)


def global_average_pool_vjp(g: Array, x: Array, spatial: int = 2) -> Array:
    r"""Pulls the cotangent `g` of the output back through `global_average_pool`.

    All n positions share alike: \( \partial x_p = g / n \).
    """
    axes = _spatial("global_average_pool_vjp", x, spatial)
    leading = x.shape[: -spatial - 1]
    _checks.cotangent("global_average_pool_vjp", g, (*leading, x.shape[-1]))
    positions = math.prod(x.shape[axis] for axis in axes)
    return jnp.broadcast_to(jnp.expand_dims(g / max(positions, 1), axes), x.shape)


def _windows(function, x, window, strides, padding):
    _checks.floating(function, x=x)
    window = sizes_of(function, "window", window)
    strides = window if strides is None else strides
    at = windows(function, x.shape, window, strides, padding)
    return at, x.reshape(-1, *x.shape[-len(window) - 1 :])


def _back(y, x, at):
    return y.reshape(*x.shape[: -len(at.window) - 1], *y.shape[1:])


def _cotangent(function, g, x, at):
    leading = x.shape[: -len(at.window) - 1]
    _checks.cotangent(function, g, (*leading, *at.outputs, x.shape[-1]))
    return g.reshape(-1, *at.outputs, x.shape[-1])


def _spatial(function, x, spatial):
    _checks.floating(function, x=x)
    _checks.sizes(function, spatial=spatial)
    if jnp.ndim(x) < spatial + 1:
        raise ValueError(
            f"{function}: x must have shape [..., {spatial} spatial axes, features], got "
            f"{jnp.shape(x)}. Say how many spatial axes there are: spatial=1."
        )
    return tuple(range(-spatial - 1, -1))


def _safe_sum(x, axes, count):
    """The sum over `axes` as `(total, scale)`: the mean is a number also where the sum is none."""
    scale = 2.0 ** math.ceil(math.log2(max(count, 1)))
    return (x / scale).sum(axes), scale


def _counts(x, at):
    """How many entries of each window are in the input."""
    return patches(jnp.ones((1, *at.inputs, 1), x.dtype), at).sum(-2)


def _first_largest(seen):
    winner = jnp.argmax(seen, axis=-2, keepdims=True)
    taps = jax.lax.broadcasted_iota(winner.dtype, seen.shape, seen.ndim - 2)
    return taps == winner


@jax.custom_jvp
def _largest(seen):
    return seen.max(-2)


# Installed for the tie, which autodiff would share equally, and because it is a product with a
# mask in both directions, where XLA's select-and-scatter is slow on CPU.
@_largest.defjvp
def _largest_jvp(primals, tangents):
    (seen,), (tangent,) = primals, tangents
    return _largest(seen), jnp.where(_first_largest(seen), tangent, 0).sum(-2)
