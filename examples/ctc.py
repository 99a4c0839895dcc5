"""Read strips of two to five handwritten digits without being told where one ends.

Writers are split in halves as scikit-learn does; its support vector machine is told each cut.
"""

import _shared
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from optax import cosine_decay_schedule
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from jaxnn import activations, callbacks, decoding, layers, losses, make_fit, metrics, optimizers
from jaxnn.networks import gru
from jaxnn.training import predict

READER = gru(2 * 64, 64, 11, bidirectional=True, every_step=True, dropout_rate=0.4)
BLANK = 10


def strips(x, y, order, random):
    """The digits in that order, two to five on a strip, up to two columns apart."""
    cuts = np.cumsum(random.integers(2, 6, len(order)))
    groups = [group for group in np.split(order, cuts[cuts < len(order)]) if len(group)]
    images = np.zeros((len(groups), 8, 50, 1), np.float32)
    labels = np.full((len(groups), 5), BLANK)
    for image, label, group in zip(images, labels, groups, strict=True):
        label[: len(group)] = y[group]
        for i, end in zip(group, np.cumsum(8 + random.integers(0, 3, len(group))), strict=True):
            image[:, end - 8 : end, 0] = x[i].reshape(8, 8) / 16
    return jnp.asarray(images), jnp.asarray(labels), jnp.array([len(g) for g in groups])


def init(key):
    keys = jax.random.split(key, 3)
    convs = layers.conv_init(keys[0], (3, 3), 1, 32), layers.conv_init(keys[1], (3, 3), 32, 64)
    return {"convs": convs, "reader": READER.init(keys[2])}


def apply(params, images, key=None):
    """Logits of 25 frames: two convolutions with pooling, and a GRU along what is left."""
    x = images if key is None else _shared.shifted(key, images)
    for conv, window in zip(params["convs"], [(2, 2), (2, 1)], strict=True):
        x = layers.max_pool(activations.relu(layers.conv(conv, x)), window)
    return READER.apply(params["reader"], jnp.swapaxes(x, 1, 2).reshape(len(x), 25, -1), key=key)


def loss_fn(params, batch, key):
    images, labels, counts = batch
    frames = jnp.full(len(images), 25)
    logits = apply(params, images, key)
    return (losses.ctc(logits, labels, frames, counts, BLANK) / counts).mean(), {}


def main():
    options = _shared.start(__doc__)
    epochs, copies, batch_size = (1, 2, 32) if options.quick else (12, 30, 32)
    x, y = load_digits(return_X_y=True)
    half, random = len(x) // 2, np.random.default_rng(options.seed)
    order = np.concatenate([random.permutation(half) for _ in range(copies)])
    train, test = strips(x, y, order, random), strips(x, y, half + random.permutation(len(x) - half), random)
    rate = cosine_decay_schedule(2e-3, epochs * -(-len(train[0]) // batch_size))
    optimizer = optimizers.adamw(rate, weight_decay=1e-2)
    bar = callbacks.progress(epochs)
    fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=batch_size, callbacks=[bar])
    init_key, fit_key = jax.random.split(jax.random.key(options.seed))
    params = fit(init(init_key), train, key=fit_key).params

    images, labels, counts = test
    logits = predict(apply, params, images, batch_size=256)
    read, lengths, _ = decoding.ctc_beam_search(logits, blank=BLANK)
    wrong = metrics.edit_distance(read[:, 0], labels, lengths[:, 0], counts)
    ours = float(wrong.sum() / counts.sum())
    greedy=decoding.ctc_greedy(logits,blank=BLANK); print('greedy', metrics.edit_distance(greedy[0],labels,greedy[1],counts).sum()/counts.sum())
    theirs = 1 - SVC(gamma=0.001).fit(x[:half], y[:half]).score(x[half:], y[half:])
    peers = {"SVC, cut by hand": theirs}
    _shared.check("label error of unsegmented digits", ours, ours <= 0.03, options, peers)


if __name__ == "__main__":
    main()
