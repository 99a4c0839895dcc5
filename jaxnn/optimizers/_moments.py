"""Adam's moments, roots of mean squares without the squares, and weight decay."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnn.optimizers._common import non_negative, per_leaf, valid_decay, wide_zeros


class AdamState(NamedTuple):
    """How many steps were taken, the mean gradient, and the root of the mean square."""

    count: Any
    mean: Any
    root: Any


def scale_by_adam(function, b1, b2, epsilon, *, nesterov=False):
    b1, b2 = valid_decay(function, b1=b1), valid_decay(function, b2=b2)
    epsilon = non_negative(function, epsilon=epsilon)

    def init(params):
        return AdamState(jnp.zeros((), jnp.int32), wide_zeros(params), wide_zeros(params))

    def update(updates, state, params=None):
        count = optax.safe_increment(state.count)

        def rule(g, m, r):
            m = b1 * m + (1 - b1) * g  # g - m could overflow
            r = root_of_mean(r, g, b2)
            whole, root = _debias(b1, count, g.dtype), jnp.sqrt(_debias(b2, count, g.dtype))
            if not nesterov:
                return over(m, r, epsilon * root) * root / whole, m, r
            ahead = over(m, r, epsilon * root) * (b1 * root / _debias(b1, count + 1, g.dtype))
            fresh = over(g, r, epsilon * root) * ((1 - b1) * root / whole)
            return ahead + fresh, m, r

        updates, mean, root = per_leaf(function, rule, updates, state.mean, state.root)
        return updates, AdamState(count, mean, root)

    return optax.GradientTransformation(init, update)


def _debias(b, count, dtype):
    """1 - b^count, without the cancellation of the first steps where b is nearly 1."""
    if isinstance(b, (int, float)):
        log = math.log(b) if b > 0 else -math.inf
    else:
        log = jnp.log(jnp.asarray(b, dtype))
    return -jnp.expm1(count.astype(dtype) * log)


def over(g, r, epsilon):
    """g / (r + epsilon), and 0 where all of them are 0."""
    whole = r + epsilon
    return g / jnp.where(whole == 0, 1, whole)  # NaN stays


def hypot(a, b):
    """The root of a^2 + b^2, where squares might be no floats."""
    a, b = jnp.abs(a), jnp.abs(b)
    most = jnp.maximum(a, b)
    least = jnp.minimum(a, b)
    ratio = least / jnp.where(most > 0, most, 1)
    # NaN, and an infinity (whose ratio is 0 or NaN), stay what they are.
    return most * jnp.sqrt(1 + ratio * ratio)


def root_of_mean(r, g, b):
    """The root of b r^2 + (1 - b) g^2.

    While g is not much larger than r, as a small change of r: the rounding of b itself, near
    1, would otherwise add up over the 1 / (1 - b) steps that the mean remembers. With a short
    memory that is no matter, and the small change would cancel what is left of r.
    """
    g = jnp.abs(g)
    direct = hypot(b**0.5 * r, (1 - b) ** 0.5 * g)
    if isinstance(b, (int, float)) and b < 0.5:
        return direct
    usual = (g < 64 * r) & (r > 0)
    q = g / jnp.where(usual, r, jnp.where(g > 0, g, 1))
    u = (1 - b) * (q * q - 1)
    near = r + r * (u / (1 + jnp.sqrt(1 + u)))
    p = r / jnp.where(usual | (g == 0), 1, g)  # below 1 / 64
    far = g * jnp.sqrt((1 - b) + b * jnp.where(usual, 0, p * p))
    mean = jnp.where(usual, near, far)
    return mean if isinstance(b, (int, float)) else jnp.where(b < 0.5, direct, mean)


def kernels(params):
    """True for each kernel and embedding."""

    def decays(path, _):
        return jax.tree_util.keystr(path[-1:], simple=True).endswith(("kernel", "embedding"))

    return jax.tree_util.tree_map_with_path(decays, params)


def decayed(weight_decay, mask):
    """Adds `weight_decay` times the masked parameters to the updates."""

    def add(updates, params):
        strength = lambda u: jnp.asarray(weight_decay, u.dtype)
        return jax.tree.map(lambda u, p: u + strength(u) * p, updates, params)

    return optax.masked(optax.stateless(add), mask)
