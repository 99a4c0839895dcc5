"""Metrics of regressions."""

import jax.numpy as jnp
from jax import Array

from jaxnn import _checks, _units

__all__ = [
    "mean_absolute_error", "mean_squared_error", "r2_score",
]  # fmt: skip


def mean_squared_error(predictions: Array, targets: Array) -> Array:
    r"""Mean squared error, \( \mathrm{mean}\,(\hat y - y)^2 \), in squared units of the targets.

    Args:
        predictions: any shape.
        targets: shaped like `predictions`.

    Returns:
        The error, a scalar.

    Raises:
        ValueError: if the shapes differ.
        TypeError: if either holds no floats.

    Example:
        >>> mean_squared_error(jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0]))
        Array(2.5, dtype=float32)
    """
    errors, unit = _in_a_unit(*_errors("mean_squared_error", predictions, targets))
    return (errors**2).mean() * unit * unit


def mean_absolute_error(predictions: Array, targets: Array) -> Array:
    r"""Mean absolute error, \( \mathrm{mean}\,|\hat y - y| \), in the units of the targets.

    Args:
        predictions: any shape.
        targets: shaped like `predictions`.

    Returns:
        The error, a scalar.

    Raises:
        ValueError: if the shapes differ.
        TypeError: if either holds no floats.

    Example:
        >>> mean_absolute_error(jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0]))
        Array(1.5, dtype=float32)
    """
    errors, unit = _in_a_unit(*_errors("mean_absolute_error", predictions, targets))
    return jnp.abs(errors).mean() * unit


def r2_score(predictions: Array, targets: Array) -> Array:
    r"""Coefficient of determination, \( 1 - \sum (\hat y - y)^2 / \sum (y - \bar y)^2 \).

    The share of the variance that the predictions explain: 1 if perfect, 0 for the mean of the
    targets, negative if worse. Several outputs are scored one by one and averaged.

    Args:
        predictions: `[examples]` or `[examples, outputs...]`.
        targets: shaped like `predictions`.

    Returns:
        The score, a scalar; NaN if the targets of an output are all equal.

    Raises:
        ValueError: if the shapes differ, or there is no axis of examples.
        TypeError: if either holds no floats.

    Example:
        >>> r2_score(jnp.array([1.0, 2.0, 4.0]), jnp.array([1.0, 2.0, 3.0]))
        Array(0.5, dtype=float32)
    """
    errors, half = _errors("r2_score", predictions, targets)
    if not errors.ndim:
        raise ValueError(
            "r2_score: predictions and targets must have an axis of examples, got scalars. "
            "Pass all examples at once."
        )
    # Relative to one target and to the spread, so that neither a large offset nor the squares
    # of huge or tiny units cost digits.
    targets = jnp.asarray(targets, errors.dtype) * half
    centred = targets - targets[:1]
    spread = _units.unit(centred, axis=0)
    centred, errors = centred / spread, errors / spread
    total = ((centred - centred.mean(0)) ** 2).sum(0)
    unit = _units.unit(errors, axis=0)
    missed = ((errors / unit) ** 2).sum(0) / jnp.where(total == 0, jnp.nan, total)
    return (1 - missed * unit[0] * unit[0]).mean()


def _errors(function, predictions, targets):
    """Half the errors and 1/2, where one of them would leave the range, else the errors and 1."""
    _checks.floating(function, predictions=predictions, targets=targets)
    _checks.same_shape(function, predictions=predictions, targets=targets)
    wide = _checks.wide(jnp.result_type(predictions))
    said, true = jnp.asarray(predictions, wide), jnp.asarray(targets, wide)
    half = jnp.where(jnp.isinf(said - true).any(), 0.5, 1).astype(wide)
    return said * half - true * half, half


def _in_a_unit(errors, half):
    """Errors over a power of two near the largest of them, and it: no sum of those overflows."""
    unit = _units.unit(errors)
    return errors / unit, unit / half
