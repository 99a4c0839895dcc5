"""Diagnostics: the numbers are those of jax.grad, and the verdicts follow from them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

from jaxnn import _program, backprop, losses, make_fit, networks
from jaxnn.activations import gelu, relu, sigmoid, tanh
from jaxnn.diagnostics import (
    _layers,
    attention_maps,
    diagnose,
    gradient_flow,
    integrated_gradients,
    layer_outputs,
    learning_rate_range,
    loss_landscape,
    principal_components,
    receptive_field,
    record_flow,
    record_updates,
    recorded_flow,
    saliency,
)
from jaxnn.layers import conv
from jaxnn.training import TrainState, gradient_step, run, supervised

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (6, 3))
Y = jax.random.normal(jax.random.key(2), (6, 2))
NET = networks.mlp([3, 5, 4, 2], activation=tanh)
PARAMS = NET.init(KEY)
LOSS = supervised(NET, losses.squared_error)


@pytest.fixture(scope="module")
def flow():
    return jax.jit(lambda params: gradient_flow(LOSS, params, (X, Y)))(PARAMS)


def drawn(*shape, scale=1.0):
    """Parameters of a dense layer."""
    kernel = np.random.default_rng(0).normal(size=shape) * scale
    return {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.zeros(shape[-1])}


def norm(tree):
    return jnp.sqrt(sum(jnp.square(leaf).sum() for leaf in jax.tree.leaves(tree)))


# Flow


def test_flow_is_what_backpropagation_computes(flow):
    table = backprop.explain(PARAMS, X, Y, activation=tanh)
    for i, layer in enumerate(table.layers):
        found, grads = flow[layer.name], table.grads[layer.name]
        assert found["position"] == i
        for entry, value in {
            "weight_norm": norm(PARAMS[layer.name]),
            "gradient_norm": norm(grads),
            "gradient_ratio": norm(grads) / norm(PARAMS[layer.name]),
            "activation_norm": norm(layer.a),
            "activation_mean": np.mean(layer.a),
            "activation_variance": np.var(layer.a),
            "delta_norm": norm(layer.delta),
            "delta_variance": np.var(layer.delta),
        }.items():
            np.testing.assert_allclose(found[entry], value, rtol=1e-4, err_msg=entry)
    assert "dead" not in flow["dense_2"], "what follows the last layer is the loss"


def test_dead_inactive_and_saturated_units_are_counted():
    kernel = jnp.array([[1.0, 1.0, 1.0, 1.0]])
    for f, bias, expected in [
        (relu, [0.0, -9.0, 9.0, -9.0], {"dead": 0.5, "inactive": 0.625, "saturated": 0}),
        (jax.nn.relu, [0.0, -9.0, 9.0, -9.0], {"dead": 0.5, "inactive": 0.625, "saturated": 0}),
        (sigmoid, [0.0, -9.0, 9.0, -9.0], {"dead": 0, "inactive": 0, "saturated": 0.75}),
        (jnp.tanh, [0.0, -4.0, 0.0, 0.0], {"dead": 0, "inactive": 0, "saturated": 0.25}),
    ]:
        params = {
            "in": {"kernel": kernel, "bias": jnp.array(bias)},
            "out": {"kernel": jnp.ones((4, 1))},
        }

        def loss_fn(p, x, f=f):
            hidden = f(x @ p["in"]["kernel"] + p["in"]["bias"])
            return jnp.square(hidden @ p["out"]["kernel"]).mean()

        found = gradient_flow(loss_fn, params, jnp.array([[-1.0], [1.0]]))
        assert list(found) == ["in", "out"]
        assert {entry: float(found["in"][entry]) for entry in expected} == expected
        assert "dead" not in found["out"], "the square belongs to the loss"


def test_any_loss_function_will_do_under_any_transformation(flow):
    with_penalty = lambda params, batch: (
        LOSS(params, batch, None)[0] + 0.1 * sum((p**2).sum() for p in jax.tree.leaves(params))
    )
    same = gradient_flow(LOSS, PARAMS, (X, Y), key=KEY)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), same, flow)
    other = gradient_flow(with_penalty, PARAMS, (X, Y))
    assert list(other) == list(flow), "a penalty is no output of a layer"
    np.testing.assert_allclose(
        other["dense_1"]["delta_norm"], flow["dense_1"]["delta_norm"], rtol=1e-5
    )
    assert other["dense_1"]["gradient_norm"] != flow["dense_1"]["gradient_norm"]
    several = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), PARAMS)
    each = jax.jit(jax.vmap(lambda p: gradient_flow(LOSS, p, (X, Y))))(several)
    for entry, value in flow["dense_0"].items():
        np.testing.assert_allclose(each["dense_0"][entry][0], value, rtol=1e-5)


def test_layers_keep_their_order_beyond_ten_and_huge_gradients_their_norm():
    net = networks.mlp([2, *[3] * 11, 1], activation=relu)
    params = {f"dense_{i}": drawn(*shape) for i, shape in enumerate([(2, 3)] + [(3, 3)] * 10)}
    params = jax.tree.map(lambda p: jnp.abs(p) * 1e5, params | {"dense_11": drawn(3, 1)})
    loss_fn = lambda p, x: 1e-20 * net.apply(p, x).sum()
    found = gradient_flow(loss_fn, params, 1e-20 * jnp.ones((1, 2)))
    assert list(found) == [f"dense_{i}" for i in range(12)]
    assert found["dense_0"]["gradient_norm"] > 1e19, "squares overflow, norms don't"
    assert np.isfinite(found["dense_0"]["gradient_norm"])


def test_networks_with_state_and_of_other_libraries_are_looked_into():
    net = networks.batch_norm_mlp([3, 4, 2])
    params, state = jax.jit(net.init)(KEY)
    loss_fn = supervised(net, losses.squared_error, has_state=True)
    flow = gradient_flow(loss_fn, params, (X, Y), key=KEY, statistics=state)
    assert list(flow) == ["dense_0", "batch_norm_0", "dense_1"]
    assert "dead" in flow["batch_norm_0"]
    assert "dead" not in flow["dense_0"]

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            return linen.Dense(1, name="b")(linen.relu(linen.Dense(4, name="a")(x)))

    params = {"params": {"a": drawn(3, 4), "b": drawn(4, 1)}}
    flow = gradient_flow(lambda p, x: Net().apply(p, x).mean(), params, X)
    assert list(flow) == ["params/a", "params/b"]
    assert "dead" in flow["params/a"]


def test_a_weight_that_meets_no_data_has_no_output():
    params = {"used": {"w": jnp.ones(2)}, "unused": {"w": jnp.zeros(2)}, "bare": jnp.zeros(())}
    flow = gradient_flow(lambda p, x: (x * p["used"]["w"]).sum(), params, jnp.ones((3, 2)))
    assert set(flow["unused"]) == {"position", "weight_norm", "gradient_norm", "gradient_ratio"}
    assert flow["unused"]["gradient_ratio"] == 0
    assert "parameters" in flow, "what stands in no dict of its own"


def by_exponentials(h):
    up, down = jnp.exp(h), jnp.exp(-h)
    return (up - down) / (up + down)


@jax.custom_vjp
def backward_only(h):
    return jnp.sin(h)


backward_only.defvjp(lambda h: (jnp.sin(h), h), lambda h, g: (g * jnp.cos(h),))
MASK = jax.random.bernoulli(KEY, 0.5, (16, 4))
SLOPES = jax.random.uniform(KEY, (16, 4))
MEASURED = {
    "gelu": jax.nn.gelu,
    "leaky_relu": jax.nn.leaky_relu,
    "by_exponentials": by_exponentials,
    "clip": lambda h: jnp.clip(h, -0.1, 0.1),
    "all_dead": lambda h: jnp.maximum(h - 100, 0),
    "backward_only": backward_only,
}
FOLLOWED = MEASURED | {
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "our_gelu": gelu,
    "by_tanh": lambda h: 0.5 * (1 + jnp.tanh(0.5 * h)),
    "swish": lambda h: h * jax.nn.sigmoid(h),
    "squared_relu": lambda h: jnp.square(jax.nn.relu(h)),
}
# What is no elementwise function, or not of z alone: the last operation of the activation in it.
PARTLY = {
    "dropout": ("tanh", lambda h: jnp.where(MASK, jnp.tanh(h) / 0.5, 0)),
    "dropout_leaky": ("select_n", lambda h: jnp.where(MASK, linen.leaky_relu(h) / 0.5, 0)),
    "residual": ("tanh", lambda h: SLOPES + 0.1 * jnp.tanh(h)),
    "normalized": ("tanh", lambda h: jnp.tanh(h) / jnp.square(jnp.tanh(h)).sum(-1)[:, None]),
    "dropout_alone": (None, lambda h: jnp.where(MASK, h / 0.5, 0)),
    "softmax": (None, jax.nn.softmax),
    "sort": (None, lambda h: jnp.sort(h)),
    "constant_product": (None, lambda h: h @ jnp.ones((4, 4))),
    "rms": (None, lambda h: h / jnp.sqrt(jnp.square(h).mean(-1, keepdims=True) + 1e-5)),
    "randomized": (None, lambda h: jnp.maximum(h, 0) + SLOPES * jnp.minimum(h, 0)),
}


def test_signals_behind_activations_of_any_kind_are_measured():
    params = {name: {"w": jnp.eye(4)} for name in MEASURED} | {"out": {"w": jnp.ones((4, 1))}}
    x = 2 * jax.random.normal(KEY, (16, 4))

    def loss_fn(params, x):
        outputs = [f(x @ params[name]["w"]) @ params["out"]["w"] for name, f in MEASURED.items()]
        return sum(jnp.square(y - 1).mean() for y in outputs)

    @jax.jit
    def expected(x):
        pulled = {name: jax.vjp(f, x) for name, f in MEASURED.items()}
        return {name: (norm(a), pull(jnp.ones_like(a))[0]) for name, (a, pull) in pulled.items()}

    flow = gradient_flow(loss_fn, params, x)
    for name, (size, slope) in expected(x).items():
        found, steep = flow[name], np.abs(slope)
        np.testing.assert_allclose(found["activation_norm"], size, rtol=1e-5, err_msg=name)
        assert found["inactive"] == np.mean(steep == 0), name
        assert found["saturated"] == np.mean((steep > 0) & (steep < 0.01)), name
    assert flow["all_dead"]["dead"] == 1


@pytest.mark.parametrize("name", [*FOLLOWED, *PARTLY])
def test_activations_are_followed_by_the_data_whatever_they_are_called(name):
    last, f = PARTLY[name] if name in PARTLY else ("whole", FOLLOWED[name])
    params = {"hidden": {"w": jnp.eye(4)}, "out": {"w": jnp.ones((4, 1))}}
    loss_fn = lambda p, x: jnp.square(f(x @ p["hidden"]["w"]) @ p["out"]["w"]).mean()
    program = _program.trace(loss_fn, params, jnp.ones((16, 4)))
    found = _layers.layers(program, params)[0].activation
    if last is None:
        assert found is None
        return
    assert found is not None
    end = program.operations[found[-1]]
    if last == "whole":
        product = [op for op in program.operations if op.name == "dot_general"][-1]
        assert product.inputs[0] == end.outputs[0]
    else:
        assert end.name == last


def test_parameters_that_are_no_kernels_are_layers_of_their_own():
    """A bias and a gain beside the kernel, and a learned slope, which is no number."""
    params = {
        "kernel": {"w": jnp.eye(3)},
        "bias": {"w": jnp.zeros(3)},
        "hidden": {"w": jnp.eye(3)},
        "gain": {"g": jnp.array(2.0)},
        "curved": {"w": jnp.eye(3)},
        "slope": {"a": jnp.array(0.2)},
        "out": {"w": jnp.ones((3, 1))},
    }

    def loss_fn(p, x):
        h = relu(x @ p["kernel"]["w"] + p["bias"]["w"])
        h = jnp.tanh(h @ p["hidden"]["w"] * p["gain"]["g"]) @ p["curved"]["w"]
        h = jnp.maximum(h, 0) + p["slope"]["a"] * jnp.minimum(h, 0)
        return jnp.square(h @ p["out"]["w"]).mean()

    flow = gradient_flow(loss_fn, params, X)
    assert list(flow) == list(params)
    assert [name for name in flow if "dead" in flow[name]] == ["bias", "gain"]
    np.testing.assert_allclose(flow["kernel"]["activation_norm"], norm(X), rtol=1e-5)
    np.testing.assert_allclose(flow["bias"]["activation_norm"], norm(relu(X)), rtol=1e-5)
    gained = jnp.tanh(2 * relu(X))
    np.testing.assert_allclose(flow["gain"]["activation_norm"], norm(gained), rtol=1e-5)
    assert diagnose(flow).name == "healthy", "a bias of zeros has no ratio to speak of"


def test_variables_of_nnx_share_the_layer_of_their_module():
    rngs = nnx.Rngs(0)
    net = nnx.Sequential(nnx.Linear(3, 4, rngs=rngs), jax.nn.relu, nnx.Linear(4, 2, rngs=rngs))
    graph, state = nnx.split(net)
    loss_fn = lambda state, batch: jnp.square(nnx.merge(graph, state)(batch[0]) - batch[1]).mean()
    flow = gradient_flow(loss_fn, state, (X, Y))
    assert list(flow) == ["layers/0", "layers/2"]
    a = relu(X @ net.layers[0].kernel[...])
    np.testing.assert_allclose(flow["layers/0"]["activation_norm"], norm(a), rtol=1e-5)


def test_kernels_of_a_flat_dict_or_list_are_layers():
    kernels = [0.1 * drawn(3, 3)["kernel"] for _ in range(4)]

    def loss_fn(kernels, x):
        for kernel in kernels:
            x = sigmoid(x @ kernel)
        return jnp.square(x).mean()

    nested = lambda p, x: loss_fn([p[f"d{i}"]["w"] for i in range(4)], x)
    expected = gradient_flow(nested, {f"d{i}": {"w": w} for i, w in enumerate(kernels)}, X)
    assert diagnose(expected).name == "vanishing"
    flat = lambda p, x: loss_fn([p["net"][f"w{i}"] for i in range(4)], x)
    named = {"net": {f"w{i}": w for i, w in enumerate(kernels)}}
    for flow, names in [
        (gradient_flow(loss_fn, kernels, X), [f"{i}" for i in range(4)]),
        (gradient_flow(flat, named, X), [f"net/w{i}" for i in range(4)]),
    ]:
        assert list(flow) == names
        jax.tree.map(np.testing.assert_array_equal, list(flow.values()), list(expected.values()))
    updates = {"net": {"update_ratio": 0.1}}
    assert diagnose({**flow, **updates}).name == "vanishing", "updates are those of the dict"


def test_a_bias_in_a_flat_dict_joins_the_product_it_is_added_to():
    params = {"b0": jnp.ones(3), "b1": jnp.ones(2), "unused": jnp.ones(1)}
    params |= {"w0": drawn(3, 3)["kernel"], "w1": drawn(3, 2)["kernel"]}
    loss_fn = lambda p, x: jnp.square(tanh(x @ p["w0"] + p["b0"]) @ p["w1"] + p["b1"] - 1).mean()
    flow = gradient_flow(loss_fn, params, X)
    assert list(flow) == ["w0", "w1", "parameters"]
    assert diagnose(flow).name == "healthy", "what is not used is no end of the network"
    weights = norm([params["w0"], params["b0"]])
    np.testing.assert_allclose(flow["w0"]["weight_norm"], weights, rtol=1e-5)
    a = tanh(X @ params["w0"] + params["b0"])
    np.testing.assert_allclose(flow["w0"]["activation_norm"], norm(a), rtol=1e-5)


def test_a_single_layer_is_not_compared():
    assert "no other to compare it with" in str(diagnose({"a": layer()}))


# Verdicts


def layer(position=0, gradient=1.0, ratio=1.0, **entries):
    return {
        "position": position,
        "gradient_norm": gradient,
        "gradient_ratio": ratio,
        **entries,
    }


@pytest.mark.parametrize(
    ("name", "first", "evidence"),
    [
        ("healthy", layer(), "between 1 and 1"),
        ("healthy", layer(dead=0.1, saturated=0.2, inactive=0.5), "At most 10%"),
        ("vanishing", layer(gradient=1e-6), "of a is 1e-06 times that of b"),
        ("exploding", layer(gradient=1e6), "of a is 1e+06 times that of b"),
        ("exploding", layer(ratio=1e4), "of a is 1e+04 times its weights"),
        ("dead", layer(dead=0.9, gradient=1e-9), "90% of the units of a"),
        ("saturated", layer(saturated=0.8, inactive=0.1), "90% of the entries of a"),
        ("not finite", layer(gradient=np.nan, dead=1.0), "The gradient_norm of a is nan"),
        ("not finite", layer(gradient=np.inf), "The gradient_norm of a is inf"),
        ("exploding", layer(gradient=[1.0, 1e9, np.nan]), "of a is 1e+09"),
    ],
)
def test_a_verdict_has_its_evidence(name, first, evidence):
    verdict = diagnose({"b": layer(1), "a": first})
    assert verdict.name == name
    assert evidence in " ".join(verdict.evidence)
    assert str(verdict).startswith(f"{name}: ")
    assert str(verdict).endswith(verdict.remedy)


def test_several_layers_are_one_sentence_and_no_gradient_is_vanishing():
    flow = {f"dense_{i}": layer(i, dead=0.5 + 0.1 * i) for i in range(3)}
    assert diagnose(flow).evidence == (
        "70% of the units of dense_2 are inactive on every example; 2 other layers with half or "
        "more.",
    )
    assert diagnose({"a": layer(gradient=0.0)}).evidence == ("All gradients are zero.",)


def test_networks_get_the_verdict_they_are_known_for():
    batch = jax.random.normal(KEY, (16, 32)), jnp.ones((16, 1))

    def verdicts(f, *variances):
        """Of a network of 12 layers, for several variances of its weights."""
        net = networks.mlp([32] * 12 + [1], activation=f)
        loss_fn = supervised(net, losses.squared_error)
        flow = jax.jit(lambda p: gradient_flow(loss_fn, p, batch))
        shapes = [(32, 32)] * 11 + [(32, 1)]
        rng = np.random.default_rng(0)
        for variance in variances:
            params = {
                f"dense_{i}": {
                    "kernel": jnp.asarray(rng.normal(size=s) * np.sqrt(variance / 32), jnp.float32),
                    "bias": jnp.zeros(s[1]),
                }
                for i, s in enumerate(shapes)
            }
            yield diagnose(flow(params))

    assert [v.name for v in verdicts(relu, 2.0, 60.0)] == ["healthy", "exploding"]
    (vanishing,) = verdicts(sigmoid, 1.0)
    assert vanishing.name == "vanishing"
    assert "that of dense_11" in vanishing.evidence[0], "jit sorts names, positions are kept"


# Recording


def test_recording_is_part_of_the_compiled_training():
    traces = []

    def counted(params, batch, key):
        traces.append(1)
        return LOSS(params, batch, key)

    optimizer = optax.sgd(0.0)
    fit = make_fit(record_flow(counted), optimizer, epochs=3, batch_size=6)
    arguments = PARAMS, (X, Y), (X, Y)
    text = str(jax.make_jaxpr(lambda *a: fit(*a, key=KEY))(*arguments))
    assert "callback" not in text
    seen = len(traces)
    history = fit(*arguments, key=KEY).history
    assert len(traces) == seen, "no step is traced again, and none runs in Python"
    found = recorded_flow(history)
    expected = gradient_flow(LOSS, PARAMS, (X, Y))
    assert list(found) == list(expected)
    for name, entries in expected.items():
        for entry, value in entries.items():
            np.testing.assert_allclose(found[name][entry], [value] * 3, rtol=1e-4, atol=1e-7)
    assert not any(name.startswith("validation_flow") for name in history)


def test_recording_adds_no_matrix_product():
    optimizer = optax.sgd(0.1)
    state = TrainState(PARAMS, optimizer.init(PARAMS))

    def products(loss_fn):
        step = jax.jit(gradient_step(loss_fn, optimizer))
        return step.lower(state, (X, Y), KEY).compile().as_text().count(" dot(")

    assert products(record_flow(LOSS)) == products(LOSS)


def test_a_population_and_running_statistics_are_recorded():
    net = networks.batch_norm_mlp([3, 4, 2])
    loss_fn = supervised(net, losses.squared_error, has_state=True)
    recording = record_flow(loss_fn, has_state=True)
    fit = make_fit(recording, optax.sgd(0.1), epochs=2, batch_size=3, has_state=True)
    keys = jax.random.split(KEY, 2)
    result = jax.vmap(lambda k: fit(net.init(k), (X, Y), key=k))(keys)
    flow = recorded_flow(result.history)
    assert flow["batch_norm_0"]["dead"].shape == (2, 2)
    assert "update_ratio" not in flow["dense_0"]


def test_the_size_of_updates_is_recorded():
    step = record_updates(gradient_step(record_flow(LOSS), optax.sgd(0.1)))
    state = TrainState(PARAMS, optax.sgd(0.1).init(PARAMS))
    _, history, _ = jax.jit(
        lambda state: run(step, state, (X, Y), key=KEY, epochs=2, batch_size=6)
    )(state)
    flow = recorded_flow(history)
    for entries in flow.values():
        np.testing.assert_allclose(
            entries["update_ratio"], 0.1 * entries["gradient_ratio"], rtol=1e-3
        )
    assert diagnose(flow).name == "healthy"


# Inside


def test_outputs_of_layers_are_those_before_activations():
    found = layer_outputs(NET.apply, PARAMS, X)
    z = X @ PARAMS["dense_0"]["kernel"] + PARAMS["dense_0"]["bias"]
    np.testing.assert_allclose(found["dense_0"], z, rtol=1e-6)
    np.testing.assert_allclose(found["dense_2"], NET.apply(PARAMS, X), rtol=1e-6)
    net = networks.lstm(3, 4, 1)
    shapes = jax.eval_shape(
        lambda x: layer_outputs(net.apply, net.init(KEY), x), jnp.ones((2, 5, 3))
    )
    assert {name: value.shape for name, value in shapes.items()} == {
        "layer_0/dense_h": (5, 2, 4),
        "layer_0/dense_i": (5, 2, 4),
        "dense": (2, 1),
    }


def test_attention_weights_are_the_softmax_of_the_scores():
    from jaxnn.layers import multi_head_attention, multi_head_attention_init

    params = {"attention": multi_head_attention_init(KEY, 8, 4, groups=2)}
    x = jax.random.normal(KEY, (3, 5, 8))
    mask = jnp.tril(jnp.ones((5, 5), bool))

    def f(params, x):
        return multi_head_attention(params["attention"], x, mask=mask)

    (weights,) = attention_maps(f, params, x).values()
    assert weights.shape == (3, 4, 5, 5)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    assert not np.triu(weights, 1).any()
    q, k = (
        jnp.einsum("btf,fhd->bthd", x, p["kernel"]) + p["bias"]
        for p in (params["attention"]["query"], params["attention"]["key"])
    )
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, jnp.repeat(k, 2, 2)) / np.sqrt(2)
    np.testing.assert_allclose(
        weights, jax.nn.softmax(jnp.where(mask, scores, -jnp.inf)), rtol=1e-4, atol=1e-6
    )


def test_attention_of_flax_is_found_and_its_absence_is_said():
    module = linen.MultiHeadDotProductAttention(2)
    x = jnp.ones((1, 3, 4))
    params = module.init(KEY, x)
    (weights,) = attention_maps(module.apply, params, x).values()
    np.testing.assert_allclose(weights, np.full((1, 2, 3, 3), 1 / 3), rtol=1e-6)
    with pytest.raises(ValueError, match=r"^attention_maps: .* must .*got .*\. \S"):
        attention_maps(NET.apply, PARAMS, X)


# Landscapes and rates


def test_a_slice_through_a_bowl_is_a_bowl():
    params = {"kernel": jnp.array([[3.0, 0.0], [4.0, 2.0]]), "bias": jnp.ones(2)}
    bowl = lambda p, batch: batch * sum(jnp.square(a).sum() for a in jax.tree.leaves(p))
    u = {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}
    v = {"kernel": jnp.zeros((2, 2)), "bias": jnp.ones(2)}
    found = loss_landscape(bowl, params, 2.0, key=KEY, points=5, radius=2.0, directions=[u, v])
    a, b = np.meshgrid(*[np.linspace(-2, 2, 5)] * 2, indexing="ij")
    expected = 2 * ((3 + a) ** 2 + 16 + (2 + a) ** 2 + 2 * (1 + b) ** 2)
    np.testing.assert_allclose(found["loss"], expected, rtol=1e-5)
    random = loss_landscape(bowl, params, 1.0, key=KEY, points=3, dimensions=1)
    assert random["loss"].shape == (3,)
    # At either end each column has moved by its own length, and the biases not at all.
    ends = float(random["loss"][0] + random["loss"][2]) / 2
    np.testing.assert_allclose(ends, 2 + 2 * (25 + 4), rtol=1e-5)


def test_a_rate_beyond_two_over_the_curvature_diverges():
    loss_fn = lambda p, batch, key: ((5 * p["w"] ** 2).sum(), {})  # curvature 10
    found = learning_rate_range(
        loss_fn, optax.sgd, {"w": jnp.ones(1)}, jnp.ones(4), key=KEY, batch_size=2,
        rates=[0.001, 0.1, 0.19, 0.3, 1e9], steps=30,
    )  # fmt: skip
    final = np.asarray(found["final"])
    assert found["loss"].shape == (5, 30)
    assert float(found["best"]) == pytest.approx(0.1)
    assert final[1] < 1e-10, "the rate 1 / curvature arrives at once"
    assert final[2] < final[0] < 5 < final[3]
    assert np.isinf(final[4])
    none = learning_rate_range(
        loss_fn, optax.sgd, {"w": jnp.ones(1)}, jnp.ones(4), key=KEY, batch_size=2,
        rates=[1e9, 1e8], steps=30,
    )  # fmt: skip
    assert np.isnan(none["best"]), "the best of none"


# Attribution


def test_saliency_is_the_gradient_of_the_chosen_score():
    w = jnp.array([[1.0, -2.0], [3.0, 0.5]])
    f = lambda x: x @ w
    x = jnp.array([[1.0, 1.0], [-1.0, -1.0]])
    np.testing.assert_array_equal(saliency(f, x), [[1, 3], [-2, 0.5]])
    np.testing.assert_array_equal(saliency(f, x, jnp.array([1, 1])), [[-2, 0.5]] * 2)
    np.testing.assert_array_equal(saliency(lambda x: f(x)[:, 0], x), [[1, 3]] * 2)


def test_integrated_gradients_add_up_to_the_change_of_the_score():
    f = lambda x: jnp.stack([jnp.sin(x[:, 0]) * x[:, 1], x.sum(-1) ** 3], -1)
    x, base = jnp.array([[1.0, 2.0], [0.3, -1.0]]), jnp.array([0.5, 0.1])
    target = jnp.array([0, 1])
    found = integrated_gradients(f, x, target, baseline=base, steps=400)
    at = lambda x: f(x)[jnp.arange(2), target]
    change = at(x) - at(jnp.broadcast_to(base, x.shape))
    np.testing.assert_allclose(found.sum(-1), change, atol=1e-4)


def test_a_receptive_field_grows_with_depth():
    kernels = [jnp.abs(jax.random.normal(k, (3, 3, 2, 2))) for k in jax.random.split(KEY, 2)]

    def f(x):
        for kernel in kernels:
            x = relu(conv({"kernel": kernel}, x))
        return x

    x = jnp.ones((1, 9, 9, 2))
    seen = np.argwhere(np.asarray(receptive_field(f, x)) > 0)
    assert (seen.min(0).tolist(), seen.max(0).tolist()) == ([2, 2], [6, 6])
    corner = np.argwhere(np.asarray(receptive_field(f, x, (0, 8))) > 0)
    assert (corner.min(0).tolist(), corner.max(0).tolist()) == ([0, 6], [2, 8])


def test_principal_components_are_those_of_the_covariance():
    x = np.random.default_rng(0).normal(size=(40, 4)) * [3, 1, 0.2, 0.1]
    x = x.astype(np.float32)
    found = principal_components(x, 3)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    np.testing.assert_allclose(found.explained, values[::-1][:3] / values.sum(), rtol=1e-4)
    np.testing.assert_allclose(
        np.abs(found.directions), np.abs(vectors.T[::-1][:3]), rtol=1e-2, atol=1e-3
    )
    np.testing.assert_allclose(found.points, (x - x.mean(0)) @ found.directions.T, atol=1e-4)
    flat = principal_components(np.ones((3, 2), np.float32))
    np.testing.assert_array_equal(flat.explained, 0)


# Errors

image = jnp.ones((1, 4, 4, 1))
same = lambda x: x
BAD = [
    (TypeError, lambda: gradient_flow("loss", PARAMS, X)),  # pyright: ignore
    (TypeError, lambda: gradient_flow(lambda p, x: x, PARAMS, X)),
    (ValueError, lambda: diagnose({})),
    (ValueError, lambda: diagnose({"a": {"dead": 0.0}})),
    (TypeError, lambda: record_flow(3)),  # pyright: ignore
    (TypeError, lambda: record_updates(3)),  # pyright: ignore
    (ValueError, lambda: recorded_flow({"loss": jnp.ones(2)})),
    (TypeError, lambda: layer_outputs(3, PARAMS)),  # pyright: ignore
    (TypeError, lambda: attention_maps(3, PARAMS)),  # pyright: ignore
    (TypeError, lambda: loss_landscape(3, PARAMS, X, key=KEY)),  # pyright: ignore
    (ValueError, lambda: loss_landscape(LOSS, PARAMS, X, key=KEY, points=0)),
    (ValueError, lambda: loss_landscape(LOSS, PARAMS, X, key=KEY, radius=0.0)),
    (ValueError, lambda: loss_landscape(LOSS, PARAMS, X, key=KEY, dimensions=3)),
    (
        TypeError,
        lambda: learning_rate_range(LOSS, 0.1, PARAMS, X, key=KEY, batch_size=1),  # pyright: ignore
    ),
    (
        ValueError,
        lambda: learning_rate_range(LOSS, optax.sgd, PARAMS, X, key=KEY, batch_size=0),
    ),
    (
        ValueError,
        lambda: learning_rate_range(LOSS, optax.sgd, PARAMS, (X, Y[1:]), key=KEY, batch_size=1),
    ),
    (TypeError, lambda: saliency(3, X)),  # pyright: ignore
    (TypeError, lambda: saliency(same, jnp.ones((2, 2), int))),
    (ValueError, lambda: saliency(lambda x: x[:, None], X)),
    (ValueError, lambda: saliency(same, X, jnp.array([5] * 6))),
    (ValueError, lambda: saliency(same, X, jnp.array([0]))),
    (TypeError, lambda: saliency(same, X, jnp.ones(6))),
    (ValueError, lambda: integrated_gradients(same, X, steps=0)),
    (ValueError, lambda: receptive_field(lambda x: x[0], image)),
    (ValueError, lambda: receptive_field(same, image, (4, 0))),
    (TypeError, lambda: principal_components(jnp.ones((3, 3), int))),
    (ValueError, lambda: principal_components(jnp.ones(3))),
    (ValueError, lambda: principal_components(jnp.ones((3, 1)))),
]


@pytest.mark.parametrize(("kind", "call"), BAD)
def test_bad_input_is_refused(kind, call):
    with pytest.raises(kind, match=r"^\w+: .* must .*got .*\. \S"):
        call()


def test_programs_run_as_they_were_traced():
    """Loops, branches, constants and functions with rules of their own, and calls within calls."""
    table = jnp.arange(4.0)

    @jax.jit
    def inner(x):
        return jnp.where(x > 0, sigmoid(x), x) + table[:3]

    def f(x, n):
        x, _ = jax.lax.scan(lambda c, t: (inner(c) * t, None), x, jnp.ones(3))
        x = jax.lax.cond(n > 0, jnp.sin, jnp.cos, x)
        return {"x": jax.checkpoint(inner)(x), "n": n + 1, "c": 2.0}

    program = _program.trace(f, jnp.ones(3), jnp.array(1))
    for x, n in itertools.product([jnp.ones(3), -jnp.ones(3)], [0, 1]):
        expected = f(x, jnp.array(n))
        found = program.run([x, jnp.array(n)])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, expected)
