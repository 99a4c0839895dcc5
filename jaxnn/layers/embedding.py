"""Embedding: a row of a table for each of a finite number of ids; and places in a sequence."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn import _checks
from jaxnn.initializers import Initializer, normal

__all__ = ["embedding", "embedding_init", "embedding_vjp", "positional_encoding"]


def embedding_init(
    key: Array, vocabulary: int, width: int, embedding_init: Initializer = normal(0.02)
) -> dict[str, Array]:
    """Parameters of `embedding`: one drawn row for each id.

    Args:
        key: the source of the table.
        vocabulary: how many ids there are.
        width: features of a row.
        embedding_init: how to draw the table.

    Returns:
        `{"embedding": [vocabulary, width]}`, which are also the parameters of
        `flax.linen.Embed`.

    Raises:
        ValueError: if a size is not positive.

    Example:
        >>> embedding_init(jax.random.key(0), 100, 8)["embedding"].shape
        (100, 8)
    """
    _checks.sizes("embedding_init", vocabulary=vocabulary, width=width)
    return {"embedding": embedding_init(key, (vocabulary, width), jnp.result_type(float))}


def embedding(params: dict[str, Array], ids: Array) -> Array:
    r"""The rows of a table, \( y_i = E_{id_i} \).

    It is a dense layer without bias on one-hot rows, without the rows.

    Args:
        params: `embedding`, `[vocabulary, width]`.
        ids: integers from 0 to vocabulary - 1, any shape.

    Returns:
        Rows, `[..., width]`.

    Raises:
        ValueError: if an id is out of range; under `jit`, its row is NaN, and so is the gradient.
            Give padding an id, too.
        TypeError: if the ids are not integers.

    Example:
        >>> embedding({"embedding": jnp.eye(3)}, jnp.array([2, 0]))
        Array([[0., 0., 1.],
               [1., 0., 0.]], dtype=float32)

    Reference:
        Bengio, Ducharme, Vincent and Jauvin, "A neural probabilistic language model", JMLR
        2003.
    """
    table = params["embedding"]
    with jax.named_scope("embedding"):
        inside = _inside("embedding", table, ids)
        rows = jnp.take(table, jnp.where(inside, ids, 0), axis=0)
        # A product and no select, whose gradient would be 0 where the id is wrong.
        return rows * jnp.where(inside, 1, jnp.nan).astype(rows.dtype)[..., None]


def embedding_vjp(g: Array, params: dict[str, Array], ids: Array) -> dict[str, Array]:
    r"""Pulls the cotangent `g` of the rows back to the table.

    Each row of the table collects from all places where it was used, and the others get
    nothing: \( \partial E_v = \sum_{i:\ id_i = v} g_i \).

    Returns:
        The cotangents of the parameters, shaped like `params`.
    """
    table = params["embedding"]
    inside = _inside("embedding_vjp", table, ids)
    _checks.cotangent("embedding_vjp", g, (*jnp.shape(ids), table.shape[1]))
    g = jnp.where(inside[..., None], g, jnp.nan)
    return {"embedding": jnp.zeros_like(table).at[jnp.where(inside, ids, 0)].add(g)}


def positional_encoding(length: int, width: int) -> Array:
    r"""Sinusoids that tell a network the place of each step.

    .. math:: P_{t, 2i} = \sin(t / 10000^{2i / d}), \qquad P_{t, 2i+1} = \cos(t / 10000^{2i / d})

    Wavelengths go from \( 2\pi \) to 20000\( \pi \); a shift by k steps is a rotation of each
    pair, the same at every t.

    Args:
        length: how many steps.
        width: features d, an even number.

    Returns:
        `[length, width]`, to be added to embeddings.

    Raises:
        ValueError: if a size is not positive or `width` is odd.

    Example:
        >>> [f"{wave:.2f}" for wave in positional_encoding(3, 2)[2]]
        ['0.91', '-0.42']

    Reference:
        Vaswani et al., "Attention is all you need", NeurIPS 2017.
    """
    _checks.sizes("positional_encoding", length=length, width=width)
    if width % 2:
        raise ValueError(
            f"positional_encoding: width must be even, got {width}. Sines and cosines come in "
            "pairs."
        )
    # In double precision on the host: these are constants.
    angles = np.arange(length)[:, None] / 10000 ** (np.arange(0, width, 2) / width)
    waves = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(length, width)
    return jnp.asarray(waves, jnp.result_type(float))


def _inside(function, table, ids):
    _checks.integer(function, ids=ids)
    size = table.shape[0]
    inside = lambda ids: (ids >= 0) & (ids < size)
    do = "Count from 0, or make the table larger."
    _checks.values(function, inside, f"be from 0 to {size - 1}", do, ids=ids)
    return inside(jnp.asarray(ids))
