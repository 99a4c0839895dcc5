"""Clipping of gradients: by value, by the norm of each tensor, by the norm of them all.

Norms are computed on gradients divided by a power of two, which is exact: the square of 1e20 is
infinite in float32, and a gradient divided by an infinite norm would be clipped to zero.
"""

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from jaxnn import _checks
from jaxnn.optimizers._common import narrowed, widened

__all__ = [
    "clip_by_global_norm", "clip_by_global_norm_update", "clip_by_norm",
    "clip_by_norm_update", "clip_by_value", "clip_by_value_update",
]  # fmt: skip


def clip_by_value(limit) -> optax.GradientTransformation:
    r"""Clips every entry of a gradient to \( [-c, c] \).

    The direction changes: large entries shrink, small ones do not.

    Args:
        limit: the largest magnitude c that passes.

    Returns:
        The transformation.

    Raises:
        ValueError: if `limit` is not one positive number; a traced one below 0 gives NaN.
        TypeError: while updating, if a gradient does not hold floats.

    Example:
        >>> updates, _ = clip_by_value(1.0).update(jnp.array([3.0, -0.5]), optax.EmptyState())
        >>> updates
        Array([ 1. , -0.5], dtype=float32)
    """
    limit = _positive("clip_by_value", limit=limit)
    return _clipping("clip_by_value", lambda gs: [clip_by_value_update(g, limit) for g in gs])


def clip_by_value_update(g: Array, limit) -> Array:
    r"""The rule of `clip_by_value`: \( \max(-c, \min(g, c)) \)."""
    limit = jnp.asarray(limit, g.dtype)
    return jnp.clip(g, -limit, limit)


def clip_by_norm(max_norm) -> optax.GradientTransformation:
    r"""Scales each tensor of a gradient down to a norm of at most c, on its own.

    .. math:: g \leftarrow g \min(1, c / \lVert g \rVert)

    Keras calls this `clipnorm`. The direction of each tensor is kept, not that of the whole.

    Args:
        max_norm: the largest norm c that passes.

    Returns:
        The transformation.

    Raises:
        ValueError: if `max_norm` is not one positive number; a traced one below 0 gives NaN.
        TypeError: while updating, if a gradient does not hold floats.

    Example:
        >>> updates, _ = clip_by_norm(1.0).update(jnp.array([1e20, 1e20]), optax.EmptyState())
        >>> updates.round(4)
        Array([0.7071, 0.7071], dtype=float32)
    """
    limit = _positive("clip_by_norm", max_norm=max_norm)
    return _clipping("clip_by_norm", lambda gs: [_scaled_down([g], limit)[0] for g in gs])


def clip_by_norm_update(g: Array, max_norm) -> Array:
    r"""The rule of `clip_by_norm`: \( g \min(1, c / \lVert g \rVert) \)."""
    # The root of at least 1, and not of 0, where it has no slope.
    return g / jnp.sqrt(jnp.maximum(((g / max_norm) ** 2).sum(), 1))


def clip_by_global_norm(max_norm) -> optax.GradientTransformation:
    r"""Scales a whole gradient down to a norm of at most c, over all its tensors.

    .. math:: g_i \leftarrow g_i \min(1, c / n), \qquad n^2 = \sum_i \lVert g_i \rVert^2

    The direction of the step is kept.

    Args:
        max_norm: the largest global norm c that passes.

    Returns:
        The transformation.

    Raises:
        ValueError: if `max_norm` is not one positive number; a traced one below 0 gives NaN.
        TypeError: while updating, if a gradient does not hold floats.

    Example:
        >>> g = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
        >>> updates, _ = clip_by_global_norm(1.0).update(g, optax.EmptyState())
        >>> round(float(updates["a"][0]), 4), round(float(updates["b"][0]), 4)
        (0.6, 0.8)

    Reference:
        Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks",
        ICML 2013.
    """
    limit = _positive("clip_by_global_norm", max_norm=max_norm)
    return _clipping("clip_by_global_norm", lambda gs: _scaled_down(gs, limit))


def clip_by_global_norm_update(gradients: list[Array], max_norm) -> list[Array]:
    r"""The rule of `clip_by_global_norm` on a list: \( g_i \min(1, c / n) \)."""
    longer = jnp.sqrt(jnp.maximum(sum(((g / max_norm) ** 2).sum() for g in gradients), 1))
    return [g / longer for g in gradients]


def _positive(function, **numbers):
    """The one named bound, which must be one number above 0: see `_checks.number`."""
    ((name, number),) = numbers.items()
    if jnp.ndim(number):
        raise ValueError(
            f"{function}: {name} must be one number, got shape {jnp.shape(number)}. "
            "Pass a bound such as 1.0; to clip parts differently, use optax.partition."
        )
    return _checks.number(
        function, lambda n: n > 0, "be positive", "Pass a bound such as 1.0.", **numbers
    )


def _clipping(function, clip):
    """The transformation of a list of gradients, in float32 at least and rounded once."""

    def update(updates, _):
        leaves, tree = jax.tree.flatten(widened(function, updates))
        return narrowed(jax.tree.unflatten(tree, clip(leaves)), updates)

    return optax.stateless(update)


def _scaled_down(tensors, max_norm):
    """The tensors with their common norm reduced to `max_norm` where it is larger."""
    if not tensors:
        return tensors
    # As wide as the widest of them.
    kind = max((g.dtype for g in tensors), key=lambda dtype: dtype.itemsize)
    largest = jnp.array([jnp.abs(g).max(initial=0).astype(kind) for g in tensors]).max()
    # Next to the largest entry, so that no square overflows and the largest does not vanish.
    _, exponent = jnp.frexp(lax.stop_gradient(jnp.where(jnp.isfinite(largest), largest, 1)))
    info, one = jnp.finfo(kind), jnp.ones_like(largest)
    exponent = jnp.clip(exponent - 1, info.minexp, info.maxexp - 2)
    two = jnp.ldexp(one, exponent)
    squared = jnp.array([_squares(g.astype(kind) / two) for g in tensors]).sum()
    # A zero gradient has no direction: it stays zero, and so does what differentiates it.
    norm = jnp.sqrt(jnp.where(squared == 0, 1, squared))
    bound = jnp.asarray(max_norm, kind)
    share = bound / norm
    # g share / two, in an order in which no entry vanishes before the end.
    _, power = jnp.frexp(lax.stop_gradient(share))
    both = jnp.minimum(power - exponent, 0)
    factors = (
        share * jnp.ldexp(one, -power),
        jnp.ldexp(one, both // 2),
        jnp.ldexp(one, -(-both // 2)),
    )
    # NaN compares false with everything, and must not pass for a small gradient.
    small = (norm <= bound / two) | ((squared == 0) & (bound > 0))
    return [jnp.where(small, g, _product(g, factors)) for g in tensors]


def _squares(g):
    return (g * g).sum()


def _product(g, factors):
    for factor in factors:
        g = g * factor.astype(g.dtype)
    return g
