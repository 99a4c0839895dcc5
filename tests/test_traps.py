"""Silent traps: what cannot be right raises, or under `jit` is NaN in value and gradient."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxnn import _checks, layers, losses, optimizers, regularizers, training

KEY = jax.random.key(0)
ROWS, CLASSES = 4, 3
FLOATS = (jnp.float32, jnp.bfloat16, jnp.float16)
PAIRED = [
    losses.absolute_error, losses.absolute_percentage_error, losses.binary_cross_entropy,
    losses.binary_cross_entropy_from_probabilities, losses.focal, losses.gaussian_kl_divergence,
    losses.hinge, losses.huber, losses.log_cosh, losses.poisson, losses.quantile,
    losses.squared_error, losses.squared_hinge,
]  # fmt: skip
ROWWISE = [
    losses.categorical_cross_entropy, losses.categorical_cross_entropy_from_probabilities,
    losses.dice, losses.kl_divergence,
]  # fmt: skip

few = settings(max_examples=12, deadline=None, derandomize=True)
sizes = st.integers(2, 40)
floats = st.sampled_from(FLOATS)


def shaped(shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def rows_of(entries):
    return arrays(np.float32, (ROWS, CLASSES), elements=entries)


@cache
def jitted(loss):
    """`(losses, gradient of their sum)`, both arguments traced; each loss compiles once."""
    return jax.jit(lambda p, t: (loss(p, t), jax.grad(lambda p: loss(p, t).sum())(p)))


def caught(loss, predictions, targets, wrong, message):
    """Raises where it is concrete; traced, exactly the `wrong` entries are NaN, twice."""
    with pytest.raises(ValueError, match=rf"^{loss.__name__}: .*{message}.*, got .*\. "):
        loss(predictions, targets)
    value, slope = jitted(loss)(predictions, targets)
    np.testing.assert_array_equal(jnp.isnan(value), wrong)
    lost = np.isnan(slope)
    np.testing.assert_array_equal(lost.any(-1) if lost.ndim > 1 else lost, wrong)


# Shapes and kinds, while tracing


@few
@given(st.sampled_from(PAIRED), sizes, floats, st.booleans())
def test_a_column_against_a_vector(loss, n, dtype, swapped):
    shapes = [(n,), (n, 1)][:: -1 if swapped else 1]
    with pytest.raises(ValueError, match=rf"^{loss.__name__}: .*\({n},\).*Reshape"):
        jax.eval_shape(loss, *(shaped(shape, dtype) for shape in shapes))


@few
@given(st.sampled_from(PAIRED + ROWWISE), sizes, st.sampled_from([jnp.int32, jnp.bool_, jnp.uint8]))
def test_integer_predictions(loss, n, dtype):
    with pytest.raises(TypeError, match=rf"^{loss.__name__}: .* must be floating point, got"):
        jax.eval_shape(loss, shaped((n, 3), dtype), shaped((n, 3)))


@few
@given(sizes, floats)
def test_class_ids_that_are_floats(n, dtype):
    f = losses.sparse_categorical_cross_entropy
    with pytest.raises(TypeError, match="labels must hold integers, got"):
        jax.eval_shape(f, shaped((n, 3)), shaped((n,), dtype))
    with pytest.raises(TypeError, match="ids must hold integers, got"):
        jax.eval_shape(layers.embedding, {"embedding": shaped((n, 3))}, shaped((n,), dtype))


@pytest.mark.parametrize("loss", PAIRED + ROWWISE)
def test_targets_that_are_complex_or_lists(loss):
    p, t = jnp.full((2, 2), 0.5), jnp.full((2, 2), 0.5 + 1j)
    with pytest.raises(TypeError, match=rf"^{loss.__name__}: \w+ must be real, got complex64\. "):
        loss(p, t)
    for at in ((p, p.tolist()), (p.tolist(), p)):
        says = rf"^{loss.__name__}: \w+ must be an array, got a list\. "
        with pytest.raises(TypeError, match=says):
            loss(*at)


def test_class_ids_that_are_nan():
    nan = jnp.array([0.0, jnp.nan])
    with pytest.raises(TypeError, match="labels must hold integers, got float32"):
        losses.sparse_categorical_cross_entropy(jnp.zeros((2, 3)), nan)


@few
@given(st.sampled_from(ROWWISE), sizes)
def test_class_ids_in_place_of_rows(loss, n):
    with pytest.raises(ValueError, match=rf"^{loss.__name__}: "):
        jax.eval_shape(loss, shaped((n, 3)), shaped((n,), jnp.int32))


@few
@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(0, 4))
def test_parameters_of_another_shape_than_their_update(shape, which):
    make = [optimizers.adam, optimizers.momentum, optimizers.rmsprop, optimizers.adagrad,
            optimizers.lion][which]  # fmt: skip
    optimizer, gradient = make(0.1), shaped(tuple(shape))
    state = jax.eval_shape(optimizer.init, {"kernel": gradient})
    for other in ((*shape, 1), tuple(shape[:-1]), (shape[0] + 1, *shape[1:])):
        with pytest.raises(ValueError, match="must have the tree and shapes"):
            jax.eval_shape(optimizer.update, {"kernel": shaped(other)}, state)


def test_an_update_is_never_broadcast_onto_parameters():
    optimizer = optimizers.gradient_descent(0.1)
    with pytest.raises(ValueError, match=r"gradient_descent: .* tree and shapes"):
        optimizer.update(jnp.ones(3), optimizer.init(jnp.ones(3)), jnp.ones((3, 1)))


# Values, where they are concrete; under jit they become NaN


@few
@given(
    arrays(np.int32, ROWS, elements=st.integers(-(2**31), 2**31 - 1)),
    rows_of(st.floats(-50, 50, width=32)),
    st.integers(0, ROWS - 1),
    st.sampled_from([-(2**31), -1, CLASSES, 2**31 - 1]),
)
def test_labels_of_classes_that_do_not_exist(labels, logits, place, beyond):
    labels = labels.copy()
    labels[1:] %= CLASSES
    labels[place] = beyond
    wrong = (labels < 0) | (labels >= CLASSES)
    for loss in (losses.sparse_categorical_cross_entropy, losses.categorical_hinge):
        caught(loss, jnp.asarray(logits), jnp.asarray(labels), wrong, "be classes from 0 to 2")
    table = {"embedding": jnp.asarray(logits[:CLASSES])}
    with pytest.raises(ValueError, match="embedding: ids must be from 0 to 2, got"):
        layers.embedding(table, jnp.asarray(labels))
    rows, slopes = _embedded(table, jnp.asarray(labels))
    np.testing.assert_array_equal(jnp.isnan(rows).all(-1), wrong)
    assert all(jnp.isnan(s["embedding"]).any() for s in slopes)


@jax.jit
def _embedded(table, ids):
    rows, pull = jax.vjp(lambda table: layers.embedding(table, ids), table)
    g = jnp.ones((ROWS, CLASSES))
    return rows, [*pull(g), layers.embedding_vjp(g, table, ids)]


entries = arrays(np.float32, ROWS, elements=st.floats(-30, 30, width=32))


@few
@given(entries, arrays(np.float32, ROWS, elements=st.sampled_from([-1, 0, 1, 0.5, 2, np.nan])))
def test_signs_that_are_not_one(scores, signs):
    signs[0] = 0  # the other convention, {0, 1}
    for loss in (losses.hinge, losses.squared_hinge):
        caught(loss, jnp.asarray(scores), jnp.asarray(signs), np.abs(signs) != 1, "signs must be")


outside = st.one_of(
    st.floats(1.125, 2.0**99, width=32),
    st.floats(-(2.0**99), -(2.0**-99), width=32),
).map(np.float32)
inside = arrays(np.float32, ROWS, elements=st.floats(0.125, 0.875, width=32))


@few
@given(inside, inside, outside, st.integers(0, ROWS - 1))
def test_probabilities_outside_0_and_1(p, y, beyond, place):
    wrong = np.arange(ROWS) == place
    bad = np.where(wrong, beyond, p)
    f = losses.binary_cross_entropy_from_probabilities
    caught(f, jnp.asarray(bad), jnp.asarray(y), wrong, r"probabilities must be within \[0, 1\]")
    for loss in (f, losses.binary_cross_entropy, losses.focal):
        caught(loss, jnp.asarray(p), jnp.asarray(bad), wrong, r"labels must be within \[0, 1\]")


@few
@given(rows_of(st.floats(0, 0.25, width=32)), st.integers(0, ROWS - 1), st.floats(0.05, 0.24))
def test_labels_that_do_not_sum_to_one(shares, place, more):
    labels = shares.copy()
    labels[:, -1] = 1 - labels[:, :-1].sum(-1)
    labels[place, -1] -= np.float32(more)
    wrong = np.arange(ROWS) == place
    for loss in (losses.categorical_cross_entropy, losses.kl_divergence):
        caught(loss, jnp.asarray(shares - 1), jnp.asarray(labels), wrong, "sum of each row")


@few
@given(rows_of(st.floats(0.125, 0.875, width=32)), outside, st.integers(0, ROWS - 1))
def test_rows_of_probabilities_outside_0_and_1(rows, beyond, place):
    rows[place, 1] = beyond
    labels = jnp.eye(CLASSES)[jnp.array([0, 1, 2, 1])]
    wrong = np.arange(ROWS) == place
    for loss in (losses.categorical_cross_entropy_from_probabilities, losses.dice):
        caught(loss, jnp.asarray(rows), labels, wrong, r"probabilities must be within \[0, 1\]")


@few
@given(st.sampled_from(PAIRED), st.sampled_from(FLOATS), st.integers(0, ROWS - 1))
def test_nan_in_the_data_stays_nan(loss, dtype, place):
    p = jnp.full(ROWS, 0.5, dtype).at[place].set(jnp.nan)
    value, slope = jitted(loss)(p, jnp.ones(ROWS, dtype))
    np.testing.assert_array_equal(jnp.isnan(value), np.arange(ROWS) == place)
    np.testing.assert_array_equal(jnp.isnan(slope), np.arange(ROWS) == place)


# Hyperparameters, where they are concrete; traced ones become NaN

A, B, C = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 4)), jnp.float32)
ONES = {"scale": jnp.ones(4)}
BATCH = ({"mean": jnp.zeros(4), "var": jnp.ones(4)}, A)
MIXED = jnp.array([True, False, True])
WRONG = {
    "huber delta": (lambda n, x: losses.huber(x, B, n), -1.0, 0.5),
    "absolute_percentage_error epsilon":
        (lambda n, x: losses.absolute_percentage_error(x, B, n), 0.0, 0.5),
    "quantile q": (lambda n, x: losses.quantile(x, B, n), 2.0, 0.5),
    "smooth_labels amount": (lambda n, x: losses.smooth_labels(x, n), 1.5, 0.5),
    "focal gamma": (lambda n, x: losses.focal(x, MIXED[:, None] & (B < 9), n), -1.0, 2.0),
    "dice smooth": (lambda n, x: losses.dice(abs(x) / 9, B > 0, n), -1.0, 1.0),
    "contrastive margin": (lambda n, x: losses.contrastive(x, B, MIXED, n), -1.0, 1.0),
    "triplet margin": (lambda n, x: losses.triplet(x, B, C, n), -1.0, 1.0),
    "info_nce temperature": (lambda n, x: losses.info_nce(x, B, n), -1.0, 0.5),
    "l1 strength": (lambda n, x: regularizers.l1({"kernel": x}, n), -1.0, 0.5),
    "l2 strength": (lambda n, x: regularizers.l2({"kernel": x}, n), -1.0, 0.5),
    "elastic_net l2_strength":
        (lambda n, x: regularizers.elastic_net({"kernel": x}, 1.0, n), -1.0, 0.5),
    "rms_norm epsilon": (lambda n, x: layers.rms_norm(ONES, x, n), -1e-3, 1e-3),
    "layer_norm epsilon": (lambda n, x: layers.layer_norm(ONES, x, n), -1e-3, 1e-3),
    "group_norm epsilon": (lambda n, x: layers.group_norm(ONES, x, 2, n), -1e-3, 1e-3),
    "batch_norm momentum": (lambda n, x: layers.batch_norm(ONES, *BATCH, train=True, momentum=n)[1]
                            ["mean"] + 0 * x, -1.0, 0.5),
}  # fmt: skip


@pytest.mark.parametrize(("call", "wrong", "right"), WRONG.values(), ids=WRONG)
def test_hyperparameters_out_of_range(request, call, wrong, right):
    function, name = request.node.callspec.id.split()
    with pytest.raises(ValueError, match=rf"^{function}: {name} must .*, got {wrong}\. "):
        call(wrong, A)

    @jax.jit
    def traced(n, x):
        return call(n, x), jax.grad(lambda *at: call(*at).sum(), (0, 1))(n, x)

    value, (in_number, in_x) = traced(wrong, A)
    assert jnp.isnan(value).all()
    assert jnp.isnan(in_number)
    assert bool(jnp.isnan(in_x).all()) or name == "momentum"
    assert jnp.isfinite(traced(right, A)[0]).all()


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda n: optimizers.gradient_descent(n), -1.0),
        (lambda n: optimizers.momentum(0.1, n), 1.0),
        (lambda n: optimizers.rmsprop(0.1, n), -1.0),
        (lambda n: optimizers.adagrad(0.1, n), -1.0),
        (lambda n: optimizers.adam(0.1, b2=n), 1.5),
        (lambda n: optimizers.adam(0.1, epsilon=n), -1.0),
        (lambda n: optimizers.adamw(0.1, n), -1.0),
        (lambda n: optimizers.lion(0.1, b1=n), 1.5),
    ],
)
def test_hyperparameters_of_optimizers_out_of_range(make, wrong):
    gradients = {"kernel": jnp.ones(2)}

    @jax.jit
    def step(n):
        optimizer = make(n)
        return optimizer.update(gradients, optimizer.init(gradients), gradients)[0]["kernel"]

    assert jnp.isnan(step(wrong)).all()
    assert jnp.isfinite(step(0.5)).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_a_hyperparameter_keeps_its_dtype_and_weakness(dtype):
    traced = lambda n: jax.eval_shape(lambda n: _checks.positive("", n=n), n)
    strong = traced(jnp.ones((), dtype))
    assert (strong.dtype, strong.weak_type) == (dtype, False)
    assert traced(1.0).weak_type
    assert (traced(1).dtype, traced(1).weak_type) == (jnp.float32, True)
    assert traced(jnp.ones((), int)).dtype == jnp.float32
    assert isinstance(_checks.positive("", n=1), int)


# Batches


def loss_fn(params, batch, key):
    return (params * batch.mean()) ** 2, {}


@few
@given(
    arrays(np.float32, (6, 2), elements=st.floats(-9, 9, width=32)),
    st.integers(0, 5),
    st.sampled_from([np.nan, np.inf, -np.inf]),
)
def test_nan_in_the_data_of_a_fit(data, place, bad):
    data[place, 1] = bad
    fit = training.make_fit(loss_fn, optax.sgd(0.1), epochs=1, batch_size=2)
    with pytest.raises(ValueError, match=rf"fit: train must be finite, .* number {place}\."):
        fit(jnp.ones(()), data, key=KEY)
    with pytest.raises(ValueError, match="fit: validation must be finite"):
        fit(jnp.ones(()), np.ones((6, 2), np.float32), data, key=KEY)


def test_an_empty_batch():
    empty = jnp.ones((0, 2))
    fit = training.make_fit(loss_fn, optax.sgd(0.1), epochs=1, batch_size=2)
    for call in (
        lambda: fit(jnp.ones(()), empty, key=KEY),
        lambda: fit(jnp.ones(()), jnp.ones((4, 2)), empty, key=KEY),
        lambda: training.evaluate(loss_fn, jnp.ones(()), empty, batch_size=2),
        lambda: training.predict(lambda p, x: x, jnp.ones(()), empty, batch_size=2),
    ):
        with pytest.raises(ValueError, match="there must be at least one batch"):
            call()
    assert float(losses.weighted_mean(jnp.zeros(0), jnp.zeros(0))) == 0


@few
@given(st.integers(1, 3), st.integers(0, 3), st.booleans())
def test_an_impossible_alignment(length, frames, repeated):
    labels = jnp.ones((1, 3), int) if repeated else jnp.array([[1, 2, 1]])
    needed = length + (length - 1 if repeated else 0)
    value, slope = _aligned(jnp.zeros((1, 3, 3)), labels, jnp.array([frames]), jnp.array([length]))
    assert (float(value) == np.inf) == (frames < needed)
    assert jnp.isfinite(slope).all()
    assert bool(slope.any()) == (frames >= needed)


@jax.jit
def _aligned(logits, *rest):
    return jax.value_and_grad(lambda z: losses.ctc(z, *rest).sum())(logits)
