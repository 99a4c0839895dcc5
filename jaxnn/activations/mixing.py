"""Activations that mix features: softmax, log-softmax, maxout and the gated linear unit."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxnn import _checks, _exact, _rounding

__all__ = [
    "glu", "glu_vjp", "log_softmax", "log_softmax_vjp", "maxout", "maxout_vjp", "softmax",
    "softmax_vjp",
]  # fmt: skip


def softmax(x: ArrayLike, axis: int = -1, where: ArrayLike | None = None) -> Array:
    r"""Softmax, \( s_i = e^{x_i} / \sum_j e^{x_j} \) along `axis`.

    Args:
        x: logits, any shape.
        axis: the axis that will sum to one.
        where: booleans that broadcast to the shape of `x`: False takes an entry out, whatever it
            holds, and gives it probability 0. A row masked everywhere is all zeros.

    Returns:
        Probabilities, shaped like `x`.

    Raises:
        ValueError: if x has no such axis, or `where` another shape.
        TypeError: if `where` is not boolean.

    Example:
        >>> softmax(jnp.array([0.0, 0.0, 1e6]))
        Array([0., 0., 1.], dtype=float32)
        >>> softmax(jnp.array([1.0, 1.0, jnp.nan]), where=jnp.array([True, True, False]))
        Array([0.5, 0.5, 0. ], dtype=float32)

    Reference:
        Bridle, "Training stochastic model recognition algorithms as networks can lead to
        maximum mutual information estimation of parameters", NeurIPS 1989.
    """
    x = _masked("softmax", x, axis, where)
    with jax.named_scope("softmax"):
        return _exact.rounded_once(lambda x: _softmax(x, axis), x) if x.size else x


def _masked(name, x, axis, where=None):
    """x, with minus infinity where it is masked."""
    _checks.floating(name, x=x)
    _checks.has_axis(name, axis, x=x)
    if where is None:
        return jnp.asarray(x)
    _checks.array(name, where=where)
    if not jnp.issubdtype(jnp.result_type(where), jnp.bool_):
        raise TypeError(
            f"{name}: where must be boolean, got {jnp.result_type(where)}. Compare: where != 0."
        )
    if not _checks.broadcasts(jnp.shape(where), jnp.shape(x)):
        raise ValueError(
            f"{name}: where must broadcast to the shape of x, {jnp.shape(x)}, got "
            f"{jnp.shape(where)}. Add axes of size 1, or repeat x first."
        )
    return jnp.where(where, x, -jnp.inf)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _softmax(x, axis):
    _, _, e = _rounding.from_largest(x, axis)
    total = e.sum(axis, keepdims=True)
    return e / jnp.where(total == 0, 1, total)


def _softmax_jacobian(t, x, axis):
    """The Jacobian of softmax, which is symmetric, times t."""
    s = _softmax(x, axis)
    return s * _rounding.centred(t, s, axis)


def softmax_vjp(
    g: ArrayLike, x: ArrayLike, axis: int = -1, where: ArrayLike | None = None
) -> Array:
    r"""Pulls the cotangent `g` back through `softmax` at `x`.

    The Jacobian is \( \mathrm{diag}(s) - s s^\top \), so the product with g needs no matrix:
    \( s \odot (g - \langle g, s \rangle) \). Masked entries get 0.
    """
    x = _masked("softmax_vjp", x, axis, where)
    if not x.size:
        return x
    return _exact.rounded_once(lambda g, x: _softmax_jacobian(g, x, axis), jnp.asarray(g), x)


# Installed because it is exact for nearly one-hot rows, and zero where all is masked.
@_softmax.defjvp
def _softmax_jvp(axis, primals, tangents):
    (x,) = primals
    return _softmax(x, axis), _softmax_jacobian(tangents[0], x, axis)


def log_softmax(x: ArrayLike, axis: int = -1) -> Array:
    r"""Logarithm of the softmax, \( x_i - \log \sum_j e^{x_j} \) along `axis`.

    Args:
        x: logits, any shape.
        axis: the axis whose exponentials will sum to one.

    Returns:
        Log-probabilities, shaped like `x`.

    Raises:
        ValueError: if x has no such axis.

    Example:
        >>> log_softmax(jnp.array([0.0, 0.0, -8.0])).round(2)
        Array([-0.69, -0.69, -8.69], dtype=float32)
    """
    x = _masked("log_softmax", x, axis)
    with jax.named_scope("log_softmax"):
        return _exact.rounded_once(lambda x: _log_softmax(x, axis), x) if x.size else x


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _log_softmax(x, axis):
    below, error, e = _rounding.from_largest(x, axis)
    others, _ = _rounding.others(e, below == 0, axis)
    return below + (error - jnp.log1p(others))


def log_softmax_vjp(g: ArrayLike, x: ArrayLike, axis: int = -1) -> Array:
    r"""Pulls the cotangent `g` back through `log_softmax` at `x`: \( g - s \sum_i g_i \)."""
    x = _masked("log_softmax_vjp", x, axis)

    def pull(g, x):
        s = _softmax(x, axis)
        for _ in range(2):  # as `_rounding.centred`, transposed
            g = g - s * g.sum(axis, keepdims=True)
        return g

    return _exact.rounded_once(pull, jnp.asarray(g), x) if x.size else x


# Installed because it is exact for nearly one-hot rows.
@_log_softmax.defjvp
def _log_softmax_jvp(axis, primals, tangents):
    (x,) = primals
    return _log_softmax(x, axis), _rounding.centred(tangents[0], _softmax(x, axis), axis)


def maxout(x: ArrayLike, pieces: int) -> Array:
    r"""Maxout, the largest of each group of `pieces` neighbouring features.

    After a linear layer with `units * pieces` outputs, each unit is the upper envelope of
    `pieces` learned planes, \( \max_k (x W_k + b_k) \).

    Args:
        x: pre-activations `[..., units * pieces]`.
        pieces: the size of a group.

    Returns:
        Activations `[..., units]`.

    Raises:
        ValueError: if the features do not divide into groups of `pieces`.

    Example:
        >>> maxout(jnp.array([1.0, 3.0, -2.0, -5.0]), 2)
        Array([ 3., -2.], dtype=float32)

    Reference:
        Goodfellow, Warde-Farley, Mirza, Courville and Bengio, "Maxout networks", ICML 2013.
    """
    groups = _groups("maxout", x, pieces)
    # Selected rather than `max`ed: JAX would share the gradient of ties.
    return _exact.identity(jnp.where(_is_top(groups, -1), groups, 0).sum(-1))


def _is_top(x, axis):
    """True at the largest entry along `axis`, the first of equals."""
    x = _rounding.rounded(x)  # or it may differ from itself
    places = jax.lax.broadcasted_iota(jnp.int32, x.shape, axis % x.ndim)
    largest = (x == x.max(axis, keepdims=True)) | jnp.isnan(x)
    # Two plain reductions: XLA's argmax is slow on CPU.
    return places == jnp.where(largest, places, x.shape[axis]).min(axis, keepdims=True)


def _groups(name, x, pieces):
    """x, with its last axis split into groups of `pieces`."""
    _checks.floating(name, x=x)
    x = jnp.asarray(x)
    features = x.shape[-1] if x.ndim else 0
    if pieces < 1 or not x.ndim or features % pieces:
        raise ValueError(
            f"{name}: pieces must divide the last axis of x, got {pieces} and shape {x.shape}. "
            "Give the layer before it units * pieces features."
        )
    return x.reshape(*x.shape[:-1], features // pieces, pieces)


def maxout_vjp(g: ArrayLike, x: ArrayLike, pieces: int) -> Array:
    """Pulls the cotangent `g` back through `maxout`: all of it to the largest piece.

    Of equal pieces the first has it; PyTorch and JAX would share it.
    """
    groups = _groups("maxout_vjp", x, pieces)
    g = jnp.asarray(g)[..., None]
    return jnp.where(_is_top(groups, -1), g * _exact.one(groups), 0).reshape(jnp.shape(x))


def glu(x: ArrayLike, axis: int = -1) -> Array:
    r"""Gated linear unit, \( a\,\sigma(b) \) for the two halves a and b of x along `axis`.

    Args:
        x: pre-activations, with an even number of features along `axis`.
        axis: the axis to halve.

    Returns:
        Activations, half as long along `axis`.

    Raises:
        ValueError: if the axis cannot be halved.

    Example:
        >>> glu(jnp.array([4.0, 2.0, 0.0, 100.0]))
        Array([2., 2.], dtype=float32)

    Reference:
        Dauphin, Fan, Auli and Grangier, "Language modeling with gated convolutional networks",
        ICML 2017.
    """
    a, b = _halves("glu", x, axis)
    with jax.named_scope("glu"):
        return _exact.rounded_once(lambda a, b: a * _exact.sigmoid(b), a, b)


def _halves(name, x, axis):
    """The two halves of x along the axis."""
    _checks.floating(name, x=x)
    x = jnp.asarray(x)
    if not x.ndim or x.shape[axis] % 2:
        raise ValueError(
            f"{name}: axis {axis} of x must have an even size, got shape {x.shape}. "
            "One half is the value, the other the gate: give the layer before twice the features."
        )
    return jnp.split(x, 2, axis)


def glu_vjp(g: ArrayLike, x: ArrayLike, axis: int = -1) -> Array:
    r"""Pulls the cotangent `g` back through `glu`: \( [g\,\sigma(b),\; g\,a\,\sigma'(b)] \)."""
    a, b = _halves("glu_vjp", x, axis)

    def pull(g, a, b):
        return jnp.concatenate([g * _exact.sigmoid(b), g * a * _exact.sigmoid_slope(b)], axis)

    return _exact.rounded_once(pull, jnp.asarray(g), a, b)
