r"""Metrics: what is reported about predictions, to be read rather than differentiated.

Predictions come first and labels or targets second, as in the losses. Unlike those, a metric
is reduced over the whole batch; a mean of batch values is the value of the set for
accuracies and mean errors, but not for `precision`, `recall`, `f1_score`, `roc_auc`,
`r2_score` and `perplexity`, which need the whole set at once.

All work under `jax.jit` and `jax.vmap`, and return float32 at least, however narrow their
input is; counts are int32. What is undefined, such as the accuracy of an empty
batch, is NaN. A class that does not exist raises; under `jit`, where labels can't be looked
at, it makes the result NaN, or -1 where that is a count.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks

__all__ = [
    "accuracy", "binary_accuracy", "confusion_matrix", "edit_distance", "f1_score",
    "mean_absolute_error", "mean_squared_error", "perplexity", "precision", "r2_score",
    "recall", "roc_auc", "top_k_accuracy",
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
    return (_errors("mean_squared_error", predictions, targets) ** 2).mean()


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
    return jnp.abs(_errors("mean_absolute_error", predictions, targets)).mean()


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
    errors = _errors("r2_score", predictions, targets)
    if not errors.ndim:
        raise ValueError(
            "r2_score: predictions and targets must have an axis of examples, got scalars. "
            "Pass all examples at once."
        )
    # Relative to one target and to the spread, so that neither a large offset nor the squares
    # of huge or tiny units cost digits.
    targets = jnp.asarray(targets, errors.dtype)
    centred = targets - targets[:1]
    spread = jnp.abs(centred).max(0, initial=0)
    centred, errors = centred / spread, errors / spread
    total = ((centred - centred.mean(0)) ** 2).sum(0)
    return (1 - (errors**2).sum(0) / total).mean()


def perplexity(cross_entropies: Array) -> Array:
    r"""Perplexity, \( e^{\mathrm{mean}(H)} \): among how many equally likely tokens one guesses.

    Args:
        cross_entropies: of each token in nats, any shape, as the losses return them; or their
            weighted mean, where some are padding.

    Returns:
        The perplexity, a scalar of at least 1.

    Raises:
        TypeError: if `cross_entropies` holds no floats.

    Example:
        >>> perplexity(jnp.log(jnp.array([2.0, 8.0]))).round(4)
        Array(4., dtype=float32)
    """
    _checks.floating("perplexity", cross_entropies=cross_entropies)
    cross_entropies = jnp.asarray(cross_entropies)
    return jnp.exp(cross_entropies.astype(_checks.wide(cross_entropies.dtype)).mean())


def edit_distance(
    predictions: Array,
    labels: Array,
    prediction_lengths: Array | None = None,
    label_lengths: Array | None = None,
) -> Array:
    """Levenshtein distance: how many insertions, deletions and substitutions lie between.

    Divided by the length of the label, and averaged, it is the label error rate of speech and
    handwriting recognition.

    Args:
        predictions: predicted sequences of integers, `[..., length]`.
        labels: true sequences, `[..., other_length]`, with the same leading axes.
        prediction_lengths: how much of each prediction counts, `[...]`; all by default.
        label_lengths: how much of each label counts, `[...]`; all by default.

    Returns:
        Distances, int32 `[...]`; -1 where, under `jit`, a length exceeds its sequence.

    Raises:
        ValueError: if leading axes differ or a length is impossible.
        TypeError: if anything holds no integers.

    Example:
        >>> words = [[ord(letter) for letter in word] for word in ("kitten", "sitting")]
        >>> int(edit_distance(jnp.array(words[0]), jnp.array(words[1])))
        3

    Reference:
        Wagner and Fischer, "The string-to-string correction problem", JACM 1974.
    """
    _checks.integer("edit_distance", predictions=predictions, labels=labels)
    rows = jnp.shape(predictions)[:-1]
    n, n_valid = _lengths("edit_distance", "prediction_lengths", prediction_lengths, predictions)
    m, m_valid = _lengths("edit_distance", "label_lengths", label_lengths, labels)
    if jnp.shape(labels)[:-1] != rows:
        raise ValueError(
            "edit_distance: predictions and labels must have the same leading axes, "
            f"got {jnp.shape(predictions)} and {jnp.shape(labels)}. One sequence each per row."
        )
    labels = jnp.asarray(labels, jnp.int32)
    columns = jnp.arange(labels.shape[-1] + 1, dtype=jnp.int32)

    def step(row, slot):
        """Distances of one more predicted symbol to every beginning of the label."""
        i, symbol = slot
        replaced = row[..., :-1] + (symbol[..., None] != labels).astype(jnp.int32)
        inserted = row + 1
        best = inserted.at[..., 1:].set(jnp.minimum(inserted[..., 1:], replaced))
        # A run of deletions costs one per column: a running minimum, less the column.
        best = jax.lax.cummin(best - columns, axis=best.ndim - 1) + columns
        return jnp.where((i < n)[..., None], best, row), None

    symbols = jnp.moveaxis(jnp.asarray(predictions, jnp.int32), -1, 0)
    first = jnp.broadcast_to(columns, (*rows, columns.size))
    last, _ = jax.lax.scan(step, first, (jnp.arange(len(symbols), dtype=jnp.int32), symbols))
    distance = jnp.take_along_axis(last, m[..., None], -1)[..., 0]
    return jnp.where(n_valid & m_valid, distance, -1)


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
        raise ValueError(f"{function}: average must be one of {averages}, got {average!r}.")
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


def _errors(function, predictions, targets):
    _checks.floating(function, predictions=predictions, targets=targets)
    _checks.same_shape(function, predictions=predictions, targets=targets)
    wide = _checks.wide(jnp.result_type(predictions))
    return jnp.asarray(predictions, wide) - jnp.asarray(targets, wide)


def _lengths(function, name, lengths, sequences):
    """Lengths of sequences as int32, and which of them are possible."""
    most = jnp.shape(sequences)[-1]
    if lengths is None:
        lengths = jnp.full(jnp.shape(sequences)[:-1], most, jnp.int32)
    _checks.integer(function, **{name: lengths})
    _checks.one_per_row(function, sequences, **{name: lengths})
    holds = lambda lengths: (lengths >= 0) & (lengths <= most)
    _checks.values(function, holds, f"lie in [0, {most}]", "Count symbols.", **{name: lengths})
    lengths = jnp.asarray(lengths)
    return lengths.astype(jnp.int32), holds(lengths)
