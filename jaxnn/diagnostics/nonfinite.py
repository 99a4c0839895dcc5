"""Where a NaN or an infinity began."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn import _checks
from jaxnn.diagnostics import _program
from jaxnn.diagnostics._loops import Repeated
from jaxnn.diagnostics._program import Operation, Program, flatten

__all__ = ["Loop", "NonFinite", "first_nonfinite"]


@dataclass(frozen=True)
class Loop:
    """Where in a loop.

    Attributes:
        name: `epoch` or `batch` in a run, else `scan` or `while`.
        index: the iteration, from 0; in a sequence read backwards, the place in the sequence.
        length: how many iterations there are, None where only running tells.
    """

    name: str
    index: int
    length: int | None


@dataclass(frozen=True)
class NonFinite:
    """The operation at which what is not finite began. `str` is one readable paragraph.

    Attributes:
        kind: `NaN` or `infinity`.
        layer: the named scopes of the operation, such as `dense_1/dense`; of an operation
            between layers, those of the layer it was applied to; empty where there is none.
        operation: the primitive of JAX, such as `log`; `input` for an input that held it.
        backward: whether it belongs to the backward pass, and the forward pass is clean.
        update: whether it belongs to neither, but to an optimizer or what else uses gradients.
        source: file, line and function; the path of an input that held it.
        loops: the loops it happened in, the outermost first.
        operands: what the operation was applied to, in words.
    """

    kind: str
    layer: str
    operation: str
    backward: bool
    update: bool
    source: str
    loops: tuple[Loop, ...]
    operands: tuple[str, ...]

    @property
    def step(self) -> int | None:
        """Inside a `run`, how many steps came before; None elsewhere."""
        index = {loop.name: loop for loop in self.loops}
        if "epoch" not in index or "batch" not in index or index["batch"].length is None:
            return None
        return index["epoch"].index * index["batch"].length + index["batch"].index

    def __str__(self) -> str:
        """One readable paragraph."""
        part = "backward pass" if self.backward else "update" if self.update else "forward pass"
        text = f"{self.kind} began in `{self.operation}`, {part}"
        if self.operation == "input":
            return f"{self.kind} was given as an input: {self.source}, {self.operands[0]}"
        if self.layer:
            text += f", layer {self.layer}"
        places = [f"{loop.name} {loop.index}" for loop in self.loops]
        if self.step is not None:
            places.append(f"step {self.step} of the run")
        if places:
            text += f", {', '.join(places)}"
        return "\n".join([text, f"  at {self.source}", *(f"  of {each}" for each in self.operands)])


def first_nonfinite(f: Callable, *inputs: Any, **options: Any) -> NonFinite | None:
    r"""Finds where the NaN or infinity in the outputs of `f`, or in its gradient, began.

    The program of `f` is traced, and each of its operations watched. The first is reported
    that made something which is not finite out of what was, and from which it reached an
    output; if there is none, an input that was not finite; if there is none, the first that
    applied a constant which is not: data that `f` captured, or the NaN by which a loss answers
    a wrong label. Infinities of a mask that come to nothing are left alone, and so is the NaN
    that a run writes for epochs it leaves out. If all outputs are finite, the gradient of
    their sum is looked at in the same way.

    A training run is a program like any other. Of its loops, the first iteration that goes
    wrong is found by running them once more, compiled; then that one alone is taken apart.
    Callbacks in it are called again. A run is its own backward pass: nothing is differentiated
    where the program has a loop of unknown length.

    Args:
        f: any function of arrays that JAX can trace: a loss, a network's `apply`, the `fit` of
            `make_fit`.
        *inputs: its arguments, pytrees. Arrays are traced, everything else is passed as it is.
        **options: its keyword arguments, likewise.

    Returns:
        What was found, or None if the outputs and the gradient are finite.

    Raises:
        TypeError: if `f` is not a function.

    Example:
        >>> def loss(x):
        ...     with jax.named_scope("root"):
        ...         return jnp.sqrt(x).sum()
        >>> found = first_nonfinite(loss, jnp.array([4.0, 0.0]))
        >>> found.kind, found.layer, found.operation, found.backward
        ('infinity', 'root', 'div', True)
        >>> first_nonfinite(loss, jnp.array([4.0, 1.0])) is None
        True
    """
    _checks.function("first_nonfinite", f=f)
    leaves, tree = jax.tree.flatten((inputs, options))
    traced = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]
    arrays = [jnp.asarray(leaf) for leaf, t in zip(leaves, traced, strict=True) if t]
    places = jax.tree_util.tree_leaves_with_path({"inputs": inputs, "options": options})
    names = [jax.tree_util.keystr(p, simple=True, separator="/") for p, _ in places]
    names = [name for name, t in zip(names, traced, strict=True) if t]

    def forward(*arrays):
        rest = iter(arrays)
        both = [next(rest) if t else leaf for leaf, t in zip(leaves, traced, strict=True)]
        args, named = jax.tree.unflatten(tree, both)
        return [y for y in jax.tree.leaves(f(*args, **named)) if _is_float(y)]

    def backward(*arrays):
        chosen = [i for i, a in enumerate(arrays) if _is_float(a)]

        def at(floats):
            whole = list(arrays)
            for i, value in zip(chosen, floats, strict=True):
                whole[i] = value
            return forward(*whole)

        y, pull = jax.vjp(at, [arrays[i] for i in chosen])
        return pull([jnp.ones_like(leaf) for leaf in y])[0]

    program = flatten(jax.make_jaxpr(forward)(*arrays))
    found = _search(program, arrays, names)
    if found or any(operation.name == "while" for operation in program.operations):
        return found
    return _search(flatten(jax.make_jaxpr(backward)(*arrays)), arrays, names, backward=True)


def _is_float(leaf):
    return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)


def _search(program, arrays, names, backward=False):
    """Looks at a whole program; `backward` if its outputs are a gradient."""
    _, codes = jax.jit(program.watch)(arrays)
    codes = np.asarray(codes)
    if not codes[list(program.outputs)].any():
        return None
    found = _within(program, arrays, codes, (), backward)
    if found:
        return found
    reached = _program.ancestors(program, codes)
    given = [(-codes[i], k) for k, i in enumerate(program.inputs) if i in reached]
    if not given:
        return _within(program, arrays, codes, (), backward, trusted=set())
    worst, first = min(given)
    array = arrays[first]
    return NonFinite(
        _kind(-worst), "", "input", False, False, names[first], (), (_described(array),)
    )


def _kind(code):
    return "NaN" if code == _program.NAN else "infinity"


def _within(program: Program, args, codes, loops, backward, trusted=None) -> NonFinite | None:
    """The first beginning in a program that ran on `args` and held `codes`.

    With `trusted` inputs, see `origins`, constants count as beginnings.
    """
    known = set() if trusted is None else _program.held(program, trusted)
    for operation in _program.origins(program, codes, trusted):
        values = jax.jit(lambda args, o=operation: _operands(program, args, o))(args)
        back = backward or _program.only_backward(program, codes, operation)
        passed = None if trusted is None else [i in known for i in operation.operands]
        if operation.name == "cond":
            branches = operation.eqn.params["branches"]
            taken = branches[int(np.clip(values[0], 0, len(branches) - 1))]
            inner = flatten(taken, operation.scope)
            _, inside = jax.jit(inner.watch)(values[1:])
            both = zip(inner.inputs, passed[1:], strict=True) if passed else ()
            kept = None if passed is None else {n for n, yes in both if yes}
            found = _within(inner, values[1:], np.asarray(inside), loops, back, kept)
        elif operation.name in ("scan", "while"):
            found = _in_loop(Repeated.of(operation, values, passed), loops, back)
        else:
            worst = max(codes[i] for i in operation.results)
            found = _report(program, operation, worst, values, loops, back, passed)
        if found:
            return found
    return None


def _operands(program, args, operation):
    values = program.run(args, until=operation)
    return [values[i] for i in operation.operands]


def _in_loop(repeated: Repeated, loops, backward):
    for iteration in repeated.suspects():
        here = (*loops, Loop(repeated.name, iteration.index, repeated.length))
        found = _within(
            repeated.body, iteration.args, iteration.codes, here, backward, repeated.trusted
        )
        if found:
            return found
    return None


def _report(program, operation: Operation, worst, values, loops, backward, constant=None):
    around = {loop.name for loop in loops}
    path = _program.layers(_program.nearest_scope(program, operation))
    update = not backward and _program.UPDATE in path
    return NonFinite(
        kind=_kind(worst),
        layer="/".join(part for part in path if part not in around | {_program.UPDATE}),
        operation=operation.name,
        backward=backward,
        update=update,
        source=_program.source(operation),
        loops=loops,
        operands=tuple(
            "a constant, " * bool(constant and constant[i]) + _described(value)
            for i, value in enumerate(values)
        ),
    )


def _described(value):
    """An array in words: its type, and its range without what is not finite."""
    dtype, shape = jnp.result_type(value), jnp.shape(value)
    text = f"{dtype}[{','.join(map(str, shape))}]"
    if not jnp.issubdtype(dtype, jnp.number) or not np.size(value):
        return text
    entries = np.asarray(value).astype(np.float64)
    finite = entries[np.isfinite(entries)]
    text += f" from {finite.min():.6g} to {finite.max():.6g}" if finite.size else ""
    lost = entries.size - finite.size
    return text + (f", {lost} of {entries.size} not finite" if lost else "")
