"""Multilayer perceptron (feed-forward network, FNN).

    x -> dense -> activation -> dropout -> ... -> dense -> outputs

`mlp` builds one, and `batch_norm_mlp` one with batch normalization before each activation.
`mlp_vjp` is backpropagation through the first, written out; training does not use it.
"""

from collections.abc import Callable, Sequence

import jax
from jax import Array

from jaxnn import _checks
from jaxnn.activations import relu
from jaxnn.initializers import Initializer, he_normal
from jaxnn.layers import batch_norm, batch_norm_init, dense, dense_init, dense_vjp, dropout
from jaxnn.networks._network import (
    Network,
    Params,
    State,
    StatefulNetwork,
    check_sizes,
    named,
    split,
)

__all__ = ["batch_norm_mlp", "mlp", "mlp_vjp"]


def mlp(
    sizes: Sequence[int],
    *,
    activation: Callable[[Array], Array] = relu,
    kernel_init: Initializer = he_normal(),
    dropout_rate: float = 0.0,
) -> Network:
    r"""A multilayer perceptron.

    With \( a_0 = x \): \( z_l = a_{l-1} W_l + b_l \) and \( a_l = f(z_l) \) for each hidden
    layer. The last layer is affine: what it returns are logits or unbounded values. Losses
    take them as they are; apply a `sigmoid` or `softmax` only to read them.

    Args:
        sizes: features of the input, of each hidden layer, and of the output.
        activation: the function f between layers, elementwise.
        kernel_init: how to draw the kernels. He-normal keeps the variance of `relu`
            layers; take `glorot_uniform()` with `tanh` or `sigmoid`.
        dropout_rate: fraction of hidden activations zeroed when `apply` gets a key.

    Returns:
        The network. Inputs are `[..., sizes[0]]`, outputs `[..., sizes[-1]]`, and
        parameters `{"dense_0": {"kernel": [n, m], "bias": [m]}, "dense_1": ...}`, which
        are also the parameters of `flax.linen.Dense` layers so named.

    Raises:
        ValueError: if `sizes` names fewer than two sizes or one that is not positive, or
            if `dropout_rate` is outside [0, 1].
        TypeError: if `sizes` is no list, or `activation` not a function.

    Example:
        >>> net = mlp([2, 16, 1], activation=jnp.tanh)
        >>> params = net.init(jax.random.key(0))
        >>> net.apply(params, jnp.zeros((4, 2))).shape
        (4, 1)

    Reference:
        Rumelhart, Hinton and Williams, "Learning representations by back-propagating
        errors", Nature 1986.
    """
    check_sizes("mlp", sizes, activation, dropout_rate)
    depth = len(sizes) - 1

    def init(key: Array) -> Params:
        keys = jax.random.split(key, depth)
        return {
            f"dense_{i}": dense_init(keys[i], sizes[i], sizes[i + 1], kernel_init)
            for i in range(depth)
        }

    def apply(params: Params, x: Array, *, key: Array | None = None) -> Array:
        keys = split(key, depth)
        for i in range(depth - 1):
            x = activation(named(dense, params, f"dense_{i}", x))
            x = dropout(keys[i], x, dropout_rate)
        return named(dense, params, f"dense_{depth - 1}", x)

    return Network(init, apply)


def mlp_vjp(
    g: Array,
    params: Params,
    x: Array,
    *,
    activation: Callable[[Array], Array],
    activation_grad: Callable[[Array], Array],
) -> tuple[Params, Array]:
    r"""Backpropagation: pulls the cotangent `g` of the outputs back through an `mlp`.

    Of the network without dropout, as `apply` runs it without a key.

    The forward pass keeps the input of every layer and the slope of every activation. The
    backward pass walks from the last layer to the first with the error
    \( \delta_l = \partial L / \partial z_l \), which starts as g:

    .. math:: \partial W_l = a_{l-1}^\top \delta_l, \qquad
              \partial b_l = \sum_{batch} \delta_l, \qquad
              \delta_{l-1} = (\delta_l W_l^\top) \odot f'(z_{l-1})

    Args:
        g: cotangent of the outputs, `[..., sizes[-1]]`; for a loss, its gradient in the
            predictions.
        params: parameters, as `mlp(...).init` makes them.
        x: inputs, `[..., sizes[0]]`.
        activation: the activation the network was built with.
        activation_grad: its derivative, such as `relu_grad` for `relu`.

    Returns:
        The gradients of the parameters, shaped like `params`, and of `x`.

    Raises:
        ValueError: if `g` or `x` does not fit the parameters.
        TypeError: if `activation` or `activation_grad` is not a function.

    Example:
        >>> net = mlp([2, 3, 1], activation=jnp.tanh)
        >>> params = net.init(jax.random.key(0))
        >>> x, g = jnp.ones((4, 2)), jnp.ones((4, 1))
        >>> slope = lambda z: 1 - jnp.tanh(z) ** 2
        >>> grads, _ = mlp_vjp(g, params, x, activation=jnp.tanh, activation_grad=slope)
        >>> grads["dense_1"]["bias"]
        Array([4.], dtype=float32)
    """
    _checks.function("mlp_vjp", activation=activation, activation_grad=activation_grad)
    depth = len(params)
    inputs, slopes = [x], []
    for i in range(depth - 1):
        z = dense(params[f"dense_{i}"], inputs[i])
        slopes.append(activation_grad(z))
        inputs.append(activation(z))

    grads = {}
    for i in reversed(range(depth)):
        grads[f"dense_{i}"], g = dense_vjp(g, params[f"dense_{i}"], inputs[i])
        if i > 0:
            g = g * slopes[i - 1]
    return grads, g


def batch_norm_mlp(
    sizes: Sequence[int],
    *,
    activation: Callable[[Array], Array] = relu,
    kernel_init: Initializer = he_normal(),
    dropout_rate: float = 0.0,
    momentum: float = 0.99,
    epsilon: float = 1e-5,
) -> StatefulNetwork:
    r"""A multilayer perceptron with batch normalization before each activation.

        x -> dense -> batch norm -> activation -> dropout -> ... -> dense -> outputs

    Hidden dense layers have no bias: the normalization would subtract it again, and has a
    bias of its own. The last layer is affine, with a bias.

    Args:
        sizes: features of the input, of each hidden layer, and of the output.
        activation: the function after each normalization, elementwise.
        kernel_init: how to draw the kernels.
        dropout_rate: fraction of hidden activations zeroed when `apply` gets a key.
        momentum: weight of the past in the running statistics; with few steps in all, take
            a smaller one, such as 0.9.
        epsilon: added to the variances.

    Returns:
        The network. Parameters are `{"dense_0": {"kernel": [n, m]}, "batch_norm_0":
        {"scale": [m], "bias": [m]}, ...}`, the state is `{"batch_norm_0": {"mean": [m],
        "var": [m]}, ...}`: the two collections of Flax layers so named.

    Raises:
        ValueError: if `sizes` names fewer than two sizes or one that is not positive, or
            if `dropout_rate` is outside [0, 1].
        TypeError: if `activation` is not a function.

    Example:
        >>> net = batch_norm_mlp([2, 16, 1])
        >>> params, state = net.init(jax.random.key(0))
        >>> x = jax.random.normal(jax.random.key(1), (32, 2))
        >>> y, state = net.apply(params, state, x, train=True)   # while training
        >>> y, _ = net.apply(params, state, x)                   # when it is used
        >>> y.shape
        (32, 1)

    Reference:
        Ioffe and Szegedy, "Batch normalization: accelerating deep network training by
        reducing internal covariate shift", ICML 2015.
    """
    check_sizes("batch_norm_mlp", sizes, activation, dropout_rate)
    depth = len(sizes) - 1

    def init(key: Array) -> tuple[Params, State]:
        params, state = {}, {}
        for i, k in enumerate(jax.random.split(key, depth)):
            hidden = i < depth - 1
            params[f"dense_{i}"] = dense_init(
                k, sizes[i], sizes[i + 1], kernel_init, use_bias=not hidden
            )
            if hidden:
                name = f"batch_norm_{i}"
                params[name], state[name] = batch_norm_init(k, sizes[i + 1])
        return params, state

    def apply(params: Params, state: State, x: Array, *, key=None, train: bool = False):
        keys, new_state = split(key, depth), {}
        for i in range(depth - 1):
            name = f"batch_norm_{i}"
            z = named(dense, params, f"dense_{i}", x)
            z, new_state[name] = named(
                batch_norm, params, name, state[name], z, train=train, momentum=momentum,
                epsilon=epsilon,
            )  # fmt: skip
            x = dropout(keys[i], activation(z), dropout_rate)
        return named(dense, params, f"dense_{depth - 1}", x), new_state

    return StatefulNetwork(init, apply)
