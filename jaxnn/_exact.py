"""Smooth elementwise functions in forms that neither cancel nor overflow.

Autodiff of the usual formulas loses the tails: 1 - sigmoid(17) is 0 in float32, exp(-88) is
flushed to 0 although -88 * exp(-88) is not, and x * sigmoid(x) at minus infinity is NaN. So the
value, the first and the second derivative each have a form of their own here, installed with
`derivative`. The forms hold for float32 and float64; `rounded_once` serves the shorter types.

Below, e stands for exp(-|x|), which never overflows.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike

from jaxnn._rounding import product


def rounded_once(f, *args):
    """`f(*args)`, computed in float32 where the arguments are bfloat16 or float16."""
    dtype = jnp.result_type(*args)
    if jnp.finfo(dtype).bits >= 32:
        return f(*args)
    wide = [a if isinstance(a, (int, float)) else jnp.asarray(a, jnp.float32) for a in args]
    return jax.tree.map(lambda y: y.astype(dtype), f(*wide))


def derivative(first) -> Callable[[Callable], Callable]:
    """Decorator: `first(x)` is the derivative of the function below, for JAX too."""

    def install(f):
        f = jax.custom_jvp(f)
        f.defjvps(lambda t, _, x: t * first(x))
        return f

    return install


def install(core: jax.custom_jvp, *slopes) -> None:
    """Makes `slope(tangent, *primals)`, one for each argument, the derivative of `core`.

    Unlike `defjvps`, it leaves out constants: a label at infinity times a tangent of 0 is NaN.
    """

    def jvp(primals, tangents):
        pairs = zip(slopes, tangents, strict=True)
        varies = lambda t: t is not None and not isinstance(t, SymbolicZero)
        terms = [s(t, *primals) for s, t in pairs if varies(t)]
        return core(*primals), sum(terms[1:], terms[0])

    core.defjvp(jvp, symbolic_zeros=True)


# Building blocks


# x + _SHIFT is exact for such x as need it, and exp(-_SHIFT) is a float32 to 1e-11 (by search).
_SHIFT = 21.74853515625


def times_exp(q, x, error: ArrayLike = 0.0):
    """q * exp(x + error) for x <= 0, right also where exp(x) alone would be subnormal."""
    far = x < -60  # early enough that power * error is not subnormal either
    power = jnp.exp(x + jnp.where(far, _SHIFT, 0))
    return q * (power + power * error) * jnp.where(far, math.exp(-_SHIFT), 1)


def folded(x):
    """-|x|, bounded, so that its products with exp are 0 at infinity; differentiable at 0."""
    return jnp.maximum(jnp.where(x > 0, -x, x), -800)


def flat(x):
    """0, and NaN where x is."""
    return jnp.where(jnp.isnan(x), jnp.nan, jnp.zeros_like(x))


@derivative(flat)
def one(x):
    """1, and NaN where x is."""
    return 1 + flat(x)


@derivative(one)
def identity(x):
    """x, of which the derivative is NaN where x is."""
    return x


@derivative(jnp.exp)
def expm1(x):
    """exp(x) - 1 for x <= 0; XLA's own loses up to 5 ULP, and its derivative the tail."""
    if jnp.result_type(x) == jnp.float64:
        return jnp.expm1(x)
    series = 0.0
    for k in range(12, 1, -1):
        series = (series + 1 / math.factorial(k)) * x
    return jnp.where(x > -1, x + series * x, jnp.exp(x) - 1)


# Sigmoid, tanh, softplus


@derivative(lambda x: sigmoid_slope(x))
def sigmoid(x):
    """1 or e, over 1 + e."""
    e = jnp.exp(folded(x))
    return jnp.where(x > 0, 1, e) / (1 + e)


@derivative(lambda x: _sigmoid_bend(x))
def sigmoid_slope(x):
    """e / (1 + e)^2."""
    e = jnp.exp(folded(x))
    return e / (1 + e) ** 2


def _sigmoid_bend(x) -> jax.Array:
    """-sigmoid'(x) tanh(x / 2)."""
    return -tanh(0.5 * x) * sigmoid_slope(x)


@derivative(lambda x: tanh_slope(x))
def tanh(x):
    """-m / (2 + m) with m = exp(-2|x|) - 1, and the sign of x."""
    m = expm1(2 * folded(x))
    # Not copysign: XLA folds its bits in the wrong order where x is a transposed constant.
    return jnp.sign(x) * (jnp.abs(m) / (2 + m))


@derivative(lambda x: _tanh_bend(x))
def tanh_slope(x):
    """1 / cosh(x)^2."""
    return _times_squared_sech(1.0, x)


def _tanh_bend(x) -> jax.Array:
    """-2 tanh(x) / cosh(x)^2."""
    return _times_squared_sech(-2 * tanh(x), x)


def _times_squared_sech(q, x):
    """q * 4 e^2 / (1 + e^2)^2; far out e^2 is subnormal, but (2 e q)(2 e) may not be."""
    n = folded(x)
    e, squared = jnp.exp(n), jnp.exp(2 * n)
    return jnp.where(n < -40, (2 * e * q) * (2 * e), q * (4 * squared / (1 + squared) ** 2))


@derivative(sigmoid)
def softplus(x):
    """max(x, 0) + log(1 + e)."""
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(folded(x)))


@derivative(lambda x: softsign_slope(x))
def softsign(x):
    """x / (1 + |x|); the bound makes it 1 at infinity."""
    bounded = jnp.clip(x, -1e30, 1e30)
    return bounded / (1 + jnp.abs(bounded))


@derivative(lambda x: _softsign_bend(x))
def softsign_slope(x):
    """1 / (1 + |x|)^2, without squaring what could overflow."""
    r = 1 / (1 + jnp.abs(x))
    return r * r


def _softsign_bend(x) -> jax.Array:
    """-2 sign(x) / (1 + |x|)^3."""
    return -2 * jnp.sign(x) / (1 + jnp.abs(x)) * softsign_slope(x)


# Elu and its kin: where x > 0, x or its scale; below, an exponential


def elu(x, alpha, scale=1.0):
    """scale * (x or alpha (exp(x) - 1)); all its derivatives are those of `_expm1_times`."""
    below = jnp.where(x > 0, 0, x)
    return jnp.where(x > 0, scale * x, _expm1_times(scale * alpha, below))


def elu_slope(x, alpha, scale=1.0):
    """scale * (1 or alpha exp(x))."""
    below = jnp.where(x > 0, 0, x)
    return jnp.where(x > 0, scale, _exp_times(scale * alpha, below))


@jax.custom_jvp
def _expm1_times(c, x):
    return c * expm1(x)


_expm1_times.defjvps(
    lambda t, _, c, x: t * expm1(x),
    lambda t, _, c, x: t * _exp_times(c, x),
)


@jax.custom_jvp
def _exp_times(c, x):
    return times_exp(c, jnp.maximum(x, -800))


_exp_times.defjvps(
    lambda t, y, c, x: t * jnp.exp(x),
    lambda t, y, c, x: t * _exp_times(c, x),
)


def celu(x, alpha):
    """x, or alpha (exp(x / alpha) - 1)."""
    return jnp.where(x > 0, x, _celu_below(jnp.where(x > 0, 0, x), alpha))


def celu_slope(x, alpha):
    """1, or exp(x / alpha)."""
    return jnp.where(x > 0, 1, _exp_ratio(jnp.where(x > 0, 0, x), alpha))


def _ratio(x, alpha):
    """x / alpha, bounded, and its rounding error, which exp would multiply by x / alpha."""
    q = x / alpha
    p, error = product(alpha, q, 1e30)
    error = jnp.where((q > -800) & (q < -0.1), ((x - p) - error) / alpha, 0)
    return jnp.maximum(q, -800), jax.lax.stop_gradient(error)


@jax.custom_jvp
def _celu_below(x, alpha):
    q, error = _ratio(x, alpha)
    return jnp.where(q > -1e-9, x, alpha * (expm1(q) + error * jnp.exp(q)))


@jax.custom_jvp
def _celu_in_alpha(x, alpha):
    """h(q) = exp(q) - 1 - q exp(q), which is nearly -q^2 / 2 where both cancel."""
    q, _ = _ratio(x, alpha)
    near, series = jnp.maximum(q, -1), 0.0
    for k in range(20 if q.dtype == jnp.float64 else 13, 1, -1):
        series = series * near + (1 - k) / math.factorial(k)
    return jnp.where(q > -1, q * (q * series), expm1(q) - q * jnp.exp(q))


_celu_below.defjvps(
    lambda t, _, x, alpha: t * _exp_ratio(x, alpha),
    lambda t, _, x, alpha: t * _celu_in_alpha(x, alpha),
)


@jax.custom_jvp
def _exp_ratio(x, alpha):
    return times_exp(1.0, *_ratio(x, alpha))


def _exp_ratio_in_alpha(x, alpha):
    """-q exp(q) / alpha, which is the slope of h in x too."""
    q, error = _ratio(x, alpha)
    return times_exp(_finite(-q / alpha), q, error)


_exp_ratio.defjvps(
    lambda t, _, x, alpha: t * times_exp(1 / alpha, *_ratio(x, alpha)),
    lambda t, _, x, alpha: t * _exp_ratio_in_alpha(x, alpha),
)


def _celu_bend_in_alpha(x, alpha):
    """q^2 exp(q) / alpha, in an order in which nothing is subnormal before it is."""
    q, error = _ratio(x, alpha)
    far = q < -1
    return times_exp(_finite(jnp.where(far, q * q, q) / alpha), q, error) * jnp.where(far, 1, q)


_celu_in_alpha.defjvps(
    lambda t, _, x, alpha: t * _exp_ratio_in_alpha(x, alpha),
    lambda t, _, x, alpha: t * _celu_bend_in_alpha(x, alpha),
)


# Swish, with u = beta x, and s(u) = u sigmoid(u). A beta of None is 1, and costs no product.


def _scaled(x, beta):
    """u > 0, -|u| (bounded) with its rounding error, and e."""
    u, error = (x, jnp.zeros_like(x)) if beta is None else product(beta, x)
    n = folded(u)
    return u > 0, n, jnp.where(u > 0, -error, error), jnp.exp(n)


def _finite(x):
    """x, infinities replaced by the largest numbers: their product with 0 is 0."""
    largest = jnp.finfo(jnp.result_type(x)).max
    return jnp.clip(x, -largest, largest)


@jax.custom_jvp
def swish(x, beta):
    """x sigmoid(beta x)."""
    positive, n, error, e = _scaled(x, beta)
    return jnp.where(positive, x / (1 + e), times_exp(_finite(x) / (1 + e), n, error))


install(
    swish,
    lambda t, x, beta: t * swish_slope(x, beta),
    lambda t, x, beta: t * _swish_in_beta(x, beta),
)


@jax.custom_jvp
def swish_slope(x, beta):
    """s'(u): e (1 + u + e) / (1 + e)^2 for u < 0, and s'(u) + s'(-u) = 1."""
    positive, n, error, e = _scaled(x, beta)
    below = times_exp((1 + n + error + e) / (1 + e) ** 2, n, error)
    return jnp.where(positive, 1 - below, below)


def _times_bend(q, x, beta):
    """q s''(u), s''(u) = sigmoid'(u) (2 - u tanh(u / 2)); by powers of e, what cancels is exact."""
    _, n, error, e = _scaled(x, beta)
    return times_exp(q * (2 + n + error + e * (2 - n)) / (1 + e) ** 3, n, error)


def _root_in_beta(x, beta):
    """x exp(-|u| / 2) / (1 + e): with half of -|u|, nothing vanishes that x makes large again."""
    _, n, error, e = _scaled(x, beta)
    return times_exp(_finite(x), n / 2, error / 2) / (1 + e)


def _swish_slope_in_beta(x, beta):
    """x s''(u), which is the slope of x^2 sigmoid'(u) too."""
    _, n, error, e = _scaled(x, beta)
    bend = (2 + n + error + e * (2 - n)) / (1 + e) ** 2
    return _root_in_beta(x, beta) * times_exp(bend, n / 2, error / 2)


install(
    swish_slope,
    lambda t, x, beta: t * _times_bend(1.0 if beta is None else beta, x, beta),
    lambda t, x, beta: t * _swish_slope_in_beta(x, beta),
)


@jax.custom_jvp
def _swish_in_beta(x, beta):
    """x^2 sigmoid'(u)."""
    return _root_in_beta(x, beta) ** 2


def _swish_bend_in_beta(x, beta):
    """-x^3 sigmoid'(u) tanh(u / 2)."""
    root = _root_in_beta(x, beta)
    return -tanh(0.5 * beta * x) * (_finite(x) * root) * root


_swish_in_beta.defjvps(
    lambda t, _, x, beta: t * _swish_slope_in_beta(x, beta),
    lambda t, _, x, beta: t * _swish_bend_in_beta(x, beta),
)


# Mish: x T with T = tanh(softplus(x)), rational in e. What cancels is ordered by powers of e,
# so that the leading terms are exact.


def _folded_mish(x):
    """-|x|, e, and the denominators of T above and below 0."""
    n = folded(x)
    e = jnp.exp(n)
    return n, e, 1 + 2 * e * (1 + e), 2 + e * (2 + e)


@derivative(lambda x: mish_slope(x))
def mish(x):
    """x T; T = (1 + 2e) / (1 + 2e + 2e^2) above 0, e (2 + e) / (2 + 2e + e^2) below."""
    n, e, d_above, d_below = _folded_mish(x)
    above = x * ((1 + 2 * e) / d_above)
    return jnp.where(x > 0, above, times_exp(n * ((2 + e) / d_below), n))


@derivative(lambda x: _mish_bend(x))
def mish_slope(x):
    """T + x T', T' = 4 e^2 (1 + e) / d^2 above 0 and 4 e (1 + e) / d^2 below, d as in `mish`."""
    n, e, d_above, d_below = _folded_mish(x)
    above = (1 + 2 * e) / d_above - n * (4 * e**2 * (1 + e) / d_above**2)
    below = times_exp((4 * (1 + n) + e * (6 + 4 * n + e * (4 + e))) / d_below**2, n)
    return jnp.where(x > 0, above, below)


def _mish_bend(x):
    """2 T' + x T''."""
    n, e, d_above, d_below = _folded_mish(x)
    above = 2 + 2 * n + e * (6 + 3 * n + e * (8 - 2 * n + e * (4 - 2 * n)))
    below = 4 + 2 * n + e * (8 + 2 * n + e * (6 - 3 * n + e * (2 - 2 * n)))
    above = (4 * above / d_above**3 * e) * e
    return jnp.where(x > 0, above, times_exp(4 * below / d_below**3, n))
