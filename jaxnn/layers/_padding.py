"""Sequences of several lengths in one array."""

import jax.numpy as jnp

from jaxnn import _checks


def step_mask(function: str, leading, time: int, lengths):
    """Which steps count, `[*leading, time]`, or None where all do."""
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
    return jnp.arange(time, dtype=lengths.dtype) < lengths
