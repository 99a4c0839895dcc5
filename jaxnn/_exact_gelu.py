"""Gelu in forms that neither cancel nor overflow; see `jaxnn._exact`.

Phi is the distribution function and phi the density of the normal distribution.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn._exact import derivative, times_exp
from jaxnn._rounding import product

_DENSITY_AT_0 = 1 / math.sqrt(2 * math.pi)
# (z + 1) Phi(-z) exp(z^2 / 2) as a polynomial in (z - 4) / (z + 4), to 1e-16 for 0 <= z <= 40,
# by interpolation at the Chebyshev nodes in 50 digits.
_MILLS = (
    0.4720532065098442, -0.09670347732651927, 0.01399963472455321,
    0.028600364052978028, -0.03219783743387115, 0.017936097493965433,
    -0.005002378487885334, -0.00028562325451942744, 0.0006948961557622355,
    -9.442937272787335e-05, -8.784809111768056e-05, 2.1247420397193743e-05,
    1.3609946905667049e-05, -3.428675778190309e-06, -2.5774086234302217e-06,
    4.0553024060159285e-07, 5.05720137834969e-07, -8.50303430432296e-09,
    -7.577732221680284e-08, -7.215740819900356e-09, 4.290878487813937e-09,
)  # fmt: skip
# The same to 4e-10, which is enough for float32.
_MILLS_SHORT = (
    0.47205320655028354, -0.09670347704923736, 0.013999631021360601, 0.028600346006480377,
    -0.032197785570131796, 0.017936369233436528, -0.005002594717629511,
    -0.00028723923600250975, 0.0006949549387494351, -8.991107124303166e-05,
    -8.631828063512135e-05, 1.5169106591684718e-05, 1.016311036605768e-05,
)  # fmt: skip


def _gaussian(x):
    """z = |x| (bounded), and -z^2 / 2 with its rounding error."""
    z = jnp.minimum(jnp.abs(x), 40)
    square, error = product(z, z)
    return z, -square / 2, -error / 2


def _mills(z):
    """Phi(-z) exp(z^2 / 2): what is left of the tail without its exponential."""
    t, total = (z - 4) / (z + 4), 0.0
    for c in reversed(_MILLS if z.dtype == jnp.float64 else _MILLS_SHORT):
        total = total * t + c
    return total / (z + 1)


@derivative(lambda x: gelu_slope(x))
def gelu(x):
    """x Phi(x), from the lower tail: x Phi(-z) or x (1 - Phi(-z))."""
    z, n, error = _gaussian(x)
    tail = times_exp(_mills(z) * jnp.where(x > 0, 1, jnp.maximum(x, -40)), n, error)
    return jnp.where(x > 0, x * (1 - tail), tail)


@derivative(lambda x: _gelu_bend(x))
def gelu_slope(x):
    """Phi(x) + x phi(x), which at x and at -x sums to 1."""
    z, n, error = _gaussian(x)
    below = times_exp(_mills(z) - _DENSITY_AT_0 * z, n, error)
    return jnp.where(x > 0, 1 - below, below)


def _gelu_bend(x):
    """phi(x) (2 - x^2)."""
    _, n, error = _gaussian(x)
    return times_exp(2 * _DENSITY_AT_0 * (1 + n), n, error)


# Gelu by tanh: x sigmoid(w), w = k (x + 0.044715 x^3), k = 2 sqrt(2 / pi)

_LINEAR = 2 * math.sqrt(2 / math.pi)
_CUBIC = 0.044715 * _LINEAR


def _cubic(x):
    """z = |x| (bounded), w(z) and its error, the cubic term c of w and its error.

    From these z w' = w + 2c, which keeps what the derivatives cancel to the last digit.
    """
    z = jnp.minimum(jnp.abs(x), 40)
    square, square_error = product(z, z)
    cube, cube_error = product(z, square)
    linear, linear_error = _times_constant(_LINEAR, z)
    c, c_error = _times_constant(_CUBIC, cube)
    c_error = jax.lax.stop_gradient(c_error + _CUBIC * (cube_error + z * square_error))
    w = linear + c
    back = w - linear
    error = (linear - (w - back)) + (c - back) + linear_error + c_error
    return z, w, jax.lax.stop_gradient(error), c, c_error


def _times_constant(k, x):
    """k x and its error, counting what k itself loses in the type of x."""
    high = np.asarray(k, x.dtype)
    p, error = product(high, x)
    return p, error + (k - float(high)) * x


@derivative(lambda x: gelu_tanh_slope(x))
def gelu_tanh(x):
    """x sigmoid(w)."""
    _, w, error, *_ = _cubic(x)
    e = jnp.exp(-w)
    below = times_exp(jnp.maximum(x, -40) / (1 + e), -w, -error)
    return jnp.where(x > 0, x / (1 + e), below)


@derivative(lambda x: _gelu_tanh_bend(x))
def gelu_tanh_slope(x):
    """sigmoid(w) + x w' sigmoid'(w), which at x and at -x sums to 1."""
    _, w, error, c, c_error = _cubic(x)
    e = jnp.exp(-w)
    inner = (1 - w) - 2 * c + (e - error - 2 * c_error)  # 1 + e - z w'
    below = times_exp(inner / (1 + e) ** 2, -w, -error)
    return jnp.where(x > 0, 1 - below, below)


def _gelu_tanh_bend(x):
    """sigmoid'(w) (w' (2 - z w' tanh(w / 2)) + z w'')."""
    z, w, error, c, c_error = _cubic(x)
    e = jnp.exp(-w)
    r = 2 * e / (1 + e)  # 1 - tanh(w / 2)
    inner = (2 - w) - 2 * c + ((w + 2 * c) * r - error - 2 * c_error)
    inner = (_LINEAR + 3 * _CUBIC * z**2) * inner + 6 * _CUBIC * z**2
    return times_exp(inner / (1 + e) ** 2, -w, -error)
