r"""Connectionist temporal classification (CTC): learning to read without knowing where.

A network looks at T frames of speech or handwriting and gives, at each frame, a distribution
\( y_t = softmax(z_t) \) over the classes. One class is the *blank*, which says nothing. A path
\( \pi \) takes one class per frame; to read it, merge repeats, then drop blanks, so that with
blanks written as dots both `aa.ab` and `.a.ab` read `aab`. The loss is minus the logarithm of
the probability to read the labels l, whichever path it is along:

.. math:: P = \sum_{\pi \text{ reads } l} \; \prod_{t=1}^{T} y_t(\pi_t)

**Forward.** There are exponentially many such paths, but all of them walk from left to right
over the same 2L + 1 positions, the labels with blanks between them: for `aab`, `.a.a.b.`. At
each frame a path stays where it is, or moves on by one, or by two, over a blank between two
labels that differ. (Between equal ones the blank is needed, or they would merge.) So with
\( \alpha_t(s) \), the probability of all beginnings that are at position s after t frames, and
\( l'_s \) the class written there,

.. math:: \alpha_t(s) = y_t(l'_s)\,\bigl(\alpha_{t-1}(s) + \alpha_{t-1}(s-1)
          + [\text{skip to } s]\; \alpha_{t-1}(s-2)\bigr)

Before the first frame every path is at the first blank; at the end it has read all labels if it
is at the last label or at the blank behind it. P is what \( \alpha_T \) has in these two.

**Backward.** Likewise \( \beta_t(s) \), the probability of all endings from position s after t
frames, is 1 at the last two positions for t = T, and from there

.. math:: \beta_{t-1}(s) = y_t(l'_s)\,\beta_t(s) + y_t(l'_{s+1})\,\beta_t(s+1)
          + [\text{skip to } s+2]\; y_t(l'_{s+2})\,\beta_t(s+2)

**The gradient.** Beginnings times endings are whole paths: \( P = \sum_s \alpha_t(s) \beta_t(s) \)
at every t. A path that is at s at frame t has \( y_t(l'_s) \) as a factor, once. So the
derivative of \( \log P \) by \( \log y_t(k) \) is the probability to be at a position where k is
written, given that the labels were read, and as \( \log y_t = z_t - \log \sum e^{z_t} \),

.. math:: \frac{\partial(-\log P)}{\partial z_t(k)} = y_t(k) - p_t(k), \qquad
          p_t(k) = \sum_{s:\, l'_s = k} \frac{\alpha_t(s)\,\beta_t(s)}{P}

what the network expects at frame t, less what it would expect if it knew the labels, though not
where they are. For labels known frame by frame p would be one-hot, and this is the gradient of
the cross entropy.

**In floating point** products over T frames vanish, so \( \alpha \) and \( \beta \) are kept as
logarithms, these near zero, where they have most digits, by taking away their maximum at each
frame; and what each step rounds off is carried along beside them. The offsets make the loss,
and cancel in \( p_t \). Where P is above 1/2, its logarithm and y - p would be what rounding left
of numbers near 1; there both are computed from what is misread, as `_misread.py` says.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn import _checks
from jaxnn._rounding import sums
from jaxnn.losses import _misread, _paths
from jaxnn.losses._common import constant, exact_difference, exact_sum, inputs
from jaxnn.losses._softmax import exponentials, surplus

__all__ = ["ctc", "ctc_grad"]


def ctc(
    logits: Array, labels: Array, logit_lengths: Array, label_lengths: Array, blank: int = 0
) -> Array:
    r"""CTC loss of each sequence, minus the log-probability to read its labels.

    \( -\log \sum_\pi \prod_t softmax(z_t)_{\pi_t} \) over all paths that read as the labels once
    repeats are merged and blanks dropped, by the recursion at the top of this file. A sequence
    too short for its labels, which need a frame each and one more between two that are equal,
    costs infinity and has a zero gradient; `weighted_mean` with `loss < jnp.inf` leaves it out.

    Args:
        logits: unnormalised log-probabilities, floats, `[..., time, classes]`. Apply no softmax.
        labels: what is to be read, classes other than the blank, integers `[..., length]`.
        logit_lengths: how many frames of each sequence count, integers `[...]`; those after
            them may hold anything.
        label_lengths: how many labels of each sequence count, integers `[...]`; may be 0.
        blank: the class that says nothing.

    Returns:
        Losses, `[...]`, at least 0. Divide by `label_lengths` for the cost of a label.

    Raises:
        ValueError: if shapes don't fit, or a length or label is out of range, or a label is the
            blank (under `jit`, NaN).
        TypeError: if the logits are not floats, or labels, lengths or blank not integers.

    Example:
        >>> logits = jnp.zeros((1, 2, 3))  # three paths of nine read [1]: 1 1, 1 0 and 0 1
        >>> loss = ctc(logits, jnp.array([[1]]), jnp.array([2]), jnp.array([1]))
        >>> jnp.exp(-loss).round(4)
        Array([0.3333], dtype=float32)

    Reference:
        Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification:
        labelling unsegmented sequence data with recurrent neural networks", ICML 2006.
    """
    arguments, dtype = _prepared("ctc", logits, labels, logit_lengths, label_lengths, blank)
    with jax.named_scope("ctc"):
        return _over_sequences(_ctc, arguments).astype(dtype)


def ctc_grad(
    logits: Array, labels: Array, logit_lengths: Array, label_lengths: Array, blank: int = 0
) -> Array:
    r"""Gradient in the logits, \( y_t(k) - p_t(k) \): softmax less the posterior of each class.

    Given the labels, \( p_t(k) \propto \sum_{s: l'_s = k} \alpha_t(s) \beta_t(s) \), derived at the
    top of this file. Zero beyond the length of a sequence, and where it is too short for them.
    """
    arguments, dtype = _prepared("ctc_grad", logits, labels, logit_lengths, label_lengths, blank)
    with jax.named_scope("ctc_grad"):
        slope = _over_sequences(lambda *sequences: _loss_and_slope(*sequences)[1], arguments)
    return slope.astype(dtype)


def _over_sequences(f, arguments):
    """`f` of arguments that have one leading axis, whatever these have."""
    *_, right = arguments
    rows = right.shape
    flat = lambda x: x.reshape(math.prod(rows), *x.shape[len(rows) :])
    out = f(*map(flat, arguments))
    return out.reshape(*rows, *out.shape[1:])


# Of sequences: logits [b, t, k], the 2L + 1 positions [b, s], and [b] how many frames, which
# position is last, and whether labels and lengths are right.


@jax.custom_jvp
def _ctc(z, positions, frames, last, right):
    read = jax.vmap(_read)(z, positions, frames)
    loss = jax.vmap(lambda *one: _forward(*one)[0])(read, positions, last, right)
    return _refined(_misread.loss, loss, loss, read, positions, last)


def _loss_and_slope(z, positions, frames, last, right):
    read = jax.vmap(_read)(z, positions, frames)
    found = jax.vmap(_by_logarithms)(read, positions, last, right)
    found = _refined(_misread.loss_and_shares, found[0], found, read, positions, last)
    return found[0], jax.vmap(_slope)(read, positions, *found)


# Installed because it costs one pass back instead of a differentiated scan, is finite where
# something is impossible, and keeps its digits where the labels are all but certain.
@_ctc.defjvp
def _ctc_jvp(primals, tangents):
    loss, slope = _loss_and_slope(*primals)
    return loss, (slope * tangents[0]).sum((-1, -2))


def _refined(f, loss, rough, read, positions, last):
    """What logarithms found, and `f` of sequences that are likely to be read, if there are any."""
    on, _, _, softmax = read
    # Out of the branch, in which XLA on CPU uses one core.
    spoken = jax.vmap(_misread.spoken)(softmax, positions)
    sure = loss < 0.69  # where P is above 1/2

    def exact(rough):
        choose = lambda a, b: jnp.where(sure.reshape(-1, *[1] * (a.ndim - 1)), a, b)
        return jax.tree.map(choose, jax.vmap(f)(on, spoken, positions, last), rough)

    return lax.cond(sure.any(), exact, lambda rough: rough, rough)


# Below, one sequence. Logarithms are pairs: a number, and what rounding has lost of it so far.


def _by_logarithms(read, positions, last, right):
    """The loss, and of its slope a factor, and what positions and unnamed classes have in it."""
    on, emissions, *_ = read
    loss, alphas = _forward(read, positions, last, right)
    posterior = _posterior(alphas, _backward(on, emissions, positions, last))
    one = jnp.ones_like(loss)
    return loss, one, posterior, jnp.zeros_like(posterior[:, 0])


def _slope(read, positions, loss, factor, shares, unnamed):
    """Softmax less the posterior of each class, or, by a factor below 0, what is misread.

    The posterior sums to 1; what is misread, to less.
    """
    on, _, _, softmax = read
    powers, others, top = softmax
    classes = powers.shape[-1]
    share = (
        powers / (1 + others) * unnamed[:, None] * _paths.unnamed(positions, classes, powers.dtype)
    )
    share += _paths.by_class(shares, positions, classes)
    rest, total = sums(-1, jnp.where(top, 0, share), share)
    slope = factor * surplus(softmax, share, jnp.where(factor < 0, total, 1), rest)
    slope = jnp.where(on[:, None] & (loss < jnp.inf), slope, 0)
    return jnp.where(jnp.isnan(loss), jnp.nan, slope)


def _read(z, positions, frames):
    """What each frame says: log y at each position, less the log y of its most likely class.

    Before it which frames count; after it minus the log y of the most likely classes, which all
    paths pay, and the parts of the softmax.
    """
    on = jnp.arange(len(z), dtype=frames.dtype) < frames
    below, error, *softmax = exponentials(jnp.where(on[:, None], z, 0))
    return on, (below[:, positions], error[:, positions]), jnp.log1p(softmax[1])[:, 0], softmax


def _forward(read, positions, last, right):
    """The loss, and log alpha after each frame, less what all its positions share."""
    on, emissions, costs, _ = read
    skips = _paths.skips(positions)

    def step(state, frame):
        alpha, total = state
        on, emission, cost = frame
        arrived = _paths.plus(_over_neighbours(alpha, skips, 1), emission)
        alpha, largest = _near_zero(arrived)
        new = alpha, _paths.plus(total, exact_difference(cost, largest))
        return _paths.select(on, new, state), _paths.select(on, alpha, state[0])

    zero = jnp.zeros((), costs.dtype)
    start = _certain(jnp.arange(len(positions)) == 0, zero), (zero, zero)
    (alpha, (total, lost)), alphas = lax.scan(step, start, (on, emissions, costs))
    ends = jnp.where(_paths.ends(positions, last), alpha[0], -jnp.inf)
    end, end_lost = _over_neighbours((ends, alpha[1]), skips & False, 1)
    loss = (total - end[last]) + (lost - end_lost[last])
    return jnp.where(right, jnp.maximum(loss, 0), jnp.nan), alphas


def _backward(on, emissions, positions, last):
    """Log beta after each frame, less what all its positions share."""
    skips = _paths.neighbours(_paths.skips(positions), -1, False)[1]

    def step(beta, frame):
        on, emission = frame
        before = _over_neighbours(_paths.plus(beta, emission), skips, -1)
        return _paths.select(on, _near_zero(before)[0], beta), beta

    end = _certain(_paths.ends(positions, last), emissions[0])
    return lax.scan(step, end, (on, emissions), reverse=True)[1]


def _posterior(alphas, betas):
    """Probability of each position at each frame, from log alpha + log beta."""
    (below, lost), _ = _near_zero(_paths.plus(alphas, betas))
    shares = jnp.exp(below) * (1 + lost)
    total = shares.sum(-1, keepdims=True)
    return shares / jnp.where(total == 0, 1, total)


def _certain(where, like):
    """Logarithms of 1 at some positions, and of 0 elsewhere."""
    value = jnp.where(where, 0, -jnp.inf).astype(like.dtype)
    return value, jnp.zeros_like(value)


def _over_neighbours(x, skips, by):
    """log of the sum over each position, the one before it (`by` 1) and, by a skip, the next."""
    x, lost = x
    one, two = _paths.neighbours(x, by, -jnp.inf)
    values = x, one, jnp.where(skips, two, -jnp.inf)
    losses = lost, *_paths.neighbours(lost, by, 0)
    y, error = _log_sum(*values)
    # To first order the sum has lost what its terms have, each by its share.
    powers, others = _powers(*values)
    carried = sum(power * loss for power, loss in zip(powers, losses, strict=True)) / (1 + others)
    return y, lax.stop_gradient(error + carried)


@jax.custom_jvp
def _log_sum(a, b, c):
    """log(e^a + e^b + e^c), its largest term left out of `log1p`, and the rounding error."""
    top = jnp.maximum(jnp.maximum(a, b), c)
    return exact_sum(top, jnp.log1p(_powers(a, b, c)[1]))


def _powers(a, b, c):
    """The exponentials of three numbers less the largest, and the sum of the other two."""
    high, low = jnp.maximum(a, b), jnp.minimum(a, b)
    top, middle = jnp.maximum(high, c), jnp.minimum(high, c)
    finite = jnp.where(top == -jnp.inf, 0, top)
    second, third = jnp.exp(middle - finite), jnp.exp(low - finite)
    power = lambda x: jnp.where(x == finite, 1, jnp.where(x == middle, second, third))
    return (power(a), power(b), power(c)), second + third


# Installed because nothing has a share in an impossible sum, where autodiff has NaN, and because
# the second derivative is right where two terms are equal, where that of a maximum is not.
@_log_sum.defjvp
def _log_sum_jvp(primals, tangents):
    y, error = _log_sum(*primals)
    finite = jnp.where(y == -jnp.inf, 0, y)
    shares = [t * jnp.exp(x - finite) for t, x in zip(tangents, primals, strict=True)]
    return (y, error), (shares[0] + shares[1] + shares[2], jnp.zeros_like(error))


def _near_zero(x):
    """A pair less its maximum over the positions, if anything is possible, and that maximum."""
    largest = lax.stop_gradient(x[0]).max(-1, keepdims=True)
    largest = jnp.where(largest == -jnp.inf, 0, largest)
    below, error = exact_difference(x[0], largest)
    return (below, x[1] + error), largest[..., 0]


def _prepared(function, logits, labels, logit_lengths, label_lengths, blank):
    """The arguments of the functions of one sequence, for all of them, and the dtype to return."""
    integers = dict(labels=labels, logit_lengths=logit_lengths, label_lengths=label_lengths)
    _checks.integer(function, **integers)
    (z,), dtype = inputs(function, logits=logits)
    _check_shapes(function, z, **integers)
    (time, classes), length = z.shape[-2:], jnp.shape(labels)[-1]
    _checks.class_number(function, classes, blank=blank)
    as_int32 = lambda a: constant(lambda a: jnp.asarray(a, jnp.int32), a)
    labels, frames, counts = map(as_int32, integers.values())
    right = _within(function, time, logit_lengths=frames)
    right &= _within(function, length, label_lengths=counts)

    def padding():
        return jnp.arange(length, dtype=jnp.int32) >= counts[..., None]

    def fits(labels):
        return padding() | ((labels >= 0) & (labels < classes) & (labels != blank))

    if _checks.concrete(counts):
        must = f"be classes from 0 to {classes - 1} other than the blank, {blank}"
        do = "Renumber them, or pass another blank; only what is beyond label_lengths is free."
        _checks.values(function, fits, must, do, labels=labels)
    right &= fits(labels).all(-1)
    labels = jnp.where(padding() | ~fits(labels), blank, labels)
    positions = jnp.full((*labels.shape[:-1], 2 * length + 1), blank, jnp.int32)
    positions = positions.at[..., 1::2].set(labels)
    last = 2 * jnp.clip(counts, 0, length)
    return (z, positions, frames, last, right), dtype


def _check_shapes(function, logits, labels, logit_lengths, label_lengths):
    rows = logits.shape[:-2]
    if logits.ndim < 2 or logits.shape[-1] == 0:
        raise ValueError(
            f"{function}: logits must have shape [..., time, classes], got {logits.shape}. "
            "Pass one row of classes per frame."
        )
    if jnp.ndim(labels) == 0 or jnp.shape(labels)[:-1] != rows:
        raise ValueError(
            f"{function}: labels must hold one row per sequence, shape {(*rows, 'length')}, "
            f"got {jnp.shape(labels)}. Pad the labels to one length."
        )
    _checks.one_per_row(function, labels, logit_lengths=logit_lengths, label_lengths=label_lengths)


def _within(function, most, **lengths):
    """Which of the named lengths are possible; raises if one is not, where that can be seen."""
    inside = lambda lengths: (lengths >= 0) & (lengths <= most)
    do = "Count what is not padding."
    _checks.values(function, inside, f"lie in [0, {most}]", do, **lengths)
    return inside(*lengths.values())
