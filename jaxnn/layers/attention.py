r"""Attention: each step of a sequence takes a mean of others, weighted by how well they fit.

.. math:: O = P V, \qquad P = \mathrm{softmax}(S), \qquad S = \tfrac{1}{\sqrt d}\, Q K^T

with one row per query. A mask takes entries out of the softmax; a row in which nothing is
left gives zeros.

Backward, the cotangent g of O meets three products and one softmax, in reverse:

.. math:: \partial V = P^T g, \qquad \partial P = g V^T, \qquad
          \partial S = P \odot (\partial P - \mathrm{rowsum}(P \odot \partial P)), \qquad
          \partial Q = \tfrac{1}{\sqrt d}\, \partial S\, K, \qquad
          \partial K = \tfrac{1}{\sqrt d}\, \partial S^T Q

The row sum is what the softmax's normalization takes back: raising one score lowers all other
weights of its row. It equals the row sum of \( g \odot O \).

Axes are those of Flax, `[..., time, heads, width]`. With grouped queries, several heads of Q
share one of K and V.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn import _checks, _rounding
from jaxnn.initializers import Initializer, glorot_uniform
from jaxnn.layers._attend import (
    allowed,
    attend,
    by_group,
    check,
    cleared,
    grouped,
    heads,
    kept,
    softmax_pull,
    weights,
    wide,
    within_range,
)

__all__ = [
    "multi_head_attention", "multi_head_attention_init", "multi_head_attention_vjp",
    "rotary", "rotary_vjp",
    "scaled_dot_product_attention", "scaled_dot_product_attention_vjp",
]  # fmt: skip

Params = dict[str, dict[str, Array]]


def scaled_dot_product_attention(
    q: Array, k: Array, v: Array, mask: Array | None = None, causal: bool = False
) -> Array:
    r"""Attention of queries to keys and values, \( \mathrm{softmax}(Q K^T / \sqrt d)\, V \).

    Args:
        q: queries, `[..., queries, heads, width]`.
        k: keys, `[..., keys, groups, width]`; `groups` divides `heads`, and heads of one group,
            which stand side by side, share keys and values.
        v: values, `[..., keys, groups, features]`.
        mask: which key each query may see, booleans that broadcast to
            `[..., heads, queries, keys]`. A key that no query may see has no part in values and
            gradients, whatever it holds, and neither has a query that may see nothing.
        causal: whether a query sees only keys up to its own place; the last query stands
            beside the last key.

    Returns:
        `[..., queries, heads, features]`; zeros where a query may see nothing.

    Raises:
        ValueError: if the shapes don't fit.
        TypeError: if `q`, `k` or `v` does not hold floats, or `mask` no booleans.

    Example:
        >>> q = k = jnp.zeros((3, 1, 4))
        >>> v = jnp.array([1.0, 2.0, 6.0]).reshape(3, 1, 1)
        >>> scaled_dot_product_attention(q, k, v, causal=True).ravel()
        Array([1. , 1.5, 3. ], dtype=float32)

    Reference:
        Vaswani et al., "Attention is all you need", NeurIPS 2017; Ainslie et al., "GQA:
        training generalized multi-query transformer models", EMNLP 2023.
    """
    name = "scaled_dot_product_attention"
    check(name, q, k, v)
    with jax.named_scope(name):
        seen = _seen(name, q, k, mask, causal)
        return heads(attend(grouped(q, k), k, v, seen), q)


def scaled_dot_product_attention_vjp(
    g: Array, q: Array, k: Array, v: Array, mask: Array | None = None, causal: bool = False
) -> tuple[Array, Array, Array]:
    r"""Pulls the cotangent `g` of the output back through attention.

    1. Run forward to the weights P.
    2. \( \partial V = P^T g \): a value collects from the queries that looked at it.
    3. \( \partial P = g V^T \), and through the softmax
       \( \partial S = P \odot (\partial P - \mathrm{rowsum}(P \odot \partial P)) \); masked
       entries have P = 0 and get nothing.
    4. \( \partial Q = \partial S\, K / \sqrt d \) and \( \partial K = \partial S^T Q / \sqrt d \).

    Heads that share keys and values add up in them.

    Returns:
        The cotangents of `q`, `k` and `v`.
    """
    name = "scaled_dot_product_attention_vjp"
    check(name, q, k, v)
    _checks.cotangent(name, g, (*q.shape[:-1], v.shape[-1]))
    seen = _seen(name, q, k, mask, causal)
    Q, K, V = cleared(wide(grouped(q, k)), wide(k), wide(v), seen)
    g, P, (lift, V) = wide(grouped(g, k)), weights(Q, K, seen), within_range(V)

    in_v = jnp.einsum("...hgqk,...qhgf->...khf", P, g)
    in_weights = jnp.einsum("...qhgf,...khf->...hgqk", g, V)
    in_scores = softmax_pull(in_weights, P) * (lift * q.shape[-1] ** -0.5)
    in_q = jnp.einsum("...hgqk,...khd->...qhgd", in_scores, K)
    in_k = jnp.einsum("...hgqk,...qhgd->...khd", in_scores, Q)
    in_q, in_k, in_v = cleared(in_q, in_k, in_v, seen)
    return heads(in_q, q), in_k.astype(k.dtype), in_v.astype(v.dtype)


def _seen(function, q, k, mask, causal):
    """Which scores count, by groups; None where all do."""
    shape = (*q.shape[:-3], q.shape[-2], q.shape[-3], k.shape[-3])
    return by_group(allowed(function, shape, mask, causal), k.shape[-2])


def rotary(x: Array, positions: Array, base: float = 10000.0) -> Array:
    r"""Rotary position embedding: turns pairs of features by angles that grow with the place.

    Feature i of the first half and of the second half are turned as a point of the plane by
    \( \theta = t\, b^{-2i / d} \). The product of a query at t and a key at s then depends on
    their places only through t - s.

    Args:
        x: queries or keys, `[..., time, heads, width]`, with an even width.
        positions: the place t of each step, integers `[..., time]`; angles keep their digits up
            to a million.
        base: b, a number, which sets the longest wavelength.

    Returns:
        An array shaped like `x`.

    Raises:
        ValueError: if the width is odd, the positions don't fit, or `base` is not positive.
        TypeError: if `x` does not hold floats, or the positions are not integers.

    Example:
        >>> x = jnp.array([3.0, 4.0]).reshape(1, 1, 2)
        >>> turned = rotary(x, jnp.array([1]))
        >>> [f"{feature:.2f}" for feature in turned.ravel()], f"{jnp.linalg.norm(turned):.2f}"
        (['-1.74', '4.69'], '5.00')

    Reference:
        Su et al., "RoFormer: enhanced transformer with rotary position embedding", 2021.
    """
    with jax.named_scope("rotary"):
        return _rotated("rotary", x, positions, base, 1)


def rotary_vjp(g: Array, x: Array, positions: Array, base: float = 10000.0) -> Array:
    r"""Pulls the cotangent `g` back through `rotary`: a rotation by \( -\theta \).

    The transpose of a rotation is its inverse.
    """
    _checks.cotangent("rotary_vjp", g, jnp.shape(x))
    return _rotated("rotary_vjp", g, positions, base, -1)


def multi_head_attention_init(
    key: Array,
    features: int,
    heads: int,
    groups: int | None = None,
    kernel_init: Initializer = glorot_uniform(),
) -> Params:
    """Parameters of `multi_head_attention`.

    Args:
        key: the source of the kernels.
        features: of input and output; divided by `heads`.
        heads: of the queries.
        groups: heads of keys and values, by default `heads`; a divisor of `heads`.
        kernel_init: how to draw the kernels, as matrices from features to features.

    Returns:
        `{"query", "key", "value": {"kernel": [features, heads, width], "bias": [heads, width]},
        "out": {"kernel": [heads, width, features], "bias": [features]}}`, which are also the
        parameters of `flax.linen.MultiHeadDotProductAttention`.

    Raises:
        ValueError: if a size is not positive, or a division has a rest.

    Example:
        >>> params = multi_head_attention_init(jax.random.key(0), 8, 4, groups=2)
        >>> params["query"]["kernel"].shape, params["key"]["kernel"].shape
        ((8, 4, 2), (8, 2, 2))
    """
    name = "multi_head_attention_init"
    groups = heads if groups is None else groups
    _checks.sizes(name, features=features, heads=heads, groups=groups)
    if features % heads or heads % groups:
        raise ValueError(
            f"{name}: heads must divide features, and groups must divide heads, got {features} "
            f"features, {heads} heads and {groups} groups. Take divisors."
        )
    width, dtype = features // heads, jnp.result_type(float)

    def projection(key, heads):
        kernel = kernel_init(key, (features, heads * width), dtype)
        return {
            "kernel": kernel.reshape(features, heads, width),
            "bias": jnp.zeros((heads, width), dtype),
        }

    keys = jax.random.split(key, 4)
    out = kernel_init(keys[3], (features, features), dtype).reshape(heads, width, features)
    return {
        "query": projection(keys[0], heads),
        "key": projection(keys[1], groups),
        "value": projection(keys[2], groups),
        "out": {"kernel": out, "bias": jnp.zeros(features, dtype)},
    }


def multi_head_attention(
    params: Params,
    x: Array,
    context: Array | None = None,
    mask: Array | None = None,
    causal: bool = False,
    positions: Array | None = None,
) -> Array:
    r"""Attention of several heads, each in its own projection of the features.

    .. math:: y = \sum_h A_h W^O_h + b^O, \qquad
              A_h = \mathrm{attention}(x W^Q_h, c W^K_h, c W^V_h)

    with biases. Self-attention has c = x, cross-attention another sequence as context.

    Args:
        params: as `multi_head_attention_init` makes them; they say how many heads there are.
        x: what asks, `[..., queries, features]`.
        context: what is asked, `[..., keys, features]`; None for `x` itself.
        mask: which key each query may see, booleans that broadcast to
            `[..., heads, queries, keys]`. For padding: `counts[..., None, None, :]`. What no step
            may see has no part in values and gradients, whatever it holds. In self-attention it
            still asks: to leave it out of that too, `& counts[..., None, :, None]`.
        causal: whether a step sees only what came before it, and itself.
        positions: places of the steps of `x`, integers `[..., queries]`, to turn queries and
            keys by `rotary`; in self-attention only.

    Returns:
        `[..., queries, features]`.

    Raises:
        ValueError: if shapes and parameters don't fit, or positions are given with a context.
        TypeError: if `x` does not hold floats, or `mask` no booleans.

    Example:
        >>> params = multi_head_attention_init(jax.random.key(0), 8, 2)
        >>> multi_head_attention(params, jnp.ones((4, 5, 8)), causal=True).shape
        (4, 5, 8)

    Reference:
        Vaswani et al., "Attention is all you need", NeurIPS 2017.
    """
    name = "multi_head_attention"
    with jax.named_scope(name):
        x, asked = _sources(name, params, x, context, mask, causal, positions)
        q, k, v = _projected(params, x, asked, positions)
        a = scaled_dot_product_attention(q, k, v, mask, causal)
        with jax.named_scope("out"):
            kernel, bias = params["out"]["kernel"], params["out"]["bias"]
            return jnp.einsum("...qhd,hdf->...qf", a, kernel) + bias


def multi_head_attention_vjp(
    g: Array,
    params: Params,
    x: Array,
    context: Array | None = None,
    mask: Array | None = None,
    causal: bool = False,
    positions: Array | None = None,
) -> tuple[Params, Array, Array | None]:
    r"""Pulls the cotangent `g` of the output back through `multi_head_attention`.

    Four dense layers with the attention of all heads between them:

    1. the output projection, \( \partial W^O_h = A_h^T g \), \( \partial A_h = g (W^O_h)^T \);
    2. attention, from \( \partial A \) to \( \partial Q, \partial K, \partial V \), which are
       turned back if `rotary` turned them;
    3. the three input projections, whose cotangents add up in x (queries) and in the context
       (keys and values), which in self-attention is x again.

    Returns:
        The cotangents of `params`, `x` and `context`; None for the last where there is none.
    """
    name = "multi_head_attention_vjp"
    x, asked = _sources(name, params, x, context, mask, causal, positions)
    q, k, v = _projected(params, x, asked, positions)
    _checks.cotangent(name, g, x.shape)
    a = scaled_dot_product_attention(q, k, v, mask, causal)
    in_a = jnp.einsum("...qf,hdf->...qhd", g, params["out"]["kernel"])
    in_q, in_k, in_v = scaled_dot_product_attention_vjp(in_a, q, k, v, mask, causal)
    if positions is not None:
        in_q, in_k = rotary_vjp(in_q, q, positions), rotary_vjp(in_k, k, positions)

    def rows(a, axes):
        kept = a.ndim - axes
        return a.reshape(math.prod(a.shape[:kept]), *a.shape[kept:])

    grads = {
        "out": {
            "kernel": jnp.einsum("nhd,nf->hdf", rows(a, 2), rows(g, 1)),
            "bias": rows(g, 1).sum(0),
        }
    }
    sources = {"query": (x, in_q), "key": (asked, in_k), "value": (asked, in_v)}
    into = {}
    for part, (source, cotangent) in sources.items():
        grads[part] = {
            "kernel": jnp.einsum("nf,nhd->fhd", rows(source, 1), rows(cotangent, 2)),
            "bias": rows(cotangent, 2).sum(0),
        }
        into[part] = jnp.einsum("...hd,fhd->...f", cotangent, params[part]["kernel"])
    in_asked = into["key"] + into["value"]
    in_x, in_asked = _taking_part(name, params, into["query"], in_asked, mask, causal)
    if context is None:
        return grads, in_x + in_asked, None
    return grads, in_x, in_asked


def _rotated(function, x, positions, base, sign):
    _checks.floating(function, x=x)
    _checks.integer(function, positions=positions)
    if jnp.ndim(x) < 3 or x.shape[-1] % 2:
        raise ValueError(
            f"{function}: x must have shape [..., time, heads, an even width], got "
            f"{jnp.shape(x)}. Pass one place per step, and features in pairs."
        )
    if jnp.shape(positions)[-1:] != x.shape[-3:-2]:
        raise ValueError(
            f"{function}: positions must hold one place per step, {x.shape[-3]} of them, got "
            f"shape {jnp.shape(positions)}. Pass jnp.arange({x.shape[-3]})."
        )
    base = _checks.positive(function, base=base)
    cosine, sine = _waves(positions, x.shape[-1] // 2, base, _checks.wide(x.dtype))
    sine = sign * sine
    first, second = jnp.split(wide(x), 2, -1)
    turned = [first * cosine - second * sine, second * cosine + first * sine]
    return jnp.concatenate(turned, -1).astype(x.dtype)


def _waves(positions, count, base, dtype):
    """Cosine and sine of t times each rate, whose product with a far place no float32 holds."""
    rates = base ** (-np.arange(count) / count)
    if _checks.concrete(positions):  # in double precision on the host: these are constants
        angles = np.asarray(positions)[..., None, None] * rates
        return jnp.asarray(np.cos(angles), dtype), jnp.asarray(np.sin(angles), dtype)
    t = positions[..., None, None].astype(dtype)
    high = rates.astype(dtype)
    angle, error = _rounding.product(t, high)
    error = error + t * (rates - high).astype(dtype)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    turn, small = 1 - error * error / 2, error * (1 - error * error / 6)  # of what is small
    return cosine * turn - sine * small, sine * turn + cosine * small


def _sources(function, params, x, context, mask, causal, positions):
    """The steps that ask and those that are asked, checked, with zeros where a mask says so."""
    asked = x if context is None else context
    _checks.floating(function, x=x, context=asked)
    for name, source in (("query", x), ("key", asked)):
        _checks.last_axis(function, params[name]["kernel"].shape[0], x=source)
        if jnp.ndim(source) < 2:
            raise ValueError(
                f"{function}: sequences must have shape [..., time, features], got "
                f"{jnp.shape(source)}. Add the axis of time: x[None]."
            )
    if x.shape[:-2] != asked.shape[:-2]:
        raise ValueError(
            f"{function}: x and context must agree in all axes before time, got {x.shape} and "
            f"{asked.shape}. Pass one context for each sequence."
        )
    if context is not None and positions is not None:
        raise ValueError(
            f"{function}: positions are for self-attention, got a context too. Leave them out: "
            "steps of two sequences have no distance."
        )
    return _taking_part(function, params, x, asked, mask, causal)


def _taking_part(function, params, x, asked, mask, causal):
    """Zeros for steps of x that may see nothing, and for those asked that nothing may see.

    For cotangents it is the transpose of itself.
    """
    if mask is None:  # causality alone leaves no step unseen
        return x, asked
    heads = params["query"]["kernel"].shape[1]
    seen = allowed(function, (*x.shape[:-2], heads, x.shape[-2], asked.shape[-2]), mask, causal)
    return kept(seen.any((-3, -1)), x), kept(seen.any((-3, -2)), asked)


def _projected(params, x, asked, positions):
    """Queries, keys and values, in heads."""
    heads = []
    for name, source in (("query", x), ("key", asked), ("value", asked)):
        with jax.named_scope(name):
            kernel, bias = params[name]["kernel"], params[name]["bias"]
            heads.append(jnp.einsum("...tf,fhd->...thd", source, kernel) + bias)
    q, k, v = heads
    if positions is not None:
        q, k = rotary(q, positions), rotary(k, positions)
    return q, k, v
