"""The layers of a traced function, and their activations.

Nothing here needs the cooperation of the function: layers are found by where its parameters
meet the data, so networks of any library and loops of your own can be looked into.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxnn._program import Program
from jaxnn.diagnostics._elementwise import PRIMITIVES, Activations


@dataclass(frozen=True)
class Layer:
    """Where the parameters of one layer meet the data.

    Attributes:
        name: the path of its parameters, such as `encoder/dense_0`.
        leaves: which of the flat parameters are its own.
        output: the number of the value it computes; None if no data meet it.
        activation: the operations that make up the elementwise function of its output, the
            last one making it, or None.
    """

    name: str
    leaves: tuple[int, ...]
    output: int | None
    activation: tuple[int, ...] | None


@dataclass(frozen=True)
class Meeting:
    """An operation on data that reads a value made of parameters.

    Attributes:
        at: which operation.
        leaves: the flat parameters that the value is made of.
        after: the last operation before that multiplied the data by parameters, or -1.
    """

    at: int
    leaves: frozenset[int]
    after: int


def groups(params) -> dict[str, tuple[int, ...]]:
    """The flat parameters that share a dict: one group per layer, by the path of the dict."""
    found: dict[str, list[int]] = {}
    for i, path in enumerate(_paths(params)):
        found.setdefault("/".join(path[:-1]) or "parameters", []).append(i)
    return {name: tuple(leaves) for name, leaves in found.items()}


def _paths(params) -> list[tuple[str, ...]]:
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    value = jax.tree_util.GetAttrKey("value")  # of a variable of flax.nnx
    return [tuple(map(_key, path[:-1] if path[-1:] == (value,) else path)) for path in paths]


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
    meetings = _meetings(program, len(jax.tree.leaves(params)))
    found = _split(program, params, meetings)
    owners = {leaf: name for name, leaves in found.items() for leaf in leaves}
    output, last = {}, {}
    for meeting in meetings:
        names = {owners[leaf] for leaf in meeting.leaves}
        value = _largest(program, program.operations[meeting.at].outputs)
        if len(names) == 1 and value is not None:
            output[(name := names.pop())], last[name] = value, meeting.at
    order = sorted(found, key=lambda name: last.get(name, len(program.operations)))
    # What is elementwise after the last layer belongs to the loss.
    final = max(last.values(), default=None)
    activations = Activations(program)
    return [
        Layer(
            name,
            found[name],
            output.get(name),
            None if last.get(name) in (None, final) else activations.after(output[name]),
        )
        for name in order
    ]


def _meetings(program, count) -> list[Meeting]:
    """Where the first `count` arguments, or what is made of them alone, meet the others."""
    # The parameters that a value is made of, as long as no data are in it.
    pure = {n: frozenset({i} if i < count else ()) for i, n in enumerate(program.inputs)}
    data: dict[int, int] = dict.fromkeys(program.inputs[count:], -1)  # and their last product
    found = []
    for at, op in enumerate(program.operations):
        made_of = [pure[n] for n in op.reads if n not in data]
        before = [data[n] for n in op.reads if n in data]
        if before:
            after = max(before)
            found += [Meeting(at, leaves, after) for leaves in made_of if leaves]
            multiplied = any(made_of) and op.name not in PRIMITIVES
            data.update(dict.fromkeys(op.outputs, at if multiplied else after))
        else:
            pure.update(dict.fromkeys(op.outputs, frozenset().union(*made_of)))
    return found


def _split(program, params, meetings) -> dict[str, tuple[int, ...]]:
    """The groups; one whose parameters multiply the data in several places falls into these.

    So each kernel of a flat dict or list is a layer, with the bias that is added to its product.
    """
    paths, found = _paths(params), {}
    multiplies = lambda meeting: program.operations[meeting.at].name not in PRIMITIVES
    size = lambda leaf: program.avals[program.inputs[leaf]].size
    for name, leaves in groups(params).items():
        own = [m for m in meetings if m.leaves <= set(leaves)]
        kernels = _first((leaf, m.at) for m in own if multiplies(m) for leaf in m.leaves)
        others = _first((leaf, m.after) for m in own for leaf in m.leaves if leaf not in kernels)
        if len(set(kernels.values())) < 2:
            found[name] = leaves
            continue
        heads = {}  # what a product is called after
        for leaf, at in sorted(kernels.items(), key=lambda item: size(item[0])):
            heads[at] = leaf
        for leaf in leaves:
            at = kernels.get(leaf, others.get(leaf))
            own_name = "/".join(paths[heads.get(at, leaf)])
            found.setdefault(own_name if at is not None else name, []).append(leaf)
    return {name: tuple(leaves) for name, leaves in found.items()}


def _first(pairs) -> dict:
    """A dict of pairs; of several with one key the first counts."""
    found: dict = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


def _largest(program, outputs) -> int | None:
    """Of several outputs the largest; none of whole numbers, and no single number."""
    floats = [
        n
        for n in outputs
        if program.avals[n].shape and jnp.issubdtype(program.avals[n].dtype, jnp.floating)
    ]
    return max(floats, key=lambda n: program.avals[n].size, default=None)
