"""Sample points of the radial basis and of the learned activations."""

import numpy as np

from cases._case import Case
from jaxnn import layers

draw = np.random.default_rng(11).normal

UNITS = {"centers": draw(size=(4, 2)), "log_widths": 0.3 * draw(size=4)}
PLANES = {"kernel": draw(size=(3, 4)), "bias": draw(size=4)}

CASES = {
    layers.maxout_dense: [
        Case(PLANES, draw(size=(5, 3)), 2, wrt=(0, 1)),
        Case(PLANES, draw(size=3), 4, wrt=(0, 1)),
    ],
    layers.parametric_relu: [
        Case({"negative_slope": draw(size=3)}, draw(size=(2, 2, 3)), wrt=(0, 1)),
        Case({"negative_slope": np.array(0.25)}, draw(size=(4, 3)), wrt=(0, 1)),
    ],
    layers.radial_basis: [
        Case(UNITS, draw(size=(3, 2)), wrt=(0, 1)),
        Case(UNITS, draw(size=2), wrt=(0, 1)),
        Case(UNITS, np.full((2, 2), 1e30), wrt=(0, 1), edge=True),
    ],
}
