"""Recursive neural network: a recurrent network that runs along the branches of a tree.

ids of the nodes -> embedding -> tree_lstm, leaves to root -> dropout -> dense -> logits
"""

import jax
from jax import Array

from jaxnn import _checks
from jaxnn.initializers import glorot_uniform, normal
from jaxnn.layers import (
    dense,
    dense_init,
    dropout,
    embedding,
    embedding_init,
    tree_lstm,
    tree_lstm_init,
    tree_rnn,
    tree_rnn_init,
)
from jaxnn.layers.tree_shapes import Tree
from jaxnn.networks._network import Network, Params, named

__all__ = ["recursive_network"]

CELLS = {"tree_lstm": (tree_lstm_init, tree_lstm), "tree_rnn": (tree_rnn_init, tree_rnn)}


def recursive_network(
    vocabulary: int,
    width: int,
    classes: int,
    *,
    cell: str = "tree_lstm",
    every_node: bool = False,
    dropout_rate: float = 0.0,
) -> Network:
    r"""A classifier of trees, whose nodes are ids from a vocabulary.

    The state of a node summarises all that is below it. `dense` reads the logits from the state
    of the root, or of each node: where subtrees have labels too, every tree of n nodes then
    teaches n times, and short trees before long ones.

    Args:
        vocabulary: how many different ids there are.
        width: features of the embedding of an id and of the state of a node.
        classes: how many classes the logits tell apart.
        cell: `"tree_lstm"`, or `"tree_rnn"` for the simple recursive network.
        every_node: whether there are logits for each node, or for the root alone.
        dropout_rate: fraction of the states' features zeroed, before they are read, when
            `apply` gets a key.

    Returns:
        The network. Inputs are `(ids, tree)` as `pack_trees` makes them: ids `[..., nodes]`
        from 0 to `vocabulary - 1`, and a `Tree` whose root is the last node. Outputs are
        logits `[..., classes]`, or `[..., nodes, classes]`. Parameters are `{"embedding":
        {"embedding": [vocabulary, width]}, cell: {...}, "dense": {...}}`.

    Raises:
        ValueError: if a size is not positive, `cell` is unknown or `dropout_rate` is outside
            [0, 1]; from `apply`, if an id is outside the vocabulary (under `jit`, NaN).
        TypeError: from `apply`, if the ids are not integers.

    Example:
        >>> from jaxnn.networks import pack_trees
        >>> network = recursive_network(vocabulary=10, width=8, classes=2)
        >>> params = network.init(jax.random.key(0))
        >>> network.apply(params, pack_trees([(7, 1, (8, 2, 3)), (4, 1)])).shape
        (2, 2)

    Reference:
        Socher et al., "Recursive deep models for semantic compositionality over a sentiment
        treebank", EMNLP 2013.
    """
    _checks.sizes("recursive_network", vocabulary=vocabulary, width=width, classes=classes)
    _checks.probability("recursive_network", dropout_rate=dropout_rate)
    if cell not in CELLS:
        raise ValueError(
            f"recursive_network: cell must be one of {list(CELLS)}, got {cell!r}. Name one of them."
        )
    cell_init, run = CELLS[cell]

    def init(key: Array) -> Params:
        keys = jax.random.split(key, 3)
        return {
            "embedding": embedding_init(keys[0], vocabulary, width, normal(1.0)),
            cell: cell_init(keys[1], width, width),
            "dense": dense_init(keys[2], width, classes, glorot_uniform()),
        }

    def apply(params: Params, inputs: tuple[Array, Tree], *, key: Array | None = None) -> Array:
        ids, tree = inputs
        x = named(embedding, params, "embedding", ids)
        states = named(run, params, cell, x, tree)
        states = states if every_node else states[..., -1, :]
        return named(dense, params, "dense", dropout(key, states, dropout_rate))

    return Network(init, apply)
