r"""Whole sequences through a simple RNN, a GRU or an LSTM, with backpropagation through time.

All three are arranged alike, for speed and to be read.

Forward: the input meets its kernel in one product for all steps, before the loop, which is left
with \( h_{t-1} W_h \) and the gates.

Backward: everything that does not depend on what comes back from later steps is computed
for all steps at once, as factors of the deltas. The loop walks from the last step to the first
and carries only the cotangent of the state:

.. math:: \bar h_{t-1} = \delta_t W_h^T + \ldots

It collects the deltas \( \delta_t \) and no weight gradient. These are products over all steps
afterwards, \( \partial W_h = \sum_t h_{t-1}^T \delta_t \) and
\( \partial W_i = \sum_t x_t^T \delta_t \), one large product each where automatic
differentiation adds up a small one in every step. That is why these rules are installed.

Padding (steps from `lengths` on) leaves the state as it is; inputs there may hold anything.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn import _checks
from jaxnn.activations import sigmoid_grad, tanh_grad
from jaxnn.layers._padding import possible, step_mask
from jaxnn.layers.cells import Params

__all__ = [
    "gru", "gru_vjp",
    "lstm", "lstm_vjp",
    "simple_rnn", "simple_rnn_vjp",
]  # fmt: skip


def simple_rnn(
    params: Params, xs: Array, lengths: Array | None = None, reverse: bool = False
) -> Array:
    r"""A simple (Elman) recurrent layer, \( h_t = \tanh(x_t W_i + b + h_{t-1} W_h) \).

    The first state is zero; to start from another, or to have the last one, use `unroll`.

    Args:
        params: as `simple_rnn_init` makes them.
        xs: inputs, `[..., time, features]`.
        lengths: how many steps of each sequence count, integers `[...]`; outputs after them
            are zero.
        reverse: whether to run from the last step (of each sequence) to the first.

    Returns:
        The hidden states, `[..., time, hidden]`.

    Raises:
        ValueError: if shapes don't fit, or a length is not within [0, time]; under `jit`, such
            a sequence is NaN.
        TypeError: if `xs` does not hold floats, or `lengths` no integers.

    Example:
        >>> from jaxnn.layers import simple_rnn_init
        >>> params = simple_rnn_init(jax.random.key(0), 3, 4)
        >>> ys = simple_rnn(params, jnp.ones((2, 5, 3)), lengths=jnp.array([5, 2]))
        >>> ys.shape, float(jnp.abs(ys[1, 2:]).max())
        ((2, 5, 4), 0.0)

    Reference:
        Elman, "Finding structure in time", Cognitive Science 1990.
    """
    with jax.named_scope("simple_rnn"):
        return _whole("simple_rnn", _simple_rnn, params, xs, lengths, reverse)


def simple_rnn_vjp(
    g: Array, params: Params, xs: Array, lengths: Array | None = None, reverse: bool = False
) -> tuple[Params, Array]:
    r"""Backpropagation through time: pulls the cotangent `g` back through `simple_rnn`.

    With the pre-activations \( z_t \), walking back from \( \bar h = 0 \):

    .. math:: \delta_t = (g_t + \bar h_t) \odot \tanh'(z_t), \qquad
              \bar h_{t-1} = \delta_t W_h^T

    and then over all steps \( \partial W_h = \sum_t h_{t-1}^T \delta_t \),
    \( \partial W_i = \sum_t x_t^T \delta_t \), \( \partial b = \sum_t \delta_t \),
    \( \partial x_t = \delta_t W_i^T \).

    Returns:
        The cotangents of `params` and `xs`.
    """
    return _whole_vjp("simple_rnn_vjp", _simple_rnn_vjp, g, params, xs, lengths, reverse)


@jax.custom_vjp
def _simple_rnn(params, xs, on):
    return _simple_rnn_forward(params, xs, on)[0]


def _simple_rnn_forward(params, xs, on):
    kernel = params["dense_h"]["kernel"]

    def step(h, inputs):
        u, on = inputs
        z = u + h @ kernel
        new = _select(on, jnp.tanh(z), h)
        return new, (_select(on, new, 0), (z, h))

    u = _affine(params["dense_i"], xs)
    _, (ys, saved) = lax.scan(step, _state(u, kernel), (u, on))
    return ys, (params, xs, on, saved)


def _simple_rnn_backward(residuals, g):
    params, xs, on, (z, before) = residuals
    kernel = params["dense_h"]["kernel"]
    slopes = _select(on, tanh_grad(z), 0)

    def step(in_h, inputs):
        g, slope, on = inputs
        in_h = in_h + _select(on, g, 0)
        delta = in_h * slope
        return _select(on, delta @ kernel.T, in_h), delta

    _, delta = lax.scan(step, _state(g, kernel), (g, slopes, on), reverse=True)
    return _weights(params, xs, before, delta, delta)


def gru(params: Params, xs: Array, lengths: Array | None = None, reverse: bool = False) -> Array:
    r"""A gated recurrent layer: `gru_cell` along a sequence.

    The first state is zero; to start from another, or to have the last one, use `unroll`.

    Args:
        params: as `gru_init` makes them.
        xs: inputs, `[..., time, features]`.
        lengths: how many steps of each sequence count, integers `[...]`; outputs after them
            are zero.
        reverse: whether to run from the last step (of each sequence) to the first.

    Returns:
        The hidden states, `[..., time, hidden]`.

    Raises:
        ValueError: if shapes don't fit, or a length is not within [0, time]; under `jit`, such
            a sequence is NaN.
        TypeError: if `xs` does not hold floats, or `lengths` no integers.

    Example:
        >>> from jaxnn.layers import gru_init
        >>> gru(gru_init(jax.random.key(0), 3, 4), jnp.ones((2, 5, 3))).shape
        (2, 5, 4)

    Reference:
        Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
        machine translation", EMNLP 2014.
    """
    with jax.named_scope("gru"):
        return _whole("gru", _gru, params, xs, lengths, reverse)


def gru_vjp(
    g: Array, params: Params, xs: Array, lengths: Array | None = None, reverse: bool = False
) -> tuple[Params, Array]:
    r"""Backpropagation through time: pulls the cotangent `g` back through `gru`.

    With \( u = x W_i + b \), \( v = h_{t-1} W_h \) and the pre-activations
    \( a_r = u_r + v_r \), \( a_z = u_z + v_z \), \( a_n = u_n + r v_n \), walking back with
    \( \bar h \), which starts at 0 and at each step gets \( g_t \) added:

    .. math:: \delta_n = \bar h\, (1 - z) \tanh'(a_n), \quad
              \delta_z = \bar h\, (h_{t-1} - n)\, \sigma'(a_z), \quad
              \delta_r = \delta_n\, v_n\, \sigma'(a_r)

    .. math:: \bar h_{t-1} = z \bar h + (\delta_r, \delta_z, r \delta_n)\, W_h^T

    Over all steps \( \partial W_h = \sum h_{t-1}^T (\delta_r, \delta_z, r \delta_n) \) and, with
    \( \delta = (\delta_r, \delta_z, \delta_n) \), \( \partial W_i = \sum x_t^T \delta \),
    \( \partial b = \sum \delta \), \( \partial x_t = \delta W_i^T \).

    Returns:
        The cotangents of `params` and `xs`.
    """
    return _whole_vjp("gru_vjp", _gru_vjp, g, params, xs, lengths, reverse)


@jax.custom_vjp
def _gru(params, xs, on):
    return _gru_forward(params, xs, on)[0]


def _gru_forward(params, xs, on):
    kernel = params["dense_h"]["kernel"]

    def step(h, inputs):
        u, on = inputs
        v = h @ kernel
        (ur, uz, un), (vr, vz, vn) = jnp.split(u, 3, -1), jnp.split(v, 3, -1)
        r, z = jax.nn.sigmoid(ur + vr), jax.nn.sigmoid(uz + vz)
        new = _select(on, (1 - z) * jnp.tanh(un + r * vn) + z * h, h)
        return new, (_select(on, new, 0), (v, h))

    u = _affine(params["dense_i"], xs)
    _, (ys, (v, before)) = lax.scan(step, _state(u, kernel), (u, on))
    return ys, (params, xs, on, (u, v, before))


def _gru_backward(residuals, g):
    params, xs, on, (u, v, before) = residuals
    kernel = params["dense_h"]["kernel"]
    (ur, uz, un), (vr, vz, vn) = jnp.split(u, 3, -1), jnp.split(v, 3, -1)
    r, z = jax.nn.sigmoid(ur + vr), jax.nn.sigmoid(uz + vz)
    an = un + r * vn
    # What each delta is a multiple of, for all steps at once.
    by_n = _select(on, (1 - z) * tanh_grad(an), 0)
    by_z = _select(on, (before - jnp.tanh(an)) * sigmoid_grad(uz + vz), 0)
    by_r = vn * sigmoid_grad(ur + vr)
    kept = _select(on, z, 1)

    def step(in_h, inputs):
        g, by_n, by_z, by_r, r, kept, on = inputs
        in_h = in_h + _select(on, g, 0)
        dn = in_h * by_n
        dz, dr = in_h * by_z, dn * by_r
        dv = jnp.concatenate([dr, dz, r * dn], -1)
        return in_h * kept + dv @ kernel.T, (dv, dn)

    inputs = (g, by_n, by_z, by_r, r, kept, on)
    _, (dv, dn) = lax.scan(step, _state(g, kernel), inputs, reverse=True)
    du = jnp.concatenate([dv[..., : 2 * kernel.shape[0]], dn], -1)
    return _weights(params, xs, before, du, dv)


def lstm(params: Params, xs: Array, lengths: Array | None = None, reverse: bool = False) -> Array:
    r"""A long short-term memory layer: `lstm_cell` along a sequence.

    The first state is zero; to start from another, or to have the last one, use `unroll`.

    Args:
        params: as `lstm_init` makes them.
        xs: inputs, `[..., time, features]`.
        lengths: how many steps of each sequence count, integers `[...]`; outputs after them
            are zero.
        reverse: whether to run from the last step (of each sequence) to the first.

    Returns:
        The hidden states, `[..., time, hidden]`.

    Raises:
        ValueError: if shapes don't fit, or a length is not within [0, time]; under `jit`, such
            a sequence is NaN.
        TypeError: if `xs` does not hold floats, or `lengths` no integers.

    Example:
        >>> from jaxnn.layers import lstm_init
        >>> lstm(lstm_init(jax.random.key(0), 3, 4), jnp.ones((2, 5, 3))).shape
        (2, 5, 4)

    Reference:
        Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 1997.
    """
    with jax.named_scope("lstm"):
        return _whole("lstm", _lstm, params, xs, lengths, reverse)


def lstm_vjp(
    g: Array, params: Params, xs: Array, lengths: Array | None = None, reverse: bool = False
) -> tuple[Params, Array]:
    r"""Backpropagation through time: pulls the cotangent `g` back through `lstm`.

    With the pre-activations \( a = x_t W_i + h_{t-1} W_h + b \) of the gates i, f, g, o, walking
    back with \( \bar h \) and \( \bar c \), which start at 0; at each step \( \bar h \) gets
    \( g_t \) added, and then

    1. what of it is in the memory: \( \bar c \mathrel{+}= \bar h\, \sigma(a_o) \tanh'(c_t) \);
    2. the gates: \( \delta_i = \bar c \tanh(a_g)\, \sigma'(a_i) \),
       \( \delta_f = \bar c\, c_{t-1}\, \sigma'(a_f) \),
       \( \delta_g = \bar c\, \sigma(a_i) \tanh'(a_g) \),
       \( \delta_o = \bar h \tanh(c_t)\, \sigma'(a_o) \);
    3. the step before: \( \bar c_{t-1} = \bar c\, \sigma(a_f) \) and
       \( \bar h_{t-1} = \delta W_h^T \).

    In step 3 the memory is multiplied by its forget gate alone, which the network can hold
    near 1: here the gradient survives over hundreds of steps. Over all steps
    \( \partial W_h = \sum h_{t-1}^T \delta \), \( \partial W_i = \sum x_t^T \delta \),
    \( \partial b = \sum \delta \), \( \partial x_t = \delta W_i^T \).

    Returns:
        The cotangents of `params` and `xs`.
    """
    return _whole_vjp("lstm_vjp", _lstm_vjp, g, params, xs, lengths, reverse)


@jax.custom_vjp
def _lstm(params, xs, on):
    return _lstm_forward(params, xs, on)[0]


def _lstm_forward(params, xs, on):
    kernel, bias = params["dense_h"]["kernel"], params["dense_h"]["bias"]

    def step(state, inputs):
        c, h = state
        u, on = inputs
        a = u + h @ kernel
        i, f, g, o = jnp.split(a, 4, -1)
        new_c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        new_h = jax.nn.sigmoid(o) * jnp.tanh(new_c)
        state = _select(on, new_c, c), _select(on, new_h, h)
        return state, (_select(on, new_h, 0), (a, c, h, new_c))

    u = _affine(params["dense_i"], xs) + bias
    zero = _state(u, kernel)
    _, (ys, saved) = lax.scan(step, (zero, zero), (u, on))
    return ys, (params, xs, on, saved)


def _lstm_backward(residuals, g):
    params, xs, on, (a, c, h, new_c) = residuals
    kernel = params["dense_h"]["kernel"]
    i, f, u, o = jnp.split(a, 4, -1)
    # What each delta is a multiple of, for all steps at once: i, f and g of the memory.
    in_memory = [
        jnp.tanh(u) * sigmoid_grad(i),
        c * sigmoid_grad(f),
        jax.nn.sigmoid(i) * tanh_grad(u),
    ]
    by_c = jnp.stack([_select(on, factor, 0) for factor in in_memory], -2)
    by_o = _select(on, jnp.tanh(new_c) * sigmoid_grad(o), 0)
    into_c = _select(on, jax.nn.sigmoid(o) * tanh_grad(new_c), 0)
    kept = _select(on, jax.nn.sigmoid(f), 1)

    def step(state, inputs):
        in_c, in_h = state
        g, by_c, by_o, into_c, kept, on = inputs
        in_h = in_h + _select(on, g, 0)
        in_c = in_c + in_h * into_c
        memory = (in_c[:, None] * by_c).reshape(len(in_c), 3 * kernel.shape[0])
        delta = jnp.concatenate([memory, in_h * by_o], -1)
        return (in_c * kept, _select(on, delta @ kernel.T, in_h)), delta

    zero = _state(g, kernel)
    inputs = (g, by_c, by_o, into_c, kept, on)
    _, delta = lax.scan(step, (zero, zero), inputs, reverse=True)
    return _weights(params, xs, h, delta, delta)


def _affine(params, xs):
    y = xs @ params["kernel"]
    return y + params["bias"] if "bias" in params else y


def _state(like, kernel):
    """A state of zeros, one for each sequence."""
    return jnp.zeros((like.shape[1], kernel.shape[0]), like.dtype)


def _select(on, new, old):
    """`new` where the step counts, else `old`; without a mask all steps count."""
    return new if on is None else jnp.where(on, new, old)


def _weights(params, xs, before, du, dv):
    """Gradients in the parameters as products over all steps, in the inputs, and in no mask."""
    steps = (0, 1)
    grads = {}
    for name, a, delta in (("dense_i", xs, du), ("dense_h", before, dv)):
        grads[name] = {"kernel": jnp.tensordot(a, delta, (steps, steps))}
        if "bias" in params[name]:
            grads[name]["bias"] = delta.sum(steps)
    return grads, du @ params["dense_i"]["kernel"].T, None


def _whole(function, layer, params, xs, lengths, reverse):
    """Runs `layer(params, xs, on)`, time first and forward, on sequences as they came."""
    wide, on = _prepared(function, params, xs, lengths)
    if reverse:
        wide, on = wide[::-1], None if on is None else on[::-1]
    ys = layer(_widened(params, wide.dtype), wide, on)
    return possible(_restored(ys[::-1] if reverse else ys, xs), xs.shape[-2], lengths)


def _whole_vjp(function, backward, g, params, xs, lengths, reverse):
    wide, on = _prepared(function, params, xs, lengths)
    hidden = params["dense_h"]["kernel"].shape[0]
    _checks.cotangent(function, g, (*xs.shape[:-1], hidden))
    g = _time_first(possible(g, xs.shape[-2], lengths)).astype(wide.dtype)
    if reverse:
        wide, g, on = wide[::-1], g[::-1], None if on is None else on[::-1]
    grads, in_xs = backward(g, _widened(params, wide.dtype), wide, on)
    if on is not None:
        in_xs = jnp.where(on, in_xs, 0)
    grads = jax.tree.map(lambda grad, leaf: grad.astype(leaf.dtype), grads, params)
    return grads, _restored(in_xs[::-1] if reverse else in_xs, xs)


def _prepared(function, params, xs, lengths):
    """Inputs `[time, sequences, features]`, computed in float32 or wider, and the mask."""
    _checks.floating(function, xs=xs)
    _checks.last_axis(function, params["dense_i"]["kernel"].shape[0], xs=xs)
    if jnp.ndim(xs) < 2:
        raise ValueError(
            f"{function}: xs must have shape [..., time, features], got {jnp.shape(xs)}. "
            "Add the axis of time: xs[None]."
        )
    on = step_mask(function, xs.shape[:-2], xs.shape[-2], lengths)
    wide = _time_first(xs).astype(_checks.wide(xs.dtype))
    if on is None:
        return wide, None
    on = _time_first(on[..., None])
    return jnp.where(on, wide, 0), on  # padding may hold anything, NaN too


def _widened(params, dtype):
    return jax.tree.map(lambda leaf: leaf.astype(dtype), params)


def _time_first(xs):
    count = math.prod(xs.shape[:-2])  # and not -1, which sequences of no steps leave open
    return jnp.moveaxis(xs.reshape(count, *xs.shape[-2:]), 1, 0)


def _restored(ys, xs):
    ys = jnp.moveaxis(ys, 0, 1)
    return ys.reshape(*xs.shape[:-1], ys.shape[-1]).astype(xs.dtype)


def _pulled(forward, backward):
    """`vjp(g, params, xs, on) -> (grads, in_xs)` of a layer from its two halves."""
    return lambda g, *at: backward(forward(*at)[1], g)[:2]


# Installed for speed: the weight gradients are one product over all steps, after the loop.
_simple_rnn.defvjp(_simple_rnn_forward, _simple_rnn_backward)
_gru.defvjp(_gru_forward, _gru_backward)
_lstm.defvjp(_lstm_forward, _lstm_backward)
_simple_rnn_vjp = _pulled(_simple_rnn_forward, _simple_rnn_backward)
_gru_vjp = _pulled(_gru_forward, _gru_backward)
_lstm_vjp = _pulled(_lstm_forward, _lstm_backward)
