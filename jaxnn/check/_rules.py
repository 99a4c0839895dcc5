"""The update rules in plain jnp, for gradients of a usual size: six steps from a weight of 0."""

import jax.numpy as jnp

from jaxnn import optimizers
from jaxnn.check import _optimizers, _truth
from jaxnn.check._blocks import value
from jaxnn.check._steps import RATE
from jaxnn.check._vectors import flat, norm, normal

STEPS, DECAY = 6, 0.25


def _value(name, f, truth, *shapes):
    return value(f"optimizers.{name}_update", f, truth, normal(*shapes))


def _path(name, update, states, recursion, decay=0.0):
    """The weights after each step.

    Args:
        name: of the optimizer.
        update: `update(w, g, *states, step)`, the new weight and states.
        states: how many there are, which begin at 0.
        recursion: as in a `Trajectory`.
        decay: which part of the weight is lost, beside what the recursion says, at the rate.
    """

    def f(gradients):
        now, path = (jnp.zeros(()),) * (states + 1), []
        for i in range(STEPS):
            w, *rest = now
            found = update(w, gradients[i], *rest, i + 1)
            now = found if states else (found,)
            path.append(now[0])
        return flat(*path)

    def truth(gradients):
        w, path = 0, []
        for step in recursion(gradients):
            w = w + step - RATE * _truth.mp().mpf(decay) * w
            path.append(w)
        return path

    return _value(name, f, truth, (STEPS,))


def _clipped(vector, length):
    return [v / max(1, length) for v in vector]


def entries():
    """All of them."""
    o, recursions = optimizers, _optimizers
    plain = lambda update: lambda w, g, *rest: update(w, g, *rest[:-1], RATE)
    counted = lambda update, *more: lambda w, g, *rest: update(w, g, *rest, RATE, *more)
    return [
        _path("gradient_descent", plain(o.gradient_descent_update), 0,
              recursions.exact_gradient_descent),
        _path("momentum", plain(o.momentum_update), 1, recursions.exact_momentum(False)),
        _path("rmsprop", plain(o.rmsprop_update), 1, recursions.exact_rmsprop),
        _path("adagrad", plain(o.adagrad_update), 1, recursions.exact_adagrad),
        _path("adadelta", lambda w, g, v, u, step: o.adadelta_update(w, g, v, u), 2,
              recursions.exact_adadelta),
        _path("adam", counted(o.adam_update), 2, recursions.exact_adam()),
        _path("adamw", counted(o.adamw_update, DECAY), 2, recursions.exact_adam(), DECAY),
        _path("nadam", counted(o.nadam_update), 2, recursions.exact_adam(nesterov=True)),
        _path("lion", plain(o.lion_update), 1, recursions.exact_lion),
        _value("clip_by_value", lambda g: o.clip_by_value_update(g, 0.5),
               lambda g: [max(min(v, 0.5), -0.5) for v in g], (5,)),
        _value("clip_by_norm", lambda g: o.clip_by_norm_update(g, 1.0),
               lambda g: _clipped(g, norm(g)), (5,)),
        _value(
            "clip_by_global_norm", lambda *g: flat(*o.clip_by_global_norm_update(list(g), 1.0)),
            lambda a, b: _clipped(a + b, norm(a + b)), (2,), (3,),
        ),
    ]  # fmt: skip
