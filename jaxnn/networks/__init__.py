"""Architectures: each is a constructor that returns a pair of pure functions."""

from jaxnn.networks._network import Network, StatefulNetwork, with_state
from jaxnn.networks.mlp import batch_norm_mlp, mlp, mlp_vjp
from jaxnn.networks.perceptron import perceptron, perceptron_step
from jaxnn.networks.rbf import k_means, rbf_fit, rbf_interpolate, rbf_network

__all__ = [
    "Network", "StatefulNetwork",
    "batch_norm_mlp",
    "k_means",
    "mlp", "mlp_vjp",
    "perceptron", "perceptron_step",
    "rbf_fit", "rbf_interpolate", "rbf_network",
    "with_state",
]  # fmt: skip
