"""A trained network on data of any size, batch by batch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks, _units
from jaxnn.training._checked import examples_of, measured

__all__ = ["evaluate", "predict"]


def evaluate(
    loss_fn: Callable, params: Any, data: Any, *, batch_size: int, has_state: bool = False
) -> dict[str, Array]:
    """Loss and metrics over data of any size, in batches and without noise.

    Each batch counts by its examples, the last, smaller one included. So the values are those
    of the whole wherever a metric is a mean over examples.

    Args:
        loss_fn: as for `make_fit`; it is called without a key.
        params: the parameters, or `(params, statistics)` with `has_state`.
        data: pytree of arrays with one common leading axis, the examples.
        batch_size: the most examples at once.
        has_state: whether `loss_fn` carries running statistics.

    Returns:
        A dict of scalars, `loss` among them.

    Raises:
        ValueError: if the data are empty or disagree in length.

    Example:
        >>> loss_fn = lambda p, batch, key: ((p * batch).mean(), {"largest": batch.max()})
        >>> float(evaluate(loss_fn, 2.0, jnp.arange(10.0), batch_size=4)["loss"])
        9.0
    """
    _checks.function("evaluate", loss_fn=loss_fn)
    _checks.sizes("evaluate", batch_size=batch_size)
    batch_size = min(batch_size, examples_of("evaluate", data, 1))
    return _evaluate(loss_fn, params, data, batch_size, has_state)


def predict(
    network: Any, params: Any, inputs: Any, *, batch_size: int, has_state: bool = False
) -> Any:
    """Outputs of a network on inputs of any number, in batches and without noise.

    Args:
        network: a `Network`, a `StatefulNetwork` with `has_state`, or a function
            `apply(params, inputs)`.
        params: the parameters, or `(params, statistics)` with `has_state`.
        inputs: pytree of arrays with one common leading axis, the examples.
        batch_size: the most examples at once.
        has_state: whether `network` keeps running statistics.

    Returns:
        The outputs, with one entry of the leading axis per example.

    Raises:
        TypeError: if `network` can't be applied.
        ValueError: if the inputs are empty or disagree in length.

    Example:
        >>> predict(lambda p, x: p * x, 2.0, jnp.arange(5.0), batch_size=2)
        Array([0., 2., 4., 6., 8.], dtype=float32)
    """
    apply = getattr(network, "apply", network)
    _checks.function("predict", network=apply)
    _checks.sizes("predict", batch_size=batch_size)
    batch_size = min(batch_size, examples_of("predict", inputs, 1))
    return _predict(apply, params, inputs, batch_size, has_state)


@partial(jax.jit, static_argnums=(0, 3, 4))
def _evaluate(loss_fn, params, data, batch_size, has_state):
    def measure(batch):
        found = loss_fn(*params, batch, None) if has_state else loss_fn(params, batch, None)
        loss, aux = measured(found, has_state)
        return {"loss": loss, **(aux[0] if has_state else aux)}

    whole, rest = _in_batches(measure, data, batch_size)
    examples = examples_of("evaluate", data, 1)
    left = examples % batch_size
    mean = jax.tree.map(lambda m: _units.mean(m, 0), whole)
    if rest is None:
        return mean
    share = left / examples
    return jax.tree.map(lambda m, r: (1 - share) * m + share * r, mean, rest)


@partial(jax.jit, static_argnums=(0, 3, 4))
def _predict(apply, params, inputs, batch_size, has_state):
    outputs = lambda batch: apply(*params, batch)[0] if has_state else apply(params, batch)
    whole, rest = _in_batches(outputs, inputs, batch_size)
    whole = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), whole)
    if rest is None:
        return whole
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), whole, rest)


def _in_batches(f, data, batch_size):
    """`f` over all full batches, stacked, and over what is left, None if nothing is."""
    full, left = divmod(examples_of("evaluate", data, 1), batch_size)
    cut = full * batch_size
    batches = jax.tree.map(lambda a: a[:cut].reshape(full, batch_size, *a.shape[1:]), data)
    whole = jax.lax.map(f, batches)
    return whole, f(jax.tree.map(lambda a: a[cut:], data)) if left else None
