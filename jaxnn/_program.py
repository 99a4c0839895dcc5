"""A traced function as a flat list of operations, which can be run, watched and changed inside.

Functions with a rule of their own stay whole, so that gradients can be taken of the list.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import jax
from jax.extend import core

# Calls that are opened; loops, branches and functions with a rule of their own stay whole.
CALLS = {"jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2"}


@dataclass(frozen=True)
class Constant:
    """A value that no argument changes."""

    value: Any


@dataclass
class Operation:
    """One equation, with numbers for the values it reads and makes.

    Attributes:
        eqn: the equation.
        inputs: numbers of its inputs; constants stand for themselves.
        outputs: numbers of its outputs.
        scopes: the named scopes it stands in, from the outside, and names of opened calls.
    """

    eqn: Any
    inputs: list[Any]
    outputs: list[int]
    scopes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the primitive."""
        return self.eqn.primitive.name

    @property
    def reads(self) -> list[int]:
        """Numbers of the values it reads, without constants."""
        return [x for x in self.inputs if isinstance(x, int)]


@dataclass
class Program:
    """Operations in order.

    Attributes:
        avals: shape and dtype of each value.
        operations: all of them.
        inputs: numbers of the arguments.
        outputs: numbers of the results, constants for themselves.
        tree: the structure of the results.
    """

    avals: list[Any] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    tree: Any = None

    def run(self, args, change: Callable[[int, Any], Any] = lambda number, value: value):
        """The results for flat arguments; `change(number, value)` sees and may alter each value."""
        values = {n: change(n, a) for n, a in zip(self.inputs, args, strict=True)}
        evaluate(self.operations, values, change)
        return jax.tree.unflatten(self.tree, [read(x, values) for x in self.outputs])

    def values(self, args, wanted: list[int]) -> list[Any]:
        """Values inside, by their numbers, for flat arguments."""

        @jax.jit  # called eagerly, every operation would be compiled on its own
        def collect(args):
            seen = {}

            def change(number, value):
                if number in wanted:
                    seen[number] = value
                return value

            self.run(args, change)
            return [seen[number] for number in wanted]

        return collect(args)


def evaluate(operations: Iterable[Operation], values: dict[int, Any], change=None) -> None:
    """Runs operations on values, by their numbers, and adds to them what they make."""
    for op in operations:
        with op.eqn.ctx.manager:  # as it was traced
            inputs = [read(x, values) for x in op.inputs]
            params = op.eqn.primitive.get_bind_params(op.eqn.params)
            found = op.eqn.primitive.bind(*inputs, **params)
        found = found if op.eqn.primitive.multiple_results else [found]
        for number, value in zip(op.outputs, found, strict=True):
            values[number] = change(number, value) if change else value


def read(x: Any, values: dict[int, Any]):
    """A value by its number, or a constant."""
    return values[x] if isinstance(x, int) else x.value


def trace(f: Callable, *args) -> Program:
    """The operations of `f` at arguments of these shapes."""
    closed, shape = jax.make_jaxpr(f, return_shape=True)(*args)
    program = Program(tree=jax.tree.structure(shape))
    program.inputs = [_new(program, v.aval) for v in closed.jaxpr.invars]
    program.outputs = _open(program, closed.jaxpr, closed.consts, program.inputs, ())
    return program


def _new(program, aval) -> int:
    program.avals.append(aval)
    return len(program.avals) - 1


def _open(program, jaxpr, constants, inputs, scopes) -> list[Any]:
    """Adds the equations of a jaxpr, and returns the numbers of its outputs."""
    at = dict(zip(jaxpr.invars, inputs, strict=True))
    at |= {v: Constant(c) for v, c in zip(jaxpr.constvars, constants, strict=True)}
    number = lambda v: Constant(v.val) if isinstance(v, core.Literal) else at[v]
    for eqn in jaxpr.eqns:
        own = [p.name for p in eqn.source_info.name_stack.stack if type(p).__name__ == "Scope"]
        inside = (*scopes, *own)
        inputs = [number(v) for v in eqn.invars]
        if eqn.primitive.name in CALLS:
            body = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
            closed = isinstance(body, core.ClosedJaxpr)
            body, constants = (body.jaxpr, body.consts) if closed else (body, ())
            named = (*inside, str(eqn.params.get("name", "")))
            made = _open(program, body, constants, inputs, named)
        else:
            made = [_new(program, v.aval) for v in eqn.outvars]
            program.operations.append(Operation(eqn, inputs, made, inside))
        at |= dict(zip(eqn.outvars, made, strict=True))
    return [number(v) for v in jaxpr.outvars]
