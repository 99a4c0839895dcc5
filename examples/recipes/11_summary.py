"""Recipe 11: parameters are a plain dict, so a summary is a loop over its leaves."""

import jax

from jaxnn.networks import mlp

network = mlp([64, 128, 64, 10])
params = jax.eval_shape(network.init, jax.random.key(0))  # shapes only: nothing is computed

print(f"{'parameter':22}{'shape':>12}{'count':>9}{'bytes':>9}")
for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    print(f"{name:22}{leaf.shape!s:>12}{leaf.size:9,}{leaf.size * leaf.dtype.itemsize:9,}")
total = sum(leaf.size for leaf in jax.tree.leaves(params))
print(f"{'total':34}{total:9,}{4 * total:9,}")
assert total == (64 + 1) * 128 + (128 + 1) * 64 + (64 + 1) * 10
