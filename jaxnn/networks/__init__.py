"""Architectures: each is a constructor that returns a pair of pure functions."""

from jaxnn.layers.tree_shapes import Tree, pack_trees
from jaxnn.networks._network import Network, StatefulNetwork, with_state
from jaxnn.networks.mlp import batch_norm_mlp, mlp, mlp_vjp
from jaxnn.networks.perceptron import perceptron, perceptron_step
from jaxnn.networks.recursive import recursive_network

__all__ = [
    "Network", "StatefulNetwork", "Tree",
    "batch_norm_mlp",
    "mlp", "mlp_vjp",
    "pack_trees",
    "perceptron", "perceptron_step",
    "recursive_network",
    "with_state",
]  # fmt: skip
