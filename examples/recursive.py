"""Train recursive networks: nested list operations, and `and` or `or` in real Python code.

The same trees, as bags of nodes, are given to scikit-learn's logistic regression.
"""

import random

import _shared
import _trees
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax
from sklearn.model_selection import GroupShuffleSplit

from jaxnn import losses, make_fit, metrics, optimizers
from jaxnn.networks import recursive_network
from jaxnn.training import predict, supervised


def train(network, data, epochs, rate, seed):
    loss = lambda z, y: losses.sparse_categorical_cross_entropy(z, y, -1)  # -1: no label
    steps = epochs * -(-len(data[1]) // 64)
    optimizer = optimizers.adamw(optax.cosine_decay_schedule(rate, steps), weight_decay=1e-2)
    fit = make_fit(supervised(network, loss), optimizer, epochs=epochs, batch_size=64)
    init_key, fit_key = jax.random.split(jax.random.key(seed))
    return fit(network.init(init_key), data, key=fit_key).params


def main():
    options = _shared.start(__doc__)
    quick, seed = options.quick, options.seed
    lists = _trees.list_operations(random.Random(seed), 2000 if quick else 52000)
    code = _trees.conditions(files=60 if quick else None)
    for what, (inputs, labels, groups, names), held, width, dropout, epochs, rate, goal in [
        ("list operations", lists, 0.04, 64, 0.0, 6, 6e-3, 0.95),
        ("and / or of the standard library", code, 0.25, 32, 0.3, 8, 3e-3, 0.72),
    ]:
        split = GroupShuffleSplit(1, test_size=held, random_state=seed).split(labels, groups=groups)
        data, test = [jax.tree.map(lambda a, i=i: a[i], (inputs, labels)) for i in next(split)]
        classes = int(labels.max()) + 1
        network = recursive_network(
            len(names), width, classes, every_node=True, dropout_rate=dropout
        )
        params = train(network, data, 1 if quick else epochs, rate, seed)
        logits, truth = predict(network, params, test[0], batch_size=500), test[1][:, -1]
        if classes > 2:
            _, ax = plt.subplots(figsize=(9, 4), facecolor="none")
            _trees.draw(ax, test, names, logits.argmax(-1))
            _shared.save(ax, "recursive", options)

        print(f"{what}: most frequent answer {jnp.bincount(truth).max() / len(truth):.3f}")
        print(f"{what}: scikit-learn on bags {_trees.bag_of_nodes(data, test, names):.3f}")
        ours = float(metrics.accuracy(logits[:, -1], truth).mean())
        _shared.check(f"{what}: recursive network", ours, ours >= goal, options)


if __name__ == "__main__":
    main()
