"""Forward and backward pass of a network on one batch, layer by layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxnn import _checks
from jaxnn.activations import linear, relu
from jaxnn.backprop import _render
from jaxnn.backprop._equations import Written, sections_of, unit_section
from jaxnn.backprop._rules import rule_of
from jaxnn.layers import dense, dense_vjp
from jaxnn.losses import squared_error

__all__ = ["Explanation", "LayerPass", "explain"]


@dataclass(frozen=True)
class LayerPass:
    r"""What one layer computed, forward and backward.

    Attributes:
        name: of its parameters, such as `dense_0`.
        inputs: \( a_{l-1} \), `[..., inputs]`.
        z: \( a_{l-1} W_l + b_l \), `[..., outputs]`.
        a: \( f(z) \).
        a_grad: \( \partial L / \partial a_l \).
        delta: \( \delta_l = \partial L / \partial z_l \).
        kernel_grad: \( \partial L / \partial W_l = a_{l-1}^\top \delta_l \).
        bias_grad: \( \partial L / \partial b_l = \sum_{batch} \delta_l \); None without a bias.
    """

    name: str
    inputs: Array
    z: Array
    a: Array
    a_grad: Array
    delta: Array
    kernel_grad: Array
    bias_grad: Array | None


@dataclass(frozen=True)
class Explanation:
    """Both passes: the arrays, and as a table of rules and numbers.

    Printed it is text, in a notebook HTML.

    Attributes:
        loss: the loss of the batch.
        layers: a `LayerPass` per layer, from the first.
        grads: gradients of the parameters, shaped like them: what `jax.grad` returns.
        x_grad: gradient of the inputs.
    """

    loss: Array
    layers: tuple[LayerPass, ...]
    grads: dict[str, dict[str, Array]]
    x_grad: Array
    _written: Written

    def __str__(self) -> str:
        """The table as text."""
        return _render.text(self._written)

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
    params: dict[str, dict[str, Array]],
    x: ArrayLike,
    y: ArrayLike,
    loss: Callable[..., Array] = squared_error,
    *,
    activation: Callable | Sequence[Callable] = relu,
    output: Callable = linear,
    scale: float | None = None,
    unit: tuple[int, int] | None = None,
    example: int = 0,
    digits: int = 4,
    limit: int = 40,
) -> Explanation:
    r"""Backpropagation through an `mlp` on one batch, with every rule and its numbers.

    Forward \( z_l = a_{l-1} W_l + b_l \) and \( a_l = f(z_l) \), with \( a_0 = x \); the loss
    is \( L = s \sum \ell(a_L, y) \). Backward, from the last layer to the first,

    .. math:: \delta_l = \frac{\partial L}{\partial a_l} \odot f'(z_l), \qquad
              \frac{\partial L}{\partial W_l} = a_{l-1}^\top \delta_l, \qquad
              \frac{\partial L}{\partial b_l} = \sum_{batch} \delta_l, \qquad
              \frac{\partial L}{\partial a_{l-1}} = \delta_l W_l^\top

    by the closed forms that stand beside our functions. Where outputs and loss belong
    together (softmax and cross-entropy from logits, sigmoid and its binary kin, identity and
    squared error), \( \delta_L \) is the prediction less the target, times a constant.

    A small network is printed whole. Arrays of more than `limit` entries are printed as their
    shape, norm and largest entry, and the path of one unit is followed instead.

    Args:
        params: `{"dense_0": {"kernel", "bias"}, "dense_1": ...}`, as `mlp` makes them.
        x: inputs, `[..., features]`.
        y: targets, as `loss` takes them.
        loss: `loss(a_L, y)`, unreduced: any of `jaxnn.losses` for predictions and targets,
            with options by `functools.partial`, or any function of arrays.
        activation: of the hidden layers: one for all, or one for each. Of `jaxnn.activations`
            the closed form is used; other functions are differentiated by JAX.
        output: the activation of the last layer. Losses from logits want none.
        scale: s; None for the mean. With 0.5, squared error has
            \( \delta_L = prediction - target \).
        unit: a unit to follow, its layer counted from 1 and its place in the layer from 0.
            None follows the unit of largest \( \delta \) in the first layer, if the network
            is large.
        example: which example the followed unit sees, counted over all leading axes.
        digits: decimals printed.
        limit: the largest array printed whole, in entries.

    Returns:
        The `Explanation`: `print` it, leave it as the last line of a notebook's cell, or take
        its arrays.

    Raises:
        ValueError: if the parameters are not those of an `mlp`, there is not one activation
            for each hidden layer, or there is no such unit or example.
        TypeError: if an activation or the loss is not a function, or an array is traced.

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

    Reference:
        Rumelhart, Hinton and Williams, "Learning representations by back-propagating
        errors", Nature 1986.
    """
    depth = _depth(params)
    functions = [*_activations(activation, depth), output]
    _checks.function("explain", loss=loss, output=output)
    _checks.sizes("explain", digits=digits, limit=limit)
    if not _checks.concrete(params, x, y):
        raise TypeError(
            "explain: params, x and y must be arrays with values, got traced ones. "
            "Call it outside `jit`, `grad` and `vmap`; `jaxnn.networks.mlp_vjp` works inside."
        )
    x, y = jnp.asarray(x), jnp.asarray(y)
    rules = [rule_of(f) for f in functions]

    inputs, zs = [x], []
    for i, f in enumerate(functions):
        zs.append(dense(params[f"dense_{i}"], inputs[-1]))
        inputs.append(f(zs[-1]))

    values = loss(inputs[-1], y)
    s = jnp.asarray(1 / max(values.size, 1) if scale is None else scale, values.dtype)
    g = rule_of(loss).pull(jnp.broadcast_to(s, values.shape), inputs[-1], y)
    layers: list[LayerPass] = []
    for i in reversed(range(depth)):
        name = f"dense_{i}"
        delta = rules[i].pull(g, zs[i])
        grads, into = dense_vjp(delta, params[name], inputs[i])
        layers.insert(
            0,
            LayerPass(
                name, inputs[i], zs[i], inputs[i + 1], g, delta, grads["kernel"], grads.get("bias")
            ),
        )
        g = into

    total = s * values.sum()
    written = sections_of(params, layers, rules, rule_of(loss), y, values, scale, digits, limit)
    if unit is None and any(p["kernel"].size > limit for p in params.values()):
        largest = np.abs(np.asarray(layers[0].delta, float)).reshape(-1, layers[0].z.shape[-1])
        if example in range(-len(largest), len(largest)):
            unit = 1, int(largest[example].argmax())
    if unit is not None:
        _check_unit(unit, example, layers)
        written.sections.append(unit_section(params, layers, rules, unit, example))
    return Explanation(total, tuple(layers), _grads(layers), g, written)


def _grads(layers) -> dict[str, dict[str, Array]]:
    """Gradients of the parameters, shaped like them."""
    with_bias = lambda p: {} if p.bias_grad is None else {"bias": p.bias_grad}
    return {p.name: {"kernel": p.kernel_grad} | with_bias(p) for p in layers}


def _depth(params: Any) -> int:
    """How many layers; raises unless these are the parameters of an `mlp`."""
    names = [f"dense_{i}" for i in range(len(params))] if isinstance(params, dict) else []
    if not names or set(params) != set(names) or any("kernel" not in params[n] for n in names):
        found = sorted(params) if isinstance(params, dict) else type(params).__name__
        raise ValueError(
            "explain: params must be those of an mlp, {'dense_0': {'kernel', 'bias'}, ...}, "
            f"got {found}. Other networks: look at `diagnostics.gradient_flow`."
        )
    return len(names)


def _activations(activation, depth) -> list[Callable]:
    """One activation for each hidden layer."""
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


def _check_unit(unit, example, layers) -> None:
    layer, place = unit
    examples = layers[0].z.size // layers[0].z.shape[-1]
    if not 1 <= layer <= len(layers) or not 0 <= place < layers[layer - 1].z.shape[-1]:
        widths = [p.z.shape[-1] for p in layers]
        raise ValueError(
            f"explain: unit must be a layer from 1 to {len(layers)} and a place in it, where "
            f"the layers have {widths} units, got {unit}. Places count from 0."
        )
    if not -examples <= example < examples:
        raise ValueError(
            f"explain: example must be one of {examples}, got {example}. They count from 0."
        )
