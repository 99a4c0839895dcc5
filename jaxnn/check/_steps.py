"""Running optimizers and clippings, ours or others', compiled and eager."""

import jax
import jax.numpy as jnp
import numpy as np

RATE = 2.0**-7  # exact, so that the truth has the same


def trajectories(optimizer, gradients):
    """Where the weights are after each step, compiled and eager.

    The updates are added up in float64: it is them that are measured, not the weights' rounding.
    """

    def step(carry, g):
        w, state = carry
        updates, state = optimizer.update(g, state, jnp.zeros_like(w))
        return (w, state), updates

    start = jnp.zeros(gradients.shape[1]), optimizer.init(jnp.zeros(gradients.shape[1]))
    compiled = jax.jit(lambda gs: jax.lax.scan(step, start, gs)[1])(jnp.asarray(gradients))
    carry, eager = start, []
    for g in jnp.asarray(gradients[:10]):
        carry, updates = step(carry, g)
        eager.append(updates)
    rest = np.asarray(compiled, np.float64)[len(eager) :]
    both = {"compiled": compiled, "eager": np.concatenate([np.asarray(eager), rest])}
    return [(way, "value", np.cumsum(np.asarray(u, np.float64), 0)) for way, u in both.items()]


def clippings(make, cases):
    def one(bound, g):
        transformation = make(bound)
        return transformation.update(g, transformation.init(g))[0]

    compiled = jax.jit(lambda gs: [one(bound, g) for (bound, _), g in zip(cases, gs, strict=True)])
    gradients = [jnp.asarray(g) for _, g in cases]
    eager = [one(bound, g) for (bound, _), g in zip(cases, gradients, strict=True)]
    both = (("compiled", compiled(gradients)), ("eager", eager))
    return [(way, "value", [np.asarray(y, np.float64) for y in ys]) for way, ys in both]
