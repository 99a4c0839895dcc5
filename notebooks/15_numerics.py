# %% [markdown]
# # 15 Numerics: where a correct formula gives a wrong number
#
# The slope of the sigmoid is $\sigma(1 - \sigma)$; any textbook says so, and it is right. At
# $x = 17$ it is $4.1 \cdot 10^{-8}$. Compute it in float32, and it is exactly 0: the unit will
# never learn again. The formula is correct, the computer works, and the number is wrong. Whose
# fault is it?

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from _shared import COLORS, INK, agree, panels

from jaxnn import activations, layers, losses, optimizers

jax.config.update("jax_enable_x64", True)  # float64 is the truth that float32 is held against
f32 = np.float32


def ulps(value, truth):
    """How many float32 numbers lie between a value and the truth."""
    return np.abs(np.asarray(value, np.float64) - truth) / np.spacing(np.abs(truth).astype(f32))


def naive_slope(x):
    s = 1 / (1 + np.exp(-x))
    return s * (1 - s)


x = np.linspace(-20, 20, 801).astype(f32)
e = np.exp(-np.abs(x.astype(np.float64)))
truth = e / (1 + e) ** 2
left, right = panels(2, height=2.8)
left.semilogy(x, np.maximum(ulps(naive_slope(x), truth), 0.1), color=COLORS[1])
left.semilogy(x, np.maximum(ulps(activations.sigmoid_grad(x), truth), 0.1), "--", color=COLORS[0])
left.set(xlabel="$x$", ylabel="error (ULP)", title="the slope of the sigmoid")
left.text(-19, 3e5, "$\\sigma(1 - \\sigma)$", color=COLORS[1])
left.text(-19, 12, "$e / (1 + e)^2$", color=COLORS[0])

z = np.linspace(0, 30, 301).astype(f32)
usual = np.log(1 + np.exp(z)) - z  # log-sum-exp of (0, z), less z
rows = np.stack([np.zeros_like(z), z], 1)
ours = losses.sparse_categorical_cross_entropy(jnp.array(rows), jnp.ones(len(z), int))
right.semilogy(z, np.maximum(usual, 1e-14), color=COLORS[1], label="logsumexp - z")
right.semilogy(z, ours, "--", color=COLORS[0], label="jaxnn")
right.set(xlabel="logit of the right class, the other is 0", title="cross-entropy (nats)")
right.legend()
plt.show()
print("float32: naive slope at 17:", naive_slope(f32(17)), "the other form:", end=" ")
print(activations.sigmoid_grad(jnp.float32(17)))

# %% [markdown]
# One ULP ("unit in the last place") is the distance to the next number that float32 has; half of it
# is the best one can hope for. Left, the orange formula loses digit after digit on the way to the
# right, and at 16.6 the last one. Right, a network that is sure and right is told that its loss is
# 0 (drawn at the bottom), or a multiple of $10^{-6}$; below that nothing is left to learn from.
#
# ## Notation
#
# | symbol | value | meaning |
# |---|---|---|
# | $\mathrm{fl}(x)$ | | $x$ rounded to the nearest float |
# | $u$ | $2^{-24}$ | largest relative error of rounding in float32 |
# | $\Omega$ | $3.4 \cdot 10^{38}$ | largest float32 |
# | $\omega$ | $1.2 \cdot 10^{-38}$ | smallest one that keeps all its digits |
# | $\ominus, \oplus$ | | difference and sum, rounded |
# | $e$ | $e^{-\lvert x \rvert}$ | in $(0, 1]$: it never overflows |
#
# ## Derivation
#
# ### Losing digits
#
# **1.** A float32 has 24 binary digits and an exponent. Rounding makes a **relative** error:
# $\mathrm{fl}(x) = x (1 + \delta)$ with $\lvert \delta \rvert \le u \approx 6 \cdot 10^{-8}$, as
# long as $\omega \le \lvert x \rvert \le \Omega$.
#
# **2.** Products and quotients are harmless: relative errors add up. Ten of them make $10u$.
#
# **3.** Differences are not. If $a$ and $b$ carry relative errors of $u$, then $a - b$ carries
#
# $$\frac{\lvert a \rvert + \lvert b \rvert}{\lvert a - b \rvert}\; u .$$
#
# The subtraction itself is innocent, mostly even exact. It removes the digits on which both agree
# and shows the error that was there.
#
# **4.** In $1 \ominus \sigma(x)$ the factor is about $1 / (1 - \sigma) \approx e^x$. When it
# reaches $1/u$ nothing is left: at $x = \ln 2^{24} = 16.64$. That is where the orange curve stops
# rising: there are no more digits to lose.
#
# **5.** The cure is algebra before arithmetic. Of the many formulas that are equal in the real
# numbers, take one without a difference:
#
# $$1 - \sigma(x) = \sigma(-x), \qquad \sigma'(x) = \frac{e}{(1 + e)^2} .$$
#
# **6.** $\log(1 + e)$ for a small $e$ loses it in $1 \oplus e$, which is 1 for $e < u$. Libraries
# have $\mathrm{log1p}(e)$, which does not add. Likewise $\mathrm{expm1}(x) = e^x - 1$.
#
# **7.** Cross-entropy is $\log \sum_k e^{z_k} - z_y$. With one logit far ahead that is
# $20.0000000021 - 20$. Take the largest, $m = z_j$, out of the sum:
#
# $$L = (m - z_y) + \mathrm{log1p} \Big( \sum_{k \ne j} e^{z_k - m} \Big) ,$$
#
# and the first term is exactly 0 where the network is right. The gradient at the right class is
# $p_y - 1$, a difference again; it equals minus the sum of the other probabilities.
#
# ### Leaving the range
#
# **8.** $e^{89} > \Omega$: hence the maximum in step 7. Squares overflow long before their roots:
# $x^2$ from $1.8 \cdot 10^{19}$ on, and vanish below $10^{-19}$. For a length, divide by the
# largest entry first, $\lVert x \rVert = m \lVert x / m \rVert$ (and say 0 where all are 0). Adam
# squares gradients; keep the root $r$ instead, and update it as the length of a vector of two:
#
# $$r \leftarrow \big\lVert (\sqrt{\beta}\, r,\; \sqrt{1 - \beta}\, g) \big\rVert .$$
#
# ### What autodiff does to it
#
# **9.** Autodiff differentiates the program, not the function. Each operation's slope is multiplied
# in, also the slope of a branch that `where` did not take: $0 \cdot \infty$ is NaN. The distance
# $\sqrt{\sum d_i^2}$ at $d = 0$ has slope $\infty \cdot 0$. Writing
# `where(s > 0, sqrt(s), 0)` repairs the value and not the gradient; the argument must be made safe
# as well, `where(s > 0, sqrt(where(s > 0, s, 1)), 0)`.
#
# **10.** And the slope of a good form is computed by rules that know nothing of steps 5 and 7. That
# is why a closed form is installed as JAX's own rule, and why the second derivative has to be
# looked at too.
#
# ## Code
#
# The textbook's cross-entropy, and then the better forms.


# %%
def textbook_cross_entropy(z, y):
    return jax.nn.logsumexp(z) - z[y]


def cross_entropy(z, y):
    j = z.argmax()
    rest = jnp.where(jnp.arange(z.size) == j, 0, jnp.exp(z - z[j])).sum()
    return (z[j] - z[y]) + jnp.log1p(rest)  # step 7


def cross_entropy_grad(z, y):
    p = jnp.exp(z - z.max()) / jnp.exp(z - z.max()).sum()
    at_y = jnp.arange(z.size) == y
    return jnp.where(at_y, -jnp.where(at_y, 0, p).sum(), p)  # no difference


def sigmoid_grad(x):
    e = jnp.exp(-jnp.abs(x))
    return e / (1 + e) ** 2  # step 5


def length(x):
    m = jnp.abs(x).max()
    safe = jnp.where(m > 0, m, 1)
    return m * jnp.sqrt(jnp.sum((x / safe) ** 2))  # step 8


def distance(a, b):
    s = jnp.sum((a - b) ** 2)
    safe = jnp.where(s > 0, s, 1)
    return jnp.where(s > 0, jnp.sqrt(safe), 0)  # step 9


# %% [markdown]
# ## Check
#
# They are the same functions: by hand, by autodiff and by differences, in float64 and where nothing
# is extreme.

# %%
mild = jnp.linspace(-4, 4, 9)
agree(sigmoid_grad(mild), activations.sigmoid, mild, name="sigmoid")
logits = jnp.array([0.3, -1.0, 2.0])
by_hand = cross_entropy_grad(logits, 0)
agree(by_hand, textbook_cross_entropy, logits, 0, name="cross-entropy, the textbook's")
agree(by_hand, cross_entropy, logits, 0, name="cross-entropy, step 7")
a, b = jnp.array([1.0, 2.0]), jnp.array([-1.0, 0.5])
agree((a - b) / distance(a, b), distance, a, b, name="distance")

# %% [markdown]
# The library in float32 against float64, over the whole range where the truth is a float: the worst
# of twenty thousand points, in ULP.

# %%
everywhere = np.concatenate(
    [s * np.geomspace(1e-6, limit, 5000) for s in (-1, 1) for limit in (1.0, 80.0)]
).astype(f32)
for name in ("sigmoid", "tanh", "softplus", "elu", "softsign"):
    f, slope = getattr(activations, name), getattr(activations, f"{name}_grad")
    wide = everywhere.astype(np.float64)
    truths = [np.asarray(h(wide)) for h in (f, slope)]
    normal = [np.abs(t) >= np.finfo(f32).tiny for t in truths]
    errors = [ulps(h(everywhere), t) for h, t in zip((f, slope), truths, strict=True)]
    worst = [float(e[n].max()) for e, n in zip(errors, normal, strict=True)]
    print(f"{name:9} value {worst[0]:.1f} ULP, derivative {worst[1]:.1f} ULP")
    assert worst[0] <= 4
    assert worst[1] <= 6

# %% [markdown]
# ## Break it
#
# Six formulas, each correct, each wrong.

# %%
big, pair = jnp.array([3e20, 4e20], jnp.float32), jnp.array([0.0, 20.0], jnp.float32)
near = (np.arange(4) + 10_000).astype(f32)
tiny = jnp.float32(1e-8)
shallow = jnp.float32(1e-4)
cases = {
    "slope of sigmoid(17)": (
        naive_slope(f32(17)),
        activations.sigmoid_grad(jnp.float32(17)),
        4.14e-8,
    ),
    "loss of (0, 20), class 1": (
        jnp.log(jnp.exp(pair).sum()) - pair[1],
        losses.sparse_categorical_cross_entropy(pair, jnp.array(1)),
        2.06e-9,
    ),
    "length of (3, 4) * 1e20": (jnp.sqrt(jnp.sum(big**2)), length(big), 5e20),
    "variance of 10000 ... 10003": (
        f32((near * near).mean(dtype=f32) - near.mean(dtype=f32) ** 2),
        near.var(),
        1.25,
    ),
    "log(1 + 1e-8)": (jnp.log(1 + tiny), jnp.log1p(tiny), 1e-8),
    "log cosh(1e-4)": (
        jnp.log(jnp.cosh(shallow)),
        losses.log_cosh(shallow, jnp.zeros_like(shallow)),
        5e-9,
    ),
}
print(f"{'':27}{'textbook':>9}{'better':>9}{'truth':>9}")
for name, (textbook, better, exact) in cases.items():
    print(f"{name:27}{float(textbook):9.3g}{float(better):9.3g}{exact:9.3g}")
    assert abs(float(better) / exact - 1) < 5e-3
    assert not abs(float(textbook) / exact - 1) < 0.5  # also true of inf

# %% [markdown]
# A batch of rows $10000 \dots 10003$ is not exotic: it is any feature with an offset, such as a
# year. With the quick formula for the variance, $\overline{x^2} - \bar x^2$, its normalization is
# garbage; ours shifts first.

# %%
normalized = layers.layer_norm({"scale": jnp.ones(4, jnp.float32)}, jnp.array(near), 0.0)
print("normalized:", np.asarray(normalized).round(4))
assert np.allclose(normalized, (near - near.mean()) / near.std(), atol=1e-5)

# %% [markdown]
# **The wrong branch.** Value right, gradient NaN (step 9):


# %%
def half_safe(a, b):
    s = jnp.sum((a - b) ** 2)
    return jnp.where(s > 0, jnp.sqrt(s), 0)


same = jnp.ones(2)
print("one where:", half_safe(same, same), jax.grad(half_safe)(same, same))
print("two:      ", distance(same, same), jax.grad(distance)(same, same))
assert half_safe(same, same) == 0
assert jnp.isnan(jax.grad(half_safe)(same, same)).all()
assert (jax.grad(distance)(same, same) == 0).all()

# %% [markdown]
# **One spike.** Adam by the formula, in float32, before and after one gradient of $10^{20}$:

# %%
m = r = w = f32(0)
ours, adam = jnp.float32(0), optimizers.adam(0.1)
state = adam.init(ours)
path = []
for t in range(1, 41):
    g = f32(1e20) if t == 3 else f32(1)
    with np.errstate(over="ignore", invalid="ignore"):
        m, r = f32(0.9) * m + f32(0.1) * g, f32(0.999) * r + f32(0.001) * g**2
        w = w - f32(0.1) * (m / (1 - f32(0.9) ** t)) / np.sqrt(r / (1 - f32(0.999) ** t))
    updates, state = adam.update(jnp.float32(g), state)
    ours = ours + updates
    path.append((float(w), float(ours)))
path = np.array(path)
ax = panels(height=2.2)
steps = np.arange(1, 41)
ax.plot(steps, path[:, 0], color=COLORS[1], label="mean square")
ax.plot(steps, path[:, 1], "--", color=COLORS[0], label="its root (jaxnn)")
ax.set(xlabel="step", ylabel="weight", title="a spike at step 3")
ax.axvline(3, color=INK, lw=0.8, ls=":")
ax.legend()
plt.show()
assert path[-1, 0] == path[3, 0]  # frozen
assert path[-1, 1] < path[3, 1]

# %% [markdown]
# ## Exercises
#
# 1. From which $x$ on is $1 \ominus \tanh(x)^2$ exactly 0 in float32?
# 2. The mean of two numbers is $(a + b) / 2$. When is that wrong?
# 3. Add $1/k^2$ for $k = 1 \dots 10^5$ in float32, from the largest to the smallest, and the other
#    way round. Which sum is better, and why?
# 4. $\sqrt{x + 1} - \sqrt{x}$ at $x = 10^6$, in float32. Write it without a difference.
# 5. Is $x \oplus 1 \ominus x$ always 1?
#
# Try them before you read on.
#
# ## Answers
#
# **1.** $\tanh x = 1 - 2e^{-2x} + \dots$ rounds to 1 when $2 e^{-2x} < u/2$ (below 1 the floats are
# twice as dense), so from $x = \frac12 \ln (4 / u) = 9.01$ on. The slope is still
# $4e^{-2x} \approx 6 \cdot 10^{-8}$.

# %%
edge = f32(0.5 * np.log(4 / 2.0**-24))
rounded = lambda x: f32(1) - f32(np.tanh(np.float64(x))) ** 2
print("at", edge + f32(0.01), ":", rounded(edge + f32(0.01)), "; at", edge - f32(0.1), ":", end=" ")
print(rounded(edge - f32(0.1)))
assert rounded(edge + f32(0.01)) == 0
assert rounded(edge - f32(0.1)) > 0
assert activations.tanh_grad(jnp.float32(9.1)) > 4e-8

# %% [markdown]
# **2.** When the sum overflows. $a/2 + b/2$ does not.

# %%
huge = f32(3e38)
with np.errstate(over="ignore"):
    print((huge + huge) / f32(2), huge / f32(2) + huge / f32(2))
    assert np.isinf((huge + huge) / f32(2))
assert huge / f32(2) + huge / f32(2) == huge

# %% [markdown]
# **3.** From the smallest. Once the sum is 1.6, half a ULP is $6 \cdot 10^{-8}$: every term with
# $k > 4096$ is rounded away. Added to each other first, they count.

# %%
terms = (1 / np.arange(1, 100_001, dtype=np.float64) ** 2).astype(f32)
down, up = np.cumsum(terms, dtype=f32)[-1], np.cumsum(terms[::-1], dtype=f32)[-1]
exact = (1 / np.arange(1, 100_001, dtype=np.float64) ** 2).sum()
print(f"errors: {abs(down - exact):.1e} from the largest, {abs(up - exact):.1e} from the smallest")
assert abs(up - exact) < abs(down - exact) / 100

# %% [markdown]
# **4.** Multiply by the sum: $1 / (\sqrt{x + 1} + \sqrt x)$.

# %%
x = f32(1e6)
wrong, right = np.sqrt(x + f32(1)) - np.sqrt(x), f32(1) / (np.sqrt(x + f32(1)) + np.sqrt(x))
print(wrong, right, "truth", np.sqrt(1e6 + 1) - 1e3)
assert abs(right / (np.sqrt(1e6 + 1) - 1e3) - 1) < 1e-6
assert abs(wrong / (np.sqrt(1e6 + 1) - 1e3) - 1) > 1e-3

# %% [markdown]
# **5.** No: at $2^{24}$ the next float is two away, so adding 1 does nothing and the result is 0.

# %%
print((f32(2.0**24) + f32(1)) - f32(2.0**24), (f32(2.0**23) + f32(1)) - f32(2.0**23))
assert (f32(2.0**24) + f32(1)) - f32(2.0**24) == 0
assert (f32(2.0**23) + f32(1)) - f32(2.0**23) == 1
