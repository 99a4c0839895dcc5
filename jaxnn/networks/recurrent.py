"""Recurrent networks: simple RNN, GRU and LSTM.

xs -> recurrent layer -> dropout -> ... -> last step (or every step) -> dense -> outputs
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks
from jaxnn import layers as blocks
from jaxnn.networks._network import Network, Params, named, split

__all__ = ["gru", "lstm", "rnn"]


def rnn(
    features: int,
    hidden: int,
    outputs: int,
    *,
    layers: int = 1,
    bidirectional: bool = False,
    every_step: bool = False,
    dropout_rate: float = 0.0,
) -> Network:
    """A simple (Elman) recurrent network.

    Args:
        features: of each step of the input.
        hidden: features of the hidden state.
        outputs: features of the output.
        layers: recurrent layers, one upon the other.
        bidirectional: whether each layer also runs backward.
        every_step: whether there is an output at every step, or one for the sequence.
        dropout_rate: fraction of what each recurrent layer puts out that is zeroed when
            `apply` gets a key.

    Returns:
        The network. `apply(params, xs, *, key=None, lengths=None)` takes `[..., time,
        features]`, and gives `[..., outputs]` from the last step of each sequence, or `[...,
        time, outputs]`; `lengths` says how many steps of each count. Parameters are
        `{"layer_0": ..., "dense": ...}`, where a bidirectional layer has `"forward"` and
        `"backward"`.

    Raises:
        ValueError: if a size is not positive, or `dropout_rate` is outside [0, 1]; from `apply`,
            if there is no last step.

    Example:
        >>> net = rnn(3, 8, 2)
        >>> params = net.init(jax.random.key(0))
        >>> net.apply(params, jnp.ones((4, 5, 3)), lengths=jnp.array([5, 3, 1, 2])).shape
        (4, 2)

    Reference:
        Elman, "Finding structure in time", Cognitive Science 1990.
    """
    cell = blocks.simple_rnn_init, blocks.simple_rnn
    sizes = dict(features=features, hidden=hidden, outputs=outputs, layers=layers)
    return _recurrent("rnn", *cell, sizes, bidirectional, every_step, dropout_rate)


def gru(
    features: int,
    hidden: int,
    outputs: int,
    *,
    layers: int = 1,
    bidirectional: bool = False,
    every_step: bool = False,
    dropout_rate: float = 0.0,
) -> Network:
    """A network of gated recurrent units.

    Args:
        features: of each step of the input.
        hidden: features of the hidden state.
        outputs: features of the output.
        layers: recurrent layers, one upon the other.
        bidirectional: whether each layer also runs backward.
        every_step: whether there is an output at every step, or one for the sequence.
        dropout_rate: fraction of what each recurrent layer puts out that is zeroed when
            `apply` gets a key.

    Returns:
        The network, as `rnn` returns it.

    Raises:
        ValueError: if a size is not positive, or `dropout_rate` is outside [0, 1]; from `apply`,
            if there is no last step.

    Example:
        >>> net = gru(3, 8, 2, every_step=True)
        >>> net.apply(net.init(jax.random.key(0)), jnp.ones((4, 5, 3))).shape
        (4, 5, 2)

    Reference:
        Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
        machine translation", EMNLP 2014.
    """
    cell = blocks.gru_init, blocks.gru
    sizes = dict(features=features, hidden=hidden, outputs=outputs, layers=layers)
    return _recurrent("gru", *cell, sizes, bidirectional, every_step, dropout_rate)


def lstm(
    features: int,
    hidden: int,
    outputs: int,
    *,
    layers: int = 1,
    bidirectional: bool = False,
    every_step: bool = False,
    dropout_rate: float = 0.0,
    forget_bias: float = 1.0,
) -> Network:
    """A network of long short-term memories.

    Args:
        features: of each step of the input.
        hidden: features of the hidden state.
        outputs: features of the output.
        layers: recurrent layers, one upon the other.
        bidirectional: whether each layer also runs backward.
        every_step: whether there is an output at every step, or one for the sequence.
        dropout_rate: fraction of what each recurrent layer puts out that is zeroed when
            `apply` gets a key.
        forget_bias: bias of the forget gates at the start. A memory halves in ln 2 / ln(1 /
            sigmoid(b)) steps: 2 of them at 1, 14 at 3, 280 at 6.

    Returns:
        The network, as `rnn` returns it.

    Raises:
        ValueError: if a size is not positive, or `dropout_rate` is outside [0, 1]; from `apply`,
            if there is no last step.

    Example:
        >>> net = lstm(3, 8, 2, layers=2, bidirectional=True)
        >>> params = net.init(jax.random.key(0))
        >>> params["layer_1"]["backward"]["dense_i"]["kernel"].shape
        (16, 32)
        >>> net.apply(params, jnp.ones((4, 5, 3))).shape
        (4, 2)

    Reference:
        Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 1997.
    """
    cell = partial(blocks.lstm_init, forget_bias=forget_bias), blocks.lstm
    sizes = dict(features=features, hidden=hidden, outputs=outputs, layers=layers)
    return _recurrent("lstm", *cell, sizes, bidirectional, every_step, dropout_rate)


def _recurrent(
    function: str,
    layer_init: Callable,
    layer: Callable,
    sizes: dict[str, int],
    bidirectional: bool,
    every_step: bool,
    dropout_rate: float,
) -> Network:
    _checks.sizes(function, **sizes)
    _checks.probability(function, dropout_rate=dropout_rate)
    hidden, depth = sizes["hidden"], sizes["layers"]
    wide = 2 * hidden if bidirectional else hidden

    def init(key: Array) -> Params:
        *keys, last = jax.random.split(key, depth + 1)
        params = {}
        for i, k in enumerate(keys):
            inputs = wide if i else sizes["features"]
            params[f"layer_{i}"] = (
                {
                    way: layer_init(k, inputs, hidden)
                    for way, k in zip(("forward", "backward"), jax.random.split(k), strict=True)
                }
                if bidirectional
                else layer_init(k, inputs, hidden)
            )
        return params | {"dense": blocks.dense_init(last, wide, sizes["outputs"])}

    def apply(params: Params, xs: Array, *, key: Array | None = None, lengths=None) -> Array:
        for i, k in enumerate(split(key, depth)):
            name = f"layer_{i}"
            if bidirectional:
                with jax.named_scope(name):
                    xs = blocks.bidirectional(layer, params[name], xs, lengths)
            else:
                xs = named(layer, params, name, xs, lengths)
            xs = blocks.dropout(k, xs, dropout_rate)
        return named(blocks.dense, params, "dense", xs if every_step else _ends(xs, lengths))

    def _ends(ys: Array, lengths) -> Array:
        """Where each direction has seen the whole sequence: its last step, or its first."""
        if ys.shape[-2] == 0:
            raise ValueError(
                f"{function}: a sequence must have at least one step, got none in states of shape "
                f"{ys.shape}. Leave such sequences out, or ask for every_step=True."
            )
        if lengths is None:
            last = ys[..., -1, :]
        else:
            at = jnp.maximum(jnp.asarray(lengths) - 1, 0)[..., None, None]
            last = jnp.take_along_axis(ys, at, -2)[..., 0, :]
        if not bidirectional:
            return last
        return jnp.concatenate([last[..., :hidden], ys[..., 0, hidden:]], -1)

    return Network(init, apply)
