"""Two games on a ring of eight Gaussians, of which a generator may forget none.

In the non-saturating game it forgets some, unless the slope of the discriminator at the data is
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


def main():
    options = _shared.start(__doc__)
    rng = np.random.default_rng(options.seed)
    ring = CENTERS[rng.integers(8, size=4096)] + 0.05 * rng.normal(size=(4096, 2))
    _, axes = plt.subplots(1, 3, figsize=(12, 4), sharex=True, sharey=True)
    draw = lambda ax, title, **game: drawn(ax, title, jnp.asarray(ring, jnp.float32), options, game)
    alone = draw(axes[0], "non-saturating")
    damped = draw(axes[1], "non-saturating, with R1", penalty=0.1)
    distance = draw(axes[2], "Wasserstein", wasserstein=True, penalty=0.1)
    _shared.save(axes, "gan_ring", options)
    what = "ring of eight Gaussians", "modes found"
    _shared.check(options, "GAN with R1", *what, damped, ">=", 8, {"without R1": alone})
    _shared.check(options, "GAN, Wasserstein", *what, distance, ">=", 8)


def drawn(ax, title, data, options, game):
    """Plays, draws what the generator makes, and returns how many of the eight it makes."""
    epochs, batch_size = (2, 256) if options.quick else (400, 256)
    critic = mlp([2, 128, 128, 1], activation=lambda x: leaky_relu(x, 0.2))
    nets = mlp([LATENT, 128, 128, 2]), critic
    # No momentum: what was downhill a step ago may be uphill after the other side has moved.
    optimizer = optimizers.adam(_shared.cosine(2e-3, epochs, len(data), batch_size), b1=0.0, b2=0.9)
    start, step = gan_step(*nets, optimizer, optimizer, latent=LATENT, average_decay=0.99, **game)
    init_key, run_key, key = jax.random.split(jax.random.key(options.seed), 3)
    play = jax.jit(lambda s: run(step, s, data, key=run_key, epochs=epochs, batch_size=batch_size))
    state, *_ = play(start(gan(*nets).init(init_key)))
    made = np.asarray(nets[0].apply(state.average, jax.random.normal(key, (len(data), LATENT))))
    distance = np.linalg.norm(made[:, None] - CENTERS, axis=-1)
    shares = np.bincount(distance.argmin(1)[distance.min(1) < 0.3], minlength=8) / len(made)
    ax.plot(*made.T, ".", ms=2, alpha=0.4)
    ax.plot(*CENTERS.T, "k+", ms=9)
    ax.set(title=f"{title}: {(shares > 0.0125).sum()} of 8", aspect="equal")
    print(f"{title}: {shares.sum():.1%} of the samples within 0.3 of a center")
    return (shares > 0.0125).sum()  # a tenth of its share, at least


if __name__ == "__main__":
    main()
