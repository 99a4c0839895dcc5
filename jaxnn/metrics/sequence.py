"""Metrics of sequences: perplexity and edit distance."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks

__all__ = [
    "edit_distance", "perplexity",
]  # fmt: skip


def perplexity(cross_entropies: Array) -> Array:
    r"""Perplexity, \( e^{\mathrm{mean}(H)} \): among how many equally likely tokens one guesses.

    Args:
        cross_entropies: of each token in nats, any shape, as the losses return them; or their
            weighted mean, where some are padding.

    Returns:
        The perplexity, a scalar of at least 1.

    Raises:
        TypeError: if `cross_entropies` holds no floats.

    Example:
        >>> perplexity(jnp.log(jnp.array([2.0, 8.0]))).round(4)
        Array(4., dtype=float32)
    """
    _checks.floating("perplexity", cross_entropies=cross_entropies)
    cross_entropies = jnp.asarray(cross_entropies)
    return jnp.exp(cross_entropies.astype(_checks.wide(cross_entropies.dtype)).mean())


def edit_distance(
    predictions: Array,
    labels: Array,
    prediction_lengths: Array | None = None,
    label_lengths: Array | None = None,
) -> Array:
    """Levenshtein distance: how many insertions, deletions and substitutions lie between.

    Divided by the length of the label, and averaged, it is the label error rate of speech and
    handwriting recognition.

    Args:
        predictions: predicted sequences of integers, `[..., length]`.
        labels: true sequences, `[..., other_length]`, with the same leading axes.
        prediction_lengths: how much of each prediction counts, `[...]`; all by default.
        label_lengths: how much of each label counts, `[...]`; all by default.

    Returns:
        Distances, int32 `[...]`; -1 where, under `jit`, a length exceeds its sequence.

    Raises:
        ValueError: if leading axes differ or a length is impossible.
        TypeError: if anything holds no integers.

    Example:
        >>> words = [[ord(letter) for letter in word] for word in ("kitten", "sitting")]
        >>> int(edit_distance(jnp.array(words[0]), jnp.array(words[1])))
        3

    Reference:
        Wagner and Fischer, "The string-to-string correction problem", JACM 1974.
    """
    _checks.integer("edit_distance", predictions=predictions, labels=labels)
    rows = jnp.shape(predictions)[:-1]
    n, n_valid = _lengths("edit_distance", "prediction_lengths", prediction_lengths, predictions)
    m, m_valid = _lengths("edit_distance", "label_lengths", label_lengths, labels)
    if jnp.shape(labels)[:-1] != rows:
        raise ValueError(
            "edit_distance: predictions and labels must have the same leading axes, "
            f"got {jnp.shape(predictions)} and {jnp.shape(labels)}. One sequence each per row."
        )
    labels = jnp.asarray(labels, jnp.int32)
    columns = jnp.arange(labels.shape[-1] + 1, dtype=jnp.int32)

    def step(row, slot):
        """Distances of one more predicted symbol to every beginning of the label."""
        i, symbol = slot
        replaced = row[..., :-1] + (symbol[..., None] != labels).astype(jnp.int32)
        inserted = row + 1
        best = inserted.at[..., 1:].set(jnp.minimum(inserted[..., 1:], replaced))
        # A run of deletions costs one per column: a running minimum, less the column.
        best = jax.lax.cummin(best - columns, axis=best.ndim - 1) + columns
        return jnp.where((i < n)[..., None], best, row), None

    symbols = jnp.moveaxis(jnp.asarray(predictions, jnp.int32), -1, 0)
    first = jnp.broadcast_to(columns, (*rows, columns.size))
    last, _ = jax.lax.scan(step, first, (jnp.arange(len(symbols), dtype=jnp.int32), symbols))
    distance = jnp.take_along_axis(last, m[..., None], -1)[..., 0]
    return jnp.where(n_valid & m_valid, distance, -1)


def _lengths(function, name, lengths, sequences):
    """Lengths of sequences as int32, and which of them are possible."""
    most = jnp.shape(sequences)[-1]
    if lengths is None:
        lengths = jnp.full(jnp.shape(sequences)[:-1], most, jnp.int32)
    _checks.integer(function, **{name: lengths})
    _checks.one_per_row(function, sequences, **{name: lengths})
    holds = lambda lengths: (lengths >= 0) & (lengths <= most)
    _checks.values(function, holds, f"lie in [0, {most}]", "Count symbols.", **{name: lengths})
    lengths = jnp.asarray(lengths)
    return lengths.astype(jnp.int32), holds(lengths)
