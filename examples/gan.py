"""Two games of generator and discriminator: eight modes on a ring, and handwritten digits.

How far made digits can be told from real ones is measured by the nearest neighbour: 0.5 is
not at all, 1 always. A mixture of 30 Gaussians is the peer.
"""

import _shared
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from jaxnn import optimizers
from jaxnn.activations import leaky_relu, linear, sigmoid
from jaxnn.networks import gan, gan_step, mlp
from jaxnn.training import run


def train(data, latent, hidden, epochs, key, penalty):
    """Samples of a generator that was trained on the data, as many as there are data."""
    batch_size, critic_steps = 448, 2
    inside = sigmoid if data.min() >= 0 else linear  # pixels are from 0 to 1
    plain = mlp([latent, *hidden, data.shape[1]])
    generator = plain._replace(apply=lambda *at, **keys: inside(plain.apply(*at, **keys)))
    nets = generator, mlp([data.shape[1], *hidden, 1], activation=lambda x: leaky_relu(x, 0.2))
    steps = epochs * -(-len(data) // batch_size)
    optimizer = lambda n: optimizers.adam(optax.cosine_decay_schedule(1e-3, n), 0.0, 0.9)
    start, step = gan_step(
        *nets, optimizer(steps), optimizer(critic_steps * steps), latent=latent,
        wasserstein=True, penalty=penalty, critic_steps=critic_steps,
    )  # fmt: skip

    @jax.jit
    def play(data, key):
        init_key, run_key, key = jax.random.split(key, 3)
        state = start(gan(*nets).init(init_key))
        state, *_ = run(step, state, data, key=run_key, epochs=epochs, batch_size=batch_size)
        return generator.apply(state.average, jax.random.normal(key, (len(data), latent)))

    return play(jnp.asarray(data, jnp.float32), key)


def told_apart(real, made):
    """How often the nearest other sample is of the same kind, in equal numbers of both."""
    both = np.concatenate([real, made[: len(real)]])
    kinds = np.arange(len(both)) < len(real)
    nearest = NearestNeighbors(n_neighbors=1).fit(both).kneighbors(return_distance=False)[:, 0]
    return float((kinds == kinds[nearest]).mean())


def main():
    options = _shared.start(__doc__)
    ring_key, digits_key = jax.random.split(jax.random.key(options.seed))
    rng = np.random.default_rng(options.seed)
    angles = np.arange(8) * np.pi / 4
    centers = 2 * np.stack([np.cos(angles), np.sin(angles)], 1)
    ring = centers[rng.integers(8, size=4096)] + 0.05 * rng.normal(size=(4096, 2))
    made = train(ring, 8, [128, 128], 3 if options.quick else 200, ring_key, 1.0)
    distance = np.linalg.norm(np.asarray(made)[:, None] - centers, axis=-1)
    counts = np.bincount(distance.argmin(1)[distance.min(1) < 0.3], minlength=8)
    modes = int((counts > len(made) / 80).sum())
    _shared.scatter(made, distance.argmin(1), "gan_ring", options)
    _shared.check("modes of 8 that a GAN found", modes, modes == 8, options)

    digits = rng.permutation(load_digits().data / 16)
    half = len(digits) // 2
    made = train(digits[:half], 32, [256, 256], 3 if options.quick else 1000, digits_key, 10.0)
    mixtures = {"Gaussian mixture": 1e-6, "Gaussian mixture, tuned covariance": 1e-3}
    peers = {name: GaussianMixture(30, reg_covar=noise, random_state=options.seed)
             for name, noise in mixtures.items()}  # fmt: skip
    peers = {name: told_apart(digits[half:], mixture.fit(digits[:half]).sample(half)[0])
             for name, mixture in peers.items()}  # fmt: skip
    ours = told_apart(digits[half:], made)
    _shared.images({"made": made[:10], "more": made[10:20]}, "gan", options)
    what = "two-sample accuracy of digits made by a GAN (0.5 is best)"
    holds = abs(ours - 0.5) < abs(peers["Gaussian mixture"] - 0.5)
    _shared.check(what, ours, holds, options, peers)


if __name__ == "__main__":
    main()
