"""Sample points of the losses of sequences and of large vocabularies."""

import numpy as np

from cases._case import Case
from jaxnn import losses

draw = np.random.default_rng(11).normal

LOGITS = 2 * draw(size=(3, 5, 3))
LABELS = np.array([[1, 2], [2, 2], [1, 0]])  # different, equal, and one with padding
FRAMES, COUNTS = np.array([5, 4, 3]), np.array([2, 2, 1])
IMPOSSIBLE = np.full((3, 5, 3), -np.inf)

X, KERNEL, BIAS = draw(size=(4, 2)), draw(size=(2, 5)), draw(size=5)
CLASSES = np.array([0, 4, 2, 4])
ALL = {"wrt": (0, 1, 2)}

CASES = {
    losses.ctc: [
        Case(LOGITS, LABELS, FRAMES, COUNTS),
        Case(LOGITS[0], LABELS[0] - 1, FRAMES[0], COUNTS[0], options={"blank": 2}),
        Case(LOGITS, LABELS, np.array([0, 2, 3]), np.array([0, 2, 2]), edge=True),
        Case(LOGITS, LABELS - 1, FRAMES, COUNTS + 1, edge=True),
        Case(IMPOSSIBLE, LABELS, FRAMES, COUNTS, edge=True),
    ],
    losses.projected_cross_entropy: [
        Case(X, KERNEL, BIAS, CLASSES, options={"chunk_size": 2}, forward=False, **ALL),
        Case(X[0], 5 * KERNEL, BIAS, CLASSES[0], forward=False, **ALL),
        Case(X, KERNEL, -np.inf * np.ones(5), CLASSES, edge=True, forward=False, **ALL),
        Case(X, KERNEL, BIAS, CLASSES + 1, edge=True, forward=False, **ALL),
    ],
}
