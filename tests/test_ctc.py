"""CTC against brute force, a plain recursion in float64 and PyTorch; and where others fail."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxnn import losses

INF = jnp.inf
equal = np.testing.assert_array_equal


@jax.jit
def _computed(z, *rest):
    loss, pull = jax.vjp(lambda z: losses.ctc(z, *rest), z)
    return loss, pull(jnp.ones_like(loss))[0]


def computed(z, labels, frames=None, counts=None, dtype=jnp.float32):
    """Loss and gradient as JAX runs it, all frames and labels by default.

    Padded to one shape, so that one program serves most tests, with what no loss may look at.
    """
    (rows, time, _), length = np.shape(z), np.shape(labels)[1]
    more = (0, max(0, 6 - rows)), (0, max(0, 9 - time))
    z = np.pad(z, (*more, (0, 0)), constant_values=np.nan)
    labels = np.pad(labels, (more[0], (0, max(0, 4 - length))), constant_values=-7)
    frames = np.resize([time] if frames is None else frames, len(z))
    counts = np.resize([length] if counts is None else counts, len(z))
    loss, slope = _computed(jnp.asarray(z, dtype), labels, frames, counts)
    np.testing.assert_array_equal(slope[:rows, time:], 0)
    return loss[:rows], slope[:rows, :time]


def log_softmax(z):
    z = np.asarray(z, np.float64)
    return z - np.logaddexp.reduce(z, -1, keepdims=True)


def brute_force(z, label, blank=0):
    """Loss and gradient by going through every path."""
    log_y, total, seen = log_softmax(z), 0.0, np.zeros(z.shape)
    time = np.arange(len(z))
    for path in itertools.product(range(z.shape[1]), repeat=len(z)):
        if [k for k, _ in itertools.groupby(path) if k != blank] == list(label):
            probability = np.exp(log_y[time, list(path)].sum())
            total += probability
            seen[time, list(path)] += probability
    return (-np.log(total), np.exp(log_y) - seen / total) if total else (np.inf, 0 * seen)


def recursion(z, label, blank=0):
    """Loss and gradient by plain logarithms of alpha and beta, for sequences of some length."""
    log_y = log_softmax(z)
    positions = np.full(2 * len(label) + 1, blank)
    positions[1::2] = label
    skips = np.zeros(len(positions), bool)
    skips[3::2] = positions[3::2] != positions[1:-2:2]

    def passed(log_y, positions, skips):
        alpha = np.full((len(log_y) + 1, len(positions)), -np.inf)
        alpha[0, 0] = 0
        for t, y in enumerate(log_y):
            one, two = np.roll(alpha[t], 1), np.roll(alpha[t], 2)
            one[0], two[~skips] = -np.inf, -np.inf
            alpha[t + 1] = np.logaddexp(np.logaddexp(alpha[t], one), two) + y[positions]
        return alpha

    alpha = passed(log_y, positions, skips)
    back = np.append(skips[2:], [False] * min(2, len(skips)))[::-1]
    beta = passed(log_y[::-1], positions[::-1], back[: len(skips)])[::-1, ::-1]
    read = np.logaddexp.reduce(alpha[-1, -2:])
    both = np.exp(alpha[1:] + beta[:-1] - log_y[:, positions] - read) if read > -np.inf else None
    gradient = np.exp(log_y)
    for s, k in enumerate(positions if both is not None else []):
        gradient[:, k] -= both[:, s]
    return -read, gradient if both is not None else 0 * gradient


def test_equals_brute_force_over_all_paths():
    """Every labelling of up to three labels, with every number of frames up to four."""
    labels = [label for n in range(4) for label in itertools.product((0, 2), repeat=n)]
    rows = list(itertools.product(labels, range(5)))
    z = jnp.asarray(np.random.default_rng(0).normal(size=(len(rows), 4, 3)) * 3, jnp.float32)
    padded = np.array([(*label, 7, -7, 9)[:3] for label, _ in rows])
    counts, frames = np.array([len(label) for label, _ in rows]), np.array([n for _, n in rows])
    loss = lambda z: losses.ctc(z, padded, frames, counts, blank=1)
    closed = lambda z: losses.ctc_grad(z, padded, frames, counts, blank=1)
    value, slope, form = jax.jit(
        lambda z: (loss(z), jax.grad(lambda z: loss(z).sum())(z), closed(z))
    )(z)
    for i, (label, n) in enumerate(rows):
        expected, gradient = brute_force(np.asarray(z[i, :n]), label, blank=1)
        np.testing.assert_allclose(value[i], expected, rtol=1e-6)
        for found in (slope, form):
            np.testing.assert_allclose(found[i, :n], gradient, rtol=1e-5, atol=2e-7)
            equal(found[i, n:], 0)


LABELS = st.lists(st.integers(1, 4), max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), LABELS, st.floats(0, 30))
def test_equals_the_recursion_at_any_lengths(seed, frames, label, spread):
    z = np.random.default_rng(seed).normal(size=(1, frames, 5)).astype(np.float32) * spread
    loss, slope = computed(z, np.array([label], int).reshape(1, -1))
    value, gradient = recursion(np.asarray(z[0], np.float32), label)
    np.testing.assert_allclose(loss[0], value, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(slope[0], gradient, rtol=1e-5, atol=1e-6)
    assert loss[0] >= 0


def test_long_sequences_keep_their_digits():
    """A thousand frames of noise: logarithms as large as the loss would cost four digits."""
    random = np.random.default_rng(2)
    z = random.normal(size=(3, 1200, 12)).astype(np.float32)
    z[1] *= 8
    labels = random.integers(1, 12, (3, 90))
    z[2, np.arange(1, 1200, 13)[:90], labels[2]] += 24  # all but certain
    z[2, :, 0] += 12
    loss, slope = computed(z, labels)
    assert loss[2] < 0.5
    for i in range(3):
        value, gradient = recursion(z[i], labels[i])
        assert abs(float(loss[i]) - value) <= 2 * np.spacing(np.float32(value))
        np.testing.assert_allclose(slope[i], gradient, rtol=0, atol=2e-6 * min(1, value))


def misreadings(z, label, blank=0):
    """Loss and gradient by going through every path that reads something else: no cancelling."""
    y = np.exp(log_softmax(z))
    paths = np.array(list(itertools.product(range(z.shape[1]), repeat=len(z))))
    read = lambda path: [k for k, _ in itertools.groupby(path) if k != blank] == list(label)
    wrong = paths[[not read(path) for path in paths]]
    each = y[np.arange(len(z)), wrong].prod(-1)
    total = each.sum()
    seen = np.stack([[(each * (at == k)).sum() for k in range(z.shape[1])] for at in wrong.T])
    return -np.log1p(-total), (seen - y * total) / (1 - total)


def confident(random, label, frames=5, classes=4):
    """Logits of a path that reads the label, and at some frames as likely of what is next to it."""
    path = [0, label[0], 0, label[1], 0]
    z, high = random.normal(size=(frames, classes)), random.uniform(1, 40)
    z[np.arange(frames), path] += high
    for t, k in ((0, label[0]), (2, label[0]), (4, label[1])):
        z[t, k] += high * random.integers(0, 2)
    return z.astype(np.float32)


def test_confident_readings_keep_their_digits():
    """Softmax less posterior is a difference of ones, and P a sum of halves that is nearly 1."""
    random = np.random.default_rng(3)
    labels = np.resize([[1, 2], [1, 1], [3, 1]], (60, 2))
    z = np.stack([confident(random, label) for label in labels])
    loss, slope = computed(z, labels)
    wanted = [misreadings(*one) for one in zip(z, labels, strict=True)]
    assert sum(value < 1e-8 for value, _ in wanted) > 10
    assert sum(0.1 < value < 1 for value, _ in wanted) > 4  # on both sides of P = 1/2
    for i, (value, gradient) in enumerate(wanted):
        assert abs(float(loss[i]) - value) <= 8 * np.spacing(np.float32(value))
        error = abs(np.asarray(slope[i], float) - gradient).max()
        assert error <= 1e-6 * abs(gradient).max()


def test_confident_and_other_readings_under_vmap():
    """Where a branch becomes a choice."""
    random = np.random.default_rng(8)
    z = np.stack([confident(random, [1, 2]), random.normal(size=(5, 4)).astype(np.float32)])
    one = lambda z: losses.ctc(z, jnp.array([1, 2]), 5, 2)
    both = jax.jit(jax.vmap(jax.value_and_grad(one)))(z)
    for one, other in zip(both, computed(z, [[1, 2], [1, 2]]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-12)


# Of torch.nn.functional.ctc_loss, PyTorch 2.13.0, in float64: losses, and the gradient at frame 5.
WAVES = (3 * np.sin(1.7 * np.arange(135))).reshape(3, 9, 5)
READ = np.array([[1, 3, 3, 2], [4, 1, 0, 0], [2, 2, 4, 1]])
TIMES, COUNTS = np.array([9, 6, 8]), np.array([4, 2, 4])
TORCH = [12.97668927479108, 10.849206439725908, 8.801458022351323]
TORCH_GRADIENT = [
    [-0.17504161, 0.10009555, 0.75741781, -0.68691414, 0.00444239],
    [-0.10764523, -0.03096408, 0.06671484, 0.00230498, 0.06958949],
    [0.15857311, 0.22701827, 0.00181101, 0.00824087, -0.39564326],
]


def test_equals_the_recorded_figures_of_torch():
    loss, slope = computed(WAVES, READ, TIMES, COUNTS)
    np.testing.assert_allclose(loss, TORCH, rtol=2e-7)
    np.testing.assert_allclose(slope[:, 5], TORCH_GRADIENT, rtol=1e-6, atol=1e-7)


def test_equals_torch():
    torch = pytest.importorskip("torch")
    loss, slope = computed(WAVES, READ, TIMES, COUNTS)
    z = torch.tensor(WAVES.astype(np.float32)).double().requires_grad_()
    rest = map(torch.tensor, (READ, TIMES, COUNTS))
    theirs = torch.nn.functional.ctc_loss(
        z.log_softmax(-1).transpose(0, 1), *rest, reduction="none"
    )
    theirs.sum().backward()
    np.testing.assert_allclose(loss, theirs.detach(), rtol=2e-7)
    np.testing.assert_allclose(slope, z.grad, rtol=1e-5, atol=2e-7)


def test_what_cannot_be_read_costs_infinity_and_teaches_nothing():
    """Too few frames, also for the blank between equal labels; a class that can't be."""
    z = np.random.default_rng(4).normal(size=(5, 3, 5))
    z[3, :, 2] = z[4, 1] = -np.inf
    labels = np.array([[1, 2], [1, 1], [1, 1], [1, 2], [1, 2]])
    loss, slope = computed(z, labels, [1, 2, 3, 3, 3])
    equal(np.isinf(loss), [True, True, False, True, True])
    assert jnp.isfinite(slope).all()
    equal(slope[np.array([0, 1, 3, 4])], 0)
    assert slope[2].any()


def test_an_impossible_class_that_is_not_used_changes_nothing():
    z = np.random.default_rng(5).normal(size=(1, 5, 5)).astype(np.float32)
    z[..., 3] = -np.inf
    loss, slope = computed(z, [[1, 2]])
    value, gradient = recursion(z[0], [1, 2])
    np.testing.assert_allclose(loss[0], value, rtol=1e-6)
    np.testing.assert_allclose(slope[0], gradient, atol=1e-6)
    equal(slope[..., 3], 0)


def test_nothing_to_read_and_nothing_to_look_at():
    """Without labels every frame must be blank; without frames nothing can be read."""
    z = np.random.default_rng(6).normal(size=(4, 4, 5))
    loss, slope = computed(z, [[1], [2], [1], [1]], [4, 0, 0, 3], [0, 0, 1, 0])
    blanks = -log_softmax(z)[..., 0]
    np.testing.assert_allclose(loss, [blanks[0].sum(), 0, INF, blanks[3, :3].sum()], rtol=1e-6)
    equal(slope[1:3], 0)
    for shape, labels in [((2, 4, 3), (2, 0)), ((2, 0, 3), (2, 1)), ((0, 4, 3), (0, 1))]:
        zeros = jnp.zeros(shape), jnp.ones(labels, int), jnp.full(shape[:1], shape[1])
        loss, slope = _computed(*zeros, jnp.zeros(shape[:1], int))
        np.testing.assert_allclose(loss, [shape[1] * np.log(3)] * shape[0], rtol=1e-6)
        assert slope.shape == shape


def test_padding_is_not_looked_at_and_nan_is():
    z = np.random.default_rng(7).normal(size=(2, 5, 5))
    padded = z.copy()
    padded[:, 3:], padded[1, 3:] = np.nan, np.inf
    lengths = [3, 3], [2, 1]
    plain = computed(z, [[1, 2], [1, 0]], *lengths)
    for one, other in zip(plain, computed(padded, [[1, 2], [1, -9]], *lengths), strict=True):
        equal(one, other)
    z[0, 2, 0] = np.nan  # a frame that counts
    loss, slope = _computed(jnp.asarray(z), np.array([[1, 2], [1, 0]]), *map(np.array, lengths))
    equal(np.isnan(loss), [True, False])
    assert jnp.isnan(slope[0]).any()
    assert jnp.isfinite(slope[1]).all()


def test_short_floats_are_rounded_once():
    for dtype in (jnp.bfloat16, jnp.float16):
        short = np.asarray(jnp.asarray(WAVES, dtype), np.float32)
        wide = computed(short, READ, TIMES, COUNTS)
        for one, other in zip(computed(short, READ, TIMES, COUNTS, dtype), wide, strict=True):
            assert one.dtype == dtype
            equal(one, other.astype(dtype))


def test_second_derivatives():
    """All classes equally likely, as at the start of a training; some impossible; one read."""
    with jax.enable_x64(True):
        rest = READ, TIMES, COUNTS
        z = jnp.zeros((3, 9, 5)).at[1, :, 3].set(-INF)
        z = z.at[0, jnp.arange(9), jnp.array([0, 1, 3, 0, 3, 2, 2, 0, 0])].set(5)  # P > 1/2
        direction = jnp.asarray(WAVES)

        @jax.jit
        def bends(z):
            gradient = jax.grad(lambda z: losses.ctc(z, *rest).sum())
            closed = lambda step: losses.ctc_grad(z + step * direction, *rest)
            return (
                jax.jvp(gradient, (z,), (direction,))[1],
                jax.vjp(gradient, z)[1](direction)[0],
                (closed(1e-5) - closed(-1e-5)) / 2e-5,
            )

        forward, reverse, numeric = bends(z)
        np.testing.assert_allclose(forward, numeric, atol=1e-8)
        np.testing.assert_allclose(reverse, numeric, atol=1e-8)


def test_leading_axes_are_free():
    loss, slope = computed(WAVES, READ, TIMES, COUNTS)
    arrays = jnp.asarray(WAVES, jnp.float32), *map(jnp.asarray, (READ, TIMES, COUNTS))
    one, its = _computed(*(a[1] for a in arrays))
    np.testing.assert_allclose(one, loss[1], rtol=1e-6)
    np.testing.assert_allclose(its, slope[1], atol=1e-6)
    deep, deeper = _computed(*(a[:, None] for a in arrays))
    np.testing.assert_allclose(deep[:, 0], loss, rtol=1e-6)
    np.testing.assert_allclose(deeper[:, 0], slope, atol=1e-6)


Z, L = jnp.zeros((6, 9, 5)), jnp.tile(jnp.array([1, 2, 3, 0]), (6, 1))
T, N = jnp.full(6, 9), jnp.array([3, 3, 3, 3, 3, 2])
ODD = jnp.array([1, 0, 0, 0, 0, 0])
WRONG = {
    "a class too many": ((Z, L + 2 * ODD[:, None], T, N), r"labels must be .* to 4 .* got 5"),
    "a negative class": ((Z, L - 2 * ODD[:, None], T, N), "labels must be .* got -1"),
    "the blank": ((Z, L, T, N + ODD), "labels must be .* blank, 0, got 0. Renumber them"),
    "too many frames": ((Z, L, T + ODD, N), r"logit_lengths must lie in \[0, 9\], got 10"),
    "less than no frames": ((Z, L, T - 10 * ODD, N), r"logit_lengths must .* got -1"),
    "too many labels": ((Z, L, T, N + 2 * ODD), r"label_lengths must lie in \[0, 4\], got 5"),
    "less than no labels": ((Z, L, T, N - 4 * ODD), r"label_lengths must .* got -1"),
}


@pytest.mark.parametrize(("args", "message"), WRONG.values(), ids=WRONG)
def test_labels_and_lengths_that_cannot_be_right(args, message):
    for f in (losses.ctc, losses.ctc_grad):
        with pytest.raises(ValueError, match=f"^{f.__name__}: {message}"):
            f(*args)
    loss, slope = _computed(*args)
    equal(np.isnan(loss), ODD == 1)
    assert np.isnan(slope[0]).all()
    assert np.isfinite(slope[1:]).all()


def test_constants_of_a_program_are_looked_at():
    wrong = L + 4
    with pytest.raises(ValueError, match="labels must be"):
        jax.jit(lambda z: losses.ctc(z, wrong, T, N))(Z)


@pytest.mark.parametrize(
    ("kind", "args", "options", "message"),
    [
        (TypeError, (Z.astype(int), L, T, N), {}, "logits must be floating"),
        (TypeError, (Z, L.astype(float), T, N), {}, "labels must hold integers"),
        (TypeError, (Z, L, T.astype(float), N), {}, "logit_lengths must hold integers"),
        (TypeError, (Z, L, T, N), {"blank": 0.0}, "blank must be an integer, got 0.0"),
        (ValueError, (Z, L, T, N), {"blank": 5}, "blank must be a class from 0 to 4, got 5"),
        (ValueError, (Z, L, T, N), {"blank": -1}, "blank must be a class from 0 to 4, got -1"),
        (ValueError, (Z[0, 0], L, T, N), {}, r"logits must have shape \[..., time, classes\]"),
        (ValueError, (Z, L[0], T, N), {}, "labels must hold one row per sequence"),
        (ValueError, (Z, L, T[:1], N), {}, "logit_lengths must hold one entry per row"),
        (ValueError, (Z, L, T, N[:, None]), {}, "label_lengths must hold one entry per row"),
    ],
)
def test_kinds_and_shapes(kind, args, options, message):
    with pytest.raises(kind, match=f"^ctc: {message}"):
        losses.ctc(*args, **options)
