"""Sample points of the layers on trees."""

import numpy as np

from cases._case import Case
from jaxnn import layers
from jaxnn.layers.tree_shapes import Tree

draw = np.random.default_rng(7).normal
# Siblings, a fork behind a chain and padding in front; two trees and padding behind.
DEPTHS = np.array([[-1, 1, 3, 3, 2, 1, 0], [0, 2, 1, 1, 0, -1, -1]])
TREES = Tree(DEPTHS, 4)
WRONG = Tree(np.array([2, 0, -1]), 4)  # a grandchild without a parent


def simple(inputs, features):
    return {
        "i": {"kernel": draw(size=(inputs, features)), "bias": draw(size=features)},
        "h": {"kernel": draw(size=(features, features))},
    }


def gated(inputs, features):
    params = {f"i{gate}": {"kernel": draw(size=(inputs, features))} for gate in "ifgo"}
    for gate in "ifgo":
        params[f"h{gate}"] = {
            "kernel": draw(size=(features, features)) / 2,
            "bias": draw(size=features),
        }
    return params


CASES = {
    f: [
        Case(params(2, 3), draw(size=(2, 7, 2)), TREES, wrt=(0, 1)),
        Case(params(1, 2), np.full((7, 1), 1e3), Tree(DEPTHS[0], 4), wrt=(0, 1), edge=True),
        Case(params(1, 2), draw(size=(3, 1)), WRONG, wrt=(0, 1), edge=True),
    ]
    for f, params in ((layers.tree_rnn, simple), (layers.tree_lstm, gated))
}
