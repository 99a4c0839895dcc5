"""Distances between examples and prototypes: centres of clusters, units of a map."""

import jax.numpy as jnp

from jaxnn import _checks, _units


def squared_distances(x, prototypes):
    """Squared Euclidean distances, `[..., prototypes]`, summed from differences.

    Expanded into products they would cancel far from the origin; see `jaxnn.layers.radial`.
    """
    return ((x[..., None, :] - prototypes) ** 2).sum(-1)


def distances_in_unit(x, prototypes):
    """Of each example a unit near the largest number that it meets, and squared distances in it.

    Which of them is the least does not depend on a unit, and their squares have the range of
    their type whatever that of the numbers is. Each its own: one far away blinds no other.
    """
    unit = jnp.maximum(_units.unit(x, axis=-1), _units.unit(prototypes))
    inverse = 1 / unit
    differences = (x * inverse)[..., None, :] - prototypes * inverse[..., None]
    return unit[..., 0], (differences**2).sum(-1)


def mean_least_distance(unit, squared):
    """The mean over examples of the distance to the nearest prototype, of what is above.

    One distance may leave the range of the type though their mean does not.
    """
    largest = unit.max(initial=0)
    return largest * _units.mean(unit / largest * jnp.sqrt(squared.min(-1)))


def nearest(x, prototypes):
    """The number of the nearest prototype."""
    return distances_in_unit(x, prototypes)[1].argmin(-1)


def examples(function, x, at_least=1):
    """Raises unless `x` holds floats in rows, `at_least` of them."""
    _checks.floating(function, x=x)
    if jnp.ndim(x) != 2 or len(x) < at_least:
        raise ValueError(
            f"{function}: x must have shape [examples, features] with at least {at_least} "
            f"examples, got {jnp.shape(x)}. Reshape it, or ask for less of it."
        )
