"""What the truths of layers are made of: products of exact vectors, and draws of arrays."""

import jax.numpy as jnp
import numpy as np

from jaxnn.check import _truth


def product(x, kernel):
    """x @ kernel, of a vector."""
    return [
        sum(v * w for v, w in zip(x, column, strict=True)) for column in zip(*kernel, strict=True)
    ]


def plus(*vectors):
    return [sum(parts) for parts in zip(*vectors, strict=True)]


def affine(x, kernel, bias):
    return plus(product(x, kernel), bias)


def mean(vector):
    return sum(vector) / len(vector)


def norm(vector):
    return _truth.mp().sqrt(sum(v * v for v in vector))


def parts(vector, count):
    """A vector in `count` equal pieces."""
    size = len(vector) // count
    return [vector[i * size : (i + 1) * size] for i in range(count)]


def sigmoid(z):
    return 1 / (1 + _truth.mp().exp(-z))


def normal(*shapes, count=8):
    """Arrays `[count, *shape]` of normal numbers."""

    def draw(settings):
        random = np.random.default_rng(settings.seed)
        n = 2 if settings.quick else count
        return tuple(random.normal(size=(n, *shape)).astype(np.float32) for shape in shapes)

    return draw


def sized(*shapes, powers, count=8):
    """The same, each array of each example in a unit of its own.

    Args:
        shapes: of the arrays.
        powers: for each array the exponents of ten between which its unit is drawn.
        count: how many examples.
    """

    def draw(settings):
        random = np.random.default_rng(settings.seed + 1)
        arrays = normal(*shapes, count=count)(settings)
        units = [10.0 ** random.uniform(low, high, len(arrays[0])) for low, high in powers]
        return tuple(
            (a * unit.reshape(-1, *[1] * (a.ndim - 1))).astype(np.float32)
            for a, unit in zip(arrays, units, strict=True)
        )

    return draw


def together(*draws):
    """Examples of several draws, one after the other."""

    def draw(settings):
        columns = zip(*(d(settings) for d in draws), strict=True)
        return tuple(np.concatenate(column) for column in columns)

    return draw


def beside(draw, *constants):
    """The arrays of a draw, and beside them constants that are the same in every example."""

    def drawn(settings):
        arrays = draw(settings)
        n = len(arrays[0])
        return *arrays, *(np.broadcast_to(c, (n, *np.shape(c))) for c in constants)

    return drawn


def flat(*arrays):
    """Several outputs as one vector."""
    return jnp.concatenate([a.reshape(-1) for a in arrays])
