"""Errors in units in the last place, and which of them break the promise."""

import jax.numpy as jnp
import numpy as np

# Near a simple zero of a derivative no float32 formula can promise digits, only this.
NEAR_ZERO = 2.0**-22


def ulps(got, high, low, dtype, terms=0.0):
    """|got - truth| in units in the last place of the truth, as an array of float64.

    Where the truth is a difference of `terms` larger than itself, the unit is theirs.

    Infinite where the answer is of the wrong kind: NaN or infinity for a number, or a number
    for NaN. What is subnormal may be flushed to 0, what overflows may be infinite.
    """
    info = jnp.finfo(dtype)
    got = np.asarray(got).astype(np.float64)
    largest, tiny = float(info.max), float(info.tiny)
    with np.errstate(all="ignore"):
        _, exponent = np.frexp(np.maximum(np.abs(high), terms))
        lowest = int(np.log2(tiny))
        unit = np.ldexp(1.0, np.maximum(exponent - 1, lowest) - info.nmant)
        error = np.abs((got - high) - low) / unit
        vast = np.abs(high) >= largest * (1 - 8 * float(info.eps))
        beyond = vast & (np.sign(got) == np.sign(high)) & (np.abs(got) >= largest)
        flushed = (np.abs(high) < tiny) & (np.abs(got) <= tiny)
    error = np.where(beyond | flushed, 0.0, error)
    error = np.where(np.isnan(high), np.where(np.isnan(got), 0.0, np.inf), error)
    return np.where(np.isnan(error), np.inf, error)


def broken(error, got, high, bound, near_zero):
    """Where the promise is broken: more ULP than `bound`, and more than 2^-22 near a zero."""
    got = np.asarray(got).astype(np.float64)
    with np.errstate(invalid="ignore"):
        close = near_zero & (np.abs(got - high) <= NEAR_ZERO)
    return (error > bound) & ~close
