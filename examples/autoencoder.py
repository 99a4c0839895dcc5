"""Compress handwritten digits: a linear autoencoder is PCA, a nonlinear one is better.

And a denoising one restores digits from under noise.
"""

import _shared
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from jaxnn import losses, make_fit, optimizers
from jaxnn.activations import gelu, linear
from jaxnn.initializers import orthogonal
from jaxnn.networks import autoencoder
from jaxnn.training import supervised


def main():
    options = _shared.start(__doc__)
    x = load_digits().data / 16
    x_train, x_test = train_test_split(x, test_size=0.2, random_state=options.seed)
    train, test = (jnp.asarray(part - x_train.mean(0), jnp.float32) for part in (x_train, x_test))
    init_key, fit_key, noise_key = jax.random.split(jax.random.key(options.seed), 3)

    def trained(network, data, epochs, rate):
        epochs = 2 if options.quick else epochs
        loss_fn = supervised(network, losses.squared_error)
        decayed = optax.cosine_decay_schedule(rate, epochs * -(-len(train) // 64))
        fit = make_fit(loss_fn, optimizers.adam(decayed), epochs=epochs, batch_size=64)
        return fit(network.init(init_key), data, key=fit_key).params

    def error(network, params, x, clean):
        return float(losses.squared_error(network.apply(params, x), clean).mean())

    def pca_error(code, x, clean):
        pca = PCA(code).fit(x_train)
        return float(((pca.inverse_transform(pca.transform(x)) - clean) ** 2).mean())

    straight = autoencoder([64, 8], activation=linear, kernel_init=orthogonal())
    params = trained(straight, (train, train), 200, 3e-3)
    ours, best = error(straight, params, train, train), pca_error(8, x_train, x_train)
    near = abs(ours / best - 1) < 1e-3
    _shared.check("error of a linear autoencoder, k = 8", ours, near, options, {"PCA": best})

    for code in (2, 8, 16):
        network = autoencoder([64, 256, code], activation=gelu)
        params = trained(network, (train, train), 150, 2e-3)
        ours, peer = error(network, params, test, test), pca_error(code, x_test, x_test)
        what = f"test error of a nonlinear autoencoder, k = {code}"
        _shared.check(what, ours, ours < peer, options, {"PCA": peer})

    noisy, seen = (part + 0.25 * jax.random.normal(noise_key, part.shape) for part in (train, test))
    network = autoencoder([64, 256, 32], activation=gelu)
    params = trained(network, (noisy, train), 60, 2e-3)
    ours = error(network, params, seen, test)
    best = min(pca_error(code, np.asarray(seen) + x_train.mean(0), x_test) for code in (6, 9, 12))
    rows = {"clean": test, "noisy": seen, "denoised": network.apply(params, seen)}
    _shared.images({name: row[:10] + x_train.mean(0) for name, row in rows.items()}, "autoencoder",
                   options)  # fmt: skip
    _shared.check("error after denoising", ours, ours < best, options, {"best of PCA": best})


if __name__ == "__main__":
    main()
