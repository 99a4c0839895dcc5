"""Means, norms and variances at the ends of the range, and everything that is made of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import _units, diagnostics, losses, metrics, networks, training

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
SIZES = (1e-30, 1e-3, 1e19, 1e37)


def close(found, truth, rtol=1e-6):
    np.testing.assert_allclose(np.asarray(found, np.float64), truth, rtol=rtol)


def points(*shape):
    return np.random.default_rng(0).normal(size=shape)


def test_a_mean_whose_sum_leaves_the_range():
    x = jnp.array([3e38, 2e38, 3.4e38])
    for mean in (_units.mean, jax.jit(_units.mean)):
        close(mean(x), np.asarray(x, float).mean())
    close(_units.mean(jnp.stack([x, -x]), 1), [np.asarray(x, float).mean() * s for s in (1, -1)])
    tiny = jnp.full(1000, 1e-37)  # a thousandth of that would be 0
    close(_units.mean(tiny), 1e-37)
    # Its slope is 1/n for losses of every size.
    for size in (1e-38, 1.0, 3e38):
        close(jax.grad(_units.mean)(jnp.full(4, size)), [0.25] * 4)


@pytest.mark.parametrize("dtype", [bool, jnp.int32, jnp.bfloat16, jnp.float16, jnp.float32])
def test_a_mean_has_the_type_of_that_of_numpy(dtype):
    x = jnp.asarray(points(50, 3) * 3, dtype)
    for axis in (None, 0):
        expected = jnp.mean(x, axis)
        found = _units.mean(x, axis)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol=0.01)
    assert jnp.isnan(_units.mean(jnp.zeros((0, 2), dtype)))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64])
def test_a_unit_is_a_power_of_two_near_the_largest(dtype):
    with jax.enable_x64(dtype == jnp.float64):
        info = jnp.finfo(dtype)
        for largest in (float(info.tiny) * 4, 0.75, 3.0, float(info.max)):
            unit = float(_units.unit(jnp.array([largest, -largest / 2, 0], dtype)))
            mantissa, _ = np.frexp(unit)
            assert mantissa == 0.5
            assert 1 <= largest / unit <= 8 or largest < 1e-3
        for nothing in (jnp.zeros(3, dtype), jnp.zeros(0, dtype)):
            assert 0 < float(_units.unit(nothing)) <= 1


@pytest.mark.parametrize("size", SIZES)
def test_norms_lengths_and_variances_of_every_size(size):
    x = jnp.asarray(points(6, 3) * size, jnp.float32)
    exact = np.asarray(x, float)
    close(_units.norm([x, 2 * x]), np.sqrt(5) * np.linalg.norm(exact))
    close(_units.lengths(x, (0,)), np.linalg.norm(exact, axis=0, keepdims=True))
    if 1e-18 < size < 1e18:
        close(_units.variance(x), exact.var())
    close(_units.variance(x / size + 1e6), np.asarray(x / size + 1e6, float).var())


def test_what_is_not_finite_stays_so():
    assert jnp.isinf(_units.norm([jnp.array([1.0, jnp.inf])]))
    for f in (lambda x: _units.norm([x]), _units.variance, _units.mean):
        assert jnp.isnan(f(jnp.array([1.0, jnp.nan])))


# What is made of them


@pytest.mark.parametrize(("size", "offset"), [(s, 0.0) for s in SIZES] + [(1e-3, 1e6), (1e20, 1e5)])
def test_principal_components_of_points_of_every_size_and_offset(size, offset):
    spread = points(20, 3) * [4, 2, 0.5] + offset
    x = jnp.asarray(spread * size, jnp.float32)
    found = diagnostics.principal_components(x, 2)
    exact = np.asarray(x, float)
    exact = exact - exact.mean(0)
    _, values, directions = np.linalg.svd(exact, full_matrices=False)
    close(np.abs(found.directions), np.abs(directions[:2]), 1e-5)
    close(found.explained, (values**2 / (values**2).sum())[:2], 1e-5)
    lengths = np.linalg.norm(np.asarray(found.points, float), axis=0)
    close(lengths, values[:2], 1e-5)
    plane = networks.som_from_plane((3, 2), x)["codebook"]
    close(plane.mean((0, 1)) / size, np.asarray(x, float).mean(0) / size, 1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_a_slice_is_as_wide_as_weights_of_every_size_are_long(size):
    kernel = jnp.asarray(points(4, 2) * size, jnp.float32)
    moved = lambda params, batch: _units.norm([params["kernel"] - kernel])
    found = diagnostics.loss_landscape(
        moved, {"kernel": kernel}, None, key=KEY, points=3, dimensions=1
    )
    length = np.linalg.norm(np.asarray(kernel, float))
    close(found["loss"], [length, 0, length], 1e-5)


def test_an_update_from_one_end_of_the_range_to_the_other_has_a_ratio():
    state = lambda kernel: training.TrainState({"layer": {"kernel": kernel}}, ())
    w = jnp.array([3e38, -2e38])
    _, found = diagnostics.record_updates(lambda *_: (state(-w), {}))(state(w), None, None)
    close(found["flow/layer/update_ratio"], 2)


def test_the_variance_of_signals_far_from_zero_and_the_mean_of_huge_ones():
    params = {"layer": {"kernel": jnp.ones((1, 1))}}
    loss_fn = lambda params, x: (x @ params["layer"]["kernel"]).sum()
    x = jnp.asarray(points(9, 1) + 1e6, jnp.float32)
    flow = diagnostics.gradient_flow(loss_fn, params, x)["layer"]
    close(flow["activation_variance"], np.asarray(x, float).var())
    flow = diagnostics.gradient_flow(loss_fn, params, jnp.full((4, 1), 3e38))["layer"]
    close(flow["activation_mean"], 3e38)


def test_an_example_far_away_blinds_no_other():
    codes = jnp.asarray(points(2, 3, 3), jnp.float32)
    x = jnp.asarray(points(8, 3), jnp.float32)
    found = networks.best_matching_unit({"codebook": codes}, x.at[0].set(1e30))
    np.testing.assert_array_equal(
        found[1:], networks.best_matching_unit({"codebook": codes}, x)[1:]
    )


@pytest.mark.parametrize("size", SIZES)
def test_maps_and_clusters_do_not_depend_on_the_unit(size):
    """All is done with data in a unit and in another, which is a power of two."""
    unit = float(2.0 ** np.round(np.log2(size)))
    x = jnp.asarray(points(12, 3), jnp.float32)
    codes = jnp.asarray(points(2, 3, 3), jnp.float32)

    @jax.jit
    def everything(x, codes):
        params = {"codebook": codes}
        state = params, jnp.array(0)
        stepped = [f(4)(state, x, None) for f in (networks.som_step, networks.som_batch_step)]
        lengths = [
            networks.quantization_error(params, x),
            networks.u_matrix(params),
            networks.k_means(KEY, x, 3, 5),
            [state[0] for state, _ in stepped],
            [metrics for _, metrics in stepped],
        ]
        numbers = [
            networks.best_matching_unit(params, x),
            networks.topographic_error(params, x),
            networks.som_hits(params, x),
            networks.self_organizing_map((2, 3), 3).apply(params, x),
        ]
        width = networks.rbf_fit(KEY, x, x[:, :1], 3)["radial_basis_0"]["log_widths"]
        return lengths, numbers, width

    lengths, numbers, width = everything(x, codes)
    others, same, wider = everything(x * unit, codes * unit)
    jax.tree.map(lambda a, b: close(b / unit, a), lengths, others)
    jax.tree.map(np.testing.assert_array_equal, numbers, same)
    np.testing.assert_allclose(wider, width + np.log(unit), rtol=1e-6, atol=1e-5)


def test_losses_whose_sum_leaves_the_range_have_a_mean():
    network = networks.Network(lambda key: {}, lambda params, x, *, key=None: params * x)
    loss_fn = training.supervised(
        network, losses.absolute_error, error=lambda p, t: jnp.abs(p - t), hits=lambda p, t: p > t
    )
    x = jnp.full((6, 1), 3e38)
    loss, found = loss_fn(jnp.ones(()), (x, 0 * x), None)
    close([loss, found["error"], found["hits"]], [3e38, 3e38, 1])
    whole = training.evaluate(loss_fn, jnp.ones(()), (x, 0 * x), batch_size=4)
    close([whole["loss"], whole["hits"]], [3e38, 1])
    step = lambda state, batch, key: (state, {"seen": batch.mean()})
    _, history, _ = training.run(step, 0.0, x, key=KEY, epochs=1, batch_size=1)
    close(history["seen"], [3e38])
    close(metrics.mean_absolute_error(x, 0 * x), 3e38)
