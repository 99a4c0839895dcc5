r"""Reading labels off the outputs of a network that was trained with `losses.ctc`.

A path takes one class per frame, and is read by merging repeats and dropping blanks. `ctc_greedy`
reads the most likely path. But the labels that are most likely may be spread over many paths,
none of which is: `ctc_beam_search` adds up paths that read the same.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn import _checks

__all__ = ["ctc_beam_search", "ctc_greedy"]


def ctc_greedy(
    logits: Array, logit_lengths: Array | None = None, blank: int = 0
) -> tuple[Array, Array]:
    """The labels of the most likely path of each sequence.

    Args:
        logits: unnormalised log-probabilities, floats, `[..., time, classes]`.
        logit_lengths: how many frames of each sequence count, integers `[...]`; all by default.
        blank: the class that says nothing.

    Returns:
        Labels, int32 `[..., time]`, filled up with blanks, and how many there are, int32
        `[...]`; -1 where, under `jit`, a length is impossible.

    Raises:
        ValueError: if shapes don't fit, or a length or the blank is out of range.
        TypeError: if the logits are not floats, or lengths or blank not integers.

    Example:
        >>> path = jnp.array([1, 1, 0, 1, 2, 0])
        >>> labels, length = ctc_greedy(jax.nn.one_hot(path, 3))
        >>> labels[:length]
        Array([1, 1, 2], dtype=int32)
    """
    z, on, right = _frames("ctc_greedy", logits, logit_lengths, blank)
    path = jnp.where(on, z.argmax(-1).astype(jnp.int32), blank)
    before = jnp.concatenate([jnp.full_like(path[..., :1], blank), path[..., :-1]], -1)
    said = (path != blank) & (path != before)
    first = jnp.argsort(~said, axis=-1, stable=True)
    labels = jnp.take_along_axis(jnp.where(said, path, blank), first, -1)
    return labels, jnp.where(right, said.sum(-1, dtype=jnp.int32), -1)


def ctc_beam_search(
    logits: Array, logit_lengths: Array | None = None, blank: int = 0, beams: int = 10
) -> tuple[Array, Array, Array]:
    r"""The most likely labels of each sequence, by a search over their beginnings.

    After each frame the `beams` most likely beginnings b are kept, each with the probability of
    all paths that read b so far, and end in a blank, \( p_b \), or in the last label of b,
    \( q_b \). One more frame with probabilities y leads from b

    - by a blank to b again: \( p'_b = y_{blank}\,(p_b + q_b) \),
    - by the last label c of b, which merges, to b again: \( q'_b = y_c\,q_b \),
    - by a label k to the beginning bk: \( y_k\,(p_b + q_b) \), of which, where k = c, only the
      paths that end in a blank, \( y_k\,p_b \). If bk is kept already, this is added to it.

    With enough beams nothing is dropped, and the first of them is the most likely labelling.

    Args:
        logits: unnormalised log-probabilities, floats, `[..., time, classes]`.
        logit_lengths: how many frames of each sequence count, integers `[...]`; all by default.
        blank: the class that says nothing.
        beams: how many beginnings to keep.

    Returns:
        Labels, int32 `[..., beams, time]`, the most likely first, filled up with blanks; how
        many there are, int32 `[..., beams]`; and the logarithm of the probability of the paths
        that were kept, `[..., beams]`, at most minus `losses.ctc`, and minus infinity for beams
        without use. Lengths are -1 and scores NaN where, under `jit`, a length is impossible.

    Raises:
        ValueError: if shapes don't fit, a length or the blank is out of range, or `beams` is not
            positive.
        TypeError: if the logits are not floats, or lengths, blank or beams not integers.

    Example:
        >>> logits = jnp.log(jnp.array([[0.6, 0.4], [0.6, 0.4]]))
        >>> ctc_greedy(logits)[1]  # the path without labels has 0.36
        Array(0, dtype=int32)
        >>> labels, lengths, scores = ctc_beam_search(logits)
        >>> labels[0, :lengths[0]], jnp.exp(scores[0]).round(2)  # three paths have 0.64
        (Array([1], dtype=int32), Array(0.64, dtype=float32))

    Reference:
        Hannun, Maas, Jurafsky and Ng, "First-pass large vocabulary continuous speech recognition
        using bi-directional recurrent DNNs", 2014.
    """
    _checks.sizes("ctc_beam_search", beams=beams)
    z, on, right = _frames("ctc_beam_search", logits, logit_lengths, blank)
    log_y = jax.nn.log_softmax(jnp.where(on[..., None], z, 0))
    search = jnp.vectorize(
        lambda log_y, on: _search(log_y, on, blank, beams), signature="(t,k),(t)->(n,t),(n),(n)"
    )
    labels, lengths, scores = search(log_y, on)
    lengths = jnp.where(right[..., None], lengths, -1)
    scores = jnp.where(right[..., None], scores, jnp.nan)
    return labels, lengths, scores.astype(jnp.result_type(logits))


def _search(log_y, on, blank, beams):
    """Beam search of one sequence."""
    time, classes = log_y.shape
    place, every = jnp.arange(time, dtype=jnp.int32), jnp.arange(classes, dtype=jnp.int32)

    def step(state, frame):
        labels, lengths, in_blank, in_label = state
        log_y, on = frame
        total = jnp.logaddexp(in_blank, in_label)
        end = place == lengths[:, None] - 1
        last = jnp.where(end, labels, 0).sum(-1, dtype=jnp.int32)
        repeats = every == jnp.where(lengths > 0, last, -1)[:, None]
        longer = jnp.where(repeats, in_blank[:, None], total[:, None]) + log_y
        longer = longer.at[:, blank].set(-jnp.inf)
        # Where a beginning less its last label is kept, too, the two meet, and are one.
        parents = jnp.where(end, blank, labels)
        meets = (parents[:, None] == labels).all(-1) & (lengths[:, None] == lengths + 1)
        meets &= (total > -jnp.inf)[:, None]
        onward = jnp.where(meets, longer[:, last].T, -jnp.inf)
        gone = (meets[:, :, None] & (last[:, None, None] == every)).any(0)
        longer = jnp.where(gone, -jnp.inf, longer)

        in_blank = total + log_y[blank]
        in_label = jnp.where(lengths > 0, in_label + log_y[last], -jnp.inf)
        in_label = jnp.logaddexp(in_label, jax.nn.logsumexp(onward, -1))
        scores = jnp.concatenate([jnp.logaddexp(in_blank, in_label), longer.ravel()])
        _, chosen = lax.top_k(scores, beams)
        grows = chosen >= beams
        source = jnp.where(grows, (chosen - beams) // classes, chosen)
        new = jnp.where(grows, (chosen - beams) % classes, blank).astype(jnp.int32)
        after = (place == lengths[source, None]) & grows[:, None]
        state_then = (
            jnp.where(after, new[:, None], labels[source]),
            lengths[source] + grows.astype(jnp.int32),
            jnp.where(grows, -jnp.inf, in_blank[source]),
            jnp.where(grows, scores[chosen], in_label[source]),
        )
        return jax.tree.map(lambda a, b: jnp.where(on, a, b), state_then, state), None

    empty = jnp.full((beams, time), blank, jnp.int32), jnp.zeros(beams, jnp.int32)
    nothing = jnp.full(beams, -jnp.inf, log_y.dtype)
    (labels, lengths, in_blank, in_label), _ = lax.scan(
        step, (*empty, nothing.at[0].set(0), nothing), (log_y, on)
    )
    return labels, lengths, jnp.logaddexp(in_blank, in_label)


def _frames(function, logits, logit_lengths, blank):
    """Logits in the dtype to compute in, which frames count, and whether lengths are right."""
    _checks.floating(function, logits=logits)
    z = jnp.asarray(logits)
    if z.ndim < 2 or z.shape[-1] == 0:
        raise ValueError(
            f"{function}: logits must have shape [..., time, classes], got {z.shape}. "
            "Pass one row of classes per frame."
        )
    time, classes = z.shape[-2:]
    _checks.class_number(function, classes, blank=blank)
    lengths = jnp.full(z.shape[:-2], time) if logit_lengths is None else logit_lengths
    _checks.integer(function, logit_lengths=lengths)
    _checks.one_per_row(function, z[..., 0], logit_lengths=lengths)
    inside = lambda lengths: (lengths >= 0) & (lengths <= time)
    _checks.values(function, inside, f"lie in [0, {time}]", "Count frames.", logit_lengths=lengths)
    lengths = jnp.asarray(lengths, jnp.int32)
    on = jnp.arange(time, dtype=jnp.int32) < lengths[..., None]
    return z.astype(_checks.wide(z.dtype)), on, inside(lengths)
