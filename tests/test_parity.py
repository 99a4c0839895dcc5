"""Every layer that Flax has too: the same parameters in Linen and NNX give the same result.

Values, and gradients in the parameters and inputs, all in one program per line of the table.
A layer without a line must be one that Flax doesn't have.
"""

from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from jaxnn import layers

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)


class Line(NamedTuple):
    """A layer and its twins, all called as `f(params, *inputs)`."""

    ours: Any
    params: Any
    inputs: tuple
    linen: Any
    nnx: Any


def normal(*shape, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def drawn(init, *sizes, **options):
    """Parameters of the names and shapes that `init` makes, none of them special."""
    shapes = jax.eval_shape(lambda key: init(key, *sizes, **options), KEY)
    draw = np.random.default_rng(0).normal
    return jax.tree.map(lambda leaf: jnp.asarray(0.5 * draw(size=leaf.shape), leaf.dtype), shapes)


def in_linen(module, *more, rename=lambda params: params, **options):
    def run(params, *inputs):
        return module.apply({"params": rename(params)}, *inputs, *more, **options)

    return run


def in_nnx(make, *more, rename=lambda params: params, **options):
    def run(params, *inputs):
        module = make(rngs=nnx.Rngs(0))
        nnx.update(module, rename(params))
        return module(*inputs, *more, **options)

    return run


# Convolution, pooling


def conv(window, shape, outputs, groups=1, use_bias=True, **options):
    params = drawn(layers.conv_init, window, shape[-1], outputs, groups=groups, use_bias=use_bias)
    theirs = {name.replace("dilation", "kernel_dilation"): o for name, o in options.items()}
    theirs |= {"feature_group_count": groups, "use_bias": use_bias}
    return Line(
        partial(layers.conv, groups=groups, **options), params, (normal(*shape),),
        in_linen(linen.Conv(outputs, window, **theirs)),
        in_nnx(partial(nnx.Conv, shape[-1], outputs, window, **theirs)),
    )  # fmt: skip


def transposed(window, shape, outputs, strides=1, padding="SAME", dilation=1):
    per_axis = lambda n: (n,) * len(window)
    theirs = {"padding": padding, "strides": per_axis(strides)}
    theirs["kernel_dilation"] = per_axis(dilation)
    return Line(
        lambda params, x: layers.conv_transpose(params, x, strides, padding, dilation),
        drawn(layers.conv_transpose_init, window, shape[-1], outputs), (normal(*shape),),
        in_linen(linen.ConvTranspose(outputs, window, **theirs)),
        in_nnx(partial(nnx.ConvTranspose, shape[-1], outputs, window, **theirs)),
    )  # fmt: skip


def pooled(ours, linen_pool, nnx_pool, x=(2, 6, 7, 3)):
    call = lambda pool: lambda params, x: pool(x)
    return Line(call(ours), {}, (normal(*x),), call(linen_pool), call(nnx_pool))


def max_pool(**options):
    both = (partial(side.max_pool, window_shape=(3, 2), **options) for side in (linen, nnx))
    return pooled(partial(layers.max_pool, window=(3, 2), **options), *both)


def average_pool(**options):
    theirs = dict(window_shape=(3, 2), count_include_pad=False, **options)
    both = (partial(side.avg_pool, **theirs) for side in (linen, nnx))
    return pooled(partial(layers.average_pool, window=(3, 2), **options), *both)


# Normalization


def norm(ours, init, linen_norm, nnx_norm, shape):
    params = drawn(init, shape[-1])
    return Line(ours, params, (normal(*shape),), in_linen(linen_norm), in_nnx(nnx_norm))


def batch_norm(train):
    """Outputs and statistics, from statistics that are not those of the start."""
    stats, options = {"mean": normal(3), "var": jnp.exp(normal(3))}, {"momentum": 0.9}

    def in_linen(params, x):
        y, changed = linen.BatchNorm(not train, **options).apply(
            {"params": params, "batch_stats": stats}, x, mutable=["batch_stats"]
        )
        return y, changed["batch_stats"]

    def in_nnx(params, x):
        module = nnx.BatchNorm(3, use_running_average=not train, **options, rngs=nnx.Rngs(0))
        nnx.update(module, params | stats)
        return module(x), nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))

    def ours(params, x):
        return layers.batch_norm(params, stats, x, train=train, **options)

    params, _ = drawn(layers.batch_norm_init, 3)
    return Line(stopped(ours), params, (normal(6, 2, 3),), stopped(in_linen), stopped(in_nnx))


def stopped(f):
    """Statistics get no gradient here, and one in Flax."""

    def run(params, x):
        y, statistics = f(params, x)
        return y, jax.lax.stop_gradient(statistics)

    return run


# Recurrence. Gates that stand side by side here and in NNX have a name each in Linen.

KINDS = {
    "simple": (layers.simple_rnn_init, layers.rnn_cell, layers.simple_rnn, "", "SimpleCell"),
    "gru": (layers.gru_init, layers.gru_cell, layers.gru, "rzn", "GRUCell"),
    "lstm": (layers.lstm_init, layers.lstm_cell, layers.lstm, "ifgo", "OptimizedLSTMCell"),
}


def gates(names, params):
    if not names:
        return {"i": params["dense_i"], "h": params["dense_h"]}
    found = {}
    for side in "ih":
        apart = jax.tree.map(lambda a: jnp.split(a, len(names), -1), params[f"dense_{side}"])
        for i, gate in enumerate(names):
            found[side + gate] = {name: parts[i] for name, parts in apart.items()}
    if names == "rzn":  # Linen gives this one a bias of its own
        found["hn"]["bias"] = jnp.zeros(params["dense_h"]["kernel"].shape[0])
    return found


def cell(kind):
    init, ours, _, names, twin = KINDS[kind]
    carry = (normal(2, 4), normal(2, 4, seed=2)) if kind == "lstm" else normal(2, 4)
    return Line(
        ours, drawn(init, 3, 4), (carry, normal(2, 3, seed=3)),
        in_linen(getattr(linen, twin)(4), rename=partial(gates, names)),
        in_nnx(partial(getattr(nnx, twin), 3, 4)),
    )  # fmt: skip


LENGTHS = jnp.array([5, 2])
SEEN = (jnp.arange(5) < LENGTHS[:, None])[..., None]


def sequence(kind, reverse=False, lengths=None, unroll=False):
    init, our_cell, layer, names, twin = KINDS[kind]
    # Here padding puts out zeros, in Flax whatever the cell makes of it.
    mask = lambda run: run if lengths is None else lambda *args: jnp.where(SEEN, run(*args), 0)
    options = {"reverse": reverse, "keep_order": True}

    def unrolled(params, xs):
        h = jnp.zeros((2, 4))
        carry = (h, h) if kind == "lstm" else h
        return layers.unroll(our_cell, params, carry, xs, lengths, reverse)[1]

    def in_nnx_rnn(rngs):
        return nnx.RNN(getattr(nnx, twin)(3, 4, rngs=rngs), **options, rngs=rngs)

    return Line(
        unrolled if unroll else lambda params, xs: layer(params, xs, lengths, reverse),
        drawn(init, 3, 4), (normal(2, 5, 3),),
        mask(in_linen(linen.RNN(getattr(linen, twin)(4), **options), seq_lengths=lengths,
                      rename=lambda params: {"cell": gates(names, params)})),
        mask(in_nnx(in_nnx_rnn, seq_lengths=lengths, rename=lambda params: {"cell": params})),
    )  # fmt: skip


def both_ways(kind):
    init, _, layer, names, twin = KINDS[kind]
    params = {"forward": drawn(init, 3, 4), "backward": jax.tree.map(jnp.sin, drawn(init, 3, 4))}
    rename = lambda change: (
        lambda params: {f"{way}_rnn": {"cell": change(params[way])} for way in params}
    )

    def in_nnx_rnns(rngs):
        one = lambda: nnx.RNN(getattr(nnx, twin)(3, 4, rngs=rngs), rngs=rngs)
        return nnx.Bidirectional(one(), one(), rngs=rngs)

    one = lambda: linen.RNN(getattr(linen, twin)(4))
    return Line(
        lambda params, xs: layers.bidirectional(layer, params, xs), params, (normal(2, 5, 3),),
        in_linen(linen.Bidirectional(one(), one()), rename=rename(partial(gates, names))),
        in_nnx(in_nnx_rnns, rename=rename(lambda params: params)),
    )  # fmt: skip


def in_stack(kind):
    init, _, layer, names, twin = KINDS[kind]
    params = {"layer_0": drawn(init, 3, 4), "layer_1": jax.tree.map(jnp.cos, drawn(init, 4, 4))}
    one = lambda: linen.RNN(getattr(linen, twin)(4))
    rename = lambda params: {
        f"layers_{i}": {"cell": gates(names, params[f"layer_{i}"])} for i in range(2)
    }
    wide = lambda features, rngs: nnx.RNN(getattr(nnx, twin)(features, 4, rngs=rngs), rngs=rngs)
    return Line(
        lambda params, xs: layers.stacked(layer, params, xs), params, (normal(2, 5, 3),),
        in_linen(linen.Sequential([one(), one()]), rename=rename),
        in_nnx(lambda rngs: nnx.Sequential(wide(3, rngs), wide(4, rngs)),
               rename=lambda params: {
                   "layers": {i: {"cell": params[f"layer_{i}"]} for i in range(2)}}),
    )  # fmt: skip


# Attention, noise

MASK = jnp.array([[True, True, False, True, True], [True, False, False, False, False]])
MASK = MASK[:, None, None, :]


def attention(causal=False, mask=None):
    keys = 4 if causal else 5
    seen = jnp.tri(4, dtype=bool) if causal else mask
    q, k, v = normal(2, 4, 2, 3), normal(2, keys, 2, 3, seed=2), normal(2, keys, 2, 3, seed=3)
    return Line(
        lambda params, q, k, v: layers.scaled_dot_product_attention(q, k, v, mask, causal),
        {}, (q, k, v),
        lambda params, q, k, v: linen.dot_product_attention(q, k, v, mask=seen),
        lambda params, q, k, v: nnx.dot_product_attention(q, k, v, mask=seen),
    )  # fmt: skip


def multi_head(cross=False, causal=False, mask=None):
    seen = jnp.tri(4, dtype=bool) if causal else mask
    inputs = (normal(2, 4, 8), normal(2, 5, 8, seed=2)) if cross else (normal(2, 4, 8),)
    ours = lambda params, x, context=None: layers.multi_head_attention(
        params, x, context, mask, causal
    )
    return Line(
        ours, drawn(layers.multi_head_attention_init, 8, 2), inputs,
        in_linen(linen.MultiHeadDotProductAttention(2), mask=seen),
        in_nnx(partial(nnx.MultiHeadAttention, 2, 8, decode=False), mask=seen),
    )  # fmt: skip


def dropout(rate):
    return Line(
        lambda params, x: layers.dropout(KEY, x, rate), {}, (normal(40),),
        lambda params, x: linen.Dropout(rate, deterministic=False).apply({}, x, rng=KEY),
        lambda params, x: nnx.Dropout(rate)(x, rngs=KEY),
    )  # fmt: skip


def plain(ours, params, inputs, linen_module, nnx_module):
    return Line(ours, params, inputs, in_linen(linen_module), in_nnx(nnx_module))


IDS = jnp.array([[0, 4], [2, 2]])
TABLE = {
    "dense": plain(layers.dense, drawn(layers.dense_init, 3, 2), (normal(4, 5, 3),),
                   linen.Dense(2), partial(nnx.Linear, 3, 2)),
    "dense without bias": plain(
        layers.dense, drawn(layers.dense_init, 3, 2, use_bias=False), (normal(4, 3),),
        linen.Dense(2, use_bias=False), partial(nnx.Linear, 3, 2, use_bias=False)),
    "conv 1d causal": conv((4,), (2, 7, 3), 2, padding="CAUSAL"),
    "conv 1d dilated": conv((3,), (2, 9, 3), 2, dilation=2, padding="VALID"),
    "conv 2d strided": conv((3, 3), (2, 6, 5, 2), 4, strides=(2, 1)),
    "conv 2d grouped": conv((3, 2), (2, 6, 5, 4), 6, groups=2, padding="VALID"),
    "conv 2d depthwise": conv((3, 3), (1, 5, 5, 3), 6, groups=3, dilation=2),
    "conv 2d without bias": conv((3, 3), (1, 5, 5, 3), 2, use_bias=False),
    "conv 3d padded": conv((2, 3, 2), (1, 4, 4, 3, 2), 3, padding=[(1, 0), (2, 1), (0, 0)]),
    "conv 3d strided": conv((3, 3, 3), (1, 5, 4, 5, 2), 3, strides=(2, 2, 2)),
    "conv_transpose same": transposed((3,), (2, 5, 2), 4),
    "conv_transpose same, 2": transposed((3,), (2, 5, 2), 4, 2),
    "conv_transpose same, 3 over 2": transposed((2,), (2, 5, 2), 4, 3),
    "conv_transpose valid, 2": transposed((3,), (2, 5, 2), 4, 2, "VALID"),
    "conv_transpose valid, 3 over 2": transposed((2,), (2, 5, 2), 4, 3, "VALID"),
    "conv_transpose padded": transposed((3,), (2, 5, 2), 4, 2, [(2, 1)]),
    "conv_transpose dilated": transposed((3,), (2, 5, 2), 4, 1, "VALID", 2),
    "conv_transpose 2d": transposed((3, 3), (1, 4, 3, 2), 3, 2),
    "conv_transpose 3d": transposed((2, 2, 2), (1, 2, 3, 2, 2), 3, 2),
    "max_pool": max_pool(strides=(3, 2)),
    "max_pool same": max_pool(strides=(2, 2), padding="SAME"),
    "max_pool overlapping": max_pool(strides=(1, 1)),
    "average_pool": average_pool(strides=(3, 2)),
    "average_pool same": average_pool(strides=(2, 1), padding="SAME"),
    "global_average_pool": pooled(
        layers.global_average_pool,
        *(lambda x, side=side: side.avg_pool(x, (6, 7), count_include_pad=False)[:, 0, 0]
          for side in (linen, nnx))),
    "batch_norm in training": batch_norm(True),
    "batch_norm in use": batch_norm(False),
    "layer_norm": norm(layers.layer_norm, layers.layer_norm_init, linen.LayerNorm(),
                       partial(nnx.LayerNorm, 6), (3, 5, 6)),
    "rms_norm": norm(layers.rms_norm, layers.rms_norm_init, linen.RMSNorm(),
                     partial(nnx.RMSNorm, 6), (3, 5, 6)),
    "group_norm": norm(partial(layers.group_norm, groups=3), layers.group_norm_init,
                       linen.GroupNorm(3), partial(nnx.GroupNorm, 6, 3), (2, 4, 5, 6)),
    "group_norm of features": norm(partial(layers.group_norm, groups=2), layers.group_norm_init,
                                   linen.GroupNorm(2), partial(nnx.GroupNorm, 6, 2), (2, 6)),
    "group_norm, one channel each": norm(
        partial(layers.group_norm, groups=6), layers.group_norm_init,
        linen.InstanceNorm(), partial(nnx.InstanceNorm, 6), (2, 4, 5, 6)),
    "embedding": Line(
        lambda params: layers.embedding(params, IDS), drawn(layers.embedding_init, 5, 3), (),
        in_linen(linen.Embed(5, 3), IDS), in_nnx(partial(nnx.Embed, 5, 3), IDS)),
    "parametric_relu": plain(
        layers.parametric_relu, drawn(layers.parametric_relu_init), (normal(4, 3),),
        linen.PReLU(), lambda rngs: nnx.PReLU()),
    "rnn_cell": cell("simple"),
    "gru_cell": cell("gru"),
    "lstm_cell": cell("lstm"),
    "simple_rnn backward, padded": sequence("simple", True, LENGTHS),
    "gru backward, padded": sequence("gru", True, LENGTHS),
    "lstm": sequence("lstm"),
    "lstm padded": sequence("lstm", False, LENGTHS),
    "unroll padded": sequence("gru", False, LENGTHS, unroll=True),
    "unroll backward": sequence("lstm", True, unroll=True),
    "bidirectional": both_ways("gru"),
    "stacked": in_stack("lstm"),
    "scaled_dot_product_attention": attention(),
    "scaled_dot_product_attention masked": attention(mask=MASK),
    "scaled_dot_product_attention causal": attention(causal=True),
    "multi_head_attention": multi_head(),
    "multi_head_attention causal": multi_head(causal=True),
    "multi_head_attention to another, masked": multi_head(cross=True, mask=MASK),
    "dropout": dropout(0.3),
    "dropout of everything": dropout(1.0),
}  # fmt: skip

# What Flax has no twin of: compare them as tests/test_trees.py and tests/test_radial.py do.
OURS_ALONE = {
    "maxout_dense", "positional_encoding", "radial_basis", "rotary", "tree_lstm", "tree_rnn",
}  # fmt: skip


def test_every_layer_is_here():
    named = {name for name in layers.__all__ if not name.endswith(("_init", "_vjp"))}
    lines = {name.replace(",", " ").split()[0] for name in TABLE}
    assert lines >= {"conv", "lstm"}
    assert {name for name in named if name not in lines} == OURS_ALONE


@pytest.mark.parametrize("name", TABLE)
def test_the_same_parameters_give_the_same_result(name):
    line = TABLE[name]

    def value_and_pull(f):
        y, pull = jax.vjp(f, line.params, *line.inputs)
        leaves, tree = jax.tree.flatten(y)
        g = [normal(*leaf.shape, seed=i) for i, leaf in enumerate(leaves)]
        return y, pull(jax.tree.unflatten(tree, g))

    ours, *theirs = jax.jit(
        lambda: [value_and_pull(f) for f in (line.ours, line.linen, line.nnx)]
    )()
    for found in theirs:
        chex.assert_trees_all_close(found, ours, rtol=1e-4, atol=2e-5)
