"""What a table shows: equations, and arrays as they are printed."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


class Equation(NamedTuple):
    """One row of the table.

    Attributes:
        symbol: what is computed, in LaTeX.
        rule: by which formula.
        terms: the formula with numbers: arrays, and LaTeX between them; empty if there is
            nothing to put in.
        value: the result; None where a symbol only stands for a part of another formula.
    """

    symbol: str
    rule: str
    terms: tuple[Any, ...]
    value: Any


# Columns of the widest matrix that is printed.
WIDEST = 12


@dataclass
class Written:
    """Everything a renderer needs."""

    title: str
    notes: list[str]
    sections: list[tuple[str, list[Equation]]]
    digits: int
    limit: int


def fits(array: Any, limit: int) -> bool:
    """Whether rows, or panels, are few and narrow enough to be printed."""
    if np.ndim(array) == 0:
        return True
    columns = array.shape[-1] * (len(array) if array.ndim == 3 else 1)
    most = 2 * WIDEST if array.ndim == 3 else WIDEST
    return array.ndim <= 3 and 0 < array.size <= limit and columns <= most


def panels(array: Any, kind: str = "") -> np.ndarray:
    """Rows of features; the maps of an `image`, or the windows of a `kernel`, side by side."""
    array = np.asarray(array)
    array = array if array.dtype.kind in "biu" else array.astype(float)
    if array.ndim == 0:
        return array
    if kind == "kernel":  # rows, columns, inputs, outputs
        array = np.moveaxis(array, (0, 1), (2, 3))
    elif kind == "image":
        array = np.moveaxis(array, -1, -3)
    else:
        return array.reshape(-1, array.shape[-1])
    array = array.reshape(-1, *array.shape[-2:])
    return array[0] if len(array) == 1 else array
