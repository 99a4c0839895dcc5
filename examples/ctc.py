"""Read strips of two to five handwritten digits without being told where one ends.

Writers are split in halves as scikit-learn does; its support vector machine is told each cut.
"""

import _shared
import _strips
import jax
import jax.numpy as jnp
from optax import cosine_decay_schedule

from jaxnn import activations, callbacks, decoding, layers, losses, make_fit, metrics, optimizers
from jaxnn.networks import gru
from jaxnn.training import predict

FRAMES = _strips.WIDTH // 2  # one for every two columns
READER = gru(2 * 64, 64, 11, bidirectional=True, every_step=True, dropout_rate=0.4)


def init(key):
    keys = jax.random.split(key, 3)
    convs = layers.conv_init(keys[0], (3, 3), 1, 32), layers.conv_init(keys[1], (3, 3), 32, 64)
    return {"convs": convs, "reader": READER.init(keys[2])}


def apply(params, x, key=None):
    """Two convolutions, whose pooling leaves a frame for two columns, and a GRU along them."""
    x = x if key is None else _shared.shifted(key, x)
    for conv, window in zip(params["convs"], [(2, 2), (2, 1)], strict=True):
        x = layers.max_pool(activations.relu(layers.conv(conv, x)), window)
    return READER.apply(params["reader"], x.swapaxes(1, 2).reshape(len(x), FRAMES, -1), key=key)


def loss_fn(params, batch, key):
    x, y, counts = batch
    loss = losses.ctc(apply(params, x, key), y, jnp.full(len(x), FRAMES), counts, _strips.BLANK)
    return (loss / counts).mean(), {}


def main():
    options = _shared.start(__doc__)
    epochs, copies, batch_size = (1, 2, 32) if options.quick else (6, 30, 32)
    train, (x, y, counts), theirs = _strips.load(copies, options.seed)
    rate = cosine_decay_schedule(2e-3, epochs * -(-len(train[0]) // batch_size))
    bar, optimizer = callbacks.progress(epochs), optimizers.adamw(rate, weight_decay=1e-2)
    fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=batch_size, callbacks=[bar])
    init_key, fit_key = jax.random.split(jax.random.key(options.seed))
    params = fit(init(init_key), train, key=fit_key).params
    logits = predict(apply, params, x, batch_size=256)
    beams = decoding.ctc_beam_search(logits, blank=_strips.BLANK)
    read, lengths, _ = (best[:, 0] for best in beams)
    _strips.show(x, y, counts, read, lengths, "ctc", options)
    ours = metrics.edit_distance(read, y, lengths, counts).sum() / counts.sum()
    peers = {"SVC that is told the cuts": theirs}
    _shared.check("label error on strips of digits", ours, ours <= 0.03, options, peers)


if __name__ == "__main__":
    main()
