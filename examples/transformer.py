"""A model of letters: a transformer reads Python's help texts, and writes more of the kind.

It is measured in bits per letter on the last tenth, beside n-grams counted in the rest.
"""

import _shared
import _text
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import callbacks, losses, make_fit, optimizers
from jaxnn.networks import transformer
from jaxnn.training import evaluate


def main():
    options = _shared.start(__doc__)
    length, width, depth, epochs = (32, 16, 1, 1) if options.quick else (128, 128, 4, 5)
    text, cut, letters = _text.letters()
    text, batch_size = jnp.asarray(text), 32
    network = transformer(len(letters), width=width, heads=4, depth=depth, length=length)

    def loss_fn(params, starts, key):
        if key is not None:  # in each epoch the text is cut at other places
            starts = starts + jax.random.randint(key, starts.shape, 0, length)
        ids = text[starts[:, None] + jnp.arange(length + 1)]
        logits = network.apply(params, ids[:, :-1], key=key)
        bits = losses.sparse_categorical_cross_entropy(logits, ids[:, 1:]) / jnp.log(2.0)
        return (bits if key is not None else bits[:, length // 2 :]).mean(), {}

    train = jnp.arange(0, cut - 2 * length, length)[: 64 if options.quick else None]
    steps = epochs * -(-len(train) // batch_size)
    rate = optax.warmup_cosine_decay_schedule(0.0, 3e-3, steps // 10, steps)
    optimizer = optimizers.adamw(rate, weight_decay=0.1, b2=0.99)
    optimizer = optax.chain(optimizers.clip_by_global_norm(1.0), optimizer)
    bar = [callbacks.progress(epochs)]
    fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=batch_size, callbacks=bar)
    keys = jax.random.split(jax.random.key(options.seed), 3)
    result = fit(network.init(keys[0]), train, key=keys[1])

    # Windows that overlap by half, so that each letter has at least that half before it.
    test = jnp.arange(cut - length // 2 - 1, len(text) - length, length // 2)
    ours = evaluate(loss_fn, result.params, test, batch_size=64)["loss"]
    prompt = jnp.array([[letters.index(letter) for letter in "The value of "]])
    rest = length - prompt.size
    sample = network.sample(result.params, prompt, rest, key=keys[2], temperature=0.7)
    print("".join(letters[i] for i in sample[0].tolist()))

    peers = _text.ngram_bits(np.asarray(text), cut, 3)
    _shared.save(_text.draw(result.history["loss"], ours, peers), "transformer", options)
    what = "transformer", "letters of Python's help", "bits per letter"
    _shared.check(options, *what, ours, "<", min(peers.values()), peers)


if __name__ == "__main__":
    main()
