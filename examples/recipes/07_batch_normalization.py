"""Recipe 7: batch normalization trains eight layers of sigmoids, which alone do not learn."""

import jax
import jax.numpy as jnp
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from jaxnn import losses, make_fit, metrics, optimizers
from jaxnn.activations import sigmoid
from jaxnn.networks import batch_norm_mlp, mlp
from jaxnn.training import evaluate, supervised

print("on", jax.devices()[0].platform)

x, y = load_digits(return_X_y=True)
parts = train_test_split(x / 16, y, stratify=y, test_size=0.2, random_state=0)
x_train, x_test = (jnp.array(part, jnp.float32) for part in parts[:2])
y_train, y_test = (jnp.array(part) for part in parts[2:])

sizes, key = [64] * 9 + [10], jax.random.key(0)
settings = {"epochs": 40, "batch_size": 64}
loss, optimizer = losses.sparse_categorical_cross_entropy, optimizers.momentum(0.05)

plain = mlp(sizes, activation=sigmoid)
loss_fn = supervised(plain, loss, accuracy=metrics.accuracy)
fit = make_fit(loss_fn, optimizer, **settings)
result = fit(plain.init(key), (x_train, y_train), key=key)
without = evaluate(loss_fn, result.params, (x_test, y_test), batch_size=256)["accuracy"]

# No bias below the normalization: subtracting the mean would remove it again. The running
# statistics are state; they move in training and are only read in evaluation.
normalized = batch_norm_mlp(sizes, activation=sigmoid)
loss_fn = supervised(normalized, loss, has_state=True, accuracy=metrics.accuracy)
fit = make_fit(loss_fn, optimizer, has_state=True, **settings)
result = fit(normalized.init(key), (x_train, y_train), key=key)
trained = result.params, result.statistics
found = evaluate(loss_fn, trained, (x_test, y_test), batch_size=256, has_state=True)

print(f"test accuracy of eight sigmoid layers: {without:.3f}")
print(f"with batch normalization: {found['accuracy']:.3f}")
assert without < 0.2
assert found["accuracy"] > 0.95
