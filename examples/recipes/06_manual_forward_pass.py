"""Recipe 6: the forward pass by hand, two lines, with known numbers."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.activations import relu, sigmoid

print("on", jax.devices()[0].platform)

rng = np.random.RandomState(42)
x = jnp.array([0.5, 0.8])
shapes = [(2, 3), (3,), (3, 1), (1,)]
w1, b1, w2, b2 = [jnp.array(rng.rand(*shape), jnp.float32) for shape in shapes]

a1 = relu(x @ w1 + b1)
a2 = sigmoid(a1 @ w2 + b2)

print("hidden activations:", a1)
print("output:", a2)
golden = np.array([0.72428046, 1.46634821, 1.0919076, 0.91942216])
error = np.abs(jnp.concatenate([a1, a2]) - golden).max()
print(f"largest difference from the known values: {error:.1e}")
assert error < 1e-6
