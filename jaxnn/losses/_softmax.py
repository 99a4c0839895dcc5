"""Cross entropy of logits, and integer classes as rows: the core of several losses."""

import jax
import jax.numpy as jnp

from jaxnn import _checks, _rounding
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
    keep every digit of what the others add to it. Also returns where it stands, if it is one:
    of equal ones, all but one are others.
    """
    z = _rounding.rounded(z)  # or the largest is not recognized
    largest = z.max(-1, keepdims=True)
    below, error = exact_difference(z, jnp.maximum(largest, jnp.finfo(z.dtype).min))
    powers = jnp.exp(below) * (1 + error)
    others, count = _rounding.others(powers, below == 0, -1)
    return below, error, powers, others, (below == 0) & (count == 1)


def cross_entropy_slope(z, y):
    """softmax(z) sum(y) - y."""
    _, _, *softmax = exponentials(z)
    rest, total = _rounding.sums(-1, jnp.where(softmax[-1], 0, y), y)
    return _possible(z) * surplus(softmax, y, total, rest)


def _possible(z):
    """1, and 0 for rows of minus infinity alone."""
    return (z.max(-1, keepdims=True) != -jnp.inf).astype(z.dtype)


def surplus(softmax, y, total, rest):
    """softmax(z) total - y, of the last three of `exponentials` and rows y that sum to total.

    Where one class is likely, its entry is what the others add up to, which does not cancel;
    `rest` is the sum of their y.
    """
    powers, others, top = softmax
    plain = total * (powers / (1 + others)) - y
    likely = top & (others < 1)
    return jnp.where(likely, rest - total * (others / (1 + others)), plain)


def _log_odds(g, z, y):
    below, _, _, others, _ = exponentials(z)
    return (g * (jnp.log1p(others) - below)).sum(-1)


# Installed because it is exact where the right class is all but certain: softmax - 1 cancels.
install(cross_entropy, along_rows(cross_entropy_slope), _log_odds)


@jax.custom_jvp
def sparse_cross_entropy(z, hot, weight):
    """`weight` times the cross entropy of rows of logits with one-hot rows: fewer sums."""
    below, _, _, others, _ = exponentials(z)
    return weight * (jnp.log1p(others)[..., 0] - jnp.where(hot == 0, 0, below).sum(-1))


def sparse_slope(z, hot, weight):
    """softmax(z), less 1 at the label: there minus what the others add up to."""
    _, _, powers, others, top = exponentials(z)
    p = powers / (1 + others)
    at_label = jnp.where(top, -(others / (1 + others)), p - 1)
    return weight[..., None] * _possible(z) * jnp.where(hot == 0, p, at_label)


# Installed for the same reason.
install(
    sparse_cross_entropy,
    along_rows(sparse_slope),
    lambda g, z, hot, weight: weight * _log_odds(g, z, hot),
    lambda g, z, hot, weight: g * sparse_cross_entropy(z, hot, jnp.ones_like(weight)),
)


def class_rows(function, labels, like):
    """Integer classes as one-hot rows shaped and typed like `like`; NaN where out of range."""
    rows, weight = hot_rows(function, labels, like)
    # Selected: XLA turns the product of a converted boolean into a select, and drops the NaN.
    return jnp.where(weight[..., None] == 1, rows, jnp.nan)


def hot_rows(function, labels, like):
    """Integer classes as one-hot rows, and for each 1, or NaN where it is out of range."""
    classes = like.shape[-1]
    inside = lambda labels: (labels >= 0) & (labels < classes)
    do = "Count classes from 0; to leave rows out, name their label with ignore_index."
    _checks.values(function, inside, f"be classes from 0 to {classes - 1}", do, labels=labels)
    labels = jnp.asarray(labels)
    rows = jax.nn.one_hot(labels, classes, dtype=like.dtype)
    return rows, jnp.where(inside(labels), 1, jnp.nan).astype(like.dtype)
