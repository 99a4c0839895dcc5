# %% [markdown]
# # 01 A perceptron and the chain rule
#
# One artificial neuron looks at two numbers and says yes or no. It said yes, and it was wrong.
# Which of its weights is to blame, and by how much?
#
# Rosenblatt gave an answer in 1958: a rule for each mistake. The chain rule gives another: a
# number for each weight. They turn out to be nearly the same answer, and the difference between
# them is why networks could become deep.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from _shared import COLORS, INK, agree, panels

from jaxnn.activations import sigmoid
from jaxnn.losses import binary_cross_entropy
from jaxnn.networks import perceptron, perceptron_step

jax.config.update("jax_enable_x64", True)  # finite differences need the digits

x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
y = np.array([0, 0, 0, 1])  # logical AND


def passes(x, y, rate=1.0, most=100):
    """Rosenblatt's rule, example by example, until a whole pass is right: (w, b) per change."""
    w, b = np.zeros(x.shape[1]), 0.0
    path = [(w, b)]
    for number in range(1, most + 1):
        before = len(path)
        for x_i, y_i in zip(x, y, strict=True):
            wrong = y_i - (x_i @ w + b > 0)  # 0 where it is right, else +1 or -1
            if wrong:
                w, b = w + rate * wrong * x_i, b + rate * wrong
                path.append((w, b))
        if len(path) == before:
            return path, number
    return path, None


path, number = passes(x, y)
print(f"AND: {len(path) - 1} changes, pass {number} is the first without a mistake")

left, right = panels(2, height=2.9)
for change, (w, b) in enumerate(path[2:], 2):
    if w[1] != 0:
        last = change == len(path) - 1
        side = np.array([-0.5, 1.5])
        look = dict(color=COLORS[0], lw=2.4) if last else dict(color=INK, alpha=0.35, lw=1.2)
        left.plot(side, -(w[0] * side + b) / w[1], **look)
left.plot(*x[y == 0].T, "o", color=COLORS[1], ms=9)
left.plot(*x[y == 1].T, "s", color=COLORS[2], ms=9)
left.set(xlim=(-0.5, 1.5), ylim=(-0.5, 1.5), xticks=[0, 1], yticks=[0, 1])
left.set(xlabel="$x_1$", ylabel="$x_2$", title="each mistake moves the line")

b = np.linspace(-3.5, 1.5, 400)
scores = x.sum(1) + b[:, None]  # w = (1, 1), and the bias tried everywhere
mistakes = ((scores > 0) != y).sum(1)
losses = binary_cross_entropy(jnp.array(scores), jnp.broadcast_to(y, scores.shape)).sum(1)
right.plot(b, mistakes, color=COLORS[1], label="number of mistakes")
right.plot(b, losses, "--", color=COLORS[0], label="cross-entropy")
right.set(xlabel="bias $b$, with $w = (1, 1)$", title="what can be followed downhill")
right.legend()
plt.show()

# %% [markdown]
# Left: AND is 1 (square) only for two ones. Each grey line is where the neuron turned from no to
# yes after one more mistake; the blue one makes none. Right: the number of mistakes is a staircase.
# Stand on a step and ask which way is down: it does not say, for its slope is 0. The dashed curve
# is a smooth stand-in, and it has a slope everywhere. The chain rule computes that slope.
#
# ## Notation
#
# Row vectors, examples first.
#
# | symbol | shape | meaning |
# |---|---|---|
# | $x$ | $[n, d]$ | inputs, one example per row; $x_i$ is $[d]$ |
# | $y$ | $[n]$ | classes, 0 or 1 |
# | $w$, $b$ | $[d]$, $[\,]$ | weights and bias |
# | $s = xw + b$ | $[n]$ | scores |
# | $\hat y = 1[s > 0]$ | $[n]$ | decisions |
# | $p = \sigma(s)$ | $[n]$ | probabilities of class 1, $\sigma(s) = 1 / (1 + e^{-s})$ |
# | $L$ | $[\,]$ | the loss, a mean over the examples |
#
# To save writing the bias, let $\tilde w = (w, b)$ and $\tilde x_i = (x_i, 1)$, so that
# $s_i = \tilde x_i \cdot \tilde w$.
#
# ## Derivation
#
# ### Rosenblatt's rule, and why it ends
#
# **1.** The rule: go through the examples. Where the decision is right, do nothing. Where it is
# wrong,
#
# $$\tilde w \leftarrow \tilde w + (y_i - \hat y_i)\, \tilde x_i .$$
#
# After it, the score of that example has moved by $(y_i - \hat y_i) \lVert \tilde x_i \rVert^2$:
# the right way.
#
# **2.** Suppose some line separates the classes: a vector $u$ with $\lVert u \rVert = 1$ and a
# margin $\gamma > 0$, such that $\pm \tilde x_i \cdot u \ge \gamma$ for every example, with $+$ for
# class 1 and $-$ for class 0. We don't know $u$; it is enough that it exists.
#
# **3.** Each mistake moves $\tilde w$ along $u$, because
# $(y_i - \hat y_i)\, \tilde x_i \cdot u \ge \gamma$. Started at zero, after $k$ mistakes
#
# $$\tilde w \cdot u \ge k \gamma .$$
#
# **4.** But $\tilde w$ does not get long quickly. The example was on the wrong side, so
# $(y_i - \hat y_i)\, \tilde x_i \cdot \tilde w \le 0$, and with
# $\lVert \tilde x_i \rVert \le R$
#
# $$\lVert \tilde w + (y_i - \hat y_i) \tilde x_i \rVert^2
# \le \lVert \tilde w \rVert^2 + R^2 .$$
#
# After $k$ mistakes $\lVert \tilde w \rVert^2 \le k R^2$.
#
# **5.** A vector is at least as long as its shadow:
# $k\gamma \le \lVert \tilde w \rVert \le \sqrt{k}\, R$. Therefore (Novikoff, 1962)
#
# $$k \le (R / \gamma)^2 .$$
#
# A bound on the mistakes, whatever the order of the examples. If no line separates the classes,
# step 2 fails, and the rule goes on for ever.
#
# ### The chain rule
#
# **6.** A small change travels through a chain of functions and is multiplied by the slope of each.
# For one example, $w_j \to s \to p \to \ell$:
#
# $$\frac{\partial \ell}{\partial w_j} =
# \frac{\partial \ell}{\partial p} \cdot \frac{\partial p}{\partial s} \cdot
# \frac{\partial s}{\partial w_j} .$$
#
# **7.** The slopes, from right to left. The score is a sum of products, so
# $\partial s / \partial w_j = x_j$ and $\partial s / \partial b = 1$.
#
# **8.** With $\sigma(s) = (1 + e^{-s})^{-1}$,
#
# $$\begin{aligned}
# \frac{\partial p}{\partial s} &= \frac{e^{-s}}{(1 + e^{-s})^2} \\
# &= \sigma(s)\, \sigma(-s) = p (1 - p) .
# \end{aligned}$$
#
# **9.** The cross-entropy is the surprise at the true class,
# $\ell = -y \log p - (1 - y) \log(1 - p)$, so
#
# $$\frac{\partial \ell}{\partial p} = -\frac{y}{p} + \frac{1 - y}{1 - p}
# = \frac{p - y}{p (1 - p)} .$$
#
# **10.** In the product, $p(1 - p)$ cancels. What is left is the prediction minus the target:
#
# $$\delta = \frac{\partial \ell}{\partial s} = p - y .$$
#
# **11.** For the mean over $n$ examples, the gradients have the shapes of $w$ and $b$:
#
# $$\begin{aligned}
# \frac{\partial L}{\partial w} &= \frac1n\, x^\top (p - y) && [d] \\
# \frac{\partial L}{\partial b} &= \frac1n \sum_i (p_i - y_i) && [\,]
# \end{aligned}$$
#
# **12.** Compare one step downhill on one example, with the learning rate $\eta$,
# $\tilde w \leftarrow \tilde w + \eta\,(y_i - p_i)\, \tilde x_i$, with step 1. It is Rosenblatt's
# rule with the hard decision $\hat y_i$ replaced by the soft one $p_i$. So the blame of a weight is
# **how wrong** the neuron was, times **how loud** its input was.
#
# ## Code


# %%
def forward(params, x):
    w, b = params
    s = x @ w + b
    return s, sigmoid(s)


def loss(params, x, y):
    _, p = forward(params, x)
    return -jnp.mean(y * jnp.log(p) + (1 - y) * jnp.log(1 - p))


def loss_grad(params, x, y):
    _, p = forward(params, x)
    delta = p - y  # step 10
    return x.T @ delta / len(y), delta.mean()  # step 11


# %% [markdown]
# One example, slope by slope, with the numbers in front of us:

# %%
x_i, y_i = jnp.array([1.0, 0.5]), 0.0
params = jnp.array([1.2, -0.4]), jnp.array(0.3)
s, p = forward(params, x_i)
slopes = {
    "dl/dp": (p - y_i) / (p * (1 - p)),  # step 9
    "dp/ds": p * (1 - p),  # step 8
    "ds/dw": x_i,  # step 7
}
print(f"x = {x_i}, y = {y_i:.0f}: s = {s:.3f}, p = {p:.3f}")
for name, slope in slopes.items():
    print(f"  {name} = {np.round(slope, 4)}")
product = slopes["dl/dp"] * slopes["dp/ds"] * slopes["ds/dw"]
print(f"  dl/dw = {product.round(4)}, and (p - y) x = {((p - y_i) * x_i).round(4)}")

# %% [markdown]
# Now let both rules learn AND.

# %%
step = jax.jit(lambda params: jax.tree.map(jnp.subtract, params, loss_grad(params, x, y)))
params, steps = (jnp.zeros(2), jnp.array(0.0)), 0
while ((forward(params, x)[0] > 0) != y).any():
    params, steps = step(params), steps + 1
print(f"gradient descent at rate 1 has all four right after {steps} steps")

theirs, learn = perceptron(2).init(jax.random.key(0)), perceptron_step()
for _ in range(number):
    theirs, metrics = learn(theirs, (jnp.array(x), jnp.array(y)), None)
w, b = path[-1]
kernel, bias = theirs["dense_0"]["kernel"][:, 0], theirs["dense_0"]["bias"][0]
print(f"Rosenblatt's rule ends at w = {w}, b = {b}; jaxnn's at {kernel}, {bias}")

# %% [markdown]
# ## Check
#
# The gradient by hand, by autodiff and by finite differences, at random weights and inputs; the
# same against the library's loss, which takes scores instead of probabilities.

# %%
rng = np.random.default_rng(0)
many, classes = jnp.array(rng.normal(size=(20, 2))), jnp.array(rng.integers(0, 2, 20))
at = jnp.array(rng.normal(size=2)), jnp.array(0.5)
agree(loss_grad(at, many, classes), loss, at, many, classes, name="one neuron")


def library(params, x, y):
    return binary_cross_entropy(forward(params, x)[0], y).mean()


agree(loss_grad(at, many, classes), library, at, many, classes, name="jaxnn's loss")

assert number == 6  # passes until the rule makes no mistake on AND
assert np.allclose(kernel, w)
assert np.allclose(bias, b)
assert np.allclose(product, (p - y_i) * x_i)

# %% [markdown]
# ## Break it
#
# **Keep the hard decision.** Put $\hat y = 1[s > 0]$ in place of $p$ and ask for a gradient.
# Nothing complains; the answer is 0, for every weight, at every mistake. That is the staircase.

# %%
hard = lambda params: jnp.mean((jnp.heaviside(forward(params, x)[0], 0.0) - y) ** 2)
wrong_everywhere = jnp.array([-1.0, -1.0]), jnp.array(1.5)
print("loss", hard(wrong_everywhere), "gradient", *jax.grad(hard)(wrong_everywhere))
assert hard(wrong_everywhere) == 1
assert not any(g.any() for g in jax.grad(hard)(wrong_everywhere))

# %% [markdown]
# **Be too timid.** Primers print this recipe for AND: a neuron with a sigmoid, ten epochs of
# gradient descent at rate 0.01. It learns nothing of the kind. Ten such steps can move a weight by
# at most $10 \cdot 0.01 \cdot 1 = 0.1$, as step 11 shows: no entry of the gradient exceeds 1. The
# bias starts at 0, and AND needs $w_1 + b \le 0$, $w_2 + b \le 0$ and $w_1 + w_2 + b > 0$, that is,
# both weights between 0 and $-b \le 0.1$: only a start that was nearly there gets there. (With
# batches of one there are 40 steps, and it fails as well.)

# %%
rate, epochs = 0.01, 10
failures = {"whole batch": 0, "one by one": 0}
for seed in range(20):
    limit = np.sqrt(6 / (2 + 1))  # Glorot's uniform, as the recipe starts
    start = np.random.default_rng(seed).uniform(-limit, limit, 2)
    for name, size in (("whole batch", 4), ("one by one", 1)):
        w, b = start, 0.0
        for _ in range(epochs):
            for first in range(0, 4, size):
                x_i, y_i = x[first : first + size], y[first : first + size]
                delta = (1 / (1 + np.exp(-(x_i @ w + b))) - y_i) / size
                w, b = w - rate * x_i.T @ delta, b - rate * delta.sum()
        failures[name] += bool((((x @ w + b) > 0) != y).any())
print("of 20 starts, the recipe fails to learn AND in", failures)
assert failures == {"whole batch": 20, "one by one": 20}

# %% [markdown]
# **Ask for the impossible.** XOR is 1 where exactly one input is 1. A line would need $b \le 0$,
# $w_2 + b > 0$, $w_1 + b > 0$ and $w_1 + w_2 + b \le 0$. Add the two in the middle:
# $w_1 + w_2 + 2b > 0$. Add the outer two: $w_1 + w_2 + 2b \le 0$. There is no such line, and the
# rule never rests. Gradient descent does rest, at the least bad answer: one half for everything.

# %%
xor = np.array([0, 1, 1, 0])
path, number = passes(x, xor)
print(f"XOR: {len(path) - 1} changes in 100 passes; the line keeps coming back:")
print("  last changes:", [f"({w[0]:+.0f} {w[1]:+.0f} {b:+.0f})" for w, b in path[-5:]])
params = jnp.array([0.5, -0.3]), jnp.array(0.1)
descend = lambda _, params: jax.tree.map(jnp.subtract, params, loss_grad(params, x, xor))
params = jax.jit(lambda params: jax.lax.fori_loop(0, 2000, descend, params))(params)
print("  gradient descent: p =", forward(params, x)[1].round(3))
assert number is None
assert np.allclose(forward(params, x)[1], 0.5, atol=1e-6)

# %% [markdown]
# Notebook 04 gives it a second layer, and with that the chain gets branches.
#
# ## Exercises
#
# 1. What does Novikoff's bound say for AND? Find $R$, and the largest margin $\gamma$. (By symmetry
#    $w_1 = w_2 = a$ and $b = -c$; three of the margins are $c$, $c - a$ and $2a - c$.) How many
#    mistakes were there?
# 2. Start at zero and learn with rate $\eta$ instead of 1. What changes? Does the number of
#    mistakes?
# 3. Replace the cross-entropy by the squared error $(p - y)^2$. What is $\delta$ now? Compare the
#    two at $y = 1$, $s = -10$: confident, and wrong.
# 4. Gradient descent has all of AND right and goes on. Where does it come to rest?
#
# Try them before you read on.
#
# ## Answers
#
# **1.** $R^2 = 1 + 1 + 1 = 3$. The margins $c - a$ and $2a - c$ are best when equal: $c = 3\gamma$
# and $a = 2\gamma$; length one means $(4 + 4 + 9) \gamma^2 = 1$. So $\gamma^2 = 1/17$ and
# $k \le 3 \cdot 17 = 51$.

# %%
changes = len(passes(x, y)[0]) - 1
u = np.array([2, 2, -3]) / np.sqrt(17)
margins = np.where(y == 1, 1, -1) * (x @ u[:2] + u[2])
print("margins of u:", margins.round(3), "mistakes made:", changes)
assert np.isclose(margins.min() ** 2, 1 / 17)
assert changes <= 51

# %% [markdown]
# **2.** Every $\tilde w$ is multiplied by $\eta$, so every score is, and no sign changes: the same
# mistakes in the same order. (Powers of two make it exact in floating point as well.)

# %%
for rate in (2.0**-7, 1.0, 2.0**5):
    scaled, number = passes(x, y, rate)
    assert len(scaled) - 1 == changes
    assert np.array_equal(scaled[-1][0], rate * passes(x, y)[0][-1][0])

# %% [markdown]
# **3.** Only step 9 changes: $\partial \ell / \partial p = 2 (p - y)$, and nothing cancels step 8
# any more:
#
# $$\delta = 2 (p - y)\, p (1 - p) .$$
#
# At $s = -10$ the factor $p(1 - p)$ is $4.5 \cdot 10^{-5}$. The neuron is as wrong as can be, and
# is told to change nothing. The cross-entropy says $\delta = -1$.

# %%
squared = lambda s: (sigmoid(s) - 1) ** 2
squared_grad = lambda s: 2 * (sigmoid(s) - 1) * sigmoid(s) * sigmoid(-s)
s = jnp.array([-10.0, -2.0, 1.0])
agree(squared_grad(s), squared, s, name="squared error")
both = f"squared error {squared_grad(-10.0):.1e}, cross-entropy {sigmoid(-10.0) - 1:.5f}"
print("delta at s = -10:", both)
assert -1e-4 < squared_grad(-10.0) < 0
assert sigmoid(-10.0) - 1 < -0.9999

# %% [markdown]
# **4.** Nowhere. If a line separates the classes, doubling $w$ and $b$ makes every answer surer and
# every loss smaller. The loss goes to 0 and $\lVert \tilde w \rVert$ to infinity, slowly, like a
# logarithm: each tenfold more steps add about the same.

# %%
params, lengths = (jnp.zeros(2), jnp.array(0.0)), []
descend = lambda _, params: jax.tree.map(jnp.subtract, params, loss_grad(params, x, y))
run = jax.jit(lambda steps, params: jax.lax.fori_loop(0, steps, descend, params))
for steps in (1_000, 9_000, 90_000):  # 1,000 in all, then 10,000, then 100,000
    params = run(steps, params)
    lengths.append(float(jnp.hypot(jnp.linalg.norm(params[0]), params[1])))
print("length of (w, b) after 1,000, 10,000 and 100,000 steps:", np.round(lengths, 2))
assert lengths[0] < lengths[1] < lengths[2]
assert abs((lengths[2] - lengths[1]) / (lengths[1] - lengths[0]) - 1) < 0.2
