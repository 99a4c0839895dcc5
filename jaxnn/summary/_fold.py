"""Repeated blocks: layers that follow each other and are alike, found and shown once."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxnn.summary._layers import pattern


class Fold(NamedTuple):
    """Some layers, and how often they follow each other.

    Attributes:
        parts: for each repetition its layers.
    """

    parts: list[list]

    @property
    def first(self) -> list:
        """The layers that stand for all."""
        return self.parts[0]

    @property
    def times(self) -> int:
        """How often they are repeated."""
        return len(self.parts)

    @property
    def name(self) -> str:
        """Of the first and the last block, where the repetition is of one block."""
        first, last = self.parts[0], self.parts[-1]
        return f"{first[0].name} … {last[0].name}" if len(first) == 1 else ""


def fold(rows: Sequence) -> list[Fold]:
    """Divides rows, each with a `signature`, into repetitions; most are of one row once.

    Blocks are folded from two on; series of single layers from three repetitions on.
    """
    folded, i = [], 0
    while i < len(rows):
        period, times = max(
            ((p, _repetitions(rows, i, p)) for p in range(1, (len(rows) - i) // 2 + 1)),
            key=lambda found: (found[0] * found[1] if found[1] > 1 else 0, -found[0]),
            default=(1, 1),
        )
        blocks = period == 1 and rows[i].rows
        if times < (2 if blocks else 3):
            period, times = 1, 1
        parts = [list(rows[i + k * period : i + (k + 1) * period]) for k in range(times)]
        folded.append(Fold(parts))
        i += period * times
    return folded


def _repetitions(rows, i, period) -> int:
    first = [row.signature for row in rows[i : i + period]]
    times = 1
    while [row.signature for row in rows[i + times * period : i + (times + 1) * period]] == first:
        times += 1
    return times


def signature(name, kind, shape, dtype, parameters, rows):
    """What layers that are alike have in common."""
    inner = tuple(row.signature for row in rows)
    return (pattern(name), kind, shape, dtype, parameters, inner)
