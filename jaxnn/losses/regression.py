r"""Losses of real-valued predictions; each returns one number per element."""

import math

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks, _exact
from jaxnn.losses._common import elementwise, install, labelled, pair, times_difference

__all__ = [
    "absolute_error", "absolute_error_grad",
    "absolute_percentage_error", "absolute_percentage_error_grad",
    "huber", "huber_grad",
    "log_cosh", "log_cosh_grad",
    "poisson", "poisson_grad",
    "quantile", "quantile_grad",
    "squared_error", "squared_error_grad",
]  # fmt: skip


def squared_error(predictions: Array, targets: Array) -> Array:
    r"""Squared error of each element, \( (p - t)^2 \).

    Its mean is the mean squared error. Some libraries halve it, or average it over features.

    Args:
        predictions: floats of any shape.
        targets: shaped like `predictions`.

    Returns:
        Losses, shaped like `predictions`, in the square of their unit.

    Raises:
        ValueError: if the shapes differ; nothing is broadcast.
        TypeError: if the predictions are not floats.

    Example:
        >>> squared_error(jnp.array([1.0, 3.0]), jnp.array([1.0, 1.0]))
        Array([0., 4.], dtype=float32)
    """
    (p, t), dtype = pair("squared_error", predictions=predictions, targets=targets)
    return ((p - t) ** 2).astype(dtype)


def squared_error_grad(predictions: Array, targets: Array) -> Array:
    r"""Gradient of `squared_error` in the predictions, \( 2 (p - t) \)."""
    (p, t), dtype = pair("squared_error_grad", predictions=predictions, targets=targets)
    return times_difference(jnp.full_like(p, 2), p, t).astype(dtype)


def absolute_error(predictions: Array, targets: Array) -> Array:
    r"""Absolute error of each element, \( |p - t| \).

    Its minimiser is the median where that of the squared error is the mean.

    Args:
        predictions: floats of any shape.
        targets: shaped like `predictions`.

    Returns:
        Losses, shaped like `predictions`, in their unit.

    Raises:
        ValueError: if the shapes differ; nothing is broadcast.
        TypeError: if the predictions are not floats.

    Example:
        >>> absolute_error(jnp.array([1.0, 3.0]), jnp.array([1.5, 1.0]))
        Array([0.5, 2. ], dtype=float32)
    """
    (p, t), dtype = pair("absolute_error", predictions=predictions, targets=targets)
    return _absolute(p - t).astype(dtype)


def absolute_error_grad(predictions: Array, targets: Array) -> Array:
    r"""Gradient of `absolute_error`: the sign of \( p - t \), 0 at an error of 0."""
    (p, t), dtype = pair("absolute_error_grad", predictions=predictions, targets=targets)
    return jnp.sign(p - t).astype(dtype)


@jax.custom_jvp
def _absolute(x):
    return jnp.abs(x)


# Installed for the kink, where JAX would return 1, and for NaN, where it would return -1.
install(_absolute, elementwise(jnp.sign))


def huber(predictions: Array, targets: Array, delta: float = 1.0) -> Array:
    r"""Huber loss of each element: quadratic up to `delta`, linear beyond.

    \( r^2 / 2 \) where \( |r| \le \delta \) and \( \delta (|r| - \delta / 2) \) elsewhere,
    with \( r = p - t \).

    Args:
        predictions: floats of any shape.
        targets: shaped like `predictions`.
        delta: the error at which the loss turns linear, in the unit of the targets.

    Returns:
        Losses, shaped like `predictions`.

    Raises:
        ValueError: if the shapes differ, or `delta` is not positive (under `jit`, NaN).
        TypeError: if the predictions are not floats.

    Example:
        >>> huber(jnp.array([0.5, 3.0]), jnp.array([0.0, 0.0]))
        Array([0.125, 2.5  ], dtype=float32)

    Reference:
        Huber, "Robust estimation of a location parameter", Annals of Mathematical
        Statistics 1964.
    """
    (p, t), dtype = pair("huber", predictions=predictions, targets=targets)
    delta = _checks.positive("huber", delta=delta)
    return _huber(p, t, jnp.asarray(delta, p.dtype)).astype(dtype)


def huber_grad(predictions: Array, targets: Array, delta: float = 1.0) -> Array:
    r"""Gradient of `huber` in the predictions: the error, clipped to [-delta, delta]."""
    (p, t), dtype = pair("huber_grad", predictions=predictions, targets=targets)
    delta = _checks.positive("huber_grad", delta=delta)
    return _huber_slope(p, t, jnp.asarray(delta, p.dtype)).astype(dtype)


@jax.custom_jvp
def _huber(p, t, delta):
    error = jnp.abs(p - t)
    # Halves first: neither the square nor the difference may overflow where the loss does not.
    linear = (2 * delta) * (jnp.abs(p / 2 - t / 2) - delta / 4)
    return jnp.where(error <= delta, error * (error / 2), linear)


def _huber_slope(p, t, delta):
    return jnp.clip(p - t, -delta, delta)


# Installed because it is one clip, where autodiff differentiates both branches, the square
# overflowing in the one not taken.
install(
    _huber,
    elementwise(_huber_slope),
    lambda g, p, t, delta: -g * _huber_slope(p, t, delta),
    lambda g, p, t, delta: g * jnp.maximum(jnp.abs(p - t) - delta, 0),
)


def log_cosh(predictions: Array, targets: Array) -> Array:
    r"""Logarithm of the hyperbolic cosine of each error, \( \log \cosh (p - t) \).

    About \( r^2 / 2 \) for small errors and \( |r| - \log 2 \) for large ones: a smooth
    relative of `huber`. Computed from exp(-|r|), which does not overflow, as the textbook form
    does at an error of 89.

    Args:
        predictions: floats of any shape.
        targets: shaped like `predictions`.

    Returns:
        Losses, shaped like `predictions`.

    Raises:
        ValueError: if the shapes differ; nothing is broadcast.
        TypeError: if the predictions are not floats.

    Example:
        >>> [f"{loss:.4f}" for loss in log_cosh(jnp.array([0.0, 1.0, 100.0]), jnp.zeros(3))]
        ['0.0000', '0.4338', '99.3069']
    """
    (p, t), dtype = pair("log_cosh", predictions=predictions, targets=targets)
    return _log_cosh(p - t).astype(dtype)


def log_cosh_grad(predictions: Array, targets: Array) -> Array:
    r"""Gradient of `log_cosh` in the predictions, \( \tanh (p - t) \)."""
    (p, t), dtype = pair("log_cosh_grad", predictions=predictions, targets=targets)
    return _exact.tanh(p - t).astype(dtype)


@jax.custom_jvp
def _log_cosh(r):
    a = jnp.abs(r)
    m = _exact.expm1(-jnp.minimum(a, 1))
    near, far = m**2 / (2 * (1 + m)), jnp.exp(-2 * a)  # cosh(r) - 1, and what a - ln 2 lacks
    return jnp.where(a < 1, 0, a - math.log(2)) + jnp.log1p(jnp.where(a < 1, near, far))


# Installed because it is exact, and so is the next derivative, which autodiff loses from
# errors of 8 on, where 1 - tanh^2 rounds to 0.
install(_log_cosh, elementwise(_exact.tanh))


def absolute_percentage_error(predictions: Array, targets: Array, epsilon: float = 1e-7) -> Array:
    r"""Absolute error of each element in percent of its target.

    \( 100\,|p - t| / \max(|t|, \epsilon) \). The size of the target is bounded from below,
    not the target itself, which would spoil negative ones.

    Args:
        predictions: floats of any shape.
        targets: shaped like `predictions`.
        epsilon: the size below which a target counts as that large, in the unit of the targets.

    Returns:
        Losses in percent, shaped like `predictions`.

    Raises:
        ValueError: if the shapes differ, or `epsilon` is not positive (under `jit`, NaN).
        TypeError: if the predictions are not floats.

    Example:
        >>> absolute_percentage_error(jnp.array([1.5, -3.0]), jnp.array([1.0, -4.0]))
        Array([50., 25.], dtype=float32)
    """
    (p, t), dtype = pair("absolute_percentage_error", predictions=predictions, targets=targets)
    epsilon = _checks.positive("absolute_percentage_error", epsilon=epsilon)
    return _absolute(times_difference(_percent(t, epsilon), p, t)).astype(dtype)


def absolute_percentage_error_grad(
    predictions: Array, targets: Array, epsilon: float = 1e-7
) -> Array:
    r"""Gradient of `absolute_percentage_error`, \( 100\,sign(p - t) / \max(|t|, \epsilon) \)."""
    name = "absolute_percentage_error_grad"
    (p, t), dtype = pair(name, predictions=predictions, targets=targets)
    epsilon = _checks.positive(name, epsilon=epsilon)
    return (jnp.sign(p - t) * _percent(t, epsilon)).astype(dtype)


def _percent(t, epsilon):
    return 100 / jnp.maximum(jnp.abs(t), jnp.asarray(epsilon, t.dtype))


def quantile(predictions: Array, targets: Array, q: float = 0.5) -> Array:
    r"""Quantile (pinball) loss of each element.

    \( q\,(t - p) \) where the prediction is too low, \( (1 - q) (p - t) \) where it is too
    high. Its minimiser is the q-quantile; for q = 0.5 it is half the absolute error.

    Args:
        predictions: floats of any shape.
        targets: shaped like `predictions`.
        q: the quantile, within [0, 1].

    Returns:
        Losses, shaped like `predictions`.

    Raises:
        ValueError: if the shapes differ, or `q` is outside [0, 1] (under `jit`, NaN).
        TypeError: if the predictions are not floats.

    Example:
        >>> quantile(jnp.array([0.0, 2.0]), jnp.array([1.0, 1.0]), q=0.75)
        Array([0.75, 0.25], dtype=float32)

    Reference:
        Koenker and Bassett, "Regression quantiles", Econometrica 1978.
    """
    (p, t), dtype = pair("quantile", predictions=predictions, targets=targets)
    return _quantile(p, t, *_both_sides("quantile", q, p.dtype)).astype(dtype)


def quantile_grad(predictions: Array, targets: Array, q: float = 0.5) -> Array:
    r"""Gradient of `quantile`: -q where the prediction is too low, 1 - q where too high, else 0."""
    (p, t), dtype = pair("quantile_grad", predictions=predictions, targets=targets)
    return _quantile_slope(p, t, *_both_sides("quantile_grad", q, p.dtype)).astype(dtype)


def _both_sides(function, q, dtype):
    """Slopes below and above; 1 - q before it is rounded, where q is a Python number."""
    q = _checks.probability(function, q=q)
    return jnp.asarray(q, dtype), jnp.asarray(1 - q, dtype)


@jax.custom_jvp
def _quantile(p, t, low, high):
    return jnp.where(p < t, times_difference(low, t, p), times_difference(high, p, t))


def _quantile_slope(p, t, low, high):
    return high * jnp.heaviside(p - t, 0) - low * jnp.heaviside(t - p, 0)


# Installed for the kink, where a select would return the slope of one side.
install(
    _quantile,
    elementwise(_quantile_slope),
    lambda g, *primals: -g * _quantile_slope(*primals),
    lambda g, p, t, *_: g * jnp.maximum(t - p, 0),
    lambda g, p, t, *_: g * jnp.maximum(p - t, 0),
)


def poisson(log_rates: Array, counts: Array) -> Array:
    r"""Poisson loss of each element, from the logarithm of the rate.

    \( e^z - k z \): minus the logarithm of the probability of k events at the rate
    \( e^z \), less \( \log k! \), which does not depend on the prediction. So it may be
    negative.

    Args:
        log_rates: logarithms of the expected counts, floats of any shape.
        counts: counts observed, at least 0, integers or floats, shaped like `log_rates`.

    Returns:
        Losses, shaped like `log_rates`.

    Raises:
        ValueError: if the shapes differ, or a count is negative (under `jit`, NaN).
        TypeError: if `log_rates` are not floats.

    Example:
        >>> [f"{loss:.4f}" for loss in poisson(jnp.array([0.0, 1.0]), jnp.array([2, 0]))]
        ['1.0000', '2.7183']
    """
    z, k, dtype = _rates("poisson", log_rates, counts)
    return _poisson(z, k).astype(dtype)


def poisson_grad(log_rates: Array, counts: Array) -> Array:
    r"""Gradient of `poisson` in the logarithm of the rate, \( e^z - k \)."""
    z, k, dtype = _rates("poisson_grad", log_rates, counts)
    return _poisson_slope(z, k).astype(dtype)


def _rates(function, log_rates, counts):
    (z, k), dtype = pair(function, log_rates=log_rates, counts=counts)
    k = labelled(
        function, lambda k: k >= 0, "be at least 0", "Count events; pass no logarithms.", counts=k
    )
    return z, k, dtype


@jax.custom_jvp
def _poisson(z, k):
    return jnp.exp(z) - jnp.where(k == 0, 0, k * z)  # 0 also at infinity


def _poisson_slope(z, k):
    near = jnp.abs(z) < 0.5
    return jnp.where(near, jnp.expm1(jnp.where(near, z, 0)) - (k - 1), jnp.exp(z) - k)


# Installed because it is exact at rates near 1, where training starts and exp(z) - 1 cancels.
install(_poisson, elementwise(_poisson_slope), lambda g, z, k: -g * z)
