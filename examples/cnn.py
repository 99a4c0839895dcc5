"""Train a convolutional network on handwritten digits of some writers, and read those of others.

The split in halves is scikit-learn's own, with its support vector machine as the peer.
"""

import _shared
import jax
import jax.numpy as jnp
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from jaxnn import callbacks, make_fit, metrics, optimizers, plots
from jaxnn.networks import cnn
from jaxnn.training import predict, supervised


def main():
    options = _shared.start(__doc__)
    epochs, batch_size = (2, 64) if options.quick else (60, 64)
    x, y = load_digits(return_X_y=True)
    half = len(x) // 2
    images = jnp.asarray((x / 16).reshape(-1, 8, 8, 1), jnp.float32)
    train, test = (images[:half], jnp.asarray(y[:half])), images[half:]

    network = cnn((8, 8, 1), [32, 64], 10, hidden=[128], dropout_rate=0.4)
    loss_fn = supervised(
        _shared.shifted(network), _shared.smooth_cross_entropy, accuracy=metrics.accuracy
    )
    rate = _shared.cosine(2e-3, epochs, half, batch_size)
    bar = callbacks.progress(epochs)
    optimizer = optimizers.adamw(rate, weight_decay=1e-2)
    fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=batch_size, callbacks=[bar])
    init_key, fit_key = jax.random.split(jax.random.key(options.seed))
    result = fit(network.init(init_key), train, key=fit_key)

    read = predict(network, result.params, test, batch_size=256).argmax(-1)
    ours = float((read == y[half:]).mean())
    theirs = SVC(gamma=0.001).fit(x[:half], y[:half]).score(x[half:], y[half:])
    confusion = metrics.confusion_matrix(read, jnp.asarray(y[half:]), 10)
    _shared.save(plots.confusion_matrix(confusion), "cnn", options)
    peers = {"SVC": theirs, "the best Keras CNN": 0.953}  # Keras: measured once on this split
    what = "CNN", "digits of new writers", "test accuracy"
    _shared.check(options, *what, ours, ">", max(peers.values()), peers)


if __name__ == "__main__":
    main()
