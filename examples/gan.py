"""Make handwritten digits with a generator and a critic, beside a mixture of 30 Gaussians.

They can be told from real ones as often as the nearest neighbour among both is of the same
kind: half the time is not at all. Beside them stand digits drawn again, with repetition, from
those that all learn from.
"""

import _shared
import jax
import jax.numpy as jnp
import numpy as np
from _two_samples import DRAWS, others, told_apart
from sklearn.datasets import load_digits

from jaxnn import optimizers
from jaxnn.activations import leaky_relu, sigmoid
from jaxnn.networks import gan, gan_step, mlp
from jaxnn.training import run

LATENT = 128


def pixels(network):
    """The network, whose outputs become shades; the last of the noise goes straight there."""

    def apply(params, z, *, key=None):
        return sigmoid(network.apply(params, z, key=key) + z[:, -64:])

    return network._replace(apply=apply)


def main():
    options = _shared.start(__doc__)
    epochs, batch_size = (3, 112) if options.quick else (1000, 112)
    digits = np.random.default_rng(options.seed).permutation(load_digits().data / 16)
    real, test = jnp.asarray(digits[:898], jnp.float32), digits[-898:]

    # Under noise the critic can't learn the digits by heart, and what is made has to spread.
    critic = _shared.blurred(mlp([64, 256, 256, 1], activation=lambda x: leaky_relu(x, 0.2)), 0.15)
    nets = pixels(mlp([LATENT, 256, 256, 64])), critic
    optimizer = optimizers.adam(_shared.cosine(3e-3, epochs, len(real), batch_size), b1=0.0, b2=0.9)
    game = dict(latent=LATENT, wasserstein=True, penalty=0.1, average_decay=0.99)
    start, step = gan_step(*nets, optimizer, optimizer, **game)
    init_key, run_key, key = jax.random.split(jax.random.key(options.seed), 3)
    play = jax.jit(lambda s: run(step, s, real, key=run_key, epochs=epochs, batch_size=batch_size))
    state, *_ = play(start(gan(*nets).init(init_key)))
    made = nets[0].apply(state.average, jax.random.normal(key, (DRAWS * len(test), LATENT)))

    _shared.images({"real": test[:12], "made": made[:12], "more": made[12:24]}, "gan", options)
    peers, ours = others(real, test, options.seed), told_apart(test, made)
    what = "GAN", "digits", "two-sample accuracy, distance from 0.5"
    _shared.check(options, *what, ours, "<", peers["Gaussian mixture"], peers)


if __name__ == "__main__":
    main()
