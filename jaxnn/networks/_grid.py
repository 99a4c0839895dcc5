"""The grid of a map: where its units are, which are neighbours, and their codes."""

import math

import jax.numpy as jnp

from jaxnn import _checks
from jaxnn.networks._distances import squared_distances


def positions(grid, hexagonal, dtype):
    """Where the units are in the plane, `[units, 2]`, neighbours at distance 1."""
    row, column = jnp.meshgrid(*(jnp.arange(n, dtype=dtype) for n in grid), indexing="ij")
    if hexagonal:
        row, column = row * (math.sqrt(3) / 2), column + 0.5 * (row % 2)
    return jnp.stack([row, column], -1).reshape(-1, 2)


def adjacent(grid, hexagonal):
    """Which units are neighbours, `[units, units]`: eight of them, or six."""
    places = positions(grid, hexagonal, jnp.float32)
    squared = squared_distances(places, places)
    return (squared > 0) & (squared < (1.5 if hexagonal else 2.5))


def codes(function, params, x):
    """The grid and the codes as rows, after a look at `x`."""
    rows, columns, features = params["codebook"].shape
    _checks.floating(function, x=x)
    _checks.last_axis(function, features, x=x)
    return (rows, columns), params["codebook"].reshape(-1, features)
