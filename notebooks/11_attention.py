# %% [markdown]
# # 11 Attention, backwards
#
# Someone reads you eight letters, each with a digit, and then asks: which digit had the C? You look
# for the C and read off its digit. Attention does just that, and nobody tells it where to look: it
# only hears afterwards how wrong its answer was. How does it find out where it should have looked?

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from _shared import COLORS, agree, panels
from matplotlib.colors import LinearSegmentedColormap

from jaxnn import layers

jax.config.update("jax_enable_x64", True)  # finite differences need the digits

LETTERS, PAIRS, WIDTH = 12, 8, 16


def listing(key):
    """Letters in the order read, their digits, and the order in which all are asked for."""
    first, second, third = jax.random.split(key, 3)
    letters = jax.random.permutation(first, LETTERS)[:PAIRS]
    return (
        letters,
        jax.random.randint(second, (PAIRS,), 0, 10),
        jax.random.permutation(third, PAIRS),
    )


def look_up(params, letters, digits, asked):
    """Queries and keys are learned, one row for each letter; a value is its digit, one-hot."""
    one_head = lambda a: a[:, None].astype(jnp.float64)
    values = one_head(jax.nn.one_hot(digits, 10))
    return one_head(params["query"][letters[asked]]), one_head(params["key"][letters]), values


def loss_and_grad(params, letters, digits, asked):
    """Surprise at the true digits, and its gradient in the learned rows; no autodiff."""
    q, k, v = look_up(params, letters, digits, asked)
    y = layers.scaled_dot_product_attention(q, k, v)
    truth = v[asked]
    right = (y * truth).sum(-1, keepdims=True)
    g = -truth / right / PAIRS
    in_q, in_k, _ = layers.scaled_dot_product_attention_vjp(g, q, k, v)
    grads = {
        "query": jnp.zeros((LETTERS, WIDTH)).at[letters[asked]].add(in_q[:, 0]),
        "key": jnp.zeros((LETTERS, WIDTH)).at[letters].add(in_k[:, 0]),
    }
    return -jnp.log(right).mean(), grads


@jax.jit
def learn(params, key, steps=200):
    optimizer = optax.adam(0.03)

    def step(state, key):
        params, memory = state
        lists = jax.vmap(listing)(jax.random.split(key, 32))
        loss, grads = jax.vmap(loss_and_grad, (None, 0, 0, 0))(params, *lists)
        updates, memory = optimizer.update(jax.tree.map(lambda a: a.mean(0), grads), memory)
        return (optax.apply_updates(params, updates), memory), loss.mean()

    keys = jax.random.split(key, steps)
    (params, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), keys)
    return params, losses


first, second = jax.random.split(jax.random.key(0))
before = {
    "query": 0.7 * jax.random.normal(first, (LETTERS, WIDTH)),
    "key": 0.7 * jax.random.normal(second, (LETTERS, WIDTH)),
}
after, losses = learn(before, jax.random.key(1))

letters, digits, asked = listing(jax.random.key(7))


def looked(params):
    """Where the queries look, `[asked, read]`, and how each look is blamed."""
    q, k, v = (a[:, 0] for a in look_up(params, letters, digits, asked))
    P = jax.nn.softmax(q @ k.T / np.sqrt(WIDTH), -1)
    y, truth = P @ v, v[asked]
    g = -truth / (y * truth).sum(-1, keepdims=True)
    return P, P * (g @ v.T - (g * y).sum(-1, keepdims=True))


SIGNED = LinearSegmentedColormap.from_list("signed", [COLORS[0], "white", COLORS[1]])
QUIET = LinearSegmentedColormap.from_list("quiet", ["white", COLORS[0]])
P, blame = looked(before)
axes = panels(3, height=2.75)
axes[0].imshow(P, cmap=QUIET, vmin=0, vmax=1)
axes[1].imshow(-blame, cmap=SIGNED, vmin=-1, vmax=1)
axes[2].imshow(looked(after)[0], cmap=QUIET, vmin=0, vmax=1)
names = [chr(ord("A") + letter) for letter in letters]
for ax, title in zip(axes, ("at first", "what it is told", "after 200 steps"), strict=True):
    read = [f"{name}\n{digit}" for name, digit in zip(names, digits, strict=True)]
    ax.set_xticks(range(PAIRS), read)
    ax.set_yticks(range(PAIRS), [f"{names[place]}?" for place in asked])
    ax.tick_params(length=0, labelsize=8)
    ax.set(title=title, xlabel="read")
    ax.spines[:].set_visible(False)
axes[0].set_ylabel("asked")
plt.show()
print(f"loss {losses[0]:.2f} at first, {losses[-1]:.4f} at the end")
assert losses[-1] < 0.02

# %% [markdown]
# Left: at first each question looks at random places (darker means more). Middle: what the gradient
# tells it, orange for *look more here*, blue for *less*. It points at the right letter, and at
# whatever else happens to carry the same digit: from one list the two can't be told apart. Over
# many lists only the letter is always right. Right: after 200 steps it looks where it should.
#
# The middle picture has a simple law, which is the heart of this page (step 6): a place is told to
# be looked at more, **if what is there would be better than what you take on average**.
#
# ## Notation
#
# One head; rows are vectors.
#
# | symbol | shape | meaning |
# |---|---|---|
# | $Q$, rows $q_i$ | $[n, d]$ | queries: what each place is looking for |
# | $K$, rows $k_j$ | $[m, d]$ | keys: what each place offers to be found by |
# | $V$, rows $v_j$ | $[m, f]$ | values: what is taken from it |
# | $S$ | $[n, m]$ | scores |
# | $P$, rows $p_i$ | $[n, m]$ | weights: how much query $i$ looks at key $j$ |
# | $Y$, rows $y_i$ | $[n, f]$ | output |
# | $G = \partial L / \partial Y$ | $[n, f]$ | its cotangent, rows $g_i$ |
# | $\partial Q, \partial K, \dots$ | as $Q, K, \dots$ | gradients of $L$ |
#
# ## Derivation
#
# **1.** Forward: score, weigh, mix.
#
# $$S = \frac{Q K^\top}{\sqrt d}, \quad
# P_{ij} = \frac{e^{S_{ij}}}{\sum_{l} e^{S_{il}}}, \quad
# Y = P V .$$
#
# **2. The values.** $Y = PV$ is a linear layer, $y_i = \sum_j P_{ij} v_j$, so
#
# $$\begin{aligned}
# \partial V &= P^\top G && [m, f] \\
# \partial P &= G V^\top && [n, m]
# \end{aligned}$$
#
# A value hears from everyone who looked at it, as much as they looked. And
# $\partial P_{ij} = g_i \cdot v_j$.
#
# **3. The softmax.** Nudge the scores of one row by $\dot s$. With $p_j = e^{s_j} / Z$,
# $\dot Z / Z = \sum_l p_l \dot s_l$, so
#
# $$\dot p_j = p_j \Big( \dot s_j - \sum_l p_l \dot s_l \Big) .$$
#
# **4.** As a matrix that is $J = \mathrm{diag}(p) - p^\top p$, which is symmetric. So the same rule
# pulls cotangents back, for each row $i$:
#
# $$\partial S_{ij} = P_{ij} \Big( \partial P_{ij} - \sum_l P_{il}\, \partial P_{il} \Big) .$$
#
# **5.** The sum is known already: $\sum_l P_{il}\, (g_i \cdot v_l) = g_i \cdot y_i$.
#
# **6.** Put 2, 4 and 5 together:
#
# $$\partial S_{ij} = P_{ij}\;\; g_i \cdot (v_j - y_i) .$$
#
# Read it. $-g_i$ is the direction in which the output should move. If value $j$ lies further that
# way than the present mixture $y_i$, its score goes up; if less, down. How fast is in proportion to
# how much it is looked at already. (Biologists know this law: it is how species grow whose fitness
# is above the average.) In each row the $\partial S_{ij}$ sum to 0: to look more at one is to look
# less at others.
#
# **7. Queries and keys.** $S$ is linear in each, so
#
# $$\begin{aligned}
# \partial Q &= \partial S\; K / \sqrt d && [n, d] \\
# \partial K &= \partial S^\top Q / \sqrt d && [m, d]
# \end{aligned}$$
#
# The query moves toward keys that would have been better than average; each key moves
# toward queries that it would have served.
#
# **8. Masks.** A forbidden score is $-\infty$, so $P_{ij} = 0$, and by step 6
# $\partial S_{ij} = 0$: it neither gives nor hears anything. A row in which *everything* is
# forbidden is $0 / 0$. We define its output as 0, with a gradient of 0. (Primers pass over it. Then
# it is NaN or, with a large negative number in place of $-\infty$, the mean of all the values that
# were forbidden.)
#
# **9. Why $\sqrt d$?** If the entries of $q$ and $k$ are independent with mean 0 and variance 1,
# $q \cdot k$ has variance $d$. Scores of size $\sqrt d$ make one weight nearly 1 and the others
# nearly 0. Then in step 6 either $P_{ij} \approx 0$, or $v_j \approx y_i$: no gradient.
#
# **10. Without the matrix.** For long texts $n \times m$ numbers are too many to keep. Keep for
# each row only $\ell_i = \log \sum_j e^{S_{ij}}$ and $D_i = g_i \cdot y_i$. Then any piece of $P$
# and $\partial S$ can be made again when it is needed:
#
# $$P_{ij} = e^{S_{ij} - \ell_i}, \qquad
# \partial S_{ij} = P_{ij} (g_i \cdot v_j - D_i) .$$
#
# **11. Order.** Nothing so far depends on the order of the keys. Rotary embedding turns each pair
# of features of a query or key at place $t$ by an angle $\theta t$, a rotation $R^t$. Since
# $R^t (R^s)^\top = R^{t - s}$, the score depends on places only through their distance:
#
# $$(q R^t) \cdot (k R^s) = q\, R^{t - s}\, k^\top .$$
#
# Backward, a cotangent is multiplied by the transpose, which turns by $-\theta t$.
#
# ## Code


# %%
def softmax(S):
    e = jnp.exp(S - S.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(Q, K, V, allowed=True):
    S = jnp.where(allowed, Q @ K.T / jnp.sqrt(Q.shape[1]), -jnp.inf)  # steps 1 and 8
    return softmax(S) @ V


def attention_vjp(G, Q, K, V, allowed=True):
    root = jnp.sqrt(Q.shape[1])
    P = softmax(jnp.where(allowed, Q @ K.T / root, -jnp.inf))
    Y = P @ V
    in_S = P * (G @ V.T - (G * Y).sum(-1, keepdims=True))  # step 6
    return in_S @ K / root, in_S.T @ Q / root, P.T @ G  # steps 7 and 2


def in_pieces_vjp(G, Q, K, V, size):
    """The same, never with more than `size` keys at a time (step 10)."""
    root = jnp.sqrt(Q.shape[1])
    pieces = [a.reshape(-1, size, a.shape[1]) for a in (K, V)]

    def forward(state, piece):
        (top, total, Y), (K, V) = state, piece
        S = Q @ K.T / root
        higher = jnp.maximum(top, S.max(-1))
        old, e = jnp.exp(top - higher), jnp.exp(S - higher[:, None])
        return (higher, total * old + e.sum(-1), Y * old[:, None] + e @ V), None

    nothing = jnp.full(len(Q), -jnp.inf), jnp.zeros(len(Q)), jnp.zeros_like(G)
    (top, total, Y), _ = jax.lax.scan(forward, nothing, pieces)
    ell, D = top + jnp.log(total), (G * Y).sum(-1) / total

    def backward(in_Q, piece):
        K, V = piece
        P = jnp.exp(Q @ K.T / root - ell[:, None])
        in_S = P * (G @ V.T - D[:, None])
        return in_Q + in_S @ K / root, (in_S.T @ Q / root, P.T @ G)

    in_Q, (in_K, in_V) = jax.lax.scan(backward, jnp.zeros_like(Q), pieces)
    return in_Q, in_K.reshape(K.shape), in_V.reshape(V.shape)


def turned(x, t, base=100.0):
    """Each pair (feature i of the first half, of the second half) of row t, turned (step 11)."""
    half = x.shape[1] // 2
    angle = t[:, None] * base ** (-jnp.arange(half) / half)
    a, b = x[:, :half], x[:, half:]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1)


def turned_vjp(g, t, base=100.0):
    return turned(g, -t, base)


# %% [markdown]
# ## Check
#
# By hand, by autodiff, by differences: plain, causal, and in pieces; then beside the library.

# %%
rng = np.random.default_rng(0)
n, m, d, f = 6, 8, 4, 3
Q, K, V = (jnp.array(rng.normal(size=shape)) for shape in ((n, d), (m, d), (m, f)))
G = jnp.array(rng.normal(size=(n, f)))
causal = jnp.arange(m) <= jnp.arange(n)[:, None] + m - n
for name, allowed in (("attention", True), ("causal attention", causal)):
    hand = attention_vjp(G, Q, K, V, allowed)
    agree(hand, lambda at, allowed=allowed: G * attention(*at, allowed), (Q, K, V), name=name)
    head = [a[:, None] for a in (Q, K, V)]
    theirs = layers.scaled_dot_product_attention_vjp(
        G[:, None], *head, causal=name.startswith("causal")
    )
    for mine, library in zip(hand, theirs, strict=True):
        assert jnp.allclose(mine, library[:, 0], atol=1e-12)

pieces = in_pieces_vjp(G, Q, K, V, 2)
agree(pieces, lambda at: G * attention(*at), (Q, K, V), name="in pieces of two keys")

t = jnp.arange(n)
agree(turned_vjp(jnp.ones((n, d)), t), lambda x: turned(x, t), Q, name="rotary")
assert jnp.allclose(turned(Q, t), layers.rotary(Q[:, None], t, 100.0)[:, 0], atol=1e-12)

# %% [markdown]
# ## Break it
#
# **Forget the average.** Treat the softmax as if each weight depended on its own score alone:
# $\partial S_{ij} = P_{ij}\, g_i \cdot v_j$. Then rows no longer sum to 0, and an innocent change,
# adding a constant to all values, changes what is learned.

# %%
P = softmax(Q @ K.T / 2)
whole = P * (G @ V.T - (G * (P @ V)).sum(-1, keepdims=True))
naive = P * (G @ V.T)
print("rows sum to", jnp.abs(whole.sum(-1)).max().round(12), "; the naive ones to", end=" ")
print(naive.sum(-1).round(2))
lifted = P * (G @ (V + 10).T)
print(f"after V + 10 the naive gradient is {jnp.abs(lifted / naive).max():.0f} times as large")
assert jnp.allclose(whole.sum(-1), 0, atol=1e-12)
assert jnp.abs(naive.sum(-1)).max() > 0.1
assert jnp.allclose(attention_vjp(G, Q, K, V + 10)[0], attention_vjp(G, Q, K, V)[0])

# %% [markdown]
# **Forget the root.** Random queries and 32 random keys of width $d$. How much gradient is left
# after the softmax, with and without the division?


# %%
@jax.jit
def left_over(q, k, power):
    d = q.shape[1]
    P = softmax(q @ k.T / d**power)
    v, g = jax.random.normal(jax.random.key(1), (2, 32, 8))
    in_S = P * (g @ v.T - (g * (P @ v)).sum(-1, keepdims=True))
    return jnp.median(jnp.linalg.norm(in_S, axis=-1)), P.max(-1).mean()


widths = 4 ** np.arange(1, 7)
sizes = {}
ax = panels(width=4.8, height=2.5)
for power, label, color in ((0.5, "with $1/\\sqrt{d}$", 0), (0.0, "without", 1)):
    found = []
    for width in widths:
        q, k = jax.random.normal(jax.random.key(int(width)), (2, 32, int(width)))
        found.append(left_over(q, k, power))
    sizes[power] = np.array(found)
    ax.loglog(widths, sizes[power][:, 0], "o-", color=COLORS[color], ms=4, label=label)
ax.set(xlabel="width $d$", title="gradient that gets through the softmax", ylim=(1e-9, 10))
ax.legend()
plt.show()
print("largest weight, on average")
print("  with the root", sizes[0.5][:, 1].round(2))
print("  without it   ", sizes[0.0][:, 1].round(2))
assert sizes[0.5][-1, 0] > 0.3
assert sizes[0.0][-1, 0] < 1e-3

# %% [markdown]
# **Mask too late.** Take the softmax over everything and strike out the future afterwards. The
# picture of the weights looks right, triangular. Ask for the gradient of the first output in the
# later keys: it is not 0. The future leaks in through the sum below the fraction. (A gradient
# is the surest detector of a leak.)


# %%
def masked_late(Q, K, V):
    return (softmax(Q @ K.T / 2) * (jnp.arange(m) <= jnp.arange(n)[:, None])) @ V


early = lambda K: attention(Q, K, V, jnp.arange(m) <= jnp.arange(n)[:, None])[0] @ V[0]
late = lambda K: masked_late(Q, K, V)[0] @ V[0]
for name, output in (("before", early), ("after", late)):
    leak = jnp.abs(jax.grad(output)(K)[1:]).max()
    print(f"masked {name} the softmax: the first output feels later keys by {leak:.3f}")
    assert (leak == 0) == (name == "before")

# %% [markdown]
# **Forbid everything.** One row may see nothing: padding, for example (step 8).

# %%
nothing = jnp.zeros((n, m), bool)
by_infinity = attention(Q, K, V, nothing)
by_billion = softmax(jnp.where(nothing, Q @ K.T / 2, -1e9)) @ V
head = [a[:, None] for a in (Q, K, V)]
ours = layers.scaled_dot_product_attention(*head, mask=nothing)
back = layers.scaled_dot_product_attention_vjp(G[:, None], *head, mask=nothing)
print("with -inf:", by_infinity[0], " with -1e9:", by_billion[0].round(2), " jaxnn:", ours[0, 0])
print("the mean of all values, none of which may be seen:", V.mean(0).round(2))
assert jnp.isnan(by_infinity).all()
assert jnp.allclose(by_billion, V.mean(0))
assert not ours.any()
assert not any(a.any() for a in back)

# %% [markdown]
# ## Exercises
#
# 1. There is a single key. What are $\partial Q$, $\partial K$, $\partial V$?
# 2. A linear layer makes the keys, $k_j = x_j W + b$. What is the gradient of its bias?
# 3. The right key has the weight $P = 10^{-6}$, and by step 6 things go slowly where one hardly
#    looks. Is it lost? Values are one-hot and each digit occurs once. Compare the losses
#    $-\log y_{\text{true}}$ and $\frac12 \lVert y - v_{\text{true}} \rVert^2$.
# 4. Two heads share one set of keys and values (grouped queries). What are $\partial K$ and
#    $\partial V$?
# 5. Leave the softmax out: $Y = Q K^\top V$. Find the three gradients. In which order would you
#    multiply for $n = m = 10{,}000$ and $d = f = 64$?
# 6. Shuffle the keys together with their values. What changes? With rotary, add 100 to every
#    place: what changes?
#
# Try them before you read on.
#
# ## Answers
#
# **1.** $P = 1$ and $v_1 = y_i$, so $\partial S = 0$: where there is no choice, nothing is learned
# about choosing. $\partial V = \sum_i g_i$.

# %%
alone = attention_vjp(G, Q, K[:1], V[:1])
assert jnp.allclose(alone[0], 0, atol=1e-12)
assert jnp.allclose(alone[1], 0, atol=1e-12)
assert jnp.allclose(alone[2], G.sum(0))

# %% [markdown]
# **2.** Zero. It is
# $\sum_j \partial k_j = \sum_i \big( \sum_j \partial S_{ij} \big) q_i / \sqrt d$,
# and the rows of $\partial S$ sum to 0. A bias adds the same $q_i \cdot b$ to a whole row, which
# the softmax does not see: leave it out. (The bias of the queries is another matter.)

# %%
bias_grad = jax.grad(lambda b: jnp.sum(G * attention(Q, K + b, V)))(jnp.zeros(d))
print("bias of the keys:", bias_grad.round(12) + 0.0)
assert jnp.allclose(bias_grad, 0, atol=1e-12)
assert jnp.allclose(attention_vjp(G, Q, K, V)[1].sum(0), 0, atol=1e-12)

# %% [markdown]
# **3.** Here $y_{\text{true}} = P$. With the logarithm $g = -1 / P$ at that digit, and
# $\partial S = P \cdot (-1 / P)(1 - P) = -(1 - P)$: the full push, however little one looked. It is
# the cancellation of notebook 01 again. With the square, no entry of $g = y - v$ is above 1, and
# $\partial S = -P\, \lVert y - v \rVert^2$ is of the order of $P$: lost. But deep inside a network
# no logarithm is near: there step 6 is as slow as it looks.

# %%
s = jnp.log(jnp.array([1e-6, 0.6, 0.399999]))
in_log = jax.grad(lambda s: -jnp.log(softmax(s)[0]))(s)[0]
in_square = jax.grad(lambda s: 0.5 * jnp.sum((softmax(s) - jnp.eye(3)[0]) ** 2))(s)[0]
print(f"push on the right score: {in_log:.6f} by the logarithm, {in_square:.1e} by the square")
assert jnp.isclose(in_log, -(1 - 1e-6))
assert abs(in_square) < 3e-6

# %% [markdown]
# **4.** The sums of what each head would give alone, as for every number that is used twice.

# %%
two = jnp.stack([Q, Q[::-1] + 1], 1)
cotangents = jnp.stack([G, 2 * G], 1)
_, in_k, in_v = layers.scaled_dot_product_attention_vjp(cotangents, two, K[:, None], V[:, None])
alone = [attention_vjp(cotangents[:, h], two[:, h], K, V) for h in range(2)]
assert jnp.allclose(in_k[:, 0], alone[0][1] + alone[1][1], atol=1e-12)
assert jnp.allclose(in_v[:, 0], alone[0][2] + alone[1][2], atol=1e-12)

# %% [markdown]
# **5.** $\partial Q = G V^\top K$, $\; \partial K = V G^\top Q$, $\; \partial V = K Q^\top G$.
# Multiply the two long, thin ones first, $Q (K^\top V)$: about $2 n d f$ products
# instead of $n m (d + f)$, 156 times fewer, and no $n \times m$ matrix. It is the softmax that
# forbids this: one can't pull it through the product.

# %%
linear = lambda at: G * (at[0] @ at[1].T @ at[2])
hand = G @ (V.T @ K), V @ (G.T @ Q), K @ (Q.T @ G)
agree(hand, linear, (Q, K, V), name="linear attention")
slow, quick = 10_000**2 * (64 + 64), 2 * 10_000 * 64 * 64
print("products saved:", slow / quick)
assert round(slow / quick) == 156

# %% [markdown]
# **6.** Nothing, both times. Attention sees a set; rotary adds distances, not places.

# %%
order = rng.permutation(m)
assert jnp.allclose(attention(Q, K[order], V[order]), attention(Q, K, V), atol=1e-12)
s, t = jnp.arange(m), jnp.arange(n)
scores = [turned(Q, t + far) @ turned(K, s + far).T for far in (0, 100)]
print(
    "scores moved by", f"{jnp.abs(scores[0] - scores[1]).max():.0e}", "when all places move by 100"
)
assert jnp.allclose(*scores, atol=1e-10)
