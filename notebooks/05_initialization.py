# %% [markdown]
# # 05 Initialization: variance through fifty layers
#
# Before a network learns anything, somebody has to choose its first random numbers. It seems a
# detail. If they were all twice as large, would that not just make the outputs twice as large?

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from _shared import COLORS, INK, agree, panels
from jax import lax

from jaxnn import initializers
from jaxnn.activations import leaky_relu, relu, relu_grad, tanh, tanh_grad

jax.config.update("jax_enable_x64", True)  # finite differences need the digits

D, m, n = 50, 256, 64  # layers, units in each, examples
keys = jax.random.split(jax.random.key(0), D)
x = jax.random.normal(jax.random.key(1), (n, m), jnp.float64)
g = jax.random.normal(jax.random.key(2), (n, m), jnp.float64)


def kernels(init, keys=keys):
    """One kernel [m, m] for each layer: [D, m, m]."""
    return jax.vmap(lambda key: init(key, (m, m), jnp.float64))(keys)


@jax.jit
def passes(kernels, x, g):
    """Mean squares per layer of a ReLU network: of activations, and of what comes back."""

    def forward(a, W):
        z = a @ W
        return relu(z), (z, (a**2).mean())

    def backward(g, layer):
        W, z = layer
        g = (g * relu_grad(z)) @ W.T
        return g, (g**2).mean()

    _, (z, sizes) = lax.scan(forward, x, kernels)
    _, back = lax.scan(backward, g, (kernels, z), reverse=True)
    return sizes, back


schemes = {
    "normal(0.01)": initializers.normal(0.01),
    "Glorot": initializers.glorot_normal(),
    "He": initializers.he_normal(),
    "normal(0.1)": initializers.normal(0.1),
    "normal(1)": initializers.normal(1.0),
}
measured = {name: passes(kernels(init), x, g) for name, init in schemes.items()}

layer = np.arange(1, D + 1)
axes = panels(2, height=3.2, sharey=True)
for (name, curves), color in zip(measured.items(), COLORS, strict=False):
    for ax, curve in zip(axes, curves, strict=True):
        ax.semilogy(layer, curve, color=color, lw=2.6 if name == "He" else 1.5, label=name)
for ax, title in zip(axes, ("activations", "gradients, coming from layer 50"), strict=True):
    ax.axhspan(1e38, 1e100, color=INK, alpha=0.15, lw=0)
    ax.axhspan(1e-90, 1e-38, color=INK, alpha=0.15, lw=0)
    ax.set(xlabel="layer", title=title, ylim=(1e-90, 1e100), yticks=10.0 ** np.arange(-75, 76, 25))
axes[0].set_ylabel("mean square")
axes[0].legend(loc="lower left", fontsize=7.5, labelspacing=0.2)
axes[1].text(49, 1e85, "float32 ends here", ha="right", fontsize=8)
plt.show()

# %% [markdown]
# Five ways to draw the kernels of a fifty-layer ReLU network, untrained. Only He's line stays where
# it was. (The one above it has grown by five powers of ten; the scale is that long.) All are
# straight on a logarithmic scale: every layer multiplies by the same factor, fifty times. So twice
# as large does not make the output twice as large, but $2^{50}$ times. In the grey region float32
# has no numbers left.
#
# ## Notation
#
# | symbol | shape | meaning |
# |---|---|---|
# | $D$, $m_l$ | | depth, and the units of layer $l$ |
# | $a_0 = x$ | $[n, m_0]$ | inputs, mean 0 |
# | $z_l = a_{l-1} W_l$ | $[n, m_l]$ | sums; biases start at 0 |
# | $a_l = f(z_l)$ | $[n, m_l]$ | activations |
# | $v_l$ | | the variance with which the entries of $W_l$ are drawn, mean 0 |
# | $g_l = \partial L / \partial a_l$ | $[n, m_l]$ | what comes back to the activations |
# | $\delta_l = g_l \odot f'(z_l)$ | $[n, m_l]$ | and to the sums |
#
# $E$ is the mean over units and over the drawing of the weights. With the names of the kernel,
# $m_{l-1}$ is its fan-in and $m_l$ its fan-out.
#
# ## Derivation
#
# ### Forward
#
# **1.** $z_j = \sum_k a_k W_{kj}$. The weights are independent of each other and of $a$, and have
# mean 0, so all mixed terms of the square vanish on average:
#
# $$E[z_l^2] = m_{l-1}\, v_l\, E[a_{l-1}^2] .$$
#
# It is the mean square of $a$ that counts, not its variance: $a$ may have a mean.
#
# **2. No bend:** $a = z$, and the mean square stays if $v = 1 / m_{l-1}$ (LeCun).
#
# **3. ReLU:** $z$ is as often positive as negative, and as far from 0 on both sides. ReLU throws
# one half away, so $E[a^2] = \frac12 E[z^2]$, whatever the shape of the distribution. To make up
# for it,
#
# $$v = \frac{2}{m_{l-1}} \qquad \text{(He)} .$$
#
# **4.** With another $v$ each layer multiplies by $c = \frac12 m v$, and $D$ layers by $c^D$. There
# is no almost right: at $c = 0.9$, fifty layers leave half a percent.
#
# ### Backward
#
# **5.** $g_{l-1} = \delta_l W_l^\top$ sums over the other index, so the **fan-out** counts:
#
# $$E[g_{l-1}^2] = m_l\, v_l\, E[\delta_l^2] .$$
#
# **6.** $E[\delta^2] = E[g^2]\, E[f'(z)^2]$, taking $g$ and $z$ as independent. For ReLU the slope
# is 1 for half of the units: once more one half, and $v = 2 / m_l$ would keep it.
#
# **7.** Forward wants $1 / m_{l-1}$, backward wants $1 / m_l$ (times 2 for ReLU). Glorot's
# compromise (some call it Xavier's, by his first name) lies between them:
#
# $$v = \frac{2}{m_{l-1} + m_l} .$$
#
# It is the exact answer for a linear network of equal widths, and nearly so for tanh close to 0.
# For ReLU it lacks the factor of step 3, and loses half of the signal in every layer.
#
# **8.** Does it matter which of the two fans one keeps? Not much. If forward is kept, the backward
# factors are $m_l / m_{l-1}$; their product is $m_D / m_0$, which does not grow with depth.
#
# ### From a variance to numbers
#
# **9.** Uniform on $[-c, c]$ has the variance $c^2 / 3$, so Glorot's uniform has
# $c = \sqrt{6 / (m_{l-1} + m_l)}$.
#
# **10.** A normal cut off at two standard deviations has lost its tails, and 23 % of its variance.
# It must be widened by $1 / 0.8796$ first.
#
# **11.** Orthogonal kernels, $W W^\top = I$, keep the length of every vector exactly, not on
# average. (For ReLU, times $\sqrt2$.)
#
# ## Code
#
# The recursion of steps 1 and 5 is `passes` above. What remains is the prediction, one number for
# each scheme: the factor per layer.

# %%
variances = {
    "normal(0.01)": 0.01**2,
    "Glorot": 2 / (m + m),  # step 7
    "He": 2 / m,  # step 3
    "normal(0.1)": 0.1**2,
    "normal(1)": 1.0,
}
print("      per layer  predicted forward backward")
for name, v in variances.items():
    sizes, back = measured[name]
    predicted = m * v / 2  # step 4
    forward = float((sizes[-1] / sizes[0]) ** (1 / (D - 1)))
    backward = float((back[0] / back[-1]) ** (1 / (D - 1)))
    print(f"{name:>15} {predicted:10.4g} {forward:7.4g} {backward:8.4g}")
    assert abs(forward / predicted - 1) < 0.03
    assert abs(backward / predicted - 1) < 0.03

# %% [markdown]
# Every scheme's variance, drawn and measured, for a kernel that is not square:

# %%
fan_in, fan_out = 300, 500
named = {
    "lecun_normal": 1 / fan_in,
    "glorot_normal": 2 / (fan_in + fan_out),
    "glorot_uniform": 2 / (fan_in + fan_out),
    "he_normal": 2 / fan_in,
    "he_uniform": 2 / fan_in,
    "orthogonal": 1 / max(fan_in, fan_out),
}
for name, v in named.items():
    W = getattr(initializers, name)()(jax.random.key(3), (fan_in, fan_out), jnp.float64)
    print(f"{name:>15} {float((W**2).mean()):.6f}, promised {v:.6f}")
    assert abs((W**2).mean() / v - 1) < 0.02

# %% [markdown]
# ## Check
#
# The statistics rest on the backward recursion. Here it is on its own, through ten layers, against
# autodiff and differences: step 5 and step 6 hold to the last digit, not only on average.


# %%
def output(x, kernels):
    for W in kernels:
        x = tanh(x @ W)
    return x


def output_vjp(g, x, kernels):
    z = []
    for W in kernels:
        z.append(x @ W)
        x = tanh(z[-1])
    for W, z_l in zip(reversed(kernels), reversed(z), strict=True):
        g = (g * tanh_grad(z_l)) @ W.T
    return g


draws = jax.random.split(jax.random.key(4), 10)
ten = [initializers.glorot_normal()(key, (12, 12), jnp.float64) for key in draws]
few, back = x[:3, :12], g[:3, :12]
agree(
    output_vjp(back, few, ten), lambda x: back * output(x, ten), few, name="back through ten layers"
)

# %% [markdown]
# ## Break it
#
# **Cut the normal and forget to widen it** (step 10). A factor of 0.77 in the variance looks
# harmless.

# %%
plain = jax.nn.initializers.truncated_normal((2 / m) ** 0.5)  # cut, not widened
sizes, _ = passes(kernels(plain), x, g)
print(f"after 50 layers {sizes[-1]:.1e} of the signal is left; 0.774^49 = {0.774**49:.1e}")
assert 1e-6 < sizes[-1] < 1e-5
assert 0.5 < measured["He"][0][-1] < 2
assert 1e5 < measured["normal(0.1)"][0][-1] < 1e6

# %% [markdown]
# **Swap the axes of a convolution.** A kernel of ours is [height, width, inputs, outputs];
# elsewhere it is [outputs, inputs, height, width]. Hand one to the other's initializer, and it
# takes the outputs for pixels and the width of the kernel for the number of outputs.

# %%
ours, theirs = (3, 3, 16, 64), (64, 16, 3, 3)
print("fans of", ours, "are", initializers.fans(ours), "and of", theirs, initializers.fans(theirs))
W = initializers.he_normal()(jax.random.key(5), theirs)
factor = float((W**2).mean()) * (3 * 3 * 16) / 2
print(f"each layer would multiply the mean square by {factor:.3f} instead of 1")
assert initializers.fans(ours)[0] == 3 * 3 * 16
assert factor < 0.06

# %% [markdown]
# **Start at zero.** Nothing to multiply: the output is 0, and so is every gradient but that of the
# last bias. And any other constant keeps all units of a layer equal for ever, as notebook 04 shows.

# %%
sizes, back = passes(jnp.zeros((D, m, m)), x, g)
print("mean square after one layer:", sizes[1], "and coming back:", back[-1])
assert sizes[1] == 0
assert back[-1] == 0

# %% [markdown]
# ## Exercises
#
# 1. Which limit has He's uniform?
# 2. What should $v$ be for a leaky ReLU with the slope $\alpha$ below 0?
# 3. Tanh with $v = 1/m$: near 0, $\tanh z \approx z - z^3/3$. Show that the mean square $q$ becomes
#    about $q - 2 q^2$ in a layer (for a normal $z$, $E[z^4] = 3 q^2$), and that after $l$ layers it
#    is about $1 / (2l)$. Is that vanishing?
# 4. He's factor is 1 **on average**. How far does a single network stray? For one layer the factor
#    is $r = \frac1m \sum_j 2 \max(0, u_j)^2$ with $u$ standard normal. What is its variance, and
#    that of $\log r$ added up over $D$ layers?
#
# Try them before you read on.
#
# ## Answers
#
# **1.** $c^2 / 3 = 2 / m$, so $c = \sqrt{6 / m}$ with the fan-in $m$.

# %%
W = initializers.he_uniform()(jax.random.key(6), (m, m), jnp.float64)
limit = float(jnp.abs(W).max())
print(f"largest entry {limit:.5f}, limit {(6 / m) ** 0.5:.5f}")
assert 0.999 * (6 / m) ** 0.5 < limit <= (6 / m) ** 0.5

# %% [markdown]
# **2.** The negative half is kept with the factor $\alpha^2$:
# $E[a^2] = \frac12 (1 + \alpha^2) E[z^2]$, hence $v = 2 / \big( (1 + \alpha^2)\, m \big)$.


# %%
def sizes_of(f, v):
    """Mean squares after each layer of a network with activation f and variance v."""
    step = lambda a, W: (f(a @ W), (f(a @ W) ** 2).mean())
    init = initializers.normal(v**0.5)
    return jax.jit(lambda kernels, x: lax.scan(step, x, kernels)[1])(kernels(init), x)


alpha = 0.3
right, wrong = [sizes_of(lambda z: leaky_relu(z, alpha), v) for v in (2 / (1.09 * m), 2 / m)]
print(f"with the slope in the formula {right[-1]:.2f}, without {wrong[-1]:.0f}")
assert 0.4 < right[-1] < 2.5
assert 0.4 < wrong[-1] / 1.09**D < 2.5

# %% [markdown]
# **3.** $\tanh^2 z \approx z^2 - \frac23 z^4$, and $E$ of it is $q - 2 q^2$. In the reciprocal,
# $1 / (q - 2q^2) \approx 1/q + 2$: each layer adds 2, so $q_l \approx 1 / (2l)$ in the end. The
# signal fades like $1/l$, not like $c^l$: it can be lived with. (A smooth bend gives up its
# strength slowly.)

# %%
u, weight = np.polynomial.hermite_e.hermegauss(60)  # E[f(u)] = sum of weight * f(u)
weight = weight / weight.sum()
q = [1.0]
for _ in range(D):
    q.append(float(weight @ np.tanh(np.sqrt(q[-1]) * u) ** 2))
drawn = sizes_of(tanh, 1 / m)
print("layer            10    20    30    40    50")
print("1/q, averaged", "".join(f"{1 / q[i]:6.1f}" for i in range(10, 51, 10)))
print("1/q, one draw", "".join(f"{1 / drawn[i - 1]:6.1f}" for i in range(10, 51, 10)))
assert 1.9 < (1 / q[50] - 1 / q[40]) / 10 < 2.1
assert 0.6 < drawn[-1] / q[50] < 1.6

# %% [markdown]
# **4.** $E[2 \max(0, u)^2] = 1$ and $E[4 \max(0, u)^4] = 4 \cdot \frac32 = 6$, so
# $\operatorname{Var} r = 5 / m$. For large $m$, $\log r$ has the same variance and the mean
# $-5 / (2m)$. Over the layers they add up:
#
# $$\log \frac{\lvert a_D \rvert^2}{\lvert a_0 \rvert^2} \sim
# \mathcal N \Big( -\frac{5 D}{2 m}, \frac{5 D}{m} \Big) .$$
#
# Depth over width is what counts. Here are 300 networks of width 64 and depth 30:


# %%
def walk(key, width=64, depth=30):
    """log of how much of an input's squared length a network leaves."""

    def step(a, key):
        W = initializers.he_normal()(key, (width, width), jnp.float64)
        return relu(a @ W), None

    a, _ = lax.scan(step, jnp.ones(width), jax.random.split(key, depth))
    return jnp.log((a**2).sum() / width)


logs = jax.jit(jax.vmap(walk))(jax.random.split(jax.random.key(7), 300))
ax = panels(width=4.4, height=2.3)
ax.hist(np.asarray(logs), 24, color=COLORS[0], alpha=0.5, density=True)
t = np.linspace(-6, 4, 200)
mean, variance = -5 * 30 / (2 * 64), 5 * 30 / 64
density = np.exp(-((t - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
ax.plot(t, density, color=COLORS[1])
ax.set(xlabel="log of the squared length, out over in", yticks=[])
ax.set_title("300 networks, and the formula")
plt.show()
print(f"mean {logs.mean():.2f}, predicted {mean:.2f}")
print(f"variance {logs.var():.2f}, predicted {variance:.2f}")
assert abs(logs.mean() - mean) < 0.4
assert 0.7 < logs.var() / variance < 1.4
