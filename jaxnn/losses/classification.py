r"""Margins, divergences and overlaps: losses of classifiers besides the cross entropies."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks, _exact, _rounding
from jaxnn.losses._common import (
    along_rows,
    distributions,
    elementwise,
    exact_difference,
    fractions,
    inputs,
    install,
    labelled,
    pair,
    predicted,
)
from jaxnn.losses._common import (
    probabilities as _probabilities,
)
from jaxnn.losses._softmax import class_rows

__all__ = [
    "categorical_hinge", "categorical_hinge_grad",
    "dice", "dice_grad",
    "focal", "focal_grad",
    "hinge", "hinge_grad",
    "kl_divergence", "kl_divergence_grad",
    "squared_hinge", "squared_hinge_grad",
]  # fmt: skip


def hinge(scores: Array, signs: Array) -> Array:
    r"""Hinge loss of each element, \( \max(0, 1 - y\,s) \) for y in {-1, 1}.

    The loss of the support vector machine: 0 once a score is right by a margin of 1.

    Args:
        scores: outputs of the decision function, floats of any shape; no probabilities.
        signs: the classes, -1 or 1, floats or integers, shaped like `scores`.

    Returns:
        Losses, shaped like `scores`.

    Raises:
        ValueError: if the shapes differ, or a sign is neither -1 nor 1 (under `jit`, NaN).
        TypeError: if the scores are not floats.

    Example:
        >>> hinge(jnp.array([0.5, 2.0]), jnp.array([-1, 1]))
        Array([1.5, 0. ], dtype=float32)

    Reference:
        Cortes and Vapnik, "Support-vector networks", Machine Learning 1995.
    """
    s, y, dtype = _signed("hinge", scores, signs)
    return _positive_part(1 - y * s).astype(dtype)


def hinge_grad(scores: Array, signs: Array) -> Array:
    r"""Gradient of `hinge`: \( -y \) where \( y\,s < 1 \), else 0, at the kink too."""
    s, y, dtype = _signed("hinge_grad", scores, signs)
    return (-y * jnp.heaviside(1 - y * s, 0)).astype(dtype)


def squared_hinge(scores: Array, signs: Array) -> Array:
    r"""Squared hinge loss of each element, \( \max(0, 1 - y\,s)^2 \) for y in {-1, 1}.

    Smooth at the margin, where `hinge` has a kink.

    Args:
        scores: outputs of the decision function, floats of any shape; no probabilities.
        signs: the classes, -1 or 1, floats or integers, shaped like `scores`.

    Returns:
        Losses, shaped like `scores`.

    Raises:
        ValueError: if the shapes differ, or a sign is neither -1 nor 1 (under `jit`, NaN).
        TypeError: if the scores are not floats.

    Example:
        >>> squared_hinge(jnp.array([0.5, 2.0]), jnp.array([-1, 1]))
        Array([2.25, 0.  ], dtype=float32)
    """
    s, y, dtype = _signed("squared_hinge", scores, signs)
    return (_positive_part(1 - y * s) ** 2).astype(dtype)


def squared_hinge_grad(scores: Array, signs: Array) -> Array:
    r"""Gradient of `squared_hinge`, \( -2 y \max(0, 1 - y\,s) \)."""
    s, y, dtype = _signed("squared_hinge_grad", scores, signs)
    return (-2 * y * jnp.maximum(1 - y * s, 0)).astype(dtype)


def _signed(function, scores, signs):
    (s, y), dtype = pair(function, scores=scores, signs=signs)
    y = labelled(
        function, lambda y: jnp.abs(y) == 1, "be -1 or 1",
        "For classes 0 and 1, pass 2 * labels - 1.", signs=y,
    )  # fmt: skip
    return s, y, dtype


@jax.custom_jvp
def _positive_part(x):
    return jnp.maximum(x, 0)


# Installed for the kink: for `maximum`, JAX would return 1/2 there.
install(_positive_part, elementwise(lambda x: jnp.heaviside(x, 0)))


def categorical_hinge(scores: Array, labels: Array) -> Array:
    r"""Multi-class hinge loss of each row, \( \max(0, 1 + \max_{k \ne y} s_k - s_y) \).

    Crammer and Singer's: 0 once the right class leads the best of the others by 1. With a
    single class there are no others, and the loss is 0.

    Args:
        scores: one score per class, floats, `[..., classes]`.
        labels: the classes, integers from 0 to `classes` - 1, `[...]`, or one-hot rows of any
            kind, `[..., classes]`.

    Returns:
        Losses, `[...]`.

    Raises:
        ValueError: if the shapes don't fit, a class is out of range or a row is not one-hot
            (under `jit`, NaN).
        TypeError: if the scores are not floats, or labels, one per row, not integers.

    Example:
        >>> categorical_hinge(jnp.array([[2.0, 0.5, 0.0], [0.0, 0.5, 0.0]]), jnp.array([0, 0]))
        Array([0. , 1.5], dtype=float32)

    Reference:
        Crammer and Singer, "On the algorithmic implementation of multiclass kernel-based vector
        machines", JMLR 2001.
    """
    s, y, dtype = _one_hot("categorical_hinge", scores, labels)
    return _positive_part(_violation(s, y)[0]).astype(dtype)


def categorical_hinge_grad(scores: Array, labels: Array) -> Array:
    """Gradient of `categorical_hinge`: 1 at the best other class, -1 at the label.

    Of several best others the first; all zeros where the margin is kept.
    """
    s, y, dtype = _one_hot("categorical_hinge_grad", scores, labels)
    violation, rival = _violation(s, y)
    return (jnp.heaviside(violation, 0)[..., None] * (rival - y)).astype(dtype)


def _one_hot(function, scores, labels):
    """Scores, and labels as one-hot rows."""
    (s, _), dtype = inputs(function, scores=scores, labels=labels)
    if jnp.shape(labels) == s.shape:
        (s, y), dtype = pair(function, scores=scores, labels=labels)
        y = distributions(function, labels=y)
        whole = "Pass classes as integers, or one-hot rows."
        return (
            s,
            labelled(function, lambda y: y * (1 - y) == 0, "be 0 or 1", whole, labels=y),
            dtype,
        )
    _checks.integer(function, labels=labels)
    _checks.one_per_row(function, s, labels=labels)
    return s, class_rows(function, labels, s), dtype


def _violation(s, y):
    """1 + the best other score - the score of the label, exact near 0; where that other stands."""
    others = jnp.where(y == 1, -jnp.inf, s)
    rival = jax.nn.one_hot(jnp.argmax(others, -1), s.shape[-1], dtype=s.dtype)
    pick = lambda rows: jnp.where(rows == 0, 0, s).sum(-1)
    lead, error = exact_difference(pick(rival), pick(y))
    # 1 for a one-hot row, NaN for a wrong one; without others there is nothing to lead.
    margin = y.sum(-1) if s.shape[-1] > 1 else 0 * y.sum(-1)
    return (margin + lead) + error, rival


def kl_divergence(log_predictions: Array, targets: Array) -> Array:
    r"""Kullback-Leibler divergence of each row, \( \sum_k p_k (\log p_k - \log q_k) \).

    From targets p to predictions q, with \( 0 \log 0 = 0 \); infinite where a prediction of 0
    meets a target that is not. Predictions come as logarithms: `log_softmax(logits)`, through
    which the gradient in the logits is \( softmax - p \).

    Args:
        log_predictions: logarithms of probabilities, floats at most 0, `[..., classes]`.
        targets: distributions, `[..., classes]`, whose rows sum to 1 to within 0.01.

    Returns:
        Divergences in nats, `[...]`.

    Raises:
        ValueError: if the shapes differ, a logarithm is above 0 (by 0.01 or more), or a row of
            targets is no distribution (under `jit`, NaN).
        TypeError: if the logarithms are not floats.

    Example:
        >>> kl_divergence(jnp.log(jnp.array([[0.5, 0.5]])), jnp.array([[1.0, 0.0]])).round(4)
        Array([0.6931], dtype=float32)

    Reference:
        Kullback and Leibler, "On information and sufficiency", Annals of Mathematical
        Statistics 1951.
    """
    q, p, dtype = _two_distributions("kl_divergence", log_predictions, targets)
    p, log_ratio = _log_ratio(q, p)
    return (p * log_ratio).sum(-1).astype(dtype)


def kl_divergence_grad(log_predictions: Array, targets: Array) -> tuple[Array, Array]:
    r"""Gradients of `kl_divergence`: \( -p \), and in the targets \( \log p - \log q + 1 \).

    The latter is 0 where p = 0, whose slope would be minus infinity.
    """
    q, p, dtype = _two_distributions("kl_divergence_grad", log_predictions, targets)
    kind = jnp.result_type(targets)
    kind = kind if jnp.issubdtype(kind, jnp.floating) else dtype
    missing = jnp.where(jnp.isnan(q), jnp.nan, 1)
    return (-p * missing).astype(dtype), jnp.where(p == 0, 0, _log_ratio(q, p)[1] + 1).astype(kind)


def _log_ratio(q, p):
    """p again and log p - log q; both 0, in all derivatives, where p = 0."""
    none = p == 0
    return jnp.where(none, 0, p), jnp.log(jnp.where(none, 1, p)) - jnp.where(none, 0, q)


def _two_distributions(function, log_predictions, targets):
    (q, p), dtype = pair(function, log_predictions=log_predictions, targets=targets)
    q = predicted(
        function, lambda q: q < 0.01, "be at most 0",
        "They are logarithms of probabilities: pass log_softmax(logits).", log_predictions=q,
    )  # fmt: skip
    return q, distributions(function, targets=p), dtype


def focal(logits: Array, labels: Array, gamma: float = 2.0) -> Array:
    r"""Binary focal loss of each element, \( -(1 - p)^\gamma \log p \), p that of its class.

    Cross entropy that plays down what is right already, for classes of very different size;
    with gamma = 0 it is `binary_cross_entropy`. Labels between 0 and 1 mix the losses of the
    two classes. For the weight alpha of the paper, multiply: `(0.25 * y + 0.75 * (1 - y)) * loss`.

    Args:
        logits: log-odds, floats of any shape. Apply no sigmoid first.
        labels: probabilities of the positive class, within [0, 1], or booleans or integers 0
            and 1; shaped like `logits`.
        gamma: how much less easy examples count, at least 0.

    Returns:
        Losses, shaped like `logits`.

    Raises:
        ValueError: if the shapes differ, or if a label is outside [0, 1] or `gamma` is
            negative (under `jit`, NaN).
        TypeError: if the logits are not floats.

    Example:
        >>> losses = focal(jnp.array([0.0, 3.0, 3.0]), jnp.array([1, 1, 0]))
        >>> [f"{loss:.4f}" for loss in losses]
        ['0.1733', '0.0001', '2.7663']

    Reference:
        Lin et al., "Focal loss for dense object detection", ICCV 2017.
    """
    z, y, power, dtype = _focal_inputs("focal", logits, labels, gamma)
    return (_share(y, z, power) + _share(1 - y, -z, power)).astype(dtype)


def focal_grad(logits: Array, labels: Array, gamma: float = 2.0) -> Array:
    r"""Gradient of `focal` in the logits, for the positive class of probability p.

    \( (1 - p)^\gamma (\gamma\,p \log p - (1 - p)) \); for the other, minus that at -z.
    """
    z, y, power, dtype = _focal_inputs("focal_grad", logits, labels, gamma)
    return (y * _focal_slope(z, power) - (1 - y) * _focal_slope(-z, power)).astype(dtype)


def _focal_inputs(function, logits, labels, gamma):
    (z, y), dtype = pair(function, logits=logits, labels=labels)
    least = "Pass 0 for cross entropy, 2 as in the paper."
    gamma = _checks.non_negative(function, least, gamma=gamma)
    return z, fractions(function, labels=y), jnp.asarray(gamma, z.dtype), dtype


def _share(weight, z, gamma):
    """The loss of one class by its weight; 0 without any, also where the loss is infinite."""
    unused = weight == 0
    return jnp.where(unused, 0, weight * _focal(jnp.where(unused, 0, z), gamma))


@jax.custom_jvp
def _focal(z, gamma):
    return _wrong_to(z, gamma) * _exact.softplus(-z)


def _focal_slope(z, gamma):
    # The bound keeps 0 * infinity away; sigmoid(z) has long been 0 there.
    logarithm = jnp.minimum(_exact.softplus(-z), 1e4)
    right, wrong = _exact.sigmoid(z), _exact.sigmoid(-z)
    return -_wrong_to(z, gamma) * (gamma * (right * logarithm) + wrong)


# Installed because 1 - p, and its powers, would cancel or lose the tail.
install(
    _focal,
    elementwise(_focal_slope),
    lambda g, z, gamma: -g * _focal(z, gamma) * _exact.softplus(z),
)


@jax.custom_jvp
def _wrong_to(z, gamma):
    """sigmoid(-z)^gamma = exp(-gamma z) exp(-gamma log(1 + exp(-z))), of which z > 0 has both."""
    steep, error = _rounding.product(gamma, jnp.minimum(-z, 0))
    flat = jnp.log1p(jnp.exp(-jnp.abs(z)))
    return jnp.exp(steep) * (1 + error) * jnp.exp(-gamma * flat)


install(
    _wrong_to,
    lambda g, z, gamma: -g * gamma * _exact.sigmoid(z) * _wrong_to(z, gamma),
    lambda g, z, gamma: -g * _exact.softplus(z) * _wrong_to(z, gamma),
)


def dice(probabilities: Array, labels: Array, smooth: float = 1.0) -> Array:
    r"""Dice loss of each row: 1 less the overlap of predictions and labels.

    \( 1 - (2 \sum_i p_i y_i + s) / (\sum_i p_i + \sum_i y_i + s) \), over the last axis: reshape
    images to `[batch, pixels]`. Without smoothing, a row where nothing is and nothing is
    predicted costs 0, with a zero gradient.

    Args:
        probabilities: of the positive class, floats within [0, 1], `[..., elements]`.
        labels: within [0, 1], or booleans or integers 0 and 1; shaped like `probabilities`.
        smooth: s above, at least 0, in elements.

    Returns:
        Losses, `[...]`, within [0, 1].

    Raises:
        ValueError: if the shapes differ, or if a probability or label is outside [0, 1] or
            `smooth` is negative (under `jit`, NaN).
        TypeError: if the probabilities are not floats.

    Example:
        >>> dice(jnp.array([[1.0, 1.0, 1.0, 0.0]]), jnp.array([[1, 0, 0, 0]]), smooth=0.0)
        Array([0.5], dtype=float32)

    Reference:
        Milletari, Navab and Ahmadi, "V-Net", 3DV 2016 (who square the terms of the denominator).
    """
    p, y, extra, dtype = _overlapping("dice", probabilities, labels, smooth)
    return _dice(p, y, extra).astype(dtype)


def dice_grad(probabilities: Array, labels: Array, smooth: float = 1.0) -> Array:
    r"""Gradient of `dice` in the probabilities, \( (o - 2 y_i) / d \).

    With the overlap o and its denominator d.
    """
    p, y, extra, dtype = _overlapping("dice_grad", probabilities, labels, smooth)
    return _dice_slope(p, y, extra).astype(dtype)


def _overlapping(function, probabilities, labels, smooth):
    (p, y), dtype = pair(function, probabilities=probabilities, labels=labels)
    smooth = _checks.non_negative(function, "Pass 1, or 0.", smooth=smooth)
    p = _probabilities(function, probabilities=p)
    return p, fractions(function, labels=y), jnp.asarray(smooth, p.dtype), dtype


def _dice_parts(p, y, smooth):
    """Numerators of loss and of overlap, all terms at least 0, and the denominator."""
    apart = (p * (1 - y) + y * (1 - p)).sum(-1)
    total = (p + y).sum(-1) + smooth
    return apart, 2 * (p * y).sum(-1) + smooth, jnp.where(total == 0, 1, total), total == 0


@jax.custom_jvp
def _dice(p, y, smooth):
    apart, _, total, _ = _dice_parts(p, y, smooth)
    return apart / total


def _dice_slope(p, y, smooth):
    _, overlap, total, empty = _dice_parts(p, y, smooth)
    slope = ((overlap / total)[..., None] - 2 * y) / total[..., None]
    return jnp.where(empty[..., None], 0, slope)


# Installed because it does not cancel where little overlaps.
install(
    _dice,
    along_rows(_dice_slope),
    along_rows(lambda p, y, smooth: _dice_slope(y, p, smooth)),
    lambda g, *primals: -g * _dice(*primals) / _dice_parts(*primals)[2],
)
