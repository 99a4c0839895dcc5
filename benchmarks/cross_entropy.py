"""Cross entropy over a large vocabulary: through the output layer in chunks, or of all logits.

Time and memory of the loss and its gradients in features, kernel and bias. Memory is what XLA
sets aside besides arguments and results.
"""

import _timing
import jax
import jax.numpy as jnp

from jaxnn import losses


def of_all_logits(x, kernel, bias, labels):
    return losses.sparse_categorical_cross_entropy(x @ kernel + bias, labels)


def compared(rows, features, classes):
    keys = jax.random.split(jax.random.key(0), 3)
    arguments = (
        jax.random.normal(keys[0], (rows, features)),
        jax.random.normal(keys[1], (features, classes)) / features**0.5,
        jnp.zeros(classes),
        jax.random.randint(keys[2], (rows,), 0, classes),
    )
    runs, memory = {}, {}
    for name, loss in {"chunks": losses.projected_cross_entropy, "all": of_all_logits}.items():
        mean = lambda *arguments, loss=loss: loss(*arguments).mean()
        program, _ = _timing.compile_seconds(jax.value_and_grad(mean, (0, 1, 2)), *arguments)
        runs[name] = lambda program=program: program(*arguments)
        memory[name] = program.memory_analysis().temp_size_in_bytes / 2**20
    seconds = _timing.medians(runs, rounds=5)
    return (
        f"{rows} x {features} to {classes}",
        *(f"{seconds[name]:.2f} s" for name in runs),
        f"{seconds['all'] / seconds['chunks']:.2f}x",
        *(f"{memory[name]:.0f} MiB" for name in runs),
        f"{memory['all'] / memory['chunks']:.1f}x",
    )


def main():
    sizes = [(256, 128, 8_000), (512, 128, 32_000), (512, 256, 64_000)]
    columns = ["rows x features to classes", "time, chunks", "time, all logits", "ratio"]
    columns += ["memory, chunks", "memory, all logits", "ratio"]
    _timing.table("Cross entropy and its gradients", [compared(*size) for size in sizes], columns)


if __name__ == "__main__":
    main()
