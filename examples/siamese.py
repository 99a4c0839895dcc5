"""Learn an embedding of handwritten digits in which neighbours are of one class.

Trained on triplets from one half of scikit-learn's digits; the other half, by other writers,
is read by its nearest neighbour, in the embedding and in pixels.
"""

import _shared
import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from jaxnn import callbacks, losses, make_fit, optimizers
from jaxnn.networks import cnn, sample_triplets, siamese


def main():
    options = _shared.start(__doc__)
    epochs, batch_size = (2, 128) if options.quick else (30, 128)
    x, y = load_digits(return_X_y=True)
    half = len(x) // 2
    images, labels = jnp.asarray((x / 16).reshape(-1, 8, 8, 1), jnp.float32), jnp.asarray(y)
    sample_key, init_key, fit_key = jax.random.split(jax.random.key(options.seed), 3)

    embedding = on_the_sphere(cnn((8, 8, 1), [32, 64], 32, hidden=[128], dropout_rate=0.3))
    network = siamese(_shared.shifted(embedding))

    def loss_fn(params, batch, key):
        drawn = tuple(images[indices] for indices in batch)
        values = losses.triplet(*network.apply(params, drawn, key=key), margin=0.4)
        return values.mean(), {"active": (values > 0).mean()}

    triplets = sample_triplets(sample_key, labels[:half], 8000)
    rate = _shared.cosine(1e-3, epochs, len(triplets[0]), batch_size)
    optimizer, bar = optimizers.adamw(rate, weight_decay=1e-2), callbacks.progress(epochs)
    fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=batch_size, callbacks=[bar])
    params = fit(network.init(init_key), triplets, key=fit_key).params

    def neighbours(features):
        features = np.asarray(features)
        nearest = KNeighborsClassifier(1).fit(features[:half], y[:half])
        return nearest.score(features[half:], y[half:])

    embedded = embedding.apply(params, images)
    ours, theirs = neighbours(embedded), neighbours(x)
    _shared.scatter(embedded[half:], y[half:], "siamese", options)
    what = "siamese CNN", "digits of new writers", "test accuracy of nearest neighbours"
    _shared.check(options, *what, ours, ">", theirs, {"in pixels": theirs})


def on_the_sphere(network):
    """The network with outputs of length one."""
    unit = lambda y: y / jnp.linalg.norm(y, axis=-1, keepdims=True)
    return network._replace(apply=lambda *at, **keys: unit(network.apply(*at, **keys)))


if __name__ == "__main__":
    main()
