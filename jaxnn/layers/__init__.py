"""Layers as plain functions: `x_init` makes parameters, `x` applies, `x_vjp` pulls back."""

from jaxnn.layers.attention import (
    multi_head_attention,
    multi_head_attention_init,
    multi_head_attention_vjp,
    rotary,
    rotary_vjp,
    scaled_dot_product_attention,
    scaled_dot_product_attention_vjp,
)
from jaxnn.layers.cells import (
    gru_cell,
    gru_cell_vjp,
    gru_init,
    lstm_cell,
    lstm_cell_vjp,
    lstm_init,
    rnn_cell,
    rnn_cell_vjp,
    simple_rnn_init,
)
from jaxnn.layers.convolution import (
    conv,
    conv_init,
    conv_transpose,
    conv_transpose_init,
    conv_transpose_vjp,
    conv_vjp,
)
from jaxnn.layers.embedding import embedding, embedding_init, embedding_vjp, positional_encoding
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
from jaxnn.layers.pooling import (
    average_pool,
    average_pool_vjp,
    global_average_pool,
    global_average_pool_vjp,
    max_pool,
    max_pool_vjp,
)
from jaxnn.layers.radial import radial_basis, radial_basis_init, radial_basis_vjp
from jaxnn.layers.recurrent import (
    bidirectional,
    bidirectional_vjp,
    stacked,
    stacked_vjp,
    unroll,
    unroll_vjp,
)
from jaxnn.layers.sequences import gru, gru_vjp, lstm, lstm_vjp, simple_rnn, simple_rnn_vjp
from jaxnn.layers.stochastic import dropout, dropout_vjp
from jaxnn.layers.trees import (
    tree_lstm,
    tree_lstm_init,
    tree_lstm_vjp,
    tree_rnn,
    tree_rnn_init,
    tree_rnn_vjp,
)

__all__ = [
    "average_pool", "average_pool_vjp", "batch_norm", "batch_norm_init", "batch_norm_vjp",
    "bidirectional", "bidirectional_vjp", "conv", "conv_init", "conv_transpose",
    "conv_transpose_init", "conv_transpose_vjp", "conv_vjp", "dense", "dense_init", "dense_vjp",
    "dropout", "dropout_vjp", "embedding", "embedding_init", "embedding_vjp", "global_average_pool",
    "global_average_pool_vjp", "group_norm", "group_norm_init", "group_norm_vjp", "gru", "gru_cell",
    "gru_cell_vjp", "gru_init", "gru_vjp", "layer_norm", "layer_norm_init", "layer_norm_vjp",
    "lstm", "lstm_cell", "lstm_cell_vjp", "lstm_init", "lstm_vjp", "max_pool", "max_pool_vjp",
    "maxout_dense", "maxout_dense_init", "maxout_dense_vjp", "multi_head_attention",
    "multi_head_attention_init", "multi_head_attention_vjp", "parametric_relu",
    "parametric_relu_init", "parametric_relu_vjp", "positional_encoding", "radial_basis",
    "radial_basis_init", "radial_basis_vjp", "rms_norm", "rms_norm_init", "rms_norm_vjp",
    "rnn_cell", "rnn_cell_vjp", "rotary", "rotary_vjp", "scaled_dot_product_attention",
    "scaled_dot_product_attention_vjp", "simple_rnn", "simple_rnn_init", "simple_rnn_vjp",
    "stacked", "stacked_vjp", "tree_lstm", "tree_lstm_init", "tree_lstm_vjp", "tree_rnn",
    "tree_rnn_init", "tree_rnn_vjp", "unroll", "unroll_vjp",
]  # fmt: skip
