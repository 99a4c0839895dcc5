"""Writing a sequence one id after the other, with keys and values of the steps before it kept.

A block needs of earlier steps their keys and values alone, so these stand in a cache that grows
along the sequence. Those of a context, which an encoder made, are the same in every step.
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxnn import _checks
from jaxnn.layers import _attend, dense, embedding, rms_norm, rotary


def check_ids(vocabulary, **ids):
    """Raises unless the named arrays are ids of the vocabulary, `[batch, time]`, time > 0."""
    known = lambda ids: (ids >= 0) & (ids < vocabulary)
    do = "Count from 0, or build the network with a larger vocabulary."
    _checks.integer("sample", **ids)
    for name, array in ids.items():
        if jnp.ndim(array) != 2 or array.shape[1] == 0:
            raise ValueError(
                f"sample: {name} must have shape [batch, time] and a first step, got "
                f"{jnp.shape(array)}. For one sequence pass ids[None]."
            )
        _checks.values("sample", known, f"be from 0 to {vocabulary - 1}", do, **{name: array})


def check_options(vocabulary, steps, temperature, end):
    """The temperature, NaN where it is traced and wrong; raises unless ids can be drawn so."""
    _checks.sizes("sample", steps=steps)
    if end is not None:
        _checks.class_number("sample", vocabulary, end=end)
    do = "Without a key the likeliest id is taken."
    at = dict(temperature=temperature)
    return _checks.number("sample", lambda t: t > 0, "be positive", do, **at)


def write(params, prompt, key, temperature, end, *, depth, steps, perceptron, look=None):
    """Continues the prompt by `steps` ids; what follows `end` is `end` again.

    Args:
        params: of the decoder.
        prompt: `[batch, time]`.
        key: the source of the draws, or None for the likeliest ids.
        temperature: which the logits are divided by.
        end: the id after which a sequence is over, or None.
        depth: blocks.
        steps: ids to write at most.
        perceptron: `perceptron(block, x)`, what a block adds after attention.
        look: `look(i, block, x)`, what block i adds from its context, or None.
    """
    batch, given = prompt.shape
    kernel = params["block_0"]["attention"]["key"]["kernel"]
    empty = jnp.zeros((batch, given + steps, *kernel.shape[1:]), kernel.dtype)
    rest = jnp.full((batch, steps), 0 if end is None else end, prompt.dtype)
    ids = jnp.concatenate([prompt, rest], 1)
    start = 0, ids, jnp.zeros(batch, bool), [(empty, empty)] * depth

    def on(state):
        t, _, over, _ = state
        return (t < given + steps - 1) & ~over.all()

    def step(state):
        t, ids, over, caches = state
        x, kept = embedding(params["embedding"], ids[:, t])[:, None], []
        for i, cache in enumerate(caches):
            block = params[f"block_{i}"]
            a, cache = _attended(block["attention"], rms_norm(block["norm_0"], x), cache, t)
            x, kept = x + a, [*kept, cache]
            if look is not None:
                x = x + look(i, block, x)
            x = x + perceptron(block, x)
        logits = dense(params["dense"], rms_norm(params["norm"], x))[:, 0]
        drawn = _drawn(logits, key, temperature, t).astype(ids.dtype)
        # Within the prompt, what comes next is known.
        following = jnp.where((t + 1 < given) | over, ids[:, t + 1], drawn)
        if end is not None:
            over = (t + 1 >= given) & (following == end)
        return t + 1, ids.at[:, t + 1].set(following), over, kept

    return lax.while_loop(on, step, start)[1]


def heads(attention, x, *names):
    """Queries, keys or values of the steps x, by their names."""
    parts = [attention[name] for name in names]
    return [jnp.einsum("btf,fhd->bthd", x, at["kernel"]) + at["bias"] for at in parts]


def joined(attention, a):
    """The output of what the heads found."""
    return jnp.einsum("bthd,hdf->btf", a, attention["out"]["kernel"]) + attention["out"]["bias"]


def _attended(attention, x, cache, t):
    """What step t learns from those up to it, and the cache with its own keys and values."""
    q, k, v = heads(attention, x, "query", "key", "value")
    q, k = rotary(q, t[None]), rotary(k, t[None])
    keys, values = (
        lax.dynamic_update_slice_in_dim(kept, new, t, 1)
        for kept, new in zip(cache, (k, v), strict=True)
    )
    # As causality alone, two axes: what is not yet written is zeros, and needs no clearing.
    seen = (jnp.arange(keys.shape[1]) <= t)[None]
    a = _attend.heads(_attend.attend(_attend.grouped(q, keys), keys, values, seen), q)
    return joined(attention, a), (keys, values)


def _drawn(logits, key, temperature, t):
    """The next id of each sequence: the likeliest, a draw, or -1 where logits are NaN.

    So they are over a temperature that is.
    """
    if key is None:
        ids = logits.argmax(-1)
    else:
        logits = logits / temperature
        ids = jax.random.categorical(jax.random.fold_in(key, t), logits)
    return jnp.where(jnp.isnan(logits).any(-1), -1, ids)
