"""The program JAX traced, as one flat list of operations that can be run and watched.

Calls (`jit`, `custom_jvp`, checkpoints) are replaced by what they call, so that only loops and
branches still hold programs of their own.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr

from jaxnn import _program
from jaxnn._program import bind

# Operations whose entries are those of their operand: they need no looking at.
MOVES = {"broadcast_in_dim", "copy", "neg", "reshape", "squeeze", "stop_gradient", "transpose"}
# The scope of optimizers in `training.gradient_step`.
UPDATE = "update"
# What an array holds, from good to bad.
FINITE, INFINITE, NAN = 0, 1, 2


@dataclass(frozen=True)
class Operation:
    """One equation of the flat program, its operands and results as numbers of variables."""

    eqn: Any
    operands: tuple[int, ...]
    results: tuple[int, ...]
    scope: str
    callers: tuple[Any, ...]

    @property
    def name(self):
        return self.eqn.primitive.name


@dataclass(frozen=True)
class Program:
    """A flat program: its variables are numbered from 0 to `size` - 1."""

    inputs: tuple[int, ...]
    constants: dict[int, Any]
    operations: list[Operation]
    outputs: tuple[int, ...]
    size: int
    scope: str  # of the program as a whole

    def run(self, args, until=None):
        """The values of all variables, or of those that come before the operation `until`."""
        values = dict(self.constants) | dict(zip(self.inputs, args, strict=True))
        for operation in self.operations:
            if operation is until:
                break
            if operation.name == "debug_callback":
                continue
            results = bind(operation.eqn, [values[i] for i in operation.operands])
            values |= dict(zip(operation.results, results, strict=True))
        return values

    def watch(self, args):
        """The outputs, and for each variable what it holds: FINITE, INFINITE or NAN."""
        values = self.run(args)
        moved = {o.results[0]: o.operands[0] for o in self.operations if o.name in MOVES}
        codes = {i: code(value) for i, value in values.items() if i not in moved}
        for result, operand in moved.items():  # in their order
            codes[result] = codes[operand]
        return [values[i] for i in self.outputs], jnp.stack([codes[i] for i in range(self.size)])


def code(value):
    """What an array holds, as one small integer."""
    dtype = jnp.result_type(value)
    if not jnp.issubdtype(dtype, jnp.inexact):
        return jnp.int8(FINITE)
    worst = jnp.where(jnp.isnan(value), NAN, jnp.where(jnp.isinf(value), INFINITE, FINITE))
    return worst.max(initial=FINITE).astype(jnp.int8)


def flatten(closed: ClosedJaxpr, scope: str = "") -> Program:
    """The flat program of a traced function, its constants numbered too."""
    opened = _program.flatten(closed, _program.CALLS | _program.RULES)
    constants: dict[int, Any] = {}

    def number(x):
        if isinstance(x, int):
            return x
        constants[place := len(opened.avals) + len(constants)] = x.value
        return place

    operations = [
        Operation(
            op.eqn, tuple(map(number, op.inputs)), tuple(op.outputs), joined(scope, op.stack),
            op.callers,
        )
        for op in opened.operations
    ]  # fmt: skip
    outputs = tuple(map(number, opened.outputs))
    size = len(opened.avals) + len(constants)
    return Program(tuple(opened.inputs), constants, operations, outputs, size, scope)


def joined(*scopes):
    return "/".join(scope for scope in scopes if scope)


def is_backward(scope: str) -> bool:
    """Whether JAX made the operation by transposing another."""
    return "transpose(" in scope


def layers(scope: str) -> list[str]:
    """The named scopes alone, without the transformations JAX wraps around them."""
    bare = re.sub(r"\w+\(|\)", "", scope)
    return [part for part in bare.split("/") if part]


def nearest_scope(program: Program, operation: Operation) -> str:
    """The scope of the operation, or of the last one that has any among those it depends on.

    What works on gradients without being of the backward pass itself is of an update.
    """
    wanted = set(operation.results)
    for other in reversed(program.operations):
        if wanted & set(other.results):
            if is_backward(other.scope) and not is_backward(operation.scope):
                return UPDATE
            if len(layers(other.scope)) > len(layers(program.scope)):
                return other.scope
            wanted |= set(other.operands)
    return operation.scope


def source(operation: Operation) -> str:
    """`file:line (function)`, the innermost that is not JAX's own."""
    home = str(Path(jax.__file__).parent)
    # What JAX traced once, such as `jnp.where`, remembers no line of ours; its call does.
    for eqn in (operation.eqn, *reversed(operation.callers)):
        traceback = eqn.source_info.traceback
        for frame in traceback.frames if traceback else ():
            if not frame.file_name.startswith((home, "<")):
                return f"{frame.file_name}:{frame.line_num} ({frame.function_name})"
    return "unknown source"


def origins(program: Program, codes: np.ndarray, trusted: set | None = None) -> list[Operation]:
    """Operations at which what is not finite in the outputs may have begun, in their order.

    Such an operation makes what is not finite of finite operands; or NaN of infinities that
    were given, as in a mask, rather than made. What is merely passed on is no beginning, and
    what is given none either: unless inputs are `trusted`, which then pass for finite as
    constants do, so that what first applies them is found.
    """
    if trusted is not None:
        codes = np.where(np.isin(np.arange(program.size), [*held(program, trusted)]), FINITE, codes)
    given = {i: bool(codes[i]) for i in (*program.inputs, *program.constants)}
    begun = set()
    for operation in program.operations:
        bad = [i for i in operation.operands if codes[i]]
        passed = all(given[i] for i in bad)
        made = [i for i in operation.results if _is_new(operation, i, codes, bad)]
        if passed and made:
            begun.add(operation.results)
        for i in operation.results:
            given[i] = bool(codes[i]) and passed and i not in made
    wanted = ancestors(program, codes)
    return [o for o in program.operations if o.results in begun and wanted & set(o.results)]


def held(program: Program, trusted: set) -> set[int]:
    """Variables that are constants or trusted inputs, moved or not."""
    found = {*program.constants, *trusted}
    for operation in program.operations:
        moves = operation.name in MOVES or operation.name == "convert_element_type"
        if moves and operation.operands[0] in found:
            found |= set(operation.results)
    return found


def _is_new(operation, result, codes, bad):
    if operation.name == "scan" or operation.name == "while":
        return bool(codes[result])  # it may pass on some and make others: look inside
    return codes[result] > max((codes[i] for i in bad), default=FINITE)


def ancestors(program: Program, codes: np.ndarray) -> set[int]:
    """Variables that are not finite and lead, through such variables, to an output."""
    wanted = {i for i in program.outputs if codes[i]}
    for operation in reversed(program.operations):
        if wanted & set(operation.results):
            wanted |= {i for i in operation.operands if codes[i]}
    return wanted


def only_backward(program: Program, codes: np.ndarray, operation: Operation) -> bool:
    """Whether what an operation made is used by the backward pass alone."""
    if is_backward(operation.scope):
        return True
    wanted = ancestors(program, codes)
    forward = set(program.outputs)
    for other in reversed(program.operations):
        results = set(other.results)
        if wanted & results and forward & results and not is_backward(other.scope):
            forward |= set(other.operands)
    return not forward & set(operation.results)
