"""Architectures: shapes, parity with Flax, noise only from a key, what they must learn, errors."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from harness import quick_jit

from jaxnn import layers, losses, networks, optimizers, training
from jaxnn.activations import linear

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)


def normal(*shape, seed=0):
    return jax.device_put(np.float32(np.random.default_rng(seed).normal(size=shape)))


def begun(net):
    return quick_jit(net.init)(KEY)


class FlaxCNN(linen.Module):
    @linen.compact
    def __call__(self, x):
        for i, channels in enumerate((4, 6)):
            x = linen.relu(linen.Conv(channels, (3, 3), name=f"conv_{i}")(x))
            x = linen.max_pool(x, (2, 2), (2, 2))
        x = linen.relu(linen.Dense(5, name="dense_0")(x.reshape(len(x), -1)))
        return linen.Dense(3, name="dense_1")(x)


def test_cnn_is_the_flax_network_of_the_same_parameters():
    net = networks.cnn((8, 8, 2), [4, 6], 3, hidden=[5], dropout_rate=0.5)
    params, x = begun(net), normal(2, 8, 8, 2)
    expected = FlaxCNN().apply({"params": params}, x)
    np.testing.assert_allclose(net.apply(params, x), expected, rtol=1e-5, atol=1e-5)
    assert not jnp.allclose(net.apply(params, x, key=KEY), expected)


@pytest.mark.parametrize(
    "net",
    [networks.batch_norm_cnn((4, 4, 1), [3], 2), networks.resnet((8, 8, 1), [4, 6], 2, blocks=1)],
    ids=["cnn", "resnet"],
)
def test_batch_statistics_move_only_while_training(net):
    params, state = begun(net)
    x = 3 + normal(6, 8, 8, 1) if "block_0" in params else 3 + normal(6, 4, 4, 1)
    y, moved = quick_jit(lambda p, s, x: net.apply(p, s, x, train=True))(params, state, x)
    assert y.shape == (6, 2)
    chex.assert_trees_all_equal_shapes(state, moved)
    assert all((a != b).any() for a, b in zip(*map(jax.tree.leaves, (state, moved)), strict=True))
    _, same = net.apply(params, moved, x)
    chex.assert_trees_all_equal(same, moved)


def test_a_residual_block_of_zeros_passes_its_input_on():
    net = networks.resnet((4, 4, 2), [2], 2, blocks=3)
    params, state = begun(net)
    for block in ("block_0", "block_1", "block_2"):
        params[block]["norm_1"]["scale"] = jnp.zeros(2)
    shallow = networks.resnet((4, 4, 2), [2], 2, blocks=1)
    x = normal(2, 4, 4, 2)
    deep, _ = net.apply(params, state, x)
    expected, _ = shallow.apply(params, state, x)
    np.testing.assert_allclose(deep, expected, rtol=1e-6)


@pytest.mark.parametrize("make", [networks.rnn, networks.gru, networks.lstm])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_does_not_reach_the_output(make, bidirectional):
    net = make(2, 3, 4, layers=2, bidirectional=bidirectional)
    params, xs = begun(net), normal(2, 5, 2)
    apply = quick_jit(net.apply)
    padded = apply(params, xs.at[1, 2:].set(jnp.nan), lengths=jnp.array([5, 2]))
    np.testing.assert_allclose(padded[1], apply(params, xs[1, :2]), rtol=1e-5, atol=1e-6)
    every = make(2, 3, 4, layers=2, bidirectional=bidirectional, every_step=True)
    assert jax.eval_shape(every.apply, params, xs).shape == (2, 5, 4)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_impossible_length_is_nan_under_jit(bidirectional):
    net = networks.gru(2, 3, 4, layers=2, bidirectional=bidirectional)
    params, xs = begun(net), normal(3, 5, 2)
    run = jax.jit(lambda xs, lengths: net.apply(params, xs, lengths=lengths))
    both = quick_jit(jax.value_and_grad(lambda xs, lengths: run(xs, lengths)[0].sum()))
    for wrong in (-1, 6):
        assert jnp.isnan(run(xs, jnp.array([5, wrong, 2]))).all(-1).tolist() == [False, True, False]
        loss, slope = both(xs, jnp.array([wrong, 3, 2]))
        assert jnp.isnan(loss)
        assert jnp.isnan(slope[0]).all()
        assert not jnp.isnan(slope[1:]).any()


def test_recurrent_dropout_needs_a_key():
    net = networks.gru(2, 8, 1, dropout_rate=0.5)
    params, xs = begun(net), normal(2, 5, 2)
    np.testing.assert_array_equal(net.apply(params, xs), net.apply(params, xs))
    assert (net.apply(params, xs, key=KEY) != net.apply(params, xs)).any()


def test_a_linear_autoencoder_decodes_what_it_encodes():
    net = networks.autoencoder([6, 2], activation=linear)
    params, x = begun(net), normal(5, 6)
    np.testing.assert_array_equal(net.apply(params, x), net.decode(params, net.encode(params, x)))


def test_a_convolutional_autoencoder_restores_the_shape():
    net = networks.convolutional_autoencoder((8, 4, 3), [5, 6], 7)
    params, x = begun(net), normal(2, 8, 4, 3)
    assert net.encode(params, x).shape == (2, 7)
    assert net.apply(params, x).shape == x.shape


def test_the_variational_code_is_a_sample_only_with_a_key():
    net = networks.variational_autoencoder([6, 5, 2])
    params, x = begun(net), normal(4000, 6)[:1].repeat(4000, 0)
    still, mean, log_variance = net.apply(params, x)
    np.testing.assert_array_equal(still, net.decode(params, mean))
    noisy, *_ = net.apply(params, x, key=KEY)
    assert (noisy != still).any()
    divergence = losses.gaussian_kl_divergence(mean, log_variance).sum(-1)
    grads = jax.grad(lambda p: net.apply(p, x[:3], key=KEY)[0].sum())(params)
    assert divergence.min() >= 0
    assert jnp.abs(grads["encoder"]["dense_1"]["bias"][2:]).min() > 0


def test_a_variational_autoencoder_makes_data_like_those_it_has_seen():
    along = jnp.array([1.0, 2.0, -1.0])
    net = networks.variational_autoencoder([3, 16, 1], activation=jnp.tanh)

    def loss_fn(params, x, key):
        y, mean, log_variance = net.apply(params, x, key=key)
        far = losses.squared_error(y, x).sum(-1) / (2 * 0.2**2)
        return (far + losses.gaussian_kl_divergence(mean, log_variance).sum(-1)).mean(), {}

    fit = training.make_fit(loss_fn, optimizers.adam(1e-2), epochs=150, batch_size=64)
    params = fit(begun(net), normal(256, 1) * along, key=KEY).params
    made = net.decode(params, normal(1000, 1, seed=1))
    place = made @ along / 6
    aside = jnp.linalg.norm(made - place[:, None] * along, axis=-1)
    assert abs(place.mean()) < 0.2
    assert 0.8 < place.std() < 1.25
    assert aside.mean() < 0.03


def test_pairs_of_one_kind_end_up_nearer_than_others():
    """Contrastive: two classes that differ in a sign, which the embedding must find."""
    x = jnp.abs(normal(200, 2)) * jnp.where(jnp.arange(200) % 2 == 0, 1, -1)[:, None]
    net = networks.siamese(networks.mlp([2, 8, 2]))
    pairs, same = (x, jnp.roll(x, 3, 0), jnp.roll(x, 2, 0)), jnp.arange(200) % 2

    def loss_fn(params, batch, key):
        a, other, alike, which = batch
        one, two = net.apply(params, (a, jnp.where(which[:, None] == 1, alike, other)), key=key)
        return losses.contrastive(one, two, which).mean(), {}

    fit = training.make_fit(loss_fn, optimizers.adam(1e-2), epochs=60, batch_size=50)
    params = fit(begun(net), (*pairs, same), key=KEY).params
    one, other, alike = net.apply(params, pairs)
    apart = lambda a, b: jnp.linalg.norm(a - b, axis=-1).mean()
    assert apart(one, other) > 3 * apart(one, alike)


def test_gaussian_divergence_keeps_its_digits_near_the_standard_normal():
    v = np.array([1e-6, -1e-4, 0.2, -0.3], np.float32)
    wide = v.astype(np.float64)
    truth = 0.5 * np.where(abs(wide) < 1e-3, wide**2 / 2 + wide**3 / 6, np.exp(wide) - 1 - wide)
    found = losses.gaussian_kl_divergence(jnp.zeros(4), jnp.asarray(v))
    np.testing.assert_allclose(found, truth, rtol=1e-6)


@pytest.mark.parametrize("wasserstein", [False, True])
def test_a_generator_learns_where_the_data_are(wasserstein):
    nets = networks.mlp([2, 16, 1]), networks.mlp([1, 16, 1])
    start, step = networks.gan_step(
        *nets, optimizers.adam(2e-3, 0.0), optimizers.adam(1e-2, 0.0), latent=2,
        wasserstein=wasserstein, penalty=1.0, critic_steps=4, average_decay=0.95,
    )  # fmt: skip
    data = 4 + 0.5 * normal(256, 1)

    @quick_jit
    def train(key):
        state = start(networks.gan(*nets).init(key))
        return training.run(step, state, data, key=key, epochs=100, batch_size=64)

    state, history, _ = train(KEY)
    samples = nets[0].apply(state.average, normal(500, 2, seed=1))
    assert abs(samples.mean() - 4) < 1
    assert samples.std() > 0.05
    assert set(history) == {"discriminator_loss", "generator_loss"}


def test_the_slope_of_the_discriminator_is_penalized():
    """A linear one has the slope w everywhere, so that the penalties are plain to see."""
    nets, x = (networks.mlp([1, 2]), networks.mlp([2, 1])), normal(8, 2)
    params = begun(networks.gan(*nets))
    params["discriminator"]["dense_0"]["kernel"] = jnp.array([[3.0], [4.0]])

    @quick_jit
    def losses_with(penalties):
        def loss(wasserstein, penalty):
            options = dict(latent=1, wasserstein=wasserstein, penalty=penalty)
            start, step = networks.gan_step(*nets, ADAM, ADAM, **options)
            return step(start(params), x, KEY)[1]["discriminator_loss"]

        both = [jax.vmap(partial(loss, game))(penalties) for game in (True, False)]
        return *both, loss(True, None), loss(False, None)

    wasserstein, logistic, usual, plain = losses_with(jnp.array([0.0, 2.0]))
    np.testing.assert_allclose(wasserstein[1] - wasserstein[0], 2 * (5 - 1) ** 2, rtol=1e-5)
    np.testing.assert_allclose(usual - wasserstein[0], 10 * (5 - 1) ** 2, rtol=1e-5)
    np.testing.assert_allclose(logistic[1] - logistic[0], 5**2, rtol=1e-5)
    np.testing.assert_allclose(plain, logistic[0], rtol=1e-6)


def test_siamese_branches_share_their_parameters():
    net = networks.siamese(networks.mlp([3, 4, 2]))
    params, a, b = begun(net), normal(5, 3), normal(5, 3, seed=1)
    one, two = net.apply(params, (a, b))
    swapped = net.apply(params, (b, a))
    np.testing.assert_array_equal(one, swapped[1])
    np.testing.assert_array_equal(two, swapped[0])


@pytest.mark.parametrize(
    ("error", "call", "says"),
    [
        (ValueError, lambda: networks.cnn((8, 8), [4], 2), "height, width, channels"),
        (ValueError, lambda: networks.cnn((4, 4, 1), [2, 2, 2], 2), "Pool less often"),
        (ValueError, lambda: networks.cnn((4, 4, 1), [0], 2), r"channels\[0\]"),
        (TypeError, lambda: networks.cnn((4, 4, 1), [2], 2, activation="relu"), "activation"),
        (ValueError, lambda: networks.resnet((4, 4, 1), [], 2), "stages must be at least 1"),
        (ValueError, lambda: networks.lstm(2, 0, 1), "hidden must be at least 1"),
        (ValueError, lambda: networks.rnn(2, 1, 1, dropout_rate=2.0), r"within \[0, 1\]"),
        (TypeError, lambda: networks.mlp(3), r"^mlp: sizes must be a list of sizes, got 3\. For"),
        (TypeError, lambda: networks.batch_norm_mlp(3), "^batch_norm_mlp: sizes must be a list"),
        (ValueError, lambda: networks.autoencoder([3]), r"^autoencoder: sizes must name .* \[3\]"),
        (ValueError, lambda: networks.variational_autoencoder([3]), "^variational_autoencoder: s"),
        (ValueError, lambda: networks.convolutional_autoencoder((6, 8, 1), [2, 2], 3), "by 4"),
        (ValueError, lambda: networks.rnn(2, 1, 1).apply(RNN, jnp.ones((3, 0, 2))), "one step"),
        (TypeError, lambda: networks.siamese(layers.dense), "must be a Network"),
        (TypeError, lambda: networks.siamese(MLP).apply({}, jnp.ones((2, 1))), r"Pass \(a, b\)"),
        (TypeError, lambda: networks.gan(MLP, None), "discriminator must be a Network"),
        (TypeError, lambda: networks.gan_step(MLP, MLP, None, ADAM, latent=1), "Optax"),
        (ValueError, lambda: networks.gan_step(MLP, MLP, ADAM, ADAM, latent=0), "latent"),
        (ValueError, lambda: networks.gan_step(*GAN, latent=1, penalty=-1.0), "penalty must be"),
        (ValueError, lambda: networks.gan_step(*GAN, latent=1, average_decay=2.0), "average_decay"),
        (ValueError, lambda: networks.sample_triplets(KEY, jnp.array([0, 0, 1]), 5), "two ex"),
        (ValueError, lambda: networks.sample_triplets(KEY, jnp.zeros((3, 1), int), 5), "ravel"),
        (TypeError, lambda: networks.sample_triplets(KEY, jnp.ones(4), 5), "hold integers"),
    ],
)  # fmt: skip
def test_bad_input_says_what_to_do(error, call, says):
    with pytest.raises(error, match=says):
        call()


def test_a_batch_must_fall_into_parts():
    start, step = networks.gan_step(MLP, MLP, ADAM, ADAM, latent=1, critic_steps=3)
    with pytest.raises(ValueError, match="multiple of 3"):
        step(start(begun(networks.gan(MLP, MLP))), jnp.ones((4, 1)), KEY)


MLP = networks.mlp([1, 1])
ADAM = optimizers.adam(1e-3)
GAN = MLP, MLP, ADAM, ADAM
RNN = {"layer_0": layers.simple_rnn_init(KEY, 2, 1), "dense": layers.dense_init(KEY, 1, 1)}
