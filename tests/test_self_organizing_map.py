"""Self-organizing maps: against MiniSom, by hand, and on both grids."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import networks
from jaxnn.networks import som_batch_step, som_from_plane, som_step
from jaxnn.training import run

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
X = jax.random.uniform(KEY, (60, 2))
LINE = {"codebook": jnp.array([[[0.0], [1.0], [5.0]]])}


def by_hand(codes, x, rate, radius):
    """One online step over the rows of units, in numpy."""
    rows, columns, _ = codes.shape
    nearest = ((codes - x) ** 2).sum(-1).argmin()
    b = divmod(int(nearest), columns)
    moved = codes.copy()
    for i in range(rows):
        for j in range(columns):
            h = np.exp(-((i - b[0]) ** 2 + (j - b[1]) ** 2) / (2 * radius**2))
            moved[i, j] += rate * h * (x - codes[i, j])
    return moved


def test_online_step_is_kohonens_rule():
    codes = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    x = np.array([[0.3, -0.2]], np.float32)
    step = som_step(5, rate=0.4, final_rate=0.1, radius=1.5, final_radius=0.5)
    for done, rate, radius in [(0, 0.4, 1.5), (4, 0.1, 0.5), (9, 0.1, 0.5)]:
        (params, count), _ = step(({"codebook": jnp.asarray(codes)}, jnp.array(done)), x, None)
        np.testing.assert_allclose(
            params["codebook"], by_hand(codes, x[0], rate, radius), rtol=1e-5, atol=1e-6
        )
        assert int(count) == done + 1


def test_batch_step_is_a_weighted_mean():
    x = jnp.array([[0.2], [0.8], [6.0]])
    (params, _), metrics = som_batch_step(1, radius=1.0)((LINE, jnp.array(0)), x, None)
    h = np.exp(-((np.arange(3)[:, None] - np.arange(3)) ** 2) / 2)
    expected = (h * np.asarray(x)).sum(0) / h.sum(0)
    np.testing.assert_allclose(params["codebook"][0, :, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["distance"], np.mean([0.2, 0.2, 1.0]), rtol=1e-5)


def test_a_unit_out_of_reach_stays():
    step = som_batch_step(1, radius=0.1, final_radius=0.1)
    (params, _), _ = step((LINE, jnp.array(0)), jnp.array([[0.25]]), None)
    np.testing.assert_allclose(params["codebook"][0, :, 0], [0.25, 1, 5])


@pytest.mark.parametrize("hexagonal", [False, True])
def test_training_unfolds_a_map(hexagonal):
    start = networks.som_from_samples(jax.random.key(3), (4, 4), X)
    step = som_batch_step(30, hexagonal=hexagonal)
    train = jax.jit(lambda s: run(step, s, X, key=KEY, epochs=30, batch_size=60))
    (params, _), history, _ = train((start, jnp.array(0)))
    assert history["distance"][-1] < history["distance"][0]
    assert networks.topographic_error(params, X, hexagonal=hexagonal) < 0.15
    assert networks.topographic_error(start, X, hexagonal=hexagonal) > 0.3


def test_errors_are_those_of_minisom():
    import minisom

    theirs = minisom.MiniSom(5, 4, 2, random_seed=0)
    theirs.random_weights_init(np.asarray(X))
    params = {"codebook": jnp.asarray(theirs.get_weights(), jnp.float32)}
    x = np.asarray(X)
    quantization = networks.quantization_error(params, X)
    np.testing.assert_allclose(quantization, theirs.quantization_error(x), rtol=1e-5)
    topographic = networks.topographic_error(params, X)
    np.testing.assert_allclose(topographic, theirs.topographic_error(x), rtol=1e-5)
    borders = networks.u_matrix(params)
    np.testing.assert_allclose(borders, theirs.distance_map("mean") * borders.max(), rtol=1e-4)
    np.testing.assert_array_equal(networks.som_hits(params, X), theirs.activation_response(x))


def test_neighbors_are_eight_or_six():
    bump = jnp.zeros((5, 5, 1)).at[2, 2].set(1.0)
    square = networks.u_matrix({"codebook": bump})
    hexagons = networks.u_matrix({"codebook": bump}, hexagonal=True)
    assert int((square > 0).sum()) == 9
    assert int((hexagons > 0).sum()) == 7
    np.testing.assert_allclose(hexagons[2, 1], 1 / 6, rtol=1e-6)


def test_positions_of_a_hexagonal_grid():
    net = networks.self_organizing_map((2, 2), 1, hexagonal=True)
    params = {"codebook": jnp.arange(4.0).reshape(2, 2, 1)}
    found = net.apply(params, jnp.array([[0.0], [3.0]]))
    np.testing.assert_allclose(found, [[0, 0], [np.sqrt(3) / 2, 1.5]], rtol=1e-6)


def test_the_plane_is_that_of_the_principal_components():
    x = jnp.array([[-3.0, 0.0, 1.0], [3.0, 0.0, 1.0], [0.0, -1.0, 1.0], [0.0, 1.0, 1.0]])
    codes = som_from_plane((3, 2), x)["codebook"]
    np.testing.assert_allclose(codes[:, 0, 0], np.sqrt(18 / 4) * np.array([-1, 0, 1]), atol=1e-5)
    np.testing.assert_allclose(codes[0, :, 1], np.sqrt(2 / 4) * np.array([-1, 1]), atol=1e-5)
    np.testing.assert_allclose(codes[..., 2], 1, atol=1e-6)


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="grid must be rows and columns"):
        networks.self_organizing_map((3,), 2)  # pyright: ignore
    with pytest.raises(ValueError, match="rows must be at least 1"):
        networks.self_organizing_map((0, 3), 2)
    with pytest.raises(ValueError, match="last axis of x must have size 1"):
        networks.quantization_error(LINE, X)
    with pytest.raises(ValueError, match="at least 2 units"):
        networks.topographic_error({"codebook": jnp.zeros((1, 1, 2))}, X)
    with pytest.raises(ValueError, match=r"u_matrix: .* \[rows, columns, features\], got \(2, 3\)"):
        networks.u_matrix({"codebook": jnp.ones((2, 3))})
    with pytest.raises(ValueError, match="radius must be positive"):
        som_step(10, radius=0.0)
    with pytest.raises(ValueError, match="at least 2 features"):
        som_from_plane((2, 2), X[:, :1])
