"""Every public function on adversarial floats: no NaN where the truth is a number.

The same function in float64 is the judge: its range reaches 1e308, so where it gives a number
that the short type can hold, the short type must give a number too, in the value, in JAX's
gradient and in the closed form.
"""

from contextlib import contextmanager

import harness
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from harness import CASES, cast, each_block

from jaxnn import activations, layers, losses

DRAWS = 192
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float16": jnp.float16}
# Kinks, ends of tails, and what is one rounding from them.
POINTS = [0.0, 0.5, 1.0, 1 + 1e-6, 1 - 1e-6, 2.0, 3.0, 6.0, 8.0, 16.64, 17.5, 20.0, 60.0, 87.0,
          88.0, 88.8, 103.9, 104.1, 1e4, 1e19, 1.8e19, 1e-4, 1e-10, 1e-19, 1e-23]  # fmt: skip

# Their contractions are XLA's: entries whose products leave the range are out of our hands. The
# numbers are the largest entries that the longest product of each still holds in float32.
CONTRACTING = {
    layers.bidirectional: 1e4, layers.conv: 1e9, layers.conv_transpose: 1e9, layers.dense: 1e9,
    layers.gru: 1e4, layers.gru_cell: 1e4, layers.lstm: 1e4, layers.lstm_cell: 1e4,
    layers.maxout_dense: 1e9, layers.multi_head_attention: 1e4, layers.rnn_cell: 1e4,
    layers.scaled_dot_product_attention: 1e22, layers.simple_rnn: 1e4, layers.stacked: 1e4,
    layers.tree_lstm: 1e4, layers.tree_rnn: 1e4, layers.unroll: 1e4,
    losses.projected_cross_entropy: 1e9,
}  # fmt: skip


def largest_entry(f, dtype):
    """Of `CONTRACTING`, at the same place of the range of `dtype`: 1e9 is 13 in float16."""
    share = np.log(float(jnp.finfo(dtype).max)) / np.log(float(jnp.finfo(jnp.float32).max))
    return CONTRACTING.get(f, np.inf) ** share


# Parameters of a layer are learned, and weights are counts: no need to have them at 1e38.
LARGEST_PARAMETER = 1e9


def adversarial(rng, shape, dtype, limit=np.inf):
    """Arrays of `shape` in a row of `DRAWS`: mixed, equal, and with one huge entry among tiny."""
    info = jnp.finfo(dtype)
    top, tiny = min(float(info.max), limit), float(info.tiny)
    powers = 2.0 ** np.arange(np.log2(tiny) - 3, np.floor(np.log2(top)) + 1, 3)
    points = np.array([*POINTS, *powers, top, top / 2, top / 3, tiny, tiny / 4, 2 * tiny])
    points = np.concatenate([points, -points])
    points = points[np.abs(points) <= top]
    mixed = rng.choice(points, (DRAWS, *shape))
    spread = rng.choice([-1, 1], mixed.shape) * 10 ** rng.uniform(-6, 3, mixed.shape)
    mixed[::4] = np.clip(spread, -top, top)[::4]
    mixed[1::4] = rng.choice(points, (DRAWS, *(1,) * len(shape)))[1::4]
    if shape:
        few = rng.random(mixed.shape) < 0.8
        mixed[2::4] = np.where(few, rng.choice([0.0, tiny, -1e-3], mixed.shape), mixed)[2::4]
    return jnp.asarray(mixed, dtype)


def fuzzed(f, case, dtype, limit):
    """The arguments of a case, stacked, with what is differentiated replaced."""
    rng = np.random.default_rng(0)
    args = list(cast(case.args, dtype))
    for i in case.wrt:
        largest = min(limit, LARGEST_PARAMETER) if isinstance(args[i], dict) else limit
        draw = lambda leaf, largest=largest: adversarial(rng, jnp.shape(leaf), dtype, largest)
        args[i] = jax.tree.map(draw, args[i])
    return tuple(args)


def watched(f, case, jit=jax.jit):
    """`run(arrays)`: value, gradient of its sum and closed form of every draw, in one program."""
    args = fuzzed(f, case, jnp.float32, np.inf)
    _, rebuild = harness.closing(args)
    drawn = [i in case.wrt for i, a in enumerate(args) for _ in jax.tree.leaves(a)]
    arrays = [isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(args)]
    axes = [0 if d else None for d, is_array in zip(drawn, arrays, strict=True) if is_array]

    def one(arrays):
        args = rebuild(arrays)
        y, pull = jax.vjp(
            lambda *chosen: harness.value(f, case, harness.replaced(args, case, chosen)),
            *harness.chosen(args, case),
        )
        ones = jax.tree.map(jnp.ones_like, y)
        return y, pull(ones), harness.pulled_back(f, case, args, ones)

    return jit(jax.vmap(one, in_axes=(axes,)))


@contextmanager
def quick_compilation(quick=True):
    """Programs of which only the result counts, and not how they were compiled."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", quick or before)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def lost(f, case, dtypes=tuple(DTYPES)):
    """Where value, gradient or closed form is no number, but float64 has one that fits."""
    run, judge, wrong = watched(f, case), watched(f, case, harness.quick_jit), {}
    for dtype in dtypes:
        args = fuzzed(f, case, DTYPES[dtype], largest_entry(f, DTYPES[dtype]))
        pick, _ = harness.closing(args)
        arrays = pick(args)
        with quick_compilation(dtype != "float32" or f in CONTRACTING):
            found = run(arrays)
        with quick_compilation(), jax.enable_x64(True):
            truth = judge([_doubled(a) for a in arrays])
        top = 0.99 * float(jnp.finfo(DTYPES[dtype]).max)
        for name, *both in zip(("value", "gradient", "closed form"), found, truth, strict=True):
            for ours, theirs in zip(*map(jax.tree.leaves, both), strict=True):
                bad = ~np.isfinite(np.asarray(ours, np.float64)) & (np.abs(theirs) < top)
                if bad.any():
                    first = np.argwhere(bad)[0].tolist()
                    wrong[dtype, name] = f"{bad.sum()} of {bad.size}, the first at {first}"
    return wrong


def _doubled(a):
    return a.astype(jnp.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a


def plain(f):
    return [case for case in CASES[f] if not case.edge]


@pytest.mark.parametrize("f", each_block())
def test_no_nan_where_the_truth_is_a_number(f):
    activation = f.__module__.startswith("jaxnn.activations")
    assert not lost(f, plain(f)[0], tuple(DTYPES) if activation else ("float32",))


@pytest.mark.slow
@pytest.mark.parametrize("f", each_block())
def test_no_nan_with_any_option_and_in_short_types(f):
    """What is left of the above: short types are computed in float32 and rounded once."""
    assert not [found for case in plain(f) if (found := lost(f, case))]


def _naive_length(x):
    return jnp.sqrt((x**2).sum(-1))


@pytest.mark.parametrize(
    ("block", "bad", "part"),
    [
        (activations.sigmoid, lambda x: jnp.exp(x) / (1 + jnp.exp(x)), "value"),
        (activations.sigmoid, lambda x: jnp.where(x < 50, jnp.log1p(jnp.exp(x)), x), "gradient"),
        (losses.log_cosh, lambda p, t: jnp.log(jnp.cosh(p - t)), "value"),
        (losses.cosine_distance, lambda a, b: _naive_length(a) * _naive_length(b), "gradient"),
    ],
)
def test_a_planted_fault_is_found(block, bad, part):
    bad.__name__, bad.__module__ = block.__name__, block.__module__
    found = lost(bad, CASES[block][0], ("float32",))
    assert ("float32", part) in found
