"""Optimizers that scale each parameter by the size of its gradients.

The textbook rules keep the mean v of squared gradients. Its square overflows from 2e19 on and
vanishes below 1e-23, and a single such gradient would freeze its parameter for good. So the
transformations keep the root r of v and update that, which follows the same trajectory.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import optax
from jax import Array

from jaxnn.optimizers._common import (
    by_rate,
    non_negative,
    optimizer,
    per_leaf,
    valid_decay,
    wide_zeros,
)
from jaxnn.optimizers._moments import decayed, hypot, kernels, over, root_of_mean, scale_by_adam

__all__ = [
    "adadelta", "adadelta_update", "adagrad", "adagrad_update", "adam", "adam_update", "adamw",
    "adamw_update", "rmsprop", "rmsprop_update",
]  # fmt: skip


class _RootState(NamedTuple):
    """The root of the mean (or the sum) of squared gradients, for each parameter."""

    root: Any


def rmsprop(rate, decay: float = 0.9, epsilon: float = 1e-8):
    r"""RMSprop: the gradient over the root of a running mean of its squares.

    .. math:: v \leftarrow \beta v + (1 - \beta) g^2, \qquad
              w \leftarrow w - \eta \frac{g}{\sqrt{v} + \epsilon}

    Optax adds \( \epsilon \) inside the root by default.

    Args:
        rate: the learning rate \( \eta \), a number, a traced value or an Optax schedule.
        decay: the share \( \beta \) of the mean that a step keeps, in [0, 1).
        epsilon: what keeps the denominator from 0.

    Returns:
        The transformation.

    Raises:
        ValueError: if a number is negative or `decay` is outside [0, 1).

    Example:
        >>> optimizer = rmsprop(0.1)
        >>> w = jnp.zeros(2)
        >>> updates, _ = optimizer.update(jnp.array([1.0, 1e25]), optimizer.init(w))
        >>> updates.round(4)
        Array([-0.3162, -0.3162], dtype=float32)

    Reference:
        Tieleman and Hinton, "Lecture 6.5: rmsprop", Coursera 2012.
    """
    decay = valid_decay("rmsprop", decay=decay)
    epsilon = non_negative("rmsprop", epsilon=epsilon)

    def rule(g, r):
        r = root_of_mean(r, g, decay)
        return over(g, r, epsilon), r

    return _by_root("rmsprop", rule, rate)


def rmsprop_update(
    w: Array, g: Array, v: Array, rate, decay: float = 0.9, epsilon: float = 1e-8
) -> tuple[Array, Array]:
    r"""One step of `rmsprop`: the new \( (w, v) \)."""
    v = decay * v + (1 - decay) * g**2
    return w - rate * g / (jnp.sqrt(v) + epsilon), v


def adagrad(rate, epsilon: float = 1e-8):
    r"""Adagrad: the gradient over the root of the sum of all its squares.

    .. math:: v \leftarrow v + g^2, \qquad w \leftarrow w - \eta \frac{g}{\sqrt{v} + \epsilon}

    The sum starts at 0; Optax and Keras start it at 0.1.

    Args:
        rate: the learning rate \( \eta \), a number, a traced value or an Optax schedule.
        epsilon: what keeps the denominator from 0.

    Returns:
        The transformation.

    Raises:
        ValueError: if a number is negative.

    Example:
        >>> optimizer = adagrad(0.1)
        >>> state = optimizer.init(jnp.zeros(1))
        >>> for _ in range(4):
        ...     updates, state = optimizer.update(jnp.ones(1), state)
        >>> updates.round(4)
        Array([-0.05], dtype=float32)

    Reference:
        Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and
        stochastic optimization", JMLR 2011.
    """
    epsilon = non_negative("adagrad", epsilon=epsilon)
    # A sum, and not a mean, outgrows its largest gradient: kept in a unit of a million.
    unit = 2.0**-20

    def rule(g, r):
        r = hypot(r, unit * g)
        return unit * over(g, r, unit * epsilon), r  # g as it is: in that unit it may vanish

    return _by_root("adagrad", rule, rate)


def adagrad_update(
    w: Array, g: Array, v: Array, rate, epsilon: float = 1e-8
) -> tuple[Array, Array]:
    r"""One step of `adagrad`: the new \( (w, v) \)."""
    v = v + g**2
    return w - rate * g / (jnp.sqrt(v) + epsilon), v


class _AdadeltaState(NamedTuple):
    """Roots of the running means of squared gradients and of squared steps."""

    root: Any
    step_root: Any


def adadelta(rate=1.0, decay: float = 0.95, epsilon: float = 1e-6):
    r"""Adadelta: steps in the units of the parameters, from the sizes of earlier steps.

    .. math:: v \leftarrow \beta v + (1 - \beta) g^2, \quad
              \Delta = \frac{\sqrt{u + \epsilon}}{\sqrt{v + \epsilon}}\, g, \quad
              u \leftarrow \beta u + (1 - \beta) \Delta^2, \quad w \leftarrow w - \eta \Delta

    A common printed form has \( \eta \) in place of the numerator; that is RMSprop.

    Args:
        rate: the factor \( \eta \), 1 in the paper; a number, a traced value or a schedule.
        decay: the share \( \beta \) of both means that a step keeps, in [0, 1).
        epsilon: added inside both roots; it sets the size of the first steps.

    Returns:
        The transformation.

    Raises:
        ValueError: if a number is negative or `decay` is outside [0, 1).

    Example:
        >>> optimizer = adadelta()
        >>> updates, _ = optimizer.update(jnp.ones(1), optimizer.init(jnp.zeros(1)))
        >>> updates.round(5)
        Array([-0.00447], dtype=float32)

    Reference:
        Zeiler, "ADADELTA: an adaptive learning rate method", 2012.
    """
    decay = valid_decay("adadelta", decay=decay)
    epsilon = non_negative("adadelta", epsilon=epsilon)
    floor = epsilon**0.5

    def init(params):
        return _AdadeltaState(wide_zeros(params), wide_zeros(params))

    def rule(g, r, s):
        r = root_of_mean(r, g, decay)
        delta = over(g, hypot(r, floor), 0) * hypot(s, floor)
        return delta, r, root_of_mean(s, delta, decay)

    def update(updates, state, params=None):
        updates, *roots = per_leaf("adadelta", rule, updates, *state)
        return updates, _AdadeltaState(*roots)

    steps = optax.GradientTransformation(init, update)
    return optimizer("adadelta", steps, by_rate("adadelta", rate))


def adadelta_update(
    w: Array,
    g: Array,
    v: Array,
    u: Array,
    rate=1.0,
    decay: float = 0.95,
    epsilon: float = 1e-6,
) -> tuple[Array, Array, Array]:
    r"""One step of `adadelta`: the new \( (w, v, u) \)."""
    v = decay * v + (1 - decay) * g**2
    delta = jnp.sqrt(u + epsilon) / jnp.sqrt(v + epsilon) * g
    u = decay * u + (1 - decay) * delta**2
    return w - rate * delta, v, u


def adam(rate, b1: float = 0.9, b2: float = 0.999, epsilon: float = 1e-8):
    r"""Adam: the mean gradient over the root of the mean square, both freed of their bias.

    .. math:: m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
              v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad
              w \leftarrow w - \eta \frac{m / (1 - \beta_1^t)}
                                        {\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Both means start at 0, and at step t hold only \( 1 - \beta^t \) of what they should:
    without the correction the first step would be 3.16 times too large.

    Args:
        rate: the learning rate \( \eta \), a number, a traced value or an Optax schedule.
        b1: the share of the mean gradient that a step keeps, in [0, 1).
        b2: the share of the mean square that a step keeps, in [0, 1).
        epsilon: what keeps the denominator from 0.

    Returns:
        The transformation.

    Raises:
        ValueError: if a number is negative, or `b1` or `b2` is outside [0, 1).

    Example:
        >>> optimizer = adam(0.1)
        >>> w = jnp.zeros(3)
        >>> updates, _ = optimizer.update(jnp.array([1e-3, -1.0, 1e25]), optimizer.init(w))
        >>> np.round(np.asarray(updates, float), 4).tolist()
        [-0.1, 0.1, -0.1]

    Reference:
        Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """
    return optimizer("adam", scale_by_adam("adam", b1, b2, epsilon), by_rate("adam", rate))


def adam_update(
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    step: int,
    rate,
    b1: float = 0.9,
    b2: float = 0.999,
    epsilon: float = 1e-8,
) -> tuple[Array, Array, Array]:
    r"""Step number `step` (from 1) of `adam`: the new \( (w, m, v) \)."""
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g**2
    unbiased_mean, unbiased_square = m / (1 - b1**step), v / (1 - b2**step)
    return w - rate * unbiased_mean / (jnp.sqrt(unbiased_square) + epsilon), m, v


def adamw(
    rate,
    weight_decay: float = 1e-4,
    b1: float = 0.9,
    b2: float = 0.999,
    epsilon: float = 1e-8,
    *,
    mask=None,
):
    r"""Adam with decoupled weight decay: kernels also shrink by \( \eta \lambda w \) per step.

    Unlike an L2 penalty, the decay is not divided by the size of the gradient. It follows a
    schedule of the rate.

    Args:
        rate: the learning rate \( \eta \), a number, a traced value or an Optax schedule.
        weight_decay: the strength \( \lambda \).
        b1: the share of the mean gradient that a step keeps, in [0, 1).
        b2: the share of the mean square that a step keeps, in [0, 1).
        epsilon: what keeps the denominator from 0.
        mask: what decays, as in Optax: a tree of booleans, or a function of the parameters
            that returns one. By default kernels and embeddings: the leaves whose path ends in
            `kernel` or `embedding`. Biases and the scales of normalization do not.

    Returns:
        The transformation; its `update` needs the parameters.

    Raises:
        ValueError: if a number is negative, or `b1` or `b2` is outside [0, 1).

    Example:
        >>> params = {"kernel": jnp.ones(1), "bias": jnp.ones(1)}
        >>> optimizer = adamw(0.1, weight_decay=0.5)
        >>> zero = jax.tree.map(jnp.zeros_like, params)
        >>> updates, _ = optimizer.update(zero, optimizer.init(params), params)
        >>> params = optax.apply_updates(params, updates)
        >>> round(float(params["kernel"][0]), 4), float(params["bias"][0])
        (0.95, 1.0)

    Reference:
        Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """
    weight_decay = non_negative("adamw", weight_decay=weight_decay)
    return optimizer(
        "adamw",
        scale_by_adam("adamw", b1, b2, epsilon),
        decayed(weight_decay, kernels if mask is None else mask),
        by_rate("adamw", rate),
        needs_params=True,
    )


def adamw_update(
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    step: int,
    rate,
    weight_decay: float = 1e-4,
    b1: float = 0.9,
    b2: float = 0.999,
    epsilon: float = 1e-8,
) -> tuple[Array, Array, Array]:
    r"""Step number `step` (from 1) of `adamw` on a kernel: the new \( (w, m, v) \)."""
    stepped, m, v = adam_update(w, g, m, v, step, rate, b1, b2, epsilon)
    return stepped - rate * weight_decay * w, m, v


def _by_root(function, rule, rate):
    """The optimizer of a rule `(g, r) -> (update, r)`."""

    def init(params):
        return _RootState(wide_zeros(params))

    def update(updates, state, params=None):
        updates, root = per_leaf(function, rule, updates, state.root)
        return updates, _RootState(root)

    steps = optax.GradientTransformation(init, update)
    return optimizer(function, steps, by_rate(function, rate))
