"""Decoding of CTC outputs: against brute force over all paths, and at the edges."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import losses, metrics
from jaxnn.decoding import ctc_beam_search, ctc_greedy

pytestmark = pytest.mark.usefixtures("quick_compilation")

T, K = 5, 3
PATHS = np.array(list(itertools.product(range(K), repeat=T)))


def read(path, blank=0):
    return tuple(int(k) for k, _ in itertools.groupby(path) if k != blank)


def brute_force(logits, frames=T, blank=0):
    """The probability of every labelling, added up over its paths."""
    log_y = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    found = {}
    for path in itertools.product(range(K), repeat=frames):
        probability = np.exp(sum(log_y[t, k] for t, k in enumerate(path)))
        found[read(path, blank)] = found.get(read(path, blank), 0) + probability
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def sequences(labels, lengths):
    rows = zip(np.asarray(labels), np.asarray(lengths), strict=True)
    return [tuple(row[:n].tolist()) for row, n in rows]


def test_greedy_reads_every_path():
    labels, lengths = jax.jit(ctc_greedy)(jax.nn.one_hot(PATHS, K))
    assert sequences(labels, lengths) == [read(path) for path in PATHS]
    beyond = np.arange(T) >= np.asarray(lengths)[:, None]
    assert (np.asarray(labels)[beyond] == 0).all()
    lengths = jnp.asarray(np.arange(len(PATHS)) % (T + 1))
    found = sequences(*ctc_greedy(jax.nn.one_hot(PATHS, K), lengths, blank=2))
    assert found == [read(path[:n], 2) for path, n in zip(PATHS, lengths, strict=True)]


def test_beam_search_finds_every_labelling_in_order():
    """With beams for all labellings nothing is dropped: probabilities are exact."""
    logits = np.random.default_rng(0).normal(size=(6, T, K)) * np.linspace(0.1, 4, 6)[:, None, None]
    frames = np.array([5, 5, 4, 3, 1, 0])
    search = jax.jit(lambda z, n: ctc_beam_search(z, n, blank=1, beams=64))
    for row in zip(logits, frames, *search(jnp.asarray(logits, jnp.float32), frames), strict=True):
        z, n, labels, lengths, scores = row
        truth = brute_force(z, n, blank=1)
        used = np.isfinite(scores)
        assert used.sum() == len(truth)
        found = dict(zip(sequences(labels, lengths)[: len(truth)], np.exp(scores), strict=False))
        assert found.keys() == truth.keys()
        for labelling, probability in truth.items():
            np.testing.assert_allclose(found[labelling], probability, rtol=1e-5)
        assert (np.diff(scores[used]) <= 0).all()


def test_few_beams_are_a_lower_bound_and_still_beat_the_best_path():
    logits = jnp.asarray(np.random.default_rng(1).normal(size=(32, T, K)), jnp.float32)

    @jax.jit
    def decoded(logits):
        labels, lengths, scores = ctc_beam_search(logits, beams=4)
        every = jnp.repeat(logits, 4, 0), labels.reshape(-1, T), jnp.full(128, T), lengths.ravel()
        return labels, lengths, scores, -losses.ctc(*every), ctc_greedy(logits)

    labels, lengths, scores, exact, greedy = decoded(logits)
    # Nothing is counted twice, also where a beginning was dropped and comes back.
    assert (scores.ravel() <= exact + 1e-5).all()
    best = [next(iter(brute_force(np.asarray(z, float)))) for z in logits]
    share = lambda read: np.mean([a == b for a, b in zip(read, best, strict=True)])
    assert share(sequences(labels[:, 0], lengths[:, 0])) > 0.8 > share(sequences(*greedy))


def test_label_error_rate():
    truth = jnp.array([[1, 2, 1], [2, 2, 0]])
    paths = jnp.array([[1, 0, 2, 2, 1], [2, 2, 0, 0, 0]])
    labels, lengths = ctc_greedy(jax.nn.one_hot(paths, 3))
    wrong = metrics.edit_distance(labels, truth, lengths, jnp.array([3, 2]))
    assert wrong.tolist() == [0, 1]


def test_sequences_of_no_frames_read_nothing():
    for time in (0, 3):
        logits = jnp.zeros((2, time, 3))
        labels, lengths = ctc_greedy(logits, jnp.zeros(2, int))
        assert labels.shape == (2, time)
        assert lengths.tolist() == [0, 0]
        labels, lengths, scores = ctc_beam_search(logits, jnp.zeros(2, int), beams=2)
        assert labels.shape == (2, 2, time)
        assert scores.tolist() == [[0, -jnp.inf]] * 2
    assert ctc_greedy(jnp.zeros((0, 3, 3)))[1].shape == (0,)


def test_padding_is_not_looked_at():
    logits = jax.random.normal(jax.random.key(0), (2, T, K))
    frames, padded = jnp.array([3, 2]), logits.at[:, 3:].set(jnp.nan)
    for decode in (ctc_greedy, ctc_beam_search):
        for one, other in zip(decode(logits, frames), decode(padded, frames), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("decode", [ctc_greedy, ctc_beam_search], ids=lambda f: f.__name__)
def test_bad_input(decode):
    z, name = jnp.zeros((2, 3, 4)), decode.__name__
    with pytest.raises(TypeError, match=f"{name}: logits must be floating"):
        decode(jnp.zeros((2, 3, 4), int))
    with pytest.raises(ValueError, match=rf"{name}: logits must have shape \[..., time, classes\]"):
        decode(z[0, 0])
    with pytest.raises(ValueError, match=f"{name}: blank must be a class from 0 to 3, got 4"):
        decode(z, blank=4)
    with pytest.raises(TypeError, match=f"{name}: blank must be an integer"):
        decode(z, blank=0.5)
    with pytest.raises(ValueError, match=r"logit_lengths must lie in \[0, 3\], got 4"):
        decode(z, jnp.array([3, 4]))
    with pytest.raises(ValueError, match="one entry per row"):
        decode(z, jnp.array([3]))
    lengths = jax.jit(decode)(z, jnp.array([3, 4]))[1]
    assert (lengths[1] == -1).all()
    with pytest.raises(ValueError, match="ctc_beam_search: beams must be at least 1"):
        ctc_beam_search(z, beams=0)
