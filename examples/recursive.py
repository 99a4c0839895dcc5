"""Train recursive networks: nested list operations, and `and` or `or` in real Python code.

The same trees, as bags of nodes, are given to scikit-learn's logistic regression.
"""

import random

import _shared
import _trees
import jax
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupShuffleSplit

from jaxnn import losses, make_fit, metrics, optimizers
from jaxnn.networks import recursive_network
from jaxnn.training import evaluate, predict, supervised


def train(network, data, epochs, rate, seed):
    loss = lambda z, y: losses.sparse_categorical_cross_entropy(z, y, -1)  # -1: no label
    at_root = lambda z, y: metrics.accuracy(z[:, -1], y[:, -1])
    loss_fn = supervised(network, loss, accuracy=at_root)
    steps = epochs * -(-len(data[1]) // 64)
    optimizer = optimizers.adamw(optax.cosine_decay_schedule(rate, steps), weight_decay=1e-2)
    fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=64)
    init_key, fit_key = jax.random.split(jax.random.key(seed))
    return loss_fn, fit(network.init(init_key), data, key=fit_key).params


def main():
    options = _shared.start(__doc__)
    quick, seed = options.quick, options.seed
    lists = _trees.list_operations(random.Random(seed), 3000 if quick else 52000)
    code = _trees.conditions(files=100 if quick else None)
    for what, (inputs, labels, groups, names), test_size, width, dropout, epochs, rate, goal in [
        ("list operations", lists, 0.04, 64, 0.0, 1 if quick else 6, 6e-3, 0.95),
        ("`and` or `or`", code, 0.25, 32, 0.3, 1 if quick else 8, 3e-3, 0.72),
    ]:
        split = GroupShuffleSplit(1, test_size=test_size, random_state=seed)
        parts = next(split.split(labels, groups=groups))
        data, test = (jax.tree.map(lambda a, i=i: a[i], (inputs, labels)) for i in parts)
        classes = int(labels.max()) + 1
        network = recursive_network(
            len(names), width, classes, every_node=True, dropout_rate=dropout
        )
        loss_fn, params = train(network, data, epochs, rate, seed)
        ours = evaluate(loss_fn, params, test, batch_size=500)["accuracy"]

        fit_bags, test_bags = (np.asarray(_trees.bags(x, names)) for x in (data[0], test[0]))
        peer = LogisticRegression(C=0.1, max_iter=1000).fit(fit_bags, data[1][:, -1])
        truth = np.asarray(test[1][:, -1])
        print(f"{what}: the most frequent answer {np.bincount(truth).max() / len(truth):.3f}")
        print(f"{what}: logistic regression on bags {peer.score(test_bags, truth):.3f}")
        if what == "list operations":
            said = predict(network, params, test[0], batch_size=500).argmax(-1)
            _, ax = plt.subplots(figsize=(9, 4), facecolor="none")
            _trees.draw(ax, test[0], names, said)
            _shared.save(ax, "recursive", options)
        _shared.check(f"{what}: accuracy", float(ours), ours >= goal, options)


if __name__ == "__main__":
    main()
