"""Sequences of several lengths in one array."""

import jax
import jax.numpy as jnp

from jaxnn import _checks


def step_mask(function: str, leading, time: int, lengths):
    """Which steps count, `[*leading, time]`, or None where all do.

    Of an impossible length all do, so that what `possible` marks is lost as a whole.
    """
    if lengths is None:
        return None
    _checks.integer(function, lengths=lengths)
    if jnp.shape(lengths) != tuple(leading):
        raise ValueError(
            f"{function}: lengths must hold one length per sequence, shape {tuple(leading)}, got "
            f"{jnp.shape(lengths)}. Pass how many steps of each sequence count."
        )
    inside = lambda n: (n >= 0) & (n <= time)
    do = "Pad the sequences further, or cut the lengths."
    _checks.values(function, inside, f"be within [0, {time}]", do, lengths=lengths)
    lengths = jnp.asarray(lengths)[..., None]
    return (jnp.arange(time, dtype=lengths.dtype) < lengths) | (lengths < 0)


def possible(tree, time: int, lengths):
    """Arrays with one row per sequence, NaN (and so their gradients) where its length can't be.

    Only traced lengths need it; `step_mask` has looked at concrete ones.
    """
    if lengths is None or _checks.concrete(lengths):
        return tree
    right = (lengths >= 0) & (lengths <= time)

    def marked(rows):
        if not jnp.issubdtype(rows.dtype, jnp.inexact):
            return rows
        each = jnp.expand_dims(right, tuple(range(right.ndim, rows.ndim)))
        # A product and no select, whose gradient would be 0 where the length is wrong.
        return rows * jnp.where(each, 1, jnp.nan).astype(rows.dtype)

    return jax.tree.map(marked, tree)
