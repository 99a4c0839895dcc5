"""Diagrams: everything is drawn, legible, inside the picture, and nothing covers anything."""

import functools
import io
import subprocess
from itertools import pairwise
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from flax import linen
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from jaxnn import layers, networks, plots
from jaxnn.summary import graph

pytestmark = pytest.mark.usefixtures("quick_compilation")


def like(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


IDS = functools.partial(like, dtype=jnp.int32)
GENERATOR, DISCRIMINATOR = networks.mlp([2, 8, 3]), networks.mlp([3, 8, 1])


def adversarial(params, noise):
    with jax.named_scope("generator"):
        fake = GENERATOR.apply(params["generator"], noise)
    with jax.named_scope("discriminator"):
        return DISCRIMINATOR.apply(params["discriminator"], fake)


class Linen(linen.Module):
    """Dense layers around an attention."""

    @linen.compact
    def __call__(self, x):
        x = linen.MultiHeadDotProductAttention(4, name="attention")(linen.Dense(16)(x))
        return linen.Dense(10, name="last")(linen.LayerNorm()(x))


def plain(params, x):
    h = jnp.tanh(x @ params["w1"] + params["b1"])
    return h @ params["w2"] + x.sum()


def branches(params, x):
    """Chains of one to four layers beside each other, and a skip over them."""
    ways = [x]
    for depth in range(1, 5):
        y = x
        for k in range(depth):
            y = jnp.tanh(layers.dense(params[f"branch_{depth}_{k}"], y))
        ways.append(y)
    return jnp.concatenate(ways, -1)


KERNELS = {f"branch_{i}_{k}": {"kernel": like(8, 8)} for i in range(1, 5) for k in range(i)}
SOURCES = {
    "perceptron": lambda: (networks.perceptron(2), like(4, 2)),
    "mlp": lambda: (networks.mlp([64, 128, 64, 10]), like(32, 64)),
    "deep": lambda: (networks.mlp([64] * 9 + [10]), like(32, 64)),
    "cnn": lambda: (networks.cnn((28, 28, 1), [16, 32], 10), like(8, 28, 28, 1)),
    "resnet": lambda: (networks.resnet((8, 8, 1), [8, 16], 10), like(4, 8, 8, 1)),
    "lstm": lambda: (networks.lstm(3, 16, 2, layers=2, bidirectional=True), like(4, 8, 3)),
    "autoencoder": lambda: (networks.autoencoder([64, 32, 2]), like(16, 64)),
    "gan": lambda: (
        adversarial,
        jax.eval_shape(networks.gan(GENERATOR, DISCRIMINATOR).init, jax.random.key(0)),
        like(4, 2),
    ),
    "siamese": lambda: (networks.siamese(networks.mlp([4, 8, 2])), (like(3, 4), like(3, 4))),
    "transformer": lambda: (
        networks.transformer(500, width=32, heads=4, depth=6, length=16),
        IDS(2, 16),
    ),
    "sequence_to_sequence": lambda: (
        networks.sequence_to_sequence(50, 60, width=16, heads=2, depth=2, length=16),
        (IDS(2, 16), IDS(2, 12)),
    ),
    "flax": lambda: (Linen(), like(2, 8, 16)),
    "branches": lambda: (branches, KERNELS, like(4, 8)),
    "plain": lambda: (plain, {"w1": like(6, 5), "b1": like(5), "w2": like(5, 3)}, like(4, 6)),
}
every_network = pytest.mark.parametrize("name", SOURCES)


@functools.cache
def of(name):
    return graph(*SOURCES[name]())


@pytest.fixture(autouse=True)
def _tidy(monkeypatch):
    """No setting may be left behind, no figure stay open, and no program be called."""
    no_program = lambda *_, **__: pytest.fail("a diagram called a program of the system")
    monkeypatch.setattr(subprocess, "Popen", no_program)
    before = mpl.rcParams.copy()
    yield
    assert mpl.rcParams == before
    plt.close("all")


def parts(ax):
    """The drawn nodes, frames and arrows."""
    nodes = [p for p in ax.patches if isinstance(p, Circle | FancyBboxPatch)]
    arrows = [p for p in ax.patches if isinstance(p, FancyArrowPatch)]
    return nodes, arrows


def box(patch, ax):
    """The rectangle of a node in points of the picture, y downward: x0, x1, y0, y1."""
    if isinstance(patch, Circle):
        (x, y), r = patch.center, patch.radius
        return x - r, x + r, y - r, y + r
    x, y = patch.get_x(), patch.get_y()
    return x, x + patch.get_width(), y, y + patch.get_height()


@functools.cache
def drawn(name):
    g, ax = of(name), plots.diagram(of(name))
    ax.figure.canvas.draw()  # an arrow knows its way only once it was drawn
    nodes, arrows = parts(ax)
    frames = nodes[: len(g.groups)]
    return g, ax, frames, nodes[len(g.groups) :], arrows


def track(arrow):
    """Points along an arrow, close to each other, from its start to its tip."""
    shaft, head = arrow.get_path().to_polygons(closed_only=False)
    corners = [*shaft, head[1]]
    steps = np.linspace(0, 1, 30)[:, None]
    return np.concatenate([a + (b - a) * steps for a, b in pairwise(corners)])


@every_network
def test_every_layer_is_there_with_its_name_shape_and_parameters(name):
    g, ax, frames, nodes, arrows = drawn(name)
    assert (len(frames), len(nodes), len(arrows)) == (len(g.groups), len(g.nodes), len(g.edges))
    for node, patch in zip(g.nodes, nodes, strict=True):
        x0, x1, y0, y1 = box(patch, ax)
        inside = [
            text.get_text()
            for text in ax.texts
            if x0 <= text.get_position()[0] <= x1 and y0 <= text.get_position()[1] <= y1
        ]
        if isinstance(patch, Circle):
            assert inside in (["+"], ["×"], ["−"], ["÷"])
            continue
        shape = " × ".join(map(str, node.shape)) or "scalar"
        assert inside[0] == node.name
        assert shape in inside
        assert (f"{node.parameters:,}" in inside) == (node.parameters > 0)
        assert ("shared" in inside) == node.shared
    texts = [text.get_text() for text in ax.texts]
    for group in g.groups:
        assert not group.name or group.name in texts
        assert group.repeats == 1 or f"× {group.repeats}" in texts


@every_network
def test_no_text_is_cut_off_or_covered_by_another(name):
    _, ax, *_ = drawn(name)
    figure = ax.figure
    figure.canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent()) for text in ax.texts]
    width, height = figure.bbox.size
    for i, (text, extent) in enumerate(boxes):
        assert min(extent.x0, extent.y0) >= 0, text
        assert extent.x1 <= width, text
        assert extent.y1 <= height, text
        for other, second in boxes[:i]:
            assert not extent.overlaps(second), (text, other)


@every_network
def test_text_stays_in_its_box(name):
    g, ax, _, nodes, _ = drawn(name)
    ax.figure.canvas.draw()
    back = ax.transData.inverted()
    for text in ax.texts:
        x, y = text.get_position()
        for patch in nodes:
            x0, x1, y0, y1 = box(patch, ax)
            if x0 <= x <= x1 and y0 <= y <= y1:
                corners = back.transform(text.get_window_extent().get_points())
                low, high = corners.min(0), corners.max(0)
                assert x0 <= low[0] <= high[0] <= x1, text
                assert y0 - 1 <= low[1] <= high[1] <= y1 + 1, text
    assert g.nodes


@every_network
def test_boxes_do_not_overlap_and_frames_hold_their_own(name):
    g, ax, frames, nodes, _ = drawn(name)
    boxes = [box(patch, ax) for patch in nodes]
    for i, (a0, a1, b0, b1) in enumerate(boxes):
        for x0, x1, y0, y1 in boxes[:i]:
            assert a1 <= x0 or x1 <= a0 or b1 <= y0 or y1 <= b0

    def around(k):
        while k is not None:
            yield k
            k = g.groups[k].parent

    for k, frame in enumerate(frames):
        x0, x1, y0, y1 = box(frame, ax)
        for node, (a0, a1, b0, b1) in zip(g.nodes, boxes, strict=True):
            within = x0 < a0 and a1 < x1 and y0 < b0 and b1 < y1
            outside = a1 <= x0 or x1 <= a0 or b1 <= y0 or y1 <= b0
            assert within if k in around(node.group) else outside, (g.groups[k], node)


@every_network
def test_arrows_lead_from_node_to_node_and_cross_no_other(name):
    g, ax, _, nodes, arrows = drawn(name)
    boxes = [box(patch, ax) for patch in nodes]
    near = lambda p, b: b[0] - 2 <= p[0] <= b[1] + 2 and b[2] - 2 <= p[1] <= b[3] + 2
    for edge, arrow in zip(g.edges, arrows, strict=True):
        points = track(arrow)
        assert near(points[0], boxes[edge.source])
        assert near(points[-1], boxes[edge.target])
        for i, (x0, x1, y0, y1) in enumerate(boxes):
            if i not in (edge.source, edge.target):
                crossed = (
                    (points[:, 0] > x0 + 1)
                    & (points[:, 0] < x1 - 1)
                    & (points[:, 1] > y0 + 1)
                    & (points[:, 1] < y1 - 1)
                )
                assert not crossed.any(), (edge, g.nodes[i])
        source, target = boxes[edge.source], boxes[edge.target]
        assert source[3] <= target[2] + 1, "data flows downward"


def luminance(color):
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


@pytest.mark.parametrize("page", ["white", "#111111"])
@every_network
def test_a_diagram_is_legible_on_white_and_dark_pages(name, page):
    _, ax, _, nodes, _ = drawn.__wrapped__(name)  # a new one, as its ground will change
    assert ax.figure.get_facecolor()[-1] == 0, "transparent, so that the page shows"
    ink = luminance(plots.INK)
    for patch in nodes:
        *color, alpha = patch.get_facecolor()
        ground = alpha * np.array(color) + (1 - alpha) * np.array(to_rgb(page))
        low, high = sorted((luminance(ground), ink))
        assert (high + 0.05) / (low + 0.05) > 3
    assert {text.get_color() for text in ax.texts} == {plots.INK}
    assert min(text.get_fontsize() for text in ax.texts) >= 7.99

    ax.figure.set_facecolor(page)
    ax.figure.canvas.draw()
    pixels = np.asarray(ax.figure.canvas.buffer_rgba())[..., :3] / 255
    assert (np.abs(pixels - to_rgb(page)).max(-1) > 0.2).mean() > 0.03, "a blank picture"


def test_kinds_have_colours():
    g, _, _, nodes, _ = drawn("transformer")
    colors = {}
    for node, patch in zip(g.nodes, nodes, strict=True):
        colors.setdefault(node.kind or node.name, set()).add(patch.get_edgecolor())
    assert all(len(found) == 1 for found in colors.values())
    kinds = ("dense", "rms_norm", "multi_head_attention", "embedding", "gelu")
    assert len({next(iter(colors[kind])) for kind in kinds}) == len(kinds)


def test_encoder_and_decoder_stand_side_by_side():
    g, ax, frames, _, _ = drawn("sequence_to_sequence")
    sides = {
        group.name: box(frame, ax)
        for group, frame in zip(g.groups, frames, strict=True)
        if group.parent is None
    }
    left, right = sides["encoder"], sides["decoder"]
    assert left[1] < right[0]
    assert left[2] < right[2] < left[3] < right[3], "beside each other, the decoder lower"


def test_residual_connections_run_beside_the_blocks():
    g, ax, _, nodes, arrows = drawn("transformer")
    at = {(e.source, e.target): arrow for e, arrow in zip(g.edges, arrows, strict=True)}
    names = [node.name for node in g.nodes]
    first, plus = names.index("embedding"), names.index("add")
    left = box(nodes[first], ax)[0]
    assert track(at[first, plus])[:, 0].min() < left


@pytest.mark.parametrize("name", ["perceptron", "transformer", "sequence_to_sequence"])
def test_it_is_saved_as_svg_and_png(name):
    figure = plots.diagram(of(name)).figure
    for kind, start in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        file = io.BytesIO()
        figure.savefig(file, format=kind)
        assert file.getvalue().startswith(start)
        assert len(file.getvalue()) > 5000


def test_it_goes_into_given_axes_at_their_size():
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4))
    assert plots.diagram(of("resnet"), right) is right
    assert len(plt.get_fignums()) == 1
    assert not left.patches
    figure.canvas.draw()
    room = right.get_window_extent()
    for text in right.texts:
        extent = text.get_window_extent()
        assert room.x0 <= extent.x0 <= extent.x1 <= room.x1
        assert room.y0 <= extent.y0 <= extent.y1 <= room.y1
        assert text.get_fontsize() < 8, "letters shrink with the boxes"


def made(nodes, edges, groups=()):
    """A graph by hand: nodes as (name, group)."""
    look = dict(kind="dense", shape=(1, 2), parameters=3, shared=False)
    return SimpleNamespace(
        nodes=[SimpleNamespace(name=name, group=group, **look) for name, group in nodes],
        edges=[SimpleNamespace(source=a, target=b) for a, b in edges],
        groups=[SimpleNamespace(name=name, repeats=2, parent=parent) for name, parent in groups],
    )


def test_many_ways_from_one_to_another():
    """Skips over skips, three branches, and frames in frames."""
    nodes = [("a", None), ("b", 1), ("c", 1), ("d", 1), ("e", 0), ("f", 0), ("g", None)]
    edges = [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4), (4, 5), (0, 5), (5, 6), (0, 6), (1, 6)]
    ax = plots.diagram(made(nodes, edges, [("outer", None), ("inner", 0)]))
    patches, arrows = parts(ax)
    assert (len(patches), len(arrows)) == (9, len(edges))
    boxes = [box(patch, ax) for patch in patches[2:]]
    for (a, b), arrow in zip(edges, arrows, strict=True):
        points = track(arrow)
        for i, (x0, x1, y0, y1) in enumerate(boxes):
            if i not in (a, b):
                inside = (points > (x0 + 1, y0 + 1)).all(-1) & (points < (x1 - 1, y1 - 1)).all(-1)
                assert not inside.any(), (nodes[a], nodes[b], nodes[i])
    lanes = sorted(track(arrow)[:, 0].min() for arrow in arrows)
    assert lanes[0] < lanes[1] < boxes[0][0], "two skips have two lanes"


def test_what_is_no_graph_is_refused():
    with pytest.raises(TypeError, match=r"diagram: graph must have nodes, edges and groups"):
        plots.diagram(networks.perceptron(2))
    with pytest.raises(ValueError, match="at least one node"):
        plots.diagram(made([], []))
