"""Recipe 8: loss and accuracy of training and validation, epoch by epoch."""

from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.image
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from jaxnn import losses, make_fit, metrics, optimizers, plots
from jaxnn.networks import mlp
from jaxnn.training import supervised

print("on", jax.devices()[0].platform)

x, y = load_breast_cancer(return_X_y=True)
parts = train_test_split(x, y, stratify=y, test_size=0.25, random_state=0)
scaler = StandardScaler().fit(parts[0])
x_train, x_valid = (jnp.array(scaler.transform(part), jnp.float32) for part in parts[:2])
y_train, y_valid = (jnp.array(part[:, None], jnp.float32) for part in parts[2:])

network = mlp([30, 16, 1])
loss_fn = supervised(network, losses.binary_cross_entropy, accuracy=metrics.binary_accuracy)
fit = make_fit(loss_fn, optimizers.adam(3e-3), epochs=60, batch_size=32)
result = fit(
    network.init(jax.random.key(0)), (x_train, y_train), (x_valid, y_valid), key=jax.random.key(1)
)

axes = plots.training_curves(result.history)
picture = Path(__file__).parents[2] / "out" / "curves.png"
picture.parent.mkdir(exist_ok=True)
axes[0].figure.savefig(picture, dpi=150, bbox_inches="tight")
ink = 1 - float(matplotlib.image.imread(picture)[..., :3].mean())
print(f"picture: {picture} ({ink:.1%} ink)")
print(f"validation accuracy in the last epoch: {result.history['validation_accuracy'][-1]:.3f}")
assert ink > 0.005
assert result.history["validation_accuracy"][-1] > 0.95
