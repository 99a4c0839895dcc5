"""What is particular to losses: limits, kinks, golden values, labels that can't be right."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import losses

NAN, INF = jnp.nan, jnp.inf
equal = np.testing.assert_array_equal


def near(x, y, rtol=1e-6):
    np.testing.assert_allclose(x, y, rtol=rtol)


def slope(loss, *args, **options):
    """The gradient in the first argument, as JAX runs it."""
    return jax.jit(jax.grad(lambda first: loss(first, *args[1:], **options).sum()))(args[0])


PAIRS = [
    losses.squared_error, losses.absolute_error, losses.huber, losses.log_cosh,
    losses.absolute_percentage_error, losses.quantile, losses.poisson, losses.hinge,
    losses.squared_hinge, losses.binary_cross_entropy, losses.focal, losses.dice,
    losses.binary_cross_entropy_from_probabilities, losses.kl_divergence,
]  # fmt: skip


@pytest.mark.parametrize("loss", PAIRS, ids=lambda f: f.__name__)
def test_nothing_is_broadcast_and_predictions_are_floats(loss):
    with pytest.raises(
        ValueError, match=rf"{loss.__name__}: .* same shape, got \(4,\) and \(4, 1\)"
    ):
        loss(jnp.zeros(4), jnp.ones((4, 1)))
    with pytest.raises(TypeError, match=f"{loss.__name__}: .* must be floating point, got int32"):
        loss(jnp.zeros(4, int), jnp.ones(4))


@pytest.mark.parametrize(
    "loss",
    [f for f in PAIRS if f.__name__ not in {"dice", "kl_divergence"}],
    ids=lambda f: f.__name__,
)
def test_nan_in_nan_out(loss):
    args = jnp.array([NAN]), jnp.array([1.0])
    assert jnp.isnan(loss(*args)).all()
    assert jnp.isnan(slope(loss, *args)).all()


WRONG = {
    "a share above 1": (losses.binary_cross_entropy, [0.3], [1.5], r"within \[0, 1\], got 1.5"),
    "a share of nan": (losses.focal, [0.3], [NAN], r"within \[0, 1\], got nan"),
    "no probability": (
        losses.binary_cross_entropy_from_probabilities, [1.2], [1.0], "Apply sigmoid",
    ),
    "no pixel": (losses.dice, [0.5, -0.1], [1.0, 0.0], r"within \[0, 1\]"),
    "classes 0 and 1": (losses.hinge, [0.3], [0.0], r"be -1 or 1, got 0.0. .* 2 \* labels - 1"),
    "a squared 0": (losses.squared_hinge, [0.3], [0.0], "be -1 or 1"),
    "a negative count": (losses.poisson, [0.3], [-1.0], "at least 0, got -1.0"),
    "two classes at once": (
        losses.categorical_cross_entropy, [[0.3, 0.1]], [[1.0, 1.0]], "sum of each row of labels",
    ),
    "a negative class": (
        losses.categorical_cross_entropy, [[0.3, 0.1]], [[2.0, -1.0]], r"within \[0, 1\]",
    ),
    "a probability above 1": (
        losses.categorical_cross_entropy_from_probabilities, [[1.3, 0.1]], [[1.0, 0.0]], "softmax",
    ),
    "class out of range": (
        losses.sparse_categorical_cross_entropy, [[0.3, 0.1]], [2], "classes from 0 to 1, got 2",
    ),
    "class below range": (
        losses.sparse_categorical_cross_entropy, [[0.3, 0.1]], [-1], "classes from 0 to 1, got -1",
    ),
    "no such rival": (losses.categorical_hinge, [[0.3, 0.1]], [2], "classes from 0 to 1"),
    "not one-hot": (losses.categorical_hinge, [[0.3, 0.1]], [[0.5, 0.5]], "be 0 or 1, got 0.5"),
    "probabilities for logarithms": (
        losses.kl_divergence, [[0.3, 0.7]], [[0.5, 0.5]], "at most 0, got 0.3.* log_softmax",
    ),
    "no distribution": (losses.kl_divergence, [[-0.3, -0.7]], [[0.5, 0.9]], "sum of each row"),
}  # fmt: skip


@pytest.mark.parametrize(("loss", "x", "labels", "message"), WRONG.values(), ids=WRONG)
def test_labels_that_cannot_be_right(loss, x, labels, message):
    """They raise where they can be looked at, and otherwise are never a plausible number."""
    x, labels = jnp.array(x), jnp.array(labels)
    with pytest.raises(ValueError, match=f"^{loss.__name__}: .*{message}"):
        loss(x, labels)
    companion = getattr(losses, f"{loss.__name__}_grad")
    with pytest.raises(ValueError, match=message):
        companion(x, labels)

    def everything(x, labels):
        return loss(x, labels), slope(loss, x, labels), companion(x, labels)

    value, *slopes = jax.jit(everything)(x, labels)
    assert jnp.isnan(value).all()
    for found in jax.tree.leaves(slopes):
        assert jnp.isnan(found).any(), "the gradient must not look right either"


def test_constants_of_a_program_are_looked_at():
    z = jnp.array([[0.3, 0.1]])
    for loss, labels in [
        (losses.binary_cross_entropy, np.array([[2, 0]])),
        (losses.categorical_cross_entropy, np.array([[True, True]])),
        (losses.categorical_hinge, jnp.array([[0.5, 0.5]])),
        (losses.sparse_categorical_cross_entropy, np.array([2])),
    ]:
        with pytest.raises(ValueError, match=r"labels must be|sum of each row of labels must be"):
            jax.jit(lambda z, loss=loss, labels=labels: loss(z, labels))(z)


def test_kinds_and_shapes_of_classes():
    logits = jnp.zeros((3, 4))
    ids = jnp.array([0, 1, 2])
    with pytest.raises(ValueError, match="call sparse_categorical_cross_entropy"):
        losses.categorical_cross_entropy(logits, ids)
    with pytest.raises(TypeError, match=r"labels must hold integers, got float32"):
        losses.sparse_categorical_cross_entropy(logits, ids.astype(jnp.float32))
    with pytest.raises(ValueError, match=r"one entry per row, shape \(3,\), got \(3, 4\)"):
        losses.sparse_categorical_cross_entropy(logits, jax.nn.one_hot(ids, 4, dtype=int))
    with pytest.raises(ValueError, match="last axis of classes"):
        losses.sparse_categorical_cross_entropy(jnp.zeros((3, 0)), ids)


def test_info_nce_of_an_empty_batch_is_empty():
    empty = jnp.zeros((0, 3))
    assert losses.info_nce(empty, empty).shape == (0,)
    slope = jax.grad(lambda a: losses.info_nce(a, empty).sum())(empty)
    assert slope.shape == (0, 3)
    assert [g.shape for g in losses.info_nce_grad(empty, empty)] == [(0, 3)] * 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: losses.huber(x, x, delta=0.0), "huber: delta must be positive"),
        (lambda x: losses.quantile(x, x, q=1.5), r"quantile: q must be within \[0, 1\]"),
        (lambda x: losses.focal(x, x, gamma=-1.0), "focal: gamma must be at least 0"),
        (lambda x: losses.dice(x, x, smooth=-1.0), "dice: smooth must be at least 0"),
        (lambda x: losses.absolute_percentage_error(x, x, 0.0), "epsilon must be positive"),
        (lambda x: losses.triplet(x, x, x, margin=-1.0), "triplet: margin must be at least 0"),
        (lambda x: losses.contrastive(x, x, x[:, 0], margin=0.0), "margin must be positive"),
        (lambda x: losses.contrastive(x, x, x), "one entry per row"),
        (lambda x: losses.info_nce(x, x, temperature=0.0), "temperature must be positive"),
        (lambda x: losses.info_nce(x[0], x[0]), r"shape \[batch, features\]"),
        (lambda x: losses.cosine_distance(x[0, 0], x[0, 0]), "last axis of features"),
        (lambda x: losses.smooth_labels(x, 2.0), "amount must be within"),
        (lambda x: losses.smooth_labels(x[0, 0], 0.1), "last axis of classes"),
        (lambda x: losses.weighted_mean(x, x - 1), "weights must be finite and at least 0"),
    ],
)
def test_what_else_cannot_be_right(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.zeros((2, 3)))


def test_labels_may_be_integers_or_booleans():
    z = jnp.array([0.3, -2.0])
    truth = losses.binary_cross_entropy_grad(z, jnp.array([1.0, 0.0]))
    for labels in (jnp.array([1, 0]), jnp.array([True, False])):
        equal(slope(losses.binary_cross_entropy, z, labels), truth)
        assert slope(losses.focal, z, labels).dtype == z.dtype
        assert slope(losses.categorical_cross_entropy, z, labels).dtype == z.dtype
    equal(losses.hinge(z, jnp.array([1, -1])), losses.hinge(z, jnp.array([1.0, -1.0])))
    equal(
        losses.squared_error(z, jnp.array([1, 2])), losses.squared_error(z, jnp.array([1.0, 2.0]))
    )


def test_predictions_set_the_dtype():
    z = jnp.array([[0.3, -2.0]], jnp.bfloat16)
    labels = jnp.array([[0.25, 0.75]], jnp.float32)
    assert losses.categorical_cross_entropy(z, labels).dtype == jnp.bfloat16
    assert slope(losses.categorical_cross_entropy, z, labels).dtype == jnp.bfloat16


def test_kinks():
    zero, one = jnp.zeros(1), jnp.ones(1)
    assert slope(losses.absolute_error, one, one) == 0
    assert slope(losses.absolute_percentage_error, one, one) == 0
    assert slope(losses.quantile, one, one, q=0.9) == 0
    assert slope(losses.hinge, one, one) == 0
    assert slope(losses.squared_hinge, one, one) == 0
    equal(slope(losses.categorical_hinge, jnp.array([[1.0, 0.0]]), jnp.array([0])), [[0, 0]])
    equal(slope(losses.categorical_hinge, jnp.zeros((1, 3)), jnp.array([1])), [[1, -1, 0]])
    assert slope(losses.huber, one, zero) == 1
    near(losses.huber(one, zero), [0.5])


def test_coincident_points_have_a_zero_gradient():
    x = jnp.ones((1, 3))
    for same in (0, 1):
        pair = lambda a, b, same=same: losses.contrastive(a, b, jnp.array([same])).sum()
        for found in jax.jit(jax.hessian(pair, (0, 1)))(x, x):
            assert all(jnp.isfinite(leaf).all() for leaf in found)
        equal(jax.jit(jax.grad(pair))(x, x), 0 * x)
    for squared in (True, False):
        lone = lambda a, squared=squared: losses.triplet(a, x, x, squared=squared).sum()
        equal(jax.jit(jax.grad(lone))(x), 0 * x)
        assert jnp.isfinite(jax.jit(jax.hessian(lone))(x)).all()
        near(losses.triplet(x, x, x, 0.5, squared), [0.5])
    none = jnp.zeros((1, 3))
    near(losses.cosine_distance(none, x), [1.0])
    equal(slope(losses.cosine_distance, none, x), none)
    equal(jax.grad(lambda b: losses.cosine_distance(none, b).sum())(x), none)
    bend = jax.jit(jax.hessian(lambda a: losses.cosine_distance(a, x).sum()))
    assert jnp.isfinite(bend(none)).all()


def test_distances_of_any_size():
    """Squares overflow at 1e19 and vanish at 1e-23; the losses need not."""
    for size in (1e-25, 1.0, 1e18, 1e30):
        a = jnp.array([[3.0 * size, 0.0]])
        b = jnp.array([[0.0, 4.0 * size]])
        far, nearby = jnp.array([0]), 6.0 * size
        near(losses.triplet(a, b, a, 0.0, squared=False), [5 * size])
        near(slope(losses.contrastive, a, b, far, margin=nearby) / size, [[-0.6, 0.8]], 3e-6)
        near(losses.cosine_distance(a, a + b), [0.4])
        near(slope(losses.triplet, a, b, a, 0.0, squared=False), [[0.6, -0.8]])


def test_confident_predictions_keep_their_digits():
    """Where p is nearly 1: the losses of today give 0 and no gradient."""
    tiny = np.exp(-20.0)
    z = jnp.array([[0.0, 20.0]])
    near(losses.sparse_categorical_cross_entropy(z, jnp.array([1])), [tiny], 4e-7)
    near(slope(losses.sparse_categorical_cross_entropy, z, jnp.array([1])), [[tiny, -tiny]], 4e-7)
    near(losses.categorical_cross_entropy(z, jnp.array([[0, 1]])), [tiny], 4e-7)
    near(losses.binary_cross_entropy(z[0, 1:], jnp.array([1])), [tiny], 4e-7)
    near(slope(losses.binary_cross_entropy, z[0, 1:], jnp.array([1])), [-tiny], 4e-7)
    near(slope(losses.binary_cross_entropy, jnp.array([1e-10]), jnp.array([0.5])), [2.5e-11])
    near(slope(losses.log_cosh, jnp.array([1e-10]), jnp.zeros(1)), [1e-10])
    near(losses.log_cosh(jnp.array([1e-10]), jnp.zeros(1)), [5e-21])
    near(slope(losses.huber, jnp.array([1e-8]), jnp.zeros(1)), [1e-8])
    near(slope(losses.poisson, jnp.array([1e-10]), jnp.ones(1)), [1e-10])
    near(
        losses.sparse_categorical_cross_entropy(jnp.array([[1e8, 1e8 + 8]]), jnp.array([0])),
        [8.000335],
        1e-6,
    )


def test_the_gradient_of_the_largest_of_many_classes():
    """The share of one in ten thousand is not what the others, nearly all, leave of 1."""
    z = np.random.default_rng(0).normal(size=(4, 10_000)).astype(np.float32)
    top, wide = z.argmax(-1), z.astype(np.float64)
    found = slope(losses.sparse_categorical_cross_entropy, jnp.asarray(z), jnp.arange(4))
    share = np.exp(wide) / np.exp(wide).sum(-1, keepdims=True)
    near(found[jnp.arange(4), top], share[np.arange(4), top], 4e-7)


def test_limits():
    z = jnp.array([INF, -INF, INF, -INF])
    y = jnp.array([1, 0, 0, 1])
    equal(losses.binary_cross_entropy(z, y), [0, 0, INF, INF])
    equal(losses.binary_cross_entropy_grad(z, y), [0, 0, 1, -1])
    p = jnp.array([1.0, 0.0, 1.0, 0.0])
    equal(losses.binary_cross_entropy_from_probabilities(p, y), [0, 0, INF, INF])
    equal(losses.binary_cross_entropy_from_probabilities(p, 1 - y), [INF, INF, 0, 0])
    equal(slope(losses.binary_cross_entropy_from_probabilities, p[:2], y[:2]), [-1, 1])
    equal(losses.log_cosh(z, 0 * y), [INF] * 4)
    masked = jnp.array([[0.0, -INF, 0.0]])
    near(losses.sparse_categorical_cross_entropy(masked, jnp.array([0])), [np.log(2)])
    near(slope(losses.categorical_cross_entropy, masked, jnp.array([[1, 0, 0]])), [[-0.5, 0, 0.5]])
    equal(losses.sparse_categorical_cross_entropy(masked, jnp.array([1])), [INF])
    nothing = jnp.full((1, 3), -INF)
    equal(losses.sparse_categorical_cross_entropy(nothing, jnp.array([1])), [INF])
    equal(slope(losses.sparse_categorical_cross_entropy, nothing, jnp.array([1])), [[0, 0, 0]])
    certain = jnp.log(jnp.array([[0.5, 0.5, 0.0]]))
    near(losses.kl_divergence(certain, jnp.array([[1.0, 0.0, 0.0]])), [np.log(2)])
    equal(losses.kl_divergence(certain, jnp.array([[0.0, 0.0, 1.0]])), [INF])
    in_targets = jax.grad(lambda t: losses.kl_divergence(certain, t).sum())
    near(in_targets(jnp.array([[1.0, 0.0, 0.0]])), [[np.log(2) + 1, 0, 0]])


def test_kl_through_log_softmax_is_softmax_less_targets():
    z, p = jnp.array([[0.3, -1.0, 2.0]]), jnp.array([[0.2, 0.3, 0.5]])
    found = jax.grad(lambda z: losses.kl_divergence(jax.nn.log_softmax(z), p).sum())(z)
    np.testing.assert_allclose(found, jax.nn.softmax(z) - p, atol=1e-7)


def test_ignored_rows_are_left_out_whatever_their_logits():
    z = jnp.array([[1.0, 2.0], [NAN, INF]])
    labels = jnp.array([0, -1])
    equal(losses.sparse_categorical_cross_entropy(z, labels, ignore_index=-1)[1], 0)
    equal(slope(losses.sparse_categorical_cross_entropy, z, labels, ignore_index=-1)[1], [0, 0])


def test_golden_values():
    one, two = jnp.array([[1.0, 0.0]]), jnp.array([[0.6, 0.8]])
    near(losses.cosine_distance(one, two), [0.4])
    near(losses.contrastive(one, two, jnp.array([1])), [0.4])
    near(losses.triplet(one, two, -one), [0.0])
    near(losses.triplet(one, -one, two), [4 - 0.8 + 1])
    near(losses.info_nce(jnp.eye(2), jnp.eye(2), 0.5), [np.log1p(np.exp(-2))] * 2)
    near(losses.focal(jnp.zeros(1), jnp.ones(1)), [np.log(2) / 4])
    x = jnp.array([-1.5, 0.2, 3.0])
    y = jnp.array([0, 1, 1])
    near(losses.focal(x, y, gamma=0.0), losses.binary_cross_entropy(x, y))
    near(losses.quantile(x, -x), losses.absolute_error(x, -x) / 2)
    near(losses.dice(jnp.zeros((1, 4)), jnp.zeros((1, 4))), [0.0])
    near(losses.smooth_labels(jnp.array([True, False]), 0.5), [0.75, 0.25])


def test_in_batch_negatives_are_shared():
    """Each partner is in every loss, so `info_nce_grad` is the gradient of their sum."""
    a, b = jax.random.normal(jax.random.key(0), (2, 4, 3))
    found = jax.jit(jax.grad(lambda a, b: losses.info_nce(a, b).sum(), (0, 1)))(a, b)
    for one, other in zip(found, jax.jit(losses.info_nce_grad)(a, b), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_weighted_mean_of_nothing_is_nothing():
    values = jnp.array([1.0, NAN, INF])
    assert losses.weighted_mean(values, jnp.array([True, False, False])) == 1
    equal(slope(losses.weighted_mean, values, jnp.array([1, 0, 0])), [1, 0, 0])
    assert losses.weighted_mean(values, jnp.zeros(3)) == 0
    equal(slope(losses.weighted_mean, values, jnp.zeros(3)), [0, 0, 0])
    assert losses.weighted_mean(jnp.zeros((0, 2)), jnp.zeros((0, 2))) == 0
    assert jnp.isnan(losses.weighted_mean(values, jnp.array([1, 1, 0])))
    near(losses.weighted_mean(jnp.array([3e38, 3e38]), jnp.array([1e38, 3e38])), 3e38)
    assert jnp.isnan(jax.jit(losses.weighted_mean)(values[:1], jnp.array([-1.0])))


@pytest.mark.parametrize("loss", [*PAIRS[:10], losses.cosine_distance], ids=lambda f: f.__name__)
def test_an_empty_batch_has_no_losses(loss):
    assert loss(jnp.zeros((0, 3)), jnp.zeros((0, 3))).size == 0
