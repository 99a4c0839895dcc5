"""Neural networks as pure functions on JAX, each beside its gradient in closed form.

activations, losses, layers, networks    the blocks, each with its derivative
initializers, regularizers, metrics, optimizers
training, callbacks                      training as one compiled program
backprop                                 both passes of a network, with every number
plots                                    pictures; loads matplotlib when first used
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
    from jaxnn import backprop, callbacks, plots

_LAZY = ("backprop", "callbacks", "plots")

__all__ = [
    "Network", "activations", "backprop", "callbacks", "initializers", "layers", "losses",
    "make_fit", "metrics", "networks", "optimizers", "plots", "regularizers", "training",
]  # fmt: skip


def __getattr__(name: str):
    if name in _LAZY:  # what looks at results is loaded when it is first looked for
        return importlib.import_module(f"jaxnn.{name}")
    raise AttributeError(f"module 'jaxnn' has no attribute {name!r}")
