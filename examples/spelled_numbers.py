"""Read numbers in words and write them in digits, with an encoder and a decoder.

Words are padded to one length; digits are written one after the other, until the network writes
that this is the end. The picture shows to which words it attends as it writes each digit.
"""

import _numbers
import _shared
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import callbacks, diagnostics, losses, make_fit, optimizers, plots
from jaxnn.networks import sequence_to_sequence

SIZES = {"width": 64, "heads": 4, "depth": 2, "length": 11}
NETWORK = sequence_to_sequence(len(_numbers.WORDS), _numbers.END + 1, **SIZES)


def loss_fn(params, batch, key):
    words, lengths, digits = batch
    logits = NETWORK.apply(params, (words, digits[:, :-1]), key=key, lengths=lengths)
    return losses.sparse_categorical_cross_entropy(logits, digits[:, 1:]).mean(), {}


def main():
    options = _shared.start(__doc__)
    count, epochs, batch_size = (600, 1, 50) if options.quick else (6000, 12, 50)
    numbers = np.random.default_rng(options.seed).choice(1_000_000, count, replace=False)
    data = [jnp.asarray(part) for part in _numbers.sequences(numbers)]
    train, (words, lengths, digits) = [part[500:] for part in data], [part[:500] for part in data]

    steps = epochs * len(train[0]) // batch_size
    rate = optax.warmup_cosine_decay_schedule(0.0, 3e-3, steps // 10, steps)
    optimizer = optax.chain(optimizers.clip_by_global_norm(1.0), optimizers.adamw(rate, b2=0.99))
    bar = callbacks.progress(epochs)
    fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=batch_size, callbacks=[bar])
    init_key, fit_key = jax.random.split(jax.random.key(options.seed))
    params = fit(NETWORK.init(init_key), tuple(train), key=fit_key).params

    begun, steps = (words, digits[:, :1]), digits.shape[1] - 1
    written = NETWORK.sample(params, begun, steps, lengths=lengths, end=_numbers.END)
    longest = lengths.argmax()
    inputs = words[longest, None], written[longest, None, :-1]
    maps = diagnostics.attention_maps(NETWORK.apply, params, inputs)
    weights = maps["decoder/block_1/cross_attention"][0].mean(0)
    read, signs = _numbers.text(words[longest], written[longest, 1:])
    _shared.save(plots.attention(weights, signs, keys=read), "spelled_numbers", options)
    print(f"{' '.join(read)} was read, {' '.join(signs)} was written")

    right, peer = (written == digits).all(1).mean(), _numbers.logistic_regression(numbers, 500)
    what = "encoder and decoder", "numbers in words", "written without a mistake"
    peers = {"logistic regression for each digit": peer}
    _shared.check(options, *what, right, ">=", 0.99, peers)


if __name__ == "__main__":
    main()
