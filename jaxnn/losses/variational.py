"""The divergence that keeps the codes of a variational autoencoder near a standard normal."""

import math

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn.losses._common import elementwise, install, pair

__all__ = ["gaussian_kl_divergence", "gaussian_kl_divergence_grad"]


def gaussian_kl_divergence(mean: Array, log_variance: Array) -> Array:
    r"""Divergence of a diagonal Gaussian from the standard normal, for each feature.

    .. math:: KL(N(\mu, \sigma^2) \,\|\, N(0, 1))
              = \tfrac12 (\mu^2 + \sigma^2 - 1 - \log \sigma^2)

    Sum it over the features of the code. It is computed from \( v = \log \sigma^2 \) as
    \( \tfrac12 (\mu^2 + (e^v - 1 - v)) \), with the first terms of the series near 0, where the
    difference cancels.

    Args:
        mean: means, floats of any shape.
        log_variance: logarithms of the variances, shaped like `mean`.

    Returns:
        Divergences, shaped like `mean`.

    Raises:
        ValueError: if the shapes differ.
        TypeError: if `mean` does not hold floats.

    Example:
        >>> gaussian_kl_divergence(jnp.array([0.0, 2.0]), jnp.array([0.0, 0.0]))
        Array([0., 2.], dtype=float32)

    Reference:
        Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014.
    """
    primals, dtype = pair("gaussian_kl_divergence", mean=mean, log_variance=log_variance)
    return _divergence(*primals).astype(dtype)


def gaussian_kl_divergence_grad(mean: Array, log_variance: Array) -> tuple[Array, Array]:
    r"""Derivatives of `gaussian_kl_divergence`: \( \mu \), and \( \tfrac12 (e^v - 1) \)."""
    kind = jnp.result_type(log_variance)
    primals, dtype = pair("gaussian_kl_divergence_grad", mean=mean, log_variance=log_variance)
    mean, log_variance = primals
    return mean.astype(dtype), _slope(log_variance).astype(kind)


@jax.custom_jvp
def _divergence(mean, v):
    small = jnp.abs(v) < 1
    near = jnp.where(small, v, 0)
    # (e^v - 1 - v) / v^2 = 1/2! + v/3! + v^2/4! + ...
    series = 0.0
    for k in range(18 if v.dtype == jnp.float64 else 12, 1, -1):
        series = 1 / math.factorial(k) + near * series
    rest = jnp.where(small, near * near * series / 2, (_half_exp(v) - 0.5) - v / 2)
    return mean * (mean / 2) + rest


def _half_exp(v):
    """exp(v) / 2, which is a number where exp(v) just isn't."""
    high = v > 80
    return jnp.exp(jnp.where(high, v - 1, v)) * jnp.where(high, math.e / 2, 0.5)


def _slope(v):
    """(exp(v) - 1) / 2."""
    return jnp.where(v > 80, _half_exp(v), jnp.expm1(v) / 2)


# Installed because the derivative of the series is the series cut short.
install(
    _divergence,
    elementwise(lambda mean, v: mean),
    elementwise(lambda mean, v: _slope(v)),
)
