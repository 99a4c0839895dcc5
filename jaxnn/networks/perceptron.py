"""Rosenblatt's perceptron, and the rule by which it learns."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn import _checks
from jaxnn.initializers import zeros
from jaxnn.layers import dense, dense_init, dense_vjp
from jaxnn.networks._network import Network, Params, named

__all__ = ["perceptron", "perceptron_step"]


def perceptron(features: int) -> Network:
    r"""A perceptron: one linear unit, whose class is 1 where its score is above 0, else 0.

    .. math:: s = x \cdot w + b, \qquad \hat y = 1[s > 0]

    The decision boundary is the hyperplane s = 0, so it can learn AND and OR but not XOR,
    whose classes no line separates.

    Args:
        features: of the input.

    Returns:
        The network. Inputs are `[..., features]`, and what it returns are the scores
        `[...]`; the class is `scores > 0`. Parameters `{"dense_0": {"kernel":
        [features, 1], "bias": [1]}}`, those of `mlp([features, 1])`, start at zero.

    Raises:
        ValueError: if `features` is not positive.

    Example:
        >>> net = perceptron(2)
        >>> params = {"dense_0": {"kernel": jnp.ones((2, 1)), "bias": jnp.array([-1.5])}}
        >>> net.apply(params, jnp.array([[0.0, 1.0], [1.0, 1.0]])) > 0     # logical AND
        Array([False,  True], dtype=bool)

    Reference:
        Rosenblatt, "The perceptron: a probabilistic model for information storage and
        organization in the brain", Psychological Review 1958.
    """
    _checks.sizes("perceptron", features=features)

    def init(key: Array) -> Params:
        return {"dense_0": dense_init(key, features, 1, zeros())}

    def apply(params: Params, x: Array, *, key: Array | None = None) -> Array:
        del key  # nothing is drawn
        return named(dense, params, "dense_0", x)[..., 0]

    return Network(init, apply)


def perceptron_step(rate: float = 1.0) -> Callable:
    r"""Rosenblatt's learning rule, as a step for `training.run`.

    The examples of a batch are taken one after the other. An example in its right class
    changes nothing; a mistake moves the boundary towards it,

    .. math:: w \leftarrow w + \eta\, (y - \hat y)\, x, \qquad b \leftarrow b + \eta\, (y - \hat y)

    with classes y in {0, 1}. So a batch of n examples does what n batches of one would do,
    and batches only make it faster. The rule is no gradient descent on the number of
    mistakes, which is flat; it is that on the perceptron criterion, the sum of
    \( (\hat y - y)\, s \).

    Convergence: if some boundary separates the classes with margin \( \gamma \), that is
    \( \pm s \ge \gamma \) for the true class of every example, with \( \|(w, b)\| = 1 \), and
    if \( \|(x, 1)\| \le R \), then started at zero it makes at most \( (R / \gamma)^2 \)
    mistakes, in any order of the examples and at any rate, and then no more. For each mistake
    brings \( (w, b) \) forward by at least \( \eta\gamma \) along the separating one, while
    its squared length grows by at most \( \eta^2 R^2 \). If no boundary separates them, it
    never stops.

    Args:
        rate: \( \eta > 0 \). Started at zero it scales the parameters and changes no decision.

    Returns:
        `step(params, batch, key) -> (params, metrics)`, with `batch` a pair of inputs
        `[batch, features]` and classes `[batch]`. The metric `mistakes` is the fraction of
        the batch that was in the wrong class when its turn came. The key is not used.
        A class other than 0 and 1 is an error, and gives nan under `jit`.

    Raises:
        ValueError: if `rate` is not positive.

    Example:
        >>> x = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> y = jnp.array([0, 1, 1, 1])                                    # logical OR
        >>> params, step = perceptron(2).init(jax.random.key(0)), perceptron_step()
        >>> for epoch in range(4):
        ...     params, metrics = step(params, (x, y), None)
        ...     print(metrics["mistakes"])
        0.25
        0.5
        0.25
        0.0

    Reference:
        Novikoff, "On convergence proofs for perceptrons", Symposium on the Mathematical
        Theory of Automata 1962.
    """
    rate = _checks.positive("perceptron_step", rate=rate)

    def step(params: Params, batch: tuple[Array, Array], key) -> tuple[Params, dict]:
        del key
        x, classes = batch
        _checks.floating("perceptron_step", inputs=x)
        _checks.one_per_row("perceptron_step", x, classes=classes)
        known = lambda y: (y == 0) | (y == 1)
        _checks.values(
            "perceptron_step", known, "be 0 or 1", "Map your two classes to them.", classes=classes
        )
        targets = jnp.where(known(classes), classes.astype(x.dtype), jnp.nan)
        params, errors = lax.scan(_learn, params["dense_0"], (x, targets))
        return {"dense_0": params}, {"mistakes": jnp.abs(errors).mean()}

    def _learn(params, example):
        x, target = example
        error = target - (dense(params, x) > 0).astype(x.dtype)
        direction, _ = dense_vjp(rate * error, params, x)
        return jax.tree.map(jnp.add, params, direction), error[0]

    return step
