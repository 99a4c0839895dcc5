"""Sample points of the losses."""

import numpy as np

from cases._case import Case
from jaxnn import losses

GRID = np.array([-50.0, -3.0, -0.5, -0.02, 0.02, 0.5, 3.0, 50.0])
TARGETS = np.array([-48.0, 1.0, -0.25, 0.25, 0.75, 0.3, 2.2, 48.0])
SIGNS = np.array([1.0, -1.0] * 4)
SHARES = np.array([0.0, 1.0, 0.5, 0.25, 0.0, 1.0, 0.5, 1.0])
COUNTS = np.array([0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 7.0])
WRONG = np.full(8, -0.5)  # neither a share, a sign nor a count
HUGE = np.full(8, 3e38)  # differences of these overflow float32

ROWS = np.array([[1.0, -2.0, 0.5], [12.0, 0.0, -30.0], [-1.0, 3.0, 0.25], [0.5, 0.3, 0.1]])
DENSE = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
CLASSES = np.array([2, 0, 1, 1])
UNLIKELY = np.full((4, 3), -np.inf)
PROBABLE = np.array([[0.1, 0.6, 0.3], [0.9, 0.05, 0.05], [0.2, 0.2, 0.6], [0.4, 0.5, 0.1]])
DISORDER = np.array([[0.9, 0.9, -0.8], [0.2, 0.2, 0.6], [2.0, 0.0, 0.0], [1.5, 0.5, 0.0]])

A = np.array([[0.1, 0.0, 0.2], [0.0, 0.5, 0.0], [1.0, 2.0, -1.0], [0.4, -0.3, 0.8]])
B = np.array([[0.6, 0.1, 0.0], [0.3, 0.3, 0.4], [1.1, 2.5, 2.0], [-0.4, 0.6, 0.1]])
C = np.array([[0.5, 0.2, 0.1], [4.0, -3.0, 0.2], [1.2, 1.5, -1.0], [0.3, 0.2, 0.7]])
SAME = np.array([1.0, 0.0, 0.0, 0.3])

CASES = {
    losses.absolute_error: [Case(GRID, TARGETS)],
    losses.absolute_percentage_error: [
        Case(GRID, TARGETS, options={"epsilon": 0.5}),
        Case(HUGE, -HUGE, edge=True),
    ],
    losses.binary_cross_entropy: [Case(GRID, SHARES), Case(GRID, WRONG, edge=True)],
    losses.binary_cross_entropy_from_probabilities: [
        Case(np.linspace(0.1, 0.9, 8), SHARES),
        Case(WRONG, WRONG, edge=True),
    ],
    losses.categorical_cross_entropy: [
        Case(ROWS, DENSE),
        Case(UNLIKELY, DENSE, edge=True),
        Case(ROWS, DISORDER, edge=True),
    ],
    losses.categorical_cross_entropy_from_probabilities: [
        Case(PROBABLE, DENSE),
        Case(DISORDER, DISORDER, edge=True),
    ],
    losses.categorical_hinge: [
        Case(ROWS, CLASSES),
        Case(ROWS, np.eye(3)[CLASSES]),
        Case(np.array([[0.5], [-2.0]]), np.array([0, 0])),
        Case(UNLIKELY, CLASSES + 1, edge=True),
        Case(ROWS, DISORDER, edge=True),
        Case(ROWS, DENSE, edge=True),
    ],
    losses.contrastive: [
        Case(A, B, SAME, wrt=(0, 1)),
        Case(A, B, SAME, wrt=(0, 1), options={"margin": 3.0}),
        Case(A, A, SAME, wrt=(0, 1), edge=True),
        Case(A, B, -SAME, wrt=(0, 1), edge=True),
    ],
    losses.cosine_distance: [
        Case(A, B, wrt=(0, 1)),
        Case(0 * A, B, wrt=(0, 1), edge=True),
    ],
    losses.dice: [
        Case(PROBABLE, DENSE),
        Case(PROBABLE, DENSE, options={"smooth": 0.0}),
        Case(0 * DENSE, 0 * DENSE, options={"smooth": 0.0}, edge=True),
        Case(DISORDER, DISORDER, edge=True),
    ],
    losses.focal: [
        Case(GRID / 5, SHARES),
        Case(GRID / 5, SHARES, options={"gamma": 0.5}),
        Case(1e9 * GRID, WRONG, edge=True),
    ],
    losses.gaussian_kl_divergence: [
        Case(GRID / 10, TARGETS / 10, wrt=(0, 1)),
        Case(GRID, 2 * GRID, wrt=(0, 1), edge=True),
    ],
    losses.hinge: [Case(GRID, SIGNS), Case(GRID, WRONG, edge=True)],
    losses.huber: [Case(GRID, TARGETS), Case(GRID, TARGETS, options={"delta": 0.4})],
    losses.info_nce: [
        Case(A, B, wrt=(0, 1)),
        Case(A, C, wrt=(0, 1), options={"temperature": 1.0}),
        Case(A, A + 0.1 * B, wrt=(0, 1)),
        Case(0 * A, B, wrt=(0, 1), edge=True),
        Case(A * np.nan, B, wrt=(0, 1), edge=True),
    ],
    losses.kl_divergence: [
        Case(np.log(PROBABLE), PROBABLE[::-1].copy(), wrt=(0, 1)),
        Case(np.log(PROBABLE), DENSE, wrt=(0, 1), edge=True),
        Case(PROBABLE, DISORDER, wrt=(0, 1), edge=True),
    ],
    losses.log_cosh: [Case(GRID, TARGETS)],
    losses.poisson: [Case(GRID / 10, COUNTS), Case(GRID, WRONG, edge=True)],
    losses.quantile: [
        Case(GRID, TARGETS),
        Case(GRID, TARGETS, options={"q": 0.9}),
        Case(HUGE, -HUGE, edge=True),
        Case(-HUGE, HUGE, edge=True),
    ],
    losses.smooth_labels: [Case(DENSE, options={"amount": 0.1}), Case(DENSE, 0.3)],
    losses.sparse_categorical_cross_entropy: [
        Case(ROWS, CLASSES),
        Case(ROWS, np.array([2, -1, 1, 0]), options={"ignore_index": -1}),
        Case(UNLIKELY, CLASSES + 1, edge=True),
    ],
    losses.squared_error: [Case(GRID, TARGETS), Case(HUGE, -HUGE, edge=True)],
    losses.squared_hinge: [Case(GRID, SIGNS), Case(GRID, WRONG, edge=True)],
    losses.triplet: [
        Case(A, B, C, wrt=(0, 1, 2)),
        Case(A, B, C, wrt=(0, 1, 2), options={"squared": False, "margin": 0.5}),
        Case(A, A, A, wrt=(0, 1, 2), edge=True),
        Case(A, A, A, wrt=(0, 1, 2), options={"squared": False}, edge=True),
    ],
    losses.weighted_mean: [
        Case(GRID, COUNTS + 0.5, wrt=(0, 1)),
        Case(GRID * np.nan, 0 * COUNTS, wrt=(0, 1), edge=True),
        Case(0 * GRID, WRONG, wrt=(0, 1), edge=True),
    ],
}
