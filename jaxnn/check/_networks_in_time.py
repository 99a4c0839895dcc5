"""Whole networks of sequences and trees, and transformers; as in `_networks`."""

import jax.numpy as jnp
import numpy as np

from jaxnn import networks
from jaxnn.check import _sequences, _stacks
from jaxnn.check._networks import of_params, params_of, plain
from jaxnn.check._sequences import along_time, gru_step, lstm_step, rnn_step
from jaxnn.check._stacks import dense, numbers
from jaxnn.check._vectors import parts
from jaxnn.layers.tree_shapes import Tree


def _layer(params, bias_in):
    """The arrays of a recurrent layer."""
    return params["dense_i"]["kernel"], params[bias_in]["bias"], params["dense_h"]["kernel"]


def _two_layers(params, xs):
    along = along_time(rnn_step)
    states = parts(along(*_layer(params["layer_0"], "dense_i"), xs), len(xs))
    states = parts(along(*_layer(params["layer_1"], "dense_i"), states), len(xs))
    return dense(params["dense"], states[-1])


def _two_ways(params, xs):
    """Of each way where it has seen the whole sequence."""
    along, both = along_time(gru_step), params["layer_0"]
    ends = [
        parts(along(*_layer(both[way], "dense_i"), rows), len(xs))[-1]
        for way, rows in (("forward", xs), ("backward", xs[::-1]))
    ]
    return dense(params["dense"], ends[0] + ends[1])


def _at_every_step(params, xs):
    states = along_time(lstm_step, 2)(*_layer(params["layer_0"], "dense_h"), xs)
    return [y for h in parts(states, len(xs)) for y in dense(params["dense"], h)]


def _of_tree():
    net, gates = networks.recursive_network(3, 2, 2), "igof"
    ids = np.array([0, 2, 1, 2, 0, 1], np.int32)

    def f(params, ids):
        return net.apply(params, (ids, Tree(jnp.array(_sequences.DEPTHS), 3)))

    def truth(params, ids):
        cell = params["tree_lstm"]
        beside = lambda way, which: [
            [v for gate in gates for v in cell[way + gate][which][i]] for i in range(2)
        ]
        bias = [v for gate in gates for v in cell["h" + gate]["bias"]]
        rows = [params["embedding"]["embedding"][i] for i in ids]
        arrays = beside("i", "kernel"), bias, beside("h", "kernel")
        return dense(params["dense"], _sequences.tree_lstm(*arrays, rows)[-2:])

    name = "networks.recursive_network"
    return of_params(name, params_of(net), f, truth, constants=[ids], examples=2)


def _sequences_and_trees():
    n, xs = networks, (3, 2)
    scan = {"forward": False}
    return [
        plain("rnn", n.rnn(2, 2, 2, layers=2), _two_layers, xs, **scan),
        plain("gru", n.gru(2, 2, 2, bidirectional=True), _two_ways, xs, **scan),
        plain("lstm", n.lstm(2, 2, 2, every_step=True), _at_every_step, xs, **scan),
        _of_tree(),
    ]


# Transformers, with two heads of queries that share keys and values

SIZES = {"width": 4, "heads": 2, "groups": 1, "hidden": 3, "depth": 1, "length": 4}
IDS = np.array([2, 0, 1], np.int32)


def _decoder():
    net = networks.transformer(3, **SIZES)
    truth = lambda params, ids: numbers(_stacks.transformer(params, ids))
    return _attentive("transformer", net, lambda p, ids: net.apply(p, ids), truth, [IDS])


def _encoder():
    net = networks.transformer_encoder(3, 2, **SIZES)
    truth = lambda params, ids: numbers(_stacks.transformer(params, ids, causal=False))
    return _attentive("transformer_encoder", net, lambda p, ids: net.apply(p, ids), truth, [IDS])


def _translated(params, source, target):
    context = _stacks.transformer(params["encoder"], source, causal=False)
    return _stacks.transformer(params["decoder"], target, context)


def _both_sides():
    net = networks.sequence_to_sequence(3, 3, **SIZES)
    return _attentive(
        "sequence_to_sequence", net, lambda p, *ids: net.apply(p, ids),
        lambda *args: numbers(_translated(*args)), [IDS[:2], IDS[1:]], examples=1,
    )  # fmt: skip


def _attentive(name, net, f, truth, ids, examples=2):
    """Of weights half as large, as `_halved` in the attention of one layer.

    Rows of four are normalized three times, and what is lost of a short one is passed on.
    """
    options = {"constants": ids, "scale": 0.5, "examples": examples, "bound": 4e-6}
    return of_params("networks." + name, params_of(net), f, truth, **options)


def _likeliest(logits):
    return max(range(len(logits)), key=lambda i: logits[i])


def _written():
    """What is written without a key: each time the likeliest id."""
    decoder = networks.transformer(3, **SIZES)
    both = networks.sequence_to_sequence(3, 3, **SIZES)

    def continued(params, ids):
        for _ in range(2):
            ids = [*ids, _likeliest(_stacks.transformer(params, ids)[-1])]
        return ids

    def translated(params, source, target):
        for _ in range(2):
            target = [*target, _likeliest(_translated(params, source, target)[-1])]
        return target

    f = lambda params, ids: decoder.sample(params, ids[None], 2)[0]
    g = lambda params, *ids: both.sample(params, tuple(i[None] for i in ids), 2)[0]
    options = {"wrt": 0, "examples": 8, "scale": 0.5}
    return [
        of_params(
            "networks.transformer (sample)", params_of(decoder), f, continued,
            constants=[IDS[:2]], **options,
        ),
        of_params(
            "networks.sequence_to_sequence (sample)", params_of(both), g, translated,
            constants=[IDS, IDS[:1]], **options,
        ),
    ]  # fmt: skip


def entries():
    """All of them."""
    transformers = [_decoder(), _encoder(), _both_sides(), *_written()]
    return [*_sequences_and_trees(), *transformers]
