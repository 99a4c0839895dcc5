"""Compute nested list operations, such as (MAX 2 (MIN 8 4) 0), with a recursive network.

The same trees, as bags of nodes, are given to scikit-learn's logistic regression.
"""

import random

import _shared
import _trees
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

from jaxnn import callbacks, losses, make_fit, metrics, optimizers
from jaxnn.networks import recursive_network
from jaxnn.training import predict, supervised


def main():
    options = _shared.start(__doc__)
    trees, held, epochs, batch_size = (2000, 500, 1, 64) if options.quick else (52000, 2000, 6, 64)
    inputs, labels, names = _trees.list_operations(random.Random(options.seed), trees)
    part = lambda *at: jax.tree.map(lambda a: a[slice(*at)], (inputs, labels))
    train, test = part(held, None), part(held)  # no tree is in both: all are different

    # Each operation inside a tree is labelled with its value too; -1 is padding.
    network = recursive_network(len(names), 64, 10, every_node=True)
    loss = lambda logits, values: losses.sparse_categorical_cross_entropy(logits, values, -1)
    rate = _shared.cosine(6e-3, epochs, trees - held, batch_size)
    optimizer = optimizers.adamw(rate, weight_decay=1e-2)
    fit = make_fit(
        supervised(network, loss), optimizer, epochs=epochs, batch_size=batch_size,
        callbacks=[callbacks.progress(epochs)],
    )  # fmt: skip
    init_key, fit_key = jax.random.split(jax.random.key(options.seed))
    params = fit(network.init(init_key), train, key=fit_key).params

    logits, truth = predict(network, params, test[0], batch_size=500), test[1][:, -1]
    _, ax = plt.subplots(figsize=(9, 4))
    _trees.draw(ax, test, names, logits.argmax(-1))
    _shared.save(ax, "recursive", options)
    ours = metrics.accuracy(logits[:, -1], truth).mean()
    bags = _trees.bag_of_nodes(train, test, names)
    peers = {"logistic regression": bags, "always the likeliest": jnp.bincount(truth).max() / held}
    what = "recursive network", "list operations", "test accuracy"
    _shared.check(options, *what, ours, ">=", 0.95, peers)


if __name__ == "__main__":
    main()
