"""Restore handwritten digits from under noise with a denoising autoencoder.

The peer is PCA, which keeps the directions in which digits vary and drops the rest; of several
numbers of directions, the one that does best on these very test digits.
"""

import _shared
import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from jaxnn import losses, make_fit, optimizers
from jaxnn.activations import gelu
from jaxnn.networks import autoencoder
from jaxnn.training import supervised


def main():
    options = _shared.start(__doc__)
    epochs, batch_size = (2, 64) if options.quick else (150, 64)
    x = load_digits().data / 16
    clean, test = train_test_split(x, test_size=0.2, random_state=options.seed)
    init_key, fit_key, test_key = jax.random.split(jax.random.key(options.seed), 3)
    noisy = lambda key, x: x + 0.25 * jax.random.normal(key, x.shape)

    plain = autoencoder([64, 256, 32], activation=gelu)
    # The noise is drawn anew in every step, so that there is none to learn by heart.
    fresh = lambda params, x, *, key: plain.apply(params, noisy(key, x))
    loss_fn = supervised(plain._replace(apply=fresh), losses.squared_error)
    optimizer = optimizers.adam(_shared.cosine(2e-3, epochs, len(clean), batch_size))
    fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=batch_size)
    train = jnp.asarray(clean, jnp.float32)
    params = fit(plain.init(init_key), (train, train), key=fit_key).params

    seen = noisy(test_key, jnp.asarray(test, jnp.float32))
    error = lambda restored: float(((np.asarray(restored) - test) ** 2).mean())
    projections = [PCA(code).fit(clean) for code in range(4, 16)]
    peer = min(error(pca.inverse_transform(pca.transform(seen))) for pca in projections)
    restored = plain.apply(params, seen)
    rows = {"clean": test, "noisy": seen, "restored": restored}
    _shared.images({name: row[:12] for name, row in rows.items()}, "denoising_autoencoder", options)
    what = "denoising autoencoder", "digits with noise of 0.25", "test error per pixel"
    peers = {"best PCA": peer, "nothing done": error(seen)}
    _shared.check(options, *what, error(restored), "<", peer, peers)


if __name__ == "__main__":
    main()
