"""CTC against brute force, a float64 recursion and PyTorch, and where those who went before fail."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxnn import losses

INF, NAN = jnp.inf, jnp.nan
equal = np.testing.assert_array_equal


@jax.jit
def computed(*args):
    """Loss, closed form, and the gradient as JAX runs it."""
    slope = jax.grad(lambda z: losses.ctc(z, *args[1:]).sum())(args[0])
    return losses.ctc(*args), losses.ctc_grad(*args), slope


def arrays(rows, labels, frames=None, counts=None):
    """Arguments of float32 and int32, all frames and labels by default."""
    rows, labels = jnp.asarray(rows, jnp.float32), jnp.asarray(labels, jnp.int32)
    frames = np.full(labels.shape[:-1], rows.shape[-2]) if frames is None else frames
    counts = np.full(labels.shape[:-1], labels.shape[-1]) if counts is None else counts
    return rows, labels, jnp.asarray(frames, jnp.int32), jnp.asarray(counts, jnp.int32)


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
    z = np.random.default_rng(0).normal(size=(len(rows), 4, 3)) * 3
    padded = [(*label, 7, -7, 9)[:3] for label, _ in rows]  # what is padding may be anything
    counts, frames = [len(label) for label, _ in rows], [n for _, n in rows]
    z, *rest = arrays(z, padded, frames, counts)
    loss, closed, slope = jax.jit(
        lambda z: (
            losses.ctc(z, *rest, blank=1),
            losses.ctc_grad(z, *rest, blank=1),
            jax.grad(lambda z: losses.ctc(z, *rest, blank=1).sum())(z),
        )
    )(z)
    for i, (label, n) in enumerate(rows):
        value, gradient = brute_force(np.asarray(z[i, :n]), label, blank=1)
        np.testing.assert_allclose(loss[i], value, rtol=1e-6)
        np.testing.assert_allclose(closed[i, :n], gradient, rtol=1e-5, atol=2e-7)
        equal(closed[i, n:], 0)
    np.testing.assert_allclose(slope, closed, rtol=1e-6, atol=1e-7)


FEW = st.integers(0, 6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), FEW, st.lists(st.integers(1, 3), max_size=3), st.floats(0, 30))
def test_equals_the_recursion_at_any_lengths(seed, frames, label, spread):
    z = np.random.default_rng(seed).normal(size=(1, 6, 4)) * spread
    padded = [(*label, -1, -1, -1)[:3]]
    args = arrays(z, padded, [frames], [len(label)])
    loss, closed, _ = computed(*args)
    value, gradient = recursion(np.asarray(args[0][0, :frames]), label)
    np.testing.assert_allclose(loss[0], value, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(closed[0, :frames], gradient, rtol=1e-5, atol=1e-6)
    assert loss[0] >= 0
    equal(closed[0, frames:], 0)


def test_long_sequences_keep_their_digits():
    """A thousand frames of noise: logarithms as large as the loss would cost four digits."""
    random = np.random.default_rng(2)
    z = random.normal(size=(2, 1200, 12)).astype(np.float32)
    z[1] *= 8
    labels = random.integers(1, 12, (2, 90))
    loss, closed, slope = computed(*arrays(z, labels))
    for i in range(2):
        value, gradient = recursion(z[i], labels[i])
        assert abs(float(loss[i]) - value) <= 2 * np.spacing(np.float32(value))
        np.testing.assert_allclose(closed[i], gradient, rtol=0, atol=2e-6)
    np.testing.assert_allclose(slope, closed, rtol=0, atol=1e-6)


def test_confident_readings_keep_their_digits():
    """Where the labels are all but certain: softmax less posterior would be a difference of ones."""
    path = np.array([0, 1, 1, 0, 2, 0, 2, 0])
    z = 25 * np.eye(3)[path][None]
    loss, closed, slope = computed(*arrays(z, [[1, 2, 2]]))
    with jax.enable_x64(True):
        wide = [jnp.asarray(a, jnp.float64 if a.ndim == 3 else None) for a in (z,)]
        truth, gradient = computed(*wide, *arrays(z, [[1, 2, 2]])[1:])[:2]
    assert 0 < float(loss[0]) < 1e-9
    np.testing.assert_allclose(loss, truth, rtol=1e-6)
    np.testing.assert_allclose(closed, gradient, rtol=2e-6, atol=1e-17)
    np.testing.assert_allclose(slope, closed, rtol=1e-6)


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
    loss, closed, _ = computed(*arrays(WAVES, READ, TIMES, COUNTS))
    np.testing.assert_allclose(loss, TORCH, rtol=2e-7)
    np.testing.assert_allclose(closed[:, 5], TORCH_GRADIENT, rtol=1e-6, atol=1e-7)


def test_equals_torch():
    torch = pytest.importorskip("torch")
    args = arrays(WAVES, READ, TIMES, COUNTS)
    loss, closed, _ = computed(*args)
    z, *rest = (torch.tensor(np.asarray(a)) for a in args)
    z = z.double().requires_grad_()
    theirs = torch.nn.functional.ctc_loss(
        z.log_softmax(-1).transpose(0, 1), *rest, reduction="none"
    )
    theirs.sum().backward()
    np.testing.assert_allclose(loss, theirs.detach(), rtol=2e-7)
    np.testing.assert_allclose(closed, z.grad, rtol=1e-5, atol=2e-7)


def test_what_cannot_be_read_costs_infinity_and_teaches_nothing():
    """Too few frames, also for the blank between equal labels; a class that can't be."""
    z = np.random.default_rng(4).normal(size=(5, 3, 3))
    z[3, :, 2] = z[4, 1] = -np.inf
    labels, counts = [[1, 2], [1, 1], [1, 1], [1, 2], [1, 2]], [2, 2, 2, 2, 2]
    loss, closed, slope = computed(*arrays(z, labels, [1, 2, 3, 3, 3], counts))
    equal(np.isinf(loss), [True, True, False, True, True])
    assert jnp.isfinite(closed).all()
    equal(closed[np.array([0, 1, 3, 4])], 0)
    equal(slope, closed)
    kept = loss < INF
    mean = lambda z: losses.weighted_mean(losses.ctc(z, *arrays(z, labels)[1:]), kept)
    assert jnp.isfinite(jax.grad(mean)(jnp.asarray(z, jnp.float32))).all()


def test_an_impossible_class_that_is_not_used_changes_nothing():
    z = np.random.default_rng(5).normal(size=(1, 5, 4))
    z[..., 3] = -np.inf
    loss, closed, slope = computed(*arrays(z, [[1, 2]]))
    without, gradient, _ = computed(*arrays(z[..., :3], [[1, 2]]))
    np.testing.assert_allclose(loss, without, rtol=1e-7)
    np.testing.assert_allclose(closed[..., :3], gradient, atol=1e-7)
    equal(closed[..., 3], 0)
    equal(slope, closed)


def test_nothing_to_read_and_nothing_to_look_at():
    """Without labels every frame must be blank; without frames nothing can be read."""
    z = np.random.default_rng(6).normal(size=(4, 4, 3))
    args = arrays(z, [[1], [2], [1], [1]], [4, 0, 0, 3], [0, 0, 1, 0])
    loss, closed, _ = computed(*args)
    blanks = -log_softmax(z)[..., 0]
    np.testing.assert_allclose(loss, [blanks[0].sum(), 0, INF, blanks[3, :3].sum()], rtol=1e-6)
    equal(closed[1:3], 0)
    for shape, labels in [((2, 4, 3), (2, 0)), ((2, 0, 3), (2, 1)), ((0, 4, 3), (0, 1))]:
        args = arrays(jnp.zeros(shape), jnp.ones(labels), counts=np.zeros(shape[0]))
        loss, closed, _ = computed(*args)
        np.testing.assert_allclose(loss, [shape[1] * np.log(3)] * shape[0], rtol=1e-6)
        assert closed.shape == shape


def test_padding_is_not_looked_at():
    z = np.random.default_rng(7).normal(size=(2, 5, 3))
    padded = z.copy()
    padded[:, 3:], padded[1, 3:] = np.nan, np.inf
    args = arrays(z, [[1, 2], [1, 0]], [3, 3], [2, 1])
    plain, other = computed(*args), computed(*arrays(padded, [[1, 2], [1, -9]], *args[2:]))
    for one, two in zip(plain, other, strict=True):
        equal(one, two)
    equal(other[2][:, 3:], 0)
    padded[0, 2, 0] = np.nan  # this frame counts
    loss, closed, slope = computed(*arrays(padded, [[1, 2], [1, 0]], *args[2:]))
    equal(np.isnan(loss), [True, False])
    assert jnp.isnan(closed[0]).all()
    assert jnp.isnan(slope[0]).any()


def test_short_floats_are_rounded_once():
    args = arrays(WAVES, READ, TIMES, COUNTS)
    for dtype in (jnp.bfloat16, jnp.float16):
        short = args[0].astype(dtype), *args[1:]
        wide = short[0].astype(jnp.float32), *args[1:]
        for one, other in zip(computed(*short)[:2], computed(*wide)[:2], strict=True):
            equal(one, other.astype(dtype))


def test_second_derivatives_where_paths_tie():
    """All classes equally likely, as at the start of a training, and some impossible."""
    with jax.enable_x64(True):
        rest = arrays(WAVES, READ, TIMES, COUNTS)[1:]
        z = jnp.zeros((3, 9, 5)).at[1, :, 3].set(-INF)
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
    args = arrays(WAVES, READ, TIMES, COUNTS)
    loss, closed, _ = computed(*args)
    one, its, _ = computed(*(a[1] for a in args))
    np.testing.assert_allclose(one, loss[1], rtol=1e-6)
    np.testing.assert_allclose(its, closed[1], atol=1e-6)
    deep, deeper, _ = computed(*(a[:, None] for a in args))
    np.testing.assert_allclose(deep[:, 0], loss, rtol=1e-6)
    np.testing.assert_allclose(deeper[:, 0], closed, atol=1e-6)


Z, L, T, N = arrays(np.zeros((2, 3, 4)), [[1, 2], [3, 0]], [3, 3], [2, 1])
WRONG = {
    "a class too many": ((Z, L + 1, T, N), "labels must be classes from 0 to 3 other than .* got 4"),
    "a negative class": ((Z, L - 2, T, N), "labels must be .* got -1"),
    "the blank": ((Z, L, T, N + 1), "labels must be .* blank, 0, got 0. Renumber them"),
    "too many frames": ((Z, L, T + 1, N), r"logit_lengths must lie in \[0, 3\], got 4"),
    "less than no frames": ((Z, L, T - 4, N), r"logit_lengths must lie in \[0, 3\], got -1"),
    "too many labels": ((Z, L, T, N + 2), r"label_lengths must lie in \[0, 2\], got 4"),
    "less than no labels": ((Z, L, T, N - 2), r"label_lengths must lie in \[0, 2\], got -1"),
}  # fmt: skip


@pytest.mark.parametrize(("args", "message"), WRONG.values(), ids=WRONG)
def test_labels_and_lengths_that_cannot_be_right(args, message):
    for f in (losses.ctc, losses.ctc_grad):
        with pytest.raises(ValueError, match=f"^{f.__name__}: {message}"):
            f(*args)
    loss, closed, slope = computed(*args)
    wrong = np.isnan(loss)
    assert wrong.any()
    assert np.isnan(closed[wrong]).all()
    assert np.isnan(slope[wrong]).all()
    assert np.isfinite(closed[~wrong]).all()


def test_constants_of_a_program_are_looked_at():
    with pytest.raises(ValueError, match="labels must be"):
        jax.jit(lambda z: losses.ctc(z, L + 1, T, N))(Z)


@pytest.mark.parametrize(
    ("kind", "args", "options", "message"),
    [
        (TypeError, (jnp.zeros((2, 3, 4), int), L, T, N), {}, "logits must be floating"),
        (TypeError, (Z, L.astype(float), T, N), {}, "labels must hold integers"),
        (TypeError, (Z, L, T.astype(float), N), {}, "logit_lengths must hold integers"),
        (TypeError, (Z, L, T, N), {"blank": 0.0}, "blank must be an integer, got 0.0"),
        (ValueError, (Z, L, T, N), {"blank": 4}, "blank must be a class from 0 to 3, got 4"),
        (ValueError, (Z, L, T, N), {"blank": -1}, "blank must be a class from 0 to 3, got -1"),
        (ValueError, (Z[0, 0], L, T, N), {}, r"logits must have shape \[..., time, classes\]"),
        (ValueError, (Z, L[0], T, N), {}, "labels must hold one row per sequence"),
        (ValueError, (Z, L, T[:1], N), {}, "logit_lengths must hold one entry per row"),
        (ValueError, (Z, L, T, N[:, None]), {}, "label_lengths must hold one entry per row"),
    ],
)
def test_kinds_and_shapes(kind, args, options, message):
    with pytest.raises(kind, match=f"^ctc: {message}"):
        losses.ctc(*args, **options)
