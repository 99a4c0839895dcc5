"""The structure of a network: its layers as boxes, and arrows along which data flows."""

import re
from collections.abc import Sequence
from typing import Any, Protocol

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from jaxnn.plots._layout import LABEL, Layout, layout
from jaxnn.plots._style import COLORS, INK, SMALL

__all__ = ["diagram"]

# Of the first that fits the kind, or else the name, of a layer.
FAMILIES = (
    ("attention", COLORS[3]), ("norm", COLORS[2]), ("conv|pool", COLORS[1]),
    ("lstm|gru|rnn|unroll|scan", COLORS[4]), ("embedding|radial|input", COLORS[5]),
    ("dense|linear|matmul", COLORS[0]),
)  # fmt: skip
SIGNS = {"add": "+", "sub": "−", "mul": "×", "div": "÷"}
TALL, LOW, ROUND, MARGIN = 32.0, 19.0, 15.0, 7.0


class _Graph(Protocol):
    nodes: Sequence[Any]
    edges: Sequence[Any]
    groups: Sequence[Any]


def diagram(graph: _Graph, ax: Axes | None = None) -> Axes:
    r"""Draws the structure of a network.

    Each layer is a box with its name, its kind, the shape of its output and the number of its
    parameters; its colour is that of its kind. Sums and products are circles. Frames are
    blocks, and `× 6` says that six equal ones follow each other. Data flows downward.

    Nothing but matplotlib is needed. `axes.figure.savefig("network.svg")` saves the picture as
    SVG, another suffix as PNG or PDF.

    Args:
        graph: what `summary.graph(network, inputs)` returns.
        ax: where to draw; None makes a new figure of the size that the network needs. In given
            Axes, all is scaled to fit.

    Returns:
        The Axes.

    Raises:
        TypeError: if `graph` is no graph.
        ValueError: if it has no nodes.

    Example:
        >>> from types import SimpleNamespace as N
        >>> look = dict(shape=(4, 2), parameters=6, shared=False, group=None)
        >>> nodes = [N(name="x", kind="input", **look), N(name="y", kind="dense", **look)]
        >>> ax = diagram(N(nodes=nodes, edges=[N(source=0, target=1)], groups=[]))
        >>> [text.get_text() for text in ax.texts]
        ['x', '4 × 2', '6', 'y', 'dense', '4 × 2', '6']
    """
    nodes, edges, groups = _parts(graph)
    labels = [_label(node) for node in nodes]
    placed = layout(
        [node.group for node in nodes],
        [(edge.source, edge.target) for edge in edges],
        [group.parent for group in groups],
        _sizes(nodes, labels, groups),
    )
    ax, scale = _ready(ax, placed)
    for group, frame, start in zip(groups, placed.frames, placed.labels, strict=True):
        if frame.width:
            _frame(ax, group, frame, start, scale)
    for arrow in placed.arrows:
        _arrow(ax, arrow, scale)
    for node, label, box in zip(nodes, labels, placed.boxes, strict=True):
        _node(ax, node, label, box, scale)
    return ax


def _parts(graph):
    try:
        nodes, edges, groups = graph.nodes, graph.edges, graph.groups
    except AttributeError:
        raise TypeError(
            f"diagram: graph must have nodes, edges and groups, got {type(graph).__name__}. "
            "Pass jaxnn.summary.graph(network, inputs)."
        ) from None
    if not len(nodes):
        raise ValueError(
            "diagram: graph must have at least one node, got none. "
            "Pass a function that computes something from its inputs."
        )
    return nodes, edges, groups


def _label(node):
    """Name and kind, then shape and parameters: the four corners of a box, "" where empty."""
    kind = "" if node.kind in (node.name, "input") else node.kind
    shape = " × ".join(map(str, node.shape)) or "scalar"
    count = f"{node.parameters:,}" if node.parameters else "shared" if node.shared else ""
    return node.name, kind, shape, count


def _sign(node):
    """The sign of a sum or product, which is drawn as a circle."""
    return SIGNS.get(node.kind) if node.name == node.kind and not node.parameters else None


def _flat(label) -> bool:
    """Whether a layer needs one line only: its name, and the shape of its output."""
    return not label[1] and not label[3]


def _sizes(nodes, labels, groups):
    """Boxes are equally wide; circles have their own size."""
    # The name of a block stands left of the arrow into it.
    wide = max((2 * _width(group.name) + 8 for group in groups if group.name), default=0.0)
    for node, (name, kind, shape, count) in zip(nodes, labels, strict=True):
        if _sign(node):
            continue
        first = _width(name, bold=True)
        lines = [[first, _width(kind)], [_width(shape), _width(count)]]
        if _flat((name, kind, shape, count)):
            lines = [[first, _width(shape)]]
        wide = max(wide, *(sum(line) + 14.0 * (min(line) > 0) for line in lines))
    box = wide + 2 * MARGIN
    return [
        (ROUND, ROUND) if _sign(node) else (box, LOW if _flat(label) else TALL)
        for node, label in zip(nodes, labels, strict=True)
    ]


def _width(text, bold=False) -> float:
    """How wide a text is, in points."""
    if not text:
        return 0.0
    font = FontProperties(weight="bold" if bold else "normal")
    return TextPath((0, 0), text, size=SMALL if bold else SMALL - 1, prop=font).get_extents().width


def _ready(ax, placed: Layout):
    """Axes in points, and by how much letters and lines are scaled."""
    if ax is None:
        size = placed.width / 72, placed.height / 72
        ax = plt.figure(figsize=size, facecolor="none").add_axes((0, 0, 1, 1))
    figure: Any = ax.get_figure(root=True)
    width, height = 72 * np.asarray(ax.get_window_extent().size) / figure.dpi
    scale = min(width / placed.width, height / placed.height)
    ax.set_axis_off()
    ax.set_facecolor("none")
    ax.set_xlim(placed.width / 2 - width / scale / 2, placed.width / 2 + width / scale / 2)
    ax.set_ylim(placed.height / 2 + height / scale / 2, placed.height / 2 - height / scale / 2)
    return ax, scale


def _family(node) -> str:
    for text in (node.kind, node.name):
        for names, color in FAMILIES:
            if re.search(names, text.lower()):
                return color
    return INK


def _node(ax, node, label, box, scale):
    sign = _sign(node)
    if sign:
        look: Any = dict(facecolor=(*_rgb(INK), 0.11), edgecolor=INK, linewidth=scale)
        ax.add_patch(Circle((box.x, box.y), box.width / 2, **look))
        _text(ax, box.x, box.y, sign, SMALL * scale, ha="center", weight="bold")
        return
    color = _family(node)
    ax.add_patch(_rounded(box, 4, (*_rgb(color), 0.11), color, scale))
    left, right = box.x - box.width / 2 + MARGIN, box.x + box.width / 2 - MARGIN
    name, kind, shape, count = label
    small = (SMALL - 1) * scale
    if _flat(label):
        _text(ax, left, box.y, name, SMALL * scale, weight="bold")
        _text(ax, right, box.y, shape, small, ha="right")
        return
    first, second = box.y - box.height * 0.21, box.y + box.height * 0.22
    _text(ax, left, first, name, SMALL * scale, weight="bold")
    _text(ax, right, first, kind, small, ha="right", style="italic")
    _text(ax, left, second, shape, small)
    _text(ax, right, second, count, small, ha="right")


def _frame(ax, group, frame, start, scale):
    ax.add_patch(_rounded(frame, 6, (*_rgb(INK), 0.05), (*_rgb(INK), 0.6), 0.8 * scale))
    y = frame.y - frame.height / 2 + LABEL / 2
    small = (SMALL - 1) * scale
    _text(ax, start, y, group.name, small, style="italic")
    if group.repeats > 1:
        times = f"× {group.repeats}"
        right = frame.x + frame.width / 2 - MARGIN
        _text(ax, right, y, times, SMALL * scale, ha="right", weight="bold")


def _rounded(box, radius, face, edge, line):
    corner = (box.x - box.width / 2, box.y - box.height / 2)
    style = f"round,pad=0,rounding_size={radius}"
    look: Any = dict(facecolor=face, edgecolor=edge, linewidth=line)
    return FancyBboxPatch(corner, box.width, box.height, boxstyle=style, **look)


def _arrow(ax, arrow, scale):
    path = _swing(arrow.points) if arrow.swings else _turning(arrow.points)
    head = f"-|>,head_length={3.4 * scale},head_width={1.7 * scale}"
    look: Any = dict(color=INK, linewidth=scale, shrinkA=0, shrinkB=0, mutation_scale=1)
    ax.add_patch(FancyArrowPatch(path=path, arrowstyle=head, joinstyle="miter", **look))


def _turning(points, radius=5.0) -> Path:
    """A line along the points, its corners rounded."""
    points = np.asarray(points, float)
    vertices, codes = [points[0]], [Path.MOVETO]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        towards = lambda end, at=corner: (
            at + (end - at) * min(1, radius / max(float(np.abs(end - at).sum()), 1e-9))
        )
        vertices += [towards(before), corner, towards(after)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return Path([*vertices, points[-1]], [*codes, Path.LINETO])


def _swing(points) -> Path:
    """From one column to another in a curve, and down the straight part."""
    (x0, y0), (x1, y1), (x2, y2) = points
    if x1 == x0:  # first straight down
        middle = (y1 + y2) / 2
        return Path(
            [(x0, y0), (x1, y1), (x1, middle), (x2, middle), (x2, y2)],
            [Path.MOVETO, Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
        )
    middle = (y0 + y1) / 2
    curve = [(x0, y0), (x0, middle), (x1, middle), (x1, y1)]
    codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
    return Path(curve, codes) if y1 == y2 else Path([*curve, (x2, y2)], [*codes, Path.LINETO])


def _text(ax, x, y, text, size, ha="left", **style):
    if text:
        ax.text(x, y, text, size=size, color=INK, ha=ha, va="center_baseline", **style)


def _rgb(color):
    return tuple(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
