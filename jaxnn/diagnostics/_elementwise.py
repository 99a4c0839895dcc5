"""The elementwise function that follows a value of a traced function."""

import jax.numpy as jnp
import numpy as np

from jaxnn._program import CALLS, RULES, Constant, Operation, Program

# Primitives whose every entry is a function of the same entry of what they read.
PRIMITIVES = {
    "abs", "acos", "acosh", "add", "add_any", "and", "asin", "asinh", "atan", "atan2", "atanh",
    "bessel_i0e", "bessel_i1e", "bitcast_convert_type", "cbrt", "ceil", "clamp",
    "convert_element_type", "copy", "cos", "cosh", "digamma", "div", "eq", "erf", "erf_inv",
    "erfc", "exp", "exp2", "expm1", "floor", "ge", "gt", "integer_pow", "is_finite", "le",
    "lgamma", "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne", "neg", "not", "or",
    "pow", "reduce_precision", "rem", "round", "rsqrt", "select_n", "sign", "sin", "sinh",
    "sqrt", "square", "stop_gradient", "sub", "tan", "tanh", "xor",
}  # fmt: skip
# A mere factor, or another precision.
SCALING = {"mul", "div", "neg", "convert_element_type", "copy", "reduce_precision"}


class Activations:
    """Finds activations by following the data, whatever they are called.

    An activation reads one value and numbers alone, and a single value leaves it.
    """

    def __init__(self, program: Program):
        self.program = program
        self.readers: dict[int, list[int]] = {}
        self.makers: dict[int, int] = {}
        # Values whose entries are all the same whatever the arguments, and what computes them.
        self.numbers: dict[int, set[int]] = {}
        for at, op in enumerate(program.operations):
            for n in set(op.reads):
                self.readers.setdefault(n, []).append(at)
            self.makers |= dict.fromkeys(op.outputs, at)
            if all(self._is_number(x) for x in op.inputs) and (
                op.name == "broadcast_in_dim" or _elementwise(op.eqn)
            ):
                needed = {at}.union(*(self.numbers[n] for n in op.reads))
                self.numbers |= dict.fromkeys(op.outputs, needed)

    def after(self, z: int) -> tuple[int, ...] | None:
        """The operations that make up the activation of a value, the last one making it."""
        part = self._connected(z)
        cuts = self._cuts(z, part)
        if not cuts:
            return None
        end = self._end(z, part, cuts)
        outside = [i for i in self.readers.get(z, []) if i not in part]
        if outside and self._is_reduced(self.program.operations[part[end]].outputs[0]):
            return None  # as the squares in a normalization, which the signal itself passes by
        run = set(part[: end + 1])
        for i in part[: end + 1]:
            for n in self.program.operations[i].reads:
                run |= self.numbers.get(n, set())
        return tuple(sorted(run))

    def _is_number(self, x) -> bool:
        return np.size(x.value) == 1 if isinstance(x, Constant) else x in self.numbers

    def _foreign(self, op: Operation, own) -> bool:
        """Whether an operation reads anything but its own values and numbers."""
        others = [x for x in op.inputs if isinstance(x, Constant) or x not in own]
        return not all(map(self._is_number, others))

    def _follows(self, at: int, shape) -> bool:
        op = self.program.operations[at]
        return (
            [self.program.avals[n].shape for n in op.outputs] == [shape]
            and all(v.aval.shape in (shape, ()) for v in op.eqn.invars)
            and _elementwise(op.eqn)
        )

    def _connected(self, z: int) -> list[int]:
        """Elementwise operations on z and what they make, as far as they hang together.

        They begin with the first that reads z; what else they read does not matter here.
        """
        operations, shape = self.program.operations, self.program.avals[z].shape
        first = next(iter(self.readers.get(z, [])), None)
        if first is None or self._foreign(operations[first], {z}):
            return []
        if not self._follows(first, shape):
            return []
        reached, new, values = set(), [z], {z}
        while new:
            for at in self.readers.get(new.pop(), []):
                if at not in reached and self._follows(at, shape):
                    reached.add(at)
                    values.update(operations[at].outputs)
                    new += operations[at].outputs
        part, new = {first}, [first]
        while new:
            op = operations[new.pop()]
            for n in values.intersection([*op.reads, *op.outputs]) - {z}:
                near = {self.makers[n], *self.readers.get(n, [])} & (reached - part)
                part |= near
                new += near
        return sorted(part)

    def _cuts(self, z: int, part: list[int]) -> list[int]:
        """Where in the part all that follows depends on one value alone, a function of z."""
        operations, avals = self.program.operations, self.program.avals
        results = {x for x in self.program.outputs if isinstance(x, int)}
        inside = set(part)
        last = {n: k for k, at in enumerate(part) for n in operations[at].reads}
        own, open_until, cuts = {z}, last[z] if part else 0, []
        for k, at in enumerate(part):
            op = operations[at]
            if self._foreign(op, own):
                break
            (value,) = op.outputs
            leaves = value in results or not inside.issuperset(self.readers.get(value, []))
            if open_until <= k and jnp.issubdtype(avals[value].dtype, jnp.floating):
                cuts.append(k)
            if leaves:
                break
            own.add(value)
            open_until = max(open_until, last.get(value, k))
        dropped = cuts and self._scales(part[cuts[-1]]) and self._is_masked(part[cuts[-1]])
        return cuts[:-1] if dropped else cuts  # the factor of dropout

    def _end(self, z: int, part: list[int], cuts: list[int]) -> int:
        """The last cut, without a mere factor behind a function, as of a residual."""
        operations = self.program.operations
        inside = self._scope(z, part[0])
        named = [k for k in cuts if inside and operations[part[k]].scopes[: len(inside)] == inside]
        whole = named[-1] if named else cuts[0] if cuts[0] == 0 else None
        end = cuts[-1]
        if whole is not None and all(self._scales(part[k]) for k in range(whole + 1, end + 1)):
            return whole
        return end

    def _scope(self, z: int, first: int) -> tuple[str, ...]:
        """The outermost scope that the operation stands in and the maker of z does not."""
        before = self.program.operations[self.makers[z]].scopes
        scopes = self.program.operations[first].scopes
        depth = next((i for i, s in enumerate(scopes) if before[i : i + 1] != (s,)), None)
        return () if depth is None else scopes[: depth + 1]

    def _scales(self, at: int) -> bool:
        op = self.program.operations[at]
        free = [i for i, x in enumerate(op.inputs) if not self._is_number(x)]
        return op.name in SCALING and len(free) == 1 and (op.name != "div" or free == [0])

    def _is_masked(self, at: int) -> bool:
        (value,) = self.program.operations[at].outputs
        readers = [self.program.operations[i] for i in self.readers.get(value, [])]
        return any(op.name == "select_n" and self._foreign(op, {value}) for op in readers)

    def _is_reduced(self, value: int) -> bool:
        readers = [self.program.operations[i].name for i in self.readers.get(value, [])]
        return bool(readers) and all(name.startswith(("reduce_", "arg")) for name in readers)


def _elementwise(eqn) -> bool:
    """Whether an equation is elementwise, and all equations inside of it."""
    if eqn.primitive.name in PRIMITIVES:
        return True
    if eqn.primitive.name == "broadcast_in_dim":  # of a number, inside of a function
        return eqn.invars[0].aval.size == 1
    if eqn.primitive.name not in RULES | CALLS or len(eqn.outvars) != 1:
        return False
    shape = eqn.outvars[0].aval.shape
    bodies = [getattr(body, "jaxpr", body) for body in eqn.params.values()]
    inner = [e for body in bodies if hasattr(body, "eqns") for e in body.eqns]
    shapes = (v.aval.shape for e in inner for v in e.outvars)
    return bool(bodies) and all(s in (shape, ()) for s in shapes) and all(map(_elementwise, inner))
