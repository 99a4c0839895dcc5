"""Training: one program, every example, the best state, and the same alone as in a population."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnn import losses, metrics, networks, optimizers, regularizers
from jaxnn.training import (
    TrainState,
    evaluate,
    gradient_step,
    make_fit,
    predict,
    run,
    supervised,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
NETWORK = networks.mlp([2, 8, 1], activation=jnp.tanh)
LOSS_FN = supervised(NETWORK, losses.binary_cross_entropy, accuracy=metrics.binary_accuracy)


def quadrants(n, seed=0):
    """Points of a square, and whether their coordinates have one sign."""
    x = jax.random.uniform(jax.random.key(seed), (n, 2), minval=-1, maxval=1)
    return x, (x[:, :1] * x[:, 1:] > 0).astype(jnp.float32)


TRAIN, VALID = quadrants(100), quadrants(37, 1)
PARAMS = NETWORK.init(jax.random.key(3))


def collect(epochs, batch_size, examples):
    """Which examples each epoch sees, as a matrix of counts [epochs, examples]."""

    def step(state, batch, key):
        epoch, seen = state
        return (epoch, seen.at[batch].add(1)), {"n": jnp.float32(batch.shape[0])}

    def evaluate(state):
        return {f"seen_{i}": state[1][i].astype(jnp.float32) for i in range(examples)}

    _, history, _ = run(
        step,
        (jnp.zeros(()), jnp.zeros(examples, jnp.int32)),
        jnp.arange(examples),
        key=KEY,
        epochs=epochs,
        batch_size=batch_size,
        evaluate=evaluate,
    )
    totals = np.stack([history[f"seen_{i}"] for i in range(examples)], 1)
    return np.diff(totals, axis=0, prepend=0)


def test_every_example_is_seen_in_every_epoch_and_none_is_favoured():
    seen = collect(epochs=40, batch_size=4, examples=10)
    assert seen.min() == 1
    assert seen.max() == 2
    assert (seen.sum(1) == 12).all()
    # The two that fill up the last batch are drawn anew each epoch.
    assert seen.sum(0).min() >= 40
    assert seen.sum(0).max() <= 60
    assert (collect(3, 5, 10) == 1).all()


def test_equals_a_loop_written_by_hand():
    optimizer = optax.chain(optimizers.clip_by_global_norm(1.0), optimizers.adam(0.03))
    fit = make_fit(LOSS_FN, optimizer, epochs=3, batch_size=32)
    result = fit(PARAMS, TRAIN, key=KEY)

    step = jax.jit(gradient_step(LOSS_FN, optimizer))
    state = TrainState(PARAMS, optimizer.init(PARAMS))
    for epoch in range(3):
        shuffle_key, step_key = jax.random.split(jax.random.fold_in(KEY, epoch))
        order = jax.random.permutation(shuffle_key, 100)
        order = jnp.concatenate([order, order[:28]]).reshape(4, 32)
        for indices, key in zip(order, jax.random.split(step_key, 4), strict=True):
            state, _ = step(state, jax.tree.map(lambda a, i=indices: a[i], TRAIN), key)
    chex.assert_trees_all_close(result.params, state.params, rtol=1e-5, atol=1e-6)


def test_learns_and_returns_a_history():
    fit = make_fit(LOSS_FN, optimizers.adam(0.05), epochs=60, batch_size=20)
    result = fit(PARAMS, TRAIN, VALID, key=KEY)
    assert sorted(result.history) == ["accuracy", "loss", "validation_accuracy", "validation_loss"]
    assert all(series.shape == (60,) for series in result.history.values())
    assert result.history["loss"][-1] < 0.3 * result.history["loss"][0]
    assert int(result.epochs) == 60
    best = evaluate(LOSS_FN, result.params, VALID, batch_size=10)["loss"]
    np.testing.assert_allclose(best, result.history["validation_loss"].min(), rtol=1e-5)


def test_compiles_once():
    traces = []

    def loss_fn(params, batch, key):
        traces.append(1)
        return LOSS_FN(params, batch, key)

    fit = make_fit(loss_fn, optimizers.adam(0.01), epochs=2, batch_size=10, patience=1)
    first = fit(PARAMS, TRAIN, VALID, key=KEY)
    assert len(traces) == 2, "once for a training step, once for validation"
    second = fit(PARAMS, TRAIN, VALID, key=KEY)
    fit(PARAMS, TRAIN, VALID, key=jax.random.key(1))
    assert len(traces) == 2
    chex.assert_trees_all_equal(first, second)


def scripted(values, **settings):
    """A run whose monitored metric takes the given values; its state counts epochs."""
    values = jnp.array(values)
    state, history, epochs = run(
        lambda state, batch, key: (state + 1, {}),
        jnp.zeros(()),
        jnp.zeros(1),
        key=KEY,
        epochs=len(values),
        batch_size=1,
        evaluate=lambda state: {"m": values[state.astype(int) - 1]},
        monitor="m",
        **settings,
    )
    return float(state), history["m"], int(epochs)


def test_early_stopping_waits_as_long_as_asked_and_keeps_the_best():
    state, history, epochs = scripted([3.0, 2.0, 2.5, 2.6, 1.0, 1.0], patience=2)
    assert (state, epochs) == (2, 4)
    np.testing.assert_array_equal(history, [3, 2, 2.5, np.float32(2.6), np.nan, np.nan])
    state, _, epochs = scripted([3.0, 2.0, 2.5, 2.6, 1.0, 1.0], patience=3)
    assert (state, epochs) == (5, 6)
    state, _, epochs = scripted([3.0, 2.9, 2.8, 2.7], patience=2, min_delta=0.5)
    assert (state, epochs) == (1, 3)
    assert scripted([3.0, 2.0, 4.0])[0] == 2


def test_nan_is_never_an_improvement():
    state, _, epochs = scripted([2.0, jnp.nan, jnp.nan, 1.0], patience=2)
    assert (state, epochs) == (1, 3)


def population_and_solo(make, members, solo):
    together = jax.jit(jax.vmap(make))(members)
    alone = jax.jit(make)(jax.tree.map(lambda a: a[solo], members))
    chex.assert_trees_all_close(
        jax.tree.map(lambda a: a[solo], together), alone, rtol=1e-4, atol=1e-5
    )
    return together


def test_members_of_a_population_train_as_they_would_alone():
    members = {
        "params": jax.vmap(NETWORK.init)(jax.random.split(jax.random.key(5), 3)),
        "rate": jnp.array([0.1, 0.02, 0.3]),
        "key": jax.random.split(jax.random.key(6), 3),
    }

    def train(member):
        fit = make_fit(
            LOSS_FN, optimizers.adam(member["rate"]), epochs=12, batch_size=25, patience=1
        )
        return fit(member["params"], TRAIN, VALID, key=member["key"])

    together = population_and_solo(train, members, 1)
    assert len(set(together.epochs.tolist())) > 1, "the members should stop at different epochs"


def test_fit_itself_may_be_vmapped_and_jitted():
    fit = make_fit(LOSS_FN, optimizers.adam(0.02), epochs=2, batch_size=25)
    keys = jax.random.split(KEY, 2)
    results = jax.vmap(lambda key: fit(PARAMS, TRAIN, key=key))(keys)
    one = jax.jit(fit)(PARAMS, TRAIN, key=keys[1])
    chex.assert_trees_all_close(jax.tree.map(lambda a: a[1], results), one, rtol=1e-5, atol=1e-6)


def test_penalty_counts_in_training_only():
    weight = lambda params: regularizers.l2(params, 0.1)
    plain = supervised(NETWORK, losses.binary_cross_entropy)
    penalised = supervised(NETWORK, losses.binary_cross_entropy, penalty=weight)
    both = lambda key: penalised(PARAMS, TRAIN, key)[0] - plain(PARAMS, TRAIN, key)[0]
    np.testing.assert_allclose(both(KEY), weight(PARAMS), rtol=1e-5)
    assert both(None) == 0

    def norm(loss_fn):
        fit = make_fit(loss_fn, optimizers.adam(0.05), epochs=20, batch_size=50)
        return optax.tree.norm(fit(PARAMS, TRAIN, key=KEY).params)

    assert norm(penalised) < 0.7 * norm(plain)


def test_statistics_move_in_training_and_rest_in_validation():
    network = networks.batch_norm_mlp([2, 8, 1])
    loss_fn = supervised(network, losses.binary_cross_entropy, has_state=True)
    start = network.init(KEY)
    fit = make_fit(loss_fn, optimizers.adam(0.02), epochs=3, batch_size=25, has_state=True)
    result = fit(start, TRAIN, VALID, key=KEY)
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), start[1], result.statistics)
    assert min(jax.tree.leaves(moved)) > 0
    at = result.params, result.statistics
    again = evaluate(loss_fn, at, VALID, batch_size=8, has_state=True)["loss"]
    np.testing.assert_allclose(again, result.history["validation_loss"].min(), rtol=1e-5)
    outputs = predict(network, at, VALID[0], batch_size=8, has_state=True)
    expected, _ = network.apply(*at, VALID[0])
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 10, 37, 1000])
def test_evaluate_and_predict_do_not_depend_on_the_batch(batch_size):
    found = evaluate(LOSS_FN, PARAMS, VALID, batch_size=batch_size)
    loss, others = LOSS_FN(PARAMS, VALID, None)
    chex.assert_trees_all_close(found, {"loss": loss, **others}, rtol=1e-5)
    outputs = predict(NETWORK, PARAMS, VALID[0], batch_size=batch_size)
    np.testing.assert_allclose(outputs, NETWORK.apply(PARAMS, VALID[0]), rtol=1e-5, atol=1e-6)


def test_validation_in_batches_is_validation_at_once():
    settings = {"epochs": 2, "batch_size": 25}
    whole, parts = (
        make_fit(LOSS_FN, optimizers.adam(0.02), **settings, validation_batch_size=size)(
            PARAMS, TRAIN, VALID, key=KEY
        ).history
        for size in (None, 10)
    )
    chex.assert_trees_all_close(whole, parts, rtol=1e-5)


def test_a_step_without_metrics_runs_too():
    seen = []
    state, history, epochs = run(
        lambda state, batch, key: (state + batch.sum(), {}), 0.0, jnp.ones(4), key=KEY, epochs=3,
        batch_size=2, callbacks=[lambda epoch, metrics: seen.append((int(epoch), metrics))],
    )  # fmt: skip
    jax.effects_barrier()
    assert (float(state), history, int(epochs)) == (12, {}, 3)
    assert seen == [(0, {}), (1, {}), (2, {})]


ADAM = optimizers.adam(0.1)
BAD = {
    "empty data": (
        lambda fit: fit(PARAMS, (jnp.zeros((0, 2)), jnp.zeros((0, 1))), key=KEY),
        ValueError, "fit: there must be at least one batch of 10 examples, got 0 examples"),
    "batch larger than the data": (
        lambda fit: fit(PARAMS, quadrants(9), key=KEY),
        ValueError, "at least one batch of 10 examples, got 9 examples. Pass more data or a"),
    "lengths that differ": (
        lambda fit: fit(PARAMS, (TRAIN[0], TRAIN[1][:50]), key=KEY),
        ValueError, r"one leading axis in common.*\(50, 1\), \(100, 2\)"),
    "nothing at all": (lambda fit: fit(PARAMS, (), key=KEY), ValueError, "one leading axis"),
    "NaN in the data": (
        lambda fit: fit(PARAMS, (TRAIN[0].at[7, 1].set(jnp.nan), TRAIN[1]), key=KEY),
        ValueError, r"fit: train\[0\] must be finite, got NaN or infinity in 1 examples.*number 7"),
    "infinity in the validation data": (
        lambda fit: fit(PARAMS, TRAIN, (VALID[0], VALID[1].at[0].set(jnp.inf)), key=KEY),
        ValueError, r"fit: validation\[1\] must be finite"),
    "wrong width": (
        lambda fit: fit(PARAMS, (jnp.ones((20, 3)), jnp.ones((20, 1))), key=KEY),
        ValueError, "dense: the last axis of x must have size 2"),
    "targets of another shape": (
        lambda fit: fit(PARAMS, (TRAIN[0], TRAIN[1][:, 0]), key=KEY),
        ValueError, "must have the same shape"),
    "patience without validation": (
        lambda fit: make_fit(LOSS_FN, ADAM, epochs=1, batch_size=1, patience=1)(
            PARAMS, TRAIN, key=KEY),
        ValueError, "fit: patience watches the validation loss, but validation is None. Pass"),
    "a number for a key": (
        lambda fit: fit(PARAMS, TRAIN, key=0),
        TypeError, r"fit: key must be a key of jax.random, got 0. Pass jax.random.key\(0\)"),
    "parameters without their statistics": (
        lambda fit: make_fit(LOSS_FN, ADAM, epochs=1, batch_size=10, has_state=True)(
            PARAMS, TRAIN, key=KEY),
        TypeError, r"fit: params must be the pair \(params, statistics\) with has_state, got dict"),
    "no epochs of a run": (
        lambda fit: run(lambda s, b, k: (s, {}), 0.0, TRAIN, key=KEY, epochs=0, batch_size=1),
        ValueError, "run: epochs must be at least 1, got 0"),
    "no epochs": (
        lambda fit: make_fit(LOSS_FN, ADAM, epochs=0, batch_size=1),
        ValueError, "make_fit: epochs must be at least 1, got 0"),
    "no batch of validation": (
        lambda fit: make_fit(LOSS_FN, ADAM, epochs=1, batch_size=1, validation_batch_size=0),
        ValueError, "make_fit: validation_batch_size must be at least 1, got 0"),
    "a callback that is not in a list": (
        lambda fit: make_fit(LOSS_FN, ADAM, epochs=1, batch_size=1, callbacks=print),
        TypeError, "make_fit: callbacks must be a list of functions, got builtin_function"),
    "a callback that is no function": (
        lambda fit: make_fit(LOSS_FN, ADAM, epochs=1, batch_size=1, callbacks=[3]),
        TypeError, r"make_fit: callbacks\[0\] must be a function, got 3"),
    "half a batch": (
        lambda fit: make_fit(LOSS_FN, ADAM, epochs=1, batch_size=0.5),
        TypeError, "make_fit: batch_size must be an integer, got 0.5"),
    "no patience": (
        lambda fit: make_fit(LOSS_FN, ADAM, epochs=1, batch_size=1, patience=0),
        ValueError, "make_fit: patience must be at least 1"),
    "a rate for an optimizer": (
        lambda fit: make_fit(LOSS_FN, 0.1, epochs=1, batch_size=1),
        TypeError, "gradient_step: optimizer must be an Optax transformation, got float"),
    "a loss for a loss function": (
        lambda fit: make_fit("mse", ADAM, epochs=1, batch_size=1),
        TypeError, "gradient_step: loss_fn must be a function, got 'mse'"),
    "an unreduced loss": (
        lambda fit: make_fit(lambda p, b, k: (b[0], {}), ADAM, epochs=1, batch_size=10)(
            PARAMS, TRAIN, key=KEY),
        TypeError, "the loss a scalar and the metrics a dict, got shapes"),
    "no metrics": (
        lambda fit: make_fit(lambda p, b, k: b[0].mean(), ADAM, epochs=1, batch_size=10)(
            PARAMS, TRAIN, key=KEY),
        TypeError, "loss_fn must return"),
    "an unknown monitor": (
        lambda fit: run(lambda s, b, k: (s, {"a": s}), jnp.zeros(()), TRAIN, key=KEY, epochs=1,
                        batch_size=1, monitor="b"),
        ValueError, r"run: monitor must be one of \['a'\], got 'b'. Name one"),
    "patience without a monitor": (
        lambda fit: run(lambda s, b, k: (s, {}), 0.0, TRAIN, key=KEY, epochs=1, batch_size=1,
                        patience=1),
        ValueError, "run: patience needs a metric to watch"),
    "no network": (lambda fit: supervised(len, len), TypeError, "supervised: network must have"),
    "no loss": (lambda fit: supervised(NETWORK, 1), TypeError, "supervised: loss must be a func"),
    "no function to predict with": (
        lambda fit: predict(3, PARAMS, TRAIN[0], batch_size=1), TypeError, "predict: network must"),
    "nothing to predict": (
        lambda fit: predict(NETWORK, PARAMS, jnp.zeros((0, 2)), batch_size=1),
        ValueError, "predict: there must be"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_says_what_to_do(kind):
    call, error, message = BAD[kind]
    fit = make_fit(LOSS_FN, ADAM, epochs=1, batch_size=10)
    with pytest.raises(error, match=message):
        call(fit)
