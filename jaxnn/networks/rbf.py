r"""Radial basis function (RBF) network: Gaussian units around centres, and a linear output.

    x -> radial basis -> dense -> outputs

It learns in two ways. By stages, with `rbf_fit`: centres from k-means, widths from the
distances between centres, and then the output weights, in which the problem is linear, by
least squares; nothing is left to iterate. Or whole, by gradient descent like any network
(`training.make_fit`), best from the parameters that `rbf_fit` returns.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn import _checks, _units
from jaxnn.initializers import Initializer, normal
from jaxnn.layers import dense, dense_init, radial_basis, radial_basis_init
from jaxnn.networks._distances import distances_in_unit, examples, squared_distances
from jaxnn.networks._network import Network, Params, named

__all__ = ["k_means", "rbf_fit", "rbf_interpolate", "rbf_network"]


def rbf_network(
    features: int,
    centers: int,
    outputs: int,
    center_init: Initializer = normal(1.0),
    *,
    width: float = 1.0,
    use_bias: bool = True,
) -> Network:
    r"""A network of Gaussian units with a linear output.

    .. math:: f(x) = \sum_k w_k \exp(-\|x - c_k\|^2 / (2 s_k^2)) + b

    Args:
        features: of the input.
        centers: how many Gaussian units.
        outputs: features of the output.
        center_init: how to draw the centres.
        width: the first width of every unit, in the unit of the inputs.
        use_bias: whether the output has a bias.

    Returns:
        The network. Inputs are `[..., features]`, outputs `[..., outputs]`, and parameters
        `{"radial_basis_0": {"centers", "log_widths"}, "dense_0": {"kernel", "bias"}}`.

    Raises:
        ValueError: if a size or the width is not positive.

    Example:
        >>> net = rbf_network(2, 10, 1)
        >>> net.apply(net.init(jax.random.key(0)), jnp.zeros((4, 2))).shape
        (4, 1)

    Reference:
        Moody and Darken, "Fast learning in networks of locally-tuned processing units", Neural
        Computation 1989.
    """
    _checks.sizes("rbf_network", features=features, centers=centers, outputs=outputs)
    width = _checks.positive("rbf_network", width=width)

    def init(key: Array) -> Params:
        center_key, kernel_key = jax.random.split(key)
        units = radial_basis_init(center_key, features, centers, center_init, width=width)
        output = dense_init(kernel_key, centers, outputs, use_bias=use_bias)
        return {"radial_basis_0": units, "dense_0": output}

    def apply(params: Params, x: Array, *, key: Array | None = None) -> Array:
        del key  # nothing is drawn
        return named(dense, params, "dense_0", named(radial_basis, params, "radial_basis_0", x))

    return Network(init, apply)


def rbf_fit(
    key: Array,
    x: Array,
    targets: Array,
    centers: int,
    *,
    overlap: float = 1.0,
    neighbors: int = 2,
    ridge: float = 1e-3,
    steps: int = 50,
) -> Params:
    r"""Trains an `rbf_network` by stages, without gradients.

    1. The centres c are those of `k_means`.
    2. The width of each is `overlap` times the root mean square distance to its nearest
       `neighbors` among the other centres.
    3. With the activations \( \Phi \), the weights minimise
       \( \|\Phi w + b - t\|^2 + \lambda \|w\|^2 \): ridge regression with a free bias.

    A pure function, for `jax.jit` (with `centers`, `neighbors` and `steps` static) and
    `jax.vmap`. Standardise the features first: the units are round.

    Args:
        key: the source of the first centres.
        x: inputs, `[examples, features]`.
        targets: what to predict, `[examples, outputs]`, of the dtype of `x`; for classes
            `jax.nn.one_hot`, and the largest output wins.
        centers: how many units, at most one per example.
        overlap: widths per distance; in many dimensions larger ones, such as 3, are smoother.
        neighbors: how many other centres a width looks at.
        ridge: \( \lambda \ge 0 \). Zero gives the shortest of all best weights.
        steps: of k-means.

    Returns:
        The parameters of `rbf_network(features, centers, outputs)`.

    Raises:
        ValueError: if the shapes don't fit, there are fewer examples than centres, a count or
            `overlap` is not positive, or `ridge` is negative.
        TypeError: if `x` does not hold floats.

    Example:
        >>> x = jnp.linspace(-3, 3, 50)[:, None]
        >>> params = rbf_fit(jax.random.key(0), x, jnp.sin(x), 12, overlap=2.0, ridge=1e-5)
        >>> y = rbf_network(1, 12, 1).apply(params, x)
        >>> bool(jnp.abs(y - jnp.sin(x)).max() < 0.01)
        True

    Reference:
        Moody and Darken, "Fast learning in networks of locally-tuned processing units", Neural
        Computation 1989.
    """
    ridge = _check_targets("rbf_fit", x, targets, ridge)
    _checks.sizes("rbf_fit", neighbors=neighbors)
    overlap = _checks.positive("rbf_fit", overlap=overlap)
    found = k_means(key, x, centers, steps)
    units = {"centers": found, "log_widths": jnp.log(overlap * _spacing(found, neighbors))}
    activations = radial_basis(units, x)
    # A free bias is what is left of the means when the weights are fitted to what varies.
    mean, offset = activations.mean(0), targets.mean(0)
    kernel = _least_squares(activations - mean, targets - offset, ridge)
    bias = offset - jnp.matmul(mean, kernel, precision=lax.Precision.HIGHEST)
    return {"radial_basis_0": units, "dense_0": {"kernel": kernel, "bias": bias}}


def rbf_interpolate(x: Array, targets: Array, width: float, *, ridge: float = 0.0) -> Params:
    r"""Parameters of an `rbf_network` that passes through every example.

    With a centre on each example and one width s, \( \Phi w = t \) has as many unknowns as
    equations, and Gaussians of different points are independent. The wider they are, the
    smoother the result and the nearer \( \Phi \) to singular: widths far beyond the distances
    of the points want float64, or a ridge, which then smooths instead of interpolating.

    Args:
        x: points, `[examples, features]`, all different.
        targets: values there, `[examples, outputs]`, of the dtype of `x`.
        width: s, in the unit of the points; \( 1 / (\sqrt 2\, \epsilon) \) for the
            `epsilon` of `scipy.interpolate.RBFInterpolator(kernel="gaussian", degree=-1)`.
        ridge: \( \lambda \ge 0 \) of `rbf_fit`.

    Returns:
        The parameters of `rbf_network(features, examples, outputs, use_bias=False)`.

    Raises:
        ValueError: if the shapes don't fit, `width` is not positive, or `ridge` is negative.
        TypeError: if `x` does not hold floats.

    Example:
        >>> x, y = jnp.array([[0.0], [1.0], [3.0]]), jnp.array([[1.0], [-1.0], [2.0]])
        >>> params = rbf_interpolate(x, y, 1.0)
        >>> rbf_network(1, 3, 1, use_bias=False).apply(params, x).round(3)
        Array([[ 1.],
               [-1.],
               [ 2.]], dtype=float32)

    Reference:
        Broomhead and Lowe, "Multivariable functional interpolation and adaptive networks",
        Complex Systems 1988.
    """
    ridge = _check_targets("rbf_interpolate", x, targets, ridge)
    width = _checks.positive("rbf_interpolate", width=width)
    units = {"centers": x, "log_widths": jnp.log(jnp.full(len(x), width, x.dtype))}
    kernel = _least_squares(radial_basis(units, x), targets, ridge)
    return {"radial_basis_0": units, "dense_0": {"kernel": kernel}}


def k_means(key: Array, x: Array, centers: int, steps: int = 50) -> Array:
    r"""Centres of clusters, by Lloyd's algorithm from a k-means++ start.

    Start: the first centre is a random example, and each further one an example drawn with a
    probability proportional to its squared distance to the nearest centre so far. Then in
    each step every example joins its nearest centre, and every centre moves to the mean of
    its examples. Both lower \( \sum_i \min_k \|x_i - c_k\|^2 \), to a local minimum. A centre
    that no example joined moves to the example that is farthest from its own, the next such
    centre to the second farthest.

    Args:
        key: the source of the start.
        x: examples, `[examples, features]`.
        centers: how many, at most one per example.
        steps: Lloyd's steps; what has converged stays as it is.

    Returns:
        The centres, `[centers, features]`.

    Raises:
        ValueError: if `x` has not two axes, or fewer rows than centres.
        TypeError: if `x` does not hold floats.

    Example:
        >>> x = jnp.array([[0.0], [1.0], [10.0], [12.0]])
        >>> jnp.sort(k_means(jax.random.key(0), x, 2), axis=0)
        Array([[ 0.5],
               [11. ]], dtype=float32)

    Reference:
        Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    """
    _checks.sizes("k_means", centers=centers, steps=steps)
    examples("k_means", x, centers)
    unit = _units.unit(x)  # in which squared distances have the range of their type
    x = x / unit
    origin = x.mean(0)  # sums of what is far from zero would lose digits
    x = x - origin

    def lloyd(_, found):
        distances = squared_distances(x, found)
        members = jax.nn.one_hot(distances.argmin(-1), centers, dtype=x.dtype)
        counts = members.sum(0)[:, None]
        sums = jnp.matmul(members.T, x, precision=lax.Precision.HIGHEST)
        empty = counts == 0
        _, farthest = lax.top_k(distances.min(-1), centers)
        spare = x[farthest][jnp.cumsum(empty) - 1]
        return jnp.where(empty, spare, sums / jnp.maximum(counts, 1))

    found = lax.fori_loop(0, steps, lloyd, _plus_plus(key, x, centers))
    return unit * (found + origin)


def _plus_plus(key, x, centers):
    """The k-means++ start."""
    keys = jax.random.split(key, centers)
    first = x[jax.random.randint(keys[0], (), 0, len(x))]

    def draw(nearest, key):
        center = x[jax.random.categorical(key, jnp.log(nearest))]
        return jnp.minimum(nearest, squared_distances(x, center[None])[:, 0]), center

    _, others = lax.scan(draw, squared_distances(x, first[None])[:, 0], keys[1:])
    return jnp.concatenate([first[None], others])


def _spacing(centers, neighbors):
    """Root mean square distance of each centre to its nearest others; 1 where there is none.

    Centres in one place have the mean spacing of the rest.
    """
    unit, others = distances_in_unit(centers, centers)
    others = jnp.where(jnp.eye(len(centers), dtype=bool), jnp.inf, others)
    nearest = jnp.sort(others, -1)[:, : min(neighbors, len(centers) - 1)]
    spacing = unit * jnp.sqrt(nearest.sum(-1) / max(nearest.shape[-1], 1))
    apart = spacing > 0
    mean = spacing.sum() / jnp.maximum(apart.astype(spacing.dtype).sum(), 1)
    return jnp.where(apart, spacing, jnp.where(mean > 0, mean, 1))


def _least_squares(design, targets, ridge):
    r"""Weights w that minimise |A w - t|^2 + ridge |w|^2, with the singular values of A.

    \( A = U S V^T \) gives \( w = V (S^2 + \lambda)^{-1} S U^T t \). The normal equations would
    square the condition of A, and Gaussians that overlap have a bad one: in float32 nothing
    would be left. Directions below rounding are left out, as in `numpy.linalg.lstsq`.
    """
    u, s, vt = jnp.linalg.svd(design, full_matrices=False)
    kept = s > jnp.finfo(s.dtype).eps * max(design.shape) * s[0]
    safe = jnp.where(kept, s, 1)
    factors = jnp.where(kept, 1 / (safe + ridge / safe), 0)  # s / (s^2 + ridge)
    product = lambda a, b: jnp.matmul(a, b, precision=lax.Precision.HIGHEST)
    return product(vt.T, factors[:, None] * product(u.T, targets))


def _check_targets(function, x, targets, ridge):
    examples(function, x)
    _checks.floating(function, targets=targets)
    if jnp.ndim(targets) != 2 or len(targets) != len(x):
        raise ValueError(
            f"{function}: targets must have shape [{len(x)}, outputs], one row per example, got "
            f"{jnp.shape(targets)}. Add an axis with y[:, None], or encode classes with one_hot."
        )
    return _checks.non_negative(function, ridge=ridge)
