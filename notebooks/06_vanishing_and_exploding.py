# %% [markdown]
# # 06 Vanishing and exploding gradients, and what helps
#
# A message is whispered along a row of thirty people. Each one passes it on a little softer, or a
# little louder, than it came. What does the last one hear? The first layer of a deep network
# learns only from what thirty others pass back to it. Why is that so often nothing, or far too
# much, and what can be done?

# %%
import functools
import math

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from _shared import COLORS, INK, agree, panels
from jax import lax
from sklearn.datasets import load_digits

from jaxnn import (
    activations,
    diagnostics,
    initializers,
    layers,
    losses,
    make_fit,
    networks,
    optimizers,
)
from jaxnn.activations import relu, relu_grad, sigmoid, sigmoid_grad, tanh, tanh_grad
from jaxnn.training import supervised

jax.config.update("jax_enable_x64", True)  # finite differences need the digits

images, digits = load_digits(return_X_y=True)
images = (images - images.mean(0)) / (images - images.mean(0)).std()
D, m, n = 30, 64, 256  # layers, units in each (as many as pixels), examples
x = jnp.array(images[:n])
g = jax.random.normal(jax.random.key(1), (n, m), jnp.float64)  # what comes back to layer D


def standardize(z):
    return (z - z.mean(0)) / z.std(0)


def standardize_vjp(g, z):
    u = standardize(z)
    return (g - g.mean(0) - u * (g * u).mean(0)) / z.std(0)  # step 9


def forward(kernels, x, f, norm=False, beta=None):
    """The last activations, and what every layer bends; with `beta`, layers have a way around."""

    def layer(a, W):
        z = a @ W if beta is None else a
        h = f(standardize(z) if norm else z)
        return (h if beta is None else a + beta * h @ W), z

    return lax.scan(layer, x, kernels)


def backward(g, kernels, z, slope, norm=False, beta=None):
    """What comes back to the input, and root mean squares of what comes back to every layer."""

    def layer(g, inputs):
        W, z = inputs
        delta = g if beta is None else beta * g @ W.T
        delta = delta * slope(standardize(z) if norm else z)
        if norm:
            delta = standardize_vjp(delta, z)
        below = delta @ W.T if beta is None else g + delta  # steps 1 and 11
        return below, jnp.sqrt((g**2).mean())

    return lax.scan(layer, g, (kernels, z), reverse=True)


@functools.partial(jax.jit, static_argnames=("f", "slope", "norm", "beta"))
def flow(kernels, f, slope, norm=False, beta=None):
    """Root mean square of the gradient at layer 0, 1, ..., D; at D it is 1."""
    _, z = forward(kernels, x, f, norm, beta)
    first, sizes = backward(g, kernels, z, slope, norm, beta)
    sizes = jnp.concatenate([jnp.sqrt((first**2).mean())[None], sizes])
    return sizes / sizes[-1]


def draw(init, keys=jax.random.split(jax.random.key(0), D)):
    """One kernel [m, m] for each layer: [D, m, m]."""
    return jax.vmap(lambda key: init(key, (m, m), jnp.float64))(keys)


SIGMOID = dict(f=sigmoid, slope=sigmoid_grad)
TANH = dict(f=tanh, slope=tanh_grad)
RELU = dict(f=relu, slope=relu_grad)
glorot, he = draw(initializers.glorot_normal()), draw(initializers.he_normal())
SICK = {
    "sigmoid, Glorot": (glorot, SIGMOID),
    "ReLU, Glorot": (glorot, RELU),
    "ReLU, twice He": (2 * he, RELU),
}
CURED = {
    "ReLU, He": (he, RELU),
    "tanh, orthogonal": (draw(initializers.orthogonal()), TANH),
    "sigmoid, normalized": (glorot, SIGMOID | dict(norm=True)),
    "ReLU, residual": (he, RELU | dict(beta=D**-0.5)),
}
measured = {
    name: np.asarray(flow(kernels, **kind)) for name, (kernels, kind) in (SICK | CURED).items()
}

axes = panels(2, height=3.0)
for ax, names in zip(axes, (SICK, CURED), strict=True):
    for name, color, dash in zip(names, COLORS, ("-", "--", "-.", ":"), strict=False):
        ax.semilogy(np.arange(D + 1), measured[name], dash, color=color, label=name)
    ax.axhline(1, color=INK, lw=0.6)
    ax.set(xlabel="layer", ylim=(1e-22, 1e13))
    ax.legend(fontsize=8, loc="lower right")
axes[0].set(ylabel="size of the gradient", title="three sick networks")
axes[1].set(title="four remedies, on the same scale")
plt.show()

# %% [markdown]
# A network of thirty layers before any training; the gradient comes from layer 30, where its size
# is 1, and goes to the left. With the sigmoid $10^{-19}$ of it arrives. With
# weights twice as large as He's there arrives a billion. On the right are the same thirty layers
# with other weights, another bend, a normalization, or a way around each layer.
#
# ## Notation
#
# One example at a time; rows are vectors. All layers have $m$ units.
#
# | symbol | shape | meaning |
# |---|---|---|
# | $a_0 = x$ | $[m]$ | input |
# | $z_l = a_{l-1} W_l$ | $[m]$ | sums of layer $l = 1 \dots D$; biases are 0 at first |
# | $a_l = f(z_l)$ | $[m]$ | activations |
# | $F_l = \operatorname{diag} f'(z_l)$ | $[m, m]$ | slopes |
# | $J_l = F_l W_l^\top$ | $[m, m]$ | Jacobian $\partial a_{l,i} / \partial a_{l-1,j}$ |
# | $g_l = \partial L / \partial a_l$ | $[m]$ | what comes back to layer $l$ |
# | $s_1 \ge \dots \ge s_m$ | | singular values of a matrix |
# | $\chi$ | | mean of the $s_i^2$ of $J_l$ |
# | $v$ | | variance of the entries of $W_l$ |
# | $u$ | | a standard normal number |
#
# ## Derivation
#
# ### A product
#
# **1.** $\partial L / \partial z_l = g_l F_l$, and $z_l = a_{l-1} W_l$, so $g_{l-1} = g_l J_l$ and
#
# $$g_0 = g_D\, J_D\, J_{D-1} \cdots J_1 .$$
#
# **2.** A matrix makes no vector longer than by its largest singular value, and none shorter than
# by its smallest. Factor by factor:
#
# $$\begin{aligned}
# \prod_l s_m(J_l) &\le \frac{\lvert g_0 \rvert}{\lvert g_D \rvert} \le \prod_l s_1(J_l) \\
# &\le \prod_l \max \lvert f' \rvert\; s_1(W_l) .
# \end{aligned}$$
#
# **3.** Read it from the right. The slope of the sigmoid is at most $1/4$, that of tanh and ReLU
# at most 1. So **no bend of these amplifies anything**. It is often said that ReLU makes gradients
# explode, because it has no upper bound. Its slope is 0 or 1; what explodes is the product of the
# weights.
#
# ### The typical factor
#
# **4.** The bounds are for the best and the worst direction. Let $g$ have a random one:
# $E[g_i g_j] = \lvert g \rvert^2 / m$ if $i = j$, else 0. Then
#
# $$\begin{aligned}
# E \lvert g J \rvert^2 &= \frac{\lvert g \rvert^2}{m} \sum_{i,j} J_{ij}^2
# = \chi \lvert g \rvert^2 , \\
# \chi &= \frac1m \sum_i s_i^2 ,
# \end{aligned}$$
#
# since the squares of the entries have the same sum as those of the singular values (it is the
# trace of $J J^\top$).
#
# **5.** $J_{ij} = f'(z_i) W_{ji}$, and the weights have mean square $v$:
#
# $$\chi = m\, v\, E[f'(z)^2], \qquad \lvert g_0 \rvert^2 \approx \chi^D \lvert g_D \rvert^2 .$$
#
# Below 1 gradients vanish, above 1 they explode, both exponentially. He's $v$ for ReLU and
# Glorot's for tanh near 0 make $\chi = 1$ (notebook 05).
#
# ### The typical factor is not everything
#
# **6.** How much is left in **all** directions? The product of all $s_i$ is
# $\lvert \det W \rvert$. Let $W$ be normal with $v = 1/m$, so that $\chi = 1$ without a bend.
# $\lvert \det W \rvert$ is a volume: the length of row 1, times the height of row 2 over row 1,
# times the height of row 3 over the plane of both, and so on. Row $k$ has the same distribution in
# every direction, so the square of its height is a sum of the $m - k + 1$ squares that remain,
# about $(m - k + 1) / m$.
#
# **7.** Hence, for large $m$,
#
# $$\begin{aligned}
# \frac1m \sum_i \log s_i^2 &= \frac1m \log \det(W)^2 \\
# &\approx \frac1m \sum_{k=1}^{m} \log \frac{k}{m} \\
# &\to \int_0^1 \log t \, dt = -1 .
# \end{aligned}$$
#
# Determinants multiply, so after $D$ layers the geometric mean of the $s_i$ is $e^{-D/2}$, although
# their mean square is 1 on average: a few directions carry everything, the others are lost.
#
# **8. Orthogonal** kernels have all $s_i = 1$, and so has every product of them.
#
# ### Remedies change a factor of $J$
#
# **9. Normalization**, over a batch: $\hat z = (z - \bar z) / \sigma$, each unit with its mean
# and deviation over the $n$ examples, $a = f(\hat z)$. Let $h = \partial L / \partial \hat z$.
# $\sigma$ and $\bar z$ depend on $z$ too, by $\partial \bar z / \partial z_k = 1/n$ and
# $\partial \sigma / \partial z_k = \hat z_k / n$, thus
#
# $$\frac{\partial L}{\partial z} = \frac{1}{\sigma}
# \big( h - \overline{h} - \hat z\, \overline{h \hat z} \big) .$$
#
# **10.** Two of $n$ directions are taken out, which is little; what matters is $1/\sigma$. With
# $\operatorname{Var} z = m v \operatorname{Var} a$ and $\hat z$ like $u$,
#
# $$\chi = m v\, \frac{E[f'(u)^2]}{m v \operatorname{Var} f(u)}
# = \frac{E[f'(u)^2]}{\operatorname{Var} f(u)} .$$
#
# The weights have cancelled. **Whatever their size, the factor is the same**: 1.03 for the sigmoid.
#
# **11. Residual connections:** $a_l = a_{l-1} + \beta f(a_{l-1}) W_l$ has the Jacobian
# $I + \beta B_l$ with $B_l = W_l^\top \operatorname{diag} f'(a_{l-1})$. The slopes do not depend on
# $W_l$, whose mean is 0, so the mixed terms of the square vanish on average:
#
# $$\chi = 1 + \beta^2 \chi_B, \qquad \chi_B = m\, v\, E[f'(a)^2] .$$
#
# It never falls below 1. With $\chi_B = 1$ (He) and $\beta = 1$ it is 2, which explodes as $2^D$.
# With $\beta = 1 / \sqrt D$ all layers together stay below $(1 + 1/D)^D < e$. (Or normalize in the
# branch, as a Transformer does.)
#
# **12. Gating:** along the memory of an LSTM, $c_t = \sigma(z_f) \odot c_{t-1} + \dots$, with the
# sums $z_f$ of its forget gate. No matrix is in that path. But for the ways through the gates,
#
# $$\frac{\partial c_T}{\partial c_t} = \prod \operatorname{diag} \sigma(z_f) .$$
#
# The network sets each factor itself. A plain recurrent network has $\prod F_t W_h^\top$, with the
# same matrix again and again: step 1 with $D$ steps of time.
#
# **13. Clipping** leaves $J$ as it is and bounds the step. With $c$ the limit,
#
# - by value: $g_i \leftarrow \min(\max(g_i, -c), c)$ for each entry;
# - by norm: $g \leftarrow g \min(1, c / \lvert g \rvert)$ for each tensor (Keras's `clipnorm`);
# - by global norm: the same, with $\lvert g \rvert$ over all tensors.
#
# Only the last keeps the direction. The others still lead downhill, as each entry keeps its sign.
#
# ## Code
#
# `forward` and `backward` above are steps 1, 9 and 11. Here is $\chi$ of step 5 and step 10, by
# quadrature over $u$, against the factor per layer that the picture shows:

# %%
u = jnp.array((np.arange(10_000) - 4999.5) * 2e-3)  # no point at 0, where ReLU has its kink
weight = jnp.exp(-(u**2) / 2)
weight = weight / weight.sum()  # E[f(u)] = sum of weight * f(u)


def normalized_chi(f, slope):
    mean = weight @ f(u)
    return float(weight @ slope(u) ** 2 / (weight @ (f(u) - mean) ** 2))  # step 10


predicted = {
    "ReLU, Glorot": 1 / 2,  # step 5: m v = 1, and half of the slopes are 1
    "ReLU, twice He": 4.0,
    "ReLU, He": 1.0,
    "sigmoid, normalized": normalized_chi(sigmoid, sigmoid_grad),
    "ReLU, residual": 1 + 1 / D,  # step 11
}
print("                     chi derived  measured")
for name, chi in predicted.items():
    factor = float(measured[name][0] ** (2 / D))
    print(f"{name:>20} {chi:10.3f} {factor:9.3f}")
    assert abs(factor / chi - 1) < 0.1

# %% [markdown]
# The family of ReLU beside the bends that saturate, each with $z$ of variance 1 and $m v = 1$. The
# first number is what He's idea would have to make up for, $1 / E[f'^2]$ in $v$; the second is what
# normalization makes of it without being asked.

# %%
family = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "swish", "gelu")
print("            E[f'^2]  normalized")
table = {}
for name in family:
    f, slope = (getattr(activations, name + end) for end in ("", "_grad"))
    table[name] = float(weight @ slope(u) ** 2), normalized_chi(f, slope)
    print(f"{name:>11} {table[name][0]:8.3f} {table[name][1]:10.3f}")
assert min(table, key=lambda name: table[name][0]) == "sigmoid"
assert all(chi >= 1 for _, chi in table.values())  # exercise 3

# %% [markdown]
# Steps 6 to 8: all singular values of the product of thirty Jacobians, for one example.


# %%
def singular_values(kernels, f=None, slope=None, beta=None):
    """Of the Jacobian from the input to layer D; without f, of a network without a bend."""
    a, product = x[:1], np.eye(m)
    for W in kernels:
        z = a @ W if beta is None else a
        h, slopes = (z, np.ones((1, m))) if f is None else (f(z), slope(z))
        if beta is None:
            a, J = h, slopes.T * W.T  # F W^T, as F is diagonal
        else:
            a, J = a + beta * h @ W, np.eye(m) + beta * W.T * slopes
        product = J @ product
    return np.linalg.svd(product, compute_uv=False)


ORTHOGONAL = CURED["tanh, orthogonal"][0]
normal = draw(initializers.normal(m**-0.5))
spectra = {
    "no bend, normal": singular_values(normal),
    "no bend, orthogonal": singular_values(ORTHOGONAL),
    "ReLU, He": singular_values(he, **RELU),
    "tanh, orthogonal": singular_values(ORTHOGONAL, **TANH),
    "ReLU, residual": singular_values(he, beta=D**-0.5, **RELU),
}
ax = panels(width=5.4, height=3.0)
for number, (name, s) in enumerate(spectra.items()):
    ax.semilogy(np.arange(1, m + 1), s, "os^Dv"[number], ms=3, color=COLORS[number], label=name)
ax.set(ylim=(1e-13, 1e2), xlabel="number $i$", ylabel="singular value $s_i$")
ax.legend(fontsize=8, loc="lower left")
ax.set_title("what thirty layers do in 64 directions")
plt.show()
# Not from the picture: below 1e-16 of the largest, rounding hides the singular values.
fall = float(jnp.linalg.slogdet(normal)[1].sum() / m)
print(f"mean of log s without a bend {fall:.1f}, derived {-D / 2:.1f}")
assert abs(fall / (-D / 2) - 1) < 0.1
assert np.allclose(spectra["no bend, orthogonal"], 1)

# %% [markdown]
# Orthogonal kernels keep every direction; with tanh most of them still; a residual network within a
# factor of a few. Normal weights keep the length on average and lose almost every direction, and
# the zeros of ReLU set the lower ones to 0 altogether.
#
# ### Does it matter for learning?
#
# All seven try to learn digits, with the same optimizer at the same rate.

# %%
data = jnp.array(images[:1024], jnp.float32), jnp.array(digits[:1024])


def learn(kernels, f, slope=None, norm=False, beta=None, optimizer=optimizers.momentum(0.01)):
    """Cross-entropy per epoch; the last layer is one more kernel, [m, 10]."""
    last = initializers.glorot_normal()(jax.random.key(2), (m, 10))
    params = {"W": kernels.astype(jnp.float32), "b": jnp.zeros((D, m)), "last": last}
    params = jax.tree.map(lambda a: a.astype(jnp.float32), params)

    def apply(params, x, key=None):
        def layer(a, inputs):
            W, b = inputs
            z = a @ W if beta is None else a
            h = f((standardize(z) if norm else z) + b)
            return (h if beta is None else a + beta * h @ W), None

        return lax.scan(layer, x, (params["W"], params["b"]))[0] @ params["last"]

    def loss_fn(params, batch, key):
        x, y = batch
        return losses.sparse_categorical_cross_entropy(apply(params, x), y).mean(), {}

    fit = make_fit(loss_fn, optimizer, epochs=8, batch_size=64)
    return np.asarray(fit(params, data, key=jax.random.key(3)).history["loss"])


curves = {name: learn(kernels, **kind) for name, (kernels, kind) in (SICK | CURED).items()}
left, right = panels(2, height=3.0, sharey=True)
for ax, names in ((left, SICK), (right, CURED)):
    for name, color, dash in zip(names, COLORS, ("-", "--", "-.", ":"), strict=False):
        ax.plot(np.arange(1, 9), curves[name], dash, color=color, label=name)
    ax.axhline(math.log(10), color=INK, lw=0.6)
    ax.set(xlabel="epoch", ylim=(-0.1, 4.4))
    ax.legend(fontsize=8, loc="upper right")
left.set(ylabel="cross-entropy (nats)", title="sick: nothing is learned")
right.set(title="cured")
plt.show()
for name, curve in curves.items():
    print(f"{name:>20} {curve[-1]:.3f}")
assert all(not curves[name][-1] < 2.25 for name in SICK)
assert all(curves[name][-1] < 1.8 for name in CURED)

# %% [markdown]
# The grey line is guessing, $\log 10$. (The third sick network is not in the picture: its loss is
# not a number after the first steps.) He's weights only begin to learn: $\chi = 1$, but step 7
# takes its toll. Orthogonal weights, and a way around, make thirty layers easy.
#
# ### Gating, through time
#
# A recurrent network over 60 steps is a network of 60 layers. How much of a gradient at the last
# step comes back to step $t$? To the state of a plain network, $h_t = \tanh(x_t W_x + h_{t-1} W_h)$
# with $W_h$ orthogonal times a gain; and to the memory $c_t$ of an LSTM, with the bias $b_f$ of its
# forget gate:

# %%
T, hidden = 60, 32
steps = 0.5 * jax.random.normal(jax.random.key(4), (T, 16, 8), jnp.float64)  # time first
pull = jax.random.normal(jax.random.key(5), (16, hidden), jnp.float64)
zeros = jnp.zeros((16, hidden), jnp.float64)
double = lambda tree: jax.tree.map(lambda a: a.astype(jnp.float64), tree)


def through_time(cell, params, carry, direct=False):
    """Size of the gradient at the state (for an LSTM, the memory) after each step.

    With `direct` it comes along the memory alone: the output h is taken as a constant.
    """

    def loss(added):
        def step(carry, inputs):
            x, extra = inputs
            carry, _ = cell(params, carry, x)
            state, *rest = carry if isinstance(carry, tuple) else (carry,)
            state = state + extra  # 0, but one can ask for its gradient
            rest = lax.stop_gradient(rest) if direct else rest
            return ((state, *rest) if rest else state), None

        last, _ = lax.scan(step, carry, (steps, added))
        return (pull * jax.tree.leaves(last)[0]).sum()

    size = jnp.sqrt((jax.grad(loss)(jnp.zeros((T, 16, hidden), jnp.float64)) ** 2).mean((1, 2)))
    return size / size[-1]


@jax.jit
@jax.vmap
def plain(gain):
    params = double(layers.simple_rnn_init(jax.random.key(6), 8, hidden))
    params["dense_h"]["kernel"] *= gain
    return through_time(layers.rnn_cell, params, zeros)


@jax.jit
@jax.vmap
def gated(bias):
    params = double(layers.lstm_init(jax.random.key(6), 8, hidden))
    params["dense_h"]["bias"] = params["dense_h"]["bias"].at[hidden : 2 * hidden].set(bias)
    both = [through_time(layers.lstm_cell, params, (zeros, zeros), way) for way in (False, True)]
    return jnp.stack(both)


gains, biases = jnp.array([0.7, 1.0, 1.4, 2.0]), jnp.array([0.0, 1.0, 4.0])
left, right = panels(2, height=2.8, sharey=True)
back = np.arange(1, T + 1)
for number, (gain, size) in enumerate(zip(gains, plain(gains), strict=True)):
    look = dict(color=COLORS[number], ls=("-", "--", "-.", ":")[number])
    left.semilogy(back, size, label=f"gain {gain:.1f}", **look)
remembered = np.asarray(gated(biases))
for number, (bias, (size, direct)) in enumerate(zip(biases, remembered, strict=True)):
    look = dict(color=COLORS[number], ls=("-", "--", "-.")[number])
    right.semilogy(back, size, label=f"$b_f = {bias:.0f}$", **look)
    right.semilogy(back, direct, color=INK, lw=0.8)
left.set(xlabel="step $t$", ylabel="size of the gradient", title="plain recurrent network")
right.set(xlabel="step $t$", title="LSTM; grey: the memory alone", ylim=(1e-19, 1e6))
left.legend(fontsize=8)
right.legend(fontsize=8)
plt.show()
print("     b_f  all ways  memory alone   sigma(b_f)^59")
for bias, (size, direct) in zip(biases, remembered, strict=True):
    promised = float(jax.nn.sigmoid(bias)) ** (T - 1)  # step 12
    print(f"{bias:8.0f} {size[0]:9.1e} {direct[0]:13.1e} {promised:15.1e}")
    assert size[0] > direct[0]
assert abs(direct[0] / promised - 1) < 0.1
# %% [markdown]
# A plain network hangs on its gain: a little less or more, and all is lost or explodes. An LSTM
# with half-open gates ($b_f = 0$) loses it too. It is the bias that makes it remember: then the way
# along the memory is a floor below which the gradient does not fall. What comes through the gates
# is on top; it goes through $W_h$ at each step and can grow. An LSTM need not vanish, but it is
# clipped too. Notebook 10 follows gradients through time.
#
# ### Clipping
#
# The ReLU network with weights a fifth too large, $1.2^{30} \approx 240$. The limits are chosen
# alike: entries of at most 0.03 give all kernels together a norm of at most
# $0.03 \sqrt{D m^2} \approx 10$. The last column is the cosine of the angle by which each turns a
# gradient with the entries 30 and 3 in one tensor and 20 in another.

# %%
CLIPS = {
    "not clipped": optax.identity(),
    "by value": optimizers.clip_by_value(0.03),
    "by norm": optimizers.clip_by_norm(10.0),
    "by global norm": optimizers.clip_by_global_norm(10.0),
}
gradient = {"a": jnp.array([30.0, 3.0]), "b": jnp.array([20.0])}
flat = np.concatenate(jax.tree.leaves(gradient))
print("                   last loss    cosine")
for name, clip in CLIPS.items():
    optimizer = optax.chain(clip, optimizers.momentum(0.03))
    curve = learn(1.2 * he, optimizer=optimizer, **RELU)
    clipped, _ = clip.update(gradient, clip.init(gradient))
    clipped = np.concatenate(jax.tree.leaves(clipped))
    cosine = flat @ clipped / np.linalg.norm(flat) / np.linalg.norm(clipped)
    print(f"{name:>15} {curve[-1]:12.3f} {cosine:10.3f}")
    assert cosine > 0  # step 13: still downhill
    assert np.isclose(cosine, 1) == (name in ("not clipped", "by global norm"))
    assert np.isnan(curve[-1]) if name == "not clipped" else curve[-1] < 2.2

# %% [markdown]
# ### Asking the library
#
# `diagnostics.gradient_flow` measures any loss function, and `diagnose` says what it means:

# %%
sizes = [m] + [m] * 6 + [10]
batch = jnp.array(images[:64], jnp.float32), jnp.array(digits[:64])
for f, init in ((sigmoid, initializers.glorot_normal()), (relu, initializers.he_normal())):
    network = networks.mlp(sizes, activation=f, kernel_init=init)
    params = jax.tree.map(lambda a: a.astype(jnp.float32), network.init(jax.random.key(7)))
    loss_fn = supervised(network, losses.sparse_categorical_cross_entropy)
    verdict = diagnostics.diagnose(diagnostics.gradient_flow(loss_fn, params, batch))
    print(f.__name__, "is", verdict, "\n")
    assert verdict.name == ("vanishing" if f is sigmoid else "healthy")

# %% [markdown]
# ## Check
#
# `backward` of each kind of layer, against autodiff and differences. (Six layers, and weights that
# are not small: all of it matters.)

# %%
six = 2 * ORTHOGONAL[:6, :12, :12]
few, pulled = g[5:10, :12], g[:5, :12]
KINDS = {
    "plain": TANH,
    "normalized": SIGMOID | dict(norm=True),
    "residual, normalized": TANH | dict(norm=True, beta=0.4),
}
for name, kind in KINDS.items():
    back_by = {key: value for key, value in kind.items() if key != "f"}
    onward = {key: value for key, value in kind.items() if key != "slope"}
    _, z = forward(six, few, **onward)
    by_hand, _ = backward(pulled, six, z, **back_by)
    scalar = lambda x, onward=onward: pulled * forward(six, x, **onward)[0]
    agree(by_hand, scalar, few, name=f"six layers, {name}")

# %% [markdown]
# ## Break it
#
# **Add the branches without making them small.** Step 11 with $\beta = 1$: each block doubles the
# mean square.

# %%
exploded = flow(he, relu, relu_grad, beta=1.0)
print(f"gradient {exploded[0]:.1e}, derived 2^(D/2) = {2 ** (D / 2):.1e}")
assert 0.2 < exploded[0] / 2 ** (D / 2) < 5
assert measured["ReLU, residual"][0] < 5

# %% [markdown]
# **Kill the units.** A ReLU unit is dead if its $z$ is negative for **all** data. It is said that
# small weights do this. They do not: ReLU keeps factors, so with weights 128 times smaller
# each $z$ keeps its sign (the gradient vanishes, but that is step 5). A negative bias does it, and
# so does one step that is far too large. (Some units are dead from the start, by the draw.)


# %%
@jax.jit
def dead(kernels, b):
    """Share of units with z < 0 for all examples, over all layers."""

    def layer(a, inputs):
        W, b = inputs
        z = a @ W + b
        return relu(z), (z <= 0).all(0).mean()

    return lax.scan(layer, x, (kernels, b))[1].mean()


@jax.jit
def large_step(kernels, b, rate):
    """One step of gradient descent on the squared distance to 1."""

    def loss(kernels, b):
        a, _ = lax.scan(lambda a, p: (relu(a @ p[0] + p[1]), None), x, (kernels, b))
        return ((a - 1) ** 2).mean()

    by_W, by_b = jax.grad(loss, (0, 1))(kernels, b)
    return kernels - rate * by_W, b - rate * by_b


none = jnp.zeros((D, m))
shares = {
    "He": dead(he, none),
    "128 times smaller": dead(he / 128, none),
    "bias -1": dead(he, none - 1),
    "a step of rate 0.1": dead(*large_step(he, none, 0.1)),
    "a step of rate 1000": dead(*large_step(he, none, 1000.0)),
}
for name, share in shares.items():
    print(f"{name:>24}: {100 * float(share):.0f} % dead")
assert shares["He"] == shares["128 times smaller"]
assert shares["bias -1"] > 0.8
assert shares["a step of rate 1000"] > shares["a step of rate 0.1"] + 0.2

# %% [markdown]
# **Clip a gradient that has vanished.** Nothing happens: a limit has no effect on what is below
# it. Clipping is no remedy against the sigmoid.

# %%
tiny = {"W": jnp.array([3e-20, -1e-20])}
for name, clip in CLIPS.items():
    same, _ = clip.update(tiny, clip.init(tiny))
    print(f"{name:>15}:", same["W"])
    assert jnp.array_equal(same["W"], tiny["W"])

# %% [markdown]
# ## Exercises
#
# 1. Square normal kernels with $v = 1/m$ have $s_1 \approx 2$. What does step 2 allow at most for
#    thirty sigmoid layers, and what comes out in the first picture?
# 2. Normalization before a ReLU: what is $\chi$, exactly?
# 3. In the table, no normalized $\chi$ is below 1. Is that a law? (Write $f(u) = \sum_k c_k h_k(u)$
#    with the Hermite polynomials of norm 1, for which $h_k' = \sqrt k\, h_{k-1}$.)
# 4. Which forget bias keeps half of a memory for 100 steps?
# 5. With the global norm clipped at $c$, how far can $k$ steps of gradient descent with the rate
#    $\eta$ go, whatever the loss?
#
# Try them before you read on.
#
# ## Answers
#
# **1.** $(\frac14 \cdot 2)^{30} = 2^{-30} \approx 10^{-9}$. It is far less. The typical factor
# is $\sqrt\chi$; activations near $\frac12$ make $z$ of variance near $0.27$, for which
# $\sqrt{E[f'(z)^2]} = 0.236$, and $0.236^{30} \approx 10^{-19}$.

# %%
largest = float(jnp.linalg.norm(glorot, 2, axis=(1, 2)).max())
first = measured["sigmoid, Glorot"][0]
typical = float(jnp.sqrt(weight @ sigmoid_grad(0.27**0.5 * u) ** 2))
print(f"largest s_1 {largest:.2f}; allowed {(largest / 4) ** D:.0e}")
print(f"typical {typical:.3f}^30 = {typical**D:.0e}, measured {first:.0e}")
assert 0.2 < first / typical**D < 5
assert 1.8 < largest < 2.2
assert 1e-22 < first < (largest / 4) ** D

# %% [markdown]
# **2.** $E[f'^2] = \frac12$, $E[f^2] = \frac12$, $E[f] = 1 / \sqrt{2\pi}$. So
# $\chi = \frac12 / (\frac12 - \frac1{2\pi}) = \pi / (\pi - 1) = 1.467$: with a ReLU, normalization
# alone lets the gradient grow by a fifth in each layer. Deep networks have both, normalization and
# residual connections.

# %%
grown = flow(glorot, relu, relu_grad, norm=True)
factor = float(grown[0] ** (2 / D))
print(f"chi derived {math.pi / (math.pi - 1):.3f}, measured {factor:.3f}")
assert abs(factor - math.pi / (math.pi - 1)) < 0.1

# %% [markdown]
# **3.** It is. $\operatorname{Var} f = \sum_{k \ge 1} c_k^2$, since $h_0 = 1$ takes the mean, and
# $E[f'^2] = \sum_{k \ge 1} k\, c_k^2$, which is not less. They are equal only if $c_k = 0$ for
# $k \ge 2$: without a bend. (This is the Poincaré inequality.) For tanh:

# %%
k = np.arange(40)
norms = np.array([math.sqrt(math.factorial(i)) for i in k])
h = np.polynomial.hermite_e.hermevander(np.asarray(u), 39) / norms  # [10000, 40]
c = h.T @ (np.asarray(weight) * np.tanh(np.asarray(u)))
chi = (k * c**2).sum() / (c[1:] ** 2).sum()
print(f"by its first forty terms {chi:.4f}, by quadrature {table['tanh'][1]:.4f}")
assert abs(chi - table["tanh"][1]) < 1e-3

# %% [markdown]
# **4.** $\sigma(b)^{100} = \frac12$, so $b = -\log(2^{1/100} - 1) = 4.97$.

# %%
bias = -math.log(2 ** (1 / 100) - 1)
print(f"bias {bias:.2f}")
assert math.isclose(float(jax.nn.sigmoid(jnp.array(bias))) ** 100, 0.5)

# %% [markdown]
# **5.** Each step is at most $\eta c$ long, so together at most $k \eta c$. That is a trust region,
# and why one bad batch cannot ruin a network. Here is a cliff, $L = e^{w}$ at $w = 20$:

# %%
cliff = jax.grad(jnp.exp)
w = jnp.array(20.0)
clip = optax.chain(optimizers.clip_by_global_norm(1.0), optimizers.gradient_descent(0.1))
state = clip.init(w)
for _ in range(50):
    updates, state = clip.update(cliff(w), state)
    w = w + updates
print(f"clipped, from 20 to {float(w):.2f} in 50 steps")
print(f"not clipped, to {20 - 0.1 * math.e**20:.1e} in one")
assert jnp.isclose(w, 20 - 50 * 0.1)
