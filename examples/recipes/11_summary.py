"""Recipe 11: what a network is made of, as a table and as a picture, and what it costs."""

import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib

from jaxnn import plots
from jaxnn.networks import mlp, transformer
from jaxnn.summary import graph, summary

print("on", jax.devices()[0].platform)

matplotlib.use("agg")
folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())

# Shapes are enough: nothing is computed, and no parameter is made.
images = jax.ShapeDtypeStruct((32, 64), jnp.float32)
ids = jax.ShapeDtypeStruct((4, 64), jnp.int32)
classifier = mlp([64, 128, 64, 10])
language_model = transformer(256, width=128, heads=4, depth=6, length=64)

found = summary(classifier, images)
print(found, end="\n\n")
print(summary(language_model, ids), end="\n\n")

for name, network, x in (("mlp", classifier, images), ("transformer", language_model, ids)):
    picture = plots.diagram(graph(network, x)).figure
    for kind in ("svg", "png"):
        picture.savefig(folder / f"{name}.{kind}")
        print("picture:", folder / f"{name}.{kind}")

# By hand: inputs and a bias for each unit; and 2 operations per weight and example, one per bias.
weights, biases = 64 * 128 + 128 * 64 + 64 * 10, 128 + 64 + 10
assert found.parameters == weights + biases
products = 32 * (2 * weights + biases)
print(
    f"{found.parameters:,} parameters, {products / found.flops:.1%} of all operations in products"
)
assert 0.99 < products / found.flops < 1
