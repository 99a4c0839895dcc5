"""From steps to layers: a tree that follows the named scopes of a program.

Whatever stands in one scope is a layer, named after the parameters it uses. Steps between the
scopes are layers by themselves, such as the sum of a residual connection; those that only
prepare or finish another step, such as the addition of a bias, are joined to it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from jaxnn.summary._flops import ARITHMETIC, TRANSCENDENTAL, VIEWS
from jaxnn.summary._steps import Program
from jaxnn.summary._trace import Path, Trace

NAMES: dict[str, str] = {
    "add_any": "add", "conv_general_dilated": "conv", "convert_element_type": "astype",
    "dot_general": "matmul", "ragged_dot_general": "ragged_dot", "reduce_max": "max",
    "reduce_min": "min", "reduce_sum": "sum", "select_n": "where",
}  # fmt: skip
HEAVY = {"dot_general", "conv_general_dilated", "ragged_dot_general", "sort"}
MOVES = VIEWS | {"concatenate", "dynamic_slice", "leave", "pad", "slice", "split", "stack"}


@dataclass
class Layer:
    """One layer, or a block of layers.

    Attributes:
        name: after its scope or its parameters.
        kind: the function or the primitive that it is.
        steps: numbers of its steps.
        layers: those inside of it.
        data: whether it depends on the inputs of the program.
        direct: whether its steps stand in no scope or call of their own.
        scoped: whether it is a named scope.
    """

    name: str
    kind: str
    steps: list[int]
    layers: list["Layer"] = field(default_factory=list)
    data: bool = True
    direct: bool = False
    scoped: bool = False


@dataclass
class _Group:
    """Steps that follow each other in one scope, call or loop."""

    part: tuple[str, str]
    items: list[Any] = field(default_factory=list)
    owners: set[Path] = field(default_factory=set)

    def steps(self) -> list[int]:
        inner = ([item] if isinstance(item, int) else item.steps() for item in self.items)
        return [step for steps in inner for step in steps]

    def scoped(self) -> bool:
        """Whether there are named scopes inside."""
        return any(g.part[0] == "scope" or g.scoped() for g in self.groups())

    def owning(self, uses) -> bool:
        """Whether there are named scopes inside that use parameters."""
        own = lambda g: g.part[0] == "scope" and any(i in uses for i in g.steps())
        return any(own(g) or g.owning(uses) for g in self.groups())

    def groups(self) -> list["_Group"]:
        return [item for item in self.items if isinstance(item, _Group)]


class Layers:
    """The layers of a program.

    Attributes:
        used: which parameters each step is the first to use, as numbers of arguments.
        tree: the layers at the top.
        readers: which steps read each value.
        makers: which step makes each value.
    """

    def __init__(self, traced: Trace, made: Program, depth: int | None):
        self.traced, self.made, self.depth = traced, made, depth
        self.makers = {v: i for i, step in enumerate(made.steps) for v in step.outputs}
        self.readers: dict[int, list[int]] = {}
        for i, step in enumerate(made.steps):
            if step.needed:
                for v in step.inputs:
                    self.readers.setdefault(v, []).append(i)
        self._find_parameters()
        self._find_data()
        self.tree = self._children(self._grouped(), 1)

    def _find_parameters(self):
        """Which parameters each step uses, seen through views and casts of them."""
        made, arguments = self.made, self.traced.arguments
        source = {v: i for i, v in enumerate(made.inputs) if arguments[i].role == "parameter"}
        self.uses: dict[int, list[int]] = {}
        self.used: dict[int, list[int]] = {}
        taken = set()
        for i, step in enumerate(made.steps):
            own = [source[v] for v in step.inputs if v in source]
            if not own or not step.needed:
                continue
            if step.name in VIEWS | {"convert_element_type", "slice"} and len(step.inputs) == 1:
                source.update(dict.fromkeys(step.outputs, own[0]))
                continue
            self.uses[i] = own
            self.used[i] = [p for p in dict.fromkeys(own) if p not in taken]
            taken.update(own)
        self.unused = [p for p in self.traced.parameters if p not in taken]

    def _find_data(self):
        """Which values and steps depend on the inputs."""
        made, arguments = self.made, self.traced.arguments
        inputs = {v for i, v in enumerate(made.inputs) if arguments[i].role == "input"}
        self.data_values = inputs or set(made.inputs)
        self.data_steps = set()
        for i, step in enumerate(made.steps):
            if not self.data_values.isdisjoint(step.inputs):
                self.data_values.update(step.outputs)
                self.data_steps.add(i)

    def owns(self, layer: Layer) -> bool:
        """Whether a layer uses parameters, its own or those of an earlier one."""
        return any(i in self.uses for i in layer.steps)

    def output(self, layer: Layer) -> tuple[tuple[int, ...], str]:
        """Shape and dtype of the largest value that others read."""
        own, returned = set(layer.steps), set(self.made.outputs)
        values = [v for i in layer.steps for v in self.made.steps[i].outputs]
        out = [v for v in values if v in returned or not own.issuperset(self.readers.get(v, ()))]
        avals = [self.made.avals[v] for v in out or values[-1:]]
        aval = max(reversed(avals), key=lambda a: a.size)
        return tuple(aval.shape), str(aval.dtype)

    def _grouped(self) -> _Group:
        root = _Group(("scope", ""))
        for i, step in enumerate(self.made.steps):
            if step.needed:
                self._insert(root, i, step.scopes)
        # A scope or call around everything is the program itself.
        while len(root.items) == 1 and root.groups():
            (inner,) = root.groups()
            kind, name = inner.part
            named = kind == "scope" and (name in self._keys(inner.steps()) or not inner.scoped())
            if kind == "loop" or named:
                break
            root = inner
        return root

    def _insert(self, group: _Group, i: int, scopes):
        owners = {self.traced.arguments[p].path[:-1] for p in self.uses.get(i, ())}
        scopes = [part for part in scopes if part[1]]
        deepest = max((d for d, part in enumerate(scopes) if part[0] == "scope"), default=-1)
        for d, part in enumerate(scopes):
            inner = group.items[-1] if group.items else None
            if not isinstance(inner, _Group) or inner.part != part:
                inner = None
            elif d == deepest and any(_twins(a, b) for a in owners for b in inner.owners):
                inner = None  # the same layer once more, with the next parameters
            if inner is None:
                inner = _Group(part)
                group.items.append(inner)
            group = inner
            if d == deepest:
                group.owners |= owners
        group.items.append(i)

    def _children(self, group: _Group, level: int) -> list[Layer]:
        pieces = [piece for item in group.items for piece in self._pieces(item, level)]
        # What enters or leaves a loop belongs to the loop itself.
        border = lambda piece: {self.made.steps[i].name for i in piece.steps} <= {"enter", "leave"}
        pieces = [piece for piece in pieces if not border(piece)]
        return _Joined(self, pieces).layers()

    def _pieces(self, item, level) -> list[Layer]:
        """The layers that one item of a group is made of."""
        if isinstance(item, int):
            return [self._direct(item)]
        (kind, name), steps = item.part, item.steps()
        data = not self.data_steps.isdisjoint(steps)
        if kind == "scope":
            return [self._scope(item, level)]
        if kind == "loop":
            inner = self._children(item, level + 1) if item.scoped() else []
            name, rounds = name.split()
            return [Layer(name, f"× {rounds}", steps, inner, data)]
        heavy = any(self.made.steps[i].name in HEAVY for i in steps)
        if name.startswith(("_", "<")) or item.scoped() or (heavy and len(steps) < 4):
            return [piece for inner in item.items for piece in self._pieces(inner, level)]
        return [Layer(self._owner(steps) or name, name, steps, [], data)]

    def _direct(self, i) -> Layer:
        kind = self.made.steps[i].name
        name = NAMES.get(kind) or kind
        return Layer(self._owner([i]) or name, name, [i], [], i in self.data_steps, direct=True)

    def _scope(self, group, level) -> Layer:
        steps, names = group.steps(), [group.part[1]]
        data = not self.data_steps.isdisjoint(steps)
        while len(group.items) == 1 and group.groups() and group.groups()[0].part[0] == "scope":
            (group,) = group.groups()
            names.append(group.part[1])
        keys = self._keys(steps)
        # The innermost scope is a function, unless it is called after its parameters.
        kind = ""
        if (names[-1] not in keys and (names[1:] or keys)) or names[-1:] == names[-2:-1]:
            kind = names.pop().rsplit(".", 1)[-1]
        elif keys and not group.scoped():
            kind = self._main(steps)
        # A layer with a name of its own, such as an attention, or within its namesake.
        whole = bool(kind and names) or any(g.part == group.part for g in group.groups())
        opened = level < self.depth if self.depth else not whole
        worth = group.scoped() and (group.owning(self.uses) or not self.traced.parameters)
        inner = self._children(group, level + 1) if opened and worth else []
        name = "/".join(names) or self._owner(steps) or kind
        return Layer(name, kind, steps, inner, data, scoped=True)

    def _main(self, steps) -> str:
        steps = [i for i in steps if i in self.data_steps] or steps
        kind = self.made.steps[max(steps, key=lambda i: (self._weight(i), i))].name
        return NAMES.get(kind) or kind

    def _weight(self, i) -> int:
        kind = self.made.steps[i].name
        if kind in HEAVY:
            return 4
        if kind in TRANSCENDENTAL or kind in ("max", "min", "select_n"):
            return 3
        if kind in MOVES or kind in ("convert_element_type", "iota"):
            return 0
        return 1 if kind in ARITHMETIC or kind == "integer_pow" else 2

    def _keys(self, steps) -> set[str]:
        """All keys on the way to the parameters that these steps use."""
        return {key for i in steps for p in self.uses.get(i, ()) for key in self._path(p)}

    def _path(self, p) -> Path:
        return self.traced.arguments[p].path

    def _owner(self, steps: Iterable[int]) -> str:
        """Where the parameters that these steps use are kept, as text."""
        paths = [self._path(p) for i in steps for p in self.uses.get(i, ())]
        paths = list(dict.fromkeys(paths))
        if not paths:
            return ""
        if len(paths) == 1:
            paths = [paths[0][:-1] or paths[0]]
        common = []
        for keys in zip(*paths, strict=False):
            if len(set(keys)) > 1:
                break
            common.append(keys[0])
        return joined(common) if common else ", ".join(joined(path) for path in paths)


class _Joined:
    """The pieces of one block, after those that belong together have been joined."""

    def __init__(self, layers: Layers, pieces: list[Layer]):
        self.of = layers
        self.pieces = dict(enumerate(pieces))
        self.home = {i: k for k, piece in self.pieces.items() for i in piece.steps}

    def layers(self) -> list[Layer]:
        for k in list(self.pieces):  # the end of a layer that was batched
            if all(self.of.made.steps[i].batching for i in self.pieces[k].steps):
                self._finish(k, lambda before: before.scoped and not before.layers)
        for k in reversed(list(self.pieces)):  # what is prepared goes to who uses it first
            piece = self.pieces[k]
            if not piece.data or (piece.direct and self._weight(piece) == 0):
                self._prepare(k, piece)
        for k in list(self.pieces):  # what only finishes goes to who came before
            piece = self.pieces[k]
            if piece.direct and self._weight(piece) <= 1:
                self._finish(k, lambda before: before.direct)
        pieces = sorted(self.pieces.values(), key=lambda piece: piece.steps[-1])
        return self._runs(pieces) if any(piece.scoped for piece in pieces) else pieces

    def _runs(self, pieces) -> list[Layer]:
        """Long runs of single steps between scopes, each as one layer."""
        found, rest = [], list(pieces)
        while rest:
            run = list(takewhile(lambda piece: not piece.scoped, rest)) or rest[:1]
            rest = rest[len(run) :]
            if len(run) < 4:
                found += run
                continue
            steps = sorted(i for piece in run for i in piece.steps)
            heavy = [p.name for p in run if self._weight(p) >= 3 or not p.direct]
            name = ", ".join(dict.fromkeys(heavy)) or run[-1].name
            found.append(Layer(name, "", steps, [], any(piece.data for piece in run)))
        return found

    def _weight(self, piece) -> int:
        return max(self.of._weight(i) for i in piece.steps)

    def _prepare(self, k, piece):
        after = self._after(piece)
        if None in after or not after:
            return
        if piece.data and len(after) > 1:
            return
        target = min(after)
        if not piece.data or self.pieces[target].direct:
            self._join(target, k)

    def _finish(self, k, fits):
        """Joins a piece to the one that it reads, if it is one alone and fits."""
        before = self._before(self.pieces[k])
        if len(before) == 1 and None not in before:
            (b,) = before
            if b in self.pieces and fits(self.pieces[b]):
                self._join(b, k)

    def _join(self, target, k):
        """Puts piece k into another, which keeps the name of what weighs most."""
        into, piece = self.pieces[target], self.pieces.pop(k)
        into.steps = sorted(into.steps + piece.steps)
        for i in piece.steps:
            self.home[i] = target
        if into.direct:
            into.kind = self.of._main(into.steps)
            into.name = self.of._owner(into.steps) or into.kind

    def _after(self, piece) -> set:
        """The other pieces that read what it makes; None for those outside of the block."""
        steps = self.of.made.steps
        values = [v for i in piece.steps for v in steps[i].outputs]
        found = {self.home.get(r) for v in values for r in self.of.readers.get(v, ())}
        if not {v for v in self.of.made.outputs if v is not None}.isdisjoint(values):
            found.add(None)
        own = self.home[piece.steps[0]]
        return {k for k in found if k != own}

    def _before(self, piece) -> set:
        """The other pieces whose data it reads; None for those outside of the block."""
        own, found = set(piece.steps), set()
        for i in piece.steps:
            for v in self.of.made.steps[i].inputs:
                if v in self.of.data_values and self.of.makers.get(v) not in own:
                    maker = self.of.makers.get(v)
                    found.add(None if maker is None else self.home.get(maker))
        return found


def joined(path: Iterable[str]) -> str:
    """A path as text: `layers[0]/kernel`."""
    return "/".join(path).replace("/[", "[")


def _twins(a: Path, b: Path) -> bool:
    """Whether two paths differ, and in numbers alone."""
    return a != b and pattern(joined(a)) == pattern(joined(b))


def pattern(name: str) -> str:
    """A name without its numbers."""
    return re.sub(r"\d+", "#", name)
