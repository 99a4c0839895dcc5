"""Train a multilayer perceptron on handwritten digits, as one compiled program.

The same split, in the same run, is given to scikit-learn's MLP.
"""

import time

import _shared
import jax
import jax.numpy as jnp
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from jaxnn import callbacks, make_fit, metrics, optimizers, plots
from jaxnn.activations import gelu
from jaxnn.networks import mlp
from jaxnn.training import evaluate, supervised


def main():
    options = _shared.start(__doc__)
    epochs, batch_size = (5, 64) if options.quick else (80, 64)
    x, y = load_digits(return_X_y=True)
    x, split = (x / 16).astype("float32"), {"random_state": options.seed}
    x_train, x_test, y_train, y_test = train_test_split(x, y, stratify=y, test_size=0.2, **split)
    parts = train_test_split(x_train, y_train, stratify=y_train, test_size=0.1, **split)
    x_fit, x_valid, y_fit, y_valid = map(jnp.asarray, parts)

    network = mlp([64, 256, 256, 10], activation=gelu, dropout_rate=0.4)
    loss_fn = supervised(network, _shared.smooth_cross_entropy, accuracy=metrics.accuracy)
    rate = _shared.cosine(3e-3, epochs, len(x_fit), batch_size)
    fit = make_fit(
        loss_fn, optimizers.adamw(rate, weight_decay=1e-2), epochs=epochs, batch_size=batch_size,
        patience=20, callbacks=[callbacks.progress(epochs)],
    )  # fmt: skip

    init_key, fit_key = jax.random.split(jax.random.key(options.seed))
    arguments = network.init(init_key), (x_fit, y_fit), (x_valid, y_valid)
    began = time.perf_counter()
    program = jax.jit(fit).lower(*arguments, key=fit_key).compile()
    compiled = time.perf_counter()
    result = jax.block_until_ready(program(*arguments, key=fit_key))
    ran = time.perf_counter()
    theirs = MLPClassifier((256, 256), random_state=options.seed).fit(x_train, y_train)
    peer = time.perf_counter() - ran

    print(f"epochs: {int(result.epochs)} of {epochs}")
    print(f"seconds: compile {compiled - began:.2f}, run {ran - compiled:.2f}; peer {peer:.2f}")
    _shared.save(plots.training_curves(result.history), "mlp", options)
    ours = evaluate(loss_fn, result.params, (x_test, y_test), batch_size=128)["accuracy"]
    peers = {"scikit-learn's MLP": theirs.score(x_test, y_test)}
    _shared.check(options, "MLP", "digits", "test accuracy", ours, ">=", 0.975, peers)


if __name__ == "__main__":
    main()
