"""Training as one compiled program.

Three pure functions, each built on the one before:

    gradient_step(loss_fn, optimizer)    one update from one batch
    run(step, ...)                       any step, over shuffled batches and epochs
    make_fit(loss_fn, optimizer, ...)    the two together, with validation and early stopping

A `step` is any function `step(state, batch, key) -> (state, metrics)`; adversarial training
and self-organizing maps bring their own and use the same `run`. What `make_fit` returns is a
pure function of arrays: call it to train, `jax.vmap` it to train a population.

`supervised` makes the loss function of a network, a loss and metrics; `evaluate` and `predict`
use a trained network on more data than fits in one batch.
"""

from jaxnn.training.batches import evaluate, predict
from jaxnn.training.loop import FitResult, make_fit, run
from jaxnn.training.steps import TrainState, gradient_step, supervised

__all__ = [
    "FitResult", "TrainState", "evaluate", "gradient_step", "make_fit", "predict", "run",
    "supervised",
]  # fmt: skip
