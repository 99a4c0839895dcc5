"""Neural networks as pure functions on JAX, each beside its gradient in closed form.

activations, losses, layers, networks    the blocks, each with its derivative
initializers, regularizers, metrics, optimizers
training, callbacks, sharding            training as one compiled program
serialization, interop                   to files, and to and from Flax; load it when first used
plots                                    pictures; loads matplotlib when first used
summary                                  layers, shapes, costs and structure of any function
"""

import importlib
from typing import TYPE_CHECKING

from jaxnn import (
    activations,
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
    from jaxnn import callbacks, interop, plots, serialization, sharding, summary

_LAZY = ("callbacks", "interop", "plots", "serialization", "sharding", "summary")

__all__ = [
    "Network", "activations", "callbacks", "initializers", "interop", "layers", "losses",
    "make_fit", "metrics", "networks", "optimizers", "plots", "regularizers", "serialization",
    "sharding", "summary", "training",
]  # fmt: skip


def __getattr__(name: str):
    if name in _LAZY:  # what looks at results is loaded when it is first looked for
        return importlib.import_module(f"jaxnn.{name}")
    raise AttributeError(f"module 'jaxnn' has no attribute {name!r}")
