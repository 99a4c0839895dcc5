"""How signals and gradients pass through the layers of a network."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks, _units
from jaxnn._program import evaluate, trace
from jaxnn.diagnostics import _layers

__all__ = ["gradient_flow"]

# An entry is saturated where its activation passes on less than this part of a gradient.
SATURATED = 0.01


def gradient_flow(
    loss_fn: Callable,
    params: Any,
    batch: Any,
    *,
    key: Array | None = None,
    statistics: Any = None,
) -> dict[str, dict[str, Array]]:
    r"""How large signals and gradients are in every layer, on one batch.

    With z the output of a layer, a = f(z) its activation and \( \delta = \partial L / \partial
    z \), both over all examples and units:

    | entry | what it is |
    |---|---|
    | `position` | of the layer, from 0, in the order in which they compute |
    | `weight_norm` | \( \|W\| \), over all parameters of the layer |
    | `gradient_norm` | \( \|\partial L / \partial W\| \) |
    | `gradient_ratio` | the two divided: what part of itself the layer is asked to change |
    | `activation_norm`, `activation_mean`, `activation_variance` | of a, or of z without f |
    | `delta_norm`, `delta_variance` | of \( \delta \) |
    | `saturated` | part of the entries of z with \( 0 < \|f'(z)\| < 0.01 \) |
    | `inactive` | part of the entries with \( f'(z) = 0 \) |
    | `dead` | part of the units that are inactive on every example of the batch |

    Any loss function will do. What shares a dict is a layer; a dict or list of several kernels
    that multiply the data in different places falls into these, each with the bias added to its
    product. Its output is what the last of its parameters makes of the data. Its activation is
    the elementwise function that reads z and numbers alone, up to the one value that leaves it.
    Where there is none or it is ambiguous, and for the last layer, the last three are left out;
    where no data are met, all but the first four.

    Args:
        loss_fn: `loss_fn(params, batch, key)`, or `loss_fn(params, batch)`, that returns the
            loss or a pair that begins with it: what `training.supervised` returns.
        params: parameters, nested dicts of arrays.
        batch: a batch, as `loss_fn` takes it.
        key: passed on; None is without noise.
        statistics: the state of a `StatefulNetwork`; `loss_fn` is then called as
            `loss_fn(params, statistics, batch, key)`.

    Returns:
        A dict of the above for each layer, under the path of its parameters, and in order,
        which `jax.jit` loses where that is not alphabetical. Scalars in float32 (float64 for
        float64); the function may be used under `jit` and `vmap`.

    Raises:
        TypeError: if `loss_fn` is not a function, or does not return a scalar first.

    Example:
        >>> from jaxnn import losses, networks, training
        >>> network = networks.mlp([2, 8, 1])
        >>> loss_fn = training.supervised(network, losses.squared_error)
        >>> batch = jnp.ones((4, 2)), jnp.zeros((4, 1))
        >>> flow = gradient_flow(loss_fn, network.init(jax.random.key(0)), batch)
        >>> list(flow), "dead" in flow["dense_0"], "dead" in flow["dense_1"]
        (['dense_0', 'dense_1'], True, False)

    Reference:
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", AISTATS 2010.
    """
    _checks.function("gradient_flow", loss_fn=loss_fn)
    args = _arguments(loss_fn, params, batch, key, statistics)
    program = trace(loss_fn, *args)
    found = _layers.layers(program, params)
    flat = jax.tree.leaves(params)
    rest = jax.tree.leaves(args[1:])
    numbers = [layer.output for layer in found if layer.output is not None]
    zeros = {n: jnp.zeros(program.avals[n].shape, program.avals[n].dtype) for n in numbers}

    def objective(flat, added):
        """The loss, with something added to the output of each layer, and those outputs."""
        seen = {}

        def change(number, value):
            if number in added:
                value = seen[number] = value + added[number]
            return value

        loss = _loss(program.run([*flat, *rest], change))
        return loss, seen

    @jax.jit  # called eagerly, every operation would be compiled on its own
    def measure(flat, zeros):
        (grads, deltas), outputs = jax.grad(objective, (0, 1), has_aux=True)(flat, zeros)
        return [_statistics(program, layer, flat, grads, outputs, deltas) for layer in found]

    return {
        layer.name: {"position": jnp.array(float(i), jnp.float32), **entries}
        for i, (layer, entries) in enumerate(zip(found, measure(flat, zeros), strict=True))
    }


def _arguments(loss_fn, params, batch, key, statistics) -> tuple:
    """The arguments that the loss function takes."""
    if statistics is not None:
        return params, statistics, batch, key
    try:
        taken = list(inspect.signature(loss_fn).parameters.values())
    except ValueError:  # a function without a signature
        return params, batch, key
    if any(p.kind is p.VAR_POSITIONAL for p in taken):
        return params, batch, key
    places = [p for p in taken if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    # A third argument that has a default, and another name, is an option.
    keyed = len(places) > 2 and (places[2].default is places[2].empty or places[2].name == "key")
    return (params, batch, key) if keyed else (params, batch)


def _loss(returned) -> Array:
    loss = returned[0] if isinstance(returned, tuple) else returned
    if jnp.shape(loss) != ():
        raise TypeError(
            "gradient_flow: loss_fn must return a scalar loss, or a tuple that begins with it, "
            f"got shape {jnp.shape(loss)}. Average it: losses are unreduced."
        )
    return loss


def _statistics(program, layer, flat, grads, outputs, deltas) -> dict[str, Array]:
    weights = _norm([flat[i] for i in layer.leaves])
    gradient = _norm([grads[i] for i in layer.leaves])
    found = {
        "weight_norm": weights,
        "gradient_norm": gradient,
        "gradient_ratio": jnp.where(gradient == 0, 0, gradient / weights),
    }
    if layer.output is None:
        return found
    z, delta = outputs[layer.output], _wide(deltas[layer.output])
    slopes = {}
    a = z
    if layer.activation is not None:
        a, slope = _activated(program, layer, z)
        size = jnp.abs(_wide(slope)).reshape(-1, slope.shape[-1])
        inactive = size == 0
        slopes = {
            "saturated": _mean((size < SATURATED) & ~inactive),
            "inactive": _mean(inactive),
            "dead": _mean(inactive.all(0)),
        }
    a = _wide(a)
    return found | {
        "activation_norm": _norm([a]),
        "activation_mean": _units.mean(a),
        "activation_variance": _units.variance(a),
        "delta_norm": _norm([delta]),
        "delta_variance": _units.variance(delta),
        **slopes,
    }


def _activated(program, layer, z):
    """The activation of a layer's output, and its slope: elementwise, so that ones are enough."""
    operations = [program.operations[i] for i in layer.activation]

    def f(z):
        values = {layer.output: z}
        evaluate(operations, values)
        return values[operations[-1].outputs[0]]

    a, pull = jax.vjp(f, z)  # functions may have a rule for this direction alone
    (slope,) = pull(jnp.ones_like(a))
    return a, slope


def _wide(x: Array) -> Array:
    return x.astype(_checks.wide(x.dtype))


def _norm(arrays: list[Array]) -> Array:
    """The norm over several arrays, in float32 at least."""
    return _units.norm([_wide(a) for a in arrays])


def _mean(condition: Array) -> Array:
    return condition.mean(dtype=jnp.float32)
