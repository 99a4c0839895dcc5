r"""Cross entropies: minus the logarithm of the probability that a model gives to the labels.

Those from logits are computed from differences to the largest logit, so a loss of 1e-30 is as
exact as one of 10. Those from probabilities are for models that end in probabilities already:
rounding has cost them what is close to 1, so prefer logits where you can choose.
"""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks, _exact
from jaxnn.losses._common import (
    constant,
    distributions,
    elementwise,
    fractions,
    inputs,
    install,
    pair,
)
from jaxnn.losses._common import (
    probabilities as _probabilities,
)
from jaxnn.losses._softmax import (
    cross_entropy,
    cross_entropy_slope,
    hot_rows,
    sparse_cross_entropy,
    sparse_slope,
)

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_from_probabilities",
    "binary_cross_entropy_from_probabilities_grad",
    "binary_cross_entropy_grad",
    "categorical_cross_entropy",
    "categorical_cross_entropy_from_probabilities",
    "categorical_cross_entropy_from_probabilities_grad",
    "categorical_cross_entropy_grad",
    "sparse_categorical_cross_entropy",
    "sparse_categorical_cross_entropy_grad",
]  # fmt: skip


def binary_cross_entropy(logits: Array, labels: Array) -> Array:
    r"""Binary cross entropy of each element, from logits.

    \( -y \log \sigma(z) - (1 - y) \log(1 - \sigma(z)) \), computed as
    \( |z|\,w + \log(1 + e^{-|z|}) \) with w the weight of the class that the sign of z does not
    predict.

    Args:
        logits: log-odds, floats of any shape. Not probabilities: apply no sigmoid first.
        labels: probabilities of the positive class, within [0, 1], or booleans or integers 0
            and 1; shaped like `logits`.

    Returns:
        Losses, shaped like `logits`.

    Raises:
        ValueError: if the shapes differ, or a label is outside [0, 1] (under `jit`, NaN).
        TypeError: if the logits are not floats.

    Example:
        >>> binary_cross_entropy(jnp.array([0.0, 100.0]), jnp.array([1, 1])).round(4)
        Array([0.6931, 0.    ], dtype=float32)
    """
    (z, y), dtype = pair("binary_cross_entropy", logits=logits, labels=labels)
    y = fractions("binary_cross_entropy", labels=y)
    return _binary_cross_entropy(z, y).astype(dtype)


def binary_cross_entropy_grad(logits: Array, labels: Array) -> Array:
    r"""Gradient of `binary_cross_entropy`: prediction minus label, \( \sigma(z) - y \)."""
    (z, y), dtype = pair("binary_cross_entropy_grad", logits=logits, labels=labels)
    y = fractions("binary_cross_entropy_grad", labels=y)
    return _binary_slope(z, y).astype(dtype)


@jax.custom_jvp
def _binary_cross_entropy(z, y):
    against = jnp.where(z > 0, 1 - y, y)
    linear = jnp.where(against == 0, 0, jnp.abs(z) * against)  # 0 also at infinity
    return linear + jnp.log1p(jnp.exp(-jnp.abs(z)))


def _binary_slope(z, y):
    e = jnp.exp(-jnp.abs(z))
    small = e / (1 + e)
    outside = jnp.where(z > 0, (1 - y) - small, small - y)
    inside = _exact.tanh(z / 2) / 2 + (0.5 - y)
    return jnp.where(jnp.abs(z) < 1, inside, outside)


# Installed because it is exact: neither sigmoid(z) - 1, which is 0 from z = 17 on, nor, at
# y = 1/2, sigmoid(z) - 1/2.
install(
    _binary_cross_entropy,
    elementwise(_binary_slope),
    lambda g, z, y: -g * z,
)


def binary_cross_entropy_from_probabilities(probabilities: Array, labels: Array) -> Array:
    r"""Binary cross entropy of each element, from probabilities.

    \( -y \log p - (1 - y) \log(1 - p) \), with \( 0 \log 0 = 0 \): exact at p = 0 and p = 1.
    Nothing is clipped, as Keras does, which leaves confidently wrong predictions without a
    gradient: a probability of 0 for what is true costs infinity.

    Args:
        probabilities: of the positive class, floats within [0, 1], of any shape.
        labels: as in `binary_cross_entropy`.

    Returns:
        Losses, shaped like `probabilities`.

    Raises:
        ValueError: if the shapes differ, or a probability or label is outside [0, 1] (under
            `jit`, NaN).
        TypeError: if the probabilities are not floats.

    Example:
        >>> p = jnp.array([0.5, 1.0])
        >>> binary_cross_entropy_from_probabilities(p, jnp.array([1, 1])).round(4)
        Array([0.6931, 0.    ], dtype=float32)
    """
    name = "binary_cross_entropy_from_probabilities"
    (p, y), dtype = pair(name, probabilities=probabilities, labels=labels)
    p, y = _probabilities(name, probabilities=p), fractions(name, labels=y)
    return _binary_from_probabilities(p, y).astype(dtype)


def binary_cross_entropy_from_probabilities_grad(probabilities: Array, labels: Array) -> Array:
    r"""Gradient in the probabilities, \( (p - y) / (p (1 - p)) \): -1/p where y = 1."""
    name = "binary_cross_entropy_from_probabilities_grad"
    (p, y), dtype = pair(name, probabilities=probabilities, labels=labels)
    p, y = _probabilities(name, probabilities=p), fractions(name, labels=y)
    return _slope_from_probabilities(p, y).astype(dtype)


@jax.custom_jvp
def _binary_from_probabilities(p, y):
    no, yes = y == 0, y == 1
    positive = jnp.where(no, 0, y * jnp.log(jnp.where(no, 1, p)))
    negative = jnp.where(yes, 0, (1 - y) * jnp.log1p(-jnp.where(yes, 0, p)))
    return 0 - positive - negative  # 0 and not -0 where p is certain and right


def _slope_from_probabilities(p, y):
    no, yes = y == 0, y == 1
    above = jnp.where(yes, -1, jnp.where(no, 1, p - y))
    return above / (jnp.where(no, 1, p) * jnp.where(yes, 1, 1 - p))


# Installed because it does not cancel near p = y, where autodiff subtracts two quotients.
install(
    _binary_from_probabilities,
    elementwise(_slope_from_probabilities),
    lambda g, p, y: g * (jnp.log1p(-p) - jnp.log(p)),
)


def categorical_cross_entropy(logits: Array, labels: Array) -> Array:
    r"""Cross entropy of each row, from logits and the probabilities of all classes.

    \( -\sum_k y_k \log softmax(z)_k \). A row of logits that are all minus infinity, nothing
    being possible, costs infinity and has a zero gradient.

    Args:
        logits: unnormalised log-probabilities, floats, `[..., classes]`. Apply no softmax first.
        labels: one-hot or other distributions, `[..., classes]`, whose rows are not negative
            and sum to 1, to within 0.01 (see `smooth_labels`); floats, integers or booleans.

    Returns:
        Losses, `[...]`.

    Raises:
        ValueError: if the shapes differ, or a row of labels is no distribution (under `jit`,
            NaN). Integer classes belong to `sparse_categorical_cross_entropy`.
        TypeError: if the logits are not floats.

    Example:
        >>> logits = jnp.array([[0.0, 0.0], [0.0, 20.0]])
        >>> losses = categorical_cross_entropy(logits, jnp.array([[1.0, 0.0], [0.0, 1.0]]))
        >>> [f"{loss:.3g}" for loss in losses]
        ['0.693', '2.06e-09']
    """
    z, y, dtype = _dense("categorical_cross_entropy", logits=logits, labels=labels)
    return cross_entropy(z, y).astype(dtype)


def categorical_cross_entropy_grad(logits: Array, labels: Array) -> Array:
    r"""Gradient of `categorical_cross_entropy` in the logits, \( softmax(z) \sum_k y_k - y \).

    At the largest logit computed as the share of the others, \( \sum_{k \ne j} y_k \) less that
    of their probabilities, which does not cancel.
    """
    z, y, dtype = _dense("categorical_cross_entropy_grad", logits=logits, labels=labels)
    return cross_entropy_slope(z, y).astype(dtype)


def _dense(function, **arrays):
    """Predictions and distributions of one shape."""
    predictions, labels = arrays.values()
    _classes(function, predictions)
    _checks.array(function, labels=labels)
    if jnp.shape(labels) == jnp.shape(predictions)[:-1]:
        raise ValueError(
            f"{function}: labels must hold one number per class, shape {jnp.shape(predictions)}, "
            f"got {jnp.shape(labels)}. For integer classes from logits, call "
            "sparse_categorical_cross_entropy; or pass jax.nn.one_hot(labels, classes)."
        )
    (p, y), dtype = pair(function, **arrays)
    return p, distributions(function, labels=y), dtype


def _classes(function, predictions):
    _checks.array(function, predictions=predictions)
    if jnp.ndim(predictions) == 0 or jnp.shape(predictions)[-1] == 0:
        raise ValueError(
            f"{function}: the predictions must have a last axis of classes, got shape "
            f"{jnp.shape(predictions)}. Pass one row per example: x[None, :]."
        )


def categorical_cross_entropy_from_probabilities(probabilities: Array, labels: Array) -> Array:
    r"""Cross entropy of each row, \( -\sum_k y_k \log p_k \), from probabilities.

    With \( 0 \log 0 = 0 \), and nothing clipped: a probability of 0 for what is true costs
    infinity. Rows are taken as they are, not divided by their sum, as Keras does.

    Args:
        probabilities: floats within [0, 1], `[..., classes]`.
        labels: as in `categorical_cross_entropy`.

    Returns:
        Losses, `[...]`.

    Raises:
        ValueError: if the shapes differ, a probability is outside [0, 1], or a row of labels is
            no distribution (under `jit`, NaN).
        TypeError: if the probabilities are not floats.

    Example:
        >>> p = jnp.array([[0.25, 0.75, 0.0]])
        >>> categorical_cross_entropy_from_probabilities(p, jnp.array([[1, 0, 0]])).round(4)
        Array([1.3863], dtype=float32)
    """
    name = "categorical_cross_entropy_from_probabilities"
    p, y, dtype = _dense(name, probabilities=probabilities, labels=labels)
    p = _probabilities(name, probabilities=p)
    unused = y == 0
    # 0 p and not 0, so that what is no probability is NaN where no label looks at it, too.
    terms = jnp.where(unused, 0 * p, y * jnp.log(jnp.where(unused, 1, p)))
    return (0 - terms.sum(-1)).astype(dtype)


def categorical_cross_entropy_from_probabilities_grad(probabilities: Array, labels: Array) -> Array:
    r"""Gradient in the probabilities, \( -y_k / p_k \), and 0 where \( y_k = 0 \)."""
    name = "categorical_cross_entropy_from_probabilities_grad"
    p, y, dtype = _dense(name, probabilities=probabilities, labels=labels)
    p = _probabilities(name, probabilities=p)
    unused = y == 0
    return jnp.where(unused, 0 * p, -y / jnp.where(unused, 1, p)).astype(dtype)


def sparse_categorical_cross_entropy(
    logits: Array, labels: Array, ignore_index: int | None = None
) -> Array:
    r"""Cross entropy of each row, \( -\log softmax(z)_y \), from logits and integer classes.

    Args:
        logits: unnormalised log-probabilities, floats, `[..., classes]`. Apply no softmax first.
        labels: the classes, integers from 0 to `classes` - 1, `[...]`.
        ignore_index: a label, within the range or not, whose rows cost 0 and have a zero
            gradient whatever their logits, such as -1 for padding. To average over the others,
            pass `labels != ignore_index` to `weighted_mean`.

    Returns:
        Losses, `[...]`.

    Raises:
        ValueError: if the shapes don't fit, or a label is out of range (under `jit`, NaN).
        TypeError: if the logits are not floats, or the labels not integers.

    Example:
        >>> logits = jnp.array([[0.0, 0.0], [0.0, 20.0], [0.0, 0.0]])
        >>> labels = jnp.array([0, 1, -1])
        >>> losses = sparse_categorical_cross_entropy(logits, labels, ignore_index=-1)
        >>> [f"{loss:.3g}" for loss in losses]
        ['0.693', '2.06e-09', '0']
    """
    name = "sparse_categorical_cross_entropy"
    *primals, dtype = _sparse(name, logits, labels, ignore_index)
    return sparse_cross_entropy(*primals).astype(dtype)


def sparse_categorical_cross_entropy_grad(
    logits: Array, labels: Array, ignore_index: int | None = None
) -> Array:
    r"""Gradient in the logits: softmax, less 1 at the label; zeros in rows that are ignored."""
    name = "sparse_categorical_cross_entropy_grad"
    *primals, dtype = _sparse(name, logits, labels, ignore_index)
    return sparse_slope(*primals).astype(dtype)


def _sparse(function, logits, labels, ignore_index):
    """Logits, one-hot rows, which XLA fuses, and a weight per row: 0 where it is ignored."""
    _classes(function, logits)
    (z,), dtype = inputs(function, logits=logits)
    _checks.integer(function, labels=labels)
    _checks.one_per_row(function, z, labels=labels)
    ignored = None if ignore_index is None else jnp.asarray(labels) == ignore_index
    if ignored is not None:
        labels = constant(lambda ids: jnp.where(ids == ignore_index, 0, ids), labels)
        z = jnp.where(ignored[..., None], 0, z)
    hot, weight = hot_rows(function, labels, z)
    return z, hot, weight if ignored is None else jnp.where(ignored, 0, weight), dtype
