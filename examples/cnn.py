"""Train a convolutional network on handwritten digits of some writers, and read those of others.

The split in halves is scikit-learn's own, with its support vector machine as the peer.
"""

import _shared
import jax
import jax.numpy as jnp
import optax
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from jaxnn import callbacks, losses, make_fit, metrics, optimizers, plots
from jaxnn.networks import cnn
from jaxnn.training import predict, supervised


def main():
    options = _shared.start(__doc__)
    epochs, batch_size = (2, 64) if options.quick else (60, 64)
    x, y = load_digits(return_X_y=True)
    half = len(x) // 2
    images = jnp.asarray((x / 16).reshape(-1, 8, 8, 1), jnp.float32)
    train, test = (images[:half], jnp.asarray(y[:half])), images[half:]

    def loss(logits, labels):
        targets = losses.smooth_labels(jax.nn.one_hot(labels, 10), 0.1)
        return losses.categorical_cross_entropy(logits, targets)

    network = cnn((8, 8, 1), [32, 64], 10, hidden=[128], dropout_rate=0.4)
    loss_fn = supervised(shifted(network), loss, accuracy=metrics.accuracy)
    rate = optax.cosine_decay_schedule(2e-3, epochs * -(-half // batch_size))
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
    peers = {"SVC of scikit-learn's example": theirs}
    _shared.check("test accuracy of a CNN on new writers", ours, ours > 0.9689, options, peers)


def shifted(network):
    """The network, which while it trains sees each image moved by up to a pixel."""

    def apply(params, x, *, key=None):
        return network.apply(params, x if key is None else _shared.shifted(key, x), key=key)

    return network._replace(apply=apply)


if __name__ == "__main__":
    main()
