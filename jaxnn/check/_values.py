"""Metrics, penalties, first parameters, decoding and maps: what is read, or drawn, or counted."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn import decoding, initializers, metrics, networks, regularizers
from jaxnn.check import _rows, _truth
from jaxnn.check._blocks import Block, value
from jaxnn.check._vectors import normal, sized, together

CLASSES = 3


# Metrics


def _errors(settings):
    """Predictions and targets of every size, close to each other and far, in rows of 7."""
    shape = ((7,), (7,))
    usual = together(normal(*shape), sized(*shape, powers=[(-18, 18)] * 2))(settings)
    p, t = (a.copy() for a in usual)
    p[::3] = t[::3] * (1 + p[::3] / 1024 / np.abs(p[::3]).max())
    return p, t


def _up_to(size):
    """The same, and errors whose sum, or that of their squares, leaves the range."""

    def draw(settings):
        far = np.linspace(0.6, 1, 7) * size
        pairs = zip(_errors(settings), (far, 0 * far), strict=True)
        return tuple(np.append(usual, [row], 0).astype(np.float32) for usual, row in pairs)

    return draw


def _mean(numbers):
    return sum(numbers) / len(numbers)


def _share(right):
    return _mean([_truth.mp().mpf(bool(one)) for one in right])


def _mean_squared(p, t):
    return [_mean([(a - b) ** 2 for a, b in zip(p, t, strict=True)])]


def _mean_absolute(p, t):
    return [_mean([abs(a - b) for a, b in zip(p, t, strict=True)])]


def _r2(p, t):
    total = sum((b - _mean(t)) ** 2 for b in t)
    return [1 - sum((a - b) ** 2 for a, b in zip(p, t, strict=True)) / total]


def _entropies(settings):
    """Cross-entropies in nats, of up to e^11 words."""
    random = np.random.default_rng(settings.seed)
    n = 4 if settings.quick else 32
    return ((random.uniform(0, 1, (n, 50)) * random.uniform(0, 11, (n, 1))).astype(np.float32),)


def _scored(settings):
    """Rows of logits, and their classes."""
    random = np.random.default_rng(settings.seed)
    n = 4 if settings.quick else 32
    z = np.round(2 * random.normal(size=(n, 9, CLASSES))) / 2  # with ties
    return z.astype(np.float32), random.integers(0, CLASSES, (n, 9)).astype(np.int32)


def _predicted(settings):
    z, labels = _scored(settings)
    return z.argmax(-1).astype(np.int32), labels


def _ranked(settings):
    """Scores and 0 or 1, both of which are there."""
    z, labels = _scored(settings)
    labels = (labels > 0).astype(np.int32)
    labels[:, :2] = 0, 1
    return z[..., 0], labels


def _words(settings):
    random = np.random.default_rng(settings.seed)
    n = 4 if settings.quick else 32
    return tuple(random.integers(0, 4, (n, size)).astype(np.int32) for size in (6, 8))


def _top(z, labels, k):
    ranks = [sorted(range(CLASSES), key=lambda i: -row[i])[:k] for row in z]
    return [_share(y in best for best, y in zip(ranks, labels, strict=True))]


def _confusion(said, true):
    pairs = list(zip(true, said, strict=True))
    return [pairs.count((i, j)) for i in range(CLASSES) for j in range(CLASSES)]


def _per_class(denominator):
    """Hits over what `denominator(said, true)` makes of how often a class is said and is true."""

    def truth(said, true):
        out = []
        for c in range(CLASSES):
            hits = sum(a == b == c for a, b in zip(said, true, strict=True))
            whole = denominator(_truth.mp().mpf(said.count(c)), true.count(c))
            out.append(hits / whole if whole else 0)
        return out

    return truth


def _area(scores, labels):
    """By definition: how often a positive one is above a negative one, ties by half."""
    split = lambda kind: [s for s, y in zip(scores, labels, strict=True) if y == kind]
    wins = [
        _truth.mp().mpf((a > b) + (a == b) / 2) for a in split(1) for b in split(0)
    ]  # fmt: skip
    return [_mean(wins)]


def _distance(a, b):
    if not a or not b:
        return len(a) + len(b)
    return min(
        _distance(a[1:], b) + 1, _distance(a, b[1:]) + 1, _distance(a[1:], b[1:]) + (a[0] != b[0])
    )


def _metrics():
    m, classes = metrics, {"classes": CLASSES, "average": None}
    named = lambda f, *rest, **options: value(f"metrics.{f.__name__}", *rest, **options)
    return [
        named(m.mean_squared_error, m.mean_squared_error, _mean_squared, _up_to(1.8e19)),
        named(m.mean_absolute_error, m.mean_absolute_error, _mean_absolute, _up_to(3.3e38)),
        # The share of the variance that is left is taken from 1.
        named(m.r2_score, m.r2_score, _r2, _errors, terms=lambda p, t: {"value": 1.0}),
        named(
            m.perplexity, m.perplexity, lambda h: [_truth.mp().exp(_mean(h))], _entropies
        ),
        named(m.accuracy, m.accuracy, partial(_top, k=1), _scored),
        named(m.top_k_accuracy, lambda z, y: m.top_k_accuracy(z, y, 2), partial(_top, k=2),
              _scored),
        named(
            m.binary_accuracy, m.binary_accuracy,
            lambda s, y: [_share((a > 0) == b for a, b in zip(s, y, strict=True))], _ranked,
        ),
        named(
            m.confusion_matrix, lambda p, y: m.confusion_matrix(p, y, CLASSES), _confusion,
            _predicted,
        ),
        *(
            named(f, lambda p, y, f=f: f(p, y, **classes), _per_class(denominator), _predicted)
            for f, denominator in (
                (m.precision, lambda said, true: said),
                (m.recall, lambda said, true: true),
                (m.f1_score, lambda said, true: (said + true) / 2),
            )
        ),
        named(m.roc_auc, m.roc_auc, _area, _ranked),
        named(m.edit_distance, m.edit_distance, lambda a, b: [_distance(a, b)], _words),
    ]  # fmt: skip


# Penalties on kernels; their strengths are exact


def _penalties():
    def entry(f, f_grad, truth, *strengths):
        tree = lambda *kernels: {f"{i}/kernel": kernel for i, kernel in enumerate(kernels)}

        def pulled_back(g, *kernels):
            return tuple(g * slope for slope in f_grad(tree(*kernels), *strengths).values())

        flat = lambda *kernels: [w for kernel in kernels for row in kernel for w in row]
        of = lambda *kernels: f(tree(*kernels), *strengths)
        shapes = (3, 2), (2, 4)
        draws = together(normal(*shapes), sized(*shapes, powers=[(-17, 18)] * 2))
        return Block(
            f"regularizers.{f.__name__}", of, pulled_back,
            lambda *kernels: [truth(flat(*kernels))], draws, 2, "relative", 1e-6,
        )  # fmt: skip

    r = regularizers
    lasso = lambda ws: sum(abs(w) for w in ws)
    ridge = lambda ws: sum(w * w for w in ws)
    return [
        entry(r.l1, r.l1_grad, lambda ws: lasso(ws) / 4, 0.25),
        entry(r.l2, r.l2_grad, lambda ws: ridge(ws) / 8, 0.125),
        entry(
            r.elastic_net, r.elastic_net_grad, lambda ws: lasso(ws) / 4 + ridge(ws) / 8, 0.25, 0.125
        ),
    ]


# Initializers: what a key draws is that of a unit, times the scale of the formula

SHAPE = (3, 4, 5)
FAN_IN, FAN_OUT = 12, 15


def _drawn(make, unit, scale):
    """`make()` beside the draws of `unit` by the same keys, times a scale."""

    def examples(settings):
        seeds = np.arange(2 if settings.quick else 16, dtype=np.int32)
        units = jax.vmap(lambda seed: unit(jax.random.key(seed), SHAPE, jnp.float32))(seeds)
        return seeds, np.asarray(units)

    def truth(seed, drawn):
        return [scale * x for plane in drawn for row in plane for x in row]

    f = lambda seed, drawn: make(jax.random.key(seed), SHAPE, jnp.float32)
    return f, truth, examples


def _orthogonal():
    """The products of all columns: twice the gain, 3, on the diagonal."""

    def f(seed):
        q = initializers.orthogonal(1.5)(jax.random.key(seed), (4, 3, 5), jnp.float32)
        q = q.reshape(12, 5)
        return jnp.matmul(q.T, q, precision="highest")

    truth = lambda seed: [_truth.mp().mpf(9) / 4 * (i == j) for i in range(5) for j in range(5)]
    return f, truth, lambda settings: (np.arange(4, dtype=np.int32),)


def _initializers():
    i, root = initializers, math.sqrt
    uniform, cut = i.uniform(1.0), i.truncated_normal(1.0)
    schemes = {"lecun": 1 / FAN_IN, "he": 2 / FAN_IN, "glorot": 2 / (FAN_IN + FAN_OUT)}
    pairs = {
        "zeros": (i.zeros(), i.normal(1.0), 0),
        "normal": (i.normal(0.25), i.normal(1.0), 0.25),
        "truncated_normal": (i.truncated_normal(0.25), cut, 0.25),
        "uniform": (i.uniform(0.25), uniform, 0.25),
    }
    for name, variance in schemes.items():
        pairs[f"{name}_uniform"] = getattr(i, f"{name}_uniform")(), uniform, root(3 * variance)
        pairs[f"{name}_normal"] = getattr(i, f"{name}_normal")(), cut, root(variance)
    constant = lambda key, shape, dtype: jnp.ones(shape, dtype)
    pairs["constant"] = i.constant(0.75), constant, 0.75
    p = "initializers."
    fans = lambda x: jnp.array(i.fans(x.shape))
    return [
        *(value(p + name, *_drawn(*pair)) for name, pair in pairs.items()),
        value(p + "orthogonal", *_orthogonal()),
        value(p + "fans", fans, lambda x: [FAN_IN, FAN_OUT], normal(SHAPE, count=1)),
    ]


# Decoding, by all paths of 3 frames and 3 classes


def _frames(settings):
    return normal((3, 3), count=16)(settings)


def _greedy(z):
    best = [max(range(3), key=lambda k, row=row: row[k]) for row in z]
    said = [k for t, k in enumerate(best) if k and (t == 0 or best[t - 1] != k)]
    return said + [0] * (3 - len(said)) + [len(said)]


def _scores(z):
    """Logarithms of the probabilities of all labels, the largest first."""
    labels = {tuple(read) for _, read in _rows.readings(3, 3)}
    return sorted((-_rows.ctc(z, list(label))[0] for label in labels), reverse=True)[:6]


def _decoding():
    f = lambda z: jnp.concatenate([jnp.atleast_1d(part) for part in decoding.ctc_greedy(z)])
    beams = lambda z: decoding.ctc_beam_search(z, beams=40)[2][:6]
    return [
        value("decoding.ctc_greedy", f, _greedy, _frames),
        value("decoding.ctc_beam_search", beams, _scores, _frames),
    ]


# Self-organizing maps: a codebook [2, 3, features], and inputs


def _coded(settings):
    shapes = (2, 3, 4), (7, 4)
    n = normal(*shapes)(settings)
    unit = 10.0 ** np.random.default_rng(settings.seed).uniform(-30, 37, len(n[0]))
    return tuple((a * unit.reshape(-1, *[1] * (a.ndim - 1))).astype(np.float32) for a in n)


def _apart(a, b):
    return _truth.mp().sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def _ordered(codebook, x):
    """The units, rows after rows, from the nearest on."""
    units = {(r, c): code for r, row in enumerate(codebook) for c, code in enumerate(row)}
    return sorted(units, key=lambda unit: _apart(units[unit], x))


def _neighbours(one, other):
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) == 1


def _borders(codebook, x):
    units = {(r, c): code for r, row in enumerate(codebook) for c, code in enumerate(row)}
    return [
        _mean([_apart(code, other) for there, other in units.items() if _neighbours(here, there)])
        for here, code in units.items()
    ]


def _quantization(codebook, x):
    return [_mean([min(_apart(code, v) for row in codebook for code in row) for v in x])]


def _torn(codebook, x):
    two = [_ordered(codebook, v)[:2] for v in x]
    return [_share(not _neighbours(*pair) for pair in two)]


def _hits(codebook, x):
    best = [_ordered(codebook, v)[0] for v in x]
    return [best.count((r, c)) for r in range(2) for c in range(3)]


def _maps():
    entries = [
        (networks.best_matching_unit, lambda w, x: [i for v in x for i in _ordered(w, v)[0]]),
        (networks.quantization_error, _quantization),
        (networks.topographic_error, _torn),
        (networks.som_hits, _hits),
        (lambda params, x: networks.u_matrix(params), _borders),
    ]
    names = [f.__name__ for f, _ in entries[:-1]] + ["u_matrix"]
    return [
        value(f"networks.{name}", lambda w, x, f=f: f({"codebook": w}, x), truth, _coded)
        for name, (f, truth) in zip(names, entries, strict=True)
    ]


def entries():
    """All of them."""
    return [*_penalties(), *_metrics(), *_initializers(), *_decoding(), *_maps()]
