r"""Convolution and transposed convolution over one, two or three spatial axes.

With windows \( w \) (see `_windows.py`), the patches \( P_{p t i} = x_{s p + d t - pad,\ i} \)
turn a convolution into one matrix product, over taps t and input features i:

.. math:: y_{p o} = \sum_{t, i} P_{p t i} W_{t i o} + b_o

so both gradients are those of a dense layer, and what is left is to put the patches back:

.. math:: \partial W_{t i o} = \sum_p P_{p t i}\, g_{p o}, \qquad
          \partial P_{p t i} = \sum_o g_{p o} W_{t i o}, \qquad
          \partial x_q = \sum_{s p + d t - pad = q} \partial P_{p t}

The last line is itself a transposed convolution: `conv_transpose` runs the same relation
from outputs to inputs. Like every deep-learning library we do not flip the kernel.

On a CPU, `conv` runs just as it stands here, as patches times kernel, because XLA's own
convolution gradients are tens of times slower inside compiled loops there; on accelerators it
is XLA's convolution.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn import _checks
from jaxnn.initializers import Initializer, he_normal
from jaxnn.layers._windows import Windows, overlay, pairs, patches, per_axis, sizes_of, windows

__all__ = [
    "conv", "conv_init", "conv_transpose", "conv_transpose_init", "conv_transpose_vjp",
    "conv_vjp",
]  # fmt: skip

Padding = str | Sequence[tuple[int, int]]


def conv_init(
    key: Array,
    kernel_size: Sequence[int],
    inputs: int,
    outputs: int,
    kernel_init: Initializer = he_normal(),
    *,
    groups: int = 1,
    use_bias: bool = True,
) -> dict[str, Array]:
    """Parameters of `conv`: a drawn kernel and a bias of zeros.

    Args:
        key: the source of the kernel.
        kernel_size: taps along each spatial axis; its length says how many axes there are.
        inputs: features of the input.
        outputs: features of the output.
        kernel_init: how to draw the kernel.
        groups: into how many groups the features are divided; `inputs` of them, each with its
            own kernel, are a depthwise convolution.
        use_bias: whether there is a bias. Leave it out before a batch normalization.

    Returns:
        `{"kernel": [*kernel_size, inputs / groups, outputs], "bias": [outputs]}`, which are
        also the parameters of `flax.linen.Conv`.

    Raises:
        ValueError: if a size is not positive, or `groups` does not divide the features.
        TypeError: if `kernel_size` is no sequence of integers.

    Example:
        >>> params = conv_init(jax.random.key(0), (3, 3), 1, 8)
        >>> params["kernel"].shape, params["bias"].shape
        ((3, 3, 1, 8), (8,))
    """
    _checks.sizes("conv_init", inputs=inputs, outputs=outputs, groups=groups)
    kernel_size = sizes_of("conv_init", "kernel_size", kernel_size)
    if inputs % groups or outputs % groups:
        raise ValueError(
            f"conv_init: groups must divide the features, got {groups} groups, {inputs} inputs "
            f"and {outputs} outputs. Take a common divisor."
        )
    return _params(key, (*kernel_size, inputs // groups, outputs), kernel_init, use_bias)


def conv(
    params: dict[str, Array],
    x: Array,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Array:
    r"""Convolution, \( y_{p o} = \sum_{t i} x_{s p + d t - pad,\ i} W_{t i o} + b_o \).

    Args:
        params: `kernel` `[*taps, inputs / groups, outputs]` and, where there is one, `bias`.
        x: inputs, `[..., *spatial, inputs]`, with as many spatial axes as the kernel has.
        strides: steps between windows, one number or one per axis.
        padding: `"SAME"` (as many windows as inputs, divided by the stride), `"VALID"` (none),
            `"CAUSAL"` (one axis: no window sees what comes after it), or pairs `(low, high)`.
        dilation: steps between the taps of a window.
        groups: how many groups of features have nothing to do with each other.

    Returns:
        Outputs, `[..., *windows, outputs]`.

    Raises:
        ValueError: if shapes, options and parameters don't fit together.
        TypeError: if `x` does not hold floats.

    Example:
        >>> params = {"kernel": jnp.array([1.0, 2.0, 3.0])[:, None, None]}
        >>> conv(params, jnp.array([1.0, 0.0, 0.0, 1.0])[:, None])[:, 0]
        Array([2., 1., 3., 2.], dtype=float32)

    Reference:
        LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
        recognition", Proceedings of the IEEE 1998.
    """
    kernel = params["kernel"]
    at = _windows("conv", kernel, x, strides, padding, dilation, groups)
    with jax.named_scope("conv"):
        rows = x.reshape(-1, *x.shape[-len(at.window) - 1 :])
        y = _convolve(rows, kernel, at, groups)
        y = y.reshape(*_leading(x, at), *y.shape[1:])
        return y + params["bias"] if "bias" in params else y


def conv_vjp(
    g: Array,
    params: dict[str, Array],
    x: Array,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> tuple[dict[str, Array], Array]:
    r"""Pulls the cotangent `g` of the output back through `conv`.

    1. Cut the input into patches P, as the forward pass did.
    2. A kernel tap met every patch: \( \partial W_{t i o} = \sum_p P_{p t i}\, g_{p o} \), and
       \( \partial b_o = \sum_p g_{p o} \).
    3. A patch met every kernel tap: \( \partial P_{p t i} = \sum_o g_{p o} W_{t i o} \).
    4. An input entry stands in several patches, whose cotangents add up:
       \( \partial x_q = \sum_{(p, t):\ s p + d t - pad = q} \partial P_{p t} \).

    Groups do this each for its own features.

    Returns:
        The cotangents of the parameters, shaped like `params`, and of `x`.
    """
    kernel = params["kernel"]
    at = _windows("conv_vjp", kernel, x, strides, padding, dilation, groups)
    _checks.cotangent("conv_vjp", g, (*_leading(x, at), *at.outputs, kernel.shape[-1]))
    rows = x.reshape(-1, *x.shape[-len(at.window) - 1 :])
    P = _grouped(patches(rows, at), groups)
    W = _taps(kernel, groups)
    errors = g.reshape(-1, groups, kernel.shape[-1] // groups)

    grads = {"kernel": jnp.einsum("ptgi,pgo->tigo", P, errors).reshape(kernel.shape)}
    if "bias" in params:
        grads["bias"] = g.reshape(-1, kernel.shape[-1]).sum(0)
    in_patches = jnp.einsum("pgo,tigo->ptgi", errors, W)
    in_patches = in_patches.reshape(len(rows), *at.outputs, at.taps, x.shape[-1])
    return grads, overlay(in_patches, at).reshape(x.shape)


def conv_transpose_init(
    key: Array,
    kernel_size: Sequence[int],
    inputs: int,
    outputs: int,
    kernel_init: Initializer = he_normal(),
    *,
    use_bias: bool = True,
) -> dict[str, Array]:
    """Parameters of `conv_transpose`: a drawn kernel and a bias of zeros.

    Args:
        key: the source of the kernel.
        kernel_size: taps along each spatial axis.
        inputs: features of the input.
        outputs: features of the output.
        kernel_init: how to draw the kernel.
        use_bias: whether there is a bias.

    Returns:
        `{"kernel": [*kernel_size, inputs, outputs], "bias": [outputs]}`, which are also the
        parameters of `flax.linen.ConvTranspose`.

    Raises:
        ValueError: if a size is not positive.
        TypeError: if `kernel_size` is no sequence of integers.

    Example:
        >>> conv_transpose_init(jax.random.key(0), (4, 4), 8, 1)["kernel"].shape
        (4, 4, 8, 1)
    """
    _checks.sizes("conv_transpose_init", inputs=inputs, outputs=outputs)
    kernel_size = sizes_of("conv_transpose_init", "kernel_size", kernel_size)
    return _params(key, (*kernel_size, inputs, outputs), kernel_init, use_bias)


def conv_transpose(
    params: dict[str, Array],
    x: Array,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    dilation: int | Sequence[int] = 1,
) -> Array:
    r"""Transposed convolution: every input entry lays down a scaled copy of the kernel.

    .. math:: y_{q o} = \sum_{(p, t):\ s p + d t - pad = q} x_{p i} W_{(k - 1 - t)\, i\, o} + b_o

    It goes where the gradient of a convolution goes, from small to large: a stride s makes the
    output s times as large. The taps are in the order of Flax and Keras, last one first.

    Args:
        params: `kernel` `[*taps, inputs, outputs]` and, where there is one, `bias` `[outputs]`.
        x: inputs, `[..., *spatial, inputs]`.
        strides: steps between the copies.
        padding: `"SAME"` (output s times the input), `"VALID"` (all that the copies cover), or
            pairs `(low, high)` as `lax.conv_transpose` counts them: d (k - 1) on both sides
            keeps everything.
        dilation: steps between the taps of a copy.

    Returns:
        Outputs, `[..., *spatial, outputs]`.

    Raises:
        ValueError: if shapes, options and parameters don't fit together.
        TypeError: if `x` does not hold floats.

    Example:
        >>> params = {"kernel": jnp.array([1.0, 2.0])[:, None, None]}
        >>> conv_transpose(params, jnp.array([1.0, 0.0, 3.0])[:, None], strides=2)[:, 0]
        Array([2., 1., 0., 0., 6., 3.], dtype=float32)

    Reference:
        Zeiler, Krishnan, Taylor and Fergus, "Deconvolutional networks", CVPR 2010.
    """
    kernel = params["kernel"]
    at, pads = _outward("conv_transpose", kernel, x, strides, padding, dilation)
    with jax.named_scope("conv_transpose"):
        rows = x.reshape(-1, *x.shape[-len(at.window) - 1 :])
        y = _lay_down(rows, kernel, at, pads)
        y = y.reshape(*_leading(x, at), *y.shape[1:])
        return y + params["bias"] if "bias" in params else y


def conv_transpose_vjp(
    g: Array,
    params: dict[str, Array],
    x: Array,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    dilation: int | Sequence[int] = 1,
) -> tuple[dict[str, Array], Array]:
    r"""Pulls the cotangent `g` of the output back through `conv_transpose`.

    Each input entry met one patch of the output. With G the patches of g, and W its taps in
    reverse: \( \partial x_{p i} = \sum_{t, o} G_{p t o} W_{t i o} \), which is a convolution of g,
    and \( \partial W_{t i o} = \sum_p x_{p i} G_{p t o} \).

    Returns:
        The cotangents of the parameters, shaped like `params`, and of `x`.
    """
    kernel = params["kernel"]
    at, _ = _outward("conv_transpose_vjp", kernel, x, strides, padding, dilation)
    _checks.cotangent("conv_transpose_vjp", g, (*_leading(x, at), *at.inputs, kernel.shape[-1]))
    G = patches(g.reshape(-1, *at.inputs, kernel.shape[-1]), at)
    G = G.reshape(-1, at.taps, kernel.shape[-1])
    rows = x.reshape(-1, x.shape[-1])
    in_kernel = jnp.einsum("pi,pto->tio", rows, G).reshape(kernel.shape)
    grads = {"kernel": _reversed(in_kernel)}
    if "bias" in params:
        grads["bias"] = g.reshape(-1, kernel.shape[-1]).sum(0)
    W = _reversed(kernel).reshape(at.taps, *kernel.shape[-2:])
    return grads, jnp.einsum("pto,tio->pi", G, W).reshape(x.shape)


def _params(key, shape, kernel_init, use_bias):
    dtype = jnp.result_type(float)
    params = {"kernel": kernel_init(key, shape, dtype)}
    return params | {"bias": jnp.zeros(shape[-1], dtype)} if use_bias else params


def _windows(function, kernel, x, strides, padding, dilation, groups) -> Windows:
    _checks.floating(function, x=x)
    _checks.sizes(function, groups=groups)
    _checks.last_axis(function, kernel.shape[-2] * groups, x=x)
    if kernel.shape[-1] % groups:
        raise ValueError(
            f"{function}: groups must divide the outputs, got {groups} groups and "
            f"{kernel.shape[-1]} outputs. Pass the groups the kernel was made for."
        )
    return windows(function, x.shape, kernel.shape[:-2], strides, padding, dilation)


def _outward(function, kernel, x, strides, padding, dilation):
    """The windows that cover the output, one of them for each entry of the input."""
    _checks.floating(function, x=x)
    _checks.last_axis(function, kernel.shape[-2], x=x)
    window = kernel.shape[:-2]
    rank = len(window)
    inputs = windows(function, x.shape, (1,) * rank, 1, "VALID").outputs  # checks the rank
    strides = per_axis(function, "strides", strides, rank)
    dilation = per_axis(function, "dilation", dilation, rank)
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, window, strict=True)]
    if padding == "VALID":
        pads = [(span - 1, max(span, s) - 1) for span, s in zip(spans, strides, strict=True)]
    elif padding == "SAME":
        pads = [_same(span, s) for span, s in zip(spans, strides, strict=True)]
    else:
        pads = list(pairs(function, padding, rank, "'SAME', 'VALID'"))
    every = list(zip(inputs, strides, spans, pads, strict=True))
    outputs = tuple((n - 1) * s + sum(pad) - span + 2 for n, s, span, pad in every)
    if min(outputs) < 1 or any(max(pad) >= max(span, s) for _, s, span, pad in every):
        raise ValueError(
            f"{function}: padding must leave an output and be less than the span of the kernel, "
            f"{tuple(spans)}, got {pads} for inputs {inputs}. Pass 'SAME' or 'VALID'."
        )
    cut = tuple((span - 1 - low, span - 1 - high) for _, _, span, (low, high) in every)
    return Windows(window, strides, dilation, cut, outputs, inputs), tuple(pads)


def _same(span, stride):
    total = span + stride - 2
    low = span - 1 if stride > span - 1 else -(-total // 2)
    return low, total - low


def _leading(x, at):
    return x.shape[: -len(at.window) - 1]


def _layout(at):
    spatial = "DHW"[-len(at.window) :]
    return f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"


def _taps(kernel, groups):
    """The kernel as `[taps, inputs / groups, groups, outputs / groups]`."""
    return kernel.reshape(-1, kernel.shape[-2], groups, kernel.shape[-1] // groups)


def _grouped(seen, groups):
    """Patches as `[all positions, taps, groups, inputs / groups]`."""
    return seen.reshape(-1, seen.shape[-2], groups, seen.shape[-1] // groups)


def _reversed(kernel):
    return jnp.flip(kernel, range(kernel.ndim - 2))


# Jitted, so that a call outside of `jit` does not trace both branches again.
@partial(jax.jit, static_argnames=("at", "groups"))
def _convolve(x, kernel, at, groups):
    by_patches = partial(_by_patches, at=at, groups=groups)
    return lax.platform_dependent(
        x,
        kernel,
        cpu=by_patches,
        default=lambda x, kernel: lax.conv_general_dilated(
            x,
            kernel,
            at.strides,
            at.pads,
            rhs_dilation=at.dilation,
            dimension_numbers=_layout(at),
            feature_group_count=groups,
        ),
    )


def _by_patches(x, kernel, at, groups):
    P = patches(x, at)
    if groups == 1:
        y = P.reshape(-1, kernel[..., 0].size) @ kernel.reshape(-1, kernel.shape[-1])
    else:
        y = jnp.einsum("ptgi,tigo->pgo", _grouped(P, groups), _taps(kernel, groups))
    return y.reshape(len(x), *at.outputs, kernel.shape[-1])


@partial(jax.jit, static_argnames=("at", "pads"))
def _lay_down(x, kernel, at, pads):
    return lax.platform_dependent(
        x,
        kernel,
        cpu=partial(_by_copies, at=at),
        default=lambda x, kernel: lax.conv_transpose(
            x,
            kernel,
            at.strides,
            pads,
            rhs_dilation=at.dilation,
            dimension_numbers=_layout(at),
        ),
    )


def _by_copies(x, kernel, at):
    W = _reversed(kernel).reshape(at.taps, *kernel.shape[-2:])
    copies = jnp.einsum("pi,tio->pto", x.reshape(-1, x.shape[-1]), W)
    return overlay(copies.reshape(len(x), *at.outputs, at.taps, kernel.shape[-1]), at)
