"""What the layers of a network compute, and where its attention goes."""

from collections.abc import Callable
from typing import Any

import jax
from jax import Array

from jaxnn import _checks
from jaxnn._program import trace
from jaxnn.diagnostics import _layers

__all__ = ["attention_maps", "layer_outputs"]


def layer_outputs(f: Callable, params: Any, *args: Any) -> dict[str, Array]:
    """What every layer of a network computes: feature maps, hidden states, codes.

    The output of a layer is what its own parameters make of the data, before its activation.

    Args:
        f: a function of the parameters and more, such as the `apply` of a network.
        params: parameters, nested dicts of arrays.
        *args: whatever else `f` takes.

    Returns:
        The output of each layer, in the order in which they compute, under the path of its
        parameters.

    Raises:
        TypeError: if `f` is not a function.

    Example:
        >>> from jaxnn import networks
        >>> network = networks.cnn((8, 8, 1), [4, 6], 10)
        >>> params = network.init(jax.random.key(0))
        >>> maps = layer_outputs(network.apply, params, jnp.ones((2, 8, 8, 1)))
        >>> {name: value.shape for name, value in maps.items()}
        {'conv_0': (2, 8, 8, 4), 'conv_1': (2, 4, 4, 6), 'dense_0': (2, 10)}
    """
    _checks.function("layer_outputs", f=f)
    program = trace(f, params, *args)
    found = _layers.layers(program, params)
    wanted = {layer.name: layer.output for layer in found if layer.output is not None}
    values = program.values(jax.tree.leaves((params, *args)), list(wanted.values()))
    return dict(zip(wanted, values, strict=True))


def attention_maps(f: Callable, params: Any, *args: Any) -> dict[str, Array]:
    """The attention weights of every head, as a network computed them.

    They are the softmax inside of whatever calls itself attention: our layers and transformers,
    Flax's modules, and functions of yours under `jax.named_scope("attention")`.

    Args:
        f: a function of the parameters and more, such as the `apply` of a network.
        params: parameters, nested dicts of arrays.
        *args: whatever else `f` takes.

    Returns:
        The weights of each attention, `[..., heads, queries, keys]`, each row summing to one,
        under the scope it stands in, such as `block_0/attention`.

    Raises:
        TypeError: if `f` is not a function.
        ValueError: if there is no attention, or none whose weights exist as one array.

    Example:
        >>> from jaxnn import networks
        >>> network = networks.transformer(5, width=4, heads=2, depth=1, length=3)
        >>> params = network.init(jax.random.key(0))
        >>> maps = attention_maps(network.apply, params, jax.numpy.zeros((1, 3), int))
        >>> {name: weights.shape for name, weights in maps.items()}
        {'block_0/attention': (1, 2, 3, 3)}
    """
    _checks.function("attention_maps", f=f)
    program = trace(f, params, *args)
    found: dict[tuple[str, ...], int] = {}
    makers = {n: op.eqn.primitive.name for op in program.operations for n in op.outputs}
    for op in program.operations:
        lower = [scope.lower() for scope in op.scopes]
        depth = next((i for i, scope in enumerate(lower) if "attention" in scope), None)
        square = [n for n in op.outputs if len(program.avals[n].shape) >= 3]
        if depth is None or not square:
            continue
        above = op.inputs[0] if op.eqn.primitive.name == "div" else None
        written_out = isinstance(above, int) and makers.get(above) == "exp"
        if "softmax" in lower[depth:]:
            found[op.scopes[: lower.index("softmax")]] = square[-1]
        elif written_out:
            found[op.scopes] = square[-1]
    if not found:
        raise ValueError(
            "attention_maps: f must compute a softmax in a scope named attention, got none. "
            'Put yours under `with jax.named_scope("attention")`; attention that is computed in '
            "chunks has no weights to show."
        )
    values = program.values(jax.tree.leaves((params, *args)), list(found.values()))
    return {_short(s): _heads(s, value) for s, value in zip(found, values, strict=True)}


def _heads(scopes, weights) -> Array:
    """Our attention has an axis of groups before that of the heads in a group."""
    if "scaled_dot_product_attention" not in scopes:
        return weights
    return weights.reshape(*weights.shape[:-4], -1, *weights.shape[-2:])


def _short(scopes) -> str:
    """The path of a scope, up to the first that is called attention."""
    end = next(i for i, scope in enumerate(scopes) if "attention" in scope.lower())
    return "/".join(scopes[: end + 1])
