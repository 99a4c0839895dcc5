"""Recipe 4: another activation in every layer is another function in the chain."""

import jax
import jax.numpy as jnp

from jaxnn import layers
from jaxnn.activations import relu, relu_grad, softmax, softmax_vjp, tanh, tanh_grad
from jaxnn.initializers import glorot_uniform, he_normal

print("on", jax.devices()[0].platform)

keys = jax.random.split(jax.random.key(0), 4)
params = [
    layers.dense_init(keys[0], 4, 16, glorot_uniform()),
    layers.dense_init(keys[1], 16, 16, he_normal()),
    layers.dense_init(keys[2], 16, 3, glorot_uniform()),
]


def network(params, x):
    x = tanh(layers.dense(params[0], x))
    x = relu(layers.dense(params[1], x))
    return softmax(layers.dense(params[2], x))


def network_vjp(g, params, x):
    """The chain rule by hand: one closed form per link, from the last to the first."""
    z0 = layers.dense(params[0], x)
    z1 = layers.dense(params[1], tanh(z0))
    z2 = layers.dense(params[2], relu(z1))
    g = softmax_vjp(g, z2)
    grad2, g = layers.dense_vjp(g, params[2], relu(z1))
    grad1, g = layers.dense_vjp(g * relu_grad(z1), params[1], tanh(z0))
    grad0, g = layers.dense_vjp(g * tanh_grad(z0), params[0], x)
    return [grad0, grad1, grad2], g


x = jax.random.normal(keys[3], (5, 4))
probabilities, pull = jax.vjp(network, params, x)
print("probabilities of the first example:", probabilities[0])
g = jax.nn.one_hot(jnp.zeros(5, int), 3)  # asks for the gradient of the first class
by_hand, by_jax = jax.tree.leaves(network_vjp(g, params, x)), jax.tree.leaves(pull(g))
error = max(float(jnp.abs(a - b).max()) for a, b in zip(by_hand, by_jax, strict=True))
print(f"chain rule by hand against jax.vjp, largest difference: {error:.1e}")
assert error < 1e-6
