"""A traced network as blocks: its layers, activations, sums, ... and both passes over them.

A block is what stands in the named scope of one function, such as `dense` or `relu`. What
stands in no such scope is a block by itself, one per operation.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn._program import Operation, Program, evaluate

# Operations that show a value in another shape: several in a row are one block.
MOVES = {
    "broadcast_in_dim", "convert_element_type", "copy", "expand_dims", "reshape", "rev", "slice",
    "squeeze", "transpose",
}  # fmt: skip
NAMES = {
    "add_any": "add", "dot_general": "matmul", "integer_pow": "power", "logistic": "sigmoid",
    "max": "maximum", "min": "minimum", "mul": "multiply", "neg": "negative", "pow": "power",
    "reduce_max": "max", "reduce_min": "min", "reduce_sum": "sum", "sub": "subtract",
    "div": "divide", "split": "split", "gather": "take", "concatenate": "concatenate",
    "select_n": "where",
}  # fmt: skip


@dataclass
class Block:
    """Operations that belong together.

    Attributes:
        name: the scopes around it, which are the path of its parameters; may be empty.
        kind: its function, such as `dense`, or its operation, such as `add`.
        operations: in their order.
        parameters: numbers of the parameters it reads.
        inputs: numbers of the other values it reads that depend on the arguments.
        constants: numbers of those that don't.
        outputs: numbers of the values that others read.
        elementwise: whether its derivative is a number for each entry.
    """

    name: str
    kind: str
    operations: list[Operation] = field(default_factory=list)
    parameters: list[int] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    constants: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    elementwise: bool = False

    @property
    def reads(self) -> list[int]:
        """All values it reads, of whatever kind."""
        return [*self.parameters, *self.inputs, *self.constants]

    def made(self) -> list[int]:
        """All values it makes."""
        return [n for op in self.operations for n in op.outputs]

    def run(self, values: dict[int, Any]) -> dict[int, Any]:
        """Its outputs, for the values it reads."""
        values = dict(values)
        evaluate(self.operations, values)
        return {n: values[n] for n in self.outputs}


@dataclass
class Blocks:
    """A network as blocks in their order.

    Attributes:
        program: the operations.
        paths: of each parameter, its keys; parameters are the first arguments.
        blocks: those that depend on the arguments.
        constant: the one that does not; it makes positions, masks and the like.
    """

    program: Program
    paths: list[tuple[str, ...]]
    blocks: list[Block]
    constant: Block

    def forward(self, args) -> dict[int, Any]:
        """Every value that a block reads or makes for others."""
        values = dict(zip(self.program.inputs, args, strict=True))
        for block in [self.constant, *self.blocks]:
            values |= block.run({n: values[n] for n in block.reads})
        return values

    def backward(self, values, cotangents):
        """From the cotangents of the outputs to those of all values.

        Each block is pulled back by its own: by its closed form, where one is installed.

        Returns:
            The cotangents by number; the part that each block gave to each value it read, by
            the place of the block and the number of the value; and the derivatives of
            elementwise blocks by their place.
        """
        found, parts = dict(cotangents), {}
        for i in reversed(range(len(self.blocks))):
            for n, part in self._pulled(self.blocks[i], values, found).items():
                parts[i, n] = part
                found[n] = found[n] + part if n in found else part
        slopes = {
            i: self._slope(block, values)
            for i, block in enumerate(self.blocks)
            if block.elementwise
        }
        return found, parts, slopes

    def _slope(self, block, values):
        """The derivative of an elementwise block: what it makes of ones."""
        (x,), (y,) = block.inputs, block.outputs
        run = lambda value: block.run({n: values[n] for n in block.reads} | {x: value})[y]
        return jax.jvp(run, (values[x],), (jnp.ones_like(values[x]),))[1]

    def _pulled(self, block, values, cotangents) -> dict[int, Any]:
        """The cotangents of what a block reads."""
        floats = [n for n in block.reads if self.floating(n) and n not in block.constants]
        outputs = [n for n in block.outputs if self.floating(n)]
        if not floats or cotangents.keys().isdisjoint(outputs):
            return {}
        fixed = {n: values[n] for n in block.reads}

        def run(chosen):
            made = block.run(fixed | chosen)
            return {n: made[n] for n in outputs}

        _, pull = jax.vjp(run, {n: values[n] for n in floats})
        return pull({n: cotangents.get(n, jnp.zeros_like(values[n])) for n in outputs})[0]

    def floating(self, n) -> bool:
        """Whether a value is differentiated."""
        return jnp.issubdtype(self.program.avals[n].dtype, jnp.inexact)


def blocks_of(program: Program, paths, functions: Collection[str], elementwise) -> Blocks:
    """Cuts a program whose first arguments are parameters into blocks.

    `functions` are the names of scopes that are functions; `elementwise` are those functions
    and operations whose derivative is a number for each entry.
    """
    operations = _needed(program)
    varying = set(program.inputs)
    for op in operations:
        if not varying.isdisjoint(op.reads):
            varying.update(op.outputs)
    constant = Block("", "constant")
    constant.operations = [op for op in operations if varying.isdisjoint(op.reads)]
    rest = [op for op in operations if not varying.isdisjoint(op.reads)]
    groups = [whole for group in _grouped(program, rest, paths, functions) for whole in group]
    _connect(program, [constant, *groups], len(paths), varying, elementwise)
    return Blocks(program, paths, groups, constant)


def _needed(program) -> list[Operation]:
    """The operations that an output depends on."""
    wanted = {x for x in program.outputs if isinstance(x, int)}
    needed = []
    for op in reversed(program.operations):
        if not wanted.isdisjoint(op.outputs):
            wanted.update(op.reads)
            needed.insert(0, op)
    return needed


def _grouped(program, operations, paths, functions) -> Iterator[list[Block]]:
    """Consecutive operations of one function as one block, others each as its own."""
    prefixes = {path[:i] for path in paths for i in range(1, len(path))}
    of_parameters = set(program.inputs[: len(paths)])
    waiting: list[Operation] = []  # what only prepares parameters, until they are used
    key, block = None, None
    for op in operations:
        here = _function(op.scopes, functions, prefixes)
        if here is None and of_parameters.issuperset(op.reads) and op.name in MOVES:
            of_parameters.update(op.outputs)
            waiting.append(op)
            continue
        before, waiting = _before(op, waiting)
        moving = here is None and op.name in MOVES
        at = here or (op.scopes if moving else None)
        if block is None or at is None or at != key or not (here or _follows(op, block)):
            if block is not None:
                yield _parts(block)
            block, key = _named(op, here, prefixes), at
        elif moving and block.kind == "reshape":
            block.kind = op.name
        block.operations += [*before, op]
    if block is not None:
        block.operations += waiting  # parameters that are returned as they are
        yield _parts(block)


def _function(scopes, functions, prefixes):
    """The scopes down to the outermost function, or None: not to keys of parameters."""
    for i, name in enumerate(scopes):
        if name in functions and scopes[: i + 1] not in prefixes:
            return scopes[: i + 1]
    return None


def _named(op, here, prefixes) -> Block:
    if here:
        return Block("/".join(here[:-1]), here[-1])
    around = [name for i, name in enumerate(op.scopes) if op.scopes[: i + 1] in prefixes]
    name: str = NAMES.get(op.name) or op.name
    if op.name.startswith("custom_"):  # a function with a rule of its own
        body = op.eqn.params.get("call_jaxpr")
        name = str(body.jaxpr.debug_info.func_name).lstrip("_") if body else name
    return Block("/".join(around), name)


def _before(op, waiting) -> tuple[list[Operation], list[Operation]]:
    """Of what waits, what an operation depends on, and the rest."""
    wanted, taken = set(op.reads), []
    for other in reversed(waiting):
        if not wanted.isdisjoint(other.outputs):
            wanted.update(other.reads)
            taken.insert(0, other)
    return taken, [other for other in waiting if other not in taken]


def _follows(op, block) -> bool:
    return not set(block.made()).isdisjoint(op.reads)


def _parts(block) -> list[Block]:
    """A function called several times in a row, on other values each time, is as many blocks."""
    parts: list[tuple[set[int], Block]] = []
    for op in block.operations:
        made, whole = set(op.outputs), Block(block.name, block.kind)
        together = [p for p in parts if not p[0].isdisjoint(op.reads)]
        for numbers, part in together:
            made |= numbers
            whole.operations += part.operations
        whole.operations.append(op)
        parts = [p for p in parts if p not in together] + [(made, whole)]
    return [part for _, part in parts]


def _connect(program, groups, parameters, varying, elementwise) -> None:
    """Fills in what each block reads, and what others read of it."""
    returned = {x for x in program.outputs if isinstance(x, int)}
    read_by: dict[int, set[int]] = {}
    for i, group in enumerate(groups):
        for op in group.operations:
            for n in op.reads:
                read_by.setdefault(n, set()).add(i)
    own = set(program.inputs[:parameters])
    for i, group in enumerate(groups):
        made = group.made()
        reads = dict.fromkeys(n for op in group.operations for n in op.reads)
        outside = [n for n in reads if n not in set(made)]
        group.parameters = [n for n in outside if n in own]
        group.inputs = [n for n in outside if n in varying and n not in own]
        group.constants = [n for n in outside if n not in varying]
        group.outputs = [n for n in made if n in returned or read_by.get(n, set()) - {i}]
        shapes = [program.avals[n].shape for n in (*group.inputs, *group.outputs)]
        alike = len(shapes) == 2 and shapes[0] == shapes[1] and not group.parameters
        group.elementwise = alike and group.kind in elementwise
