r"""Layers that learn their activation, which is piecewise linear.

`maxout_dense` learns any convex one, as the largest of several planes; `parametric_relu`
learns the slope below zero.
"""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks
from jaxnn.activations import maxout, maxout_vjp, prelu, prelu_grad
from jaxnn.initializers import Initializer, glorot_uniform
from jaxnn.layers.linear import dense, dense_init, dense_vjp

__all__ = [
    "maxout_dense", "maxout_dense_init", "maxout_dense_vjp",
    "parametric_relu", "parametric_relu_init", "parametric_relu_vjp",
]  # fmt: skip


def maxout_dense_init(
    key: Array,
    inputs: int,
    outputs: int,
    pieces: int,
    kernel_init: Initializer = glorot_uniform(),
) -> dict[str, Array]:
    """Parameters of `maxout_dense`: those of a dense layer with `outputs * pieces` features.

    Args:
        key: the source of the kernel.
        inputs: features of the input.
        outputs: features of the output.
        pieces: planes per output; 2 make an absolute value or a `relu`, more a finer curve.
        kernel_init: how to draw the kernel.

    Returns:
        `{"kernel": [inputs, outputs * pieces], "bias": [outputs * pieces]}`, which are also
        the parameters of `flax.linen.Dense(outputs * pieces)`. Pieces of one output are
        neighbours.

    Raises:
        ValueError: if a size is not positive.

    Example:
        >>> maxout_dense_init(jax.random.key(0), 3, 2, 4)["kernel"].shape
        (3, 8)
    """
    _checks.sizes("maxout_dense_init", inputs=inputs, outputs=outputs, pieces=pieces)
    return dense_init(key, inputs, outputs * pieces, kernel_init)


def maxout_dense(params: dict[str, Array], x: Array, pieces: int) -> Array:
    r"""Largest of several affine maps, \( y_j = \max_k (x W_{jk} + b_{jk}) \).

    Args:
        params: `kernel` `[inputs, outputs * pieces]` and `bias` `[outputs * pieces]`.
        x: inputs, `[..., inputs]`.
        pieces: planes per output, as given to `maxout_dense_init`.

    Returns:
        Outputs, `[..., outputs]`.

    Raises:
        ValueError: if `x` does not fit the parameters, or `pieces` does not divide them.
        TypeError: if `x` does not hold floats.

    Example:
        >>> params = {"kernel": jnp.array([[1.0, -1.0]]), "bias": jnp.zeros(2)}
        >>> maxout_dense(params, jnp.array([[-2.0], [3.0]]), 2)            # the absolute value
        Array([[2.],
               [3.]], dtype=float32)

    Reference:
        Goodfellow, Warde-Farley, Mirza, Courville and Bengio, "Maxout networks", ICML 2013.
    """
    _checks.floating("maxout_dense", x=x)
    _checks.last_axis("maxout_dense", params["kernel"].shape[0], x=x)
    with jax.named_scope("maxout_dense"):
        return maxout(dense(params, x), pieces)


def maxout_dense_vjp(
    g: Array, params: dict[str, Array], x: Array, pieces: int
) -> tuple[dict[str, Array], Array]:
    r"""Pulls the cotangent `g` of the output back through `maxout_dense`.

    1. Through the maximum: of each group, the piece that was largest (of equals the first) has
       all of g, the others 0.
    2. Through the affine map with what that gives, as in `dense_vjp`:
       \( \partial W = x^\top h \), \( \partial b = \sum_{rows} h \), \( \partial x = h W^\top \).

    So in each example only the winning plane learns.

    Returns:
        The cotangents of the parameters, shaped like `params`, and of `x`.
    """
    _checks.last_axis("maxout_dense_vjp", params["kernel"].shape[0], x=x)
    z = dense(params, x)
    _checks.cotangent("maxout_dense_vjp", g, (*z.shape[:-1], z.shape[-1] // pieces))
    return dense_vjp(maxout_vjp(g, z, pieces), params, x)


def parametric_relu_init(key: Array, features: int | None = None) -> dict[str, Array]:
    """Parameters of `parametric_relu`: slopes of 0.25.

    Args:
        key: not used, as nothing is drawn; every `_init` takes one.
        features: size of the last axis, for a slope per feature; None for one in all.

    Returns:
        `{"negative_slope": [features]}`, or of shape `[]`, which is also the parameter of
        `flax.linen.PReLU`. Flax starts it at 0.01, the paper and PyTorch at 0.25.

    Raises:
        ValueError: if `features` is not positive.

    Example:
        >>> parametric_relu_init(jax.random.key(0), 2)
        {'negative_slope': Array([0.25, 0.25], dtype=float32)}
    """
    del key
    if features is not None:
        _checks.sizes("parametric_relu_init", features=features)
    shape = () if features is None else (features,)
    return {"negative_slope": jnp.full(shape, 0.25, jnp.result_type(float))}


def parametric_relu(params: dict[str, Array], x: Array) -> Array:
    r"""Rectifier with a learned slope: \( x \) above zero, \( \alpha x \) below.

    Args:
        params: `negative_slope` \( \alpha \), one number or `[features]`. Do not decay it: that
            would push the layer towards `relu`.
        x: inputs, `[..., features]`.

    Returns:
        Activations, shaped like `x`.

    Raises:
        ValueError: if there is a slope per feature and `x` has other features.
        TypeError: if `x` does not hold floats.

    Example:
        >>> params = {"negative_slope": jnp.array([0.5, 0.25])}
        >>> parametric_relu(params, jnp.array([-2.0, -2.0]))
        Array([-1. , -0.5], dtype=float32)

    Reference:
        He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015.
    """
    _check_slopes("parametric_relu", params, x)
    with jax.named_scope("parametric_relu"):
        return prelu(x, params["negative_slope"])


def parametric_relu_vjp(
    g: Array, params: dict[str, Array], x: Array
) -> tuple[dict[str, Array], Array]:
    r"""Pulls the cotangent `g` of the output back through `parametric_relu`.

    \( \partial x = g \) above zero and \( g \alpha \) below, and
    \( \partial \alpha = \sum g \min(x, 0) \) over all entries that share the slope:
    the rows, and the features too if there is one slope in all.

    Returns:
        The cotangents of the parameters, shaped like `params`, and of `x`.
    """
    _check_slopes("parametric_relu_vjp", params, x)
    _checks.cotangent("parametric_relu_vjp", g, x.shape)
    slope = params["negative_slope"]
    in_x, in_slope = prelu_grad(x, slope)
    shared = tuple(range(x.ndim - slope.ndim))
    return {"negative_slope": (g * in_slope).sum(shared)}, g * in_x


def _check_slopes(function, params, x):
    _checks.floating(function, x=x)
    slope = params["negative_slope"]
    if slope.ndim:
        _checks.last_axis(function, slope.shape[0], x=x)
