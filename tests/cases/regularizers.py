"""Sample points of the weight penalties: kernels of both signs among leaves that stay out."""

import numpy as np

from cases._case import Case
from jaxnn import regularizers

PARAMS = {
    "dense_0": {"kernel": np.array([[-2.0, 0.5, 1e-3]]), "bias": np.array([3.0, -1.0, 0.25])},
    "norm": {"scale": np.array([1.5, -0.5])},
    "stack": [{"kernel": np.array([[0.75], [-1e-3]]), "embedding": np.array([[1.0, -2.0]])}],
}

CASES = {
    regularizers.l1: [Case(PARAMS, 0.3)],
    regularizers.l2: [Case(PARAMS, 0.3)],
    regularizers.elastic_net: [Case(PARAMS, 0.3, 0.7)],
}
