"""Floating point operations of one primitive, counted as XLA counts them.

A product of matrices or a convolution has two per multiplication, a reduction one per entry
but the first, whatever else is arithmetic one per entry of the output. Transcendental functions
(exp, log, tanh, powers, roots) are no floating point operations there, and moving data is free.
Random bits are not counted. Of what XLA calls from a library the usual counts are taken: a Fourier
transform of n complex numbers has 5 n log2(n), of n real ones half of it.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax.extend import core

# One operation per entry of the output.
ARITHMETIC = {
    "abs", "add", "add_any", "and", "ceil", "clamp", "convert_element_type", "div", "eq", "floor",
    "ge", "gt", "is_finite", "le", "lt", "max", "min", "mul", "ne", "neg", "nextafter", "not",
    "or", "rem", "round", "select_n", "shift_left", "shift_right_arithmetic",
    "shift_right_logical", "sign", "square", "sub", "xor",
}  # fmt: skip
CUMULATIVE = {"cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"}
# They show one value in another shape, and take no memory.
VIEWS = {
    "broadcast_in_dim", "copy", "copy_p", "enter", "expand_dims", "reshape", "rev",
    "squeeze", "stop_gradient", "transpose",
}  # fmt: skip
TRANSCENDENTAL = {
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "cos", "cosh", "erf",
    "erf_inv", "erfc", "exp", "exp2", "expm1", "lgamma", "log", "log1p", "logistic", "pow",
    "rsqrt", "sin", "sinh", "sqrt", "tan", "tanh",
}  # fmt: skip
# They take many operations; how many, only their implementations know.
UNCOUNTED = {
    "approx_top_k", "cholesky_update", "custom_linear_solve", "dot_product_attention_bwd_wrapper",
    "dot_product_attention_fwd_wrapper", "eig", "eigh", "ffi_call", "geqp3", "geqrf", "hessenberg",
    "householder_product", "io_callback", "lu", "ormqr", "pure_callback", "qr", "scaled_dot",
    "scaled_matmul_wrapper", "schur", "svd", "symmetric_product", "top_k", "tridiagonal",
    "tridiagonal_solve",
}  # fmt: skip


def flops(eqn) -> int | None:
    """Floating point operations of one step of a jaxpr; None where they are not known."""
    kind, size = eqn.primitive.name, lambda v: math.prod(v.aval.shape)
    entries = size(eqn.outvars[0]) if eqn.outvars else 0
    if kind in ARITHMETIC:
        return entries
    if kind == "dot_general":
        (axes, _), _ = eqn.params["dimension_numbers"]
        return 2 * entries * math.prod(eqn.invars[0].aval.shape[i] for i in axes)
    if kind == "conv_general_dilated":
        return _convolution(eqn)
    if kind == "ragged_dot_general":
        return _ragged(eqn)
    if kind == "fft":
        return _fourier(eqn)
    if kind == "cholesky":
        return entries * eqn.outvars[0].aval.shape[-1] // 3
    if kind == "triangular_solve":
        return entries * eqn.invars[0].aval.shape[-1]
    if kind == "logistic":
        return 3 * entries  # 1 / (1 + exp(-x)), without the exponential
    if kind == "integer_pow":
        power = abs(eqn.params["y"])
        squarings = max(power.bit_length() - 1, 0)
        return entries * (squarings + max(power.bit_count() - 1, 0) + (eqn.params["y"] < 0))
    if kind.startswith(("reduce_window", "select_and")):
        return entries * (math.prod(eqn.params["window_dimensions"]) - 1)
    if kind.startswith(("reduce_", "argmax", "argmin")) and kind != "reduce_precision":
        return size(eqn.invars[0]) - entries
    if kind in CUMULATIVE:
        return entries
    if kind.startswith("scatter"):
        return size(eqn.invars[2]) if kind != "scatter" else 0
    if kind == "sort":
        length = eqn.invars[0].aval.shape[eqn.params["dimension"]]
        return entries * math.ceil(math.log2(max(length, 2)))
    opaque = any(isinstance(v, core.ClosedJaxpr | core.Jaxpr) for v in eqn.params.values())
    return None if opaque or kind in UNCOUNTED else 0


def _ragged(eqn):
    """Each row meets the matrix of its own group alone."""
    numbers = eqn.params["ragged_dot_dimension_numbers"]
    (axes, _), _ = numbers.dot_dimension_numbers
    x, groups = (eqn.invars[i].aval.shape for i in (0, 2))
    products = math.prod(eqn.outvars[0].aval.shape) * math.prod(x[i] for i in axes)
    summed = set(numbers.lhs_ragged_dimensions) <= set(axes)  # over the rows of each group
    return 2 * products // (groups[-1] if summed else 1)


def _fourier(eqn):
    lengths, x, y = eqn.params["fft_lengths"], eqn.invars[0].aval, eqn.outvars[0].aval
    n, batch = math.prod(lengths), math.prod(x.shape[: x.ndim - len(lengths)])
    real = not all(jnp.issubdtype(aval.dtype, jnp.complexfloating) for aval in (x, y))
    return round((2.5 if real else 5) * batch * n * math.log2(max(n, 1)))


def _convolution(eqn):
    """Taps that fall on padding or between dilated entries are no multiplications."""
    p = eqn.params
    x, kernel = (v.aval.shape for v in eqn.invars)
    numbers = p["dimension_numbers"]
    valid = 1
    for i, (low, _) in enumerate(p["padding"]):
        inputs, taps = x[numbers.lhs_spec[2 + i]], kernel[numbers.rhs_spec[2 + i]]
        windows = eqn.outvars[0].aval.shape[numbers.out_spec[2 + i]]
        spread, stride = p["lhs_dilation"][i], p["window_strides"][i]
        starts = np.arange(windows)[:, None] * stride - low
        places = starts + np.arange(taps) * p["rhs_dilation"][i]
        inside = (places >= 0) & (places <= (inputs - 1) * spread) & (places % spread == 0)
        valid *= int(inside.sum())
    batch = x[numbers.lhs_spec[0]] // p["batch_group_count"]
    features = kernel[numbers.rhs_spec[0]] * kernel[numbers.rhs_spec[1]]
    return 2 * valid * batch * features
