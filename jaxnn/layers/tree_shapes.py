"""Trees of any shape as padded arrays: one array of depths says it all."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks

__all__ = ["Tree", "pack_trees"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Tree:
    """The shapes of a batch of trees: a pytree, so it can be a part of the training data.

    Attributes:
        depths: distance of each node from its root, integers `[..., nodes]`, in postorder:
            children stand before their parent. -1 is padding, before or behind the tree.
        levels: how many different depths there may be, one more than the largest. Layers carry
            a sum for each, so their cost grows with it: leave rare, very deep trees out.
    """

    depths: Array
    levels: int = field(metadata={"static": True})

    @property
    def mask(self) -> Array:
        """True where there is a node, `[..., nodes]`; the rest is padding."""
        return self.depths >= 0


def pack_trees(
    trees: Sequence[Any], nodes: int | None = None, levels: int | None = None
) -> tuple[Array, Tree]:
    r"""Nested sequences as padded arrays, on the host.

    A leaf is an integer, and any other node is a sequence of its integer and its children:
    `(7, 1, (8, 2, 3))` is a node 7 over a leaf 1 and a node 8, which is over leaves 2 and 3.
    Trees of one shape are laid out alike, so labels of the nodes are packed as other integers.

    Args:
        trees: the trees, nested lists or tuples of integers.
        nodes: size to pad to; None takes that of the largest tree. Name it, and `levels`, where
            several batches are to share one compilation.
        levels: the most levels of a tree; None takes those of the deepest.

    Returns:
        The integers of all nodes, int32 `[batch, nodes]` with 0 in the padding, and the `Tree`.
        Padding stands in front, so the root is the last node of every tree.

    Raises:
        ValueError: if there are no trees, or one has too many nodes or levels.
        TypeError: if a node is no integer and no sequence that begins with one.

    Example:
        >>> ids, tree = pack_trees([(7, 1, (8, 2, 3)), (4, 1)])
        >>> ids
        Array([[1, 2, 3, 8, 7],
               [0, 0, 0, 1, 4]], dtype=int32)
        >>> tree.depths
        Array([[ 1,  2,  2,  1,  0],
               [-1, -1, -1,  1,  0]], dtype=int32)
    """
    if not isinstance(trees, list | tuple) or not trees:
        raise ValueError(
            f"pack_trees: trees must be a list of at least one tree, got {trees!r}. "
            "Put a single tree in a list."
        )
    flat = [_postorder(number, tree) for number, tree in enumerate(trees)]
    nodes = _room("nodes", [len(values) for values, _ in flat], nodes)
    levels = _room("levels", [1 + max(depths) for _, depths in flat], levels)
    ids = [[0] * (nodes - len(values)) + values for values, _ in flat]
    every = [[-1] * (nodes - len(depths)) + depths for _, depths in flat]
    return jnp.array(ids, jnp.int32), Tree(jnp.array(every, jnp.int32), levels)


def _postorder(number, tree):
    """Integers and depths of the nodes; with a stack of its own, as trees may be deep."""
    values, depths, stack = [], [], [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        value, *children = node or [None] if isinstance(node, list | tuple) else [node]
        try:
            values.append(operator.index(value))
        except TypeError:
            raise TypeError(
                f"pack_trees: each node of tree {number} must be an integer, or a sequence of "
                f"its integer and its children, got {node!r}. Write (7, 1, (8, 2, 3)) for a "
                "node 7 over a leaf 1 and a node 8."
            ) from None
        depths.append(depth)
        stack.extend((child, depth + 1) for child in children)
    return values[::-1], depths[::-1]  # a parent, then its children from right to left: reversed


def _room(name, needed, given):
    """The size to pad to, if every tree finds room in it."""
    if given is None:
        return max(needed)
    _checks.sizes("pack_trees", **{name: given})
    if given < max(needed):
        worst = needed.index(max(needed))
        raise ValueError(
            f"pack_trees: {name} must hold every tree, got {given}; tree {worst} needs "
            f"{needed[worst]}. Pass more {name}, or drop such trees."
        )
    return given
