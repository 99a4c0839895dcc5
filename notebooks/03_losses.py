# %% [markdown]
# # 03 Losses and their gradients
#
# A network can only do what its loss asks for. So what does a loss ask for: the mean of what it
# saw, the median, or the odds? And how loud does it shout at the worst mistake?

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from _shared import COLORS, INK, agree, panels

from jaxnn import losses

jax.config.update("jax_enable_x64", True)  # finite differences need the digits

data = jnp.array([1.0, 1.5, 2.0, 2.2, 3.1, 3.4, 9.5])  # six numbers, and one far away
guesses = jnp.linspace(0, 10, 2001)
wanted = {
    "squared error": losses.squared_error,
    "absolute error": losses.absolute_error,
    "huber": losses.huber,
    "quantile 0.9": lambda p, t: losses.quantile(p, t, 0.9),
    "percentage error": losses.absolute_percentage_error,
}
pairs = jnp.broadcast_arrays(guesses[:, None], data[None, :])
best = {name: float(guesses[loss(*pairs).mean(1).argmin()]) for name, loss in wanted.items()}

top, bottom = panels(1, 2, height=1.6, sharex=True, gridspec_kw={"height_ratios": [2, 1.3]})
for (name, loss), color in zip(wanted.items(), COLORS, strict=False):
    total = loss(*pairs).mean(1)
    top.plot(guesses, (total - total.min()) / (total.max() - total.min()), color=color)
    bottom.plot(best[name], 0, "v", color=color, ms=8)
places = [(1.7, "left"), (2.9, "right"), (2.9, "left"), (1.7, "center"), (1.7, "right")]
for (name, at), color, (height, side) in zip(best.items(), COLORS, places, strict=False):
    bottom.plot([at, at], [0.3, height], color=color, lw=0.8)
    bottom.text(at, height + 0.1, name, color=color, ha=side)
bottom.plot(data, 0 * data - 0.8, "o", color=INK, ms=6)
top.set(ylabel="mean loss", yticks=[0, 1], yticklabels=["least", "most"])
bottom.set(xlabel="one number to predict them all", yticks=[], ylim=(-1.6, 5), xlim=(0, 10))
bottom.spines["left"].set_visible(False)
plt.show()
for name, at in best.items():
    print(f"{name}: {at:.2f}")

# %% [markdown]
# Seven numbers (grey dots), to be predicted by one and the same number. Each loss has its own idea
# of the best (triangle). The squared error is pulled towards the outlier: it wants the mean. The
# absolute error wants the middle one, the percentage error is content below it. Nobody is wrong;
# they were asked different questions.
#
# ## Notation
#
# | symbol | shape | meaning |
# |---|---|---|
# | $p$, $t$ | any, equal | predictions and targets |
# | $r = p - t$ | as $p$ | errors |
# | $z$ | $[\,]$ or $[k]$ | scores before a sigmoid or a softmax (logits) |
# | $y$ | $[\,]$ or $[k]$ | labels: 0 or 1, or a distribution over $k$ classes |
# | $s$ | $[k]$ | softmax of $z$ |
# | $a$, $b$, $d$ | $[m]$, $[m]$, $[\,]$ | two embeddings and their distance |
# | $\ell$ | | the loss of one element or row, not averaged |
#
# ## Derivation
#
# ### Errors of numbers
#
# At the best constant $p$, the gradients of all examples cancel: $\sum_i \ell'(p - t_i) = 0$. So
# the slope $\ell'$ says everything.
#
# **1. Squared error**, $r^2$, with slope $2r$. The errors cancel where $\sum_i (p - t_i) = 0$: $p$
# is the **mean**.
#
# **2. Absolute error**, $\lvert r \rvert$, with slope $\operatorname{sign} r$ (0 at 0). As many
# targets lie above as below: $p$ is the **median**. The outlier counts as one vote, however far
# away.
#
# **3. Quantile loss**: $q\,\lvert r \rvert$ if the prediction is too low, $(1 - q) \lvert r \rvert$
# if too high. The slopes are $-q$ and $1 - q$. With a share $F$ of the targets below $p$ they
# cancel where $F (1 - q) = (1 - F)\, q$, that is $F = q$: the **quantile**.
#
# **4. Huber** is $\frac12 r^2$ near 0 and $\delta \lvert r \rvert - \frac12 \delta^2$ beyond
# $\delta$, where the two meet without a corner. Its slope is the error, clipped:
#
# $$\ell' = \operatorname{clip}(r, -\delta, \delta) .$$
#
# **5. Log-cosh**, $\log \cosh r$, has the slope $\sinh r / \cosh r = \tanh r$: a Huber without
# corners. As written it overflows, for $\cosh r$ is huge. Pull the large factor out:
#
# $$\begin{aligned}
# \cosh r &= \tfrac12\, e^{\lvert r \rvert} (1 + e^{-2 \lvert r \rvert}) \\
# \log \cosh r &= \lvert r \rvert - \log 2 + \log(1 + e^{-2 \lvert r \rvert}) .
# \end{aligned}$$
#
# **6. Percentage error**, $100\, \lvert r \rvert / \lvert t \rvert$, with slope
# $100 \operatorname{sign} r / \lvert t \rvert$: votes weighted by $1 / \lvert t \rvert$. Small
# targets have the loudest voice, so the best constant is
# a median in which the **small** ones count most.
#
# ### Classes
#
# **7. Binary cross-entropy.** With $p = \sigma(z)$, notebook 01 found
# $\partial \ell / \partial z = p - y$. From the score itself, the loss is
#
# $$\begin{aligned}
# \ell &= -y \log \sigma(z) - (1 - y) \log \sigma(-z) \\
# &= \log(1 + e^z) - y z \\
# &= \max(z, 0) - y z + \log(1 + e^{-\lvert z \rvert}) ,
# \end{aligned}$$
#
# and the last line overflows nowhere. For one constant score the slopes cancel where $\sigma(z)$
# is the share of ones: then $e^z$ is their **odds**, the share of ones over that of zeros.
#
# **8. Cross-entropy of $k$ classes** is the surprise $-\sum_i y_i \log s_i$. With
# $\log s_i = z_i - \log \sum_m e^{z_m}$,
#
# $$\ell = \Big( \sum_i y_i \Big) \log \sum_m e^{z_m} - \sum_i y_i z_i .$$
#
# **9.** The slope of the first logarithm is $s$, so
#
# $$\frac{\partial \ell}{\partial z} = s \sum_i y_i - y ,$$
#
# which is $s - y$ for labels that add up to one: prediction minus target, once more.
#
# **10. Hinge**, for labels $y = \pm 1$: $\max(0, 1 - y z)$, with slope $-y$ until the score is on
# the right side by a margin of 1, and 0 after. It then stops asking. The cross-entropy never does.
# (With labels 0 and 1 the slope of a 0 would be 0: a class that is never learned. `jaxnn` refuses
# them.)
#
# **11. Kullback-Leibler** from $y$ to $s$: $\sum_i y_i (\log y_i - \log s_i)$, where a class with
# $y_i = 0$ adds 0. It is step 8 minus something that does not depend on $z$, so its gradient in $z$
# is $s - y$ as well.
#
# ### Distances
#
# **12. Contrastive**, for two embeddings at the distance $d = \lVert a - b \rVert$: alike ones cost
# $\frac12 d^2$, unlike ones $\frac12 \max(0, m - d)^2$. The gradient of $d$ in $a$ is the unit
# vector $(a - b) / d$. Hence $\partial \ell / \partial a = a - b$ for alike ones, and for unlike
# ones
#
# $$\frac{\partial \ell}{\partial a} = -\max(0, m - d)\, \frac{a - b}{d} .$$
#
# A spring that pulls, and one that pushes until they are $m$ apart. At $d = 0$ no direction leads
# away, and `jaxnn` says 0. (We write 1 for alike; the paper writes 0.)
#
# **13. Triplet**: an anchor $a$, one like it, $b$, and one unlike it, $c$. The loss is
# $\max(0, \lVert a - b \rVert^2 - \lVert a - c \rVert^2 + m)$. While it is positive, the gradient
# in $a$ is $2(a - b) - 2(a - c) = 2 (c - b)$: where the anchor stands does not matter any more.
#
# ## Code

# %%
delta, q, margin = 1.0, 0.9, 1.0
by_hand = {
    "squared_error": lambda p, t: 2 * (p - t),  # step 1
    "absolute_error": lambda p, t: jnp.sign(p - t),  # 2
    "quantile": lambda p, t: jnp.where(p < t, -q, 1 - q),  # 3
    "huber": lambda p, t: jnp.clip(p - t, -delta, delta),  # 4
    "log_cosh": lambda p, t: jnp.tanh(p - t),  # 5
    "absolute_percentage_error": lambda p, t: 100 * jnp.sign(p - t) / jnp.abs(t),  # 6
    "binary_cross_entropy": lambda z, y: jax.nn.sigmoid(z) - y,  # 7
    "hinge": lambda z, y: jnp.where(y * z < 1, -y, 0.0),  # 10
}


def cross_entropy(z, y):
    return y.sum(-1) * jax.nn.logsumexp(z, -1) - (y * z).sum(-1)  # step 8


def cross_entropy_grad(z, y):
    s = jnp.exp(z - jax.nn.logsumexp(z, -1, keepdims=True))
    return s * y.sum(-1, keepdims=True) - y  # step 9


def contrastive_grad(a, b, same):
    d = jnp.linalg.norm(a - b, axis=-1, keepdims=True)
    unlike = -jnp.maximum(0, margin - d) * (a - b) / d
    return jnp.where(same[:, None] == 1, a - b, unlike)  # step 12


# %% [markdown]
# The slopes are what learning feels. Left, of an error; right, of a class score whose true class is
# 1:

# %%
r = jnp.linspace(-3, 3, 600)
left, right = panels(2, height=2.7)
errors = ("squared_error", "absolute_error", "huber", "log_cosh")
for name, style in zip(errors, ("-", "--", "-.", ":"), strict=True):
    left.plot(r, by_hand[name](r, 0 * r), style, label=name.replace("_", " "))
left.set(xlabel="error $r$", title="slope of the loss", ylim=(-3, 3))
left.legend()
z = jnp.linspace(-6, 6, 600)
one = jnp.ones_like(z)
p_of_z = jax.nn.sigmoid(z)
right.plot(z, by_hand["binary_cross_entropy"](z, one), label="cross-entropy")
right.plot(z, by_hand["hinge"](z, one), "--", label="hinge")
right.plot(z, 2 * (p_of_z - 1) * p_of_z * (1 - p_of_z), "-.", label="$(\\sigma(z) - 1)^2$")
right.set(xlabel="score $z$ of the true class", title="slope of the loss")
right.legend()
plt.show()

# %% [markdown]
# Left of $-4$ the dash-dotted curve returns to 0: the squared error of a probability gives up on
# its worst mistakes. That is why classes are learned with cross-entropy.
#
# ## Check

# %%
rng = np.random.default_rng(0)
p, t = jnp.array(rng.normal(size=12) * 3), jnp.array(rng.normal(size=12) * 3)
y = jnp.array(rng.integers(0, 2, 12) * 1.0)
for name, grad in by_hand.items():
    loss, grad_of_jaxnn = getattr(losses, name), getattr(losses, f"{name}_grad")
    last = {"binary_cross_entropy": y, "hinge": 2 * y - 1}.get(name, t)
    rest = (last, q) if name == "quantile" else (last,)
    agree(grad(p, last), loss, p, *rest, name=name)
    assert np.allclose(grad_of_jaxnn(p, *rest), grad(p, last), rtol=1e-12)

Z, Y = jnp.array(rng.normal(size=(4, 5))), jnp.array(rng.dirichlet(np.ones(5), 4))
agree(cross_entropy_grad(Z, Y), cross_entropy, Z, Y, name="cross-entropy")
agree(cross_entropy_grad(Z, 2 * Y), cross_entropy, Z, 2 * Y, name="labels that sum to two")
kl = lambda Z: losses.kl_divergence(jax.nn.log_softmax(Z), Y)
agree(jax.nn.softmax(Z) - Y, kl, Z, name="Kullback-Leibler")  # step 11

a, b = jnp.array(rng.normal(size=(2, 6, 3))) * 0.5
same = jnp.array([1, 1, 0, 0, 0, 1])
agree(contrastive_grad(a, b, same), losses.contrastive, a, b, same, name="contrastive")
c = jnp.array(rng.normal(size=(6, 3)))
active = losses.triplet(a, b, c) > 0
agree(active[:, None] * 2 * (c - b), losses.triplet, a, b, c, name="triplet")  # step 13

odds = y.mean() / (1 - y.mean())
assert np.isclose(by_hand["binary_cross_entropy"](jnp.log(odds), y).sum(), 0)  # step 7
assert np.isclose(best["squared error"], data.mean(), atol=0.01)
assert np.isclose(best["absolute error"], jnp.median(data), atol=0.01)
assert np.isclose(best["quantile 0.9"], data[6], atol=0.01)  # six sevenths lie below it

# %% [markdown]
# ## Break it
#
# **Let shapes broadcast.** Predictions $[n, 1]$ and targets $[n]$, one of the commonest mistakes
# there is. NumPy's rules make an $[n, n]$ table of every prediction against every target. The mean
# of it is a plausible number, its minimum is at the mean of all targets, and the network learns to
# ignore its input. `jaxnn` refuses.

# %%
t = jnp.arange(5.0)
perfect = t[:, None]
print("loss of a perfect prediction:", ((perfect - t) ** 2).mean())
slopes = jax.grad(lambda p: ((p - t) ** 2).mean())(perfect)[:, 0]
print("its gradient, which pulls all to 2:", np.asarray(slopes).round(3) + 0)
assert ((perfect - t) ** 2).mean() == 4
assert np.allclose(slopes, 2 / 5 * (t - t.mean()))
refused = ""
try:
    losses.squared_error(perfect, t)
except ValueError as error:
    refused = str(error)
print(refused)
assert "same shape" in refused

# %% [markdown]
# **Clip the probability**, as recipes and Keras do against $\log 0$: $\max(p, 10^{-7})$. A network
# that is sure and wrong is then told nothing at all. Step 7 needs no clip.

# %%
sure, truth = jnp.float32(-20.0), jnp.float32(1.0)
clipped = lambda z: -jnp.log(jnp.clip(jax.nn.sigmoid(z), 1e-7, 1 - 1e-7))
slopes = jax.grad(clipped)(sure), jax.grad(losses.binary_cross_entropy)(sure, truth)
print("slope of the clipped loss:", abs(slopes[0]), "and from the score:", slopes[1])
assert slopes == (0, -1)

# %% [markdown]
# **Take log-cosh as printed**, $\log(\cosh r)$, in float32: infinite from an error of 90 on, and
# its gradient is not a number. (Some primers also sum it where they mean the mean; the best
# constant is the same, but the learning rate is not.)

# %%
far = jnp.float32(90.0)
printed = lambda r: jnp.log(jnp.cosh(r))
print("printed:", printed(far), " step 5:", losses.log_cosh(far, jnp.float32(0)))
assert jnp.isinf(printed(far))
assert jnp.isnan(jax.grad(printed)(far))
assert np.isclose(losses.log_cosh(far, jnp.float32(0)), 90 - jnp.log(2))

# %% [markdown]
# **Clip the target** of the percentage error, $\max(t, \varepsilon)$, a recipe against division by
# zero. A target of $-2$ becomes $10^{-7}$, and an error of 1 becomes a billion percent. What must
# be bounded is the size $\lvert t \rvert$.

# %%
recipe = lambda p, t: 100 * jnp.abs(p - t) / jnp.maximum(t, 1e-7)
print(f"recipe: {recipe(-1.0, -2.0):.3g} %, and", end=" ")
print(f"{losses.absolute_percentage_error(jnp.array(-1.0), jnp.array(-2.0)):.3g} %")
assert recipe(-1.0, -2.0) > 1e8
assert np.isclose(losses.absolute_percentage_error(jnp.array(-1.0), jnp.array(-2.0)), 50)

# %% [markdown]
# ## Exercises
#
# 1. Targets 1 and 10, one constant prediction. What minimizes the percentage error? And the squared
#    error of logarithms, $(\log p - \log t)^2$?
# 2. Log-cosh has the slope $\tanh r$. Scale it so that it approaches Huber with any $\delta$.
# 3. Label smoothing trains on $y' = (1 - \epsilon)\, y + \epsilon / k$. Where does the gradient of
#    the cross-entropy vanish? How large does the gap between the true score and the others get?
# 4. The Poisson loss is $e^z - c z$ for a count $c$. What is its slope, and which constant rate
#    $e^z$ is the best for several counts?
#
# Try them before you read on.
#
# ## Answers
#
# **1.** The vote of 1 weighs $1/1$, that of 10 weighs $1/10$: the median of the votes is 1. Whoever
# is paid by percentage error does well to guess low. The squared error of logarithms wants the mean
# of the logarithms, and so the geometric mean, $\sqrt{10}$.

# %%
two = jnp.array([1.0, 10.0])
pairs = jnp.broadcast_arrays(guesses[1:, None], two[None, :])
least = guesses[1:][losses.absolute_percentage_error(*pairs).mean(1).argmin()]
middle = guesses[1:][((jnp.log(pairs[0]) - jnp.log(pairs[1])) ** 2).mean(1).argmin()]
print(f"percentage error: {least:.3f}, logarithms: {middle:.3f}")
assert np.isclose(least, 1)
assert abs(middle - 10**0.5) < 0.005

# %% [markdown]
# **2.** $\delta^2 \log \cosh(r / \delta)$ has the slope $\delta \tanh(r / \delta)$: $r$ near 0 and
# $\pm \delta$ far away.

# %%
wide = lambda r: 3.0**2 * losses.log_cosh(r / 3, jnp.zeros_like(r))
r = jnp.array([-40.0, -0.01, 0.01, 2.0, 40.0])
agree(3 * jnp.tanh(r / 3), wide, r, name="scaled log-cosh")
assert np.allclose((3 * jnp.tanh(r / 3))[jnp.array([0, 1, 2, 4])], jnp.array([-3, -0.01, 0.01, 3]))

# %% [markdown]
# **3.** By step 9 where $s = y'$: the true class gets $1 - \epsilon + \epsilon/k$, each other
# $\epsilon / k$. Scores differ by the logarithm of the ratio,
# $\log \big( k (1 - \epsilon) / \epsilon + 1 \big)$, which is finite; without smoothing it grows
# for ever.

# %%
k, epsilon = 10, 0.1
gap = jnp.log(k * (1 - epsilon) / epsilon + 1)
scores = gap * jnp.eye(k)[0]
smooth = losses.smooth_labels(jnp.eye(k)[0], epsilon)
print(f"scores apart by {gap:.3f} leave no gradient")
assert jnp.abs(cross_entropy_grad(scores, smooth)).max() < 1e-12

# %% [markdown]
# **4.** The slope is $e^z - c$: prediction minus target. It cancels where $e^z$ is the mean count.

# %%
counts, log_rate = jnp.array([0.0, 3.0, 4.0, 1.0]), jnp.full(4, jnp.log(2.0))
agree(jnp.exp(log_rate) - counts, losses.poisson, log_rate, counts, name="poisson")
assert np.isclose((jnp.exp(log_rate) - counts).sum(), 0)
