"""What paths of CTC walk over, and pairs: numbers beside what rounding has lost of them so far.

The 2L + 1 positions of one sequence, blanks between labels, are the last axis.
"""

import jax
import jax.numpy as jnp

from jaxnn.losses._common import exact_sum


def skips(positions):
    """To which positions a path may skip: labels that differ from the label before."""
    blank = positions[0]
    return (positions != blank) & (positions != neighbours(positions, 1, blank)[1])


def ends(positions, last):
    """Where a path may end: at the last label, or at the blank behind it."""
    place = jnp.arange(len(positions), dtype=last.dtype)
    return (place == last) | (place == last - 1)


def neighbours(x, by, fill):
    """What stands one and two places before each position (`by` 1), or behind it (`by` -1)."""
    n = len(x)
    # Filled up once: of two shifts XLA on CPU would compute x, and all before it, twice more.
    x = jnp.pad(x, (2, 0) if by > 0 else (0, 2), constant_values=fill)
    return (x[1 : n + 1], x[:n]) if by > 0 else (x[1 : n + 1], x[2:])


def select(on, new, old):
    """The new state where a frame counts."""
    return jax.tree.map(lambda a, b: jnp.where(on, a, b), new, old)


def plus(x, y):
    """The sum of two pairs."""
    total, error = exact_sum(x[0], y[0])
    return total, x[1] + y[1] + error


def by_class(shares, positions, classes):
    """What the positions have of each frame, `[t, s]`, summed over those of one class."""
    blanks, labels = shares[:, ::2].sum(-1), shares[:, 1::2]
    rows = jnp.zeros((len(shares), classes), shares.dtype).at[:, positions[0]].set(blanks)
    return rows.at[:, positions[1::2]].add(labels)


def unnamed(positions, classes, dtype):
    """1 for classes that stand at no position, else 0."""
    return jnp.ones(classes, dtype).at[positions].set(0)
