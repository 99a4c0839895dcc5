"""Optimizers as Optax chains, each beside its update rule in plain jnp.

    adam(rate, ...)                              an `optax.GradientTransformation`
    adam_update(w, g, m, v, step, rate, ...)     one step of it on one array, to be read

The rules are those of the textbooks; the transformations follow the same trajectory, also
where the rules would not: after a gradient so large or so small that its square is no float.
Rates are numbers, traced values, or Optax schedules. Clippings are chained before an
optimizer: `optax.chain(clip_by_global_norm(1.0), adam(1e-3))`.
"""

from jaxnn.optimizers.adaptive import (
    adadelta,
    adadelta_update,
    adagrad,
    adagrad_update,
    adam,
    adam_update,
    adamw,
    adamw_update,
    rmsprop,
    rmsprop_update,
)
from jaxnn.optimizers.clipping import (
    clip_by_global_norm,
    clip_by_global_norm_update,
    clip_by_norm,
    clip_by_norm_update,
    clip_by_value,
    clip_by_value_update,
)
from jaxnn.optimizers.descent import (
    SkipState,
    gradient_descent,
    gradient_descent_update,
    momentum,
    momentum_update,
    skip_nonfinite,
)
from jaxnn.optimizers.variants import lion, lion_update, nadam, nadam_update

__all__ = [
    "SkipState",
    "adadelta", "adadelta_update", "adagrad", "adagrad_update", "adam", "adam_update", "adamw",
    "adamw_update", "clip_by_global_norm", "clip_by_global_norm_update", "clip_by_norm",
    "clip_by_norm_update", "clip_by_value", "clip_by_value_update", "gradient_descent",
    "gradient_descent_update", "lion", "lion_update", "momentum", "momentum_update", "nadam",
    "nadam_update", "rmsprop", "rmsprop_update",
    "skip_nonfinite",
]  # fmt: skip
