"""The rows of a recurrent layer: both passes step by step."""

import numpy as np

from jaxnn.backprop._formulas import filled
from jaxnn.backprop._layers import Layer, Network, Part
from jaxnn.backprop._shown import Equation, panels
from jaxnn.backprop._time import Line

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
    rows = []
    for t in _steps(part):
        rows += [_row(network, layer, part, line, t) for line in part.unrolled.cell.forward]
    return rows


def backward(network: Network, layer: Layer, part: Part) -> list[Equation]:
    """Backpropagation through time: the steps from the last to the first."""
    rows = []
    for t in reversed(_steps(part)):
        rows += [_row(network, layer, part, line, t) for line in part.unrolled.cell.backward]
    if _steps(part) == [None]:
        delta = np.asarray(part.unrolled.arrays["delta"], float)
        norms = np.linalg.norm(delta.reshape(len(delta), -1), axis=1)
        symbol = rf"\Vert \delta_{{{layer.number},t}} \Vert"
        steps = rf"\mathrm{{steps\ 1\ to\ {len(norms)}}}"
        rows.append(Equation(symbol, steps, (), norms.reshape(-1, 10) if len(norms) % 10 == 0
                             else norms[None]))  # fmt: skip
    return rows


def parameter(network: Network, layer: Layer, part: Part, key: str) -> Equation:
    """The gradient of a parameter: all steps share it, so that theirs add up."""
    arrays, symbols = part.unrolled.arrays, symbols_at(network, layer, part, None)
    n = part.keys[key]
    *_, name, last = key.split("/")
    before, delta = {"dense_i": ("x", "delta"), "dense_h": ("h-", "state")}[name]
    meets = part.unrolled.cell.delta if delta == "delta" else part.unrolled.cell.state
    rule = rf"\sum_t <{before}>^{{\top}} {meets}" if last == "kernel" else rf"\sum_t {meets}"
    if len(arrays["x"][0]) > 1 and last == "bias":
        rule = rf"\sum_{{batch}} {rule}"
    terms = []
    if last == "kernel" and len(arrays["x"]) <= SUMMED:
        for x, d in zip(arrays[before], arrays[delta], strict=True):
            terms += ["+"] * bool(terms) + [panels(x).T, panels(d)]
    symbol = rf"\partial L / \partial {network.symbols[n]}"
    return Equation(symbol, filled(rule, symbols), tuple(terms),
                    panels(network.given[part.place, n]))  # fmt: skip


def given(network: Network, layer: Layer, part: Part) -> str:
    """What the layer gives back to its inputs, at step t."""
    rule = rf"{part.unrolled.cell.delta} <W>^{{\top}} \mathrm{{\ at\ each\ t}}"
    return filled(rule, symbols_at(network, layer, part, None))


def _steps(part) -> list[int | None]:
    """The steps that are printed; one for all of a long sequence."""
    count = len(part.unrolled.arrays["x"])
    return list(range(count)) if count <= STEPS else [None]


def _row(network, layer, part, line: Line, t: int | None) -> Equation:
    arrays, params = part.unrolled.arrays, part.unrolled.params
    symbols = symbols_at(network, layer, part, t)
    if t is None:
        return Equation(symbols[line.name], filled(line.rule, symbols), (), arrays[line.name])
    ended = line.last is not None and t == len(arrays["x"]) - 1

    def array(term):
        if (name := term.removesuffix("^T")) in params:
            return panels(params[name]).T if term.endswith("^T") else panels(params[name])
        later = term.endswith("+") and term != "+"
        return panels(arrays[name.removesuffix("+") if later else name][t + later])

    known = lambda term: term.removesuffix("^T").removesuffix("+") in {**arrays, **params}
    terms = () if ended else tuple(array(s) if known(s) else s for s in line.terms)
    rule = filled(line.last if ended else line.rule, symbols)
    return Equation(symbols[line.name], rule, terms, panels(arrays[line.name][t]))


def symbols_at(network: Network, layer: Layer, part: Part, t: int | None) -> dict[str, str]:
    """The symbols of a step: `h_{1,2}` of the second one of layer 1."""
    now, before, after = ("t", "t-1", "t+1") if t is None else (t + 1, t, t + 2)
    at = lambda symbol, step: rf"{symbol}_{{{layer.number},{step}}}"
    names = dict(SYMBOLS)
    if not part.unrolled.cell.gates:
        names["z"] = "z"
    found = {name: at(symbol, now) for name, symbol in names.items()}
    found |= {f"{name}-": at(symbol, before) for name, symbol in names.items()}
    found |= {f"{name}+": at(symbol, after) for name, symbol in names.items()}
    x = network.symbols[part.block.inputs[0]]
    found["x"] = rf"{x[:-1]},{now}}}" if x.endswith("}") else rf"{x}_{{{now}}}"
    for name in part.unrolled.params:  # W, U, b, and of each gate: Wr, Ur, ...
        gate = rf"^{{{name[1]}}}" if name[1:] else ""
        found[name] = rf"{name[0]}{gate}_{{{layer.number}}}"
    return found
