"""Rosenblatt's rule: what it learns, how fast, and what it never learns."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.networks import mlp, perceptron, perceptron_step

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
X = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
AND, OR, XOR = jnp.array([0, 0, 0, 1]), jnp.array([0, 1, 1, 1]), jnp.array([0, 1, 1, 0])


def passes(y, rate=1.0, x=X, most=100):
    """Mistakes of each pass until one without any, and the parameters."""
    step, params, history = jax.jit(perceptron_step(rate)), perceptron(x.shape[-1]).init(KEY), []
    while len(history) < most and (not history or history[-1] > 0):
        params, metrics = step(params, (x, y), None)
        history.append(round(float(metrics["mistakes"]) * len(y)))
    return history, params


@pytest.mark.parametrize("y", [AND, OR], ids=["and", "or"])
def test_learns_what_a_line_separates(y):
    history, params = passes(y)
    assert len(history) <= 6
    assert history[-1] == 0
    np.testing.assert_array_equal(perceptron(2).apply(params, X) > 0, y == 1)


def test_never_learns_xor():
    history, _ = passes(XOR)
    assert len(history) == 100
    assert min(history) > 0


def test_makes_no_more_mistakes_than_novikoff_allows():
    x = jax.random.normal(KEY, (200, 3))
    separating = jnp.array([1.0, -2.0, 0.5, 0.3])
    separating /= jnp.linalg.norm(separating)
    s = x @ separating[:3] + separating[3]
    x, s = x[jnp.abs(s) > 0.1], s[jnp.abs(s) > 0.1]
    radius, margin = jnp.sqrt((x**2).sum(-1).max() + 1), jnp.abs(s).min()
    history, _ = passes((s > 0).astype(jnp.int32), x=x, most=1000)
    assert history[-1] == 0
    assert sum(history) <= float((radius / margin) ** 2)


def test_a_batch_is_its_examples_in_order():
    step = perceptron_step(0.5)
    together, metrics = step(perceptron(2).init(KEY), (X, AND), KEY)
    params, mistakes = perceptron(2).init(KEY), []
    for i in range(4):
        params, one = step(params, (X[i : i + 1], AND[i : i + 1]), KEY)
        mistakes.append(float(one["mistakes"]))
    chex.assert_trees_all_equal(together, params)
    assert float(metrics["mistakes"]) == np.mean(mistakes)


def test_classical_rule_by_hand():
    params = {"dense_0": {"kernel": jnp.array([[1.0], [0.0]]), "bias": jnp.array([0.0])}}
    x = jnp.array([[2.0, 3.0]])
    right, metrics = perceptron_step()(params, (x, jnp.array([1])), None)
    chex.assert_trees_all_equal(right, params)
    assert metrics["mistakes"] == 0
    wrong, metrics = perceptron_step(0.5)(params, (x, jnp.array([0.0])), None)
    chex.assert_trees_all_equal(
        wrong["dense_0"], {"kernel": jnp.array([[0.0], [-1.5]]), "bias": jnp.array([-0.5])}
    )
    assert metrics["mistakes"] == 1


def test_the_rate_scales_the_parameters_only():
    (slow, small), (fast, large) = passes(AND, 0.25), passes(AND, 1.0)
    assert slow == fast
    chex.assert_trees_all_close(jax.tree.map(lambda p: 4 * p, small), large)


def test_is_an_mlp_without_hidden_layers():
    params = mlp([3, 1]).init(KEY)
    x = jax.random.normal(KEY, (2, 5, 3))
    chex.assert_trees_all_equal(
        perceptron(3).apply(params, x), mlp([3, 1]).apply(params, x)[..., 0]
    )


def test_errors_say_what_to_do():
    params, step = perceptron(2).init(KEY), perceptron_step()
    with pytest.raises(ValueError, match=r"classes must be 0 or 1, got -1\. Map"):
        step(params, (X, jnp.array([-1, 1, 1, -1])), None)
    poisoned, metrics = jax.jit(step)(params, (X, jnp.array([0, 1, 2, 1])), None)
    assert jnp.isnan(metrics["mistakes"])
    assert jnp.isnan(poisoned["dense_0"]["kernel"]).all()
    with pytest.raises(ValueError, match="perceptron_step: classes must hold one entry per row"):
        step(params, (X, AND[:, None]), None)
    with pytest.raises(TypeError, match="perceptron_step: inputs must be floating point"):
        step(params, (AND[:, None] * jnp.ones(2, jnp.int32), AND), None)
    with pytest.raises(ValueError, match="dense: the last axis of x must have size 2"):
        perceptron(2).apply(params, jnp.ones((4, 3)))
    with pytest.raises(ValueError, match="perceptron: features must be at least 1"):
        perceptron(0)
    with pytest.raises(ValueError, match="perceptron_step: rate must be positive"):
        perceptron_step(0.0)
