"""Losses of embeddings: what belongs together is pulled together, the rest pushed apart."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks, _rounding, _units
from jaxnn.losses._common import (
    along_rows,
    fractions,
    inputs,
    install,
    unit,
)
from jaxnn.losses._softmax import cross_entropy

__all__ = [
    "contrastive", "contrastive_grad",
    "cosine_distance", "cosine_distance_grad",
    "info_nce", "info_nce_grad", "info_nce_vjp",
    "triplet", "triplet_grad",
]  # fmt: skip


def contrastive(a: Array, b: Array, same: Array, margin: float = 1.0) -> Array:
    r"""Contrastive loss of pairs of embeddings.

    \( \tfrac12 d^2 \) for pairs of the same class and \( \tfrac12 \max(0, m - d)^2 \) for
    others, with the distance \( d = \lVert a - b \rVert \). The paper counts the other way: its
    Y is 1 where ours is 0.

    Args:
        a: embeddings, floats, `[..., features]`.
        b: embeddings, shaped like `a`.
        same: 1 where the pair is of one class, else 0; floats, integers or booleans, `[...]`.
        margin: the distance beyond which unlike pairs are left alone.

    Returns:
        Losses of the pairs, `[...]`.

    Raises:
        ValueError: if the shapes don't fit, or if `same` is outside [0, 1] or `margin` is
            not positive (under `jit`, NaN).
        TypeError: if the embeddings are not floats.

    Example:
        >>> a, b = jnp.array([[0.0, 0.0]]), jnp.array([[0.5, 0.0]])
        >>> contrastive(a, b, jnp.array([False]))
        Array([0.125], dtype=float32)

    Reference:
        Hadsell, Chopra and LeCun, "Dimensionality reduction by learning an invariant mapping",
        CVPR 2006.
    """
    primals, dtype = _pairs("contrastive", a, b, same, margin)
    return _contrastive(*primals).astype(dtype)


def contrastive_grad(a: Array, b: Array, same: Array, margin: float = 1.0) -> tuple[Array, Array]:
    r"""Gradients of `contrastive` in `a` and in `b`, which are opposite.

    \( a - b \) for pairs of the same class, \( -\max(0, m - d)\,(a - b) / d \) for others.
    Coincident pairs get 0: no direction leads away from a point.
    """
    primals, dtype = _pairs("contrastive_grad", a, b, same, margin)
    slope = _contrastive_slope(*primals)
    return slope.astype(dtype), (-slope).astype(jnp.result_type(b))


def _pairs(function, a, b, same, margin):
    _embeddings(function, a=a, b=b)
    _checks.one_per_row(function, a, same=same)
    margin = _checks.positive(function, margin=margin)
    (a, b, same), dtype = inputs(function, a=a, b=b, same=same)
    return (a, b, fractions(function, same=same), jnp.asarray(margin, a.dtype)), dtype


def _embeddings(function, **arrays):
    """Raises unless all the named arrays hold floats, in rows, and have one shape."""
    _checks.floating(function, **arrays)
    _checks.same_shape(function, **arrays)
    for name, array in arrays.items():
        if jnp.ndim(array) == 0:
            raise ValueError(
                f"{function}: {name} must have a last axis of features, got a number. "
                "Pass a vector, or one row per example."
            )


def _gap(a, b, margin):
    """Distance, what it lacks to the margin, and the direction from b to a."""
    direction, length, scale = unit(a - b)
    distance = (length * scale)[..., 0]
    return distance, jnp.maximum(margin - distance, 0), direction


@jax.custom_jvp
def _contrastive(a, b, same, margin):
    distance, gap, _ = _gap(a, b, margin)
    return _share(same, distance) + _share(1 - same, gap)


def _share(weight, x):
    """weight x^2 / 2; 0 where there is no weight, and a number where only x^2 is none."""
    x = jnp.where((weight == 0) & ~jnp.isnan(x), 0, x)
    return weight * x * (x / 2)


def _contrastive_slope(a, b, same, margin):
    _, gap, direction = _gap(a, b, margin)
    return same[..., None] * (a - b) - ((1 - same) * gap)[..., None] * direction


def _contrastive_in_same(g, a, b, same, margin):
    one = jnp.ones_like(same)
    return g * (_contrastive(a, b, one, margin) - _contrastive(a, b, 0 * one, margin))


# Installed because JAX differentiates the norm at zero to NaN, which a single coincident pair
# would spread over every parameter.
install(
    _contrastive,
    along_rows(_contrastive_slope),
    along_rows(lambda *primals: -_contrastive_slope(*primals)),
    _contrastive_in_same,
    lambda g, a, b, same, margin: g * (1 - same) * _gap(a, b, margin)[1],
)


def triplet(
    anchor: Array, positive: Array, negative: Array, margin: float = 1.0, squared: bool = True
) -> Array:
    r"""Triplet loss, \( \max(0, d(a, p) - d(a, n) + m) \).

    An anchor shall be nearer to what is of its class than to what is not, by a margin. The
    distance is squared Euclidean, as in FaceNet, or else Euclidean, as in PyTorch.

    Args:
        anchor: embeddings, floats, `[..., features]`.
        positive: embeddings of the same classes, shaped like `anchor`.
        negative: embeddings of other classes, shaped like `anchor`.
        margin: by how much the negative shall be farther, in the unit of the distance.
        squared: whether the distance is squared.

    Returns:
        Losses of the triplets, `[...]`.

    Raises:
        ValueError: if the shapes differ, or `margin` is negative (under `jit`, NaN).
        TypeError: if the embeddings are not floats.

    Example:
        >>> a, p, n = jnp.array([[0.0]]), jnp.array([[1.0]]), jnp.array([[0.5]])
        >>> triplet(a, p, n), triplet(a, p, n, squared=False)
        (Array([1.75], dtype=float32), Array([1.5], dtype=float32))

    Reference:
        Schroff, Kalenichenko and Philbin, "FaceNet: a unified embedding for face recognition
        and clustering", CVPR 2015.
    """
    primals, dtype = _triplets("triplet", anchor, positive, negative, margin)
    return (_squared_triplet if squared else _plain_triplet)(*primals).astype(dtype)


def triplet_grad(
    anchor: Array, positive: Array, negative: Array, margin: float = 1.0, squared: bool = True
) -> tuple[Array, Array, Array]:
    r"""Gradients of `triplet` in anchor, positive and negative, 0 where the margin is kept.

    Else \( 2 (n - p),\ 2 (p - a),\ 2 (a - n) \) for squared distances; for plain ones, with the
    directions \( u = (a - p) / d(a, p) \) and \( v = (a - n) / d(a, n) \), or 0 for coincident
    points, \( u - v,\ -u,\ v \).
    """
    primals, dtype = _triplets("triplet_grad", anchor, positive, negative, margin)
    slopes = (_squared_slopes if squared else _plain_slopes)(*primals)
    kinds = (dtype, jnp.result_type(positive), jnp.result_type(negative))
    a, p, n = (slope.astype(kind) for slope, kind in zip(slopes, kinds, strict=True))
    return a, p, n


def _triplets(function, anchor, positive, negative, margin):
    arrays = dict(anchor=anchor, positive=positive, negative=negative)
    _embeddings(function, **arrays)
    apart = "Pass 0 or more: a negative margin wants the wrong order."
    margin = _checks.non_negative(function, apart, margin=margin)
    wide, dtype = inputs(function, **arrays)
    return [*wide, jnp.asarray(margin, wide[0].dtype)], dtype


def _squared_lag(a, p, n, margin):
    """d(a, p) - d(a, n) + m as a product: squares would cancel, or overflow."""
    x, scale = _by_power_of_two(n / 2 - p / 2)
    y, other = _by_power_of_two((a / 4 - p / 4) + (a / 4 - n / 4))
    return ((8 * x * y).sum(-1, keepdims=True) * scale * other)[..., 0] + margin


def _plain_lag(a, p, n, margin):
    """The same for plain distances: the difference of the squares over the sum of the roots."""
    a, p, n = a / 64, p / 64, n / 64  # exact, and no sum below leaves the range
    (_, near, near_scale), (_, far, far_scale) = unit(a - p), unit(a - n)
    total = near * near_scale + far * far_scale
    together = total == 0
    mean_direction = ((a - p) + (a - n)) / jnp.where(together, 1, total)
    return 64 * ((n - p) * mean_direction).sum(-1) + margin


def _squared_slopes(a, p, n, margin):
    active = jnp.heaviside(_squared_lag(a, p, n, margin), 0)[..., None]
    only = lambda slope: jnp.where(active == 0, 0, active * slope)  # 0 times infinity is NaN
    return only(2 * (n - p)), only(2 * (p - a)), only(2 * (a - n))


def _plain_slopes(a, p, n, margin):
    active = jnp.heaviside(_plain_lag(a, p, n, margin), 0)[..., None]
    u, v = unit(a / 2 - p / 2)[0], unit(a / 2 - n / 2)[0]
    return active * (u - v), -active * u, active * v


def _with_slopes(lag, slopes):
    """max(0, lag) under the rule that `slopes` gives in closed form."""

    @jax.custom_jvp
    def loss(*primals):
        return jnp.maximum(lag(*primals), 0)

    install(
        loss,
        *(along_rows(lambda *primals, i=i: slopes(*primals)[i]) for i in range(3)),
        lambda g, *primals: g * jnp.heaviside(lag(*primals), 0),
    )
    return loss


# Installed because JAX differentiates the plain distance of coincident points to NaN, and for
# the kink: 0 where the margin is just kept.
_squared_triplet = _with_slopes(_squared_lag, _squared_slopes)
_plain_triplet = _with_slopes(_plain_lag, _plain_slopes)


def cosine_distance(a: Array, b: Array) -> Array:
    r"""Cosine distance of rows, \( 1 - \langle a, b \rangle / (\lVert a \rVert \lVert b \rVert) \).

    Where the cosine is positive computed as \( \sin^2 / (1 + \cos) \), which keeps its digits for
    vectors that are nearly parallel. From a vector of zeros, which has no direction, the
    distance to everything is 1 and its gradient 0.

    Args:
        a: vectors, floats, `[..., features]`.
        b: vectors, shaped like `a`.

    Returns:
        Distances, `[...]`, from 0 (parallel) to 2 (opposite).

    Raises:
        ValueError: if the shapes differ.
        TypeError: if the vectors are not floats.

    Example:
        >>> a, b = jnp.array([[3.0, 0.0], [3.0, 0.0]]), jnp.array([[2.0, 0.0], [0.0, 5.0]])
        >>> cosine_distance(a, b)
        Array([0., 1.], dtype=float32)
    """
    _embeddings("cosine_distance", a=a, b=b)
    (a, b), dtype = inputs("cosine_distance", a=a, b=b)
    return _cosine_distance(a, b).astype(dtype)


def cosine_distance_grad(a: Array, b: Array) -> tuple[Array, Array]:
    r"""Gradients of `cosine_distance` in `a` and in `b`.

    With the unit vectors u and v, \( (\langle u, v \rangle u - v) / \lVert a \rVert \) and
    \( (\langle u, v \rangle v - u) / \lVert b \rVert \): minus what of each is perpendicular to the
    other.
    """
    _embeddings("cosine_distance_grad", a=a, b=b)
    kind = jnp.result_type(b)
    (a, b), dtype = inputs("cosine_distance_grad", a=a, b=b)
    return _cosine_slope(a, b).astype(dtype), _cosine_slope(b, a).astype(kind)


def _scaled(a, b):
    """Rows over powers of two, that of a, their squares, and whether one of a pair is zero."""
    (x, scale), y = _by_power_of_two(a), _by_power_of_two(b)[0]
    xx, yy = ((r**2).sum(-1, keepdims=True) for r in (x, y))
    lost = (xx == 0) | (yy == 0)
    return x, y, scale, jnp.where(lost, 1, xx), jnp.where(lost, 1, yy), lost


def _by_power_of_two(x):
    scale = _units.unit(x, axis=-1)
    return x / scale, scale


def _perpendicular(y, x, xx):
    """What of y is perpendicular to x, of square xx, with its digits where y is nearly parallel.

    What is subtracted first is exact: a product and its rounding error.
    """
    part = (x * y).sum(-1, keepdims=True) / xx
    parallel, error = _rounding.product(part, x)
    rest = (y - parallel) - error
    return rest - x * ((x * rest).sum(-1, keepdims=True) / xx)


@jax.custom_jvp
def _cosine_distance(a, b):
    x, y, _, xx, yy, _ = _scaled(a, b)
    cosine = (x * y).sum(-1, keepdims=True) / (jnp.sqrt(xx) * jnp.sqrt(yy))
    squared_sine = (_perpendicular(y, x, xx) ** 2).sum(-1, keepdims=True) / yy
    return jnp.where(cosine > 0, squared_sine / (1 + cosine), 1 - cosine)[..., 0]


def _cosine_slope(a, b):
    x, y, scale, xx, yy, lost = _scaled(a, b)
    slope = -_perpendicular(y, x, xx) / (jnp.sqrt(xx) * jnp.sqrt(yy))
    return jnp.where(lost, 0, slope) / scale


# Installed because it keeps its digits for nearly parallel vectors, where autodiff through the
# normalisation cancels, and is 0 at a vector of zeros.
install(
    _cosine_distance,
    along_rows(_cosine_slope),
    along_rows(lambda a, b: _cosine_slope(b, a)),
)


def info_nce(a: Array, b: Array, temperature: float = 0.1) -> Array:
    r"""InfoNCE loss of each row of `a`: to find its partner among the rows of `b`.

    \( -\log softmax(s_i / \tau)_i \) with the cosines \( s_{ij} \) of row i of `a` and row j of
    `b`: the positives stand on the diagonal, and the rest of the batch are the negatives. Rows
    are normalised here, as in SimCLR. For the symmetric loss of CLIP average it with
    `info_nce(b, a)`.

    Args:
        a: embeddings, floats, `[batch, features]`.
        b: embeddings of the partners, in the same order, shaped like `a`.
        temperature: what the cosines are divided by.

    Returns:
        Losses, `[batch]`; of an empty batch none.

    Raises:
        ValueError: if the shapes differ or have not two axes, or `temperature` is not positive
            (under `jit`, NaN).
        TypeError: if the embeddings are not floats.

    Example:
        >>> a = jnp.eye(2)
        >>> [f"{loss:.4f}" for loss in info_nce(a, a, temperature=1.0)]
        ['0.3133', '0.3133']
        >>> [f"{loss:.4f}" for loss in info_nce(a, a[::-1], temperature=1.0)]
        ['1.3133', '1.3133']

    Reference:
        Van den Oord, Li and Vinyals, "Representation learning with contrastive predictive
        coding", 2018; Chen et al., "A simple framework for contrastive learning", ICML 2020.
    """
    a, b, tau, dtype = _batch("info_nce", a, b, temperature)
    if not len(a):
        return jnp.zeros(0, dtype)
    logits = _product(unit(a)[0], unit(b)[0].T) / tau
    return cross_entropy(logits, jnp.eye(len(a), dtype=a.dtype)).astype(dtype)


def info_nce_vjp(g: Array, a: Array, b: Array, temperature: float = 0.1) -> tuple[Array, Array]:
    r"""Cotangents of `a` and of `b`, each of whose rows is part of every loss.

    With the unit vectors u and v, \( G = diag(g)\,(softmax(u v^T / \tau) - I) / \tau \) gives
    \( G v \) and \( G^T u \) for them, and normalisation leaves what of each is perpendicular to
    its vector, divided by its length.
    """
    _checks.cotangent("info_nce_vjp", g, jnp.shape(a)[:1])
    kind = jnp.result_type(b)
    a, b, tau, dtype = _batch("info_nce_vjp", a, b, temperature)
    if not len(a):
        return a.astype(dtype), b.astype(kind)
    u, v = unit(a)[0], unit(b)[0]
    labels = jnp.eye(len(a), dtype=a.dtype)
    slope = jax.grad(lambda s: cross_entropy(s, labels).sum())(_product(u, v.T) / tau)
    errors = g.astype(a.dtype)[:, None] * slope / tau
    in_a = _unit_vjp(_product(errors, v), a)
    in_b = _unit_vjp(_product(errors.T, u), b)
    return in_a.astype(dtype), in_b.astype(kind)


def info_nce_grad(a: Array, b: Array, temperature: float = 0.1) -> tuple[Array, Array]:
    """Gradients of the sum of `info_nce` over the batch, in `a` and in `b`."""
    return info_nce_vjp(jnp.ones(jnp.shape(a)[:1], jnp.result_type(a)), a, b, temperature)


def _unit_vjp(g, x):
    u, length, scale = unit(x)
    zero = length == 0
    return (g - u * (g * u).sum(-1, keepdims=True)) / jnp.where(zero, 1, length) / scale


def _product(x, y):
    """x @ y in full precision: what accelerators round, the temperature would multiply."""
    return jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)


def _batch(function, a, b, temperature):
    _embeddings(function, a=a, b=b)
    if jnp.ndim(a) != 2:
        raise ValueError(
            f"{function}: a and b must have shape [batch, features], got {jnp.shape(a)}. "
            "Reshape them, or jax.vmap over further axes."
        )
    temperature = _checks.positive(function, temperature=temperature)
    (a, b), dtype = inputs(function, a=a, b=b)
    return a, b, jnp.asarray(temperature, a.dtype), dtype
