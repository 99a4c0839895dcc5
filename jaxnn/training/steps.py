"""One step of training: the loss function of a network, and a gradient update."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import optax
from jax import Array

from jaxnn import _checks, _units
from jaxnn.training._checked import measured

__all__ = ["TrainState", "gradient_step", "supervised"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """What changes from step to step: a pytree, so it can be saved, sharded and vmapped.

    Attributes:
        params: the parameters being trained.
        opt_state: the state of the optimizer.
        statistics: the state of a `StatefulNetwork`, None for other networks.
    """

    params: Any
    opt_state: Any
    statistics: Any = None


def supervised(
    network: Any,
    loss: Callable,
    *,
    has_state: bool = False,
    penalty: Callable[[Any], Array] | None = None,
    **metrics: Callable,
) -> Callable:
    r"""The loss function of a network on pairs of inputs and targets.

    \( \frac1N \sum_i \ell(f(x_i), y_i) + R(\theta) \), with the penalty R only in training: a
    validation loss compares networks by what they predict.

    Args:
        network: a `Network`, or a `StatefulNetwork` with `has_state`.
        loss: `loss(outputs, targets)`, unreduced, as all of `jaxnn.losses` are.
        has_state: whether `network` keeps running statistics.
        penalty: a function of the parameters, such as `lambda p: l2(p, 1e-4)`.
        **metrics: `name=metric(outputs, targets)`, averaged over the batch.

    Returns:
        `loss_fn(params, batch, key) -> (loss, metrics)`, where `batch` is `(inputs, targets)`
        and no key means no noise and no penalty. With `has_state` it is
        `loss_fn(params, statistics, batch, key) -> (loss, (metrics, statistics))`, and a key
        also means that the statistics move.

    Raises:
        TypeError: if `network` has no `apply`, or a loss or metric is no function.

    Example:
        >>> from jaxnn import losses, networks
        >>> network = networks.mlp([3, 1])
        >>> loss_fn = supervised(network, losses.squared_error)
        >>> batch = jnp.ones((4, 3)), jnp.zeros((4, 1))
        >>> loss, _ = loss_fn(network.init(jax.random.key(0)), batch, None)
        >>> loss.shape
        ()
    """
    if not callable(getattr(network, "apply", None)):
        raise TypeError(
            f"supervised: network must have a function `apply`, got {type(network).__name__}. "
            "Pass what a function of jaxnn.networks returns."
        )
    _checks.function("supervised", loss=loss, **metrics)
    if penalty is not None:
        _checks.function("supervised", penalty=penalty)

    def measure(params, outputs, targets, key):
        total = _units.mean(loss(outputs, targets))
        if penalty is not None and key is not None:
            total = total + penalty(params)
        found = {name: _units.mean(metric(outputs, targets)) for name, metric in metrics.items()}
        return total, found

    def loss_fn(params, batch, key):
        inputs, targets = batch
        return measure(params, network.apply(params, inputs, key=key), targets, key)

    def loss_fn_with_state(params, statistics, batch, key):
        inputs, targets = batch
        outputs, statistics = network.apply(
            params, statistics, inputs, key=key, train=key is not None
        )
        total, measured = measure(params, outputs, targets, key)
        return total, (measured, statistics)

    return loss_fn_with_state if has_state else loss_fn


def gradient_step(
    loss_fn: Callable, optimizer: optax.GradientTransformation, *, has_state: bool = False
) -> Callable:
    r"""One gradient update, \( \theta \leftarrow \theta + \mathrm{optimizer}(\nabla L(\theta)) \).

    Args:
        loss_fn: `loss_fn(params, batch, key) -> (loss, metrics)`, the loss a scalar and the
            metrics a dict of scalars, possibly empty; with `has_state`,
            `loss_fn(params, statistics, batch, key) -> (loss, (metrics, statistics))`.
        optimizer: any Optax transformation, clipping and schedules included.
        has_state: whether the loss function carries running statistics.

    Returns:
        `step(state, batch, key) -> (state, metrics)` over a `TrainState`, whose metrics
        include `loss`.

    Raises:
        TypeError: if `loss_fn` is no function, `optimizer` no Optax transformation, or what
            the loss function returns is no pair of a scalar and a dict.

    Example:
        >>> import optax
        >>> optimizer = optax.sgd(0.5)
        >>> step = gradient_step(lambda p, batch, key: ((p - batch).sum() ** 2, {}), optimizer)
        >>> state = TrainState(jnp.ones(1), optimizer.init(jnp.ones(1)))
        >>> state, metrics = step(state, jnp.zeros(1), None)
        >>> float(state.params[0]), float(metrics["loss"])
        (0.0, 1.0)
    """
    _checks.function("gradient_step", loss_fn=loss_fn)
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(
            "gradient_step: optimizer must be an Optax transformation, got "
            f"{type(optimizer).__name__}. Pass one of jaxnn.optimizers or an optax chain."
        )

    def step(state: TrainState, batch, key: Array | None):
        def objective(params):
            if has_state:
                return measured(loss_fn(params, state.statistics, batch, key), has_state)
            return measured(loss_fn(params, batch, key), has_state)

        (loss, aux), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        metrics, statistics = aux if has_state else (aux, state.statistics)
        with jax.named_scope("update"):
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
        return TrainState(params, opt_state, statistics), {"loss": loss, **metrics}

    return step
