"""The layers of a traced function, and their activations.

Nothing here needs the cooperation of the function: layers are found by where its parameters
meet the data, so networks of any library and loops of your own can be looked into.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.extend import core

from jaxnn._program import Program


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
        made_of = [pure[x] for x in op.reads if x not in data]
        if not data.isdisjoint(op.reads):
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
    first = next((i for i, op in enumerate(operations) if output in op.reads), None)
    if first is None:
        return None
    last, scopes = first, operations[first].scopes
    while scopes and last + 1 < len(operations) and operations[last + 1].scopes == scopes:
        last += 1
    run, own = operations[first : last + 1], set()
    for op in run:
        foreign = [n for n in op.reads if n in data and n != output and n not in own]
        if foreign or not all(s in (shape, ()) for s in _shapes(op.eqn)):
            return None
        own.update(op.outputs)
    made = program.avals[run[-1].outputs[0]]
    whole = made.shape == shape and jnp.issubdtype(made.dtype, jnp.floating)
    return (first, last) if whole and len(run[-1].outputs) == 1 else None


def _shapes(eqn):
    """Shapes of all values an equation makes, inside and outside: no sum, no product of rows."""
    yield from (v.aval.shape for v in eqn.outvars)
    for body in eqn.params.values():
        if isinstance(body, core.ClosedJaxpr):
            for inner in body.jaxpr.eqns:
                yield from _shapes(inner)
