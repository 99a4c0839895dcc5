"""Every public function on adversarial floats: no NaN where the truth is a number.

The same function in float64 is the judge: its range reaches 1e308, so where it gives a number
that the short type can hold, the short type must give a number too, in the value, in JAX's
gradient and in the closed form.
"""

import harness
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from harness import CASES, blocks, cast

from jaxnn import layers, losses

DRAWS = 192
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16, "float16": jnp.float16}
# Kinks, ends of tails, and what is one rounding from them.
POINTS = [0.0, 0.5, 1.0, 1 + 1e-6, 1 - 1e-6, 2.0, 3.0, 6.0, 8.0, 16.64, 17.5, 20.0, 60.0, 87.0,
          88.0, 88.8, 103.9, 104.1, 708.0, 1e4, 1e19, 1.8e19, 1e-4, 1e-10, 1e-19, 1e-23]  # fmt: skip

# Their contractions are XLA's: entries whose products leave the range are out of our hands. The
# numbers are the largest entries that the longest product of each still holds.
CONTRACTING = {
    layers.bidirectional: 1e4, layers.conv: 1e9, layers.conv_transpose: 1e9, layers.dense: 1e9,
    layers.gru: 1e4, layers.gru_cell: 1e4, layers.lstm: 1e4, layers.lstm_cell: 1e4,
    layers.maxout_dense: 1e9, layers.multi_head_attention: 1e4, layers.rnn_cell: 1e4,
    layers.scaled_dot_product_attention: 1e9, layers.simple_rnn: 1e4, layers.tree_lstm: 1e4,
    layers.tree_rnn: 1e4, layers.unroll: 1e4,
}  # fmt: skip


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


def everything(f, case):
    """`run(chosen, others)`: value, gradient of its sum, and the closed form, of every draw."""

    def one(args):
        y, pull = jax.vjp(
            lambda *chosen: harness.value(f, case, harness.replaced(args, case, chosen)),
            *harness.chosen(args, case),
        )
        ones = jax.tree.map(jnp.ones_like, y)
        return y, pull(ones), harness.pulled_back(f, case, args, ones)

    return one


def lost(f, case, dtype, limit=np.inf):
    """Which of value, gradient and closed form is no number where float64 has one."""
    args = fuzzed(f, case, dtype, limit)
    pick, rebuild = harness.closing(args)
    axes = [0 if i in case.wrt else None for i, a in enumerate(args) for _ in jax.tree.leaves(a)]
    traced = [isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(args)]
    axes = [axis for axis, t in zip(axes, traced, strict=True) if t]
    run = jax.jit(jax.vmap(lambda arrays: everything(f, case)(rebuild(arrays)), in_axes=(axes,)))
    arrays = pick(args)
    found = run(arrays)
    with jax.enable_x64(True):
        wide = [
            a.astype(jnp.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a for a in arrays
        ]
        truth = run(wide)
    top = 0.99 * float(jnp.finfo(dtype).max)
    names = "value", "gradient", "closed form"
    wrong = {}
    for name, ours, theirs in zip(names, found, truth, strict=True):
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            a, b = np.asarray(a, np.float64), np.asarray(b)
            bad = ~np.isfinite(a) & (np.abs(b) < top)
            if bad.any():
                wrong[name] = f"{bad.sum()} of {bad.size}, first in draw {np.argwhere(bad)[0]}"
    return wrong
