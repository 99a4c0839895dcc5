r"""How activations and losses are written down, and the closed forms that differentiate them.

Formulas are LaTeX that matplotlib can draw too; `_render` turns the same into plain text.
"""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn import activations

# Value and derivative of z and a = f(z); what is missing is written f(z) and f'(z). G stands
# for the cotangent of a.
ACTIVATIONS: dict[str, tuple[Callable, Callable]] = {
    "linear": (lambda z, a: z, lambda z, a: "1"),
    "sigmoid": (lambda z, a: rf"\sigma({z})", lambda z, a: rf"{a} \odot (1 - {a})"),
    "tanh": (lambda z, a: rf"\tanh({z})", lambda z, a: f"(1 - {a}^{{2}})"),
    "relu": (lambda z, a: rf"\max(0, {z})", lambda z, a: f"1[{z} > 0]"),
    "swish": (
        lambda z, a: rf"{z} \odot \sigma({z})",
        lambda z, a: rf"\sigma({z}) \odot (1 + {z} \odot \sigma(-{z}))",
    ),
    "softplus": (lambda z, a: rf"\log(1 + e^{{{z}}})", lambda z, a: rf"\sigma({z})"),
    "softmax": (
        lambda z, a: rf"\mathrm{{softmax}}({z})",
        lambda z, a: rf"{a} \odot (G - \langle G, {a} \rangle)",
    ),
}

# The derivative of each loss in its predictions p.
LOSSES: dict[str, Callable[[str], str]] = {
    "squared_error": lambda p: f"2 ({p} - y)",
    "absolute_error": lambda p: rf"\mathrm{{sign}}({p} - y)",
    "log_cosh": lambda p: rf"\tanh({p} - y)",
    "binary_cross_entropy": lambda p: rf"\sigma({p}) - y",
    "binary_cross_entropy_from_probabilities": lambda p: rf"({p} - y) / ({p} (1 - {p}))",
    "categorical_cross_entropy": lambda p: rf"\mathrm{{softmax}}({p}) - y",
    "categorical_cross_entropy_from_probabilities": lambda p: f"-y / {p}",
    "sparse_categorical_cross_entropy": lambda p: (
        rf"\mathrm{{softmax}}({p}) - \mathrm{{onehot}}(y)"
    ),
    "hinge": lambda p: f"-y \\, 1[y {p} < 1]",
    "poisson": lambda p: f"e^{{{p}}} - y",
}

# Losses whose error is a prediction less a target: the factor, and how the outputs predict.
DIFFERENCES: dict[str, tuple[int, Callable]] = {
    "squared_error": (2, activations.linear),
    "binary_cross_entropy": (1, activations.sigmoid),
    "categorical_cross_entropy": (1, activations.softmax),
    "sparse_categorical_cross_entropy": (1, activations.softmax),
}
# Outputs whose slope cancels with that of the loss, to the same difference.
CANCELLING = {
    ("sigmoid", "binary_cross_entropy_from_probabilities"),
    ("softmax", "categorical_cross_entropy_from_probabilities"),
}


class Rule(NamedTuple):
    """A function, and how to pull a cotangent back through its first argument.

    Attributes:
        name: of the function.
        own: whether it is one of ours, without options, so that its formula is known.
        pull: `pull(g, x, ...)`.
    """

    name: str
    own: bool
    pull: Callable


def rule_of(f: Callable) -> Rule:
    """The rule of a function: by the closed form that stands beside it, or else by JAX."""
    options = f.keywords if isinstance(f, partial) and not f.args else {}
    core: Any = f.func if options else f
    name = getattr(core, "__name__", type(core).__name__).strip("<>_")
    where = getattr(core, "__module__", None) or ""
    module = importlib.import_module(where) if where.startswith("jaxnn.") else None
    own = module is not None and not options
    if grad := getattr(module, f"{name}_grad", None):

        def closed(g, x, *others):
            found = grad(x, *others, **options)
            return _rows(g, x) * (found[0] if isinstance(found, tuple) else found)

        return Rule(name, own, closed)

    def pull(g, x, *others):
        return jax.vjp(lambda x: f(x, *others), x)[1](g)[0]

    return Rule(name, own, pull)


def _rows(g, x):
    """A cotangent per row, with the axis of its features."""
    return g.reshape(g.shape + (1,) * (x.ndim - g.ndim))


def upright(name: str) -> str:
    """A name in upright letters."""
    return rf"\mathrm{{{name}}}".replace("_", r"\_")


def difference(loss: Rule, a, y):
    """`(factor, prediction, target)` where the error is their difference, else None."""
    if not loss.own or loss.name not in DIFFERENCES:
        return None
    factor, predict = DIFFERENCES[loss.name]
    if loss.name == "sparse_categorical_cross_entropy":
        y = jax.nn.one_hot(y, a.shape[-1], dtype=jnp.int32)
    return factor, predict(a), y
