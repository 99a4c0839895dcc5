# %% [markdown]
# # 12 Softmax, cross-entropy and CTC
#
# A recording says "bac". It lasts 48 frames, and nobody wrote down which frames are the b. A
# network that listens frame by frame has to be told, at each frame, how wrong it was. How can one
# be right or wrong about *when*, if no one knows when?

# %%
import itertools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from _shared import COLORS, INK, agree, panels

from jaxnn import activations, decoding, losses, optimizers

jax.config.update("jax_enable_x64", True)  # finite differences need the digits

K, BLANK, LETTERS = 4, 0, "·abc"  # the dot is the blank: "nothing new to say"
TONES = {1: (2, 5), 2: (8, 5), 3: (1, 1)}  # from which channel to which each letter glides


def sound(rng, frames=48, channels=10):
    """What was heard, [T, d], what was said, [3], and the secret: when, [3, 2]."""
    x, said, when = rng.normal(0, 0.2, (frames, channels)), [], []
    for third in range(3):
        begin = 16 * third + rng.integers(0, 8)
        end = begin + rng.integers(6, 9)
        letter = rng.integers(1, K)
        glide = np.linspace(*TONES[letter], end - begin)[:, None]
        x[begin:end] += np.exp(-((np.arange(channels) - glide) ** 2))
        said.append(letter)
        when.append((begin, end))
    return x, said, when


def windows(x, reach=3):
    """Seven frames side by side for each frame, [..., T, 7 d], and a one for the bias."""
    pad = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(reach, reach), (0, 0)])
    seven = [pad[..., i : i + x.shape[-2], :] for i in range(2 * reach + 1)]
    return np.concatenate([*seven, np.ones((*x.shape[:-1], 1))], -1)


rng = np.random.default_rng(5)
x, said, _ = zip(*(sound(rng) for _ in range(192)), strict=True)
x, said = jnp.array(windows(np.array(x))), jnp.array(said)
optimizer, full, STEPS = optimizers.adam(0.04), jnp.full(192, 48), 100


def answer(params, x):
    """Logits of a small network, the same at each frame."""
    first, second = params
    return jnp.tanh(x @ first) @ second


def mean_loss(params):
    return losses.ctc(answer(params, x), said, full, jnp.full(192, 3)).mean()


@jax.jit
def learn(params):
    def step(state, _):
        params, memory = state
        loss, grads = jax.value_and_grad(mean_loss)(params)
        updates, memory = optimizer.update(grads, memory)
        return (optax.apply_updates(params, updates), memory), (params, loss)

    return jax.lax.scan(step, (params, optimizer.init(params)), length=STEPS + 1)[1]


start = tuple(jnp.array(rng.normal(0, 0.3, shape)) for shape in ((x.shape[-1], 24), (24, K)))
path, history = learn(start)
print(f"loss per recording: {history[0]:.1f} before, {history[-1]:.3f} after {STEPS} steps")
after = lambda steps: jax.tree.map(lambda a: a[steps], path)

new, truth, _ = zip(*(sound(rng) for _ in range(200)), strict=True)
read, _ = decoding.ctc_greedy(answer(after(STEPS), jnp.array(windows(np.array(new)))))
right = (read[:, :3] == jnp.array(truth)).all(1) & (read[:, 3:] == BLANK).all(1)
print(f"{right.mean():.0%} of 200 new recordings are read without a mistake")

heard, word, when = next(s for s in (sound(rng) for _ in range(99)) if s[1] == [2, 1, 3])
y = activations.softmax(answer(after(STEPS), jnp.array(windows(heard))))


def draw_letters(ax, y, **look):
    for k in range(K):
        ax.plot(y[:, k], color=(INK, *COLORS)[k], **look)


top, bottom = panels(rows=2, height=1.7, sharex=True)
top.imshow(heard.T, aspect="auto", origin="lower", cmap="Greys", vmin=0, vmax=1.4)
for letter, (begin, end) in zip(word, when, strict=True):
    for ax in (top, bottom):
        ax.axvspan(begin - 0.5, end - 0.5, color=COLORS[letter - 1], alpha=0.12, lw=0)
    bottom.text((begin + end) / 2 - 1, 1.06, LETTERS[letter], color=COLORS[letter - 1], size=12)
draw_letters(bottom, y)
top.set(ylabel="channel", title="a new recording; the shading is the secret")
bottom.set(xlabel="frame", ylabel="probability", ylim=(0, 1.25), xlim=(-0.5, 47.5))
bottom.set_yticks([0, 0.5, 1])
plt.show()

# %% [markdown]
# The network is two matrices and a softmax. It heard 192 recordings and was told their words,
# never the shading. On this new one it says nothing (grey) in the gaps, and each letter where it
# is. It found out when the letters are by being told only which they are.
#
# (It could also learn its words by heart and say them in the wrong places: nothing in the loss
# forbids it. Drawn anew eight times, it read at least 98 % of new recordings every time; with 64
# to learn from instead of 192, four of eight read 70 % or fewer, and one of them said nearly every
# letter out of its place. Where no one says when, only many different words do.)
#
# ## Notation
#
# Time runs over $t = 1 \dots T$. Class 0 is the blank, written as a dot.
#
# | symbol | shape | meaning |
# |---|---|---|
# | $z$ | $[T, K]$ | logits |
# | $y_t = \mathrm{softmax}(z_t)$ | $[T, K]$ | probabilities of the classes at each frame |
# | $l$ | $[L]$ | what was said, for example $aab$ |
# | $l'$ | $[S]$ | the same with blanks around: $\cdot a \cdot a \cdot b \cdot$, $S = 2L + 1$ |
# | $\pi$ | $[T]$ | a path: one class for each frame |
# | $\alpha, \beta$ | $[T, S]$ | probability of all beginnings, of all endings |
# | $P$ | $[\,]$ | probability of reading $l$; the loss is $-\log P$ |
# | $p$ | $[T, K]$ | what the network would say if it knew $l$ |
# | $g$ | $[K]$ | $\partial \mathcal{L} / \partial y_t$, from whatever loss $\mathcal L$ follows |
#
# ## Derivation
#
# ### Softmax
#
# **1.** For one frame, with the index $t$ left out,
#
# $$y_i = \frac{e^{z_i}}{\sum_j e^{z_j}} .$$
#
# Adding a number to all logits changes nothing: it cancels. So subtract the largest, and no $e^z$
# overflows.
#
# **2.** Each probability depends on every logit, through the sum. From
# $\log y_i = z_i - \log \sum_j e^{z_j}$,
#
# $$\frac{\partial \log y_i}{\partial z_j} = [i = j] - y_j ,$$
#
# and therefore $\partial y_i / \partial z_j = y_i \,([i = j] - y_j)$. Primers often print
# $y_i (1 - y_i)$ as "the derivative of softmax". That is the diagonal of a $K \times K$ matrix;
# the rest is not zero.
#
# **3.** The chain rule multiplies $g$ by that matrix, $\sum_i g_i\, y_i ([i = j] - y_j)$.
# Multiplied out, no matrix is left:
#
# $$\frac{\partial \mathcal L}{\partial z} = y \odot (g - \langle g, y \rangle) .$$
#
# What counts is whether a class is worth more than the average. The entries add up to 0.
#
# ### Cross-entropy
#
# **4.** Let $q$ be what should have been said: a distribution, one-hot if it is known. With the
# loss $-\sum_i q_i \log y_i$, step 2 gives
#
# $$\begin{aligned}
# -\sum_i q_i ([i = j] - y_j) &= y_j \sum_i q_i - q_j \\
# &= y_j - q_j .
# \end{aligned}$$
#
# **What was said, minus what should have been.** Now to the case in which $q$ is not known.
#
# ### All the ways to say it
#
# **5.** A path takes one class per frame. To **read** it, merge repeats, then drop blanks. Thus
# $aa{\cdot}ab$ and $\cdot a \cdot ab$ both read $aab$, and $aaab$ reads $ab$. Given the recording,
# frames are drawn independently, so
#
# $$P = \sum_{\pi \text{ reads } l} \; \prod_{t=1}^{T} y_t(\pi_t) .$$
#
# There are up to $K^T$ paths; here, $4^{48} \approx 10^{29}$.
#
# **6.** All of them walk over the same $S$ positions of $l'$. At each frame a walk stays, or moves
# on by one, or by two: over a blank, and only between two labels that differ. (Between equal ones
# the blank is needed, or they would merge. Moving from blank to blank would leave out a label.) It
# starts at the first blank or the first label, and ends at the last label or the last blank.
# Every such walk reads $l$. And a path that reads $l$ is one such walk, no more: which label or
# gap we are in follows from the path so far. So a sum over paths is a sum over walks.
#
# **7.** Where a walk goes next depends on where it is, not on how it came there. So gather all
# beginnings: $\alpha_t(s)$ is the probability of all walks of $t$ frames that end at $s$.
#
# $$\begin{aligned}
# \alpha_t(s) = y_t(l'_s) \big( &\alpha_{t-1}(s) + \alpha_{t-1}(s - 1) \\
# &+ [\text{skip to } s]\; \alpha_{t-1}(s - 2) \big)
# \end{aligned}$$
#
# with $\alpha_0 = (1, 0, \dots, 0)$, and $P = \alpha_T(S) + \alpha_T(S - 1)$. Instead of $K^T$
# products, $3TS$.
#
# **8.** Likewise all endings: $\beta_t(s)$ is the probability of the frames after $t$, over all
# walks on from $s$. $\beta_T$ is 1 at the last two positions, and
#
# $$\begin{aligned}
# & \beta_{t-1}(s) = y_t(l'_s)\, \beta_t(s) + y_t(l'_{s+1})\, \beta_t(s + 1) \\
# &\quad + [\text{skip to } s + 2]\; y_t(l'_{s+2})\, \beta_t(s + 2) .
# \end{aligned}$$
#
# **9.** A beginning and an ending at the same place make a walk. So at **every** frame
#
# $$\sum_s \alpha_t(s)\, \beta_t(s) = P .$$
#
# (Graves and others, in 2006, count $y_t$ in $\beta_t$ too; it is then twice in the product, and
# has to be divided out. Mixing the two conventions is a favourite mistake.)
#
# ### The gradient
#
# **10.** Each walk has exactly one factor from frame $t$. So $P$ is linear in the numbers
# $y_t(k)$ of that frame, and $y_t(k)\, \partial P / \partial y_t(k)$ collects the walks that say
# $k$ at $t$:
#
# $$\frac{\partial P}{\partial \log y_t(k)} = \sum_{s :\, l'_s = k} \alpha_t(s)\, \beta_t(s) .$$
#
# **11.** Divide by $P$. The result is a distribution over $k$, by step 9:
#
# $$p_t(k) = \frac1P \sum_{s :\, l'_s = k} \alpha_t(s)\, \beta_t(s) ,$$
#
# the probability that $k$ was said at $t$, **given that** $l$ was read. And
# $\partial (-\log P) / \partial \log y_t(k) = -p_t(k)$.
#
# **12.** That is the slope of a cross-entropy with $q = p_t$. Step 4 finishes:
#
# $$\frac{\partial (-\log P)}{\partial z_t} = y_t - p_t .$$
#
# So this is the answer. The network is compared with **itself, had it known the word**. It makes
# its own labels, softly, and better ones as it learns.
#
# **13.** A word needs a frame for each label, and one for the blank between two equal ones. If
# $T < L + \text{repeats}$, no path reads it: $P = 0$, the loss is infinite, and no gradient can
# help.
#
# ## Code


# %%
def softmax(z):
    e = jnp.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_vjp(g, z):
    y = softmax(z)
    return y * (g - (g * y).sum(-1, keepdims=True))  # step 3


def positions(word):
    """l', and to which of its positions a walk may skip (step 6)."""
    l_ = np.full(2 * len(word) + 1, BLANK)
    l_[1::2] = word
    skip = (l_ != BLANK) & (l_ != np.concatenate([[BLANK, BLANK], l_])[: len(l_)])
    return l_, skip


def moved(a, by):
    """a(s - by), with zeros coming in."""
    pad = jnp.zeros(abs(by))
    return jnp.concatenate([pad, a])[: len(a)] if by > 0 else jnp.concatenate([a, pad])[-len(a) :]


def forward_backward(y, l_, skip):
    def step(alpha, e):  # step 7; e is y_t(l')
        alpha = e * (alpha + moved(alpha, 1) + jnp.where(skip, moved(alpha, 2), 0))
        return alpha, alpha

    def step_back(beta, e):  # step 8
        on = e * beta
        return on + moved(on, -1) + moved(jnp.where(skip, on, 0), -2), beta

    place = jnp.arange(len(l_))
    _, alpha = jax.lax.scan(step, 1.0 * (place == 0), y[:, l_])
    _, beta = jax.lax.scan(step_back, 1.0 * (place >= len(l_) - 2), y[:, l_], reverse=True)
    return alpha, beta


def loss(z, l_, skip):
    alpha, _ = forward_backward(softmax(z), l_, skip)
    return -jnp.log(alpha[-1, -2:].sum())


def posterior(y, l_, skip):
    alpha, beta = forward_backward(y, l_, skip)
    walks = alpha * beta
    return walks @ jax.nn.one_hot(l_, y.shape[1]) / walks.sum(1, keepdims=True)  # step 11


def loss_grad(z, l_, skip):
    y = softmax(z)
    return y - posterior(y, l_, skip)  # step 12


# %% [markdown]
# Twelve frames that mumble, and the word $aab$:

# %%
l_, skip = positions([1, 1, 2])
z = jnp.array(np.random.default_rng(1).normal(0, 0.8, (12, 3)))
alpha, beta = jax.jit(forward_backward)(softmax(z), l_, skip)
P = alpha[-1, -2:].sum()
figure, axes = plt.subplots(1, 3, figsize=(6.6, 2.3), sharey=True)
pictures = {
    "beginnings, $\\log \\alpha$": np.log(np.maximum(alpha, 1e-12)),
    "endings, $\\log \\beta$": np.log(np.maximum(beta, 1e-12)),
    "whole walks, $\\alpha \\beta / P$": alpha * beta / P,
}
for ax, (title, values) in zip(axes, pictures.items(), strict=True):
    lowest = -12 if "log" in title else 0
    ax.imshow(np.array(values).T, aspect="auto", cmap="Blues", vmin=lowest)
    ax.set(title=title, xlabel="frame", xticks=[0, 5, 11], xticklabels=[1, 6, 12])
axes[0].set(yticks=range(7), yticklabels=[LETTERS[k] for k in l_], ylabel="position in $l'$")
plt.show()
print("sum of alpha beta at each frame, over P:", np.unique((alpha * beta).sum(1).round(12) / P))

# %% [markdown]
# Darker is likelier. Beginnings fan out from the top left; endings fan in to the bottom right.
# Their product is a river with two banks: a walk must have left the source, and must still be able
# to arrive. Across the river, at any frame, the sum is the same (step 9).
#
# The same on the recording of the first picture, while the network learned. Lines are what it
# said, $y$; areas are what it would have said had it known the word, $p$.

# %%
spans, axes = (0, 5, 20), panels(rows=3, height=1.15, sharex=True)
for ax, steps in zip(axes, spans, strict=True):
    y = softmax(answer(after(steps), jnp.array(windows(heard))))
    p = jax.jit(posterior)(y, *positions(word))
    for k in range(1, K):
        ax.fill_between(range(48), p[:, k], color=COLORS[k - 1], alpha=0.3, lw=0)
    draw_letters(ax, y, lw=1.2)
    ax.set(ylim=(0, 1.05), xlim=(-0.5, 47.5), title=f"after {steps} steps")
axes[-1].set(xlabel="frame")
for letter, (begin, end) in zip(word, when, strict=True):
    axes[-1].text((begin + end) / 2 - 1, 0.4, LETTERS[letter], color=COLORS[letter - 1], size=12)
plt.show()

# %% [markdown]
# At first the network mumbles, and the word tells little more than an order: b comes before a, a
# before c. That is enough to begin: the lines follow the areas, and the areas, being made of the
# lines, get sharper.
#
# ## Check
#
# Softmax and cross-entropy, three ways:

# %%
rng = np.random.default_rng(0)
logits, g = jnp.array(rng.normal(size=(5, K))), jnp.array(rng.normal(size=(5, K)))
q = softmax(jnp.array(rng.normal(size=(5, K))))
agree(softmax_vjp(g, logits), lambda z: g * softmax(z), logits, name="softmax")
cross_entropy = lambda z: -q * jnp.log(softmax(z))
agree(softmax(logits) - q, cross_entropy, logits, name="cross-entropy")
assert right.mean() > 0.9
assert jnp.allclose(softmax_vjp(g, logits), activations.softmax_vjp(g, logits), atol=1e-14)

# %% [markdown]
# CTC, three ways, and the library's:

# %%
agree(loss_grad(z, l_, skip), loss, z, l_, skip, name="CTC")
theirs = lambda z: losses.ctc(z, jnp.array([1, 1, 2]), jnp.array(12), jnp.array(3))
agree(loss_grad(z, l_, skip), theirs, z, name="jaxnn's CTC")

# %% [markdown]
# And a fourth way, which uses no recursion and no calculus. With six frames and three classes there
# are only 729 paths: read every one, and count.


# %%
def reading(path):
    return tuple(k for k, _ in itertools.groupby(path) if k != BLANK)


y = np.array(softmax(z[:6]))
words = {}
by_class, fitting = np.zeros((6, 3)), []
for walk in itertools.product(range(3), repeat=6):
    weight = np.prod(y[range(6), walk])
    words[reading(walk)] = words.get(reading(walk), 0) + weight
    if reading(walk) == (1, 1, 2):
        by_class[range(6), walk] += weight
        fitting.append(weight)
P = words[1, 1, 2]
alpha, beta = forward_backward(y, l_, skip)
print(f"P by counting {P:.12f}, by alpha {alpha[-1, -2:].sum():.12f}")
print(f"{len(words)} words can be read, of total probability {sum(words.values()):.12f}")
assert np.isclose(alpha[-1, -2:].sum(), P, rtol=1e-12)
assert np.allclose((alpha * beta).sum(1), P, rtol=1e-12)
assert np.allclose(posterior(y, l_, skip), by_class / P, atol=1e-12)
assert np.isclose(sum(words.values()), 1)

# %% [markdown]
# ## Break it
#
# **Skip between equal letters too.** Forget half of step 6, and $ab$ counts as $aab$ as well.
# Nothing crashes, and the loss still falls. But the words now share more than there is:

# %%
probability = jax.jit(lambda y, l_, skip: forward_backward(y, l_, skip)[0][-1, -2:].sum())
total, wrong = 0, 0
for word in words:
    l_, skip = positions(word)
    total += probability(y, l_, skip)
    wrong += probability(y, l_, (l_ != BLANK) & (np.arange(len(l_)) > 1))
print(f"all words together: {total:.6f} with the rule, {wrong:.3f} without")
assert np.isclose(total, 1)
assert wrong > 1.05

# %% [markdown]
# **Softmax twice.** `losses.ctc`, like most losses, wants logits. Give it probabilities, and the
# softmax inside flattens them: from numbers within $[0, 1]$ no class gets more than
# $e / (e + K - 1)$, or 0.475 for four classes. So even a perfect answer is expensive, and the
# network can do nothing about it.

# %%
perfect = jax.nn.one_hot(jnp.array([1, 1, 0, 1, 2, 2]), K)
arguments = jnp.array([1, 1, 2]), jnp.array(6), jnp.array(3)
once, twice = losses.ctc(100 * perfect, *arguments), losses.ctc(perfect, *arguments)
print(f"a perfect answer costs {once:.4f}; after a second softmax {twice:.2f}")
assert once < 1e-9
assert twice > 2.5
assert np.isclose(activations.softmax(perfect).max(), np.e / (np.e + K - 1))

# %% [markdown]
# **Multiply.** A second of speech has a hundred frames. With 100 classes, all equally likely, one
# path has $100^{-T}$, and float64 ends at $10^{-324}$:

# %%
arguments = jnp.array([1, 2, 3]), jnp.array(3)
for frames in (100, 200):
    flat = jnp.zeros((frames, 100))
    ours, log = loss(flat, *positions([1, 2, 3])), losses.ctc(flat, arguments[0], frames, 3)
    slope = loss_grad(flat, *positions([1, 2, 3]))
    print(f"{frames} frames: products {ours:.3f}, logarithms {log:.3f}, slope {slope[0, 0]:.3f}")
assert jnp.isinf(ours)
assert jnp.isnan(slope).any()
assert jnp.isfinite(log)

# %% [markdown]
# The library keeps logarithms, and takes the largest of each frame out of them, so that they stay
# near zero, where floats are dense. (Notebook 15 is about such things.)
#
# **Too short.** Two frames, $aa$ (step 13): the loss is infinite and says so, with a zero gradient.
# A large finite number would look like a hard example.

# %%
short = jnp.zeros((2, K)), jnp.array([1, 1]), jnp.array(2), jnp.array(2)
print("loss", losses.ctc(*short), "largest slope", jnp.abs(losses.ctc_grad(*short)).max())
assert losses.ctc(*short) == jnp.inf
assert (losses.ctc_grad(*short) == 0).all()

# %% [markdown]
# ## Exercises
#
# 1. Three frames, the word $aa$. Write the loss without a sum over paths, and its gradient.
# 2. How many paths of $T$ frames read the one-letter word $a$? With all classes equally likely, how
#    many of the frames say $a$, on average? What does the first step of learning teach the
#    blank?
# 3. Hold $p$ fixed and differentiate the cross-entropy $-\sum_{t,k} p_t(k) \log y_t(k)$. Compare
#    its gradient with that of CTC. Are the two losses equal?
# 4. Two frames, two classes, $y_t = (0.6, 0.4)$ at both. Which path is the most likely? Which
#    word?
#
# Try them before you read on.
#
# ## Answers
#
# **1.** One path fits, $a \cdot a$. So the loss is a plain cross-entropy at each frame,
# $-\log y_1(a) - \log y_2(\cdot) - \log y_3(a)$, and the gradient is $y$ minus one-hot.

# %%
l_, skip = positions([1, 1])
only = jax.nn.one_hot(jnp.array([1, 0, 1]), 3)
agree(softmax(z[:3]) - only, loss, z[:3], l_, skip, name="one path")
assert jnp.isclose(loss(z[:3], l_, skip), -(only * jnp.log(softmax(z[:3]))).sum())

# %% [markdown]
# **2.** The frames that say $a$ are one run, from frame $i$ to frame $j \ge i$: $T (T + 1) / 2$
# paths. There are $T - n + 1$ runs of length $n$, so the average length is
#
# $$\frac{\sum_n n\, (T - n + 1)}{T (T + 1) / 2} = \frac{T + 2}{3} .$$
#
# The other two thirds are blank. From the first step on the blank is told to be likely
# everywhere, and a letter needs only one frame to be read. That is why networks trained by CTC so
# often speak in spikes. (Ours found the sounds before the blank won.)

# %%
T = 48
l_, skip = positions([1])
paths = probability(jnp.ones((T, 2)), l_, skip)
share = posterior(jnp.full((T, 2), 0.5), l_, skip).mean(0)
print(f"{paths:.0f} paths; on average {T * share[1]:.2f} frames say a; blank {share[0]:.3f}")
assert paths == T * (T + 1) / 2
assert jnp.isclose(T * share[1], (T + 2) / 3)

# %% [markdown]
# **3.** The gradients are equal, by steps 4 and 12. The losses are not. A walk $\pi$ that reads $l$
# has the probability $q(\pi) = \prod_t y_t(\pi_t) / P$, given that $l$ was read. So the
# cross-entropy, a mean of $-\sum_t \log y_t(\pi_t) = -\log P - \log q(\pi)$ over these walks, is
# more than $-\log P$ by the entropy of $q$. Recomputing $p$ after each step is the idea of
# expectation-maximization: label with what you know, learn from the labels, repeat.

# %%
l_, skip = positions([1, 1, 2])
p = posterior(softmax(z[:6]), l_, skip)
fixed = lambda z: -(p * jnp.log(softmax(z))).sum()
agree(loss_grad(z[:6], l_, skip), fixed, z[:6], name="p held fixed")
given = np.array(fitting) / P
entropy = -(given * np.log(given)).sum()
print(f"cross-entropy {fixed(z[:6]):.4f} = CTC {loss(z[:6], l_, skip):.4f} + entropy {entropy:.4f}")
assert np.isclose(fixed(z[:6]), loss(z[:6], l_, skip) + entropy)

# %% [markdown]
# **4.** The path of two blanks, with 0.36. But $a$ can be said in three ways, $aa$, $a\cdot$ and
# $\cdot a$, together 0.64. The best path does not read the best word, so `ctc_beam_search` adds up
# the paths of each word.

# %%
two = jnp.log(jnp.array([[0.6, 0.4], [0.6, 0.4]]))
_, length = decoding.ctc_greedy(two)
labels, lengths, scores = decoding.ctc_beam_search(two)
best = labels[0, : lengths[0]]
print(f"greedy reads {length} letters; the best word is {best}, probability", end=" ")
print(jnp.exp(scores[0]).round(2))
assert length == 0
assert best.tolist() == [1]
assert jnp.isclose(jnp.exp(scores[0]), 0.64)
