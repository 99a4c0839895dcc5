"""What the rooms of the losses share: checked inputs, installed slopes, exact differences."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks, _units
from jaxnn._exact import install as install
from jaxnn._rounding import exact_difference as exact_difference


def inputs(function: str, /, **arrays) -> tuple[list[Array], jnp.dtype]:
    """The named arrays, in the dtype to compute in, and the dtype to return.

    The first array is the prediction, which must hold floats and sets the dtype: bfloat16 and
    float16 are computed in float32 and rounded once. The others may hold integers or booleans.
    """
    first, *_ = arrays
    _checks.floating(function, **{first: arrays[first]})
    _checks.real(function, **arrays)
    dtype = jnp.result_type(arrays[first])
    wide = _checks.wide(dtype)
    return [constant(lambda a: jnp.asarray(a).astype(wide), a) for a in arrays.values()], dtype


def constant(f, array):
    """`f(array)`, which can still be looked at, under `jit` too, if `array` can."""
    if not _checks.concrete(array):
        return f(array)
    with jax.ensure_compile_time_eval():
        return f(array)


def pair(function: str, /, **arrays) -> tuple[list[Array], jnp.dtype]:
    """As `inputs`, of arrays that must have one shape."""
    _checks.same_shape(function, **arrays)
    return inputs(function, **arrays)


def labelled(function: str, holds, must: str, do: str, **labels) -> Array:
    """The one named array, which must satisfy `holds` elementwise.

    Raises where it can be looked at. Where it can't, under `jit`, what is wrong becomes NaN.
    """
    ((_, array),) = labels.items()
    _checks.values(function, holds, must, do, **labels)
    return array if _checks.concrete(array) else jnp.where(holds(array), array, jnp.nan)


def fractions(function: str, **labels) -> Array:
    """The named labels, which must be within [0, 1]."""
    return labelled(
        function, _within_0_1, "be within [0, 1]",
        "0 and 1 are the classes, and what is between them a probability.", **labels,
    )  # fmt: skip


def _within_0_1(array):
    return (array >= 0) & (array <= 1)


def distributions(function: str, **labels) -> Array:
    """The named rows, which must be within [0, 1] and sum to 1 within a hundredth.

    As coarse as that, because probabilities in bfloat16 are only so exact.
    """
    ((name, rows),) = labels.items()
    rows = fractions(function, **labels)
    one = lambda total: jnp.abs(total - 1) < 0.01
    do = "Divide each row by its sum; for classes that don't exclude each other, use a binary loss."
    total = constant(lambda rows: rows.sum(-1), rows)
    total = labelled(function, one, "be 1", do, **{f"the sum of each row of {name}": total})
    return rows if _checks.concrete(rows) else rows + 0 * total[..., None]


def predicted(function: str, holds, must: str, do: str, **predictions) -> Array:
    """The one named prediction, which must satisfy `holds` elementwise or be NaN.

    Where it can't be looked at, what is wrong becomes NaN, and by the product its gradient too.
    """
    ((_, array),) = predictions.items()
    allowed = lambda a: holds(a) | jnp.isnan(a)
    _checks.values(function, allowed, must, do, **predictions)
    return array if _checks.concrete(array) else array * jnp.where(holds(array), 1, jnp.nan)


def probabilities(function: str, **predictions) -> Array:
    """The named predictions, which must be within [0, 1]."""
    return predicted(
        function, _within_0_1, "be within [0, 1]",
        "Apply sigmoid or softmax first, or call the loss that takes logits.", **predictions,
    )  # fmt: skip


def elementwise(slope):
    """The rule of an elementwise or per-row slope."""
    return lambda t, *primals: t * slope(*primals)


def along_rows(slope):
    """The rule of a slope that has a last axis more than the loss."""
    return lambda t, *primals: (t * slope(*primals)).sum(-1)


def times_difference(c: Array, x: Array, y: Array) -> Array:
    """c (x - y), also where x - y alone overflows."""
    difference = x - y
    return jnp.where(jnp.isinf(difference), 2 * c * (x / 2 - y / 2), c * difference)


def exact_sum(x: Array, y: Array) -> tuple[Array, Array]:
    """x + y and its rounding error (Knuth's two-sum), which is 0 at infinity."""
    return exact_difference(x, -y)


def unit(x: Array) -> tuple[Array, Array, Array]:
    """Rows as `(direction, length / scale, scale)`; a row of zeros has direction 0 and length 0.

    Scaled by a power of two, so that squares neither overflow nor vanish, and finite in all
    derivatives at zero.
    """
    scale = _units.unit(x, axis=-1)
    scaled = x / scale
    squared = (scaled**2).sum(-1, keepdims=True)
    zero = squared == 0
    root = jnp.sqrt(jnp.where(zero, 1, squared))
    return scaled / root, jnp.where(zero, 0, root), scale
