"""Layers and their truths: norms, attention, recurrence, and sums of products."""

import jax.numpy as jnp
import numpy as np

from jaxnn import layers
from jaxnn.check import _truth
from jaxnn.check._blocks import Block

FEATURES = 6


def _normal(*shapes, count=8):
    """Arrays `[count, *shape]` of normal numbers."""

    def draw(settings):
        random = np.random.default_rng(settings.seed)
        n = 2 if settings.quick else count
        return tuple(random.normal(size=(n, *shape)).astype(np.float32) for shape in shapes)

    return draw


def _hard_to_normalize(*shape):
    """Inputs from 1e-30 to 3e38, and offsets up to 1e6 standard deviations; scale and bias."""

    def draw(settings):
        random = np.random.default_rng(settings.seed)
        kinds = ["usual", "tiny", "huge", "offset", "largest", "far offset"]
        n = len(kinds) * (1 if settings.quick else 4)
        x = random.normal(size=(n, *shape))
        for i in range(n):
            kind = kinds[i % len(kinds)]
            if kind == "tiny":
                x[i] *= 10.0 ** random.uniform(-30, -3)
            elif kind == "huge":
                x[i] *= 10.0 ** random.uniform(3, 37)
            elif kind == "offset":
                x[i] = (x[i] + 10.0 ** random.uniform(2, 6)) * 10.0 ** random.uniform(-3, 20)
            elif kind == "largest":
                x[i] = random.uniform(-3.3e38, 3.3e38, shape)
            elif kind == "far offset":
                x[i] = 1e6 + 3 * np.arange(np.prod(shape)).reshape(shape) % 7 - 3
        scale, bias = random.normal(size=(2, n, shape[-1]))
        return x.astype(np.float32), scale.astype(np.float32), bias.astype(np.float32)

    return draw


def _normalized(x, epsilon, centre=True):
    m = _truth.mp()
    mean = sum(x) / len(x) if centre else 0
    centred = [v - mean for v in x]
    root = m.sqrt(sum(v * v for v in centred) / len(x) + m.mpf(float(np.float32(epsilon))))
    return [v / root for v in centred]


def _layer_norm(x, scale, bias):
    parts = zip(_normalized(x, 1e-6), scale, bias, strict=True)
    return [y * s + b for y, s, b in parts]


def _rms_norm(x, scale):
    return [y * s for y, s in zip(_normalized(x, 1e-6, centre=False), scale, strict=True)]


def _group_norm(x, scale, bias):
    """Two groups of an example `[positions, features]`."""
    half = len(x[0]) // 2
    out = [[None] * len(x[0]) for _ in x]
    for group in (range(half), range(half, 2 * half)):
        flat = iter(_normalized([row[i] for row in x for i in group], 1e-6))
        for row in out:
            for i in group:
                row[i] = next(flat) * scale[i] + bias[i]
    return [y for row in out for y in row]


def _batch_norm(x, scale, bias):
    columns = [_normalized(list(column), 1e-5) for column in zip(*x, strict=True)]
    rows = zip(*columns, strict=True)
    return [y * s + b for row in rows for y, s, b in zip(row, scale, bias, strict=True)]


def _product(x, kernel):
    """x @ kernel, of a vector."""
    return [
        sum(v * w for v, w in zip(x, column, strict=True)) for column in zip(*kernel, strict=True)
    ]


def _plus(*vectors):
    return [sum(parts) for parts in zip(*vectors, strict=True)]


def _dense(x, kernel, bias):
    return _plus(_product(x, kernel), bias)


def _conv(x, kernel, bias):
    """One spatial axis, `[time, features]`, a window of 3, padded to the same length."""
    zero = [0 * v for v in x[0]]
    padded = [zero, *x, zero]
    rows = []
    for i in range(len(x)):
        taps = [_product(padded[i + j], kernel[j]) for j in range(3)]
        rows.extend(_plus(*taps, bias))
    return rows


def _radial_basis(x, centers, log_widths):
    m = _truth.mp()
    out = []
    for centre, width in zip(centers, log_widths, strict=True):
        squared = sum((v - c) ** 2 for v, c in zip(x, centre, strict=True))
        out.append(m.exp(-squared / (2 * m.exp(2 * width))))
    return out


def _attention(q, k, v):
    """Causal attention of one head, `[time, 1, width]`; the first query has no key at all."""
    m = _truth.mp()
    out = []
    for t, ((query,), _) in enumerate(zip(q, k, strict=True)):
        seen = range(t)
        scores = [sum(a * b for a, b in zip(query, k[s][0], strict=True)) for s in seen]
        weights = [m.exp(score / m.sqrt(len(query))) for score in scores]
        total = sum(weights)
        for i in range(len(v[0][0])):
            mixed = sum(w * v[s][0][i] for w, s in zip(weights, seen, strict=True))
            out.append(mixed / (total or 1))
    return out


def _strictly_before(time):
    return jnp.tril(jnp.ones((time, time), bool), -1)


def _sigmoid(z):
    return 1 / (1 + _truth.mp().exp(-z))


def _simple_rnn(kernel_i, bias, kernel_h, xs):
    h, out = [0] * len(kernel_h), []
    for x in xs:
        h = [_truth.mp().tanh(z) for z in _plus(_dense(x, kernel_i, bias), _product(h, kernel_h))]
        out.extend(h)
    return out


def _thirds(vector, parts):
    size = len(vector) // parts
    return [vector[i * size : (i + 1) * size] for i in range(parts)]


def _gru(kernel_i, bias, kernel_h, xs):
    m = _truth.mp()
    h, out = [0] * len(kernel_h), []
    for x in xs:
        ur, uz, un = _thirds(_dense(x, kernel_i, bias), 3)
        vr, vz, vn = _thirds(_product(h, kernel_h), 3)
        r, z = ([_sigmoid(a) for a in _plus(*pair)] for pair in ((ur, vr), (uz, vz)))
        n = [m.tanh(a + b * c) for a, b, c in zip(un, r, vn, strict=True)]
        h = [(1 - a) * b + a * c for a, b, c in zip(z, n, h, strict=True)]
        out.extend(h)
    return out


def _lstm(kernel_i, bias, kernel_h, xs):
    m = _truth.mp()
    h = c = [0] * len(kernel_h)
    out = []
    for x in xs:
        i, f, g, o = _thirds(_plus(_product(x, kernel_i), _product(h, kernel_h), bias), 4)
        c = [
            _sigmoid(fi) * ci + _sigmoid(ii) * m.tanh(gi)
            for fi, ci, ii, gi in zip(f, c, i, g, strict=True)
        ]
        h = [_sigmoid(oi) * m.tanh(ci) for oi, ci in zip(o, c, strict=True)]
        out.extend(h)
    return out


def _average_pool(x):
    pairs = zip(x[::2], x[1::2], strict=True)
    return [(a + b) / 2 for pair in pairs for a, b in zip(*pair, strict=True)]


def _of(layer, *names, rest=()):
    """`f(x, *params)` of a layer whose parameters have those names, and its closed form."""
    pull = getattr(layers, layer.__name__ + "_vjp")
    tree = lambda params: dict(zip(names, params, strict=True))

    def f(x, *params):
        return layer(tree(params), x, *rest)

    def pulled_back(g, x, *params):
        in_params, in_x = pull(g, tree(params), x, *rest)
        return in_x, *(in_params[name] for name in names)

    return f, pulled_back


def _grouped():
    """Of one example, where the layer takes a batch."""
    f, pulled_back = _of(layers.group_norm, "scale", "bias", rest=(2,))

    def one_pulled_back(g, x, *params):
        in_x, *in_params = pulled_back(g[None], x[None], *params)
        return in_x[0], *in_params

    return lambda x, *params: f(x[None], *params)[0], one_pulled_back


def _batch():
    zero = jnp.zeros(2)
    statistics = {"mean": zero, "var": zero}
    tree = lambda scale, bias: {"scale": scale, "bias": bias}

    def f(x, *params):
        return layers.batch_norm(tree(*params), statistics, x, train=True)[0]

    def pulled_back(g, x, *params):
        grads, in_x = layers.batch_norm_vjp(g, tree(*params), statistics, x, train=True)
        return in_x, grads["scale"], grads["bias"]

    return f, pulled_back


def _recurrent(layer, bias_in):
    """A recurrent layer of its kernels, bias and inputs; `bias_in` is where Flax keeps the bias."""
    pull = getattr(layers, layer.__name__ + "_vjp")

    def tree(kernel_i, bias, kernel_h):
        params = {"dense_i": {"kernel": kernel_i}, "dense_h": {"kernel": kernel_h}}
        params[bias_in]["bias"] = bias
        return params

    def f(kernel_i, bias, kernel_h, xs):
        return layer(tree(kernel_i, bias, kernel_h), xs)

    def pulled_back(g, kernel_i, bias, kernel_h, xs):
        grads, in_xs = pull(g, tree(kernel_i, bias, kernel_h), xs)
        in_i, in_h = (grads[part]["kernel"] for part in ("dense_i", "dense_h"))
        return in_i, grads[bias_in]["bias"], in_h, in_xs

    return f, pulled_back


def entries():
    """All of them."""

    def block(name, pair, truth, examples, wrt, forward=True):
        f, pulled_back = pair
        return Block(
            "layers." + name, f, pulled_back, truth, examples, wrt, "relative", 1e-6,
            forward=forward,
        )  # fmt: skip

    attention = (
        lambda q, k, v: layers.scaled_dot_product_attention(q, k, v, _strictly_before(len(q))),
        lambda g, q, k, v: layers.scaled_dot_product_attention_vjp(
            g, q, k, v, _strictly_before(len(q))
        ),
    )
    pool = (
        lambda x: layers.average_pool(x, (2,)),
        lambda g, x: (layers.average_pool_vjp(g, x, (2,)),),
    )
    heads = [(4, 1, 3)] * 3
    recurrent = lambda gates: _normal((2, gates * 2), (gates * 2,), (2, gates * 2), (3, 2), count=4)
    return [
        block("dense", _of(layers.dense, "kernel", "bias"), _dense, _normal((5,), (5, 2), (2,)), 3),
        block(
            "conv", _of(layers.conv, "kernel", "bias"), _conv, _normal((4, 2), (3, 2, 2), (2,)), 3
        ),
        block("average_pool", pool, _average_pool, _normal((4, 2)), 1),
        block(
            "radial_basis", _of(layers.radial_basis, "centers", "log_widths"), _radial_basis,
            _normal((3,), (2, 3), (2,)), 3,
        ),
        block(
            "layer_norm", _of(layers.layer_norm, "scale", "bias"), _layer_norm,
            _hard_to_normalize(FEATURES), 3,
        ),
        block(
            "rms_norm", _of(layers.rms_norm, "scale"), _rms_norm,
            lambda settings: _hard_to_normalize(FEATURES)(settings)[:2], 2,
        ),
        block("group_norm", _grouped(), _group_norm, _hard_to_normalize(2, 4), 3),
        block("batch_norm", _batch(), _batch_norm, _hard_to_normalize(5, 2), 3),
        block("scaled_dot_product_attention", attention, _attention, _normal(*heads), 3),
        *(
            block(
                layer.__name__, _recurrent(layer, place), truth, recurrent(gates), 4, forward=False
            )
            for layer, place, truth, gates in (
                (layers.simple_rnn, "dense_i", _simple_rnn, 1),
                (layers.gru, "dense_i", _gru, 3),
                (layers.lstm, "dense_h", _lstm, 4),
            )
        ),
    ]  # fmt: skip
