"""Compress handwritten digits: a linear autoencoder is PCA, a nonlinear one is better."""

import _shared
import jax
import jax.numpy as jnp
import numpy as np
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
    mean = x_train.mean(0)
    train, test = (jnp.asarray(part - mean, jnp.float32) for part in (x_train, x_test))
    init_key, fit_key = jax.random.split(jax.random.key(options.seed))

    def trained(network, epochs, rate):
        epochs = 2 if options.quick else epochs
        optimizer = optimizers.adam(_shared.cosine(rate, epochs, len(train), 64))
        loss_fn = supervised(network, losses.squared_error)
        fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=64)
        return fit(network.init(init_key), (train, train), key=fit_key).params

    def error(restored, x):
        return float(((np.asarray(restored) - x) ** 2).mean())

    straight = autoencoder([64, 8], activation=linear, kernel_init=orthogonal())
    ours = error(straight.apply(trained(straight, 200, 3e-3), train) + mean, x_train)
    pca = PCA(8).fit(x_train)
    peer = error(pca.inverse_transform(pca.transform(x_train)), x_train)
    what = "linear autoencoder", "digits, k = 8", "training error, relative to PCA less 1"
    _shared.check(options, *what, abs(ours / peer - 1), "<=", 1e-3)

    rows = {"digit": x_test[:12]}
    for code in (2, 8, 16):
        network = autoencoder([64, 256, code], activation=gelu)
        restored = network.apply(trained(network, 150, 2e-3), test) + mean
        pca = PCA(code).fit(x_train)
        projected = pca.inverse_transform(pca.transform(x_test))
        rows |= {f"k = {code}, ours": restored[:12], f"k = {code}, PCA": projected[:12]}
        ours, peer = error(restored, x_test), error(projected, x_test)
        what = "autoencoder", f"digits, k = {code}", "test error per pixel"
        _shared.check(options, *what, ours, "<", peer, {"PCA": peer})
    _shared.images(rows, "autoencoder", options)


if __name__ == "__main__":
    main()
