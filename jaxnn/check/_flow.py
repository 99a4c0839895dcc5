"""The flow of gradients through a network, and norms, means and variances of every size."""

import jax.numpy as jnp
import numpy as np

from jaxnn import activations, diagnostics, losses, networks, training
from jaxnn.check import _stacks, _truth
from jaxnn.check._blocks import value
from jaxnn.check._networks import of_params, params_of
from jaxnn.check._stacks import mlp, numbers, slopes
from jaxnn.check._vectors import flat, mean, norm, normal, plus, sized, together

FLOW = (
    "activation_mean", "activation_norm", "activation_variance", "delta_norm", "delta_variance",
    "gradient_norm", "gradient_ratio", "weight_norm",
)  # fmt: skip
SLOPES = ("dead", "inactive", "saturated")


def _variance(row):
    return mean([(v - mean(row)) ** 2 for v in row])


def _flow_of(name, f, slope, activation, scale):
    """Of a network of two layers, all entries of both; the last has no activation."""
    net = networks.mlp([2, 3, 1], activation=activation)
    loss_fn = training.supervised(net, losses.squared_error)

    def found(params, x, y):
        flow = diagnostics.gradient_flow(loss_fn, params, (x, y))
        of = lambda layer, names: [flow[layer][name] for name in names]
        return flat(*of("dense_0", FLOW + SLOPES), *of("dense_1", FLOW))

    def truth(params, x, y):
        def lost(params, added):
            """With something added to what each layer computes, of which the slope is asked."""
            total = 0
            for row, target, (first, last) in zip(x, y, added, strict=True):
                z = plus(_stacks.dense(params["dense_0"], row), first)
                out = _stacks.dense(params["dense_1"], [f(v) for v in z])[0] + last
                total += (out - target[0]) ** 2
            return total / len(x)

        none = [[[0, 0, 0], 0] for _ in x]
        grads = slopes(lambda p: lost(p, none), params)
        deltas = slopes(lambda added: lost(params, added), none)
        both = [mlp(params, row, f) for row in x]
        z = [[v for layers in both for v in layers[i]] for i in range(2)]
        signals = [f(v) for v in z[0]], z[1]
        parts = [v for first, _ in deltas for v in first], [last for _, last in deltas]
        out = []
        for i, (a, delta) in enumerate(zip(signals, parts, strict=True)):
            weight, gradient = (norm(numbers(tree[f"dense_{i}"])) for tree in (params, grads))
            out += [mean(a), norm(a), _variance(a), norm(delta), _variance(delta)]
            out += [gradient, gradient / weight, weight]
            if i == 0:
                size = [abs(slope(v)) for v in z[0]]
                shut = [s == 0 for s in size]
                dead = [all(shut[unit::3]) for unit in range(3)]
                small = [0 < s < 0.01 for s in size]
                out += [_truth.mp().mpf(sum(part)) / len(part) for part in (dead, shut, small)]
        return out

    like = params_of(net)
    return of_params("diagnostics." + name, like, found, truth, (4, 2), (4, 1), wrt=0, scale=scale)


def _hyperbolic_slope(z):
    return 1 - _truth.mp().tanh(z) ** 2


def _norms():
    """The gradient of sum(w g) is g: norms of every size, and their ratio."""

    def f(w, g):
        loss_fn = lambda params, batch: (params["layer"]["kernel"] * batch).sum()
        flow = diagnostics.gradient_flow(loss_fn, {"layer": {"kernel": w}}, g)["layer"]
        return flat(flow["weight_norm"], flow["gradient_norm"], flow["gradient_ratio"])

    truth = lambda w, g: [norm(w), norm(g), norm(g) / norm(w)]
    return value("diagnostics.gradient_flow (norms)", f, truth, _two_of_any_size(5), "ULP", 8)


def _two_of_any_size(*shape):
    powers = [(-30, 37.5)] * 2
    return together(normal(shape, shape), sized(shape, shape, powers=powers, count=16))


def _hard(*shape):
    """Of every size, with offsets up to a million deviations, and at the end of the range."""

    def draw(settings):
        random = np.random.default_rng(settings.seed)
        x = random.normal(size=(12, *shape))
        size = 10.0 ** random.uniform(-30, 36, (12, *(1,) * len(shape)))
        size[::2] = 10.0 ** random.uniform(-18, 18, size[::2].shape)  # of which squares exist
        offset = 10.0 ** random.uniform(2, 6, size.shape)
        x[1::3] += offset[1::3]
        x = np.clip(x * size, -3e38, 3e38)
        x[-1] = random.uniform(2e38, 3.4e38, shape)
        return (x.astype(np.float32),)

    return draw


def _signals():
    """Of a layer that passes on what it gets, and a loss whose slope there is what is asked."""

    def f(x, c):
        loss_fn = lambda params, batch: (batch[0] @ params["layer"]["kernel"] * batch[1]).sum()
        params = {"layer": {"kernel": jnp.ones((1, 1))}}
        flow = diagnostics.gradient_flow(loss_fn, params, (x, c))["layer"]
        return flat(*(flow[name] for name in FLOW[:5]))

    def truth(x, c):
        a, delta = numbers(x), numbers(c)
        return [mean(a), norm(a), _variance(a), norm(delta), _variance(delta)]

    def terms(x, c):
        """The mean alone may be a difference of what is larger."""
        largest = np.abs(x).max((1, 2)).astype(float)
        return {"value": np.stack([largest, *[0 * largest] * 4], -1)}

    columns = _hard(7, 1)

    def both(settings):
        (x,) = columns(settings)
        return x, x[::-1].copy()

    return value("diagnostics.gradient_flow (signals)", f, truth, both, "ULP", 8, terms)


def _updates():
    """Weights before and after a step."""

    def f(before, after):
        state = lambda kernel: training.TrainState({"layer": {"kernel": kernel}}, ())
        step = diagnostics.record_updates(lambda *args: (state(after), {}))
        return step(state(before), None, None)[1]["flow/layer/update_ratio"]

    truth = lambda a, b: [norm([y - x for x, y in zip(a, b, strict=True)]) / norm(a)]

    def draw(settings):
        before, moved = _two_of_any_size(5)(settings)
        size = 2.0 ** -np.arange(len(before))[:, None] * np.abs(before).max(-1, keepdims=True)
        after = before + size * moved / np.abs(moved).max(-1, keepdims=True)
        both = np.array([[3.3e38, -3e38, 1e38, 0, 0]])
        before, after = np.append(before, both, 0), np.append(after, -both, 0)
        return before.astype(np.float32), after.astype(np.float32)

    return value("diagnostics.record_updates", f, truth, draw, "ULP", 8)


def entries():
    """All of them."""
    relu_slope = lambda z: 1 if z > 0 else 0
    return [
        _flow_of("gradient_flow", _stacks.relu, relu_slope, activations.relu, 1.0),
        _flow_of("gradient_flow (tanh)", _stacks.tanh, _hyperbolic_slope, activations.tanh, 1.5),
        _norms(), _signals(), _updates(),
    ]  # fmt: skip
