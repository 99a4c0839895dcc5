"""Training steps of a convolution inside a compiled loop: ours against XLA's own and Flax's."""

import _timing
import jax
import jax.numpy as jnp
from flax import linen
from jax import lax

from jaxnn import layers

STEPS = 5
LAYOUT = ("NHWC", "HWIO", "NHWC")


def contenders(size, features, outputs, window):
    key = jax.random.key(0)
    x = jax.random.normal(key, (32, size, size, features))
    params = layers.conv_init(key, (window, window), features, outputs)
    twin = linen.Conv(outputs, (window, window))

    def xla(params, x):
        y = lax.conv_general_dilated(x, params["kernel"], (1, 1), "SAME", dimension_numbers=LAYOUT)
        return y + params["bias"]

    def loop(apply):
        def step(params, _):
            loss = lambda params: (apply(params, x) ** 2).mean()
            grads = jax.grad(loss)(params)
            return jax.tree.map(lambda p, g: p - 0.01 * g, params, grads), None

        return lambda params: lax.scan(step, params, length=STEPS)[0]

    applies = {
        "jaxnn": layers.conv,
        "lax.conv": xla,
        "flax": lambda params, x: twin.apply({"params": params}, x),
    }
    runs, compiling = {}, {}
    for name, apply in applies.items():
        program, compiling[name] = _timing.compile_seconds(loop(apply), params)
        runs[name] = lambda program=program: program(params)
    return runs, compiling


def main():
    rows = []
    for size, features, outputs, window in [(8, 1, 32, 3), (14, 32, 64, 3), (28, 16, 32, 5)]:
        runs, compiling = contenders(size, features, outputs, window)
        seconds = _timing.medians(runs, rounds=5)
        ours = seconds["jaxnn"]
        rows.append(
            (
                f"{size}x{size}, {features} to {outputs}, {window}x{window}",
                *(f"{1e3 * t / STEPS:.2f} ms ({t / ours:.1f}x)" for t in seconds.values()),
                *(f"{t:.2f} s" for t in compiling.values()),
            )
        )
    names = list(seconds)
    columns = ["batch 32", *(f"{n}, step" for n in names), *(f"{n}, compile" for n in names)]
    _timing.table("Convolution under a compiled loop", rows, columns)
    assert jnp.isfinite(ours)


if __name__ == "__main__":
    main()
