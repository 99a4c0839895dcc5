"""Architectures: each is a constructor that returns a pair of pure functions."""

from jaxnn.layers.tree_shapes import Tree, pack_trees
from jaxnn.networks._network import Network, StatefulNetwork, with_state
from jaxnn.networks.autoencoder import (
    Autoencoder,
    autoencoder,
    convolutional_autoencoder,
    variational_autoencoder,
)
from jaxnn.networks.cnn import batch_norm_cnn, cnn
from jaxnn.networks.gan import GANState, gan, gan_step
from jaxnn.networks.map_measures import (
    best_matching_unit,
    quantization_error,
    som_hits,
    topographic_error,
    u_matrix,
)
from jaxnn.networks.mlp import batch_norm_mlp, mlp, mlp_vjp
from jaxnn.networks.perceptron import perceptron, perceptron_step
from jaxnn.networks.rbf import k_means, rbf_fit, rbf_interpolate, rbf_network
from jaxnn.networks.recurrent import gru, lstm, rnn
from jaxnn.networks.recursive import recursive_network
from jaxnn.networks.resnet import resnet
from jaxnn.networks.self_organizing_map import (
    self_organizing_map,
    som_batch_step,
    som_from_plane,
    som_from_samples,
    som_step,
)
from jaxnn.networks.siamese import sample_triplets, siamese
from jaxnn.networks.transformer import (
    Transformer,
    sequence_to_sequence,
    transformer,
    transformer_encoder,
)

__all__ = [
    "Autoencoder", "GANState", "Network", "StatefulNetwork", "Transformer", "Tree", "autoencoder",
    "batch_norm_cnn", "batch_norm_mlp", "best_matching_unit", "cnn", "convolutional_autoencoder",
    "gan", "gan_step", "gru", "k_means", "lstm", "mlp", "mlp_vjp", "pack_trees", "perceptron",
    "perceptron_step", "quantization_error", "rbf_fit", "rbf_interpolate", "rbf_network",
    "recursive_network", "resnet", "rnn", "sample_triplets", "self_organizing_map",
    "sequence_to_sequence", "siamese", "som_batch_step", "som_from_plane", "som_from_samples",
    "som_hits", "som_step", "topographic_error", "transformer", "transformer_encoder", "u_matrix",
    "variational_autoencoder", "with_state",
]  # fmt: skip
