"""Many dimensions in two: where the examples lie in the space a network made."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxnn import _checks, _units

__all__ = ["PrincipalComponents", "principal_components"]


class PrincipalComponents(NamedTuple):
    """Principal components of points.

    Attributes:
        points: the coordinates along the components, `[examples, count]`.
        directions: unit vectors, `[count, features]`; the largest entry of each is positive.
        explained: part of the variance along each, `[count]`.
    """

    points: Array
    directions: Array
    explained: Array


def principal_components(x: ArrayLike, count: int = 2) -> PrincipalComponents:
    r"""The directions along which points spread most, and the points seen along them.

    With \( X - \bar X = U S V^\top \), the rows of \( V^\top \).

    Args:
        x: points, floats `[examples, features]`.
        count: how many directions.

    Returns:
        The `PrincipalComponents`.

    Raises:
        TypeError: if `x` does not hold floats.
        ValueError: if `x` has other axes, or fewer directions than `count`.

    Example:
        >>> x = jnp.array([[0.0, 1.0], [3.0, 5.0], [6.0, 9.0]])
        >>> found = principal_components(x, 1)
        >>> found.points.round(2).ravel(), found.explained.round(2)
        (Array([-5.,  0.,  5.], dtype=float32), Array([1.], dtype=float32))

    Reference:
        Pearson, "On lines and planes of closest fit to systems of points in space", 1901.
    """
    x = jnp.asarray(x)
    _checks.floating("principal_components", x=x)
    _checks.sizes("principal_components", count=count)
    if x.ndim != 2 or count > min(x.shape):
        raise ValueError(
            f"principal_components: x must be [examples, features] with at least {count} of "
            f"each, got {x.shape}. Flatten what else it holds: x.reshape(len(x), -1)."
        )
    unit, _, centred, spread, directions = _units.principal(x)
    chosen = directions[:count]
    variance = jnp.square(spread)
    total = variance.sum()
    explained = jnp.where(total > 0, variance / jnp.where(total > 0, total, 1), 0)
    points = unit * jnp.matmul(centred, chosen.T, precision=jax.lax.Precision.HIGHEST)
    return PrincipalComponents(points, chosen, explained[:count])
