"""The flow of gradients along a compiled training, as metrics of its history."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn import _checks, _units
from jaxnn.diagnostics._layers import groups
from jaxnn.diagnostics.gradients import _norm, _wide, gradient_flow

__all__ = ["record_flow", "record_updates", "recorded_flow"]

PREFIX = "flow"


def record_flow(loss_fn: Callable, *, has_state: bool = False) -> Callable:
    """The same loss function, with the `gradient_flow` of every training batch as metrics.

    `make_fit` and `run` average metrics over the batches of an epoch and keep them in their
    history: the recording is part of the one compiled program, and needs no callback. Called
    without a key, as in validation, the function is as it was. What the recording needs of the
    forward and backward pass is what the step computes anyway, and the compiler computes it
    once: no matrix product is added.

    Args:
        loss_fn: as for `gradient_step`.
        has_state: whether it carries running statistics.

    Returns:
        A loss function with metrics `flow/<layer>/<entry>` beside its own; `recorded_flow`
        takes them out of the history.

    Raises:
        TypeError: if `loss_fn` is not a function.

    Example:
        >>> from jaxnn import losses, make_fit, networks, optimizers, training
        >>> network = networks.mlp([1, 4, 1])
        >>> loss_fn = record_flow(training.supervised(network, losses.squared_error))
        >>> fit = make_fit(loss_fn, optimizers.adam(0.01), epochs=3, batch_size=4)
        >>> x = jnp.linspace(-1, 1, 8)[:, None]
        >>> result = fit(network.init(jax.random.key(0)), (x, x), key=jax.random.key(1))
        >>> recorded_flow(result.history)["dense_0"]["gradient_norm"].shape
        (3,)
    """
    _checks.function("record_flow", loss_fn=loss_fn)

    def measured(params, statistics, batch, key):
        if key is None:
            return {}
        fixed = jax.lax.stop_gradient((params, statistics, batch))
        flow = gradient_flow(loss_fn, fixed[0], fixed[2], key=key, statistics=fixed[1])
        return {
            f"{PREFIX}/{layer}/{entry}": value
            for layer, entries in flow.items()
            for entry, value in entries.items()
        }

    def plain(params, batch, key):
        loss, metrics = loss_fn(params, batch, key)
        return loss, {**metrics, **measured(params, None, batch, key)}

    def stateful(params, statistics, batch, key):
        loss, (metrics, new) = loss_fn(params, statistics, batch, key)
        return loss, ({**metrics, **measured(params, statistics, batch, key)}, new)

    return stateful if has_state else plain


def record_updates(step: Callable) -> Callable:
    r"""The same step, with the ratio of update to weights of every layer as metrics.

    \( \|\Delta W\| / \|W\| \), what part of itself a layer changes by in one step. Around
    0.001 is common; far more is unstable, far less learns nothing. What shares a dict counts as
    one layer, however many kernels it holds.

    Args:
        step: `step(state, batch, key) -> (state, metrics)` over a state with `params`, such as
            `training.gradient_step` makes.

    Returns:
        A step for `training.run`, with metrics `flow/<layer>/update_ratio` beside its own.

    Raises:
        TypeError: if `step` is not a function.

    Example:
        >>> import optax
        >>> from jaxnn.training import TrainState, gradient_step
        >>> loss_fn = lambda params, batch, key: (params["layer"]["kernel"].sum(), {})
        >>> step = record_updates(gradient_step(loss_fn, optax.sgd(0.1)))
        >>> params = {"layer": {"kernel": jnp.full(4, 2.0)}}
        >>> _, metrics = step(TrainState(params, optax.sgd(0.1).init(params)), None, None)
        >>> f"{metrics['flow/layer/update_ratio']:.3f}"
        '0.050'
    """
    _checks.function("record_updates", step=step)

    def recording(state, batch, key):
        new, metrics = step(state, batch, key)
        before, after = ([_wide(w) for w in jax.tree.leaves(s.params)] for s in (state, new))
        ratios = {}
        for layer, leaves in groups(state.params).items():
            # Over a unit, since a difference may leave the range where both ends do not.
            unit = _units.unit(*(jnp.stack([before[i], after[i]]) for i in leaves))
            moved = _norm([after[i] / unit - before[i] / unit for i in leaves])
            weights = _norm([before[i] / unit for i in leaves])
            ratio = jnp.where(moved == 0, 0, moved / weights)
            ratios[f"{PREFIX}/{layer}/update_ratio"] = ratio
        return new, {**metrics, **ratios}

    return recording


def recorded_flow(history: Mapping[str, Any]) -> dict[str, dict[str, Array]]:
    """The flow that a history holds, epoch by epoch.

    Args:
        history: what `fit` or `run` returned, of a loss function or step that records.

    Returns:
        As `gradient_flow`, with `[epochs]` (or `[members, epochs]`) in place of each number.
        Layers stand in the order in which they compute.

    Raises:
        ValueError: if nothing was recorded.

    Example:
        >>> flow = recorded_flow({"loss": jnp.ones(2), "flow/encoder/dense_0/dead": jnp.zeros(2)})
        >>> flow
        {'encoder/dense_0': {'dead': Array([0., 0.], dtype=float32)}}
    """
    flow: dict[str, dict[str, Array]] = {}
    for name, values in history.items():
        prefix, _, rest = name.partition("/")
        layer, _, entry = rest.rpartition("/")
        if prefix == PREFIX and layer:
            flow.setdefault(layer, {})[entry] = values
    if not flow:
        raise ValueError(
            "recorded_flow: history must hold metrics named flow/<layer>/<entry>, got "
            f"{sorted(history)}. Train with record_flow(loss_fn) or record_updates(step)."
        )
    order = lambda layer: np.ravel(layer[1].get("position", 0))[0]
    return dict(sorted(flow.items(), key=order))
