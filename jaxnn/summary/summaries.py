"""The table: layers with shapes, parameters, operations and memory."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from jax.extend import core

from jaxnn.summary import _table
from jaxnn.summary._fold import signature
from jaxnn.summary._layers import Layer, Layers
from jaxnn.summary._memory import memory, nbytes
from jaxnn.summary._steps import Program, program
from jaxnn.summary._trace import Trace, differentiated, trace

__all__ = ["Row", "Summary", "summary"]


@dataclass(frozen=True)
class Row:
    """One layer or block; its numbers include those of the layers in it.

    Attributes:
        name: after its scope, else after its parameters, else after what it computes.
        kind: the function or operation that it is; empty for a block.
        shape: of its output, the largest where there are several.
        dtype: of its output.
        parameters: how many numbers; those that an earlier layer used too count there.
        nbytes: of the parameters.
        flops: floating point operations of the forward pass.
        backward_flops: those of the backward pass; None where there is no gradient.
        kept: bytes of what it makes in the forward pass that the backward pass reads.
        shared: whether an earlier layer used its parameters, and counts them.
        rows: of the layers in it.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    parameters: int
    nbytes: int
    flops: int
    backward_flops: int | None
    kept: int
    shared: bool = False
    rows: tuple["Row", ...] = ()
    signature: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Summary:
    """A network as a table: `str` of it in plain text, in notebooks HTML.

    Attributes:
        rows: of the layers at the top; each has the rows of the layers in it.
        parameters: how many numbers there are to be learned.
        nbytes: of the parameters.
        flops: floating point operations of the forward pass.
        backward_flops: those of the backward pass; None where there is no gradient.
        kept: bytes of activations that the forward pass keeps for the backward pass.
        peak: most bytes of activations at any time.
        state: numbers of state, which is not learned.
        unused: parameters that the function does not use, and their bytes; None without.
        notes: what could not be counted.
    """

    rows: tuple[Row, ...]
    parameters: int
    nbytes: int
    flops: int
    backward_flops: int | None
    kept: int
    peak: int
    state: int
    unused: tuple[int, int] | None
    notes: tuple[str, ...]

    def layers(self) -> Iterator[Row]:
        """All rows, each before those in it.

        Yields:
            Rows.
        """
        waiting = list(self.rows)
        while waiting:
            row = waiting.pop(0)
            yield row
            waiting[:0] = row.rows

    def __str__(self) -> str:
        """The table in plain text, repeated blocks folded."""
        return _table.text(self)

    def markdown(self) -> str:
        """The table in Markdown."""
        return _table.markdown(self)

    def _repr_html_(self) -> str:
        return _table.html(self)


def summary(f: Any, *inputs: Any, depth: int | None = None, **options: Any) -> Summary:
    r"""Lists the layers of any JAX function, with their shapes, parameters and costs.

    The function is traced, not run: networks and Flax modules are initialised abstractly, and
    inputs may be `jax.ShapeDtypeStruct`. Layers are the named scopes of the function; all
    layers and networks of this library have them, named after their parameters, as have
    Flax's and Equinox's. What stands outside of any scope is listed by itself.

    * **Floating point operations** are counted as in XLA's `cost_analysis`: a matrix product
      \( [n, k] [k, m] \) has \( 2nkm \), other arithmetic one per entry, and transcendental
      functions none. Loops count as often as they run. The backward pass is that of the
      gradient in the parameters, in the inputs if there are no parameters: what `jax.vjp`
      adds to the forward pass. Operations are counted as written: the compiler fuses and
      simplifies them, and small networks are compiled to some percent more or less.
    * **kept** are the bytes of values that the forward pass computes and the backward pass
      reads again. **peak** is the largest sum of bytes of all values that are still needed at
      any step of both passes: a value counts from the step that computes it to the last that
      reads it; reshaped, transposed and broadcast views take nothing, and elementwise results
      take the place of arguments needed no more. Parameters, inputs and gradients of
      parameters are not counted. What XLA allocates differs: it fuses steps, which saves
      memory, and copies, which takes some.

    Args:
        f: a network, a `flax.linen` module, a module of Equinox or `flax.nnx`, or a function.
            Of a function of several arguments the first is taken for its parameters, if it is
            a container but no tuple.
        *inputs: what it is applied to, arrays or `jax.ShapeDtypeStruct`; of functions with
            parameters, these come first. Parameters that it captured are no arguments, and not
            counted; a note says so.
        depth: how many levels to show; by default all down to the layers.
        **options: passed on to `f` or its `apply`, such as `train=True`; arrays and
            `jax.ShapeDtypeStruct` among them are inputs. Flax modules need no `rngs` and no
            `mutable`: state may change, and is left out of the outputs.

    Returns:
        The summary: print it, or use its rows and totals.

    Raises:
        TypeError: if `f` is no function, or its inputs are shapes.
        ValueError: if `depth` is not positive.

    Example:
        >>> from jaxnn.networks import mlp
        >>> s = summary(mlp([2, 16, 1]), jax.ShapeDtypeStruct((4, 2), jnp.float32))
        >>> [(row.name, row.shape, row.parameters, row.flops) for row in s.rows]
        [('dense_0', (4, 16), 48, 320), ('relu', (4, 16), 0, 64), ('dense_1', (4, 1), 17, 132)]
        >>> print(s)
        layer    kind   output  dtype    parameters  bytes  FLOPs forward  backward   kept
        ...
        total                                    65  260 B ...
    """
    if depth is not None and depth < 1:
        raise ValueError(f"summary: depth must be at least 1, got {depth}. Leave it out for all.")
    traced = trace("summary", f, inputs, options)
    made = program(traced.jaxpr)
    layers = Layers(traced, made, depth)
    backward = _Backward(traced, made)
    rows = tuple(_row(layer, layers, backward) for layer in layers.tree)
    own = [traced.arguments[i].aval for i in traced.parameters]
    unused = [traced.arguments[i].aval for i in layers.unused]
    return Summary(
        rows=rows,
        parameters=sum(aval.size for aval in own),
        nbytes=sum(map(nbytes, own)),
        flops=sum(step.flops for step in made.steps),
        backward_flops=sum(backward.flops.values()) if backward.exists else None,
        kept=sum(backward.kept.values()),
        peak=backward.peak,
        state=sum(a.aval.size for a in traced.arguments if a.role == "state"),
        unused=(sum(a.size for a in unused), sum(map(nbytes, unused))) if unused else None,
        notes=(*made.notes, *_captured(traced), *backward.notes),
    )


class _Backward:
    """What the steps of the forward pass cause in the backward pass.

    Attributes:
        exists: whether there is a gradient.
        notes: why there is none.
        flops: for each step of the forward pass.
        kept: likewise, bytes.
        peak: bytes, of both passes.
    """

    def __init__(self, traced: Trace, made: Program):
        self.flops: dict[int, int] = defaultdict(int)
        self.kept: dict[int, int] = defaultdict(int)
        why = "there is nothing to differentiate"
        try:
            found = differentiated(traced)
        except (NotImplementedError, ValueError) as error:
            # A loop of unknown length, or a call out of JAX.
            found, why = None, str(error).split(". ")[0]
        self.exists = found is not None
        self.notes = () if self.exists else (f"no backward pass: {why}",)
        if found is None:
            self.peak = memory(made, len(made.steps), set()).peak
            return
        closed, outputs = found
        both = program(closed)
        by_tag = {}
        for i, step in enumerate(made.steps):
            if step.needed:
                for tag in step.tags:
                    by_tag.setdefault(tag, i)
        turn = _turn(closed, both, len(traced.arguments))
        used = memory(both, turn, set(both.outputs[outputs:]))
        self.peak = used.peak
        last = max((i for i, step in enumerate(made.steps) if step.needed), default=0)
        for i, step in enumerate(made.steps):
            self.flops[i] -= step.flops
        for i, step in enumerate(both.steps):
            known = (by_tag[tag] for tag in reversed(step.tags) if tag in by_tag)
            home = next(known, last)
            self.flops[home] += step.flops
            self.kept[home] += used.kept.get(i, 0)


def _captured(traced: Trace) -> list[str]:
    """A note of arrays that are no arguments of the function."""
    count, numbers = len(traced.captured), sum(x.size for x in traced.captured)
    if not count:
        return []
    size = _table.size_text(sum(map(nbytes, traced.captured)))
    arrays = "1 array" if count == 1 else f"{count} arrays"
    return [
        f"f captured {arrays} of {numbers:,} numbers, {size}, which are not counted as parameters: "
        "pass them as its first argument, as in summary(lambda net, x: jax.vmap(net)(x), net, x)"
    ]


def _turn(closed, both: Program, arguments: int) -> int:
    """Where forward turns to backward: at what is transposed or depends on a cotangent."""
    varies = set(closed.jaxpr.invars[arguments:])
    for start, eqn in zip(both.starts, closed.jaxpr.eqns, strict=True):
        stack = eqn.source_info.name_stack.stack
        transposed = any(
            type(part).__name__ == "Transform" and part.name == "transpose" for part in stack
        )
        if transposed or any(v in varies for v in eqn.invars if isinstance(v, core.Var)):
            return start
    return len(both.steps)


def _row(layer: Layer, layers: Layers, backward: _Backward) -> Row:
    rows = tuple(_row(inner, layers, backward) for inner in layer.layers)
    shape, dtype = layers.output(layer)
    own = [p for i in layer.steps for p in layers.used.get(i, ())]
    avals = [layers.traced.arguments[p].aval for p in own]
    parameters = sum(aval.size for aval in avals)
    return Row(
        name=layer.name,
        kind=layer.kind,
        shape=shape,
        dtype=dtype,
        parameters=parameters,
        nbytes=sum(map(nbytes, avals)),
        flops=sum(layers.made.steps[i].flops for i in layer.steps),
        backward_flops=sum(backward.flops[i] for i in layer.steps) if backward.exists else None,
        kept=sum(backward.kept[i] for i in layer.steps),
        shared=not own and layers.owns(layer),
        rows=rows,
        signature=signature(layer.name, layer.kind, shape, dtype, parameters, rows),
    )
