# %% [markdown]
# # 04 Backpropagation by hand
#
# A weight in the first layer never touches the answer. Its work is passed on, mixed with that of
# all the others, bent, and mixed again. How can a mistake at the far end tell it what to do?
#
# It could be told along every path that leads from it to the answer. There are too many. The idea
# of backpropagation is to walk all of them at once.

# %%
import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from _shared import COLORS, INK, agree, panels

from jaxnn import backprop, plots
from jaxnn.activations import sigmoid, tanh, tanh_grad
from jaxnn.losses import binary_cross_entropy, squared_error
from jaxnn.networks import mlp, mlp_vjp

jax.config.update("jax_enable_x64", True)  # finite differences need the digits

# A network small enough to hold in the head: two inputs, two hidden units, one output.
W_1, b_1 = [[0.8, -0.4], [0.3, 0.9]], [0.1, -0.2]
W_2, b_2 = [[1.1], [-0.7]], [0.2]
x, y = [1.0, 0.5], 1.0


def draw(ax):
    """The network as a graph, with what flows forward and what comes back."""
    a = [math.tanh(x[0] * W_1[0][j] + x[1] * W_1[1][j] + b_1[j]) for j in (0, 1)]
    z = a[0] * W_2[0][0] + a[1] * W_2[1][0] + b_2[0]
    delta_2 = 1 / (1 + math.exp(-z)) - y
    delta_1 = [delta_2 * W_2[j][0] * (1 - a[j] ** 2) for j in (0, 1)]
    at = {"x1": (0, 1), "x2": (0, 0), "h1": (1, 1), "h2": (1, 0), "z": (2, 0.5)}
    edges = [(f"x{k + 1}", f"h{j + 1}", W_1[k][j]) for k in (0, 1) for j in (0, 1)]
    edges += [(f"h{j + 1}", "z", W_2[j][0]) for j in (0, 1)]
    for start, end, weight in edges:
        color = COLORS[0] if weight > 0 else COLORS[1]
        ends = zip(at[start], at[end], strict=True)
        ax.plot(*ends, color=color, lw=3.5 * abs(weight), alpha=0.45)
    forward = dict(zip(at, [*x, *a, z], strict=True))
    back = {"h1": delta_1[0], "h2": delta_1[1], "z": delta_2}
    for node, place in at.items():
        ax.plot(*place, "o", ms=31, color=INK)
        ax.text(*place, f"{forward[node]:.2f}", color="white", ha="center", va="center")
        if node in back:
            ax.text(place[0], place[1] - 0.3, f"$\\delta$ = {back[node]:.2f}", ha="center")
    ax.set(xlim=(-0.25, 2.3), ylim=(-0.45, 1.3), title="forward, and what comes back")
    ax.axis("off")


left, right = panels(2, height=2.7)
draw(left)
depth, width = np.arange(1, 11), 10
right.semilogy(depth, width ** (depth + 1.0), color=COLORS[1], label="paths")
steps, label = 2.0 * depth * width**2, "multiplications in\nbackpropagation"
right.semilogy(depth, steps, "--", color=COLORS[0], label=label)
right.set(xlabel="layers of ten units", title="how many there are")
right.legend()
plt.show()

# %% [markdown]
# Left: the numbers in the nodes go forward; blue weights are positive, orange ones negative. The
# $\delta$ beneath a node comes back: the slope of the loss in that node's sum.
# Right: the number of paths multiplies with every layer; the work of backpropagation only adds up.
#
# ## Notation
#
# | symbol | shape | meaning |
# |---|---|---|
# | $a_0 = x$ | $[n, m_0]$ | inputs, one example per row |
# | $W_l$, $b_l$ | $[m_{l-1}, m_l]$, $[m_l]$ | parameters of layer $l = 1 \dots D$ |
# | $z_l = a_{l-1} W_l + b_l$ | $[n, m_l]$ | sums (pre-activations) |
# | $a_l = f(z_l)$ | $[n, m_l]$ | activations; here $f = \tanh$ |
# | $L$ | $[\,]$ | the loss, a mean over examples, of $z_D$ |
# | $\delta_l = \partial L / \partial z_l$ | $[n, m_l]$ | what comes back to the sums |
#
# Single entries carry their place: $z_{l,j}$ is the sum of unit $j$ of layer $l$, for one example.
#
# ## Derivation
#
# ### One path
#
# **1.** Let every layer have one unit. Then the network is a chain,
# $x \to z_1 \to a_1 \to z_2 \to L$, and the slope of $L$ in $w_1$ is the product of all slopes in
# between:
#
# $$\frac{\partial L}{\partial w_1} =
# \frac{\partial L}{\partial z_2} \cdot w_2 \cdot f'(z_1) \cdot x .$$
#
# **2.** Read it from the left. $\delta_2 = \partial L / \partial z_2$ is the mistake. Times $w_2$
# it has gone back through the weight, times $f'(z_1)$ back through the bend: that is $\delta_1$.
# Times $x$, it is the slope of the weight. For $w_2$ the same $\delta_2$ serves:
# $\partial L / \partial w_2 = \delta_2 a_1$.
#
# ### Many paths
#
# **3.** With several units, $z_{2,i} = \sum_j a_{1,j} W_{2,ji} + b_{2,i}$. A change of $a_{1,j}$
# changes every $z_{2,i}$, and their effects on $L$ add up:
#
# $$\frac{\partial L}{\partial a_{1,j}} = \sum_i \delta_{2,i}\, W_{2,ji} .$$
#
# **4.** Each $\delta_{2,i}$ already contains everything behind it, all paths from there to the
# loss. So a layer needs only the $\delta$ of the next one. That is the whole trick: to share what
# paths have in common.
#
# **5.** Back through the bend, element by element:
# $\delta_{1,j} = f'(z_{1,j})\, \sum_i \delta_{2,i} W_{2,ji}$.
#
# **6.** A weight $W_{1,kj}$ appears in $z_{1,j}$ only, multiplied by $a_{0,k}$, once for each
# example. The shares of the examples add up:
#
# $$\begin{aligned}
# \frac{\partial L}{\partial W_{1,kj}} &= \sum_{\text{examples}} a_{0,k}\, \delta_{1,j} \\
# \frac{\partial L}{\partial b_{1,j}} &= \sum_{\text{examples}} \delta_{1,j} .
# \end{aligned}$$
#
# ### Matrices
#
# **7.** Step 3 sums over the second index of $W$, which is a product with the transpose. Step 6
# sums over examples, which is a product with the transposed activations. For every layer:
#
# $$\begin{aligned}
# \delta_l &= (\delta_{l+1} W_{l+1}^\top) \odot f'(z_l) \\
# \frac{\partial L}{\partial W_l} &= a_{l-1}^\top\, \delta_l \\
# \frac{\partial L}{\partial b_l} &= \sum_{\text{examples}} \delta_l
# \end{aligned}$$
#
# **8.** The shapes leave no choice:
# $[n, m_{l+1}] \cdot [m_{l+1}, m_l] = [n, m_l]$ and $[m_{l-1}, n] \cdot [n, m_l] = [m_{l-1}, m_l]$.
#
# **9.** Where it starts. With the mean of the cross-entropy from scores, notebook 03 found
# $\delta_D = (\sigma(z_D) - y) / n$. Softmax with cross-entropy, and no activation with half the
# squared error, give prediction minus target too.
#
# **10.** What it costs. Forward, a layer takes one product of matrices; backward, it takes two. And
# the backward pass needs every $a_{l-1}$ and $z_l$ again: training remembers what using forgets.
#
# ## Code
#
# ### Number by number
#
# Nothing but plain Python: sums, products, `tanh`. One example.


# %%
def scalar_pass(layers, x, y):
    """Slopes of the loss in every weight and bias, by steps 3, 5 and 6."""
    a, z = [x], []
    for W, b in layers:
        z.append([b[j] + sum(a[-1][k] * W[k][j] for k in range(len(W))) for j in range(len(b))])
        a.append([math.tanh(s) for s in z[-1]])
    delta = [1 / (1 + math.exp(-z[-1][0])) - y]  # step 9
    slopes = []
    for layer in reversed(range(len(layers))):
        W, b = layers[layer]
        W_slope = [[a[layer][k] * d for d in delta] for k in range(len(W))]  # step 6
        slopes.insert(0, (W_slope, delta))
        back = [sum(delta[i] * W[j][i] for i in range(len(b))) for j in range(len(W))]  # step 3
        if layer > 0:
            delta = [s * (1 - math.tanh(t) ** 2) for s, t in zip(back, z[layer - 1], strict=True)]
    return slopes


layers = [(W_1, b_1), (W_2, b_2)]
slopes = scalar_pass(layers, x, y)
for number, (W_slope, b_slope) in enumerate(slopes, 1):
    print(f"layer {number}: dL/dW = {np.round(W_slope, 4).tolist()}")
    print(f"         dL/db = {np.round(b_slope, 4).tolist()}")

# %% [markdown]
# ### Matrix by matrix
#
# The same for a whole batch, and any number of layers. Four lines do it.


# %%
def forward(layers, x):
    a, z = [x], []
    for W, b in layers:
        z.append(a[-1] @ W + b)
        a.append(tanh(z[-1]))
    return a, z


def loss(layers, x, y):
    _, z = forward(layers, x)
    return binary_cross_entropy(z[-1], y).mean()


def loss_grad(layers, x, y):
    a, z = forward(layers, x)
    delta = (sigmoid(z[-1]) - y) / len(y)  # step 9
    slopes = []
    for layer in reversed(range(len(layers))):
        W, _ = layers[layer]
        slopes.insert(0, (a[layer].T @ delta, delta.sum(0)))  # step 7
        if layer > 0:
            delta = (delta @ W.T) * tanh_grad(z[layer - 1])
    return slopes


# %% [markdown]
# ### With every number on the table
#
# `jaxnn.backprop.explain` writes both passes out, each rule with the numbers put in.

# %%
small = [(jnp.array(W), jnp.array(b)) for W, b in layers]
small_x, small_y = jnp.array([x]), jnp.array([[y]])
named = {f"dense_{i}": {"kernel": W, "bias": b} for i, (W, b) in enumerate(small)}
table = backprop.explain(named, small_x, small_y, binary_cross_entropy, activation=tanh, digits=2)
table

# %% [markdown]
# ### And what you would write
#
# `jax.grad(loss)(layers, x, y)` does the same walk, from a record of the operations that `loss`
# ran. It is neither an approximation by differences nor an algebra of formulas: it is steps 3, 5
# and 6.
#
# ## Check

# %%
rng = np.random.default_rng(0)


def random_layers(sizes):
    normal = lambda *shape: jnp.array(rng.normal(size=shape))
    return [(normal(m, k), normal(k)) for m, k in itertools.pairwise(sizes)]


tree = [(jnp.array(W), jnp.array(b)) for W, b in slopes]
agree(tree, loss, small, small_x, small_y, name="scalar")
agree(loss_grad(small, small_x, small_y), loss, small, small_x, small_y, name="matrix")
tree = [(g["kernel"], g["bias"]) for g in table.grads.values()]
agree(tree, loss, small, small_x, small_y, name="explain")

deep = random_layers([3, 5, 4, 6, 1])
batch, classes = jnp.array(rng.normal(size=(7, 3))), jnp.array(rng.integers(0, 2, (7, 1)) * 1.0)
by_hand = loss_grad(deep, batch, classes)
agree(by_hand, loss, deep, batch, classes, name="four layers")

names = {f"dense_{i}": {"kernel": W, "bias": b} for i, (W, b) in enumerate(deep)}
network = mlp([3, 5, 4, 6, 1], activation=tanh)
g = (sigmoid(network.apply(names, batch)) - classes) / len(classes)
pulled, _ = mlp_vjp(g, names, batch, activation=tanh, activation_grad=tanh_grad)
for i, (W_slope, b_slope) in enumerate(by_hand):
    assert np.allclose(W_slope, pulled[f"dense_{i}"]["kernel"], rtol=1e-12)
    assert np.allclose(b_slope, pulled[f"dense_{i}"]["bias"], rtol=1e-12)

# %% [markdown]
# It is right; does it learn? XOR, which notebook 01 proved impossible for one neuron, by our own
# gradient and nothing else. (An **iteration** is one update, an **epoch** one pass over the data.
# Primers often take one for the other; here, where all four examples form the batch, they happen to
# be the same.)

# %%
inputs = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
xor = jnp.array([[0.0], [1.0], [1.0], [0.0]])


@partial(jax.jit, static_argnums=1)
def learn(layers, gradient=loss_grad):
    def update(layers, _):
        step = jax.tree.map(lambda g: 0.5 * g, gradient(layers, inputs, xor))
        return jax.tree.map(jnp.subtract, layers, step), loss(layers, inputs, xor)

    return jax.lax.scan(update, layers, length=1000)


start = random_layers([2, 4, 1])
learned, curve = learn(start)
left, right = panels(2, height=2.8)
left.semilogy(curve)
left.set(xlabel="iteration", title="loss of XOR")
scores = lambda points: forward(learned, points)[1][-1][:, 0]
plots.decision_boundary(scores, inputs, xor[:, 0].astype(int), right)
right.set_title("what it decides")
plt.show()
print("probabilities:", sigmoid(scores(inputs)).round(3))
assert curve[-1] < 0.05
assert np.array_equal(scores(inputs) > 0, xor[:, 0] > 0)

# %% [markdown]
# ## Break it
#
# **Forget a transpose.** With equal widths the shapes still fit. Worse: the network may learn all
# the same, since the last layer's gradient is right and makes do with what it is given. No loss
# curve betrays it. Only a comparison does.


# %%
def forgetful(layers, x, y):
    a, z = forward(layers, x)
    delta = (sigmoid(z[-1]) - y) / len(y)
    slopes = []
    for layer in reversed(range(len(layers))):
        W, _ = layers[layer]
        slopes.insert(0, (a[layer].T @ delta, delta.sum(0)))
        if layer > 0:
            delta = (delta @ (W if W.shape[0] == W.shape[1] else W.T)) * tanh_grad(z[layer - 1])
    return slopes


square = random_layers([4, 4, 4, 1])
four = jnp.array(rng.normal(size=(7, 4)))
caught = False
try:
    agree(forgetful(square, four, classes), loss, square, four, classes, name="without transpose")
except AssertionError as error:
    caught = True
    print("caught:", error)
assert caught

_, honest = learn(start := random_layers([2, 4, 4, 1]))
_, wrong = learn(start, forgetful)
print(f"loss of XOR {wrong[0]:.3f} at first; after 1000 iterations {wrong[-1]:.3f},", end=" ")
print(f"with the right gradient {honest[-1]:.3f}")
assert wrong[-1] < wrong[0]

# %% [markdown]
# **Start with equal weights.** Two hidden units with the same weights have the same sum, the same
# $\delta$ (step 5) and the same slope (step 6). After the update they are the same again. A layer
# of a hundred such units is one unit, for ever. With all weights 0 it is worse: the hidden $\delta$
# is 0.

# %%
same = [(jnp.full((2, 4), 0.5), jnp.zeros(4)), (jnp.full((4, 1), 0.5), jnp.zeros(1))]
after, curve_of_same = learn(same)
print("first layer after 1000 iterations:")
print(after[0][0].round(3))
assert np.allclose(after[0][0], after[0][0][:, :1], atol=1e-12)
zero = jax.tree.map(jnp.zeros_like, same)
assert not loss_grad(zero, inputs, xor)[0][0].any()
assert curve_of_same[-1] > 10 * curve[-1]

# %% [markdown]
# **Leave out the bend's slope.** Without $f'$ in step 5 the direction is wrong, and the more so the
# further the units are from 0. Here is the angle to the true gradient of the first layer, as the
# sums grow:


# %%
def angle(scale):
    layers = [(scale * W, scale * b) for W, b in square[:1]] + square[1:]
    _, z = forward(layers, four)
    delta = (sigmoid(z[-1]) - classes) / len(classes)
    for layer in (2, 1):
        delta = delta @ layers[layer][0].T  # and no slope
    wrong, right = four.T @ delta, loss_grad(layers, four, classes)[0][0]
    cosine = (wrong * right).sum() / jnp.linalg.norm(wrong) / jnp.linalg.norm(right)
    return float(jnp.degrees(jnp.arccos(cosine)))


angles = {scale: angle(scale) for scale in (0.1, 1.0, 5.0)}
print({scale: f"{degrees:.0f} degrees" for scale, degrees in angles.items()})
assert angles[0.1] > 5
assert angles[5.0] > 30

# %% [markdown]
# ## Exercises
#
# 1. What is $\partial L / \partial x$, the slope in the inputs? Use it to move an input so that
#    the small network becomes surer.
# 2. Two layers share one matrix: $W_2 = W_3 = W$. What is $\partial L / \partial W$?
# 3. A residual layer adds its input: $a_l = a_{l-1} + f(z_l)$. What comes back to $a_{l-1}$, and
#    why is that good news for deep networks?
# 4. Recipe: `RandomState(42)` draws $W_1\,[2, 3]$, $b_1$, $W_2\,[3, 1]$, $b_2$ by `rand`; ReLU,
#    then a sigmoid; $x = (0.5, 0.8)$. The known answer is 0.91942216. Go on where the recipe stops:
#    the gradient of the squared error for the target 1, by hand.
#
# Try them before you read on.
#
# ## Answers
#
# **1.** The inputs are $a_0$; step 3 once more, with no bend before it:
# $\partial L / \partial x = \delta_1 W_1^\top$.

# %%
delta_1 = table.layers[0].delta
x_slope = delta_1 @ small[0][0].T
agree(x_slope, lambda x: loss(small, x, small_y), small_x, name="slope in the inputs")
assert np.allclose(x_slope, table.x_grad)
moved = small_x - 0.5 * x_slope
print(f"loss {loss(small, small_x, small_y):.4f}, moved downhill {loss(small, moved, small_y):.4f}")
assert loss(small, moved, small_y) < loss(small, small_x, small_y)

# %% [markdown]
# **2.** $W$ reaches $L$ in two ways, and effects add up: the slope is the sum of those that the two
# layers would have, each by step 7.

# %%
tied_W = jnp.array(rng.normal(size=(4, 4)))
tied = lambda W: [square[0], (W, square[1][1]), (W, square[1][1]), square[2]]
each = loss_grad(tied(tied_W), four, classes)
agree(
    each[1][0] + each[2][0], lambda W: loss(tied(W), four, classes), tied_W, name="a shared matrix"
)

# %% [markdown]
# **3.** $\partial L / \partial a_{l-1} = g + (g \odot f'(z_l))\, W_l^\top$ with
# $g = \partial L / \partial a_l$. The first term is $g$ itself: whatever the weights and bends do,
# the gradient also passes unchanged. Notebook 06 measures what that is worth.

# %%
W, b = square[0]
residual = lambda a: a + tanh(a @ W + b)
g = jnp.array(rng.normal(size=(7, 4)))
agree(
    g + (g * tanh_grad(four @ W + b)) @ W.T, lambda a: g * residual(a), four, name="residual layer"
)

# %% [markdown]
# **4.** With $p = \sigma(z_2)$: $\delta_2 = 2 (p - 1)\, p (1 - p)$, and the rest is step 7, with
# the slope of ReLU, 1 for each hidden unit, since all three sums are positive.

# %%
draws = np.random.RandomState(42)
W1, b1, W2, b2 = [jnp.array(draws.rand(*s)) for s in ((2, 3), (3,), (3, 1), (1,))]
point, target = jnp.array([[0.5, 0.8]]), jnp.array([[1.0]])


def recipe_loss(params):
    W1, b1, W2, b2 = params
    hidden = jax.nn.relu(point @ W1 + b1)
    return squared_error(sigmoid(hidden @ W2 + b2), target).sum()


z1 = point @ W1 + b1
p = sigmoid(jax.nn.relu(z1) @ W2 + b2)
print("hidden:", z1[0].round(8), "output:", p[0].round(8))
delta_2 = 2 * (p - target) * p * (1 - p)
delta_1 = (delta_2 @ W2.T) * (z1 > 0)
by_hand = point.T @ delta_1, delta_1[0], z1.T @ delta_2, delta_2[0]
agree(by_hand, recipe_loss, (W1, b1, W2, b2), name="the recipe, continued")
assert np.allclose(p, 0.91942216, atol=1e-8)
assert (z1 > 0).all()
