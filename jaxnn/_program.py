"""A traced function as a flat list of operations, which can be run, watched and changed inside."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import jax
from jax.extend import core

# Calls that are opened. Loops and branches stay whole, and so do functions with a rule of their
# own where gradients are to be taken of the list.
CALLS = {"jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2"}
RULES = {"custom_jvp_call", "custom_vjp_call", "custom_vmap_call"}


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
        stack: the named scopes in the transformations that JAX wrapped around them.
        callers: the equations of the opened calls it stands in, from the outside.
    """

    eqn: Any
    inputs: list[Any]
    outputs: list[int]
    scopes: tuple[str, ...]
    stack: str = ""
    callers: tuple[Any, ...] = ()

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
        found = bind(op.eqn, [read(x, values) for x in op.inputs])
        for number, value in zip(op.outputs, found, strict=True):
            values[number] = change(number, value) if change else value


def bind(eqn: Any, inputs: list[Any]) -> list[Any]:
    """The values an equation makes, as it was traced."""
    with eqn.ctx.manager:
        found = eqn.primitive.bind(*inputs, **eqn.primitive.get_bind_params(eqn.params))
    return found if eqn.primitive.multiple_results else [found]


def read(x: Any, values: dict[int, Any]):
    """A value by its number, or a constant."""
    return values[x] if isinstance(x, int) else x.value


def trace(f: Callable, *args) -> Program:
    """The operations of `f` at arguments of these shapes."""
    closed, shape = jax.make_jaxpr(f, return_shape=True)(*args)
    program = flatten(closed)
    program.tree = jax.tree.structure(shape)
    return program


def flatten(closed: core.ClosedJaxpr, opened: Collection[str] = CALLS) -> Program:
    """The operations of a closed jaxpr, calls of these kinds opened."""
    program = Program()
    program.inputs = [_new(program, v.aval) for v in closed.jaxpr.invars]
    program.outputs = _open(program, closed, program.inputs, (), (), (), opened)
    return program


def _new(program, aval) -> int:
    program.avals.append(aval)
    return len(program.avals) - 1


def _open(program, closed, inputs, scopes, stacks, callers, opened) -> list[Any]:
    """Adds the equations of a jaxpr, and returns the numbers of its outputs."""
    jaxpr = closed.jaxpr
    at = dict(zip(jaxpr.invars, inputs, strict=True))
    at |= {v: Constant(c) for v, c in zip(jaxpr.constvars, closed.consts, strict=True)}
    number = lambda v: Constant(v.val) if isinstance(v, core.Literal) else at[v]
    for eqn in jaxpr.eqns:
        stack = eqn.source_info.name_stack
        own = [p.name for p in stack.stack if type(p).__name__ == "Scope"]
        inside, around = (*scopes, *own), (*stacks, *filter(None, [str(stack)]))
        values = [number(v) for v in eqn.invars]
        # Derivatives of one's own are kept, but in attention what stands inside is asked for.
        attends = eqn.primitive.name == "custom_jvp_call" and inside[-1:] == ("attend",)
        called = _called(eqn) if attends or eqn.primitive.name in opened else None
        if called is not None:
            named = (*inside, str(eqn.params.get("name", "")))
            made = _open(program, called, values, named, around, (*callers, eqn), opened)
        else:
            made = [_new(program, v.aval) for v in eqn.outvars]
            stack = "/".join(around)
            program.operations.append(Operation(eqn, values, made, inside, stack, callers))
        at |= dict(zip(eqn.outvars, made, strict=True))
    return [number(v) for v in jaxpr.outvars]


def _called(eqn) -> core.ClosedJaxpr | None:
    """The program that an equation calls."""
    for value in eqn.params.values():
        if isinstance(value, core.ClosedJaxpr):
            return value
        if isinstance(value, core.Jaxpr) and not value.constvars:
            return core.ClosedJaxpr(value, ())
    return None
