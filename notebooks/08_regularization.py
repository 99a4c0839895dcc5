# %% [markdown]
# # 08 Regularization: how not to learn by heart
#
# A network with 7,000 weights sees 150 digits, and thirty of them carry a wrong label. It can
# learn every one of the 150 by heart, wrong labels included. What would keep it from doing so?

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from _shared import COLORS, INK, agree, panels
from sklearn.datasets import load_digits

from jaxnn import layers, losses, make_fit, metrics, networks, optimizers, regularizers
from jaxnn.training import supervised

jax.config.update("jax_enable_x64", True)  # finite differences need the digits

rng = np.random.default_rng(0)
images, digits = load_digits(return_X_y=True)
order = rng.permutation(len(images))
images, digits = (images / 16).astype(np.float32)[order], digits[order]
told = digits[:150].copy()
told[:30] = (told[:30] + rng.integers(1, 10, 30)) % 10  # the wrong labels
train = jnp.array(images[:150]), jnp.array(told)
valid = jnp.array(images[150:]), jnp.array(digits[150:])

EPOCHS, SEEDS = 60, 4
seeds = jax.random.split(jax.random.key(0), SEEDS)


def learn(network, penalty=None, patience=None, watch=()):
    """Four seeds in one call: histories, and which labels are given without any noise."""
    stateful = isinstance(network, networks.StatefulNetwork)
    loss = losses.sparse_categorical_cross_entropy
    options = dict(accuracy=metrics.accuracy, penalty=penalty, has_state=stateful)
    loss_fn = supervised(network, loss, **options)
    options = dict(epochs=EPOCHS, batch_size=25, patience=patience, has_state=stateful)
    fit = make_fit(loss_fn, optimizers.adam(jnp.float32(3e-3)), **options)

    def one(key):
        first, second = jax.random.split(key)
        start = jax.tree.map(lambda a: a.astype(jnp.float32), network.init(first))
        result = fit(start, train, *watch, key=second)

        def right(x, labels):
            if stateful:
                scores, _ = network.apply(result.params, result.state.statistics, x)
            else:
                scores = network.apply(result.params, x)
            return scores.argmax(-1) == labels

        return result.history, right(*train), right(*valid)

    return jax.jit(jax.vmap(one))(seeds)


plain, _, _ = learn(networks.mlp([64, 100, 10]), watch=[valid])
left, right = panels(2, height=2.8)
epochs = 1 + np.arange(EPOCHS)
for ax, name, title in ((left, "accuracy", "share right"), (right, "loss", "cross-entropy (nats)")):
    ax.plot(epochs, plain[name].mean(0), color=COLORS[0], label="training, with wrong labels")
    ax.plot(epochs, plain["validation_" + name].mean(0), "--", color=COLORS[1], label="new digits")
    ax.set(xlabel="epoch", title=title)
left.axhline(0.8, color=INK, lw=0.8, ls=":")
left.text(EPOCHS, 0.805, "all true labels", ha="right", va="bottom", color=INK, fontsize=8)
left.legend(loc="lower right")
plt.show()
learned = float(plain["accuracy"][:, -1].mean())
peak = plain["validation_accuracy"].mean(0)
print(f"share of the training labels learned: {learned:.3f}")
print(f"new digits right: {peak.max():.3f} in epoch {peak.argmax() + 1}, {peak[-1]:.3f} at the end")
assert learned > 0.95

# %% [markdown]
# First it learns what the digits have in common, and is right on new ones more and more often. Then
# it learns the thirty lies, which it can only do by heart, and pays with what it knew: the dashed
# accuracy falls again. What follows are ways to make learning by heart more expensive than
# learning what is common.
#
# ## Notation
#
# | symbol | shape | meaning |
# |---|---|---|
# | $w$, $a$ | $[n]$ | weights; the weights that training alone would reach |
# | $h$ | $[n]$ | curvature of the loss at $a$, along each axis |
# | $\lambda$ | $[\,]$ | strength of a penalty |
# | $\eta$, $k$ | $[\,]$ | learning rate, and the number of steps |
# | $\hat y$, $t$ | $[\,]$ | the answer of one linear unit, and its target |
# | $p$ | $[\,]$ | share of units that dropout drops |
# | $m$ | $[n]$ | its mask: $0$ with probability $p$, else $1 / (1 - p)$ |
# | $x$, $\hat x$, $y$ | $[N, d]$ | a batch before and after normalization; scaled and shifted |
# | $\epsilon$ | $[\,]$ | what keeps a root from 0, such as $10^{-5}$ |
# | $\mu, \sigma^2, \gamma, \beta$ | $[d]$ | mean, variance, scale and shift of each feature |
# | $g = \partial L / \partial y$ | $[N, d]$ | cotangent of the output |
#
# ## Derivation
#
# ### Penalties
#
# **1.** Near its minimum the loss is $L(a) + \frac12 \sum_i h_i (w_i - a_i)^2$. **L2** adds
# $\frac{\lambda}{2} \sum_i w_i^2$. Set the slope to zero, $h_i (w_i - a_i) + \lambda w_i = 0$:
#
# $$w_i = \frac{h_i}{h_i + \lambda}\, a_i .$$
#
# What the data care about ($h_i \gg \lambda$) stays; what they don't is shrunk, never to 0.
#
# **2.** **L1** adds $\lambda \sum_i \lvert w_i \rvert$. Where $w_i > 0$, the slope is
# $h_i (w_i - a_i) + \lambda$, which gives $w_i = a_i - \lambda / h_i$, if that is positive; on the
# other side likewise. Between, the kink at 0 wins: a slope of the loss smaller than $\lambda$ can't
# lift the weight out of it.
#
# $$w_i = \mathrm{sign}(a_i) \max(\lvert a_i \rvert - \lambda / h_i,\, 0) .$$
#
# So L1 sets weights to exactly 0. Its derivative is $\lambda\, \mathrm{sign}(w)$, and 0 at 0 by
# convention.
#
# **3.** Biases are left out. A bias moves a unit alike for all inputs, so it memorises none of
# them; a penalty would pull the mean of the answers to 0.
#
# ### Dropout
#
# **4.** $E[m] = (1 - p) \cdot \frac{1}{1 - p} + p \cdot 0 = 1$, and
# $\mathrm{Var}[m] = (1 - p) \frac{1}{(1 - p)^2} - 1 = \frac{p}{1 - p}$. Because the mean is 1
# ("inverted" dropout), a prediction simply leaves the noise out.
#
# **5.** One linear unit, $\hat y = \sum_j w_j m_j x_j$, and the squared error. The mean of a square
# is the square of the mean plus the variance:
#
# $$\begin{aligned}
# & E_m \big[ (\hat y - t)^2 \big] \\
# &\quad = (w \cdot x - t)^2 + \frac{p}{1 - p} \sum_j w_j^2 x_j^2 .
# \end{aligned}$$
#
# Dropout is an L2 penalty, in which every weight is weighed by how loud its input is.
#
# **6.** Its gradient in expectation is the derivative of step 5:
# $2 (w \cdot x - t)\, x + \frac{2p}{1 - p}\, w \odot x^2$.
#
# ### Batch normalization
#
# **7.** Forward, with all means over the batch: $\mu = \overline{x}$,
# $\sigma^2 = \overline{(x - \mu)^2}$, $s = 1 / \sqrt{\sigma^2 + \epsilon}$,
# $\hat x = (x - \mu) s$, $y = \gamma \hat x + \beta$. (A scaler of the inputs does this once, with
# $\mu$ and $\sigma$ of the training examples alone. Recipes often take those of all examples: then
# the test has been seen.)
#
# **8.** Backward, the easy part: $\partial\beta = \sum g$ and $\partial\gamma = \sum g \hat x$,
# sums over the batch; and $\hat g = \gamma g$ arrives at $\hat x$.
#
# **9.** $x$ reaches $\hat x$ in three ways. Move the batch by a small $\dot x$. Then
# $\dot\mu = \overline{\dot x}$; $\;\dot{(\sigma^2)} = 2\, \overline{(x - \mu)\, \dot x}$ (what
# $\dot\mu$ adds is a multiple of $\overline{x - \mu} = 0$); and $\dot s = -\frac12 s^3
# \dot{(\sigma^2)}$. Together
#
# $$\dot{\hat x} = s \left( \dot x - \overline{\dot x} -
# \hat x\; \overline{\hat x \dot x} \right) .$$
#
# **10.** Read it backwards: this map of $\dot x$ is symmetric (removing a mean is, and so is
# removing the part along $\hat x$), so the same map pulls cotangents back:
#
# $$\frac{\partial L}{\partial x} = s \left( \hat g - \overline{\hat g} -
# \hat x\; \overline{\hat x \hat g} \right) .$$
#
# **11.** Two consequences. The cotangent has mean 0 over the batch, so the bias of a dense layer
# before it has gradient 0: leave it out. And the cotangent is orthogonal to $\hat x$ (but for
# $\epsilon$): multiplying $x$ by a number changes nothing, so nothing pulls at its size.
#
# ### Stopping early
#
# **12.** Gradient descent from 0 in the valley of step 1 reaches
# $w_{i,k} = \big( 1 - (1 - \eta h_i)^k \big)\, a_i$ (notebook 07, step 2). Flat axes are still near
# 0 when steep ones have arrived. Compare with step 1: on axes so flat that $k \eta h_i$ and
# $h_i / \lambda$ are small, these are the two factors. Stopping after $k$ steps acts like a penalty
#
# $$\lambda \approx \frac{1}{\eta k} .$$
#
# ## Code


# %%
def batch_norm(params, x, epsilon=1e-5):
    mu = x.mean(0)
    s = 1 / jnp.sqrt(((x - mu) ** 2).mean(0) + epsilon)
    return params["scale"] * (x - mu) * s + params["bias"]  # step 7


def batch_norm_vjp(g, params, x, epsilon=1e-5):
    mu = x.mean(0)
    s = 1 / jnp.sqrt(((x - mu) ** 2).mean(0) + epsilon)
    x_hat = (x - mu) * s
    grads = {"scale": (g * x_hat).sum(0), "bias": g.sum(0)}  # step 8
    g_hat = params["scale"] * g
    return grads, s * (g_hat - g_hat.mean(0) - x_hat * (x_hat * g_hat).mean(0))  # step 10


def expected_dropout_loss(w, x, t, p):
    return (w @ x - t) ** 2 + p / (1 - p) * jnp.sum(w**2 * x**2)  # step 5


def expected_dropout_grad(w, x, t, p):
    return 2 * (w @ x - t) * x + 2 * p / (1 - p) * w * x**2  # step 6


def l2_minimum(a, h, strength):
    return h / (h + strength) * a  # step 1


def l1_minimum(a, h, strength):
    return jnp.sign(a) * jnp.maximum(jnp.abs(a) - strength / h, 0)  # step 2


# %%
left, right = panels(2, height=2.6)
a = jnp.linspace(-3, 3, 301)
left.plot(a, a, ":", color=INK, label="no penalty")
left.plot(a, l2_minimum(a, 1.0, 1.0), color=COLORS[0], label="L2: in proportion")
left.plot(a, l1_minimum(a, 1.0, 1.0), "--", color=COLORS[1], label="L1: by a fixed amount")
left.set(
    xlabel="weight without penalty $a$", ylabel="weight with it $w$", title="$h = \\lambda = 1$"
)
left.legend()
h = jnp.geomspace(1e-3, 1e2, 200)
right.semilogx(h, l2_minimum(1.0, h, 0.1), color=COLORS[0], label="L2, $\\lambda = 0.1$")
stopped = 1 - (1 - 0.01 * h) ** 1000
right.semilogx(h, stopped, "--", color=COLORS[2], label="stopped, $\\eta k = 10$")
right.set(
    xlabel="curvature $h$", ylabel="share of $a$ reached", title="stopping early is a penalty"
)
right.legend()
plt.show()

# %% [markdown]
# ## Check
#
# By hand, by autodiff, by differences; then against the library.

# %%
x = jnp.array(rng.normal(size=(6, 3)) * [1, 5, 0.2] + [0, 30, 1])
g = jnp.array(rng.normal(size=(6, 3)))
params = {"scale": jnp.array([1.0, 0.5, -2.0]), "bias": jnp.array([0.0, 1.0, 2.0])}
grads, x_grad = batch_norm_vjp(g, params, x)
agree(x_grad, lambda x: g * batch_norm(params, x), x, name="batch norm, in the batch")
agree(grads, lambda p: g * batch_norm(p, x), params, name="batch norm, in scale and bias")

w, one, p = jnp.array([0.5, -1.0, 2.0]), jnp.array([1.0, 0.3, -0.7]), 0.4
by_hand = expected_dropout_grad(w, one, 1.5, p)
agree(by_hand, expected_dropout_loss, w, one, 1.5, p, name="dropout in expectation")

weights = {"kernel": w, "bias": one}
agree(regularizers.l2_grad(weights, 0.3), lambda t: regularizers.l2(t, 0.3), weights, name="L2")
agree(regularizers.l1_grad(weights, 0.3), lambda t: regularizers.l1(t, 0.3), weights, name="L1")

statistics = {"mean": jnp.zeros(3), "var": jnp.ones(3)}
theirs = layers.batch_norm_vjp(g, params, statistics, x, train=True, epsilon=1e-5)
for mine, library in zip(jax.tree.leaves((grads, x_grad)), jax.tree.leaves(theirs), strict=True):
    assert jnp.allclose(mine, library, atol=1e-10)

# %% [markdown]
# Step 5 is an expectation, so it can be sampled: 200,000 masks.

# %%
masks = jax.vmap(lambda key: layers.dropout(key, one, p))(
    jax.random.split(jax.random.key(1), 200_000)
)
sampled = ((masks @ w - 1.5) ** 2).mean()
print("sampled", sampled.round(3), "derived", expected_dropout_loss(w, one, 1.5, p).round(3))
assert jnp.isclose(sampled, expected_dropout_loss(w, one, 1.5, p), rtol=0.02)

# %% [markdown]
# Now the thirty lies again, with each remedy: the mean of four seeds, at the end of training, or
# where it stopped. Dropout is judged without its noise.

# %%
PLAIN = networks.mlp([64, 100, 10])
remedies = {
    "nothing": (PLAIN, None, None),
    "L2": (PLAIN, lambda p: regularizers.l2(p, 1e-2), None),
    "L1": (PLAIN, lambda p: regularizers.l1(p, 3e-3), None),
    "dropout": (networks.mlp([64, 100, 10], dropout_rate=0.6), None, None),
    "batch norm": (networks.batch_norm_mlp([64, 100, 10]), None, None),
    "early stopping": (PLAIN, None, 5),
}
found = {}
for name, (network, penalty, patience) in remedies.items():
    _, told, new = learn(network, penalty, patience, [valid] if patience else ())
    found[name] = lies, truths, right = [float(a.mean()) for a in (told[:, :30], told[:, 30:], new)]
    print(f"{name:15} lies learned {lies:.2f}, true labels {truths:.2f}, new digits {right:.3f}")
for name in ("L2", "L1", "dropout", "early stopping"):
    assert found[name][2] > found["nothing"][2] + 0.02
    assert found[name][0] < found["nothing"][0] - 0.3

# %% [markdown]
# What learns few of the lies does better on new digits. Dropout learns a third of them and is best
# all the same; the penalties keep nearly all lies out, and with them a few of the true labels.
# (Early stopping is flattered a little: it chose its epoch by the digits that it is judged by.)
# Batch normalization is there to make deep networks trainable; against lies it does not help: it
# learns every one of them.
#
# ## Break it
#
# **Forget two paths.** Treat $\mu$ and $s$ as constants in the backward pass, as one does at first:
# $\partial x = s\hat g$. The forward pass is the same, and the gradient is another.

# %%
naive = params["scale"] * g / jnp.sqrt(x.var(0) + 1e-5)
error = float(jnp.abs(naive - x_grad).max() / jnp.abs(x_grad).max())
print(f"the naive gradient is off by {error:.0%} of the largest entry")
print(
    "its mean over the batch:",
    naive.mean(0).round(3),
    "and the true one's:",
    x_grad.mean(0).round(3),
)
assert error > 0.3
assert jnp.allclose(x_grad.mean(0), 0, atol=1e-12)  # step 11

# %% [markdown]
# **Forget to divide by $1 - p$.** Then the mean of the mask is $1 - p$, and a network that is used
# without noise sees inputs larger than any it was trained with.

# %%
plain_mask = (masks != 0) * one
ratio = float((plain_mask @ w).mean() / (w @ one))
print(f"without the division the mean output is {ratio:.2f} of the clean one")
assert abs(ratio - (1 - p)) < 0.02
assert jnp.isclose((masks @ w).mean(), w @ one, rtol=0.02)

# %% [markdown]
# **Normalize a batch of one.** Its variance is 0, and whatever comes in, $\beta$ comes out. The
# gradient says so as well.

# %%
single = x[:1]
print(
    "output",
    batch_norm(params, single)[0],
    "and gradient",
    batch_norm_vjp(g[:1], params, single)[1],
)
assert jnp.allclose(batch_norm(params, single)[0], params["bias"])
assert jnp.allclose(batch_norm_vjp(g[:1], params, single)[1], 0)

# %% [markdown]
# ## Exercises
#
# 1. A loss has curvatures $h = (10, 1, 0.01)$ and its minimum at $a = (1, 1, 1)$. Where is it with
#    L2, and where with L1, both of strength $\lambda = 0.1$?
# 2. Dropout with $p = 0.5$ on 20 units. What is the standard deviation of the sum of the units, if
#    all are 1?
# 3. Put a bias before a batch normalization. What is its gradient?
# 4. At inference, batch normalization uses running statistics, which are constants. What is the
#    backward pass then?
# 5. PyTorch's `weight_decay=0.01` in SGD, and our `l2(params, strength)`: which strength is the
#    same?
#
# Try them before you read on.
#
# ## Answers
#
# **1.** L2: $(0.990, 0.909, 0.091)$. L1: $(0.99, 0.9, 0)$, for $\lambda / h_3 = 10 > 1$.

# %%
h, ones = jnp.array([10, 1, 0.01]), jnp.ones(3)
print("L2", l2_minimum(ones, h, 0.1).round(3), "L1", l1_minimum(ones, h, 0.1))
for minimum, penalty in ((l2_minimum, lambda w: w**2 / 2), (l1_minimum, jnp.abs)):
    best = minimum(ones, h, 0.1)
    total = lambda w, penalty=penalty: jnp.sum(h / 2 * (w - 1) ** 2 + 0.1 * penalty(w))
    nearby = best + jnp.array(rng.normal(size=(2000, 3))) * 0.1
    assert (jax.vmap(total)(nearby) >= total(best)).all()

# %% [markdown]
# **2.** Each has variance $p / (1 - p) = 1$, so the sum has standard deviation $\sqrt{20} = 4.47$.

# %%
keys = jax.random.split(jax.random.key(2), 20_000)
sums = jax.vmap(lambda key: layers.dropout(key, jnp.ones(20), 0.5).sum())(keys)
print("mean", sums.mean().round(2), "standard deviation", sums.std().round(2))
assert abs(sums.std() - 20**0.5) < 0.1

# %% [markdown]
# **3.** Zero: it is the sum of the cotangent over the batch, which has mean 0 (step 11).

# %%
bias_grad = jax.grad(lambda b: jnp.sum(g * batch_norm(params, x + b)))(jnp.zeros(3))
print("gradient of the bias:", bias_grad.round(12) + 0.0)
assert jnp.allclose(bias_grad, 0, atol=1e-12)

# %% [markdown]
# **4.** A constant factor: $\partial x = \gamma g / \sqrt{\sigma^2 + \epsilon}$. What was wrong in
# training is right here.

# %%
resting = {"mean": x.mean(0), "var": x.var(0)}
_, at_rest = layers.batch_norm_vjp(g, params, resting, x, train=False, epsilon=1e-5)
assert jnp.allclose(at_rest, naive)

# %% [markdown]
# **5.** It adds $0.01\, w$ to the gradient. Ours is $\lambda \sum w^2$ with slope $2 \lambda w$, so
# $\lambda = 0.005$.

# %%
slope = regularizers.l2_grad({"kernel": w}, 0.005)["kernel"]
print("slope of l2(0.005):", slope)
assert jnp.allclose(slope, 0.01 * w)
