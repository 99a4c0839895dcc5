"""What layers on trees share: checks of their arguments, and scans up and down a tree."""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn import _checks


def to_root(cell, inputs, rows, size):
    """Scan from the leaves: `cell(inputs, sum of the children's messages) -> message, kept`."""
    level = jnp.arange(rows.levels, dtype=jnp.int32)[:, None]

    def step(sums, now):
        depth, inputs = now[0][:, None, None], now[1]
        below = level == depth + 1
        message, kept = cell(inputs, jnp.where(below, sums, 0).sum(1))
        sums = jnp.where(below, 0, sums) + jnp.where(level == depth, message[:, None], 0)
        return sums, kept

    sums = jnp.zeros((len(rows.depths), rows.levels, size), inputs[0].dtype)
    return _turn(lax.scan(step, sums, _turn((rows.depths, inputs)))[1])


def from_root(cell, inputs, rows, size):
    """Scan from the root: `cell(inputs, the parent's message) -> message, kept`."""
    level = jnp.arange(rows.levels, dtype=jnp.int32)[:, None]

    def step(sent, now):
        depth, inputs = now[0][:, None, None], now[1]
        message, kept = cell(inputs, jnp.where(level == depth - 1, sent, 0).sum(1))
        return jnp.where(level == depth, message[:, None], sent), kept

    sent = jnp.zeros((len(rows.depths), rows.levels, size), inputs[0].dtype)
    return _turn(lax.scan(step, sent, _turn((rows.depths, inputs)), reverse=True)[1])


def _turn(arrays):
    """Trees and positions exchanged: a scan runs over the leading axis."""
    return jax.tree.map(lambda a: a.swapaxes(0, 1), arrays)


def places_of_parents(rows):
    """Position of each node's parent, `nodes` where there is none: each sends down its own."""
    nodes = rows.depths.shape[1]
    place = jnp.broadcast_to(jnp.arange(-nodes, 0, dtype=jnp.int32), rows.depths.shape)[..., None]
    cell = lambda now, from_parent: (now[0], from_parent)
    return from_root(cell, (place,), rows, 1)[..., 0] + nodes


def of_parents(a, parents):
    """What stands at the parent of each node, zeros for a root."""
    return a.at[jnp.arange(len(a))[:, None], parents].get(mode="fill", fill_value=0)


def to_parents(a, parents):
    """The sum over the children of each node."""
    return jnp.zeros_like(a).at[jnp.arange(len(a))[:, None], parents].add(a, mode="drop")


def outer(a, b):
    """Sum over all nodes of all trees of the outer products: one matmul."""
    return a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])


class Rows(NamedTuple):
    """Checked arguments, with one leading axis.

    Attributes:
        xs: inputs of the nodes, `[batch, nodes, inputs]`, zero in the padding.
        depths: their depths, `[batch, nodes]`.
        there: 1 for a node, 0 in the padding, `[batch, nodes, 1]`; nan in all of a tree whose
            depths are wrong and could not be looked at.
        levels: how many depths there are.
    """

    xs: Array
    depths: Array
    there: Array
    levels: int

    def cotangent(self, function, g, features, xs):
        """The cotangent `g` of the states, zero in the padding."""
        _checks.cotangent(function, g, (*jnp.shape(xs)[:-1], features))
        return g.reshape(*self.depths.shape, features).astype(self.xs.dtype) * self.there


def rows_of(function, inputs, xs, tree):
    """Checks inputs and trees, and returns them as `Rows`, in the dtype to compute in."""
    _checks.floating(function, xs=xs)
    _checks.integer(function, depths=tree.depths)
    _checks.last_axis(function, inputs, xs=xs)
    if jnp.ndim(xs) < 2:
        raise ValueError(
            f"{function}: xs must be [..., nodes, inputs], got shape {jnp.shape(xs)}. "
            "Pass one row of inputs for each node."
        )
    _checks.one_per_row(function, xs, depths=tree.depths)
    must = f"be those of trees in postorder, of at most {tree.levels} levels"
    right = partial(_in_postorder, levels=tree.levels)
    _checks.values(function, right, must, "Let pack_trees lay trees out.", depths=tree.depths)

    dtype, nodes = _checks.wide(xs.dtype), xs.shape[-2]
    batch = math.prod(jnp.shape(xs)[:-2])  # -1 would say nothing where there are no nodes
    depths = jnp.reshape(tree.depths, (batch, nodes)).astype(jnp.int32)
    mask = (depths >= 0)[..., None]
    known = right(depths).all(-1)[:, None, None]
    xs = jnp.where(mask, xs.reshape(batch, nodes, inputs).astype(dtype), 0)
    return Rows(xs, depths, jnp.where(known, mask.astype(dtype), jnp.nan), tree.levels)


def _in_postorder(depths, levels):
    """Whether each node is followed by its parent, by a sibling or by a leaf below one.

    That is, by one whose depth is less by at most one; behind the last stands padding, -1.
    """
    behind = jnp.concatenate([depths[..., 1:], jnp.full_like(depths[..., :1], -1)], -1)
    return (depths >= -1) & (depths < levels) & (behind >= depths - 1)
