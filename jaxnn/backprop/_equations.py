"""The two passes as equations: symbol, rule, the rule with numbers in it, and the value."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jaxnn.backprop import _rules

# Of the terms of a long sum, those that are printed: the largest.
SHOWN = 3


class Equation(NamedTuple):
    """One row of the table.

    Attributes:
        symbol: what is computed, in LaTeX.
        rule: by which formula.
        terms: the formula with numbers: arrays, and LaTeX between them; empty if there is
            nothing to put in.
        value: the result.
    """

    symbol: str
    rule: str
    terms: tuple[Any, ...]
    value: np.ndarray


@dataclass
class Written:
    """Everything a renderer needs."""

    title: str
    sections: list[tuple[str, list[Equation]]]
    digits: int
    limit: int


def sections_of(params, layers, rules, loss, y, values, scale, digits, limit) -> Written:
    """Both passes, a section per layer and pass."""
    sizes = [layers[0].inputs.shape[-1], *(p.z.shape[-1] for p in layers)]
    examples = layers[0].z.size // sizes[1]
    title = f"{examples} example{'s' * (examples != 1)}, {' → '.join(map(str, sizes))}, "
    title += f"{'mean of' if scale is None else f'{scale:g} ×'} {loss.name}"

    def header(number):
        p, name = layers[number - 1], rules[number - 1].name
        kind = "" if name == "linear" else f", {name}"
        return f"layer {number}: {p.name}, {p.inputs.shape[-1]} → {p.z.shape[-1]}{kind}"

    numbers = range(1, len(layers) + 1)
    sections = [
        (f"forward, {header(n)}", _forward(n, params, layers, rules[n - 1])) for n in numbers
    ]
    sections.append(("loss", [_loss(len(layers), loss, values, scale)]))
    for n in reversed(numbers):
        last = n == len(layers)
        first = _last(layers, rules, loss, y, values, scale) if last else _hidden(n, params, layers)
        rows = first + _slopes(n, layers, rules[n - 1], skip=last and rules[-1].name == "linear")
        if last and loss.own and (rules[-1].name, loss.name) in _rules.CANCELLING:
            rows.append(_difference(n, layers[-1], y, _factor(values, scale)))
        sections.append((f"backward, {header(n)}", rows + _weights(n, layers, examples)))
    return Written(title, sections, digits, limit)


def matrix(array) -> np.ndarray:
    """Any array as rows, one per example."""
    array = np.asarray(array)
    array = array if array.dtype.kind in "biu" else array.astype(float)
    return array.reshape(-1, array.shape[-1]) if array.ndim else array


def _before(n) -> str:
    """What enters layer n."""
    return "x" if n == 1 else f"a_{{{n - 1}}}"


def _grad(symbol) -> str:
    return rf"\partial L / \partial {symbol}"


def _forward(n, params, layers, rule) -> list[Equation]:
    p, own = layers[n - 1], params[layers[n - 1].name]
    z, a = f"z_{{{n}}}", f"a_{{{n}}}"
    affine = rf"{_before(n)} \, W_{{{n}}}"
    terms = (matrix(p.inputs), matrix(own["kernel"]))
    if "bias" in own:
        affine, terms = rf"{affine} + b_{{{n}}}", (*terms, "+", matrix(own["bias"]))
    return [
        Equation(z, affine, terms, matrix(p.z)),
        Equation(a, _rules.activated(rule, z, a), (), matrix(p.a)),
    ]


def _factor(values, scale) -> str:
    """The scale of the loss as it is written: 1/4 of the mean of four."""
    if scale is None:
        return "" if values.size == 1 else f"1/{values.size}"
    return "" if scale == 1 else f"{scale:g}"


def _loss(n, loss, values, scale) -> Equation:
    few = np.asarray(values, float).reshape(-1)
    factor = _factor(values, scale)
    rule = rf"{factor} \, \sum \, {_rules.upright(loss.name)}(a_{{{n}}}, y)"
    terms: list[Any] = [factor, "("] if factor else []
    for i, one in enumerate(few[:8]):
        terms += ["+", one] if i else [one]
    terms += [")"] if factor else []
    total = few.sum() * (1 / max(few.size, 1) if scale is None else scale)
    shown = tuple(terms) if 1 < len(few) <= 8 else ()
    return Equation("L", rule.strip().removeprefix(r"\,").strip(), shown, np.asarray(total))


def _last(layers, rules, loss, y, values, scale) -> list[Equation]:
    """Where the backward pass starts: at the gradient of the loss."""
    n, p, output = len(layers), layers[-1], rules[-1]
    a = f"a_{{{n}}}"
    symbol = rf"\delta_{{{n}}}" if output.name == "linear" else _grad(a)
    slope = _rules.LOSSES.get(loss.name) if loss.own else None
    if slope is None:
        factor = _factor(values, scale)
        formula = rf"{factor} \, {_rules.upright(loss.name)}^{{\prime}}({a}, y)".strip()
        return [Equation(symbol, formula.removeprefix(r"\,").strip(), (), matrix(p.a_grad))]
    found = _rules.difference(output, loss, p.a, y)
    if found is None:
        formula, factor = slope(a), _factor(values, scale)
        formula = rf"({formula}) \cdot {factor}" if factor else formula
        return [Equation(symbol, formula, (), matrix(p.a_grad))]
    by, prediction, target = found
    # The factor 2 joins the scale.
    formula = f"{a} - y" if loss.name == "squared_error" else slope(f"z_{{{n}}}")
    if scale is None:
        factor = f"{by}/{values.size}" if values.size > 1 else ("" if by == 1 else f"{by}")
    else:
        factor = "" if by * scale == 1 else f"{by * scale:g}"
    terms: tuple[Any, ...] = (matrix(prediction), "-", matrix(target))
    if factor:
        formula, terms = rf"({formula}) \cdot {factor}", ("(", *terms, ")", rf"\cdot {factor}")
    return [Equation(symbol, formula, terms, matrix(p.delta))]


def _difference(n, p, y, factor) -> Equation:
    """The same error without the products: prediction less target."""
    formula = f"(a_{{{n}}} - y)"
    terms = ("(", matrix(p.a), "-", matrix(y), ")")
    if factor:
        formula, terms = rf"{formula} \cdot {factor}", (*terms, rf"\cdot {factor}")
    return Equation(rf"\delta_{{{n}}}", formula, terms, matrix(p.delta))


def _hidden(n, params, layers) -> list[Equation]:
    """What comes back from the next layer."""
    p, after = layers[n - 1], layers[n]
    terms = (matrix(after.delta), matrix(params[after.name]["kernel"]).T)
    rule = rf"\delta_{{{n + 1}}} W_{{{n + 1}}}^{{\top}}"
    return [Equation(_grad(f"a_{{{n}}}"), rule, terms, matrix(p.a_grad))]


def _slopes(n, layers, rule, skip) -> list[Equation]:
    """Back through the activation."""
    if skip:
        return []
    p = layers[n - 1]
    z, a = f"z_{{{n}}}", f"a_{{{n}}}"
    slope = _rules.slope_of(rule, z, a)
    if rule.slope is not None:
        terms = (matrix(p.a_grad), r"\odot", matrix(rule.slope(p.z)))
        formula = rf"{_grad(a)} \odot {slope}"
    else:
        terms = ()
        formula = rf"{_grad(a)} \cdot {slope}"
        if "G" in slope:
            formula = slope.replace("G", _grad(a))
    return [Equation(rf"\delta_{{{n}}}", formula, terms, matrix(p.delta))]


def _weights(n, layers, examples) -> list[Equation]:
    """Gradients of the parameters."""
    p = layers[n - 1]
    terms = (matrix(p.inputs).T, matrix(p.delta))
    delta = rf"\delta_{{{n}}}"
    rule = rf"{_before(n)}^{{\top}} {delta}"
    rows = [Equation(_grad(f"W_{{{n}}}"), rule, terms, matrix(p.kernel_grad))]
    if p.bias_grad is not None:
        rule = delta if examples == 1 else rf"\sum_{{batch}} {delta}"
        rows.append(Equation(_grad(f"b_{{{n}}}"), rule, (), matrix(p.bias_grad)))
    return rows


def unit_section(params, layers, rules, unit, example) -> tuple[str, list[Equation]]:
    """One unit and one example: what it is made of, and what comes back to it."""
    n, j = unit
    p, own, rule = layers[n - 1], params[layers[n - 1].name], rules[n - 1]
    at = lambda array: matrix(array)[example]
    mark = f"_{{{n},{j}}}"
    z, a, delta = f"z{mark}", f"a{mark}", rf"\delta{mark}"
    bias = [float(own["bias"][j])] if "bias" in own else []
    affine = rf"\sum_{{k}} {_entry(_before(n), 'k')} \, W_{{{n},k,{j}}}"
    rows = [
        Equation(
            z,
            rf"{affine} + b{mark}" if bias else affine,
            _products(at(p.inputs), matrix(own["kernel"])[:, j], bias),
            at(p.z)[j],
        ),
        Equation(a, _rules.activated(rule, z, a), (), at(p.a)[j]),
    ]
    if n < len(layers):
        after = layers[n]
        back = rf"\sum_{{i}} \delta_{{{n + 1},i}} W_{{{n + 1},{j},i}}"
        terms = _products(at(after.delta), matrix(params[after.name]["kernel"])[j], [])
        rows.append(Equation(_grad(a), back, terms, at(p.a_grad)[j]))
    if rule.slope is not None and (n < len(layers) or rule.name != "linear"):
        slope = at(rule.slope(p.z))[j]
        formula = rf"{_grad(a)} \cdot {_rules.slope_of(rule, z, a)}".replace(r"\odot", r"\cdot")
        terms = (at(p.a_grad)[j], r"\cdot", *_signed(slope))
        rows.append(Equation(delta, formula, terms, at(p.delta)[j]))
    else:
        rows.append(Equation(delta, _grad(z), (), at(p.delta)[j]))
    k = int(np.abs(at(p.inputs)).argmax())
    rows += _unit_weights(p, n, j, k)
    return f"unit {j} of layer {n}, example {example}", rows


def _unit_weights(p, n, j, k) -> list[Equation]:
    """The gradients of the unit's weight from its largest input k, and of its bias."""
    column, inputs = matrix(p.delta)[:, j], matrix(p.inputs)[:, k]
    delta = rf"\delta_{{{n},{j}}}"
    rows = [
        Equation(
            _grad(f"W_{{{n},{k},{j}}}"),
            rf"\sum_{{batch}} {_entry(_before(n), k)} \, {delta}",
            _products(inputs, column, []),
            matrix(p.kernel_grad)[k, j],
        )
    ]
    if p.bias_grad is not None:
        symbol, rule = _grad(f"b_{{{n},{j}}}"), rf"\sum_{{batch}} {delta}"
        rows.append(Equation(symbol, rule, (), matrix(p.bias_grad)[0, j]))
    return rows


def _entry(symbol, k) -> str:
    """Entry k of x or a_l."""
    return f"x_{{{k}}}" if symbol == "x" else f"{symbol[:-1]},{k}}}"


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
