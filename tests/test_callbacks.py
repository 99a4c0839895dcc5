"""Callbacks: the bar is proper, throttled, closed at the end, and silent under vmap."""

import io
import json

import jax
import jax.numpy as jnp
import pytest

from jaxnn import callbacks
from jaxnn.training import run


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


def test_bad_input_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="progress: epochs must be at least 1, got 0"):
        callbacks.progress(0)
    with pytest.raises(FileNotFoundError, match="logs: the folder of path must exist"):
        callbacks.logs(tmp_path / "missing" / "log")
