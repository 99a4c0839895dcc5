# %% [markdown]
# # 07 Optimizers: the same slope, other steps
#
# Seven travellers stand at the same spot in the same fog, feel the same slope under their feet,
# and want down. Where one needs 350 steps, another needs 35,000 (exercise 1). They know the same;
# what do they do differently?

# %%
import math

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from _shared import COLORS, INK, agree, panels
from sklearn.datasets import load_digits

from jaxnn import losses, make_fit, networks, optimizers
from jaxnn.training import supervised

jax.config.update("jax_enable_x64", True)  # finite differences need the digits

LAMBDA = jnp.array([1.0, 25.0])  # a valley 25 times steeper across than along


def valley(w):
    return 0.5 * jnp.sum(LAMBDA * w**2)


def saddle(w):
    return 0.5 * (w[0] ** 2 - w[1] ** 2) + 0.25 * w[1] ** 4  # minima at w_2 = -1 and 1


def trajectory(optimizer, f, start, steps):
    """All points visited, `[steps + 1, 2]`."""

    def step(state, _):
        w, memory = state
        updates, memory = optimizer.update(jax.grad(f)(w), memory, w)
        w = optax.apply_updates(w, updates)
        return (w, memory), w

    _, path = jax.lax.scan(step, (start, optimizer.init(start)), length=steps)
    return jnp.concatenate([start[None], path])


everything = lambda w: True  # what decays; the library would decay kernels alone
SEVEN = {
    "gradient descent": optimizers.gradient_descent(0.07),
    "momentum": optimizers.momentum(0.03, 0.75),
    "adagrad": optimizers.adagrad(0.8),
    "rmsprop": optimizers.rmsprop(0.05),
    "adadelta": optimizers.adadelta(1.0, 0.9, 1e-2),
    "adam": optimizers.adam(0.15),
    "adamw": optimizers.adamw(0.15, weight_decay=0.01, mask=everything),
}
STYLES = dict(zip(SEVEN, [*COLORS, INK], strict=True))
MARKS = dict(zip(SEVEN, "os^Dv<>", strict=True))


def draw(ax, f, start, steps, extent, names=SEVEN):
    across, up = np.meshgrid(np.linspace(*extent[0], 120), np.linspace(*extent[1], 90))
    heights = jax.vmap(f)(jnp.stack([across.ravel(), up.ravel()], 1)).reshape(across.shape)
    levels = np.quantile(heights, np.linspace(0.01, 0.95, 12))
    ax.contour(across, up, heights, levels=levels, colors=INK, linewidths=0.5, alpha=0.6)
    for name in names:
        path = trajectory(SEVEN[name], f, start, steps)
        look = dict(color=STYLES[name], ms=2.5, lw=1.2, marker=MARKS[name])
        ax.plot(*path.T, label=name, **look)
    ax.plot(*start, "*", color=INK, ms=11)
    ax.set(xlim=extent[0], ylim=extent[1], xlabel="$w_1$", ylabel="$w_2$")


ax = panels(height=3.6)
start = jnp.array([-4.0, 1.4])
draw(ax, valley, start, 40, ((-4.4, 1.6), (-1.7, 1.9)))
ax.set(title="40 steps in a valley, from the star to the minimum at (0, 0)")
ax.legend(ncol=4, loc="lower center", bbox_to_anchor=(0.5, -0.42))
plt.show()

# %% [markdown]
# Gradient descent (blue) jumps from wall to wall, because the slope points across the valley and
# hardly along it. Momentum lets the jumps cancel and the small pulls along the floor add up. The
# others divide each coordinate by its own size of slope: they walk as if the valley were round.
# (Adam and AdamW lie on top of each other; they differ in what pulls weights to zero, step 13.)
#
# ## Notation
#
# | symbol | shape | meaning |
# |---|---|---|
# | $w_t$ | $[n]$ | parameters before step $t = 1, 2, \dots$ |
# | $g_t = \nabla L(w_t)$ | $[n]$ | the gradient there |
# | $v, m, r$ | $[n]$ | what an optimizer remembers: velocity, mean, mean square |
# | $\eta$ | $[\,]$ | learning rate |
# | $\beta, \beta_1, \beta_2$ | $[\,]$ | the share of a memory that a step keeps |
# | $H$ | $[n, n]$ | second derivatives of $L$, eigenvalues $\lambda_{\min} \dots \lambda_{\max}$ |
# | $\kappa$ | $[\,]$ | $\lambda_{\max} / \lambda_{\min}$, how much steeper across than along |
#
# Products, quotients and roots of vectors are elementwise.
#
# ## Derivation
#
# ### How far may one step?
#
# **1.** To first order, $L(w - \eta g) \approx L(w) - \eta \lVert g \rVert^2$: for a small enough
# $\eta$ the way of the negative gradient leads down. How small is that?
#
# **2.** Near a minimum, $L \approx \frac12 w^\top H w$ (put the minimum at 0), so $g = Hw$. In the
# axes of the eigenvectors the coordinates don't see each other:
#
# $$\begin{aligned}
# w_i &\leftarrow w_i - \eta \lambda_i w_i = (1 - \eta \lambda_i)\, w_i , \\
# w_{i,t+1} &= (1 - \eta \lambda_i)^t\, w_{i,1} .
# \end{aligned}$$
#
# **3.** It converges if and only if $\lvert 1 - \eta \lambda_i \rvert < 1$ for every $i$, which is
#
# $$0 < \eta < 2 / \lambda_{\max} .$$
#
# **4.** The steepest axis limits the rate, the flattest axis then has to wait. The best compromise
# makes both ends equally slow, $1 - \eta \lambda_{\min} = \eta \lambda_{\max} - 1$, so
# $\eta = 2 / (\lambda_{\min} + \lambda_{\max})$, and every step multiplies the error by
#
# $$\frac{\kappa - 1}{\kappa + 1} .$$
#
# ### Momentum
#
# **5.** Polyak's heavy ball remembers: $v \leftarrow \beta v + g$, $w \leftarrow w - \eta v$. Put
# $v = (w_{t-1} - w_t) / \eta$ into it, and one axis of the valley obeys
#
# $$w_{t+1} = (1 + \beta - \eta\lambda)\, w_t - \beta\, w_{t-1} .$$
#
# **6.** Try $w_t = z^t$: $\; z^2 - (1 + \beta - \eta\lambda)\, z + \beta = 0$. The product of the
# two roots is $\beta$. While they are complex, each has $\lvert z \rvert = \sqrt\beta$, **whatever
# $\lambda$ is**: all axes go equally fast.
#
# **7.** Complex means $(1 + \beta - \eta\lambda)^2 < 4\beta$, that is
# $(1 - \sqrt\beta)^2 < \eta\lambda < (1 + \sqrt\beta)^2$. To fit the whole range of $\lambda$ in,
# set both ends equal: $\sqrt{\eta \lambda_{\min}} = 1 - \sqrt\beta$ and
# $\sqrt{\eta \lambda_{\max}} = 1 + \sqrt\beta$. Divide and add:
#
# $$\begin{aligned}
# \sqrt\beta &= \frac{\sqrt\kappa - 1}{\sqrt\kappa + 1} , \\
# \eta &= \left( \frac{2}{\sqrt{\lambda_{\min}} + \sqrt{\lambda_{\max}}} \right)^{2} .
# \end{aligned}$$
#
# Compare with step 4: $\kappa$ has become $\sqrt\kappa$. (Nesterov's form takes the gradient ahead,
# $w \leftarrow w - \eta(g + \beta v)$ with the new $v$; it damps steep axes more.)
#
# ### A rate of one's own for each coordinate
#
# **8.** Adagrad (2011) divides by all the slope a coordinate has ever seen:
# $r \leftarrow r + g^2$, $w \leftarrow w - \eta\, g / (\sqrt r + \epsilon)$. Multiply the loss by
# 1000, and nothing changes: the scale cancels. But $r$ only grows. Under a constant gradient the
# step is $\eta / \sqrt t$.
#
# **9.** RMSprop (2012) forgets, $r \leftarrow \beta r + (1 - \beta) g^2$, so its steps do not die.
#
# **10.** Adadelta (2012) asks for the units. A gradient has the units of $L / w$, so
# $g / \sqrt r$ has none, and a step should have those of $w$. It takes them from its own past
# steps $\Delta$:
#
# $$\Delta = -\frac{\mathrm{RMS}[\Delta]}{\mathrm{RMS}[g]}\; g ,$$
#
# where $\mathrm{RMS}[x]$ is the root of the running mean of $x^2$, plus $\epsilon$ under the root.
# A form with $\eta$ in place of $\mathrm{RMS}[\Delta]$ is often printed. That is RMSprop under
# another name, and has lost the idea.
#
# **11.** Adam (2014) joins momentum and RMSprop:
# $m \leftarrow \beta_1 m + (1 - \beta_1) g$, $\; r \leftarrow \beta_2 r + (1 - \beta_2) g^2$. Both
# start at 0, so they are too small at first. Unroll: $m_t = (1 - \beta_1) \sum_{i \le t}
# \beta_1^{t-i} g_i$. Its weights sum to $1 - \beta_1^t$, not to 1. Divide that out:
#
# $$\begin{aligned}
# \hat m &= \frac{m}{1 - \beta_1^t} , \quad \hat r = \frac{r}{1 - \beta_2^t} , \\
# w &\leftarrow w - \eta \frac{\hat m}{\sqrt{\hat r} + \epsilon} .
# \end{aligned}$$
#
# **12.** Without that correction the first step is $(1 - \beta_1) g / \sqrt{(1 - \beta_2) g^2}$
# times $\eta$, which is $0.1 / \sqrt{0.001} = 3.16$ times $\eta$: too large, not too small, for the
# root is dented more than the mean.
#
# **13.** Weight decay pulls each weight to 0. Added to the gradient ($g + \lambda w$, which is an
# L2 penalty), Adam divides the pull by $\sqrt{\hat r}$: weights with large slopes hardly decay.
# AdamW (2019) puts it outside the division, $w \leftarrow w - \eta(\hat m / (\sqrt{\hat r} +
# \epsilon) + \lambda w)$.
#
# ## Code
#
# Each rule as it stands above: a step takes and returns what it remembers.


# %%
def gradient_descent(w, g, memory, t, eta=0.1):
    return w - eta * g, memory


def momentum(w, g, v, t, eta=0.1, beta=0.9):
    v = beta * v + g  # step 5
    return w - eta * v, v


def adagrad(w, g, r, t, eta=0.1, epsilon=1e-8):
    r = r + g**2  # step 8
    return w - eta * g / (jnp.sqrt(r) + epsilon), r


def rmsprop(w, g, r, t, eta=0.1, beta=0.9, epsilon=1e-8):
    r = beta * r + (1 - beta) * g**2  # step 9
    return w - eta * g / (jnp.sqrt(r) + epsilon), r


def adadelta(w, g, memory, t, eta=1.0, beta=0.95, epsilon=1e-6):
    r, d = memory
    r = beta * r + (1 - beta) * g**2
    step = -jnp.sqrt(d + epsilon) / jnp.sqrt(r + epsilon) * g  # step 10
    return w + eta * step, (r, beta * d + (1 - beta) * step**2)


def adam(w, g, memory, t, eta=0.1, b1=0.9, b2=0.999, epsilon=1e-8, decay=0.0):
    m, r = memory
    m, r = b1 * m + (1 - b1) * g, b2 * r + (1 - b2) * g**2  # step 11
    ratio = (m / (1 - b1**t)) / (jnp.sqrt(r / (1 - b2**t)) + epsilon)
    return w - eta * (ratio + decay * w), (m, r)  # step 13


def adamw(w, g, memory, t, eta=0.1):
    return adam(w, g, memory, t, eta, decay=1e-4)


# %% [markdown]
# Beside the library's optimizers, over 300 random gradients of very different sizes:

# %%
rules = {
    "gradient_descent": (gradient_descent, 0),
    "momentum": (momentum, 1),
    "adagrad": (adagrad, 1),
    "rmsprop": (rmsprop, 1),
    "adadelta": (adadelta, 2),
    "adam": (adam, 2),
    "adamw": (adamw, 2),
}
gradients = jnp.array(np.random.default_rng(0).normal(size=(300, 4)) * [1e-3, 1, 1, 1e3])
for name, (rule, memories) in rules.items():
    options = {"mask": everything} if name == "adamw" else {}
    ours = getattr(optimizers, name)(1.0 if name == "adadelta" else 0.1, **options)

    @jax.jit
    def both(w, rule=rule, ours=ours, memories=memories):
        def step(state, inputs):
            (w, memory), (theirs, optimizer) = state
            t, g = inputs
            updates, optimizer = ours.update(g, optimizer, theirs)
            return (rule(w, g, memory, t), (theirs + updates, optimizer)), None

        memory = {0: (), 1: jnp.zeros(4), 2: (jnp.zeros(4), jnp.zeros(4))}[memories]
        steps = jnp.arange(1.0, 301), gradients
        (mine, theirs), _ = jax.lax.scan(step, ((w, memory), (w, ours.init(w))), steps)
        return mine[0], theirs[0]

    mine, theirs = both(jnp.ones(4))
    # Relative to how far it went, and it went as far as a thousand.
    error = float(jnp.abs(mine - theirs).max() / jnp.abs(mine - 1).max())
    print(f"{name:17} after 300 steps, apart by {error:.0e}")
    assert error < 1e-12

# %% [markdown]
# The saddle, where the slope is 0 and it is not a minimum. Started almost on the ridge, plain
# gradient descent lingers: it leaves like $(1 + \eta)^t$ from a very small start (step 2, with
# $\lambda = -1$). Whoever divides by the size of the slope feels a small slope as a large one.

# %%
ax = panels(height=3.5)
off_ridge = jnp.array([1.6, 1e-4])
draw(ax, saddle, off_ridge, 60, ((-0.9, 1.8), (-0.6, 1.75)))
ax.set(title="60 steps from the edge of a saddle; the minimum is at (0, 1)")
ax.legend(ncol=4, loc="lower center", bbox_to_anchor=(0.5, -0.46))
plt.show()
heights = {name: float(trajectory(o, saddle, off_ridge, 60)[-1, 1]) for name, o in SEVEN.items()}
print({name: round(height, 3) for name, height in heights.items()})
assert heights["gradient descent"] < 0.1 < heights["rmsprop"]
assert heights["adam"] > 0.9

# %% [markdown]
# And a real loss: handwritten digits, one hidden layer. Each optimizer is tried at nine learning
# rates, from 1/30 of a usual one to 30 times as much, all of them trained in one `vmap`.

# %%
x, y = load_digits(return_X_y=True)
data = jnp.array(x[:1024] / 16, jnp.float32), jnp.array(y[:1024])
network = networks.mlp([64, 32, 10])
loss_fn = supervised(network, losses.sparse_categorical_cross_entropy)
params = jax.tree.map(lambda a: a.astype(jnp.float32), network.init(jax.random.key(0)))
FACTORS = jnp.geomspace(0.03, 30, 9, dtype=jnp.float32)
FAMILIES = {
    "gradient descent": lambda f: optimizers.gradient_descent(0.5 * f),
    "momentum": lambda f: optimizers.momentum(0.05 * f),
    "adagrad": lambda f: optimizers.adagrad(0.05 * f),
    "rmsprop": lambda f: optimizers.rmsprop(0.01 * f),
    "adadelta": lambda f: optimizers.adadelta(6.0 * f),
    "adam": lambda f: optimizers.adam(0.01 * f),
}


def curve(factor, family):
    fit = make_fit(loss_fn, family(factor), epochs=8, batch_size=64)
    return fit(params, data, key=jax.random.key(1)).history["loss"]


left, right = panels(2, height=2.9)
final = {}
for name, family in FAMILIES.items():
    curves = np.asarray(jax.jit(jax.vmap(lambda f, family=family: curve(f, family)))(FACTORS))
    final[name] = np.nan_to_num(curves[:, -1], nan=np.inf)
    look = dict(color=STYLES[name], marker=MARKS[name], ms=4, lw=1.4)
    left.semilogy(1 + np.arange(8), curves[final[name].argmin()], label=name, **look)
    right.loglog(FACTORS, np.minimum(final[name], 9), **look)
left.set(xlabel="epoch", ylabel="cross-entropy (nats)", title="each at its best rate")
left.legend(fontsize=7.5)
right.set(xlabel="rate / usual rate", title="after 8 epochs, at every rate")
plt.show()
best = {name: float(values.min()) for name, values in final.items()}
print({name: round(value, 3) for name, value in best.items()})
assert max(best.values()) < 0.5

# %% [markdown]
# At its best rate each of them learns. What differs is how much of the axis on the right is good:
# that is what one pays for when tuning.
#
# ## Check
#
# The learning rate is a number like any other, so a loss after several steps can be differentiated
# in it. In the valley, by step 2, $L_T = \frac12 \sum_i \lambda_i (1 - \eta\lambda_i)^{2T} w_i^2$.
# Hence
#
# $$\frac{\partial L_T}{\partial \eta} = -T \sum_i \lambda_i^2 (1 - \eta\lambda_i)^{2T-1} w_i^2 .$$


# %%
def after(eta, steps=6):
    path = trajectory(optimizers.gradient_descent(eta), valley, start, steps)
    return valley(path[-1])


eta = jnp.array(0.05)
by_hand = -6 * jnp.sum(LAMBDA**2 * (1 - eta * LAMBDA) ** 11 * start**2)
agree(by_hand, after, eta, name="loss after six steps, in the learning rate")
agree(LAMBDA * start, valley, start, name="the valley")
agree(jnp.array([1.6, -1e-4 + 1e-12]), saddle, off_ridge, name="the saddle")

# %% [markdown]
# The speeds of steps 4 and 7, measured in the valley: the error per step, far along the way.

# %%
kappa = float(LAMBDA[1] / LAMBDA[0])
beta = ((math.sqrt(kappa) - 1) / (math.sqrt(kappa) + 1)) ** 2
tuned = {
    "gradient descent": (optimizers.gradient_descent(2 / 26), (kappa - 1) / (kappa + 1)),
    "momentum": (optimizers.momentum((2 / (1 + 5)) ** 2, beta), math.sqrt(beta)),
}
for name, (optimizer, promised) in tuned.items():
    path = trajectory(optimizer, valley, start, 200)
    size = jnp.linalg.norm(path, axis=1)
    rate = float((size[120] / size[60]) ** (1 / 60))
    print(f"{name:17} each step leaves {rate:.3f} of the error; derived {promised:.3f}")
    assert abs(rate - promised) < 0.02

# %% [markdown]
# ## Break it
#
# **Step over the edge.** Step 3 puts it at $\eta = 2/25 = 0.08$. One percent on either side:

# %%
for factor in (0.99, 1.01):
    path = trajectory(optimizers.gradient_descent(factor * 0.08), valley, start, 500)
    print(f"eta = {factor * 0.08:.4f}: after 500 steps w_2 = {float(path[-1, 1]):.2e}")
    predicted = 1.4 * (1 - factor * 0.08 * 25) ** 500
    assert jnp.isclose(path[-1, 1], predicted, rtol=1e-6)

# %% [markdown]
# **Leave out Adam's correction.** The first step is 3.16 times too large, as step 12 says.

# %%
w, g, nothing = jnp.zeros(1), jnp.array([7.0]), (jnp.zeros(1), jnp.zeros(1))
corrected, _ = adam(w, g, nothing, t=1, eta=0.1)
uncorrected, _ = adam(w, g, nothing, t=jnp.inf, eta=0.1)  # 1 - b^inf is 1: no correction
print(f"first step with {float(-corrected[0]):.4f}, without {float(-uncorrected[0]):.4f}")
assert jnp.isclose(uncorrected / corrected, 0.1 / math.sqrt(0.001), rtol=1e-6).all()

# %% [markdown]
# **One huge gradient.** The formulas square it, and in float32 the square of $2 \cdot 10^{19}$ is
# infinite. From then on $r = \infty$ and every step is 0: the parameter is frozen for ever. The
# library keeps the root instead of the square (notebook 15), and goes on.

# %%
spike = jnp.array([2e19, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], jnp.float32)
w32, memory = jnp.zeros((), jnp.float32), (jnp.zeros((), jnp.float32),) * 2
with_root = optimizers.rmsprop(0.1, 0.5)
theirs, state = w32, with_root.init(w32)
frozen, r = w32, w32
for t, g in enumerate(spike, 1):
    frozen, r = rmsprop(frozen, g, r, t, beta=0.5)
    updates, state = with_root.update(g, state, theirs)
    theirs = theirs + updates
print("mean square by the formula:", r, "; moved after the spike:", float(frozen))
print(f"by the library, moved: {float(theirs):.4f}")
assert jnp.isinf(r)
assert frozen == 0
assert theirs < -0.1

# %% [markdown]
# ## Exercises
#
# 1. A valley has $\kappa = 10^4$. How many steps of gradient descent and of momentum, both at their
#    best, make the error a thousand times smaller?
# 2. Keras prints momentum as $v \leftarrow \beta v - \eta g$, $w \leftarrow w + v$. When is it the
#    same as step 5, and what happens at the moment when a schedule divides $\eta$ by 10?
# 3. Multiply the loss by 1000. Which of the seven take the same path?
# 4. How far does Adagrad get in $T$ steps under a constant gradient?
# 5. Two weights, one with slopes of size 100, one of size 0.01, neither of them useful. Which of
#    the two shrinks under Adam with an L2 penalty, and which under AdamW?
#
# Try them before you read on.
#
# ## Answers
#
# **1.** For gradient descent, $\ln 1000 / -\ln \frac{\kappa - 1}{\kappa + 1} \approx
# \frac{\kappa}{2} \ln 1000 = 34{,}539$. For momentum, $\frac{\sqrt\kappa}{2} \ln 1000 = 345$.

# %%
steps = [math.log(1000) / -math.log((k - 1) / (k + 1)) for k in (1e4, 1e2)]
print("steps:", np.round(steps))
assert np.allclose(steps, [34539, 345], rtol=2e-3)

# %% [markdown]
# **2.** While $\eta$ is constant, Keras's $v$ is $-\eta$ times ours. When $\eta$ drops, ours slows
# down at once, since $\eta$ multiplies the whole velocity; Keras's velocity still carries the old
# rate, and needs about $1 / (1 - \beta)$ steps to forget it.

# %%
ours = theirs = jnp.zeros(())
v = u = 0.0
for t in range(60):
    rate = 0.1 if t < 40 else 0.01
    v, u = 0.9 * v + 1.0, 0.9 * u - rate * 1.0
    before = ours, theirs
    ours, theirs = ours - rate * v, theirs + u
    if t == 39:
        assert jnp.isclose(ours, theirs)
    if t == 40:
        moved = [float(a - b) for a, b in zip((ours, theirs), before, strict=True)]
print(f"first step after the drop: ours {moved[0]:.3f}, Keras's {moved[1]:.3f}")
assert moved[1] / moved[0] > 8

# %% [markdown]
# **3.** Adagrad, RMSprop, Adam: $g$ and $\sqrt r$ both grow by 1000 (but for $\epsilon$). AdamW
# too, since its decay does not know the loss. Adadelta as well, but for its $\epsilon$, which
# stands under a root with $g^2$. Gradient descent and momentum take steps 1000 times longer.

# %%
steep = lambda w: 1000 * valley(w)
for name, optimizer in SEVEN.items():
    paths = [trajectory(optimizer, f, start, 25) for f in (valley, steep)]
    same = bool(jnp.allclose(*paths, atol=1e-3))
    print(f"{name:17} {'the same path' if same else 'another path'}")
    assert same == (name not in ("gradient descent", "momentum", "adadelta"))

# %% [markdown]
# (Adadelta's $\epsilon = 10^{-2}$ was chosen large here, to let it start quickly; that is why it
# shows.)
#
# **4.** $\sum_{t \le T} \eta / \sqrt t \approx 2 \eta \sqrt T$: four times the steps, twice as far.

# %%
line = trajectory(optimizers.adagrad(0.1), jnp.sum, jnp.zeros(1), 400)[:, 0]
print("after 100 and 400 steps:", line[100].round(2), line[400].round(2))
assert jnp.isclose(line[400] / line[100], 2, rtol=0.05)

# %% [markdown]
# **5.** The penalty's pull $\lambda w$ is divided by $\sqrt{\hat r}$, which is 100 for the one and
# 0.01 for the other (unless the pull itself is larger): under L2 the first hardly shrinks and the
# second does so quickly. Under AdamW both shrink alike.

# %%
noise = jnp.array(np.random.default_rng(1).choice([-1.0, 1.0], size=(300, 1)) * [100.0, 0.01])
noise = noise - noise.mean(0)  # useless: no direction on average


def shrink(optimizer, penalty):
    def step(state, g):
        w, memory = state
        updates, memory = optimizer.update(g + penalty * w, memory, w)
        return (w + updates, memory), None

    w = jnp.ones(2)
    (w, _), _ = jax.lax.scan(step, (w, optimizer.init(w)), noise)
    return w


quiet = shrink(optimizers.adam(1e-2), 0.0)  # where noise alone would have taken them
l2 = shrink(optimizers.adam(1e-2), 0.01) - quiet
decoupled = shrink(optimizers.adamw(1e-2, 0.1, mask=everything), 0.0) - quiet
print("pulled by L2:", l2.round(3), "by decoupled decay:", decoupled.round(3))
assert abs(l2[0]) < 0.05 < 0.3 < abs(l2[1])
assert jnp.allclose(decoupled[0], decoupled[1], rtol=0.3)
