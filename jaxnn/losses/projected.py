r"""Cross entropy through an output layer, without ever holding all logits.

A language model ends in a layer \( z = x W + b \) with one output per word of its vocabulary, and
the cross entropy of these. The logits of N words over a vocabulary of V are the largest array
of the whole model by far, and are needed only for two numbers per row:

.. math:: H = \log \sum_k e^{z_k} - z_y

So the vocabulary is walked in chunks of columns. Of what has been seen the largest logit m is
kept, and \( o = \sum_k e^{z_k - m} \) over all others; a chunk with the largest logit m' and o'
joins them, if m is the larger, as \( o + e^{m' - m} (1 + o') \), and the other way round.

Backward, the same chunks of logits are computed again, and with them the columns of their slope

.. math:: \partial z_k = g \left( \frac{e^{z_k - m}}{1 + o} - [k = y] \right), \qquad
          \partial x = \partial z\, W^T, \qquad \partial W = x^T \partial z, \qquad
          \partial b = \sum_{rows} \partial z

of which each chunk fills its own columns of \( \partial W \) and \( \partial b \), and adds its
share to \( \partial x \). A third more arithmetic buys that memory grows with the chunk, not
with the vocabulary.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn import _checks

__all__ = [
    "projected_cross_entropy", "projected_cross_entropy_grad", "projected_cross_entropy_vjp",
]  # fmt: skip


def projected_cross_entropy(
    features: Array, kernel: Array, bias: Array, labels: Array, chunk_size: int = 4096
) -> Array:
    r"""Cross entropy of each row, \( -\log softmax(x W + b)_y \), from what the last layer reads.

    Equal to `sparse_categorical_cross_entropy(dense(params, features), labels)`, but its memory
    does not grow with the number of classes, forward or backward.

    Args:
        features: inputs of the output layer, floats, `[..., features]`.
        kernel: its weights, `[features, classes]`.
        bias: its bias, `[classes]`.
        labels: the classes, integers from 0 to `classes` - 1, `[...]`. Give padding any class,
            and leave it out with `weighted_mean`.
        chunk_size: how many classes at most have their logits in memory at once.

    Returns:
        Losses, `[...]`.

    Raises:
        ValueError: if the shapes don't fit, or a label is out of range (under `jit`, NaN).
        TypeError: if `features`, `kernel` or `bias` holds no floats, or `labels` no integers.

    Example:
        >>> kernel, bias = jnp.zeros((3, 50000)), jnp.zeros(50000)
        >>> loss = projected_cross_entropy(jnp.ones((2, 3)), kernel, bias, jnp.array([1, 7]))
        >>> jnp.exp(loss).round()
        Array([50000., 50000.], dtype=float32)

    Reference:
        Wijmans et al., "Cut your losses in large-vocabulary language models", ICLR 2025.
    """
    name = "projected_cross_entropy"
    arguments, size = _prepared(name, features, kernel, bias, labels, chunk_size)
    with jax.named_scope(name):
        losses = jnp.reshape(_cross_entropy(size, *arguments), jnp.shape(labels))
    return losses.astype(jnp.result_type(features))


def projected_cross_entropy_vjp(
    g: Array, features: Array, kernel: Array, bias: Array, labels: Array, chunk_size: int = 4096
) -> tuple[Array, Array, Array]:
    r"""Cotangents of features, kernel and bias, by the chunks of the top of this file.

    \( \partial z = g\,(softmax(z) - e_y) \) is the slope in the logits; at the largest of them,
    where it is likely, computed from what all others have, which does not cancel.
    """
    name = "projected_cross_entropy_vjp"
    _checks.cotangent(name, g, jnp.shape(labels))
    arguments, size = _prepared(name, features, kernel, bias, labels, chunk_size)
    with jax.named_scope(name):
        _, residuals = _forward(size, *arguments)
        g = jnp.asarray(g).reshape(-1).astype(residuals[-1].dtype)
        in_features, in_kernel, in_bias, _ = _backward(size, residuals, g)
    return in_features.reshape(jnp.shape(features)), in_kernel, in_bias


def projected_cross_entropy_grad(
    features: Array, kernel: Array, bias: Array, labels: Array, chunk_size: int = 4096
) -> tuple[Array, Array, Array]:
    """Gradients of the sum of the losses of all rows, in features, kernel and bias."""
    ones = jnp.ones(jnp.shape(labels), jnp.result_type(features))
    return projected_cross_entropy_vjp(ones, features, kernel, bias, labels, chunk_size)


# Installed because the backward pass computes the logits again instead of keeping them all.
@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _cross_entropy(size, x, kernel, bias, labels):
    return _forward(size, x, kernel, bias, labels)[0]


def _forward(size, x, kernel, bias, labels):
    """The losses, and what the backward pass needs: inputs, and three numbers per row."""
    begins, logits = _chunks(size, x, kernel, bias)

    def step(state, begin):
        largest, others, place, right = state
        z, columns, fresh = logits(begin)
        z = jnp.where(fresh, z, -jnp.inf)
        right = right + jnp.where(fresh & (columns == labels), z, 0).sum(-1, keepdims=True)
        here = columns[z.argmax(-1)][:, None]
        top = columns == here
        new = jnp.maximum(jnp.where(top, z, 0).sum(-1, keepdims=True), lowest)
        more = jnp.where(top, 0, jnp.exp(z - new)).sum(-1, keepdims=True)
        keeps = largest >= new
        shrinking = jnp.exp(jnp.where(keeps, new - largest, largest - new))
        others = jnp.where(keeps, others + shrinking * (1 + more), more + shrinking * (1 + others))
        state = jnp.where(keeps, largest, new), others, jnp.where(keeps, place, here), right
        return state, None

    zero = jnp.zeros((len(x), 1), _checks.wide(x.dtype))
    lowest = jnp.finfo(zero.dtype).min
    start = zero + lowest, zero, jnp.full_like(labels, -1), zero
    (largest, others, place, right), _ = lax.scan(step, start, begins)
    losses = jnp.log1p(others) + (largest - right)
    losses = jnp.where(_inside(labels, kernel), losses, jnp.nan)[:, 0]
    return losses, (x, kernel, bias, labels, place, others, largest)


def _backward(size, residuals, g):
    """Cotangents of features, kernel and bias; the labels have none."""
    x, kernel, bias, labels, place, others, largest = residuals
    begins, logits = _chunks(size, x, kernel, bias)
    # Rows of logits that are all minus infinity have no largest, and no slope.
    g = jnp.where(place >= 0, g[:, None], 0)
    g = jnp.where(_inside(labels, kernel), g, jnp.nan)

    def step(state, begin):
        in_x, in_kernel, in_bias = state
        z, columns, fresh = logits(begin)
        top, right = columns == place, (columns == labels).astype(z.dtype)
        plain = jnp.where(top, 1, jnp.exp(z - largest)) / (1 + others) - right
        lacking = (place != labels).astype(z.dtype) - others / (1 + others)
        slope = g * jnp.where(top & (others < 1), lacking, plain)
        in_x = in_x + _product(jnp.where(fresh, slope, 0), _columns(kernel, columns).T)
        put = lambda whole, part: lax.dynamic_update_slice_in_dim(
            whole, part.astype(whole.dtype), columns[0], -1
        )
        return (in_x, put(in_kernel, _product(x.T, slope)), put(in_bias, slope.sum(0))), None

    start = jnp.zeros(x.shape, g.dtype), jnp.zeros_like(kernel), jnp.zeros_like(bias)
    (in_x, in_kernel, in_bias), _ = lax.scan(step, start, begins)
    return in_x.astype(x.dtype), in_kernel, in_bias, None


_cross_entropy.defvjp(_forward, _backward)


def _chunks(size, x, kernel, bias):
    """Where chunks of classes begin, and a function of that: logits, their classes, which are new.

    All chunks are equally wide, so the last may have to overlap the one before it.
    """
    classes = kernel.shape[-1]
    count = -(-classes // size)
    width = -(-classes // count)

    def logits(begin):
        columns = jnp.minimum(begin, classes - width) + jnp.arange(width, dtype=jnp.int32)
        z = _product(x, _columns(kernel, columns))
        return z + _columns(bias, columns).astype(z.dtype), columns, columns >= begin

    return width * jnp.arange(count, dtype=jnp.int32), logits


def _columns(a, columns):
    return lax.dynamic_slice_in_dim(a, columns[0], len(columns), -1)


def _inside(labels, kernel):
    return (labels >= 0) & (labels < kernel.shape[-1])


def _product(a, b):
    """a @ b, summed in float32 at least; where the dtypes differ, computed in it, too."""
    dtype = jnp.result_type(*(_checks.wide(a.dtype), _checks.wide(b.dtype)))
    if a.dtype != b.dtype:
        a, b = a.astype(dtype), b.astype(dtype)
    return jnp.matmul(a, b, preferred_element_type=dtype)


def _prepared(function, features, kernel, bias, labels, chunk_size):
    """Features as rows, labels as a column, the other arrays, and the width of a chunk."""
    _checks.floating(function, features=features, kernel=kernel, bias=bias)
    _checks.integer(function, labels=labels)
    _checks.sizes(function, chunk_size=chunk_size)
    x, kernel, bias = jnp.asarray(features), jnp.asarray(kernel), jnp.asarray(bias)
    if x.ndim == 0 or kernel.ndim != 2 or kernel.shape[0] != x.shape[-1] or kernel.shape[1] == 0:
        raise ValueError(
            f"{function}: kernel must have shape [features, classes] for features "
            f"[..., features], got {kernel.shape} and {x.shape}. Transpose one of them."
        )
    if bias.shape != kernel.shape[1:]:
        raise ValueError(
            f"{function}: bias must hold one number per class, shape {kernel.shape[1:]}, "
            f"got {bias.shape}. Without a bias pass zeros."
        )
    _checks.one_per_row(function, x, labels=labels)
    inside = lambda labels: _inside(labels, kernel)
    do = "Count classes from 0; to leave rows out, give them any class and a weight of 0."
    must = f"be classes from 0 to {kernel.shape[1] - 1}"
    _checks.values(function, inside, must, do, labels=labels)
    labels = jnp.asarray(labels, jnp.int32).reshape(-1, 1)
    return (x.reshape(-1, x.shape[-1]), kernel, bias, labels), chunk_size
