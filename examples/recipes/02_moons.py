"""Recipe 2: one hidden layer on two moons, sixteen seeds trained in one call."""

import jax
import jax.numpy as jnp
from sklearn.datasets import make_moons
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from jaxnn import losses, make_fit, metrics, optimizers
from jaxnn.networks import mlp
from jaxnn.training import supervised

print("on", jax.devices()[0].platform)

x, y = make_moons(1000, noise=0.2, random_state=42)
x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=42)
scaler = StandardScaler().fit(x_train)  # of the training part only: the test part is unseen
train = jnp.array(scaler.transform(x_train), jnp.float32), jnp.array(y_train[:, None], jnp.float32)
test = jnp.array(scaler.transform(x_test), jnp.float32), jnp.array(y_test[:, None], jnp.float32)

network = mlp([2, 64, 1])
loss_fn = supervised(network, losses.binary_cross_entropy, accuracy=metrics.binary_accuracy)
fit = make_fit(loss_fn, optimizers.adam(1e-2), epochs=200, batch_size=32)


def accuracy(key):
    """Test accuracy of a network trained from `key`."""
    init_key, fit_key = jax.random.split(key)
    result = fit(network.init(init_key), train, key=fit_key)
    return metrics.binary_accuracy(network.apply(result.params, test[0]), test[1])


accuracies = jax.jit(jax.vmap(accuracy))(jax.random.split(jax.random.key(0), 16))
print("test accuracy of each seed:", accuracies)
print(f"mean over 16 seeds: {accuracies.mean():.4f}")
assert accuracies.mean() >= 0.975
