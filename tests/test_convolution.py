"""Convolution and pooling: ties, what runs on a CPU, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from jax import lax

from jaxnn import layers

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def test_conv_transpose_is_the_gradient_of_conv():
    kernel, x = normal(3, 3, 2, 4), normal(1, 7, 7, 2)
    forward = lambda x: layers.conv({"kernel": kernel}, x, 2, "VALID")
    y, pull = jax.vjp(forward, x)
    flipped = jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
    spread = layers.conv_transpose({"kernel": flipped}, y, 2, "VALID")
    np.testing.assert_allclose(spread, pull(y)[0], rtol=1e-5, atol=1e-5)


def test_no_axis_before_the_spatial_ones_or_several():
    params = layers.conv_init(KEY, (3, 3), 2, 4)
    x = normal(3, 2, 5, 5, 2)
    many = layers.conv(params, x)
    assert many.shape == (3, 2, 5, 5, 4)
    np.testing.assert_allclose(layers.conv(params, x[1, 1]), many[1, 1], rtol=1e-6, atol=1e-6)


def test_on_a_cpu_no_convolution_is_left():
    # XLA's convolution gradients in a compiled loop are tens of times slower on CPU.
    params = layers.conv_init(KEY, (3, 3), 2, 4)
    gradient = jax.grad(lambda p, x: layers.conv(p, x).sum())
    lowered = jax.jit(gradient).trace(params, normal(1, 4, 4, 2))
    text = lowered.lower(lowering_platforms=("cpu",)).as_text()
    assert "stablehlo.convolution" not in text
    text = lowered.lower(lowering_platforms=("cuda",)).as_text()
    assert "stablehlo.convolution" in text


def test_the_accelerators_branch_says_the_same():
    at = layers.convolution._windows("conv", jnp.zeros((3, 2, 2, 4)), jnp.zeros((2, 5, 5, 4)),
                                     (2, 1), "SAME", (1, 2), 2)  # fmt: skip
    kernel, x = normal(3, 2, 2, 4), normal(2, 5, 5, 4)
    expected = lax.conv_general_dilated(
        x, kernel, at.strides, at.pads, rhs_dilation=at.dilation, feature_group_count=2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    found = layers.conv({"kernel": kernel}, x, (2, 1), "SAME", (1, 2), 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


# Pooling


def test_the_first_of_equal_entries_has_the_gradient():
    x = jnp.array([2.0, 2.0, 1.0, 1.0])[:, None]
    slope = jax.grad(lambda x: layers.max_pool(x, (2,)).sum())(x)
    assert slope[:, 0].tolist() == [1, 0, 1, 0]
    theirs = jax.grad(lambda x: linen.max_pool(x, (2,), (2,)).sum())(x)
    assert theirs[:, 0].tolist() == [1, 0, 1, 0]


def test_an_entry_that_wins_several_windows_collects_from_all():
    x = jnp.array([0.0, 5.0, 1.0])[:, None]
    slope = jax.grad(lambda x: layers.max_pool(x, (2,), 1).sum())(x)
    assert slope[:, 0].tolist() == [0, 2, 0]


def test_nan_is_not_pooled_away():
    x = jnp.array([jnp.nan, 1.0, 2.0, 3.0])[:, None]
    assert jnp.isnan(layers.max_pool(x, (2,))[:, 0]).tolist() == [True, False]
    ones = jnp.ones((2, 1))
    for slopes in (
        jax.grad(lambda x: layers.max_pool(x, (2,)).sum())(x),
        layers.max_pool_vjp(ones, x, (2,)),
    ):
        np.testing.assert_array_equal(slopes[:, 0], [np.nan, 0, 0, 1])
    assert jnp.isnan(layers.average_pool(x, (2,))[:, 0]).tolist() == [True, False]


def test_padding_is_never_the_largest():
    x = -jnp.ones((3, 1))
    assert layers.max_pool(x, (3,), 1, "SAME")[:, 0].tolist() == [-1, -1, -1]


# Errors


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: layers.conv_init(KEY, (3,), 3, 4, groups=2), "groups must divide"),
        (lambda: layers.conv_init(KEY, (0,), 3, 4), r"kernel_size\[0\] must be at least 1"),
        (lambda: layers.conv(KERNEL, jnp.zeros((4, 4, 3))), "last axis of x must have size 2"),
        (lambda: layers.conv(KERNEL, jnp.zeros((4, 2))), "2 spatial axes"),
        (lambda: layers.conv(KERNEL, X, 0), r"strides\[0\] must be at least 1"),
        (lambda: layers.conv(KERNEL, X, (1, 1, 1)), "one entry per spatial axis"),
        (lambda: layers.conv(KERNEL, X, padding="same"), "padding must be"),
        (lambda: layers.conv(KERNEL, X, padding=[(0, 0), (-1, 0)]), "must not be negative"),
        (lambda: layers.conv(KERNEL, X[:2], padding="VALID"), "must fit into the padded"),
        (lambda: layers.conv(KERNEL, jnp.zeros((4, 4, 6)), groups=3), "divide the outputs"),
        (lambda: layers.conv_transpose(KERNEL, X, padding=[(9, 9), (0, 0)]), "less than the span"),
        (lambda: layers.conv_vjp(X, KERNEL, X), "g must have the shape of the output"),
        (lambda: layers.conv(KERNEL, X, padding=1), "a pair per spatial axis, got 1"),
        (lambda: layers.conv(KERNEL, X, padding=(1, 1)), "a pair per spatial axis, got"),
        (lambda: layers.conv_transpose(KERNEL, X, padding="CAUSAL"), "padding must be 'SAME', 'VA"),
        (lambda: layers.conv_transpose(KERNEL, X, padding=[(1, 1)]), "a pair per spatial axis"),
        (lambda: layers.max_pool(X, (2, 2), 0), r"strides\[0\] must be at least 1"),
        (lambda: layers.max_pool(X, (5, 1)), "must fit into the padded input"),
        (lambda: layers.global_average_pool(jnp.zeros(3)), "2 spatial axes"),
    ],
)  # fmt: skip
def test_bad_values_say_what_to_do(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_integers_are_refused():
    with pytest.raises(TypeError, match="x must be floating point"):
        layers.conv(KERNEL, jnp.zeros((4, 4, 2), int))
    with pytest.raises(TypeError, match="x must be floating point"):
        layers.max_pool(jnp.zeros((4, 4, 2), int), (2, 2))


def test_a_window_has_a_size_for_each_axis():
    for call in (
        lambda: layers.conv_init(KEY, 3, 2, 4),  # pyright: ignore
        lambda: layers.conv_transpose_init(KEY, (), 2, 4),
        lambda: layers.max_pool(X, 2),  # pyright: ignore
        lambda: layers.average_pool(X, 2),  # pyright: ignore
    ):
        with pytest.raises(TypeError, match=r"must have one entry per spatial axis, got .* \(3, 3"):
            call()


KERNEL = {"kernel": normal(3, 3, 2, 4)}
X = normal(4, 4, 2)
