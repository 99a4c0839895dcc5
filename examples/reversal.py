"""Teach a transformer to write digits backwards, one after the other, as in a text.

It reads ten digits and a mark; then each next digit is what it holds for the likeliest. The
picture shows which digits it writes differ when one that it reads is changed.
"""

import _shared
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax

from jaxnn import callbacks, losses, make_fit, optimizers
from jaxnn.networks import transformer

LENGTH, MARK = 10, 10


def main():
    options = _shared.start(__doc__)
    examples, epochs, batch_size = (600, 1, 50) if options.quick else (21000, 4, 50)
    keys = jax.random.split(jax.random.key(options.seed), 3)
    digits = jax.random.randint(keys[0], (examples, LENGTH), 0, 10)
    marks = jnp.full((examples, 1), MARK)
    ids = jnp.concatenate([digits, marks, digits[:, ::-1]], 1)
    train, test = ids[500:], ids[:500]  # of ten billion sequences, hardly one is in both

    network = transformer(11, width=64, heads=4, depth=2, length=2 * LENGTH + 1)

    def loss_fn(params, ids, key):  # of what follows the mark: the rest can't be foreseen
        logits = network.apply(params, ids[:, :-1], key=key)[:, LENGTH:]
        values = losses.sparse_categorical_cross_entropy(logits, ids[:, LENGTH + 1 :])
        return values.mean(), {}

    steps = epochs * len(train) // batch_size
    rate = optax.warmup_cosine_decay_schedule(0.0, 3e-3, steps // 10, steps)
    optimizer = optax.chain(optimizers.clip_by_global_norm(1.0), optimizers.adamw(rate, b2=0.99))
    bar = callbacks.progress(epochs)
    fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=batch_size, callbacks=[bar])
    params = fit(network.init(keys[1]), train, key=keys[2]).params

    read = test[:, : LENGTH + 1]
    written = network.sample(params, read, LENGTH)
    print(f"{test[0, :LENGTH]} was read, {written[0, LENGTH + 1 :]} was written")
    changed = [read.at[:, j].set((read[:, j] + 1) % 10) for j in range(LENGTH)]
    again = network.sample(params, jnp.concatenate(changed), LENGTH).reshape(LENGTH, *test.shape)
    _, ax = plt.subplots(figsize=(4.5, 4))
    differ = (again != written)[..., LENGTH + 1 :].mean(1)
    ax.figure.colorbar(ax.imshow(differ, cmap="Blues", vmin=0, vmax=1), label="how often")
    ax.set(xlabel="place of the digit that differs", ylabel="place of the digit changed")
    _shared.save(ax, "reversal", options)
    right = (written == test).all(1).mean()
    what = "transformer", f"{LENGTH} digits to reverse", "sequences without a mistake"
    _shared.check(options, *what, right, ">=", 1.0)


if __name__ == "__main__":
    main()
