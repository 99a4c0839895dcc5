"""RBF networks: against scipy and scikit-learn, by stages and by gradient; k-means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator
from sklearn.cluster import KMeans
from sklearn.linear_model import Ridge

from jaxnn import losses, make_fit, optimizers
from jaxnn.layers import radial_basis
from jaxnn.networks import k_means, rbf_fit, rbf_interpolate, rbf_network
from jaxnn.training import supervised

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def test_a_center_per_point_interpolates_like_scipy():
    x, new = RNG.uniform(-2, 2, (25, 2)), RNG.uniform(-2, 2, (40, 2))
    y = np.stack([np.sin(x[:, 0]), x.prod(1)], 1)
    theirs = RBFInterpolator(x, y, kernel="gaussian", epsilon=1.5, degree=-1)
    net = rbf_network(2, 25, 2, use_bias=False)
    with jax.enable_x64(True):
        params = rbf_interpolate(jnp.asarray(x), jnp.asarray(y), 1 / (np.sqrt(2) * 1.5))
        np.testing.assert_allclose(net.apply(params, jnp.asarray(x)), y, atol=1e-9)
        np.testing.assert_allclose(net.apply(params, jnp.asarray(new)), theirs(new), atol=1e-8)


def test_output_weights_are_ridge_regression():
    x = jnp.asarray(RNG.normal(size=(40, 2)), jnp.float32)
    y = jnp.sin(x) + 3
    params = jax.jit(lambda x, y: rbf_fit(KEY, x, y, 6, ridge=0.1))(x, y)
    theirs = Ridge(0.1).fit(radial_basis(params["radial_basis_0"], x), y)
    np.testing.assert_allclose(params["dense_0"]["kernel"], theirs.coef_.T, atol=1e-3)
    np.testing.assert_allclose(params["dense_0"]["bias"], theirs.intercept_, atol=1e-3)


def test_widths_are_distances_to_the_nearest_centers():
    x = jnp.array([[0.0], [1.0], [3.0], [7.0]])
    params = rbf_fit(KEY, x, x, 4, neighbors=1, overlap=2.0)["radial_basis_0"]
    order = params["centers"][:, 0].argsort()
    np.testing.assert_allclose(jnp.exp(params["log_widths"])[order], [2, 2, 4, 8], rtol=1e-6)


@pytest.mark.parametrize("copies", [1, 5])
def test_one_center_or_all_in_one_place_is_defined(copies):
    x = jnp.ones((copies, 2))
    params = rbf_fit(KEY, x, x, copies)
    y = rbf_network(2, copies, 2).apply(params, x)
    np.testing.assert_allclose(y, x, atol=1e-6)


def test_k_means_finds_what_scikit_learn_finds():
    corners = np.array([[0, 0], [10, 0], [0, 10], [10, 10]]) + 1000
    x = (corners[:, None] + RNG.normal(size=(4, 20, 2))).reshape(-1, 2).astype(np.float32)
    ours = np.asarray(k_means(KEY, jnp.asarray(x), 4))
    theirs = KMeans(4, n_init=3, random_state=0).fit(x).cluster_centers_
    by_row = lambda c: c[np.lexsort(c.round().T)]
    np.testing.assert_allclose(by_row(ours), by_row(theirs), atol=1e-3)


def test_no_center_is_left_without_examples():
    x = jnp.array([[0.0], [0.0], [0.0], [5.0], [9.0]])
    found = jax.vmap(lambda key: k_means(key, x, 3, 5))(jax.random.split(KEY, 8))
    np.testing.assert_allclose(jnp.sort(found[..., 0], -1), np.tile([0, 5, 9], (8, 1)), atol=1e-6)


def test_gradients_improve_what_the_stages_found():
    x = jnp.linspace(-3, 3, 64)[:, None]
    y = jnp.sin(2 * x)
    net = rbf_network(1, 6, 1)
    loss_fn = supervised(net, losses.squared_error)
    params = rbf_fit(KEY, x, y, 6)
    fit = make_fit(loss_fn, optimizers.adam(0.02), epochs=50, batch_size=64)
    before, _ = loss_fn(params, (x, y), None)
    after, _ = loss_fn(fit(params, (x, y), key=KEY).params, (x, y), None)
    assert after < 0.8 * before


def test_errors_say_what_to_do():
    x = jnp.ones((4, 2))
    with pytest.raises(ValueError, match="at least 5 examples"):
        k_means(KEY, x, 5)
    with pytest.raises(ValueError, match=r"targets must have shape \[4, outputs\]"):
        rbf_fit(KEY, x, jnp.ones(4), 2)
    with pytest.raises(ValueError, match="ridge must be at least 0"):
        rbf_fit(KEY, x, x, 2, ridge=-1.0)
    with pytest.raises(ValueError, match="width must be positive"):
        rbf_interpolate(x, x, 0.0)
    with pytest.raises(ValueError, match="centers must be at least 1"):
        rbf_network(2, 0, 1)
