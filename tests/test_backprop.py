"""backprop.explain: its numbers are those of jax.grad, and every table shows them."""

import re
from functools import cache, partial
from html.parser import HTMLParser

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.mathtext import MathTextParser

from jaxnn import activations, backprop, losses, networks
from jaxnn.activations import leaky_relu, linear, prelu, relu, sigmoid, softmax, swish, tanh
from jaxnn.backprop import explain
from jaxnn.networks import mlp

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
PARAMS = {
    f"dense_{i}": {"kernel": RNG.normal(size=shape), "bias": RNG.normal(size=shape[1])}
    for i, shape in enumerate([(3, 4), (4, 4), (4, 2)])
}
X = RNG.normal(size=(5, 3))
NUMBERS = RNG.normal(size=(5, 2))
BITS = np.array([[0, 1], [1, 1], [0, 0], [1, 0], [1, 1]])
ROWS = np.eye(2)[[0, 1, 1, 0, 1]]
IDS = np.array([0, 1, 1, 0, 1])

# activation, output, loss, targets, scale
NETWORKS = {
    "regression": (relu, linear, losses.squared_error, NUMBERS, None),
    "half": (tanh, linear, losses.squared_error, NUMBERS, 0.5),
    "robust": (sigmoid, linear, partial(losses.huber, delta=0.3), NUMBERS, None),
    "binary": (swish, linear, losses.binary_cross_entropy, BITS, None),
    "classes": (partial(leaky_relu, slope=0.2), linear, losses.categorical_cross_entropy, ROWS, 1),
    "ids": ([tanh, relu], linear, losses.sparse_categorical_cross_entropy, IDS, None),
    "signs": (partial(prelu, slope=0.1), linear, losses.hinge, 2 * BITS - 1, None),
    "sigmoid": (tanh, sigmoid, losses.binary_cross_entropy_from_probabilities, BITS, None),
    "softmax": (relu, softmax, losses.categorical_cross_entropy_from_probabilities, ROWS, None),
    "mixing": (softmax, linear, losses.log_cosh, NUMBERS, None),
    "foreign": (jnp.sin, linear, lambda p, t: (p - t) ** 4, NUMBERS, None),
}


@pytest.fixture(autouse=True, scope="module")
def _wide():
    with jax.enable_x64(True):
        yield


@cache
def explained(name, **options):
    activation, output, loss, y, scale = NETWORKS[name]
    params = jax.tree.map(jnp.asarray, PARAMS)
    options = dict(activation=activation, output=output, scale=scale, unit=(1, 2)) | options
    return explain(params, jnp.asarray(X), jnp.asarray(y), loss, **options)


def by_jax(name):
    """Loss, and gradients in the parameters and the inputs."""
    activation, output, loss, y, scale = NETWORKS[name]
    hidden = activation if isinstance(activation, list) else [activation] * 2

    def objective(params, x):
        for i, f in enumerate([*hidden, output]):
            x = f(x @ params[f"dense_{i}"]["kernel"] + params[f"dense_{i}"]["bias"])
        values = loss(x, jnp.asarray(y))
        return values.mean() if scale is None else scale * values.sum()

    return jax.jit(jax.value_and_grad(objective, (0, 1)))(PARAMS, X)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_jax(name):
    table = explained(name)
    value, (grads, x_grad) = by_jax(name)
    np.testing.assert_allclose(table.loss, value, rtol=1e-12)
    chex.assert_trees_all_close(table.grads, grads, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(table.x_grad, x_grad, rtol=1e-9, atol=1e-12)
    for i, layer in enumerate(table.layers):
        assert layer.name == f"dense_{i}"
        np.testing.assert_allclose(layer.grads["kernel"], grads[layer.name]["kernel"], atol=1e-12)
        np.testing.assert_allclose(layer.grads["bias"], layer.delta.sum(0), atol=1e-12)


def test_the_error_of_matching_outputs_is_prediction_less_target():
    for name, predict, y, scale in [
        ("half", linear, NUMBERS, 1),
        ("binary", sigmoid, BITS, 1 / 10),
        ("classes", softmax, ROWS, 1),
        ("ids", softmax, np.eye(2)[IDS], 1 / 5),
        ("sigmoid", sigmoid, BITS, 1 / 10),
        ("softmax", softmax, ROWS, 1 / 5),
    ]:
        table = explained(name)
        last = table.layers[-1]
        np.testing.assert_allclose(
            last.delta, scale * (np.asarray(predict(last.z)) - y), atol=1e-12
        )
        assert " - " in str(table), name


def test_known_numbers_of_a_textbook_are_printed():
    rng = np.random.RandomState(42)
    shapes = [(2, 3), (3,), (3, 1), (1,)]
    w1, b1, w2, b2 = (jnp.asarray(rng.rand(*shape)) for shape in shapes)
    params = {"dense_0": {"kernel": w1, "bias": b1}, "dense_1": {"kernel": w2, "bias": b2}}
    loss = losses.binary_cross_entropy_from_probabilities
    table = explain(params, jnp.array([0.5, 0.8]), jnp.array([1.0]), loss, output=sigmoid)
    for text in (str(table), table.markdown()):
        assert "0.7243 1.4663 1.0919" in text.replace("\xa0", " ")
        assert "0.9194" in text
    assert r"\substack{0.7243} \;\; \substack{1.4663} \;\; \substack{1.0919}" in table.latex()
    assert all(number in table._repr_html_() for number in (">0.7243<", ">1.4663<", ">0.9194<"))
    assert "δ₂ = (a₂ - y)\n     = ([0.9194] - [1.0000])\n     = [-0.0806]" in str(table)


def test_leading_axes_are_free_and_a_bias_may_lack():
    params = {name: {"kernel": p["kernel"]} for name, p in PARAMS.items()}
    x, y = jnp.asarray(X), jnp.asarray(NUMBERS)
    flat = explain(params, x, y)
    deep = explain(params, x.reshape(1, 5, 3), y.reshape(1, 5, 2))
    chex.assert_trees_all_close(flat.grads, deep.grads)
    assert deep.layers[0].z.shape == (1, 5, 4)
    assert str(flat) == str(deep)
    assert "bias" not in flat.grads["dense_0"]
    assert "bias" not in flat.layers[0].grads
    assert "b₁" not in str(flat)


# Tables


@pytest.mark.parametrize("name", NETWORKS)
def test_every_table_is_whole(name):
    table = explained(name)
    assert all(line[0] == line[-1] == "$" for line in table.latex().splitlines())
    assert not any(sign in str(table) for sign in ("\\", "{", "}"))
    headers = [line for line in str(table).splitlines() if line and not line.startswith(" ")]
    assert [h.split(":")[0] for h in headers[1:-1]] == [
        *(f"forward, layer {i}" for i in (1, 2, 3)),
        "loss",
        *(f"backward, layer {i}" for i in (3, 2, 1)),
    ]
    rows = [line for line in table.markdown().splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}
    check_html(table._repr_html_())


def check_html(text):
    """Every element is closed, and no colour is fixed that a dark page would swallow."""
    opened = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Reader().feed(text)
    assert not opened
    assert ";color:" not in text


def test_matplotlib_draws_every_line_of_the_latex():
    for line in explained("softmax").latex().splitlines():
        MathTextParser("path").parse(line)


def test_formulas_of_all_activations_losses_and_blocks_can_be_drawn():
    rules, formulas = backprop._rules, backprop._formulas  # pyright: ignore
    names = [n for n in activations.__all__ if not n.endswith(("_grad", "_vjp"))]
    written = []
    for value, slope in rules.ACTIVATIONS.values():
        written += [value("z_{1}", "a_{1}"), slope("z_{1}", "a_{1}")]
    written += [formula("a_{2}") for formula in rules.LOSSES.values()]
    written += [rules.upright(name) for name in names]
    for formula in formulas.FORMULAS.values():
        backs = [formula.back] if isinstance(formula.back, str) else formula.back
        lines = [line for pair in (*formula.where, *formula.where_back) for line in pair]
        written += [formula.letter, formula.value, *backs, *formula.grads.values(), *lines]
    assert set(rules.LOSSES) <= set(losses.__all__)
    assert set(rules.ACTIVATIONS) <= set(names)
    for line in written:
        drawn = re.sub(r"<[\w/]+>", "x_{1}", line)
        MathTextParser("path").parse(f"${drawn}$")
        assert not re.search(r"[\\\\{}]", backprop._render.plain(drawn)), line  # pyright: ignore


def test_a_large_network_is_norms_and_the_path_of_a_unit():
    net = mlp([30, 20, 3], activation=tanh)
    params = net.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (8, 30))
    table = explain(params, x, jnp.ones((8, 3)), activation=tanh)
    text = str(table)
    first = table.layers[0]
    assert f"8 × 20, norm {np.linalg.norm(first.z):.4g}, largest {abs(first.z).max():.4g}" in text
    j = int(abs(first.delta[0]).argmax())
    assert f"unit {j} of layer 1, example 0" in text
    path = text[text.index(f"unit {j} of") :]
    for number in (first.z[0, j], first.a[0, j], first.delta[0, j], first.grads["bias"][j]):
        assert f"= {number:.4f}\n" in path + "\n"
    assert "(27 more)" in path
    terms = np.asarray(x[0] * params["dense_0"]["kernel"][:, j])
    largest = int(abs(terms).argmax())
    assert f"{x[0, largest]:.4f} · " in path, "the largest term is shown"
    assert "∂L/∂b₁ = Σ_batch δ₁\n         = 1 × 20" not in text, "shapes are those of the arrays"
    assert len(text.splitlines()) < 90
    for line in table.latex().splitlines():
        if "norm" in line or "more" in line:
            MathTextParser("path").parse(line)
    check_html(table._repr_html_())
    assert "norm" in table.markdown()
    assert "unit" not in str(explained("half", unit=None)), "a small network is printed whole"


def test_the_path_of_any_unit_adds_up():
    table = explained("regression", unit=(2, 3), example=-1, digits=6)
    text = str(table)
    path = text[text.index("unit 3 of layer 2, example -1") :].splitlines()
    layer = table.layers[1]
    numbers = [line.split("= ")[1].replace("·", "*") for line in path if " · " in line]
    z, back, delta, weight = (eval(line, {}) for line in numbers if line[-1].isdigit())
    assert z == pytest.approx(float(layer.z[-1, 3]), abs=1e-5)
    assert back == pytest.approx(float(layer.a_grad[-1, 3]), abs=1e-5)
    assert delta == pytest.approx(float(layer.delta[-1, 3]), abs=1e-5)
    largest = int(abs(layer.inputs[-1]).argmax())
    assert weight == pytest.approx(float(layer.grads["kernel"][largest, 3]), abs=1e-5)


def test_numbers_are_not_rounded_to_nothing():
    params = {"dense_0": {"kernel": jnp.array([[1e-9, -1e9]]), "bias": jnp.array([0.0, -0.0])}}
    table = explain(params, jnp.array([1.0]), jnp.array([0.0, np.inf]), scale=1)
    assert "[1.00e-09 -1.00e+09]" in str(table)
    assert "[0.0000 0.0000]" in str(table)
    assert r"1.00 \times 10^{-9}" in table.latex()
    assert r"\infty" in table.latex()
    for line in table.latex().splitlines():
        MathTextParser("path").parse(line)


# Errors


def test_bad_input_is_refused():
    x, y = jnp.asarray(X), jnp.asarray(NUMBERS)
    params = jax.tree.map(jnp.asarray, PARAMS)
    for kind, call in [
        (ValueError, lambda: explain({"conv_0": params["dense_0"]}, x, y)),
        (ValueError, lambda: explain([1.0], x, y)),  # pyright: ignore
        (ValueError, lambda: explain({}, x, y)),
        (ValueError, lambda: explain({"dense_0": {}}, x, y)),
        (ValueError, lambda: explain(params, x, y, activation=[relu])),
        (TypeError, lambda: explain(params, x, y, activation=[relu, 3])),  # pyright: ignore
        (TypeError, lambda: explain(params, x, y, activation=3)),  # pyright: ignore
        (TypeError, lambda: explain(params, x, y, "mse")),  # pyright: ignore
        (ValueError, lambda: explain(params, x, y, unit=(4, 0))),
        (ValueError, lambda: explain(params, x, y, unit=(1, 4))),
        (ValueError, lambda: explain(params, x, y, unit=(1, 0), example=5)),
        (ValueError, lambda: explain(params, x, y, digits=0)),
        (TypeError, lambda: explain(params, x, y, network=3)),
        (ValueError, lambda: explain(params, x, y, network=mlp([3, 2]), activation=relu)),
        (ValueError, lambda: explain(params, x, y, network=lambda params, x: x)),
        (ValueError, lambda: explain(params, x, y, network=networks.batch_norm_mlp([3, 2]))),
        (TypeError, lambda: jax.jit(explain)(params, x, y)),
    ]:
        with pytest.raises(kind, match=r"^explain: .* must .*got .*\. \S"):
            call()
    with pytest.raises(ValueError, match=r"^dense: "):
        explain(params, x[:, :2], y)
    with pytest.raises(ValueError, match=r"^squared_error: "):
        explain(params, x, y[:, 0])
