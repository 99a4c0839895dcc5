"""Activation functions, each beside its derivative.

Every activation is a pure function of arrays. Directly below it stands its derivative in
closed form, under one of two names:

    f_grad(x)      for elementwise activations: the array dy/dx, shaped like `x`.
    f_vjp(g, x)    for activations that mix features, such as `softmax`: the cotangent of
                   the input, given the cotangent `g` of the output.

All functions accept any leading axes, keep the dtype of `x` (bfloat16 and float16 are computed
in float32 and rounded once), and may be used under `jit`, `vmap` and any order of `grad`. NaN
in gives NaN out, and infinity gives the limit. Hyperparameters are numbers or arrays that
broadcast against `x`.
"""

from jaxnn.activations.mixing import (
    glu,
    glu_vjp,
    log_softmax,
    log_softmax_vjp,
    maxout,
    maxout_vjp,
    softmax,
    softmax_vjp,
)
from jaxnn.activations.rectified import (
    celu,
    celu_grad,
    elu,
    elu_grad,
    hard_sigmoid,
    hard_sigmoid_grad,
    hard_swish,
    hard_swish_grad,
    leaky_relu,
    leaky_relu_grad,
    prelu,
    prelu_grad,
    relu,
    relu6,
    relu6_grad,
    relu_grad,
    selu,
    selu_grad,
)
from jaxnn.activations.smooth import (
    gelu,
    gelu_grad,
    linear,
    linear_grad,
    log_sigmoid,
    log_sigmoid_grad,
    mish,
    mish_grad,
    sigmoid,
    sigmoid_grad,
    softplus,
    softplus_grad,
    softsign,
    softsign_grad,
    swish,
    swish_grad,
    tanh,
    tanh_grad,
)

__all__ = [
    "celu", "celu_grad", "elu", "elu_grad", "gelu", "gelu_grad", "glu", "glu_vjp",
    "hard_sigmoid", "hard_sigmoid_grad", "hard_swish", "hard_swish_grad", "leaky_relu",
    "leaky_relu_grad", "linear", "linear_grad", "log_sigmoid", "log_sigmoid_grad",
    "log_softmax", "log_softmax_vjp", "maxout", "maxout_vjp", "mish", "mish_grad", "prelu",
    "prelu_grad", "relu", "relu6", "relu6_grad", "relu_grad", "selu", "selu_grad",
    "sigmoid", "sigmoid_grad", "softmax", "softmax_vjp", "softplus", "softplus_grad",
    "softsign", "softsign_grad", "swish", "swish_grad", "tanh", "tanh_grad",
]  # fmt: skip
