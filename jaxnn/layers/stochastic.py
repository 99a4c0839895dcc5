"""Layers that draw random numbers: without a key they do nothing."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks

__all__ = ["dropout", "dropout_vjp"]


def dropout(key: Array | None, x: Array, rate: float | Array) -> Array:
    r"""Inverted dropout: zeroes each entry with probability `rate`, and scales up the rest.

    .. math:: y_i = \frac{m_i}{1 - r}\, x_i, \qquad m_i \sim \mathrm{Bernoulli}(1 - r)

    The scale keeps the expectation, \( E[y] = x \), so that nothing is left to do when the
    network is used: then pass no key. At rate 1 nothing is kept, and outputs and gradients
    are zero. A key draws the same mask for every dtype of `x`.

    Args:
        key: the source of the mask; None for the identity.
        x: any shape.
        rate: the probability of being zeroed, from 0 to 1. A traced value is allowed, so
            that rates can be swept; out of range it gives nan there.

    Returns:
        An array shaped like `x`.

    Raises:
        ValueError: if `rate` is outside [0, 1].
        TypeError: if `x` does not hold floats.

    Example:
        >>> y = dropout(jax.random.key(0), jnp.ones(1000), 0.2)
        >>> bool(((y == 0) | (y == 1.25)).all())
        True
        >>> dropout(None, jnp.array([1.0, 2.0]), 0.2)
        Array([1., 2.], dtype=float32)

    Reference:
        Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way
        to prevent neural networks from overfitting", JMLR 2014.
    """
    _checks.floating("dropout", x=x)
    _checks.probability("dropout", rate=rate)
    if key is None or (isinstance(rate, int | float) and rate == 0):
        return x
    with jax.named_scope("dropout"):
        wide = _checks.wide(x.dtype)  # in bfloat16, 1 - 0.1 is 0.898
        keep = 1 - jnp.asarray(rate, wide)
        possible = (keep >= 0) & (keep <= 1)
        scale = jnp.where(possible, 1 / jnp.where(keep == 0, 1, keep), jnp.nan)
        # Of an impossible rate nothing is dropped, so that all of it becomes nan.
        mask = jax.random.bernoulli(key, keep.astype(jnp.float32), x.shape) | ~possible
        return jnp.where(mask, x.astype(wide) * scale, 0).astype(x.dtype)


def dropout_vjp(g: Array, key: Array | None, x: Array, rate: float | Array) -> Array:
    r"""Pulls the cotangent `g` back through `dropout`: the same mask and scale, on `g`.

    \( \partial x_i = \frac{m_i}{1 - r}\, g_i \), for the mask m that `key` draws.
    """
    _checks.cotangent("dropout_vjp", g, jnp.shape(x))
    return dropout(key, g, rate)
