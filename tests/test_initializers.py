"""Initializers keep the variance they name, and the signal of a deep stack."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from jaxnn import initializers

pytestmark = pytest.mark.usefixtures("quick_compilation")

# name -> variance times (fan_in, fan_out) -> what; bound in standard deviations
SCHEMES = {
    "lecun": lambda i, o: 1 / i,
    "glorot": lambda i, o: 2 / (i + o),
    "he": lambda i, o: 2 / i,
}
BOUNDS = {"uniform": math.sqrt(3), "normal": 2 / 0.87962566}
# shape -> its fans, counted by hand; the last is grouped: 4 groups of 8 inputs to 32 outputs
SHAPES = {
    (200, 300): (200, 300),
    (300, 200): (300, 200),
    (3, 5, 16, 32): (240, 480),
    (7, 32, 64): (224, 448),
    (3, 3, 8, 128): (72, 1152),
}
FACTORIES = [
    initializers.constant(0.5), initializers.glorot_normal(), initializers.glorot_uniform(),
    initializers.he_normal(), initializers.he_uniform(), initializers.lecun_normal(),
    initializers.lecun_uniform(), initializers.normal(), initializers.orthogonal(),
    initializers.truncated_normal(), initializers.uniform(), initializers.zeros(),
]  # fmt: skip


def moments_agree(w, variance):
    """Mean and variance within five standard errors; 9/5 is the least kurtosis, 3 the most."""
    w = np.asarray(w, np.float64)
    assert abs(w.mean()) <= 5 * math.sqrt(variance / w.size)
    assert abs(w.var() / variance - 1) <= 5 * math.sqrt(2 / w.size)


@pytest.mark.parametrize("shape", [(200, 300), (3, 5, 16, 32), (3, 3, 8, 128)])
@pytest.mark.parametrize("form", BOUNDS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_variance_is_the_one_named(scheme, form, shape):
    variance = SCHEMES[scheme](*SHAPES[shape])
    w = getattr(initializers, f"{scheme}_{form}")()(jax.random.key(1), shape)
    moments_agree(w, variance)
    bound = BOUNDS[form] * math.sqrt(variance)
    assert 0.97 * bound < jnp.abs(w).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize(
    ("init", "variance", "bound"),
    [
        (initializers.normal(0.3), 0.09, None),
        (initializers.truncated_normal(0.3), 0.09, 0.3 * BOUNDS["normal"]),
        (initializers.uniform(0.3), 0.03, 0.3),
    ],
)
def test_plain_distributions(init, variance, bound):
    w = init(jax.random.key(2), (200_000,))
    moments_agree(w, variance)
    if bound is None:
        assert jnp.abs(w).max() > 4 * 0.3  # a normal has tails
    else:
        assert 0.999 * bound < jnp.abs(w).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_fans(shape):
    assert initializers.fans(shape) == SHAPES[shape]


def test_fan_in_of_a_grouped_convolution_is_what_an_output_sums():
    """Ones through a kernel of ones count the inputs that reach an output."""
    shape, groups = (3, 3, 8, 128), 4
    x, kernel = jnp.ones((1, 3, 3, 8 * groups)), jnp.ones(shape)
    y = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )  # fmt: skip
    assert (y == initializers.fans(shape)[0]).all()


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (3, 3, 2, 5), (1, 1, 4, 7)])
def test_orthogonal_keeps_lengths(shape):
    q = initializers.orthogonal(3.0)(jax.random.key(3), shape)
    assert q.shape == shape
    q = q.reshape(-1, shape[-1])
    short = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(short, 9 * np.eye(len(short)), atol=2e-5)


def test_orthogonal_is_evenly_drawn():
    """A QR factorization without its signs put right would favour one sign on the diagonal."""
    keys = jax.random.split(jax.random.key(4), 500)
    q = jax.vmap(lambda key: initializers.orthogonal()(key, (3, 3)))(keys)
    assert jnp.abs(q.mean(0)).max() < 5 * math.sqrt(1 / 3 / 500)


DEPTH, WIDTH = 50, 256


def stack(init, activation):
    """Mean square of each of fifty layers, and of the gradients going back through them."""
    keys = jax.random.split(jax.random.key(5), DEPTH)
    kernels = jax.vmap(lambda key: init(key, (WIDTH, WIDTH)))(keys)
    x, g = jax.random.normal(jax.random.key(6), (2, 64, WIDTH))

    def layer(x, kernel):
        x = activation(x @ kernel)
        return x, (x**2).mean()

    run = lambda x: jax.lax.scan(layer, x, kernels)
    (_, forward), pull = jax.vjp(run, x)
    (back,) = pull((g, jnp.zeros(DEPTH)))
    return forward, (back**2).mean()


@pytest.mark.parametrize(
    ("name", "activation", "slope"),
    [
        ("he_normal", jax.nn.relu, 1),
        ("he_uniform", jax.nn.relu, 1),
        ("glorot_normal", lambda z: z, 1),
        ("lecun_uniform", lambda z: z, 1),
        ("lecun_normal", jax.nn.selu, 1.0714),  # mean square slope of selu at unit variance
        ("orthogonal", lambda z: z, 1),
    ],
)
def test_signal_survives_fifty_layers(name, activation, slope):
    """Up to the chance of fifty random matrices: exp(sqrt(50 * 5 / 256)) is 2.7."""
    forward, back = stack(getattr(initializers, name)(), activation)
    assert 1 / 8 < forward.min() <= forward.max() < 8
    assert 1 / 8 < back / slope**DEPTH < 8


def test_tanh_shrinks_slowly():
    """Like one over the depth, since tanh z is z - z^3/3: not like a power of it."""
    forward, back = stack(initializers.lecun_normal(), jnp.tanh)
    assert 0.25 / DEPTH < forward[-1] < 2 / DEPTH
    assert 1e-3 < back < 1


def test_a_wrong_scheme_is_seen():
    """Half the variance is 2^-50 of the signal; what the tests above tell apart."""
    forward, back = stack(initializers.lecun_normal(), jax.nn.relu)
    assert forward[-1] < 1e-12
    assert back < 1e-12


@pytest.mark.parametrize("init", FACTORIES)
def test_dtypes(init):
    key, shape = jax.random.key(7), (6, 4)
    single = init(key, shape)
    assert single.dtype == jnp.float32
    for dtype in (jnp.bfloat16, jnp.float16):
        narrow = init(key, shape, dtype)
        assert narrow.dtype == dtype
        np.testing.assert_array_equal(narrow, single.astype(dtype))
    with jax.enable_x64(True):
        assert init(key, shape, jnp.float64).dtype == jnp.float64
    np.testing.assert_allclose(
        jax.jit(lambda key: init(key, shape))(key), single, rtol=1e-5, atol=1e-6
    )


def test_flax_takes_them():
    layer = linen.Dense(4, kernel_init=initializers.he_normal(), bias_init=initializers.constant(1))
    params = layer.init(jax.random.key(0), jnp.ones((1, 3)))["params"]
    assert params["kernel"].shape == (3, 4)
    assert (params["bias"] == 1).all()


@pytest.mark.parametrize("factory", ["normal", "truncated_normal", "uniform", "orthogonal"])
@pytest.mark.parametrize("number", [-0.5, math.nan, math.inf])
def test_scales_are_finite_and_not_negative(factory, number):
    with pytest.raises(ValueError, match=rf"{factory}: \w+ must be finite .* got {number}\. Pass"):
        getattr(initializers, factory)(number)


@pytest.mark.parametrize("name", ["glorot_normal", "he_uniform", "lecun_normal", "orthogonal"])
@pytest.mark.parametrize("shape", [(), (3,), (0, 3), (3, 0)])
def test_kernels_have_inputs_and_outputs(name, shape):
    with pytest.raises(ValueError, match=rf"{name}: the shape must have two axes .* zeros\(\)"):
        getattr(initializers, name)()(jax.random.key(0), shape)


def test_fans_of_a_vector_are_an_error():
    with pytest.raises(ValueError, match="fans: the shape must have two axes"):
        initializers.fans((3,))


def test_integers_are_an_error():
    with pytest.raises(TypeError, match="zeros: dtype must be floating point, got int32"):
        initializers.zeros()(jax.random.key(0), (3,), jnp.int32)


def test_a_scale_may_be_traced():
    sweep = jax.vmap(lambda s: initializers.normal(s)(jax.random.key(0), (3,)))(
        jnp.array([1.0, 2.0])
    )
    np.testing.assert_allclose(2 * sweep[0], sweep[1])
