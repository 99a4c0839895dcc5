"""Attention, places in a sequence and tables, and their truths."""

import jax.numpy as jnp
import numpy as np

from jaxnn import layers
from jaxnn.check import _truth
from jaxnn.check._blocks import Block, layer
from jaxnn.check._vectors import beside, normal, plus, product, sized, together


def weights(query, keys):
    """Of one query, for the keys it has seen; of none none."""
    m = _truth.mp()
    scores = [sum(a * b for a, b in zip(query, k, strict=True)) / m.sqrt(len(query)) for k in keys]
    powers = [m.exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def attend(queries, keys, values, seen):
    """One head: of each query the mean of the values it has `seen`, a range; zeros for none."""
    out = []
    for query, places in zip(queries, seen, strict=True):
        total = [0 * v for v in values[0]]
        for weight, s in zip(weights(query, [keys[s] for s in places]), places, strict=True):
            total = [t + weight * v for t, v in zip(total, values[s], strict=True)]
        out.append(total)
    return out


def _attention(q, k, v):
    """One head, `[time, 1, width]`, that sees what came before: the first query nothing."""
    single = lambda x: [row for (row,) in x]
    heads = attend(single(q), single(k), single(v), [range(t) for t in range(len(q))])
    return [y for row in heads for y in row]


def _strictly_before(time):
    return jnp.tril(jnp.ones((time, time), bool), -1)


def _extreme(*shapes):
    """Logits that no float32 holds, beside usual ones of tiny and huge factors; huge values."""

    def draw(settings):
        random = np.random.default_rng(settings.seed)
        n = 3 if settings.quick else 12
        q, k, v = (random.normal(size=(n, *shape)) for shape in shapes)
        unit = lambda i, low, high: 10 ** random.uniform(low, high, (len(q[i::3]), 1, 1, 1))
        q[::3] *= unit(0, 20, 37)
        k[::3] *= unit(0, 20, 37)
        v[::3] *= unit(0, -30, 37)
        power = unit(1, -15, 15)
        q[1::3], k[1::3], v[1::3] = q[1::3] / power, k[1::3] * power, v[1::3] * unit(1, -15, 15)
        q[1::3, ::2] *= 1e38 * power / np.maximum(power, 1) / 100  # every second query
        q[2::3], k[2::3] = q[2::3] / 8, k[2::3] / 8
        v[2::3] = np.sign(v[2::3]) * 3.3e38
        return tuple(a.astype(np.float32) for a in (q, k, v))

    return draw


# Multi-head attention: two heads of queries that share keys and values, turned by their places.
PLACES = np.array([0, 5, 1000])


def rotated(x, place, base=10000):
    """`rotary` of one vector."""
    m, half = _truth.mp(), len(x) // 2
    angles = [place * m.mpf(base) ** (-m.mpf(i) / half) for i in range(half)]
    pairs = list(zip(x[:half], x[half:], angles, strict=True))
    first = [a * m.cos(t) - b * m.sin(t) for a, b, t in pairs]
    return first + [b * m.cos(t) + a * m.sin(t) for a, b, t in pairs]


def _rotary(x, places):
    rows = [rotated(head, t) for step, t in zip(x, places, strict=True) for head in step]
    return [y for row in rows for y in row]


def _multi_head(x, q_kernel, q_bias, k_kernel, k_bias, v_kernel, v_bias, kernel, bias):
    """Kernels `[features, heads, width]`, and `[heads, width, features]` for the output."""
    projected = lambda kernel, bias, h: [
        plus(product(row, [part[h] for part in kernel]), bias[h]) for row in x
    ]
    places = PLACES.tolist()
    turned = lambda rows: [rotated(row, t) for row, t in zip(rows, places, strict=True)]
    keys, values = turned(projected(k_kernel, k_bias, 0)), projected(v_kernel, v_bias, 0)
    seen = [range(t + 1) for t in range(len(x))]
    total = [bias for _ in x]
    for h in range(len(q_bias)):
        queries = turned(projected(q_kernel, q_bias, h))
        mixed = attend(queries, keys, values, seen)
        total = [plus(t, product(row, kernel[h])) for t, row in zip(total, mixed, strict=True)]
    return [y for row in total for y in row]


PARTS = ("query", "key", "value", "out")


def _halved(draw):
    """Kernels of which four products keep the variance, as initializers draw them; and the rest."""
    return lambda settings: tuple(a / 2 for a in draw(settings))


def _of_multi_head():
    def tree(*arrays):
        pairs = zip(PARTS, arrays[::2], arrays[1::2], strict=True)
        return {part: {"kernel": kernel, "bias": bias} for part, kernel, bias in pairs}

    options = {"causal": True, "positions": PLACES}

    def f(x, *arrays):
        return layers.multi_head_attention(tree(*arrays), x, **options)

    def pulled_back(g, x, *arrays):
        grads, in_x, _ = layers.multi_head_attention_vjp(g, tree(*arrays), x, **options)
        return in_x, *(grads[part][name] for part in PARTS for name in ("kernel", "bias"))

    return f, pulled_back


def _waves(width, length):
    """The row of one place."""

    def truth(t):
        m = _truth.mp()
        angles = [t / m.mpf(10000) ** (m.mpf(i) / width) for i in range(0, width, 2)]
        return [wave for angle in angles for wave in (m.sin(angle), m.cos(angle))]

    def places(settings):
        random = np.random.default_rng(settings.seed)
        return (np.append(random.integers(0, length, 30), [0, length - 1]),)

    f = lambda t: layers.positional_encoding(length, width)[t]
    return Block("layers.positional_encoding", f, None, truth, places, 0, "relative", 1e-6)


def _embedding():
    f = lambda table, ids: layers.embedding({"embedding": table}, ids)

    def pulled_back(g, table, ids):
        return (layers.embedding_vjp(g, {"embedding": table}, ids)["embedding"],)

    truth = lambda table, ids: [y for i in ids for y in table[i]]
    table = sized((4, 3), powers=[(-30, 37)])
    return layer("embedding", (f, pulled_back), truth, beside(table, np.array([2, 0, 2, 2])))


def entries():
    """All of them."""
    attention = (
        lambda q, k, v: layers.scaled_dot_product_attention(q, k, v, _strictly_before(len(q))),
        lambda g, q, k, v: layers.scaled_dot_product_attention_vjp(
            g, q, k, v, _strictly_before(len(q))
        ),
    )
    heads = [(4, 1, 3)] * 3
    turned = (layers.rotary, lambda g, x, places: (layers.rotary_vjp(g, x, places),))
    x = together(normal((5, 1, 6)), sized((5, 1, 6), powers=[(-30, 37)]))
    shapes = ((3, 4), (4, 2, 2), (2, 2), (4, 1, 2), (1, 2), (4, 1, 2), (1, 2), (2, 2, 4), (4,))
    return [
        layer("scaled_dot_product_attention", attention, _attention, normal(*heads), 3),
        layer(
            "scaled_dot_product_attention (huge)", attention, _attention, _extreme(*heads), 3,
            step=95,
        ),
        layer(
            "multi_head_attention", _of_multi_head(), _multi_head,
            _halved(normal(*shapes, count=4)), 9,
        ),
        layer("rotary", turned, _rotary, beside(x, np.array([0, 1, 30, 2047, 131_071]))),
        _waves(8, 8192),
        _embedding(),
    ]  # fmt: skip
