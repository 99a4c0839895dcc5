"""Siamese network: one network for several inputs, whose embeddings are compared."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks
from jaxnn.networks._network import Network, split

__all__ = ["sample_triplets", "siamese"]


def siamese(network: Network) -> Network:
    r"""One network applied to each of several inputs, with the same parameters.

    .. math:: (x_1, x_2, \ldots) \mapsto (f_\theta(x_1), f_\theta(x_2), \ldots)

    Compare the embeddings with `losses.contrastive` (pairs) or `losses.triplet`. Since all
    branches share \( \theta \), their gradients in it add up.

    Args:
        network: the embedding.

    Returns:
        The network, with the parameters of `network`; inputs and outputs are tuples.

    Raises:
        TypeError: if `network` is not a `Network`; from `apply`, if the inputs are no tuple.

    Example:
        >>> from jaxnn.networks import mlp
        >>> net = siamese(mlp([4, 8, 2]))
        >>> a, b = net.apply(net.init(jax.random.key(0)), (jnp.ones((3, 4)), jnp.zeros((3, 4))))
        >>> a.shape, b.shape
        ((3, 2), (3, 2))

    Reference:
        Bromley, Guyon, LeCun, Säckinger and Shah, "Signature verification using a siamese time
        delay neural network", NeurIPS 1993.
    """
    if not isinstance(network, Network):
        raise TypeError(
            f"siamese: network must be a Network, got {type(network).__name__}. "
            "Pass what mlp(...) or cnn(...) returns."
        )

    def apply(params: Any, inputs: tuple[Array, ...], *, key: Array | None = None):
        if not isinstance(inputs, tuple | list):
            raise TypeError(
                f"siamese: inputs must be a tuple, one entry per branch, got "
                f"{type(inputs).__name__}. Pass (a, b)."
            )
        keys = split(key, len(inputs))
        return tuple(network.apply(params, x, key=k) for x, k in zip(inputs, keys, strict=True))

    return Network(network.init, apply)


def sample_triplets(key: Array, labels: Array, count: int) -> tuple[Array, Array, Array]:
    """Draws anchors, others of their class, and others of another class.

    Args:
        key: the source of the draws.
        labels: class of each example, integers `[examples]`; every class must have at least
            two of them, and there must be two classes.
        count: how many triplets.

    Returns:
        Indices of anchors, positives and negatives, each `[count]`.

    Raises:
        ValueError: if the labels are no row, or, where they can be looked at, if a class has
            fewer than two examples or there is only one.
        TypeError: if the labels are not integers.

    Example:
        >>> labels = jnp.array([0, 0, 0, 1, 1, 1])
        >>> a, p, n = sample_triplets(jax.random.key(0), labels, 100)
        >>> bool((labels[a] == labels[p]).all() and (labels[a] != labels[n]).all())
        True
        >>> bool((a != p).all())
        True
    """
    _checks.integer("sample_triplets", labels=labels)
    _checks.sizes("sample_triplets", count=count)
    if jnp.ndim(labels) != 1:
        raise ValueError(
            f"sample_triplets: labels must have shape [examples], got {jnp.shape(labels)}. "
            "Pass labels.ravel()."
        )
    if _checks.concrete(labels):
        counts = jnp.unique_counts(jnp.asarray(labels)).counts
        if len(counts) < 2 or counts.min() < 2:
            raise ValueError(
                "sample_triplets: there must be two classes of at least two examples each, got "
                f"classes of {counts.tolist()}. Leave out the smaller ones."
            )
    first, second, third = jax.random.split(key, 3)
    anchors = jax.random.randint(first, (count,), 0, len(labels))

    def draw(key, allowed):
        return jax.random.categorical(key, jnp.where(allowed, 0.0, -jnp.inf))

    same = labels[anchors][:, None] == labels
    others = jnp.arange(len(labels)) != anchors[:, None]
    return anchors, draw(second, same & others), draw(third, ~same)
