"""Forecast the sunspots of each next year with a population of LSTMs, trained in one call.

The mean of sixty-four networks stands beside autoregressive models, fitted to the same years
here and now, and beside figures of Keras, which were measured once.
"""

import _shared
import jax
import jax.numpy as jnp
import numpy as np
from _sunspots import KERAS, PERIODS, SPOTS, TRAIN, autoregressive, draw, errors

from jaxnn import losses, make_fit, optimizers
from jaxnn.layers import dense, dense_init
from jaxnn.networks import Network, lstm
from jaxnn.training import supervised

WINDOW = 9


def beside_a_line(network):
    """The network, with a linear forecast from the same years added to it."""
    init = lambda key: {"network": network.init(key), "line": dense_init(key, WINDOW, 1)}

    def apply(params, xs, *, key=None):
        forecast = network.apply(params["network"], xs, key=key)
        return forecast + dense(params["line"], xs[..., 0])

    return Network(init, apply)


def main():
    options = _shared.start(__doc__)
    members, epochs = (2, 2) if options.quick else (64, 100)
    mean, deviation, seen = SPOTS[TRAIN].mean(), SPOTS[TRAIN].std(), TRAIN.sum() - WINDOW
    z = jnp.asarray((SPOTS - mean) / deviation, jnp.float32)[:, None]
    xs = jnp.stack([z[i : i + WINDOW] for i in range(len(z) - WINDOW)])
    train = xs[:seen], z[WINDOW:][:seen]

    network = beside_a_line(lstm(1, 32, 1, dropout_rate=0.7))
    optimizer = optimizers.adamw(_shared.cosine(2e-2, epochs, seen, 32), weight_decay=1e-2)
    loss_fn = supervised(network, losses.squared_error)
    fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=32)
    keys = jax.random.split(jax.random.key(options.seed), members)
    population = jax.vmap(network.init)(keys)
    params = jax.jit(jax.vmap(lambda p, key: fit(p, train, key=key).params))(population, keys)
    forecasts = jax.vmap(network.apply, (0, None))(params, xs)[..., 0] * deviation + mean
    forecast = np.asarray(forecasts, float).mean(0)

    _shared.save(draw(forecasts, WINDOW), "lstm", options)
    ours, linear = errors(forecast, WINDOW), {f"AR({p})": autoregressive(p) for p in (9, 12)}
    for period in PERIODS:
        peers = {name: theirs[period] for name, theirs in (linear | KERAS).items()}
        what = "LSTM beside a line", f"sunspots {period}", "squared error / 1535"
        _shared.check(options, *what, ours[period], "<", min(peers.values()), peers)


if __name__ == "__main__":
    main()
