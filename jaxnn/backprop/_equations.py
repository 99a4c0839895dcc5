"""The two passes as equations: symbol, rule, the rule with numbers in it, and the value."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxnn.backprop import _rules, _steps
from jaxnn.backprop._formulas import HELPERS, filled
from jaxnn.backprop._layers import Layer, Network, Part
from jaxnn.backprop._shown import Equation, Written, panels


@dataclass
class Outcome:
    """The loss of a network, where its backward pass starts.

    Attributes:
        rule: of the loss function.
        numbers: of what the network returns.
        outputs: the same, as it returns it.
        y: targets.
        values: losses.
        scale: of their sum, None for the mean.
    """

    rule: _rules.Rule
    numbers: list[int]
    outputs: Any
    y: Any
    values: Any
    scale: float | None

    @property
    def factor(self) -> str:
        """The scale as it is written: 1/4 of the mean of four."""
        if self.scale is None:
            return "" if self.values.size == 1 else f"1/{self.values.size}"
        return "" if self.scale == 1 else f"{self.scale:g}"

    def predictions(self, network: Network) -> str:
        """The symbols of what is returned."""
        return ", ".join(_prediction(network, self, n) for n in self.numbers)


def written(network: Network, outcome: Outcome, digits: int) -> Written:
    """Both passes, a section per layer and pass."""
    sections = [
        (f"forward, {_header(network, layer)}", _forward(network, layer, outcome))
        for layer in network.layers
    ]
    sections.append(("loss", [_loss(network, outcome)]))
    for layer in reversed(network.layers):
        rows = _backward(network, layer, outcome)
        sections.append((f"backward, {_header(network, layer)}", rows))
    return Written(_title(network, outcome), _notes(network), sections, digits, network.limit)


# Titles


def _title(network, outcome) -> str:
    by = "mean of" if outcome.scale is None else f"{outcome.scale:g} ×"
    by = f"{by} {outcome.rule.name}"
    x = [network.values[n] for n in network.of.program.inputs[len(network.of.paths) :]]
    kinds = {layer.parts[0].block.kind for layer in network.layers}
    if kinds == {"dense"} and len(x) == 1:
        sizes = [x[0].shape, *(network.values[p.parts[0].output].shape for p in network.layers)]
        examples = x[0].size // x[0].shape[-1]
        widths = " → ".join(str(shape[-1]) for shape in sizes)
        return f"{examples} example{'s' * (examples != 1)}, {widths}, {by}"
    count = len(network.layers)
    shapes = ", ".join(_size(a.shape) for a in x)
    return f"inputs {shapes}, {count} layer{'s' * (count != 1)}, {by}"


def _notes(network) -> list[str]:
    """What signs mean that not everyone knows."""
    kinds = {part.block.kind for part in network.parts}
    unrolled = any(part.unrolled is not None for part in network.parts)
    notes = {
        "⋆ slides a kernel over the rows and columns, ∗ slides it flipped": kinds
        & {"conv", "conv_transpose"},
        "W meets the input, U the state before, λ is what comes from above": unrolled,
        "m is 0 where an entry was dropped": "dropout" in kinds,
    }
    return [note for note, wanted in notes.items() if wanted]


def _header(network, layer) -> str:
    def size(n):
        return _size(network.values[n].shape[-3 if n in network.images else -1 :])

    first, last = layer.parts[0].block, layer.parts[-1]
    sizes = size(last.output)
    if first.inputs and network.of.floating(first.inputs[0]):
        sizes = f"{size(first.inputs[0])} → {sizes}"
    kinds = [p.block.kind for p in layer.parts if p.block.kind not in ("dense", layer.name)]
    return ", ".join([f"layer {layer.number}: {layer.name}", sizes, *kinds])


def _size(shape) -> str:
    return " × ".join(map(str, shape)) or "1"


# Forward


def _forward(network, layer, outcome) -> list[Equation]:
    rows = []
    for part in layer.parts:
        if part.unrolled is not None:
            rows += _steps.forward(network, layer, part)
            continue
        symbols = _symbols(network, part)
        rows += _helpers(part.formula.where, symbols)
        rule, terms = filled(part.formula.value, symbols), _affine_terms(network, part)
        for n in part.block.outputs:
            if n in network.symbols and network.of.floating(n):
                rows.append(Equation(network.symbols[n], rule, terms, network.shown(n)))
    if (n := _plain_end(network, outcome)) == layer.parts[-1].output:
        symbol = _prediction(network, outcome, n)
        rows.append(Equation(symbol, network.symbols[n], (), network.shown(n)))
    return rows


def _helpers(lines, symbols) -> list[Equation]:
    """Symbols that are only parts of other formulas."""
    return [
        Equation(filled(name, symbols), filled(rule, symbols), (), None) for name, rule in lines
    ]


def _symbols(network, part: Part) -> dict[str, str]:
    """What stands for what in the formulas of a block."""
    inputs = enumerate(part.block.inputs)
    symbols = {f"X{i + 1}" if i else "X": network.symbols.get(n, r"\cdot") for i, n in inputs}
    number = network.layer_of(part).number
    symbols |= {name: rf"{symbol}_{{{number}}}" for name, symbol in HELPERS.items()}
    symbols |= {key: network.symbols[n] for key, n in part.keys.items()}
    return symbols | {"Y": network.symbols[part.output], "G": network.grad_symbol(part.output)}


def _affine_terms(network, part) -> tuple[Any, ...]:
    """`x W + b`, or `x ⋆ W + b`, with numbers."""
    if not part.linear:
        return ()
    sign = (r"\star",) if part.block.kind == "conv" else ()
    bias = ("+", network.shown(part.keys["bias"])) if "bias" in part.keys else ()
    x = network.shown(part.block.inputs[0])
    return (x, *sign, network.shown(part.keys["kernel"]), *bias)


def _loss(network, outcome) -> Equation:
    few = np.asarray(outcome.values, float).reshape(-1)
    factor, name = outcome.factor, _rules.upright(outcome.rule.name)
    rule = rf"\sum \, {name}({outcome.predictions(network)}, y)"
    terms: list[Any] = [factor, "("] if factor else []
    for i, one in enumerate(few[:8]):
        terms += ["+", one] if i else [one]
    terms += [")"] if factor else []
    scale = 1 / max(few.size, 1) if outcome.scale is None else outcome.scale
    shown = tuple(terms) if 1 < len(few) <= 8 else ()
    return Equation("L", _times(factor, rule), shown, np.asarray(few.sum() * scale))


def _times(factor, formula) -> str:
    return rf"{factor} \, {formula}" if factor else formula


def _plain_end(network, outcome) -> int | None:
    """The output of the network, if it is one that no activation has made."""
    n, *others = outcome.numbers
    return n if not others and network.symbols[n].startswith("z") else None


def _prediction(network, outcome, n) -> str:
    """The symbol of an output: `a` of what no activation has made."""
    symbol = network.symbols[n]
    return f"a{symbol[1:]}" if _plain_end(network, outcome) == n else symbol


# Backward


def _backward(network, layer: Layer, outcome) -> list[Equation]:
    rows: list[Equation] = []
    for part in reversed(layer.parts):
        for n in part.block.outputs:
            if n in network.cotangents:
                rows += _cotangent(network, layer, part, n, outcome)
        if part.unrolled is not None:
            rows += _steps.backward(network, layer, part)
        elif part.output in network.cotangents:
            rows += _helpers(part.formula.where_back, _symbols(network, part))
        for key, n in part.keys.items():
            if (part.place, n) in network.given:
                rows.append(_parameter(network, layer, part, key))
    return rows


def _cotangent(network, layer, part, n, outcome) -> list[Equation]:
    """What comes back to a value: from the loss, and from the blocks that read it."""
    symbol = network.grad_symbol(n)
    if part.unrolled is not None:  # without what comes from later steps
        symbol = _steps.symbols_at(network, layer, part, None)["G"].replace(",t", "")
    found = [_start(network, outcome, n)] if n in outcome.numbers else []
    found += [_back(network, reader, n) for reader in network.readers(n)]
    rule = " + ".join(rule for rule, _ in found).replace("+ -", "- ")
    terms = found[0][1] if len(found) == 1 else ()
    rows = [Equation(symbol, rule, terms, network.grad(n))]
    if len(network.readers(n)) == 1:
        rows += _difference(network, outcome, network.readers(n)[0], n)
    return rows


def _back(network, reader: Part, n) -> tuple[str, tuple[Any, ...]]:
    """The rule by which a block gives a value its part, and numbers."""
    if reader.unrolled is not None:
        return _steps.given(network, network.layer_of(reader), reader), ()
    symbols, back = _symbols(network, reader), reader.formula.back
    if not isinstance(back, str):
        back = back[reader.block.inputs.index(n)]
    g = network.grad(reader.output)
    terms: tuple[Any, ...] = ()
    if reader.place in network.slopes:
        terms = (g, r"\odot", network.shown(n, network.slopes[reader.place]))
    elif reader.linear:
        kernel = network.shown(reader.keys["kernel"])
        terms = (g, kernel.T) if reader.block.kind == "dense" else (g, r"\ast", kernel)
    return filled(back, symbols), terms


def _start(network, outcome, n) -> tuple[str, tuple[Any, ...]]:
    """Where the backward pass starts: at the gradient of the loss."""
    loss, factor = outcome.rule, outcome.factor
    slope = _rules.LOSSES.get(loss.name) if loss.own and len(outcome.numbers) == 1 else None
    if slope is None:
        name = _rules.upright(loss.name)
        prime = rf"{name}^{{\prime}}({outcome.predictions(network)}, y)"
        return _times(factor, prime), ()
    a, found = _prediction(network, outcome, n), None
    if network.maker(n).block.kind not in ("sigmoid", "softmax"):
        found = _rules.difference(loss, outcome.outputs, outcome.y)
    if found is None:
        return (rf"({slope(a)}) \cdot {factor}" if factor else slope(a)), ()
    by, prediction, target = found
    # The factor 2 joins the scale.
    if outcome.scale is None:
        size = outcome.values.size
        factor = f"{by}/{size}" if size > 1 else ("" if by == 1 else f"{by}")
    else:
        factor = "" if by * outcome.scale == 1 else f"{by * outcome.scale:g}"
    formula = f"{a} - y" if loss.name == "squared_error" else slope(network.symbols[n])
    terms = (network.shown(n, prediction), "-", network.shown(n, target))
    if not factor:
        return formula, terms
    return rf"({formula}) \cdot {factor}", ("(", *terms, ")", rf"\cdot {factor}")


def _difference(network, outcome, reader, z) -> list[Equation]:
    """The error before the last activation without the products: prediction less target."""
    name, output = outcome.rule.name, reader.output
    if output not in outcome.numbers or (reader.block.kind, name) not in _rules.CANCELLING:
        return []
    if not outcome.rule.own or network.readers(output):
        return []
    formula = f"({network.symbols[output]} - y)"
    terms = ("(", network.shown(output), "-", panels(outcome.y), ")")
    if outcome.factor:
        formula, terms = rf"{formula} \cdot {outcome.factor}", (*terms, rf"\cdot {outcome.factor}")
    return [Equation(network.grad_symbol(z), formula, terms, network.grad(z))]


def _parameter(network, layer, part: Part, key) -> Equation:
    """The gradient of a parameter."""
    n = part.keys[key]
    if part.unrolled is not None:
        found = _steps.parameter(network, layer, part, key)
    else:
        symbols = _symbols(network, part)
        rule = filled(part.formula.grads[key], symbols)
        g = network.cotangents[part.output]
        if part.block.kind == "dense" and key == "bias" and g.size == g.shape[-1]:
            rule = symbols["G"]
        symbol = rf"\partial L / \partial {network.symbols[n]}"
        value = network.shown(n, network.given[part.place, n])
        found = Equation(symbol, rule, _parameter_terms(network, part, key), value)
    later = [other for other in network.readers(n) if other.place > part.place]
    if not later:
        return found
    # What several blocks share: the parts add up, from the last to the first.
    total = sum(network.given[other.place, n] for other in (part, *later))
    rule = rf"{found.rule} + \mathrm{{the\ above}}"
    return Equation(found.symbol, rule, (), network.shown(n, total))


def _parameter_terms(network, part, key) -> tuple[Any, ...]:
    if key != "kernel" or not part.linear:
        return ()
    x, g = network.shown(part.block.inputs[0]), network.grad(part.output)
    return (x.T, g) if part.block.kind == "dense" else (x, r"\star", g)
