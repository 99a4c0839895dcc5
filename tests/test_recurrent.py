"""Recurrent cells and layers: padding, both ways, long sequences, errors."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import layers, networks

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
SIMPLE = (layers.simple_rnn_init, layers.rnn_cell, layers.simple_rnn)
GRU = (layers.gru_init, layers.gru_cell, layers.gru)
LSTM = (layers.lstm_init, layers.lstm_cell, layers.lstm)
every_kind = pytest.mark.parametrize("kind", [SIMPLE, GRU, LSTM], ids=["simple", "gru", "lstm"])


def normal(*shape, seed=0):
    return jax.device_put(np.float32(np.random.default_rng(seed).normal(size=shape)))


def made(kind, features=3, hidden=4):
    params = kind[0](KEY, features, hidden)
    return jax.tree.map(lambda leaf: leaf + 0.1 * normal(*leaf.shape), params)


def at_rest(kind, batch, hidden=4):
    h = jnp.zeros((batch, hidden))
    return (h, h) if kind is LSTM else h


@every_kind
def test_the_layer_is_its_cell_unrolled(kind):
    _, cell, layer = kind
    params, xs, lengths = made(kind), normal(3, 5, 3), jnp.array([5, 0, 3])
    carry = at_rest(kind, 3)
    for reverse in (False, True):
        _, ys = layers.unroll(cell, params, carry, xs, lengths, reverse)
        np.testing.assert_allclose(layer(params, xs, lengths, reverse), ys, rtol=1e-5, atol=1e-6)


@every_kind
def test_padding_changes_nothing(kind):
    params, layer, xs = made(kind), kind[2], normal(2, 5, 3)
    lengths = jnp.array([5, 3])
    padded = xs.at[1, 3:].set(jnp.nan)

    def total(params, xs, reverse):
        return (layer(params, xs, lengths, reverse) ** 2).sum()

    for reverse in (False, True):
        ys = layer(params, padded, lengths, reverse)
        alone = layer(params, xs[1, :3], None, reverse)
        np.testing.assert_allclose(ys[1, :3], alone, rtol=1e-5, atol=1e-6)
        assert not ys[1, 3:].any()
        grads, in_xs = jax.grad(total, (0, 1))(params, padded, reverse)
        chex.assert_tree_all_finite(grads)
        assert not in_xs[1, 3:].any()
        np.testing.assert_array_equal(jnp.isfinite(in_xs), True)


@every_kind
@pytest.mark.parametrize("way", ["forward", "reverse", "unrolled"])
def test_an_impossible_length_is_nan_under_jit_in_value_and_gradient(kind, way):
    _, cell, layer = kind

    def run(params, xs, lengths):
        if way == "unrolled":
            return layers.unroll(cell, params, at_rest(kind, len(xs)), xs, lengths)[1]
        return layer(params, xs, lengths, way == "reverse")

    @jax.jit
    def both(params, xs, lengths):
        ys, pull = jax.vjp(lambda *at: run(*at, lengths), params, xs)
        g = jnp.zeros_like(ys)
        if way == "unrolled":
            carry = at_rest(kind, len(xs))
            closed = layers.unroll_vjp((carry, g), cell, params, carry, xs, lengths)[::2]
        else:
            layer_vjp = getattr(layers, f"{layer.__name__}_vjp")
            closed = layer_vjp(g, params, xs, lengths, way == "reverse")
        return ys, pull(g), closed

    wrong = np.array([True, False, True, False])
    ys, *grads = both(made(kind), normal(4, 5, 3), jnp.array([-1, 3, 6, 0]))
    np.testing.assert_array_equal(jnp.isnan(ys).any((1, 2)), wrong)
    assert jnp.isnan(ys[wrong]).all()
    for in_params, in_xs in grads:
        np.testing.assert_array_equal(jnp.isnan(in_xs).any((1, 2)), wrong)
        assert jnp.isnan(in_xs[wrong]).all()
        assert all(jnp.isnan(leaf).all() for leaf in jax.tree.leaves(in_params))


def test_a_carry_of_impossible_length_is_nan_and_a_counter_stays_one():
    def count(_, carry, x):
        return (carry[0] + x, carry[1] + 1), x

    run = jax.jit(lambda lengths: layers.unroll(count, None, start, jnp.ones((2, 3)), lengths)[0])
    start = jnp.zeros(2), jnp.zeros(2, int)
    total, steps = run(jnp.array([2, 4]))
    np.testing.assert_array_equal(total, [2, jnp.nan])
    assert steps.tolist() == [2, 3]


@every_kind
def test_reverse_is_the_sequence_read_backward(kind):
    params, layer, xs = made(kind), kind[2], normal(2, 5, 3)
    turned = layer(params, xs[:, ::-1])[:, ::-1]
    np.testing.assert_allclose(layer(params, xs, None, True), turned, rtol=1e-6, atol=1e-6)


def test_unroll_carries_on_where_it_stopped():
    params, xs = made(LSTM), normal(2, 6, 3)
    whole, ys = layers.unroll(layers.lstm_cell, params, at_rest(LSTM, 2), xs)
    middle, first = layers.unroll(layers.lstm_cell, params, at_rest(LSTM, 2), xs[:, :2])
    end, rest = layers.unroll(layers.lstm_cell, params, middle, xs[:, 2:])
    chex.assert_trees_all_close(end, whole, rtol=1e-6)
    np.testing.assert_allclose(jnp.concatenate([first, rest], 1), ys, rtol=1e-6)


def test_bidirectional_sees_both_sides():
    keys = jax.random.split(KEY)
    params = {"forward": layers.gru_init(keys[0], 3, 4), "backward": layers.gru_init(keys[1], 3, 4)}
    xs = normal(5, 3)
    slope = jax.jacobian(lambda xs: layers.bidirectional(layers.gru, params, xs).sum(-1))(xs)
    reach = jnp.abs(slope).sum(-1) > 0  # [output step, input step]
    assert reach.all()
    forward = jax.jacobian(lambda xs: layers.gru(params["forward"], xs).sum(-1))(xs)
    assert not jnp.triu(jnp.abs(forward).sum(-1), 1).any()


def test_a_stack_is_one_layer_after_the_other():
    """Also one of more than ten, whose names don't sort, and with both ways inside or outside."""
    xs, lengths = normal(2, 5, 3), jnp.array([5, 2])
    deep = {f"layer_{i}": layers.simple_rnn_init(jax.random.key(i), 3, 3) for i in range(11)}

    def one_by_one(layer, params):
        ys = xs
        for i in range(len(params)):
            ys = layer(params[f"layer_{i}"], ys)
        return ys

    found = layers.stacked(layers.simple_rnn, deep, xs, lengths, reverse=True)
    up = one_by_one(lambda params, ys: layers.simple_rnn(params, ys, lengths, True), deep)
    np.testing.assert_array_equal(found, up)

    net = networks.gru(3, 4, 4, layers=2, bidirectional=True, every_step=True)
    params = net.init(KEY)
    both_ways = partial(layers.bidirectional, layers.gru)
    stack = {name: params[name] for name in ("layer_0", "layer_1")}
    ys = layers.stacked(both_ways, stack, xs, lengths)
    expected = net.apply(params, xs, lengths=lengths)
    np.testing.assert_allclose(layers.dense(params["dense"], ys), expected, rtol=1e-6, atol=1e-6)

    twice = layers.bidirectional(
        partial(layers.stacked, layers.simple_rnn), {"forward": deep, "backward": deep}, xs, lengths
    )
    np.testing.assert_allclose(twice[..., 3:], found, rtol=1e-6)


def test_no_leading_axis_or_several():
    params, xs = made(GRU), normal(2, 3, 5, 3)
    many = layers.gru(params, xs)
    assert many.shape == (2, 3, 5, 4)
    np.testing.assert_allclose(layers.gru(params, xs[1, 2]), many[1, 2], rtol=1e-6, atol=1e-6)
    assert layers.gru(params, xs[:0]).shape == (0, 3, 5, 4)


def test_the_gradient_survives_in_the_memory_and_not_in_a_simple_network():
    steps = 100
    xs = normal(1, steps, 3)

    def reach(kind, params):
        last = lambda xs: kind[2](params, xs)[0, -1].sum()
        return float(jnp.abs(jax.grad(last)(xs)[0, 0]).max())

    simple, memory = made(SIMPLE), made(LSTM)
    simple["dense_h"]["kernel"] *= 0.7
    memory["dense_h"]["bias"] = memory["dense_h"]["bias"].at[4:8].set(6)
    assert reach(SIMPLE, simple) < 1e-12
    assert reach(LSTM, memory) > 1e-6


def test_gradients_of_saturated_gates_keep_their_digits():
    params = made(SIMPLE)
    params["dense_i"]["bias"] = jnp.full(4, 12.0)  # tanh(12) rounds to 1 in float32
    xs = normal(1, 1, 3)
    slope = jax.grad(lambda params: layers.simple_rnn(params, xs).sum())(params)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (params, xs))
        truth = jax.grad(lambda params: layers.simple_rnn(params, wide[1]).sum())(wide[0])
    truth = jax.tree.map(np.asarray, truth["dense_i"])
    assert truth["bias"].min() > 0
    chex.assert_trees_all_close(jax.tree.map(np.asarray, slope["dense_i"]), truth, rtol=1e-5)


def test_weight_gradients_are_not_summed_up_in_the_loop():
    params, xs = made(LSTM, 3, 8), normal(2, 7, 3)
    program = jax.make_jaxpr(jax.grad(lambda p: layers.lstm(p, xs).sum()))(params)
    loops = [equation for equation in program.eqns if equation.primitive.name == "scan"]
    carried = set()
    for loop in loops:
        body = getattr(loop.params["jaxpr"], "jaxpr", loop.params["jaxpr"])
        for outside, inside in zip(loop.outvars, body.outvars, strict=True):
            if outside.aval.shape == inside.aval.shape:  # not stacked over the steps
                carried.add(outside.aval.shape)
    assert len(loops) == 2
    assert carried == {(2, 8)}


@pytest.mark.parametrize(
    ("error", "call", "says"),
    [
        (ValueError, lambda: layers.lstm_init(KEY, 0, 3), "features must be at least 1"),
        (ValueError, lambda: layers.lstm(made(LSTM), jnp.zeros((2, 5, 2))), "must have size 3"),
        (ValueError, lambda: layers.lstm(made(LSTM), jnp.zeros(3)), "time, features"),
        (ValueError, lambda: layers.gru(made(GRU), XS, jnp.array([5])), "one length per sequence"),
        (ValueError, lambda: layers.gru(made(GRU), XS, jnp.array([6, 1])), r"within \[0, 5\]"),
        (TypeError, lambda: layers.gru(made(GRU), XS, jnp.array([5.0, 1])), "hold integers"),
        (TypeError, lambda: layers.gru(made(GRU), jnp.zeros((2, 5, 3), int)), "floating"),
        (ValueError, lambda: layers.rnn_cell(made(SIMPLE), jnp.zeros(3), XS[0, 0]), "carry"),
        (TypeError, lambda: layers.unroll(None, {}, 0.0, XS), "cell must be a function"),
        (TypeError, lambda: layers.bidirectional("lstm", {}, XS), "layer must be a function"),
        (TypeError, lambda: layers.stacked("lstm", {}, XS), "layer must be a function"),
        (ValueError, lambda: layers.stacked(layers.gru, {}, XS), r"from layer_0 upwards, got \[\]"),
        (ValueError, lambda: layers.stacked(layers.gru, {"layer_1": {}}, XS), "'layer_1'"),
        (ValueError, lambda: layers.stacked_vjp(XS, layers.gru, {"layer_0": made(GRU)}, XS),
         "g must have the shape"),
        (ValueError, lambda: layers.unroll(layers.rnn_cell, {}, 0.0, XS[0, 0]), "batch, time"),
        (ValueError, lambda: layers.lstm_vjp(XS, made(LSTM), XS), "g must have the shape"),
    ],
)  # fmt: skip
def test_bad_input_says_what_to_do(error, call, says):
    with pytest.raises(error, match=says):
        call()


XS = normal(2, 5, 3)
