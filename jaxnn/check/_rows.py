"""Softmax and its kin, and the losses of rows, with their truths."""

import itertools

import jax.numpy as jnp
import numpy as np

from jaxnn import activations as a
from jaxnn import losses as l
from jaxnn.check import _truth
from jaxnn.check._blocks import Block

WIDTH = 4


def _logits(settings):
    """Rows of every scale, far from 0, nearly one-hot, and with entries that are the same."""
    random = np.random.default_rng(settings.seed)
    n = max(24, settings.points // 8)
    kinds = np.arange(n) % 6
    normal = random.normal(size=(n, WIDTH))
    scale = np.exp2(random.uniform(-20, 6, (n, 1)))
    rows = normal * scale
    rows = np.where(kinds[:, None] == 1, rows + 1000 * random.normal(size=(n, 1)), rows)
    rows = np.where(kinds[:, None] == 2, np.round(1e8 + 8 * normal * 4), rows)
    peaked = np.where(np.arange(WIDTH) == 1, random.uniform(5, 85, (n, 1)), normal)
    rows = np.where(kinds[:, None] == 3, peaked, rows)
    rows = np.where(kinds[:, None] == 4, np.round(normal), rows)
    rows = np.where(kinds[:, None] == 5, normal * 40, rows)
    return rows.astype(np.float32), random


def _rows(settings):
    return (_logits(settings)[0],)


def _with_classes(settings):
    rows, random = _logits(settings)
    return rows, random.integers(0, WIDTH, len(rows)).astype(np.int32)


def _with_labels(settings):
    """Half of the labels one-hot, half soft, in sixteenths."""
    rows, random = _logits(settings)
    hard = np.eye(WIDTH)[random.integers(0, WIDTH, len(rows))]
    soft = random.multinomial(16, [1 / WIDTH] * WIDTH, len(rows)) / 16
    labels = np.where(np.arange(len(rows))[:, None] % 2, soft, hard)
    return rows, labels.astype(np.float32)


def _distributions(settings):
    """Probabilities and targets."""
    random = np.random.default_rng(settings.seed)
    n = max(24, settings.points // 8)
    p = random.dirichlet([0.3] * WIDTH, n).astype(np.float32)
    p = np.maximum(p, np.float32(1e-30))
    targets = random.multinomial(16, [1 / WIDTH] * WIDTH, n) / 16
    return p, targets.astype(np.float32)


def _log_distributions(settings):
    p, targets = _distributions(settings)
    near = targets * np.exp(0.1 * np.random.default_rng(1).normal(size=p.shape)) + 1e-3
    near = near / near.sum(-1, keepdims=True)
    q = np.where(np.arange(len(p))[:, None] % 2, near, p)
    return np.log(q).astype(np.float32), targets


def _pairs(count):
    """Embeddings of many scales, some of them close together and some the same."""

    def draw(settings):
        random = np.random.default_rng(settings.seed)
        n = max(24, settings.points // 16)
        scale = np.exp2(random.uniform(-20, 20, (n, 1)))
        first = (random.normal(size=(n, WIDTH)) * scale).astype(np.float32)
        others = []
        for _ in range(count - 1):
            far = random.normal(size=first.shape) * scale
            close = first * (1 + random.normal(size=first.shape) * 2.0**-10)
            others.append(np.where(np.arange(n)[:, None] % 3 == 1, close, far).astype(np.float32))
        return first, *others

    return draw


def _scores(settings):
    """Scores that are no ties, and classes."""
    scores = _pairs(1)(settings)[0]
    return scores, np.random.default_rng(0).integers(0, WIDTH, len(scores)).astype(np.int32)


def _contrasted(settings):
    a, b = _pairs(2)(settings)
    scale = np.abs(a).max(-1, keepdims=True)
    a, b = a / scale, b / scale  # of the size of the margin
    same = (np.arange(len(a)) % 2).astype(np.float32)
    return a.astype(np.float32), b.astype(np.float32), same


def _batches(settings):
    """Batches of three embeddings, and of their partners."""
    random = np.random.default_rng(settings.seed)
    shape = (2, max(4, settings.points // 256), 3, WIDTH)
    a, b = random.normal(size=shape) * np.exp2(random.uniform(-20, 20, (2, shape[1], 1, 1)))
    return a.astype(np.float32), b.astype(np.float32)


def _weighed(settings):
    random = np.random.default_rng(settings.seed)
    n = max(24, settings.points // 16)
    scale = np.exp2(random.uniform(-60, 60, (n, 1)))
    values = np.abs(random.normal(size=(n, WIDTH)) * scale)
    weights = random.integers(0, 4, (n, WIDTH)) * np.exp2(random.uniform(-60, 60, (n, 1)))
    weights[:, 0] += np.exp2(-10)
    return values.astype(np.float32), weights.astype(np.float32)


# Their definitions


def _exponentials(z):
    m = _truth.mp()
    top = max(z)
    return [m.exp(x - top) for x in z], top


def softmax(z):
    e, _ = _exponentials(z)
    total = sum(e)
    return [x / total for x in e]


def log_softmax(z):
    m = _truth.mp()
    e, top = _exponentials(z)
    # The others alone: a sum with the 1 of the largest would leave no trace of 1e-150.
    others = sum(e) - 1
    return [x - top - m.log1p(others) for x in z]


def _cross_entropy(z, y):
    logs = log_softmax(z)
    return [-sum(a * b for a, b in zip(y, logs, strict=True) if a)]


def _sparse(z, label):
    return [-log_softmax(z)[label]]


def _from_probabilities(p, y):
    m = _truth.mp()
    return [-sum(b * m.log(a) for a, b in zip(p, y, strict=True) if b)]


def _kl(q, p):
    m = _truth.mp()
    return [sum(b * (m.log(b) - a) for a, b in zip(q, p, strict=True) if b)]


def _dice(p, y):
    overlap = 2 * sum(a * b for a, b in zip(p, y, strict=True)) + 1
    return [1 - overlap / (sum(p) + sum(y) + 1)]


def _categorical_hinge(s, label):
    return [max(0, 1 + max(x for i, x in enumerate(s) if i != label) - s[label])]


def _squared_distance(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def _contrastive(a, b, same):
    m = _truth.mp()
    squared = _squared_distance(a, b)
    gap = max(0, 1 - m.sqrt(squared))
    return [squared / 2 if same else gap * gap / 2]


def _triplet(squared):
    def truth(a, p, n):
        m = _truth.mp()
        near, far = _squared_distance(a, p), _squared_distance(a, n)
        if not squared:
            near, far = m.sqrt(near), m.sqrt(far)
        return [max(0, near - far + 1)]

    return truth


def _cosine_distance(a, b):
    m = _truth.mp()
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return [1 - dot / m.sqrt(sum(x * x for x in a) * sum(y * y for y in b))]


def _weighted_mean(values, weights):
    return [sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)]


def _info_nce(a, b):
    m = _truth.mp()
    unit = lambda v: [x / m.sqrt(sum(y * y for y in v)) for x in v]
    a, b = [unit(v) for v in a], [unit(v) for v in b]
    cosines = [[sum(x * y for x, y in zip(u, v, strict=True)) for v in b] for u in a]
    return [-log_softmax(row)[i] for i, row in enumerate(cosines)]


def _smooth_labels(y):
    return [x * 3 / 4 + _truth.mp().mpf(1) / 4 / WIDTH for x in y]


def _sequences(settings):
    """Logits `[frames, classes]` of every scale, and two labels, equal ones and others.

    Every other one is all but certain of the labels, but at its second frame of two classes alike.
    """
    random = np.random.default_rng(settings.seed)
    n = 8 if settings.quick else 48
    z = random.normal(size=(n, 4, 3)) * np.exp2(random.uniform(-4, 5, (n, 1, 1)))
    labels = random.integers(1, 3, (n, 2))
    sure = random.normal(size=(n, 4, 3))
    rows, high = np.arange(n), random.uniform(3, 40, n)
    for t, k in (
        (0, labels[:, 0]),
        (1, labels[:, 0]),
        (1, 0 * rows),
        (2, 0 * rows),
        (3, labels[:, 1]),
    ):
        sure[rows, t, k] += high
    z[::2] = sure[::2]
    return z.astype(np.float32), labels.astype(np.int32)


def readings(time, classes):
    """All paths, and what each reads as: its labels without repeats and blanks."""
    for path in itertools.product(range(classes), repeat=time):
        yield path, [k for k, _ in itertools.groupby(path) if k]


def ctc(z, labels):
    """Over all paths that read as the labels."""
    rows = [log_softmax(row) for row in z]
    total = 0
    for path, read in readings(len(z), len(z[0])):
        if read == labels:
            total += _truth.mp().exp(sum(row[k] for row, k in zip(rows, path, strict=True)))
    return [-_truth.mp().log(total)]


def _projections(settings):
    """Features of a row, kernel, bias and its class."""
    random = np.random.default_rng(settings.seed)
    shapes = ((3,), (3, WIDTH), (WIDTH,))
    n = 4 if settings.quick else 24
    arrays = [random.normal(size=(n, *shape)).astype(np.float32) for shape in shapes]
    return *arrays, random.integers(0, WIDTH, n).astype(np.int32)


def _projected(x, kernel, bias, label):
    columns = zip(*kernel, strict=True)
    products = [sum(v * w for v, w in zip(x, column, strict=True)) for column in columns]
    return _sparse([p + b for p, b in zip(products, bias, strict=True)], label)


def _glu(x):
    m = _truth.mp()
    half = len(x) // 2
    return [v / (1 + m.exp(-g)) for v, g in zip(x[:half], x[half:], strict=True)]


def _maxout(x):
    return [max(x[i : i + 2]) for i in range(0, len(x), 2)]


def _magnitudes(z, y):
    """Probabilities and labels, whose difference a soft label's gradient is."""
    z = z.astype(float)
    e = np.exp(z - z.max(-1, keepdims=True))
    s = e / e.sum(-1, keepdims=True)
    soft = ((y > 0) & (y < 1)).any(-1, keepdims=True)
    return {"first": np.where(soft, np.maximum(s, y), 0.0)[:, None, :]}


def _kl_terms(q, p):
    with np.errstate(all="ignore"):
        terms = np.where(p > 0, np.abs(p * np.fmax(np.abs(np.log(p)), np.abs(q))), 0)
    return {"value": terms.max(-1, keepdims=True)}


def _dice_terms(p, y):
    total = (p + y).sum(-1, keepdims=True) + 1
    overlap = (2 * (p * y).sum(-1, keepdims=True) + 1) / total
    soft = (y > 0) & (y < 1)
    return {"first": np.where(soft, np.maximum(overlap, 2 * y) / total, 0)[:, None, :]}


def _contrastive_terms(a, b, same):
    """What is lost when a distance is taken from the margin."""
    distance = np.sqrt(((a - b).astype(float) ** 2).sum(-1))
    gap = np.maximum(1 - distance, 0) * (1 - same)
    return {"value": gap[:, None], "first": 1.0}


def _triplet_terms(squared):
    def terms(a, p, n):
        distances = [((a - b).astype(float) ** 2).sum(-1, keepdims=True) for b in (p, n)]
        longest = np.maximum(*distances)
        return {"value": longest if squared else np.sqrt(longest)}

    return terms


def _slope(closed_form, count=1):
    """A closed form of slopes as one that pulls back a cotangent."""

    def pulled_back(g, *args):
        slopes = closed_form(*args)
        slopes = slopes if isinstance(slopes, tuple) else (slopes,)
        return tuple(g * slope for slope in slopes[:count])

    return pulled_back


def _one_sequence(f):
    """CTC, or its gradient, of whole sequences."""
    return lambda z, labels: f(z, labels, jnp.int32(len(z)), jnp.int32(len(labels)))


def entries():
    """All of them."""
    p = "losses."
    return [
        Block(
            "activations.softmax", a.softmax, lambda g, x: (a.softmax_vjp(g, x),), softmax, _rows
        ),
        Block(
            "activations.log_softmax", a.log_softmax, lambda g, x: (a.log_softmax_vjp(g, x),),
            log_softmax, _rows,
        ),
        Block("activations.glu", a.glu, lambda g, x: (a.glu_vjp(g, x),), _glu, _rows),
        Block(
            "activations.maxout", lambda x: a.maxout(x, 2), lambda g, x: (a.maxout_vjp(g, x, 2),),
            _maxout, lambda settings: (_pairs(2)(settings)[0],),
        ),
        Block(
            p + "categorical_cross_entropy", l.categorical_cross_entropy,
            _slope(l.categorical_cross_entropy_grad), _cross_entropy, _with_labels, bound=4,
            terms=_magnitudes,
        ),
        Block(
            p + "sparse_categorical_cross_entropy", l.sparse_categorical_cross_entropy,
            _slope(l.sparse_categorical_cross_entropy_grad), _sparse, _with_classes, bound=4,
        ),
        Block(
            p + "categorical_cross_entropy_from_probabilities",
            l.categorical_cross_entropy_from_probabilities,
            _slope(l.categorical_cross_entropy_from_probabilities_grad), _from_probabilities,
            _distributions, bound=4,
        ),
        Block(
            p + "kl_divergence", l.kl_divergence, _slope(l.kl_divergence_grad), _kl,
            _log_distributions, terms=_kl_terms,
        ),
        Block(p + "dice", l.dice, _slope(l.dice_grad), _dice, _distributions, terms=_dice_terms),
        Block(
            p + "categorical_hinge", l.categorical_hinge, _slope(l.categorical_hinge_grad),
            _categorical_hinge, _scores,
        ),
        Block(
            p + "contrastive", l.contrastive, _slope(l.contrastive_grad, 2), _contrastive,
            _contrasted, wrt=2, unit="relative", bound=1e-6, terms=_contrastive_terms,
        ),
        *(
            Block(
                f"{p}triplet(squared={squared})",
                lambda a, p, n, squared=squared: l.triplet(a, p, n, 1.0, squared),
                _slope(lambda a, p, n, squared=squared: l.triplet_grad(a, p, n, 1.0, squared), 3),
                _triplet(squared), _pairs(3), wrt=3, unit="relative", bound=1e-6,
                terms=_triplet_terms(squared),
            )
            for squared in (True, False)
        ),
        Block(
            p + "cosine_distance", l.cosine_distance, _slope(l.cosine_distance_grad, 2),
            _cosine_distance, _pairs(2), wrt=2, unit="relative", bound=1e-6,
        ),
        Block(
            p + "info_nce", lambda a, b: l.info_nce(a, b, 1.0),
            lambda g, a, b: l.info_nce_vjp(g, a, b, 1.0), _info_nce, _batches, wrt=2,
            unit="relative", bound=1e-6,
        ),
        Block(
            p + "ctc", _one_sequence(l.ctc),
            lambda g, *args: (g * _one_sequence(l.ctc_grad)(*args),),
            ctc, _sequences, unit="relative", bound=1e-6,
        ),
        Block(
            p + "projected_cross_entropy",
            lambda x, *rest: l.projected_cross_entropy(x, *rest, chunk_size=2),
            lambda g, x, *rest: l.projected_cross_entropy_vjp(g, x, *rest, chunk_size=2),
            _projected, _projections, wrt=3, unit="relative", bound=1e-6, forward=False,
        ),
        Block(
            p + "smooth_labels", lambda y: l.smooth_labels(y, 0.25),
            lambda g, y: (l.smooth_labels_vjp(g, y, 0.25),), _smooth_labels,
            lambda settings: _with_labels(settings)[1:],
        ),
        Block(
            p + "weighted_mean", l.weighted_mean, lambda g, v, w: l.weighted_mean_vjp(g, v, w)[:1],
            _weighted_mean, _weighed, unit="relative", bound=1e-6,
        ),
    ]  # fmt: skip
