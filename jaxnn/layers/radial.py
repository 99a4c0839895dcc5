r"""Radial basis functions: Gaussian units, each of which answers to what is near its centre.

The squared distance is summed from differences, \( \sum_j (x_j - c_j)^2 \). The expanded form
\( \|x\|^2 - 2\, x \cdot c + \|c\|^2 \) is one matrix product and so faster on large layers, but
for points far from the origin it subtracts large, nearly equal numbers: around 1000, in
float32, a squared distance of 0.01 is lost in errors of 0.1, and it may come out negative. The
differences are exact for neighbours, and XLA fuses them with their sum.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks
from jaxnn.initializers import Initializer, normal

__all__ = ["radial_basis", "radial_basis_init", "radial_basis_vjp"]


def radial_basis_init(
    key: Array,
    features: int,
    centers: int,
    center_init: Initializer = normal(1.0),
    *,
    width: float = 1.0,
) -> dict[str, Array]:
    """Parameters of `radial_basis`: drawn centres, all of one width.

    Args:
        key: the source of the centres.
        features: of the input.
        centers: how many units.
        center_init: how to draw the centres; by default as for standardised data. Examples
            chosen by `jaxnn.networks.k_means` are better ones.
        width: the first width of every unit, in the unit of the inputs.

    Returns:
        `{"centers": [centers, features], "log_widths": [centers]}`. The logarithm is what is
        learned: so a width stays positive, and a step changes it by a fraction of itself.

    Raises:
        ValueError: if a size or the width is not positive.

    Example:
        >>> params = radial_basis_init(jax.random.key(0), 3, 5)
        >>> params["centers"].shape, params["log_widths"].shape
        ((5, 3), (5,))
    """
    _checks.sizes("radial_basis_init", features=features, centers=centers)
    width = _checks.positive("radial_basis_init", width=width)
    dtype = jnp.result_type(float)  # float32, unless JAX was told to use float64
    drawn = center_init(key, (centers, features), dtype)
    return {"centers": drawn, "log_widths": jnp.log(jnp.full(centers, width, dtype))}


def radial_basis(params: dict[str, Array], x: Array) -> Array:
    r"""Gaussian units, \( y_k = \exp(-\|x - c_k\|^2 / (2 s_k^2)) \).

    Args:
        params: `centers` c `[centers, features]` and `log_widths` log s `[centers]`.
        x: inputs, `[..., features]`.

    Returns:
        Activations within [0, 1], `[..., centers]`: 1 at the centre, 0.607 one width from it.

    Raises:
        ValueError: if `x` does not end in an axis of size `features`.
        TypeError: if `x` does not hold floats.

    Example:
        >>> params = {"centers": jnp.array([[0.0, 0.0], [3.0, 4.0]]), "log_widths": jnp.zeros(2)}
        >>> [f"{y:.3f}" for y in radial_basis(params, jnp.array([0.0, 1.0]))]
        ['0.607', '0.000']

    Reference:
        Broomhead and Lowe, "Multivariable functional interpolation and adaptive networks",
        Complex Systems 1988.
    """
    _check("radial_basis", params, x)
    with jax.named_scope("radial_basis"):
        differences, _ = _differences(params, x)
        return _gaussian(differences).astype(x.dtype)


def radial_basis_vjp(
    g: Array, params: dict[str, Array], x: Array
) -> tuple[dict[str, Array], Array]:
    r"""Pulls the cotangent `g` of the activations back through `radial_basis`.

    With the differences in widths, \( d_k = (x - c_k) / s_k \), so that
    \( y_k = \exp(-\tfrac12 \|d_k\|^2) \):

    1. the cotangent of the exponent \( -\tfrac12 \|d_k\|^2 \) is \( h_k = g_k y_k \), and that
       of \( d_k \) is \( -h_k d_k \);
    2. moving x, or a centre the other way, changes \( d_k \) by \( 1 / s_k \):
       \( \partial x = -\sum_k h_k d_k / s_k \) and \( \partial c_k = \sum_{rows} h_k d_k / s_k \),
       which draws the centre towards inputs where it should be more active;
    3. a larger log width shrinks \( d_k \) by itself:
       \( \partial \log s_k = \sum_{rows} h_k \|d_k\|^2 \).

    Far from a centre y vanishes, and every gradient with it: a unit that no example is near
    learns nothing, so centres should start among the data.

    Returns:
        The cotangents of the parameters, shaped like `params`, and of `x`.
    """
    _check("radial_basis_vjp", params, x)
    _checks.cotangent("radial_basis_vjp", g, (*x.shape[:-1], len(params["centers"])))
    differences, inverse = _differences(params, x)
    h = g.astype(differences.dtype) * _gaussian(differences)
    pulls = h[..., None] * differences * inverse[:, None]
    rows = tuple(range(x.ndim - 1))
    grads = {
        "centers": pulls.sum(rows),
        "log_widths": (h * (differences**2).sum(-1)).sum(rows),
    }
    grads = {name: grad.astype(params[name].dtype) for name, grad in grads.items()}
    return grads, -pulls.sum(-2).astype(x.dtype)


def _check(function, params, x):
    _checks.floating(function, x=x)
    _checks.last_axis(function, params["centers"].shape[1], x=x)


def _differences(params, x):
    """(x - c) / s, `[..., centers, features]`, and 1 / s, both wide.

    What is 1e18 widths away is as far as it can be: its square is still a number, so that 0
    times it is 0 and not nan in the gradients. So is a width whose logarithm is +-87 (in
    float64, 700).
    """
    wide = _checks.wide(x.dtype)
    widest = 0.98 * math.log(jnp.finfo(wide).max)
    # And no quotient, in whose derivative stands the square of s.
    inverse = jnp.exp(-jnp.clip(params["log_widths"].astype(wide), -widest, widest))
    differences = x.astype(wide)[..., None, :] - params["centers"].astype(wide)
    return jnp.clip(differences * inverse[:, None], -1e18, 1e18), inverse


def _gaussian(differences):
    return jnp.exp(-0.5 * (differences**2).sum(-1))
