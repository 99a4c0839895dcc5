"""Convolutional neural networks.

    x -> conv -> activation -> max pool -> ... -> flatten -> dense -> activation -> ... -> dense

`cnn` builds one, and `batch_norm_cnn` one with batch normalization before each activation.
"""

import math
from collections.abc import Callable, Sequence

import jax
from jax import Array

from jaxnn import _checks
from jaxnn.activations import relu
from jaxnn.initializers import Initializer, he_normal
from jaxnn.layers import (
    batch_norm,
    batch_norm_init,
    conv,
    conv_init,
    dense,
    dense_init,
    dropout,
    max_pool,
)
from jaxnn.networks._network import (
    Network,
    Params,
    State,
    StatefulNetwork,
    check_image,
    named,
    split,
)

__all__ = ["batch_norm_cnn", "cnn"]


def cnn(
    image_shape: Sequence[int],
    channels: Sequence[int],
    classes: int,
    *,
    hidden: Sequence[int] = (),
    kernel_size: int = 3,
    pool: int = 2,
    activation: Callable[[Array], Array] = relu,
    kernel_init: Initializer = he_normal(),
    dropout_rate: float = 0.0,
) -> Network:
    """A convolutional network for images.

    Each entry of `channels` is a convolution that keeps the size of the image, an activation
    and a max pooling that divides it by `pool`; what is left is flattened and goes through
    dense layers. Dropout comes before each dense layer.

    Args:
        image_shape: `(height, width, channels)` of the input.
        channels: features of each convolution.
        classes: outputs.
        hidden: features of the dense layers between.
        kernel_size: taps along each axis.
        pool: side of the pooling window; 1 for none.
        activation: the function after each layer but the last, elementwise.
        kernel_init: how to draw the kernels.
        dropout_rate: fraction of activations zeroed when `apply` gets a key.

    Returns:
        The network. Inputs are `[..., height, width, channels]`, outputs logits
        `[..., classes]`, parameters `{"conv_0": ..., "dense_0": ...}`.

    Raises:
        ValueError: if a size is not positive, or the image is too small for the pooling.
        TypeError: if `activation` is not a function.

    Example:
        >>> net = cnn((8, 8, 1), [16, 32], 10)
        >>> params = net.init(jax.random.key(0))
        >>> params["dense_0"]["kernel"].shape
        (128, 10)
        >>> net.apply(params, jnp.zeros((4, 8, 8, 1))).shape
        (4, 10)

    Reference:
        LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
        recognition", Proceedings of the IEEE 1998.
    """
    sizes = _sizes("cnn", image_shape, channels, classes, hidden, pool)
    _check("cnn", kernel_size, activation, dropout_rate)
    inputs = [image_shape[-1], *channels]

    def init(key: Array) -> Params:
        keys = iter(jax.random.split(key, len(channels) + len(sizes) - 1))
        window = (kernel_size, kernel_size)
        convs = {
            f"conv_{i}": conv_init(next(keys), window, inputs[i], inputs[i + 1], kernel_init)
            for i in range(len(channels))
        }
        return convs | {
            f"dense_{i}": dense_init(next(keys), sizes[i], sizes[i + 1], kernel_init)
            for i in range(len(sizes) - 1)
        }

    def apply(params: Params, x: Array, *, key: Array | None = None) -> Array:
        for i in range(len(channels)):
            x = _pooled(activation(named(conv, params, f"conv_{i}", x)), pool)
        return _head(params, x, sizes, activation, dropout_rate, key)

    return Network(init, apply)


def batch_norm_cnn(
    image_shape: Sequence[int],
    channels: Sequence[int],
    classes: int,
    *,
    hidden: Sequence[int] = (),
    kernel_size: int = 3,
    pool: int = 2,
    activation: Callable[[Array], Array] = relu,
    kernel_init: Initializer = he_normal(),
    dropout_rate: float = 0.0,
    momentum: float = 0.99,
    epsilon: float = 1e-5,
) -> StatefulNetwork:
    """A `cnn` with batch normalization between each convolution and its activation.

    The convolutions have no bias: the normalization would subtract it again.

    Args:
        image_shape: `(height, width, channels)` of the input.
        channels: features of each convolution.
        classes: outputs.
        hidden: features of the dense layers between.
        kernel_size: taps along each axis.
        pool: side of the pooling window; 1 for none.
        activation: the function after each layer but the last, elementwise.
        kernel_init: how to draw the kernels.
        dropout_rate: fraction of activations zeroed when `apply` gets a key.
        momentum: weight of the past in the running statistics.
        epsilon: added to the variances.

    Returns:
        The network; parameters as in `cnn`, with `"batch_norm_0"` and so on beside them, and
        the state `{"batch_norm_0": {"mean", "var"}, ...}`.

    Raises:
        ValueError: if a size is not positive, or the image is too small for the pooling.
        TypeError: if `activation` is not a function.

    Example:
        >>> net = batch_norm_cnn((8, 8, 1), [16, 32], 10)
        >>> params, state = net.init(jax.random.key(0))
        >>> y, state = net.apply(params, state, jnp.ones((4, 8, 8, 1)), train=True)
        >>> y.shape
        (4, 10)

    Reference:
        Ioffe and Szegedy, "Batch normalization: accelerating deep network training by
        reducing internal covariate shift", ICML 2015.
    """
    sizes = _sizes("batch_norm_cnn", image_shape, channels, classes, hidden, pool)
    _check("batch_norm_cnn", kernel_size, activation, dropout_rate)
    inputs = [image_shape[-1], *channels]

    def init(key: Array) -> tuple[Params, State]:
        keys = iter(jax.random.split(key, 2 * len(channels) + len(sizes) - 1))
        window = (kernel_size, kernel_size)
        params, state = {}, {}
        for i in range(len(channels)):
            params[f"conv_{i}"] = conv_init(
                next(keys), window, inputs[i], inputs[i + 1], kernel_init, use_bias=False
            )
            name = f"batch_norm_{i}"
            params[name], state[name] = batch_norm_init(next(keys), inputs[i + 1])
        for i in range(len(sizes) - 1):
            params[f"dense_{i}"] = dense_init(next(keys), sizes[i], sizes[i + 1], kernel_init)
        return params, state

    def apply(params: Params, state: State, x: Array, *, key=None, train: bool = False):
        new = {}
        for i in range(len(channels)):
            name = f"batch_norm_{i}"
            x = named(conv, params, f"conv_{i}", x)
            x, new[name] = named(
                batch_norm, params, name, state[name], x, train=train, momentum=momentum,
                epsilon=epsilon,
            )  # fmt: skip
            x = _pooled(activation(x), pool)
        return _head(params, x, sizes, activation, dropout_rate, key), new

    return StatefulNetwork(init, apply)


def _pooled(x, pool):
    return max_pool(x, (pool, pool)) if pool > 1 else x


def _head(params, x, sizes, activation, dropout_rate, key):
    """Flattens the image, and runs the dense layers."""
    depth = len(sizes) - 1
    keys = split(key, depth)
    x = x.reshape(*x.shape[:-3], -1)
    for i in range(depth):
        x = named(dense, params, f"dense_{i}", dropout(keys[i], x, dropout_rate))
        x = activation(x) if i < depth - 1 else x
    return x


def _sizes(function, image_shape, channels, classes, hidden, pool):
    """Features before and after each dense layer."""
    height, width, _ = check_image(function, image_shape)
    _checks.sizes(function, classes=classes, pool=pool)
    _checks.sizes(function, **{f"channels[{i}]": n for i, n in enumerate(channels)})
    _checks.sizes(function, **{f"hidden[{i}]": n for i, n in enumerate(hidden)})
    for _ in channels:
        height, width = height // pool, width // pool
    if min(height, width) < 1:
        raise ValueError(
            f"{function}: the image must be at least pool ** len(channels) on each side, got "
            f"{tuple(image_shape[:2])} for {len(channels)} poolings by {pool}. Pool less often."
        )
    return [math.prod((height, width, [image_shape[-1], *channels][-1])), *hidden, classes]


def _check(function, kernel_size, activation, dropout_rate):
    _checks.sizes(function, kernel_size=kernel_size)
    _checks.function(function, activation=activation)
    _checks.probability(function, dropout_rate=dropout_rate)
