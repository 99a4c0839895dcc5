"""What is measured of networks by those who look into them: diagnostics, and explanations."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn import (
    activations,
    backprop,
    diagnostics,
    layers,
    networks,
    optimizers,
    summary,
)
from jaxnn.check import _stacks, _truth
from jaxnn.check._blocks import value
from jaxnn.check._networks import TANH, of_params, params_of
from jaxnn.check._networks_in_time import IDS, SIZES
from jaxnn.check._stacks import mlp, numbers, output, slopes
from jaxnn.check._vectors import flat, mean, norm, normal, plus, sized, together

# What layers compute


def _outputs():
    net = networks.mlp([2, 3, 2], **TANH)
    f = lambda params, x: flat(*diagnostics.layer_outputs(net.apply, params, x).values())
    name = "diagnostics.layer_outputs"
    return of_params(name, params_of(net), f, lambda p, x: numbers(mlp(p, x)), (2,), wrt=0)


def _maps():
    net = networks.transformer(3, **SIZES)

    def f(params, ids):
        return diagnostics.attention_maps(net.apply, params, ids)["block_0/attention"]

    def truth(params, ids):
        rows = [params["embedding"]["embedding"][i] for i in ids]
        block = params["block_0"]
        normed = [_stacks.rms_norm(row, block["norm_0"]["scale"]) for row in rows]
        return numbers(_stacks.seen_weights(block["attention"], normed))

    name, like = "diagnostics.attention_maps", params_of(net)
    return of_params(name, like, f, truth, constants=[IDS], wrt=0, scale=0.5)


# What an output depends on

SCORES = networks.mlp([3, 3, 2], **TANH)


def _score(params, x, chosen):
    return output(params, x)[chosen]


def _largest(params, x):
    scores = output(params, x)
    return max(range(len(scores)), key=lambda i: scores[i])


def _saliency():
    f = lambda params, x: diagnostics.saliency(lambda x: SCORES.apply(params, x), x[None])

    def truth(params, x):
        chosen = _largest(params, x)
        return slopes(lambda x: _score(params, x, chosen), x)

    return of_params("diagnostics.saliency", params_of(SCORES), f, truth, (3,), wrt=0)


def _integrated():
    """With the same 4 midpoints."""

    def f(params, x, base):
        of = lambda x: SCORES.apply(params, x)
        return diagnostics.integrated_gradients(of, x[None], baseline=base, steps=4)

    def truth(params, x, base):
        m, chosen, total = _truth.mp(), _largest(params, x), [0] * len(x)
        for step in range(4):
            share = m.mpf(2 * step + 1) / 8
            at = [b + share * (v - b) for v, b in zip(x, base, strict=True)]
            slope = slopes(lambda x: _score(params, x, chosen), at)
            total = [t + s / 4 for t, s in zip(total, slope, strict=True)]
        return [(v - b) * t for v, b, t in zip(x, base, total, strict=True)]

    name = "diagnostics.integrated_gradients"
    return of_params(name, params_of(SCORES), f, truth, (3,), (3,), wrt=0)


def _field():
    """Of two images, in the middle of what one convolution and a tanh make of them."""

    def f(kernel, x):
        of = lambda x: activations.tanh(layers.conv({"kernel": kernel}, x))
        return diagnostics.receptive_field(of, x)

    def truth(kernel, x):
        total = [[0] * 3 for _ in range(3)]
        middle = lambda image, c: _stacks.tanh(_stacks.conv({"kernel": kernel}, image)[1][1][c])
        for image in x:
            for channel in range(2):
                slope = slopes(lambda image, c=channel: middle(image, c), image)
                for i in range(3):
                    for j in range(3):
                        total[i][j] += abs(slope[i][j][0]) / len(x)
        return numbers(total)

    return value(
        "diagnostics.receptive_field", f, truth, normal((3, 3, 1, 2), (2, 3, 3, 1), count=4)
    )


# The loss around a point, and along rates


def _landscape():
    """How far along a random direction it is: as far as the weights are long, of each filter."""
    coordinates = [-1.0, -0.5, 0.0, 0.5, 1.0]

    def f(kernel, unit):
        def loss_fn(params, batch):
            moved = (params["kernel"] - batch) / unit
            return jnp.sqrt((moved**2).sum())

        found = diagnostics.loss_landscape(
            loss_fn, {"kernel": kernel}, kernel, key=jax.random.key(0), points=5, dimensions=1
        )
        return found["loss"]

    def truth(kernel, unit):
        return [abs(_truth.mp().mpf(a)) * norm(numbers(kernel)) / unit for a in coordinates]

    def draw(settings):
        (kernel,) = together(normal((3, 2)), sized((3, 2), powers=[(-30, 37)]))(settings)
        return kernel, np.abs(kernel).max((1, 2))

    return value("diagnostics.loss_landscape", f, truth, draw)


def _rates():
    """Of one weight and one example, which is in every batch."""
    rates = [0.125, 0.25, 0.5]

    def f(weight, x, y):
        loss_fn = lambda w, batch, key: (((w * batch[0] - batch[1]) ** 2).mean(), {})
        found = diagnostics.learning_rate_range(
            loss_fn, optimizers.gradient_descent, weight, (x[None], y[None]),
            key=jax.random.key(0), batch_size=2, rates=rates, steps=10,
        )  # fmt: skip
        return flat(found["loss"], found["final"], found["best"])

    def truth(weight, x, y):
        lost = []
        for rate in rates:
            w, path = weight, []
            for _ in range(10):
                path.append((w * x - y) ** 2)
                w = w - rate * 2 * (w * x - y) * x
            lost.append(path)
        final = [mean(path[-2:]) for path in lost]
        best = rates[min(range(3), key=lambda i: final[i])]
        return [*numbers(lost), *final, _truth.mp().mpf(best)]

    def draw(settings):
        return tuple(np.tanh(a) for a in normal((), (), (), count=12)(settings))

    one = lambda *args: {"value": 1.0}
    return value("diagnostics.learning_rate_range", f, truth, draw, terms=one)


# Principal components


def _spread(settings):
    """Points that spread by 4, 2 and 1/2 along directions askew, of every size and offset."""
    random = np.random.default_rng(settings.seed)
    kinds = 3 if settings.quick else 15
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    points = random.normal(size=(kinds, 9, 3)) * [4, 2, 0.5] @ turn
    size = 10.0 ** random.uniform(-30, 30, (kinds, 1, 1))
    points[1::3] += 10.0 ** random.uniform(1, 6, (len(points[1::3]), 1, 1))
    points = points * size
    points[2] *= 1e38 / np.abs(points[2]).max()  # sums leave the range, no coordinate does
    return (points.astype(np.float32),)


def _axes(x):
    """Mean, deviations times the root of the count, and directions, the largest first."""
    m = _truth.mp()
    middle = [mean(column) for column in zip(*x, strict=True)]
    centred = [[v - a for v, a in zip(row, middle, strict=True)] for row in x]
    size = max(abs(v) for row in centred for v in row)
    unit = [[v / size for v in row] for row in centred]
    columns = list(zip(*unit, strict=True))
    products = [[sum(a * b for a, b in zip(u, v, strict=True)) for v in columns] for u in columns]
    found, vectors = m.eigsy(m.matrix(products))
    order = sorted(range(len(products)), key=lambda i: -found[i])
    directions = []
    for i in order:
        direction = [vectors[j, i] for j in range(len(products))]
        sign = m.sign(max(direction, key=abs))
        directions.append([v * sign for v in direction])
    return middle, centred, [size * m.sqrt(found[i]) for i in order], directions


def _components():
    count = 2

    def points(x):
        return diagnostics.principal_components(x, count).points

    def rest(x):
        found = diagnostics.principal_components(x, count)
        return flat(found.directions, found.explained)

    def projected(x):
        _, centred, _, directions = _axes(x)
        return [
            sum(a * b for a, b in zip(row, direction, strict=True))
            for row in centred for direction in directions[:count]
        ]  # fmt: skip

    def exact_rest(x):
        _, _, spread, directions = _axes(x)
        total = sum(s * s for s in spread)
        return numbers(directions[:count]) + [s * s / total for s in spread[:count]]

    return [
        value("diagnostics.principal_components", points, projected, _spread),
        value("diagnostics.principal_components (directions)", rest, exact_rest, _spread),
    ]


def _plane():
    """A map of 3 times 2 on the plane of the two first."""
    f = lambda x: networks.som_from_plane((3, 2), x)["codebook"]

    def truth(x):
        middle, _, spread, directions = _axes(x)
        root = _truth.mp().sqrt(len(x))
        axes = [[s / root * v for v in d] for s, d in zip(spread, directions, strict=True)]
        places = [(row - 1, 2 * column - 1) for row in range(3) for column in range(2)]
        return [
            m + a * u + b * v
            for a, b in places for m, u, v in zip(middle, axes[0], axes[1], strict=True)
        ]  # fmt: skip

    return value("networks.som_from_plane", f, truth, _spread)


# Explanations and counts


def _explained():
    """All that is shown of a network of two layers; it needs numbers, not what stands for them."""
    net = networks.mlp([2, 2, 1], **TANH)

    def f(params, x, y):
        e = backprop.explain(params, x, y, activation=activations.tanh)
        within = [part for layer in e.layers for part in (layer.z, layer.a_grad, layer.delta)]
        return flat(e.loss, *jax.tree.leaves(e.grads), e.x_grad, *within)

    def truth(params, x, y):
        def lost(params, x, added):
            total = 0
            for row, target, extra in zip(x, y, added, strict=True):
                first, outer, last = extra
                z = plus(_stacks.dense(params["dense_0"], row), first)
                h = plus([_stacks.tanh(v) for v in z], outer)
                out = _stacks.dense(params["dense_1"], h)[0] + last
                total += (out - target[0]) ** 2
            return total / len(x)

        none = [[[0, 0], [0, 0], 0] for _ in x]
        grads, in_x = slopes(lambda both: lost(both[0], both[1], none), (params, x))
        deltas = slopes(lambda added: lost(params, x, added), none)
        z = [mlp(params, row) for row in x]
        inner, outer, last = (numbers([d[i] for d in deltas]) for i in range(3))
        shown = [[v[0] for v in z], outer, inner, [v[1] for v in z], last, last]
        return [lost(params, x, none), *numbers(grads), *numbers(in_x), *numbers(shown)]

    like = params_of(net)
    return of_params("backprop.explain", like, f, truth, (3, 2), (3, 1), wrt=0, traced=False)


def _counted():
    """Parameters, and operations of both passes, of a dense layer: 2 n k m and n m forward."""

    def f(kernel, bias, x):
        params = {"kernel": kernel, "bias": bias}
        found = summary.summary(layers.dense, params, x)
        return jnp.array([found.parameters, found.nbytes, found.flops])

    def truth(kernel, bias, x):
        n, k, m = len(x), len(kernel), len(bias)
        return [k * m + m, 4 * (k * m + m), 2 * n * k * m + n * m]

    return value("summary.summary", f, truth, normal((3, 5), (5,), (7, 3), count=1))


def entries():
    """All of them."""
    return [
        _outputs(), _maps(), _saliency(), _integrated(), _field(), _landscape(), _rates(),
        *_components(), _plane(), _explained(), _counted(),
    ]  # fmt: skip
