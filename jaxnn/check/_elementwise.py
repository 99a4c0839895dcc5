"""Elementwise functions: activations, and losses of one prediction and one target."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.check import _measure, _peers, _points, _truth


@dataclass(frozen=True)
class Elementwise:
    """An elementwise function of its first argument, beside its truth.

    Attributes:
        name: `activations.sigmoid`, or with what options, `activations.elu(alpha=0.5)`.
        f, closed_form: the function and its derivative, if that has a name.
        truth: the same function of a jet, and of exact numbers.
        near: kinks and zeros to look at closely.
        options: parameters of all three.
        points: how to draw the arguments, `(count, seed) -> arrays`; the real line by default.
        orders: how many derivatives the promise covers.
        bounds: ULP allowed for the value and the derivatives.
        terms: `part -> magnitudes` from the points, of what is subtracted where the truth may be
            nearly 0: there the ULP are those of the terms.
    """

    name: str
    f: Callable
    closed_form: Callable | None
    truth: Callable
    near: tuple[float, ...] = (0.0,)
    options: Mapping[str, Any] = field(default_factory=dict)
    points: Callable | None = None
    orders: int = 2
    bounds: tuple[float, ...] = (4, 6, 8)
    terms: Callable | None = None

    @property
    def parts(self):
        return _measure.PARTS[: self.orders + 1]

    def rows(self, settings):
        """The lines of the table: float32, and unless it is to be quick, the short types."""
        args = self.points(settings) if self.points else (self._line(settings),)
        # Numbers as the function will see them, rounded to float32.
        exact = {name: float(np.float32(value)) for name, value in self.options.items()}
        truth_of = lambda x, *rest: self.truth(x, *rest, **exact)
        high, low = _truth.evaluate(truth_of, *args)
        near = self._near_zero(truth_of, args, high)
        yield self._row(settings, args, high, low, near, jnp.float32, self.bounds)
        if settings.quick:
            return
        for kind in _points.SHORT:
            chosen = np.all([_points.exact_in(a, kind) for a in args], axis=0)
            # As many again, so that nothing need be compiled anew.
            again = np.resize(np.flatnonzero(chosen), len(args[0]))
            subset = [a[again] for a in args]
            masks = {part: mask[again] for part, mask in near.items()}
            parts = high[:, again], low[:, again]
            distinct = int(chosen.sum())
            yield self._row(
                settings, subset, *parts, masks, kind, (1,) * (self.orders + 1), distinct
            )

    def _line(self, settings):
        return _points.line(settings.points, self.near, settings.seed)

    def _near_zero(self, truth_of, args, high):
        none = np.zeros(args[0].shape, bool)
        masks: dict[str, Any] = {"value": none}
        for order, part in list(enumerate(self.parts))[1:]:

            def slope(x, order=order):
                return float(_truth.evaluate(truth_of, [x])[0][order, 0])

            centres = [] if len(args) > 1 else _measure.zeros(slope, args[0], high[order])
            masks[part] = _measure.near_any(args[0], centres) if centres else none
        return masks

    def _row(self, settings, args, high, low, near, dtype, bounds, distinct=None):
        dtype = jnp.dtype(dtype)
        count = len(args[0]) if distinct is None else distinct
        allowed = dict(zip(self.parts, bounds, strict=False))
        truth = {part: (high[i][:count], low[i][:count]) for i, part in enumerate(self.parts)}
        near = {part: mask[:count] for part, mask in near.items()}
        points = [a[:count] for a in args]
        terms = self.terms(*points) if self.terms else {}
        arrays = [jnp.asarray(a, dtype) for a in args]

        def judge(found):
            cut = [(way, part, y[:count]) for way, part, y in found]
            return _measure.judged(cut, truth, allowed, dtype, near, points, terms)

        bind = lambda f: f and (lambda *a: f(*a, **self.options))
        ways = _measure.elementwise_ways(bind(self.f), bind(self.closed_form), self.orders)
        row = _measure.Row(
            self.name, dtype.name, "ULP", allowed, judge(_measure.results(ways, *arrays))
        )
        for library in settings.against if dtype == jnp.float32 else ():
            row.peers[library] = _peers.elementwise(
                library, self.name, self.options, self.orders, args, judge
            )
        return row
