"""Every way to compute a function and its derivatives, and how far each is from the truth."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.check import _ulp

PARTS: tuple[str, ...] = ("value", "first", "second")


@dataclass
class Measured:
    """The worst errors of a function's value and derivatives, and how many broke a bound."""

    worst: dict[str, float] = field(default_factory=dict)
    at: dict[str, str] = field(default_factory=dict)
    checks: int = 0
    failures: int = 0
    excess: float = 0.0
    worst_input: str = ""

    def add(self, part, error, failed, bound, describe: Callable[[int], str]):
        """Counts one array of errors; `describe(i)` names the input of entry i."""
        error, failed = np.ravel(error), np.ravel(failed)
        self.checks += error.size
        self.failures += int(failed.sum())
        if not error.size:
            return
        # What breaks the promise is named before what is merely large.
        key = np.where(failed, np.where(np.isinf(error), 1e200, error + 1e30), error)
        i = int(np.argmax(key))
        if error[i] >= self.worst.get(part, -1.0):
            self.worst[part], self.at[part] = float(error[i]), describe(i)
        if key[i] / bound >= self.excess:
            self.excess, self.worst_input = float(key[i] / bound), self.at.get(part, describe(i))


@dataclass
class Row:
    """One line of the table: a function in a dtype, and what its peers do there."""

    name: str
    dtype: str
    unit: str
    bounds: dict[str, float]
    measured: Measured
    peers: dict[str, Measured | str] = field(default_factory=dict)


def total(y):
    return sum(leaf.sum() for leaf in jax.tree.leaves(y))


def elementwise_ways(f, closed_form=None, orders=2) -> dict[str, tuple[str, Callable]]:
    """`way -> (part, function of the points)` for an elementwise f of its first argument."""

    def forward(g):
        return lambda x, *rest: jax.jvp(lambda x: g(x, *rest), (x,), (jnp.ones_like(x),))[1]

    def reverse(g):
        return lambda x, *rest: jax.grad(lambda x: g(x, *rest).sum())(x)

    ways: dict[str, tuple[str, Callable]] = {
        "value": ("value", f),
        "reverse": ("first", reverse(f)),
        "forward": ("first", forward(f)),
    }
    if closed_form:
        ways["closed form"] = ("first", closed_form)
    if orders == 2:
        ways["forward over reverse"] = ("second", forward(reverse(f)))
        ways["reverse over reverse"] = ("second", reverse(reverse(f)))
        if closed_form:
            ways["forward of closed form"] = ("second", forward(closed_form))
    return ways


def results(ways, *points, eager=None) -> list[tuple[str, str, Any]]:
    """`(way, part, answer)`: all compiled together, and those named in `eager` (or all) again."""
    together = jax.jit(lambda *p: {name: way(*p) for name, (_, way) in ways.items()})(*points)
    found = [(name, part, together[name]) for name, (part, _) in ways.items()]
    again = ways if eager is None else eager
    found += [(f"{name}, eager", ways[name][0], ways[name][1](*points)) for name in again]
    return [(name, part, np.asarray(y)) for name, part, y in found]


def judged(found, truth, bounds, dtype, near, points, terms) -> Measured:
    """Elementwise answers against `truth`, `part -> (high, low)`; `near` masks simple zeros."""
    measured = Measured()
    for way, part, got in found:
        high, low = truth[part]
        error = _ulp.ulps(got, high, low, dtype, terms.get(part, 0.0))
        failed = _ulp.broken(error, got, high, bounds[part], near[part])
        relevant = np.where(near[part] & ~failed, 0.0, error)  # there ULP mean nothing

        def describe(i, way=way, got=got, high=high):
            inputs = ", ".join(f"{float(p[i]):.9g}" for p in points)
            return f"{inputs} ({way}: {float(got[i]):.7g}, truth {float(high[i]):.7g})"

        measured.add(part, relevant, failed, bounds[part], describe)
    return measured


def zeros(f, x, high, *others) -> list[float]:
    """The simple zeros of one derivative: where `high`, at the points x, changes sign smoothly."""
    usable = np.isfinite(x) & (np.abs(x) < 200)
    order = np.argsort(x[usable], kind="stable")
    xs, ys = x[usable][order].astype(float), high[usable][order]
    flips = np.flatnonzero(ys[:-1] * ys[1:] < 0)
    touches = np.flatnonzero((ys[1:-1] == 0) & (ys[:-2] * ys[2:] < 0)) + 1
    found = [float(xs[i]) for i in touches]
    for i in flips:
        left, right = xs[i], xs[i + 1]
        for _ in range(40):
            middle = (left + right) / 2
            left, right = (middle, right) if f(middle) * ys[i] > 0 else (left, middle)
        # A jump changes sign too, but is not small beside it.
        if abs(f(right)) < 1e-6 * max(abs(ys[i]), abs(ys[i + 1])) + 1e-9:
            found.append(right)
    return found


def near_any(x, centres, width=0.35):
    """Where x is within `width` of one of the centres."""
    x = np.asarray(x, np.float64)
    masks = [np.abs(x - c) <= width for c in centres]
    return np.any(masks, axis=0) if masks else np.zeros(x.shape, bool)


def text(number) -> str:
    """An error in few characters."""
    if math.isinf(number):
        return "∞"
    return f"{number:.1f}" if number < 1000 else f"{number:.0e}".replace("e+0", "e")
