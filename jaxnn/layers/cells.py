r"""Recurrent cells: one step of a simple RNN, a GRU and an LSTM.

A cell is a function `cell(params, carry, x) -> (carry, y)`, the shape of step that
`jax.lax.scan` repeats; `unroll` runs any cell along a sequence, and `simple_rnn`, `gru` and
`lstm` do the same for these three in fewer, larger products.

Gates stand side by side in one kernel, so that a step is one matrix product. Names and layouts
are those of the cells of `flax.nnx` (`OptimizedLSTMCell` for the LSTM): `dense_i` takes the
input, `dense_h` the hidden state.
"""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks
from jaxnn.activations import sigmoid, sigmoid_grad, tanh, tanh_grad
from jaxnn.initializers import Initializer, glorot_uniform, orthogonal

__all__ = [
    "gru_cell", "gru_cell_vjp", "gru_init",
    "lstm_cell", "lstm_cell_vjp", "lstm_init",
    "rnn_cell", "rnn_cell_vjp",
    "simple_rnn_init",
]  # fmt: skip

Params = dict[str, dict[str, Array]]


def simple_rnn_init(
    key: Array,
    features: int,
    hidden: int,
    kernel_init: Initializer = glorot_uniform(),
    recurrent_init: Initializer = orthogonal(),
) -> Params:
    """Parameters of `simple_rnn` and `rnn_cell`.

    Args:
        key: the source of the kernels.
        features: of the input.
        hidden: features of the hidden state.
        kernel_init: how to draw the kernel of the input.
        recurrent_init: how to draw the kernel of the hidden state. An orthogonal one keeps the
            length of what it carries from step to step.

    Returns:
        `{"dense_i": {"kernel": [features, hidden], "bias": [hidden]},
        "dense_h": {"kernel": [hidden, hidden]}}`, as in `flax.nnx.SimpleCell`.

    Raises:
        ValueError: if a size is not positive.

    Example:
        >>> params = simple_rnn_init(jax.random.key(0), 3, 4)
        >>> params["dense_i"]["kernel"].shape, params["dense_h"]["kernel"].shape
        ((3, 4), (4, 4))
    """
    return _gates("simple_rnn_init", key, features, hidden, 1, kernel_init, recurrent_init)


def rnn_cell(params: Params, carry: Array, x: Array) -> tuple[Array, Array]:
    r"""One step of a simple (Elman) recurrent network, \( h' = \tanh(x W_i + b + h W_h) \).

    Args:
        params: as `simple_rnn_init` makes them.
        carry: the hidden state h, `[..., hidden]`.
        x: inputs, `[..., features]`.

    Returns:
        The new hidden state, twice: as carry and as output.

    Raises:
        ValueError: if a last axis does not fit the parameters.
        TypeError: if `x` does not hold floats.

    Example:
        >>> params = simple_rnn_init(jax.random.key(0), 3, 4)
        >>> h, y = rnn_cell(params, jnp.zeros(4), jnp.ones(3))
        >>> y.shape
        (4,)

    Reference:
        Elman, "Finding structure in time", Cognitive Science 1990.
    """
    _check("rnn_cell", params, carry, x)
    with jax.named_scope("rnn_cell"):
        h = tanh(_affine(params["dense_i"], x) + _affine(params["dense_h"], carry))
        return h, h


def rnn_cell_vjp(
    g: tuple[Array, Array], params: Params, carry: Array, x: Array
) -> tuple[Params, Array, Array]:
    r"""Pulls the cotangents `g` of carry and output back through `rnn_cell`.

    Both are the hidden state, so \( \delta = (g_{carry} + g_y) \odot \tanh'(z) \), and then the
    two products of a dense layer each: \( \partial W_i = x^T \delta \),
    \( \partial W_h = h^T \delta \), \( \partial b = \sum \delta \),
    \( \partial x = \delta W_i^T \), \( \partial h = \delta W_h^T \).

    Returns:
        The cotangents of `params`, `carry` and `x`.
    """
    z = _affine(params["dense_i"], x) + _affine(params["dense_h"], carry)
    delta = (g[0] + g[1]) * tanh_grad(z)
    return _through_gates(delta, delta, params, carry, x)


def gru_init(
    key: Array,
    features: int,
    hidden: int,
    kernel_init: Initializer = glorot_uniform(),
    recurrent_init: Initializer = orthogonal(),
) -> Params:
    """Parameters of `gru` and `gru_cell`; each gate is drawn by itself.

    Args:
        key: the source of the kernels.
        features: of the input.
        hidden: features of the hidden state.
        kernel_init: how to draw the kernel of the input.
        recurrent_init: how to draw the kernel of the hidden state.

    Returns:
        `{"dense_i": {"kernel": [features, 3 hidden], "bias": [3 hidden]},
        "dense_h": {"kernel": [hidden, 3 hidden]}}` with the gates r, z, n, as in
        `flax.nnx.GRUCell`.

    Raises:
        ValueError: if a size is not positive.

    Example:
        >>> gru_init(jax.random.key(0), 3, 4)["dense_h"]["kernel"].shape
        (4, 12)
    """
    return _gates("gru_init", key, features, hidden, 3, kernel_init, recurrent_init)


def gru_cell(params: Params, carry: Array, x: Array) -> tuple[Array, Array]:
    r"""One step of a gated recurrent unit.

    With \( u = x W_i + b \) and \( v = h W_h \), each split into the gates r, z, n:

    .. math:: r = \sigma(u_r + v_r), \quad z = \sigma(u_z + v_z), \quad
              n = \tanh(u_n + r \odot v_n), \quad h' = (1 - z) \odot n + z \odot h

    The reset gate r is applied after the product, as in PyTorch, cuDNN and Flax; Cho et al.
    apply it before.

    Args:
        params: as `gru_init` makes them.
        carry: the hidden state h, `[..., hidden]`.
        x: inputs, `[..., features]`.

    Returns:
        The new hidden state, twice: as carry and as output.

    Raises:
        ValueError: if a last axis does not fit the parameters.
        TypeError: if `x` does not hold floats.

    Example:
        >>> params = gru_init(jax.random.key(0), 3, 4)
        >>> h, y = gru_cell(params, jnp.zeros(4), jnp.ones(3))
        >>> y.shape
        (4,)

    Reference:
        Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
        machine translation", EMNLP 2014.
    """
    _check("gru_cell", params, carry, x)
    with jax.named_scope("gru_cell"):
        ur, uz, un = jnp.split(_affine(params["dense_i"], x), 3, -1)
        vr, vz, vn = jnp.split(_affine(params["dense_h"], carry), 3, -1)
        r, z = sigmoid(ur + vr), sigmoid(uz + vz)
        h = (1 - z) * tanh(un + r * vn) + z * carry
        return h, h


def gru_cell_vjp(
    g: tuple[Array, Array], params: Params, carry: Array, x: Array
) -> tuple[Params, Array, Array]:
    r"""Pulls the cotangents `g` of carry and output back through `gru_cell`.

    With \( \bar h = g_{carry} + g_y \) and the pre-activations \( a_r, a_z, a_n \):

    .. math:: \delta_n = \bar h (1 - z) \tanh'(a_n), \quad
              \delta_z = \bar h (h - n)\, \sigma'(a_z), \quad
              \delta_r = \delta_n v_n\, \sigma'(a_r)

    The input meets \( (\delta_r, \delta_z, \delta_n) \), the hidden state
    \( (\delta_r, \delta_z, r \delta_n) \), and a part \( z \bar h \) goes straight through.

    Returns:
        The cotangents of `params`, `carry` and `x`.
    """
    ur, uz, un = jnp.split(_affine(params["dense_i"], x), 3, -1)
    vr, vz, vn = jnp.split(_affine(params["dense_h"], carry), 3, -1)
    r, z = sigmoid(ur + vr), sigmoid(uz + vz)
    n = tanh(un + r * vn)
    h = g[0] + g[1]
    dn = h * (1 - z) * tanh_grad(un + r * vn)
    dz = h * (carry - n) * sigmoid_grad(uz + vz)
    dr = dn * vn * sigmoid_grad(ur + vr)
    du = jnp.concatenate([dr, dz, dn], -1)
    dv = jnp.concatenate([dr, dz, r * dn], -1)
    grads, in_carry, in_x = _through_gates(du, dv, params, carry, x)
    return grads, in_carry + z * h, in_x


def lstm_init(
    key: Array,
    features: int,
    hidden: int,
    kernel_init: Initializer = glorot_uniform(),
    recurrent_init: Initializer = orthogonal(),
    forget_bias: float = 1.0,
) -> Params:
    """Parameters of `lstm` and `lstm_cell`; each gate is drawn by itself.

    Args:
        key: the source of the kernels.
        features: of the input.
        hidden: features of the hidden state.
        kernel_init: how to draw the kernel of the input.
        recurrent_init: how to draw the kernel of the hidden state.
        forget_bias: bias of the forget gate; 1 lets the memory last from the start.

    Returns:
        `{"dense_i": {"kernel": [features, 4 hidden]}, "dense_h": {"kernel": [hidden,
        4 hidden], "bias": [4 hidden]}}` with the gates i, f, g, o, as in
        `flax.nnx.OptimizedLSTMCell`.

    Raises:
        ValueError: if a size is not positive.

    Example:
        >>> lstm_init(jax.random.key(0), 3, 2)["dense_h"]["bias"]
        Array([0., 0., 1., 1., 0., 0., 0., 0.], dtype=float32)

    Reference:
        Jozefowicz, Zaremba and Sutskever, "An empirical exploration of recurrent network
        architectures", ICML 2015 (the forget bias).
    """
    params = _gates("lstm_init", key, features, hidden, 4, kernel_init, recurrent_init)
    bias = params["dense_i"].pop("bias")
    params["dense_h"]["bias"] = bias.at[hidden : 2 * hidden].set(forget_bias)
    return params


def lstm_cell(
    params: Params, carry: tuple[Array, Array], x: Array
) -> tuple[tuple[Array, Array], Array]:
    r"""One step of a long short-term memory.

    With \( a = x W_i + h W_h + b \), split into the gates i, f, g, o:

    .. math:: c' = \sigma(a_f) \odot c + \sigma(a_i) \odot \tanh(a_g), \qquad
              h' = \sigma(a_o) \odot \tanh(c')

    The memory c is added to, not multiplied by a kernel: along it the gradient passes from
    step to step as \( \sigma(a_f) \).

    Args:
        params: as `lstm_init` makes them.
        carry: memory and hidden state `(c, h)`, each `[..., hidden]`, in Flax's order.
        x: inputs, `[..., features]`.

    Returns:
        The new `(c, h)`, and h as the output.

    Raises:
        ValueError: if a last axis does not fit the parameters.
        TypeError: if `x` does not hold floats.

    Example:
        >>> params = lstm_init(jax.random.key(0), 3, 4)
        >>> (c, h), y = lstm_cell(params, (jnp.zeros(4), jnp.zeros(4)), jnp.ones(3))
        >>> y.shape
        (4,)

    Reference:
        Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 1997; Gers,
        Schmidhuber and Cummins, "Learning to forget", Neural Computation 2000.
    """
    c, h = carry
    _check("lstm_cell", params, h, x)
    with jax.named_scope("lstm_cell"):
        a = _affine(params["dense_i"], x) + _affine(params["dense_h"], h)
        i, f, g, o = jnp.split(a, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        return (c, h), h


def lstm_cell_vjp(
    g: tuple[tuple[Array, Array], Array], params: Params, carry: tuple[Array, Array], x: Array
) -> tuple[Params, tuple[Array, Array], Array]:
    r"""Pulls the cotangents `g` of `(c', h')` and of the output back through `lstm_cell`.

    With \( \bar h = g_{h'} + g_y \), first to the new memory,
    \( \bar c = g_{c'} + \bar h\, \sigma(a_o) \tanh'(c') \), and from there to the gates:

    .. math:: \delta_o = \bar h \tanh(c')\, \sigma'(a_o), \quad
              \delta_i = \bar c \tanh(a_g)\, \sigma'(a_i), \quad
              \delta_f = \bar c\, c\, \sigma'(a_f), \quad
              \delta_g = \bar c\, \sigma(a_i) \tanh'(a_g)

    The old memory has \( \partial c = \bar c\, \sigma(a_f) \); the rest is a dense layer.

    Returns:
        The cotangents of `params`, `carry` and `x`.
    """
    (in_new_c, in_new_h), in_y = g
    c, h = carry
    a = _affine(params["dense_i"], x) + _affine(params["dense_h"], h)
    i, f, u, o = jnp.split(a, 4, -1)
    new_c = sigmoid(f) * c + sigmoid(i) * tanh(u)
    in_h = in_new_h + in_y
    in_c = in_new_c + in_h * sigmoid(o) * tanh_grad(new_c)
    delta = jnp.concatenate(
        [
            in_c * tanh(u) * sigmoid_grad(i),
            in_c * c * sigmoid_grad(f),
            in_c * sigmoid(i) * tanh_grad(u),
            in_h * tanh(new_c) * sigmoid_grad(o),
        ],
        -1,
    )
    grads, in_h, in_x = _through_gates(delta, delta, params, h, x)
    return grads, (in_c * sigmoid(f), in_h), in_x


def _gates(function, key, features, hidden, gates, kernel_init, recurrent_init):
    """Kernels of several gates side by side, each drawn for its own fan."""
    _checks.sizes(function, features=features, hidden=hidden)
    dtype = jnp.result_type(float)

    def beside(key, init, rows):
        keys = jax.random.split(key, gates)
        return jnp.concatenate([init(k, (rows, hidden), dtype) for k in keys], -1)

    input_key, hidden_key = jax.random.split(key)
    return {
        "dense_i": {
            "kernel": beside(input_key, kernel_init, features),
            "bias": jnp.zeros(gates * hidden, dtype),
        },
        "dense_h": {"kernel": beside(hidden_key, recurrent_init, hidden)},
    }


def _check(function, params, h, x):
    _checks.floating(function, x=x)
    _checks.last_axis(function, params["dense_i"]["kernel"].shape[0], x=x)
    _checks.last_axis(function, params["dense_h"]["kernel"].shape[0], carry=h)


def _affine(params, x):
    y = x @ params["kernel"]
    return y + params["bias"] if "bias" in params else y


def _through_gates(du, dv, params, h, x):
    """Cotangents of both dense parts, given those of their outputs, and of h and x."""
    grads = {}
    for name, delta, a in (("dense_i", du, x), ("dense_h", dv, h)):
        rows = delta.reshape(-1, delta.shape[-1])
        grads[name] = {"kernel": a.reshape(-1, a.shape[-1]).T @ rows}
        if "bias" in params[name]:
            grads[name]["bias"] = rows.sum(0)
    return grads, dv @ params["dense_h"]["kernel"].T, du @ params["dense_i"]["kernel"].T
