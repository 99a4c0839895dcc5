"""The truth: functions and their first two derivatives to 130 digits.

Each function is written down once, as its definition reads, on numbers that carry their
derivatives along (`Jet`). So the truth shares no formula with what it judges, and it needs no
care: with 130 digits, what cancels leaves more than a float32 can tell from 1e-38.
"""

import functools
import importlib
import math

import numpy as np

DIGITS = 130


@functools.cache
def mpmath():
    """The module mpmath."""
    try:
        return importlib.import_module("mpmath")
    except ImportError:
        raise ImportError(
            "check: mpmath must be installed, got none. "
            "Run: python -m pip install 'jaxnn-functional[check]'."
        ) from None


@functools.cache
def mp():
    """The context of mpmath in which all truth is computed."""
    context = mpmath().mp.clone()
    context.dps = DIGITS
    return context


class Jet:
    """A number with its first and second derivative in x; compares by value."""

    __slots__ = ("first", "second", "value")

    def __init__(self, value, first=0, second=0):
        self.value, self.first, self.second = value, first, second

    def __add__(self, other):
        o = jet(other)
        return Jet(self.value + o.value, self.first + o.first, self.second + o.second)

    def __mul__(self, other):
        o = jet(other)
        return Jet(
            self.value * o.value,
            self.first * o.value + self.value * o.first,
            self.second * o.value + 2 * self.first * o.first + self.value * o.second,
        )

    def __truediv__(self, other):
        return self * reciprocal(jet(other))

    def __neg__(self):
        return Jet(-self.value, -self.first, -self.second)

    def __sub__(self, other):
        return self + -jet(other)

    def __rsub__(self, other):
        return jet(other) + -self

    def __rtruediv__(self, other):
        return jet(other) / self

    def __gt__(self, other):
        return self.value > jet(other).value

    def __lt__(self, other):
        return self.value < jet(other).value

    def __abs__(self):
        return self if self.value > 0 else -self

    __radd__, __rmul__ = __add__, __mul__


def jet(x):
    """x, or the constant x, as a number with derivatives."""
    return x if isinstance(x, Jet) else Jet(x)


def chain(x, value, slope, bend):
    """The jet of h(x), given h, h' and h'' there."""
    return Jet(value, slope * x.first, bend * x.first * x.first + slope * x.second)


def reciprocal(x):
    y = 1 / mp().mpf(x.value)
    return chain(x, y, -y * y, 2 * y * y * y)


def exp(x):
    x = jet(x)
    y = mp().exp(x.value)
    return chain(x, y, y, y)


def expm1(x):
    x = jet(x)
    e = mp().exp(x.value)
    value = e - 1 if abs(x.value) > 1e-9 else mp().expm1(x.value)
    return chain(x, value, e, e)


def log(x):
    x = jet(x)
    y = 1 / mp().mpf(x.value)
    return chain(x, mp().log(x.value), y, -y * y)


def log1p(x):
    x = jet(x)
    y = 1 / mp().mpf(1 + x.value)
    large = abs(x.value) > 1e-9
    return chain(x, mp().log(1 + x.value) if large else mp().log1p(x.value), y, -y * y)


def power(x, p):
    """x^p for x > 0, exp(p log x)."""
    return exp(p * log(x))


def normal_distribution(x):
    """Phi(x), whose derivatives are phi(x) and -x phi(x)."""
    m = mp()
    lower = m.erfc(abs(x.value) / m.sqrt(2)) / 2
    density = m.exp(-x.value * x.value / 2) / m.sqrt(2 * m.pi)
    return chain(x, 1 - lower if x.value > 0 else lower, density, -x.value * density)


# The activations, as their docstrings define them. At a kink the branch taken is our convention.


def linear(x):
    return x


def sigmoid(x):
    return 1 / (1 + exp(-x))


def log_sigmoid(x):
    return -softplus(-x)


def tanh(x):
    m = expm1(2 * x)
    return m / (m + 2)


def relu(x):
    return x if x > 0 else jet(0)


def relu6(x):
    return relu(x) if x < 6 else jet(6)


def leaky_relu(x, slope):
    return x if x > 0 else slope * x


def elu(x, alpha, scale=1):
    return scale * x if x > 0 else scale * alpha * expm1(x)


def selu(x):
    return elu(x, mp().mpf(1.6732632423543772), mp().mpf(1.0507009873554805))


def celu(x, alpha):
    return x if x > 0 else alpha * expm1(x / alpha)


def swish(x, beta):
    return x * sigmoid(beta * x)


def gelu(x):
    return x * normal_distribution(x)


def gelu_tanh(x):
    k = 2 * mp().sqrt(2 / mp().pi)
    return x * sigmoid(k * (x + mp().mpf("0.044715") * x * x * x))


def softplus(x):
    return log1p(exp(x)) if x < 0 else x + log1p(exp(-x))


def softsign(x):
    if x.value == 0:  # its second derivative jumps there from 2 to -2
        return chain(x, mp().mpf(0), 1, 0)
    return x / (1 + abs(x))


def mish(x):
    w = 1 + exp(x)
    above = w * w
    return x * (above - 1) / (above + 1)


def hard_sigmoid(x):
    return relu6(x + 3) / 6


def hard_swish(x):
    # x = 3 belongs to the upper branch and x = -3 to the lower.
    if x > -3 and x < 3:
        return x * (x + 3) / 6
    return x if x > 0 else jet(0)


# From numbers to arrays of float64


def evaluate(f, x, *others):
    """f and its derivatives in x at arrays of points, `[3, points]` twice: high and low parts.

    Infinity stands for its limit and NaN for itself, so the points may hold them.
    """
    columns = [np.asarray(a, np.float64) for a in (x, *others)]
    found = [_at(f, *point) for point in zip(*(c.tolist() for c in columns), strict=True)]
    high = np.array([[number[0] for number in row] for row in found]).reshape(-1, 3).T
    low = np.array([[number[1] for number in row] for row in found]).reshape(-1, 3).T
    return high, low


def _at(f, x, *others):
    if math.isnan(x) or any(math.isnan(o) for o in others):
        return [(math.nan, 0.0)] * 3
    m = mp()
    infinite = math.isinf(x)
    far = m.ldexp(math.copysign(1, x), _FAR) if infinite else m.mpf(x)
    y = jet(f(Jet(far, m.mpf(1), m.mpf(0)), *(m.mpf(o) for o in others)))
    return [split(number, infinite) for number in (y.value, y.first, y.second)]


_FAR = 300  # infinity is looked at from 2^300, where limits are reached to 90 digits


def split(number, limit=False):
    """A number as high + low in float64; as a limit, what is vast is infinite, what is tiny 0."""
    high = float(number)
    if limit and not 1e-60 < abs(high) < 1e60:
        return (0.0 if abs(high) < 1 else math.copysign(math.inf, high)), 0.0
    return high, float(number - high) if math.isfinite(high) else 0.0
