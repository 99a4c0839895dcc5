"""What training asks of data and of loss functions, and says where it is not so."""

import jax
import jax.numpy as jnp

from jaxnn import _checks


def examples_of(function, data, batch_size):
    """How many examples the data hold; at least `batch_size`, and at least one."""
    sizes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(data)}
    if len(sizes) != 1 or () in sizes:
        found = sorted(jnp.shape(leaf) for leaf in jax.tree.leaves(data))
        raise ValueError(
            f"{function}: all arrays of the data must have one leading axis in common, the "
            f"examples, got shapes {found}. Pass a tuple such as (inputs, targets)."
        )
    ((examples,),) = sizes
    if examples < max(batch_size, 1):
        raise ValueError(
            f"{function}: there must be at least one batch of {batch_size} examples, got "
            f"{examples} examples. Pass more data or a smaller batch_size."
        )
    return examples


def divides(function, sharding, batch_size):
    """Raises ValueError unless all devices of the sharding get as many examples of a batch."""
    try:
        sharding.shard_shape((batch_size,))
    except ValueError:
        raise ValueError(
            f"{function}: batch_sharding must split the examples of a batch evenly, got a batch of "
            f"{batch_size} on {sharding.num_devices} devices. Pass a multiple of them as "
            "batch_size, and a sharding of the leading axis alone."
        ) from None


def finite(function, name, data):
    """Raises ValueError if a concrete array of the data holds a NaN or an infinity."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(data):
        if _checks.concrete(leaf) and jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            with jax.ensure_compile_time_eval():  # a constant under `jit` can be looked at too
                wrong = ~jnp.isfinite(jnp.asarray(leaf))
                rows = jnp.flatnonzero(wrong.reshape(wrong.shape[0], -1).any(1))
            if len(rows):
                raise ValueError(
                    f"{function}: {name}{jax.tree_util.keystr(path)} must be finite, got NaN or "
                    f"infinity in {len(rows)} examples, the first of them number {int(rows[0])}. "
                    "Drop or impute them."
                )


def measured(found, has_state):
    """What a loss function returned, if it is what `gradient_step` asks for."""
    aux = found[1] if isinstance(found, tuple) and len(found) == 2 else None
    if has_state:
        aux = aux[0] if isinstance(aux, tuple) and len(aux) == 2 else None
    if not isinstance(aux, dict) or jnp.shape(found[0]) != ():
        pair = "(loss, (metrics, statistics))" if has_state else "(loss, metrics)"
        shapes = jax.tree.map(jnp.shape, found)
        raise TypeError(
            f"gradient_step: loss_fn must return {pair}, the loss a scalar and the metrics a "
            f"dict, got shapes {shapes}. Average the loss, and return {{}} for no metrics."
        )
    return found
