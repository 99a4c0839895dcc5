"""Defects of today's libraries in float32, none of which is here: one test for each.

Ours must be right, next to double precision or a limit. Where a peer that is installed anyway
has the defect, `peer` looks whether it still has it: a mended peer is printed, and fails nothing.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen

from jaxnn import activations, layers, losses, optimizers

KEY = jax.random.key(0)
INFINITY = jnp.inf


def peer(name, f, still):
    """Prints if `still(f())` does not hold any more."""
    with jax.numpy_dtype_promotion("standard"):
        try:
            found = f()
            defective = bool(still(found))
        except Exception as error:  # refusing is mending too
            found, defective = repr(error), False
    if not defective:
        print(f"{name} has mended this: {found}. Strike it from the documentation.")


def slope(f, order=1):
    """The derivative of an elementwise function, jitted, at any number of points."""
    for _ in range(order):
        f = jax.grad(f)
    return lambda *points: jax.jit(jax.vmap(f))(jnp.array(points))


def graded(f):
    """Value and gradient in one program."""
    return jax.jit(jax.value_and_grad(f))


def close(found, truth, rtol=1e-6):
    np.testing.assert_allclose(np.asarray(found, np.float64), truth, rtol=rtol)


# Activations


def test_sigmoid_and_tanh_gradient_in_the_tails():
    e = math.exp(-20)
    close(slope(activations.sigmoid)(20.0, -20.0), [e / (1 + e) ** 2] * 2)
    close(slope(activations.tanh)(9.0, -12.0), [math.cosh(9) ** -2, math.cosh(12) ** -2])
    peer("jax.nn.sigmoid", lambda: slope(jax.nn.sigmoid)(17.0), lambda s: s == 0)
    peer("jnp.tanh", lambda: slope(jnp.tanh)(9.0), lambda s: s == 0)


def test_elu_celu_and_selu_gradient_far_below_zero():
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    close(slope(activations.elu)(-18.0, -80.0), [math.exp(-18), math.exp(-80)])
    close(slope(activations.celu)(-18.0, -80.0), [math.exp(-18), math.exp(-80)])
    close(slope(activations.selu)(-18.0), [scale * alpha * math.exp(-18)])
    for f in (jax.nn.elu, jax.nn.celu, jax.nn.selu):
        peer(f.__name__, lambda f=f: slope(f)(-18.0), lambda s: s == 0)


def test_celu_second_derivative_at_zero():
    close(slope(lambda x: activations.celu(x, 2.0), 2)(0.0), [0.5])  # from below
    peer("jax.nn.celu", lambda: slope(lambda x: jax.nn.celu(x, 2.0), 2)(0.0), lambda s: s == 0.125)


@pytest.mark.parametrize("approximate", [False, True])
def test_gelu_in_the_tails(approximate):
    gelu = lambda x: activations.gelu(x, approximate)
    if approximate:
        u = lambda x: 2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        truth = lambda x: x / (1 + math.exp(-u(x)))
    else:
        truth = lambda x: x * math.erfc(-x / math.sqrt(2)) / 2
    points = (-6.0, -8.0, -9.0)
    close(jax.jit(gelu)(jnp.array(points)), [truth(x) for x in points])
    assert slope(gelu)(1e20, -1e20).tolist() == [1.0, 0.0]
    short = jnp.array([200.0, -200.0], jnp.float16)
    assert jax.jit(jax.vmap(jax.grad(gelu)))(short).tolist() == [1.0, 0.0]
    theirs = lambda x: jax.nn.gelu(x, approximate)
    if approximate:
        peer("jax.nn.gelu", lambda: theirs(jnp.float32(-8.0)), lambda y: y == 0)
        peer("jax.nn.gelu", lambda: slope(theirs)(1e20), jnp.isnan)
        peer("jax.nn.gelu", lambda: jax.grad(theirs)(jnp.float16(200)), jnp.isnan)


def test_silu_and_mish_in_the_tails():
    e = math.exp(-18)
    s = 1 / (1 + e)
    second = e * s**2 * (2 - 18 * (1 - e) * s)  # sigmoid'(x) (2 - x tanh(x / 2))
    close(slope(activations.swish, 2)(18.0, -18.0), [second, second])
    assert float(activations.swish(-INFINITY)) == float(activations.mish(-INFINITY)) == 0
    t, w = math.tanh(math.log1p(math.exp(-80))), 1 / (1 + math.exp(80))
    close(slope(activations.mish)(-80.0), [t - 80 * (1 - t * t) * w])
    peer("jax.nn.silu", lambda: slope(jax.nn.silu, 2)(18.0), lambda s: s == 0)
    peer("jax.nn.silu", lambda: jax.nn.silu(-INFINITY), jnp.isnan)
    peer("jax.nn.mish", lambda: jax.nn.mish(-INFINITY), jnp.isnan)


def test_softplus_and_log_sigmoid_second_derivative_in_the_tails():
    e = math.exp(-16)
    close(slope(activations.softplus, 2)(16.0, -16.0), [e / (1 + e) ** 2] * 2)
    close(slope(activations.log_sigmoid, 2)(16.0, -16.0), [-e / (1 + e) ** 2] * 2)
    peer("jax.nn.softplus", lambda: slope(jax.nn.softplus, 2)(16.0), lambda s: s == 0)


# Losses


def test_log_cosh_of_small_errors():
    points = jnp.array([1e-4, 3e-4, 1e-10, 0.3])
    truth = [x * x / 2 for x in (1e-4, 3e-4, 1e-10)] + [math.log(math.cosh(0.3))]
    close(losses.log_cosh(points, jnp.zeros(4)), truth)
    peer("optax.log_cosh", lambda: optax.log_cosh(jnp.float32(1e-4)), lambda y: y <= 0)


def test_softmax_cross_entropy_of_a_sure_prediction_and_of_large_logits():
    f = losses.sparse_categorical_cross_entropy
    z, label = jnp.array([[0.0, 20.0]]), jnp.array([1])
    value, slope = graded(lambda z: f(z, label).sum())(z)
    close(value, math.log1p(math.exp(-20)))
    close(slope[0], [1 / (1 + math.exp(20)), -1 / (1 + math.exp(20))])
    large = jnp.array([[1e8, 1e8 + 8]])
    close(f(large, jnp.array([1])), [math.log1p(math.exp(-8))])
    theirs = optax.softmax_cross_entropy_with_integer_labels
    peer("optax cross-entropy", lambda: theirs(z, label), lambda y: y == 0)
    peer("optax cross-entropy", lambda: theirs(large, jnp.array([1])), lambda y: y == 0)


def test_huber_gradient_of_a_tiny_error():
    close(slope(lambda p: losses.huber(p, jnp.zeros_like(p)))(1e-8, -1e-20), [1e-8, -1e-20])
    peer("optax.huber_loss", lambda: slope(lambda p: optax.huber_loss(p, 0.0))(1e-8),
         lambda s: s == 0)  # fmt: skip


def test_binary_cross_entropy_of_a_probability_near_zero():
    """Keras clips at 1e-7: a confidently wrong example never learns."""
    f = lambda p: losses.binary_cross_entropy_from_probabilities(p, jnp.ones_like(p))
    close(slope(f)(1e-9, 1e-30), [-1e9, -1e30])
    close(f(jnp.array([1e-9, 1e-30])), [-math.log(1e-9), -math.log(1e-30)])


def test_cosine_of_zero_and_of_huge_vectors():
    one, zero, huge = jnp.ones((1, 3)), jnp.zeros((1, 3)), jnp.full((1, 3), 1e20)
    f = losses.cosine_distance
    value, slopes = graded(lambda a: f(a, one).sum())(zero)
    assert float(value) == 1
    assert not slopes.any()
    assert 0 <= float(f(huge, one)[0]) < 1e-12
    close(f(-huge, 1e-30 * one), [2.0])
    peer("optax.cosine_distance", lambda: optax.cosine_distance(zero, one), jnp.isnan)
    peer("optax.cosine_distance", lambda: optax.cosine_distance(huge, one), lambda y: y == 1)


def test_triplet_and_contrastive_gradients_at_identical_points():
    a = jnp.array([[1.0, 2.0]])
    plain = lambda a, p, n: losses.triplet(a, p, n, squared=False).sum()
    for slopes in (
        jax.grad(plain, (0, 1, 2))(a, a, a),
        jax.grad(lambda a, b: losses.contrastive(a, b, jnp.zeros(1)).sum(), (0, 1))(a, a),
    ):
        assert all((s == 0).all() for s in slopes)
    assert float(plain(a, a, a)) == 1  # the margin, and no epsilon in it
    zero = jnp.zeros((1, 2))
    near = lambda loss: loss(zero, zero + 1e-4, zero, margin=1e-30)
    close(near(lambda *args, **m: losses.triplet(*args, squared=False, **m)), math.sqrt(2) * 1e-4)
    theirs = optax.losses.triplet_margin_loss
    peer("optax.triplet_margin_loss", lambda: near(theirs), lambda y: y < 1e-4)


def test_kl_divergence_where_a_probability_is_zero():
    log_q, p = jnp.log(jnp.array([[0.5, 0.5]])), jnp.array([[0.0, 1.0]])
    value, slopes = graded(lambda q: losses.kl_divergence(q, p).sum())(log_q)
    close(value, math.log(2))
    close(slopes, [[0.0, -1.0]])
    sure = jnp.array([[-INFINITY, 0.0]])
    assert float(losses.kl_divergence(sure, p)[0]) == 0
    theirs = lambda p: optax.kl_divergence(log_q[0], p)
    peer("optax.kl_divergence", lambda: jax.grad(theirs)(p[0]), lambda s: jnp.isnan(s).any())


def test_ctc_of_impossible_alignments_wrong_labels_and_unused_classes():
    ctc = losses.ctc
    two = jnp.zeros((1, 2, 3))
    frames, count = jnp.array([2]), jnp.array([2])
    ours = graded(lambda z, y, count: ctc(z, y, frames, count).sum())
    run = lambda *inputs: jax.tree.map(np.asarray, ours(*inputs))
    value, slopes = run(two, jnp.array([[1, 1]]), count)  # two equal labels need three frames
    assert float(value) == INFINITY
    assert not slopes.any()
    for wrong in (-1, 3):
        labels = jnp.array([[1, wrong]])
        with pytest.raises(ValueError, match="ctc: "):
            ctc(two, labels, frames, count)
        value, slopes = run(two, labels, count)
        assert np.isnan(value)
        assert np.isnan(slopes).any()
    unused = two.at[..., 2].set(-INFINITY)
    value, slopes = run(unused, jnp.array([[1, 1]]), jnp.array([1]))
    close(value, -math.log(3 / 4))
    assert np.isfinite(slopes).all()
    theirs = lambda labels: optax.ctc_loss(two, jnp.zeros((1, 2)), labels, jnp.zeros((1, 2)))
    peer("optax.ctc_loss", lambda: theirs(jnp.array([[1, 1]])), lambda y: jnp.isfinite(y).all())


# Layers


def test_norms_of_offsets_far_beyond_the_spread():
    x = jnp.array([[1e4, 1e4 + 1, 1e4 + 2, 1e4 + 3]])
    truth = np.array([-1.5, -0.5, 0.5, 1.5]) / math.sqrt(1.25)
    params = layers.layer_norm_init(KEY, 4)
    close(layers.layer_norm(params, x, 0.0)[0], truth)
    close(layers.group_norm(params, x, 1, 0.0)[0], truth)
    one, statistics = layers.batch_norm_init(KEY, 1)
    close(layers.batch_norm(one, statistics, x.T, train=True, epsilon=0.0)[0][:, 0], truth)
    twin = lambda: linen.LayerNorm().apply({"params": params}, x)[0]
    peer("flax.linen.LayerNorm", twin, lambda y: abs(y).max() > 100)


def test_batch_norm_statistics_after_an_empty_batch():
    params, statistics = layers.batch_norm_init(KEY, 3)
    _, after = layers.batch_norm(params, statistics, jnp.zeros((0, 3)), train=True)
    assert all((after[name] == statistics[name]).all() for name in statistics)
    twin = linen.BatchNorm(use_running_average=False)

    def theirs():
        variables = twin.init(KEY, jnp.ones((2, 3)))
        _, changed = twin.apply(variables, jnp.zeros((0, 3)), mutable=["batch_stats"])
        return changed["batch_stats"]["mean"]

    peer("flax.linen.BatchNorm", theirs, lambda mean: jnp.isnan(mean).all())


def test_attention_of_a_fully_masked_row_and_of_float16_logits():
    q, k, v = jnp.ones((2, 1, 2)), jnp.ones((3, 1, 2)), jnp.arange(6.0).reshape(3, 1, 2)
    nothing = jnp.zeros((2, 3), bool)
    attend = lambda q, k, v: layers.scaled_dot_product_attention(q, k, v, nothing)
    y, pull = jax.vjp(attend, q, k, v)
    assert not y.any()
    assert all((s == 0).all() for s in pull(jnp.ones_like(y)))
    short = jnp.full((1, 1, 4), 250.0, jnp.float16)  # a logit of 125,000
    keys = jnp.concatenate([short, short / 2])
    values = jnp.array([1.0, 5.0], jnp.float16).reshape(2, 1, 1)
    assert layers.scaled_dot_product_attention(short, keys, values).ravel().tolist() == [1.0]
    theirs = lambda: jax.nn.dot_product_attention(
        q[None], k[None], v[None], mask=nothing[None, None]
    )
    peer("jax.nn.dot_product_attention", theirs, lambda y: (y != 0).any())


def test_dropout_of_impossible_rates_and_at_rate_one():
    for rate in (-0.5, 1.5):
        with pytest.raises(ValueError, match="dropout: rate"):
            layers.dropout(KEY, jnp.ones(4), rate)
    assert not jax.grad(lambda x: layers.dropout(KEY, x, 1.0).sum())(jnp.ones(4)).any()
    theirs = lambda rate: linen.Dropout(rate, deterministic=False).apply(
        {}, jnp.ones(4), rngs={"dropout": KEY}
    )
    peer("flax.linen.Dropout", lambda: theirs(1.5), lambda y: (y == 0).all())
    peer("flax.linen.Dropout", lambda: theirs(-0.5), lambda y: jnp.isfinite(y).all())


# Optimizers


def moves(optimizer, gradients):
    """The updates of a parameter along a row of gradients."""

    def step(state, g):
        updates, state = optimizer.update(g, state, jnp.zeros(()))
        return state, updates

    start = optimizer.init(jnp.zeros(()))
    return jax.jit(lambda g: jax.lax.scan(step, start, g)[1])(gradients)


@pytest.mark.parametrize("name", ["adam", "rmsprop", "adagrad", "adadelta", "nadam", "adamw"])
def test_optimizers_go_on_after_one_huge_gradient(name):
    g = jnp.ones(30).at[3].set(2e19)
    ours = moves(getattr(optimizers, name)(0.1), g)
    assert jnp.isfinite(ours).all()
    if name == "adam":
        # The huge one leads the means: m / sqrt(v) at the end, from the rule in float64.
        m = v = 0.0
        for entry in np.asarray(g, np.float64):
            m, v = 0.9 * m + 0.1 * entry, 0.999 * v + 0.001 * entry**2
        close(ours[-1], -0.1 * (m / (1 - 0.9**30)) / math.sqrt(v / (1 - 0.999**30)), rtol=1e-5)
        peer("optax.adam", lambda: moves(optax.adam(0.1), g), lambda moved: (moved[4:] == 0).all())
    # None is frozen: even where the mean of squares has a long memory, a later gradient as
    # large as the first moves the parameter again.
    again = moves(getattr(optimizers, name)(0.1), g.at[20].set(-2e19))
    assert float(again[20]) > 0.01 * abs(float(again[3]))


def test_clipping_by_norm_of_huge_and_of_zero_gradients():
    def clipped(clip):
        return lambda g: clip.update(g, clip.init(g))[0]

    for clip in (optimizers.clip_by_global_norm(1.0), optimizers.clip_by_norm(1.0)):
        close(clipped(clip)(jnp.array([1e20, 1e20])), [math.sqrt(0.5)] * 2)
        close(jax.grad(lambda g, f=clipped(clip): f(g).sum())(jnp.zeros(2)), [1.0, 1.0])
    theirs = clipped(optax.clip_by_global_norm(1.0))
    peer(
        "optax.clip_by_global_norm",
        lambda: theirs(jnp.array([1e20, 1e20])),
        lambda g: (g == 0).all(),
    )
    peer("optax.clip_by_global_norm", lambda: jax.grad(lambda g: theirs(g).sum())(jnp.zeros(2)),
         lambda s: jnp.isnan(s).any())  # fmt: skip


# Libraries that are no dependency, where they are installed


def torch_slope(name, x):
    torch = pytest.importorskip("torch")
    at = torch.tensor([x], requires_grad=True)
    getattr(torch, name, getattr(torch.nn.functional, name, None))(at).sum().backward()
    return at.grad.item()


def test_torch_loses_the_tails():
    close(slope(activations.mish)(-90.0), [-89 * math.exp(-90)], 1e-5)
    for name, x in (("sigmoid", 17.0), ("tanh", 9.5)):
        assert slope(getattr(activations, name))(x)[0] > 0
        peer(f"torch {name}", lambda name=name, x=x: torch_slope(name, x), lambda s: s == 0)
    mish = lambda: torch_slope("mish", -90.0)
    peer("torch mish", mish, lambda s: abs(s / (-89 * math.exp(-90)) - 1) > 0.1)
    torch = pytest.importorskip("torch")
    gelu = lambda: torch.nn.functional.gelu(torch.tensor(-8.0)).item()
    peer("torch gelu", gelu, lambda y: y == 0)


def test_torch_sees_no_loss_where_one_is_left():
    torch = pytest.importorskip("torch")
    z = [[0.0, 20.0]]
    close(losses.sparse_categorical_cross_entropy(jnp.array(z), jnp.array([1])), math.exp(-20))
    theirs = lambda: torch.nn.functional.cross_entropy(torch.tensor(z), torch.tensor([1])).item()
    peer("torch cross-entropy", theirs, lambda y: y == 0)


def test_one_huge_gradient_slows_torch_for_ever_and_is_clipped_to_zero():
    torch = pytest.importorskip("torch")

    def moves(optimizer):
        w = torch.zeros(1, requires_grad=True)
        step, found = optimizer([w]), []
        for g in (1.0, 2e19, *[1.0] * 5):
            w.grad, before = torch.tensor([g]), w.detach().clone()
            step.step()
            found.append((w - before).item())
        return found

    rmsprop = lambda w: torch.optim.RMSprop(w, 0.1, 0.9)
    peer("torch.optim.RMSprop", lambda: moves(rmsprop), lambda found: not any(found[2:]))

    def clipped():
        w = torch.zeros(2, requires_grad=True)
        w.grad = torch.tensor([1e20, 1e20])
        torch.nn.utils.clip_grad_norm_([w], 1.0)
        return w.grad

    g = jnp.array([1e20, 1e20])
    ours, _ = optimizers.clip_by_norm(1.0).update(g, optax.EmptyState())
    close(ours, [math.sqrt(0.5)] * 2)
    peer("torch clip_grad_norm_", clipped, lambda found: not found.any())


def test_keras_stops_learning_from_what_is_confidently_wrong(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    ours = slope(lambda p: losses.binary_cross_entropy_from_probabilities(p, jnp.ones(())))
    close(ours(1e-8), [-1e8])
    loss = lambda p: keras.losses.binary_crossentropy(jnp.ones((1, 1)), p[None, None]).sum()
    peer("keras binary_crossentropy", lambda: jax.grad(loss)(jnp.float32(1e-8)), lambda s: s == 0)


def test_peers_attend_to_what_is_masked(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras, equinox = pytest.importorskip("keras"), pytest.importorskip("equinox")
    values, mask = jnp.arange(6.0).reshape(3, 1, 2), jnp.zeros((2, 3), bool)
    q, k = jnp.ones((2, 1, 2)), jnp.ones((3, 1, 2))
    assert not layers.scaled_dot_product_attention(q, k, values, mask).any()

    def of_keras():
        layer = keras.layers.MultiHeadAttention(1, 2)
        return layer(q[None, :, 0], values[None, :, 0], attention_mask=mask[None])

    def of_equinox():
        layer = equinox.nn.MultiheadAttention(1, 2, key=KEY)
        return layer(q[:, 0], k[:, 0], values[:, 0], mask=mask)

    peer("keras attention", of_keras, lambda y: (y != 0).any())
    peer("equinox attention", of_equinox, lambda y: (y != 0).any())


def test_equinox_accepts_impossible_rates_of_dropout():
    equinox = pytest.importorskip("equinox")
    for rate in (-0.5, 1.5):
        with pytest.raises(ValueError, match="rate must"):
            layers.dropout(KEY, jnp.ones(3), rate)
        theirs = lambda rate=rate: equinox.nn.Dropout(rate)(jnp.ones(3), key=KEY)
        peer("equinox.nn.Dropout", theirs, lambda y: y.shape == (3,))
