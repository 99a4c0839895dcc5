"""Activations without a kink: linear, sigmoid, tanh, swish, GELU and their kin.

The formulas are those of the docstrings. Where they would cancel, overflow or lose a tail in
floating point, they are computed in the equivalent forms of `jaxnn/_exact.py`, and those are
what JAX differentiates with as well.
"""

from jax import Array
from jax.typing import ArrayLike

from jaxnn import _checks, _exact, _exact_gelu
from jaxnn.activations._common import elementwise

__all__ = [
    "gelu", "gelu_grad", "linear", "linear_grad", "log_sigmoid", "log_sigmoid_grad", "mish",
    "mish_grad", "sigmoid", "sigmoid_grad", "softplus", "softplus_grad", "softsign",
    "softsign_grad", "swish", "swish_grad", "tanh", "tanh_grad",
]  # fmt: skip


def linear(x: ArrayLike) -> Array:
    r"""The identity, \( x \): what the output layer of a regression applies.

    Args:
        x: pre-activations, any shape.

    Returns:
        `x` itself.

    Example:
        >>> linear(jnp.array([-1.0, 2.0]))
        Array([-1.,  2.], dtype=float32)
    """
    return elementwise("linear", _exact.identity, x)


def linear_grad(x: ArrayLike) -> Array:
    """Derivative of `linear`: 1 everywhere, and NaN where x is."""
    return elementwise("linear_grad", _exact.one, x)


def sigmoid(x: ArrayLike) -> Array:
    r"""Logistic sigmoid, \( \sigma(x) = 1 / (1 + e^{-x}) \).

    Squashes to (0, 1). For |x| > 6 the derivative is below 0.003, which is why deep stacks of
    sigmoids lose their gradient.

    Args:
        x: pre-activations, any shape.

    Returns:
        Activations, shaped like `x`.

    Example:
        >>> sigmoid(jnp.array([-2.0, 0.0, 1.0])).round(3)
        Array([0.119, 0.5  , 0.731], dtype=float32)
    """
    return elementwise("sigmoid", _exact.sigmoid, x)


def sigmoid_grad(x: ArrayLike) -> Array:
    r"""Derivative of `sigmoid`, \( \sigma(x)\,\sigma(-x) \), at most 1/4.

    Not \( \sigma(x) (1 - \sigma(x)) \), which rounds to zero from x = 17 on in float32.
    """
    return elementwise("sigmoid_grad", _exact.sigmoid_slope, x)


def log_sigmoid(x: ArrayLike) -> Array:
    r"""Logarithm of the sigmoid, \( \log \sigma(x) = -\log(1 + e^{-x}) \).

    Args:
        x: pre-activations, any shape.

    Returns:
        Values below 0, shaped like `x`; close to `x` itself far below 0.

    Example:
        >>> log_sigmoid(jnp.array([-100.0, 0.0])).round(4)
        Array([-100.    ,   -0.6931], dtype=float32)
    """
    return elementwise("log_sigmoid", lambda x: -_exact.softplus(-x), x)


def log_sigmoid_grad(x: ArrayLike) -> Array:
    r"""Derivative of `log_sigmoid`, \( \sigma(-x) \)."""
    return elementwise("log_sigmoid_grad", lambda x: _exact.sigmoid(-x), x)


def tanh(x: ArrayLike) -> Array:
    r"""Hyperbolic tangent, \( \tanh x = 2 \sigma(2x) - 1 \).

    Args:
        x: pre-activations, any shape.

    Returns:
        Activations in (-1, 1), shaped like `x`.

    Example:
        >>> tanh(jnp.array([-1.0, 0.0, 1.0])).round(3)
        Array([-0.762,  0.   ,  0.762], dtype=float32)
    """
    return elementwise("tanh", _exact.tanh, x)


def tanh_grad(x: ArrayLike) -> Array:
    r"""Derivative of `tanh`, \( 1 / \cosh^2 x \).

    Equal to \( 1 - \tanh^2 x \), which rounds to zero from |x| = 9 on in float32.
    """
    return elementwise("tanh_grad", _exact.tanh_slope, x)


def swish(x: ArrayLike, beta: ArrayLike = 1.0) -> Array:
    r"""Swish, \( x\,\sigma(\beta x) \); with beta = 1 also called SiLU.

    For beta = 1 the values lie in [-0.2785, ∞): it is not monotonic, and bounded below.

    Args:
        x: pre-activations, any shape.
        beta: sharpness; 0 gives x / 2, and large values approach `relu`. May be learned.

    Returns:
        Activations, shaped like `x`.

    Example:
        >>> swish(jnp.array([-2.0, 0.0, 1.0])).round(3)
        Array([-0.238,  0.   ,  0.731], dtype=float32)

    Reference:
        Ramachandran, Zoph and Le, "Searching for activation functions", 2017.
    """
    return _swish("swish", _exact.swish, x, beta)


def swish_grad(x: ArrayLike, beta: ArrayLike = 1.0) -> Array:
    r"""Derivative of `swish` in x, \( \sigma(\beta x) + \beta x\,\sigma'(\beta x) \)."""
    return _swish("swish_grad", _exact.swish_slope, x, beta)


def _swish(name, f, x, beta):
    if isinstance(beta, (int, float)) and beta == 1:
        return elementwise(name, lambda x: f(x, None), x)
    return elementwise(name, f, x, beta)


def gelu(x: ArrayLike, approximate: bool = False) -> Array:
    r"""Gaussian error linear unit, \( x\,\Phi(x) \), with the normal distribution function.

    Args:
        x: pre-activations, any shape.
        approximate: the tanh form instead,
            \( x\,\sigma(2 \sqrt{2/\pi}\,(x + 0.044715\,x^3)) \), which differs by up to 5e-4;
            take it to load weights that were trained with it (`jax.nn.gelu` defaults to it).

    Returns:
        Activations, shaped like `x`.

    Raises:
        TypeError: if `approximate` is no bool: PyTorch's "none" is False here, and "tanh" True.

    Example:
        >>> gelu(jnp.array([-1.0, 0.0, 1.0])).round(2)
        Array([-0.16,  0.  ,  0.84], dtype=float32)

    Reference:
        Hendrycks and Gimpel, "Gaussian error linear units", 2016.
    """
    _checks.boolean("gelu", approximate=approximate)
    return elementwise("gelu", _exact_gelu.gelu_tanh if approximate else _exact_gelu.gelu, x)


def gelu_grad(x: ArrayLike, approximate: bool = False) -> Array:
    r"""Derivative of `gelu`, \( \Phi(x) + x\,\varphi(x) \), with the normal density.

    Of the tanh form, \( x\,\sigma(w) \): \( \sigma(w) + x\,w'\,\sigma'(w) \).
    """
    _checks.boolean("gelu_grad", approximate=approximate)
    slope = _exact_gelu.gelu_tanh_slope if approximate else _exact_gelu.gelu_slope
    return elementwise("gelu_grad", slope, x)


def softplus(x: ArrayLike) -> Array:
    r"""Smooth rectifier, \( \log(1 + e^x) \).

    Args:
        x: pre-activations, any shape.

    Returns:
        Positive activations, shaped like `x`.

    Example:
        >>> softplus(jnp.array([-1.0, 0.0, 1.0])).round(2)
        Array([0.31, 0.69, 1.31], dtype=float32)

    Reference:
        Dugas et al., "Incorporating second-order functional knowledge for better option
        pricing", NeurIPS 2000.
    """
    return elementwise("softplus", _exact.softplus, x)


def softplus_grad(x: ArrayLike) -> Array:
    r"""Derivative of `softplus`, \( \sigma(x) \)."""
    return elementwise("softplus_grad", _exact.sigmoid, x)


def softsign(x: ArrayLike) -> Array:
    r"""Softsign, \( x / (1 + |x|) \): a sigmoid with polynomial tails.

    Args:
        x: pre-activations, any shape.

    Returns:
        Activations in [-1, 1], shaped like `x`.

    Example:
        >>> softsign(jnp.array([-1.0, 0.0, 3.0]))
        Array([-0.5 ,  0.  ,  0.75], dtype=float32)

    Reference:
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", AISTATS 2010.
    """
    return elementwise("softsign", _exact.softsign, x)


def softsign_grad(x: ArrayLike) -> Array:
    r"""Derivative of `softsign`, \( 1 / (1 + |x|)^2 \); its own derivative at 0 is taken as 0."""
    return elementwise("softsign_grad", _exact.softsign_slope, x)


def mish(x: ArrayLike) -> Array:
    r"""Mish, \( x \tanh(\log(1 + e^x)) \).

    Args:
        x: pre-activations, any shape.

    Returns:
        Activations in [-0.3088, ∞), shaped like `x`.

    Example:
        >>> mish(jnp.array([-1.0, 0.0, 4.5])).round(3)
        Array([-0.303,  0.   ,  4.499], dtype=float32)

    Reference:
        Misra, "Mish: a self regularized non-monotonic activation function", BMVC 2020.
    """
    return elementwise("mish", _exact.mish, x)


def mish_grad(x: ArrayLike) -> Array:
    r"""Derivative of `mish`, \( T + x\,(1 - T^2)\,\sigma(x) \).

    T stands for \( \tanh(\log(1 + e^x)) \).
    """
    return elementwise("mish_grad", _exact.mish_slope, x)
