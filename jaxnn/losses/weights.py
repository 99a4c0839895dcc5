"""Smoothed labels, and the mean under weights or a mask."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks, _units
from jaxnn.losses._common import along_rows, install, labelled, pair

__all__ = ["smooth_labels", "smooth_labels_vjp", "weighted_mean", "weighted_mean_vjp"]


def smooth_labels(labels: Array, amount: float) -> Array:
    r"""Labels mixed with the uniform distribution, \( (1 - a)\,y + a / K \) for K classes.

    Args:
        labels: one-hot or other distributions, `[..., classes]`; floats, integers or booleans.
        amount: the share a of the uniform distribution, within [0, 1].

    Returns:
        Distributions, shaped like `labels`, floats.

    Raises:
        ValueError: if `amount` is outside [0, 1] (under `jit`, NaN), or `labels` has no axis of
            classes.

    Example:
        >>> smooth_labels(jnp.array([1.0, 0.0, 0.0, 0.0]), 0.5)
        Array([0.625, 0.125, 0.125, 0.125], dtype=float32)

    Reference:
        Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016.
    """
    amount = _checks.probability("smooth_labels", amount=amount)
    _checks.real("smooth_labels", labels=labels)
    if jnp.ndim(labels) == 0:
        raise ValueError(
            "smooth_labels: labels must have a last axis of classes, got a number. "
            "Make it one: jax.nn.one_hot(labels, classes)."
        )
    labels = jnp.asarray(labels)
    if not jnp.issubdtype(labels.dtype, jnp.floating):
        labels = labels.astype(jnp.result_type(float))
    wide = labels.astype(_checks.wide(labels.dtype))
    return ((1 - amount) * wide + amount / labels.shape[-1]).astype(labels.dtype)


def smooth_labels_vjp(g: Array, labels: Array, amount: float) -> Array:
    r"""Cotangent of the labels, \( (1 - a)\,g \)."""
    _checks.cotangent("smooth_labels_vjp", g, jnp.shape(labels))
    amount = _checks.probability("smooth_labels_vjp", amount=amount)
    return ((1 - amount) * g.astype(_checks.wide(g.dtype))).astype(g.dtype)


def weighted_mean(values: Array, weights: Array) -> Array:
    r"""Mean of all values under weights, \( \sum w_i v_i / \sum w_i \).

    Weights that are all zero give 0 and a zero gradient. A value of weight 0 is left out
    whatever it is, also where it is not finite: a mask is a weighting.

    Args:
        values: floats of any shape, such as the losses of a batch.
        weights: at least 0, shaped like `values`; floats, integers or booleans.

    Returns:
        The mean, one number.

    Raises:
        ValueError: if the shapes differ, or a weight is negative or not finite (under `jit`, NaN).
        TypeError: if the values are not floats.

    Example:
        >>> weighted_mean(jnp.array([1.0, 2.0, 9.0]), jnp.array([1, 3, 0]))
        Array(1.75, dtype=float32)
    """
    values, weights, dtype = _weighed("weighted_mean", values, weights)
    return _weighted_mean(values, weights).astype(dtype)


def weighted_mean_vjp(g: Array, values: Array, weights: Array) -> tuple[Array, Array]:
    r"""Cotangents of the values, \( g\,w_i / \sum w \), and of the weights.

    The latter are \( g\,(v_i - m) / \sum w \), with the mean m.
    """
    _checks.cotangent("weighted_mean_vjp", g, ())
    kind = jnp.result_type(weights)
    flat, scaled, dtype = _weighed("weighted_mean_vjp", values, weights)
    g = g.astype(flat.dtype)
    in_values = g * _in_values(flat, scaled)
    in_weights = g * _in_weights(flat, scaled)
    shape = jnp.shape(values)
    kind = kind if jnp.issubdtype(kind, jnp.floating) else dtype
    return in_values.reshape(shape).astype(dtype), in_weights.reshape(shape).astype(kind)


def _weighed(function, values, weights):
    """Values and weights as flat arrays, values of no weight replaced by zeros if not finite."""
    (values, weights), dtype = pair(function, values=values, weights=weights)
    fit = lambda w: (w >= 0) & (w < jnp.inf)
    do = "To leave a value out, give it weight 0."
    weights = labelled(function, fit, "be finite and at least 0", do, weights=weights)
    left_out = (weights == 0) & ~jnp.isfinite(values)
    return jnp.where(left_out, 0, values).ravel(), weights.ravel(), dtype


def _shares(weights):
    """Weights that sum to 1, or zeros; and the sum of all as `total * scale`."""
    scale = _units.unit(weights, axis=-1)
    scaled = weights / scale
    total = scaled.sum(-1, keepdims=True)
    empty = total == 0
    total = jnp.where(empty, 1, total)
    return scaled / total, jnp.where(empty, 0, 1 / total), scale


@jax.custom_jvp
def _weighted_mean(values, weights):
    scale = _units.unit(values, axis=-1)
    return ((_shares(weights)[0] * (values / scale)).sum(-1, keepdims=True) * scale)[0]


def _in_values(values, weights):
    return _shares(weights)[0]


def _in_weights(values, weights):
    _, inverse, scale = _shares(weights)
    return (values - _weighted_mean(values, weights)) * inverse / scale


# Installed because the slope in the weights is exact where autodiff subtracts two quotients.
install(_weighted_mean, along_rows(_in_values), along_rows(_in_weights))
