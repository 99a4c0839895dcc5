"""The path of one unit: what it is made of, and what comes back to it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.backprop._formulas import filled
from jaxnn.backprop._layers import Layer, Network, Part
from jaxnn.backprop._shown import Equation, panels

# Of the terms of a long sum, those that are printed: the largest.
SHOWN = 3
Place = tuple[int, ...]


def places(network: Network, layer: Layer) -> tuple[int, ...]:
    """The sizes among which a place in a layer is one: features, or rows, columns, channels."""
    z = layer.parts[0].output
    return network.values[z].shape[-3 if z in network.images else -1 :]


def examples(network: Network, layer: Layer) -> int:
    """How many examples a layer sees, over all leading axes."""
    size = network.values[layer.parts[0].output].size
    return size // max(1, int(np.prod(places(network, layer))))


def largest(network: Network, example: int) -> tuple[int, Place] | None:
    """The unit of largest delta in the first layer that is too large to print."""
    if all(np.size(network.values[n]) <= network.limit for n in network.symbols):
        return None
    for layer in network.layers:
        part = layer.parts[0]
        if part.linear and part.output in network.cotangents:
            if example not in range(-(count := examples(network, layer)), count):
                return None
            delta = np.abs(np.asarray(network.cotangents[part.output], float))
            sizes = places(network, layer)
            place = np.unravel_index(delta.reshape(-1, *sizes)[example].argmax(), sizes)
            return layer.number, tuple(map(int, place))
    return None


def section(network: Network, number: int, place: Place, example: int):
    """One unit of a dense or convolutional layer, and one example."""
    layer = network.layers[number - 1]
    part, shape = layer.parts[0], network.values[layer.parts[0].output].shape
    lead = shape[: len(shape) - len(place)]
    index = (*np.unravel_index(range(int(np.prod(lead)))[example], lead), *place)
    mark = _Mark(network, ",".join(map(str, place)))
    z, following = mark(part.output), layer.parts[1:2]
    rows = [_made(network, part, index, mark)]
    delta = network.cotangents.get(part.output)
    if following and following[0].block.elementwise:
        last = following[0]
        symbols = {"X": z, "Y": mark(last.output), "G": mark.grad(last.output)}
        rule = filled(last.formula.value, symbols)
        rows.append(Equation(symbols["Y"], rule, (), network.values[last.output][index]))
        if network.readers(last.output):
            rows.append(_back(network, last.output, index, mark))
        if delta is not None:
            a_grad, slope = network.cotangents[last.output], network.slopes[last.place]
            terms = (a_grad[index], r"\cdot", *_signed(slope[index]))
            rule = filled(str(last.formula.back), symbols).replace(r"\odot", r"\cdot")
            rows.append(Equation(mark.grad(part.output), rule, terms, delta[index]))
    elif network.readers(part.output):
        rows.append(_back(network, part.output, index, mark))
    elif delta is not None:
        rows.append(
            Equation(mark.grad(part.output), rf"\partial L / \partial {z}", (), delta[index])
        )
    if delta is not None and part.block.kind == "dense":
        rows += _weights(network, part, index, mark)
    title = place[0] if len(place) == 1 else place
    return f"unit {title} of layer {number}, example {example}", rows


class _Mark:
    """Symbols with the place of a unit."""

    def __init__(self, network: Network, where: str):
        self.network, self.where = network, where

    def __call__(self, n) -> str:
        return rf"{self.network.symbols[n][:-1]},{self.where}}}"

    def grad(self, n) -> str:
        """Of a cotangent."""
        return rf"{self.network.grad_symbol(n)[:-1]},{self.where}}}"


def _made(network, part: Part, index, mark) -> Equation:
    """The products that a unit adds up."""
    x, kernel = part.block.inputs[0], network.symbols[part.keys["kernel"]]
    run = lambda value: part.block.run(_read(network, part) | {x: value})[part.output][index]
    weights = np.asarray(jax.jit(jax.grad(run))(network.values[x]), float)
    entries = np.asarray(network.values[x], float)
    # A dense layer sees one row, a convolution a window.
    seen = index[:-1] if part.block.kind == "dense" else weights != 0
    bias = [float(network.values[part.keys["bias"]][index[-1]])] if "bias" in part.keys else []
    rule = rf"\sum_{{window}} {network.symbols[x]} \, {kernel}"
    if part.block.kind == "dense":
        rule = rf"\sum_{{k}} {_entry(network.symbols[x], 'k')} \, {kernel[:-1]},k,{mark.where}}}"
    if bias:
        rule += rf" + {network.symbols[part.keys['bias']][:-1]},{index[-1]}}}"
    terms = _products(entries[seen], weights[seen], bias)
    return Equation(mark(part.output), rule, terms, network.values[part.output][index])


def _back(network, n, index, mark) -> Equation:
    """What the blocks that read a unit give back to it."""
    first, second = [], []
    one = jnp.zeros_like(network.values[n]).at[index].set(1)
    readers = network.readers(n)
    for part in readers:
        run = lambda value, part=part: part.block.run(_read(network, part) | {n: value})[
            part.output
        ]
        _, column = jax.jit(lambda one, run=run: jax.jvp(run, (network.values[n],), (one,)))(one)
        seen = np.asarray(column) != 0
        first.append(np.asarray(network.cotangents[part.output], float)[seen])
        second.append(np.asarray(column, float)[seen])
    symbol = network.grad_symbol(readers[0].output)
    if len(readers) == 1 and readers[0].linear and readers[0].block.kind == "dense":
        kernel = network.symbols[readers[0].keys["kernel"]]
        rule = rf"\sum_{{i}} {symbol[:-1]},i}} {kernel[:-1]},{mark.where},i}}"
    else:
        parts = [f"{network.grad_symbol(p.output)} \\cdot \\partial {network.symbols[p.output]} /"
                 rf" \partial {mark(n)}" for p in readers]  # fmt: skip
        rule = r"\sum " + r" + \sum ".join(parts)
    terms = _products(np.concatenate(first), np.concatenate(second), [])
    return Equation(mark.grad(n), rule, terms, network.cotangents[n][index])


def _read(network, part) -> dict[int, Any]:
    return {n: network.values[n] for n in part.block.reads}


def _weights(network, part: Part, index, mark) -> list[Equation]:
    """The gradients of the unit's weight from its largest input k, and of its bias."""
    x, kernel = part.block.inputs[0], part.keys["kernel"]
    inputs, j = panels(network.values[x]), index[-1]
    k = int(np.abs(np.asarray(network.values[x], float)[index[:-1]]).argmax())
    column = panels(network.cotangents[part.output])[:, j]
    delta = mark.grad(part.output)
    rows = [
        Equation(
            rf"\partial L / \partial {network.symbols[kernel][:-1]},{k},{j}}}",
            rf"\sum_{{batch}} {_entry(network.symbols[x], k)} \, {delta}",
            _products(inputs[:, k], column, []),
            network.given[part.place, kernel][k, j],
        )
    ]
    if "bias" in part.keys:
        bias = part.keys["bias"]
        symbol = rf"\partial L / \partial {network.symbols[bias][:-1]},{j}}}"
        value = network.given[part.place, bias][j]
        rows.append(Equation(symbol, rf"\sum_{{batch}} {delta}", (), value))
    return rows


def _entry(symbol, k) -> str:
    """Entry k of x or a_l."""
    return rf"{symbol[:-1]},{k}}}" if symbol.endswith("}") else rf"{symbol}_{{{k}}}"


def _products(first, second, rest) -> tuple[Any, ...]:
    """The terms of an inner product: all of a short one, the largest of a long one."""
    order = np.arange(len(first))
    if len(order) > 2 * SHOWN:
        order = np.sort(np.argsort(-np.abs(first * second), kind="stable")[:SHOWN])
    terms: list[Any] = []
    for k in order:
        terms += ["+"] * bool(terms) + [first[k], r"\cdot", *_signed(second[k])]
    if left := len(first) - len(order):
        terms += ["+", rf"\dots (\mathrm{{{left}\ more}})"]
    for number in rest:
        terms += ["+", number]
    return tuple(terms)


def _signed(number) -> list[Any]:
    """A factor, in brackets if it has a sign."""
    return ["(", number, ")"] if number < 0 else [number]
