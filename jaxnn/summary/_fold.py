"""Repeated blocks: layers that follow each other and are alike, found and shown once."""

from collections.abc import Callable, Sequence
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


def fold(rows: Sequence, chained: Callable[[list], bool] = lambda _: True) -> list[Fold]:
    """Divides rows, each with a `signature`, into repetitions; most are of one row once.

    Blocks are folded from two on; series of single layers from three repetitions on. `chained`
    says of some repetitions whether the last may join those before it.
    """
    folded, i = [], 0
    while i < len(rows):
        rest = rows[i:]
        found = ((p, _repeated(rest, p, chained)) for p in range(1, len(rest) // 2 + 1))
        enough = [(p, t) for p, t in found if t >= (2 if p == 1 and rows[i].rows else 3)]
        period, times = max(enough, key=lambda pt: (pt[0] * pt[1], -pt[0]), default=(1, 1))
        parts = [list(rows[i + k * period : i + (k + 1) * period]) for k in range(times)]
        folded.append(Fold(parts))
        i += period * times
    return folded


def _repeated(rows, period, chained) -> int:
    """How often the first rows are repeated."""
    parts = [rows[k : k + period] for k in range(0, len(rows), period)]
    alike = lambda part: [row.signature for row in part] == [row.signature for row in parts[0]]
    times = 1
    while times < len(parts) and alike(parts[times]) and chained(parts[: times + 1]):
        times += 1
    return times


def signature(name, kind, shape, dtype, parameters, rows):
    """What layers that are alike have in common."""
    inner = tuple(row.signature for row in rows)
    return (pattern(name), kind, shape, dtype, parameters, inner)
