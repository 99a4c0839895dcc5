"""Architectures: each is a constructor that returns a pair of pure functions."""

from jaxnn.networks._network import Network, StatefulNetwork, with_state
from jaxnn.networks.mlp import batch_norm_mlp, mlp, mlp_vjp
from jaxnn.networks.perceptron import perceptron, perceptron_step
from jaxnn.networks.rbf import k_means, rbf_fit, rbf_interpolate, rbf_network
from jaxnn.networks.self_organizing_map import (
    best_matching_unit,
    quantization_error,
    self_organizing_map,
    som_batch_step,
    som_from_plane,
    som_from_samples,
    som_hits,
    som_step,
    topographic_error,
    u_matrix,
)

__all__ = [
    "Network", "StatefulNetwork",
    "batch_norm_mlp",
    "best_matching_unit",
    "k_means",
    "mlp", "mlp_vjp",
    "perceptron", "perceptron_step",
    "quantization_error",
    "rbf_fit", "rbf_interpolate", "rbf_network",
    "self_organizing_map",
    "som_batch_step", "som_from_plane", "som_from_samples", "som_hits", "som_step",
    "topographic_error",
    "u_matrix",
    "with_state",
]  # fmt: skip
