"""One sample point of a public function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, init=False)
class Case:
    """Arguments at which a function and its closed form are compared.

    Attributes:
        args: positional arguments; floats are cast to the dtype under test.
        wrt: positions of the arguments that the closed form differentiates, in its order.
        options: static keyword arguments.
        output: picks the differentiable output where the function returns several.
        edge: a kink, an infinity or an invalid input: run to reach its branch, but not
            compared with finite differences, which mean nothing there.
        forward: False where a `custom_vjp` is installed, which has no forward mode.
    """

    args: tuple
    wrt: tuple[int, ...] = (0,)
    options: Mapping[str, Any] = field(default_factory=dict)
    output: Callable | None = None
    edge: bool = False
    forward: bool = True

    def __init__(self, *args, wrt=(0,), options=None, output=None, edge=False, forward=True):
        for name, value in {
            "args": args,
            "wrt": tuple(wrt),
            "options": options or {},
            "output": output,
            "edge": edge,
            "forward": forward,
        }.items():
            object.__setattr__(self, name, value)
