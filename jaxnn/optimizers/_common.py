"""What the optimizers share: checked hyperparameters, slots, and the learning rate."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxnn import _checks


def non_negative(function: str, **number):
    """The one named number, which must be at least 0: see `_checks.number`."""
    return _checks.non_negative(function, "Change its sign.", **number)


def valid_decay(function: str, **rate):
    """The one named decay, which must be within [0, 1): see `_checks.number`."""
    inside = lambda rate: (rate >= 0) & (rate < 1)
    do = "Pass a decay such as 0.9."
    return _checks.number(function, inside, "be within [0, 1)", do, **rate)


def optimizer(function: str, *stages, needs_params=False) -> optax.GradientTransformation:
    """The stages in a chain: in float32 at least, rounded once to the dtype of the gradients."""
    inner = optax.chain(*stages)

    def init(params):
        return inner.init(widened(function, params))

    def update(updates, state, params=None):
        if params is not None:
            same_tree(function, updates, params)
            params = widened(function, params)
        elif needs_params:
            raise ValueError(
                f"{function}: the update must be given the parameters, got None. "
                "Call optimizer.update(gradients, state, params)."
            )
        wide, state = inner.update(widened(function, updates), state, params)
        return narrowed(wide, updates), state

    return optax.GradientTransformation(init, update)


def widened(function: str, tree):
    """The leaves as arrays of float32 at least; TypeError where they are no floats."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator="/") or "the array"
        _checks.floating(function, **{name: leaf})
    return jax.tree.map(lambda x: jnp.asarray(x, _checks.wide(jnp.result_type(x))), tree)


def narrowed(updates, gradients):
    """The updates in the dtypes of the gradients."""
    return jax.tree.map(lambda u, g: u.astype(jnp.result_type(g)), updates, gradients)


def by_rate(function: str, rate, gain=1.0) -> optax.GradientTransformation:
    """Multiplies by -gain times the learning rate: a number, a traced value or a schedule."""

    def factor(rate):
        return -jnp.asarray(gain, float) * jnp.asarray(rate, float)

    if callable(rate):
        return optax.scale_by_schedule(lambda count: factor(rate(count)))
    if jnp.ndim(rate):
        raise ValueError(
            f"{function}: rate must be one number or a schedule, got shape {jnp.shape(rate)}. "
            "To try many rates, vmap the function that builds the optimizer."
        )
    rate = non_negative(function, rate=rate)

    def scale(updates, _):
        step = factor(rate)
        return jax.tree.map(lambda u: step.astype(u.dtype) * u, updates)

    return optax.stateless(scale)


def wide_zeros(params):
    """Zeros shaped like `params`, in float32 at least: slots outlive many roundings."""
    return jax.tree.map(lambda p: jnp.zeros(jnp.shape(p), _checks.wide(p.dtype)), params)


def per_leaf(function: str, rule: Callable, gradients, *slots):
    """Applies `rule(g, *slots) -> (update, *slots)` to every leaf.

    Returns:
        The updates and the new slots.
    """
    same_tree(function, gradients, slots[0])
    leaves, tree = jax.tree.flatten(gradients)
    rows = zip(leaves, *map(jax.tree.leaves, slots), strict=True)
    results = [rule(*row) for row in rows]
    columns = zip(*results, strict=True) if results else [()] * (len(slots) + 1)
    return tuple(jax.tree.unflatten(tree, column) for column in columns)


def same_tree(function: str, gradients, params) -> None:
    """Raises ValueError unless gradients and parameters (or slots) agree in tree and shapes."""
    # Leaf by leaf: nodes of other libraries may not define equality.
    shapes = [[jnp.shape(leaf) for leaf in jax.tree.leaves(tree)] for tree in (gradients, params)]
    if shapes[0] != shapes[1] or jax.tree.structure(gradients) != jax.tree.structure(params):
        found, expected = (jax.tree.map(jnp.shape, tree) for tree in (gradients, params))
        raise ValueError(
            f"{function}: gradients must have the tree and shapes the optimizer was initialized "
            f"with, got {found} for {expected}. Call init with the parameters being trained."
        )
