r"""Initializers: how to draw the first parameters, and which variance that keeps.

Every name here is a factory. What it returns is an `Initializer`, called as
`init(key, shape, dtype=jnp.float32)`; below it draws one from `jax.nn.initializers`, whose
own results fit wherever these do.

A layer sums `fan_in` products, so \( \mathrm{Var}[z] = \text{fan\_in} \cdot \mathrm{Var}[w]
\cdot \mathrm{E}[x^2] \). In a deep stack whatever this multiplies the signal by is multiplied
again at each layer; the three schemes choose Var[w] so that the factor is one:

    lecun     1 / fan_in               keeps Var[z] of a linear layer, and of selu
    glorot    2 / (fan_in + fan_out)   the compromise between activations and gradients
    he        2 / fan_in               the same for relu, which passes on half of E[z^2]

The uniform and the normal form of a scheme have the same variance. All draw in float32 at
least and round once, so a bfloat16 kernel is the float32 one, rounded.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import initializers as _jax

from jaxnn import _checks

__all__ = [
    "Initializer",
    "constant", "fans",
    "glorot_normal", "glorot_uniform",
    "he_normal", "he_uniform",
    "lecun_normal", "lecun_uniform",
    "normal", "orthogonal", "truncated_normal", "uniform", "zeros",
]  # fmt: skip

# init(key, shape, dtype=jnp.float32) -> Array
Initializer: TypeAlias = Callable[..., Array]

# Standard deviation of a standard normal cut off at -2 and 2.
_CUT_STDDEV = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))


def fans(shape: Sequence[int]) -> tuple[int, int]:
    r"""How many inputs each output of a kernel sums, and how many outputs each input reaches.

    The last axis counts outputs, the one before it inputs, and all axes before those are the
    receptive field of a convolution, which belongs to both fans.

    A grouped convolution has a kernel `[height, width, inputs / groups, outputs]`, so its
    `fan_in` is right as it stands. Its `fan_out` counts the outputs of all groups, though an
    input reaches those of its own group only: Glorot draws such kernels smaller than its
    formula asks for; He and LeCun use `fan_in` alone and are exact.

    Args:
        shape: of the kernel: `[inputs, outputs]` of a dense layer, or
            `[height, width, inputs, outputs]` of a convolution, with any number of spatial
            axes.

    Returns:
        `(fan_in, fan_out)`.

    Raises:
        ValueError: if there are fewer than two axes, or an axis is empty.

    Example:
        >>> fans((784, 10)), fans((3, 3, 16, 32))
        ((784, 10), (144, 288))
    """
    _kernel_shape("fans", shape)
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


def zeros() -> Initializer:
    """All zeros: for biases. Units of a layer whose kernel starts so stay equal for ever.

    Returns:
        The initializer; variance 0.

    Example:
        >>> zeros()(jax.random.key(0), (3,))
        Array([0., 0., 0.], dtype=float32)
    """
    return _initializer("zeros", _jax.zeros)


def constant(value: float) -> Initializer:
    """One value everywhere: for biases, such as the 1 of an LSTM's forget gate.

    Args:
        value: that value.

    Returns:
        The initializer; variance 0.

    Example:
        >>> constant(0.25)(jax.random.key(0), (3,))
        Array([0.25, 0.25, 0.25], dtype=float32)
    """
    return _initializer("constant", _jax.constant(value))


def normal(stddev: float = 0.01) -> Initializer:
    r"""Normal with mean 0 and variance \( \text{stddev}^2 \), whatever the shape.

    Args:
        stddev: standard deviation.

    Returns:
        The initializer.

    Raises:
        ValueError: if `stddev` is negative or not finite.

    Example:
        >>> w = normal(0.1)(jax.random.key(0), (100, 100))
        >>> round(float(w.std()), 2)
        0.1
    """
    _not_negative("normal", "stddev", stddev)
    return _initializer("normal", _jax.normal(stddev))


def truncated_normal(stddev: float = 0.01) -> Initializer:
    r"""Normal cut off at two standard deviations, with variance \( \text{stddev}^2 \).

    `stddev` is that of the numbers drawn, **after** truncation. In JAX, Keras and PyTorch it
    is that of the normal before it, and the numbers have 0.88 of it. The cut lies at
    \( \pm 2 / 0.8796 = \pm 2.27 \) times `stddev`.

    Args:
        stddev: standard deviation after truncation.

    Returns:
        The initializer.

    Raises:
        ValueError: if `stddev` is negative or not finite.

    Example:
        >>> w = truncated_normal(0.1)(jax.random.key(0), (100, 100))
        >>> round(float(w.std()), 2), bool(jnp.abs(w).max() < 0.2274)
        (0.1, True)
    """
    _not_negative("truncated_normal", "stddev", stddev)
    return _initializer("truncated_normal", _jax.truncated_normal(stddev / _CUT_STDDEV))


def uniform(limit: float = 0.01) -> Initializer:
    r"""Uniform on [-limit, limit), with mean 0 and variance \( \text{limit}^2 / 3 \).

    In JAX the function of this name draws from [0, scale), with mean scale / 2.

    Args:
        limit: the bound.

    Returns:
        The initializer.

    Raises:
        ValueError: if `limit` is negative or not finite.

    Example:
        >>> w = uniform(0.3)(jax.random.key(0), (100, 100))
        >>> round(float(w.min()), 2), round(float(w.max()), 2)
        (-0.3, 0.3)
    """
    _not_negative("uniform", "limit", limit)

    def draw(key, shape, dtype):
        return jnp.asarray(limit, dtype) * jax.random.uniform(key, shape, dtype, -1)

    return _initializer("uniform", draw)


def glorot_uniform() -> Initializer:
    r"""Glorot (Xavier) uniform, on \( \pm \sqrt{6 / (\text{fan\_in} + \text{fan\_out})} \).

    Variance \( 2 / (\text{fan\_in} + \text{fan\_out}) \): where the fans are equal, linear
    layers keep the variance of activations going forward and of gradients going back. For
    tanh, sigmoid and outputs without activation.

    Returns:
        The initializer, for shapes of two axes or more (see `fans`).

    Example:
        >>> w = glorot_uniform()(jax.random.key(0), (300, 300))
        >>> round(float(w.max()), 2)
        0.1

    Reference:
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", AISTATS 2010.
    """
    return _initializer("glorot_uniform", _jax.glorot_uniform(), kernel=True)


def glorot_normal() -> Initializer:
    r"""Glorot (Xavier) normal, stddev \( \sqrt{2 / (\text{fan\_in} + \text{fan\_out})} \).

    Keeps what `glorot_uniform` keeps. The normal is cut off at two standard deviations and
    widened so that the variance after the cut is the one named.

    Returns:
        The initializer, for shapes of two axes or more (see `fans`).

    Example:
        >>> w = glorot_normal()(jax.random.key(0), (100, 100))
        >>> round(float(w.std()), 2)
        0.1

    Reference:
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", AISTATS 2010.
    """
    return _initializer("glorot_normal", _jax.glorot_normal(), kernel=True)


def he_uniform() -> Initializer:
    r"""He (Kaiming) uniform, on \( \pm \sqrt{6 / \text{fan\_in}} \).

    Variance \( 2 / \text{fan\_in} \): keeps the mean square of activations through relu
    layers, and nearly so through its relatives.

    Returns:
        The initializer, for shapes of two axes or more (see `fans`).

    Example:
        >>> w = he_uniform()(jax.random.key(0), (600, 100))
        >>> round(float(w.max()), 2)
        0.1

    Reference:
        He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015.
    """
    return _initializer("he_uniform", _jax.he_uniform(), kernel=True)


def he_normal() -> Initializer:
    r"""He (Kaiming) normal, stddev \( \sqrt{2 / \text{fan\_in}} \).

    Keeps what `he_uniform` keeps. The normal is cut off at two standard deviations and
    widened so that the variance after the cut is the one named.

    Returns:
        The initializer, for shapes of two axes or more (see `fans`).

    Example:
        >>> w = he_normal()(jax.random.key(0), (200, 100))
        >>> round(float(w.std()), 2)
        0.1

    Reference:
        He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015.
    """
    return _initializer("he_normal", _jax.he_normal(), kernel=True)


def lecun_uniform() -> Initializer:
    r"""LeCun uniform, on \( \pm \sqrt{3 / \text{fan\_in}} \).

    Variance \( 1 / \text{fan\_in} \): keeps the variance of activations through linear
    layers whatever their fan_out, and through selu, which was made for it; gradients then
    grow by 7 % a layer, the mean square slope of selu being 1.07.

    Returns:
        The initializer, for shapes of two axes or more (see `fans`).

    Example:
        >>> w = lecun_uniform()(jax.random.key(0), (300, 100))
        >>> round(float(w.max()), 2)
        0.1

    Reference:
        LeCun, Bottou, Orr and Müller, "Efficient backprop", 1998.
    """
    return _initializer("lecun_uniform", _jax.lecun_uniform(), kernel=True)


def lecun_normal() -> Initializer:
    r"""LeCun normal, stddev \( \sqrt{1 / \text{fan\_in}} \).

    Keeps what `lecun_uniform` keeps. The normal is cut off at two standard deviations and
    widened so that the variance after the cut is the one named.

    Returns:
        The initializer, for shapes of two axes or more (see `fans`).

    Example:
        >>> w = lecun_normal()(jax.random.key(0), (100, 100))
        >>> round(float(w.std()), 2)
        0.1

    Reference:
        LeCun, Bottou, Orr and Müller, "Efficient backprop", 1998.
    """
    return _initializer("lecun_normal", _jax.lecun_normal(), kernel=True)


def orthogonal(gain: float = 1.0) -> Initializer:
    r"""A random orthogonal matrix, drawn evenly from all of them, times `gain`.

    With the kernel read as a matrix Q of `[prod(shape[:-1]), shape[-1]]`, the shorter side is
    orthonormal: \( Q^\top Q = \text{gain}^2 I \) if Q is tall, \( Q Q^\top = \text{gain}^2 I
    \) if it is wide. So a square or wide layer keeps every length, and all its singular
    values are `gain`, where a random matrix of the same variance has some near 0: the choice
    for recurrent kernels. Entries have variance \( \text{gain}^2 \) over the longer side.

    Args:
        gain: the singular values. 1 keeps lengths; \( \sqrt{2} \) makes up for relu.

    Returns:
        The initializer, for shapes of two axes or more.

    Raises:
        ValueError: if `gain` is negative or not finite.

    Example:
        >>> q = orthogonal(2.0)(jax.random.key(0), (5, 2))
        >>> bool(jnp.allclose(q.T @ q, 4 * jnp.eye(2), atol=1e-5))
        True

    Reference:
        Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning
        in deep linear neural networks", ICLR 2014.
    """
    _not_negative("orthogonal", "gain", gain)
    return _initializer("orthogonal", _jax.orthogonal(gain), kernel=True)


def _initializer(function, draw, kernel=False) -> Initializer:
    """What every factory returns: checks, then draws in float32 at least and rounds once."""

    def init(key: Array, shape: Sequence[int], dtype=jnp.float32) -> Array:
        if kernel:
            _kernel_shape(function, shape)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                f"{function}: dtype must be floating point, got {jnp.dtype(dtype)}. "
                "Parameters are trained by their gradients: pass jnp.float32 or jnp.bfloat16."
            )
        return draw(key, tuple(shape), _checks.wide(dtype)).astype(dtype)

    return init


def _kernel_shape(function, shape):
    """Raises ValueError unless `shape` has inputs and outputs."""
    if len(shape) < 2 or 0 in shape:
        raise ValueError(
            f"{function}: the shape must have two axes or more, inputs and outputs last, and "
            f"none empty, got {tuple(shape)}. Pass [inputs, outputs] or "
            "[height, width, inputs, outputs]; for a bias take zeros() or constant(value)."
        )


def _not_negative(function, name, number):
    """Raises ValueError unless a number is finite and at least 0.

    In plain Python: default arguments are built while importing, when nothing may start a
    device.
    """
    if _checks.concrete(number) and not 0 <= number < math.inf:
        raise ValueError(
            f"{function}: {name} must be finite and not negative, got {number}. "
            f"Pass {name}={abs(number) if math.isfinite(number) else 1.0}."
        )
