"""Recipe 9: a recurrent network whose gradient explodes, and two ways to clip it."""

import jax
import jax.numpy as jnp
import optax

from jaxnn import losses, make_fit, optimizers

print("on", jax.devices()[0].platform)

TIME, WIDTH = 60, 16


def rnn(params, inputs):
    """A plain recurrence over [batch, time]; its answer is read after the last step."""

    def step(state, x):
        return jnp.tanh(state @ params["recurrent"] + x[:, None] * params["input"]), None

    state, _ = jax.lax.scan(step, jnp.zeros((len(inputs), WIDTH)), inputs.T)
    return state @ params["output"]


def loss_fn(params, batch, key):
    inputs, targets = batch
    return losses.squared_error(rnn(params, inputs), targets).mean(), {}


keys = jax.random.split(jax.random.key(0), 5)
params = {  # its largest eigenvalue is above 1: products of Jacobians grow
    "recurrent": 1.3 * jax.random.normal(keys[0], (WIDTH, WIDTH)) / WIDTH**0.5,
    "input": jax.random.normal(keys[1], (WIDTH,)),
    "output": jax.random.normal(keys[2], (WIDTH,)) / WIDTH**0.5,
}
inputs = jax.random.normal(keys[3], (512, TIME)) * 0.1
data = inputs, inputs[:, -5:].sum(1)

norm = optax.global_norm(jax.grad(lambda p: loss_fn(p, data, None)[0])(params))
print(f"norm of the first gradient: {norm:.3g}; the target's variance: {data[1].var():.3f}")
clippings = {
    "none": optax.identity(),
    "by value": optimizers.clip_by_value(0.01),
    "by global norm": optimizers.clip_by_global_norm(0.1),
}
final = {}
for name, clipping in clippings.items():
    optimizer = optax.chain(clipping, optimizers.gradient_descent(0.5))
    result = make_fit(loss_fn, optimizer, epochs=100, batch_size=32)(params, data, key=keys[4])
    final[name] = float(result.history["loss"][-1])
    print(f"clipping {name}: mean squared error after training {final[name]:.4g}")
assert not final["none"] < 0.04  # no better than guessing the mean, or not a number
assert max(final["by value"], final["by global norm"]) < 0.002
