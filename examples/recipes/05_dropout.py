"""Recipe 5: dropout is noise that leaves the expectation alone, and needs a key."""

import jax
import jax.numpy as jnp

from jaxnn.networks import mlp

print("on", jax.devices()[0].platform)

network = mlp([4, 32, 1], dropout_rate=0.5)
init_key, data_key, noise_key = jax.random.split(jax.random.key(0), 3)
params = network.init(init_key)
x = jax.random.normal(data_key, (8, 4))

exact = network.apply(params, x)  # no key, no noise: this is how a network predicts
draws = 20_000
keys = jax.random.split(noise_key, draws)
samples = jax.jit(jax.vmap(lambda key: network.apply(params, x, key=key)))(keys)

# The layer above the dropped units is affine, so the mean over masks is the clean output.
spread = samples.std(0)
print(f"standard deviation over masks: {spread.mean():.2f}")
error = float((jnp.abs(samples.mean(0) - exact) / spread).max())
print(f"mean over {draws} masks is off by {error:.4f} standard deviations")
assert error < 5 / draws**0.5
