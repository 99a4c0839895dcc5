"""A traced function as a flat list of operations, which can be run with values added inside.

Nothing here needs the cooperation of the function: layers are found by where its parameters
meet the data, so networks of any library and loops of your own can be looked into. Unlike in
`_program`, functions with a rule of their own stay whole: gradients are taken here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

# Calls that are opened; loops, branches and functions with a rule of their own stay whole.
CALLS = {"jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2"}


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
        read = lambda x: values[x] if isinstance(x, int) else x.value
        for op in self.operations:
            found = _bind(op.eqn, [read(x) for x in op.inputs])
            for number, value in zip(op.outputs, found, strict=True):
                values[number] = change(number, value)
        return jax.tree.unflatten(self.tree, [read(x) for x in self.outputs])

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


@dataclass
class _Constant:
    value: Any


def _bind(eqn, inputs):
    """The values an equation makes, as it was traced."""
    with eqn.ctx.manager:
        found = eqn.primitive.bind(*inputs, **eqn.primitive.get_bind_params(eqn.params))
    return found if eqn.primitive.multiple_results else [found]


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
    at |= {v: _Constant(c) for v, c in zip(jaxpr.constvars, constants, strict=True)}
    number = lambda v: _Constant(v.val) if isinstance(v, core.Literal) else at[v]
    for eqn in jaxpr.eqns:
        own = [p.name for p in eqn.source_info.name_stack.stack if type(p).__name__ == "Scope"]
        inside = (*scopes, *own)
        read = [number(v) for v in eqn.invars]
        if eqn.primitive.name in CALLS:
            body = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
            closed = isinstance(body, core.ClosedJaxpr)
            body, constants = (body.jaxpr, body.consts) if closed else (body, ())
            named = (*inside, str(eqn.params.get("name", "")))
            made = _open(program, body, constants, read, named)
        else:
            made = [_new(program, v.aval) for v in eqn.outvars]
            program.operations.append(Operation(eqn, read, made, inside))
        at |= dict(zip(eqn.outvars, made, strict=True))
    return [number(v) for v in jaxpr.outvars]


@dataclass(frozen=True)
class Layer:
    """Where the parameters of one layer meet the data.

    Attributes:
        name: the path of its parameters, such as `encoder/dense_0`.
        leaves: which of the flat parameters are its own.
        output: the number of the value it computes; None if no data meet it.
        activation: operations from first to last that make up the elementwise function of its
            output, or None.
    """

    name: str
    leaves: tuple[int, ...]
    output: int | None
    activation: tuple[int, int] | None


def groups(params) -> dict[str, tuple[int, ...]]:
    """The flat parameters that share a dict: one group per layer, by the path of the dict."""
    found: dict[str, list[int]] = {}
    for i, (path, _) in enumerate(jax.tree_util.tree_leaves_with_path(params)):
        parents = [_key(entry) for entry in path[:-1]]
        found.setdefault("/".join(parents) or "parameters", []).append(i)
    return {name: tuple(leaves) for name, leaves in found.items()}


def _key(entry) -> str:
    for attribute in ("key", "idx", "name"):
        if hasattr(entry, attribute):
            return str(getattr(entry, attribute))
    return str(entry)


def layers(program: Program, params) -> list[Layer]:
    """The layers of a function whose first argument is `params`, in the order they compute.

    A layer's output is what the last of its own parameters makes of the data. Values made of
    parameters alone, such as a penalty, are no output.
    """
    owners = {leaf: name for name, leaves in groups(params).items() for leaf in leaves}
    # The layers that a value is made of, as long as no data are in it.
    pure: dict[int, frozenset[str]] = {
        n: frozenset({owners[i]}) if i in owners else frozenset()
        for i, n in enumerate(program.inputs)
    }
    data = set(program.inputs[len(owners) :])
    output, last = {}, {}
    for at, op in enumerate(program.operations):
        read = [x for x in op.inputs if isinstance(x, int)]
        made_of = [pure[x] for x in read if x not in data]
        if not data.isdisjoint(read):
            data.update(op.outputs)
            value = _largest(program, op.outputs)
            for names in made_of:
                if len(names) == 1 and value is not None:
                    output[(name := next(iter(names)))], last[name] = value, at
        else:
            together = frozenset().union(*made_of)
            pure.update(dict.fromkeys(op.outputs, together))
    found = groups(params)
    order = sorted(found, key=lambda name: last.get(name, len(program.operations)))
    # What is elementwise after the last layer belongs to the loss.
    final = max(last.values(), default=None)
    return [
        Layer(
            name,
            found[name],
            output.get(name),
            None if last.get(name) == final else _activation(program, output.get(name), data),
        )
        for name in order
    ]


def _largest(program, outputs) -> int | None:
    """Of several outputs the largest; none of whole numbers, and no single number."""
    floats = [
        n
        for n in outputs
        if program.avals[n].shape and jnp.issubdtype(program.avals[n].dtype, jnp.floating)
    ]
    return max(floats, key=lambda n: program.avals[n].size, default=None)


def _activation(program, output, data) -> tuple[int, int] | None:
    """The elementwise function that reads the output first, if there is one."""
    if output is None:
        return None
    shape, operations = program.avals[output].shape, program.operations
    first = next((i for i, op in enumerate(operations) if output in _numbers(op)), None)
    if first is None:
        return None
    last, scopes = first, operations[first].scopes
    while scopes and last + 1 < len(operations) and operations[last + 1].scopes == scopes:
        last += 1
    run, own = operations[first : last + 1], set()
    for op in run:
        foreign = [n for n in _numbers(op) if n in data and n != output and n not in own]
        if foreign or not all(s in (shape, ()) for s in _shapes(op.eqn)):
            return None
        own.update(op.outputs)
    made = program.avals[run[-1].outputs[0]]
    whole = made.shape == shape and jnp.issubdtype(made.dtype, jnp.floating)
    return (first, last) if whole and len(run[-1].outputs) == 1 else None


def _numbers(op) -> list[int]:
    return [x for x in op.inputs if isinstance(x, int)]


def _shapes(eqn):
    """Shapes of all values an equation makes, inside and outside: no sum, no product of rows."""
    yield from (v.aval.shape for v in eqn.outvars)
    for body in eqn.params.values():
        if isinstance(body, core.ClosedJaxpr):
            for inner in body.jaxpr.eqns:
                yield from _shapes(inner)
