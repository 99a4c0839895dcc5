"""Neural networks as pure functions on JAX, each beside its gradient in closed form.

activations, losses, layers, networks    the blocks, each with its derivative
decoding                                 labels from the scores of a network
initializers, regularizers, metrics, optimizers
training, callbacks, sharding            training as one compiled program
serialization, interop                   to files, and to and from Flax
summary, backprop, diagnostics, plots    to look at networks and their gradients
check                                    measures how exact all of it is

Whatever only looks at networks, or takes them elsewhere, is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

from jaxnn import (
    activations,
    decoding,
    initializers,
    layers,
    losses,
    metrics,
    networks,
    optimizers,
    regularizers,
    training,
)
from jaxnn.networks import Network
from jaxnn.training import make_fit

if TYPE_CHECKING:
    from jaxnn import (
        backprop,
        callbacks,
        check,
        diagnostics,
        interop,
        plots,
        serialization,
        sharding,
        summary,
    )

_LAZY = (
    "backprop", "callbacks", "check", "diagnostics", "interop", "plots", "serialization",
    "sharding", "summary",
)  # fmt: skip

__all__ = [
    "Network", "activations", "backprop", "callbacks", "check", "decoding", "diagnostics",
    "initializers", "interop", "layers", "losses", "make_fit", "metrics", "networks", "optimizers",
    "plots", "regularizers", "serialization", "sharding", "summary", "training",
]  # fmt: skip


def __getattr__(name: str):
    if name in _LAZY:  # what looks at results is loaded when it is first looked for
        return importlib.import_module(f"jaxnn.{name}")
    raise AttributeError(f"module 'jaxnn' has no attribute {name!r}")
