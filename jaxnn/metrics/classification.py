"""Metrics of classifiers: shares of right answers, counts of confusions, and ranking."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from jaxnn import _checks

__all__ = [
    "accuracy", "binary_accuracy", "confusion_matrix", "f1_score", "precision", "recall",
    "roc_auc", "top_k_accuracy",
]  # fmt: skip


def accuracy(logits: Array, labels: Array) -> Array:
    """Fraction of rows whose largest logit is that of the label.

    Of equal logits the first counts as the largest. A row with a NaN counts as wrong.

    Args:
        logits: `[..., classes]`; probabilities or any other scores serve as well.
        labels: integer classes, `[...]`.

    Returns:
        The accuracy, a scalar.

    Raises:
        ValueError: if a label is no class, or there is not one for each row.
        TypeError: if the labels are no integers or the logits no floats.

    Example:
        >>> logits = jnp.array([[2.0, 1.0], [0.0, 3.0], [1.0, 1.0], [1.0, 0.0]])
        >>> accuracy(logits, jnp.array([0, 1, 0, 1]))
        Array(0.75, dtype=float32)
    """
    logits, labels, valid = _class_labels("accuracy", logits, labels)
    right = (logits.argmax(-1).astype(jnp.int32) == labels) & ~jnp.isnan(logits).any(-1)
    return jnp.where(valid, right.mean(), jnp.nan)


def top_k_accuracy(logits: Array, labels: Array, k: int = 5) -> Array:
    """Fraction of rows in which the logit of the label is among the `k` largest.

    Of equal logits the first counts as the largest. A row with a NaN counts as wrong.

    Args:
        logits: `[..., classes]`.
        labels: integer classes, `[...]`.
        k: how many guesses are allowed, at most the number of classes.

    Returns:
        The accuracy, a scalar.

    Raises:
        ValueError: if a label is no class, there is not one for each row, or `k` exceeds the
            classes.
        TypeError: if the labels are no integers or the logits no floats.

    Example:
        >>> logits = jnp.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
        >>> top_k_accuracy(logits, jnp.array([1, 2]), k=2)
        Array(0.5, dtype=float32)
    """
    logits, labels, valid = _class_labels("top_k_accuracy", logits, labels)
    _checks.sizes("top_k_accuracy", k=k)
    classes = logits.shape[-1]
    if k > classes:
        raise ValueError(
            f"top_k_accuracy: k must be at most the number of classes, {classes}, got {k}. "
            "With so many guesses every answer is right: pass a smaller k."
        )
    labels = labels[..., None]
    own = jnp.take_along_axis(logits, labels, -1)
    ahead = (logits > own) | ((logits == own) & (jnp.arange(classes, dtype=jnp.int32) < labels))
    right = (ahead.sum(-1) < k) & ~jnp.isnan(logits).any(-1)
    return jnp.where(valid, right.mean(), jnp.nan)


def binary_accuracy(logits: Array, labels: Array, threshold: float = 0.0) -> Array:
    """Fraction of logits on the side of the threshold where their label puts them.

    A logit above the threshold predicts 1; one at it predicts 0, and a NaN counts as wrong.

    Args:
        logits: log-odds, any shape. For probabilities, pass `threshold=0.5`.
        labels: 0 or 1 as integers, booleans or floats, shaped like `logits`.
        threshold: on the logits: 0 is a probability of one half.

    Returns:
        The accuracy, a scalar.

    Raises:
        ValueError: if a label is neither 0 nor 1, or the shapes differ.
        TypeError: if the logits are no floats.

    Example:
        >>> binary_accuracy(jnp.array([-1.0, 0.0, 2.0, 3.0]), jnp.array([0, 0, 1, 0]))
        Array(0.75, dtype=float32)
    """
    logits, positive, valid = _binary_labels("binary_accuracy", "logits", logits, labels)
    above = logits > jnp.asarray(threshold, logits.dtype)
    right = (above == positive) & ~jnp.isnan(logits)
    return jnp.where(valid, right.mean(), jnp.nan)


def confusion_matrix(predictions: Array, labels: Array, classes: int) -> Array:
    """How often each class was taken for each other.

    Row i, column j counts the examples of true class i that were predicted to be j, as in
    scikit-learn, whose function takes the labels first.

    Args:
        predictions: predicted classes, integers or booleans of any shape: `logits.argmax(-1)`
            or `logits > 0`.
        labels: true classes, shaped like `predictions`.
        classes: how many there are.

    Returns:
        Counts, int32 `[classes, classes]`; all -1 if, under `jit`, a class does not exist.

    Raises:
        ValueError: if a prediction or label is no class, or the shapes differ.
        TypeError: if they are no integers: logits must be turned into classes first.

    Example:
        >>> confusion_matrix(jnp.array([0, 1, 1, 2]), jnp.array([0, 0, 1, 2]), 3)
        Array([[1, 1, 0],
               [0, 1, 0],
               [0, 0, 1]], dtype=int32)
    """
    matrix, valid = _confusion("confusion_matrix", predictions, labels, classes)
    return jnp.where(valid, matrix, -1)


def precision(
    predictions: Array, labels: Array, classes: int = 2, average: str | None = "binary"
) -> Array:
    """Of what was predicted to be a class, the fraction that is: hits / predicted.

    A class never predicted has precision 0.

    Args:
        predictions: predicted classes, integers or booleans of any shape: `logits > 0` or
            `logits.argmax(-1)`.
        labels: true classes, shaped like `predictions`.
        classes: how many there are.
        average: `"binary"`, of class 1 out of two; None, of each class; `"macro"`, their
            mean, in which all `classes` count, also those that do not occur; `"weighted"`,
            their mean weighted by how often each is true; `"micro"`, of all examples
            together, which is the accuracy.

    Returns:
        A scalar, or `[classes]` where `average` is None.

    Raises:
        ValueError: if a prediction or label is no class, the shapes differ, or there is no
            such average.
        TypeError: if the classes are no integers.

    Example:
        >>> precision(jnp.array([1, 1, 0, 0]), jnp.array([1, 0, 1, 0]))
        Array(0.5, dtype=float32)
    """
    return _score("precision", predictions, labels, classes, average, lambda said, true: said)


def recall(
    predictions: Array, labels: Array, classes: int = 2, average: str | None = "binary"
) -> Array:
    """Of what is a class, the fraction that was predicted to be: hits / true.

    A class that does not occur has recall 0.

    Args:
        predictions: predicted classes, as for `precision`.
        labels: true classes, shaped like `predictions`.
        classes: how many there are.
        average: as for `precision`.

    Returns:
        A scalar, or `[classes]` where `average` is None.

    Raises:
        ValueError: as for `precision`.
        TypeError: if the classes are no integers.

    Example:
        >>> recall(jnp.array([0, 2, 2]), jnp.array([0, 1, 2]), classes=3, average=None)
        Array([1., 0., 1.], dtype=float32)
    """
    return _score("recall", predictions, labels, classes, average, lambda said, true: true)


def f1_score(
    predictions: Array, labels: Array, classes: int = 2, average: str | None = "binary"
) -> Array:
    """Harmonic mean of precision and recall: hits / mean of predicted and true.

    A class neither predicted nor true has score 0.

    Args:
        predictions: predicted classes, as for `precision`.
        labels: true classes, shaped like `predictions`.
        classes: how many there are.
        average: as for `precision`; `"macro"` is the mean of the scores, not the score of
            mean precision and mean recall.

    Returns:
        A scalar, or `[classes]` where `average` is None.

    Raises:
        ValueError: as for `precision`.
        TypeError: if the classes are no integers.

    Example:
        >>> f1_score(jnp.array([1, 1, 1, 0]), jnp.array([1, 0, 0, 0]))
        Array(0.5, dtype=float32)
    """

    def mean(said, true):
        return (said + true) / 2

    return _score("f1_score", predictions, labels, classes, average, mean)


def roc_auc(scores: Array, labels: Array) -> Array:
    r"""Area under the ROC curve.

    The probability that a positive example scores higher than a negative one, where equal
    scores count one half: the Mann-Whitney statistic, from one sort and no threshold.

    Args:
        scores: logits or probabilities, any shape.
        labels: 0 or 1 as integers, booleans or floats, shaped like `scores`.

    Returns:
        The area, a scalar; NaN if only one class is there or a score is NaN.

    Raises:
        ValueError: if a label is neither 0 nor 1, or the shapes differ.
        TypeError: if the scores are no floats.

    Example:
        >>> roc_auc(jnp.array([0.1, 0.4, 0.35, 0.8]), jnp.array([0, 0, 1, 1]))
        Array(0.75, dtype=float32)

    Reference:
        Hanley and McNeil, "The meaning and use of the area under a receiver operating
        characteristic (ROC) curve", Radiology 1982.
    """
    scores, positive, valid = _binary_labels("roc_auc", "scores", scores, labels)
    scores, positive = scores.ravel(), positive.ravel()
    scores = scores.astype(_checks.wide(scores.dtype))
    order = scores.argsort()
    negatives = jnp.pad(jnp.cumsum(~positive[order], dtype=jnp.int32), (1, 0))
    below = negatives[jnp.searchsorted(scores[order], scores, side="left")]
    up_to = negatives[jnp.searchsorted(scores[order], scores, side="right")]
    # Fractions of the negatives, not ranks, whose sums would outgrow the digits of float32.
    beaten = (below + up_to).astype(scores.dtype) / (2 * negatives[-1].astype(scores.dtype))
    area = beaten.mean(where=positive)
    return jnp.where(valid & ~jnp.isnan(scores).any(), area, jnp.nan)


def _class_labels(function, logits, labels):
    """Both as arrays, the labels int32, and whether all labels are classes."""
    _checks.floating(function, logits=logits)
    _checks.integer(function, labels=labels)
    _checks.one_per_row(function, logits, labels=labels)
    return jnp.asarray(logits), *_classes(function, "labels", labels, jnp.shape(logits)[-1])


def _classes(function, name, ids, classes):
    holds = lambda ids: (ids >= 0) & (ids < classes)
    must = f"lie in [0, {classes})"
    _checks.values(function, holds, must, f"There are {classes} classes.", **{name: ids})
    ids = jnp.asarray(ids)
    return ids.astype(jnp.int32), holds(ids).all()


def _binary_labels(function, name, logits, labels):
    """Both as arrays, the labels boolean, and whether all labels are 0 or 1."""
    _checks.floating(function, **{name: logits})
    _checks.same_shape(function, **{name: logits, "labels": labels})
    labels = _whole(labels)
    holds = lambda labels: (labels == 0) | (labels == 1)
    _checks.values(function, holds, "be 0 or 1", "Map signs by (y + 1) / 2.", labels=labels)
    return jnp.asarray(logits), labels == 1, holds(labels).all()


def _whole(ids):
    """Booleans as integers, everything else as it is."""
    ids = jnp.asarray(ids)
    return ids.astype(jnp.int32) if ids.dtype == bool else ids


def _confusion(function, predictions, labels, classes):
    """The confusion matrix, and whether all entries belong in it."""
    _checks.sizes(function, classes=classes)
    _checks.same_shape(function, predictions=predictions, labels=labels)
    predictions, labels = _whole(predictions), _whole(labels)
    _checks.integer(function, predictions=predictions, labels=labels)
    predictions, valid = _classes(function, "predictions", predictions, classes)
    labels, also_valid = _classes(function, "labels", labels, classes)
    matrix = jnp.zeros((classes, classes), jnp.int32).at[labels, predictions].add(1)
    return matrix, valid & also_valid


def _score(
    function: str,
    predictions,
    labels,
    classes: int,
    average: str | None,
    denominator: Callable[[Array, Array], Array],
):
    """Hits over `denominator(predicted, true)`, averaged over classes."""
    averages = ("binary", "macro", "micro", "weighted", None)
    if average not in averages:
        raise ValueError(
            f"{function}: average must be one of {averages}, got {average!r}. Name one of them."
        )
    if average == "binary" and classes != 2:
        raise ValueError(
            f'{function}: classes must be 2 where average is "binary", got {classes}. '
            'Pass average="macro", or None for the score of each class.'
        )
    matrix, valid = _confusion(function, predictions, labels, classes)
    counts = matrix.astype(float)
    hits, said, true = counts.diagonal(), counts.sum(0), counts.sum(1)
    if average == "micro":
        hits, said, true = hits.sum(), said.sum(), true.sum()
    scores = _ratio(hits, denominator(said, true))
    if average == "binary":
        scores = scores[1]
    elif average == "macro":
        scores = scores.mean()
    elif average == "weighted":
        scores = _ratio((scores * true).sum(), true.sum())
    return jnp.where(valid, scores, jnp.nan)


def _ratio(part, whole):
    """`part / whole`, 0 where there is nothing."""
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1), 0)
