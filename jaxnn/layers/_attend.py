r"""Attention itself: weights from logits that may leave the range, and the mean they take.

Queries of 1e30 and keys of 1e30 are floats, but not their product; that of the largest is 1e76.
The softmax of such logits is a number all the same. So each query is divided by a power of two
that keeps its logits within, which is exact, and their distance from the largest is multiplied by
it again where the exponential is taken: what then overflows has weight 0. The power is 1 for usual
inputs. It is always there, because to branch costs more: of a branch, `vmap` runs both sides.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn import _checks, _rounding


# Jitted, so that outside of `jit` it is one program too.
@jax.jit
def attend(q: Array, k: Array, v: Array, seen: Array | None) -> Array:
    """Means of the values, `[..., queries, groups, heads, features]`."""
    return _attend(*cleared(wide(q), wide(k), wide(v), seen), seen)


def cleared(q, k, v, seen):
    """Zeros for queries that may see nothing, and for keys and values that no query may see.

    What stands there may be NaN, and 0 times it too. For cotangents it is the transpose of itself.
    """
    if seen is None or seen.ndim == 2:  # causality alone leaves no key unseen
        return q, k, v
    sees, is_seen = seen.any(-1), seen.any((-3, -2))
    sees, is_seen = jnp.moveaxis(sees, -1, -3), jnp.swapaxes(is_seen, -1, -2)
    return kept(sees, q), kept(is_seen, k), kept(is_seen, v)


def kept(where, a):
    """a, with zeros in the vectors that are not there."""
    return jnp.where(where[..., None], a, 0)


@jax.custom_jvp
def _attend(q, k, v, seen):
    return _mixed(_weights(q, k, seen), v)


# Installed because it is exact for nearly one-hot rows, zero where all is masked, and finite where
# logits, or sums over the features of huge values, leave the range.
@_attend.defjvp
def _attend_jvp(primals, tangents):
    q, k, v, seen = primals
    in_q, in_k, in_v, _ = tangents
    P, (lift, low) = _weights(q, k, seen), within_range(v)
    t = _products(in_q, k) + _products(q, in_k)
    if seen is not None:
        t = jnp.where(seen, t, 0)
    moved = softmax_pull(t * (lift * q.shape[-1] ** -0.5), P)
    return _mixed(P, v), _mixed(moved, low) + _mixed(P, in_v)


def softmax_pull(g: Array, P: Array) -> Array:
    """The Jacobian of softmax at the weights P, which is symmetric, times g."""
    return P * _rounding.centred(g, P, -1)


def within_range(v: Array) -> tuple[float, Array]:
    """A power of two, and v divided by it: of such values a cotangent of 1 can sum the features.

    What all keys have in common in that sum is taken out again by the softmax. So the power is
    given back after that.
    """
    lift = 2.0 ** (1 + max(v.shape[-1] - 1, 0).bit_length())
    return lift, v * (1 / lift)


# Jitted for the closed form.
@jax.jit
def weights(q: Array, k: Array, seen: Array | None) -> Array:
    """The softmax of scaled products, `[..., groups, heads, queries, keys]`."""
    return _weights(q, k, seen)


def _weights(q, k, seen):
    down, up = _powers_of_two(q, k)
    scores = _products(q * q.shape[-1] ** -0.5 * down * down, k)
    with jax.named_scope("softmax"):
        if seen is not None:
            scores = jnp.where(seen, scores, -jnp.inf)
        down, up = (jnp.moveaxis(power, -4, -2) for power in (down, up))
        below, error, _ = _rounding.from_largest(scores, -1)
        # The error counts where the powers are 1. Elsewhere what is near the largest has none.
        e = jnp.exp(below * up) * (1 + error * down)
        total = e.sum(-1, keepdims=True)
        return e / jnp.where(total == 0, 1, total)


def _powers_of_two(q, k):
    """The root of what a query is multiplied by, and what gives it back: powers of two.

    Shaped `[..., queries, groups, heads, 1]`; 1 where nothing leaves the range.
    """
    _, in_q = jnp.frexp(_largest(q, -1))
    _, in_k = jnp.frexp(_largest(k, (-3, -1))[..., None])
    width, most = (q.shape[-1] - 1).bit_length(), jnp.finfo(q.dtype).maxexp
    beyond = jnp.maximum(in_q + in_k + width // 2 + 1 - (most - 1), 0)
    root = (beyond + 1) // 2
    # Of the largest floats it may be 2^136, and so no float: there 2^126 tells 0 from 1 as well.
    return _two_to(-root, q), _two_to(jnp.minimum(2 * root, most - 2), q)


def _largest(x, axes):
    return jnp.abs(lax.stop_gradient(x)).max(axes, keepdims=True, initial=0)


def _two_to(exponent, like):
    return jnp.ldexp(jnp.ones(exponent.shape, like.dtype), exponent)


def _products(q, k):
    return jnp.einsum("...qhgd,...khd->...hgqk", q, k)


def _mixed(P, v):
    return jnp.einsum("...hgqk,...khf->...qhgf", P, v)


def wide(a: Array) -> Array:
    return a.astype(_checks.wide(a.dtype))


def check(function, q, k, v):
    _checks.floating(function, q=q, k=k, v=v)
    shapes = {"q": jnp.shape(q), "k": jnp.shape(k), "v": jnp.shape(v)}
    fits = (
        min(map(len, shapes.values())) >= 3
        and k.shape[:-1] == v.shape[:-1]
        and q.shape[:-3] == k.shape[:-3]
        and q.shape[-1] == k.shape[-1]
        and 0 not in (*q.shape[-2:], k.shape[-2])
        and q.shape[-2] % k.shape[-2] == 0
    )
    if not fits:
        raise ValueError(
            f"{function}: q [..., queries, heads, width], k [..., keys, groups, width] and v "
            "[..., keys, groups, features] must fit together, with groups dividing heads, and "
            f"none of heads, groups and width 0, got {shapes}. "
            "Without heads, add an axis of size 1: q[..., None, :]."
        )


def allowed(function, shape, mask, causal) -> Any:
    """Which scores count, as booleans that broadcast to the shape `[..., heads, queries, keys]`.

    They keep axes of size 1, of which nothing has to be computed twice. Those of causality alone
    have two axes, those of a mask three or more; None where all count.
    """
    *_, queries, keys = shape
    seen = None
    if causal:
        seen = jnp.arange(keys) <= jnp.arange(queries)[:, None] + (keys - queries)
    if mask is None:
        return seen
    _checks.array(function, mask=mask)
    if jnp.result_type(mask) != jnp.bool_:
        raise TypeError(
            f"{function}: mask must hold booleans, got {jnp.result_type(mask)}. "
            "Compare: mask != 0; True means that the key may be seen."
        )
    if not _checks.broadcasts(jnp.shape(mask), shape):
        raise ValueError(
            f"{function}: mask must broadcast to [..., heads, queries, keys], {shape}, got "
            f"{jnp.shape(mask)}. Add axes: padding is mask[..., None, None, :]."
        )
    mask = jnp.asarray(mask)
    mask = mask.reshape((1,) * (3 - mask.ndim) + mask.shape)
    return mask if seen is None else mask & seen


def by_group(seen, groups):
    """What is seen, for `[..., groups, heads of a group, queries, keys]`."""
    if seen is None or seen.ndim == 2:
        return seen
    *leading, heads, queries, keys = seen.shape
    split = (1, 1) if heads == 1 else (groups, heads // groups)
    return seen.reshape(*leading, *split, queries, keys)


def grouped(q, k):
    """Heads as `[groups, heads of a group]`."""
    groups = k.shape[-2]
    return q.reshape(*q.shape[:-2], groups, q.shape[-2] // groups, q.shape[-1])


def heads(y, q):
    return y.reshape(*q.shape[:-1], y.shape[-1]).astype(q.dtype)
