"""XLA fuses a product with what follows and rounds once: no block may come apart by that."""

import harness
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from harness import CASES, cast, cotangent, each_block, pulled_back, value

from jaxnn import activations, losses


@pytest.mark.slow
@pytest.mark.parametrize("f", each_block())
def test_a_product_fused_into_a_block_changes_nothing(f):
    for index, case in enumerate(CASES[f]):
        if not case.edge:
            assert_fusing_changes_nothing(f, index)


CLASSES = jnp.arange(64) % 4


@pytest.mark.parametrize(
    "f",
    [
        lambda z: losses.categorical_cross_entropy(z, jax.nn.one_hot(CLASSES, 4)),
        lambda z: losses.sparse_categorical_cross_entropy(z, CLASSES),
        lambda z: activations.log_softmax(z)[jnp.arange(64), CLASSES],
    ],
    ids=["categorical_cross_entropy", "sparse_categorical_cross_entropy", "log_softmax"],
)
def test_the_largest_entry_is_recognized_in_a_fused_product(f):
    """`a * s` less its largest, `b * s`, rounded once, is not 0 where they are the same."""
    scale = jnp.float32(7.3)
    x = 3 * jax.random.normal(jax.random.key(0), (64, 4))
    both = lambda z: (f(z), jax.grad(lambda z: f(z).sum())(z))
    whole = jax.jit(both)(x * scale)
    loss, gradient = jax.jit(lambda x, scale: both(x * scale))(x, scale)
    np.testing.assert_allclose(loss, whole[0], rtol=1e-5)
    np.testing.assert_allclose(gradient, whole[1], rtol=1e-5)


def assert_fusing_changes_nothing(f, index):
    case = CASES[f][index]
    args = cast(case.args, jnp.float32)
    g = cotangent(f, case, args)
    pick, rebuild = harness.closing(args)
    scale = jnp.float32(0.73)
    is_float = lambda a: jnp.issubdtype(a.dtype, jnp.floating)
    parts = [a / scale if is_float(a) else a for a in pick(args)]
    product = lambda parts, scale: [a * scale if is_float(a) else a for a in parts]

    def both(arrays):
        args = rebuild(arrays)
        return value(f, case, args), pulled_back(f, case, args, g)

    whole = jax.jit(both)(product(parts, scale))
    fused = jax.jit(lambda parts, scale: both(product(parts, scale)))(parts, scale)
    for part, true in zip(fused, whole, strict=True):
        largest = harness.largest(true)
        for one, other in zip(jax.tree.leaves(part), jax.tree.leaves(true), strict=True):
            harness.assert_near(one, other, jnp.float32, largest)
