r"""Any recurrent cell along a sequence, forward, backward or both ways, and layers in stacks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn import _checks
from jaxnn.layers._padding import possible, step_mask

__all__ = [
    "bidirectional", "bidirectional_vjp",
    "stacked", "stacked_vjp",
    "unroll", "unroll_vjp",
]  # fmt: skip


def unroll(
    cell: Callable,
    params: Any,
    carry: Any,
    xs: Array,
    lengths: Array | None = None,
    reverse: bool = False,
) -> tuple[Any, Array]:
    r"""Runs any cell along a sequence, \( (c_t, y_t) = cell(params, c_{t-1}, x_t) \).

    Args:
        cell: `cell(params, carry, x) -> (carry, y)`.
        params: its parameters.
        carry: its first carry, a pytree of arrays `[batch, ...]`.
        xs: inputs, `[batch, time, ...]`.
        lengths: how many steps of each sequence count, `[batch]`; what comes after them is
            padding, which leaves the carry as it is and has outputs of zero.
        reverse: whether to run from the last step to the first. Outputs stay beside their
            inputs; with lengths, each sequence starts at its own last step.

    Returns:
        The last carry, and the outputs `[batch, time, ...]`.

    Raises:
        ValueError: if `xs` has fewer than two axes, or lengths don't fit; under `jit`, a
            sequence of impossible length has a carry and outputs of NaN.
        TypeError: if `cell` is not a function or the lengths are not integers.

    Example:
        >>> total = lambda params, carry, x: (carry + x, carry + x)
        >>> xs = jnp.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        >>> carry, ys = unroll(total, None, jnp.zeros(2), xs, lengths=jnp.array([3, 1]))
        >>> carry.tolist(), ys.tolist()
        ([6.0, 4.0], [[1.0, 3.0, 6.0], [4.0, 0.0, 0.0]])
    """
    steps = _steps("unroll", cell, xs, lengths)

    def step(carry, inputs):
        return _masked(cell, params, carry, *inputs)

    with jax.named_scope("unroll"):
        carry, ys = lax.scan(step, carry, steps, reverse=reverse)
        return possible((carry, jnp.moveaxis(ys, 0, 1)), xs.shape[1], lengths)


def unroll_vjp(
    g: tuple[Any, Array],
    cell: Callable,
    params: Any,
    carry: Any,
    xs: Array,
    lengths: Array | None = None,
    reverse: bool = False,
) -> tuple[Any, Any, Array]:
    r"""Backpropagation through time: pulls `g` back through `unroll`, for any cell.

    1. Run forward, and keep the carry that each step started from.
    2. Walk back from the last step with the cotangent \( \bar c_t \) of the carry, which starts
       as that of the last carry. Each step pulls \( (\bar c_t, g_t) \) back through the cell:
       \( (\partial_t params, \bar c_{t-1}, \partial x_t) \).
    3. All steps share their parameters, so the gradients add up:
       \( \partial params = \sum_t \partial_t params \).

    \( \bar c \) is multiplied by the Jacobian of the cell at each step; that is why gradients
    vanish or explode over long sequences.

    Returns:
        The cotangents of `params`, `carry` and `xs`.
    """
    steps = _steps("unroll_vjp", cell, xs, lengths)
    g = possible(g, xs.shape[1], lengths)

    def forward(carry, inputs):
        return _masked(cell, params, carry, *inputs)[0], carry

    def backward(state, inputs):
        in_carry, total = state
        before, g_y, (x, on) = inputs
        step = lambda params, carry, x: _masked(cell, params, carry, x, on)
        _, pull = jax.vjp(step, params, before, x)
        in_params, in_carry, in_x = pull((in_carry, g_y))
        return (in_carry, jax.tree.map(jnp.add, total, in_params)), in_x

    _, before = lax.scan(forward, carry, steps, reverse=reverse)
    start = (g[0], jax.tree.map(jnp.zeros_like, params))
    inputs = (before, jnp.moveaxis(g[1], 1, 0), steps)
    (in_carry, in_params), in_xs = lax.scan(backward, start, inputs, reverse=not reverse)
    return in_params, in_carry, jnp.moveaxis(in_xs, 0, 1)


def bidirectional(
    layer: Callable, params: dict[str, Any], xs: Array, lengths: Array | None = None
) -> Array:
    """A recurrent layer run forward and another run backward, their outputs side by side.

    Args:
        layer: `simple_rnn`, `gru`, `lstm` or any `layer(params, xs, lengths, reverse)`.
        params: `{"forward": ..., "backward": ...}`, parameters of the layer for each way.
        xs: inputs, `[..., time, features]`.
        lengths: how many steps of each sequence count.

    Returns:
        `[..., time, 2 hidden]`: at each step what came before it, and what comes after.

    Raises:
        TypeError: if `layer` is not a function.

    Example:
        >>> from jaxnn.layers import gru, gru_init
        >>> keys = jax.random.split(jax.random.key(0))
        >>> params = {"forward": gru_init(keys[0], 3, 4), "backward": gru_init(keys[1], 3, 4)}
        >>> bidirectional(gru, params, jnp.ones((2, 5, 3))).shape
        (2, 5, 8)

    Reference:
        Schuster and Paliwal, "Bidirectional recurrent neural networks", IEEE Transactions on
        Signal Processing 1997.
    """
    _checks.function("bidirectional", layer=layer)
    ways = []
    for name, reverse in (("forward", False), ("backward", True)):
        with jax.named_scope(name):
            ways.append(layer(params[name], xs, lengths, reverse))
    return jnp.concatenate(ways, -1)


def bidirectional_vjp(
    g: Array, layer: Callable, params: dict[str, Any], xs: Array, lengths: Array | None = None
) -> tuple[dict[str, Any], Array]:
    """Pulls the cotangent `g` of the outputs back through `bidirectional`.

    Its two halves go back each its own way through time, and meet at the inputs, where their
    cotangents add up.

    Returns:
        The cotangents of `params` and `xs`.
    """
    halves = jnp.split(g, 2, -1)
    grads, in_xs = {}, jnp.zeros_like(xs)
    for name, half, reverse in zip(("forward", "backward"), halves, (False, True), strict=True):
        run = lambda params, xs, reverse=reverse: layer(params, xs, lengths, reverse)
        _, pull = jax.vjp(run, params[name], xs)
        grads[name], part = pull(half)
        in_xs = in_xs + part
    return grads, in_xs


def stacked(
    layer: Callable,
    params: dict[str, Any],
    xs: Array,
    lengths: Array | None = None,
    reverse: bool = False,
) -> Array:
    r"""Recurrent layers one upon the other, \( h^0 = x, \; h^{i+1} = layer(params_i, h^i) \).

    Args:
        layer: `simple_rnn`, `gru`, `lstm` or any `layer(params, xs, lengths)`, such as
            `partial(bidirectional, gru)`; with `reverse` it gets a fourth argument `reverse`.
        params: `{"layer_0": ..., "layer_1": ...}`, parameters of each layer, the lowest first.
        xs: inputs, `[..., time, features]`.
        lengths: how many steps of each sequence count.
        reverse: whether all layers run from the last step to the first, as
            `bidirectional(partial(stacked, gru), ...)` asks for.

    Returns:
        The outputs of the last layer.

    Raises:
        TypeError: if `layer` is not a function.
        ValueError: if the parameters don't go by these names.

    Example:
        >>> from jaxnn.layers import gru, gru_init
        >>> keys = jax.random.split(jax.random.key(0))
        >>> params = {"layer_0": gru_init(keys[0], 3, 4), "layer_1": gru_init(keys[1], 4, 6)}
        >>> stacked(gru, params, jnp.ones((2, 5, 3))).shape
        (2, 5, 6)

    Reference:
        Graves, Mohamed and Hinton, "Speech recognition with deep recurrent neural networks",
        ICASSP 2013.
    """
    for name, run in _stack("stacked", layer, params, lengths, reverse):
        with jax.named_scope(name):
            xs = run(params[name], xs)
    return xs


def stacked_vjp(
    g: Array,
    layer: Callable,
    params: dict[str, Any],
    xs: Array,
    lengths: Array | None = None,
    reverse: bool = False,
) -> tuple[dict[str, Any], Array]:
    r"""Pulls the cotangent `g` of the outputs back through `stacked`, from the last layer down.

    Each layer pulls back \( \bar h^{i+1} \), which starts as g, through all of its steps:
    \( (\partial params_i, \bar h^i) \); what is left below the first is \( \partial x \).

    Returns:
        The cotangents of `params` and `xs`.
    """
    pulls, grads = {}, {}
    for name, run in _stack("stacked_vjp", layer, params, lengths, reverse):
        xs, pulls[name] = jax.vjp(run, params[name], xs)
    _checks.cotangent("stacked_vjp", g, xs.shape)
    for name in reversed(pulls):
        grads[name], g = pulls[name](g)
    return grads, g


def _stack(function, layer, params, lengths, reverse):
    """Names of the layers, and how to run each; "layer_10" comes after "layer_9"."""
    _checks.function(function, layer=layer)
    names = [f"layer_{i}" for i in range(len(params))]
    if not names or set(params) != set(names):
        raise ValueError(
            f"{function}: params must name layers from layer_0 upwards, got {sorted(params)}. "
            'Pass {"layer_0": ..., "layer_1": ...}.'
        )
    way = {"reverse": True} if reverse else {}
    return [(name, lambda params, xs: layer(params, xs, lengths, **way)) for name in names]


def _steps(function, cell, xs, lengths):
    """Inputs and mask of each step, time first."""
    _checks.function(function, cell=cell)
    if jnp.ndim(xs) < 2:
        raise ValueError(
            f"{function}: xs must have shape [batch, time, ...], got {jnp.shape(xs)}. "
            "Add an axis for the batch: xs[None]."
        )
    on = step_mask(function, xs.shape[:1], xs.shape[1], lengths)
    return jnp.moveaxis(xs, 1, 0), None if on is None else on.T


def _masked(cell, params, carry, x, on):
    """One step, which padding leaves out."""
    new, y = cell(params, carry, x)
    if on is None:
        return new, y
    choose = lambda a, b: jnp.where(on.reshape(on.shape + (1,) * (a.ndim - 1)), a, b)
    return jax.tree.map(choose, new, carry), choose(y, jnp.zeros_like(y))
