"""Two tasks for memory: the yearly sunspots, and a sum over two hundred steps.

A population of sixty-four networks forecasts each next year in one vmapped call; beside their
mean stand autoregressive models, fitted to the same years, and recorded figures of Keras.
"""

import _shared
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import callbacks, losses, make_fit, optimizers
from jaxnn.layers import dense, dense_init
from jaxnn.networks import Network, lstm
from jaxnn.training import evaluate, supervised

YEARS, SPOTS = np.loadtxt(_shared.HERE / "data/sunspots.csv", delimiter=",", skiprows=1).T
PERIODS = {"1921-55": (1921, 1955), "1956-79": (1956, 1979), "1980-2008": (1980, 2008)}
KERAS = {"1921-55": 0.093, "1956-79": 0.39, "1980-2008": 0.19}  # the best of LSTM(16) and MLP(8)
WINDOW = 9


def errors(forecast, first):
    """Squared error of each period over 1535, the variance by which this series is measured."""
    wrong = (forecast - SPOTS[first:]) ** 2 / 1535
    years = YEARS[first:]
    return {p: wrong[(years >= a) & (years <= b)].mean() for p, (a, b) in PERIODS.items()}


def autoregressive(order):
    """Least squares on the `order` years before, up to 1920."""
    before = np.lib.stride_tricks.sliding_window_view(SPOTS[:-1], order)
    before = np.column_stack([np.ones(len(before)), before])
    past = YEARS[order:] <= 1920
    weights = np.linalg.lstsq(before[past], SPOTS[order:][past], rcond=None)[0]
    return errors(before @ weights, order)


def beside_a_line(network):
    """The network, with a linear forecast from the same years added to it."""
    init = lambda key: {"network": network.init(key), "line": dense_init(key, WINDOW, 1)}

    def apply(params, xs, *, key=None):
        forecast = network.apply(params["network"], xs, key=key)
        return forecast + dense(params["line"], xs[..., 0])

    return Network(init, apply)


def sunspots(options):
    members, epochs = (2, 2) if options.quick else (64, 100)
    past = YEARS <= 1920
    mean, deviation = SPOTS[past].mean(), SPOTS[past].std()
    z = jnp.asarray((SPOTS - mean) / deviation, jnp.float32)[:, None]
    xs = jnp.stack([z[i : i + WINDOW] for i in range(len(z) - WINDOW)])
    seen = int(past.sum()) - WINDOW
    train = xs[:seen], z[WINDOW : WINDOW + seen]

    network = beside_a_line(lstm(1, 32, 1, dropout_rate=0.7))
    rate = optax.cosine_decay_schedule(2e-2, epochs * -(-seen // 32))
    optimizer = optimizers.adamw(rate, weight_decay=1e-2)
    loss_fn = supervised(network, losses.squared_error)
    fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=32)
    keys = jax.random.split(jax.random.key(options.seed), members)
    population = jax.vmap(network.init)(keys)
    results = jax.jit(jax.vmap(lambda params, key: fit(params, train, key=key)))(population, keys)
    forecasts = jax.vmap(lambda params: network.apply(params, xs)[:, 0])(results.params)
    forecast = np.asarray(forecasts, float).mean(0) * deviation + mean
    _shared.lines(
        YEARS[WINDOW:], {"sunspots": SPOTS[WINDOW:], "forecast": forecast}, "lstm", options
    )
    ours, nine, twelve = errors(forecast, WINDOW), autoregressive(9), autoregressive(12)
    for period in PERIODS:
        peers = {"AR(9)": nine[period], "AR(12)": twelve[period], "Keras": KERAS[period]}
        holds = ours[period] < min(peers.values())
        _shared.check(f"error on sunspots {period}", ours[period], holds, options, peers)


def adding(options, steps=200):
    """The sum of the two numbers that are marked, one in each half of the sequence."""
    examples, epochs = (500, 1) if options.quick else (20000, 3)

    def draw(key, count):
        keys = jax.random.split(key, 3)
        numbers = jax.random.uniform(keys[0], (count, steps))
        first = jax.random.randint(keys[1], (count,), 0, steps // 2)
        second = jax.random.randint(keys[2], (count,), steps // 2, steps)
        marks = jax.nn.one_hot(first, steps) + jax.nn.one_hot(second, steps)
        return jnp.stack([numbers, marks], -1), (numbers * marks).sum(-1, keepdims=True)

    keys = jax.random.split(jax.random.key(options.seed), 4)
    network = lstm(2, 32, 1, forget_bias=5.0)
    loss_fn = supervised(network, losses.squared_error)
    rate = optax.cosine_decay_schedule(1e-2, epochs * examples // 50)
    optimizer = optax.chain(optimizers.clip_by_global_norm(1.0), optimizers.adam(rate))
    bar = callbacks.progress(epochs)
    fit = make_fit(loss_fn, optimizer, epochs=epochs, batch_size=50, callbacks=[bar])
    params = fit(network.init(keys[0]), draw(keys[1], examples), key=keys[2]).params
    xs, sums = draw(keys[3], 2000)
    ours = evaluate(loss_fn, params, (xs, sums), batch_size=500)["loss"]
    peers = {"always the mean": sums.var()}
    _shared.check(f"error of the adding problem, {steps} steps", ours, ours < 0.005, options, peers)


if __name__ == "__main__":
    arguments = _shared.start(__doc__)
    sunspots(arguments)
    adding(arguments)
