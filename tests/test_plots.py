"""Pictures of training, activations and decisions: what is drawn, legibility, errors."""

from functools import partial

import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.contour import QuadContourSet
from pictures import (
    check_fitting,
    check_legible,
    check_placed,
    check_uncovered,
    contrast,
    figure_of,
    legend,
    tidy,  # noqa: F401
    writing,
)

from jaxnn import plots
from jaxnn.plots import _style

pytestmark = pytest.mark.usefixtures("quick_compilation")

EPOCHS = np.arange(1, 13)
RAN = np.where(EPOCHS <= 8, 1.0, np.nan)
HISTORY = {
    "accuracy": RAN * (1 - 1 / EPOCHS),
    "loss": RAN / EPOCHS,
    "validation_accuracy": RAN * (0.9 - 1 / EPOCHS),
    "validation_loss": RAN * (0.5 + (EPOCHS - 5) ** 2 / 30),
}
POPULATION = {name: np.linspace(0.5, 1.5, 11)[:, None] * v for name, v in HISTORY.items()}
POINTS = np.array([[-1.0, 0.2], [-0.5, -1.0], [0.6, 1.0], [1.5, -0.4], [0.1, 2.0]])
CLASSES = np.array([0, 0, 1, 1, 2])
COUNTS = np.array([[50, 0, 2], [5, 43, 5], [9, 9, 8]])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sigmoid_grad(x):
    return sigmoid(x) * sigmoid(-x)


def relu(x):
    return np.maximum(x, 0)


def relu_grad(x):
    return (x > 0).astype(x.dtype)


def three_scores(x):
    return np.stack([-x[:, 0], x[:, 0], 2 * x[:, 1] - 2], -1)


PICTURES = {
    "curves": lambda ax=None: plots.training_curves(HISTORY, ax),
    "population": lambda ax=None: plots.training_curves(POPULATION, ax),
    "diverged": lambda ax=None: plots.training_curves({"loss": [np.nan, np.inf]}, ax),
    "smooth": lambda ax=None: plots.activation(sigmoid, sigmoid_grad, ax),
    "kinked": lambda ax=None: plots.activation(relu, relu_grad, ax, limits=(-2, 3)),
    "binary": lambda ax=None: plots.decision_boundary(
        lambda x: x[:, 0], POINTS, CLASSES.clip(0, 1), ax
    ),
    "classes": lambda ax=None: plots.decision_boundary(three_scores, POINTS, CLASSES, ax),
    "counts": lambda ax=None: plots.confusion_matrix(COUNTS, None, ax),
    "names": lambda ax=None: plots.confusion_matrix(COUNTS, ["airplane", "automobile", "cat"], ax),
}
every_picture = pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES.keys())


# Every picture


@every_picture
@pytest.mark.parametrize("page", ["white", "#111111"])
def test_a_picture_is_legible_on_white_and_dark_pages(draw, page):
    check_legible(draw, page)


@every_picture
def test_no_text_is_cut_off_or_covered_by_another(draw):
    check_uncovered(draw)


@every_picture
def test_a_picture_goes_into_given_axes(draw):
    check_placed(draw)


@every_picture
def test_a_picture_keeps_to_the_place_of_its_axes(draw):
    check_fitting(draw)


@every_picture
def test_axes_are_labelled(draw):
    for ax in np.ravel(draw()):
        assert ax.get_xlabel()
        named = ax.get_ylabel() or [t.get_text() for t in ax.texts] == ["f(x)", "f'(x)"]
        assert named


def test_a_style_of_the_user_does_not_hide_the_text():
    with mpl.rc_context({"text.color": "white", "axes.labelcolor": "white", "axes.grid": True}):
        figure = figure_of(plots.training_curves(HISTORY))
        assert {to_hex(t.get_color()) for t in writing(figure)} == {plots.INK}


def test_arrays_of_jax_are_drawn_like_numpy():
    ax = plots.training_curves({"loss": jnp.array([2.0, 1.0], jnp.bfloat16)}, metric="loss")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [2.0, 1.0])
    plots.activation(jnp.tanh, lambda x: 1 - jnp.tanh(x) ** 2)
    plots.decision_boundary(lambda x: jnp.sin(x), jnp.array(POINTS), jnp.array(CLASSES.clip(0, 1)))
    plots.confusion_matrix(jnp.array(COUNTS))


# Training curves


def test_a_metric_shares_axes_and_colour_with_its_validation():
    axes = plots.training_curves(HISTORY)
    assert [ax.get_ylabel() for ax in axes] == ["loss", "accuracy"]
    for ax in axes:
        assert ax.get_xlabel() == "epoch"
        training, validation, dot = ax.lines
        assert training.get_color() == validation.get_color() == dot.get_color()
        assert (training.get_linestyle(), validation.get_linestyle()) == ("-", "--")
    assert axes[0].lines[0].get_color() != axes[1].lines[0].get_color()
    assert axes[0].figure is axes[1].figure


def test_epochs_count_from_one_and_end_where_training_stopped():
    ax = plots.training_curves(HISTORY, metric="loss")
    for line in ax.lines[:2]:
        np.testing.assert_array_equal(line.get_xdata(), EPOCHS[:8])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), HISTORY["validation_loss"][:8])


def test_the_epoch_of_lowest_validation_loss_is_marked_in_all_axes():
    loss, accuracy = plots.training_curves(HISTORY)
    for ax, value in ((loss, 0.5), (accuracy, 0.7)):
        assert ax.lines[2].get_xdata() == [5]
        np.testing.assert_allclose(ax.lines[2].get_ydata(), [value])
    assert legend(loss) == ["training", "validation", "best, epoch 5: 0.500"]
    assert legend(accuracy)[-1] == "best, epoch 5: 0.700"
    ax = plots.training_curves({"loss": [3.0, 1234.5, 2.0]}, metric="loss", monitor="loss")
    assert legend(ax) == ["training", "best, epoch 3: 2.00"]


def test_nothing_is_marked_where_there_is_no_single_best_epoch():
    assert legend(plots.training_curves({"loss": [2.0, 1.0]}, metric="loss")) == ["training"]
    ax = plots.training_curves(POPULATION, metric="loss")
    assert legend(ax) == ["training", "validation", "10-90 % of 11"]


def test_a_population_is_its_median_in_a_band():
    values = POPULATION["loss"].copy()
    values[6:, 4:] = np.nan  # members that stopped early
    ax = plots.training_curves({"loss": values}, metric="loss")
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_ydata(), np.nanmedian(values[:, :8], axis=0))
    (band,) = (c for c in ax.collections if isinstance(c, PolyCollection))
    corners = band.get_paths()[0].vertices
    first = corners[corners[:, 0] == 1, 1]
    np.testing.assert_allclose([first.min(), first.max()], [0.6, 1.4])


def test_points_far_apart_are_seen():
    sparse = np.where(EPOCHS % 5 == 0, 1 / EPOCHS, np.nan)
    ax = plots.training_curves({"loss": 1 / EPOCHS, "validation_loss": sparse}, metric="loss")
    assert [line.get_marker() for line in ax.lines[:2]] == ["None", "."]
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), [5, 10])
    (ax,) = plots.training_curves({"mistakes": [3]})
    assert ax.lines[0].get_marker() == "."


def test_a_diverged_run_says_so():
    (ax,) = plots.training_curves({"loss": [np.nan, np.inf], "validation_loss": [np.nan] * 2})
    assert [text.get_text() for text in ax.texts] == ["no finite values"]


def test_recorded_flow_is_no_curve():
    recorded = {"loss": [2.0, 1.0], "flow/dense_0/dead": [0.0, 0.0]}
    assert [ax.get_ylabel() for ax in plots.training_curves(recorded)] == ["loss"]
    (ax,) = plots.training_curves({"flow/dense_0/dead": [0.0, 0.0]})
    assert ax.get_ylabel() == "flow/dense 0/dead", "unless there is nothing else"


def test_which_metric_is_drawn():
    _, ax = plt.subplots()
    assert plots.training_curves(HISTORY, ax).get_ylabel() == "loss"
    assert plots.training_curves(HISTORY, metric="accuracy").get_ylabel() == "accuracy"
    names = {f"top_{k}_accuracy": [0.1, 0.2] for k in range(7)}
    axes = plots.training_curves(names)
    assert [ax.get_ylabel() for ax in axes] == [name.replace("_", " ") for name in names]
    assert len({ax.get_position().y0 for ax in axes}) == 3, "rows of three"


# Activations


def curves_of(ax):
    return [line for line in ax.lines if len(line.get_xdata()) > 2]


def test_an_activation_is_drawn_with_its_derivative():
    ax = plots.activation(sigmoid, sigmoid_grad, limits=(-3, 5))
    assert ax.get_title(loc="left") == "sigmoid"
    curve, slope = curves_of(ax)
    assert (curve.get_xdata()[0], curve.get_xdata()[-1]) == ax.get_xlim() == (-3, 5)
    np.testing.assert_allclose(curve.get_ydata(), sigmoid(curve.get_xdata()), rtol=1e-6)
    np.testing.assert_allclose(slope.get_ydata(), sigmoid_grad(curve.get_xdata()), rtol=1e-6)
    assert (curve.get_linestyle(), slope.get_linestyle()) == ("-", "--")
    assert len(ax.lines) == 4, "two curves and two zero lines"
    for text, line in zip(ax.texts, (curve, slope), strict=True):
        assert text.get_color() == line.get_color()
        assert text.xy == (5, pytest.approx(line.get_ydata()[-1]))


def test_a_zero_line_stays_in_the_picture():
    ax = plots.activation(sigmoid, sigmoid_grad, limits=(1, 4))
    assert len(ax.lines) == 3
    assert ax.get_xlim() == (1, 4)


def test_a_curve_is_interrupted_only_where_it_jumps():
    steep = partial(lambda k, x: np.tanh(k * x), 40)
    ax = plots.activation(relu, relu_grad)
    curve, slope = (line.get_ydata() for line in curves_of(ax))
    assert np.isfinite(curve).all()
    assert np.flatnonzero(np.isnan(slope)).tolist() == [499]
    ax = plots.activation(steep, lambda x: 40 * (1 - np.tanh(40 * x) ** 2))
    assert ax.get_title(loc="left") == "", "what has no name has no title"
    assert all(np.isfinite(line.get_ydata()).all() for line in curves_of(ax))


def test_labels_of_meeting_curves_move_apart():
    for sign in (1, -1):
        ax = plots.activation(np.exp, lambda x, sign=sign: np.exp(x) - sign * 0.01)
        first, second = (text.xy[1] for text in ax.texts)
        assert sign * (first - second) == pytest.approx(0.09 * np.ptp(ax.get_ylim()))


def test_values_that_are_not_finite_are_left_out():
    log = lambda x: np.log(x, where=x > 0, out=np.full_like(x, -np.inf))
    curve, _ = curves_of(plots.activation(log, np.zeros_like))
    assert np.isnan(curve.get_ydata()).sum() == 500


# Decision boundaries


def field_of(ax):
    """The colour of the plane at a point."""
    (image,) = ax.images
    assert image.origin == "lower"
    left, right, bottom, top = image.get_extent()
    rows, columns = image.get_array().shape[:2]

    def at(x, y):
        i = round((y - bottom) / (top - bottom) * (rows - 1))
        return image.get_array()[i, round((x - left) / (right - left) * (columns - 1))]

    return at


@pytest.mark.parametrize("labels", [CLASSES.clip(0, 1), 2.0 * CLASSES.clip(0, 1)[:, None] - 1])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_one_score_divides_two_classes(labels, shape):
    ax = plots.decision_boundary(lambda x: (5 * x[:, 0]).reshape(shape), POINTS, labels)
    at = field_of(ax)
    for x, k in ((-0.9, 0), (0.9, 1)):
        np.testing.assert_allclose(at(x, 0)[:3], to_rgb(plots.COLORS[k]))
        assert at(x, 0)[3] > at(x / 20, 0)[3], "stronger where surer"
    (line,) = (c for c in ax.collections if isinstance(c, QuadContourSet))
    np.testing.assert_allclose(line.get_paths()[0].vertices[:, 0], 0, atol=1e-6)
    clouds = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
    for cloud, k in zip(clouds, (CLASSES == 0, CLASSES > 0), strict=True):
        np.testing.assert_array_equal(cloud, POINTS[k])
    assert legend(ax) == sorted({str(int(label)) for label in labels.ravel()})


def test_each_class_has_its_points_and_its_region():
    ax = plots.decision_boundary(three_scores, POINTS, CLASSES)
    at = field_of(ax)
    for k, (x, y) in enumerate([(-1, -0.5), (1, -0.5), (0, 2)]):
        np.testing.assert_allclose(at(x, y)[:3], to_rgb(plots.COLORS[k]))
    clouds = [c for c in ax.collections if isinstance(c, PathCollection)]
    for k, cloud in enumerate(clouds):
        np.testing.assert_array_equal(cloud.get_offsets(), POINTS[k == CLASSES])
        np.testing.assert_allclose(cloud.get_facecolor()[0, :3], to_rgb(plots.COLORS[k]))
    shapes = {cloud.get_paths()[0].vertices.tobytes() for cloud in clouds}
    assert len(shapes) == 3, "whoever sees no colours sees shapes"
    assert legend(ax) == ["0", "1", "2"]


def test_two_scores_decide_like_their_difference():
    labels = CLASSES.clip(0, 1)
    two = plots.decision_boundary(lambda x: np.stack([x[:, 1], x[:, 0]], -1), POINTS, labels)
    one = plots.decision_boundary(lambda x: x[:, 0] - x[:, 1], POINTS, labels)
    np.testing.assert_allclose(*(ax.images[0].get_array() for ax in (one, two)), atol=1e-6)


def test_probabilities_turn_at_their_threshold():
    labels = CLASSES.clip(0, 1)
    ax = plots.decision_boundary(lambda x: sigmoid(x[:, 0]), POINTS, labels, threshold=0.5)
    (line,) = (c for c in ax.collections if isinstance(c, QuadContourSet))
    np.testing.assert_allclose(line.get_paths()[0].vertices[:, 0], 0, atol=1e-6)


def test_a_boundary_outside_the_picture_and_a_single_point():
    ax = plots.decision_boundary(lambda x: x[:, 0] + 9, POINTS[:1], [1])
    assert not [c for c in ax.collections if isinstance(c, QuadContourSet)]
    assert ax.get_xlim() == (-1.5, -0.5)


# Confusion matrices


def test_cells_hold_counts_coloured_by_the_share_of_their_row():
    ax = plots.confusion_matrix(COUNTS, ["a", "b", "c"])
    for text in ax.texts:
        column, row = text.get_position()
        assert text.get_text() == str(COUNTS[row, column])
    share = COUNTS / COUNTS.sum(1, keepdims=True)
    np.testing.assert_allclose(ax.images[0].get_array(), share)
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("true class", "predicted class")
    for axis in (ax.xaxis, ax.yaxis):
        assert [t.get_text() for t in axis.get_ticklabels()] == ["a", "b", "c"]


def test_text_is_readable_on_every_cell():
    ax = plots.confusion_matrix(np.diag(np.arange(10)) + 1)
    cells = ax.images[0].cmap(ax.images[0].norm(ax.images[0].get_array()))
    for text in ax.texts:
        column, row = text.get_position()
        assert contrast(text.get_color(), cells[row, column][:3]) > 4
    for value in np.linspace(0, 1, 101):
        cell = _style.SHADES(float(value))
        assert contrast(_style.readable(cell, False), cell[:3]) > 4.5
    assert contrast(_style.readable(_style.SHADES(0.0), True), _style.SHADES(0.0)[:3]) > 4.5


def test_fractions_and_classes_that_never_occur():
    ax = plots.confusion_matrix([[0.25, 0.75], [0.0, 0.0]])
    assert [text.get_text() for text in ax.texts] == ["0.25", "0.75", "0.00", "0.00"]
    np.testing.assert_array_equal(ax.images[0].get_array(), [[0.25, 0.75], [0, 0]])


def test_long_names_are_turned_and_many_classes_thinned():
    ax = plots.confusion_matrix(np.eye(5), ["automobile"] * 5)
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {45}
    ax = plots.confusion_matrix(np.eye(120))
    assert not ax.texts
    assert [t.get_text() for t in ax.get_xticklabels()][:2] == ["0", "2"]


# Errors

scored = partial(plots.decision_boundary, lambda x: x[:, 0])
BAD = [
    (TypeError, lambda: plots.training_curves([1.0, 2.0])),  # pyright: ignore
    (ValueError, lambda: plots.training_curves({})),
    (ValueError, lambda: plots.training_curves({"loss": []})),
    (ValueError, lambda: plots.training_curves({"loss": 1.0})),
    (ValueError, lambda: plots.training_curves({"loss": np.ones((2, 3, 4))})),
    (ValueError, lambda: plots.training_curves(HISTORY, metric="validation_loss")),
    (TypeError, lambda: plots.activation(relu, relu_grad(np.ones(3)))),
    (TypeError, lambda: plots.activation(3, relu_grad)),  # pyright: ignore
    (ValueError, lambda: plots.activation(relu, relu_grad, limits=(4, -4))),
    (ValueError, lambda: plots.activation(relu, relu_grad, limits=(0, np.inf))),
    (ValueError, lambda: plots.activation(np.sum, relu_grad)),
    (ValueError, lambda: plots.activation(lambda x: x * np.nan, relu_grad)),
    (TypeError, lambda: plots.decision_boundary(POINTS, POINTS, CLASSES)),  # pyright: ignore
    (ValueError, lambda: scored(np.ones((5, 3)), CLASSES)),
    (ValueError, lambda: scored(np.ones((0, 2)), np.ones(0))),
    (ValueError, lambda: scored(POINTS * np.nan, CLASSES)),
    (ValueError, lambda: scored(POINTS, CLASSES[:4])),
    (ValueError, lambda: scored(POINTS, np.eye(3)[CLASSES])),
    (ValueError, lambda: scored(POINTS, CLASSES)),
    (ValueError, lambda: scored(POINTS, [0.5] * 5)),
    (ValueError, lambda: plots.decision_boundary(three_scores, POINTS, CLASSES - 1)),
    (ValueError, lambda: plots.decision_boundary(lambda x: x[0], POINTS, CLASSES)),
    (ValueError, lambda: plots.decision_boundary(lambda x: x[:, :0], POINTS, CLASSES)),
    (ValueError, lambda: plots.decision_boundary(lambda x: x / 0.0 * 0, POINTS, CLASSES)),
    (ValueError, lambda: plots.confusion_matrix(np.ones((2, 3)))),
    (ValueError, lambda: plots.confusion_matrix(np.ones(4))),
    (ValueError, lambda: plots.confusion_matrix(np.ones((0, 0)))),
    (ValueError, lambda: plots.confusion_matrix([[1, -1], [0, 2]])),
    (ValueError, lambda: plots.confusion_matrix([[1, np.nan], [0, 2]])),
    (ValueError, lambda: plots.confusion_matrix(COUNTS, ["a", "b"])),
]


@pytest.mark.parametrize(("kind", "call"), BAD)
def test_bad_input_is_refused_before_anything_is_drawn(kind, call):
    form = (
        r"^(training_curves|activation|decision_boundary|confusion_matrix): .* must .*got .*\. \S"
    )
    with np.errstate(all="ignore"), pytest.raises(kind, match=form) as caught:
        call()
    assert str(caught.value).endswith(".")
    assert not plt.get_fignums()
