"""Blocks put together to layers, with a symbol for every value."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.backprop import _time
from jaxnn.backprop._blocks import Block, Blocks
from jaxnn.backprop._formulas import (
    SEQUENCES,
    Formula,
    common_path,
    formula_of,
    keys_of,
    symbol_of,
)
from jaxnn.backprop._shown import fits, panels

IMAGES = {"conv", "conv_transpose", "max_pool", "average_pool"}


@dataclass
class Part:
    """One block of a layer.

    Attributes:
        place: of the block among all.
        block: itself.
        formula: what it computes.
        output: the number of its main output.
        keys: its parameters by their keys: `kernel`, `query/kernel`.
        unrolled: of a recurrent block, all of its steps.
    """

    place: int
    block: Block
    formula: Formula
    output: int
    keys: dict[str, int]
    unrolled: _time.Unrolled | None = None

    @property
    def linear(self) -> bool:
        """Whether it adds up products of its inputs and a kernel."""
        alone = len(self.block.inputs) == 1 and "kernel" in self.keys
        return alone and self.block.kind in ("dense", "conv")


@dataclass
class Layer:
    """A block with parameters, and those without that follow it."""

    number: int
    name: str
    parts: list[Part] = field(default_factory=list)


@dataclass
class Network:
    """Both passes over a network, as values with symbols.

    Attributes:
        of: its blocks.
        values: by number.
        cotangents: likewise, where there are any.
        given: the part of each cotangent that a block gave, by its place and the number.
        slopes: derivatives of elementwise blocks, by their place.
        layers: in their order.
        symbols: of values and parameters, by number.
        images: numbers of values with rows, columns and channels.
        limit: the largest array printed whole, in entries.
    """

    of: Blocks
    values: dict[int, Any]
    cotangents: dict[int, Any]
    given: dict[tuple[int, int], Any]
    slopes: dict[int, Any]
    layers: list[Layer]
    symbols: dict[int, str]
    images: set[int]
    limit: int

    @property
    def parts(self) -> list[Part]:
        """The blocks of all layers."""
        return [part for layer in self.layers for part in layer.parts]

    def layer_of(self, part: Part) -> Layer:
        """The layer a block stands in."""
        return next(layer for layer in self.layers if part in layer.parts)

    def maker(self, n) -> Part:
        """The block that makes a value."""
        return next(part for part in self.parts if n in part.block.outputs)

    def readers(self, n) -> list[Part]:
        """The blocks that give a value, or a parameter, a part of its cotangent."""
        return [part for part in self.parts if (part.place, n) in self.given]

    def shown(self, n, array=None) -> Any:
        """A value as it is printed, or another array of its shape."""
        array = self.values[n] if array is None else array
        kernel = n in self.of.program.inputs[: len(self.of.paths)] and np.ndim(array) == 4
        shown = panels(array, "kernel" if kernel else "image" if n in self.images else "")
        # Of what is too large only shape, norm and largest entry are printed.
        return shown if fits(shown, self.limit) else np.asarray(array)

    def grad(self, n) -> Any:
        """The cotangent of a value as it is printed."""
        return self.shown(n, self.cotangents[n])

    def grad_symbol(self, n) -> str:
        """The symbol of a cotangent: delta before an activation."""
        symbol = self.symbols[n]
        if symbol.startswith("z"):
            return rf"\delta{symbol[1:]}"
        return rf"\partial L / \partial {symbol}"


def network_of(of: Blocks, values, cotangents, given, slopes, limit: int) -> Network:
    """Layers and symbols for the blocks of a network and what both passes made of them."""
    layers: list[Layer] = []
    previous: Part | None = None
    for place, block in enumerate(of.blocks):
        outputs = [n for n in block.outputs if of.floating(n)]
        if not outputs:  # masks, and what else is not differentiated
            continue
        main = max(outputs, key=lambda n: (of.program.avals[n].size, -n))
        keys = dict(zip(keys_of(block, of), block.parameters, strict=True))
        keys = dict(sorted(keys.items(), key=_order))
        part = Part(place, block, formula_of(block, of), main, keys)
        if previous is None or (block.parameters and not _finishes(part, previous)):
            name = block.name or "/".join(common_path(block, of)) or block.kind
            layers.append(Layer(len(layers) + 1, name))
        layers[-1].parts.append(part)
        previous = part
    network = Network(of, values, cotangents, given, slopes, layers, {}, _images(of), limit)
    _name(network)
    for layer in layers:
        for part in layer.parts:
            part.unrolled = _unrolled(network, part)
    return network


def _order(item) -> tuple[int, ...]:
    """Kernels before biases, what meets the input first, and the rest as it is read."""
    known = ["query", "key", "value", "dense_i", "dense_h", "kernel", "scale", "bias"]
    keys = reversed(item[0].split("/"))
    return tuple(known.index(key) if key in known else len(known) for key in keys)


def _finishes(part, previous) -> bool:
    """Whether it only adds a bias, or scales, what the operation before it made."""
    alone = part.block.kind in ("add", "multiply") and previous.block.kind == "matmul"
    return alone and previous.output in part.block.inputs


def _images(of) -> set[int]:
    rank = lambda n: len(of.program.avals[n].shape)
    flat = lambda block: len(of.program.avals[block.parameters[0]].shape) != 4
    images: set[int] = set()
    for block in of.blocks:
        if block.kind in IMAGES and not (block.parameters and flat(block)):
            images.update(n for n in (*block.inputs, *block.outputs) if rank(n) >= 3)
    for block in [*of.blocks, *reversed(of.blocks)]:  # and what keeps their shape
        both = [*block.inputs, *block.outputs]
        shapes = {of.program.avals[n].shape for n in images.intersection(both)}
        if block.kind not in IMAGES:
            images.update(n for n in both if of.program.avals[n].shape in shapes)
    return images


def _name(network) -> None:
    of, symbols = network.of, network.symbols
    data = of.program.inputs[len(of.paths) :]
    for i, n in enumerate(data):
        symbols[n] = "x" if len(data) == 1 else f"x^{{({i + 1})}}"
    for layer in network.layers:
        taken: set[str] = set()
        for part in layer.parts:
            for key, n in part.keys.items():
                symbol = symbol_of(key, part.block.kind, layer.number)
                if n not in symbols:
                    symbols[n] = _unlike(symbol, taken)
                    taken.add(symbols[n])
            letter = "h" if part.block.kind in SEQUENCES else part.formula.letter
            for n in sorted(part.block.outputs, key=lambda n: n != part.output):
                symbols[n] = _unlike(f"{letter}_{{{layer.number}}}", taken)
                taken.add(symbols[n])


def _unlike(symbol, taken) -> str:
    """A symbol with as many primes as make it unlike others."""
    base, _, number = symbol.rpartition("_")
    primes = ""
    while symbol in taken:
        primes += r"\prime"
        symbol = (
            rf"{base}^{{{primes}}}_{number}"
            if "^" not in base
            else rf"{{{base}}}^{{{primes}}}_{number}"
        )
    return symbol


def _unrolled(network, part) -> _time.Unrolled | None:
    """A recurrent block step by step, unless it has padding."""
    block = part.block
    if block.kind not in SEQUENCES or len(block.inputs) != 1 or block.constants:
        return None
    if part.output not in network.cotangents:
        return None
    tree: dict[str, dict[str, Any]] = {}
    for key, n in part.keys.items():
        *_, name, last = key.split("/")
        tree.setdefault(name, {})[last] = network.values[n]
    xs, g = network.values[block.inputs[0]], network.cotangents[part.output]
    reverse = any(op.name == "rev" for op in block.operations)
    return _time.unrolled(block.kind, tree, xs, g, reverse)


def steps_back(a: jax.Array, part: Part, like: Any) -> jax.Array:
    """`[time, sequences, ...]`, in the order of the steps, as the network has it."""
    reverse = any(op.name == "rev" for op in part.block.operations)
    a = jnp.moveaxis(a[::-1] if reverse else a, 0, 1)
    return a.reshape(*like.shape[:-1], a.shape[-1])
