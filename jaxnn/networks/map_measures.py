"""What a self-organizing map says of data, and how good it is."""

import jax.numpy as jnp
from jax import Array, lax

from jaxnn.networks import _grid
from jaxnn.networks._distances import distances_in_unit, mean_least_distance, nearest
from jaxnn.networks._network import Params

__all__ = [
    "best_matching_unit", "quantization_error", "som_hits", "topographic_error", "u_matrix",
]  # fmt: skip


def best_matching_unit(params: Params, x: Array) -> Array:
    r"""The row and column of the unit whose code is nearest, \( b = \arg\min_j \|x - w_j\| \).

    Args:
        params: `codebook` `[rows, columns, features]`.
        x: inputs, `[..., features]`.

    Returns:
        Integers, `[..., 2]`; of equally near units the first.

    Raises:
        ValueError: if `x` does not end in an axis of size `features`.
        TypeError: if `x` does not hold floats.

    Example:
        >>> params = {"codebook": jnp.arange(6.0).reshape(2, 3, 1)}
        >>> best_matching_unit(params, jnp.array([4.9]))
        Array([1, 2], dtype=int32)
    """
    (_, columns), codes = _grid.codes("best_matching_unit", params, x)
    best = nearest(x, codes).astype(jnp.int32)
    return jnp.stack([best // columns, best % columns], -1)


def quantization_error(params: Params, x: Array) -> Array:
    r"""Mean distance of inputs to the codes of their best matching units.

    Args:
        params: `codebook` `[rows, columns, features]`.
        x: inputs, `[..., features]`.

    Returns:
        A scalar, \( \mathrm{mean}_i \|x_i - w_{b(i)}\| \).

    Raises:
        ValueError: if `x` does not end in an axis of size `features`.
        TypeError: if `x` does not hold floats.

    Example:
        >>> params = {"codebook": jnp.arange(6.0).reshape(2, 3, 1)}
        >>> quantization_error(params, jnp.array([[0.5], [7.0]]))
        Array(1.25, dtype=float32)
    """
    _, codes = _grid.codes("quantization_error", params, x)
    return mean_least_distance(*distances_in_unit(x, codes))


def topographic_error(params: Params, x: Array, *, hexagonal: bool = False) -> Array:
    """Fraction of inputs whose two nearest units are no neighbours on the grid.

    0 where the map keeps what is near together. On a rectangular grid diagonal neighbours
    count as such, as in MiniSom.

    Args:
        params: `codebook` `[rows, columns, features]`.
        x: inputs, `[..., features]`.
        hexagonal: whether the grid is.

    Returns:
        A scalar.

    Raises:
        ValueError: if `x` does not fit the codebook, or there is only one unit.
        TypeError: if `x` does not hold floats.

    Example:
        >>> params = {"codebook": jnp.array([[[0.0], [5.0], [1.0]]])}      # folded
        >>> topographic_error(params, jnp.array([[0.1], [4.0]]))
        Array(0.5, dtype=float32)

    Reference:
        Kiviluoto, "Topology preservation in self-organizing maps", ICNN 1996.
    """
    grid, codes = _grid.codes("topographic_error", params, x)
    if len(codes) < 2:
        raise ValueError(
            f"topographic_error: the map must have at least 2 units, got grid {grid}. "
            "Make a larger one."
        )
    _, two = lax.top_k(-distances_in_unit(x, codes)[1], 2)
    adjacent = _grid.adjacent(grid, hexagonal)[two[..., 0], two[..., 1]]
    return (~adjacent).astype(x.dtype).mean()


def u_matrix(params: Params, *, hexagonal: bool = False) -> Array:
    """Mean distance of every code to those of its neighbours: borders of clusters are high.

    Args:
        params: `codebook` `[rows, columns, features]`.
        hexagonal: whether the grid is.

    Returns:
        Distances, `[rows, columns]`; 0 where a unit has no neighbour.

    Raises:
        ValueError: if the codebook has not three axes.

    Example:
        >>> u_matrix({"codebook": jnp.array([[[0.0], [1.0], [5.0]]])})
        Array([[1. , 2.5, 4. ]], dtype=float32)

    Reference:
        Ultsch and Siemon, "Kohonen's self organizing feature maps for exploratory data
        analysis", INNC 1990.
    """
    codebook = params["codebook"]
    if codebook.ndim != 3:
        raise ValueError(
            "u_matrix: the codebook must have shape [rows, columns, features], got "
            f"{codebook.shape}. A chain of units is a grid of one row: codebook[None]."
        )
    rows, columns, features = codebook.shape
    codes = codebook.reshape(-1, features)
    adjacent = _grid.adjacent((rows, columns), hexagonal).astype(codes.dtype)
    unit, squared = distances_in_unit(codes, codes)
    mean = (adjacent * jnp.sqrt(squared)).sum(1) / jnp.maximum(adjacent.sum(1), 1)
    return (unit * mean).reshape(rows, columns)


def som_hits(params: Params, x: Array) -> Array:
    """How many of the inputs each unit answers.

    Args:
        params: `codebook` `[rows, columns, features]`.
        x: inputs, `[..., features]`.

    Returns:
        Counts, `[rows, columns]`, integers.

    Raises:
        ValueError: if `x` does not end in an axis of size `features`.
        TypeError: if `x` does not hold floats.

    Example:
        >>> params = {"codebook": jnp.arange(3.0).reshape(1, 3, 1)}
        >>> som_hits(params, jnp.array([[0.1], [1.9], [8.0]]))
        Array([[1, 0, 2]], dtype=int32)
    """
    grid, codes = _grid.codes("som_hits", params, x)
    best = nearest(x, codes).ravel()
    return jnp.zeros(len(codes), jnp.int32).at[best].add(1).reshape(grid)
