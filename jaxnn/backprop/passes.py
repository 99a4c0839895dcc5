"""Forward and backward pass of a network on one batch, layer by layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn import _checks
from jaxnn._program import trace
from jaxnn.activations import linear, relu
from jaxnn.backprop import _render, _units
from jaxnn.backprop._blocks import Blocks, blocks_of
from jaxnn.backprop._equations import Outcome, written
from jaxnn.backprop._formulas import ELEMENTWISE, FUNCTIONS
from jaxnn.backprop._layers import Layer, Network, network_of, steps_back
from jaxnn.backprop._rules import rule_of
from jaxnn.backprop._shown import Written
from jaxnn.layers import dense
from jaxnn.losses import squared_error
from jaxnn.networks import StatefulNetwork

__all__ = ["Explanation", "LayerPass", "explain"]


@dataclass(frozen=True)
class LayerPass:
    r"""What one layer computed, forward and backward.

    A layer is a block with parameters, such as `dense`, with those that follow it and have
    none, such as an activation or a pooling.

    Attributes:
        name: of its parameters, such as `dense_0`.
        kinds: of its blocks, such as `("dense", "relu")`.
        inputs: what enters it; \( a_{l-1} \) of an `mlp`.
        z: what its first block computes, such as \( a_{l-1} W_l + b_l \); of a recurrent
            layer the pre-activations of all gates, `[..., time, gates * hidden]`.
        a: what its last block computes, such as \( f(z) \).
        a_grad: \( \partial L / \partial a_l \).
        delta: \( \delta_l = \partial L / \partial z_l \).
        grads: of its parameters by their keys: `{"kernel": ..., "bias": ...}`. Of parameters
            that several layers share, the part of this one.
    """

    name: str
    kinds: tuple[str, ...]
    inputs: Array
    z: Array
    a: Array
    a_grad: Array
    delta: Array
    grads: dict[str, Array]


@dataclass(frozen=True, repr=False)
class Explanation:
    """Both passes: the arrays, and as a table of rules and numbers.

    Printed it is text, in a notebook HTML.

    Attributes:
        loss: the loss of the batch.
        layers: a `LayerPass` per layer, from the first.
        grads: gradients of the parameters, shaped like them: what `jax.grad` returns.
        x_grad: gradient of the inputs, None for integers.
    """

    loss: Array
    layers: tuple[LayerPass, ...]
    grads: Any
    x_grad: Any
    _written: Written

    def __str__(self) -> str:
        """The table as text."""
        return _render.text(self._written)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _render.html(self._written)

    def markdown(self) -> str:
        """The table in Markdown."""
        return _render.markdown(self._written)

    def latex(self) -> str:
        """One formula per line, each in dollar signs, of which matplotlib draws every one.

        LaTeX needs the package `amsmath`.
        """
        return _render.latex(self._written)


def explain(
    params: Any,
    x: Any,
    y: Any,
    loss: Callable[..., Array] = squared_error,
    *,
    network: Any = None,
    state: Any = None,
    activation: Callable | Sequence[Callable] | None = None,
    output: Callable = linear,
    scale: float | None = None,
    unit: tuple[int, int | tuple[int, ...]] | None = None,
    example: int = 0,
    digits: int = 4,
    limit: int = 40,
    **options: Any,
) -> Explanation:
    r"""Backpropagation through a network on one batch, with every rule and its numbers.

    For an `mlp`, forward \( z_l = a_{l-1} W_l + b_l \) and \( a_l = f(z_l) \), with
    \( a_0 = x \); the loss is \( L = s \sum \ell(a_L, y) \). Backward, from the last layer to
    the first,

    .. math:: \delta_l = \frac{\partial L}{\partial a_l} \odot f'(z_l), \qquad
              \frac{\partial L}{\partial W_l} = a_{l-1}^\top \delta_l, \qquad
              \frac{\partial L}{\partial b_l} = \sum_{batch} \delta_l, \qquad
              \frac{\partial L}{\partial a_{l-1}} = \delta_l W_l^\top

    Where outputs and loss belong together (softmax and cross-entropy from logits, sigmoid and
    its binary kin, identity and squared error), \( \delta_L \) is the prediction less the
    target, times a constant.

    Any other network is told by `network`. It is traced, and cut into blocks: the functions of
    this library that it calls, and single operations between them. Each block is pulled back
    by itself, and the parts that several blocks give to one value are added up; shown is the
    formula of each. Convolutions slide their kernels (\( \star \)), and backward slide them
    flipped (\( \ast \)). Recurrent layers without padding are unrolled: backpropagation
    through time with \( \delta_t \) for every step, \( \lambda \) being what comes from above.

    A small network is printed whole. Arrays of more than `limit` entries are printed as their
    shape, norm and largest entry, and the path of one unit is followed instead.

    Args:
        params: of the network; of an `mlp` `{"dense_0": {"kernel", "bias"}, "dense_1": ...}`.
        x: inputs, as the network takes them; of an `mlp` `[..., features]`.
        y: targets, as `loss` takes them.
        loss: `loss(outputs, y)`, unreduced: any of `jaxnn.losses` for predictions and targets,
            with options by `functools.partial`, or any function of arrays.
        network: a `Network`, a `StatefulNetwork`, or any function of `params` and `x`. None
            for an `mlp`, of which `activation` says the rest.
        state: running statistics of a `StatefulNetwork`.
        activation: of the hidden layers of an `mlp`: one for all, or one for each; None for
            `relu`. Another `network` brings its own.
        output: applied to what comes out. Losses from logits want none.
        scale: s; None for the mean. With 0.5, squared error has
            \( \delta_L = prediction - target \).
        unit: a unit of a dense or convolutional layer to follow: its layer, counted from 1, and
            its place in the layer, counted from 0: a feature, or `(row, column, channel)`.
            None follows the unit of largest \( \delta \) in the first such layer, if the
            network is large.
        example: which example the followed unit sees, counted over all leading axes.
        digits: decimals printed.
        limit: the largest array printed whole, in entries.
        **options: passed on to the network, such as `train=True` or `lengths=...`.

    Returns:
        The `Explanation`: `print` it, leave it as the last line of a notebook's cell, or take
        its arrays.

    Raises:
        ValueError: if no network is given and the parameters are not those of an `mlp`, there
            is not one activation for each hidden layer, a network misses its state, or there
            is no such unit or example.
        TypeError: if the network, an activation or the loss is not a function, or an array is
            traced.

    Example:
        >>> from jaxnn.losses import squared_error
        >>> params = {"dense_0": {"kernel": jnp.array([[2.0], [1.0]]), "bias": jnp.zeros(1)}}
        >>> table = explain(params, jnp.array([1.0, 3.0]), jnp.array([4.0]), scale=0.5)
        >>> print(table)
        1 example, 2 → 1, 0.5 × squared_error
        <BLANKLINE>
        forward, layer 1: dense_0, 2 → 1
          z₁ = x W₁ + b₁
             = [1.0000 3.0000] [2.0000] + [0.0000]
                               [1.0000]
             = [5.0000]
          a₁ = z₁
             = [5.0000]
        <BLANKLINE>
        loss
          L = 0.5 Σ squared_error(a₁, y)
            = 0.5000
        <BLANKLINE>
        backward, layer 1: dense_0, 2 → 1
          δ₁ = a₁ - y
             = [5.0000] - [4.0000]
             = [1.0000]
          ∂L/∂W₁ = xᵀ δ₁
                 = [1.0000] [1.0000]
                   [3.0000]
                 = [1.0000]
                   [3.0000]
          ∂L/∂b₁ = δ₁
                 = [1.0000]
        >>> table.grads["dense_0"]["kernel"].ravel()
        Array([1., 3.], dtype=float32)
        >>> from jaxnn.networks import rnn
        >>> net = rnn(1, 2, 1)
        >>> xs = jnp.array([[[1.0], [2.0], [3.0]]])
        >>> table = explain(net.init(jax.random.key(0)), xs, jnp.ones((1, 1)), network=net)
        >>> [(layer.name, layer.delta.shape) for layer in table.layers]
        [('layer_0', (1, 3, 2)), ('dense', (1, 1))]

    Reference:
        Rumelhart, Hinton and Williams, "Learning representations by back-propagating
        errors", Nature 1986.
    """
    _checks.function("explain", loss=loss, output=output)
    _checks.sizes("explain", digits=digits, limit=limit)
    if not _checks.concrete(params, x, y, state):
        raise TypeError(
            "explain: params, x and y must be arrays with values, got traced ones. "
            "Call it outside `jit`, `grad` and `vmap`; `jaxnn.networks.mlp_vjp` works inside."
        )
    f, own = _function(params, network, state, activation, output, options)
    x, y = jax.tree.map(jnp.asarray, (x, y))
    of = _blocks(f, params, x, FUNCTIONS | own)
    values = jax.jit(of.forward)(jax.tree.leaves((params, x)))

    numbers = of.program.outputs
    outputs = jax.tree.unflatten(of.program.tree, [values[n] for n in numbers])
    rule, losses = rule_of(loss), loss(outputs, y)
    s = jnp.asarray(1 / max(losses.size, 1) if scale is None else scale, losses.dtype)
    g = rule.pull(jnp.broadcast_to(s, losses.shape), outputs, y)

    cotangents, given, slopes = jax.jit(of.backward)(values, _by_number(numbers, g))
    found = network_of(of, values, cotangents, given, slopes, limit)
    outcome = Outcome(rule, numbers, outputs, y, losses, scale)
    table = written(found, outcome, digits)
    followed = _units.largest(found, example) if unit is None else _unit(unit, example, found)
    if followed is not None:
        table.sections.append(_units.section(found, *followed, example))
    layers = tuple(_layer_pass(found, layer) for layer in found.layers)
    grads, x_grad = _grads(of, params, x, cotangents)
    return Explanation(s * losses.sum(), layers, grads, x_grad, table)


def _blocks(f, params, x, functions) -> Blocks:
    """The network, traced and cut into blocks."""
    program = trace(f, params, x)
    paths = [_keys(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    of = blocks_of(program, paths, functions, ELEMENTWISE)
    made = {n for block in of.blocks for n in block.outputs}
    if not made.issuperset(n if isinstance(n, int) else -1 for n in program.outputs):
        raise ValueError(
            "explain: network must compute its outputs from params and x, got one that returns "
            "something else. Pass a Network, or a function of params and x."
        )
    return of


def _keys(path) -> tuple[str, ...]:
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)


def _by_number(numbers, g) -> dict[int, Array]:
    """The cotangents of the outputs, of which two may be the same value."""
    found: dict[int, Array] = {}
    for n, part in zip(numbers, jax.tree.leaves(g), strict=True):
        found[n] = found[n] + part if n in found else part
    return found


def _grads(of, params, x, cotangents) -> tuple[Any, Any]:
    """Gradients shaped like the parameters and the inputs."""
    leaves, tree = jax.tree.flatten((params, x))
    found: list[Array | None] = []
    for n, leaf in zip(of.program.inputs, leaves, strict=True):
        zero = jnp.zeros_like(leaf) if of.floating(n) else None
        found.append(cotangents.get(n, zero))
    return jax.tree.unflatten(tree, found)


def _layer_pass(found: Network, layer: Layer) -> LayerPass:
    first, last = layer.parts[0], layer.parts[-1]
    cotangent = lambda n: found.cotangents.get(n, jnp.zeros_like(found.values[n]))
    z, delta = found.values[first.output], cotangent(first.output)
    if first.unrolled is not None:
        arrays = first.unrolled.arrays
        z, delta = (steps_back(arrays[name], first, z) for name in ("z_all", "delta"))
    given = {key: found.given.get((p.place, n)) for p in layer.parts for key, n in p.keys.items()}
    return LayerPass(
        name=layer.name,
        kinds=tuple(part.block.kind for part in layer.parts),
        inputs=found.values[(first.block.inputs or first.block.parameters)[0]],
        z=z,
        a=found.values[last.output],
        a_grad=cotangent(last.output),
        delta=delta,
        grads={key: grad for key, grad in given.items() if grad is not None},
    )


def _function(params, network, state, activation, output, options) -> tuple[Callable, set[str]]:
    """The network with its output activation, and names of functions in it that are not ours."""
    if network is None:
        depth = _depth(params)
        functions = [_scoped(f) for f in [*_activations(activation, depth), output]]

        def run(params, x):
            for i, (f, _) in enumerate(functions):
                with jax.named_scope(f"dense_{i}"):
                    z = dense(params[f"dense_{i}"], x)
                x = f(z)
            return x

        return run, {name for _, name in functions if name}
    if activation is not None:
        raise ValueError(
            "explain: activation must be left out where there is a network, got both. "
            "The network brings its own."
        )
    if isinstance(network, StatefulNetwork) and state is None:
        raise ValueError(
            "explain: state must be given for a StatefulNetwork, got None. "
            "params, state = network.init(key), and both are passed."
        )
    apply: Any = getattr(network, "apply", network)
    _checks.function("explain", network=apply)
    last, name = _scoped(output)
    if state is None:
        return (lambda params, x: last(apply(params, x, **options))), {name} - {""}
    return (lambda params, x: last(apply(params, state, x, **options)[0])), {name} - {""}


def _scoped(f: Callable) -> tuple[Callable, str]:
    """A function that is not ours, under a name of its own, so that it is one block."""
    rule = rule_of(f)
    if f is linear:
        return (lambda z: z), ""
    if rule.name in FUNCTIONS:
        return f, ""

    def run(z):
        with jax.named_scope(rule.name):
            return f(z)

    return run, rule.name


def _depth(params: Any) -> int:
    """How many layers; raises unless these are the parameters of an `mlp`."""
    names = [f"dense_{i}" for i in range(len(params))] if isinstance(params, dict) else []
    if not names or set(params) != set(names) or any("kernel" not in params[n] for n in names):
        found = sorted(params) if isinstance(params, dict) else type(params).__name__
        raise ValueError(
            "explain: params must be those of an mlp, {'dense_0': {'kernel', 'bias'}, ...}, "
            f"got {found}. For another network pass network=..."
        )
    return len(names)


def _activations(activation, depth) -> list[Callable]:
    """One activation for each hidden layer."""
    activation = relu if activation is None else activation
    if callable(activation):
        return [activation] * (depth - 1)
    found = list(activation) if isinstance(activation, Sequence) else [activation]
    for i, f in enumerate(found):
        _checks.function("explain", **{f"activation[{i}]": f})
    if len(found) != depth - 1:
        raise ValueError(
            f"explain: activation must be one function, or one for each of the {depth - 1} "
            f"hidden layers, got {len(found)}. The last layer's is `output`."
        )
    return found


def _unit(unit, example, found: Network) -> tuple[int, tuple[int, ...]]:
    """The unit, if there is one at this place."""
    number, place = unit
    place = tuple(np.atleast_1d(place).tolist())
    known = {
        layer.number: _units.places(found, layer) for layer in found.layers if layer.parts[0].linear
    }
    sizes = known.get(number, ())
    if len(place) != len(sizes) or not all(0 <= p < n for p, n in zip(place, sizes, strict=True)):
        raise ValueError(
            "explain: unit must be a dense or convolutional layer and a place in it, where they "
            f"have the sizes {known}, got {unit}. Places count from 0."
        )
    count = _units.examples(found, found.layers[number - 1])
    if not -count <= example < count:
        raise ValueError(
            f"explain: example must be one of {count}, got {example}. They count from 0."
        )
    return number, place
