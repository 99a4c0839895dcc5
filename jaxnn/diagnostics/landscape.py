"""The loss around a point, and along learning rates."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxnn import _checks, _units
from jaxnn.diagnostics.gradients import _arguments, _loss
from jaxnn.training import TrainState, gradient_step
from jaxnn.training._checked import examples_of

__all__ = ["learning_rate_range", "loss_landscape"]


def loss_landscape(
    loss_fn: Callable,
    params: Any,
    batch: Any,
    *,
    key: Array,
    radius: float = 1.0,
    points: int = 25,
    dimensions: int = 2,
    directions: Sequence[Any] | None = None,
) -> dict[str, Array]:
    r"""The loss on a slice through the parameters, \( L(\theta + \alpha u + \beta v) \).

    Random directions are drawn filter by filter: the entries of u that make one output feature
    have the norm of the weights that make it, so that 1 means as far as the weights are long,
    whatever their scale. Biases and scales stay where they are.

    Args:
        loss_fn: as for `gradient_flow`.
        params: the point in the middle.
        batch: on which data.
        key: the source of the directions.
        radius: how far to go to each side.
        points: along each direction.
        dimensions: 1 for a line, 2 for a plane.
        directions: one or two trees shaped like `params`, instead of random ones: for a line
            from one solution to another, their difference.

    Returns:
        `"coordinates"`, `[points]` from -radius to radius, and `"loss"`, `[points]` or
        `[points, points]`, whose first axis is the first direction.

    Raises:
        ValueError: if `dimensions` is not 1 or 2, or a count or the radius is not positive.
        TypeError: if `loss_fn` is not a function.

    Example:
        >>> bowl = lambda params, batch: (params["kernel"] ** 2).sum()
        >>> params = {"kernel": jnp.zeros((2, 1))}
        >>> up = {"kernel": jnp.array([[1.0], [0.0]])}
        >>> found = loss_landscape(
        ...     bowl, params, None, key=jax.random.key(0), points=3, directions=[up]
        ... )
        >>> found["coordinates"], found["loss"]
        (Array([-1.,  0.,  1.], dtype=float32), Array([1., 0., 1.], dtype=float32))

    Reference:
        Li, Xu, Taylor, Studer and Goldstein, "Visualizing the loss landscape of neural nets",
        NeurIPS 2018.
    """
    _checks.function("loss_landscape", loss_fn=loss_fn)
    _checks.sizes("loss_landscape", points=points)
    _checks.values("loss_landscape", lambda r: r > 0, "be positive", "Pass 1.0.", radius=radius)
    if directions is None:
        directions = [_direction(k, params) for k in jax.random.split(key, dimensions)]
    if len(directions) not in (1, 2):
        raise ValueError(
            f"loss_landscape: there must be one direction or two, got {len(directions)}. "
            "Draw a line with dimensions=1, a plane with dimensions=2."
        )
    coordinates = jnp.linspace(-radius, radius, points)

    def loss_at(places):
        moved = params
        for place, direction in zip(places, directions, strict=True):
            moved = jax.tree.map(lambda p, d, a=place: p + a.astype(p.dtype) * d, moved, direction)
        return _loss(loss_fn(*_arguments(loss_fn, moved, batch, None, None)))

    grid = jnp.stack(jnp.meshgrid(*[coordinates] * len(directions), indexing="ij"), -1)
    places = grid.reshape(-1, len(directions))
    loss = jax.jit(lambda places: jax.lax.map(loss_at, places, batch_size=64))(places)
    return {"coordinates": coordinates, "loss": loss.reshape(grid.shape[:-1])}


def _direction(key, params):
    """A random direction with the norm of the weights, filter by filter."""
    leaves, tree = jax.tree.flatten(params)

    def one(key, weights):
        if jnp.ndim(weights) < 2:
            return jnp.zeros_like(weights)
        drawn = jax.random.normal(key, weights.shape, weights.dtype)
        length = lambda a: _units.lengths(a, tuple(range(a.ndim - 1)))
        return drawn * (length(weights) / length(drawn))

    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(tree, [one(k, w) for k, w in zip(keys, leaves, strict=True)])


def learning_rate_range(
    loss_fn: Callable,
    optimizer: Callable[[Any], optax.GradientTransformation],
    params: Any,
    data: Any,
    *,
    key: Array,
    batch_size: int,
    rates: Any = None,
    steps: int = 100,
) -> dict[str, Array]:
    """Trains briefly at each of many learning rates, all at once, from the same start.

    Every rate sees the same batches, and all are trained together by `jax.vmap`. What is
    compared is the mean loss over the last fifth of the steps; a run that diverged has
    infinity there. Other than in a sweep that raises the rate within one run, a rate is judged
    from a fresh start, not from where lower rates have led.

    Args:
        loss_fn: `loss_fn(params, batch, key) -> (loss, metrics)`, as for `make_fit`.
        optimizer: a function of the rate, such as `optimizers.adam`.
        params: where to start.
        data: pytree of arrays with one common leading axis, the examples.
        key: the source of batches and noise.
        batch_size: examples per step, drawn with replacement.
        rates: which rates; None takes 31 from 1e-5 to 10, each 1.58 times the last.
        steps: how many steps each.

    Returns:
        `"rates"` `[rates]`, `"loss"` `[rates, steps]` of every step, `"final"` `[rates]`, and
        `"best"`, the rate whose final loss is lowest, NaN where all of them diverged.

    Raises:
        ValueError: if a count is not positive, or the arrays of the data differ in length.
        TypeError: if `loss_fn` or `optimizer` is not a function.

    Example:
        >>> from jaxnn import losses, networks, optimizers, training
        >>> network = networks.mlp([1, 1])
        >>> loss_fn = training.supervised(network, losses.squared_error)
        >>> x = jnp.linspace(-1, 1, 16)[:, None]
        >>> found = learning_rate_range(
        ...     loss_fn, optimizers.gradient_descent, network.init(jax.random.key(0)), (x, 3 * x),
        ...     key=jax.random.key(1), batch_size=8, rates=[0.001, 0.5, 100.0], steps=20,
        ... )
        >>> float(found["best"]), bool(jnp.isinf(found["final"][2]))
        (0.5, True)

    Reference:
        Smith, "Cyclical learning rates for training neural networks", WACV 2017.
    """
    _checks.function("learning_rate_range", loss_fn=loss_fn, optimizer=optimizer)
    _checks.sizes("learning_rate_range", batch_size=batch_size, steps=steps)
    rates = jnp.asarray(np.logspace(-5, 1, 31) if rates is None else rates, jnp.float32)
    examples = examples_of("learning_rate_range", data, 1)

    def train(rate, params, data, key):
        made = optimizer(rate)
        step = gradient_step(loss_fn, made)

        def body(state, key):
            draw, noise = jax.random.split(key)
            chosen = jax.random.randint(draw, (batch_size,), 0, examples)
            state, metrics = step(state, jax.tree.map(lambda a: a[chosen], data), noise)
            return state, metrics["loss"]

        start = TrainState(params, made.init(params))
        return jax.lax.scan(body, start, jax.random.split(key, steps))[1]

    loss = jax.jit(jax.vmap(train, (0, None, None, None)))(
        rates, params, jax.tree.map(jnp.asarray, data), key
    )
    final = loss[:, -max(steps // 5, 1) :].mean(1)
    final = jnp.where(jnp.isfinite(loss).all(1), final, jnp.inf)
    best = jnp.where(jnp.isfinite(final).any(), rates[final.argmin()], jnp.nan)
    return {"rates": rates, "loss": loss, "final": final, "best": best}
