# %% [markdown]
# # 02 Activations and their derivatives
#
# Between two layers stands a function so small that it fits on a button: a bend. Why must it be
# there at all? And does it matter which bend it is?

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from _shared import COLORS, INK, agree, panels
from jax.scipy.stats import norm
from scipy.special import lambertw

from jaxnn import activations, plots

jax.config.update("jax_enable_x64", True)  # finite differences need the digits

rng = np.random.default_rng(4)
x = np.linspace(-1, 1, 201)[:, None]
target = np.sin(5 * x) + x
W_1 = 4 * rng.choice([-1.0, 1.0], (1, 12))
b_1 = -W_1[0] * np.linspace(-1, 0.9, 12)  # so that the units bend in different places

bends = {"linear": lambda z: z, "relu": activations.relu, "tanh": activations.tanh}
errors = {}
for ax, (name, f) in zip(panels(3, height=2.2, sharey=True), bends.items(), strict=True):
    hidden = np.column_stack([f(x @ W_1 + b_1), np.ones(len(x))])
    fit = hidden @ np.linalg.lstsq(hidden, target, rcond=None)[0]  # the best output weights
    errors[name] = float(np.abs(fit - target).max())
    ax.plot(x, target, color=INK, lw=3, alpha=0.4)
    ax.plot(x, fit, color=COLORS[0])
    ax.set(title=f"{name}: off by {errors[name]:.2g}", xlabel="$x$")
plt.show()
assert errors["linear"] > 0.5 > 0.3 > errors["relu"] > errors["tanh"]

# %% [markdown]
# One hidden layer of the same twelve units, three times; only the bend differs, and the output
# weights are the best there are. Without a bend the twelve units draw one straight line. With a
# kink each they draw a line of straight pieces, and with a smooth bend a smooth curve.
#
# That is the value of a bend. Learning sees its slope, and there the bends differ most.
#
# ## Notation
#
# | symbol | shape | meaning |
# |---|---|---|
# | $x$ | any | pre-activations, what a layer hands to the bend |
# | $f(x)$, $f'(x)$ | as $x$ | activation and its slope, element by element |
# | $g$ | as $f(x)$ | cotangent: $\partial L / \partial f(x)$, what comes back from above |
# | $z$, $s$ | $[k]$ | scores and their softmax, which mixes its $k$ elements |
#
# Backward, an elementwise activation multiplies: $\partial L / \partial x = g \odot f'(x)$. So $f'$
# is the factor by which a layer lets the gradient through.
#
# ## Derivation
#
# **1. No bend, no depth.** Two affine layers are one, and so are a hundred:
#
# $$\begin{aligned}
# & (x W_1 + b_1) W_2 + b_2 \\
# &\quad = x\, (W_1 W_2) + (b_1 W_2 + b_2) .
# \end{aligned}$$
#
# **2. Sigmoid.** With $\sigma(x) = 1 / (1 + e^{-x})$, and $1 - \sigma(x) = \sigma(-x)$,
#
# $$\begin{aligned}
# \sigma'(x) &= \frac{e^{-x}}{(1 + e^{-x})^2} \\
# &= \sigma(x)\, \sigma(-x) \le \tfrac14 .
# \end{aligned}$$
#
# **3. Tanh** is a stretched sigmoid, $\tanh x = 2 \sigma(2x) - 1$, so by step 2
#
# $$\begin{aligned}
# \tanh' x &= 4\, \sigma(2x)\, \sigma(-2x) \\
# &= 1 - \tanh^2 x \le 1 .
# \end{aligned}$$
#
# **4. ReLU** is $x$ above 0, and 0 below: $f'(x) = 1[x > 0]$. At 0 there is no slope. Every number
# from 0 to 1 has an equal right; we say 0, and say so. The leaky kind has a slope $\alpha$ below
# (0.01 here; Keras's layer takes 0.3), and at 0 too.
#
# **5. PReLU** learns its $\alpha$. One $\alpha$ serves many elements, and a small change of it
# moves all of them, so their shares add up:
#
# $$\frac{\partial L}{\partial \alpha} = \sum_i g_i \min(0, x_i) .$$
#
# **6. ELU** is $\alpha (e^x - 1)$ below 0, with slope $\alpha e^x$. At 0 the slopes are $\alpha$
# and 1: they meet only for $\alpha = 1$.
#
# **7. Swish** is $x\, \sigma(\beta x)$. By the product rule and step 2
#
# $$f'(x) = \sigma(\beta x) + \beta x\, \sigma(\beta x)\, \sigma(-\beta x) .$$
#
# **8. GELU** is $x\, \Phi(x)$, with the normal distribution $\Phi$ and its density
# $\Phi' = \varphi$: $f'(x) = \Phi(x) + x \varphi(x)$.
#
# **9. Softplus** is $\log(1 + e^x)$, a ReLU with a rounded corner. Its slope is
# $e^x / (1 + e^x) = \sigma(x)$: the sigmoid is the slope of a softened hinge.
#
# **10. Softmax** mixes its elements: $s_i = e^{z_i} / \sum_m e^{z_m}$. If $z_j$ moves, the
# numerator moves where $i = j$, and the denominator everywhere:
#
# $$\frac{\partial s_i}{\partial z_j} = s_i\, (1[i = j] - s_j) .$$
#
# **11.** Nobody needs that $[k, k]$ matrix. Multiplied by a cotangent it collapses:
#
# $$\begin{aligned}
# \frac{\partial L}{\partial z_j} &= \sum_i g_i s_i (1[i = j] - s_j) \\
# &= s_j \Big( g_j - \sum_i g_i s_i \Big) .
# \end{aligned}$$
#
# What comes back to $z_j$ is how much $g_j$ differs from the average of $g$ under $s$, times $s_j$.
# These add up to 0, because softmax does not see a constant added to all of $z$.
#
# **12. Log-softmax** is $z_i - \log \sum_m e^{z_m}$, and the slope of the second term is $s$:
#
# $$\frac{\partial L}{\partial z_j} = g_j - s_j \sum_i g_i .$$
#
# **13. Maxout** takes the largest of each group of elements. The largest is handed the whole
# cotangent, the others get 0: a small change of theirs changes nothing. (Of equal ones, the first
# takes it.)
#
# ## Code
#
# Each bend beside its slope, as derived.

# %%
sigma = lambda x: 1 / (1 + jnp.exp(-x))
alpha, beta = 0.01, 1.0

hand = {
    "sigmoid": (sigma, lambda x: sigma(x) * sigma(-x)),  # step 2
    "tanh": (jnp.tanh, lambda x: 4 * sigma(2 * x) * sigma(-2 * x)),  # 3
    "relu": (lambda x: jnp.maximum(x, 0), lambda x: jnp.where(x > 0, 1.0, 0.0)),  # 4
    "leaky_relu": (
        lambda x: jnp.where(x > 0, x, alpha * x),
        lambda x: jnp.where(x > 0, 1.0, alpha),
    ),  # 4
    "elu": (
        lambda x: jnp.where(x > 0, x, jnp.expm1(x)),
        lambda x: jnp.where(x > 0, 1.0, jnp.exp(x)),
    ),  # 6, with its alpha 1
    "swish": (
        lambda x: x * sigma(beta * x),
        lambda x: sigma(beta * x) + beta * x * sigma(beta * x) * sigma(-beta * x),
    ),  # 7
    "gelu": (lambda x: x * norm.cdf(x), lambda x: norm.cdf(x) + x * norm.pdf(x)),  # 8
    "softplus": (lambda x: jnp.log1p(jnp.exp(x)), sigma),  # 9
}


def softmax(z):
    e = jnp.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_vjp(g, z):
    s = softmax(z)
    return s * (g - (g * s).sum(-1, keepdims=True))  # step 11


def log_softmax_vjp(g, z):
    return g - softmax(z) * g.sum(-1, keepdims=True)  # step 12


# %% [markdown]
# Solid the bend, dashed its slope:

# %%
for ax, (name, (f, f_grad)) in zip(panels(4, 2, height=1.9).flat, hand.items(), strict=True):
    plots.activation(jax.jit(f), jax.jit(f_grad), ax)
    ax.set(title=name, ylim=(-1.3, 2.6), xlabel="", xticks=[-4, 0, 4])
    for text in ax.texts:
        text.remove()
plt.show()

# %% [markdown]
# Look at the dashed lines. Sigmoid never passes on more than a quarter. Tanh passes on everything
# at 0, and next to nothing three steps away. All the others end on the right with a slope of 1,
# however far one goes.
#
# ## Check
#
# By hand, by autodiff, by differences, and against the library, which computes the same formulas
# in forms that lose no digits:

# %%
points = jnp.array([-5.0, -2.0, -0.7, -0.1, 0.2, 0.9, 2.0, 5.0])
for name, (f, f_grad) in hand.items():
    agree(f_grad(points), f, points, name=name)
    assert np.allclose(getattr(activations, name)(points), f(points), rtol=1e-12)
    assert np.allclose(getattr(activations, f"{name}_grad")(points), f_grad(points), rtol=1e-12)

z, g = jnp.array(rng.normal(size=(3, 5))), jnp.array(rng.normal(size=(3, 5)))
agree(softmax_vjp(g, z), lambda z: g * softmax(z), z, name="softmax")
agree(log_softmax_vjp(g, z), lambda z: g * activations.log_softmax(z), z, name="log_softmax")
assert np.allclose(softmax_vjp(g, z), activations.softmax_vjp(g, z), rtol=1e-12)
assert np.allclose(softmax_vjp(g, z).sum(-1), 0)  # step 11

shared = jnp.array(0.25)
leak = (g * jnp.minimum(z, 0)).sum()  # step 5
agree(leak, lambda a: g * activations.prelu(z, a), shared, name="prelu, in its slope")

largest = z == z.max(-1, keepdims=True)
top = g[:, :1]  # one cotangent for each group of five
agree(largest * top, lambda z: top * activations.maxout(z, 5), z, name="maxout")  # step 13

# %% [markdown]
# ## Break it
#
# **Write the slope as every textbook does**, $\sigma (1 - \sigma)$. On paper it is the same. In
# float32 $\sigma(17)$ rounds to 1, the difference is 0, and a unit that is wrong at $x = 17$ can
# never be corrected. The form of step 2, $\sigma(x)\, \sigma(-x)$, subtracts nothing.

# %%
for at in (5.0, 15.0, 17.0, 30.0):
    single = jnp.float32(at)
    textbook = sigma(single) * (1 - sigma(single))
    print(f"x = {at:4}: textbook {textbook:.3g}, step 2 {sigma(single) * sigma(-single):.3g}")
assert sigma(jnp.float32(17)) * (1 - sigma(jnp.float32(17))) == 0
assert np.isclose(activations.sigmoid_grad(jnp.float32(17)), 4.14e-8, rtol=1e-3)

# %% [markdown]
# **Forget to subtract the maximum.** Softmax does not change when a constant is added to all
# scores, so the code above subtracts the largest. Without that, $e^{100}$ is infinite in float32,
# and infinity over infinity is not a number.

# %%
large = jnp.array([100.0, 99.0, 0.0], jnp.float32)
naive = jnp.exp(large) / jnp.exp(large).sum()
print("naive:", naive)
print("with the maximum subtracted:", np.asarray(softmax(large)).round(3))
assert jnp.isnan(naive[0])
assert np.allclose(softmax(large), softmax(large - 100))

# %% [markdown]
# **Believe the range in a table.** Primers list the range of swish as all numbers. It has a floor:
# it falls to -0.278 near $x = -1.28$ and rises again. (Exercise 2 finds the floor exactly.)

# %%
line = jnp.linspace(-50, 50, 1_000_001)
swish, swish_grad = hand["swish"]
floor = swish(line).min()
print(f"the least value of swish: {floor:.6f} at x = {line[swish(line).argmin()]:.4f}")
assert -0.27847 < floor < -0.27846

# %% [markdown]
# ## Exercises
#
# 1. Ten layers of sigmoids: by how much can their slopes alone let the gradient through, at most?
#    And ten of tanh?
# 2. Where is the floor of swish ($\beta = 1$)? Set step 7 to zero, and show that the floor is
#    $-W(1/e)$, where $W(y)$ solves $W e^W = y$.
# 3. What is the softmax of two scores? What does step 11 become?
# 4. SELU is $\lambda x$ above 0 and $\lambda \alpha (e^x - 1)$ below. Its two constants make mean 0
#    and variance 1 reproduce themselves: if $x$ is standard normal, so are the mean and variance of
#    the output. Derive them. (You need $E[e^{ax}; x < 0] = e^{a^2/2}\, \Phi(-a)$.)
#
# Try them before you read on.
#
# ## Answers
#
# **1.** $4^{-10}$, about one millionth. For tanh at most 1, and that only where every unit sits
# exactly at 0.

# %%
ten = 1.0
for _ in range(10):
    ten = ten * activations.sigmoid_grad(0.0)
print(f"ten sigmoids at their steepest: {ten:.2g}")
assert np.isclose(ten, 4.0**-10)
assert activations.tanh_grad(0.0) == 1

# %% [markdown]
# **2.** Divide step 7 by $\sigma(x)$: $1 + x\, \sigma(-x) = 0$, that is $x = -(1 + e^x)$. There
# $\sigma(x) = e^x / (1 + e^x) = -e^x / x$, and the value is $x\, \sigma(x) = -e^x$. Call $W = e^x$;
# then $x = -(1 + W)$ gives $W = e^{-1 - W}$, that is $W e^W = 1 / e$.

# %%
W = lambertw(1 / np.e).real
print(f"W(1/e) = {W:.6f}; x = {-(1 + W):.4f}")
assert np.isclose(swish(-(1 + W)), -W)
assert abs(swish_grad(-(1 + W))) < 1e-12

# %% [markdown]
# **3.** $s_1 = e^{z_1} / (e^{z_1} + e^{z_2}) = \sigma(z_1 - z_2)$, and $s_2 = \sigma(z_2 - z_1)$.
# Then $g_1 - (g_1 s_1 + g_2 s_2) = s_2 (g_1 - g_2)$, so
# $\partial z_1 = s_1 s_2 (g_1 - g_2) = -\partial z_2$: step 2 again, since
# $s_1 s_2 = \sigma \cdot \sigma(-\cdot)$.

# %%
two, g_two = jnp.array([0.3, -1.1]), jnp.array([2.0, 0.5])
slope = activations.sigmoid_grad(two[0] - two[1]) * (g_two[0] - g_two[1])
agree(jnp.stack([slope, -slope]), lambda z: g_two * softmax(z), two, name="softmax of two")

# %% [markdown]
# **4.** Above 0, $E[x; x > 0] = \varphi(0) = 1/\sqrt{2\pi}$ and $E[x^2; x > 0] = \frac12$. Below 0,
# let $p = \sqrt e\, \Phi(-1)$ and $q = e^2\, \Phi(-2)$. Mean 0 and variance 1 then say:
#
# $$\begin{aligned}
# \varphi(0) + \alpha (p - \tfrac12) &= 0 \\
# \lambda^2 \big( \tfrac12 + \alpha^2 (q - 2p + \tfrac12) \big) &= 1
# \end{aligned}$$

# %%
p, q = jnp.exp(0.5) * norm.cdf(-1), jnp.exp(2) * norm.cdf(-2)
a = norm.pdf(0) / (0.5 - p)
scale = (0.5 + a**2 * (q - 2 * p + 0.5)) ** -0.5
print(f"alpha = {a:.4f}, lambda = {scale:.4f}")

dense_grid = jnp.linspace(-12, 12, 200_001)
weight = norm.pdf(dense_grid) * (dense_grid[1] - dense_grid[0])
values = activations.selu(dense_grid)
assert abs((weight * values).sum()) < 1e-6
assert abs((weight * values**2).sum() - 1) < 1e-6
assert np.isclose(activations.selu(jnp.array(1.0)), scale)
