"""backprop.explain of every network: gradients of jax.grad, and numbers that follow the rules."""

import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from harness import quick_jit
from matplotlib.mathtext import MathTextParser
from scipy.signal import convolve2d, correlate2d
from test_backprop import check_html
from test_parameters import NETWORKS

from jaxnn import activations, layers, losses, networks
from jaxnn.backprop import explain
from jaxnn.backprop._shown import fits

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY = jax.random.key(3)


@pytest.fixture(autouse=True, scope="module")
def _wide():
    with jax.enable_x64(True):
        yield


def drawn(tree):
    """Other numbers of the same shapes; integers and keys as they are."""

    def draw(i, a):
        if not jnp.issubdtype(a.dtype, jnp.floating):
            return a
        return jax.device_put(np.random.default_rng(i).normal(size=a.shape))

    leaves, structure = jax.tree.flatten(tree)
    return jax.tree.unflatten(structure, [draw(i, a) for i, a in enumerate(leaves)])


def loss(outputs, y):
    """Something of all outputs, in which no two entries count alike."""
    del y
    weighted = lambda o: jnp.sin(o * jnp.linspace(0.1, 1, o.size, dtype=o.dtype).reshape(o.shape))
    return sum(jnp.sum(weighted(o)) for o in jax.tree.leaves(outputs))


@cache
def explained(name):
    """A table, and the value and gradients of jax.grad."""
    network, x = NETWORKS[name]
    made = drawn(jax.eval_shape(network.init, KEY))
    stateful = isinstance(network, networks.StatefulNetwork)
    params, state = made if stateful else (made, None)
    x = drawn(x)
    options = {"state": state, "train": True} if stateful else {}
    table = explain(params, x, None, loss, network=network, limit=1000, **options)

    def objective(params, x):
        outputs = network.apply(params, state, x, train=True)[0] if stateful else (
            network.apply(params, x))  # fmt: skip
        return loss(outputs, None)

    floats = all(jnp.issubdtype(a.dtype, jnp.floating) for a in jax.tree.leaves(x))
    wrt = (0, 1) if floats else 0
    value, grads = quick_jit(jax.value_and_grad(objective, wrt))(params, x)
    return table, value, grads if floats else (grads, None)


# A map is not learned by gradients.
BY_GRADIENT = sorted(set(NETWORKS) - {"self_organizing_map"})
# The tests of one network share a worker, and with it the table.
# All blocks of these are in others: in mlp, in resnet, and in sequence_to_sequence.
FURTHER = {"autoencoder", "batch_norm_cnn", "transformer_encoder", "with_state"}
each_network = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in FURTHER else [])
        for name in BY_GRADIENT
    ],
)


@each_network
def test_gradients_of_every_network_are_those_of_jax(name):
    table, value, (grads, x_grad) = explained(name)
    same = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)
    same(table.loss, value)
    jax.tree.map(same, table.grads, grads)
    if x_grad is not None:
        jax.tree.map(same, table.x_grad, x_grad)
    if name == "siamese":  # its layers share parameters, and have a part of the gradient each
        return
    for layer in table.layers:
        for path, grad in layer.grads.items():
            same(grad, at(at(grads, layer.name), path))


def at(tree, path):
    """What stands at a path; scopes that are no key, such as `unrolled`, are passed over."""
    for key in path.split("/"):
        tree = tree.get(key, tree)
    return tree


@each_network
def test_tables_of_every_network_are_whole(name):
    table = explained(name)[0]
    assert not re.search(r"[\\{}]|<[\w/]|\bNone\b", str(table))
    assert "nan" not in str(table)
    equations = [e for _, equations in table._written.sections for e in equations]
    for formula in {re.sub(r"\d+", "1", f"${e.symbol} = {e.rule}$") for e in equations}:
        MathTextParser("path").parse(formula)
    assert all(line[0] == line[-1] == "$" for line in table.latex().splitlines())
    check_html(table._repr_html_())
    rows = [line for line in table.markdown().splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}


# The numbers that are put in


def total(terms):
    """What terms with arrays in them amount to: sums of products, of matrices or of entries."""
    text, arrays = "", []
    for term in terms:
        if isinstance(term, str):
            factor = re.fullmatch(r"\\cdot ([\d.e/-]+)", term)
            text += f" * ({factor[1]})" if factor else re.sub(r"\\(odot|cdot)", "*", term)
        else:
            arrays.append(np.asarray(term))
            follows = text.rstrip()[-1:] == "]"
            text += f"{' @ ' if follows else ''}arrays[{len(arrays) - 1}]"
    return eval(text, {"arrays": arrays})


@each_network
def test_rules_with_numbers_give_the_value(name):
    sections = explained(name)[0]._written.sections
    put_in = [e for _, equations in sections for e in equations if e.terms]
    signs = lambda e: {term for term in e.terms if isinstance(term, str)}
    # Convolutions have a test of their own, and what is too large is not printed.
    printed = lambda e: all(fits(t, 1000) for t in e.terms if not isinstance(t, str))
    plain = [e for e in put_in if printed(e) and not any("st" in s for s in signs(e))]
    assert plain
    for equation in plain:
        np.testing.assert_allclose(
            total(equation.terms), equation.value, rtol=1e-8, atol=1e-10, err_msg=equation.rule
        )


def test_a_convolution_slides_its_kernel_and_backward_slides_it_flipped():
    net = networks.cnn((4, 4, 1), [1], 2, pool=2)
    params, x = drawn(jax.eval_shape(net.init, KEY)), drawn(np.zeros((1, 4, 4, 1)))
    params["conv_1"] = params["conv_0"]

    def twice(params, x):  # the second has a map, whose cotangent goes back through its kernel
        x = activations.tanh(layers.conv(params["conv_0"], x))
        return layers.conv(params["conv_1"], x)

    params = {name: params[name] for name in ("conv_0", "conv_1")}
    table = explain(params, x, jnp.zeros((1, 4, 4, 1)), network=twice, limit=200)
    first, second = table.layers
    image = lambda a: np.asarray(a)[0, :, :, 0]
    kernel = np.asarray(params["conv_1"]["kernel"])[:, :, 0, 0]
    bias = float(params["conv_1"]["bias"][0])
    np.testing.assert_allclose(
        image(second.z), correlate2d(image(first.a), kernel, "same") + bias, rtol=1e-10
    )
    np.testing.assert_allclose(image(first.a_grad), convolve2d(image(second.delta), kernel, "same"))
    padded = np.pad(image(first.a), 1)
    np.testing.assert_allclose(
        second.grads["kernel"][:, :, 0, 0], correlate2d(padded, image(second.delta), "valid")
    )
    assert "∂L/∂a₁ = δ₂ ∗ W₂" in str(table)
    assert "∂L/∂W₂ = a₁ ⋆ δ₂" in str(table)
    rows = str(table).split("  a₁ = tanh(z₁)\n")[1].splitlines()[:4]
    assert [len(re.findall(r"\d\.\d", row)) for row in rows] == [4] * 4, "as an image"


# Backpropagation through time


def by_hand(kind, params, xs, added):
    """The states of a recurrent layer, with something added to the pre-activations."""
    weights = params["dense_i"]["kernel"], params["dense_h"]["kernel"]
    bias = params["dense_i"].get("bias", params["dense_h"].get("bias"))
    h = c = jnp.zeros((xs.shape[0], weights[1].shape[0]))
    states = []
    for t in range(xs.shape[1]):
        u, v, e = xs[:, t] @ weights[0] + bias, h @ weights[1], added[:, t]
        if kind == "simple_rnn":
            h = jnp.tanh(u + v + e)
        elif kind == "lstm":
            i, f, g, o = jnp.split(u + v + e, 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
        else:
            (ur, uz, un), (vr, vz, vn) = jnp.split(u + e, 3, -1), jnp.split(v, 3, -1)
            r, z = jax.nn.sigmoid(ur + vr), jax.nn.sigmoid(uz + vz)
            h = (1 - z) * jnp.tanh(un + r * vn) + z * h
        states.append(h)
    return jnp.stack(states, 1)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", ["simple_rnn", "gru", "lstm"])
def test_deltas_of_every_step_are_those_of_jax(kind, reverse):
    layer = getattr(layers, kind)
    made = getattr(layers, f"{kind}_init")(KEY, 2, 3)
    params, xs = drawn({"layer": made}), drawn(np.zeros((2, 4, 2)))
    y = drawn(np.zeros((2, 4, 3)))

    def network(params, xs):
        with jax.named_scope("layer"):
            return layer(params["layer"], xs, reverse=reverse)

    table = explain(params, xs, y, network=network, scale=0.5)
    turn = (lambda a: a[:, ::-1]) if reverse else (lambda a: a)

    def objective(added):
        states = by_hand(kind, params["layer"], turn(xs), turn(added))
        return 0.5 * jnp.sum((turn(states) - y) ** 2)

    (only,) = table.layers
    np.testing.assert_allclose(
        only.delta, quick_jit(jax.grad(objective))(jnp.zeros_like(only.z)), rtol=1e-8, atol=1e-12
    )
    text = str(table)
    assert [text.count(f"∂L/∂h₁,{t} =") for t in "₁₂₃₄"] == [1] * 4
    assert "∂L/∂h₁,₄ = λ₁,₄\n" in text, "nothing comes back to the last step but from above"
    assert "W meets the input, U the state before" in text


def test_a_long_sequence_shows_the_norm_of_every_delta():
    net = networks.rnn(1, 2, 1)
    params, xs = drawn(jax.eval_shape(net.init, KEY)), drawn(np.zeros((1, 9, 1)))
    table = explain(params, xs, jnp.zeros((1, 1)), network=net)
    norms = np.linalg.norm(np.asarray(table.layers[0].delta)[0], axis=-1)
    printed = re.search(r"‖δ₁,ₜ‖ = steps 1 to 9\n\s+= \[(.*)\]", str(table))
    assert printed is not None
    np.testing.assert_allclose([float(n) for n in printed[1].split()], norms, atol=1e-4)


def test_padding_is_not_unrolled_but_right():
    net = networks.lstm(1, 2, 1)
    params, xs = drawn(jax.eval_shape(net.init, KEY)), drawn(np.zeros((2, 4, 1)))
    lengths = jnp.array([2, 4])
    table = explain(params, xs, jnp.zeros((2, 1)), network=net, lengths=lengths)
    objective = lambda params: jnp.mean(net.apply(params, xs, lengths=lengths) ** 2)
    jax.tree.map(np.testing.assert_allclose, table.grads, quick_jit(jax.grad(objective))(params))
    assert "λ" not in str(table)


# What a reader sees


FORMULAS = {
    "cnn": ["z₁ = x ⋆ W₁ + b₁", "p₁ = max_window a₁", "∂L/∂a₁ = ∂L/∂p₁ where the maxima were"],
    "batch_norm_mlp": ["x̂₂ = (z₁ - mean_batch(z₁))/√(var_batch(z₁) + ε)",
                       "δ₁ = (h₂ - mean(h₂) - x̂₂ mean(h₂ x̂₂))/√(var_batch(z₁) + ε)"],
    "transformer": ["A₃ = P₃ V₃ with P₃ = softmax(Q₃ K₃ᵀ/√d)", "s₃ = e₁ + c₃",
                    "∂L/∂n₂ = δ^Q₃ W^Q₃ᵀ + δ^K₃ W^K₃ᵀ + δ^V₃ W^V₃ᵀ",
                    "∂L/∂e₁ = (h₂ - x̂₂ mean(h₂ x̂₂))/√(mean(e₁²) + ε) + ∂L/∂s₃"],
    "rnn": ["∂L/∂h₁,₂ = λ₁,₂ + δ₁,₃ U₁ᵀ", "∂L/∂U₁ = Σₜ h₁,ₜ₋₁ᵀ δ₁,ₜ"],
    "lstm": ["c₁,₂ = f₁,₂ ⊙ c₁,₁ + i₁,₂ ⊙ g₁,₂"],
    "siamese": ["z₃ = x^(2) W₁ + b₁", "∂L/∂W₁ = x^(1)ᵀ δ₁ + the above"],
    "rbf_network": ["φ₁ = exp(-‖d₁‖²/2)"],
    "sequence_to_sequence": [
        "Q₁₂, K₁₂, V₁₂ = n₇ W^Q₁₂ + b^Q₁₂, n₁₁ W^K₁₂ + b^K₁₂, n₁₁ W^V₁₂ + b^V₁₂",
        "∂L/∂n₇ = δ^Q₁₂ W^Q₁₂ᵀ\n"],
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_are_those_of_the_blocks(name):
    for formula in FORMULAS[name]:
        assert formula in str(explained(name)[0]), formula


def test_statistics_that_are_kept_have_a_formula_of_their_own():
    net = networks.batch_norm_mlp([3, 2, 1])
    params, state = net.init(KEY)
    x = drawn(np.zeros((4, 3)))
    kept = explain(params, x, jnp.zeros((4, 1)), network=net, state=state)
    assert "with running mean m and variance v" in str(kept)
    assert "δ₁ = h₂/√(v + ε)" in str(kept)
    same = explain(params, x, jnp.zeros((4, 1)),
                   network=lambda params, x: net.apply(params, state, x)[0])  # fmt: skip
    assert str(same) == str(kept)


@pytest.mark.parametrize("name", ["mlp"])
def test_a_prompt_and_a_notebook_show_the_table(name):
    table = explained(name)[0]
    assert repr(table) == str(table)
    assert "δ₂" in table._repr_html_()


def test_options_of_an_activation_are_not_forgotten():
    for beta, formula in ((1.0, "a₁ = z₁ ⊙ σ(z₁)"), (2.0, "a₁ = swish(z₁)")):
        net = networks.mlp([2, 2, 1], activation=lambda z, b=beta: activations.swish(z, b))
        table = explain(
            drawn(jax.eval_shape(net.init, KEY)), jnp.ones((1, 2)), jnp.ones((1, 1)), network=net
        )
        assert formula in str(table)


def test_what_draws_noise_is_shown_as_it_was_drawn():
    net = networks.mlp([2, 4, 1], dropout_rate=0.5)
    params, x = drawn(jax.eval_shape(net.init, KEY)), jnp.ones((3, 2))
    table = explain(params, x, jnp.ones((3, 1)), network=net, key=jax.random.key(1))
    objective = lambda params: jnp.mean((net.apply(params, x, key=jax.random.key(1)) - 1) ** 2)
    jax.tree.map(np.testing.assert_allclose, table.grads, quick_jit(jax.grad(objective))(params))
    assert table.layers[0].kinds == ("dense", "relu", "dropout")
    assert "d₁ = m ⊙ a₁" in str(table)


# Functions that are none of ours


def test_any_function_is_shown_operation_by_operation():
    params = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([0.1, -0.2]),
              "scale": jnp.array([2.0, 0.5])}  # fmt: skip

    def network(params, x):
        h = jnp.sin(x @ params["w"] + params["b"]) * params["scale"]
        return (2 - jnp.exp(h) / 3 - h * jnp.cumsum(h, -1)).sum(-1) * 0.5

    x, y = drawn(np.zeros((3, 2))), jnp.zeros(3)
    table = explain(params, x, y, network=network)
    objective = lambda params, x: jnp.mean((network(params, x) - y) ** 2)
    expected = quick_jit(jax.grad(objective, (0, 1)))(params, x)
    found = table.grads, table.x_grad
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8), found, expected)
    for formula in (
        "z₁ = x w₁",
        "sin(s₁)",
        "∂L/∂w₁ = xᵀ δ₁",
        "Σ_rows ∂L/∂s₁",
        "cumsum(",
        " = 2 - ",
        "/3\n",
        " · 0.5\n",
    ):
        assert formula in str(table), formula


def test_formulas_are_not_guessed_from_shapes():
    params = {"w": drawn(np.zeros((2, 2))), "b": drawn(np.zeros((3, 2))), "c": jnp.ones((1, 2))}
    x, y = drawn(np.zeros((3, 2))), jnp.zeros((3, 2))
    network = lambda params, x: (x @ params["w"].T + params["b"]) * params["c"]
    text = str(explain(params, x, y, network=network))
    assert "x w₁" not in text, "the kernel is turned"
    assert "∂L/∂b₁ = ∂L/∂s₁\n" in text.replace("₂", "₁"), "of every entry one"
    assert "multiply(" in text, "rows of another number"


def test_modules_of_flax_are_shown():
    class Module(linen.Module):
        @linen.compact
        def __call__(self, x):
            return linen.Dense(1)(linen.relu(linen.Dense(4)(x)))

    module, x = Module(), drawn(np.zeros((3, 2)))
    params = drawn(module.init(KEY, x.astype(jnp.float32))["params"])
    network = lambda params, x: module.apply({"params": params}, x)
    table = explain(params, x, jnp.zeros((3, 1)), network=network)
    objective = lambda params: jnp.mean(network(params, x) ** 2)
    jax.tree.map(np.testing.assert_allclose, table.grads, quick_jit(jax.grad(objective))(params))
    assert "z₁ = x W₁" in str(table)
    assert "relu" in str(table)


def test_a_loss_may_take_several_outputs():
    net = networks.siamese(networks.mlp([2, 3, 2]))
    params, x = drawn(jax.eval_shape(net.init, KEY)), (drawn(np.zeros((3, 2))), jnp.ones((3, 2)))
    same = jnp.array([1, 0, 1])
    contrast = lambda outputs, y: losses.contrastive(*outputs, y)
    table = explain(params, x, same, contrast, network=net)
    objective = lambda params: jnp.mean(contrast(net.apply(params, x), same))
    jax.tree.map(np.testing.assert_allclose, table.grads, quick_jit(jax.grad(objective))(params))


# The path of a unit


def test_the_path_of_a_pixel_adds_up():
    net = networks.cnn((6, 6, 2), [3], 2)
    params, x = drawn(jax.eval_shape(net.init, KEY)), drawn(np.zeros((2, 6, 6, 2)))
    table = explain(params, x, jnp.zeros((2, 2)), network=net, unit=(1, (2, 3, 1)), example=1)
    title, rows = table._written.sections[-1]
    assert title == "unit (2, 3, 1) of layer 1, example 1"
    layer, place = table.layers[0], (1, 2, 3, 1)
    window = np.asarray(x)[1, 1:4, 2:5] * np.asarray(params["conv_0"]["kernel"])[..., 1]
    np.testing.assert_allclose(
        window.sum() + float(params["conv_0"]["bias"][1]), layer.z[place], rtol=1e-9
    )
    np.testing.assert_allclose(float(rows[0].value), layer.z[place])
    np.testing.assert_allclose(float(rows[-1].value), layer.delta[place])
    largest = window.ravel()[np.argsort(-abs(window.ravel()))[:3]]
    shown = [t for t in rows[0].terms if not isinstance(t, str)]
    products = {float(a) * float(b) for a, b in zip(shown[:6:2], shown[1:6:2], strict=True)}
    np.testing.assert_allclose(sorted(products), sorted(largest))


def test_a_path_needs_a_layer_with_weights():
    net = networks.batch_norm_mlp([3, 2, 1])
    params, state = net.init(KEY)
    call = lambda unit: explain(
        params, jnp.ones((2, 3)), jnp.ones((2, 1)), network=net, state=state, unit=unit
    )
    assert "unit 1 of layer 1, example 0" in str(call((1, 1)))
    for unit in ((2, 0), (1, (0, 0)), (1, 2), (9, 0)):
        with pytest.raises(ValueError, match=r"^explain: unit must .*got .*\. Places count"):
            call(unit)
