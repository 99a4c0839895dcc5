"""The rows of a recurrent layer: both passes step by step."""

from typing import Any

import numpy as np

from jaxnn.backprop._formulas import filled
from jaxnn.backprop._layers import Layer, Network, Part
from jaxnn.backprop._shown import Equation, panels
from jaxnn.backprop._time import Line, Unrolled

# The longest sequence of which every step is printed, and whose sums are.
STEPS = 6
SUMMED = 3
GATES = "rznifgo"
SYMBOLS = {
    "dh": r"\partial L / \partial h", "dc": r"\partial L / \partial c", "delta": r"\delta",
    **{f"d{gate}": rf"\delta^{{{gate}}}" for gate in GATES}, "G": r"\lambda",
    "h": "h", "c": "c", **{gate: gate for gate in GATES},
}  # fmt: skip


def forward(network: Network, layer: Layer, part: Part) -> list[Equation]:
    """The steps in their order."""
    whole = _unrolled(part)
    lines = [(line, t) for t in _steps(whole) for line in whole.cell.forward]
    return [_row(network, layer, part, line, t) for line, t in lines]


def backward(network: Network, layer: Layer, part: Part) -> list[Equation]:
    """Backpropagation through time: the steps from the last to the first."""
    whole = _unrolled(part)
    lines = [(line, t) for t in reversed(_steps(whole)) for line in whole.cell.backward]
    rows = [_row(network, layer, part, line, t) for line, t in lines]
    if _steps(whole) == [None]:
        delta = np.asarray(whole.arrays["delta"], float)
        norms = np.linalg.norm(delta.reshape(len(delta), -1), axis=1)
        symbol = rf"\Vert \delta_{{{layer.number},t}} \Vert"
        steps = rf"\mathrm{{steps\ 1\ to\ {len(norms)}}}"
        rows.append(Equation(symbol, steps, (), norms[None]))
    return rows


def parameter(network: Network, layer: Layer, part: Part, key: str) -> Equation:
    """The gradient of a parameter: all steps share it, so that theirs add up."""
    whole = _unrolled(part)
    name, last = key.split("/")
    # The input meets dense_i, the state before meets dense_h; a bias may stand with either.
    x, delta, met = {
        "dense_i": ("x", "delta", whole.cell.delta),
        "dense_h": ("h-", "state", whole.cell.state),
    }[name]
    rule, terms = rf"\sum_t {met}", []
    if last == "kernel":
        rule = rf"\sum_t <{x}>^{{\top}} {met}"
        if len(whole.arrays["x"]) <= SUMMED:
            for before, d in zip(whole.arrays[x], whole.arrays[delta], strict=True):
                terms += ["+"] * bool(terms) + [panels(before).T, panels(d)]
    elif whole.arrays["x"].shape[1] > 1:
        rule = rf"\sum_{{batch}} {rule}"
    n = part.keys[key]
    symbol = rf"\partial L / \partial {network.symbols[n]}"
    rule = filled(rule, symbols_at(network, layer, part, None))
    return Equation(symbol, rule, tuple(terms), panels(network.given[part.place, n]))


def given(network: Network, layer: Layer, part: Part) -> str:
    """What the layer gives back to its inputs, at step t."""
    rule = rf"{_unrolled(part).cell.delta} <W>^{{\top}} \mathrm{{\ at\ each\ t}}"
    return filled(rule, symbols_at(network, layer, part, None))


def symbols_at(network: Network, layer: Layer, part: Part, t: int | None) -> dict[str, str]:
    """The symbols of a step: `h_{1,2}` of the second one of layer 1; of any step t for None."""
    now, before, after = ("t", "t-1", "t+1") if t is None else (t + 1, t, t + 2)
    at = lambda symbol, step: rf"{symbol}_{{{layer.number},{step}}}"
    found = {name: at(symbol, now) for name, symbol in SYMBOLS.items()}
    found |= {f"{name}-": at(symbol, before) for name, symbol in SYMBOLS.items()}
    found |= {f"{name}+": at(symbol, after) for name, symbol in SYMBOLS.items()}
    x = network.symbols[part.block.inputs[0]]
    found["x"] = rf"{x[:-1]},{now}}}" if x.endswith("}") else rf"{x}_{{{now}}}"
    for name in _unrolled(part).params:  # W, U, b, and of each gate: Wr, Ur, ...
        gate = rf"^{{{name[1]}}}" if name[1:] else ""
        found[name] = rf"{name[0]}{gate}_{{{layer.number}}}"
    return found


def _unrolled(part: Part) -> Unrolled:
    assert part.unrolled is not None
    return part.unrolled


def _steps(whole: Unrolled) -> list[Any]:
    """The steps that are printed; one None for all of a long sequence."""
    count = len(whole.arrays["x"])
    return list(range(count)) if count <= STEPS else [None]


def _row(network, layer, part, line: Line, t: int | None) -> Equation:
    """A line of a cell at one step."""
    whole, symbols = _unrolled(part), symbols_at(network, layer, part, t)
    symbol, values = symbols[line.name], whole.arrays[line.name]
    if t is None:
        return Equation(symbol, filled(line.rule, symbols), (), values)
    if line.last is not None and t == len(values) - 1:
        return Equation(symbol, filled(line.last, symbols), (), panels(values[t]))
    terms = tuple(_term(whole, name, t) for name in line.terms)
    return Equation(symbol, filled(line.rule, symbols), terms, panels(values[t]))


def _term(whole: Unrolled, name: str, t: int) -> Any:
    """What stands in a line: an array of this step or the next, a parameter, or a sign."""
    base = name.removesuffix("^T")
    if base in whole.params:
        return panels(whole.params[base]).T if base != name else panels(whole.params[base])
    if name in whole.arrays:
        return panels(whole.arrays[name][t])
    later = name[:-1]
    return panels(whole.arrays[later][t + 1]) if later in whole.arrays else name
