"""Map irises and handwritten digits onto grids with a self-organizing map.

MiniSom starts from the same plane with the same first rate and radius, and makes as many
passes over the data. The picture shows the borders between clusters, dark, and for each unit
the class of most of the examples it answers; classes take no part in the training.
"""

import _shared
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from minisom import MiniSom
from sklearn.datasets import load_digits, load_iris

from jaxnn.networks import (
    best_matching_unit,
    quantization_error,
    som_from_plane,
    som_step,
    topographic_error,
    u_matrix,
)
from jaxnn.training import run


def main():
    options = _shared.start(__doc__)
    _, axes = plt.subplots(1, 2, figsize=(10, 4.5))
    draw("iris", load_iris(), 1, (7, 7), (2.0, 0.58), 66, axes[0], options)
    draw("digits", load_digits(), 16, (20, 20), (3.0, 0.84), 3, axes[1], options)
    _shared.save(axes, "som", options)


def draw(name, source, scale, grid, radii, epochs, ax, options):
    data, epochs = source.data / scale, 1 if options.quick else epochs
    x, steps = jnp.asarray(data, jnp.float32), epochs * len(data)
    step = som_step(steps, radius=radii[0], final_radius=radii[1], final_rate=0.05)
    start, key = (som_from_plane(grid, x), jnp.array(0)), jax.random.key(options.seed)
    train = jax.jit(lambda state: run(step, state, x, key=key, epochs=epochs, batch_size=1))
    (params, _), _, _ = train(start)
    theirs = MiniSom(*grid, x.shape[1], radii[0], 0.5, random_seed=options.seed)
    theirs.pca_weights_init(data)
    theirs.train(data, steps, random_order=True)
    for error, ours in [("quantization", quantization_error), ("topographic", topographic_error)]:
        peer, value = getattr(theirs, f"{error}_error")(data), float(ours(params, x))
        what = "self-organizing map", f"{name}, {grid[0]}x{grid[1]}", f"{error} error"
        _shared.check(options, *what, value, "<=", peer + 1e-6, {"MiniSom": peer})
    ax.figure.colorbar(ax.imshow(u_matrix(params), cmap="Blues", alpha=0.7), ax=ax)
    counts = np.zeros((*grid, source.target.max() + 1))
    np.add.at(counts, (*np.asarray(best_matching_unit(params, x)).T, source.target), 1)
    for row, column in np.argwhere(counts.any(-1)):
        label = source.target_names[counts[row, column].argmax()]
        ax.text(column, row, str(label)[:2], ha="center", va="center", size=9)
    ax.set(title=f"{name}: distance to neighbours", xticks=[], yticks=[])


if __name__ == "__main__":
    main()
