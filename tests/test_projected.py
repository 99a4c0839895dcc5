"""Cross entropy through an output layer: the same as with all logits, and without them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import losses

NAN, INF = jnp.nan, jnp.inf
RANDOM = np.random.default_rng(0)
X = jnp.asarray(RANDOM.normal(size=(2, 3, 5)), jnp.float32)
KERNEL = jnp.asarray(RANDOM.normal(size=(5, 23)), jnp.float32)
BIAS = jnp.asarray(RANDOM.normal(size=23), jnp.float32)
Y = jnp.asarray([[0, 22, 7], [7, 8, 15]])


def with_all_logits(x, kernel, bias, labels):
    return losses.sparse_categorical_cross_entropy(x @ kernel + bias, labels)


def with_gradients(f):
    """Loss and gradients of its sum in one program."""

    @jax.jit
    def run(*args):
        return f(*args), jax.grad(lambda *args: f(*args).sum(), (0, 1, 2))(*args)

    return run


@pytest.mark.parametrize("size", [1, 8, 23, 4096])
def test_equals_the_cross_entropy_of_all_logits(size):
    chunked = lambda *args: losses.projected_cross_entropy(*args, size)
    loss, found = with_gradients(chunked)(X, KERNEL, BIAS, Y)
    truth, expected = with_gradients(with_all_logits)(X, KERNEL, BIAS, Y)
    np.testing.assert_allclose(loss, truth, rtol=1e-6)
    closed = losses.projected_cross_entropy_grad(X, KERNEL, BIAS, Y, size)
    for one, two, three in zip(found, expected, closed, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(three, one, rtol=1e-6, atol=1e-6)


ROWS, FEATURES, CLASSES, CHUNK = 128, 16, 20_000, 512


def test_no_program_holds_all_logits():
    """Neither forward nor backward: two chunks of memory, where all logits would be forty."""
    shapes = [(ROWS, FEATURES), (FEATURES, CLASSES), (CLASSES,)]
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    labels = jax.ShapeDtypeStruct((ROWS,), jnp.int32)
    all_logits, a_chunk = 4 * ROWS * CLASSES, 4 * ROWS * CHUNK
    weights = 4 * CLASSES * (FEATURES + 1)

    def memory(f):
        for run in (f, jax.grad(lambda *args: f(*args).sum(), (0, 1, 2))):
            compiled = jax.jit(run).lower(*arrays, labels).compile()
            holds = f"[{ROWS},{CLASSES}]" in compiled.as_text()
            yield compiled.memory_analysis().temp_size_in_bytes, holds

    chunked = lambda *args: losses.projected_cross_entropy(*args, CHUNK)
    for used, holds in memory(chunked):
        assert not holds
        assert used < 3 * a_chunk + weights < all_logits / 3
    # The measure itself works: the plain loss does hold them.
    for used, holds in memory(with_all_logits):
        assert holds
        assert used >= all_logits


def test_confident_predictions_keep_their_digits():
    """The right logit 20 above the others: 1 - softmax is 0 in float32."""
    x, kernel = jnp.ones((1, 1)), jnp.zeros((1, 7)).at[0, 4].set(20.0)
    run = with_gradients(lambda *args: losses.projected_cross_entropy(*args, 3))
    loss, (in_x, _, in_bias) = run(x, kernel, jnp.zeros(7), jnp.array([4]))
    small = np.exp(-20.0)
    np.testing.assert_allclose(loss, [np.log1p(6 * small)], rtol=5e-7)
    expected = np.full(7, small / (1 + 6 * small))
    expected[4] = -6 * expected[0]
    np.testing.assert_allclose(in_bias, expected, rtol=5e-7)
    np.testing.assert_allclose(in_x, [[20 * expected[4]]], rtol=5e-7)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_short_floats_are_computed_in_float32(dtype):
    short = [a.astype(dtype) for a in (X, KERNEL, BIAS)]
    run = with_gradients(lambda *args: losses.projected_cross_entropy(*args, 8))
    loss, found = run(*short, Y)
    truth, expected = run(*(a.astype(jnp.float32) for a in short), Y)
    eps = float(jnp.finfo(dtype).eps)
    for one, two in [(loss, truth), *zip(found, expected, strict=True)]:
        assert one.dtype == dtype
        np.testing.assert_allclose(one.astype(jnp.float32), two, rtol=eps, atol=1e-6)
    # A short input of long weights, as in mixed precision: gradients have the dtypes of both.
    loss, found = run(short[0], KERNEL, BIAS, Y)
    assert [a.dtype for a in (loss, *found)] == [dtype, dtype, jnp.float32, jnp.float32]


def test_classes_that_are_ruled_out_have_no_share():
    out = BIAS.at[jnp.array([1, 2, 3, 4, 5])].set(-INF)
    run = with_gradients(lambda *args: losses.projected_cross_entropy(*args, 4))
    loss, found = run(X, KERNEL, out, Y)
    np.testing.assert_allclose(loss, with_all_logits(X, KERNEL, out, Y), rtol=1e-6)
    assert all(jnp.isfinite(a).all() for a in found)
    np.testing.assert_array_equal(found[2][1:6], 0)
    loss, found = run(X, KERNEL, 0 * BIAS - INF, Y)
    np.testing.assert_array_equal(loss, np.full((2, 3), np.inf))
    assert not any(a.any() for a in found)


def test_no_rows():
    run = with_gradients(losses.projected_cross_entropy)
    loss, found = run(X[:, :0], KERNEL, BIAS, Y[:, :0])
    assert loss.shape == (2, 0)
    assert not any(a.any() for a in found)


def test_labels_that_cannot_be_right():
    run = with_gradients(lambda *args: losses.projected_cross_entropy(*args, 8))
    for wrong in (-1, 23):
        labels = Y.at[0, 1].set(wrong)
        with pytest.raises(ValueError, match=f"^projected_cross_entropy: labels .* got {wrong}"):
            losses.projected_cross_entropy(X, KERNEL, BIAS, labels)
        loss, found = run(X, KERNEL, BIAS, labels)
        assert np.isnan(loss).sum() == 1
        assert np.isnan(loss[0, 1])
        assert all(jnp.isnan(a).any() for a in found)


@pytest.mark.parametrize(
    ("kind", "args", "message"),
    [
        (TypeError, (X.astype(int), KERNEL, BIAS, Y), "features must be floating point"),
        (TypeError, (X, KERNEL, BIAS.astype(int), Y), "bias must be floating point"),
        (TypeError, (X, KERNEL, BIAS, Y.astype(float)), "labels must hold integers"),
        (ValueError, (X, KERNEL.T, BIAS, Y), r"kernel must have shape \[features, classes\]"),
        (ValueError, (X, KERNEL, BIAS[:-1], Y), r"bias must hold one number .* \(23,\), got \(22,"),
        (ValueError, (X, KERNEL, BIAS, Y[0]), "labels must hold one entry per row"),
        (ValueError, (X, KERNEL, BIAS, Y, 0), "chunk_size must be at least 1, got 0"),
    ],
)
def test_kinds_and_shapes(kind, args, message):
    with pytest.raises(kind, match=f"^projected_cross_entropy: {message}"):
        losses.projected_cross_entropy(*args)


def test_the_cotangent_belongs_to_the_losses():
    with pytest.raises(ValueError, match=r"g must have the shape of the output, \(2, 3\)"):
        losses.projected_cross_entropy_vjp(jnp.ones(3), X, KERNEL, BIAS, Y)
