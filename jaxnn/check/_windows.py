"""Convolution and pooling over one spatial axis, `[time, features]`, and their truths."""

import numpy as np

from jaxnn import layers
from jaxnn.check._blocks import layer
from jaxnn.check._vectors import normal, plus, product, sized, together


def _conv(x, kernel, bias):
    """A window of 3, padded to the same length."""
    zero = [0 * v for v in x[0]]
    padded = [zero, *x, zero]
    rows = []
    for i in range(len(x)):
        taps = [product(padded[i + j], kernel[j]) for j in range(3)]
        rows.extend(plus(*taps, bias))
    return rows


def _conv_transpose(x, kernel, bias):
    """Copies of the kernel, last tap first, laid down at every second place; none is cut."""
    rows = [list(bias) for _ in range(2 * len(x) + 1)]
    for i, vector in enumerate(x):
        for j, tap in enumerate(reversed(kernel)):
            rows[2 * i + j] = plus(rows[2 * i + j], product(vector, tap))
    return [y for row in rows for y in row]


def _windows(x):
    """Windows of 3 at every second place of a sequence of 5, of which the ends hang over by 1."""
    return [x[0:2], x[1:4], x[3:5]]


def _max_pool(x):
    return [max(column) for seen in _windows(x) for column in zip(*seen, strict=True)]


def _average_pool(x):
    return [sum(column) / len(column) for seen in _windows(x) for column in zip(*seen, strict=True)]


def _global_average_pool(x):
    return [sum(column) / len(x) for column in zip(*x, strict=True)]


def _pooled(f, f_vjp, *options):
    return lambda x: f(x, *options), lambda g, x: (f_vjp(g, x, *options),)


def _with_kernel(f, f_vjp, **options):
    tree = lambda kernel, bias: {"kernel": kernel, "bias": bias}

    def of(x, *params):
        return f(tree(*params), x, **options)

    def pulled_back(g, x, *params):
        grads, in_x = f_vjp(g, tree(*params), x, **options)
        return in_x, grads["kernel"], grads["bias"]

    return of, pulled_back


def largest(*shape):
    """Entries of one sign at the end of the range, whose sum leaves it."""

    def draw(settings):
        random = np.random.default_rng(settings.seed)
        n = 1 if settings.quick else 4
        signs = np.resize([1, -1], (n,) + (1,) * len(shape))
        return ((random.uniform(2e38, 3.4e38, (n, *shape)) * signs).astype(np.float32),)

    return draw


def entries():
    """All of them."""
    shapes = ((4, 2), (3, 2, 2), (2,))
    powers = ((-30, 37), (-3, 0), (-30, -3))
    convolved = together(normal(*shapes, count=4), sized(*shapes, powers=powers, count=4))
    sequence = ((5, 2),)
    pooled = together(normal(*sequence), sized(*sequence, powers=[(-30, 37)]), largest(5, 2))
    window = (3,), 2, [(1, 1)]
    return [
        layer("conv", _with_kernel(layers.conv, layers.conv_vjp), _conv, convolved, 3),
        layer(
            "conv_transpose",
            _with_kernel(layers.conv_transpose, layers.conv_transpose_vjp, strides=2,
                         padding="VALID"),
            _conv_transpose, convolved, 3,
        ),
        layer(
            "max_pool", _pooled(layers.max_pool, layers.max_pool_vjp, *window), _max_pool, pooled,
        ),
        layer(
            "average_pool", _pooled(layers.average_pool, layers.average_pool_vjp, *window),
            _average_pool, pooled,
        ),
        layer(
            "global_average_pool",
            _pooled(layers.global_average_pool, layers.global_average_pool_vjp, 1),
            _global_average_pool, pooled,
        ),
    ]  # fmt: skip
