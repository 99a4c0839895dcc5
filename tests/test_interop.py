"""Flax: there and back without a change, trained on either side, noise and statistics included."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

from jaxnn import interop, losses, networks, optimizers
from jaxnn.networks import Network, StatefulNetwork
from jaxnn.training import make_fit, supervised

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY, OTHER = jax.random.split(jax.random.key(0))
X = jax.random.normal(KEY, (32, 3))
Y = (X[:, :1] * X[:, 1:2] > 0).astype(jnp.float32)
PLAIN = networks.mlp([3, 8, 1], dropout_rate=0.3)
NORMED = networks.batch_norm_mlp([3, 8, 1], dropout_rate=0.3, momentum=0.9)
TARGETS = Y > 0
both_kinds = pytest.mark.parametrize("net", [PLAIN, NORMED], ids=["plain", "stateful"])


class LinenNet(linen.Module):
    """Both sorts of switch: `train` for the statistics, `deterministic` for the noise."""

    @linen.compact
    def __call__(self, x, train: bool, deterministic: bool):
        x = linen.Dense(8, use_bias=False, name="dense_0")(x)
        x = linen.relu(linen.BatchNorm(not train, momentum=0.9, name="batch_norm_0")(x))
        x = linen.Dropout(0.3, deterministic=deterministic)(x)
        return linen.Dense(1, name="dense_1")(x)


class NNXNet(nnx.Module):
    def __init__(self, rngs):
        self.dense_0 = nnx.Linear(3, 8, use_bias=False, rngs=rngs)
        self.batch_norm_0 = nnx.BatchNorm(8, momentum=0.9, rngs=rngs)
        self.dropout = nnx.Dropout(0.3, rngs=rngs)
        self.dense_1 = nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, x):
        return self.dense_1(self.dropout(nnx.relu(self.batch_norm_0(self.dense_0(x)))))


def stateful(net):
    return isinstance(net, StatefulNetwork)


def weights(net):
    """The first two arguments of `apply`, away from their defaults."""
    make = lambda key: net.init(key) if stateful(net) else (net.init(key),)
    shapes = jax.eval_shape(make, KEY)
    draw = np.random.default_rng(0).uniform
    return jax.tree.map(lambda leaf: jnp.asarray(draw(0.1, 1, leaf.shape), jnp.float32), shapes)


def shapes(net):
    return jax.eval_shape(net.init, KEY)


def everything(net, at):
    """Outputs in use, in training, and with one key twice and another one."""
    apply = lambda key, **train: net.apply(*at, X, key=key, **(train if stateful(net) else {}))
    return jax.jit(
        lambda: {
            "use": apply(None),
            "train": apply(None, train=True),
            "noise": [apply(key, train=True) for key in (KEY, KEY, OTHER)],
        }
    )()


# There and back


@both_kinds
@pytest.mark.parametrize("side", ["linen", "nnx"])
def test_there_and_back_is_the_same_network(net, side):
    if side == "linen":
        back = interop.from_linen(interop.to_linen(net), X)
    else:
        back = interop.from_nnx(lambda rngs: interop.to_nnx(net, rngs=rngs))
    assert type(back) is type(net)
    chex.assert_trees_all_equal_shapes_and_dtypes(shapes(back), shapes(net))
    at = weights(net)
    found, expected = everything(back, at), everything(net, at)
    for mode in ("use", "train"):
        chex.assert_trees_all_close(found[mode], expected[mode], rtol=1e-5, atol=1e-5)
    one, same, other = found["noise"]
    chex.assert_trees_all_equal(one, same)
    assert_differ(one, other)
    assert_differ(one, found["train"])


FROM = {"linen": interop.from_linen(LinenNet(), X), "nnx": interop.from_nnx(NNXNet)}
both_sides = pytest.mark.parametrize("net", FROM.values(), ids=FROM.keys())


@both_sides
def test_a_flax_module_is_the_network_of_the_same_parameters(net):
    chex.assert_trees_all_equal_shapes_and_dtypes(shapes(net), shapes(NORMED))
    at = weights(NORMED)
    found, expected = everything(net, at), everything(NORMED, at)
    for mode in ("use", "train"):
        chex.assert_trees_all_close(found[mode], expected[mode], rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_equal(found["use"][1], at[1])
    chex.assert_trees_all_equal(*found["noise"][:2])
    assert_differ(found["noise"][0][0], found["noise"][2][0])


def test_linen_to_us_and_back_is_the_same_module():
    module = LinenNet()
    params, state = weights(NORMED)
    variables = {"params": params, "batch_stats": state}
    back = interop.to_linen(interop.from_linen(module, X))
    chex.assert_trees_all_equal_shapes(jax.eval_shape(back.init, KEY, X), variables)
    call = partial(module.apply, variables, X, rngs={"dropout": KEY}, mutable=["batch_stats"])
    expected, changed = call(train=True, deterministic=True)
    found, also = back.apply(variables, X, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    chex.assert_trees_all_close(also, changed, rtol=1e-6)


def test_nnx_to_us_and_back_is_the_same_module():
    module = NNXNet(nnx.Rngs(0))
    back = interop.to_nnx(interop.from_nnx(NNXNet), rngs=nnx.Rngs(1))
    for kind in (nnx.Param, nnx.BatchStat):
        state = nnx.to_pure_dict(nnx.state(module, kind))
        chex.assert_trees_all_equal_shapes(nnx.to_pure_dict(nnx.state(back, kind)), state)
        nnx.update(back, state)
    for mode in ("eval", "train"):
        getattr(module, mode)()
        getattr(back, mode)()
        module.set_attributes(deterministic=True)
        back.set_attributes(deterministic=True)
        np.testing.assert_allclose(back(X), module(X), rtol=1e-4, atol=1e-6)
    moved = back.batch_norm_0["mean"][...]
    np.testing.assert_allclose(moved, module.batch_norm_0.mean[...], rtol=1e-5, atol=1e-6)


def assert_differ(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    assert any((x != y).any() for x, y in pairs)


# Noise


def test_a_key_is_the_stream_of_dropout():
    module = linen.Dropout(0.5)
    net = interop.from_linen(module, X)
    expected = module.apply({}, X, deterministic=False, rngs={"dropout": KEY})
    np.testing.assert_array_equal(net.apply({}, X, key=KEY), expected)
    np.testing.assert_array_equal(net.apply({}, X), X)


def test_each_stream_of_an_nnx_module_has_a_key_of_its_own():
    class Twice(nnx.Module):
        def __init__(self, rngs):
            self.left, self.right = (nnx.Dropout(0.5, rngs=rngs) for _ in range(2))

        def __call__(self, x):
            return self.left(x), self.right(x)

    left, right = interop.from_nnx(Twice).apply({}, X, key=KEY)
    assert_differ(left == 0, right == 0)


def test_a_module_with_a_mode_of_its_own_makes_noise():
    linen_net = interop.to_linen(PLAIN)
    params = weights(PLAIN)[0]
    noisy = [
        linen_net.apply({"params": params}, X, rngs={"dropout": key}) for key in (KEY, KEY, OTHER)
    ]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert_differ(noisy[0], noisy[2])

    module = interop.to_nnx(PLAIN, rngs=nnx.Rngs(0))
    assert_differ(module(X), module(X))
    module.eval()
    np.testing.assert_array_equal(module(X), module(X))
    silent = interop.to_nnx(PLAIN, rngs=nnx.Rngs(params=0))
    np.testing.assert_array_equal(silent(X), silent(X))


# Training


def fitted(net, epochs=60):
    loss_fn = supervised(net, losses.binary_cross_entropy, has_state=True)
    fit = make_fit(loss_fn, optimizers.adam(0.03), epochs=epochs, batch_size=16, has_state=True)
    start = jax.jit(net.init)(KEY)
    result = fit(start, (X, Y), key=KEY)
    assert result.history["loss"][-5:].mean() < 0.75 * result.history["loss"][:3].mean()
    moved = jax.tree.map(lambda a, b: (a != b).any(), start[1], result.statistics)
    assert all(jax.tree.leaves(moved))
    return result


def test_a_linen_model_trains_here():
    result = fitted(FROM["linen"])
    variables = {"params": result.params, "batch_stats": result.statistics}
    logits = LinenNet().apply(variables, X, train=False, deterministic=True)
    assert ((logits > 0) == TARGETS).mean() > 0.7


def test_an_nnx_model_trains_here_and_gets_its_parameters_back():
    result = fitted(FROM["nnx"])
    model = NNXNet(nnx.Rngs(5))
    nnx.update(model, result.params)
    nnx.update(model, result.statistics)
    model.eval()
    assert ((model(X) > 0) == TARGETS).mean() > 0.7


def test_one_of_ours_trains_in_nnx():
    model = interop.to_nnx(NORMED, rngs=nnx.Rngs(0))
    before = nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))
    optimizer = nnx.Optimizer(model, optimizers.adam(0.03), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        def loss_fn(model):
            return losses.binary_cross_entropy(model(X), Y).mean()

        loss, grads = nnx.value_and_grad(loss_fn)(model)
        optimizer.update(model, grads)
        return loss

    losses_seen = [float(step(model, optimizer)) for _ in range(60)]
    assert np.mean(losses_seen[-5:]) < 0.75 * np.mean(losses_seen[:3])
    assert_differ(before, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat)))
    model.eval()
    params, state = (nnx.to_pure_dict(nnx.state(model, k)) for k in (nnx.Param, nnx.BatchStat))
    np.testing.assert_allclose(model(X), NORMED.apply(params, state, X)[0], rtol=1e-5)


def test_one_step_in_nnx_is_one_step_here():
    net = networks.mlp([3, 4, 1])
    model = interop.to_nnx(net, rngs=nnx.Rngs(0))
    params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    loss_fn = lambda predictions: losses.squared_error(predictions, Y).mean()
    grads = jax.jit(jax.grad(lambda params: loss_fn(net.apply(params, X))))(params)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        optimizer.update(model, nnx.grad(lambda model: loss_fn(model(X)))(model))

    step(model, optimizer)
    found = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-7)


@both_sides
def test_a_population_of_flax_models(net):
    @jax.jit
    def both(keys):
        members = jax.vmap(net.init)(keys)
        together, _ = jax.vmap(lambda p, s: net.apply(p, s, X, train=True))(*members)
        alone, _ = net.apply(*jax.tree.map(lambda a: a[1], members), X, train=True)
        return together, alone

    together, alone = both(jax.random.split(KEY, 3))
    np.testing.assert_allclose(together[1], alone, rtol=1e-5, atol=1e-5)


# A real Flax module


def test_ours_can_be_tabulated():
    plain = {"width": 120, "force_terminal": False}
    table = interop.to_linen(NORMED).tabulate(KEY, X, console_kwargs=plain)
    for word in ("dense_0", "batch_norm_0", "float32[3,8]", "float32[32,1]"):
        assert word in table
    count = sum(leaf.size for leaf in jax.tree.leaves(NORMED.init(KEY)))
    assert f"Total Parameters: {count} " in table


def test_ours_is_a_part_of_a_larger_module():
    class Larger(linen.Module):
        @linen.compact
        def __call__(self, x, train=False):
            ours = interop.to_linen(NORMED)
            return linen.Dense(2)(ours(x, train=train)) + ours(-x, train=train)

    variables = jax.jit(Larger().init)(KEY, X)
    assert set(variables["params"]) == {"_LinenNetwork_0", "Dense_0"}
    inner = tuple(variables[kind]["_LinenNetwork_0"] for kind in ("params", "batch_stats"))
    chex.assert_trees_all_equal_shapes(inner, shapes(NORMED))
    y, changed = Larger().apply(variables, X, train=True, mutable=["batch_stats"])
    assert y.shape == (32, 2)
    assert_differ(changed["batch_stats"], variables["batch_stats"])


@pytest.mark.parametrize(
    ("net", "inputs", "options"),
    [
        (networks.gru(3, 4, 1), X.reshape(4, 8, 3), {"lengths": jnp.array([8, 2, 5, 1])}),
        (networks.siamese(networks.mlp([3, 2])), (X, -X), {}),
    ],
    ids=["gru", "siamese"],
)
def test_other_inputs_and_options_pass(net, inputs, options):
    linen_net = interop.to_linen(net)
    back = interop.from_linen(linen_net, inputs)

    @jax.jit
    def everywhere(key):
        params = net.init(key)
        module = interop.to_nnx(net, rngs=nnx.Rngs(0))
        nnx.update(module, params)
        return [
            net.apply(params, inputs, **options),
            linen_net.apply({"params": params}, inputs, **options),
            module(inputs, **options),
            back.apply(params, inputs, **options),
        ]

    expected, *found = everywhere(KEY)
    for outputs in found:
        chex.assert_trees_all_close(outputs, expected, rtol=1e-5, atol=1e-6)


def test_further_collections_are_the_state_by_their_names():
    class Counting(linen.Module):
        @linen.compact
        def __call__(self, x, train=False):
            seen = self.variable("counts", "seen", jnp.zeros, ())
            if train and not self.is_initializing():
                seen.value += x.shape[0]
            return linen.BatchNorm(not train)(x) + seen.value

    net = interop.from_linen(Counting(), X)
    params, state = net.init(KEY)
    assert set(state) == {"batch_stats", "counts"}
    _, state = net.apply(params, state, X, train=True)
    assert state["counts"]["seen"] == 32
    _, same = net.apply(params, state, X)
    chex.assert_trees_all_equal(same, state)


def test_what_a_module_sows_does_not_change_the_state():
    class Sowing(linen.Module):
        @linen.compact
        def __call__(self, x):
            self.sow("intermediates", "x", x)
            return linen.Dense(2)(x)

    net = interop.from_linen(Sowing(), X)
    assert isinstance(net, Network)
    assert net.apply(net.init(KEY), X).shape == (32, 2)


# Bad input


class Hidden(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dropout(0.5, deterministic=False)(x)


def named(name, state_name=None):
    leaf = jnp.zeros(2)
    state = {state_name: leaf} if state_name else {}
    init = lambda key: ({name: leaf}, state)
    return StatefulNetwork(init, lambda params, state, x, *, key=None, train=False: (x, state))


BAD = {
    "no network for Linen": (
        lambda: interop.to_linen(len), TypeError, "to_linen: network must be a Network"),
    "no network for NNX": (
        lambda: interop.to_nnx(None, rngs=nnx.Rngs(0)), TypeError, "got NoneType. Pass what"),
    "a key for streams": (
        lambda: interop.to_nnx(PLAIN, rngs=KEY), TypeError, r"Pass nnx.Rngs\(0\)"),
    "a name of NNX": (
        lambda: interop.to_nnx(named("train"), rngs=nnx.Rngs(0)), ValueError, "got 'train'. Re"),
    "a name for two things": (
        lambda: interop.to_nnx(named("a", "a"), rngs=nnx.Rngs(0)), ValueError, r"both for \['a'\]"),
    "a class of Linen": (
        lambda: interop.from_linen(linen.Dense, X), TypeError, "must be a Linen module, got"),
    "noise without a key": (
        lambda: interop.from_linen(Hidden(), X).apply({}, X), ValueError, "must draw nothing"),
    "a module for a function": (
        lambda: interop.from_nnx(NNXNet(nnx.Rngs(0))), TypeError, "got a NNXNet that is made"),
    "no function": (lambda: interop.from_nnx("mlp"), TypeError, "make must be a function"),
    "a function of something else": (
        lambda: interop.from_nnx(lambda rngs: 3), TypeError, "must return an NNX module, got int"),
    "parameters that lack a layer": (
        lambda: interop.from_nnx(NNXNet).apply({"dense_0": {}}, {}, X),
        ValueError, r"params must have the names.*'batch_norm_0/bias'.*Pass what init returns"),
    "parameters of another size": (
        lambda: interop.from_nnx(lambda rngs: nnx.Linear(3, 2, rngs=rngs)).apply(
            {"kernel": jnp.ones((3, 4)), "bias": jnp.ones(2)}, X),
        ValueError, r"others for \['kernel'\]"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_says_what_to_do(kind):
    call, error, says = BAD[kind]
    with pytest.raises(error, match=says):
        call()
