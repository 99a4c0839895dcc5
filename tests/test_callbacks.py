"""Callbacks: the bar is proper, throttled, closed at the end, and silent under vmap."""

import io
import json

import chex
import jax
import jax.numpy as jnp
import pytest

from jaxnn import callbacks, losses, networks, optimizers
from jaxnn.serialization import load
from jaxnn.training import make_fit, run, supervised

pytestmark = pytest.mark.usefixtures("quick_compilation")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def train(callback, epochs=5, patience=None, scale=1.0):
    """A run whose loss stays at `scale`, so that patience ends it."""
    _, _, ran = run(
        lambda state, batch, key: (state, {"loss": batch.mean() * scale, "accuracy": batch.max()}),
        jnp.zeros(()),
        jnp.ones(4),
        key=jax.random.key(0),
        epochs=epochs,
        batch_size=2,
        monitor="loss" if patience else None,
        patience=patience,
        callbacks=[callback],
    )
    jax.effects_barrier()
    return ran


def test_bar_shows_epochs_and_metrics():
    terminal = Terminal()
    train(callbacks.progress(5, stream=terminal))
    last = terminal.getvalue().split("\r")[-1]
    assert "5/5" in last
    assert "loss 1, accuracy 1" in last
    assert last.endswith("\n"), "a closed bar leaves its line"


def test_training_and_validation_stand_side_by_side():
    stream = io.StringIO()
    callbacks.progress(1, stream=stream)(0, {"accuracy": 0.5, "loss": 2.0, "validation_loss": 3.0})
    assert stream.getvalue() == "epoch 1/1: loss 2/3, accuracy 0.5\n"


def test_bar_is_closed_by_early_stopping_and_serves_again():
    terminal = Terminal()
    bar = callbacks.progress(50, stream=terminal)
    for _ in range(2):
        assert int(train(bar, epochs=50, patience=2)) == 3
    lines = [line for line in terminal.getvalue().split("\n") if line]
    assert len(lines) == 2
    assert all("3/50" in line.split("\r")[-1] for line in lines)


def test_bar_is_throttled():
    terminal = Terminal()
    train(callbacks.progress(2000, stream=terminal), epochs=2000)
    assert terminal.getvalue().count("\r") < 200
    assert "2000/2000" in terminal.getvalue().split("\r")[-1]


def test_a_log_file_gets_a_line_for_every_tenth():
    stream = io.StringIO()
    train(callbacks.progress(100, stream=stream), epochs=100)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[-1] == "epoch 100/100: loss 1, accuracy 1"


def test_silent_under_vmap_unless_asked():
    members = jnp.array([1.0, 3.0])
    silent, asked = io.StringIO(), io.StringIO()
    seen = []
    population = lambda callback: jax.vmap(lambda scale: train(callback, scale=scale))(members)
    population(callbacks.progress(5, stream=silent))
    population(lambda epoch, metrics: seen.append(epoch))
    assert silent.getvalue() == ""
    assert seen == []
    population(callbacks.progress(5, stream=asked, population=True))
    assert asked.getvalue().splitlines()[-1] == "epoch 5/5: loss 2, accuracy 1"


def test_callbacks_come_in_order_with_numbers():
    seen = []
    train(lambda epoch, metrics: seen.append((int(epoch), float(metrics["loss"]))))
    assert seen == [(epoch, 1.0) for epoch in range(5)]


def test_logs_append_a_line_per_epoch(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"epoch": -1}\n')
    train(callbacks.logs(path))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [-1, 0, 1, 2, 3, 4]
    assert lines[-1] == {"epoch": 4, "loss": 1.0, "accuracy": 1.0}


def scripted(callback, values):
    """A run with a given metric `m` after each epoch; its state counts the epochs."""
    values = jnp.array(values)
    run(
        lambda state, batch, key: (state + 1, {}),
        jnp.zeros(()),
        jnp.zeros(1),
        key=jax.random.key(0),
        epochs=len(values),
        batch_size=1,
        evaluate=lambda state: {"m": values[state.astype(int) - 1]},
        callbacks=[callback],
    )
    jax.effects_barrier()


def test_a_checkpoint_is_the_last_or_the_best(tmp_path):
    path = tmp_path / "state"
    saved = lambda: float(load(path, jnp.zeros(())))
    best = callbacks.checkpoint(path, monitor="m")
    scripted(best, [3.0, 1.0, jnp.nan, 2.0])
    assert saved() == 2
    scripted(best, [4.0, 5.0])
    assert saved() == 1, "a next run begins anew"
    scripted(callbacks.checkpoint(path), [3.0, 1.0, 2.0])
    assert saved() == 3
    scripted(callbacks.checkpoint(path, every=2), [3.0, 1.0, 2.0])
    assert saved() == 2
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_of_training_is_the_state_that_fit_returns(tmp_path):
    network = networks.mlp([1, 4, 1])
    loss_fn = supervised(network, losses.squared_error)
    x = jnp.linspace(-1, 1, 8)[:, None]
    best = callbacks.checkpoint(tmp_path / "best", monitor="validation_loss")
    fit = make_fit(
        loss_fn, optimizers.adam(0.3), epochs=6, batch_size=4,
        callbacks=[best, callbacks.checkpoint(tmp_path / "last")],
    )  # fmt: skip
    result = fit(network.init(jax.random.key(1)), (x, x), (x, -x), key=jax.random.key(2))
    jax.effects_barrier()
    chex.assert_trees_all_equal(load(tmp_path / "best", result.state), result.state)
    last = load(tmp_path / "last", result.state)
    assert (last.params["dense_0"]["kernel"] != result.params["dense_0"]["kernel"]).any()
    jax.vmap(lambda key: fit(result.params, (x, x), (x, -x), key=key))(
        jax.random.split(jax.random.key(3), 2)
    )
    jax.effects_barrier()
    chex.assert_trees_all_equal(load(tmp_path / "last", result.state), last)


def test_the_state_is_handed_out_only_where_it_is_asked_for():
    def operands(callback):
        step = lambda state, batch, key: (state, {"loss": batch.mean()})
        program = jax.make_jaxpr(lambda state: run(
            step, state, jnp.ones(4), key=jax.random.key(0), epochs=2, batch_size=2,
            callbacks=[callback],
        ))([jnp.zeros(i) for i in range(7)])  # fmt: skip
        return str(program).count("f32[6]")

    silent, asking = (lambda epoch, metrics: None), (lambda epoch, metrics, state: None)
    asking.with_state = True
    assert operands(asking) > operands(silent)


def test_bad_input_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="progress: epochs must be at least 1, got 0"):
        callbacks.progress(0)
    with pytest.raises(FileNotFoundError, match="logs: the folder of path must exist"):
        callbacks.logs(tmp_path / "missing" / "log")
    with pytest.raises(FileNotFoundError, match="checkpoint: the folder of path must exist"):
        callbacks.checkpoint(tmp_path / "missing" / "state")
    with pytest.raises(ValueError, match="checkpoint: every must be at least 1, got 0"):
        callbacks.checkpoint(tmp_path / "state", every=0)
    with pytest.raises(ValueError, match=r"checkpoint: monitor must be one of \['loss'\], got"):
        callbacks.checkpoint(tmp_path / "state", monitor="m")(0, {"loss": 1.0}, {})
