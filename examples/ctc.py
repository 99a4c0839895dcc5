"""Read strips of two to five handwritten digits without being told where one ends.

Writers are split in halves as scikit-learn does; its support vector machine is told each cut.
"""

import _shared
import _strips
import jax
import jax.numpy as jnp

from jaxnn import Network, activations, callbacks, decoding, losses, make_fit, metrics, optimizers
from jaxnn.layers import conv, conv_init, max_pool
from jaxnn.networks import gru
from jaxnn.training import predict

BLANK, FRAMES = _strips.BLANK, _strips.WIDTH // 2
READER = gru(2 * 64, 64, 11, bidirectional=True, every_step=True, dropout_rate=0.4)


def init(key):
    keys = jax.random.split(key, 3)
    convs = conv_init(keys[0], (3, 3), 1, 32), conv_init(keys[1], (3, 3), 32, 64)
    return {"convs": convs, "reader": READER.init(keys[2])}


def apply(params, x, *, key=None):
    """Two convolutions, whose pooling leaves a frame for two columns, and a GRU along them."""
    for kernel, window in zip(params["convs"], [(2, 2), (2, 1)], strict=True):
        x = max_pool(activations.relu(conv(kernel, x)), window)
    return READER.apply(params["reader"], x.swapaxes(1, 2).reshape(len(x), FRAMES, -1), key=key)


def loss_fn(params, batch, key):
    x, y, counts = batch
    logits = _shared.shifted(Network(init, apply)).apply(params, x, key=key)
    loss = losses.ctc(logits, y, jnp.full(len(x), FRAMES), counts, BLANK)
    return (loss / counts).mean(), {}


def main():
    options = _shared.start(__doc__)
    epochs, copies = (1, 2) if options.quick else (6, 30)
    train, (x, y, counts), theirs = _strips.load(copies, options.seed)
    rate, bars = _shared.cosine(2e-3, epochs, len(train[0]), 32), [callbacks.progress(epochs)]
    optimizer = optimizers.adamw(rate, weight_decay=1e-2)
    fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=32, callbacks=bars)
    init_key, fit_key = jax.random.split(jax.random.key(options.seed))
    params = fit(init(init_key), train, key=fit_key).params

    beams = decoding.ctc_beam_search(predict(apply, params, x, batch_size=256), blank=BLANK)
    read, lengths, _ = (best[:, 0] for best in beams)
    _shared.save(_strips.drawn(x, y, counts, read, lengths), "ctc", options)
    ours = metrics.edit_distance(read, y, lengths, counts).sum() / counts.sum()
    what = "CTC", "strips of digits of new writers", "label error"
    _shared.check(options, *what, ours, "<=", 0.03, {"SVC that is told the cuts": theirs})


if __name__ == "__main__":
    main()
