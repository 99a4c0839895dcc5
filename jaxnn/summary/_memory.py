"""How much memory the values between the layers take up."""

import math
from typing import NamedTuple

import numpy as np

from jaxnn.summary._flops import ARITHMETIC, TRANSCENDENTAL, VIEWS
from jaxnn.summary._steps import Program


class Memory(NamedTuple):
    """Bytes of activations.

    Attributes:
        peak: most bytes at any step.
        kept: for each step of the forward pass, bytes of what it made that the backward pass
            reads.
    """

    peak: int
    kept: dict[int, int]


def memory(made: Program, turn: int, results: set[int | None]) -> Memory:
    """Bytes of activations of a program that runs forward up to step `turn`, then backward.

    A value takes up memory from the step that makes it to the last that reads it, and those of
    a loop for one round of it. A view of another value takes none, and an elementwise result may
    take the place of an argument that is not needed any more. Arguments, what depends on no
    argument, and `results` (the gradients) are no activations.
    """
    root = list(range(len(made.avals)))
    born: dict[int, int] = {}
    last: dict[int, int] = {}
    varies = set(made.inputs)
    for i, step in enumerate(made.steps):
        if not step.needed:
            continue
        end = _end_of_loop(made.loops, i)
        for v in step.inputs:
            first = born.get(root[v], i)
            last[root[v]] = max(i, end(first))
        if not varies.isdisjoint(step.inputs):
            varies.update(step.outputs)
        if step.name in VIEWS and step.inputs:
            for v in step.outputs:
                root[v] = root[step.inputs[0]]
        else:
            born.update(dict.fromkeys(step.outputs, i if step.start is None else step.start))

    for v in made.outputs:
        if v is not None:
            last[root[v]] = len(made.steps)
    out = {root[v] for v in results if v is not None}
    held = [v for v in born if v in last and v in varies and v not in out]
    change = np.zeros(len(made.steps) + 2, int)
    kept: dict[int, int] = {}
    for v in held:
        size = nbytes(made.avals[v])
        change[born[v]] += size
        change[last[v] + (not _in_place(made, last[v], v, root))] -= size
        if born[v] < turn <= last[v] < len(made.steps):
            kept[born[v]] = kept.get(born[v], 0) + size
    return Memory(int(change.cumsum().max(initial=0)), kept)


def _end_of_loop(loops, i):
    """What stands before a loop and is read in it must last for all rounds."""
    around = [(start, end) for start, end in loops if start <= i <= end]
    return lambda born: max((end for start, end in around if born < start), default=i)


def _in_place(made, i, v, root) -> bool:
    """Whether the last step that reads a value may write over it."""
    if i >= len(made.steps):
        return False
    step = made.steps[i]
    if step.name not in ARITHMETIC | TRANSCENDENTAL:
        return False
    return any(nbytes(made.avals[o]) == nbytes(made.avals[v]) for o in step.outputs)


def nbytes(aval) -> int:
    """Bytes of an array."""
    return math.prod(aval.shape) * getattr(aval.dtype, "itemsize", 4)
