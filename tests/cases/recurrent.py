"""Sample points of recurrent cells and layers."""

import numpy as np

from cases._case import Case
from jaxnn import layers

draw = np.random.default_rng(6).normal


def gates(count, bias, features=2, hidden=2):
    params = {
        "dense_i": {"kernel": draw(size=(features, count * hidden))},
        "dense_h": {"kernel": draw(size=(hidden, count * hidden))},
    }
    params[bias]["bias"] = draw(size=count * hidden)
    return params


RNN, GRU, LSTM = gates(1, "dense_i"), gates(3, "dense_i"), gates(4, "dense_h")
XS = draw(size=(2, 4, 2))
LENGTHS = np.array([4, 2])
IMPOSSIBLE = np.array([-1, 5])
BACK = {"reverse": True}
BOTH = (0, 1)
STATE = draw(size=(3, 2))
THREE = {"wrt": (0, 1, 2)}

CASES = {
    layers.bidirectional: [
        Case(layers.simple_rnn, {"forward": RNN, "backward": gates(1, "dense_i")}, XS, LENGTHS,
             wrt=(1, 2), forward=False),
        Case(layers.simple_rnn, {"forward": RNN, "backward": RNN}, XS, IMPOSSIBLE,
             wrt=(1, 2), forward=False, edge=True),
    ],
    layers.gru: [
        Case(GRU, draw(size=(3, 2)), wrt=BOTH, forward=False),
        Case(GRU, XS, LENGTHS, wrt=BOTH, options=BACK, forward=False),
        Case(GRU, XS, IMPOSSIBLE, wrt=BOTH, forward=False, edge=True),
    ],
    layers.gru_cell: [Case(GRU, STATE, draw(size=(3, 2)), **THREE)],
    layers.lstm: [
        Case(LSTM, draw(size=(3, 2)), wrt=BOTH, forward=False),
        Case(LSTM, XS, LENGTHS, wrt=BOTH, options=BACK, forward=False),
        Case(LSTM, XS, IMPOSSIBLE, wrt=BOTH, forward=False, edge=True),
    ],
    layers.lstm_cell: [Case(LSTM, (STATE, draw(size=(3, 2))), draw(size=(3, 2)), **THREE)],
    layers.rnn_cell: [Case(RNN, STATE, draw(size=(3, 2)), **THREE)],
    layers.simple_rnn: [
        Case(RNN, draw(size=(3, 2)), wrt=BOTH, forward=False),
        Case(RNN, XS, LENGTHS, wrt=BOTH, options=BACK, forward=False),
        Case(RNN, XS, IMPOSSIBLE, wrt=BOTH, forward=False, edge=True),
    ],
    layers.stacked: [
        Case(layers.simple_rnn, {"layer_0": gates(1, "dense_i", 2, 3),
                                 "layer_1": gates(1, "dense_i", 3, 2)}, XS, LENGTHS,
             wrt=(1, 2), forward=False),
        Case(layers.gru, {"layer_0": GRU, "layer_1": gates(3, "dense_i")}, XS[0],
             wrt=(1, 2), options=BACK, forward=False),
        Case(layers.simple_rnn, {"layer_0": RNN, "layer_1": RNN}, XS, IMPOSSIBLE,
             wrt=(1, 2), forward=False, edge=True),
    ],
    layers.unroll: [
        Case(layers.lstm_cell, LSTM, (STATE[:2], STATE[1:]), XS, LENGTHS, wrt=(1, 2, 3)),
        Case(layers.rnn_cell, RNN, STATE[:2], XS, wrt=(1, 2, 3), options=BACK),
        Case(layers.rnn_cell, RNN, STATE[:2], XS, IMPOSSIBLE, wrt=(1, 2, 3), edge=True),
    ],
}  # fmt: skip
