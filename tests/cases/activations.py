"""Sample points of the activations: both sides of every kink, and far into every tail."""

import numpy as np

from cases._case import Case
from jaxnn import activations

GRID = np.array([-100.0, -7.0, -2.5, -0.5, -1e-3, 1e-3, 0.5, 2.5, 7.0, 100.0])
AT_KINKS = np.array([0.0, -3.0, 3.0, 6.0, -np.inf, np.inf, np.nan])
ROWS = np.array([[1.0, -2.0, 0.5, 0.7], [30.0, 0.0, -30.0, 29.0]])
TIES = np.array([[1.0, 1.0, 0.0]])
MASK = np.array([[True, False, True, True], [True, True, True, False]])

ELEMENTWISE = [
    activations.gelu, activations.hard_sigmoid, activations.hard_swish, activations.linear,
    activations.log_sigmoid, activations.mish, activations.relu, activations.relu6,
    activations.selu, activations.sigmoid, activations.softplus, activations.softsign,
    activations.tanh,
]  # fmt: skip

CASES = {f: [Case(GRID), Case(AT_KINKS, edge=True)] for f in ELEMENTWISE} | {
    activations.celu: [
        Case(GRID),
        Case(GRID, np.array(1.7)),
        Case(AT_KINKS, edge=True),
        Case(GRID, np.array(-1.0), edge=True),
    ],
    activations.elu: [Case(GRID), Case(GRID, np.array(0.7)), Case(AT_KINKS, edge=True)],
    activations.glu: [Case(ROWS), Case(ROWS, options={"axis": 0})],
    activations.leaky_relu: [Case(GRID), Case(GRID, np.array(0.3)), Case(AT_KINKS, edge=True)],
    activations.log_softmax: [
        Case(ROWS),
        Case(ROWS, options={"axis": 0}),
        Case(np.full((1, 2), -np.inf), edge=True),
    ],
    activations.maxout: [
        Case(ROWS, options={"pieces": 2}),
        Case(TIES, options={"pieces": 3}, edge=True),
        Case(np.array([[1.0, np.nan, 2.0, 3.0]]), options={"pieces": 2}, edge=True),
    ],
    activations.prelu: [
        Case(GRID, np.linspace(-0.5, 1.5, GRID.size), wrt=(0, 1)),
        Case(AT_KINKS, np.full(AT_KINKS.size, 0.25), wrt=(0, 1), edge=True),
    ],
    activations.softmax: [
        Case(ROWS),
        Case(ROWS, options={"axis": 0}),
        Case(ROWS, options={"where": MASK}),
        Case(ROWS, options={"where": np.zeros_like(MASK)}),
    ],
    activations.swish: [
        Case(GRID),
        Case(GRID, np.array(1.7)),
        Case(AT_KINKS, edge=True),
        Case(AT_KINKS, np.array(1.7), edge=True),
    ],
}
CASES[activations.gelu].append(Case(GRID, options={"approximate": True}))
