"""Layers as plain functions: `x_init` makes parameters, `x` applies them, `x_vjp` pulls back."""

from jaxnn.layers.linear import dense, dense_init, dense_vjp
from jaxnn.layers.normalization import (
    batch_norm,
    batch_norm_init,
    batch_norm_vjp,
    group_norm,
    group_norm_init,
    group_norm_vjp,
    layer_norm,
    layer_norm_init,
    layer_norm_vjp,
    rms_norm,
    rms_norm_init,
    rms_norm_vjp,
)
from jaxnn.layers.pieces import (
    maxout_dense,
    maxout_dense_init,
    maxout_dense_vjp,
    parametric_relu,
    parametric_relu_init,
    parametric_relu_vjp,
)
from jaxnn.layers.radial import radial_basis, radial_basis_init, radial_basis_vjp
from jaxnn.layers.stochastic import dropout, dropout_vjp

__all__ = [
    "batch_norm", "batch_norm_init", "batch_norm_vjp",
    "dense", "dense_init", "dense_vjp",
    "dropout", "dropout_vjp",
    "group_norm", "group_norm_init", "group_norm_vjp",
    "layer_norm", "layer_norm_init", "layer_norm_vjp",
    "maxout_dense", "maxout_dense_init", "maxout_dense_vjp",
    "parametric_relu", "parametric_relu_init", "parametric_relu_vjp",
    "radial_basis", "radial_basis_init", "radial_basis_vjp",
    "rms_norm", "rms_norm_init", "rms_norm_vjp",
]  # fmt: skip
