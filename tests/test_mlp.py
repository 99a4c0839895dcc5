"""mlp and batch_norm_mlp: against jax.vjp, against Flax, and with keys and states."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jaxnn.activations import relu, relu_grad, swish, swish_grad
from jaxnn.networks import (
    Network,
    StatefulNetwork,
    batch_norm_mlp,
    mlp,
    mlp_vjp,
    with_state,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)


@pytest.mark.parametrize(("f", "slope"), [(swish, swish_grad), (relu, relu_grad)])
def test_backpropagation_by_hand_is_jax_vjp(f, slope):
    with jax.enable_x64(True):
        net = mlp([3, 5, 4, 2], activation=f)
        params = net.init(KEY)
        x = jax.random.normal(jax.random.key(1), (7, 3))
        g = jax.random.normal(jax.random.key(2), (7, 2))
        _, pull = jax.vjp(net.apply, params, x)
        by_hand = mlp_vjp(g, params, x, activation=f, activation_grad=slope)
        chex.assert_trees_all_close(by_hand, pull(g), atol=1e-12)


def test_forward_pass_is_the_matrices_written_out():
    params = mlp([2, 3, 1]).init(KEY)
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    w, v = params["dense_0"], params["dense_1"]
    hidden = np.maximum(x @ np.asarray(w["kernel"]) + np.asarray(w["bias"]), 0)
    expected = hidden @ np.asarray(v["kernel"]) + np.asarray(v["bias"])
    np.testing.assert_allclose(mlp([2, 3, 1]).apply(params, x), expected, rtol=1e-5, atol=1e-6)


def test_parameters_are_flax_parameters():
    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            return linen.Dense(2, name="dense_1")(linen.relu(linen.Dense(8, name="dense_0")(x)))

    net = mlp([3, 8, 2])
    params, x = net.init(KEY), jnp.ones((5, 3))
    np.testing.assert_allclose(Net().apply({"params": params}, x), net.apply(params, x), rtol=1e-6)


class BatchNormNet(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        for i in range(2):
            x = linen.Dense(8, use_bias=False, name=f"dense_{i}")(x)
            x = linen.BatchNorm(not train, name=f"batch_norm_{i}")(x)
            x = linen.relu(x)
        return linen.Dense(2, name="dense_2")(x)


def test_batch_norm_mlp_is_flax_too():
    net = batch_norm_mlp([3, 8, 8, 2])
    params, state = net.init(KEY)
    assert set(params["dense_0"]) == {"kernel"}
    assert set(params["dense_2"]) == {"kernel", "bias"}
    x = jax.random.normal(KEY, (16, 3))
    y, new = net.apply(params, state, x, train=True)
    variables = {"params": params, "batch_stats": state}
    theirs, changed = BatchNormNet().apply(variables, x, True, mutable=["batch_stats"])
    np.testing.assert_allclose(y, theirs, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(new, changed["batch_stats"], rtol=1e-5, atol=1e-6)
    y, same = net.apply(params, new, x)
    theirs = BatchNormNet().apply({"params": params, "batch_stats": new}, x, False)
    np.testing.assert_allclose(y, theirs, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_equal(same, new)


def test_running_statistics_reach_those_of_the_data():
    net = batch_norm_mlp([3, 4, 1], momentum=0.5)
    params, state = net.init(KEY)
    x = jax.random.normal(KEY, (64, 3)) + 2
    apply = jax.jit(net.apply, static_argnames="train")
    for _ in range(40):
        trained, state = apply(params, state, x, train=True)
    np.testing.assert_allclose(apply(params, state, x)[0], trained, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [mlp, batch_norm_mlp])
def test_no_key_no_noise(make):
    net = make([3, 64, 1], dropout_rate=0.5)
    net = with_state(net) if isinstance(net, Network) else net
    params, state = net.init(KEY)
    x = jnp.ones((1, 3))
    sample = lambda key: net.apply(params, state, x, key=key, train=False)[0]
    chex.assert_trees_all_equal(sample(None), sample(None))
    noisy = [sample(jax.random.key(i)) for i in (1, 1, 2)]
    chex.assert_trees_all_equal(noisy[0], noisy[1])
    assert noisy[0] != noisy[2]
    assert noisy[0] != sample(None)


@pytest.mark.parametrize("make", [mlp, batch_norm_mlp])
def test_order_of_layers_survives_tree_operations(make):
    net = make([4, *range(5, 16), 3])  # twelve layers: "dense_10" sorts before "dense_2"
    net = with_state(net) if isinstance(net, Network) else net
    # All widths differ, so layers out of order would not even fit: tracing is enough.
    params, state = jax.eval_shape(net.init, KEY)
    assert params["dense_2"]["kernel"].shape == (6, 7)
    assert params["dense_10"]["kernel"].shape == (14, 15)
    params, state = jax.tree.map(lambda p: p, (params, state))
    x, g = jnp.ones((1, 4)), jnp.ones((1, 3))
    assert jax.eval_shape(net.apply, params, state, x)[0].shape == g.shape
    if make is mlp:
        back = lambda *args: mlp_vjp(*args, activation=relu, activation_grad=relu_grad)
        chex.assert_trees_all_equal_shapes(jax.eval_shape(back, g, params, x), (params, x))


def test_with_state_adds_an_empty_state():
    plain = mlp([2, 1])
    net = with_state(plain)
    assert isinstance(net, StatefulNetwork)
    params, state = net.init(KEY)
    assert state == {}
    x = jnp.ones((3, 2))
    y, state = net.apply(params, state, x, key=None, train=True)
    assert state == {}
    chex.assert_trees_all_equal(y, plain.apply(params, x))


def test_linear_without_hidden_layers():
    net = mlp([2, 1])
    params = net.init(KEY)
    grads, _ = mlp_vjp(
        jnp.ones((3, 1)), params, jnp.ones((3, 2)), activation=relu, activation_grad=relu_grad
    )
    np.testing.assert_array_equal(grads["dense_0"]["kernel"], [[3], [3]])


@pytest.mark.parametrize("make", [mlp, batch_norm_mlp])
def test_errors_say_what_to_do(make):
    name = make.__name__
    with pytest.raises(ValueError, match=rf"^{name}: sizes must name .* got \[3\]\. For 3 inputs"):
        make([3])
    with pytest.raises(ValueError, match=rf"{name}: sizes\[1\] must be at least 1, got 0"):
        make([3, 0, 1])
    with pytest.raises(TypeError, match=rf"{name}: sizes\[1\] must be an integer, got 8.0"):
        make([3, 8.0, 1])
    with pytest.raises(TypeError, match=f"{name}: activation must be a function, got 'relu'"):
        make([3, 8, 1], activation="relu")
    with pytest.raises(ValueError, match=rf"{name}: dropout_rate must be within \[0, 1\]"):
        make([3, 8, 1], dropout_rate=20)


def test_backpropagation_checks_what_it_gets():
    net = mlp([3, 8, 1])
    params, x = net.init(KEY), jnp.ones((4, 3))
    with pytest.raises(ValueError, match="dense: the last axis of x must have size 3"):
        net.apply(params, jnp.ones((4, 2)))
    with pytest.raises(ValueError, match=r"g must have the shape of the output, \(4, 1\)"):
        mlp_vjp(jnp.ones(4), params, x, activation=relu, activation_grad=relu_grad)
    with pytest.raises(TypeError, match="mlp_vjp: activation_grad must be a function"):
        mlp_vjp(x, params, x, activation=relu, activation_grad=None)  # pyright: ignore
