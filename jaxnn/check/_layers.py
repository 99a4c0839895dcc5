"""Layers without time or space, and their truths: sums of products, and normalization."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn import layers
from jaxnn.check import _truth
from jaxnn.check._blocks import layer
from jaxnn.check._vectors import affine, beside, normal, sized, together

FEATURES = 6


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


def standardized(x, epsilon, centre=True):
    m = _truth.mp()
    mean = sum(x) / len(x) if centre else 0
    centred = [v - mean for v in x]
    root = m.sqrt(sum(v * v for v in centred) / len(x) + m.mpf(float(np.float32(epsilon))))
    return [v / root for v in centred]


def _layer_norm(x, scale, bias):
    parts = zip(standardized(x, 1e-6), scale, bias, strict=True)
    return [y * s + b for y, s, b in parts]


def rms_norm(x, scale):
    return [y * s for y, s in zip(standardized(x, 1e-6, centre=False), scale, strict=True)]


def _group_norm(x, scale, bias):
    """Two groups of an example `[positions, features]`."""
    half = len(x[0]) // 2
    out = [[None] * len(x[0]) for _ in x]
    for group in (range(half), range(half, 2 * half)):
        flat = iter(standardized([row[i] for row in x for i in group], 1e-6))
        for row in out:
            for i in group:
                row[i] = next(flat) * scale[i] + bias[i]
    return [y for row in out for y in row]


def _batch_norm(x, scale, bias):
    columns = [standardized(list(column), 1e-5) for column in zip(*x, strict=True)]
    rows = zip(*columns, strict=True)
    return [y * s + b for row in rows for y, s, b in zip(row, scale, bias, strict=True)]


def _radial_basis(x, centers, log_widths):
    m = _truth.mp()
    out = []
    for centre, width in zip(centers, log_widths, strict=True):
        squared = sum((v - c) ** 2 for v, c in zip(x, centre, strict=True))
        out.append(m.exp(-squared / (2 * m.exp(2 * width))))
    return out


def _maxout_dense(x, kernel, bias):
    z = affine(x, kernel, bias)
    return [max(z[i : i + 3]) for i in range(0, len(z), 3)]


def _parametric_relu(x, slope):
    return [
        v if v > 0 else s * v for row in x for v, s in zip(row, slope, strict=True)
    ]  # fmt: skip


def _kept(x, mask):
    """Of a quarter dropped, the rest scaled up."""
    return [v * 4 / 3 if m else 0 * v for v, m in zip(x, mask, strict=True)]


def _of(f, *names, rest=()):
    """`f(x, *params)` of a layer whose parameters have those names, and its closed form."""
    pull = getattr(layers, f.__name__ + "_vjp")
    tree = lambda params: dict(zip(names, params, strict=True))

    def of(x, *params):
        return f(tree(params), x, *rest)

    def pulled_back(g, x, *params):
        in_params, in_x = pull(g, tree(params), x, *rest)
        return in_x, *(in_params[name] for name in names)

    return of, pulled_back


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


def _dropped():
    """With one key, so that the mask is known: what is kept of ones."""
    key = jax.random.key(0)
    shape = (16,)
    mask = layers.dropout(key, jnp.ones(shape), 0.25) > 0

    def f(x, mask):
        return layers.dropout(key, x, 0.25)

    def pulled_back(g, x, mask):
        return (layers.dropout_vjp(g, key, x, 0.25),)

    return (f, pulled_back), _kept, beside(normal(shape), np.asarray(mask))


def entries():
    """All of them."""
    vector = ((5,), (5, 2), (2,))
    # Units in which the products stay within the range, and the bias is not all there is.
    powers = ((-30, 37), (-3, 0), (-30, -3))
    return [
        layer(
            "dense", _of(layers.dense, "kernel", "bias"), affine,
            together(normal(*vector), sized(*vector, powers=powers)), 3,
        ),
        layer(
            "maxout_dense", _of(layers.maxout_dense, "kernel", "bias", rest=(3,)), _maxout_dense,
            normal((5,), (5, 6), (6,)), 3,
        ),
        layer(
            "parametric_relu", _of(layers.parametric_relu, "negative_slope"), _parametric_relu,
            sized((3, 4), (4,), powers=((-30, 30), (-5, 5))), 2,
        ),
        layer("dropout", *_dropped()),
        layer(
            "radial_basis", _of(layers.radial_basis, "centers", "log_widths"), _radial_basis,
            normal((3,), (2, 3), (2,)), 3,
        ),
        layer(
            "layer_norm", _of(layers.layer_norm, "scale", "bias"), _layer_norm,
            _hard_to_normalize(FEATURES), 3,
        ),
        layer(
            "rms_norm", _of(layers.rms_norm, "scale"), rms_norm,
            lambda settings: _hard_to_normalize(FEATURES)(settings)[:2], 2,
        ),
        layer("group_norm", _grouped(), _group_norm, _hard_to_normalize(2, 4), 3),
        layer("batch_norm", _batch(), _batch_norm, _hard_to_normalize(5, 2), 3),
    ]  # fmt: skip
