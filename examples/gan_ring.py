"""Two games on a ring of eight Gaussians, of which a generator may forget none.

The non-saturating game forgets some, unless the slope of the discriminator at the data is
penalized (R1); the Wasserstein game has a penalty of its own.
"""

import _shared
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxnn import optimizers
from jaxnn.activations import leaky_relu
from jaxnn.networks import gan, gan_step, mlp
from jaxnn.training import run

LATENT, ANGLES = 8, np.arange(8) * np.pi / 4
CENTERS = 2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1)
GAMES = {
    "non-saturating": {},
    "non-saturating, R1": {"penalty": 0.1},
    "Wasserstein": {"wasserstein": True, "penalty": 0.1},
}


def main():
    options = _shared.start(__doc__)
    rng, key = np.random.default_rng(options.seed), jax.random.key(options.seed)
    ring = CENTERS[rng.integers(8, size=4096)] + 0.05 * rng.normal(size=(4096, 2))
    data, modes = jnp.asarray(ring, jnp.float32), {}
    _, axes = plt.subplots(1, 3, figsize=(12, 4), sharex=True, sharey=True)
    for ax, (name, game) in zip(axes, GAMES.items(), strict=True):
        made = played(game, data, key, 2 if options.quick else 400)
        distance = np.linalg.norm(made[:, None] - CENTERS, axis=-1)
        shares = np.bincount(distance.argmin(1)[distance.min(1) < 0.3], minlength=8) / len(made)
        modes[name] = (shares > 1 / 80).sum()  # a tenth of what is theirs
        ax.plot(*made.T, ".", ms=2, alpha=0.4)
        ax.set(title=f"{name}:\n{modes[name]} of 8, {shares.sum():.0%} near one", aspect="equal")
    _shared.save(axes, "gan_ring", options)
    without = {"GAN without a penalty": modes.pop("non-saturating")}
    for name, found in modes.items():
        what = f"GAN, {name}", "ring of eight Gaussians", "modes found"
        _shared.check(options, *what, found, ">=", 8, without)


def played(game, data, key, epochs):
    critic = mlp([2, 128, 128, 1], activation=lambda x: leaky_relu(x, 0.2))
    nets, (init_key, run_key, key) = (mlp([LATENT, 128, 128, 2]), critic), jax.random.split(key, 3)
    # No momentum: what was downhill a step ago may be uphill after the other side has moved.
    optimizer = optimizers.adam(_shared.cosine(2e-3, epochs, len(data), 256), b1=0.0, b2=0.9)
    start, step = gan_step(*nets, optimizer, optimizer, latent=LATENT, average_decay=0.99, **game)
    play = jax.jit(lambda s: run(step, s, data, key=run_key, epochs=epochs, batch_size=256))
    state, *_ = play(start(gan(*nets).init(init_key)))
    return np.asarray(nets[0].apply(state.average, jax.random.normal(key, (len(data), LATENT))))


if __name__ == "__main__":
    main()
