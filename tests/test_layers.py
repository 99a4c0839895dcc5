"""Layers: accuracy at the ends of the float range, limits and errors."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import layers

KEY = jax.random.key(0)
draw = np.random.default_rng(0).normal


def normal(*shape, mean=0.0):
    return jnp.asarray(draw(mean, 1, shape), jnp.float32)


def test_a_dense_layer_starts_with_a_bias_of_zeros_or_has_none():
    assert layers.dense_init(KEY, 3, 2)["bias"].tolist() == [0, 0]
    assert set(layers.dense_init(KEY, 3, 2, use_bias=False)) == {"kernel"}


# Accuracy


def exact(x, g, epsilon, centre):
    """Normalized rows and the cotangent of x, in float64."""
    x, g = np.float64(x), np.float64(g)
    centred = x - x.mean(-1, keepdims=True) * centre
    factor = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    y = centred * factor
    h = g - g.mean(-1, keepdims=True) * centre
    return y, factor * (h - y * (h * y).mean(-1, keepdims=True))


def columns(p, x, epsilon):
    """Batch normalization of the rows of x, as if they were columns."""
    p = {"scale": jnp.ones(x.shape[0]), "bias": jnp.zeros(x.shape[0])}
    _, statistics = layers.batch_norm_init(KEY, x.shape[0])
    return layers.batch_norm(p, statistics, x.T, train=True, epsilon=epsilon)[0].T


SIZES = [(1e-30, 0), (1e-25, 1e-19), (1e-6, 0), (1, -1e6), (1, 1e6), (1e15, 1e21), (5e37, 0)]


@pytest.mark.parametrize("norm", [layers.layer_norm, layers.rms_norm, columns])
@pytest.mark.parametrize("epsilon", [0.0, 1e-5])
def test_norms_are_right_at_every_scale_and_offset(norm, epsilon):
    sizes = np.array(SIZES)[:, :, None]
    x = np.clip(draw(size=(len(SIZES), 64)) * sizes[:, 0] + sizes[:, 1], -3e38, 3e38)
    x, g = jnp.asarray(x, jnp.float32), normal(len(SIZES), 64) * 1e3
    params = {"scale": jnp.ones(64), "bias": jnp.zeros(64)}

    def both(x, g):
        y, pull = jax.vjp(lambda x: norm(params, x, epsilon), x)
        cotangents = [pull(g)[0]]
        if norm is not columns:
            cotangents.append(getattr(layers, norm.__name__ + "_vjp")(g, params, x, epsilon)[1])
        return y, cotangents

    for run in (both, jax.jit(both)):
        y, cotangents = run(x, g)
        true_y, true_x = exact(x, g, epsilon, centre=norm is not layers.rms_norm)
        near(y, true_y)
        for cotangent in cotangents:
            near(cotangent, true_x)


def near(found, truth):
    error = np.abs(np.float64(found) - truth)
    error = np.where(np.abs(truth) < np.finfo(np.float32).tiny, 0, error)  # subnormal: exempt
    error = error.max(-1) / np.abs(truth).max(-1)
    assert error.max() <= 1e-6, error


@pytest.mark.parametrize("norm", [layers.layer_norm, columns])
def test_cotangents_of_every_size_survive_offsets_and_spreads(norm):
    """Where autodiff overflowed: a spread far below the offset, and a large cotangent."""
    spreads = [1e-30, 1e-19, 1e-6, 1.0, 1e15, 1e25, 1e30]
    x = [draw(size=64) * s + 1e6 * s for s in spreads]
    x = np.array([row for row in x for _ in range(5)]).astype(np.float32)
    g = np.array([1e-30, 1e-10, 1.0, 1e10, 1e30] * len(spreads))[:, None]
    g = (draw(size=x.shape) * g).astype(np.float32)
    params = {"scale": jnp.ones(64), "bias": jnp.zeros(64)}
    pull = jax.jit(lambda x, g: jax.vjp(lambda x: norm(params, x, 0.0), x)[1](g)[0])
    found = np.asarray(pull(jnp.asarray(x), jnp.asarray(g)), np.float64)
    _, truth = exact(x, g, 0.0, centre=True)
    size = np.abs(truth).max(-1)
    fits = (size > 1e-30) & (size < 1e37)
    assert fits.sum() > 12
    near(found[fits], truth[fits])


def test_offsets_do_not_cancel():
    x = jnp.array([[1e4, 1e4 + 1, 1e4 + 2, 1e4 + 3]])
    truth = [-1.3416408, -0.4472136, 0.4472136, 1.3416408]
    params = layers.layer_norm_init(KEY, 4)
    np.testing.assert_allclose(layers.layer_norm(params, x)[0], truth, rtol=1e-6)
    np.testing.assert_allclose(layers.group_norm(params, x, 1)[0], truth, rtol=1e-6)
    params, statistics = layers.batch_norm_init(KEY, 1)
    y, _ = layers.batch_norm(params, statistics, x.T, train=True)
    np.testing.assert_allclose(y[:, 0], truth, rtol=1e-5)  # its epsilon is 1e-5


def test_equal_entries_normalize_to_zero():
    x = jnp.full((2, 6), 0.1)
    params = layers.layer_norm_init(KEY, 6)
    for epsilon in (1e-6, 0.0):
        y, pull = jax.vjp(lambda x, e=epsilon: layers.layer_norm(params, x, e), x)
        assert not y.any()
        chex.assert_tree_all_finite(pull(normal(2, 6)))
    assert not layers.rms_norm({"scale": jnp.ones(6)}, 0 * x, 0.0).any()
    assert jnp.isnan(layers.layer_norm(params, x.at[0, 2].set(jnp.nan))[0]).all()


def test_bfloat16_is_computed_in_float32():
    x = normal(8, 256, mean=100.0).astype(jnp.bfloat16)
    params, statistics = layers.batch_norm_init(KEY, 256)
    y, new = layers.batch_norm(params, statistics, x, train=True)
    assert y.dtype == jnp.bfloat16
    assert new["mean"].dtype == new["var"].dtype == jnp.float32
    np.testing.assert_allclose(new["mean"], 0.01 * np.float64(x).mean(0), rtol=1e-6)
    truth, _ = layers.batch_norm(params, statistics, x.astype(jnp.float32), train=True)
    chex.assert_trees_all_equal(y, truth.astype(jnp.bfloat16))


# Statistics


def test_an_empty_batch_leaves_the_statistics():
    params, statistics = layers.batch_norm_init(KEY, 3)
    y, same = layers.batch_norm(params, statistics, jnp.zeros((0, 3)), train=True)
    assert y.shape == (0, 3)
    chex.assert_trees_all_equal(same, statistics)
    grads, in_x = layers.batch_norm_vjp(y, params, statistics, y, train=True)
    chex.assert_trees_all_equal(grads, jax.tree.map(jnp.zeros_like, params))
    assert in_x.shape == (0, 3)
    images = jnp.zeros((2, 0, 3))
    assert layers.group_norm(params, images, 3).shape == images.shape
    assert layers.group_norm_vjp(images, params, images, 3)[1].shape == images.shape


LSTM = layers.lstm_init(KEY, 3, 4)
GRU = layers.gru_init(KEY, 3, 4)
RNN = layers.simple_rnn_init(KEY, 3, 4)
HEADS = layers.multi_head_attention_init(KEY, 4, 2)
ATTEND = layers.scaled_dot_product_attention


@pytest.mark.parametrize(
    ("f", "shapes"),
    [
        (lambda x: layers.lstm(LSTM, x), [(0, 5, 3)]),
        (lambda x: layers.lstm(LSTM, x), [(2, 0, 3)]),
        (lambda x: layers.gru(GRU, x), [(2, 0, 3)]),
        (lambda x: layers.simple_rnn(RNN, x), [(2, 0, 3)]),
        (lambda x: layers.simple_rnn(RNN, x, jnp.zeros(2, int)), [(2, 3, 3)]),
        (ATTEND, [(0, 2, 4), (3, 2, 4), (3, 2, 4)]),
        (ATTEND, [(3, 2, 4), (0, 2, 4), (0, 2, 4)]),
        (lambda x: layers.multi_head_attention(HEADS, x), [(0, 3, 4)]),
        (lambda x: layers.multi_head_attention(HEADS, x), [(2, 0, 4)]),
        (lambda x: layers.rms_norm({"scale": jnp.ones(0)}, x), [(3, 0)]),
        (lambda x: layers.layer_norm(layers.layer_norm_init(KEY, 3), x), [(0, 3)]),
        (layers.global_average_pool, [(2, 0, 5, 3)]),
        (lambda x: layers.average_pool(x, (2, 2)), [(0, 4, 4, 3)]),
    ],
)
def test_nothing_gives_zeros_and_has_no_gradient(f, shapes):
    y, pull = jax.vjp(f, *(jnp.ones(shape) for shape in shapes))
    assert not y.any()
    for shape, cotangent in zip(shapes, pull(jnp.ones_like(y)), strict=True):
        assert cotangent.shape == shape
        assert not cotangent.any()


def test_means_of_the_largest_floats_are_floats():
    x = jnp.full((1, 3, 4, 2), 3e38)
    pooled = layers.average_pool(x, (2, 2), padding="SAME")
    np.testing.assert_allclose(pooled, 3e38, rtol=1e-6)
    np.testing.assert_allclose(layers.global_average_pool(x), 3e38, rtol=1e-6)


def test_statistics_get_no_gradient():
    params, statistics = layers.batch_norm_init(KEY, 3)
    x = normal(4, 3)

    def everything(statistics, x, train):
        y, new = layers.batch_norm(params, statistics, x, train=train)
        return (y**2).sum() + sum(jax.tree.leaves(jax.tree.map(jnp.sum, new)))

    for train in (True, False):
        in_statistics = jax.grad(everything)(statistics, x, train)
        assert not any(leaf.any() for leaf in jax.tree.leaves(in_statistics))
    alone = jax.grad(lambda x: (layers.batch_norm(params, statistics, x, train=True)[0] ** 2).sum())
    chex.assert_trees_all_equal(jax.grad(everything, 1)(statistics, x, True), alone(x))


# Dropout


def test_dropout_keeps_the_expectation():
    y = layers.dropout(KEY, jnp.ones(100_000), 0.3)
    kept = y > 0
    np.testing.assert_allclose(y[kept], 1 / 0.7, rtol=1e-6)
    standard_error = np.sqrt(0.3 / 0.7 / y.size)
    assert abs(float(y.mean()) - 1) < 4 * standard_error


def test_dropout_draws_one_mask_for_every_dtype():
    x = jnp.ones(200)
    mask = layers.dropout(KEY, x, 0.5) > 0
    chex.assert_trees_all_equal(layers.dropout(KEY, x.astype(jnp.bfloat16), 0.5) > 0, mask)
    with jax.enable_x64(True):
        chex.assert_trees_all_equal(layers.dropout(KEY, jnp.ones(200), 0.5) > 0, mask)


def test_dropout_at_its_limits():
    x = normal(5)
    chex.assert_trees_all_equal(layers.dropout(None, x, 0.5), x)
    chex.assert_trees_all_equal(layers.dropout(KEY, x, 0), x)
    y, pull = jax.vjp(lambda x: layers.dropout(KEY, x, 1.0), x)
    assert not y.any()
    assert not pull(x)[0].any()
    assert not layers.dropout(KEY, x.at[0].set(jnp.inf), 1.0).any()


def test_a_traced_rate_may_be_swept():
    x = normal(50)
    sweep = jax.jit(jax.vmap(lambda rate: layers.dropout(KEY, x, rate)))
    swept = sweep(jnp.array([0.0, 0.4, 1.0, 1.5, -0.5, jnp.nan]))
    chex.assert_trees_all_close(swept[0], x)
    chex.assert_trees_all_close(swept[1], layers.dropout(KEY, x, 0.4), rtol=1e-6)
    assert not swept[2].any()
    assert jnp.isnan(swept[3:]).all()


# Errors


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_dropout_refuses_other_rates(rate):
    for rate_ in (rate, jnp.array(rate)):
        with pytest.raises(ValueError, match=r"dropout: rate must be within \[0, 1\], got"):
            layers.dropout(None, jnp.ones(3), rate_)
    with pytest.raises(ValueError, match="dropout: rate"):
        jax.jit(lambda x: layers.dropout(KEY, x, rate))(jnp.ones(3))


def test_errors_say_what_to_do():
    dense, norm, x = layers.dense_init(KEY, 3, 2), layers.layer_norm_init(KEY, 3), jnp.ones((4, 3))
    _, statistics = layers.batch_norm_init(KEY, 2)
    wrong = jnp.ones((3, 4))
    for call in (
        lambda: layers.dense(dense, wrong),
        lambda: layers.layer_norm(norm, wrong),
        lambda: layers.rms_norm(norm, wrong),
        lambda: layers.group_norm(norm, wrong, 1),
        lambda: layers.batch_norm(norm, statistics, wrong, train=True),
        lambda: jax.eval_shape(layers.dense, dense, wrong),
    ):
        with pytest.raises(ValueError, match=r"the last axis of x must have size 3, got .*\. F"):
            call()
    with pytest.raises(ValueError, match="batch_norm: the last axis of mean must have size 3"):
        layers.batch_norm(norm, statistics, x, train=True)
    with pytest.raises(ValueError, match=r"g must have the shape of the output, \(4, 2\), got"):
        layers.dense_vjp(jnp.ones(4), dense, x)
    with pytest.raises(ValueError, match=r"group_norm: groups must divide the features"):
        layers.group_norm(norm, x, 2)
    with pytest.raises(ValueError, match=r"group_norm: x must be \[batch, \.\.\., features\]"):
        layers.group_norm(norm, x[0], 3)
    with pytest.raises(ValueError, match="layer_norm: epsilon must be at least 0"):
        layers.layer_norm(norm, x, -1.0)
    with pytest.raises(ValueError, match=r"batch_norm: momentum must be within \[0, 1\], got 9"):
        layers.batch_norm(norm, layers.batch_norm_init(KEY, 3)[1], x, train=True, momentum=9.0)
    with pytest.raises(ValueError, match="dense_init: outputs must be at least 1, got 0"):
        layers.dense_init(KEY, 3, 0)
    with pytest.raises(TypeError, match="dense_init: kernel_init must be a function, got 'he'"):
        layers.dense_init(KEY, 3, 1, "he")  # pyright: ignore
    with pytest.raises(TypeError, match=r"dense_init: inputs must be an integer, got 3\.5"):
        layers.dense_init(KEY, 3.5, 1)  # pyright: ignore
    for call in (
        lambda x: layers.dense(dense, x),
        lambda x: layers.layer_norm(norm, x),
        lambda x: layers.dropout(KEY, x, 0.5),
    ):
        with pytest.raises(TypeError, match="x must be floating point, got int32"):
            call(x.astype(jnp.int32))


def test_train_of_batch_norm_is_a_bool():
    params, statistics = layers.batch_norm_init(KEY, 2)
    x = jnp.ones((3, 2))
    for flag in (None, 1, "no"):
        with pytest.raises(TypeError, match=r"batch_norm: train must be True or False"):
            layers.batch_norm(params, statistics, x, train=flag)
    assert layers.batch_norm(params, statistics, x, train=np.True_)[0].shape == (3, 2)


def test_names_of_layers_reach_the_compiled_program():
    def all_of_them(x):
        params, statistics = layers.batch_norm_init(KEY, 4)
        x = layers.dense(layers.dense_init(KEY, 4, 4), x)
        x, _ = layers.batch_norm(params, statistics, x, train=True)
        x = layers.group_norm(params, layers.rms_norm(params, layers.layer_norm(params, x)), 2)
        return layers.dropout(KEY, x, 0.5)

    text = jax.jit(all_of_them).lower(jnp.ones((2, 4))).as_text(debug_info=True)
    for name in ("dense", "batch_norm", "rms_norm", "layer_norm", "group_norm", "dropout"):
        assert f"/{name}/" in text
