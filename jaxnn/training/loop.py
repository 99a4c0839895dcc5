"""Many steps: any step over shuffled batches and epochs, as one compiled program."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxnn import _checks, _units
from jaxnn.training import batches
from jaxnn.training._checked import divides, examples_of, finite
from jaxnn.training.steps import TrainState, gradient_step

__all__ = ["FitResult", "make_fit", "run"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FitResult:
    """What `fit` returns.

    Attributes:
        state: the train state of the best epoch, or of the last without validation.
        history: metric name -> `[epochs]`; nan for epochs that early stopping left out.
        epochs: how many epochs ran.
    """

    state: TrainState
    history: dict[str, Array]
    epochs: Array

    @property
    def params(self):
        """The trained parameters."""
        return self.state.params

    @property
    def statistics(self):
        """The running statistics of a `StatefulNetwork`."""
        return self.state.statistics


def make_fit(
    loss_fn: Callable,
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    batch_size: int,
    patience: int | None = None,
    min_delta: float = 0.0,
    has_state: bool = False,
    validation_batch_size: int | None = None,
    batch_sharding: Any = None,
    callbacks: Sequence[Callable] = (),
) -> Callable[..., FitResult]:
    """Makes `fit(params, train, validation=None, *, key) -> FitResult`, compiled once.

    `fit` is a pure function. Called, it looks at the values of its data, and trains in one
    compiled program, kept for further calls with data of the same shapes. It may itself be
    used under `jax.jit`, `jax.vmap` (a population, each member trained as it would be alone)
    and inside functions that build their optimizer from a traced learning rate.

    With validation, the state of the epoch with the lowest validation loss is returned.

    Args:
        loss_fn: as for `gradient_step`; `supervised` makes one. Validation calls it without
            a key, on the whole of the validation data or in batches.
        optimizer: any Optax transformation, clipping and schedules included.
        epochs: the most epochs to run.
        batch_size: examples per step.
        patience: how many epochs in a row without a lower validation loss end the run.
        min_delta: by how much a validation loss must be lower to count.
        has_state: whether `loss_fn` carries running statistics; `fit` then takes the pair
            `(params, statistics)` that the `init` of a `StatefulNetwork` returns.
        validation_batch_size: examples per step of validation, all at once by default.
        batch_sharding: a `jax.sharding.Sharding` for the leading axis of every batch, such as
            `sharding.data_parallel()`.
        callbacks: called on the host after each epoch as `callback(epoch, metrics)`.

    Returns:
        The function `fit`. Its data are pytrees of arrays with one common leading axis.

    Raises:
        TypeError: if `loss_fn`, `optimizer`, a count or a callback is of the wrong kind; from
            `fit`, if `key` is no key, or `params` no pair with `has_state`.
        ValueError: from `make_fit`, if a count is not positive; from `fit`, if the data are
            empty, hold less than one batch, disagree in length, or are not finite, or if
            `patience` has no validation to watch.

    Example:
        >>> from jaxnn import losses, networks, optimizers, training
        >>> network = networks.mlp([1, 1])
        >>> loss_fn = training.supervised(network, losses.squared_error)
        >>> fit = make_fit(loss_fn, optimizers.adam(0.1), epochs=100, batch_size=8)
        >>> x = jnp.linspace(-1, 1, 32)[:, None]
        >>> result = fit(network.init(jax.random.key(0)), (x, 3 * x), key=jax.random.key(1))
        >>> result.params["dense_0"]["kernel"].round(2)
        Array([[3.]], dtype=float32)
    """
    step = gradient_step(loss_fn, optimizer, has_state=has_state)
    _check_run("make_fit", epochs, batch_size, "validation_loss", patience, min_delta, callbacks)
    if validation_batch_size is not None:
        _checks.sizes("make_fit", validation_batch_size=validation_batch_size)

    # Kept across calls, so that a second call with the same shapes compiles nothing.
    @jax.jit
    def train_on(params, train, validation, key):
        params, statistics = params if has_state else (params, None)

        def validate(state):
            at = (state.params, state.statistics) if has_state else state.params
            size = validation_batch_size or examples_of("fit", validation, 1)
            found = batches.evaluate(loss_fn, at, validation, batch_size=size, has_state=has_state)
            return {f"validation_{name}": value for name, value in found.items()}

        watched = validation is not None
        state, history, epochs_run = run(
            step,
            TrainState(params, optimizer.init(params), statistics),
            train,
            key=key,
            epochs=epochs,
            batch_size=batch_size,
            evaluate=validate if watched else None,
            monitor="validation_loss" if watched else None,
            patience=patience,
            min_delta=min_delta,
            batch_sharding=batch_sharding,
            callbacks=callbacks,
        )
        return FitResult(state, history, epochs_run)

    def fit(params, train, validation=None, *, key: Array) -> FitResult:
        if patience is not None and validation is None:
            raise ValueError(
                "fit: patience watches the validation loss, but validation is None. "
                "Pass validation data, or make_fit(..., patience=None)."
            )
        _checks.key("fit", key=key)
        if has_state and not (isinstance(params, tuple | list) and len(params) == 2):
            raise TypeError(
                "fit: params must be the pair (params, statistics) with has_state, got "
                f"{type(params).__name__}. Pass what the init of a StatefulNetwork returns."
            )
        examples_of("fit", train, batch_size)
        finite("fit", "train", train)
        if validation is not None:
            examples_of("fit", validation, 1)
            finite("fit", "validation", validation)
        return train_on(params, train, validation, key)

    return fit


def run(
    step: Callable,
    state: Any,
    data: Any,
    *,
    key: Array,
    epochs: int,
    batch_size: int,
    evaluate: Callable[[Any], dict[str, Array]] | None = None,
    monitor: str | None = None,
    patience: int | None = None,
    min_delta: float = 0.0,
    batch_sharding: Any = None,
    callbacks: Sequence[Callable] = (),
) -> tuple[Any, dict[str, Array], Array]:
    """Repeats `step` over reshuffled batches until `epochs` or until patience is lost.

    Traceable throughout: call it under `jax.jit`. Each epoch draws a new permutation, and
    every example is in it: where the last batch is not full, it is filled up from the start of
    the same permutation, so that all batches have one shape and one trace of `step` serves.

    Args:
        step: `step(state, batch, key) -> (state, metrics)`, the metrics a dict of scalars.
        state: its first state, any pytree of arrays.
        data: pytree of arrays with one common leading axis, the examples.
        key: the source of permutations and of every step's key.
        epochs: the most epochs to run.
        batch_size: examples per step.
        evaluate: `evaluate(state) -> metrics`, run after each epoch.
        monitor: the metric to minimise; the state of its best epoch is returned.
        patience: how many epochs in a row without a new minimum of `monitor` end the run.
        min_delta: by how much a new minimum must be lower than the last one.
        batch_sharding: a `jax.sharding.Sharding` for the leading axis of every batch, so
            that each device computes its share and not the whole.
        callbacks: called on the host after each epoch as `callback(epoch, metrics)`; see
            `jaxnn.callbacks` for those that ask for the state, and for `jax.vmap`.

    Returns:
        The state, the history (`[epochs]` per metric, nan where not run), the epochs run.

    Raises:
        ValueError: if the leading axes differ or hold less than one batch, a count is not
            positive, `monitor` is missing or names no metric, or `batch_sharding` can't split a
            batch.

    Example:
        >>> count = lambda state, batch, key: (state + batch.sum(), {"seen": batch.sum()})
        >>> state, history, epochs = run(
        ...     count, jnp.array(0.0), jnp.ones(6), key=jax.random.key(0), epochs=2, batch_size=3
        ... )
        >>> float(state), history["seen"].tolist()
        (12.0, [3.0, 3.0])
    """
    _check_run("run", epochs, batch_size, monitor, patience, min_delta, callbacks)
    examples = examples_of("run", data, batch_size)
    steps = -(-examples // batch_size)
    if batch_sharding is not None:
        divides("run", batch_sharding, batch_size)

    def batch_of(indices):
        batch = jax.tree.map(lambda a: a[indices], data)
        if batch_sharding is None:
            return batch
        return jax.lax.with_sharding_constraint(batch, batch_sharding)

    # Under `jit` only so that this is traced once, for the shapes and for the loop alike.
    @jax.jit
    def epoch_of(state, epoch):
        shuffle_key, step_key = jax.random.split(jax.random.fold_in(key, epoch))
        order = jax.random.permutation(shuffle_key, examples)
        order = jnp.concatenate([order, order[: steps * batch_size - examples]])
        slots = order.reshape(steps, batch_size), jax.random.split(step_key, steps)
        with jax.named_scope("batch"):
            state, metrics = jax.lax.scan(lambda s, x: step(s, batch_of(x[0]), x[1]), state, slots)
        metrics = jax.tree.map(lambda m: _units.mean(m, 0), metrics)
        return state, metrics | (evaluate(state) if evaluate else {})

    state = _strong(state)
    start = jnp.zeros((), jnp.int32)
    _, shapes = jax.eval_shape(epoch_of, state, start)
    names = list(shapes)
    if monitor is not None and monitor not in names:
        raise ValueError(
            f"run: monitor must be one of {names}, got {monitor!r}. Name one of them, or let "
            "evaluate return it."
        )
    emit = _emitter(callbacks)

    # One matrix for the whole history: many small leaves would make the loop slow.
    def body(carry):
        epoch, state, history, best_state, best, stale = carry
        state, metrics = epoch_of(state, epoch)
        row = [metrics[name].astype(history.dtype) for name in names]
        history = history.at[epoch].set(jnp.array(row, history.dtype))
        emit(epoch, metrics, state)
        if monitor is not None:
            # A NaN is no improvement: every comparison with it is false.
            improved = metrics[monitor].astype(best.dtype) < best - min_delta
            best = jnp.where(improved, metrics[monitor].astype(best.dtype), best)
            keep = lambda new, old: jnp.where(improved, new, old)
            best_state = jax.tree.map(keep, state, best_state)
            stale = jnp.where(improved, 0, stale + 1)
        return epoch + 1, state, history, best_state, best, stale

    def unfinished(carry):
        epoch, *_, stale = carry
        return (epoch < epochs) if patience is None else (epoch < epochs) & (stale < patience)

    history = jnp.full((epochs, len(names)), jnp.nan)
    best_state = None if monitor is None else state
    carry = start, state, history, best_state, jnp.array(jnp.inf), jnp.zeros((), jnp.int32)
    with jax.named_scope("epoch"):
        epoch, state, history, best_state, *_ = jax.lax.while_loop(unfinished, body, carry)
    emit(epoch, None, None)
    by_name = {name: history[:, i] for i, name in enumerate(names)}
    return (state if monitor is None else best_state), by_name, epoch


def _emitter(callbacks):
    """`emit(epoch, metrics, state)`, which calls the callbacks on the host; no metrics: the end.

    Under `vmap` only callbacks with an attribute `population` that is true are called, once
    per epoch of the whole population, with one value per member in each metric.
    """
    if not callbacks:
        return lambda epoch, metrics, state: None
    asked = any(getattr(receiver, "with_state", False) for receiver in callbacks)

    def call(receivers, epoch, metrics, state):
        for receiver in receivers:
            if metrics is not None:
                more = (state,) if getattr(receiver, "with_state", False) else ()
                jax.debug.callback(receiver, epoch, metrics, *more)
            elif hasattr(receiver, "finish"):
                jax.debug.callback(lambda _, r=receiver: r.finish(), epoch)
        return jnp.zeros(jnp.shape(epoch), jnp.int32)

    @jax.custom_batching.custom_vmap
    def emit(epoch, metrics, state):
        return call(callbacks, epoch, metrics, state)

    @emit.def_vmap
    def _(members, batched, *reported):
        spread = lambda a, b: a if b else jnp.broadcast_to(a, (members, *jnp.shape(a)))
        reported = jax.tree.map(spread, reported, tuple(batched))
        return call([c for c in callbacks if getattr(c, "population", False)], *reported), True

    return lambda epoch, metrics, state: emit(epoch, metrics, state if asked else None)


def _check_run(function, epochs, batch_size, monitor, patience, min_delta, callbacks):
    _checks.sizes(function, epochs=epochs, batch_size=batch_size)
    if patience is not None:
        _checks.sizes(function, patience=patience)
        if monitor is None:
            raise ValueError(
                f"{function}: patience needs a metric to watch, got None. Pass monitor."
            )
    if not isinstance(callbacks, Sequence):
        raise TypeError(
            f"{function}: callbacks must be a list of functions, got {type(callbacks).__name__}. "
            "Put a single one in a list."
        )
    _checks.function(function, **{f"callbacks[{i}]": call for i, call in enumerate(callbacks)})
    _checks.values(function, lambda d: d >= 0, "be at least 0", "Pass 0.0.", min_delta=min_delta)


def _strong(tree):
    """The tree without weak types: a loop must return what it was given."""
    return jax.tree.map(lambda a: jax.lax.convert_element_type(a, jnp.result_type(a)), tree)
