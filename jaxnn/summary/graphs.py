"""The structure of a network: layers as nodes, and which of them read what others make."""

from dataclasses import dataclass
from typing import Any

from jaxnn.summary._flow import Flow
from jaxnn.summary._fold import fold, signature
from jaxnn.summary._layers import Layer, Layers, joined
from jaxnn.summary._steps import program
from jaxnn.summary._trace import trace

__all__ = ["Edge", "Graph", "Group", "Node", "graph"]


@dataclass(frozen=True)
class Node:
    """A layer, or an input.

    Attributes:
        name: of the layer or input.
        kind: the function or operation; `"input"` for an input.
        shape: of its output.
        dtype: of its output.
        parameters: how many numbers.
        shared: whether an earlier node has its parameters, and counts them.
        group: number of the group it stands in, None at the top.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    parameters: int
    shared: bool
    group: int | None


@dataclass(frozen=True)
class Group:
    """A block of layers.

    Attributes:
        name: of the block, or of the first and the last of equal blocks.
        repeats: how many equal blocks follow each other; the nodes of one of them are shown.
        parent: number of the group around it, None at the top.
    """

    name: str
    repeats: int
    parent: int | None


@dataclass(frozen=True)
class Edge:
    """One node reads what another makes.

    Attributes:
        source: number of the node that makes it.
        target: number of the node that reads it.
    """

    source: int
    target: int


@dataclass(frozen=True)
class Graph:
    """The structure of a network.

    Attributes:
        nodes: layers and inputs; every edge leads to a later one.
        edges: in the order of their targets.
        groups: blocks; each stands after the one around it.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    groups: tuple[Group, ...]


def graph(f: Any, *inputs: Any, depth: int | None = None, **options: Any) -> Graph:
    """Finds the layers of any JAX function and how data flows between them.

    Equal blocks that follow each other are folded into one, and so are series of equal layers
    from three on, where each reads the one before it, all else they read is the same, and only
    the last is read elsewhere: parallel branches stand apart. `plots.diagram` draws the result.

    Args:
        f: a network, module or function, as for `summary`.
        *inputs: as for `summary`.
        depth: how many levels of blocks to open; by default all down to the layers.
        **options: as for `summary`.

    Returns:
        The graph.

    Raises:
        TypeError: if `f` is no function, or its inputs are shapes.
        ValueError: if `depth` is not positive.

    Example:
        >>> from jaxnn.networks import mlp
        >>> g = graph(mlp([2, 16, 1]), jax.ShapeDtypeStruct((4, 2), jnp.float32))
        >>> [node.name for node in g.nodes], [(edge.source, edge.target) for edge in g.edges]
        (['input', 'dense_0', 'relu', 'dense_1'], [(0, 1), (1, 2), (2, 3)])
    """
    if depth is not None and depth < 1:
        raise ValueError(f"graph: depth must be at least 1, got {depth}. Leave it out for all.")
    traced = trace("graph", f, inputs, options)
    return _Builder(Layers(traced, program(traced.jaxpr), depth)).graph()


@dataclass
class _Row:
    """A layer with what makes it equal to others."""

    layer: Layer
    shape: tuple[int, ...]
    dtype: str
    parameters: int
    rows: list["_Row"]
    signature: Any

    @property
    def name(self) -> str:
        return self.layer.name


class _Builder:
    def __init__(self, layers: Layers):
        self.layers = layers
        self.nodes: list[Node] = []
        self.groups: list[Group] = []
        self.flow = Flow(layers)
        self.home: dict[int, int] = {}  # the node of each innermost layer, by their numbers
        # The folds around each of them: the first node of the fold, and which repetition it is.
        self.turn: dict[int, tuple[tuple[int, int], ...]] = {}

    def graph(self) -> Graph:
        inputs = self._inputs()
        self._add([self._row(layer) for layer in self.layers.tree], None, ())
        edges = set()
        for reader, target in self.home.items():
            for maker, v in self.flow.reads[reader]:
                source = inputs.get(v) if maker is None else self.home.get(maker)
                # What leads from one repetition to the next would lead back in a fold.
                if source is not None and source < target and not self._next(maker, reader):
                    edges.add((source, target))
        ordered = sorted(edges, key=lambda edge: edge[::-1])
        return Graph(tuple(self.nodes), tuple(Edge(*e) for e in ordered), tuple(self.groups))

    def _inputs(self) -> dict[int, int]:
        """Adds a node for each input that is read."""
        made, arguments = self.layers.made, self.layers.traced.arguments
        read = [
            (v, a)
            for v, a in zip(made.inputs, arguments, strict=True)
            if a.role == "input" and v in self.layers.readers
        ]
        for k, (_, a) in enumerate(read):
            number = f" {k}" if len(read) > 1 else ""
            name = joined(a.path) if a.path and not a.path[0].startswith("[") else f"input{number}"
            node = Node(name, "input", tuple(a.aval.shape), str(a.aval.dtype), 0, False, None)
            self.nodes.append(node)
        return {v: k for k, (v, _) in enumerate(read)}

    def _row(self, layer: Layer) -> _Row:
        rows = [self._row(inner) for inner in layer.layers]
        shape, dtype = self.layers.output(layer)
        own = [p for i in layer.steps for p in self.layers.used.get(i, ())]
        count = sum(self.layers.traced.arguments[p].aval.size for p in own)
        alike = signature(layer.name, layer.kind, shape, dtype, count, rows)
        return _Row(layer, shape, dtype, count, rows, alike)

    def _add(self, rows, group, turn):
        chained = lambda parts: self.flow.chained([[row.layer for row in p] for p in parts])
        for part in fold(rows, chained):
            inner = group
            if part.times > 1:
                self.groups.append(Group(part.name, part.times, group))
                inner = len(self.groups) - 1
            start = len(self.nodes)
            for k, again in enumerate(part.parts):
                here = (*turn, (start, k)) if part.times > 1 else turn
                if k == 0:
                    for row in again:
                        self._open(row, inner, here, part.times > 1 and len(again) == 1)
                else:
                    self._again(part.first, again, here)

    def _open(self, row, group, turn, named):
        """Adds a layer as a node, or the nodes in it."""
        if row.rows:
            if not named:
                rounds = row.layer.kind.removeprefix("× ")
                self.groups.append(Group(row.name, int(rounds) if rounds.isdigit() else 1, group))
                group = len(self.groups) - 1
            self._add(row.rows, group, turn)
            return
        if not row.layer.data:
            return
        layer = row.layer
        shared = not row.parameters and self.layers.owns(layer)
        look = row.shape, row.dtype, row.parameters, shared
        node = Node(layer.name, layer.kind, *look, group)
        self.nodes.append(node)
        number = self.flow.numbers[id(layer)]
        self.home[number], self.turn[number] = len(self.nodes) - 1, turn

    def _again(self, first, again, turn):
        """The layers of a repetition belong to the nodes that stand for it."""
        for one, other in zip(first, again, strict=True):
            if one.rows:
                self._again(one.rows, other.rows, turn)
            else:
                number, same = (self.flow.numbers[id(row.layer)] for row in (other, one))
                if same in self.home:
                    self.home[number], self.turn[number] = self.home[same], turn

    def _next(self, maker, reader) -> bool:
        """Whether two layers stand in different repetitions of the same block."""
        both = zip(self.turn.get(maker, ()), self.turn.get(reader, ()), strict=False)
        return any(a == b and k != n for (a, k), (b, n) in both)
