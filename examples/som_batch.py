"""Map handwritten digits onto hexagons with the batch rule: all of them at once in each pass.

It needs no rate, and the order of the examples is the same to it. MiniSom, which takes them one
by one, starts from the same plane of hexagons and makes as many passes.
"""

import _shared
import jax
import jax.numpy as jnp
import numpy as np
from minisom import MiniSom
from sklearn.datasets import load_digits

from jaxnn import plots
from jaxnn.networks import (
    best_matching_unit,
    quantization_error,
    som_batch_step,
    som_from_plane,
    topographic_error,
    u_matrix,
)
from jaxnn.training import run

GRID = (20, 20)


def main():
    options = _shared.start(__doc__)
    epochs = 2 if options.quick else 40
    levels, classes = load_digits(return_X_y=True)
    x, key = jnp.asarray(levels / 16, jnp.float32), jax.random.key(options.seed)
    step = som_batch_step(epochs, radius=5.0, final_radius=1.0, hexagonal=True)
    train = jax.jit(lambda state: run(step, state, x, key=key, epochs=epochs, batch_size=len(x)))
    (params, _), *_ = train((som_from_plane(GRID, x), jnp.array(0)))

    theirs = MiniSom(*GRID, 64, 3.0, 0.5, topology="hexagonal", random_seed=options.seed)
    theirs.pca_weights_init(levels / 16)
    theirs.train(levels / 16, epochs * len(x), random_order=True)
    ours = {
        "quantization": quantization_error(params, x),
        "topographic": topographic_error(params, x, hexagonal=True),
    }
    for error, value in ours.items():
        peer = getattr(theirs, f"{error}_error")(levels / 16)
        what = "self-organizing map, batch", "digits, 20x20 hexagons", f"{error} error"
        _shared.check(options, *what, value, "<=", peer, {"MiniSom": peer})

    ax = plots.som(u_matrix(params, hexagonal=True), hexagonal=True)
    units = np.asarray(best_matching_unit(params, x))
    for row, column in np.unique(units, axis=0):
        answered = classes[(units == (row, column)).all(1)]
        center = column + row % 2 / 2, row * 3**0.5 / 2
        ax.text(*center, np.bincount(answered).argmax(), ha="center", va="center", size=7)
    _shared.save(ax, "som_batch", options)


if __name__ == "__main__":
    main()
