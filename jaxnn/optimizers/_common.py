"""What the optimizers share: checked hyperparameters, slots, and the learning rate."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxnn import _checks


def non_negative(function: str, **numbers) -> None:
    """Raises ValueError unless all the named numbers are at least 0; traced ones pass."""
    _checks.values(function, lambda n: n >= 0, "be at least 0", "Change its sign.", **numbers)


def valid_decay(function: str, **rates) -> None:
    """Raises ValueError unless all the named decays are within [0, 1); traced ones pass."""
    inside = lambda rate: (rate >= 0) & (rate < 1)
    _checks.values(function, inside, "be within [0, 1)", "Pass a decay such as 0.9.", **rates)


def by_rate(function: str, rate) -> optax.GradientTransformation:
    """Multiplies updates by minus the learning rate: a number, a traced value or a schedule."""
    if callable(rate):
        return optax.scale_by_schedule(lambda count: -jnp.asarray(rate(count)))
    non_negative(function, rate=rate)
    return optax.stateless(
        lambda updates, _: jax.tree.map(lambda u: -jnp.asarray(rate, u.dtype) * u, updates)
    )


def wide_zeros(params):
    """Zeros shaped like `params`, in float32 at least: slots outlive many roundings."""
    return jax.tree.map(lambda p: jnp.zeros(jnp.shape(p), _checks.wide(p.dtype)), params)


def per_leaf(function: str, rule: Callable, gradients, *slots):
    """Applies `rule(g, *slots) -> (update, *slots)` to every leaf, in the dtype of the slots.

    Returns:
        The updates, in the dtype of the gradients, and the new slots.
    """
    same_tree(function, gradients, slots[0])
    leaves, tree = jax.tree.flatten(gradients)
    rows = zip(leaves, *map(jax.tree.leaves, slots), strict=True)
    results = [rule(g.astype(slot.dtype), slot, *rest) for g, slot, *rest in rows]
    columns = zip(*results, strict=True) if results else [()] * (len(slots) + 1)
    updates, *new = (list(column) for column in columns)
    updates = [u.astype(g.dtype) for u, g in zip(updates, leaves, strict=True)]
    return tuple(jax.tree.unflatten(tree, column) for column in (updates, *new))


def same_tree(function: str, gradients, params) -> None:
    """Raises ValueError unless gradients and parameters (or slots) agree in tree and shapes."""
    found, expected = (jax.tree.map(jnp.shape, tree) for tree in (gradients, params))
    if found != expected:
        raise ValueError(
            f"{function}: gradients must have the tree and shapes the optimizer was initialized "
            f"with, got {found} for {expected}. Call init with the parameters being trained."
        )
