"""Weight penalties: what they leave out, the kink of l1, and what other libraries mean by l2."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from jaxnn.regularizers import elastic_net, elastic_net_grad, l1, l1_grad, l2, l2_grad

pytestmark = pytest.mark.usefixtures("quick_compilation")

PARAMS = {
    "dense": {"kernel": jnp.array([[3.0], [-4.0]]), "bias": jnp.array([100.0])},
    "norm": {"scale": jnp.array([100.0])},
    "prelu": {"slope": jnp.array(100.0)},
    "tokens": {"embedding": jnp.array([[100.0]])},
}
EVERY = [(l1, l1_grad, (0.5,)), (l2, l2_grad, (0.5,)), (elastic_net, elastic_net_grad, (0.5, 0.5))]


def test_only_kernels_count():
    assert l1(PARAMS, 0.5) == 3.5
    assert l2(PARAMS, 0.5) == 12.5
    assert elastic_net(PARAMS, 0.5, 0.25) == 3.5 + 6.25
    for _, grad, strengths in EVERY:
        found = grad(PARAMS, *strengths)
        assert (found["dense"].pop("kernel") != 0).all()
        assert not any(leaf.any() for leaf in jax.tree.leaves(found))


@struct.dataclass
class Layer:
    kernel: jax.Array
    bias: jax.Array


def test_any_tree_and_any_kernel():
    one = jnp.ones((1, 1))
    tree = [Layer(one, one), {"recurrent_kernel": one}, (one, {"kernel": [one]})]
    assert l2(tree, 1.0) == 2  # in {"kernel": [one]} the leaf is called 0
    assert l2(tree, 1.0, lambda path: "kernel" in path) == 3
    seen = []
    l2(tree, 1.0, lambda path: not seen.append(path))
    assert seen == ["0/kernel", "0/bias", "1/recurrent_kernel", "2/0", "2/1/kernel/0"]


def test_penalised_chooses_the_leaves():
    chosen = lambda path: path.endswith(("kernel", "embedding"))
    assert l1(PARAMS, 1.0, chosen) == 107
    grad = l1_grad(PARAMS, 1.0, chosen)
    assert grad["tokens"]["embedding"] == 1
    assert grad["dense"]["bias"] == 0


def test_l1_leaves_zeros_where_they_are():
    params = {"kernel": jnp.array([0.0, -0.0, 2.0, -2.0])}
    for found in (
        jax.grad(l1)(params, 1.0),
        jax.jit(jax.grad(l1))(params, 1.0),
        l1_grad(params, 1.0),
    ):
        assert found["kernel"].tolist() == [0, 0, 1, -1]
    found = jax.grad(elastic_net)(params, 1.0, 0.5)
    assert found["kernel"].tolist() == [0, 0, 3, -3]
    _, forward = jax.jvp(lambda p: l1(p, 1.0), (params,), ({"kernel": jnp.ones(4)},))
    assert forward == 0


def test_l2_is_that_of_keras_and_twice_that_of_torch():
    """Keras: strength * sum(w^2). PyTorch's weight_decay adds weight_decay * w to the gradient."""
    w, strength = PARAMS["dense"]["kernel"], 1e-2
    np.testing.assert_allclose(l2(PARAMS, strength), strength * 25, rtol=1e-6)
    weight_decay = 2 * strength
    np.testing.assert_allclose(
        l2_grad(PARAMS, strength)["dense"]["kernel"], weight_decay * w, rtol=1e-6
    )


@pytest.mark.parametrize("jit", [lambda f: f, jax.jit])
def test_l2_is_finite_where_the_truth_is(jit):
    """The squares alone would be inf and 0."""
    np.testing.assert_allclose(jit(l2)({"kernel": jnp.array([1e20])}, 1e-4), 1e36, rtol=1e-6)
    np.testing.assert_allclose(jit(l2)({"kernel": jnp.array([1e-21])}, 1e10), 1e-32, rtol=1e-6)


def test_nan_is_not_hidden():
    params = {"kernel": jnp.array([1.0, jnp.nan])}
    for f, grad, strengths in EVERY:
        assert jnp.isnan(f(params, *strengths))
        assert jnp.isnan(grad(params, *strengths)["kernel"]).tolist() == [False, True]


def test_a_strength_may_be_traced_and_mapped_over():
    strengths = jnp.array([0.0, 0.5, 1.0])
    np.testing.assert_allclose(jax.jit(jax.vmap(l2, (None, 0)))(PARAMS, strengths), 25 * strengths)
    np.testing.assert_allclose(jax.grad(l1, 1)(PARAMS, 0.5), 7)


def test_kernels_of_several_dtypes():
    params = {
        "a": {"kernel": jnp.full(2, 2, jnp.bfloat16)},
        "b": {"kernel": jnp.full(2, 1e-3, jnp.float32), "bias": jnp.arange(2)},
    }
    assert l2(params, 1.0).dtype == jnp.float32
    np.testing.assert_allclose(l2(params, 1.0), 8 + 2e-6, rtol=1e-6)
    grad = l2_grad(params, 1.0)
    assert jax.tree.map(jnp.result_type, grad) == jax.tree.map(jnp.result_type, params)


def test_narrow_dtypes_sum_in_float32():
    """In float16 the sum would stop at 2048, and the squares of 300 overflow."""
    assert l1({"kernel": jnp.ones(4096, jnp.float16)}, 1.0) == 4096
    assert l2({"kernel": jnp.full(4, 300, jnp.float16)}, 1e-2) == 3600


@pytest.mark.parametrize(("f", "grad", "strengths"), EVERY)
def test_errors(f, grad, strengths):
    name = f.__name__
    with pytest.raises(
        ValueError, match=rf"{name}: params must hold .* \['w'\].* Pass `penalised`"
    ):
        f({"w": jnp.ones(2)}, *strengths)
    with pytest.raises(ValueError, match=rf"{name}: \w*strength must not be negative, got -0.5"):
        f(PARAMS, *[-0.5 for _ in strengths])
    for call in (f, grad):
        with pytest.raises(TypeError, match="kernel must be floating point, got int32"):
            call({"kernel": jnp.arange(3)}, *strengths)


def test_training_shrinks_the_kernel_and_not_the_bias():
    x, y = jnp.ones((4, 2)), jnp.full((4, 1), 5.0)
    params = {"kernel": jnp.ones((2, 1)), "bias": jnp.zeros(1)}

    def loss_fn(params):
        return ((x @ params["kernel"] + params["bias"] - y) ** 2).mean() + l2(params, 0.1)

    step = lambda _, p: jax.tree.map(lambda w, g: w - 0.1 * g, p, jax.grad(loss_fn)(p))
    params = jax.lax.fori_loop(0, 5000, step, params)
    assert jnp.abs(params["kernel"]).max() < 1e-2
    np.testing.assert_allclose(params["bias"], 5, rtol=1e-2)
