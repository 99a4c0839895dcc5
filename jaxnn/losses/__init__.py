"""Loss functions, each beside its gradient.

A loss takes predictions first and targets second and returns one number per element
(regression, binary classes) or per row (classes, embeddings). It never averages: write
`huber(predictions, targets).mean()`, so that masks and weights need no arguments, or
`weighted_mean(huber(predictions, targets), weights)`.

Directly below each loss stands its gradient with the same arguments, `huber_grad`: the
derivative of each loss in its prediction, or a tuple where there are several. Targets are
differentiated too, by JAX, where that means something.

Predictions and targets must have equal shapes; nothing is broadcast. Losses have the dtype of
the predictions; bfloat16 and float16 are computed in float32 and rounded once. Labels that
can't be right raise where their values are known, and under `jax.jit` give NaN, in the loss and
in its gradient.
"""

from jaxnn.losses.classification import (
    categorical_hinge,
    categorical_hinge_grad,
    dice,
    dice_grad,
    focal,
    focal_grad,
    hinge,
    hinge_grad,
    kl_divergence,
    kl_divergence_grad,
    squared_hinge,
    squared_hinge_grad,
)
from jaxnn.losses.cross_entropy import (
    binary_cross_entropy,
    binary_cross_entropy_from_probabilities,
    binary_cross_entropy_from_probabilities_grad,
    binary_cross_entropy_grad,
    categorical_cross_entropy,
    categorical_cross_entropy_from_probabilities,
    categorical_cross_entropy_from_probabilities_grad,
    categorical_cross_entropy_grad,
    sparse_categorical_cross_entropy,
    sparse_categorical_cross_entropy_grad,
)
from jaxnn.losses.ctc import ctc, ctc_grad
from jaxnn.losses.metric_learning import (
    contrastive,
    contrastive_grad,
    cosine_distance,
    cosine_distance_grad,
    info_nce,
    info_nce_grad,
    info_nce_vjp,
    triplet,
    triplet_grad,
)
from jaxnn.losses.projected import (
    projected_cross_entropy,
    projected_cross_entropy_grad,
    projected_cross_entropy_vjp,
)
from jaxnn.losses.regression import (
    absolute_error,
    absolute_error_grad,
    absolute_percentage_error,
    absolute_percentage_error_grad,
    huber,
    huber_grad,
    log_cosh,
    log_cosh_grad,
    poisson,
    poisson_grad,
    quantile,
    quantile_grad,
    squared_error,
    squared_error_grad,
)
from jaxnn.losses.variational import gaussian_kl_divergence, gaussian_kl_divergence_grad
from jaxnn.losses.weights import (
    smooth_labels,
    smooth_labels_vjp,
    weighted_mean,
    weighted_mean_vjp,
)

__all__ = [
    "absolute_error",
    "absolute_error_grad",
    "absolute_percentage_error",
    "absolute_percentage_error_grad",
    "binary_cross_entropy",
    "binary_cross_entropy_from_probabilities",
    "binary_cross_entropy_from_probabilities_grad",
    "binary_cross_entropy_grad",
    "categorical_cross_entropy",
    "categorical_cross_entropy_from_probabilities",
    "categorical_cross_entropy_from_probabilities_grad",
    "categorical_cross_entropy_grad",
    "categorical_hinge",
    "categorical_hinge_grad",
    "contrastive",
    "contrastive_grad",
    "cosine_distance",
    "cosine_distance_grad",
    "ctc",
    "ctc_grad",
    "dice",
    "dice_grad",
    "focal",
    "focal_grad",
    "gaussian_kl_divergence",
    "gaussian_kl_divergence_grad",
    "hinge",
    "hinge_grad",
    "huber",
    "huber_grad",
    "info_nce",
    "info_nce_grad",
    "info_nce_vjp",
    "kl_divergence",
    "kl_divergence_grad",
    "log_cosh",
    "log_cosh_grad",
    "poisson",
    "poisson_grad",
    "projected_cross_entropy",
    "projected_cross_entropy_grad",
    "projected_cross_entropy_vjp",
    "quantile",
    "quantile_grad",
    "smooth_labels",
    "smooth_labels_vjp",
    "sparse_categorical_cross_entropy",
    "sparse_categorical_cross_entropy_grad",
    "squared_error",
    "squared_error_grad",
    "squared_hinge",
    "squared_hinge_grad",
    "triplet",
    "triplet_grad",
    "weighted_mean",
    "weighted_mean_vjp",
]  # fmt: skip
