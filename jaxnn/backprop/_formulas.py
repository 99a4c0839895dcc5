r"""What each block computes, and how it is pulled back, as formulas: the mathematics of `x_vjp`.

In a formula `<X>` is the first input of the block (`<X2>` the second), `<Y>` its output, `<G>`
the cotangent of that, and a parameter is its key, such as `<kernel>`; `HELPERS` are symbols
that only the formulas themselves explain.
"""

import re
from collections.abc import Mapping
from itertools import takewhile
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from jaxnn import activations
from jaxnn.backprop import _rules
from jaxnn.backprop._blocks import Block, Blocks

Lines = tuple[tuple[str, str], ...]
HELPERS = {
    "x": r"\hat{x}", "h": "h", "d": "d", **{name: name for name in "QKVPA"},
    **{f"d{name}": rf"\delta^{{{name}}}" for name in "QKVPAS"},
}  # fmt: skip


class Formula(NamedTuple):
    """One kind of block.

    Attributes:
        letter: of its output.
        value: what it computes.
        back: what it gives back to its inputs; one for all, or one for each.
        grads: for each parameter, by its key.
        where: helpers of `value`, and what they are.
        where_back: those of `back` and `grads`.
    """

    letter: str
    value: str
    back: str | tuple[str, ...]
    grads: Mapping[str, str] = MappingProxyType({})
    where: Lines = ()
    where_back: Lines = ()


_MEANS = r"(<h> - \mathrm{mean}(<h>) - <x> \, \mathrm{mean}(<h> \, <x>))"
_SCALED = (("<h>", r"<G> \odot <scale>"),)
_NORM_GRADS = {"scale": r"\sum_{rows} <G> \odot <x>", "bias": r"\sum_{rows} <G>"}
_ATTENTION = {
    f"{part}/{key}": rule.replace("#", f"<d{letter}>")
    for part, letter in (("query", "Q"), ("key", "K"), ("value", "V"))
    for key, rule in (("kernel", r"<X>^{\top} #"), ("bias", r"\sum_{rows} #"))
}


def _norm(of: str) -> Formula:
    root = r"\sqrt{\mathrm{var}_{#}(<X>) + \epsilon}".replace("#", of)
    mean = rf"\mathrm{{mean}}_{{{of}}}"
    return Formula(
        "n", r"<scale> \odot <x> + <bias>", f"{_MEANS} / {root}", _NORM_GRADS,
        ((r"<x>", rf"(<X> - {mean}(<X>)) / {root}"),), _SCALED,
    )  # fmt: skip


FORMULAS: dict[str, Formula] = {
    "dense": Formula(
        "z", r"<X> \, <kernel> + <bias>", r"<G> <kernel>^{\top}",
        {"kernel": r"<X>^{\top} <G>", "bias": r"\sum_{batch} <G>"},
    ),
    "conv": Formula(
        "z", r"<X> \star <kernel> + <bias>", r"<G> \ast <kernel>",
        {"kernel": r"<X> \star <G>", "bias": r"\sum_{batch,places} <G>"},
    ),
    "conv_transpose": Formula(
        "z", r"<X> \ast <kernel> + <bias>", r"<G> \star <kernel>",
        {"kernel": r"<G> \star <X>", "bias": r"\sum_{batch,places} <G>"},
    ),
    "max_pool": Formula(
        "p", r"\max_{window} <X>", r"<G> \mathrm{\ where\ the\ maxima\ were,\ else\ 0}",
    ),
    "average_pool": Formula(
        "p", r"\mathrm{mean}_{window} <X>", r"<G> / n \mathrm{\ for\ each\ of\ a\ window}",
    ),
    "global_average_pool": Formula(
        "p", r"\mathrm{mean}_{places} <X>", r"<G> / n \mathrm{\ for\ each\ place}",
    ),
    "batch_norm": _norm("batch"),
    "running_batch_norm": Formula(
        "n", r"<scale> \odot <x> + <bias>", r"<h> / \sqrt{v + \epsilon}", _NORM_GRADS,
        ((r"<x>", r"(<X> - m) / \sqrt{v + \epsilon} \mathrm{\ with\ running\ mean\ } m"
          r"\mathrm{\ and\ variance\ } v"),), _SCALED,
    ),
    "layer_norm": _norm("features"),
    "group_norm": _norm("group"),
    "rms_norm": Formula(
        "n", r"<scale> \odot <x>",
        r"(<h> - <x> \, \mathrm{mean}(<h> \, <x>)) / \sqrt{\mathrm{mean}(<X>^{2}) + \epsilon}",
        _NORM_GRADS, ((r"<x>", r"<X> / \sqrt{\mathrm{mean}(<X>^{2}) + \epsilon}"),), _SCALED,
    ),
    "multi_head_attention": Formula(
        "c", "<A> <out/kernel> + <out/bias>",
        r"<dQ> <query/kernel>^{\top} + <dK> <key/kernel>^{\top} + <dV> <value/kernel>^{\top}",
        {**_ATTENTION, "out/kernel": r"<A>^{\top} <G>", "out/bias": r"\sum_{rows} <G>"},
        (
            ("<Q>, <K>, <V>", "<X> <query/kernel> + <query/bias>, "
             r"<X> <key/kernel> + <key/bias>, <X> <value/kernel> + <value/bias>"),
            ("<A>", r"<P> <V> \mathrm{\ with\ } <P> = \mathrm{softmax}(<Q> <K>^{\top} / \sqrt{d})"
             r" \mathrm{\ for\ each\ head}"),
        ),
        (
            ("<dA>", r"<G> <out/kernel>^{\top}"),
            ("<dS>", r"<P> \odot (<dP> - \sum_{keys} <P> \odot <dP>) \mathrm{\ with\ }"
             r" <dP> = <dA> <V>^{\top}"),
            ("<dQ>, <dK>, <dV>", r"<dS> <K> / \sqrt{d}, <dS>^{\top} <Q> / \sqrt{d}, "
             r"<P>^{\top} <dA>"),
        ),
    ),
    "embedding": Formula(
        "e", r"\mathrm{rows\ } <X> \mathrm{\ of\ } <embedding>", "0",
        {"embedding": r"<G> \mathrm{\ added\ up\ in\ the\ rows\ } <X>"},
    ),
    "radial_basis": Formula(
        r"\phi", r"\exp(-\Vert <d> \Vert^{2} / 2)", r"-\sum_{centers} <h> <d> / s",
        {"centers": r"\sum_{batch} <h> <d> / s",
         "log_widths": r"\sum_{batch} <h> \Vert <d> \Vert^{2}"},
        (("<d>", r"(<X> - <centers>) / s"),), (("<h>", r"<G> \odot <Y>"),),
    ),
    "dropout": Formula("d", r"m \odot <X>", r"m \odot <G>"),
    "softmax": Formula("a", *(f("<X>", "<Y>").replace("G", "<G>")
                              for f in _rules.ACTIVATIONS["softmax"])),
    "log_softmax": Formula(
        "a", r"\log \, \mathrm{softmax}(<X>)", r"<G> - \mathrm{softmax}(<X>) \sum_{features} <G>",
    ),
    # Operations that stand in no function.
    "add": Formula("s", "<X> + <X2>", "<G>"),
    "subtract": Formula("s", "<X> - <X2>", ("<G>", "-<G>")),
    "multiply": Formula("y", r"<X> \odot <X2>", (r"<G> \odot <X2>", r"<G> \odot <X>")),
    "sum": Formula("y", r"\sum <X>", r"<G> \mathrm{\ for\ each}"),
    "slice": Formula("y", r"\mathrm{part\ of\ } <X>", r"<G> \mathrm{\ in\ its\ place,\ else\ 0}"),
    "split": Formula("y", r"\mathrm{part\ of\ } <X>", r"<G> \mathrm{\ in\ its\ place,\ else\ 0}"),
    "reshape": Formula("v", r"\mathrm{reshape}(<X>)", r"\mathrm{reshape}(<G>)"),
    "squeeze": Formula("v", r"\mathrm{reshape}(<X>)", r"\mathrm{reshape}(<G>)"),
    "transpose": Formula("v", r"\mathrm{transpose}(<X>)", r"\mathrm{transpose}(<G>)"),
    "concatenate": Formula("v", r"\mathrm{join}(<X>, <X2>)", r"\mathrm{its\ part\ of\ } <G>"),
}  # fmt: skip

SEQUENCES = {"simple_rnn", "gru", "lstm"}
_OTHERS = {"tree_lstm", "tree_rnn", "unroll", "maxout", "maxout_dense", "glu", "parametric_relu",
           "scaled_dot_product_attention", "rotary"}  # fmt: skip
_MIXING = {"softmax", "log_softmax", "maxout", "glu"}
ACTIVATIONS = {
    name for name in activations.__all__ if not name.endswith(("_grad", "_vjp"))
} - _MIXING | {"silu"}
UNARY = {"abs", "cos", "erf", "exp", "expm1", "log", "log1p", "negative", "rsqrt", "sign", "sin",
         "sqrt", "square"}  # fmt: skip
ELEMENTWISE = ACTIVATIONS | UNARY
_OPERATIONS = {"add", "subtract", "multiply", "sum", "slice", "split", "reshape", "squeeze",
               "transpose", "concatenate"}  # fmt: skip
# Names of scopes that are functions.
FUNCTIONS = (set(FORMULAS) - _OPERATIONS) | SEQUENCES | _OTHERS | ACTIVATIONS | {"softmax"}

SYMBOLS = {
    "kernel": "W", "bias": "b", "scale": r"\gamma", "embedding": "E", "centers": "C",
    "log_widths": r"\log s", "query": "Q", "key": "K", "value": "V", "out": "O",
}  # fmt: skip
_NORMS = {"batch_norm", "running_batch_norm", "layer_norm", "group_norm", "rms_norm"}


def formula_of(block: Block, of: Blocks) -> Formula:
    """The formula of a block."""
    kind, shapes = block.kind, _shapes(block, of)
    if block.elementwise:
        return _activation(block)
    if kind in ("add", "multiply") and len(block.parameters) == len(block.inputs) == 1:
        return _with_parameter(kind, *keys_of(block, of), *shapes) or _unknown(block, of)
    if kind == "matmul" and len(block.parameters) == 1 and _is_dense(*shapes) and _straight(block):
        key = f"<{keys_of(block, of)[0]}>"
        grads = {key[1:-1]: r"<X>^{\top} <G>"}
        return Formula("z", rf"<X> \, {key}", rf"<G> {key}^{{\top}}", grads)
    if number := _number(block):
        return number
    if kind == "batch_norm" and not any(op.name == "custom_jvp_call" for op in block.operations):
        return FORMULAS["running_batch_norm"]
    if kind == "multi_head_attention" and sum(map(of.floating, block.inputs)) == 2:
        return _cross(FORMULAS[kind])
    known = kind in FORMULAS and (kind in FUNCTIONS or _simple(block, kind))
    known = known and _fits(FORMULAS[kind], keys_of(block, of))
    if kind == "dense" and (len(block.inputs) != 1 or not _is_dense(*shapes[:2], shapes[-1])):
        known = False  # a scope of that name, but something else in it
    return FORMULAS[kind] if known else _unknown(block, of)


def _number(block: Block) -> Formula | None:
    """Arithmetic of a value and a number."""
    *_, op = block.operations
    values = [getattr(x, "value", None) for x in op.inputs]
    if len(block.operations) > 1 or len(block.inputs) != 1 or len(values) != 2:
        return None
    first, second = (f"{float(v):g}" if v is not None and np.size(v) == 1 else "" for v in values)
    known = {
        ("add", True): (f"<X> + {second}", "<G>"),
        ("add", False): (f"{first} + <X>", "<G>"),
        ("subtract", True): (f"<X> - {second}", "<G>"),
        ("subtract", False): (f"{first} - <X>", "-<G>"),
        ("multiply", True): (rf"<X> \cdot {second}", rf"<G> \cdot {second}"),
        ("multiply", False): (rf"{first} \cdot <X>", rf"{first} \cdot <G>"),
        ("divide", True): (f"<X> / {second}", f"<G> / {second}"),
    }.get((block.kind, bool(second)))
    return Formula("y", *known) if known and (first or second) and not block.parameters else None


def _fits(formula: Formula, keys: list[str]) -> bool:
    """Whether a block has the parameters of a formula; what is added may be missing."""
    optional = re.findall(r" \+ <([\w/]+)>", formula.value)
    needed = {key for key in formula.grads if f"<{key}>" in formula.value} - set(optional)
    return needed <= set(keys) <= set(formula.grads)


def _cross(formula: Formula) -> Formula:
    """Attention to another sequence, of which the keys and values are made."""
    other = lambda rule: rule.replace("<X> <key", "<X2> <key").replace("<X> <value", "<X2> <value")
    grads = {
        key: rule if key.startswith("query") else rule.replace("<X>", "<X2>")
        for key, rule in formula.grads.items()
    }
    query, rest = str(formula.back).split(" + ", 1)
    where = tuple((name, other(rule)) for name, rule in formula.where)
    return formula._replace(back=(query, rest), grads=grads, where=where)


def _shapes(block, of):
    return [of.program.avals[n].shape for n in (*block.inputs, *block.parameters, *block.outputs)]


def _is_dense(x, kernel=(), y=(), *rest) -> bool:
    fits = len(kernel) == 2 and x[-1:] == kernel[:1] and y == (*x[:-1], kernel[-1])
    return fits and not rest


def _straight(block) -> bool:
    """Whether it multiplies rows by a kernel as it is, not turned."""
    (op,) = block.operations[-1:]
    contracted, batch = op.eqn.params["dimension_numbers"]
    rank = len(op.eqn.invars[0].aval.shape)
    standard = (tuple(map(tuple, contracted)), tuple(map(tuple, batch)))
    return len(block.operations) == 1 and standard == (((rank - 1,), (0,)), ((), ()))


def _simple(block, kind) -> bool:
    """Whether an operation has the arguments its formula shows."""
    both = {"add", "subtract", "multiply", "concatenate"}
    return not block.parameters and len(block.inputs) == 1 + (kind in both)


def _activation(block) -> Formula:
    # What reads more than one value has options, such as the sharpness of a swish.
    plain = all(len(op.inputs) == 1 for op in block.operations)
    if plain and block.kind in _rules.ACTIVATIONS:
        value, slope = (f("<X>", "<Y>") for f in _rules.ACTIVATIONS[block.kind])
    else:
        name = _rules.upright(block.kind)
        value, slope = rf"{name}(<X>)", rf"{name}^{{\prime}}(<X>)"
    return Formula("a", value, rf"<G> \odot {slope}")


def _with_parameter(kind, key, x, parameter, y) -> Formula | None:
    """A sum or a product with a parameter, which may be the same for all rows."""
    if x != y or x[len(x) - len(parameter) :] != parameter:
        return None
    rows = "" if x == parameter else r"\sum_{rows} " if parameter else r"\sum "
    if kind == "add":
        return Formula("s", f"<X> + <{key}>", "<G>", {key: f"{rows}<G>"})
    grads = {key: rf"{rows}<X> \odot <G>"}
    return Formula("y", rf"<X> \odot <{key}>", rf"<G> \odot <{key}>", grads)


def _unknown(block, of) -> Formula:
    """A function of which only its name is known."""
    places = [f"<X{i + 1}>" if i else "<X>" for i in range(len(block.inputs))]
    keys = keys_of(block, of)
    inside = ", ".join([*places, *(f"<{key}>" for key in keys)])
    pulled = lambda x: rf"(\partial <Y> / \partial {x})^{{\top}} <G>"
    return Formula(
        "y",
        rf"{_rules.upright(block.kind)}({inside})",
        tuple(map(pulled, places)) or "0",
        {key: pulled(f"<{key}>") for key in keys},
    )


def keys_of(block: Block, of: Blocks) -> list[str]:
    """Its parameters by their keys below what they have in common: `kernel`, `query/kernel`."""
    paths = [of.paths[n] for n in block.parameters]
    common = len(common_path(block, of))
    return ["/".join(path[common:]) or "parameter" for path in paths]


def common_path(block: Block, of: Blocks) -> tuple[str, ...]:
    """The keys that lead to all of its parameters."""
    levels = zip(*(of.paths[n][:-1] for n in block.parameters), strict=False)
    return tuple(keys[0] for keys in takewhile(lambda keys: len(set(keys)) == 1, levels))


def symbol_of(key: str, kind: str, n: int) -> str:
    """The symbol of a parameter: `W_{1}` of a kernel, `W^{Q}_{3}` of that of queries."""
    *parts, last = key.split("/")
    if kind in SEQUENCES and parts:
        return rf"{'U' if parts[-1] == 'dense_h' and last == 'kernel' else SYMBOLS[last]}_{{{n}}}"
    base = r"\beta" if kind in _NORMS and last == "bias" else SYMBOLS.get(last)
    base = base or _rules.upright(last)
    if parts and parts[-1] in SYMBOLS:
        return rf"{base}^{{{SYMBOLS[parts[-1]]}}}_{{{n}}}"
    return rf"{base}_{{{n}}}"


def filled(formula: str, symbols: dict[str, str]) -> str:
    """A formula with symbols put in; a term whose parameter is missing drops out."""
    for term in re.findall(r" \+ <([\w/+-]+)>", formula):
        if term not in symbols:
            formula = formula.replace(f" + <{term}>", "")

    def put_in(found):
        symbol, raised = symbols[found[1]], found[2]
        # What is raised already can't be raised again.
        return rf"{{{symbol}}}^" if raised and "^" in symbol else symbol + raised

    return re.sub(r"<([\w/+-]+)>(\^?)", put_in, formula)
