r"""Normalization layers: batch, layer, group, and root mean square.

All but the last compute, over the axes that are theirs,

.. math:: \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}, \qquad
          \mu = \mathrm{mean}(x), \quad \sigma^2 = \mathrm{mean}((x - \mu)^2)

and return \( y = \gamma \hat x + \beta \) with a learned `scale` \( \gamma \) and `bias`
\( \beta \) for each feature. Their gradient is one formula as well: with the cotangent
\( h = g \gamma \) of \( \hat x \),

.. math:: \partial x = \frac{h - \mathrm{mean}(h) - \hat x\, \mathrm{mean}(h \hat x)}
          {\sqrt{\sigma^2 + \epsilon}}, \qquad
          \partial\gamma = \sum g \hat x, \quad \partial\beta = \sum g

The variance is the biased one (divided by n, not n - 1), as in Flax and Keras.

Accuracy does not come from these formulas as they stand but from the order of operations in
`_normalize.py`, which automatic differentiation inherits; so the closed forms below are here
to be read and tested, and none is installed. Everything is computed in float32 or wider and
rounded once to the dtype of `x`.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn import _checks
from jaxnn.layers._normalize import (
    by_root_mean_square,
    by_root_mean_square_vjp,
    inverse_root,
    normalize,
    normalize_vjp,
)

__all__ = [
    "batch_norm", "batch_norm_init", "batch_norm_vjp",
    "group_norm", "group_norm_init", "group_norm_vjp",
    "layer_norm", "layer_norm_init", "layer_norm_vjp",
    "rms_norm", "rms_norm_init", "rms_norm_vjp",
]  # fmt: skip


def _wide(x):
    return x.astype(_checks.wide(x.dtype))


def _affine(params, normalized, dtype):
    return _shifted(params, normalized * params["scale"].astype(normalized.dtype), dtype)


def _shifted(params, scaled, dtype):
    if "bias" in params:
        scaled = scaled + params["bias"].astype(scaled.dtype)
    return scaled.astype(dtype)


def _affine_vjp(g, params, normalized):
    """Cotangents of the parameters and of the normalized input."""
    rows = tuple(range(g.ndim - 1))
    grads = {"scale": (g * normalized).sum(rows)}
    if "bias" in params:
        grads["bias"] = g.sum(rows)
    grads = {name: grad.astype(params[name].dtype) for name, grad in grads.items()}
    return grads, g * params["scale"].astype(g.dtype)


def _check(function, params, x, epsilon):
    """`epsilon`, after a look at all; NaN where it can't be and is traced."""
    _checks.floating(function, x=x)
    _checks.last_axis(function, params["scale"].shape[0], x=x)
    return _checks.non_negative(function, "Pass a small number.", epsilon=epsilon)


def batch_norm_init(key: Array, features: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """Parameters and statistics of `batch_norm`.

    Args:
        key: not used, as nothing is drawn; every `_init` takes one.
        features: size of the last axis.

    Returns:
        The parameters `{"scale": ones, "bias": zeros}` and the running statistics
        `{"mean": zeros, "var": ones}`, all `[features]`: the two collections of
        `flax.linen.BatchNorm`.

    Example:
        >>> params, statistics = batch_norm_init(jax.random.key(0), 2)
        >>> statistics["var"]
        Array([1., 1.], dtype=float32)
    """
    statistics = {"mean": jnp.zeros(features), "var": jnp.ones(features)}
    return layer_norm_init(key, features), statistics


def batch_norm(
    params: dict[str, Array],
    statistics: dict[str, Array],
    x: Array,
    *,
    train: bool,
    momentum: float = 0.99,
    epsilon: float = 1e-5,
) -> tuple[Array, dict[str, Array]]:
    r"""Batch normalization: each feature to mean 0 and variance 1 over the batch.

    In training, mean and variance are those of the batch, over all axes but the last, and
    the running statistics follow them:

    .. math:: \hat\mu \leftarrow m \hat\mu + (1 - m)\, \mu, \qquad
              \hat v \leftarrow m \hat v + (1 - m)\, \sigma^2

    Otherwise the running statistics are used, and left as they are. The running variance is
    of the biased variances, as in Flax and Keras; PyTorch multiplies them by n / (n - 1), and
    its `momentum` is our 1 - m. No gradient reaches the statistics. An empty batch leaves
    them as they are. Keep them in float32: in bfloat16 an update of 1 % is rounded away. (A
    variance beyond 3e38 is infinite there, though training itself does not need it.)

    Args:
        params: `scale` and `bias`, `[features]`.
        statistics: running `mean` and `var`, `[features]`.
        x: `[..., features]`.
        train: whether to use, and record, the statistics of this batch. A Python bool.
        momentum: m, the weight of the past in the running statistics.
        epsilon: added to the variance.

    Returns:
        The normalized batch, shaped like `x`, and the new statistics.

    Raises:
        ValueError: if `x` does not end in an axis of size `features`, `epsilon` < 0, or
            `momentum` is outside [0, 1].
        TypeError: if `x` does not hold floats, or `train` is no bool.

    Example:
        >>> params, statistics = batch_norm_init(jax.random.key(0), 1)
        >>> x = jnp.array([[1.0], [3.0]])
        >>> y, statistics = batch_norm(params, statistics, x, train=True)
        >>> y.round(3)
        Array([[-1.],
               [ 1.]], dtype=float32)
        >>> statistics["mean"].round(3)
        Array([0.02], dtype=float32)

    Reference:
        Ioffe and Szegedy, "Batch normalization: accelerating deep network training by
        reducing internal covariate shift", ICML 2015.
    """
    epsilon = _check("batch_norm", params, x, epsilon)
    _checks.boolean("batch_norm", train=train)
    momentum = _checks.probability("batch_norm", momentum=momentum)
    _checks.last_axis("batch_norm", x.shape[-1], mean=statistics["mean"], var=statistics["var"])
    with jax.named_scope("batch_norm"):
        statistics = lax.stop_gradient(statistics)
        if not (train and x.size):
            centred, factor = _by_running(statistics, x, epsilon)
            # The factors first: x = 3e38 over a deviation below 1 would leave the range, though
            # a small scale brings it back. In rows, so that its gradient is summed last.
            scale = jnp.broadcast_to(params["scale"].astype(factor.dtype), centred.shape)
            return _shifted(params, centred * (factor * scale), x.dtype), statistics
        normalized, batch, _ = _by_batch(x, epsilon)
        follow = lambda old, new: momentum * old.astype(new.dtype) + (1 - momentum) * new
        statistics = {
            name: follow(old, batch[name]).astype(old.dtype) for name, old in statistics.items()
        }
        return _affine(params, normalized, x.dtype), statistics


def _by_batch(x, epsilon):
    """Normalized `x`, the statistics of the batch, and `divide`."""
    axes = tuple(range(x.ndim - 1))
    normalized, mean, variance, divide = normalize(_wide(x), axes, epsilon)
    batch = {"mean": mean.reshape(-1), "var": variance.reshape(-1)}
    return normalized, lax.stop_gradient(batch), divide


def _by_running(statistics, x, epsilon):
    """`x` less the running mean, and the factor that normalizes it."""
    wide = _wide(x)
    factor = inverse_root(statistics["var"].astype(wide.dtype), epsilon)
    return wide - statistics["mean"].astype(wide.dtype), factor


def batch_norm_vjp(
    g: Array,
    params: dict[str, Array],
    statistics: dict[str, Array],
    x: Array,
    *,
    train: bool,
    epsilon: float = 1e-5,
) -> tuple[dict[str, Array], Array]:
    r"""Pulls the cotangent `g` of the first output back through `batch_norm`.

    In training, with \( h = g \gamma \) and means over the batch, \( \partial x =
    (h - \mathrm{mean}(h) - \hat x\, \mathrm{mean}(h \hat x)) / \sqrt{\sigma^2 + \epsilon} \):
    what would change only mean or variance of a feature changes nothing. With the running
    statistics, which are constants, \( \partial x = h / \sqrt{\hat v + \epsilon} \).

    Returns:
        The cotangents of the parameters and of `x`.
    """
    epsilon = _check("batch_norm_vjp", params, x, epsilon)
    _checks.boolean("batch_norm_vjp", train=train)
    _checks.cotangent("batch_norm_vjp", g, x.shape)
    if not (train and x.size):
        centred, factor = _by_running(statistics, x, epsilon)
        grads, h = _affine_vjp(_wide(g), params, centred * factor)
        return grads, (h * factor).astype(x.dtype)
    normalized, _, divide = _by_batch(x, epsilon)
    grads, h = _affine_vjp(_wide(g), params, normalized)
    axes = tuple(range(x.ndim - 1))
    return grads, normalize_vjp(h, normalized, divide, axes).astype(x.dtype)


def layer_norm_init(key: Array, features: int) -> dict[str, Array]:
    """Parameters of `layer_norm`.

    Args:
        key: not used, as nothing is drawn; every `_init` takes one.
        features: size of the last axis.

    Returns:
        `{"scale": ones, "bias": zeros}`, both `[features]`.

    Example:
        >>> layer_norm_init(jax.random.key(0), 2)
        {'scale': Array([1., 1.], dtype=float32), 'bias': Array([0., 0.], dtype=float32)}
    """
    _checks.sizes("layer_norm_init", features=features)
    return {"scale": jnp.ones(features), "bias": jnp.zeros(features)}


def layer_norm(params: dict[str, Array], x: Array, epsilon: float = 1e-6) -> Array:
    r"""Layer normalization: each example to mean 0 and variance 1 over its features.

    .. math:: y = \gamma\, \frac{x - \mathrm{mean}(x)}{\sqrt{\mathrm{var}(x) + \epsilon}} + \beta

    Unlike `batch_norm` it needs no other examples, and so no statistics.

    Args:
        params: `scale` and `bias`, `[features]`.
        x: `[..., features]`.
        epsilon: added to the variance: 1e-6 as in Flax; PyTorch takes 1e-5, Keras 1e-3.

    Returns:
        An array shaped like `x`.

    Raises:
        ValueError: if `x` does not end in an axis of size `features`, or `epsilon` < 0.
        TypeError: if `x` does not hold floats.

    Example:
        >>> params = layer_norm_init(jax.random.key(0), 4)
        >>> y = layer_norm(params, jnp.array([1e4, 1e4 + 1, 1e4 + 2, 1e4 + 3]))
        >>> print(np.round(y.tolist(), 2))
        [-1.34 -0.45  0.45  1.34]

    Reference:
        Ba, Kiros and Hinton, "Layer normalization", 2016.
    """
    epsilon = _check("layer_norm", params, x, epsilon)
    with jax.named_scope("layer_norm"):
        normalized, *_ = normalize(_wide(x), (x.ndim - 1,), epsilon)
        return _affine(params, normalized, x.dtype)


def layer_norm_vjp(
    g: Array, params: dict[str, Array], x: Array, epsilon: float = 1e-6
) -> tuple[dict[str, Array], Array]:
    r"""Pulls the cotangent `g` back through `layer_norm`.

    With \( h = g \gamma \) and means over the features, \( \partial x =
    (h - \mathrm{mean}(h) - \hat x\, \mathrm{mean}(h \hat x)) / \sqrt{\sigma^2 + \epsilon} \).

    Returns:
        The cotangents of the parameters and of `x`.
    """
    epsilon = _check("layer_norm_vjp", params, x, epsilon)
    _checks.cotangent("layer_norm_vjp", g, x.shape)
    axes = (x.ndim - 1,)
    normalized, _, _, divide = normalize(_wide(x), axes, epsilon)
    grads, h = _affine_vjp(_wide(g), params, normalized)
    return grads, normalize_vjp(h, normalized, divide, axes).astype(x.dtype)


def rms_norm_init(key: Array, features: int) -> dict[str, Array]:
    """Parameters of `rms_norm`.

    Args:
        key: not used, as nothing is drawn; every `_init` takes one.
        features: size of the last axis.

    Returns:
        `{"scale": ones}`, `[features]`.

    Example:
        >>> rms_norm_init(jax.random.key(0), 2)
        {'scale': Array([1., 1.], dtype=float32)}
    """
    _checks.sizes("rms_norm_init", features=features)
    return {"scale": jnp.ones(features)}


def rms_norm(params: dict[str, Array], x: Array, epsilon: float = 1e-6) -> Array:
    r"""Root mean square normalization: `layer_norm` that leaves the mean where it is.

    .. math:: y = \gamma\, \frac{x}{\sqrt{\mathrm{mean}(x^2) + \epsilon}}

    Args:
        params: `scale`, `[features]`.
        x: `[..., features]`.
        epsilon: added to the mean square.

    Returns:
        An array shaped like `x`; zeros where all features are zero.

    Raises:
        ValueError: if `x` does not end in an axis of size `features`, or `epsilon` < 0.
        TypeError: if `x` does not hold floats.

    Example:
        >>> y = rms_norm({"scale": jnp.ones(2)}, jnp.array([1e20, 7e20]))
        >>> print(np.round(y.tolist(), 2))
        [0.2 1.4]

    Reference:
        Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019.
    """
    epsilon = _check("rms_norm", params, x, epsilon)
    with jax.named_scope("rms_norm"):
        normalized, _ = by_root_mean_square(_wide(x), (x.ndim - 1,), epsilon)
        return _affine(params, normalized, x.dtype)


def rms_norm_vjp(
    g: Array, params: dict[str, Array], x: Array, epsilon: float = 1e-6
) -> tuple[dict[str, Array], Array]:
    r"""Pulls the cotangent `g` back through `rms_norm`.

    With \( h = g \gamma \) and \( \hat x = x / \sqrt{\mathrm{mean}(x^2) + \epsilon} \),
    \( \partial x = (h - \hat x\, \mathrm{mean}(h \hat x)) / \sqrt{\mathrm{mean}(x^2) + \epsilon} \)
    and \( \partial\gamma = \sum g \hat x \).

    Returns:
        The cotangents of the parameters and of `x`.
    """
    epsilon = _check("rms_norm_vjp", params, x, epsilon)
    _checks.cotangent("rms_norm_vjp", g, x.shape)
    normalized, divide = by_root_mean_square(_wide(x), (x.ndim - 1,), epsilon)
    grads, h = _affine_vjp(_wide(g), params, normalized)
    return grads, by_root_mean_square_vjp(h, normalized, divide, (x.ndim - 1,)).astype(x.dtype)


def group_norm_init(key: Array, features: int) -> dict[str, Array]:
    """Parameters of `group_norm`.

    Args:
        key: not used, as nothing is drawn; every `_init` takes one.
        features: size of the last axis; a multiple of the groups.

    Returns:
        `{"scale": ones, "bias": zeros}`, both `[features]`.

    Example:
        >>> sorted(group_norm_init(jax.random.key(0), 4))
        ['bias', 'scale']
    """
    return layer_norm_init(key, features)


def group_norm(params: dict[str, Array], x: Array, groups: int, epsilon: float = 1e-6) -> Array:
    r"""Group normalization: each group of an example's channels to mean 0 and variance 1.

    Mean and variance are over all axes between the first, the batch, and the last, and over
    the features / groups neighbouring channels of the group; scale and bias belong to single
    channels. One group is `layer_norm` over whole images; as many groups as features is
    instance normalization.

    Args:
        params: `scale` and `bias`, `[features]`.
        x: `[batch, ..., features]`.
        groups: into how many groups the features are divided.
        epsilon: added to the variance.

    Returns:
        An array shaped like `x`.

    Raises:
        ValueError: if `x` has no batch axis or other features than the parameters, if
            `groups` does not divide the features, or `epsilon` < 0.
        TypeError: if `x` does not hold floats.

    Example:
        >>> params = group_norm_init(jax.random.key(0), 4)
        >>> group_norm(params, jnp.array([[1.0, 3.0, 10.0, 30.0]]), groups=2).round(2)
        Array([[-1.,  1., -1.,  1.]], dtype=float32)

    Reference:
        Wu and He, "Group normalization", ECCV 2018.
    """
    epsilon = _check_groups("group_norm", params, x, groups, epsilon)
    with jax.named_scope("group_norm"):
        split, axes = _split(_wide(x), groups)
        normalized, *_ = normalize(split, axes, epsilon)
        return _affine(params, normalized.reshape(x.shape), x.dtype)


def group_norm_vjp(
    g: Array, params: dict[str, Array], x: Array, groups: int, epsilon: float = 1e-6
) -> tuple[dict[str, Array], Array]:
    r"""Pulls the cotangent `g` back through `group_norm`.

    With \( h = g \gamma \) and means over each group, \( \partial x =
    (h - \mathrm{mean}(h) - \hat x\, \mathrm{mean}(h \hat x)) / \sqrt{\sigma^2 + \epsilon} \).

    Returns:
        The cotangents of the parameters and of `x`.
    """
    epsilon = _check_groups("group_norm_vjp", params, x, groups, epsilon)
    _checks.cotangent("group_norm_vjp", g, x.shape)
    split, axes = _split(_wide(x), groups)
    normalized, _, _, divide = normalize(split, axes, epsilon)
    grads, h = _affine_vjp(_wide(g), params, normalized.reshape(x.shape))
    in_x = normalize_vjp(_split(h, groups)[0], normalized, divide, axes)
    return grads, in_x.reshape(x.shape).astype(x.dtype)


def _split(x, groups):
    """`x` as `[batch, ..., groups, channels]`, and the axes of one group."""
    split = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    return split, (*range(1, x.ndim - 1), x.ndim)


def _check_groups(function, params, x, groups, epsilon):
    epsilon = _check(function, params, x, epsilon)
    _checks.sizes(function, groups=groups)
    if x.ndim < 2:
        raise ValueError(
            f"{function}: x must be [batch, ..., features], got shape {x.shape}. "
            "Add a batch axis: x[None]."
        )
    if x.shape[-1] % groups:
        raise ValueError(
            f"{function}: groups must divide the features, got {groups} groups of "
            f"{x.shape[-1]} features. Pass a divisor of {x.shape[-1]}."
        )
    return epsilon
