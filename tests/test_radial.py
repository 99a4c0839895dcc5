"""radial_basis against scikit-learn, far from the origin; maxout_dense and parametric_relu."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from sklearn.metrics.pairwise import rbf_kernel

from jaxnn import layers

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)


def test_units_are_scikit_learns_kernel():
    params = layers.radial_basis_init(KEY, 3, 5, width=0.7)
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    theirs = rbf_kernel(x, np.asarray(params["centers"]), gamma=1 / (2 * 0.7**2))
    np.testing.assert_allclose(layers.radial_basis(params, x), theirs, rtol=1e-5)


def test_distances_do_not_cancel_far_from_the_origin():
    center = np.float32(1000)
    params = {"centers": jnp.full((1, 2), center), "log_widths": jnp.full(1, jnp.log(0.1))}
    x = jnp.array([[center + np.float32(0.125), center]])
    expected = np.exp(-(0.125**2) / (2 * 0.1**2))
    np.testing.assert_allclose(layers.radial_basis(params, x)[0, 0], expected, rtol=1e-5)


def test_out_of_reach_is_zero_with_zero_gradient():
    params = layers.radial_basis_init(KEY, 2, 3, width=1e-3)
    x = jnp.full((1, 2), 3e38)
    total = lambda params, x: layers.radial_basis(params, x).sum()
    value, grads = jax.value_and_grad(total, (0, 1))(params, x)
    chex.assert_trees_all_equal((value, grads), jax.tree.map(jnp.zeros_like, (value, grads)))
    by_hand = layers.radial_basis_vjp(jnp.ones((1, 3)), params, x)
    chex.assert_trees_all_equal(by_hand, grads)


def test_maxout_is_flax_dense_and_a_maximum():
    params = layers.maxout_dense_init(KEY, 3, 2, 4)
    x = jax.random.normal(jax.random.key(1), (5, 3))
    theirs = linen.Dense(8).apply({"params": params}, x).reshape(5, 2, 4).max(-1)
    np.testing.assert_allclose(layers.maxout_dense(params, x, 4), theirs, rtol=1e-6, atol=1e-6)


def test_of_equal_planes_the_first_learns():
    params = {"kernel": jnp.ones((1, 3)), "bias": jnp.zeros(3)}
    grads, _ = layers.maxout_dense_vjp(jnp.ones((1, 1)), params, jnp.ones((1, 1)), 3)
    np.testing.assert_array_equal(grads["bias"], [1, 0, 0])


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="width must be positive"):
        layers.radial_basis_init(KEY, 2, 2, width=0.0)
    with pytest.raises(ValueError, match="last axis of x must have size 2"):
        layers.radial_basis(layers.radial_basis_init(KEY, 2, 4), jnp.ones((3, 4)))
    with pytest.raises(TypeError, match="floating"):
        layers.radial_basis(layers.radial_basis_init(KEY, 2, 4), jnp.ones((3, 2), int))
    with pytest.raises(ValueError, match="last axis of x must have size 3"):
        layers.parametric_relu(layers.parametric_relu_init(KEY, 3), jnp.ones((3, 1)))
    with pytest.raises(ValueError, match="pieces must divide"):
        layers.maxout_dense(layers.maxout_dense_init(KEY, 2, 2, 2), jnp.ones(2), 3)
