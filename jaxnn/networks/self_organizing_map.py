r"""Self-organizing map (SOM): a grid of units, each with a code vector in the input space.

An input is answered by the unit whose code is nearest, its best matching unit. Training moves
that code towards the input, and with it those of its neighbours on the grid, so that
neighbouring units come to answer to similar inputs: a map of the data.

Kohonen's rule is not the gradient of any energy in general: for inputs from a continuous
density there is none (Erwin, Obermayer and Schulten, 1992), because an input that changes its
best matching unit changes the neighbourhood abruptly. Only for a finite set of inputs, and
between such changes, does it descend \( \sum_i \sum_j h_{b(i) j} \|x_i - w_j\|^2 / 2 \). So
there is no loss to print; `quantization_error` and `topographic_error` say how a map is.

Units lie on a rectangular grid, with up to eight neighbours, or on a hexagonal one, with six
at the same distance, whose odd rows are shifted by half a unit.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn import _checks, _units
from jaxnn.initializers import Initializer, normal
from jaxnn.networks import _grid
from jaxnn.networks._distances import (
    distances_in_unit,
    examples,
    mean_least_distance,
    nearest,
    squared_distances,
)
from jaxnn.networks._network import Network, Params

__all__ = [
    "self_organizing_map", "som_batch_step", "som_from_plane", "som_from_samples", "som_step",
]  # fmt: skip


def self_organizing_map(
    grid: tuple[int, int],
    features: int,
    codebook_init: Initializer = normal(1.0),
    *,
    hexagonal: bool = False,
) -> Network:
    r"""A self-organizing map, which answers an input with a place on the grid.

    Args:
        grid: rows and columns.
        features: of the input.
        codebook_init: how to draw the codes. `som_from_plane` and `som_from_samples` make
            better first parameters, from the data.
        hexagonal: whether odd rows are shifted by half a unit, and rows nearer each other.

    Returns:
        The network. Inputs are `[..., features]`; outputs are the positions of the best
        matching units, `[..., 2]` floats: row and column, or on a hexagonal grid
        \( (\tfrac{\sqrt 3}{2} row,\ column + \tfrac12 [row\ odd]) \). Parameters are
        `{"codebook": [rows, columns, features]}`. The outputs have no useful gradient.

    Raises:
        ValueError: if a size is not positive.

    Example:
        >>> net = self_organizing_map((2, 3), 1)
        >>> params = {"codebook": jnp.arange(6.0).reshape(2, 3, 1)}
        >>> net.apply(params, jnp.array([[0.2], [4.9]]))
        Array([[0., 0.],
               [1., 2.]], dtype=float32)

    Reference:
        Kohonen, "Self-organized formation of topologically correct feature maps", Biological
        Cybernetics 1982.
    """
    rows, columns = _size("self_organizing_map", grid)
    _checks.sizes("self_organizing_map", features=features)

    def init(key: Array) -> Params:
        return {"codebook": codebook_init(key, (rows, columns, features), jnp.result_type(float))}

    def apply(params: Params, x: Array, *, key: Array | None = None) -> Array:
        del key  # nothing is drawn
        units, codes = _grid.codes("self_organizing_map", params, x)
        return _grid.positions(units, hexagonal, x.dtype)[nearest(x, codes)]

    return Network(init, apply)


def som_step(
    steps: int,
    *,
    rate: float = 0.5,
    final_rate: float = 0.01,
    radius: float | None = None,
    final_radius: float = 0.5,
    hexagonal: bool = False,
) -> Callable:
    r"""Kohonen's online rule, as a step for `training.run`.

    Every code moves towards the input, the farther the nearer it is to the best matching unit
    b on the grid, where unit j has the position \( r_j \):

    .. math:: w_j \leftarrow w_j + \eta\, h_{bj}\, (x - w_j), \qquad
              h_{bj} = \exp(-\|r_b - r_j\|^2 / (2 \sigma^2))

    Rate \( \eta \) and radius \( \sigma \) decay geometrically from their first to their final
    values over `steps`: first the map unfolds as a whole, then each part is refined. With
    batches of more than one, the moves of a batch are averaged.

    Args:
        steps: how many steps the decay takes; in `run`, epochs times batches.
        rate: the first rate, within (0, 1].
        final_rate: the last one.
        radius: the first radius, in units of the grid; None is half its longer side.
        final_radius: the last one.
        hexagonal: whether the grid is.

    Returns:
        `step(state, batch, key) -> (state, metrics)`. The state is a pair of the parameters and
        the number of steps so far, first `jnp.array(0)`; `batch` is inputs
        `[batch, features]`, and the key is not used. The metric `distance` is the mean
        distance of the inputs to their best matching units, when their turn came.

    Raises:
        ValueError: if a count, rate or radius is not positive.

    Example:
        >>> from jaxnn.networks import quantization_error
        >>> from jaxnn.training import run
        >>> x = jax.random.uniform(jax.random.key(0), (100, 2))
        >>> params = som_from_plane((4, 4), x)
        >>> (params, _), history, _ = run(
        ...     som_step(steps=1000), (params, jnp.array(0)), x,
        ...     key=jax.random.key(1), epochs=10, batch_size=1,
        ... )
        >>> bool(quantization_error(params, x) < 0.12)
        True

    Reference:
        Kohonen, "The self-organizing map", Proceedings of the IEEE 1990.
    """
    _check_schedule("som_step", steps, radius, final_radius, rate, final_rate)

    def step(state, batch: Array, key) -> tuple:
        del key
        params, done = state
        h, unit, x, codes, metrics = _answer("som_step", params, batch, done)
        eta = _decayed(rate, final_rate, done, steps, x.dtype)
        # The mean over the batch of h (x - w), with the differences summed as they are.
        moves = (h[..., None] * (x[:, None] - codes)).mean(0)
        codebook = (codes + eta * moves).reshape(params["codebook"].shape)
        return ({"codebook": unit * codebook}, done + 1), metrics

    _answer = _answering(steps, radius, final_radius, hexagonal)
    return step


def som_batch_step(
    steps: int,
    *,
    radius: float | None = None,
    final_radius: float = 0.5,
    hexagonal: bool = False,
) -> Callable:
    r"""The batch rule, as a step for `training.run` with all the data as one batch.

    Every code becomes the mean of all inputs, weighted by how near on the grid their best
    matching units are:

    .. math:: w_j \leftarrow \frac{\sum_i h_{b(i) j}\, x_i}{\sum_i h_{b(i) j}}

    There is no rate, and the order of the inputs does not matter. With a radius that goes to
    zero this is `k_means`. A code whose weights all vanish stays where it is.

    Args:
        steps: how many steps the decay of the radius takes: the epochs of `run`.
        radius: the first radius, in units of the grid; None is half its longer side.
        final_radius: the last one.
        hexagonal: whether the grid is.

    Returns:
        `step(state, batch, key) -> (state, metrics)`, as `som_step` returns.

    Raises:
        ValueError: if `steps` or a radius is not positive.

    Example:
        >>> from jaxnn.networks import quantization_error
        >>> x = jax.random.uniform(jax.random.key(0), (100, 2))
        >>> state, step = (som_from_plane((4, 4), x), jnp.array(0)), som_batch_step(10)
        >>> for epoch in range(10):
        ...     state, metrics = step(state, x, None)
        >>> bool(quantization_error(state[0], x) < 0.12)
        True

    Reference:
        Kohonen, "Essentials of the self-organizing map", Neural Networks 2013.
    """
    _check_schedule("som_batch_step", steps, radius, final_radius)

    def step(state, batch: Array, key) -> tuple:
        del key
        params, done = state
        h, unit, x, codes, metrics = _answer("som_batch_step", params, batch, done)
        total = h.sum(0)[:, None]
        reached = total > 1e-12
        sums = jnp.matmul(h.T, x, precision=lax.Precision.HIGHEST)
        codes = jnp.where(reached, sums / jnp.where(reached, total, 1), codes)
        codebook = unit * codes.reshape(params["codebook"].shape)
        return ({"codebook": codebook}, done + 1), metrics

    _answer = _answering(steps, radius, final_radius, hexagonal)
    return step


def som_from_plane(grid: tuple[int, int], x: Array, *, spread: float = 1.0) -> Params:
    r"""First parameters on the plane of the two principal components: a map already unfolded.

    Along each it reaches `spread` standard deviations to both sides of the mean, the first
    component along the longer side of the grid. Nothing is drawn.

    Args:
        grid: rows and columns.
        x: examples, `[examples, features]`, at least two of each.
        spread: how far the plane reaches, in standard deviations.

    Returns:
        `{"codebook": [rows, columns, features]}`.

    Raises:
        ValueError: if a size is not positive, or `x` has fewer than two rows or features.
        TypeError: if `x` does not hold floats.

    Example:
        >>> x = jnp.array([[-2.0, 0.0], [2.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
        >>> som_from_plane((3, 2), x)["codebook"].shape
        (3, 2, 2)
    """
    rows, columns = _size("som_from_plane", grid)
    examples("som_from_plane", x, 2)
    if x.shape[1] < 2:
        raise ValueError(
            f"som_from_plane: x must have at least 2 features, got shape {x.shape}. "
            "With one there is no plane: use som_from_samples."
        )
    unit, mean, _, deviations, directions = _units.principal(x)
    axes = (spread * deviations / math.sqrt(len(x)))[:, None] * directions
    down, across = (axes[0], axes[1]) if rows >= columns else (axes[1], axes[0])
    side = lambda n: jnp.linspace(-1, 1, n, dtype=x.dtype) if n > 1 else jnp.zeros(1, x.dtype)
    plane = mean + side(rows)[:, None, None] * down + side(columns)[:, None] * across
    return {"codebook": unit * plane}


def som_from_samples(key: Array, grid: tuple[int, int], x: Array) -> Params:
    """First parameters that are random examples, without order on the grid.

    Args:
        key: the source of the choice.
        grid: rows and columns.
        x: examples, `[examples, features]`; they may be fewer than units.

    Returns:
        `{"codebook": [rows, columns, features]}`.

    Raises:
        ValueError: if a size is not positive, or `x` is not rows of examples.
        TypeError: if `x` does not hold floats.

    Example:
        >>> som_from_samples(jax.random.key(0), (3, 2), jnp.ones((4, 5)))["codebook"].shape
        (3, 2, 5)
    """
    grid = _size("som_from_samples", grid)
    examples("som_from_samples", x)
    return {"codebook": x[jax.random.randint(key, grid, 0, len(x))]}


def _answering(steps, radius, final_radius, hexagonal):
    """What both rules begin with: the weights h `[batch, units]` of a batch.

    Inputs and codes are then in a unit, in which no distance leaves the range.
    """

    def answer(function, params, x, done):
        examples(function, x)
        grid, codes = _grid.codes(function, params, x)
        first = max(max(grid) / 2, final_radius) if radius is None else radius
        sigma = _decayed(first, final_radius, done, steps, x.dtype)
        unit, squared = distances_in_unit(x, codes)
        places = _grid.positions(grid, hexagonal, x.dtype)
        h = jnp.exp(-squared_distances(places, places) / (2 * sigma**2))
        metrics = {"distance": mean_least_distance(unit, squared)}
        one = _units.unit(x, codes)
        return h[squared.argmin(-1)], one, x / one, codes / one, metrics

    return answer


def _decayed(first, last, done, steps, dtype):
    """From `first` to `last` in equal ratios; after `steps` it stays."""
    progress = jnp.minimum(done.astype(dtype) / max(steps - 1, 1), 1)
    return first * jnp.exp(progress * math.log(last / first))


def _size(function, grid):
    if len(grid) != 2:
        raise ValueError(
            f"{function}: grid must be rows and columns, got {grid}. Pass a pair such as (7, 7)."
        )
    _checks.sizes(function, rows=grid[0], columns=grid[1])
    return grid[0], grid[1]


def _check_schedule(function, steps, radius, final_radius, rate=1.0, final_rate=1.0):
    _checks.sizes(function, steps=steps)
    numbers = {
        "radius": 1.0 if radius is None else radius,
        "final_radius": final_radius,
        "rate": rate,
        "final_rate": final_rate,
    }
    for name, number in numbers.items():
        if not 0 < number < math.inf:
            raise ValueError(
                f"{function}: {name} must be positive, got {number}. Pass a number such as 0.5."
            )
