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

from jaxnn.metrics.classification import (
    accuracy,
    binary_accuracy,
    confusion_matrix,
    f1_score,
    precision,
    recall,
    roc_auc,
    top_k_accuracy,
)
from jaxnn.metrics.regression import (
    mean_absolute_error,
    mean_squared_error,
    r2_score,
)
from jaxnn.metrics.sequence import (
    edit_distance,
    perplexity,
)

__all__ = [
    "accuracy", "binary_accuracy", "confusion_matrix", "edit_distance", "f1_score",
    "mean_absolute_error", "mean_squared_error", "perplexity", "precision", "r2_score",
    "recall", "roc_auc", "top_k_accuracy",
]  # fmt: skip
