"""A jaxpr as one flat list of steps: calls and loops opened, each value under a number."""

from dataclasses import dataclass, field
from typing import Any

import jax
from jax.extend import core

from jaxnn.summary._flops import flops

# A part of a path: ("scope" | "call" | "loop", its name).
Scopes = tuple[tuple[str, str], ...]
WHILE = "one round of each while loop is counted, as their number is unknown"
COND = "of each cond the branch with most operations is counted"


@dataclass
class Step:
    """One primitive operation.

    Attributes:
        name: of the primitive.
        scopes: in which named scopes, calls and loops it stands, from the outside.
        tags: the tags on the way to it.
        inputs: numbers of the values it reads; literals are left out.
        outputs: numbers of the values it makes.
        flops: in all rounds of the loops it stands in.
        same: what two steps share that compute the same.
        start: the step before which its outputs take up memory, if that isn't itself.
        needed: whether an output of the program depends on it.
        batching: whether here `jax.vmap` only puts the axis of the batch first.
    """

    name: str
    scopes: Scopes
    tags: tuple[str, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    flops: int
    same: Any
    start: int | None = None
    needed: bool = False
    batching: bool = False


@dataclass
class Program:
    """What a jaxpr does, step by step.

    Attributes:
        steps: in order.
        avals: of each value, by its number.
        inputs: numbers of the arguments.
        outputs: numbers of what is returned; None for a literal.
        loops: first and last step of each loop.
        starts: the first step of each equation of the jaxpr.
        notes: what could not be counted.
    """

    steps: list[Step] = field(default_factory=list)
    avals: list[Any] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int | None] = field(default_factory=list)
    loops: list[tuple[int, int]] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)

    def value(self, aval) -> int:
        """The number of a new value."""
        self.avals.append(aval)
        return len(self.avals) - 1


def program(closed) -> Program:
    """Opens every call and loop of a closed jaxpr.

    What is computed twice from the same values is counted once, and what no output needs is
    not counted at all: XLA does not run it either.
    """
    walk = _Walk(Program())
    made = walk.program
    made.inputs = [made.value(v.aval) for v in closed.jaxpr.invars]
    made.outputs = walk.run(closed, made.inputs, (), (), 1, made.starts)
    _mark_needed(made)
    seen: dict[Any, Step] = {}
    equal: dict[int, int] = {}
    for step in made.steps:
        if step.needed:
            same = (step.same, tuple(equal.get(v, v) for v in step.inputs))
            first = seen.setdefault(same, step)
            if first is not step:
                step.flops = 0
                equal.update(zip(step.outputs, first.outputs, strict=True))
        else:
            step.flops = 0
    return made


def _mark_needed(made):
    wanted = set(made.outputs)
    for step in reversed(made.steps):
        step.needed = not wanted.isdisjoint(step.outputs)
        if step.needed:
            wanted.update(step.inputs)


class _Walk:
    def __init__(self, program: Program):
        self.program = program
        self.chosen: dict[int | None, int] = {}  # branches that the platform decides
        self.apart: object = None  # what may not be taken for the same as steps elsewhere

    def run(self, jaxpr, inputs, scopes, tags, times, starts=None) -> list[int | None]:
        """Adds the steps of a jaxpr, and returns the numbers of its outputs."""
        constants = []
        if isinstance(jaxpr, core.ClosedJaxpr):
            jaxpr, constants = jaxpr.jaxpr, jaxpr.consts
        at = dict(zip(jaxpr.invars, inputs, strict=True))
        for var, _ in zip(jaxpr.constvars, constants or jaxpr.constvars, strict=True):
            at[var] = self.program.value(var.aval)
        number = lambda v: None if isinstance(v, core.Literal) else at[v]
        for eqn in jaxpr.eqns:
            if starts is not None:
                starts.append(len(self.program.steps))
            found = self.step(eqn, [number(v) for v in eqn.invars], scopes, tags, times)
            at.update(zip(eqn.outvars, found, strict=True))
        return [number(v) for v in jaxpr.outvars]

    def step(self, eqn, inputs, scopes, tags, times):
        """Adds one step, or those inside of it."""
        own = [p.name for p in eqn.source_info.name_stack.stack if type(p).__name__ == "Scope"]
        tags += tuple(n for n in own if n.startswith("@"))
        # einsum names its formula, which is no layer.
        named = [n for n in own if not n.startswith("@") and "->" not in n]
        scopes += tuple(("scope", name) for name in named)
        kind = eqn.primitive.name
        if kind == "scan":
            return self.scan(eqn, inputs, scopes, tags, times)
        if kind == "while":
            return self.loop(eqn, inputs, scopes, tags, times)
        if kind == "cond":
            found = self.run(self.branch(eqn, inputs), inputs[1:], scopes, tags, times)
            if inputs[0] in self.chosen:
                return found
            return self.add(eqn, "leave", [inputs[0], *found], scopes, tags, 0)
        bodies = [v for v in eqn.params.values() if isinstance(v, core.ClosedJaxpr | core.Jaxpr)]
        if len(bodies) == 1 and _fits(bodies[0], eqn):
            call = (("call", _name(eqn, bodies[0])),)
            around = self.apart
            if eqn.params.get("prevent_cse"):  # jax.checkpoint computes again on purpose
                self.apart = object()
            found = self.run(bodies[0], inputs, scopes + call, tags, times)
            self.apart = around
            return found
        count = flops(eqn)
        if count is None:
            self.program.notes[f"{kind} is not counted"] = None
        outputs = self.add(eqn, kind, inputs, scopes, tags, times * (count or 0))
        if kind == "platform_index":
            self.chosen[outputs[0]] = _platform(eqn.params["platforms"])
        return outputs

    def add(self, eqn, kind, inputs, scopes, tags, count, avals=None, start=None):
        """Adds a step that is not opened."""
        avals = [v.aval for v in eqn.outvars] if avals is None else avals
        outputs = [self.program.value(aval) for aval in avals]
        literals = tuple(str(v.val) if isinstance(v, core.Literal) else "" for v in eqn.invars)
        same = (kind, literals, str(eqn.params), self.apart)
        same = same if eqn.primitive.name == kind else object()
        numbers = tuple(i for i in inputs if i is not None)
        at = Step(kind, scopes, tags, numbers, tuple(outputs), count, same, start)
        at.batching = kind == "transpose" and _batching(eqn)
        self.program.steps.append(at)
        return outputs

    def scan(self, eqn, inputs, scopes, tags, times):
        """The body once, with the floating point operations of all rounds."""
        p = eqn.params
        body = p["jaxpr"]
        inner = (*scopes, ("loop", f"scan {p['length']}"))
        enter = lambda i, v: self.add(eqn, "enter", [v], inner, tags, 0, [body.in_avals[i]])[0]
        start = len(self.program.steps)
        inside = [enter(i, v) for i, v in enumerate(inputs)]
        found = self.run(body, inside, inner, tags, times * p["length"])
        outputs = self.add(eqn, "leave", found, inner, tags, 0, start=start)
        self.program.loops.append((start, len(self.program.steps) - 1))
        return outputs

    def loop(self, eqn, inputs, scopes, tags, times):
        """One round of a loop whose number of rounds is not known."""
        p = eqn.params
        outs = [v.aval for v in eqn.outvars]
        # Either function has constants of its own, and then the state.
        first, second = (len(p[name].in_avals) - len(outs) for name in ("cond_jaxpr", "body_jaxpr"))
        self.program.notes[WHILE] = None
        inner = (*scopes, ("loop", "while ?"))
        start = len(self.program.steps)
        state = [
            self.add(eqn, "enter", [v], inner, tags, 0, [aval])[0]
            for v, aval in zip(inputs[first + second :], outs, strict=True)
        ]
        self.run(p["cond_jaxpr"], [*inputs[:first], *state], inner, tags, times)
        consts = inputs[first : first + second]
        found = self.run(p["body_jaxpr"], [*consts, *state], inner, tags, times)
        outputs = self.add(eqn, "leave", found, inner, tags, 0, start=start)
        self.program.loops.append((start, len(self.program.steps) - 1))
        return outputs

    def branch(self, eqn, inputs):
        """The branch this platform takes, or else the one with the most operations."""
        branches = eqn.params["branches"]
        if inputs[0] in self.chosen:
            return branches[self.chosen[inputs[0]]]
        self.program.notes[COND] = None

        def cost(branch):
            return sum(step.flops for step in program(branch).steps)

        return max(branches, key=cost)


def _batching(eqn) -> bool:
    """Whether a transposition is not of the function that was batched."""
    stack, (first, *others) = eqn.source_info.name_stack.stack, eqn.params["permutation"]
    batched = any(type(part).__name__ == "Transform" and part.name == "vmap" for part in stack)
    return batched and first > 0 and others == sorted(others)


def _fits(body, eqn) -> bool:
    inner = body.jaxpr if isinstance(body, core.ClosedJaxpr) else body
    return len(inner.invars) == len(eqn.invars) and len(inner.outvars) == len(eqn.outvars)


def _name(eqn, body) -> str:
    """The name of the function that was called."""
    inner = body.jaxpr if isinstance(body, core.ClosedJaxpr) else body
    return eqn.params.get("name") or inner.debug_info.func_name


def _platform(choices) -> int:
    here = jax.default_backend()
    return next(i for i, names in enumerate(choices) if names is None or here in names)
