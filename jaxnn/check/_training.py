"""Steps of training and whole runs, against the same arithmetic on exact numbers.

Batches hold all examples, so that the order in which they are drawn doesn't matter.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn import losses, networks, optimizers, regularizers, training
from jaxnn.check import _stacks, _truth
from jaxnn.check._blocks import value
from jaxnn.check._networks import TANH, of_params, params_of
from jaxnn.check._stacks import descended, numbers, output, slopes
from jaxnn.check._vectors import flat, mean, normal, sized, together
from jaxnn.check._windows import largest

RATE = 0.5
NET = networks.mlp([2, 2, 1], **TANH)
KEY = jax.random.key(0)


def _squared(params, x, y):
    """Mean squared error of the network."""
    pairs = zip(x, y, strict=True)
    return mean([(output(params, row)[0] - t[0]) ** 2 for row, t in pairs])


def _absolute(params, x, y):
    pairs = zip(x, y, strict=True)
    return mean([abs(output(params, row)[0] - t[0]) for row, t in pairs])


def _penalised(params, x, y):
    squares = [w * w for layer in params.values() for row in layer["kernel"] for w in row]
    return _squared(params, x, y) + sum(squares) / 8


LOSS = training.supervised(NET, losses.squared_error)
PENALISED = training.supervised(
    NET, losses.squared_error, penalty=lambda params: regularizers.l2(params, 0.125),
    error=losses.absolute_error,
)  # fmt: skip


def _measured(name, f, truth, *inputs, **options):
    return of_params("training." + name, params_of(NET), f, truth, *inputs, **options)


def _supervised():
    def f(params, x, y):
        loss, metrics = PENALISED(params, (x, y), KEY)
        return flat(loss, metrics["error"])

    truth = lambda *args: [_penalised(*args), _absolute(*args)]
    return _measured("supervised", f, truth, (3, 2), (3, 1))


def _step():
    optimizer = optimizers.gradient_descent(RATE)
    step = training.gradient_step(LOSS, optimizer)

    def f(params, x, y):
        state, metrics = step(training.TrainState(params, optimizer.init(params)), (x, y), None)
        return flat(*jax.tree.leaves(state.params), metrics["loss"])

    def truth(params, x, y):
        grads = slopes(lambda p: _squared(p, x, y), params)
        return [*numbers(descended(params, grads, RATE)), _squared(params, x, y)]

    return _measured("gradient_step", f, truth, (3, 2), (3, 1), wrt=0)


def _fit():
    """Of three epochs, the parameters of the best, and all losses."""
    fit = training.make_fit(LOSS, optimizers.gradient_descent(RATE), epochs=3, batch_size=3)

    def f(params, x, y, other_x, other_y):
        result = fit(params, (x, y), (other_x, other_y), key=KEY)
        losses = result.history["loss"], result.history["validation_loss"]
        return flat(*jax.tree.leaves(result.params), *losses)

    def truth(params, x, y, *validation):
        lost, validated, epochs = [], [], []
        for _ in range(3):
            lost.append(_squared(params, x, y))
            grads = slopes(lambda p: _squared(p, x, y), params)
            params = descended(params, grads, RATE)
            epochs.append(params)
            validated.append(_squared(params, *validation))
        best = min(range(3), key=lambda i: validated[i])
        return [*numbers(epochs[best]), *lost, *validated]

    data = (3, 2), (3, 1)
    return _measured("make_fit", f, truth, *data, *data, wrt=0, scale=0.5)


def _of_any_size(*shape):
    """Numbers of every size, and such as have a sum beyond the range."""
    usual = together(normal(shape), sized(shape, powers=[(-30, 37)]))
    return lambda settings: (np.concatenate([usual(settings)[0], largest(*shape)(settings)[0]]),)


def _terms(x):
    """What a mean is made of, which may be all but 0."""
    return {"value": np.abs(x).max(-1, keepdims=True)}


def _run():
    """A step that keeps the largest, and a metric: its mean over the steps of each epoch."""

    def step(state, batch, key):
        return jnp.maximum(state, jnp.abs(batch).max()), {"seen": batch.mean()}

    def f(x):
        state, history, _ = training.run(step, 0.0, x, key=KEY, epochs=2, batch_size=1)
        return flat(state, history["seen"])

    truth = lambda x: [max(abs(v) for v in x), mean(x), mean(x)]
    return value("training.run", f, truth, _of_any_size(7), terms=_terms)


def _evaluate():
    """In batches of 3, the last one smaller."""
    loss_fn = lambda scale, batch, key: ((scale * batch / batch.size).sum(), {})
    f = lambda x: training.evaluate(loss_fn, 1.0, x, batch_size=3)["loss"]
    return value("training.evaluate", f, lambda x: [mean(x)], _of_any_size(7), terms=_terms)


def _predict():
    f = lambda params, x: training.predict(NET, params, x, batch_size=2)
    truth = lambda params, x: [output(params, row)[0] for row in x]
    return _measured("predict", f, truth, (3, 2), wrt=0)


# Rules of learning that are no gradient descent on a loss


def _perceptron_step():
    step, classes = networks.perceptron_step(0.25), np.array([0, 1, 1, 0], np.int32)

    def f(params, x, classes):
        params, metrics = step(params, (x, classes), None)
        return flat(*jax.tree.leaves(params), metrics["mistakes"])

    def truth(params, x, classes):
        kernel, bias = params["dense_0"]["kernel"], params["dense_0"]["bias"]
        mistakes = 0
        for row, label in zip(x, classes, strict=True):
            error = label - (sum(v * w[0] for v, w in zip(row, kernel, strict=True)) + bias[0] > 0)
            kernel = [[w[0] + error * v / 4] for v, w in zip(row, kernel, strict=True)]
            bias = [bias[0] + _truth.mp().mpf(error) / 4]
            mistakes += abs(error)
        return [*bias, *numbers(kernel), _truth.mp().mpf(mistakes) / len(x)]

    name, like = "networks.perceptron_step", params_of(networks.perceptron(2))
    return of_params(name, like, f, truth, (4, 2), constants=[classes], wrt=0, examples=16)


def _constant():
    """A generator that makes the same of all noise: then nothing that is drawn matters."""
    apply = lambda params, noise, *, key=None: jnp.tile(params["data"], (len(noise), 1))
    return networks.Network(lambda key: {"data": jnp.zeros(2)}, apply)


def _gan_step(name, discriminator, exact_loss, exact_generator_loss, **options):
    """One update of both sides, against the gradients of the losses."""
    rule = optimizers.gradient_descent(RATE)
    generator = _constant()
    start, step = networks.gan_step(
        generator, discriminator, rule, rule, latent=1, average_decay=0.75, **options
    )

    def f(params, x):
        state, metrics = step(start(params), x, KEY)
        lost = metrics["discriminator_loss"], metrics["generator_loss"]
        return flat(*lost, *jax.tree.leaves((state.params, state.average)))

    def truth(params, x):
        made, judge = params["generator"]["data"], params["discriminator"]
        lost = exact_loss(judge, made, x)
        grads = slopes(lambda p: exact_loss(p, made, x), judge, 25)
        judge = descended(judge, grads, RATE)
        fooled = exact_generator_loss(judge, made)
        moved = descended(made, slopes(lambda g: exact_generator_loss(judge, g), made), RATE)
        average = [(3 * a + b) / 4 for a, b in zip(made, moved, strict=True)]
        after = {"generator": moved, "discriminator": judge}
        return [lost, fooled, *numbers((after, average))]

    like = params_of(networks.gan(generator, discriminator))
    return of_params("networks." + name, like, f, truth, (3, 2), wrt=0, scale=0.5)


def _score(params, x):
    return output(params, x)[0]


def _logistic(params, made, x):
    """With a penalty of R1."""
    fake = _stacks.softplus(_score(params, made))
    steep = lambda row: sum(s * s for s in slopes(lambda v: _score(params, v), row, 55))
    return fake + mean([_stacks.softplus(-_score(params, row)) + steep(row) / 2 for row in x])


def _wasserstein(params, made, x):
    """Of an affine critic, whose slope is the same wherever it is taken."""
    steep = _truth.mp().sqrt(sum(w * w for (w,) in params["dense_0"]["kernel"]))
    real = mean([_score(params, row) for row in x])
    return _score(params, made) - real + 10 * (steep - 1) ** 2


def _gan_steps():
    return [
        _gan_step(
            "gan_step", NET, _logistic,
            lambda params, made: _stacks.softplus(-_score(params, made)), penalty=1.0,
        ),
        _gan_step(
            "gan_step(wasserstein=True)", networks.mlp([2, 1]), _wasserstein,
            lambda params, made: -_score(params, made), wasserstein=True,
        ),
    ]  # fmt: skip


def entries():
    """All of them."""
    return [
        _supervised(), _step(), _fit(), _run(), _evaluate(), _predict(), _perceptron_step(),
        *_gan_steps(),
    ]  # fmt: skip
