"""Remember over two hundred steps: the sum of two marked numbers, one in each half.

An LSTM whose forget gates start open learns it on short sequences first; who remembers nothing
can only say the mean.
"""

import _shared
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax

from jaxnn import callbacks, losses, make_fit, optimizers
from jaxnn.networks import lstm
from jaxnn.training import predict, supervised


def draw(key, count, steps):
    """Sequences `[count, steps, 2]` of numbers and marks, and the sums of what is marked."""
    keys = jax.random.split(key, 3)
    numbers = jax.random.uniform(keys[0], (count, steps))
    first = jax.random.randint(keys[1], (count,), 0, steps // 2)
    second = jax.random.randint(keys[2], (count,), steps // 2, steps)
    marks = jax.nn.one_hot(first, steps) + jax.nn.one_hot(second, steps)
    return jnp.stack([numbers, marks], -1), (numbers * marks).sum(-1, keepdims=True)


def main():
    options = _shared.start(__doc__)
    lengths, examples, epochs = ([20], 500, 1) if options.quick else ([20, 60, 200], 10000, 4)
    network = lstm(2, 32, 1, forget_bias=5.0)
    loss_fn = supervised(network, losses.squared_error)
    rate = _shared.cosine(1e-2, epochs, examples, 50)
    optimizer = optax.chain(optimizers.clip_by_global_norm(1.0), optimizers.adam(rate))
    bar = callbacks.progress(epochs)
    fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=50, callbacks=[bar])
    init_key, test_key, *keys = jax.random.split(jax.random.key(options.seed), 5)
    params = network.init(init_key)
    for steps, key in zip(lengths, keys, strict=False):
        data_key, fit_key = jax.random.split(key)
        params = fit(params, draw(data_key, examples, steps), key=fit_key).params

    xs, sums = draw(test_key, 2000, steps)
    said = predict(network, params, xs, batch_size=500)
    _, ax = plt.subplots(figsize=(4.2, 4))
    ax.plot([0, 2], [0, 2], color="0.6", lw=1)
    ax.plot(sums, said, ".", ms=3)
    ax.set(xlabel="sum", ylabel="what the network says", aspect="equal")
    _shared.save(ax, "adding_problem", options)
    ours, peers = losses.squared_error(said, sums).mean(), {"always the mean": sums.var()}
    what = "LSTM", f"adding problem, {steps} steps", "squared error"
    _shared.check(options, *what, ours, "<", 0.005, peers)


if __name__ == "__main__":
    main()
