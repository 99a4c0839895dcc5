"""Metrics against scikit-learn, and at the places where they are undefined."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics as sk

from jaxnn import metrics

pytestmark = pytest.mark.usefixtures("quick_compilation")

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(200, 7)).astype(np.float32)
LABELS = RANDOM.integers(0, 7, 200)
# Right more often than chance, and class 6 neither predicted nor, in ABSENT, true.
GUESSES = np.where(RANDOM.random(200) < 0.5, LABELS, RANDOM.integers(0, 6, 200)) % 6
ABSENT = LABELS % 5
close = lambda found, expected: np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-7)


def test_accuracies_agree_with_scikit_learn():
    close(metrics.accuracy(LOGITS, LABELS), sk.accuracy_score(LABELS, LOGITS.argmax(-1)))
    for k in (1, 2, 5, 7):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of k = 7 it warns that the score is 1
            expected = sk.top_k_accuracy_score(LABELS, LOGITS, k=k, labels=range(7))
        close(metrics.top_k_accuracy(LOGITS, LABELS, k), expected)
    z, y = LOGITS[:, 0], LABELS % 2
    close(metrics.binary_accuracy(z, y), sk.accuracy_score(y, z > 0))
    close(metrics.binary_accuracy(z, y, 0.5), sk.accuracy_score(y, z > 0.5))


def test_of_equal_logits_the_first_is_the_largest():
    logits, labels = jnp.zeros((3, 3)), jnp.arange(3)
    close(metrics.accuracy(logits, labels), 1 / 3)
    for k in (1, 2, 3):
        close(metrics.top_k_accuracy(logits, labels, k), k / 3)
    assert metrics.binary_accuracy(jnp.zeros(2), jnp.array([0, 1])) == 0.5


def test_nan_counts_as_wrong():
    logits = jnp.full((2, 3), jnp.nan).at[1].set(jnp.array([0.0, jnp.nan, 5.0]))
    for label in range(3):
        labels = jnp.full(2, label)
        assert metrics.accuracy(logits, labels) == 0
        assert metrics.top_k_accuracy(logits, labels, 3) == 0
    for label in (0, 1):
        assert metrics.binary_accuracy(jnp.array([jnp.nan]), jnp.array([label])) == 0
    assert jnp.isnan(metrics.roc_auc(jnp.array([0.0, jnp.nan]), jnp.array([0, 1])))


def test_confusion_matrix_agrees_with_scikit_learn():
    found = metrics.confusion_matrix(GUESSES, LABELS, 7)
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, sk.confusion_matrix(LABELS, GUESSES))
    grid = metrics.confusion_matrix(GUESSES.reshape(20, 10), LABELS.reshape(20, 10), 7)
    np.testing.assert_array_equal(grid, found)


@pytest.mark.parametrize("name", ["precision", "recall", "f1_score"])
@pytest.mark.parametrize("average", ["binary", "macro", "micro", "weighted", None])
def test_scores_agree_with_scikit_learn(name, average):
    ours, theirs = (
        getattr(metrics, name),
        getattr(sk, name if name == "f1_score" else f"{name}_score"),
    )
    sets = [(GUESSES % 2, LABELS % 2, 2), (0 * LABELS, LABELS % 2, 2), (GUESSES % 2, 0 * LABELS, 2)]
    if average != "binary":
        sets += [(GUESSES, LABELS, 7), (GUESSES, ABSENT, 7)]
    for predictions, labels, classes in sets:
        options = {} if average == "binary" else {"labels": range(classes)}
        expected = theirs(labels, predictions, average=average, zero_division=0, **options)
        close(ours(predictions, labels, classes, average), expected)


def test_scores_take_booleans():
    assert metrics.precision(LOGITS[:, 0] > 0, LABELS > 3) == metrics.precision(
        (LOGITS[:, 0] > 0).astype(int), (LABELS > 3).astype(int)
    )


@pytest.mark.parametrize("decimals", [0, 1, 7])
def test_roc_auc_agrees_with_scikit_learn(decimals):
    """Few decimals make many ties, also of -0 with 0."""
    scores = LOGITS[:, 0].round(decimals)
    for labels in (LABELS > 3, (LABELS > 5).astype(int), (LABELS > 1).astype(np.float32)):
        close(metrics.roc_auc(scores, labels), sk.roc_auc_score(labels, scores))


def test_roc_auc_keeps_its_digits_and_its_limits():
    scores = np.random.default_rng(1).normal(size=100_000).astype(np.float32)
    labels = scores + np.random.default_rng(2).normal(size=scores.size) > 2
    close(jax.jit(metrics.roc_auc)(scores, labels), sk.roc_auc_score(labels, scores))
    ends = jnp.array([-jnp.inf, 0.0, jnp.inf])
    assert metrics.roc_auc(ends, jnp.array([0, 0, 1])) == 1
    assert metrics.roc_auc(ends, jnp.array([1, 0, 0])) == 0
    assert metrics.roc_auc(jnp.zeros(3), jnp.array([1, 0, 0])) == 0.5
    for label in (0, 1):
        assert jnp.isnan(metrics.roc_auc(ends, jnp.full(3, label)))


def test_regression_agrees_with_scikit_learn():
    for p, t in ((LOGITS[:, :3], LOGITS[:, 3:6]), (LOGITS[:, 0], LOGITS[:, 1])):
        close(metrics.r2_score(p, t), sk.r2_score(t, p))
        close(metrics.mean_squared_error(p, t), sk.mean_squared_error(t, p))
        close(metrics.mean_absolute_error(p, t), sk.mean_absolute_error(t, p))


@pytest.mark.parametrize(("offset", "unit"), [(1e6, 1), (0, 1e-25), (0, 1e25)])
def test_r2_survives_offsets_and_units(offset, unit):
    t = (offset + unit * LOGITS[:, 0]).astype(np.float32)
    p = (offset + unit * (LOGITS[:, 0] + 0.1 * LOGITS[:, 1])).astype(np.float32)
    for predictions in (p, np.full_like(t, t.mean())):
        expected = sk.r2_score(t.astype(float), predictions.astype(float))
        close(jax.jit(metrics.r2_score)(predictions, t), expected)


def test_undefined_is_nan():
    assert jnp.isnan(metrics.r2_score(jnp.zeros(3), jnp.ones(3)))
    assert jnp.isnan(metrics.r2_score(jnp.ones(3), jnp.ones(3)))
    empty = jnp.zeros(0)
    for value in (
        metrics.accuracy(jnp.zeros((0, 3)), jnp.zeros(0, int)),
        metrics.binary_accuracy(empty, empty),
        metrics.roc_auc(empty, empty),
        metrics.r2_score(empty, empty),
        metrics.mean_squared_error(empty, empty),
        metrics.perplexity(empty),
    ):
        assert jnp.isnan(value)


def test_perplexity_of_a_uniform_guess_is_the_number_of_tokens():
    close(metrics.perplexity(jnp.full((4, 5), jnp.log(50.0))), 50)
    assert metrics.perplexity(jnp.zeros(3)) == 1


def levenshtein(a, b):
    """The textbook's recursion."""
    if not len(a) or not len(b):
        return len(a) + len(b)
    kept = levenshtein(a[1:], b[1:]) + (a[0] != b[0])
    return min(kept, levenshtein(a[1:], b) + 1, levenshtein(a, b[1:]) + 1)


def test_edit_distance_is_the_textbooks():
    random = np.random.default_rng(3)
    a, b = random.integers(0, 3, (2, 6, 5)), random.integers(0, 3, (2, 6, 4))
    n, m = random.integers(0, 6, (2, 6)), random.integers(0, 5, (2, 6))
    found = metrics.edit_distance(a, b, n, m)
    for at in np.ndindex(2, 6):
        assert found[at] == levenshtein(a[at][: n[at]], b[at][: m[at]])
    whole = metrics.edit_distance(a, b)
    assert whole[1, 2] == levenshtein(a[1, 2], b[1, 2])
    np.testing.assert_array_equal(jax.vmap(metrics.edit_distance)(a, b, n, m), found)
    np.testing.assert_array_equal(metrics.edit_distance(a[..., :0], b, 0 * n, m), m)


def everything(logits, labels):
    """Every metric at once, so that it compiles once."""
    z, y = logits[..., 0], labels % 2
    guesses = logits.argmax(-1).astype(jnp.int32)
    return (
        metrics.accuracy(logits, labels),
        metrics.top_k_accuracy(logits, labels),
        metrics.binary_accuracy(z, y),
        metrics.roc_auc(z, y),
        metrics.precision(guesses, labels, 7, "macro"),
        metrics.recall(guesses, labels, 7, "weighted"),
        metrics.f1_score(guesses, labels, 7, None),
        metrics.r2_score(z, logits[..., 1]),
        metrics.mean_squared_error(z, logits[..., 1]),
        metrics.mean_absolute_error(z, logits[..., 1]),
        metrics.perplexity(jnp.abs(z)),
        metrics.confusion_matrix(guesses, labels, 7),
        metrics.edit_distance(guesses, labels),
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_jit_vmap_and_narrow_floats(dtype):
    logits = jnp.asarray(LOGITS[:40], dtype).reshape(2, 20, 7)
    labels = jnp.asarray(LABELS[:40], jnp.int32).reshape(2, 20)
    mapped = jax.jit(jax.vmap(everything))(logits, labels)
    for row in range(2):
        alone = everything(logits[row], labels[row])
        wide = everything(logits[row].astype(jnp.float32), labels[row])
        for m, a, w in zip(mapped, alone, wide, strict=True):
            assert m.dtype == a.dtype == w.dtype
            assert a.dtype in (jnp.float32, jnp.int32)
            close(m[row], a)
            close(a, w)


def test_double_precision_and_narrow_labels():
    with jax.enable_x64(True):
        double = jax.jit(everything)(LOGITS.astype(np.float64), LABELS)
    single = jax.jit(everything)(LOGITS, LABELS.astype(np.uint8))
    for d, s in zip(double, single, strict=True):
        np.testing.assert_allclose(d, s, rtol=1e-5)


@pytest.mark.parametrize("wrong", [-1, 7])
def test_a_class_that_does_not_exist(wrong):
    labels = jnp.asarray(LABELS).at[3].set(wrong)
    calls = [
        lambda y: metrics.accuracy(LOGITS, y),
        lambda y: metrics.top_k_accuracy(LOGITS, y),
        lambda y: metrics.binary_accuracy(LOGITS[:, 0], y),
        lambda y: metrics.roc_auc(LOGITS[:, 0], y),
        lambda y: metrics.f1_score(GUESSES, y, 7, None),
        lambda y: metrics.precision(y, LABELS, 7, "micro"),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"^\w+: (labels|predictions) must .*, got "):
            call(labels)
    for value in jax.jit(lambda y: [call(y) for call in calls])(labels):
        assert jnp.isnan(value).all()
    with pytest.raises(ValueError, match="confusion_matrix: labels must lie in"):
        metrics.confusion_matrix(GUESSES, labels, 7)
    count = jax.jit(lambda y: metrics.confusion_matrix(GUESSES, y, 7))
    assert (count(labels) == -1).all()
    lengths = jnp.array([2, wrong])
    distance = lambda lengths: metrics.edit_distance(
        jnp.ones((2, 3), int), jnp.ones((2, 3), int), lengths
    )
    with pytest.raises(ValueError, match="edit_distance: prediction_lengths must lie in"):
        distance(lengths)
    assert jax.jit(distance)(lengths).tolist() == [1, -1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: metrics.accuracy(LOGITS, LABELS[:, None]), ValueError, "one entry per row"),
        (lambda: metrics.accuracy(LOGITS, LABELS * 1.0), TypeError, "labels must hold integers"),
        (lambda: metrics.accuracy(LABELS[:, None], LABELS), TypeError, "logits must be floating"),
        (lambda: metrics.top_k_accuracy(LOGITS, LABELS, 8), ValueError, "k must be at most .* 7"),
        (lambda: metrics.top_k_accuracy(LOGITS, LABELS, 0), ValueError, "k must be at least 1"),
        (lambda: metrics.binary_accuracy(LOGITS, LABELS), ValueError, "the same shape"),
        (lambda: metrics.binary_accuracy(LOGITS[0], jnp.full(7, 0.9)), ValueError, "0 or 1"),
        (lambda: metrics.confusion_matrix(LOGITS[:, 0], LABELS, 7), TypeError, "hold integers"),
        (lambda: metrics.confusion_matrix(LABELS, LABELS, 0), ValueError, "classes must be"),
        (lambda: metrics.f1_score(GUESSES, LABELS, 7), ValueError, "classes must be 2"),
        (lambda: metrics.recall(GUESSES, LABELS, 7, "mean"), ValueError, "average must be one of"),
        (lambda: metrics.roc_auc(LABELS, LABELS % 2), TypeError, "scores must be floating"),
        (lambda: metrics.r2_score(jnp.zeros(3), jnp.zeros((3, 1))), ValueError, "the same shape"),
        (lambda: metrics.r2_score(jnp.zeros(()), jnp.zeros(())), ValueError, "axis of examples"),
        (lambda: metrics.mean_squared_error(jnp.arange(3), jnp.zeros(3)), TypeError, "floating"),
        (lambda: metrics.perplexity(jnp.arange(3)), TypeError, "floating"),
        (
            lambda: metrics.edit_distance(jnp.ones((2, 3), int), jnp.ones((3, 3), int)),
            ValueError,
            "the same leading axes",
        ),
    ],
)  # fmt: skip
def test_errors_say_what_must_hold(call, error, message):
    with pytest.raises(error, match=message):
        call()
