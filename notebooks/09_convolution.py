# %% [markdown]
# # 09 Convolution and pooling, backwards
#
# Nine numbers slide over a picture and look at every place of it through the same small window.
# In the end the network is wrong. All nine took part everywhere. Which of them is to blame, and
# which pixels?

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from _shared import COLORS, INK, agree, panels
from matplotlib.colors import LinearSegmentedColormap
from sklearn.datasets import load_digits

from jaxnn import backprop, layers, losses, networks

jax.config.update("jax_enable_x64", True)  # finite differences need the digits

SIGNED = LinearSegmentedColormap.from_list("signed", [COLORS[0], "white", COLORS[1]])


def show(ax, a, title, marks=(), numbers=False, size=3):
    """A picture of signed numbers: blue below 0, orange above; squares around windows."""
    top = max(float(np.abs(a).max()), 1e-12)
    ax.imshow(a, cmap=SIGNED, vmin=-top, vmax=top)
    for row, column in marks:
        box = (column - 0.5, row - 0.5)
        ax.add_patch(plt.Rectangle(box, size, size, fill=False, ec=COLORS[2], lw=1.8))
    if numbers:
        for at, value in np.ndenumerate(np.asarray(a)):
            text = f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
            ink = "white" if abs(value) > 0.7 * top else "#333333"
            ax.text(*at[::-1], text, ha="center", va="center", color=ink, fontsize=8)
    ax.set(xticks=[], yticks=[], title=title)


images, digits = load_digits(return_X_y=True)
images = jnp.array(images.reshape(-1, 8, 8, 1) / 16)
edge = jnp.array([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])[:, :, None, None]
one = images[3]  # a three
wrong = jnp.zeros((6, 6, 1)).at[0, 0].set(1.0).at[3, 2].set(1.0).at[4, 3].set(1.0)
grads, x_grad = layers.conv_vjp(wrong, {"kernel": edge}, one, padding="VALID")

axes = panels(3, 2, height=2.25)
places = [(0, 0), (3, 2), (4, 3)]
show(axes[0, 0], one[..., 0], "input $x$, three windows", places)
show(axes[0, 1], edge[:, :, 0, 0], "kernel $W$", numbers=True)
forward = layers.conv({"kernel": edge}, one, padding="VALID")
show(axes[0, 2], forward[..., 0], "output $y$", places, size=1)
show(axes[1, 2], wrong[..., 0], "three outputs blamed: $g$", places, size=1)
show(axes[1, 0], x_grad[..., 0], "blame of the pixels", places)
show(axes[1, 1], grads["kernel"][:, :, 0, 0], "blame of the kernel", numbers=True)
plt.show()

# %% [markdown]
# Orange is above 0, blue below. In the upper row, forward: each output is one window (green) times
# the kernel. In the lower row, backward, from right to left. Every blamed output **stamps the
# kernel** onto the pixels that it saw; where two stamps overlap, they add up. And every blamed
# output **hands the kernel its window**: the blame of the nine numbers is the sum of the three
# patches. That is all. The rest of this page shows that it is true, for any stride, spacing and
# padding, and then does the same for pooling.
#
# ## Notation
#
# We derive along one axis; in a picture every place, $p$, $t$ and $q$, is a pair.
#
# | symbol | shape | meaning |
# |---|---|---|
# | $x$ | $[n, i]$ | input: $n$ places, $i$ features (a batch adds an axis in front) |
# | $W$, $b$ | $[k, i, o]$, $[o]$ | kernel with $k$ taps, and bias |
# | $y$ | $[m, o]$ | output |
# | $g = \partial L / \partial y$ | $[m, o]$ | cotangent of the output: who is to blame, how much |
# | $s$, $d$, $\pi$ | $[\,]$ | stride, step between taps (dilation), zeros added at each end |
# | $q, p, t$ | | a place of the input, a place of the output, a tap |
# | $\partial W$, $\partial x$, $\partial b$ | as $W$, $x$, $b$ | the gradients of $L$ |
#
# ## Derivation
#
# ### Convolution
#
# **1.** Output $p$ sees, through tap $t$, the input at $q = s p + d t - \pi$. With one feature in
# and one out,
#
# $$y_p = b + \sum_{t} x_{s p + d t - \pi}\; W_t ,$$
#
# where $x$ is 0 outside. (Mathematicians write $x_{p - t}$ and call that a convolution; with the
# plus it is a *correlation*. No library flips the kernel, whatever the name says. A flip will
# turn up by itself, in step 6.)
#
# **2.** The last window must end inside: $s(m - 1) + d(k - 1) \le n + 2\pi - 1$. So
#
# $$m = \left\lfloor \frac{n + 2\pi - d(k - 1) - 1}{s} \right\rfloor + 1 .$$
#
# **3. The kernel.** Nudge $W_t$. It stands in every $y_p$, with the factor
# $x_{sp + dt - \pi}$. A number that is used in many places collects the blame of all of them:
#
# $$\partial W_t = \sum_p x_{s p + d t - \pi}\; g_p, \qquad \partial b = \sum_p g_p .$$
#
# **4. The input.** Nudge $x_q$. It stands in $y_p$ with the factor $W_t$, for each pair $(p, t)$
# that meets at $q$:
#
# $$\partial x_q = \sum_{(p, t)\,:\ s p + d t - \pi = q} g_p\, W_t .$$
#
# Read it by $p$, and it is the stamp: for each $p$, add $g_p W_t$ at $sp + dt - \pi$, for all $t$.
#
# **5. Features.** $W_t$ becomes a matrix $[i, o]$, and each tap is a dense layer of its own, whose
# rows are the places (notebook 04):
#
# $$\begin{aligned}
# y_p &= b + \sum_t x_{q}\, W_t && [o] \\
# \partial W_t &= \sum_p x_{q}^\top g_p && [i, o] \\
# \partial x_q &= \sum_{(p, t)} g_p\, W_t^\top && [i]
# \end{aligned}$$
#
# with $q = sp + dt - \pi$ throughout. A picture and a batch only make the sums longer.
#
# **6. The flip.** For $s = d = 1$ solve $p + t - \pi = q$ for $p$, and put $t = k - 1 - t'$:
#
# $$\partial x_q = \sum_{t'} g_{q + t' - (k - 1 - \pi)}\; W_{k - 1 - t'}^\top .$$
#
# This has the form of step 1: a convolution of $g$, padded with $k - 1 - \pi$ zeros, with the
# kernel **reversed** and its features exchanged. A stride $s$ puts $s - 1$ zeros between
# the entries of $g$ first.
#
# **7. Who is seen how often?** With a stride, $x_q$ meets only the taps for which $q + \pi - dt$
# is a multiple of $s$. For $d = 1$ these are $k / s$ taps, if $s$ divides $k$. If not, some pixels
# meet $\lfloor k / s \rfloor$ and others $\lceil k / s \rceil$: blame comes back in a checkerboard.
#
# ### Pooling
#
# **8. The mean** of a window is a convolution with $W_t = 1 / k$ for each feature by itself. By
# step 4, every entry of the window gets $g_p / k$.
#
# **9. The maximum.** Let $t^*(p)$ be the tap that won window $p$. Near $x$, as long as the winner
# is ahead, $y_p = x_{sp + t^*(p)}$. A nudge of any other entry does nothing. So
#
# $$\partial x_q = \sum_{p\,:\ s p + t^*(p) = q} g_p .$$
#
# The winner takes all the blame; who won several windows adds up.
#
# **10. A tie** has no derivative: raise one of two equal entries and $y$ rises, lower it and $y$
# stays. Any split of $g_p$ among the winners is a subgradient. We give it to the first.
#
# ## Code
#
# Step 5 as it stands, for pictures: the loop goes over the taps, and `at` is where a tap meets the
# input, for all places at once.


# %%
def taps(shape, k, s, d):
    """Each tap `(t, u)` with the part of a `[batch, height, width, features]` that it meets."""
    m = [(n - d * (k - 1) - 1) // s + 1 for n in shape[1:3]]  # step 2
    along = lambda t, m: slice(d * t, d * t + s * (m - 1) + 1, s)
    return [((t, u), np.s_[:, along(t, m[0]), along(u, m[1])]) for t, u in np.ndindex(k, k)]


def padded(x, pad):
    return jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))


def conv(x, W, b, s=1, d=1, pad=0):
    x = padded(x, pad)
    return b + sum(x[at] @ W[t] for t, at in taps(x.shape, len(W), s, d))  # step 1


def conv_vjp(g, x, W, s=1, d=1, pad=0):
    x, places = padded(x, pad), (0, 1, 2)
    W_grad, x_grad = jnp.zeros_like(W), jnp.zeros_like(x)
    for t, at in taps(x.shape, len(W), s, d):
        W_grad = W_grad.at[t].set(jnp.tensordot(x[at], g, (places, places)))  # step 3
        x_grad = x_grad.at[at].add(g @ W[t].T)  # step 4
    inside = slice(pad, x.shape[1] - pad), slice(pad, x.shape[2] - pad)
    return x_grad[:, *inside], W_grad, g.sum(places)


def max_pool(x, k=2):
    return jnp.max(jnp.stack([x[at] for _, at in taps(x.shape, k, k, 1)]), 0)


def max_pool_vjp(g, x, k=2):
    every = taps(x.shape, k, k, 1)
    first = jnp.argmax(jnp.stack([x[at] for _, at in every]), 0)  # steps 9 and 10
    x_grad = jnp.zeros_like(x)
    for number, (_, at) in enumerate(every):
        x_grad = x_grad.at[at].add(g * (first == number))
    return x_grad


# %% [markdown]
# A whole network: convolution, ReLU, pooling, and a dense layer that votes for a digit. Its
# gradient is these rules in reverse order, and it ends at the pixels.

# %%
FEATURES = 8


def start(key):
    kernel, dense = jax.random.split(key)
    return {
        "W": jax.random.normal(kernel, (3, 3, 1, FEATURES)) * np.sqrt(2 / 9),
        "b": jnp.zeros(FEATURES),
        "U": jax.random.normal(dense, (16 * FEATURES, 10)) * np.sqrt(1 / (16 * FEATURES)),
        "c": jnp.zeros(10),
    }


def votes(params, x):
    a = jnp.maximum(conv(x, params["W"], params["b"], pad=1), 0)
    return max_pool(a).reshape(len(x), -1) @ params["U"] + params["c"]


def loss(params, x, labels):
    log_p = jax.nn.log_softmax(votes(params, x))
    return -log_p[jnp.arange(len(x)), labels].mean()


def backward(params, x, delta):
    """Pulls `delta`, blame of the votes, back to the parameters and the pixels."""
    z = conv(x, params["W"], params["b"], pad=1)
    a = jnp.maximum(z, 0)
    pooled = max_pool(a)
    grads = {"U": pooled.reshape(len(x), -1).T @ delta, "c": delta.sum(0)}
    g = (delta @ params["U"].T).reshape(pooled.shape)
    g = max_pool_vjp(g, a) * (z > 0)
    x_grad, grads["W"], grads["b"] = conv_vjp(g, x, params["W"], pad=1)
    return grads, x_grad


def loss_grad(params, x, labels):
    error = jax.nn.softmax(votes(params, x)) - jax.nn.one_hot(labels, 10)
    return backward(params, x, error / len(x))


# %% [markdown]
# It learns from 1,500 digits, by our gradient and plain momentum; no autodiff anywhere.

# %%
order = np.random.default_rng(0).permutation(len(images))
x, labels = images[order], jnp.array(digits[order])
train_x, train_labels, test_x, test_labels = x[:1500], labels[:1500], x[1500:], labels[1500:]


@jax.jit
def learn(params):
    def step(state, batch):
        params, velocity = state
        grads, _ = loss_grad(params, train_x[batch], train_labels[batch])
        velocity = jax.tree.map(lambda v, g: 0.9 * v + g, velocity, grads)
        return (jax.tree.map(lambda w, v: w - 0.05 * v, params, velocity), velocity), None

    batches = jnp.array(np.random.default_rng(1).integers(0, 1500, (400, 50)))
    return jax.lax.scan(step, (params, jax.tree.map(jnp.zeros_like, params)), batches)[0][0]


params = learn(start(jax.random.key(0)))
right = votes(params, test_x).argmax(1) == test_labels
print(f"of {len(test_x)} new digits, {right.mean():.1%} right")
assert right.mean() > 0.95

# %% [markdown]
# Now the question of the beginning can be asked about real mistakes. What would have to change
# in the picture, for the network to say the right digit instead of the one it said?

# %%
missed = np.flatnonzero(~right)[:4]
said = votes(params, test_x[missed]).argmax(1)
toward = jax.nn.one_hot(test_labels[missed], 10) - jax.nn.one_hot(said, 10)
_, pixels = backward(params, test_x[missed], toward)
axes = panels(4, 2, height=1.75)
for number, place in enumerate(missed):
    ax = axes[0, number]
    ax.imshow(test_x[place, :, :, 0], cmap="gray_r")
    ax.set(xticks=[], yticks=[], title=f"a {test_labels[place]}, said {said[number]}")
    show(axes[1, number], pixels[number, ..., 0], "")
axes[1, 0].set_ylabel("ink needed, or too much", fontsize=8)
plt.show()
steps = jnp.array([0.0, 0.1, 0.2, 0.4, 0.8])
direction = pixels / jnp.sqrt((pixels**2).sum((1, 2, 3), keepdims=True))
moved = test_x[missed] + steps[:, None, None, None, None] * direction
gains = jax.vmap(lambda x: (votes(params, x) * toward).sum(1))(moved)
print("lead of the right digit while the pixels move that way, by 0, 0.1, 0.2, 0.4, 0.8:")
for place, gain in zip(missed, gains.T, strict=True):
    print(f"  a {test_labels[place]}:", gain.round(2))
assert (gains[-1] > gains[0]).all()

# %% [markdown]
# Orange asks for ink, blue wants it away: close the loop of the 6, widen the bar of the 4. The maps
# are rough because in each window of the pooling the winner takes all.
#
# ### With every number on the table
#
# `jaxnn.backprop.explain` writes both passes out, here of the smallest network there is: one kernel
# on 4 x 4 pixels of the three above, a ReLU, a pooling, two classes. $\star$ slides the kernel, and
# $\ast$ slides it flipped, as in step 6.

# %%
smallest = networks.cnn((4, 4, 1), [1], 2)
backprop.explain(
    smallest.init(jax.random.key(2)), one[None, 2:6, 2:6], jnp.array([1]),
    losses.sparse_categorical_cross_entropy, network=smallest, digits=2,
)  # fmt: skip

# %% [markdown]
# ## Check
#
# By hand, by autodiff and by differences, for a plain window, a stride, and a dilation with
# padding; then beside the library.

# %%
rng = np.random.default_rng(2)
small = jnp.array(rng.normal(size=(2, 9, 7, 2)))
W, b = jnp.array(rng.normal(size=(3, 3, 2, 3))), jnp.array(rng.normal(size=3))
for options in (dict(), dict(s=2, pad=1), dict(d=2, pad=2)):
    y = conv(small, W, b, **options)
    g = jnp.array(rng.normal(size=y.shape))
    hand = conv_vjp(g, small, W, **options)
    f = lambda at, g=g, options=options: g * conv(*at, **options)
    agree(hand, f, (small, W, b), name=f"convolution {options}")

    theirs = {"kernel": W, "bias": b}
    pads = ((options.get("pad", 0),) * 2,) * 2
    arguments = options.get("s", 1), pads, options.get("d", 1)
    assert jnp.allclose(layers.conv(theirs, small, *arguments), y, atol=1e-12)
    grads, x_grad = layers.conv_vjp(g, theirs, small, *arguments)
    for mine, library in zip(hand, (x_grad, grads["kernel"], grads["bias"]), strict=True):
        assert jnp.allclose(mine, library, atol=1e-10)

even = small[:, :8, :6]
g = jnp.array(rng.normal(size=(2, 4, 3, 2)))
agree(max_pool_vjp(g, even), lambda x: g * max_pool(x), even, name="max pooling")
assert jnp.array_equal(max_pool_vjp(g, even), layers.max_pool_vjp(g, even, (2, 2)))

few, few_labels = test_x[:3] + 0.01 * jnp.array(rng.normal(size=(3, 8, 8, 1))), test_labels[:3]
grads, x_grad = loss_grad(params, few, few_labels)
agree(grads, loss, params, few, few_labels, name="the network, in its parameters")
agree(x_grad, lambda x: loss(params, x, few_labels), few, name="the network, in the pixels")

# %% [markdown]
# Step 6 gives the same $\partial x$ by a convolution.


# %%
def x_grad_as_convolution(g, W, s, pad, flip=True):
    k = len(W)
    apart = jnp.zeros((len(g), s * g.shape[1] - s + 1, s * g.shape[2] - s + 1, g.shape[3]))
    apart = apart.at[:, ::s, ::s].set(g)
    W = W[::-1, ::-1] if flip else W
    return conv(apart, W.swapaxes(2, 3), 0.0, pad=k - 1 - pad)


for s in (1, 2):
    g = jnp.array(rng.normal(size=conv(small, W, b, s=s, pad=1).shape))
    stamped = conv_vjp(g, small, W, s=s, pad=1)[0]
    assert jnp.allclose(x_grad_as_convolution(g, W, s, 1), stamped, atol=1e-12)
print("stamps and the reversed convolution agree")

# %% [markdown]
# ## Break it
#
# **Forget the flip.** Every shape still fits, nothing complains. The loss may even go down, for
# only the layers below this one are misled; the kernel itself and all above it learn as before.

# %%
straight = x_grad_as_convolution(g, W, 2, 1, flip=False)
cosine = jnp.vdot(straight, stamped) / jnp.linalg.norm(straight) / jnp.linalg.norm(stamped)
print(f"cosine of the unflipped gradient with the true one: {cosine:.2f}")
assert cosine < 0.5

# %% [markdown]
# **Write instead of adding.** Where windows overlap, the last stamp erases the others. With
# `.set` in place of `.add` the answer is right only where stamps don't meet.


# %%
def stamped_over(g, W, n, s):
    x_grad = jnp.zeros((1, n, n, 1))
    for p in np.ndindex(*g.shape[1:3]):
        window = np.s_[:, s * p[0] : s * p[0] + 3, s * p[1] : s * p[1] + 3]
        x_grad = x_grad.at[window].set(g[:, p[0], p[1], 0] * W[None, :, :, :, 0])
    return x_grad


for s, n in ((1, 5), (3, 9)):
    ones = jnp.ones((1, 3, 3, 1))
    true = conv_vjp(ones, jnp.zeros((1, n, n, 1)), edge, s=s)[0]
    error = jnp.abs(stamped_over(ones, edge, n, s) - true).max()
    print(f"stride {s}: off by up to {error:.0f}")
    assert (error > 1) == (s == 1)  # at stride 3 windows of three don't overlap

# %% [markdown]
# **A stride that does not divide the kernel.** Blame every output by 1 and let every weight be 1:
# $\partial x$ counts the windows that saw a pixel (step 7; the darker, the more).

# %%
axes = panels(3, height=2.3)
for ax, (k, s) in zip(axes, ((3, 1), (3, 2), (4, 2)), strict=True):
    at = jnp.zeros((1, 14, 14, 1))
    y = conv(at, jnp.ones((k, k, 1, 1)), 0.0, s=s)
    seen = conv_vjp(jnp.ones_like(y), at, jnp.ones((k, k, 1, 1)), s=s)[0][0, :, :, 0]
    ax.imshow(seen, cmap="Blues", vmin=0, vmax=9)
    ax.set(xticks=[], yticks=[], title=f"{k} taps, stride {s}")
    middle = seen[4:10, 4:10]
    print(f"{k} x {k} taps, stride {s}: seen {int(middle.min())} to {int(middle.max())} times")
    per_axis = k / s
    assert middle.min() == np.floor(per_axis) ** 2
    assert middle.max() == np.ceil(per_axis) ** 2
plt.show()

# %% [markdown]
# In the middle picture neighbours are blamed once, twice or four times for no reason of theirs
# (and the last row and column fit no window at all).
# Run forward as a transposed convolution, to paint pictures, the same pattern shows in what is
# painted; choose $k$ as a multiple of $s$.
#
# **Tie.** Two equal entries in one window. Autodiff of `jnp.max` shares, ours gives all to the
# first, and a difference sees the kink of step 10: the slope to the right is 1, to the left 0.

# %%
tie = jnp.array([[2.0, 2.0], [0.0, 1.0]])[None, :, :, None]
shared = jax.grad(lambda x: max_pool(x).sum())(tie)[0, 0, :, 0]
first = max_pool_vjp(jnp.ones((1, 1, 1, 1)), tie)[0, 0, :, 0]
nudge = jnp.zeros_like(tie).at[0, 0, 0, 0].set(1e-6)
sides = [float(jnp.sum(max_pool(tie + h * nudge) - 2.0) / (h * 1e-6)) for h in (1, -1)]
print("autodiff", shared, "first", first, "slopes to the right and left", np.round(sides, 6) + 0.0)
assert jnp.array_equal(shared, jnp.array([0.5, 0.5]))
assert jnp.array_equal(first, jnp.array([1.0, 0.0]))
assert np.allclose(sides, [1, 0])

# %% [markdown]
# Ties are not rare: after a ReLU whole windows are 0. There the ReLU's own slope, 0, hides the
# choice.
#
# ## Exercises
#
# 1. A 28 x 28 picture, $5 \times 5$ taps, stride 2, padding 2. How large is the output? How many
#    windows see the pixel in the corner, and one in the middle?
# 2. A $1 \times 1$ kernel with stride 1: which layer is that?
# 3. Two $3 \times 3$ convolutions with nothing between them are one $5 \times 5$ convolution. With
#    which kernel? What is gained by two, apart from a ReLU between them?
# 4. Stack $L$ layers of three taps along a line, all weights $1/3$. The last layer sees $2L + 1$
#    pixels. How much of the blame of the middle output reaches the pixel at distance $r$?
# 5. Move the picture by one pixel. What happens to $\partial W$?
#
# Try them before you read on.
#
# ## Answers
#
# **1.** $\lfloor (28 + 4 - 4 - 1) / 2 \rfloor + 1 = 14$. Along one axis the corner, $q = 0$, meets
# taps with $0 + 2 - t$ even and a window $p \ge 0$: $t = 0$ and $t = 2$. In the middle, an even
# $q$ meets $t = 0, 2, 4$ and an odd one $t = 1, 3$. So 4 windows see the corner and 9, 6 or 4 see
# the middle.

# %%
picture, five = jnp.zeros((1, 28, 28, 1)), jnp.ones((5, 5, 1, 1))
y = conv(picture, five, 0.0, s=2, pad=2)
seen = conv_vjp(jnp.ones_like(y), picture, five, s=2, pad=2)[0][0, :, :, 0]
print("output", y.shape[1:3], "corner", int(seen[0, 0]), "middle", seen[14:16, 14:16].astype(int))
assert y.shape[1:3] == (14, 14)
assert seen[0, 0] == 4
assert jnp.array_equal(seen[14:16, 14:16], jnp.array([[9, 6], [6, 4]]))

# %% [markdown]
# **2.** A dense layer at every place, with the same weights. $\partial W = \sum_q x_q^\top g_q$ is
# then the rule for a batch in which every pixel is an example.

# %%
lone = jnp.array(rng.normal(size=(1, 1, 2, 3)))
g = jnp.array(rng.normal(size=(2, 9, 7, 3)))
dense, rows = layers.dense_vjp(g, {"kernel": lone[0, 0], "bias": b}, small)
x_grad, W_grad, b_grad = conv_vjp(g, small, lone)
assert jnp.allclose(W_grad[0, 0], dense["kernel"])
assert jnp.allclose(x_grad, rows)
assert jnp.allclose(b_grad, dense["bias"])

# %% [markdown]
# **3.** Follow one pixel: through tap $t$ of the first and $u$ of the second it arrives with
# $W_t V_u$ at tap $t + u$ of the whole, so the kernel is $\sum_{t + u = r} W_t V_u$: a stamp of one
# kernel for every weight of the other. That is $\partial x$ of step 4 once more. Gained: 18 numbers
# instead of 25, if there is one feature.

# %%
first, second = jnp.array(rng.normal(size=(2, 3, 3, 1, 1)))
whole = conv_vjp(second[None, :, :, 0, 0, None], jnp.zeros((1, 5, 5, 1)), first)[0]
twice = conv(conv(one[None], first, 0.0), second, 0.0)
at_once = conv(one[None], whole[0, :, :, :, None], 0.0)
print("the two agree within", f"{jnp.abs(twice - at_once).max():.0e}")
assert jnp.allclose(twice, at_once, atol=1e-12)

# %% [markdown]
# **4.** Each layer moves the blame by $-1$, $0$ or $1$, a third each: after $L$ layers it is
# where a random walk is after $L$ steps. That is nearly a bell with variance $2L / 3$. At the rim
# arrives $3^{-L}$. The network sees $2L + 1$ pixels and cares for about $\sqrt L$ of them.

# %%
L = 20
third = jnp.full((3, 1, 1), 1 / 3)
blame = jnp.zeros((2 * L + 1, 1)).at[L].set(1.0)
for _ in range(L):
    _, blame = layers.conv_vjp(blame, {"kernel": third}, blame)
r = np.arange(-L, L + 1)
ax = panels(width=4.6, height=2.2)
ax.bar(r, blame[:, 0], color=COLORS[0], width=0.8)
bell = np.exp(-(r**2) / (4 * L / 3)) / np.sqrt(2 * np.pi * 2 * L / 3)
ax.plot(r, bell, "--", color=COLORS[1], label="bell, variance $2L/3$")
ax.axvspan(-L, L, color=INK, alpha=0.08, lw=0)
ax.set(xlabel="distance $r$", title="what 20 layers of three taps care for")
ax.legend()
plt.show()
variance = float((blame[:, 0] * r**2).sum())
print(f"variance {variance:.3f}, and 2L/3 = {2 * L / 3:.3f}; at the rim {blame[0, 0]:.0e}")
assert np.isclose(variance, 2 * L / 3)
assert np.isclose(blame[0, 0], 3.0**-L)

# %% [markdown]
# **5.** If $g$ moves along (and nothing falls off the border), nothing: $\partial W_t$ is a sum
# over all places, and a sum does not care where. That is why a kernel learns a thing once for all
# places.

# %%
room = jnp.pad(one, ((3, 3), (3, 3), (0, 0)))[None]
g = jnp.pad(jnp.array(rng.normal(size=(6, 6, 1))), ((3, 3), (3, 3), (0, 0)))[None]
moved = jnp.roll(room, 1, 2), jnp.roll(g, 1, 2)
here, there = conv_vjp(g, room, edge)[1], conv_vjp(moved[1], moved[0], edge)[1]
assert jnp.allclose(here, there)
print(
    "gradient of the kernel, here:", here[0, :, 0, 0].round(3), "there:", there[0, :, 0, 0].round(3)
)
