r"""Transformers: decoder, encoder, and the two together.

A block adds to each step what it learns from the others, and what it makes of that by itself:

.. math:: x \leftarrow x + \mathrm{attention}(\mathrm{norm}(x)), \qquad
          x \leftarrow x + W_2\, \mathrm{gelu}(W_1\, \mathrm{norm}(x))

The normalization stands inside the branch (pre-norm), so the gradient has a way past every
block, and deep stacks train without warming up. Places enter by rotation of queries and keys
(`layers.rotary`).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks
from jaxnn.activations import gelu
from jaxnn.initializers import glorot_uniform, normal
from jaxnn.layers import (
    dense,
    dense_init,
    dropout,
    embedding,
    embedding_init,
    multi_head_attention,
    multi_head_attention_init,
    rms_norm,
    rms_norm_init,
    scaled_dot_product_attention,
)
from jaxnn.layers._padding import possible, step_mask
from jaxnn.networks import _sampling
from jaxnn.networks._network import Network, Params, named, split

__all__ = ["Transformer", "sequence_to_sequence", "transformer", "transformer_encoder"]


class Transformer(NamedTuple):
    """A `Network` that can also write a sequence.

    Attributes:
        init: `init(key) -> params`.
        apply: `apply(params, ids, *, key=None) -> logits`; with an encoder, of `(source, ids)`.
        sample: `sample(params, prompt, steps, *, key=None, temperature=1.0, end=None) -> ids`,
            where `prompt` is integers `[batch, time]`, at least one of each row; with an
            encoder, `(source, prompt)`.
    """

    init: Callable[[Array], Params]
    apply: Callable[..., Array]
    sample: Callable[..., Array]


def transformer(
    vocabulary: int,
    *,
    width: int,
    heads: int,
    depth: int,
    length: int,
    groups: int | None = None,
    hidden: int | None = None,
    dropout_rate: float = 0.0,
) -> Transformer:
    r"""A decoder: each step predicts the next from those before it, \( p(x_{t+1} | x_{\le t}) \).

    Args:
        vocabulary: how many ids there are.
        width: features of a step; divided by `heads`, into an even number.
        heads: of attention.
        depth: blocks.
        length: the most steps.
        groups: heads of keys and values, by default `heads` (grouped-query attention).
        hidden: features between the dense layers of a block, by default 4 `width`.
        dropout_rate: fraction of what each branch adds that is zeroed when `apply` gets a key.

    Returns:
        The network. `apply(params, ids)` gives logits `[..., time, vocabulary]` for ids `[...,
        time]`. `sample(params, prompt, steps, *, key=None, temperature=1.0, end=None)`
        continues a prompt `[batch, time]` by `steps` ids, as one compiled loop that keeps the
        keys and values of what it has seen; without a key it takes the likeliest id each time.
        Once it has written `end` in a row, the rest of that row is `end` too; the loop stops
        when this is so of all. Where logits are NaN, as under `jit` after an id out of range,
        it continues with -1. Parameters are
        `{"embedding", "block_0": {"norm_0", "attention", "norm_1", "dense_0", "dense_1"}, ...,
        "norm", "dense"}`.

    Raises:
        ValueError: if a size is not positive, a division has a rest, or a sequence is longer
            than `length`; from `sample`, if the prompt is empty, an id is out of range, or
            `temperature` is not positive.

    Example:
        >>> net = transformer(10, width=16, heads=2, depth=1, length=8)
        >>> params = net.init(jax.random.key(0))
        >>> ids = jnp.array([[1, 2, 3]])
        >>> net.apply(params, ids).shape, net.sample(params, ids, 4).shape
        ((1, 3, 10), (1, 7))

    Reference:
        Vaswani et al., "Attention is all you need", NeurIPS 2017; Radford et al., "Language
        models are unsupervised multitask learners", 2019.
    """
    sizes = _sizes("transformer", width, heads, depth, length, groups, hidden, dropout_rate)
    _checks.sizes("transformer", vocabulary=vocabulary)
    block_init = partial(_block_init, **sizes)

    def init(key: Array) -> Params:
        return _stack(key, block_init, depth, vocabulary, vocabulary, width)

    def apply(params: Params, ids: Array, *, key: Array | None = None) -> Array:
        places = _places("transformer", ids.shape[-1], length)
        x = named(embedding, params, "embedding", ids)
        for i, k in enumerate(split(key, depth)):
            at = x, k, dropout_rate
            x = named(_block, params, f"block_{i}", *at, causal=True, positions=places)
        return named(dense, params, "dense", named(rms_norm, params, "norm", x))

    def sample(params, prompt, steps, *, key=None, temperature=1.0, end=None):
        _sampling.check_ids(vocabulary, prompt=prompt)
        temperature = _sampling.check_options(vocabulary, steps, temperature, end)
        _places("sample", prompt.shape[1] + steps, length)
        return _continued(params, prompt, key, temperature, end, depth=depth, steps=steps)

    return Transformer(init, apply, sample)


def transformer_encoder(
    vocabulary: int,
    outputs: int,
    *,
    width: int,
    heads: int,
    depth: int,
    length: int,
    groups: int | None = None,
    hidden: int | None = None,
    dropout_rate: float = 0.0,
) -> Network:
    """An encoder: each step sees all others.

    Args:
        vocabulary: how many ids there are.
        outputs: features of each step of the output.
        width: features of a step; divided by `heads`, into an even number.
        heads: of attention.
        depth: blocks.
        length: the most steps.
        groups: heads of keys and values, by default `heads`.
        hidden: features between the dense layers of a block, by default 4 `width`.
        dropout_rate: fraction of what each branch adds that is zeroed when `apply` gets a key.

    Returns:
        The network. `apply(params, ids, *, key=None, lengths=None)` gives `[..., time,
        outputs]` for ids `[..., time]`; steps after the length of a sequence are not seen by
        the others, and may hold anything.

    Raises:
        ValueError: if a size is not positive, a division has a rest, or a sequence is longer
            than `length`; from `apply`, if a length is out of range (under `jit`, all of such
            a sequence is NaN).
        TypeError: from `apply`, if ids or lengths are not integers.

    Example:
        >>> net = transformer_encoder(10, 3, width=16, heads=2, depth=1, length=8)
        >>> params = net.init(jax.random.key(0))
        >>> net.apply(params, jnp.array([[1, 2, 0]]), lengths=jnp.array([2])).shape
        (1, 3, 3)

    Reference:
        Devlin, Chang, Lee and Toutanova, "BERT: pre-training of deep bidirectional
        transformers for language understanding", NAACL 2019.
    """
    name = "transformer_encoder"
    sizes = _sizes(name, width, heads, depth, length, groups, hidden, dropout_rate)
    _checks.sizes(name, vocabulary=vocabulary, outputs=outputs)
    block_init = partial(_block_init, **sizes)

    def init(key: Array) -> Params:
        return _stack(key, block_init, depth, vocabulary, outputs, width)

    def apply(params: Params, ids: Array, *, key: Array | None = None, lengths=None) -> Array:
        places, (ids, mask) = _places(name, ids.shape[-1], length), _padded(name, ids, lengths)
        x = named(embedding, params, "embedding", ids)
        for i, k in enumerate(split(key, depth)):
            at = x, k, dropout_rate, mask
            x = named(_block, params, f"block_{i}", *at, positions=places)
        y = named(dense, params, "dense", named(rms_norm, params, "norm", x))
        return possible(y, ids.shape[-1], lengths)

    return Network(init, apply)


def sequence_to_sequence(
    source_vocabulary: int,
    target_vocabulary: int,
    *,
    width: int,
    heads: int,
    depth: int,
    length: int,
    groups: int | None = None,
    hidden: int | None = None,
    dropout_rate: float = 0.0,
) -> Transformer:
    """An encoder of one sequence and a decoder of another, which attends to the first.

    Args:
        source_vocabulary: ids of the sequence that is read.
        target_vocabulary: ids of the sequence that is written.
        width: features of a step; divided by `heads`, into an even number.
        heads: of attention.
        depth: blocks of each side.
        length: the most steps of either.
        groups: heads of keys and values, by default `heads`.
        hidden: features between the dense layers of a block, by default 4 `width`.
        dropout_rate: fraction of what each branch adds that is zeroed when `apply` gets a key.

    Returns:
        The network. `apply(params, (source, target), *, key=None, lengths=None)` gives logits
        `[..., target time, target_vocabulary]`, at each step for the one that follows;
        `lengths` are those of the source, after which anything may stand.
        `sample(params, (source, prompt), steps, *, key=None, temperature=1.0, end=None,
        lengths=None)` reads the sources `[batch, time]` once, and continues the beginnings
        `[batch, time]` of the targets, often an id that means just that, as `transformer` does.

    Raises:
        ValueError: if a size is not positive, a division has a rest, or a sequence is longer
            than `length`; if a length is out of range (under `jit`, all of such a sequence is
            NaN, or -1 where it is sampled); from `sample`, if the prompt is empty, an id is out
            of range, or `temperature` is not positive.
        TypeError: if ids or lengths are not integers.

    Example:
        >>> net = sequence_to_sequence(10, 12, width=16, heads=2, depth=1, length=8)
        >>> params = net.init(jax.random.key(0))
        >>> source, target = jnp.array([[1, 2, 3]]), jnp.array([[0, 4]])
        >>> net.apply(params, (source, target)).shape
        (1, 2, 12)
        >>> net.sample(params, (source, target[:, :1]), 4).shape
        (1, 5)

    Reference:
        Vaswani et al., "Attention is all you need", NeurIPS 2017.
    """
    name = "sequence_to_sequence"
    sizes = _sizes(name, width, heads, depth, length, groups, hidden, dropout_rate)
    vocabularies = dict(source_vocabulary=source_vocabulary, target_vocabulary=target_vocabulary)
    _checks.sizes(name, **vocabularies)

    def init(key: Array) -> Params:
        first, second = jax.random.split(key)
        encoder = _stack(
            first, partial(_block_init, **sizes), depth, source_vocabulary, None, width
        )
        decoder_block = partial(_block_init, **sizes, cross=True)
        decoder = _stack(second, decoder_block, depth, target_vocabulary, target_vocabulary, width)
        return {"encoder": encoder, "decoder": decoder}

    def apply(params: Params, inputs: tuple[Array, Array], *, key=None, lengths=None) -> Array:
        source, target = inputs
        keys = split(key, 2 * depth)
        source, mask = _padded(name, source, lengths)
        context = named(encode, params, "encoder", source, keys[:depth], mask)
        y = named(decode, params, "decoder", target, keys[depth:], context, mask)
        return possible(y, source.shape[-1], lengths)

    def encode(params: Params, source: Array, keys, mask) -> Array:
        places = _places(name, source.shape[-1], length)
        x = named(embedding, params, "embedding", source)
        for i in range(depth):
            at = x, keys[i], dropout_rate, mask
            x = named(_block, params, f"block_{i}", *at, positions=places)
        return named(rms_norm, params, "norm", x)

    def decode(params: Params, target: Array, keys, context, mask) -> Array:
        places = _places(name, target.shape[-1], length)
        look = partial(multi_head_attention, context=context, mask=mask)
        x = named(embedding, params, "embedding", target)
        for i in range(depth):
            at = x, keys[i], dropout_rate
            x = named(_block, params, f"block_{i}", *at, causal=True, positions=places, look=look)
        return named(dense, params, "dense", named(rms_norm, params, "norm", x))

    @partial(jax.jit, static_argnames="steps")
    def write(params: Params, inputs, steps, key, temperature, end, lengths) -> Array:
        source, prompt = inputs
        source, mask = _padded("sample", source, lengths)
        context = encode(params["encoder"], source, [None] * depth, mask)
        context = possible(context, source.shape[-1], lengths)
        at = params["decoder"], prompt, key, temperature, end
        return _continued(*at, depth=depth, steps=steps, context=context, mask=mask)

    def sample(params, inputs, steps, *, key=None, temperature=1.0, end=None, lengths=None):
        source, prompt = inputs
        source, _ = _padded("sample", source, lengths)
        _sampling.check_ids(source_vocabulary, source=source)
        _sampling.check_ids(target_vocabulary, prompt=prompt)
        _checks.same_shape("sample", source=source[:, 0], prompt=prompt[:, 0])
        temperature = _sampling.check_options(target_vocabulary, steps, temperature, end)
        _places("sample", prompt.shape[1] + steps, length)
        return write(params, (source, prompt), steps, key, temperature, end, lengths)

    return Transformer(init, apply, sample)


def _sizes(function, width, heads, depth, length, groups, hidden, dropout_rate):
    _checks.sizes(function, width=width, heads=heads, depth=depth, length=length)
    _checks.probability(function, dropout_rate=dropout_rate)
    hidden = 4 * width if hidden is None else hidden
    groups = heads if groups is None else groups
    _checks.sizes(function, hidden=hidden, groups=groups)
    if heads % groups:
        raise ValueError(
            f"{function}: groups must divide heads, got {groups} and {heads}. Take a divisor."
        )
    if width % heads or (width // heads) % 2:
        raise ValueError(
            f"{function}: width must be an even multiple of heads, got {width} and {heads}. "
            f"Take {2 * heads * max(1, width // (2 * heads))}."
        )
    return dict(width=width, heads=heads, groups=groups, hidden=hidden)


def _places(function, time, length):
    """The places of the steps, of which there may be up to `length`."""
    if time > length:
        raise ValueError(
            f"{function}: a sequence must have at most {length} steps, got {time}. Cut it, or "
            "build the network with a larger length."
        )
    with jax.ensure_compile_time_eval():  # so that their waves are constants, and not computed
        return jnp.arange(time)


def _padded(function, ids, lengths):
    """The ids, 0 after the end of each sequence; and for attention the mask of steps that count.

    So what is no id has no part in outputs and gradients, where it stands in the padding.
    """
    on = step_mask(function, ids.shape[:-1], ids.shape[-1], lengths)
    return (ids, None) if on is None else (jnp.where(on, ids, 0), on[..., None, None, :])


def _stack(key, block_init, depth, vocabulary, outputs, width) -> Params:
    """Embedding, blocks, and a last norm and dense layer where there are outputs."""
    first, last, *keys = jax.random.split(key, depth + 2)
    params: Params = {"embedding": embedding_init(first, vocabulary, width)}
    params |= {f"block_{i}": block_init(k) for i, k in enumerate(keys)}
    params["norm"] = rms_norm_init(last, width)
    if outputs is not None:
        params["dense"] = dense_init(last, width, outputs, normal(0.02))
    return params


def _block_init(key, width, heads, groups, hidden, cross=False) -> Params:
    keys = jax.random.split(key, 4)
    params = {
        "norm_0": rms_norm_init(key, width),
        "attention": multi_head_attention_init(keys[0], width, heads, groups),
        "norm_1": rms_norm_init(key, width),
        "dense_0": dense_init(keys[1], width, hidden, glorot_uniform()),
        "dense_1": dense_init(keys[2], hidden, width, glorot_uniform()),
    }
    if cross:
        params["norm_2"] = rms_norm_init(key, width)
        params["cross_attention"] = multi_head_attention_init(keys[3], width, heads, groups)
    return params


def _block(params, x, key, rate, mask=None, causal=False, positions=None, look=None):
    keys = split(key, 3)
    a = named(rms_norm, params, "norm_0", x)
    a = named(multi_head_attention, params, "attention", a, None, mask, causal, positions)
    x = x + dropout(keys[0], a, rate)
    if look is not None:
        a = named(look, params, "cross_attention", named(rms_norm, params, "norm_2", x))
        x = x + dropout(keys[1], a, rate)
    return x + dropout(keys[2], _perceptron(params, x), rate)


def _perceptron(params, x):
    h = named(dense, params, "dense_0", named(rms_norm, params, "norm_1", x))
    return named(dense, params, "dense_1", gelu(h))


@partial(jax.jit, static_argnames=("depth", "steps"))
def _continued(params, prompt, key, temperature, end, depth, steps, context=None, mask=None):
    """The prompt continued; with a context, by a decoder that attends to it."""
    look = None if context is None else _looking(params, context, mask, depth)
    at = params, prompt, key, temperature, end
    return _sampling.write(*at, depth=depth, steps=steps, perceptron=_perceptron, look=look)


def _looking(params, context, mask, depth):
    """What each block adds from the context, whose keys and values are computed once."""
    sides = [params[f"block_{i}"]["cross_attention"] for i in range(depth)]
    seen = [_sampling.heads(side, context, "key", "value") for side in sides]

    def look(i, block, x):
        (q,) = _sampling.heads(sides[i], rms_norm(block["norm_2"], x), "query")
        keys, values = seen[i]
        return _sampling.joined(sides[i], scaled_dot_product_attention(q, keys, values, mask))

    return look
