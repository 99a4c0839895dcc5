"""Metrics, optimizers, decoders and maps on adversarial floats: no NaN where the truth is a number.

What has a gradient in closed form is in `test_fuzz.py`, with the judge: the same in float64.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from harness import quick_jit
from test_fuzz import adversarial, quick_compilation

from jaxnn import decoding, metrics, networks, optimizers

CLASSES = jnp.array([0, 2, 1])
SIDES = jnp.array([0, 1, 1, 0])
STEPS = 4


def after_steps(optimizer):
    """Where a parameter stands after some gradients, and what the optimizer keeps."""

    def f(w, gradients):
        state = optimizer.init(w)
        for g in gradients:
            updates, state = optimizer.update(g, state, w)
            w = w + updates
        return w, state

    return f, (2,), (STEPS, 2)


def clipped(transform):
    return lambda g: transform.update(g, transform.init(g))[0], (3,)


def step(rule):
    """A step of a map of 2 x 2 codes of three features, with a batch of two."""
    return lambda codebook, x: rule(({"codebook": codebook}, jnp.zeros((), jnp.int32)), x, None)


MAP, BATCH = (2, 2, 3), (2, 3)
# Of each function how it is called, and the shapes of its floats.
CALLS = {
    metrics.accuracy: (lambda z: metrics.accuracy(z, CLASSES), (3, 3)),
    metrics.binary_accuracy: (lambda z: metrics.binary_accuracy(z, SIDES), (4,)),
    metrics.mean_absolute_error: (metrics.mean_absolute_error, (4,), (4,)),
    metrics.mean_squared_error: (metrics.mean_squared_error, (4,), (4,)),
    metrics.perplexity: (metrics.perplexity, (4,)),
    metrics.r2_score: (metrics.r2_score, (4,), (4,)),
    metrics.roc_auc: (lambda z: metrics.roc_auc(z, SIDES), (4,)),
    metrics.top_k_accuracy: (lambda z: metrics.top_k_accuracy(z, CLASSES, 2), (3, 3)),
    optimizers.adadelta: after_steps(optimizers.adadelta()),
    optimizers.adagrad: after_steps(optimizers.adagrad(0.1)),
    optimizers.adam: after_steps(optimizers.adam(0.1)),
    optimizers.adamw: after_steps(optimizers.adamw(0.1)),
    optimizers.gradient_descent: after_steps(optimizers.gradient_descent(0.1)),
    optimizers.lion: after_steps(optimizers.lion(0.1)),
    optimizers.momentum: after_steps(optimizers.momentum(0.1)),
    optimizers.nadam: after_steps(optimizers.nadam(0.1)),
    optimizers.rmsprop: after_steps(optimizers.rmsprop(0.1)),
    optimizers.clip_by_global_norm: clipped(optimizers.clip_by_global_norm(1.0)),
    optimizers.clip_by_norm: clipped(optimizers.clip_by_norm(1.0)),
    optimizers.clip_by_value: clipped(optimizers.clip_by_value(1.0)),
    decoding.ctc_greedy: (decoding.ctc_greedy, (4, 3)),
    decoding.ctc_beam_search: (decoding.ctc_beam_search, (4, 3)),
    networks.best_matching_unit: (
        lambda c, x: networks.best_matching_unit({"codebook": c}, x), MAP, BATCH,
    ),
    networks.quantization_error: (
        lambda c, x: networks.quantization_error({"codebook": c}, x), MAP, BATCH,
    ),
    networks.topographic_error: (
        lambda c, x: networks.topographic_error({"codebook": c}, x), MAP, BATCH,
    ),
    networks.u_matrix: (lambda c: networks.u_matrix({"codebook": c}), MAP),
    networks.som_step: (step(networks.som_step(10)), MAP, BATCH),
    networks.som_batch_step: (step(networks.som_batch_step(10)), MAP, BATCH),
    networks.k_means: (lambda x: networks.k_means(jax.random.key(0), x, 2, steps=3), (4, 2)),
}  # fmt: skip

# What has no floats to fuzz, or is called by what is above.
EXEMPT = {
    "confusion_matrix", "precision", "recall", "f1_score", "edit_distance",  # of integers
    "skip_nonfinite", "SkipState",  # for what is not finite
}  # fmt: skip


def test_every_function_without_a_gradient_is_fuzzed():
    """Of the modules that have no networks; a transformation calls its `_update`."""
    for module in (metrics, optimizers, decoding):
        called = {f.__name__ for f in CALLS}
        rest = {name for name in module.__all__ if not name.endswith("_update")}
        assert rest - called - EXEMPT == set()


def lost(f, *shapes):
    """Where the result is no number, but in float64 is one that fits."""
    rng, wrong = np.random.default_rng(0), []
    arrays = [adversarial(rng, shape, jnp.float32) for shape in shapes]
    with quick_compilation():
        found = quick_jit(jax.vmap(f))(*arrays)
        with jax.enable_x64(True):
            truth = quick_jit(jax.vmap(f))(*(a.astype(jnp.float64) for a in arrays))
    for ours, theirs in zip(*map(jax.tree.leaves, (found, truth)), strict=True):
        top = 0.99 * float(jnp.finfo(jnp.float32).max)
        bad = ~np.isfinite(np.asarray(ours, np.float64)) & (np.abs(np.asarray(theirs)) < top)
        wrong += [[np.asarray(a[i[0]]).tolist() for a in arrays] for i in np.argwhere(bad)[:1]]
    return wrong


@pytest.mark.parametrize("f", CALLS)
def test_no_nan_where_the_truth_is_a_number(f):
    assert not lost(*CALLS[f])


@pytest.mark.parametrize(
    "bad",
    [
        lambda z: jnp.exp(z) / jnp.exp(z).sum(),
        lambda z: z / jnp.sqrt((z**2).sum()),
        lambda z: 1 - ((z - 1) ** 2).sum() / ((z - z.mean()) ** 2).sum(),
    ],
)
def test_a_planted_fault_is_found(bad):
    assert lost(bad, (4,))
