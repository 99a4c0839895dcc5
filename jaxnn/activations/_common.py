"""What the elementwise activations share."""

import jax
import jax.numpy as jnp

from jaxnn import _checks, _exact


def elementwise(name, f, x, *parameters):
    """`f(x, *parameters)` for floats `x`, rounded once in the short types."""
    _checks.floating(name, x=x)
    with jax.named_scope(name):
        return _exact.rounded_once(f, jnp.asarray(x), *parameters)
