"""Cross entropy of logits, and integer classes as rows: the core of several losses."""

import jax
import jax.numpy as jnp

from jaxnn import _checks
from jaxnn.losses._common import along_rows, exact_difference, install


@jax.custom_jvp
def cross_entropy(z, y):
    """Cross entropy of rows of logits with labels that need not sum to 1; the core of all."""
    below, _, _, others, _ = exponentials(z)
    log_total = jnp.log1p(others)[..., 0]
    unused = y == 0
    linear = jnp.where(unused, 0, y * jnp.where(unused, 0, below))
    return y.sum(-1) * log_total - linear.sum(-1)


def exponentials(z):
    """Of rows of logits: differences to the largest, their errors, their exponentials, the sum.

    The largest itself, whose exponential is 1, is left out of the sum: `log1p` and quotients
    keep every digit of what the others add to it. Also returns where it stands.
    """
    position = jnp.argmax(z, axis=-1, keepdims=True)
    top = jax.lax.broadcasted_iota(position.dtype, z.shape, z.ndim - 1) == position
    largest = jnp.where(top, z, 0).sum(-1, keepdims=True)
    below, error = exact_difference(z, jnp.maximum(largest, jnp.finfo(z.dtype).min))
    powers = jnp.where(top, 0, jnp.exp(below) * (1 + error))
    return below, error, powers, powers.sum(-1, keepdims=True), top


def cross_entropy_slope(z, y):
    """softmax(z) sum(y) - y."""
    _, _, *softmax = exponentials(z)
    possible = (z > -jnp.inf).any(-1, keepdims=True).astype(z.dtype)
    return possible * surplus(softmax, y, y.sum(-1, keepdims=True))


def surplus(softmax, y, total):
    """softmax(z) total - y, of the last three of `exponentials` and rows y that sum to total.

    Where one class is likely, its entry is what the others add up to, which does not cancel.
    """
    powers, others, top = softmax
    rest = jnp.where(top, 0, y).sum(-1, keepdims=True)
    plain = total * (jnp.where(top, 1, powers) / (1 + others)) - y
    likely = top & (others < 1)
    return jnp.where(likely, rest - total * (others / (1 + others)), plain)


def _log_odds(g, z, y):
    below, _, _, others, _ = exponentials(z)
    return (g * (jnp.log1p(others) - below)).sum(-1)


# Installed because it is exact where the right class is all but certain: softmax - 1 cancels.
install(cross_entropy, along_rows(cross_entropy_slope), _log_odds)


def class_rows(function, labels, like):
    """Integer classes as one-hot rows shaped and typed like `like`."""
    classes = like.shape[-1]
    inside = lambda labels: (labels >= 0) & (labels < classes)
    do = "Count classes from 0; to leave rows out, name their label with ignore_index."
    _checks.values(function, inside, f"be classes from 0 to {classes - 1}", do, labels=labels)
    labels = jnp.asarray(labels)
    rows = jax.nn.one_hot(labels, classes, dtype=like.dtype)
    return jnp.where(inside(labels)[..., None], rows, jnp.nan)
