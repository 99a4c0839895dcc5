"""A generator and a critic on a ring of eight Gaussians: none of the eight may be forgotten."""

import _shared
import jax
import jax.numpy as jnp
import numpy as np

from jaxnn import optimizers
from jaxnn.activations import leaky_relu
from jaxnn.networks import gan, gan_step, mlp
from jaxnn.training import run

LATENT = 8


def main():
    options = _shared.start(__doc__)
    epochs, batch_size = (2, 256) if options.quick else (400, 256)
    rng = np.random.default_rng(options.seed)
    angles = np.arange(8) * np.pi / 4
    centers = 2 * np.stack([np.cos(angles), np.sin(angles)], 1)
    ring = centers[rng.integers(8, size=4096)] + 0.05 * rng.normal(size=(4096, 2))
    data = jnp.asarray(ring, jnp.float32)

    critic = mlp([2, 128, 128, 1], activation=lambda x: leaky_relu(x, 0.2))
    nets = mlp([LATENT, 128, 128, 2]), critic
    # No momentum: what was downhill a step ago may be uphill after the other side has moved.
    optimizer = optimizers.adam(_shared.cosine(2e-3, epochs, len(data), batch_size), b1=0.0, b2=0.9)
    start, step = gan_step(
        *nets,
        optimizer,
        optimizer,
        latent=LATENT,
        wasserstein=True,
        penalty=0.1,
        average_decay=0.99,
    )
    init_key, run_key, key = jax.random.split(jax.random.key(options.seed), 3)
    play = jax.jit(lambda s: run(step, s, data, key=run_key, epochs=epochs, batch_size=batch_size))
    state, *_ = play(start(gan(*nets).init(init_key)))
    made = np.asarray(nets[0].apply(state.average, jax.random.normal(key, (len(data), LATENT))))

    distance = np.linalg.norm(made[:, None] - centers, axis=-1)
    nearest, near = distance.argmin(1), distance.min(1) < 0.3
    modes = (np.bincount(nearest[near], minlength=8) > len(made) / 80).sum()
    _shared.scatter(made, np.where(near, nearest, "between"), "gan_ring", options)
    print(f"samples within 0.3 of a center: {near.mean():.1%}")
    what = "GAN", "ring of eight Gaussians", "modes found"
    _shared.check(options, *what, modes, ">=", 8)


if __name__ == "__main__":
    main()
