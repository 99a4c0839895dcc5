r"""CTC where the labels are all but certain: the probability to read anything else.

There P is nearly 1, and \( -\log P \), of sums of \( \alpha \) that round at 1, is what rounding
left. What goes wrong is a sum that does not cancel. At each frame a path goes on to where it is,
one or two positions further, each another class; any other class k leads it astray, for ever.
With \( d_t(s) = \sum_k y_t(k) \) over those k and with \( \alpha_0(s) \) certain at the first,

.. math:: 1 - P = W = \sum_{t,s} \alpha_{t-1}(s)\, d_t(s) + \sum_{s \text{ is no end}} \alpha_T(s)

and the loss is \( -\log(1 - W) \). From position s after frame t the probability to be misread
is 1 at the last frame, if s is no end, and from there

.. math:: \omega_{t-1}(s) = d_t(s) + y_t(l'_s)\,\omega_t(s) + y_t(l'_{s+1})\,\omega_t(s+1)
          + [\text{skip to } s+2]\; y_t(l'_{s+2})\,\omega_t(s+2)

which is \( 1 - \beta_{t-1}(s) \). Of the paths that were not astray before frame t, those which
say k in it and are misread have the probability

.. math:: w_t(k) = \sum_{s:\, l'_s = k} \alpha_t(s)\,\omega_t(s)
          + y_t(k) \sum_{s:\, k \text{ leads astray from } s} \alpha_{t-1}(s)

and those which were astray before say k as often as all do. So

.. math:: \frac{\partial(-\log(1 - W))}{\partial z_t(k)}
          = \frac{w_t(k) - y_t(k) \sum_j w_t(j)}{1 - W}

All of it in plain numbers: a product that vanishes here adds nothing to W.
"""

import jax.numpy as jnp
from jax import lax

from jaxnn.losses import _paths
from jaxnn.losses._common import exact_difference


def spoken(softmax, positions):
    """What a frame says, of the last three of `exponentials`: first at each position.

    There the probability of its class, that of all others if it is likely, else 1; and the
    probability of the classes that stand nowhere.
    """
    powers, others, top = softmax
    likely = (top & (others < 1))[:, positions]
    unnamed = _paths.unnamed(positions, powers.shape[-1], powers.dtype)
    elsewhere = jnp.matmul(powers, unnamed[:, None], precision="highest") / (1 + others)
    y, rest = powers[:, positions] / (1 + others), others / (1 + others)
    return y, jnp.where(likely, rest, 1), likely, elsewhere


def loss(on, spoken, positions, last):
    """Of one sequence, of which some frames are on."""
    misread, *_ = _forward(on, spoken, positions, last)
    return -jnp.log1p(-misread)


def loss_and_shares(on, spoken, positions, last):
    """The loss, the factor of its slope, and w of positions, and of classes without, over y."""
    misread, alphas, astray, dead = _forward(on, spoken, positions, last)
    inside = jnp.where(_inside(positions, last), alphas[:-1], 0)
    named = _named(spoken, positions) * jnp.matmul(inside, astray, precision="highest")
    shares = alphas[1:] * _backward(on, spoken, dead, positions, last)
    shares = shares.at[:, :1].add(named[:, :1]).at[:, 1::2].add(named[:, 1:])
    return -jnp.log1p(-misread), -1 / (1 - misread), shares, inside.sum(-1)


def _forward(on, spoken, positions, last):
    """W, and alpha before and after each frame; which classes lead astray, and how likely."""
    y, rest, likely, elsewhere = spoken
    skips = _paths.skips(positions)

    def step(alpha, frame):
        on, *factor = frame
        came = _over_neighbours(alpha, skips, 1)
        alpha = _paths.select(on, _times(came, *factor), alpha)
        return alpha, alpha[0] + alpha[1]

    start = (jnp.arange(len(positions)) == 0).astype(y.dtype)
    _, after = lax.scan(step, (start, jnp.zeros_like(start)), (on, y, rest, likely))
    alphas = jnp.concatenate([start[None], after])
    astray = _astray(positions, last).astype(y.dtype)
    named = _named(spoken, positions)
    dead = elsewhere + jnp.matmul(named, astray.T, precision="highest")
    dead = jnp.where(_inside(positions, last), dead, 0)
    strayed = jnp.where(on[:, None], alphas[:-1] * dead, 0).sum()
    left = jnp.where(_on_the_way(positions, last), alphas[-1], 0).sum()
    # Below 1/2 it is of use; above, finite.
    return jnp.minimum(strayed + left, 0.75), alphas, astray, dead


def _backward(on, spoken, dead, positions, last):
    """The probability to be misread, from each position after each frame."""
    y, rest, likely, _ = spoken
    skips = _paths.neighbours(_paths.skips(positions), -1, False)[1]

    def step(omega, frame):
        on, dead, *factor = frame
        further = _over_neighbours(_times(omega, *factor), skips, -1)
        before = _paths.plus(further, (dead, jnp.zeros_like(dead)))
        return _paths.select(on, before, omega), omega[0] + omega[1]

    end = _on_the_way(positions, last).astype(y.dtype)
    frames = on, dead, y, rest, likely
    return lax.scan(step, (end, jnp.zeros_like(end)), frames, reverse=True)[1]


def _times(x, y, rest, likely):
    """A pair times y, which is nearly 1 where it is likely: `rest` then is 1 - y."""
    high, low = exact_difference(x[0], x[0] * rest)
    return jnp.where(likely, high, x[0] * y), jnp.where(likely, low, 0) + x[1] * y


def _over_neighbours(x, skips, by):
    """The sum over each position, the one before it (`by` 1) and, by a skip, the next."""
    one, two = zip(*(_paths.neighbours(part, by, 0) for part in x), strict=True)
    return _paths.plus(_paths.plus(x, one), [jnp.where(skips, part, 0) for part in two])


def _astray(positions, last):
    """Which of the classes of `_columns` lead astray from each position."""
    columns = _columns(positions)
    goes_on = positions[:, None] == columns
    for further in _paths.neighbours(positions, -1, positions[0]):
        goes_on |= further[:, None] == columns
    return ~goes_on & _inside(positions, last)[:, None]


def _named(spoken, positions):
    """The probability of each class of `_columns`, once: 0 for what is equal to one before."""
    columns = _columns(positions)
    repeated = jnp.tril(columns[:, None] == columns, -1).any(-1)
    return jnp.where(repeated, 0, _columns(spoken[0].T).T)


def _columns(x):
    """What the first blank has, and each label."""
    return jnp.concatenate([x[:1], x[1::2]])


def _inside(positions, last):
    return jnp.arange(len(positions), dtype=last.dtype) <= last


def _on_the_way(positions, last):
    return _inside(positions, last) & ~_paths.ends(positions, last)
