"""Learn an embedding of handwritten digits in which neighbours are of one class.

Trained on one half of scikit-learn's digits, by triplets or by pairs; the other half, by other
writers, is read by its nearest neighbour, in the embedding and in pixels.
"""

from functools import partial

import _shared
import jax
import jax.numpy as jnp
from _embeddings import nearest, on_the_sphere
from sklearn.datasets import load_digits

from jaxnn import callbacks, losses, make_fit, optimizers
from jaxnn.networks import cnn, sample_triplets, siamese


def by_pairs(anchor, positive, negative):
    """The contrastive loss of the anchor with its like, and with another."""
    like = jnp.ones(len(anchor), int)
    pairs = (anchor, positive, like), (anchor, negative, 1 - like)
    return sum(losses.contrastive(*pair, margin=1.4) for pair in pairs)


def main():
    options = _shared.start(__doc__)
    epochs, batch_size = (2, 128) if options.quick else (30, 128)
    x, y = load_digits(return_X_y=True)
    half = len(x) // 2
    images, labels = jnp.asarray((x / 16).reshape(-1, 8, 8, 1), jnp.float32), jnp.asarray(y)
    sample_key, init_key, fit_key = jax.random.split(jax.random.key(options.seed), 3)

    embedding = on_the_sphere(cnn((8, 8, 1), [32, 64], 32, hidden=[128], dropout_rate=0.3))
    network = siamese(_shared.shifted(embedding))
    triplets = sample_triplets(sample_key, labels[:half], 8000)
    rate = _shared.cosine(1e-3, epochs, len(triplets[0]), batch_size)
    optimizer, bar = optimizers.adamw(rate, weight_decay=1e-2), callbacks.progress(epochs)
    theirs, by_triplets = nearest(x, y), partial(losses.triplet, margin=0.4)
    for name, loss in {"siamese": by_triplets, "siamese_by_pairs": by_pairs}.items():

        def loss_fn(params, indices, key, loss=loss):
            drawn = tuple(images[i] for i in indices)
            return loss(*network.apply(params, drawn, key=key)).mean(), {}

        fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=batch_size, callbacks=[bar])
        params = fit(network.init(init_key), triplets, key=fit_key).params
        embedded = embedding.apply(params, images)
        _shared.scatter(embedded[half:], y[half:], name, options)
        what = "digits of new writers", "test accuracy of nearest neighbours"
        name = name.replace("_", " ")
        _shared.check(
            options, name, *what, nearest(embedded, y), ">", theirs, {"in pixels": theirs}
        )


if __name__ == "__main__":
    main()
