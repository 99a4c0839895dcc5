"""Recurrent layers, along sequences and trees, and their truths."""

import jax.numpy as jnp

from jaxnn import layers
from jaxnn.check import _truth
from jaxnn.check._blocks import layer
from jaxnn.check._vectors import affine, flat, normal, parts, plus, product, sigmoid
from jaxnn.layers.tree_shapes import Tree

# A step of each cell, from what is carried to what is carried, as in its docstring.


def rnn_step(kernel_i, bias, kernel_h, carry, x):
    (h,) = carry
    return ([_truth.mp().tanh(z) for z in plus(affine(x, kernel_i, bias), product(h, kernel_h))],)


def gru_step(kernel_i, bias, kernel_h, carry, x):
    m, (h,) = _truth.mp(), carry
    ur, uz, un = parts(affine(x, kernel_i, bias), 3)
    vr, vz, vn = parts(product(h, kernel_h), 3)
    r, z = ([sigmoid(a) for a in plus(*pair)] for pair in ((ur, vr), (uz, vz)))
    n = [m.tanh(a + b * c) for a, b, c in zip(un, r, vn, strict=True)]
    return ([(1 - a) * b + a * c for a, b, c in zip(z, n, h, strict=True)],)


def lstm_step(kernel_i, bias, kernel_h, carry, x):
    c, h = carry
    i, f, g, o = parts(plus(product(x, kernel_i), product(h, kernel_h), bias), 4)
    return _memory([sigmoid(a) for a in i], [[sigmoid(a) for a in f]], g, o, [c])


def _memory(i, forget, g, o, memories):
    """The new memory and state of an LSTM, with a forget gate for each memory there is."""
    m = _truth.mp()
    c = [a * m.tanh(b) for a, b in zip(i, g, strict=True)]
    for gate, memory in zip(forget, memories, strict=True):
        c = plus(c, [a * b for a, b in zip(gate, memory, strict=True)])
    return c, [sigmoid(a) * m.tanh(b) for a, b in zip(o, c, strict=True)]


def along_time(step, carried=1):
    """A layer: the states after each step, from zeros."""

    def truth(kernel_i, bias, kernel_h, xs):
        carry, out = ([0] * len(kernel_h),) * carried, []
        for x in xs:
            carry = step(kernel_i, bias, kernel_h, carry, x)
            out.extend(carry[-1])
        return out

    return truth


def _one(step):
    """A cell: what it carries on."""

    def truth(kernel_i, bias, kernel_h, *rest):
        *carry, x = rest
        return [y for part in step(kernel_i, bias, kernel_h, carry, x) for y in part]

    return truth


def _unrolled(kernel_i, bias, kernel_h, h, xs):
    """What the last step carries on, and the outputs of all."""
    carry, out = (h,), []
    for x in xs:
        carry = gru_step(kernel_i, bias, kernel_h, carry, x)
        out.extend(carry[0])
    return [*carry[0], *out]


def _both_ways(kernel_i, bias, kernel_h, xs):
    """The same layer forward and backward, side by side at each step."""
    along = along_time(rnn_step)
    forward = parts(along(kernel_i, bias, kernel_h, xs), len(xs))
    backward = parts(along(kernel_i, bias, kernel_h, xs[::-1]), len(xs))[::-1]
    return [y for pair in zip(forward, backward, strict=True) for side in pair for y in side]


def _twice(kernel_i, bias, kernel_h, xs):
    """The same layer upon itself."""
    along = along_time(rnn_step)
    below = parts(along(kernel_i, bias, kernel_h, xs), len(xs))
    return along(kernel_i, bias, kernel_h, below)


def _params(bias_in, kernel_i, bias, kernel_h):
    """In the layout of Flax, which keeps the bias in `bias_in`."""
    params = {"dense_i": {"kernel": kernel_i}, "dense_h": {"kernel": kernel_h}}
    params[bias_in]["bias"] = bias
    return params


def _arrays(bias_in, grads):
    in_i, in_h = (grads[part]["kernel"] for part in ("dense_i", "dense_h"))
    return in_i, grads[bias_in]["bias"], in_h


def _whole(name, bias_in):
    """A layer, and its closed form."""
    f, f_vjp = getattr(layers, name), getattr(layers, name + "_vjp")

    def pulled_back(g, *args):
        grads, in_xs = f_vjp(g, _params(bias_in, *args[:3]), args[3])
        return *_arrays(bias_in, grads), in_xs

    return lambda *args: f(_params(bias_in, *args[:3]), args[3]), pulled_back


def _cell(name, bias_in):
    """A cell of what it carries, to what it carries on. Its output is a part of that."""
    f, f_vjp = getattr(layers, name), getattr(layers, name + "_vjp")
    packed = lambda carry: carry[0] if len(carry) == 1 else carry

    def of(kernel_i, bias, kernel_h, *rest):
        *carry, x = rest
        carry, _ = f(_params(bias_in, kernel_i, bias, kernel_h), packed(carry), x)
        return flat(*carry) if isinstance(carry, list | tuple) else carry

    def pulled_back(g, kernel_i, bias, kernel_h, *rest):
        *carry, x = rest
        into = packed(tuple(jnp.split(g, len(carry))))
        cotangent = into, jnp.zeros_like(carry[-1])
        params = _params(bias_in, kernel_i, bias, kernel_h)
        grads, in_carry, in_x = f_vjp(cotangent, params, packed(tuple(carry)), x)
        in_carry = in_carry if isinstance(in_carry, tuple) else (in_carry,)
        return *_arrays(bias_in, grads), *in_carry, in_x

    return of, pulled_back


def _unroll():
    tree = lambda *params: _params("dense_i", *params)

    def of(kernel_i, bias, kernel_h, h, xs):
        run = layers.unroll(layers.gru_cell, tree(kernel_i, bias, kernel_h), h[None], xs[None])
        return flat(*run)

    def pulled_back(g, kernel_i, bias, kernel_h, h, xs):
        into = g[: len(h)][None], g[len(h) :].reshape(1, len(xs), -1)
        grads, in_h, in_xs = layers.unroll_vjp(
            into, layers.gru_cell, tree(kernel_i, bias, kernel_h), h[None], xs[None]
        )
        return *_arrays("dense_i", grads), in_h[0], in_xs[0]

    return of, pulled_back


def _bidirectional():
    def tree(*params):
        both = _params("dense_i", *params)
        return {"forward": both, "backward": both}

    def pulled_back(g, *args):
        grads, in_xs = layers.bidirectional_vjp(g, layers.simple_rnn, tree(*args[:3]), args[3])
        ways = (_arrays("dense_i", grads[way]) for way in ("forward", "backward"))
        return *(a + b for a, b in zip(*ways, strict=True)), in_xs

    return lambda *args: layers.bidirectional(layers.simple_rnn, tree(*args[:3]), args[3]), (
        pulled_back
    )


def _stacked():
    def tree(*params):
        layer = _params("dense_i", *params)
        return {"layer_0": layer, "layer_1": layer}

    def pulled_back(g, *args):
        grads, in_xs = layers.stacked_vjp(g, layers.simple_rnn, tree(*args[:3]), args[3])
        each = (_arrays("dense_i", grads[name]) for name in ("layer_0", "layer_1"))
        return *(a + b for a, b in zip(*each, strict=True)), in_xs

    return lambda *args: layers.stacked(layers.simple_rnn, tree(*args[:3]), args[3]), pulled_back


# On one tree of five nodes behind a place of padding: two leaves under a node that stands
# beside another leaf under the root.
DEPTHS = (-1, 1, 2, 2, 1, 0)
CHILDREN = {1: (), 2: (), 3: (), 4: (2, 3), 5: (1, 4)}
GATES = "igof"


def _tree():
    return Tree(jnp.array(DEPTHS), 3)


def _tree_rnn(kernel_i, bias, kernel_h, xs):
    states, zero = {}, [0] * len(kernel_h)
    for j, children in CHILDREN.items():
        below = plus(zero, *(states[k] for k in children))
        z = plus(affine(xs[j], kernel_i, bias), product(below, kernel_h))
        states[j] = [_truth.mp().tanh(a) for a in z]
    return [*zero, *(y for h in states.values() for y in h)]


def tree_lstm(kernel_i, bias, kernel_h, xs):
    """With the gates i, g, o and f side by side."""
    memories, states, zero = {}, {}, [0] * len(kernel_h)
    for j, children in CHILDREN.items():
        from_x = affine(xs[j], kernel_i, bias)
        below = plus(zero, *(states[k] for k in children))
        i, g, o, _ = parts(plus(from_x, product(below, kernel_h)), 4)
        forget = [
            [sigmoid(a) for a in parts(plus(from_x, product(states[k], kernel_h)), 4)[3]]
            for k in children
        ]
        own = [memories[k] for k in children]
        memories[j], states[j] = _memory([sigmoid(a) for a in i], forget, g, o, own)
    return [*zero, *(y for h in states.values() for y in h)]


def _of_tree_rnn():
    tree = lambda kernel_i, bias, kernel_h: {
        "i": {"kernel": kernel_i, "bias": bias}, "h": {"kernel": kernel_h},
    }  # fmt: skip

    def pulled_back(g, *args):
        grads, in_xs = layers.tree_rnn_vjp(g, tree(*args[:3]), args[3], _tree())
        return grads["i"]["kernel"], grads["i"]["bias"], grads["h"]["kernel"], in_xs

    return lambda *args: layers.tree_rnn(tree(*args[:3]), args[3], _tree()), pulled_back


def _of_tree_lstm():
    def tree(kernel_i, bias, kernel_h):
        split = (jnp.split(a, len(GATES), -1) for a in (kernel_i, bias, kernel_h))
        params = {}
        for gate, w, b, u in zip(GATES, *split, strict=True):
            params |= {f"i{gate}": {"kernel": w}, f"h{gate}": {"kernel": u, "bias": b}}
        return params

    def pulled_back(g, *args):
        grads, in_xs = layers.tree_lstm_vjp(g, tree(*args[:3]), args[3], _tree())
        side_by_side = lambda way, which: jnp.concatenate(
            [grads[way + gate][which] for gate in GATES], -1
        )
        parts = side_by_side("i", "kernel"), side_by_side("h", "bias"), side_by_side("h", "kernel")
        return *parts, in_xs

    return lambda *args: layers.tree_lstm(tree(*args[:3]), args[3], _tree()), pulled_back


def entries():
    """All of them."""
    kernels = lambda gates: ((2, gates * 2), (gates * 2,), (2, gates * 2))
    along = lambda gates, time=3: normal(*kernels(gates), (time, 2), count=4)
    state = (2,)
    step = lambda gates, carried=1: normal(*kernels(gates), *[state] * carried, state, count=4)
    i, h = "dense_i", "dense_h"
    return [
        layer("rnn_cell", _cell("rnn_cell", i), _one(rnn_step), step(1), 5),
        layer("gru_cell", _cell("gru_cell", i), _one(gru_step), step(3), 5),
        layer("lstm_cell", _cell("lstm_cell", h), _one(lstm_step), step(4, 2), 6),
        *(
            layer(name, _whole(name, place), truth, along(gates), 4, forward=False)
            for name, place, truth, gates in (
                ("simple_rnn", i, along_time(rnn_step), 1),
                ("gru", i, along_time(gru_step), 3),
                ("lstm", h, along_time(lstm_step, 2), 4),
            )
        ),
        layer(
            "unroll", _unroll(), _unrolled,
            normal(*kernels(3), state, (3, 2), count=4), 5,
        ),
        layer("bidirectional", _bidirectional(), _both_ways, along(1), 4, forward=False),
        layer("stacked", _stacked(), _twice, along(1), 4, forward=False),
        layer("tree_rnn", _of_tree_rnn(), _tree_rnn, along(1, len(DEPTHS)), 4),
        layer("tree_lstm", _of_tree_lstm(), tree_lstm, along(4, len(DEPTHS)), 4),
    ]  # fmt: skip
