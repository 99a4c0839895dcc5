"""Make handwritten digits with a generator and a critic, beside a mixture of 30 Gaussians.

They can be told from real ones as often as the nearest neighbour among both is of the same
kind: half the time is not at all.
"""

import _shared
import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from jaxnn import optimizers
from jaxnn.activations import leaky_relu, sigmoid
from jaxnn.networks import gan, gan_step, mlp
from jaxnn.training import run

LATENT, CRITIC_STEPS = 32, 2


def told_apart(real, made):
    """How often the nearest other sample is of the same kind, less a half."""
    both, kinds = np.concatenate([real, made]), np.arange(2 * len(real)) < len(real)
    nearest = NearestNeighbors(n_neighbors=1).fit(both).kneighbors(return_distance=False)[:, 0]
    return abs((kinds == kinds[nearest]).mean() - 0.5)


def main():
    options = _shared.start(__doc__)
    epochs, batch_size = (3, 448) if options.quick else (1000, 448)
    digits = np.random.default_rng(options.seed).permutation(load_digits().data / 16)
    real, test = jnp.asarray(digits[:898], jnp.float32), digits[-898:]

    plain = mlp([LATENT, 256, 256, 64])
    pixels = plain._replace(apply=lambda *at, **keys: sigmoid(plain.apply(*at, **keys)))
    nets = pixels, mlp([64, 256, 256, 1], activation=lambda x: leaky_relu(x, 0.2))
    rate = lambda turns: _shared.cosine(1e-3, turns * epochs, len(real), batch_size)
    start, step = gan_step(
        *nets, optimizers.adam(rate(1), 0.0, 0.9), optimizers.adam(rate(CRITIC_STEPS), 0.0, 0.9),
        latent=LATENT, wasserstein=True, penalty=10.0, critic_steps=CRITIC_STEPS,
    )  # fmt: skip
    init_key, run_key, key = jax.random.split(jax.random.key(options.seed), 3)
    play = jax.jit(lambda s: run(step, s, real, key=run_key, epochs=epochs, batch_size=batch_size))
    state, *_ = play(start(gan(*nets).init(init_key)))
    made = pixels.apply(state.average, jax.random.normal(key, (len(test), LATENT)))

    _shared.images({"real": test[:12], "made": made[:12], "": made[12:24]}, "gan", options)
    mixture = lambda noise: GaussianMixture(30, reg_covar=noise, random_state=options.seed)
    peers = {"Gaussian mixture": 1e-6, "Gaussian mixture, smoothed": 1e-3}
    peers = {name: told_apart(test, mixture(noise).fit(real).sample(len(test))[0])
             for name, noise in peers.items()}  # fmt: skip
    what = "GAN", "digits", "two-sample accuracy, distance from 0.5"
    _shared.check(options, *what, told_apart(test, made), "<", peers["Gaussian mixture"], peers)


if __name__ == "__main__":
    main()
