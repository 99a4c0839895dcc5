"""Sample points of convolution and pooling."""

import numpy as np

from cases._case import Case
from jaxnn import layers

draw = np.random.default_rng(5).normal


def kernel(*shape, bias=True):
    params = {"kernel": draw(size=shape)}
    return params | {"bias": draw(size=shape[-1])} if bias else params


BOTH = (0, 1)
PADS = [(1, 0), (0, 2)]

CASES = {
    layers.conv: [
        Case(kernel(3, 2, 2, 3), draw(size=(2, 5, 4, 2)), wrt=BOTH,
             options={"strides": (2, 1), "padding": PADS}),
        Case(kernel(3, 2, 4, bias=False), draw(size=(6, 4)), wrt=BOTH,
             options={"padding": "CAUSAL", "dilation": 2, "groups": 2}),
        Case(kernel(2, 1, 2, 1, 1), draw(size=(1, 2, 3, 4, 1)), wrt=BOTH),
    ],
    layers.conv_transpose: [
        Case(kernel(3, 2, 2, 3), draw(size=(2, 3, 2, 2)), wrt=BOTH, options={"strides": 2}),
        Case(kernel(2, 2, 1, bias=False), draw(size=(3, 2)), wrt=BOTH,
             options={"strides": 3, "padding": "VALID", "dilation": 2}),
    ],
    layers.max_pool: [
        Case(draw(size=(2, 4, 6, 2)), (2, 3)),
        Case(draw(size=(5, 2)), (3,), options={"strides": 2, "padding": "SAME"}),
        Case(np.ones((4, 1)), (2,), edge=True),
    ],
    layers.average_pool: [
        Case(draw(size=(2, 4, 5, 2)), (2, 3), options={"strides": 1, "padding": PADS}),
        Case(draw(size=(6, 2)), (2,)),
    ],
    layers.global_average_pool: [
        Case(draw(size=(2, 3, 2, 3))),
        Case(draw(size=(3, 2)), options={"spatial": 1}),
    ],
}  # fmt: skip
