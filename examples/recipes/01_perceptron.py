"""Recipe 1: the perceptron learns AND and OR, and XOR shows its limit."""

import jax
import jax.numpy as jnp

from jaxnn.networks import perceptron, perceptron_step
from jaxnn.training import run

print("on", jax.devices()[0].platform)

inputs = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
gates = {"AND": [0, 0, 0, 1], "OR": [0, 1, 1, 1], "XOR": [0, 1, 1, 0]}

network = perceptron(2)
for name, labels in gates.items():
    labels = jnp.array(labels)
    params, history, _ = run(
        perceptron_step(),
        network.init(jax.random.key(0)),
        (inputs, labels),
        key=jax.random.key(0),
        epochs=100,
        batch_size=1,
    )
    correct = int(((network.apply(params, inputs) > 0) == labels).sum())
    clean = history["mistakes"] == 0
    if clean[-1]:
        print(f"{name}: learned in {int(clean.argmax())} passes, {correct} of 4 right")
    else:
        print(f"{name}: did not converge in 100 passes, {correct} of 4 right: no line separates it")
    assert bool(clean[-1]) == (name != "XOR")
    assert (correct == 4) == (name != "XOR")
