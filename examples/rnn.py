"""Read handwritten digits row by row with a recurrent network, eight steps of eight pixels.

The split in halves is scikit-learn's own; its logistic regression sees all rows at once.
"""

import _shared
import jax
import jax.numpy as jnp
import optax
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from jaxnn import callbacks, make_fit, metrics, optimizers, plots
from jaxnn.networks import rnn
from jaxnn.training import evaluate, supervised


def main():
    options = _shared.start(__doc__)
    epochs, batch_size = (2, 32) if options.quick else (60, 32)
    x, y = load_digits(return_X_y=True)
    half = len(x) // 2
    rows = jnp.asarray((x / 16).reshape(-1, 8, 8), jnp.float32)
    train, test = (rows[:half], jnp.asarray(y[:half])), (rows[half:], jnp.asarray(y[half:]))

    network = rnn(8, 64, 10, layers=2, bidirectional=True, dropout_rate=0.4)
    loss_fn = supervised(network, _shared.smooth_cross_entropy, accuracy=metrics.accuracy)
    rate = _shared.cosine(2e-3, epochs, half, batch_size)
    # Backpropagation through time multiplies Jacobians, and now and then they explode.
    optimizer = optax.chain(
        optimizers.clip_by_global_norm(1.0), optimizers.adamw(rate, weight_decay=1e-2)
    )
    bar = callbacks.progress(epochs)
    fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=batch_size, callbacks=[bar])
    init_key, fit_key = jax.random.split(jax.random.key(options.seed))
    result = fit(network.init(init_key), train, key=fit_key)

    ours = evaluate(loss_fn, result.params, test, batch_size=256)["accuracy"]
    theirs = LogisticRegression(max_iter=3000).fit(x[:half], y[:half]).score(x[half:], y[half:])
    _shared.save(plots.training_curves(result.history), "rnn", options)
    # Keras takes longer to import than this to train; its figure was measured on this split.
    peers = {"the best Keras SimpleRNN": 0.933, "logistic regression on whole images": theirs}
    what = "RNN", "digits of new writers, row by row", "test accuracy"
    _shared.check(options, *what, ours, ">", max(peers.values()), peers)


if __name__ == "__main__":
    main()
