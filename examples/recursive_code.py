"""Tell `and` from `or` in real Python code, by the trees of the operands.

Files that are tested on are not trained on. The same trees, as bags of nodes, are given to
scikit-learn's logistic regression.
"""

import _shared
import _trees
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from sklearn.model_selection import GroupShuffleSplit

from jaxnn import callbacks, losses, make_fit, metrics, optimizers, plots
from jaxnn.networks import recursive_network
from jaxnn.training import predict, supervised


def main():
    options = _shared.start(__doc__)
    epochs, batch_size = (1, 64) if options.quick else (8, 64)
    inputs, labels, files, names = _trees.conditions(files=60 if options.quick else None)
    split = GroupShuffleSplit(1, test_size=0.25, random_state=options.seed)
    parts = next(split.split(labels, groups=files))
    train, test = (jax.tree.map(lambda a, i=i: a[i], (inputs, labels)) for i in parts)

    network = recursive_network(len(names), 32, 2, dropout_rate=0.3)
    loss = losses.sparse_categorical_cross_entropy
    optimizer = optimizers.adamw(
        _shared.cosine(3e-3, epochs, len(train[1]), batch_size), weight_decay=1e-2
    )
    fit = make_fit(
        supervised(network, loss), optimizer, epochs=epochs, batch_size=batch_size,
        callbacks=[callbacks.progress(epochs)],
    )  # fmt: skip
    init_key, fit_key = jax.random.split(jax.random.key(options.seed))
    params = fit(network.init(init_key), train, key=fit_key).params

    logits, truth = predict(network, params, test[0], batch_size=500), test[1]
    _, ax = plt.subplots(figsize=(4, 3.6))
    confusion = metrics.confusion_matrix(logits.argmax(-1), truth, 2)
    plots.confusion_matrix(confusion, ["and", "or"], ax)
    _shared.save(ax, "recursive_code", options)
    ours = metrics.accuracy(logits, truth).mean()
    bags, frequent = _trees.bag_of_nodes(train, test, names), jnp.bincount(truth).max()
    peers = {"logistic regression": bags, "always the likeliest": frequent / len(truth)}
    what = "recursive network", "and / or in Python's library", "test accuracy"
    _shared.check(options, *what, ours, ">", 0.72, peers)


if __name__ == "__main__":
    main()
