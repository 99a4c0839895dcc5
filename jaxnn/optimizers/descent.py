"""Gradient descent, plain and with momentum; and steps that leave out non-finite gradients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxnn.optimizers._common import by_rate, optimizer, per_leaf, valid_decay, wide_zeros

__all__ = [
    "SkipState", "gradient_descent", "gradient_descent_update", "momentum", "momentum_update",
    "skip_nonfinite",
]  # fmt: skip


def gradient_descent(rate) -> optax.GradientTransformation:
    r"""Gradient descent, \( w \leftarrow w - \eta g \).

    On batches drawn at random it is stochastic gradient descent.

    Args:
        rate: the learning rate \( \eta \), a number, a traced value or an Optax schedule.

    Returns:
        The transformation.

    Raises:
        ValueError: if `rate` is negative.

    Example:
        >>> w = jnp.array([1.0, 2.0])
        >>> optimizer = gradient_descent(0.5)
        >>> updates, _ = optimizer.update(jnp.array([1.0, -1.0]), optimizer.init(w))
        >>> optax.apply_updates(w, updates)
        Array([0.5, 2.5], dtype=float32)
    """
    return optimizer("gradient_descent", by_rate("gradient_descent", rate))


def gradient_descent_update(w: Array, g: Array, rate) -> Array:
    r"""One step of `gradient_descent`: \( w - \eta g \)."""
    return w - rate * g


class _MomentumState(NamedTuple):
    """The running mean of each gradient, 1 - decay times the velocity."""

    mean: optax.Updates


def momentum(rate, decay: float = 0.9, *, nesterov: bool = False):
    r"""Gradient descent with momentum (Polyak's heavy ball) or Nesterov's.

    .. math:: v \leftarrow \beta v + g, \qquad w \leftarrow w - \eta v

    and with `nesterov` \( w \leftarrow w - \eta (g + \beta v) \), which looks one step ahead.
    Keras puts \( \eta \) inside v; that is the same while the rate is constant. The state holds
    \( (1 - \beta) v \), a mean, since v itself may overflow where the step does not.

    Args:
        rate: the learning rate \( \eta \), a number, a traced value or an Optax schedule.
        decay: the share \( \beta \) of the velocity that a step keeps, in [0, 1).
        nesterov: whether to look ahead.

    Returns:
        The transformation.

    Raises:
        ValueError: if `rate` is negative or `decay` is outside [0, 1).

    Example:
        >>> optimizer = momentum(0.1)
        >>> state = optimizer.init(jnp.zeros(1))
        >>> for _ in range(3):
        ...     updates, state = optimizer.update(jnp.ones(1), state)
        >>> updates.round(4)
        Array([-0.271], dtype=float32)

    Reference:
        Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum
        in deep learning", ICML 2013.
    """
    decay = valid_decay("momentum", decay=decay)

    def init(params):
        return _MomentumState(wide_zeros(params))

    def update(updates, state, params=None):
        def rule(g, m):
            m = decay * m + (1 - decay) * g
            return (decay * m + (1 - decay) * g if nesterov else m), m

        updates, mean = per_leaf("momentum", rule, updates, state.mean)
        return updates, _MomentumState(mean)

    return optimizer(
        "momentum",
        optax.GradientTransformation(init, update),
        by_rate("momentum", rate, gain=1 / (1 - decay)),
    )


def momentum_update(
    w: Array, g: Array, v: Array, rate, decay: float = 0.9, nesterov: bool = False
) -> tuple[Array, Array]:
    r"""One step of `momentum`: the new \( (w, v) \)."""
    v = decay * v + g
    return w - rate * (g + decay * v if nesterov else v), v


class SkipState(NamedTuple):
    """The state of the wrapped optimizer, and how many steps were left out."""

    inner: optax.OptState
    skipped: Array


def skip_nonfinite(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Leaves out the steps whose gradient holds a NaN or an infinity, and counts them.

    Such a step changes neither the parameters nor the state of `optimizer`. Optax's
    `apply_if_finite` gives up after some number of them; this one goes on, and the count says
    what happened.

    Args:
        optimizer: any transformation.

    Returns:
        A transformation whose state has the field `skipped`, an int32 count.

    Example:
        >>> optimizer = skip_nonfinite(gradient_descent(0.1))
        >>> state = optimizer.init(jnp.zeros(1))
        >>> updates, state = optimizer.update(jnp.array([jnp.nan]), state)
        >>> float(updates[0]), int(state.skipped)
        (0.0, 1)
    """

    def init(params):
        return SkipState(optimizer.init(params), jnp.zeros((), jnp.int32))

    def update(updates, state, params=None, **extra):
        finite = jnp.array([jnp.isfinite(g).all() for g in jax.tree.leaves(updates)]).all()
        wrapped = optax.with_extra_args_support(optimizer)
        updates, inner = wrapped.update(updates, state.inner, params, **extra)
        updates = jax.tree.map(lambda u: jnp.where(finite, u, jnp.zeros_like(u)), updates)
        inner = jax.tree.map(lambda new, old: jnp.where(finite, new, old), inner, state.inner)
        return updates, SkipState(inner, state.skipped + (1 - finite.astype(jnp.int32)))

    return optax.GradientTransformationExtraArgs(init, update)
