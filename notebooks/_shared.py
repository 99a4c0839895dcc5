"""What every notebook shares: the comparison of three gradients, and the look of the pictures."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.flatten_util import ravel_pytree

# Okabe and Ito's colours, which colour-blind readers tell apart; text in a grey that is as
# legible on a white page as on a dark one.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK = "#7a7a7a"
LOOK = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.prop_cycle": plt.cycler(color=COLORS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.constrained_layout.use": True,
    "figure.dpi": 127,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 9,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.7,
    "savefig.facecolor": "none",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
plt.rcParams.update(LOOK)


def panels(columns: int = 1, rows: int = 1, *, width: float = 6.6, height: float = 2.6, **options):
    """A figure of `rows` x `columns` Axes, as wide as the text; `options` as of `plt.subplots`.

    Returns:
        The Axes: one, or an array of them as `plt.subplots` makes it.
    """
    return plt.subplots(rows, columns, figsize=(width, height * rows), **options)[1]


def agree(hand: Any, f: Callable, x: Any, *others: Any, name: str = "gradient") -> None:
    r"""Holds a gradient derived by hand against autodiff and central differences.

    The gradient is that of `f(x, *others)` in `x`, summed over its elements: for an elementwise
    `f` that is the derivative at each point. Prints the largest disagreements, each relative to
    the largest entry of the gradient (or to 1, if that is larger), and fails if they are more
    than rounding (1e-10) and the error of the differences (1e-6) explain. Of more than 256
    entries, 256 drawn at random are tried by differences.

    Args:
        hand: the gradient derived by hand, a tree shaped like `x`.
        f: a function of `x` and `others`.
        x: where to compare, a tree of float64 arrays.
        others: further arguments of `f`.
        name: what to call it in the line printed.
    """
    total = lambda x: jnp.sum(f(x, *others))
    flat, unravel = ravel_pytree(x)
    if flat.dtype != jnp.float64:
        raise TypeError(
            f"agree: x must be float64, got {flat.dtype}. Differences need its digits: "
            'jax.config.update("jax_enable_x64", True) before anything else.'
        )
    # NumPy from here on: JAX would compile each of these small steps.
    by_hand = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(hand)])
    if by_hand.shape != flat.shape:
        raise ValueError(
            f"agree: the gradient must have the entries of x, {flat.shape}, got {by_hand.shape}. "
            "One slope belongs to each number that is differentiated."
        )
    entries = np.random.default_rng(0).permutation(flat.size)[:256]

    def difference(flat, i):
        step = 6e-6 * jnp.maximum(1, jnp.abs(flat[i]))
        up, down = flat.at[i].add(step), flat.at[i].add(-step)
        return (total(unravel(up)) - total(unravel(down))) / (2 * step)

    @jax.jit  # both at once: compiling is what takes the time
    def other_ways(flat, entries):
        differences = jax.vmap(difference, in_axes=(None, 0))(flat, entries)
        return jax.grad(lambda flat: total(unravel(flat)))(flat), differences

    by_autodiff, by_differences = map(np.asarray, other_ways(flat, entries))
    scale = max(1, np.abs(by_autodiff).max())
    autodiff = np.abs(by_hand - by_autodiff).max() / scale
    differences = np.abs(by_hand[entries] - by_differences).max() / scale
    print(f"{name}: autodiff {autodiff:.0e}, differences {differences:.0e}")
    # Written so that nan fails.
    assert autodiff <= 1e-10, f"{name}: the hand-derived gradient is not that of autodiff"
    assert differences <= 1e-6, f"{name}: the hand-derived gradient is not that of differences"
