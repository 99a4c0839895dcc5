"""Recipe 10: a loss of your own is a function; here the mean absolute percentage error."""

import jax
import jax.numpy as jnp

from jaxnn import losses, make_fit, optimizers
from jaxnn.networks import mlp

print("on", jax.devices()[0].platform)

key = jax.random.key(0)
x = jax.random.uniform(key, (512, 2), minval=-1, maxval=1)
y = 3 + jnp.sin(3 * x[:, :1]) + x[:, 1:] ** 2  # positive, so that percentages mean something


def percentage_error(predictions, targets):
    """What one writes at first: right in value, with JAX's own gradient."""
    return 100 * jnp.abs((predictions - targets) / targets)


network = mlp([2, 32, 32, 1])
params = network.init(key)
predictions = network.apply(params, x)
ours = losses.absolute_percentage_error(predictions, y)
difference = jnp.abs(ours - percentage_error(predictions, y)).max()
print(f"custom loss against losses.absolute_percentage_error: {difference:.1e}")
assert difference < 1e-3


def loss_fn(params, batch, key):
    inputs, targets = batch
    return percentage_error(network.apply(params, inputs), targets).mean(), {}


fit = make_fit(loss_fn, optimizers.adam(1e-2), epochs=100, batch_size=64)
result = fit(params, (x, y), key=key)
before, after = result.history["loss"][0], result.history["loss"][-1]
print(f"mean percentage error: {before:.1f} % in the first epoch, {after:.2f} % in the last")
assert after < 2
