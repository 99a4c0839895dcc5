# %% [markdown]
# # 10 Backpropagation through time, and what gates are for
#
# Someone tells you a number, then talks about other things for an hour, and then asks for the
# number. You are wrong. How can the blame find its way back, through everything that was said
# since, to that one moment?

# %%
import math

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from _shared import COLORS, INK, agree, panels

from jaxnn import backprop, layers, networks, optimizers
from jaxnn.initializers import glorot_normal

jax.config.update("jax_enable_x64", True)  # finite differences need the digits

T, HIDDEN, LAGS, SEEDS = 52, 16, np.array([8, 24, 48]), 3
NETWORKS = {
    "simple RNN, Glorot": (layers.simple_rnn, dict(recurrent_init=glorot_normal())),
    "simple RNN, orthogonal": (layers.simple_rnn, {}),
    "LSTM, forget bias 0": (layers.lstm, dict(forget_bias=0.0)),
    "LSTM, forget bias 1": (layers.lstm, dict(forget_bias=1.0)),
    "LSTM, forget bias 3": (layers.lstm, dict(forget_bias=3.0)),
}
STYLES = dict(zip(NETWORKS, [":", "-", ":", "-", "--"], strict=True))
HUES = dict(zip(NETWORKS, [COLORS[1], COLORS[1], *[COLORS[0]] * 3], strict=True))


def start(name, key):
    layer, options = NETWORKS[name]
    init = layers.lstm_init if layer is layers.lstm else layers.simple_rnn_init
    cell, out = jax.random.split(key)
    params = {"cell": init(cell, 2, HIDDEN, **options)}
    return params | {"out": jax.random.normal(out, (HIDDEN,)) / math.sqrt(HIDDEN)}


def sequences(key, lag, count=16):
    """A sign at every step; the one to remember, `lag` steps before the end, is marked by a 1."""
    talk = jax.random.rademacher(key, (count, T), jnp.float32)
    marked = jnp.zeros((count, T), jnp.float32).at[:, T - lag].set(1.0)
    return jnp.stack([marked, talk], -1), talk[:, T - lag]


def reach(name, seeds=20):
    """How strongly the last state feels each input of a new network: `[T]`, latest first."""
    layer, _ = NETWORKS[name]
    pull = layers.lstm_vjp if layer is layers.lstm else layers.simple_rnn_vjp

    def one(key):
        xs, _ = sequences(key, 1, 1)
        g = jnp.zeros((1, T, HIDDEN)).at[:, -1].set(jax.random.normal(key, (HIDDEN,)))
        _, in_xs = pull(g, start(name, key)["cell"], xs.astype(jnp.float64))
        return jnp.linalg.norm(in_xs[0, ::-1], axis=-1)

    return jnp.median(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), seeds)), 0)


def learn(name, steps=400):
    """Trains at every lag from several starts at once: parameters, and the share right."""
    layer, _ = NETWORKS[name]
    clip, adam = optimizers.clip_by_global_norm(1.0), optimizers.adam(jnp.float32(1e-2))
    optimizer = optax.chain(clip, adam)

    def loss(params, xs, sign):
        score = layer(params["cell"], xs)[:, -1] @ params["out"]
        return jax.nn.softplus(-sign * score).mean(), (sign * score > 0).mean()

    def one(key, lag):
        first, second = jax.random.split(key)
        params = jax.tree.map(lambda a: a.astype(jnp.float32), start(name, first))

        def step(state, key):
            params, memory = state
            grads, right = jax.grad(loss, has_aux=True)(params, *sequences(key, lag))
            updates, memory = optimizer.update(grads, memory, params)
            return (optax.apply_updates(params, updates), memory), right

        keys = jax.random.split(second, steps)
        (params, _), right = jax.lax.scan(step, (params, optimizer.init(params)), keys)
        return params, right[-50:].mean()

    every_lag = jax.vmap(one, (None, 0))
    keys = jax.random.split(jax.random.key(1), SEEDS)
    return jax.jit(jax.vmap(every_lag, (0, None)))(keys, jnp.array(LAGS))


reaches = {name: np.asarray(reach(name)) for name in NETWORKS}
trained, right = {}, {}
for name in ("simple RNN, orthogonal", "LSTM, forget bias 1", "LSTM, forget bias 3"):
    trained[name], right[name] = learn(name)

one_panel, other = panels(2, height=3.0)
for name, sizes in reaches.items():
    look = dict(color=HUES[name], ls=STYLES[name])
    one_panel.semilogy(np.arange(T), sizes / sizes[0], label=name, **look)
    if name in right:
        other.plot(LAGS, right[name].mean(0), "o", color=HUES[name], ls=STYLES[name], ms=4)
one_panel.set(xlabel="steps back", title="blame that arrives, before learning", ylim=(1e-9, 3))
one_panel.legend(fontsize=7, loc="lower left")
other.axhline(0.5, color=INK, lw=0.8, ls=":")
other.text(LAGS[0], 0.505, "guessing", color=INK, fontsize=8, va="bottom")
other.set(xlabel="steps between the sign and the question", xticks=LAGS)
other.set(title="share right, after 400 updates", ylim=(0.45, 1.03))
plt.show()
for name, shares in right.items():
    print(f"{name:23}", dict(zip(LAGS.tolist(), [f"{s:.2f}" for s in shares.mean(0)], strict=True)))
last = {name: float(shares[:, -1].mean()) for name, shares in right.items()}
assert last["LSTM, forget bias 3"] > last["simple RNN, orthogonal"] + 0.2

# %% [markdown]
# The task: a sign at every step, one of them marked; say at the end which it was. Left: a
# blame of 1 at the end, followed back in time, in networks that have learned nothing yet. Where it
# fades, it does so by a nearly constant factor per step: a straight line on this axis. Right: what
# they then learn, a mean over three starts.
#
# Two things may surprise. An LSTM is not good at this by being an LSTM: with forget bias 0 it fades
# fastest of all. And it is a single number, the forget bias, that decides how far it reaches.
#
# ## Notation
#
# One sequence; a batch adds up its gradients. Row vectors.
#
# | symbol | shape | meaning |
# |---|---|---|
# | $x_t$ | $[i]$ | input at step $t = 1 \dots T$ |
# | $h_t$ | $[r]$ | state, $h_0 = 0$; of an LSTM: what it shows |
# | $c_t$ | $[r]$ | memory of an LSTM, $c_0 = 0$ |
# | $W, U, b$ | $[i, r], [r, r], [r]$ | weights of the input, of the state, bias ($4r$ in an LSTM) |
# | $z_t$ | $[r]$, LSTM $[4r]$ | pre-activations |
# | $g_t$ | $[r]$ | what the loss says to $h_t$ directly, at step $t$ |
# | $\bar h_t$, $\bar c_t$ | $[r]$ | all the blame of $h_t$, of $c_t$: $\partial L / \partial h_t$ |
# | $\delta_t$ | as $z_t$ | $\partial L / \partial z_t$ |
# | $\odot$ | | product entry by entry |
#
# ## Derivation
#
# ### The simple RNN
#
# **1.** Forward, with the same $W$, $U$, $b$ at every step:
#
# $$z_t = x_t W + h_{t-1} U + b, \qquad h_t = \tanh z_t .$$
#
# **2.** $h_t$ has two readers: the loss at step $t$, and the next step. Their blames add up,
#
# $$\bar h_t = g_t + \delta_{t+1} U^\top, \qquad \delta_{T+1} = 0 .$$
#
# **3.** Through the activation: $\delta_t = \bar h_t \odot (1 - h_t^2)$, since
# $\tanh' z = 1 - \tanh^2 z$. Steps 2 and 3 walk from $T$ to 1.
#
# **4.** A weight that is used at every step collects from every step:
#
# $$\begin{aligned}
# \partial W &= \sum_t x_t^\top \delta_t && [i, r] \\
# \partial U &= \sum_t h_{t-1}^\top \delta_t && [r, r] \\
# \partial b &= \sum_t \delta_t && [r] \\
# \partial x_t &= \delta_t W^\top && [i]
# \end{aligned}$$
#
# None of these sums needs the walk: keep all $\delta_t$ and do each as one matrix product at the
# end.
#
# ### Why it fades, and why it can blow up
#
# **5.** One step changes $dh_t = dh_{t-1}\, U\, \mathrm{diag}(1 - h_t^2)$. From $t$ to $T$ that is
# a product of $T - t$ matrices, and with the largest singular value $\lVert U \rVert$ of $U$,
#
# $$\left\lVert \frac{\partial h_T}{\partial h_t} \right\rVert \le
# \prod_{s=t+1}^{T} \lVert U \rVert \cdot \max_j\, (1 - h_{s,j}^2) .$$
#
# **6.** If $\lVert U \rVert < 1$ it **must** vanish, at least as fast as $\lVert U \rVert^{T-t}$.
# If $\lVert U \rVert > 1$ it **may** explode: near $h = 0$, where the slopes are 1, along an
# eigenvector of eigenvalue $\lambda$ it grows as $\lvert \lambda \rvert^{T - t}$. $\lVert U \rVert
# = 1$, an orthogonal $U$, is the best there is; then what is left to fade are the slopes.
#
# **7.** Which part is guilty? Never the activation alone: the slopes of tanh are at most 1, and
# those of ReLU are 0 or 1. Primers say that ReLU makes gradients explode because it is unbounded.
# It can't amplify: **the product of the weights does**. What ReLU does not do is brake it.
#
# ### The LSTM
#
# **8.** Four pre-activations in one product, $z_t = x_t W + h_{t-1} U + b$, split into
# $z^i, z^f, z^g, z^o$ with
#
# $$\begin{aligned}
# i &= \sigma(z^i), \quad f = \sigma(z^f), \quad o = \sigma(z^o) \\
# u &= \tanh(z^g) \\
# c_t &= f \odot c_{t-1} + i \odot u \\
# h_t &= o \odot \tanh c_t .
# \end{aligned}$$
#
# **9.** Backward. As before $\bar h_t = g_t + \delta_{t+1} U^\top$. The memory too has two readers,
# $h_t$ and $c_{t+1}$:
#
# $$\bar c_t = \bar h_t \odot o \odot (1 - \tanh^2 c_t) + f_{t+1} \odot \bar c_{t+1} .$$
#
# **10.** Each gate is blamed with what it multiplied, times its slope
# ($\sigma' = \sigma (1 - \sigma)$):
#
# $$\begin{aligned}
# \delta^i &= \bar c \odot u \odot i (1 - i) \\
# \delta^f &= \bar c \odot c_{t-1} \odot f (1 - f) \\
# \delta^g &= \bar c \odot i \odot (1 - u^2) \\
# \delta^o &= \bar h \odot \tanh c_t \odot o (1 - o) .
# \end{aligned}$$
#
# Then step 4, with $\delta_t$ of all four.
#
# **11. The point of it.** In step 9 the blame of the memory goes back by
#
# $$\bar c_{t-1} = f_t \odot \bar c_t + (\text{through } h_{t-1}) .$$
#
# On this way there is no matrix and no slope: just a number in $(0, 1)$ for each unit, one that the
# network chooses. Over many steps it is $\prod_s f_s$. A unit that keeps its gate at 1 hands the
# blame on undiminished; a unit that closes it has forgotten, and is rightly not blamed.
#
# **12. How near to 1?** With a constant gate $f = \sigma(b)$, half is left after
# $\ln 2 / (-\ln f)$ steps, about $0.7\, e^b$. With the usual bias of 1 that is 2.2 steps: a start,
# not a solution. The network has to **learn** gates near 1, and the bias puts it where it can feel
# how. (In the picture above bias 1 fades more slowly than that, since both ways of step 11 add up.)
#
# **13.** Gates don't prevent explosion: the way through $h_{t-1}$ has $U^\top$ in it as before.
# Against that one clips the gradient.
#
# ## Code


# %%
def rnn(params, x):
    W, U, b = params

    def step(h, x):
        h = jnp.tanh(x @ W + h @ U + b)  # step 1
        return h, h

    return jax.lax.scan(step, jnp.zeros(len(U)), x)[1]


def shifted(h):
    """The states before each step."""
    return jnp.concatenate([jnp.zeros_like(h[:1]), h[:-1]])


def weights_grad(params, x, h, delta):
    W, _, _ = params
    return (x.T @ delta, shifted(h).T @ delta, delta.sum(0)), delta @ W.T  # step 4


def rnn_vjp(g, params, x):
    _, U, _ = params
    h = rnn(params, x)

    def step(from_later, now):
        g, slope = now
        delta = (g + from_later) * slope  # steps 2 and 3
        return delta @ U.T, delta

    _, delta = jax.lax.scan(step, jnp.zeros(len(U)), (g, 1 - h**2), reverse=True)
    return weights_grad(params, x, h, delta)


def sigmoid(z):
    return 1 / (1 + jnp.exp(-z))


def lstm(params, x):
    """Shown states, memories, and the gates (i, f, u, o), each `[time, r]`."""
    W, U, b = params

    def step(state, x):
        h, c = state
        z_i, z_f, z_g, z_o = jnp.split(x @ W + h @ U + b, 4)
        i, f, u, o = sigmoid(z_i), sigmoid(z_f), jnp.tanh(z_g), sigmoid(z_o)  # step 8
        c = f * c + i * u
        h = o * jnp.tanh(c)
        return (h, c), (h, c, (i, f, u, o))

    zero = jnp.zeros(len(U))
    return jax.lax.scan(step, (zero, zero), x)[1]


def lstm_vjp(g, params, x, ways=(1.0, 1.0)):
    """`ways` can close the way along the memory or the one through the state: 0 for 1."""
    _, U, _ = params
    by_memory, by_state = ways
    h, c, gates = lstm(params, x)

    def step(from_later, now):
        h_bar, c_bar = from_later
        g, c, before, (i, f, u, o) = now
        h_bar = h_bar + g
        c_bar = c_bar + h_bar * o * (1 - jnp.tanh(c) ** 2)  # step 9
        by_gate = (
            c_bar * u * i * (1 - i),  # step 10
            c_bar * before * f * (1 - f),
            c_bar * i * (1 - u**2),
            h_bar * jnp.tanh(c) * o * (1 - o),
        )
        delta = jnp.concatenate(by_gate)
        return (by_state * delta @ U.T, by_memory * f * c_bar), delta  # step 11

    zero = jnp.zeros(len(U))
    _, delta = jax.lax.scan(step, (zero, zero), (g, c, shifted(c), gates), reverse=True)
    return weights_grad(params, x, h, delta)


# %% [markdown]
# Which way does the blame take in a trained LSTM? Step 11 has two: along the memory, and through
# $h_{t-1}$ and $U^\top$. Close one of them in the backward pass, and see what still arrives.

# %%
name = "LSTM, forget bias 3"
best = int(right[name][:, -1].argmax())


@jax.jit
def blames(params, ways):
    """The blame that arrives at each input, a mean over 64 sequences, latest first."""
    params = jax.tree.map(lambda a: a.astype(jnp.float64), params)
    cell = params["cell"]
    ours = cell["dense_i"]["kernel"], cell["dense_h"]["kernel"], cell["dense_h"]["bias"]
    g = jnp.zeros((T, HIDDEN)).at[-1].set(params["out"])
    xs, _ = sequences(jax.random.key(5), 48, 64)
    back = jax.vmap(lambda x: lstm_vjp(g, ours, x, ways)[1])(xs.astype(jnp.float64))
    return jnp.linalg.norm(back, axis=-1).mean(0)[::-1]


seed = jax.random.split(jax.random.key(1), SEEDS)[best]
before = start(name, jax.random.split(seed)[0])
after = jax.tree.map(lambda a: a[best, -1], trained[name])
WAYS = {"both ways": (1.0, 1.0), "along the memory": (1.0, 0.0), "through the state": (0.0, 1.0)}
arrived = {}
axes = panels(2, height=2.7, sharey=True)
for ax, when, params in zip(axes, ("before", "after"), (before, after), strict=True):
    for (way, gates), color, ls in zip(WAYS.items(), COLORS, ("-", ":", "--"), strict=False):
        arrived[when, way] = blames(params, jnp.array(gates))
        ax.semilogy(arrived[when, way], color=color, ls=ls, label=way)
    ax.axvline(47, color=INK, lw=0.8, ls=":")
    ax.set(title=f"{when} learning", xlabel="steps back", ylim=(1e-8, 30))
axes[0].legend(fontsize=8, loc="lower right", bbox_to_anchor=(0.88, 0.0))
axes[0].set_ylabel("blame that arrives")
axes[1].text(46.5, 2e-8, "the sign to remember", ha="right", color=INK, fontsize=8)
plt.show()
for way in WAYS:
    print(f"after learning, {way:17}: {arrived['after', way][47]:.1e} arrives at the marked sign")
assert arrived["after", "through the state"][47] < 1e-3 * arrived["after", "along the memory"][47]

# %% [markdown]
# This is why gates help. With the memory closed, the blame dies on its way through the state, like
# that of a simple RNN. With the state closed, it comes through: along the memory there is nothing
# that would have to shrink it. (In the last few steps the state carries more. And both
# together may even grow with distance: step 13.)
#
# ### With every number on the table
#
# `jaxnn.backprop.explain` unrolls a recurrent network: three steps, two units, and a dense layer
# that reads the last state. Its $\lambda_t$ is the $g_t$ of step 2, 0 but at the end.

# %%
smallest = networks.rnn(1, 2, 1)
backprop.explain(
    smallest.init(jax.random.key(0)), jnp.array([[[0.5], [-1.0], [1.0]]]), jnp.array([[1.0]]),
    network=smallest, digits=2,
)  # fmt: skip

# %% [markdown]
# ## Check
#
# By hand, by autodiff, by differences; beside the library's layers; and the bound of step 5.

# %%
rng = np.random.default_rng(0)
x, g = jnp.array(rng.normal(size=(7, 3))), jnp.array(rng.normal(size=(7, 4)))
shapes = lambda wide: ((3, wide), (4, wide), (wide,))
simple = tuple(jnp.array(rng.normal(size=s) / 2) for s in shapes(4))
gated = tuple(jnp.array(rng.normal(size=s) / 2) for s in shapes(16))
agree(rnn_vjp(g, simple, x), lambda at: g * rnn(*at), (simple, x), name="simple RNN")
agree(lstm_vjp(g, gated, x), lambda at: g * lstm(*at)[0], (gated, x), name="LSTM")

W, U, b = simple
theirs = {"dense_i": {"kernel": W, "bias": b}, "dense_h": {"kernel": U}}
grads, in_xs = layers.simple_rnn_vjp(g, theirs, x)
ours = rnn_vjp(g, simple, x)
assert jnp.allclose(layers.simple_rnn(theirs, x), rnn(simple, x), atol=1e-12)
assert jnp.allclose(grads["dense_h"]["kernel"], ours[0][1], atol=1e-12)
assert jnp.allclose(in_xs, ours[1], atol=1e-12)

W, U, b = gated
theirs = {"dense_i": {"kernel": W}, "dense_h": {"kernel": U, "bias": b}}
grads, in_xs = layers.lstm_vjp(g, theirs, x)
ours = lstm_vjp(g, gated, x)
assert jnp.allclose(layers.lstm(theirs, x), lstm(gated, x)[0], atol=1e-12)
assert jnp.allclose(grads["dense_h"]["kernel"], ours[0][1], atol=1e-12)
assert jnp.allclose(grads["dense_i"]["kernel"], ours[0][0], atol=1e-12)
assert jnp.allclose(in_xs, ours[1], atol=1e-12)

h = np.asarray(rnn(simple, x))
product, bound = np.eye(4), 1.0
for slope in 1 - h[1:] ** 2:
    product = product @ np.asarray(simple[1]) * slope  # step 5, from h_1 on
    bound = bound * np.linalg.norm(simple[1], 2) * slope.max()
print(f"over 6 steps: size of dh_7/dh_1 {np.linalg.norm(product, 2):.4f}, its bound {bound:.4f}")
assert np.linalg.norm(product, 2) <= bound

# %% [markdown]
# ## Break it
#
# **Forget a reader.** In step 2 keep $g_t$ and drop what comes from later. Every shape is right,
# and each step is blamed only for its own output. If the loss is at the end, only the last
# input gets anything: the memory is never trained.

# %%
last = jnp.zeros_like(g).at[-1].set(g[-1])
near_sighted = (last * (1 - h**2)) @ simple[0].T
true = rnn_vjp(last, simple, x)[1]
share = jnp.linalg.norm(near_sighted, axis=1) / jnp.linalg.norm(true, axis=1)
print("share of the blame that each input got:", share.round(3))
assert jnp.allclose(share, jnp.array([0, 0, 0, 0, 0, 0, 1]))

# %% [markdown]
# **Let it explode.** A diagonal $U = \rho I$, ReLU, positive inputs: all slopes are 1, so what
# arrives $k$ steps back is $\rho^k$ exactly. The same ReLU vanishes, holds or explodes; $\rho$
# decides (step 7).


# %%
def blame_back(rho, steps=40):
    def score(x):
        step = lambda h, x: (jnp.maximum(x + rho * h, 0), None)
        return jax.lax.scan(step, 0.0, x)[0]

    return jax.grad(score)(jnp.ones(steps + 1))[0]


for rho in (0.8, 1.0, 1.25):
    arrived = float(blame_back(rho))
    print(f"ReLU, rho = {rho}: after 40 steps {arrived:.4g}")
    assert math.isclose(arrived, rho**40, rel_tol=1e-9)

# %% [markdown]
# **Clip it the wrong way.** A gradient that exploded is too long, not wrong. Clipping by its norm
# shortens it. Clipping each number by itself also turns it, toward a corner. Primers name the two
# in one breath, as if they did the same.

# %%
quarter = jnp.linalg.qr(jax.random.normal(jax.random.key(3), (4, 4)))[0]
explosive = simple[0] / 4, 1.4 * quarter, jnp.zeros(4)
quiet = jnp.zeros((40, 3)).at[0].set(1e-4)


def loss(params):
    return 0.5 * (1 - rnn(params, quiet)[-1].sum()) ** 2


grads = jax.grad(loss)(explosive)
updates = {
    "as it is": grads,
    "by norm": optimizers.clip_by_global_norm(0.1).update(grads, ())[0],
    "by value": optimizers.clip_by_value(0.1).update(grads, ())[0],
}
flat = lambda tree: jnp.concatenate([a.ravel() for a in jax.tree.leaves(tree)])
cosines = {}
for name, update in updates.items():
    a, b = flat(update), flat(grads)
    cosines[name] = float(a @ b / jnp.linalg.norm(a) / jnp.linalg.norm(b))
    print(
        f"{name:9} length {jnp.linalg.norm(a):9.3g}, cosine with the gradient {cosines[name]:.3f}"
    )
assert jnp.linalg.norm(flat(grads)) > 5
assert math.isclose(cosines["by norm"], 1)
assert cosines["by value"] < 0.9

# %% [markdown]
# ## Exercises
#
# 1. Which forget bias keeps half over 100 steps? And how much does bias 1 keep over 100?
# 2. A GRU computes $h_t = (1 - z) \odot n + z \odot h_{t-1}$. What is its direct way back?
#    And that of a residual network, $h_t = h_{t-1} + F(h_{t-1})$?
# 3. Long sequences are often cut: the blame is followed $K$ steps back and no further. Take
#    $h_t = u h_{t-1} + x_t$ with $x_t = 1$, $0 < u < 1$, a long time, and $L = h_T$. Which share of
#    $\partial L / \partial u$ is lost?
# 4. The walk back needs all states. Keep only every $k$-th, and recompute the others when they
#    are needed. How many have to be in memory at once, at best?
#
# Try them before you read on.
#
# ## Answers
#
# **1.** $f = 2^{-1/100}$, so $b = \ln \frac{f}{1 - f} = 4.97$. Bias 1 keeps
# $\sigma(1)^{100} = 2.5 \cdot 10^{-14}$.

# %%
f = 2 ** (-1 / 100)
bias = math.log(f / (1 - f))
print(f"bias {bias:.2f}; and bias 1 keeps {float(sigmoid(1.0)) ** 100:.1e}")
for b in range(6):
    print(f"  bias {b}: half after {math.log(2) / -math.log(float(sigmoid(b))):6.1f} steps")
assert math.isclose(bias, 4.97, abs_tol=0.01)
# With all kernels 0, i = 1/2 and u = 0, the memory is c_T = f^100 c_0.
held = {"dense_i": {"kernel": jnp.zeros((1, 4))}, "dense_h": {"kernel": jnp.zeros((1, 4))}}
held["dense_h"]["bias"] = jnp.array([0.0, bias, 0.0, 0.0])
unroll = lambda c: layers.unroll(
    layers.lstm_cell, held, (c, jnp.zeros((1, 1))), jnp.zeros((1, 100, 1))
)[0][0].sum()
assert math.isclose(float(jax.grad(unroll)(jnp.ones((1, 1)))[0, 0]), 0.5, rel_tol=1e-9)

# %% [markdown]
# **2.** $\bar h_{t-1} = z \odot \bar h_t + \dots$: the update gate $z$ stands where the forget gate
# stood, so its bias should start above 0. In the residual network the factor is 1, always:
# a memory that never forgets, over depth instead of time.

# %%
kernels = {"dense_i": {"kernel": jnp.zeros((1, 6)), "bias": jnp.array([0, 0, 3.0, 3, 0, 0])}}
kernels["dense_h"] = {"kernel": jnp.zeros((2, 6))}
end = lambda h: layers.unroll(layers.gru_cell, kernels, h, jnp.zeros((1, 20, 1)))[0].sum()
back = jax.grad(end)(jnp.ones((1, 2)))
print(f"GRU, z = sigmoid(3), after 20 steps: {back[0].round(4)}; z^20 = {sigmoid(3.0) ** 20:.4f}")
assert jnp.allclose(back, sigmoid(3.0) ** 20)

# %% [markdown]
# **3.** $\partial L / \partial u = \sum_{s \ge 0} u^s h_{T-1-s}$, with $h = 1 / (1 - u)$ after a
# long time. All of it is $(1 - u)^{-2}$; the first $K$ terms are $(1 - u^K) (1 - u)^{-2}$. Lost is
# $u^K$. A memory of about 100 steps, $u = 0.99$, cut after 35: 70 % of the gradient is missing, and
# always the part that teaches to remember longer.


# %%
def cut(u, K, steps=2500):
    def state(u, h, count):
        return jax.lax.fori_loop(0, count, lambda _, h: u * h + 1.0, h)

    return state(u, jax.lax.stop_gradient(state(u, 0.0, steps - K)), K)


lost = 1 - jax.jacfwd(cut)(0.99, 35) / jax.jacfwd(cut)(0.99, 2500)
print(f"lost {lost:.3f}, and u^K = {0.99**35:.3f}")
assert jnp.isclose(lost, 0.99**35, rtol=1e-6)

# %% [markdown]
# **4.** $T / k$ kept states and, while one stretch is walked, its $k$ states: least for
# $k = \sqrt T$, where it is $2 \sqrt T$. For $T = 64$: 16 instead of 64, for one more forward pass.
# The gradient is the same.

# %%
x64 = jnp.array(rng.normal(size=(64, 3)))


def in_stretches(params, x):
    W, U, b = params
    step = lambda h, x: (jnp.tanh(x @ W + h @ U + b), None)
    stretch = jax.checkpoint(lambda h, x: jax.lax.scan(step, h, x))  # keeps its first state only
    return jax.lax.scan(stretch, jnp.zeros(4), x.reshape(8, 8, 3))[0].sum()


whole = jax.grad(lambda params: rnn(params, x64)[-1].sum())(simple)
again = jax.grad(in_stretches)(simple, x64)
states = {k: 64 // k + k for k in (1, 2, 4, 8, 16, 32)}
print("states in memory, by length of a stretch:", states)
assert min(states, key=states.get) == 8
assert all(jnp.allclose(a, b, atol=1e-12) for a, b in zip(whole, again, strict=True))
