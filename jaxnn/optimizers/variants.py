"""Kin of Adam: with Nesterov momentum, and by the sign alone."""

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
from jaxnn.optimizers._moments import decayed, kernels, scale_by_adam

__all__ = ["lion", "lion_update", "nadam", "nadam_update"]


def nadam(
    rate, b1: float = 0.9, b2: float = 0.999, epsilon: float = 1e-8
) -> optax.GradientTransformation:
    r"""Adam with Nesterov momentum: the mean is taken one step further.

    .. math:: \hat m = \beta_1 \frac{m}{1 - \beta_1^{t+1}} + (1 - \beta_1) \frac{g}{1 - \beta_1^t}

    and the rest as in `adam`, as in Optax. PyTorch and Keras warm \( \beta_1 \) up by the
    schedule of the paper, \( \beta_1 (1 - 0.5 \cdot 0.96^{t / 250}) \).

    Args:
        rate: \( \eta \), a number that is not negative, or a schedule.
        b1: \( \beta_1 \), within [0, 1).
        b2: \( \beta_2 \), within [0, 1).
        epsilon: what keeps the denominator from 0.

    Returns:
        An `optax.GradientTransformation`.

    Raises:
        ValueError: if `rate` is negative, `b1` or `b2` outside [0, 1) or `epsilon` negative.

    Example:
        >>> optimizer = nadam(0.1)
        >>> w = jnp.array([1.0])
        >>> updates, state = optimizer.update(jnp.array([5.0]), optimizer.init(w))
        >>> round(float(updates[0]), 4)  # -0.1 * (0.9 * 0.1 / 0.19 + 1)
        -0.1474

    Reference:
        Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016.
    """
    steps = scale_by_adam("nadam", b1, b2, epsilon, nesterov=True)
    return optimizer("nadam", steps, by_rate("nadam", rate))


def nadam_update(
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
    r"""Step number `step` (from 1) of `nadam`: the new \( (w, m, v) \)."""
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g**2
    mean = b1 * m / (1 - b1 ** (step + 1)) + (1 - b1) * g / (1 - b1**step)
    return w - rate * mean / (jnp.sqrt(v / (1 - b2**step)) + epsilon), m, v


class _LionState(NamedTuple):
    """The mean gradient."""

    mean: Any


def lion(
    rate,
    b1: float = 0.9,
    b2: float = 0.99,
    weight_decay: float = 0.0,
    *,
    mask=None,
) -> optax.GradientTransformation:
    r"""Lion: every weight moves by the rate, in the direction of a sign.

    .. math:: w \leftarrow w - \eta\, (\mathrm{sign}(\beta_1 m + (1 - \beta_1) g) + \lambda w),
              \qquad m \leftarrow \beta_2 m + (1 - \beta_2) g

    It keeps one moment instead of two. Steps are larger than those of Adam: take a rate three to
    ten times smaller, and a decay as many times larger.

    Args:
        rate: \( \eta \), a number that is not negative, or a schedule.
        b1: \( \beta_1 \), within [0, 1).
        b2: \( \beta_2 \), within [0, 1).
        weight_decay: \( \lambda \), not negative. Optax has 1e-3.
        mask: what decays, as in `adamw`.

    Returns:
        An `optax.GradientTransformation`, whose `update` must be given the parameters if they
        decay.

    Raises:
        ValueError: if `rate` or `weight_decay` is negative or `b1` or `b2` outside [0, 1).

    Example:
        >>> optimizer = lion(0.1)
        >>> w = jnp.array([1.0, 1.0, 1.0])
        >>> updates, state = optimizer.update(jnp.array([5.0, -1e-9, 0.0]), optimizer.init(w))
        >>> np.round(np.asarray(optax.apply_updates(w, updates), float), 3).tolist()
        [0.9, 1.1, 1.0]

    Reference:
        Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023.
    """
    b1, b2 = valid_decay("lion", b1=b1), valid_decay("lion", b2=b2)
    weight_decay = non_negative("lion", weight_decay=weight_decay)

    def init(params):
        return _LionState(wide_zeros(params))

    def update(updates, state, params=None):
        def rule(g, m):
            return jnp.sign(b1 * m + (1 - b1) * g), b2 * m + (1 - b2) * g

        updates, mean = per_leaf("lion", rule, updates, state.mean)
        return updates, _LionState(mean)

    still = isinstance(weight_decay, (int, float)) and weight_decay == 0
    shrink = [] if still else [decayed(weight_decay, kernels if mask is None else mask)]
    steps = optax.GradientTransformation(init, update)
    return optimizer("lion", steps, *shrink, by_rate("lion", rate), needs_params=not still)


def lion_update(
    w: Array,
    g: Array,
    m: Array,
    rate,
    b1: float = 0.9,
    b2: float = 0.99,
    weight_decay: float = 0.0,
) -> tuple[Array, Array]:
    r"""One step of `lion`: the new \( (w, m) \)."""
    w = w - rate * (jnp.sign(b1 * m + (1 - b1) * g) + weight_decay * w)
    return w, b2 * m + (1 - b2) * g
