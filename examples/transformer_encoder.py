"""Compute nested list operations, such as (MAX 2 (MIN 8 4) 0), with a transformer.

It reads them as a sequence, in which each sign says how deep it stands, and is taught the value
of each operation. The picture shows what each sign attends to in the last block.
"""

import random

import _shared
import _trees
import jax
import jax.numpy as jnp

from jaxnn import callbacks, diagnostics, losses, make_fit, metrics, optimizers, plots
from jaxnn.networks import transformer_encoder
from jaxnn.training import evaluate

DEPTHS, SIGNS = 5, len(_trees.NAMES)
NETWORK = transformer_encoder(DEPTHS * SIGNS, 10, width=64, heads=4, depth=4, length=13)


def loss_fn(params, batch, key):
    signs, lengths, values = batch  # the whole comes first; -1 is the value of padding
    logits = NETWORK.apply(params, signs, key=key, lengths=lengths)
    right = metrics.accuracy(logits[:, 0], values[:, 0]).mean()
    return losses.sparse_categorical_cross_entropy(logits, values, -1).mean(), {"accuracy": right}


def main():
    options = _shared.start(__doc__)
    trees, held, epochs, batch_size = (2000, 500, 1, 64) if options.quick else (52000, 2000, 4, 64)
    inputs, labels, _ = _trees.list_operations(random.Random(options.seed), trees)
    ids, tree = inputs
    signs = jnp.where(tree.mask, ids + SIGNS * tree.depths, 0)[:, ::-1]
    data = signs, tree.mask.sum(-1), labels[:, ::-1]
    train, test = (tuple(a[held:] for a in data), tuple(a[:held] for a in data))

    rate = _shared.cosine(2e-3, epochs, trees - held, batch_size)
    optimizer, bar = optimizers.adamw(rate, weight_decay=1e-2), callbacks.progress(epochs)
    fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=batch_size, callbacks=[bar])
    init_key, fit_key = jax.random.split(jax.random.key(options.seed))
    params = fit(NETWORK.init(init_key), train, key=fit_key).params

    largest = test[1].argmax()
    read = test[0][largest, None]
    maps = diagnostics.attention_maps(NETWORK.apply, params, read)
    names = [_trees.NAMES[i % SIGNS] for i in read[0].tolist()]
    _shared.save(
        plots.attention(maps["block_3/attention"][0].mean(0), names), "transformer_encoder", options
    )
    ours = evaluate(loss_fn, params, test, batch_size=500)["accuracy"]
    part = lambda *at: jax.tree.map(lambda a: a[slice(*at)], (inputs, labels))
    peer = _trees.bag_of_nodes(part(held, None), part(held), _trees.NAMES)
    what = "transformer encoder", "list operations", "test accuracy"
    _shared.check(options, *what, ours, ">", peer, {"logistic regression": peer})


if __name__ == "__main__":
    main()
