"""A loop of a traced program, run until something in it is no longer finite."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.diagnostics._program import Operation, Program, flatten, layers, origins

CHUNK = 256  # iterations watched in one go
LOOPS_OF_RUN = ("epoch", "batch")  # their named scopes in `training.run`


@dataclass(frozen=True)
class Iteration:
    """One iteration: its index, what it ran on, and what each variable of it held."""

    index: int
    args: list
    codes: np.ndarray


@dataclass(frozen=True)
class Repeated:
    """A `scan` or `while`, with its operands.

    Attributes:
        name: `epoch` or `batch` in a run, else `scan` or `while`.
        body: `body(*constants, *carry, *slices) -> (*carry, *slices)`.
        proceed: `proceed(carry)`, whether a `while` goes on.
        length: of a `scan`.
        trusted: inputs of the body that pass for finite, see `origins`.
    """

    name: str
    body: Program
    constants: list
    carry: list
    sequences: list
    length: int | None
    reverse: bool
    proceed: Any
    trusted: set | None

    @classmethod
    def of(cls, operation: Operation, values: list, trusted: list | None = None):
        """The loop of an operation, with the values of its operands and which are trusted."""
        params = operation.eqn.params
        innermost = (layers(operation.scope) or [""])[-1]
        name = innermost if innermost in LOOPS_OF_RUN else operation.name
        if operation.name == "while":
            split = params["cond_nconsts"]
            whole = flatten(params["cond_jaxpr"])
            proceed = lambda carry: whole.run([*values[:split], *carry])[whole.outputs[0]]
            own = values[split:]
            constants, carry = own[: params["body_nconsts"]], own[params["body_nconsts"] :]
            body = flatten(params["body_jaxpr"], operation.scope)
            trusted = None if trusted is None else trusted[split:]
            kept = _kept(body, trusted, len(constants), len(own))
            return cls(name, body, constants, carry, [], None, False, proceed, kept)
        # What is cut into slices has one axis more than the body sees.
        body = params["jaxpr"]
        rank = lambda variables: [len(variable.aval.shape) for variable in variables]
        outer, inner = rank(operation.eqn.invars), rank(body.jaxpr.invars)
        cut = sum(a != b for a, b in zip(outer, inner, strict=True))
        outs = zip(rank(operation.eqn.outvars), rank(body.jaxpr.outvars), strict=True)
        carried = sum(a == b for a, b in outs)
        end = len(values) - cut
        start = end - carried
        body = flatten(body, operation.scope)
        return cls(
            name, body, values[:start], values[start:end], values[end:], params["length"],
            params["reverse"], lambda carry: True, _kept(body, trusted, start, end),
        )  # fmt: skip

    def suspects(self) -> Iterator[Iteration]:
        """Iterations in which something that is not finite may have begun, in their order."""
        advance = jax.jit(self._advance)
        carry, start = self.carry, 0
        while True:
            stop, after, rows = advance(carry, start, start + CHUNK)
            stop, rows = int(stop), np.asarray(rows)
            for i in range(start, stop):
                if origins(self.body, rows[i - start], self.trusted):
                    _, before, _ = advance(carry, start, i)
                    index = self._place(i)
                    yield Iteration(index, self._arguments(before, index), rows[i - start])
            if stop == start or stop == self.length:
                return
            carry, start = after, stop

    def _place(self, i):
        return i if self.length is None or not self.reverse else self.length - 1 - i

    def _arguments(self, carry, index):
        cut = lambda a: jax.lax.dynamic_index_in_dim(a, index, keepdims=False)
        return [*self.constants, *carry, *map(cut, self.sequences)]

    def _advance(self, carry, start, stop):
        """Runs from `start` to `stop`, or until something is worse than it was before.

        Returns where it ended, the carry, and what each variable held in each iteration.
        """
        if self.length is not None:
            stop = jnp.minimum(stop, self.length)

        def going(state):
            i, carry, _, sound = state
            return sound & (i < stop) & self.proceed(carry)

        def step(state):
            i, carry, rows, _ = state
            outputs, row = self.body.watch(self._arguments(carry, self._place(i)))
            # Where the carry was sound or the output is a slice, anything not finite is news.
            inputs = self.body.inputs[len(self.constants) : len(self.constants) + len(carry)]
            ins = [row[n] for n in inputs]
            ins += [jnp.zeros_like(row[0])] * (len(outputs) - len(carry))
            worse = [row[n] > b for n, b in zip(self.body.outputs, ins, strict=True)]
            sound = ~jnp.array(worse).any()
            rows = rows.at[i - start].set(row)
            return i + 1, outputs[: len(carry)], rows, sound

        rows = jnp.zeros((CHUNK, self.body.size), jnp.int8)
        first = jnp.asarray(start), list(carry), rows, jnp.array(True)
        i, carry, rows, _ = jax.lax.while_loop(going, step, first)
        return i, carry, rows


def _kept(body, trusted, start, end):
    """Inputs of a body whose operands are trusted, except a carry, which changes."""
    if trusted is None:
        return None
    both = zip(body.inputs, trusted, strict=True)
    return {n for i, (n, yes) in enumerate(both) if yes and not start <= i < end}
