"""Layers as plain functions: `x_init` makes parameters, `x` applies them, `x_vjp` pulls back."""

from jaxnn.layers.convolution import (
    conv,
    conv_init,
    conv_transpose,
    conv_transpose_init,
    conv_transpose_vjp,
    conv_vjp,
)
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
from jaxnn.layers.pooling import (
    average_pool,
    average_pool_vjp,
    global_average_pool,
    global_average_pool_vjp,
    max_pool,
    max_pool_vjp,
)
from jaxnn.layers.stochastic import dropout, dropout_vjp

__all__ = [
    "average_pool", "average_pool_vjp",
    "batch_norm", "batch_norm_init", "batch_norm_vjp",
    "conv", "conv_init", "conv_transpose", "conv_transpose_init", "conv_transpose_vjp", "conv_vjp",
    "dense", "dense_init", "dense_vjp",
    "dropout", "dropout_vjp",
    "global_average_pool", "global_average_pool_vjp",
    "group_norm", "group_norm_init", "group_norm_vjp",
    "layer_norm", "layer_norm_init", "layer_norm_vjp",
    "max_pool", "max_pool_vjp",
    "rms_norm", "rms_norm_init", "rms_norm_vjp",
]  # fmt: skip
