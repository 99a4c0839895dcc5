r"""Residual network: each block adds to its input what it computes from it.

.. math:: y = f(x + B(x)), \qquad \partial x = \delta + B'(x)^T \delta

The gradient has a way around every block, on which nothing is multiplied; so very deep
networks train.
"""

from collections.abc import Callable, Sequence

import jax
from jax import Array

from jaxnn import _checks
from jaxnn.activations import relu
from jaxnn.initializers import he_normal
from jaxnn.layers import (
    batch_norm,
    batch_norm_init,
    conv,
    conv_init,
    dense,
    dense_init,
    global_average_pool,
)
from jaxnn.networks._network import Params, State, StatefulNetwork, check_image, named

__all__ = ["resnet"]


def resnet(
    image_shape: Sequence[int],
    channels: Sequence[int],
    classes: int,
    *,
    blocks: int = 2,
    activation: Callable[[Array], Array] = relu,
    momentum: float = 0.99,
    epsilon: float = 1e-5,
) -> StatefulNetwork:
    """A residual network for images, with batch normalization.

        x -> conv -> norm -> activation -> stages of blocks -> mean of the image -> dense

    A block is convolution, normalization, activation, convolution and normalization, added to
    its input, and an activation. Each stage after the first halves the image in its first
    block; there the input takes part through a convolution with one tap.

    Args:
        image_shape: `(height, width, channels)` of the input.
        channels: features of each stage.
        classes: outputs.
        blocks: of each stage.
        activation: the function after each normalization, elementwise.
        momentum: weight of the past in the running statistics.
        epsilon: added to the variances.

    Returns:
        The network. Inputs are `[..., height, width, channels]`, outputs logits
        `[..., classes]`. Parameters are `{"conv": ..., "norm": ..., "block_0": {"conv_0",
        "norm_0", "conv_1", "norm_1" and, where the shape changes, "conv_2", "norm_2"}, ...,
        "dense": ...}`; the state has the statistics of each norm under the same names.

    Raises:
        ValueError: if a size is not positive or there is no stage.
        TypeError: if `activation` is not a function.

    Example:
        >>> net = resnet((8, 8, 1), [8, 16], 10, blocks=1)
        >>> params, state = net.init(jax.random.key(0))
        >>> y, state = net.apply(params, state, jnp.ones((4, 8, 8, 1)), train=True)
        >>> y.shape
        (4, 10)

    Reference:
        He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016.
    """
    check_image("resnet", image_shape)
    _checks.sizes("resnet", classes=classes, blocks=blocks, stages=len(channels))
    _checks.sizes("resnet", **{f"channels[{i}]": n for i, n in enumerate(channels)})
    _checks.function("resnet", activation=activation)
    plan = _plan(channels, blocks)
    normalize = dict(momentum=momentum, epsilon=epsilon)

    def init(key: Array) -> tuple[Params, State]:
        keys = jax.random.split(key, len(plan) + 2)
        params, state = _convolutions(keys[0], [("", 3, image_shape[-1], channels[0])])
        for i, (inputs, outputs, stride) in enumerate(plan):
            parts = [("_0", 3, inputs, outputs), ("_1", 3, outputs, outputs)]
            if inputs != outputs or stride > 1:
                parts.append(("_2", 1, inputs, outputs))
            params[f"block_{i}"], state[f"block_{i}"] = _convolutions(keys[i + 1], parts)
        params["dense"] = dense_init(keys[-1], channels[-1], classes)
        return params, state

    def apply(params: Params, state: State, x: Array, *, key=None, train: bool = False):
        del key  # nothing is drawn
        new: State = {}

        def normalized(params, state, into, name, x, stride=1):
            x = named(conv, params, f"conv{name}", x, stride)
            norm = f"norm{name}"
            x, into[norm] = named(
                batch_norm, params, norm, state[norm], x, train=train, **normalize
            )
            return x

        x = activation(normalized(params, state, new, "", x))
        for i, (_, _, stride) in enumerate(plan):
            block = f"block_{i}"
            at = (params[block], state[block], new.setdefault(block, {}))
            with jax.named_scope(block):
                y = activation(normalized(*at, "_0", x, stride))
                y = normalized(*at, "_1", y)
                x = activation(y + (normalized(*at, "_2", x, stride) if "conv_2" in at[0] else x))
        return named(dense, params, "dense", global_average_pool(x)), new

    return StatefulNetwork(init, apply)


def _plan(channels, blocks):
    """`(inputs, outputs, stride)` of each block."""
    plan, inputs = [], channels[0]
    for stage, outputs in enumerate(channels):
        for block in range(blocks):
            plan.append((inputs, outputs, 2 if stage > 0 and block == 0 else 1))
            inputs = outputs
    return plan


def _convolutions(key, parts):
    """Convolutions without bias, and the normalization after each."""
    params, state = {}, {}
    for k, (name, side, inputs, outputs) in zip(
        jax.random.split(key, len(parts)), parts, strict=True
    ):
        params[f"conv{name}"] = conv_init(
            k, (side, side), inputs, outputs, he_normal(), use_bias=False
        )
        params[f"norm{name}"], state[f"norm{name}"] = batch_norm_init(k, outputs)
    return params, state
