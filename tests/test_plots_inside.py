"""Pictures of gradients, landscapes, filters, attention, maps and latent spaces."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PatchCollection, PathCollection
from matplotlib.colors import to_rgb
from pictures import (
    check_fitting,
    check_legible,
    check_placed,
    check_uncovered,
    figure_of,
    legend,
    luminance,
    tidy,  # noqa: F401
)

from jaxnn import plots
from jaxnn.plots import _style

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
NAMES = [f"dense_{i}" for i in range(11)]
# As `jit` returns it: sorted by name, so that dense_10 comes before dense_2.
FLOW = {
    name: {
        "position": float(name[6:]),
        "gradient_norm": 10.0 ** (int(name[6:]) - 10),
        "delta_variance": 4.0 ** (int(name[6:]) - 10),
        "dead": 0.1,
    }
    for name in sorted(NAMES)
}
DEAD = {
    "a": {"position": 0.0, "gradient_norm": 0.0, "activation_variance": 0.0},
    "b": {"position": 1.0, "gradient_norm": 0.5, "activation_variance": 0.0},
}
EPOCHS = np.array([1.0, 0.5, 0.25, np.nan])
RECORDED = {
    name: {"position": i + 0 * EPOCHS, "gradient_norm": EPOCHS * 10.0**i, "dead": 0 * EPOCHS}
    for i, name in enumerate("abc")
}
VANISHED = {name: {"gradient_norm": [2.0 * i, 1.0, 0.0, 0.0]} for i, name in enumerate("ab", 1)}
DIVERGED = {
    "a": {"gradient_norm": [1.0, 10.0, np.inf, np.nan]},
    "b": {"gradient_norm": [1.0, -1.0, np.nan, np.nan]},
    "c": {"update_ratio": [1.0, 1.0, 1.0, 1.0]},
}
LONG = {
    f"encoder/block_{i}/attention/very_long_projection_name/query": FLOW[f"dense_{i}"]
    for i in range(11)
}
AT = np.linspace(-1, 1, 9)
BOWL = 0.01 + AT[:, None] ** 2 + 4 * AT**2
RATES = {
    "rates": np.array([1e-3, 1e-2, 1e-1, 1.0, 10.0]),
    "final": np.array([2.0, 1.0, 0.2, 50.0, np.inf]),
    "loss": np.full((5, 3), 2.5),
}
WEIGHTS = RNG.dirichlet(np.ones(5), (3, 5))
WORDS = ["the", "cat", "sat", "down", "today"]
GRID = RNG.random((4, 6))
HITS = RNG.integers(0, 5, (4, 6))
POINTS = RNG.normal(size=(60, 2))
IMAGE = np.clip(3 - np.hypot(*np.indices((8, 8)) - 3.5), 0, 1)

PICTURES = {
    "flow": lambda ax=None: plots.gradient_flow(FLOW, ax),
    "dead": lambda ax=None: plots.gradient_flow(DEAD, ax),
    "recorded": lambda ax=None: plots.gradient_flow(RECORDED, ax),
    "five": lambda ax=None: plots.gradient_flow({name: FLOW[name] for name in NAMES[:5]}, ax),
    "long": lambda ax=None: plots.gradient_flow(LONG, ax),
    "vanished": lambda ax=None: plots.gradient_flow(VANISHED, ax),
    "diverged": lambda ax=None: plots.gradient_flow(DIVERGED, ax),
    "plane": lambda ax=None: plots.loss_landscape({"coordinates": AT, "loss": BOWL}, ax),
    "line": lambda ax=None: plots.loss_landscape({"coordinates": AT, "loss": AT**2}, ax),
    "rates": lambda ax=None: plots.learning_rate_range(RATES, ax),
    "filters": lambda ax=None: plots.filters(RNG.normal(size=(3, 3, 1, 8)), ax),
    "colours": lambda ax=None: plots.filters(RNG.normal(size=(5, 5, 3, 7)), ax),
    "channels": lambda ax=None: plots.filters(RNG.normal(size=(3, 3, 4, 6)), ax),
    "few": lambda ax=None: plots.filters(RNG.normal(size=(3, 3, 2, 4)), ax),
    "tall": lambda ax=None: plots.filters(RNG.normal(size=(3, 3, 64, 2)), ax),
    "maps": lambda ax=None: plots.feature_maps(RNG.normal(size=(6, 8, 12)), ax),
    "head": lambda ax=None: plots.attention(WEIGHTS[0], WORDS, ax),
    "saliency": lambda ax=None: plots.saliency(RNG.normal(size=(8, 8)), IMAGE, ax),
    "field": lambda ax=None: plots.receptive_field(np.pad(np.ones((5, 3)), 4), ax),
    "som": lambda ax=None: plots.som(GRID, ax, hits=HITS),
    "hexagons": lambda ax=None: plots.som(GRID, ax, hits=HITS, hexagonal=True),
    "latent": lambda ax=None: plots.latent_space(POINTS, np.arange(60) % 8, ax),
    "crowd": lambda ax=None: plots.latent_space(POINTS, np.arange(60) % 18, ax),
}
SHEETS = {
    "heads": lambda: plots.attention(WEIGHTS, WORDS),
    "planes": lambda: plots.component_planes(RNG.random((4, 6, 5)), list("abcde")),
}
every_picture = pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES.keys())
every_sheet = pytest.mark.parametrize(
    "draw", (PICTURES | SHEETS).values(), ids=(PICTURES | SHEETS).keys()
)


@every_sheet
@pytest.mark.parametrize("page", ["white", "#111111"])
def test_a_picture_is_legible_on_white_and_dark_pages(draw, page):
    check_legible(draw, page)


@every_sheet
def test_no_text_is_cut_off_or_covered_by_another(draw):
    check_uncovered(draw)


@every_picture
def test_a_picture_goes_into_given_axes(draw):
    check_placed(draw)


@every_picture
def test_a_picture_keeps_to_the_place_of_its_axes(draw):
    check_fitting(draw)


@every_sheet
def test_axes_are_labelled(draw):
    for ax in np.ravel(draw()):
        assert ax.get_xlabel() or ax.get_title(loc="left") or len(figure_of(ax).axes) > 1


def image_of(ax):
    (image,) = ax.images
    return np.ma.filled(image.get_array(), np.nan)


# Gradients


def test_layers_stand_in_their_order_on_a_logarithmic_axis():
    ax = plots.gradient_flow(FLOW)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == NAMES
    gradients, deltas = ax.lines
    np.testing.assert_allclose(gradients.get_ydata(), 10.0 ** np.arange(-10, 1))
    np.testing.assert_allclose(deltas.get_ydata(), 4.0 ** np.arange(-10, 1))
    assert ax.get_yscale() == "log"
    assert legend(ax) == ["gradient norm", "delta variance"]
    assert gradients.get_linestyle() != deltas.get_linestyle()
    low, high = ax.get_ylim()
    assert low < 1e-10
    assert high > 1
    (line,) = plots.gradient_flow(FLOW, entries=["dead", "missing"]).lines
    np.testing.assert_array_equal(line.get_ydata(), 0.1)


def test_zeros_are_open_marks_at_the_foot():
    ax = plots.gradient_flow(DEAD)
    open_marks = [line for line in ax.lines if line.get_fillstyle() == "none"]
    assert [line.get_xdata().tolist() for line in open_marks if len(line.get_xdata())] == [
        [0],
        [0, 1],
    ]
    assert legend(ax)[-1] == "open mark: zero"


def test_a_recorded_flow_is_a_line_per_layer_over_the_epochs():
    ax = plots.gradient_flow(RECORDED)
    assert ax.get_ylabel() == "gradient norm"
    assert legend(ax) == ["a", "b", "c"]
    for i, line in enumerate(ax.lines):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3], "what early stopping left out")
        np.testing.assert_array_equal(line.get_ydata(), EPOCHS[:3] * 10.0**i)
    first, _, last = (line.get_color() for line in ax.lines)
    np.testing.assert_allclose(first, to_rgb(plots.COLORS[0]))
    np.testing.assert_allclose(last, to_rgb(plots.COLORS[1]))
    assert len({line.get_marker() for line in ax.lines}) == 3
    members = {n: {k: np.stack([v, v, 9 * v]) for k, v in e.items()} for n, e in RECORDED.items()}
    line = plots.gradient_flow(members).lines[0]
    np.testing.assert_array_equal(line.get_ydata(), EPOCHS[:3])


def marks(ax, shape):
    """Where the marks of one shape stand, line by line, each at a height of its own."""
    lines = [line for line in ax.lines if line.get_linestyle() == "None" and line.get_xdata().size]
    drawn = [line for line in lines if shape in (line.get_marker(), line.get_fillstyle())]
    assert len({line.get_ydata()[0] for line in drawn}) == len(drawn)
    return [line.get_xdata().tolist() for line in drawn]


def test_epochs_without_a_place_on_the_axis_are_marked():
    ax = plots.gradient_flow(VANISHED)
    assert marks(ax, "none") == [[3, 4], [3, 4]]
    assert legend(ax) == ["a", "b", "open mark: zero"]
    assert ax.get_xlim()[1] > 4
    ax = plots.gradient_flow(DIVERGED)
    assert (marks(ax, "none"), marks(ax, "x")) == ([[2]], [[3, 4], [3, 4]])
    assert legend(ax) == ["a", "b", "open mark: zero or below", "not finite"]
    assert ax.get_xlim()[1] > 4
    assert not ax.texts
    sparse = {"a": {"gradient_norm": np.where(np.arange(30) % 7 == 3, 1.0, 0.0)}}
    points = plots.gradient_flow(sparse).lines[0].get_markevery()
    assert {3, 10, 17, 24} <= set(points), "no line shows a point between two gaps"


def test_layers_that_are_not_finite_are_marked_and_those_without_an_entry_are_not():
    flow = {"a": {"gradient_norm": np.nan}, "b": {"gradient_norm": 1.0}, "c": {"dead": 0.1}}
    ax = plots.gradient_flow(flow | {"d": {"gradient_norm": np.inf}})
    assert marks(ax, "x") == [[0, 3]]
    assert legend(ax) == ["gradient norm", "not finite"]
    for lost in ({"a": flow["a"]}, {"a": {"gradient_norm": [np.nan, np.inf]}}):
        assert [text.get_text() for text in plots.gradient_flow(lost).texts] == ["no finite values"]


def test_an_animation_shows_the_epochs_that_diverged():
    animation = plots.animate_gradient_flow(DIVERGED)
    assert animation.to_jshtml().count("data:image/png") == 4
    assert marks(animation._fig.axes[0], "x") == [[0, 1]]


def test_an_animation_moves_through_the_epochs_that_ran(tmp_path):
    animation = plots.animate_gradient_flow(RECORDED)
    assert len(list(animation.new_frame_seq())) == 3
    path = tmp_path / "flow.gif"
    animation.save(path, writer="pillow", dpi=40)
    from PIL import Image

    with Image.open(path) as film:
        assert film.n_frames == 3
        frames = []
        for i in range(3):
            film.seek(i)
            frames.append(np.asarray(film.convert("RGB"), float))
    assert np.abs(frames[0] - frames[2]).max() > 50, "nothing moves"
    ax = animation._fig.axes[0]
    assert ax.get_xlabel() == "layer, epoch 3"
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0.25, 2.5, 25])


def test_long_names_of_layers_lose_their_middle_and_stay_apart():
    ax = plots.gradient_flow(LONG)
    names = [tick.get_text() for tick in ax.get_xticklabels()]
    assert len(set(names)) == 11
    assert max(map(len, names)) <= 20
    assert all(f"block_{i}" in name and "…" in name for i, name in enumerate(names))
    figure_of(ax).canvas.draw()
    width, height = ax.get_window_extent().size / ax.figure.dpi
    assert width > 3
    assert height > 1.5
    twins = {f"{'x' * 30}{i}{'x' * 30}": {"gradient_norm": 1.0} for i in range(3)}
    names = [tick.get_text() for tick in plots.gradient_flow(twins).get_xticklabels()]
    assert len(set(names)) == 3


# Surfaces


def test_a_plane_is_drawn_with_its_first_direction_across():
    ax = plots.loss_landscape({"coordinates": AT, "loss": BOWL})
    fill = next(c for c in ax.collections if c.get_cmap().name.startswith("jaxnn"))
    shown = [path.vertices for path in fill.get_paths() if len(path.vertices)]
    lowest = np.ptp(shown[1], axis=0)
    assert lowest[0] > lowest[1], "the bowl is steeper along the second direction"
    (cross,) = ax.lines
    assert (cross.get_xdata(), cross.get_ydata()) == (0, 0)


def test_levels_of_equal_factors_have_shades_evenly_apart():
    steep = 0.01 + 10 * AT[:, None] ** 2 + AT**2
    for loss in (steep, 1e-3 * steep, steep - 1, steep - 0.01):
        ax = plots.loss_landscape({"coordinates": AT, "loss": loss})
        fill = next(c for c in ax.collections if c.get_cmap().name.startswith("jaxnn"))
        levels = fill.levels
        light = [luminance(fill.to_rgba(level)) for level in (levels[1:] + levels[:-1]) / 2]
        steps = np.diff(light)
        assert steps.min() > 0.02, "bands of one shade"
        logarithmic = loss.min() > 0
        apart = np.diff(np.log(levels) if logarithmic else levels)
        np.testing.assert_allclose(apart, apart[0])


def test_the_scale_of_a_landscape_tells_its_levels_apart():
    for loss in (BOWL, 1 + 1e-5 * BOWL, 1e20 + 0 * BOWL, 1 + 1e-16 * BOWL, BOWL - 3):
        ax = plots.loss_landscape({"coordinates": AT, "loss": loss})
        fill = next(c for c in ax.collections if c.get_cmap().name.startswith("jaxnn"))
        written = [label.get_text() for label in fill.colorbar.ax.get_yticklabels()]
        assert len(set(written)) == 5
        assert not fill.colorbar.ax.yaxis.get_minorticklocs().size


def test_losses_that_are_flat_negative_or_not_finite_are_drawn():
    for loss in (0 * BOWL, -BOWL, np.where(BOWL > 1, np.nan, BOWL), 1 + 0.1 * BOWL):
        ax = plots.loss_landscape({"coordinates": AT, "loss": loss})
        figure_of(ax).canvas.draw()
    ax = plots.loss_landscape({"coordinates": AT, "loss": AT**2})
    np.testing.assert_allclose(ax.lines[0].get_ydata(), AT**2)


def test_rates_that_diverged_do_not_flatten_the_others():
    ax = plots.learning_rate_range(RATES)
    curve, best, diverged = ax.lines
    np.testing.assert_array_equal(curve.get_ydata(), [2.0, 1.0, 0.2, np.nan, np.nan])
    assert best.get_xdata() == [0.1]
    np.testing.assert_array_equal(diverged.get_xdata(), [1.0, 10.0])
    assert legend(ax) == ["lowest at 0.1", "diverged"]
    assert ax.get_ylim()[1] < 10
    ax = plots.learning_rate_range({"rates": [1.0, 0.1], "final": [3.0, 4.0]})
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0.1, 1.0])


# Images


def test_filters_are_tiles_between_lines():
    kernel = RNG.normal(size=(3, 2, 1, 5))
    image = image_of(plots.filters(kernel))
    assert image.shape == (7, 8)
    np.testing.assert_array_equal(image[:3, 3:5], kernel[:, :, 0, 1])
    np.testing.assert_array_equal(image[4:7, :2], kernel[:, :, 0, 3])
    assert np.isnan(image[3]).all()
    assert np.isnan(image[4:, 6:]).all()
    ax = plots.filters(kernel)
    assert ax.images[0].norm.vmin == -ax.images[0].norm.vmax
    deep = RNG.normal(size=(3, 3, 2, 4))
    image = image_of(plots.filters(deep))
    np.testing.assert_array_equal(image[4:7, 8:11], deep[:, :, 1, 2])
    coloured = RNG.normal(size=(2, 2, 3, 2))
    image = image_of(plots.filters(coloured))
    np.testing.assert_allclose(
        image[:2, :2, :3], 0.5 + 0.5 * coloured[..., 0] / np.abs(coloured).max()
    )
    np.testing.assert_array_equal(image[0, :, 3], [1, 1, 0, 1, 1])
    plots.filters(np.zeros((2, 2, 1, 1)))


def test_feature_maps_are_light_at_zero():
    maps = RNG.normal(size=(4, 5, 3))
    ax = plots.feature_maps(maps)
    np.testing.assert_array_equal(image_of(ax)[:4, 6:11], maps[..., 1])
    assert ax.images[0].cmap is _style.SIGNED
    ax = plots.feature_maps(np.abs(maps))
    assert ax.images[0].norm.vmin == 0
    plots.feature_maps(np.full((2, 2, 1), 3.0))


def test_each_head_has_its_axes_and_its_words():
    axes = plots.attention(WEIGHTS, WORDS)
    assert [ax.get_title(loc="left") for ax in axes] == ["head 0", "head 1", "head 2"]
    for ax, weights in zip(axes, WEIGHTS, strict=True):
        np.testing.assert_array_equal(image_of(ax), weights)
        assert [t.get_text() for t in ax.get_yticklabels()] == WORDS
    one = plots.attention(WEIGHTS[:1, :2], ["a", "b"], keys=WORDS)
    assert [t.get_text() for t in one.get_xticklabels()] == WORDS
    assert (one.images[0].norm.vmin, one.images[0].norm.vmax) == (0, 1)
    many = plots.attention(np.eye(60))
    assert len(many.get_xticklabels()) == 20, "names must not touch"


def test_saliency_keeps_its_sign_and_the_outline_of_its_image():
    values = RNG.normal(size=(8, 8, 3))
    ax = plots.saliency(values, IMAGE)
    np.testing.assert_allclose(image_of(ax), values.sum(-1))
    assert ax.images[0].norm.vmin == -ax.images[0].norm.vmax
    (outline,) = ax.collections
    corners = np.concatenate([path.vertices for path in outline.get_paths()])
    distance = np.hypot(*(corners - 3.5).T)
    assert distance.min() > 2.2
    assert distance.max() < 2.8
    assert not plots.saliency(values).collections
    assert not plots.saliency(0 * values, 0 * IMAGE).collections


def test_the_frame_surrounds_what_is_seen():
    ax = plots.receptive_field(np.pad(np.ones((5, 3)), ((1, 2), (4, 4))))
    (frame,) = ax.patches
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((3.5, 0.5), 3, 5)
    assert ax.get_title(loc="left") == "sees 5 × 3 of 8 × 11"
    ax = plots.receptive_field(np.zeros((4, 4)))
    assert not ax.patches
    assert ax.get_title(loc="left") == "sees 0 × 0 of 4 × 4"


# Maps


@pytest.mark.parametrize("hexagonal", [False, True])
def test_units_lie_where_the_map_has_them(hexagonal):
    ax = plots.som(GRID, hits=HITS, hexagonal=hexagonal)
    cells = next(c for c in ax.collections if isinstance(c, PatchCollection))
    np.testing.assert_array_equal(cells.get_array(), GRID.ravel())
    centres = np.array([path.vertices[:-1].mean(0) for path in cells.get_paths()])
    if hexagonal:
        from jaxnn.networks._grid import positions

        rows, columns = np.asarray(positions((4, 6), True, np.float32)).T
        np.testing.assert_allclose(centres, np.stack([columns, rows], -1), atol=0.1)
    dots = next(c for c in ax.collections if isinstance(c, PathCollection))
    assert len(dots.get_offsets()) == (HITS > 0).sum()
    sizes, counts = dots.get_sizes(), HITS[HITS > 0]
    np.testing.assert_allclose(sizes / sizes.max(), counts / counts.max())
    assert ax.yaxis_inverted(), "the first row is on top"
    assert legend(ax) == ["examples, at most 4"]


def test_each_component_has_its_plane():
    codebook = RNG.random((3, 4, 2))
    axes = plots.component_planes(codebook, ["width", "height"])
    for i, ax in enumerate(axes):
        cells = next(c for c in ax.collections if isinstance(c, PatchCollection))
        np.testing.assert_array_equal(cells.get_array(), codebook[..., i].ravel())
    assert [ax.get_title(loc="left") for ax in axes] == ["width", "height"]
    (ax,) = plots.component_planes(codebook[..., :1])
    assert ax.get_title(loc="left") == "0"


def test_classes_in_a_latent_space_differ_in_colour_and_form():
    labels = np.arange(60) % 8
    ax = plots.latent_space(POINTS, labels)
    looks = set()
    for k, cloud in enumerate(ax.collections):
        np.testing.assert_array_equal(cloud.get_offsets(), POINTS[labels == k])
        color = cloud.get_facecolor()[0].tobytes()
        looks.add((color, cloud.get_paths()[0].vertices.tobytes()))
    assert len(looks) == 8
    assert legend(ax) == [str(k) for k in range(8)]
    assert plots.latent_space(POINTS).get_legend() is None
    assert plots.latent_space(POINTS[:0], labels[:0]).get_legend() is None


@pytest.mark.parametrize("count", [26, 60])
def test_many_classes_leave_room_for_their_points(count):
    names = [f"class {k:02}" for k in range(count)]
    ax = plots.latent_space(RNG.normal(size=(count, 2)), names)
    check_uncovered(lambda: ax)
    assert legend(ax) == names
    assert ax.get_window_extent().width > 2.4 * ax.figure.dpi
    assert ax.get_window_extent().height > 2.4 * ax.figure.dpi


# Errors

BAD = [
    lambda: plots.gradient_flow({}),
    lambda: plots.gradient_flow({"a": {"dead": 0.1}}),
    lambda: plots.animate_gradient_flow({"a": {}}),
    lambda: plots.loss_landscape({"coordinates": AT, "loss": BOWL[:3]}),
    lambda: plots.loss_landscape({"coordinates": AT[:2], "loss": AT[:2]}),
    lambda: plots.loss_landscape({"coordinates": AT, "loss": AT * np.nan}),
    lambda: plots.learning_rate_range({"rates": [1.0, 2.0], "final": [1.0]}),
    lambda: plots.learning_rate_range({"rates": [1.0], "final": [np.inf]}),
    lambda: plots.filters(np.ones((3, 3))),
    lambda: plots.filters(np.full((3, 3, 1, 1), np.nan)),
    lambda: plots.feature_maps(np.ones((1, 4, 4, 2))),
    lambda: plots.attention(np.ones(3)),
    lambda: plots.attention(np.full((2, 2), np.inf)),
    lambda: plots.attention(WEIGHTS[0], ["one"]),
    lambda: plots.attention(WEIGHTS[0], WORDS, keys=["one"]),
    lambda: plots.saliency(np.ones(4)),
    lambda: plots.saliency(np.ones((4, 4)), np.ones((5, 4))),
    lambda: plots.saliency(np.ones((4, 4)), np.full((4, 4), np.nan)),
    lambda: plots.receptive_field(np.ones(3)),
    lambda: plots.receptive_field(-np.ones((3, 3))),
    lambda: plots.som(np.ones((2, 3, 4))),
    lambda: plots.som(np.ones((2, 3)), hits=np.ones((3, 2))),
    lambda: plots.som(np.ones((2, 3)), hits=-np.ones((2, 3))),
    lambda: plots.component_planes(np.ones((2, 3))),
    lambda: plots.component_planes(np.ones((2, 3, 2)), ["one"]),
    lambda: plots.latent_space(np.ones((4, 3))),
    lambda: plots.latent_space(np.ones((4, 2)), np.ones(3)),
]


@pytest.mark.parametrize("call", BAD)
def test_bad_input_is_refused_before_anything_is_drawn(call):
    with pytest.raises(ValueError, match=r"^\w+: .* must .*got .*\. \S"):
        call()
    assert not plt.get_fignums()


def test_several_heads_need_more_than_one_axes():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match=r"^attention: .*got 3\. \S"):
        plots.attention(WEIGHTS, WORDS, ax)
