"""Optimizers and clipping: whole trajectories against the exact recursion."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jaxnn import optimizers
from jaxnn.check import _measure, _peers, _truth
from jaxnn.check._steps import RATE, clippings, trajectories

STEPS = 40


@dataclass(frozen=True)
class Trajectory:
    """An optimizer, `make() -> GradientTransformation`, beside its recursion.

    `truth(gradients)` yields the update after each of a list of exact gradients.
    """

    name: str
    make: Callable
    truth: Callable
    bound: float = 1e-5

    def rows(self, settings):
        """The line of the table: how far the weights are from where they should be."""
        kinds, gradients = _gradients(settings)
        exact = []
        for column in gradients.T:
            w, path = 0, []
            for update in self.truth([_truth.mp().mpf(float(g)) for g in column]):
                w = w + update
                path.append(float(w))
            exact.append(path)
        truth = np.array(exact).T

        def judge(found):
            measured = _measure.Measured()
            for way, _, got in found:
                got = np.asarray(got, np.float64)
                # As a share of the way so far; steps that all but cancel leave no other measure.
                size = np.maximum.accumulate(np.abs(truth), axis=0)
                with np.errstate(all="ignore"):
                    error = np.maximum(np.abs(got - truth) - 2.0**-120, 0)
                    error = error / np.where(size == 0, 1, size)
                error = np.where(np.isnan(error), np.inf, error)

                def describe(i, got=got, way=way):
                    step, which = divmod(i, len(kinds))
                    numbers = f"{got[step, which]:.7g}, truth {truth[step, which]:.7g}"
                    return f"{kinds[which]}, step {step + 1} ({way}: {numbers})"

                measured.add("value", error, error > self.bound, self.bound, describe)
            return measured

        row = _measure.Row(
            self.name, "float32", "relative", {"value": self.bound},
            judge(trajectories(self.make(), gradients)),
        )  # fmt: skip
        for library in settings.against:
            row.peers[library] = _peers.trajectory(library, self.name, gradients, judge)
        yield row


def _gradients(settings):
    """`(names, [steps, sequences])`: usual gradients with one that is huge or tiny, at step 4."""
    random = np.random.default_rng(settings.seed)
    steps = STEPS // 4 if settings.quick else STEPS
    columns = {"usual": random.normal(size=steps), "constant": np.ones(steps)}
    for size in (2e19, 1e30, 3.0e38, 1e-30, -1e25):
        column = random.normal(size=steps)
        column[3] = size
        columns[f"one of {size:g}"] = column
    for size in (1e-30, 1e-20, 1e18, 1e30):
        columns[f"all near {size:g}"] = random.normal(size=steps) * size
    columns["zeros, then ones"] = (np.arange(steps) > steps // 2) * 1.0
    return list(columns), np.stack(list(columns.values()), 1).astype(np.float32)


# The recursions


def exact_gradient_descent(gradients):
    for g in gradients:
        yield -RATE * g


def exact_momentum(nesterov):
    def truth(gradients):
        b, v = _truth.mp().mpf("0.9"), 0
        for g in gradients:
            v = b * v + g
            yield -RATE * (g + b * v if nesterov else v)

    return truth


def exact_rmsprop(gradients):
    m = _truth.mp()
    b, v = m.mpf("0.9"), 0
    for g in gradients:
        v = b * v + (1 - b) * g * g
        yield -RATE * g / (m.sqrt(v) + m.mpf("1e-8"))


def exact_adagrad(gradients):
    m = _truth.mp()
    v = 0
    for g in gradients:
        v = v + g * g
        yield -RATE * g / (m.sqrt(v) + m.mpf("1e-8"))


def exact_adadelta(gradients):
    m = _truth.mp()
    b, epsilon, v, moved = m.mpf("0.95"), m.mpf("1e-6"), 0, 0
    for g in gradients:
        v = b * v + (1 - b) * g * g
        step = -g * m.sqrt((moved + epsilon) / (v + epsilon))
        moved = b * moved + (1 - b) * step * step
        yield step


def exact_adam(nesterov=False):
    def truth(gradients):
        m = _truth.mp()
        b1, b2 = m.mpf("0.9"), m.mpf("0.999")
        mean = v = 0
        for t, g in enumerate(gradients, 1):
            mean = b1 * mean + (1 - b1) * g
            v = b2 * v + (1 - b2) * g * g
            step = mean / (1 - b1**t)
            if nesterov:
                step = b1 * mean / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
            yield -RATE * step / (m.sqrt(v / (1 - b2**t)) + m.mpf("1e-8"))

    return truth


def exact_lion(gradients):
    m = _truth.mp()
    b1, b2, mean = m.mpf("0.9"), m.mpf("0.99"), 0
    for g in gradients:
        yield -RATE * m.sign(b1 * mean + (1 - b1) * g)
        mean = b2 * mean + (1 - b2) * g


@dataclass(frozen=True)
class Clip:
    """Clipping of one gradient, `make(bound) -> GradientTransformation`, beside its definition."""

    name: str
    make: Callable
    by_value: bool = False

    def rows(self, settings):
        """The line of the table."""
        m = _truth.mp()
        cases = _clipped(settings)

        def judge(found):
            measured = _measure.Measured()
            for way, part, got in found:
                for (bound, g), clipped in zip(cases, got, strict=True):
                    norm = m.sqrt(sum(m.mpf(float(x)) ** 2 for x in g))
                    share = min(1, bound / norm) if norm else 1
                    if self.by_value:
                        truth = np.clip(g.astype(float), -bound, bound)
                    else:
                        truth = np.array([float(m.mpf(float(x)) * share) for x in g])
                    largest = np.abs(truth).max() or 1.0
                    with np.errstate(all="ignore"):
                        error = np.maximum(np.abs(clipped - truth) - 2.0**-120, 0) / largest
                    error = np.where(np.isnan(error), np.inf, error)
                    words = f"{[f'{x:.3g}' for x in g]} to {bound:g} ({way})"
                    measured.add(part, error, error > 1e-6, 1e-6, lambda i, words=words: words)
            return measured

        row = _measure.Row(
            self.name, "float32", "relative", {"value": 1e-6}, judge(clippings(self.make, cases))
        )
        for library in settings.against:
            row.peers[library] = _peers.clip(library, self.name, cases, judge)
        yield row


def _clipped(settings):
    """`(bound, gradient)` of every size."""
    random = np.random.default_rng(settings.seed)
    sizes = [1e-30, 1.0, 1e20, 3e38] if settings.quick else 10.0 ** np.arange(-36, 39, 3)
    cases = [(1.0, (random.uniform(-1, 1, 4) * size).astype(np.float32)) for size in sizes]
    cases += [(1.0, np.array([1e20, 1e20], np.float32)), (0.5, np.zeros(3, np.float32))]
    return [*cases, (1e-3, np.array([3e38, 1e-38, 0], np.float32))]


def entries():
    """All of them."""
    o, p = optimizers, "optimizers."
    pairs = [
        ("gradient_descent", lambda: o.gradient_descent(RATE), exact_gradient_descent),
        ("momentum", lambda: o.momentum(RATE), exact_momentum(False)),
        ("momentum(nesterov=True)", lambda: o.momentum(RATE, nesterov=True), exact_momentum(True)),
        ("rmsprop", lambda: o.rmsprop(RATE), exact_rmsprop),
        ("adagrad", lambda: o.adagrad(RATE), exact_adagrad),
        ("adadelta", lambda: o.adadelta(), exact_adadelta),
        ("adam", lambda: o.adam(RATE), exact_adam()),
        ("adamw", lambda: o.adamw(RATE), exact_adam()),  # weights of 0, which do not decay
        ("nadam", lambda: o.nadam(RATE), exact_adam(nesterov=True)),
        ("lion", lambda: o.lion(RATE), exact_lion),
    ]
    return [
        *(Trajectory(p + name, make, truth) for name, make, truth in pairs),
        Clip(p + "clip_by_value", o.clip_by_value, by_value=True),
        Clip(p + "clip_by_norm", o.clip_by_norm),
        Clip(p + "clip_by_global_norm", o.clip_by_global_norm),
    ]
