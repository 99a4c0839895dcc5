r"""Sliding windows over the spatial axes: cut out as patches, and put back as their sum.

A window of k taps, moved by a stride s and dilated by d, sees at output position p and tap t
the input entry \( s p + d t - pad \). Convolution, pooling and their gradients are this one
index relation, read in either direction.
"""

import itertools
import math
import operator
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from jaxnn import _checks


class Windows(NamedTuple):
    """Windows over inputs of one size; each field has one entry per spatial axis.

    Attributes:
        window: taps.
        strides: steps between windows.
        dilation: steps between taps.
        pads: `(low, high)` entries of padding.
        inputs: size of the input.
        outputs: number of windows.
    """

    window: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def taps(self):
        """Entries of a window."""
        return math.prod(self.window)

    def offsets(self):
        """Where each tap stands in the padded input, seen from the corner of the window."""
        for tap in itertools.product(*map(range, self.window)):
            yield tuple(t * d for t, d in zip(tap, self.dilation, strict=True))


def per_axis(function, name, value, rank):
    """One positive integer for each of `rank` spatial axes, from a number or a sequence."""
    values = tuple(value) if isinstance(value, Sequence) else (value,) * rank
    if len(values) != rank:
        raise ValueError(
            f"{function}: {name} must be a number or have one entry per spatial axis ({rank}), "
            f"got {value}. Pass {rank} of them."
        )
    _checks.sizes(function, **{f"{name}[{i}]": v for i, v in enumerate(values)})
    return values


def sizes_of(function, name, sizes):
    """The sizes of a window, as many as there are spatial axes."""
    if not isinstance(sizes, Sequence) or not sizes:
        raise TypeError(
            f"{function}: {name} must have one entry per spatial axis, got {sizes!r}. "
            "For two axes pass a pair, such as (3, 3)."
        )
    return per_axis(function, name, sizes, len(sizes))


def windows(function, shape, window, strides, padding, dilation=1) -> Windows:
    """The windows over an input `[..., *spatial, features]` of `shape`."""
    rank = len(window)
    if len(shape) < rank + 1:
        raise ValueError(
            f"{function}: x must have shape [..., {rank} spatial axes, features], got "
            f"{tuple(shape)}. Add the axis that is missing: x[..., None]."
        )
    inputs = tuple(shape[-rank - 1 : -1])
    strides = per_axis(function, "strides", strides, rank)
    dilation = per_axis(function, "dilation", dilation, rank)
    spans = tuple(d * (k - 1) + 1 for d, k in zip(dilation, window, strict=True))
    pads = _pads(function, inputs, spans, strides, padding)
    outputs = tuple(
        (n + sum(pad) - span) // s + 1
        for n, pad, span, s in zip(inputs, pads, spans, strides, strict=True)
    )
    if min(outputs) < 1:
        raise ValueError(
            f"{function}: the window, which spans {spans}, must fit into the padded input, got "
            f"an input of {inputs} with padding {pads}. Pad more, or take a smaller window."
        )
    return Windows(tuple(window), strides, dilation, pads, inputs, outputs)


def _pads(function, inputs, spans, strides, padding):
    if padding == "CAUSAL" and len(inputs) == 1:
        return ((spans[0] - 1, 0),)
    if padding in ("SAME", "VALID"):
        return tuple(lax.padtype_to_pads(inputs, spans, strides, padding))
    pads = pairs(function, padding, len(inputs), "'SAME', 'VALID', 'CAUSAL' (one spatial axis)")
    if min(map(min, pads)) < 0:
        raise ValueError(
            f"{function}: padding must not be negative, got {padding}. Slice the input instead."
        )
    return pads


def pairs(function, padding, rank, names):
    """Padding as pairs `(low, high)`; `names` are those that would have done as well."""
    try:
        pads = tuple((operator.index(low), operator.index(high)) for low, high in padding)
    except (TypeError, ValueError):
        pads = ()
    if len(pads) != rank:
        raise ValueError(
            f"{function}: padding must be {names} or a pair per spatial axis, got {padding!r}. "
            f"For one entry on each side, pass {[(1, 1)] * rank}."
        )
    return pads


def patches(x: Array, at: Windows, fill: float = 0.0) -> Array:
    """What each window sees: `[rows, *inputs, features]` -> `[rows, *outputs, taps, features]`."""
    x = lax.pad(x, jnp.asarray(fill, x.dtype), _every_axis((*pad, 0) for pad in at.pads))
    rows, features = x.shape[0], x.shape[-1]
    seen = []
    for offset in at.offsets():
        axes = list(zip(offset, at.outputs, at.strides, strict=True))
        stop = [o + (n - 1) * s + 1 for o, n, s in axes]
        seen.append(lax.slice(x, (0, *offset, 0), (rows, *stop, features), (1, *at.strides, 1)))
    return jnp.stack(seen, axis=-2)


def overlay(seen: Array, at: Windows) -> Array:
    """The transpose of `patches`: each tap is put back where it was seen, and overlaps add up."""
    sizes = [n + sum(pad) for n, pad in zip(at.inputs, at.pads, strict=True)]
    zero, total = jnp.zeros((), seen.dtype), 0
    for i, offset in enumerate(at.offsets()):
        axes = zip(sizes, offset, at.outputs, at.strides, strict=True)
        spread = ((o, size - o - (n - 1) * s - 1, s - 1) for size, o, n, s in axes)
        total = total + lax.pad(seen[..., i, :], zero, _every_axis(spread))
    return lax.pad(total, zero, _every_axis((-low, -high, 0) for low, high in at.pads))


def _every_axis(spatial):
    """Padding of rows and features, which is none, around that of the spatial axes."""
    return ((0, 0, 0), *spatial, (0, 0, 0))
