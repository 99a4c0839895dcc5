"""The dense layer: an affine map of the features.

A layer is a few plain functions: `x_init` makes parameters, `x` applies them, and `x_vjp`
pulls a cotangent of the output back to the parameters and the input.
"""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks
from jaxnn.initializers import Initializer, glorot_uniform

__all__ = ["dense", "dense_init", "dense_vjp"]


def dense_init(
    key: Array,
    inputs: int,
    outputs: int,
    kernel_init: Initializer = glorot_uniform(),
    *,
    use_bias: bool = True,
) -> dict[str, Array]:
    """Parameters of `dense`: a drawn kernel and a bias of zeros.

    Args:
        key: the source of the kernel.
        inputs: features of the input.
        outputs: features of the output.
        kernel_init: how to draw the kernel.
        use_bias: whether there is a bias. Leave it out before a batch normalization, which
            subtracts it again.

    Returns:
        `{"kernel": [inputs, outputs], "bias": [outputs]}`, which are also the parameters of
        `flax.linen.Dense`; without `use_bias` there is no key `"bias"`.

    Raises:
        ValueError: if a size is not positive.
        TypeError: if a size is no integer, or `kernel_init` no function.

    Example:
        >>> params = dense_init(jax.random.key(0), 3, 2)
        >>> params["kernel"].shape, params["bias"].shape
        ((3, 2), (2,))
    """
    _checks.sizes("dense_init", inputs=inputs, outputs=outputs)
    _checks.function("dense_init", kernel_init=kernel_init)
    dtype = jnp.result_type(float)  # float32, unless JAX was told to use float64
    params = {"kernel": kernel_init(key, (inputs, outputs), dtype)}
    return params | {"bias": jnp.zeros(outputs, dtype)} if use_bias else params


def dense(params: dict[str, Array], x: Array) -> Array:
    r"""Affine map of the last axis, \( y = x W + b \).

    Args:
        params: `kernel` `[inputs, outputs]` and, where there is one, `bias` `[outputs]`.
        x: inputs, `[..., inputs]`.

    Returns:
        Outputs, `[..., outputs]`.

    Raises:
        ValueError: if `x` does not end in an axis of size `inputs`.
        TypeError: if `x` does not hold floats.

    Example:
        >>> params = {"kernel": jnp.array([[1.0], [2.0]]), "bias": jnp.array([0.5])}
        >>> dense(params, jnp.array([[1.0, 1.0], [0.0, 3.0]]))
        Array([[3.5],
               [6.5]], dtype=float32)
    """
    _checks.floating("dense", x=x)
    _checks.last_axis("dense", params["kernel"].shape[0], x=x)
    with jax.named_scope("dense"):
        y = x @ params["kernel"]
        return y + params["bias"] if "bias" in params else y


def dense_vjp(g: Array, params: dict[str, Array], x: Array) -> tuple[dict[str, Array], Array]:
    r"""Pulls the cotangent `g` of the output back through `dense`.

    With all leading axes flattened to rows:
    \( \partial W = x^\top g \), \( \partial b = \sum_{rows} g \), \( \partial x = g W^\top \).

    Returns:
        The cotangents of the parameters, shaped like `params`, and of `x`.
    """
    inputs, outputs = params["kernel"].shape
    _checks.last_axis("dense_vjp", inputs, x=x)
    _checks.cotangent("dense_vjp", g, (*x.shape[:-1], outputs))
    rows = g.reshape(-1, outputs)
    grads = {"kernel": x.reshape(-1, inputs).T @ rows}
    if "bias" in params:
        grads["bias"] = rows.sum(0)
    return grads, g @ params["kernel"].T
