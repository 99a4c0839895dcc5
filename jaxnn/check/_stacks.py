"""Truths of whole networks, stacked of those of their layers, on trees of exact numbers.

Parameters are nested dicts, as the networks have them, of nested lists; what is passed from
layer to layer is a vector, rows of vectors, or an image `[height][width][channels]`.
"""

import jax

from jaxnn.check import _truth
from jaxnn.check._attention import attend, rotated, weights
from jaxnn.check._layers import rms_norm, standardized
from jaxnn.check._vectors import affine, plus, product


def numbers(tree):
    """All numbers of a tree, as one list."""
    return jax.tree.leaves(tree)


def slopes(f, tree, digits=40):
    """The gradient of a number in a tree of exact numbers, by central differences.

    Of numbers near 1, to twice the digits of the step, as far as those of `f` reach.
    """
    leaves, shape = jax.tree.flatten(tree)
    step = _truth.mp().mpf(10) ** -digits

    def moved(i, by):
        return f(shape.unflatten([*leaves[:i], leaves[i] + by, *leaves[i + 1 :]]))

    differences = [moved(i, step) - moved(i, -step) for i in range(len(leaves))]
    return shape.unflatten([d / (2 * step) for d in differences])


def descended(params, grads, rate):
    """The parameters after one step of gradient descent."""
    return jax.tree.map(lambda w, g: w - rate * g, params, grads)


def tanh(x):
    return _truth.mp().tanh(x)


def relu(x):
    return x if x > 0 else 0 * x


def gelu(x):
    m = _truth.mp()
    return x * m.erfc(-x / m.sqrt(2)) / 2


def softplus(x):
    return _truth.mp().log1p(_truth.mp().exp(x))


def dense(params, x):
    """Of a vector."""
    if "bias" not in params:
        return product(x, params["kernel"])
    return affine(x, params["kernel"], params["bias"])


def mlp(params, x, f=tanh):
    """Of a vector: what all layers compute, before their activation; the output is the last."""
    z = [dense(params["dense_0"], x)]
    for i in range(1, len(params)):
        z.append(dense(params[f"dense_{i}"], [f(v) for v in z[-1]]))
    return z


def output(params, x, f=tanh):
    """Of an `mlp`."""
    return mlp(params, x, f)[-1]


# Images


def elementwise(f, image):
    return [[[f(v) for v in pixel] for pixel in row] for row in image]


def conv(params, image, stride=1):
    """Padded so that each place, or every second one, has an output."""
    kernel, height, width = params["kernel"], len(image), len(image[0])
    bias = params.get("bias", [0] * len(kernel[0][0][0]))

    def before(size, taps):
        outputs = -(-size // stride)
        return max((outputs - 1) * stride + taps - size, 0) // 2

    top, left = before(height, len(kernel)), before(width, len(kernel[0]))

    def at(row, column):
        total = bias
        for i, taps in enumerate(kernel):
            for j, tap in enumerate(taps):
                y, x = row + i - top, column + j - left
                if 0 <= y < height and 0 <= x < width:
                    total = plus(total, product(image[y][x], tap))
        return total

    return [[at(y, x) for x in range(0, width, stride)] for y in range(0, height, stride)]


def conv_transpose(params, image):
    """Copies of a kernel of 3, last tap first, at every second place; what hangs over is cut."""
    height, width = 2 * len(image), 2 * len(image[0])
    out = [[list(params["bias"]) for _ in range(width)] for _ in range(height)]
    for y, row in enumerate(image):
        for x, pixel in enumerate(row):
            for i, taps in enumerate(reversed(params["kernel"])):
                for j, tap in enumerate(reversed(taps)):
                    if 2 * y + i < height and 2 * x + j < width:
                        place = out[2 * y + i]
                        place[2 * x + j] = plus(place[2 * x + j], product(pixel, tap))
    return out


def max_pool(image):
    """By windows of 2."""
    rows = []
    for y in range(0, len(image) - 1, 2):
        row = []
        for x in range(0, len(image[0]) - 1, 2):
            seen = [image[y + i][x + j] for i in range(2) for j in range(2)]
            row.append([max(column) for column in zip(*seen, strict=True)])
        rows.append(row)
    return rows


def batch_norm(params, state, batch, epsilon):
    """Of rows, images or any nesting of vectors, in training; with the new statistics."""
    m = _truth.mp()
    rows = list(vectors(batch))
    columns = list(zip(*rows, strict=True))
    mean = [sum(c) / len(c) for c in columns]
    variance = [sum((v - a) ** 2 for v in c) / len(c) for c, a in zip(columns, mean, strict=True)]
    normalized = [standardized(list(c), epsilon) for c in columns]
    kept = iter(zip(*normalized, strict=True))
    scaled = lambda row: [
        y * s + b for y, s, b in zip(row, params["scale"], params["bias"], strict=True)
    ]
    keep = m.mpf("0.99")
    follow = lambda old, new: [keep * a + (1 - keep) * b for a, b in zip(old, new, strict=True)]
    new = {"mean": follow(state["mean"], mean), "var": follow(state["var"], variance)}
    return refilled(batch, lambda _: scaled(next(kept))), new


def batch_norm_by_state(params, state, batch, epsilon):
    """The same in use, by the running statistics."""
    m = _truth.mp()
    roots = [m.sqrt(v + m.mpf(epsilon)) for v in state["var"]]
    columns = list(zip(state["mean"], roots, params["scale"], params["bias"], strict=True))
    one = lambda row: [(v - a) / r * s + b for v, (a, r, s, b) in zip(row, columns, strict=True)]
    return refilled(batch, one), state


def vectors(nested):
    """The vectors at the bottom, in their order."""
    if not isinstance(nested[0], list):
        yield nested
        return
    for part in nested:
        yield from vectors(part)


def refilled(nested, f):
    """The same nesting, with `f` of each vector."""
    return [refilled(part, f) for part in nested] if isinstance(nested[0], list) else f(nested)


# Transformers


def multi_head(params, rows, context=None, causal=False):
    """Of rows; without a context of themselves, with queries and keys turned by their places."""
    value, out = params["value"], params["out"]
    source = rows if context is None else context
    seen = [range(t + 1 if causal else len(source)) for t in range(len(rows))]
    total = [out["bias"] for _ in rows]
    for h, shared, queries, keys in _heads(params, rows, context):
        mixed = attend(queries, keys, _projected(value, source, shared), seen)
        total = [plus(t, product(m, out["kernel"][h])) for t, m in zip(total, mixed, strict=True)]
    return total


def seen_weights(params, rows):
    """The causal attention weights of each head, each row over all keys."""
    found = []
    for _, _, queries, keys in _heads(params, rows):
        for t, query in enumerate(queries):
            found.append(weights(query, keys[: t + 1]) + [0] * (len(rows) - t - 1))
    return found


def _heads(params, rows, context=None):
    """Of each head its number, that of its group, its queries and its keys."""
    query, key = params["query"], params["key"]
    heads, groups = len(query["bias"]), len(key["bias"])
    placed = lambda rows: rows if context else [rotated(row, t) for t, row in enumerate(rows)]
    for h in range(heads):
        shared = h // (heads // groups)
        queries = _projected(query, rows, h)
        yield h, shared, placed(queries), placed(_projected(key, context or rows, shared))


def _projected(part, rows, h):
    kernel = [features[h] for features in part["kernel"]]
    return [affine(row, kernel, part["bias"][h]) for row in rows]


def block(params, rows, context=None, causal=False):
    """One block of a transformer."""
    normed = lambda name, rows: [rms_norm(row, params[name]["scale"]) for row in rows]
    added = lambda rows, others: [plus(*pair) for pair in zip(rows, others, strict=True)]
    rows = added(rows, multi_head(params["attention"], normed("norm_0", rows), None, causal))
    if context:
        looked = multi_head(params["cross_attention"], normed("norm_2", rows), context)
        rows = added(rows, looked)
    hidden = [[gelu(v) for v in dense(params["dense_0"], r)] for r in normed("norm_1", rows)]
    return added(rows, [dense(params["dense_1"], h) for h in hidden])


def transformer(params, ids, context=None, causal=True):
    """Embedding, one block, and what follows: the rows of the output."""
    rows = [params["embedding"]["embedding"][i] for i in ids]
    rows = block(params["block_0"], rows, context, causal)
    rows = [rms_norm(row, params["norm"]["scale"]) for row in rows]
    return [dense(params["dense"], row) for row in rows] if "dense" in params else rows
