"""What is particular to the activations: kinks, limits, tails, golden values, messages."""

from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxnn import activations as a

SMOOTH = [
    a.celu, a.elu, a.gelu, lambda x: a.gelu(x, True), a.log_sigmoid, a.mish, a.selu, a.sigmoid,
    a.softplus, a.softsign, a.swish, a.tanh,
]  # fmt: skip
PIECEWISE = [
    a.hard_sigmoid, a.hard_swish, a.leaky_relu, lambda x: a.prelu(x, 0.25), a.relu, a.relu6,
]  # fmt: skip


def slope(f):
    return jax.jit(jax.grad(lambda x: f(x).sum()))


def close(found, expected, tolerance=1e-6):
    np.testing.assert_allclose(np.asarray(found, float), expected, rtol=tolerance, atol=1e-30)


@pytest.mark.parametrize(
    ("f", "below", "above"),
    [
        (a.linear, -np.inf, np.inf), (a.sigmoid, 0, 1), (a.log_sigmoid, -np.inf, 0),
        (a.tanh, -1, 1), (a.relu, 0, np.inf), (a.relu6, 0, 6), (a.leaky_relu, -np.inf, np.inf),
        (a.elu, -1, np.inf), (a.selu, -1.7580993, np.inf), (a.celu, -1, np.inf),
        (a.swish, 0, np.inf), (lambda x: a.swish(x, 1.7), 0, np.inf), (a.gelu, 0, np.inf),
        (lambda x: a.gelu(x, True), 0, np.inf), (a.softplus, 0, np.inf), (a.softsign, -1, 1),
        (a.mish, 0, np.inf), (a.hard_sigmoid, 0, 1), (a.hard_swish, 0, np.inf),
    ],
)  # fmt: skip
def test_limits(f, below, above):
    for dtype in (jnp.float32, jnp.float16):
        low, high, largest, smallest = f(jnp.array([-jnp.inf, jnp.inf, 6e4, -6e4], dtype))
        close([low, high], [below, above], 1e-3)
        assert np.isfinite(largest)
        assert largest >= min(above, 6e4) * 0.999
        assert abs(smallest - low) < 1e-3 or smallest <= -50
    ends = slope(f)(jnp.array([-jnp.inf, jnp.inf]))
    assert np.isfinite(ends).all()


@pytest.mark.parametrize("f", [a.linear, *SMOOTH, *PIECEWISE])
def test_nan_reaches_value_and_gradient(f):
    nan = jnp.array([jnp.nan])
    assert np.isnan(f(nan)).all()
    assert np.isnan(slope(f)(nan)).all()
    assert np.isnan(slope(slope(f))(nan)).all()


def test_kinks():
    zero, at = 0.0, lambda f, x: float(jax.grad(f)(x))
    assert [at(a.relu, zero), at(a.relu6, zero), at(a.relu6, 6.0)] == [0, 0, 0]
    assert at(a.leaky_relu, zero) == np.float32(0.01)
    assert at(lambda x: a.prelu(x, 0.25), zero) == 0.25
    assert [at(a.hard_sigmoid, -3.0), at(a.hard_sigmoid, 3.0)] == [0, 0]
    assert [at(a.hard_swish, -3.0), at(a.hard_swish, 3.0)] == [0, 1]
    assert at(lambda x: a.elu(x, 0.5), zero) == 0.5
    assert at(a.celu, zero) == 1
    assert float(jax.grad(jax.grad(a.softsign))(zero)) == 0


def test_the_gradient_reaches_the_tails():
    """Each of these is 0, NaN or off by much where autodiff goes through the usual formula."""
    x = jnp.array([20.0])
    close(slope(a.sigmoid)(x), 2.0611536e-09)
    close(slope(a.tanh)(x), 1.6993417e-17)
    close(slope(a.elu)(-x), 2.0611536e-09)
    close(slope(a.selu)(-2 * x), 7.4690288e-18)
    close(slope(slope(a.softplus))(x), 2.0611536e-09)
    close(a.log_sigmoid(x), -2.0611536e-09)
    close(slope(slope(a.swish))(x), -3.7100765e-08)
    close(a.swish(jnp.array([-90.0])), -7.3746114e-38)
    close(a.gelu(jnp.array([-10.0])), -7.6198530e-23)
    close(a.gelu(jnp.array([-10.0]), True), -1.2040923e-37)
    close(slope(a.gelu)(jnp.array([-3e38, 3e38])), [0, 1])
    close(slope(a.mish)(jnp.array([-88.0])), -5.2675036e-37)


@pytest.mark.parametrize("f", [a.gelu, a.mish, a.selu, a.swish, a.tanh])
def test_third_derivatives(f):
    """Beyond the installed rules: these differentiate the second derivative's own form."""
    with jax.enable_x64(True):
        x = jnp.array([-3.0, -0.7, 0.4, 2.5])
        second = slope(slope(f))
        numeric = (second(x + 1e-5) - second(x - 1e-5)) / 2e-5
        np.testing.assert_allclose(slope(second)(x), numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("f", [a.tanh, a.gelu, a.mish, a.swish])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_short_types_are_rounded_once(f, dtype):
    x = jnp.linspace(-9, 9, 200).astype(dtype)
    expected = f(x.astype(jnp.float32)).astype(dtype)
    np.testing.assert_array_equal(f(x), expected)
    wide = slope(f)(x.astype(jnp.float32)).astype(dtype)
    np.testing.assert_array_equal(slope(f)(x), wide)


def test_double_precision_is_double():
    with jax.enable_x64(True):
        x = jnp.array([-30.0, -6.0, -0.3, 2.0])
        phi = np.array([4.906713927148187e-198, 9.865876450376981e-10, 0.3820885778110474,
                        0.9772498680518208])  # fmt: skip
        np.testing.assert_allclose(a.gelu(x), x * phi, rtol=1e-13)
        np.testing.assert_allclose(a.tanh(x), np.tanh(x), rtol=1e-15)


def test_learned_hyperparameters():
    x, features = jnp.array([[-2.0, 3.0], [-1.0, -4.0]]), jnp.array([0.25, 0.5])
    learned = jax.grad(lambda s: a.prelu(x, s).sum())(features)
    close(learned, [-3, -4])
    in_x, in_slope = a.prelu_grad(x, features)
    close(in_x, [[0.25, 1], [0.25, 0.5]])
    close(in_slope.sum(0), learned)
    with jax.enable_x64(True):
        for f in (a.swish, a.celu, a.elu, a.leaky_relu):
            total = lambda b, f=f: f(jnp.array([-2.0, -0.3, 1.5]), b).sum()
            by = jax.grad(total)
            # Value, slope and bend by the hyperparameter, at three of it.
            beside = jax.jit(jax.vmap(lambda b, f=total, by=by: (f(b), by(b), jax.grad(by)(b))))
            value, slopes, bends = beside(jnp.array([0.7 - 1e-6, 0.7, 0.7 + 1e-6]))
            np.testing.assert_allclose(slopes[1], (value[2] - value[0]) / 2e-6, rtol=1e-8)
            np.testing.assert_allclose(
                bends[1], (slopes[2] - slopes[0]) / 2e-6, rtol=1e-6, atol=1e-9
            )
    assert jax.grad(a.swish, 1)(jnp.inf, 1.0) == 0


def test_softmax_masks():
    x = jnp.array([[1.0, jnp.nan, 3.0], [jnp.inf, jnp.nan, 1.0]])
    mask = jnp.array([[True, False, True], [False, False, False]])
    close(a.softmax(x, where=mask), [[0.11920292, 0, 0.880797], [0, 0, 0]])
    gradient = jax.grad(lambda x: (a.softmax(x, where=mask) * jnp.arange(3.0)).sum())(x)
    close(gradient, [[-0.20998716, 0, 0.20998716], [0, 0, 0]])
    close(a.softmax_vjp(jnp.broadcast_to(jnp.arange(3.0), (2, 3)), x, where=mask), gradient)
    assert a.softmax(jnp.zeros((2, 0))).shape == a.log_softmax(jnp.zeros((2, 0))).shape == (2, 0)


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
def test_nearly_one_hot_rows_keep_their_gradient(mode):
    x, tiny = jnp.array([0.0, 20.0]), 2.0611536e-09
    close(mode(a.softmax)(x), [[tiny, -tiny], [-tiny, tiny]])
    close(mode(a.log_softmax)(x), [[1, -1], [-tiny, tiny]])
    close(a.softmax_vjp(jnp.array([0.0, 1.0]), x), [-tiny, tiny])
    close(a.log_softmax_vjp(jnp.array([0.0, 1.0]), x), [-tiny, tiny])
    close(a.log_softmax(x)[1], -tiny)


def test_maxout_ties_go_to_the_first():
    x = jnp.array([[2.0, 2.0, 1.0, 5.0]])
    close(jax.grad(lambda x: a.maxout(x, 2).sum())(x), [[1, 0, 0, 1]])
    close(a.maxout_vjp(jnp.array([[3.0, 4.0]]), x, 2), [[3, 0, 0, 4]])
    x = jnp.array([1.0, jnp.nan, 3.0, 2.0])
    for slopes in (slope(lambda x: a.maxout(x, 2))(x), a.maxout_vjp(jnp.ones(2), x, 2)):
        np.testing.assert_array_equal(slopes, [0, np.nan, 1, 0])
    np.testing.assert_array_equal(a.maxout(x, 2), [np.nan, 3])


def test_tanh_keeps_its_sign_in_a_program_of_constants():
    rng = np.random.default_rng(0)
    x, kernels = rng.normal(size=(7, 3)), rng.normal(size=(15, 3, 5))
    program = lambda: a.tanh(jnp.einsum("nk,bkj->bnj", *map(jnp.float32, (x, kernels))))
    close(jax.jit(program)(), np.tanh(np.einsum("nk,bkj->bnj", x, kernels)), 1e-5)
    zeros = a.tanh(jnp.array([-0.0, 0.0]))
    assert np.array_equal(np.signbit(zeros), [True, False])


def test_golden_values():
    x = jnp.array([-1.0, 0.5])
    close(a.gelu(x), [-0.15865525, 0.34573123])
    close(a.gelu(x, True), [-0.15880801, 0.34571400])
    close(a.mish(x), [-0.30340147, 0.37524524])
    close(a.celu(x, 2.0), [-0.78693867, 0.5])
    close(a.hard_swish(x), [-1 / 3, 0.29166666])
    close(a.glu(jnp.array([[3.0, 0.0]])), [[1.5]])


ON = jnp.array([True, True, False])
LISTED: Any = [True, True, False]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: a.relu(jnp.arange(3)), TypeError, "relu: x must be floating point, got int32"),
        (lambda: a.sigmoid_grad(3), TypeError, "sigmoid_grad: x must be floating point"),
        (lambda: a.softmax(jnp.ones(3), where=ON[:2]), ValueError, "where must broadcast to the"),
        (lambda: a.softmax(jnp.ones(3), where=ON[None]), ValueError, r"\(3,\), got \(1, 3\)"),
        (lambda: a.softmax(jnp.ones(3), where=LISTED), TypeError, "where must be an array"),
        (lambda: a.relu(LISTED), TypeError, "relu: x must be an array, got a list"),
        (lambda: a.softmax(jnp.ones(2), where=jnp.ones(2)), TypeError, "softmax: where must be bo"),
        (lambda: a.gelu(1.0, "none"), TypeError, "gelu: approximate must be True or False, got 'n"),
        (lambda: a.gelu_grad(1.0, None), TypeError, "gelu_grad: approximate must be True or False"),
        (
            lambda: a.softmax(jnp.ones((2, 5)), 3),
            ValueError,
            r"softmax: axis must be one of the 2 axes of x, got 3 and shape \(2, 5\)",
        ),
        (lambda: a.softmax_vjp(jnp.ones(2), jnp.ones(2), -2), ValueError, "softmax_vjp: axis must"),
        (lambda: a.log_softmax(jnp.ones(())), ValueError, r"log_softmax: axis must .* got -1 and"),
        (lambda: a.maxout(jnp.ones((2, 5)), 2), ValueError, r"maxout: pieces .* 2 and .*\(2, 5\)"),
        (lambda: a.maxout_vjp(jnp.ones(1), jnp.ones(4), 0), ValueError, "maxout_vjp: pieces must"),
        (lambda: a.glu(jnp.ones((2, 3))), ValueError, r"glu: axis -1 .* even size, got .*\(2, 3\)"),
    ],
)
def test_errors_say_what_to_do(call, error, message):
    with pytest.raises(error, match=message) as raised:
        call()
    assert str(raised.value).count(". ") >= 1


def test_derivatives_in_learned_parameters_keep_their_digits():
    """In the parameter, in it twice, and in both: where q - q cancels, and far out."""
    m = mpmath
    steep = lambda u: m.exp(-abs(u)) / (1 + m.exp(-abs(u))) ** 2
    celu = (
        lambda x, c: m.expm1(x / c) - x / c * m.exp(x / c),
        lambda x, c: (x / c) ** 2 * m.exp(x / c) / c,
        lambda x, c: -x / c * m.exp(x / c) / c,
    )
    swish = (
        lambda x, b: x * x * steep(b * x),
        lambda x, b: -(x**3) * steep(b * x) * m.tanh(b * x / 2),
        lambda x, b: x * steep(b * x) * (2 - b * x * m.tanh(b * x / 2)),
    )
    in_celu = [(-1e-2, 2), (-1e-3, 2), (-1e-5, 2), (-3e-14, 0.56), (-18.3, 1.2e9), (-0.7, 0.71)]
    in_celu += [(-0.7, 0.69), (-30.1, 0.35), (-88.3, 0.9), (-8.3e7, 1e6)]
    in_swish = [(x * s, b) for x, b in ((64.3, 0.997), (37, 1.7), (950, 0.1)) for s in (1, -1)]
    in_swish += [(-1e5, 1e-3), (1e-3, 3), (1e-12, 1)]
    with m.workdps(60):
        for f, truths, points in ((a.celu, celu, in_celu), (a.swish, swish, in_swish)):
            x, c = np.array(points, np.float32).T
            slope = jax.grad(f, 1)
            ways = (slope, jax.grad(slope, 1), jax.grad(slope), jax.grad(jax.grad(f), 1))
            every = jax.jit(jax.vmap(lambda x, c, ways=ways: [way(x, c) for way in ways]))
            found = every(x, c)
            for got, truth in zip(found, (*truths, truths[2]), strict=True):
                exact = list(map(truth, map(m.mpf, x.tolist()), map(m.mpf, c.tolist())))
                np.testing.assert_allclose(got, np.array(exact, float), rtol=8e-7, atol=1e-38)
        slope = jax.jit(jax.grad(a.celu, 1))
        with jax.enable_x64(True):
            found = slope(np.float64(-1e-5), np.float64(2))
            np.testing.assert_allclose(found, float(celu[0](m.mpf(-1e-5), 2)), rtol=1e-15)
        for kind in (jnp.bfloat16, jnp.float16):
            exact = float(celu[0](m.mpf(float(kind(-0.1))), 2))
            assert abs(float(slope(kind(-0.1), kind(2))) / exact - 1) <= jnp.finfo(kind).eps / 2
