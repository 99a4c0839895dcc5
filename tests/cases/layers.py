"""Sample points of the layers."""

import jax
import numpy as np

from cases._case import Case
from jaxnn import layers

draw = np.random.default_rng(3).normal


def affine(features):
    return {"scale": draw(size=features) + 1, "bias": draw(size=features)}


def statistics(features):
    return {"mean": draw(size=features), "var": draw(size=features) ** 2 + 0.5}


KEY = jax.random.key(0)
DENSE = {"kernel": draw(size=(3, 2)), "bias": draw(size=2)}
SCALE = {"scale": draw(size=4) + 1}
EQUAL = np.full((2, 4), 0.7)  # no variance, and without epsilon nothing to divide by
TRAIN = {"train": True}
FIRST = lambda result: result[0]

CASES = {
    layers.batch_norm: [
        Case(affine(3), statistics(3), draw(size=(5, 3)), wrt=(0, 2), options=TRAIN, output=FIRST),
        Case(affine(3), statistics(3), draw(size=(4, 2, 3)) + 30, wrt=(0, 2),
             options={"train": True, "epsilon": 0.3}, output=FIRST),
        Case(affine(3), statistics(3), draw(size=(2, 2, 3)), wrt=(0, 2),
             options={"train": False}, output=FIRST),
        Case(affine(4), statistics(4), EQUAL, wrt=(0, 2), options={"train": True, "epsilon": 0.0},
             output=FIRST, edge=True),
    ],
    layers.dense: [
        Case(DENSE, draw(size=(4, 3)), wrt=(0, 1)),
        Case(DENSE, draw(size=3), wrt=(0, 1)),
        Case({"kernel": DENSE["kernel"]}, draw(size=(2, 2, 3)), wrt=(0, 1)),
    ],
    layers.dropout: [
        Case(KEY, draw(size=(3, 5)), 0.4, wrt=(1,)),
        Case(KEY, draw(size=(3, 5)), np.array(0.4), wrt=(1,)),
        Case(KEY, draw(size=4), 1.0, wrt=(1,)),
        Case(None, draw(size=4), 0.4, wrt=(1,)),
        Case(KEY, draw(size=4), 0.0, wrt=(1,)),
        Case(KEY, draw(size=4), np.array(1.5), wrt=(1,), edge=True),
    ],
    layers.group_norm: [
        Case(affine(6), draw(size=(3, 6)), 2, wrt=(0, 1)),
        Case(affine(4), draw(size=(2, 3, 2, 4)), 2, wrt=(0, 1)),
        Case(affine(4), draw(size=(2, 3, 4)) - 20, 1, 0.1, wrt=(0, 1)),
        Case(affine(4), EQUAL, 2, 0.0, wrt=(0, 1), edge=True),
    ],
    layers.layer_norm: [
        Case(affine(4), draw(size=(3, 4)), wrt=(0, 1)),
        Case(affine(4), draw(size=(2, 2, 4)) + 30, 0.1, wrt=(0, 1)),
        Case(affine(4), draw(size=4), wrt=(0, 1)),
        Case(affine(4), EQUAL, 0.0, wrt=(0, 1), edge=True),
    ],
    layers.rms_norm: [
        Case(SCALE, draw(size=(3, 4)), wrt=(0, 1)),
        Case(SCALE, draw(size=(2, 2, 4)), 0.1, wrt=(0, 1)),
        Case(SCALE, draw(size=4), 0.0, wrt=(0, 1)),
        Case(SCALE, 0 * EQUAL, 0.0, wrt=(0, 1), edge=True),
    ],
}  # fmt: skip
