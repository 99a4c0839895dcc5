"""Maps, clusters and radial functions: what is fitted to data by other rules than a gradient."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn import networks
from jaxnn.check import _truth
from jaxnn.check._blocks import value
from jaxnn.check._networks import rbf
from jaxnn.check._vectors import flat, normal

KEY = jax.random.key(0)


def _any_size(*shapes, powers, count=8):
    """Arrays of each example in one unit."""
    low, high = powers

    def draw(settings):
        arrays = normal(*shapes, count=count)(settings)
        random = np.random.default_rng(settings.seed)
        units = 10.0 ** random.uniform(low, high, len(arrays[0]))
        return tuple(
            (a * units.reshape(-1, *[1] * (a.ndim - 1))).astype(np.float32) for a in arrays
        )

    return draw


def _squared(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def _mean(rows):
    """Of vectors."""
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


# Self-organizing maps of 2 times 3 units, after one of 5 steps

RADII, RATES = (2.0, 0.5), (0.5, 0.125)


def _answers(codebook, x):
    """The rows of a codebook, and for each input the number of its best unit."""
    codes = [code for row in codebook for code in row]
    return codes, [min(range(len(codes)), key=lambda j: _squared(codes[j], v)) for v in x]


def _place(unit):
    """On a hexagonal grid of 3 columns."""
    m, (row, column) = _truth.mp(), divmod(unit, 3)
    return [m.sqrt(3) / 2 * row, column + m.mpf(row % 2) / 2]


def _decayed(first, last):
    """After one of 5 steps, a quarter of the way."""
    m = _truth.mp()
    return m.mpf(first) * (m.mpf(last) / m.mpf(first)) ** (m.mpf(1) / 4)


def _nearness(a, b):
    sigma = _decayed(*RADII)
    return _truth.mp().exp(-_squared(_place(a), _place(b)) / (2 * sigma * sigma))


def _distance(codes, best, x):
    apart = [_truth.mp().sqrt(_squared(codes[b], v)) for b, v in zip(best, x, strict=True)]
    return sum(apart) / len(apart)


def _online(codebook, x):
    codes, best = _answers(codebook, x)
    rate, moved = _decayed(*RATES), []
    for j, code in enumerate(codes):
        h = [_nearness(b, j) for b in best]
        pairs = zip(h, x, strict=True)
        moves = [[w * (a - c) for a, c in zip(v, code, strict=True)] for w, v in pairs]
        moved += [c + rate * m for c, m in zip(code, _mean(moves), strict=True)]
    return [*moved, _distance(codes, best, x)]


def _batch(codebook, x):
    codes, best = _answers(codebook, x)
    means = []
    for j in range(len(codes)):
        h = [_nearness(b, j) for b in best]
        for column in zip(*x, strict=True):
            means.append(sum(w * a for w, a in zip(h, column, strict=True)) / sum(h))
    return [*means, _distance(codes, best, x)]


def _stepped(step):
    def f(codebook, x):
        state = {"codebook": codebook}, jnp.array(1)
        (params, _), metrics = step(state, x, None)
        return flat(params["codebook"], metrics["distance"])

    return f


def _som():
    radii = {"radius": RADII[0], "final_radius": RADII[1]}
    rates = {"rate": RATES[0], "final_rate": RATES[1]}
    online = networks.som_step(5, hexagonal=True, **radii, **rates)
    batch = networks.som_batch_step(5, hexagonal=True, **radii)
    net = networks.self_organizing_map((2, 3), 4, hexagonal=True)
    maps = _any_size((2, 3, 4), (7, 4), powers=(-30, 37))
    apply = lambda codebook, x: net.apply({"codebook": codebook}, x)
    answered = lambda codebook, x: [r for b in _answers(codebook, x)[1] for r in _place(b)]
    return [
        value("networks.self_organizing_map", apply, answered, maps),
        value("networks.som_step", _stepped(online), _online, maps),
        value("networks.som_batch_step", _stepped(batch), _batch, maps),
    ]


# Clusters far from each other, so that any start finds the same

CLUSTERS = np.array([[0, 0], [40, 0], [0, 40]])


def _clustered(powers, far=True):
    """Nine points in three clusters, of every size, some of them far from the origin."""
    low, high = powers

    def draw(settings):
        (points,) = normal((3, 3, 2))(settings)
        random = np.random.default_rng(settings.seed)
        n = len(points)
        points = (points + CLUSTERS[:, None]).reshape(n, 9, 2)
        points[1::2] += far * 10.0 ** random.uniform(2, 6, (len(points[1::2]), 1, 1))
        points = points * 10.0 ** random.uniform(low, high, (n, 1, 1))
        return (points.astype(np.float32),)

    return draw


def _centers(x):
    return [_mean(x[i : i + 3]) for i in (0, 3, 6)]


def _k_means():
    """In the order of the clusters: each center beside the mean of the three that are its own."""

    def f(x):
        found = networks.k_means(KEY, x, 3, 5)
        own = x[::3] / jnp.abs(x).max()
        order = ((own[:, None] - found / jnp.abs(x).max()) ** 2).sum(-1).argmin(-1)
        return found[order]

    truth = lambda x: [v for center in _centers(x) for v in center]
    return value("networks.k_means", f, truth, _clustered((-30, 31)))


# Radial functions

WIDTH, OVERLAP = 0.375, 0.5
SOLVED = 4e-6  # by singular values, each good to a few units of the largest


def _ridge(design, targets, ridge):
    """The weights for each output, by the normal equations."""
    m = _truth.mp()
    a, t = m.matrix(design), m.matrix(targets)
    penalty = m.eye(a.cols) * m.mpf(float(np.float32(ridge)))
    columns = [list(m.lu_solve(a.T * a + penalty, a.T * t[:, i])) for i in range(t.cols)]
    return [list(row) for row in zip(*columns, strict=True)]


def _designed(units, x):
    """What each unit makes of each input; and of `rbf`, with ones for weights."""
    bare = [
        {"centers": [c], "log_widths": [w]}
        for c, w in zip(units["centers"], units["log_widths"], strict=True)
    ]
    one = {"kernel": [[1]]}
    return [[rbf({"radial_basis_0": b, "dense_0": one}, v)[0] for b in bare] for v in x]


def _interpolate():
    """The weights of narrow Gaussians on points of a grid that is bent a little."""

    def f(x, targets):
        return networks.rbf_interpolate(x, targets, WIDTH)["dense_0"]["kernel"]

    def truth(x, targets):
        width = _truth.mp().log(WIDTH)
        design = _designed({"centers": x, "log_widths": [width] * len(x)}, x)
        return [w for row in _ridge(design, targets, 0.0) for w in row]

    def draw(settings):
        x, targets = normal((6, 2), (6, 2))(settings)
        grid = np.array([[i, j] for i in range(3) for j in range(2)])
        return (grid + np.tanh(x) / 8).astype(np.float32), targets

    return value("networks.rbf_interpolate", f, truth, draw, bound=SOLVED)


def _fit():
    """What it predicts for the points themselves."""

    def f(x, targets):
        params = networks.rbf_fit(KEY, x, targets, 3, overlap=OVERLAP, ridge=0.125)
        return networks.rbf_network(2, 3, 2).apply(params, x)

    def truth(x, targets):
        m, centers = _truth.mp(), _centers(x)
        widths = []
        for c in centers:
            others = [_squared(c, other) for other in centers if other is not c]
            widths.append(m.log(OVERLAP) + m.log(sum(others) / len(others)) / 2)
        design = _designed({"centers": centers, "log_widths": widths}, x)
        mean, offset = _mean(design), _mean(targets)
        less = lambda rows, means: [[v - a for v, a in zip(r, means, strict=True)] for r in rows]
        kernel = _ridge(less(design, mean), less(targets, offset), 0.125)
        bias = [
            o - sum(a * w for a, w in zip(mean, column, strict=True))
            for o, column in zip(offset, zip(*kernel, strict=True), strict=True)
        ]
        out = {"kernel": kernel, "bias": bias}
        units = {"centers": centers, "log_widths": widths}
        return [y for v in x for y in rbf({"radial_basis_0": units, "dense_0": out}, v)]

    def draw(settings):
        (x,) = _clustered((-12, 12), far=False)(settings)
        (targets,) = normal((9, 2))(settings)
        return x, targets

    return value("networks.rbf_fit", f, truth, draw, bound=SOLVED)


def entries():
    """All of them."""
    return [*_som(), _k_means(), _interpolate(), _fit()]
