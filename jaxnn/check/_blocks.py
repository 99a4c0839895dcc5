"""Functions that mix features: of rows, of layers, of sequences, with all their arguments."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.check import _measure, _peers, _truth, _ulp


@dataclass(frozen=True)
class Block:
    """A function of one example, beside its truth on nested lists of exact numbers.

    Without a closed form, values alone are measured.

    Attributes:
        name: what stands in the table.
        f: of one example, to an array.
        pulled_back: its closed form, `(g, *args) -> cotangents` of the first `wrt` arguments.
        truth: the same function on nested lists, to a flat list of exact numbers.
        examples: draws the arguments, `settings -> arrays [examples, ...]`.
        wrt: how many of the arguments are differentiated; 0 without a closed form.
        unit: "ULP" of each entry, or "relative" to the largest entry of the example.
        bound: what is allowed, of values and gradients.
        terms: as in `Elementwise`, of `{"value": ..., "first": ...}`.
        forward: False where a `custom_vjp` is installed, which has no forward mode.
        step: digits below an argument at which the truth is differentiated. 45 leave 80 of 130;
            more are needed where it bends within less.
        eager: False for whole networks, whose layers are run eagerly one by one.
        traced: False where only the numbers of one example at a time can be looked at.
    """

    name: str
    f: Callable
    pulled_back: Callable | None
    truth: Callable
    examples: Callable
    wrt: int = 1
    unit: str = "ULP"
    bound: float = 8
    terms: Callable | None = None
    forward: bool = True
    step: int = 45
    eager: bool = True
    traced: bool = True

    def rows(self, settings):
        """The line of the table, in float32."""
        args = [np.asarray(a) for a in self.examples(settings)]
        true = [self._true(example) for example in zip(*args, strict=True)]
        values, slopes = zip(*true, strict=True)
        truth = {"value": np.array(values)}
        if self.wrt:
            truth["first"] = np.array(slopes)
        arrays = [jnp.asarray(a) for a in args]
        labels = [_label(example) for example in zip(*args, strict=True)]

        def judge(found):
            return self._judged(found, truth, args, labels)

        found = self._found(arrays)
        bounds = dict.fromkeys(truth, self.bound)
        row = _measure.Row(self.name, "float32", self.unit, bounds, judge(found))
        for library in settings.against:
            row.peers[library] = _peers.block(library, self, arrays, judge)
        yield row

    def _found(self, arrays):
        """`(way, part, answer)`, of every way there is."""
        if not self.traced:
            each = [np.asarray(self.f(*example)) for example in zip(*arrays, strict=True)]
            return [("value, eager", "value", np.stack(each))]
        ways = self.ways(self.f) | self._closed(arrays)
        eager = [name for name in ways if name != "forward"] if self.eager else []
        return _measure.results(ways, *arrays, eager=eager)

    def _true(self, example):
        """`(value [outputs, 2], slopes [outputs, inputs, 2])`, high and low parts."""
        m = _truth.mp()
        exact = [_tree(m.mpf, a) for a in example]
        value = [_truth.split(y) for y in self.truth(*exact)]
        columns = []
        for i in range(self.wrt):
            for place in np.ndindex(example[i].shape):
                x = m.mpf(float(example[i][place]))
                step = (abs(x) or m.mpf(10) ** -15) * m.mpf(10) ** -self.step
                ends = []
                for moved in (x + step, x - step):
                    changed = list(exact)
                    changed[i] = _replaced(exact[i], place, moved)
                    ends.append(self.truth(*changed))
                pairs = zip(*ends, strict=True)
                columns.append([_truth.split((a - b) / (2 * step)) for a, b in pairs])
        slopes = np.array(columns).reshape(-1, len(value), 2).transpose(1, 0, 2)
        return np.array(value), slopes

    def ways(self, f):
        """Values and Jacobians `[examples, outputs, inputs]`, forward and reverse."""
        of = lambda *args: f(*args).reshape(-1)
        if not self.wrt:
            return {"value": ("value", jax.vmap(of))}
        wrt = tuple(range(self.wrt))
        flat = lambda parts: jnp.concatenate([j.reshape(j.shape[0], -1) for j in parts], -1)
        jacobian = lambda mode: jax.vmap(lambda *a: flat(mode(of, wrt)(*a)))
        ways = {"value": ("value", jax.vmap(of)), "reverse": ("first", jacobian(jax.jacrev))}
        return ways | ({"forward": ("first", jacobian(jax.jacfwd))} if self.forward else {})

    def _closed(self, arrays):
        """The closed form, one row of the Jacobian for each output."""
        pull = self.pulled_back
        if not pull:
            return {}
        like = jax.eval_shape(self.f, *(a[0] for a in arrays))
        basis = jnp.eye(like.size, dtype=like.dtype).reshape(like.size, *like.shape)

        def rows(*args):
            pulled = jax.vmap(lambda g: pull(g, *args))(basis)
            return jnp.concatenate([p.reshape(len(basis), -1) for p in pulled], -1)

        return {"closed form": ("first", jax.vmap(rows))}

    def _judged(self, found, truth, args, labels):
        measured = _measure.Measured()
        terms = self.terms(*args) if self.terms else {}
        for way, part, got in found:
            high, low = truth[part][..., 0], truth[part][..., 1]
            size = terms.get(part, 0.0)
            if self.unit == "ULP":
                size = np.maximum(size, FLUSHED / 8 * 2**23)
                error = _ulp.ulps(got, high, low, jnp.float32, size)
            else:
                cuts = np.cumsum([a[0].size for a in args[: self.wrt]])[:-1]
                cuts = cuts if part == "first" else []
                pieces = [np.split(a, cuts, axis=-1) for a in (got, high, low)]
                parts: list[Any] = list(zip(*pieces, strict=True))
                error = np.concatenate([_relative(a, b, c, size) for a, b, c in parts], -1)

            def describe(i, way=way, got=got, high=high):
                example = i // max(1, got[0].size)
                values = f"{float(got.ravel()[i]):.7g}, truth {float(high.ravel()[i]):.7g}"
                return f"{labels[example]} ({way}: {values})"

            measured.add(part, error, error > self.bound, self.bound, describe)
        return measured


def layer(name, pair, truth, examples, wrt=1, **options):
    """A sum of products, `pair` being its function and closed form: within 1e-6 of the largest."""
    f, pulled_back = pair
    unit, bound = "relative", 1e-6
    return Block("layers." + name, f, pulled_back, truth, examples, wrt, unit, bound, **options)


def value(name, f, truth, examples, unit="relative", bound=1e-6, terms=None):
    """A function whose values alone are measured."""
    return Block(name, f, None, truth, examples, 0, unit, bound, terms)


# What was flushed to 0 on the way may be missing from a sum: a few of the tiniest numbers.
FLUSHED = 8 * 2.0**-126


def _relative(got, high, low, terms):
    """Errors as a share of the largest entry of one argument in the same example."""
    axes = tuple(range(1, high.ndim))
    largest = np.maximum(np.max(np.abs(high), axis=axes, keepdims=True, initial=0), terms)
    got = np.asarray(got, np.float64)
    with np.errstate(all="ignore"):
        error = np.maximum(np.abs((got - high) - low) - FLUSHED, 0)
        error = error / np.where(largest == 0, 1, largest)
    return np.where(np.isnan(error), np.inf, error)


def _tree(convert, array):
    """An array as nested lists of exact numbers; integers and booleans as they are."""
    if array.ndim:
        return [_tree(convert, row) for row in array]
    return convert(float(array)) if np.issubdtype(array.dtype, np.floating) else array.item()


def _replaced(tree, place, value):
    """Nested lists with one entry replaced."""
    if not place:
        return value
    head, *rest = place
    return [_replaced(t, rest, value) if i == head else t for i, t in enumerate(tree)]


def _label(example):
    """The arguments in few characters; of all parameters of a network the first."""
    shown = example if len(example) < 10 else example[:4]
    return ", ".join([*map(_words, shown), *["…"] * (len(shown) < len(example))])


def _words(array):
    """An argument in few characters."""
    flat = [f"{float(x):.7g}" for x in np.ravel(array)[:5]]
    shown = ", ".join(flat) + (", …" if np.size(array) > 5 else "")
    return f"[{shown}]" if array.ndim else shown
