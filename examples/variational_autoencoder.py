"""Model handwritten digits with a variational autoencoder, beside factor analysis.

To both, a digit is a function of a few Gaussian factors, and of noise in every pixel. It is
linear in factor analysis, whose likelihood is exact, and a network here, whose likelihood is
bounded from below by samples.
"""

import _shared
import jax
import jax.numpy as jnp
from _densities import bits_at_most, log_normal, others, spread
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from jaxnn import make_fit, optimizers
from jaxnn.activations import gelu
from jaxnn.networks import mlp, variational_autoencoder

FACTORS = 8
NETWORK = variational_autoencoder([64, 256, FACTORS], activation=gelu)
NOISE = mlp([FACTORS, 256, 64], activation=gelu)  # log variance of each pixel


def log_ratio(params, x, key):
    """log p(x, z) / q(z | x) for one sample z of q(z | x): on average at most log p(x)."""
    mean, log_variance = NETWORK.encode(params["network"], x)
    z = mean + jnp.exp(log_variance / 2) * jax.random.normal(key, mean.shape)
    pixels = NETWORK.decode(params["network"], z), NOISE.apply(params["noise"], z)
    return log_normal(x, *pixels) + log_normal(z) - log_normal(z, mean, log_variance)


def loss_fn(params, levels, key):
    first, second = jax.random.split(key)
    return -log_ratio(params, spread(first, levels), second).mean(), {}


def main():
    options = _shared.start(__doc__)
    epochs, batch_size = (2, 64) if options.quick else (400, 64)
    parts = train_test_split(load_digits().data, test_size=0.2, random_state=options.seed)
    levels, unseen = (jnp.asarray(part, jnp.float32) for part in parts)
    keys = jax.random.split(jax.random.key(options.seed), 6)
    rate = _shared.cosine(3e-3, epochs, len(levels), batch_size)
    fit = make_fit(loss_fn, optimizers.adamw(rate, 0.03), epochs=epochs, batch_size=batch_size)
    start = {"network": NETWORK.init(keys[0]), "noise": NOISE.init(keys[1])}
    params = fit(start, levels, key=keys[2]).params

    train, test = spread(keys[3], levels), spread(keys[4], unseen)
    ours = bits_at_most(lambda key: log_ratio(params, test, key), keys[5])
    peers, theirs = others(train, test, FACTORS)
    restored, _, _ = NETWORK.apply(params["network"], test)
    rows = {"digits": test[:12], "restored": restored[:12], "factor analysis": theirs[:12]}
    _shared.images(rows, "variational_autoencoder", options)
    what = "variational autoencoder", "digits, 8 factors", "bits per pixel, at most"
    _shared.check(options, *what, ours, "<", min(peers.values()), peers)


if __name__ == "__main__":
    main()
