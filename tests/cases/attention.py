"""Sample points of embedding and attention."""

import jax
import numpy as np

from cases._case import Case
from jaxnn import layers

draw = np.random.default_rng(7).normal
THREE = (0, 1, 2)
HUGE = 1e30 * draw(size=(3, 1, 2))  # of which no float32 holds the products
MASK = np.array([[True, True, False], [False, False, False]])


def parameters(groups):
    params = layers.multi_head_attention_init(jax.random.key(0), 4, 2, groups)
    return jax.tree.map(lambda leaf: draw(size=leaf.shape), params)


CASES = {
    layers.embedding: [
        Case({"embedding": draw(size=(4, 3))}, np.array([[2, 0], [2, 3]])),
        Case({"embedding": draw(size=(2, 3))}, np.array([0, 5]), edge=True),
    ],
    layers.multi_head_attention: [
        Case(parameters(1), draw(size=(3, 4)), None, wrt=THREE,
             options={"causal": True, "positions": np.arange(3)}),
        Case(parameters(2), draw(size=(2, 2, 4)), draw(size=(2, 3, 4)), MASK, wrt=THREE),
        Case(parameters(2), 1e30 * draw(size=(2, 4)), 1e30 * draw(size=(3, 4)), MASK, wrt=THREE,
             edge=True),
    ],
    layers.rotary: [Case(draw(size=(2, 3, 1, 4)), np.array([0, 2, 7]))],
    layers.scaled_dot_product_attention: [
        Case(draw(size=(2, 4, 2)), draw(size=(3, 2, 2)), draw(size=(3, 2, 3)), MASK, wrt=THREE),
        Case(draw(size=(2, 3, 1, 2)), draw(size=(2, 3, 1, 2)), draw(size=(2, 3, 1, 2)), wrt=THREE,
             options={"causal": True}),
        Case(HUGE[:2], HUGE, draw(size=(3, 1, 2)), MASK, wrt=THREE, edge=True),
    ],
}  # fmt: skip
