"""Activations made of pieces: ReLU and its leaky, exponential and hard kin.

At a kink the derivative is a convention, and the docstring names ours.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxnn import _checks, _exact
from jaxnn.activations._common import elementwise

__all__ = [
    "celu", "celu_grad", "elu", "elu_grad", "hard_sigmoid", "hard_sigmoid_grad",
    "hard_swish", "hard_swish_grad", "leaky_relu", "leaky_relu_grad", "prelu", "prelu_grad",
    "relu", "relu6", "relu6_grad", "relu_grad", "selu", "selu_grad",
]  # fmt: skip


def relu(x: ArrayLike) -> Array:
    r"""Rectified linear unit, \( \max(x, 0) \).

    Args:
        x: pre-activations, any shape.

    Returns:
        Activations, shaped like `x`.

    Example:
        >>> relu(jnp.array([-1.0, 0.0, 2.0]))
        Array([0., 0., 2.], dtype=float32)

    Reference:
        Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines",
        ICML 2010.
    """
    return elementwise("relu", _relu, x)


@jax.custom_jvp
def _relu(x):
    return jnp.maximum(x, 0)


def relu_grad(x: ArrayLike) -> Array:
    r"""Derivative of `relu`, \( 1[x > 0] \): the unit step, 0 at the kink itself."""
    return elementwise("relu_grad", lambda x: _step(x, 0, 1), x)


@jax.custom_jvp
def _step(x, below, above):
    """`below` up to and at 0, `above` beyond; NaN where x is."""
    return jnp.where(x > 0, above, jnp.where(x <= 0, below, x))


# Installed to let NaN through: autodiff has a slope of 1 there.
_exact.install(
    _step,
    lambda t, x, below, above: t * _step(x, 0, 0),
    lambda t, x, below, above: jnp.where(x > 0, 0, t),
    lambda t, x, below, above: jnp.where(x > 0, t, 0),
)


# Installed to fix the convention at the kink, and to let NaN through.
_relu.defjvps(lambda t, _, x: t * _step(x, 0, 1))


def relu6(x: ArrayLike) -> Array:
    r"""Rectified linear unit with a ceiling, \( \min(\max(x, 0), 6) \).

    Args:
        x: pre-activations, any shape.

    Returns:
        Activations in [0, 6], shaped like `x`.

    Example:
        >>> relu6(jnp.array([-1.0, 2.0, 8.0]))
        Array([0., 2., 6.], dtype=float32)

    Reference:
        Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010.
    """
    return elementwise("relu6", _relu6, x)


@jax.custom_jvp
def _relu6(x):
    return jnp.clip(x, 0, 6)


def relu6_grad(x: ArrayLike) -> Array:
    r"""Derivative of `relu6`, \( 1[0 < x < 6] \): 0 at both kinks."""
    return elementwise("relu6_grad", lambda x: _between(x, 1.0, 0, 6, 0, 0), x)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4, 5))
def _between(x, inside, low, high, below, above):
    """`below` up to and at `low`, `above` from `high` on, `inside` between; NaN where x is."""
    outside = jnp.where(x <= low, below, jnp.where(x >= high, above, x))
    return jnp.where((x > low) & (x < high), inside, outside)


# Installed as that of `_step`.
@_between.defjvp
def _between_jvp(low, high, below, above, primals, tangents):
    (x, inside), (in_x, within) = primals, tangents
    flat = in_x * _between(x, 0.0, low, high, 0, 0)
    within = jnp.where((x > low) & (x < high), within, 0)
    return _between(x, inside, low, high, below, above), flat + within


# Installed to fix the convention at the kinks, and to let NaN through.
_relu6.defjvps(lambda t, _, x: t * _between(x, 1.0, 0, 6, 0, 0))


def leaky_relu(x: ArrayLike, slope: ArrayLike = 0.01) -> Array:
    r"""Leaky rectified linear unit: \( x \) above zero, \( \alpha x \) below.

    Args:
        x: pre-activations, any shape.
        slope: \( \alpha \), the slope below zero. Keras' layer takes 0.3 and its function 0.2.

    Returns:
        Activations, shaped like `x`.

    Example:
        >>> leaky_relu(jnp.array([-1.0, 0.0, 2.0]))
        Array([-0.01,  0.  ,  2.  ], dtype=float32)

    Reference:
        Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models",
        ICML 2013.
    """
    return elementwise("leaky_relu", _leaky_relu, x, slope)


@jax.custom_jvp
def _leaky_relu(x, slope):
    return jnp.where(x > 0, x, slope * x)


def leaky_relu_grad(x: ArrayLike, slope: ArrayLike = 0.01) -> Array:
    r"""Derivative of `leaky_relu` in x: 1 above zero, \( \alpha \) below and at the kink.

    PyTorch takes the slope at 0 too, `jax.nn.leaky_relu` takes 1.
    """
    return elementwise("leaky_relu_grad", lambda x, slope: _step(x, slope, 1), x, slope)


# Installed to let NaN through; in the slope, the derivative is min(x, 0).
_exact.install(
    _leaky_relu,
    lambda t, x, slope: t * _step(x, slope, 1),
    lambda t, x, slope: t * jnp.where(x > 0, 0, x),
)


def prelu(x: ArrayLike, slope: ArrayLike) -> Array:
    r"""Parametric rectified linear unit: `leaky_relu` whose slope is learned.

    Args:
        x: pre-activations, any shape.
        slope: \( \alpha \), one number, or one per feature `[features]`; start from 0.25.

    Returns:
        Activations, shaped like `x`.

    Example:
        >>> prelu(jnp.array([-2.0, 2.0]), jnp.array([0.25, 0.5]))
        Array([-0.5,  2. ], dtype=float32)

    Reference:
        He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015.
    """
    return elementwise("prelu", _leaky_relu, x, slope)


def prelu_grad(x: ArrayLike, slope: ArrayLike) -> tuple[Array, Array]:
    r"""Derivatives of `prelu`: in x, 1 above zero and \( \alpha \) below; in the slope, min(x, 0).

    Returns:
        The two, each shaped like the output: sum g times the second over the axes on which a
        slope is shared to have the gradient of the slope.
    """

    def both(x, slope):
        in_x = _step(x, slope, 1)
        return in_x, jnp.broadcast_to(jnp.minimum(x, 0), in_x.shape)

    return elementwise("prelu_grad", both, x, slope)


def elu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Array:
    r"""Exponential linear unit: \( x \) above zero, \( \alpha (e^x - 1) \) below.

    Args:
        x: pre-activations, any shape.
        alpha: the value approached, with opposite sign, as x goes to minus infinity.

    Returns:
        Activations, shaped like `x`.

    Example:
        >>> elu(jnp.array([-1.0, 0.0, 2.0])).round(4)
        Array([-0.6321,  0.    ,  2.    ], dtype=float32)

    Reference:
        Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by
        exponential linear units", ICLR 2016.
    """
    return elementwise("elu", _exact.elu, x, alpha)


def elu_grad(x: ArrayLike, alpha: ArrayLike = 1.0) -> Array:
    r"""Derivative of `elu` in x: 1 above zero, \( \alpha e^x \) below and at 0."""
    return elementwise("elu_grad", _exact.elu_slope, x, alpha)


_SELU = 1.6732632423543772, 1.0507009873554805  # alpha and scale


def selu(x: ArrayLike) -> Array:
    r"""Scaled exponential linear unit, \( \lambda\,\mathrm{elu}(x, \alpha) \).

    With \( \lambda = 1.0507 \) and \( \alpha = 1.6733 \), mean 0 and variance 1 are a fixed
    point of a layer with LeCun normal weights.

    Args:
        x: pre-activations, any shape.

    Returns:
        Activations, shaped like `x`.

    Example:
        >>> selu(jnp.array([-1.0, 0.0, 2.0])).round(4)
        Array([-1.1113,  0.    ,  2.1014], dtype=float32)

    Reference:
        Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks",
        NeurIPS 2017.
    """
    return elementwise("selu", lambda x: _exact.elu(x, *_SELU), x)


def selu_grad(x: ArrayLike) -> Array:
    r"""Derivative of `selu`: \( \lambda \) above zero, \( \lambda \alpha e^x \) below and at 0."""
    return elementwise("selu_grad", lambda x: _exact.elu_slope(x, *_SELU), x)


def celu(x: ArrayLike, alpha: ArrayLike = 1.0) -> Array:
    r"""Continuously differentiable elu: \( x \) above zero, \( \alpha (e^{x/\alpha} - 1) \) below.

    Args:
        x: pre-activations, any shape.
        alpha: the value approached, with opposite sign, as x goes to minus infinity; positive.

    Returns:
        Activations, shaped like `x`.

    Raises:
        ValueError: if `alpha` is not positive; under `jit` it gives NaN.

    Example:
        >>> celu(jnp.array([-1.0, 0.0, 2.0]), 2.0).round(4)
        Array([-0.7869,  0.    ,  2.    ], dtype=float32)

    Reference:
        Barron, "Continuously differentiable exponential linear units", 2017.
    """
    alpha = _checks.positive("celu", alpha=alpha)
    return elementwise("celu", _exact.elu if _is_one(alpha) else _exact.celu, x, alpha)


def celu_grad(x: ArrayLike, alpha: ArrayLike = 1.0) -> Array:
    r"""Derivative of `celu` in x: 1 above zero, \( e^{x/\alpha} \) below."""
    alpha = _checks.positive("celu_grad", alpha=alpha)
    slope = _exact.elu_slope if _is_one(alpha) else _exact.celu_slope
    return elementwise("celu_grad", slope, x, alpha)


def _is_one(alpha):
    """Whether alpha is the number 1, with which celu is elu, and faster."""
    return isinstance(alpha, (int, float)) and alpha == 1


def hard_sigmoid(x: ArrayLike) -> Array:
    r"""Piecewise linear sigmoid, \( \mathrm{relu6}(x + 3) / 6 \).

    Args:
        x: pre-activations, any shape.

    Returns:
        Activations in [0, 1], shaped like `x`.

    Example:
        >>> hard_sigmoid(jnp.array([-4.0, 0.0, 1.5, 4.0]))
        Array([0.  , 0.5 , 0.75, 1.  ], dtype=float32)

    Reference:
        Howard et al., "Searching for MobileNetV3", ICCV 2019.
    """
    return elementwise("hard_sigmoid", _hard_sigmoid, x)


@jax.custom_jvp
def _hard_sigmoid(x):
    return jnp.clip(x + 3, 0, 6) / 6


def hard_sigmoid_grad(x: ArrayLike) -> Array:
    """Derivative of `hard_sigmoid`: 1/6 for -3 < x < 3, else 0."""
    return elementwise("hard_sigmoid_grad", lambda x: _between(x, 1 / 6, -3, 3, 0, 0), x)


# Installed to fix the convention at the kinks, and to let NaN through.
_hard_sigmoid.defjvps(lambda t, _, x: t * _between(x, 1 / 6, -3, 3, 0, 0))


def hard_swish(x: ArrayLike) -> Array:
    r"""Piecewise quadratic swish, \( x\,\mathrm{relu6}(x + 3) / 6 \).

    Args:
        x: pre-activations, any shape.

    Returns:
        Activations in [-0.375, ∞), shaped like `x`.

    Example:
        >>> hard_swish(jnp.array([-1.5, 0.0, 4.0]))
        Array([-0.375,  0.   ,  4.   ], dtype=float32)

    Reference:
        Howard et al., "Searching for MobileNetV3", ICCV 2019.
    """
    return elementwise("hard_swish", _hard_swish, x)


@jax.custom_jvp
def _hard_swish(x):
    return jnp.maximum(x, -3) * _hard_sigmoid(x)  # bounded: -inf * 0 is NaN


def hard_swish_grad(x: ArrayLike) -> Array:
    r"""Derivative of `hard_swish`: \( (2x + 3) / 6 \) for -3 < x < 3; 0 below, 1 above.

    At the kinks themselves 0 and 1, as in PyTorch.
    """
    return elementwise("hard_swish_grad", _hard_swish_slope, x)


def _hard_swish_slope(x):
    return _between(x, (2 * jnp.clip(x, -3, 3) + 3) / 6, -3, 3, 0, 1)


# Installed to fix the convention at the kinks, and to let NaN through.
_hard_swish.defjvps(lambda t, _, x: t * _hard_swish_slope(x))
