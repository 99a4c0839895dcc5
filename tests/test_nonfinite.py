"""The operation, layer, pass, epoch and batch at which a NaN or an infinity begins."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnn import diagnostics, layers, losses, networks, optimizers, training
from jaxnn.activations import softmax

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
find = diagnostics.first_nonfinite


def where(found):
    return found.kind, found.layer, found.operation, found.backward


def test_names_layer_operation_and_line_of_the_forward_pass():
    def f(params, x):
        with jax.named_scope("first"):
            x = layers.dense(params, x)
        with jax.named_scope("second"):
            return jnp.sum(jnp.log(x))

    params = {"kernel": jnp.eye(2), "bias": jnp.array([0.0, -3.0])}
    found = find(jax.jit(f), params, jnp.ones((4, 2)))
    assert where(found) == ("NaN", "second", "log", False)
    assert "test_nonfinite.py" in found.source
    assert found.operands == ("float32[4,2] from -2 to 1",)
    assert str(found).startswith("NaN began in `log`, forward pass, layer second\n  at ")
    assert find(f, params, 4 * jnp.ones((4, 2))) is None
    huge = find(f, {"kernel": 1e30 * jnp.eye(2), "bias": jnp.ones(2)}, jnp.full((1, 2), 1e30))
    assert where(huge) == ("infinity", "first/dense", "dot_general", False)


def test_names_the_backward_pass_where_the_forward_is_clean():
    def norm(x):
        with jax.named_scope("length"):
            return jnp.sqrt((x**2).sum())

    assert where(find(norm, jnp.zeros(3))) == ("infinity", "length", "div", True)
    # And inside a program that holds both passes.
    found = find(jax.value_and_grad(norm), jnp.zeros(3))
    assert where(found) == ("infinity", "length", "div", True)
    assert find(losses.cosine_distance, jnp.zeros((1, 3)), jnp.ones((1, 3))) is None


def test_what_was_given_or_comes_to_nothing_is_not_reported():
    mask = jnp.array([True, False])
    assert find(lambda x: softmax(jnp.where(mask, x, -jnp.inf)), jnp.ones(2)) is None
    assert find(lambda x: jnp.where(x > 0, x, 1 / x), jnp.zeros(2)) is not None
    assert find(lambda x: jnp.where(x > 0, 1 / x, 0), jnp.zeros(2)) is not None  # its gradient
    assert find(lambda x: (x, jnp.full(2, jnp.nan)), jnp.array(1.0)) is None
    emptied = find(lambda x: jax.nn.softmax(x + jnp.full(2, -jnp.inf)), jnp.ones(2))
    assert (emptied.kind, emptied.operation) == ("NaN", "sub")
    held = find(lambda x, name: jnp.sin(x["a"]), {"a": jnp.array([0.0, jnp.nan])}, name="n")
    assert (held.operation, held.source) == ("input", "inputs/0/a")
    assert held.operands == ("float32[2] from 0 to 0, 1 of 2 not finite",)
    assert str(held) == f"NaN was given as an input: inputs/0/a, {held.operands[0]}"
    beyond = find(lambda x: 2 * x, jnp.array([1.0, jnp.inf]))
    assert (beyond.kind, beyond.operation, beyond.source) == ("infinity", "input", "inputs/0")


def test_a_wrong_label_is_followed_to_the_loss_that_answers_it():
    net = networks.mlp([1, 2, 2])
    labels = jnp.zeros(12, int).at[7].set(5)
    loss = lambda params, x, y: losses.sparse_categorical_cross_entropy(net.apply(params, x), y)
    params = net.init(KEY)
    found = find(loss, params, X, labels)
    assert where(found) == ("NaN", "", "select_n", False)
    assert "losses" in found.source
    assert found.operands[1] == "a constant, float32[12], 12 of 12 not finite"
    assert find(loss, params, X, 0 * labels) is None
    fit = training.make_fit(
        training.supervised(net, losses.sparse_categorical_cross_entropy),
        optimizers.adam(0.1), epochs=2, batch_size=3,
    )  # fmt: skip
    inside = find(fit, params, (X, labels), key=KEY)
    assert where(inside) == where(found)
    assert inside.step is not None
    table = layers.embedding_init(KEY, 5, 3)
    outside = find(lambda i: layers.embedding(table, i).sum(), jnp.array([7]))
    assert where(outside) == ("NaN", "embedding", "select_n", False)


def test_names_what_first_applied_captured_data():
    data = jnp.array([1.0, jnp.nan, 2.0])
    found = find(lambda w: (w * data).sum(), jnp.ones(3))
    assert where(found) == ("NaN", "", "mul", False)
    assert found.operands[1] == "a constant, float32[3] from 1 to 2, 1 of 3 not finite"
    scanned = find(lambda w: jax.lax.scan(lambda c, t: (c + t, c), w, data)[0], jnp.ones(()))
    assert (scanned.operation, scanned.loops[0].index) == ("add", 1)
    looked_up = lambda w: jax.lax.fori_loop(0, w.astype(int) + 2, lambda i, c: c + data[i], w)
    assert find(looked_up, jnp.ones(())).loops[0].index == 1
    branch = lambda w: jax.lax.cond(w > 0, lambda w: w + data.sum(), lambda w: w, w)
    assert find(branch, jnp.ones(())).operation in ("add", "reduce_sum")
    assert find(branch, -jnp.ones(())) is None
    most = find(lambda x: jnp.max(x, initial=-jnp.inf, where=x > 5), jnp.ones(3))
    assert where(most) == ("infinity", "", "select_n", False)
    assert "test_nonfinite.py" in most.source


def test_what_an_optimizer_does_is_of_no_layer_and_no_pass():
    params, x = layers.dense_init(KEY, 3, 2), jnp.ones((12, 3))
    descent = optimizers.gradient_descent(1e38)

    def step(params):
        grads = jax.grad(lambda params: layers.dense(params, x).sum())(params)
        return descent.update(grads, descent.init(params), params)[0]

    found = find(step, params)
    assert (*where(found), found.update) == ("infinity", "", "mul", False, True)
    assert "in `mul`, update\n" in str(found)
    broken = optax.stateless(lambda grads, _: jax.tree.map(lambda g: g * 0 / 0, grads))
    fit = fit_of(lambda w, batch: (w * batch).sum(), optax.chain(broken, optax.scale(-0.1)))
    found = find(fit, jnp.array(1.0), X, key=KEY)
    assert (*where(found), found.update, found.step) == ("NaN", "", "div", False, True, 0)


def test_looks_into_loops_and_branches():
    def f(x, xs):
        def step(c, x):
            c = jax.lax.cond(x > 0, lambda c: jnp.log(c), lambda c: c - 1, c)
            return c, c

        return jax.lax.scan(step, x, xs)

    found = find(f, jnp.array(2.5), jnp.array([0.0, 0.0, 0.0, 1.0]))
    assert where(found) == ("NaN", "", "log", False)
    assert found.loops == (diagnostics.Loop("scan", 3, 4),)
    back = find(lambda x: jax.lax.scan(f_reverse, x, jnp.arange(4.0), reverse=True), jnp.array(2.0))
    assert (back.operation, back.loops[0].index) == ("log", 2)
    # After more iterations than are watched in one go.
    shrink = lambda i, x: x - 0.002 + 0 * jnp.log(x)
    late = find(lambda x: jax.lax.fori_loop(0, x.astype(int) + 700, shrink, x), jnp.array(1.0))
    assert (late.operation, late.loops[0].name, late.loops[0].length) == ("log", "while", None)
    x, steps = np.float32(1.0), 0
    while x >= 0:
        x, steps = x - np.float32(0.002), steps + 1
    assert late.loops[0].index == steps > 256


def f_reverse(c, x):
    return jnp.log(c) - 0.5 * x, c


def test_backpropagation_through_time_is_looked_into():
    def f(x):
        with jax.named_scope("rnn"):
            return jax.lax.scan(lambda c, t: (jnp.sqrt(c) * t, c), x, jnp.array([1.0, 0.0, 1.0]))[0]

    found = find(f, jnp.array(4.0))
    assert where(found)[1:] == ("rnn", "div", True)
    assert found.loops[0].index == 2


def test_an_activation_belongs_to_the_layer_it_follows():
    net = networks.mlp([1, 2, 2, 1], activation=jnp.exp)
    params = jax.tree.map(jnp.ones_like, net.init(KEY))
    grown = find(net.apply, params, 4 * jnp.ones((1, 1)))  # exp(2 exp(5) + 1)
    assert where(grown) == ("infinity", "dense_1/dense", "exp", False)


# Training

X = np.linspace(0, 1, 12, dtype=np.float32)[:, None]


def fit_of(loss, optimizer=optimizers.gradient_descent(0.1), **options):
    def loss_fn(params, batch, key):
        with jax.named_scope("measure"):
            return loss(params, batch), {}

    return training.make_fit(loss_fn, optimizer, epochs=5, batch_size=3, **options)


def test_names_epoch_and_batch_inside_a_run():
    """The weight shrinks by a fixed amount per step, and its root breaks at a known one."""
    fit = fit_of(lambda w, batch: jnp.sqrt(w) + 0 * batch.sum())
    params, step = np.float32(0.3), 0
    while params > 0:
        params, step = params - np.float32(0.1) * np.float32(0.5) / np.sqrt(params), step + 1
    found = find(fit, jnp.array(0.3), X, key=KEY)
    assert where(found) == ("NaN", "measure", "sqrt", False)
    assert found.step == step
    assert [(loop.name, loop.index) for loop in found.loops] == [
        ("epoch", step // 4), ("batch", step % 4),
    ]  # fmt: skip
    assert f"epoch {step // 4}, batch {step % 4}, step {step} of the run" in str(found)


def test_finds_the_one_bad_example_of_a_run_and_its_backward_pass():
    # The distance to the data, whose slope is 0 / 0 at a point that it meets.
    fit = fit_of(
        lambda w, batch: jnp.sqrt(((batch - w) ** 2).sum(-1)).mean(),
        optimizers.gradient_descent(0.0),
    )
    found = find(fit, jnp.array(X[7, 0]), X, key=KEY)
    assert where(found) == ("infinity", "measure", "div", True)
    assert found.loops[0].index == 0
    assert find(fit, jnp.array(0.123), X, X[:4], key=KEY) is None


def test_a_run_that_stops_early_or_logs_nothing_wrong_is_clean():
    fit = fit_of(lambda w, batch: (w**2) + 0 * batch.sum(), patience=1)
    result = fit(jnp.array(0.0), X, X, key=KEY)
    assert np.isnan(result.history["loss"]).any()  # the epochs that did not run
    assert find(fit, jnp.array(0.0), X, X, key=KEY) is None


@pytest.mark.parametrize("bad", [None, "log"])
def test_refuses_what_is_no_function(bad):
    with pytest.raises(TypeError, match="first_nonfinite: f must be a function"):
        find(bad, jnp.ones(1))
