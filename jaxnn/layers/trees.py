r"""Recurrent layers on trees: the state of a node is computed from those of its children.

A tree is read in postorder, each node after its children, and stored as the depth of each node in
that order, from which its shape follows. A node adds its message to the sum of its level; its
parent, which is the next node one level up, takes that sum and clears it. So all that has to be
carried along is one sum for each level, and a node may have any number of children.

One `lax.scan` over the positions takes one node of every tree of a batch per step. Its length
and its state depend on the padded size alone: one compilation serves trees of every shape. Steps
over whole levels would be fewer, but unequal: they would be padded to the widest of all.

The backward pass is the same scan from the root to the leaves. Each node has one parent, so an
error comes down from one place, as in a recurrent network that forks. It is written out to be
read; JAX derives one that is as fast.
"""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks
from jaxnn.activations import sigmoid, sigmoid_grad, tanh, tanh_grad
from jaxnn.initializers import glorot_uniform, orthogonal
from jaxnn.layers._tree_scans import (
    from_root,
    of_parents,
    outer,
    places_of_parents,
    rows_of,
    to_parents,
    to_root,
)
from jaxnn.layers.tree_shapes import Tree

__all__ = [
    "tree_lstm", "tree_lstm_init", "tree_lstm_vjp",
    "tree_rnn", "tree_rnn_init", "tree_rnn_vjp",
]  # fmt: skip

GATES = "igof"  # side by side: three that see the sum of the children, and one for each child


def tree_rnn_init(key: Array, inputs: int, features: int) -> dict[str, dict[str, Array]]:
    """Parameters of `tree_rnn`: Glorot-uniform for inputs, orthogonal for states, zero bias.

    Args:
        key: the source of both kernels.
        inputs: features of the input of a node.
        features: features of its state.

    Returns:
        `{"i": {"kernel": [inputs, features], "bias": [features]}, "h": {"kernel":
        [features, features]}}`, which are also the parameters of `flax.linen.SimpleCell`.

    Raises:
        ValueError: if a size is not positive.

    Example:
        >>> params = tree_rnn_init(jax.random.key(0), 3, 2)
        >>> params["i"]["kernel"].shape, params["h"]["kernel"].shape
        ((3, 2), (2, 2))
    """
    _checks.sizes("tree_rnn_init", inputs=inputs, features=features)
    dtype = jnp.result_type(float)
    keys = jax.random.split(key)
    kernel = glorot_uniform()(keys[0], (inputs, features), dtype)
    return {
        "i": {"kernel": kernel, "bias": jnp.zeros(features, dtype)},
        "h": {"kernel": orthogonal()(keys[1], (features, features), dtype)},
    }


def tree_rnn(params: dict[str, dict[str, Array]], xs: Array, tree: Tree) -> Array:
    r"""Recursive network: the state of a node from its input and the sum of its children.

    .. math:: h_j = \tanh\Big(x_j W + \sum_{k \in C(j)} h_k U + b\Big)

    The sum does not know the order of the children: where it matters, let the inputs tell. On a
    chain this is the simple recurrent network.

    Args:
        params: `i` with `kernel` `[inputs, features]` and `bias`, `h` with `kernel`
            `[features, features]`.
        xs: inputs of the nodes, `[..., nodes, inputs]`; what stands in the padding is ignored.
        tree: the trees, with `depths` `[..., nodes]`.

    Returns:
        States of the nodes, `[..., nodes, features]`, zero in the padding. That of a tree from
        `pack_trees` as a whole is `[..., -1, :]`.

    Raises:
        ValueError: if shapes don't fit, or the depths are those of no tree (under `jit`,
            such a tree gives NaN).
        TypeError: if `xs` does not hold floats, or `depths` no integers.

    Example:
        >>> from jaxnn.networks import pack_trees
        >>> ids, tree = pack_trees([(7, 1, (8, 2, 3)), (4, 1)])
        >>> params = tree_rnn_init(jax.random.key(0), 1, 6)
        >>> tree_rnn(params, ids[..., None] / 10, tree).shape
        (2, 5, 6)

    Reference:
        Goller and Küchler, "Learning task-dependent distributed representations by
        backpropagation through structure", ICNN 1996.
    """
    rows = rows_of("tree_rnn", params["i"]["kernel"].shape[0], xs, tree)
    with jax.named_scope("tree_rnn"):
        h, _, _ = _rnn(_rnn_weights(params, rows), rows)
        return h.reshape(*xs.shape[:-1], h.shape[-1]).astype(xs.dtype)


def tree_rnn_vjp(
    g: Array, params: dict[str, dict[str, Array]], xs: Array, tree: Tree
) -> tuple[dict[str, dict[str, Array]], Array]:
    r"""Backpropagation through structure: pulls the cotangent `g` back through `tree_rnn`.

    With \( \delta_j = \partial L / \partial z_j \) of \( h_j = \tanh z_j \), from the root to
    the leaves. A node with parent p reaches the loss in two ways, by its own cotangent and as a
    term in the sum of p:

    .. math:: \delta_j = (g_j + \delta_p U^\top) \odot (1 - h_j^2)

    (a root has only the first). Then, over all nodes at once, with
    \( \tilde h_j = \sum_{k \in C(j)} h_k \):

    .. math:: \partial W = \sum_j x_j^\top \delta_j, \quad
              \partial U = \sum_j \tilde h_j^\top \delta_j, \quad
              \partial b = \sum_j \delta_j, \quad \partial x_j = \delta_j W^\top

    Returns:
        The cotangents of the parameters, shaped like `params`, and of `xs`.
    """
    rows = rows_of("tree_rnn_vjp", params["i"]["kernel"].shape[0], xs, tree)
    g = rows.cotangent("tree_rnn_vjp", g, params["h"]["kernel"].shape[0], xs)
    w, u, _ = weights = _rnn_weights(params, rows)
    _, z, h_sum = _rnn(weights, rows)

    def cell(now, from_parent):
        g, slope = now
        delta = (g + from_parent) * slope
        return delta @ u.T, delta

    delta = from_root(cell, (g, tanh_grad(z)), rows, u.shape[0])
    grads = {
        "i": {"kernel": outer(rows.xs, delta), "bias": delta.sum((0, 1))},
        "h": {"kernel": outer(h_sum, delta)},
    }
    grads = jax.tree.map(lambda a: a.astype(xs.dtype), grads)
    return grads, (delta @ w.T).reshape(xs.shape).astype(xs.dtype)


def _rnn_weights(params, rows):
    found = params["i"]["kernel"], params["h"]["kernel"], params["i"]["bias"]
    return tuple(a.astype(rows.xs.dtype) for a in found)


def _rnn(weights, rows):
    """States, pre-activations, and sums of the children's states."""
    w, u, b = weights

    def cell(now, h_sum):
        z, there = now
        z = z + h_sum @ u
        h = tanh(z) * there
        return h, (h, z, h_sum)

    return to_root(cell, (rows.xs @ w + b, rows.there), rows, u.shape[0])


def tree_lstm_init(key: Array, inputs: int, features: int) -> dict[str, dict[str, Array]]:
    """Parameters of `tree_lstm`: Glorot-uniform for inputs, orthogonal for states.

    Biases are zero, but for that of the forget gate, which is one: memory is kept at first.

    Args:
        key: the source of all kernels.
        inputs: features of the input of a node.
        features: features of its state.

    Returns:
        For each gate of `i f g o` an `"ii"` with `kernel` `[inputs, features]` and an `"hi"`
        with `kernel` `[features, features]` and `bias` `[features]`: also the parameters of
        `flax.linen.OptimizedLSTMCell`.

    Raises:
        ValueError: if a size is not positive.

    Example:
        >>> params = tree_lstm_init(jax.random.key(0), 3, 2)
        >>> sorted(params)
        ['hf', 'hg', 'hi', 'ho', 'if', 'ig', 'ii', 'io']
        >>> params["ii"]["kernel"].shape, params["hf"]["bias"]
        ((3, 2), Array([1., 1.], dtype=float32))
    """
    _checks.sizes("tree_lstm_init", inputs=inputs, features=features)
    dtype = jnp.result_type(float)
    params = {}
    for gate, keys in zip(GATES, jax.random.split(key, (len(GATES), 2)), strict=True):
        params[f"i{gate}"] = {"kernel": glorot_uniform()(keys[0], (inputs, features), dtype)}
        params[f"h{gate}"] = {
            "kernel": orthogonal()(keys[1], (features, features), dtype),
            "bias": jnp.full(features, float(gate == "f"), dtype),
        }
    return params


def tree_lstm(params: dict[str, dict[str, Array]], xs: Array, tree: Tree) -> Array:
    r"""Child-Sum TreeLSTM: each child's memory passes through a forget gate of its own.

    With \( \tilde h_j = \sum_{k \in C(j)} h_k \), the sum over the children of node j,

    .. math::
        i_j, u_j, o_j &= \sigma, \tanh, \sigma\,(x_j W_{iuo} + \tilde h_j U_{iuo} + b_{iuo}) \\
        f_{jk} &= \sigma(x_j W_f + h_k U_f + b_f) \\
        c_j &= i_j \odot u_j + \sum_{k \in C(j)} f_{jk} \odot c_k, \qquad
        h_j = o_j \odot \tanh c_j

    The sums do not know the order of the children: where it matters, let the inputs tell. On a
    chain this is the LSTM. Among the parameters the candidate u has Flax's letter, g.

    Args:
        params: for each gate of `i f g o` an `ii` with `kernel` `[inputs, features]` and an `hi`
            with `kernel` `[features, features]` and `bias` `[features]`.
        xs: inputs of the nodes, `[..., nodes, inputs]`; what stands in the padding is ignored.
        tree: the trees, with `depths` `[..., nodes]`.

    Returns:
        States h of the nodes, `[..., nodes, features]`, zero in the padding. That of a tree
        from `pack_trees` as a whole is `[..., -1, :]`.

    Raises:
        ValueError: if shapes don't fit, or the depths are those of no tree (under `jit`,
            such a tree gives NaN).
        TypeError: if `xs` does not hold floats, or `depths` no integers.

    Example:
        >>> from jaxnn.networks import pack_trees
        >>> ids, tree = pack_trees([(7, 1, (8, 2, 3)), (4, 1)])
        >>> params = tree_lstm_init(jax.random.key(0), 1, 6)
        >>> tree_lstm(params, ids[..., None] / 10, tree).shape
        (2, 5, 6)

    Reference:
        Tai, Socher and Manning, "Improved semantic representations from tree-structured long
        short-term memory networks", ACL 2015.
    """
    rows = rows_of("tree_lstm", params["ii"]["kernel"].shape[0], xs, tree)
    with jax.named_scope("tree_lstm"):
        h, *_ = _lstm(_lstm_weights(params, rows), rows)
        return h.reshape(*xs.shape[:-1], h.shape[-1]).astype(xs.dtype)


def tree_lstm_vjp(
    g: Array, params: dict[str, dict[str, Array]], xs: Array, tree: Tree
) -> tuple[dict[str, dict[str, Array]], Array]:
    r"""Backpropagation through structure: pulls the cotangent `g` back through `tree_lstm`.

    From the root to the leaves. A node k with parent p has one forget gate, \( f_{pk} \), so it
    is written \( f_k \); \( \delta^f_k \) and \( \delta_k = (\delta^i_k, \delta^u_k,
    \delta^o_k) \) are the errors of its pre-activations, \( \gamma_k \) is that of its memory
    \( c_k \). The parent has sent down \( \delta_p U_{iuo}^\top \) and \( \gamma_p \); a root
    has no parent, and these are zero. In this order:

    1. Forget gate, by which memory reached the parent:
       \( \delta^f_k = \gamma_p \odot c_k \odot \sigma'(f_k) \).
    2. State, which was read by the loss, by the parent's gates and by the forget gate:
       \( \partial h_k = g_k + \delta_p U_{iuo}^\top + \delta^f_k U_f^\top \).
    3. Memory: \( \gamma_k = \partial h_k \odot o_k \odot \tanh'(c_k) + \gamma_p \odot f_k \).
       By the second term an error goes down a deep tree, unchanged where f is one.
    4. The other gates: \( \delta^i_k = \gamma_k \odot u_k \odot \sigma'(i_k) \),
       \( \delta^u_k = \gamma_k \odot i_k \odot \tanh'(u_k) \),
       \( \delta^o_k = \partial h_k \odot \tanh c_k \odot \sigma'(o_k) \).

    A prime is the slope at the gate's pre-activation. Only then, over all nodes at once:

    .. math:: \partial W = \sum_j x_j^\top \Delta_j, \quad
              \partial U_{iuo} = \sum_j \tilde h_j^\top \delta_j, \quad
              \partial U_f = \sum_k h_k^\top \delta^f_k, \quad
              \partial b = \sum_j \Delta_j, \quad \partial x_j = \Delta_j W^\top

    where \( \Delta_j = (\delta_j, \sum_{k \in C(j)} \delta^f_k) \), as the input of a node
    takes part in the forget gates of all its children.

    Returns:
        The cotangents of the parameters, shaped like `params`, and of `xs`.
    """
    rows = rows_of("tree_lstm_vjp", params["ii"]["kernel"].shape[0], xs, tree)
    features = params["hi"]["kernel"].shape[0]
    g = rows.cotangent("tree_lstm_vjp", g, features, xs)
    w, u_igo, u_f, _ = weights = _lstm_weights(params, rows)
    h, h_sum, c, z_igo, z_f, parents = _lstm(weights, rows)

    # What is known before the errors are: by which factors they pass each gate.
    z_i, z_g, z_o = jnp.split(z_igo, 3, -1)
    i, u, o = _gates(z_igo)
    to_ig = jnp.concatenate([u * sigmoid_grad(z_i), i * tanh_grad(z_g)], -1)
    to_o, to_c, to_f = tanh(c) * sigmoid_grad(z_o), o * tanh_grad(c), c * sigmoid_grad(z_f)

    def cell(now, from_parent):
        g, f, to_ig, to_o, to_c, to_f = now
        h_error, gamma = jnp.split(from_parent, 2, -1)
        delta_f = gamma * to_f
        h_error = g + h_error + delta_f @ u_f.T
        gamma = h_error * to_c + gamma * f
        delta = jnp.concatenate([jnp.tile(gamma, 2) * to_ig, h_error * to_o], -1)
        return jnp.concatenate([delta @ u_igo.T, gamma], -1), (delta, delta_f)

    inputs = g, sigmoid(z_f), to_ig, to_o, to_c, to_f
    delta, delta_f = from_root(cell, inputs, rows, 2 * features)

    every = jnp.concatenate([delta, to_parents(delta_f, parents)], -1)
    u_grad = jnp.concatenate([outer(h_sum, delta), outer(h, delta_f)], -1)
    grads = _by_gate(outer(rows.xs, every), u_grad, every.sum((0, 1)))
    grads = jax.tree.map(lambda a: a.astype(xs.dtype), grads)
    return grads, (every @ w.T).reshape(xs.shape).astype(xs.dtype)


def _lstm_weights(params, rows):
    """Kernels and biases of all gates side by side."""
    side_by_side = lambda name, which: jnp.concatenate(
        [params[name + gate][which] for gate in GATES], -1
    ).astype(rows.xs.dtype)
    u_igo, u_f = _igo_and_f(side_by_side("h", "kernel"))
    return side_by_side("i", "kernel"), u_igo, u_f, side_by_side("h", "bias")


def _by_gate(w, u, b):
    """The inverse of `_lstm_weights`."""
    w, u, b = (jnp.split(a, len(GATES), -1) for a in (w, u, b))
    inputs = {f"i{gate}": {"kernel": a} for gate, a in zip(GATES, w, strict=True)}
    states = {f"h{gate}": {"kernel": a, "bias": c} for gate, a, c in zip(GATES, u, b, strict=True)}
    return inputs | states


def _lstm(weights, rows):
    """States, sums of the children's, memories, pre-activations, and where the parents are."""
    w, u_igo, u_f, b = weights
    z_igo, z_f = _igo_and_f(rows.xs @ w + b)

    def cell(now, from_children):
        z_igo, z_f, there = now
        h_sum, c_sum = jnp.split(from_children, 2, -1)
        z_igo = z_igo + h_sum @ u_igo
        i, u, o = _gates(z_igo)
        c = (i * u + c_sum) * there
        h = o * tanh(c)
        z_f = z_f + h @ u_f  # the gate of this child in its parent, whose input is known already
        return jnp.concatenate([h, sigmoid(z_f) * c], -1), (h, h_sum, c, z_igo, z_f)

    parents = places_of_parents(rows)
    inputs = z_igo, of_parents(z_f, parents), rows.there
    return *to_root(cell, inputs, rows, 2 * u_f.shape[0]), parents


def _igo_and_f(a):
    return a[..., : a.shape[-1] // 4 * 3], a[..., a.shape[-1] // 4 * 3 :]


def _gates(z_igo):
    z_i, z_g, z_o = jnp.split(z_igo, 3, -1)
    return sigmoid(z_i), tanh(z_g), sigmoid(z_o)
