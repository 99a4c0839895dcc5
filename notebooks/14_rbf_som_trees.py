# %% [markdown]
# # 14 Radial units, maps and trees
#
# In a dense layer every unit looks at everything and answers everywhere. What if a unit knew only
# its neighbourhood? Then the question is: neighbours in what?
#
# Here are three answers. Neighbours among the **inputs**: a radial unit answers near its centre.
# Neighbours on a **map**: units that stand side by side learn alike. Neighbours in a **tree**: a
# node asks its children, and nobody else.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from _shared import COLORS, INK, agree, panels
from sklearn.datasets import load_digits

from jaxnn import layers, losses, networks, optimizers

jax.config.update("jax_enable_x64", True)  # finite differences need the digits

# Near in the inputs: seven radial units fit 40 noisy points.
rng = np.random.default_rng(0)
at = jnp.array(np.sort(rng.uniform(-3, 3, 40)))[:, None]
t = jnp.sin(2 * at) + 0.3 * at + jnp.array(rng.normal(0, 0.1, at.shape))
fit_radial = jax.jit(
    lambda x, t: networks.rbf_fit(jax.random.key(0), x, t, 7, overlap=0.8, ridge=0.05)
)
radial = fit_radial(at, t)

# Near on a map: 14 x 5 units are laid over points in a crescent.
angle = rng.uniform(0, 1.1 * np.pi, 500)
crescent = np.stack([np.cos(angle), np.sin(angle)], 1) * rng.uniform(0.6, 1.2, (500, 1))
crescent = jnp.array(crescent)
batch_step = jax.jit(networks.som_batch_step(30, radius=5.0, final_radius=0.6))
state = networks.som_from_plane((14, 5), crescent), jnp.array(0)
for _ in range(30):
    state, _ = batch_step(state, crescent, None)
sheet = state[0]["codebook"]

# Near in a tree: formulas of logic, and the truth of every part of them.
AND, OR, NOT = 2, 3, 4  # 0 and 1 are false and true
SIGNS = "01∧∨¬"


def formula(rng, most):
    """A random formula of at most `most` levels below its root, and its truths."""
    if most == 0 or rng.random() < 0.15:
        bit = int(rng.integers(2))
        return bit, bit
    sign = int(rng.integers(AND, NOT + 1))
    parts = [formula(rng, most - 1) for _ in range(1 if sign == NOT else 2)]
    below = [truth[0] if isinstance(truth, tuple) else truth for _, truth in parts]
    truth = {AND: all(below), OR: any(below), NOT: not below[0]}[sign]
    return (sign, *(part for part, _ in parts)), (int(truth), *(truth for _, truth in parts))


def packed(count, most):
    trees, truths = zip(*(formula(rng, most) for _ in range(count)), strict=True)
    return networks.pack_trees(trees), networks.pack_trees(truths)[0]


network = networks.recursive_network(5, 12, 2, every_node=True)
(ids, tree), truths = packed(300, 3)
optimizer = optimizers.adam(0.03)


def mean_loss(params):
    each = losses.sparse_categorical_cross_entropy(network.apply(params, (ids, tree)), truths)
    return losses.weighted_mean(each, tree.mask.astype(each.dtype))


@jax.jit
def learn(params):
    def step(state, _):
        params, memory = state
        loss, grads = jax.value_and_grad(mean_loss)(params)
        updates, memory = optimizer.update(grads, memory)
        return (optax.apply_updates(params, updates), memory), loss

    (params, _), history = jax.lax.scan(step, (params, optimizer.init(params)), length=100)
    return params, history


logic, history = learn(network.init(jax.random.key(0)))
(new_ids, new_tree), new_truths = packed(200, 6)
said = jax.jit(network.apply)(logic, (new_ids, new_tree)).argmax(-1)
right_at_root = (said == new_truths)[:, -1].mean()
print(f"trained on trees of up to 4 levels, loss {history[-1]:.4f};", end=" ")
print(f"{right_at_root:.0%} of 200 trees of up to 7 levels are right")


def draw_tree(ax, ids, depths, said):
    """Nodes in postorder: a node stands over the middle of its children."""
    waiting, leaves = {}, 0
    for sign, depth, truth in zip(ids, depths, said, strict=True):
        below = waiting.pop(depth + 1, [])
        place = np.mean(below) if below else leaves
        leaves += not below
        for child in below:
            ax.plot([place, child], [-depth, -depth - 1], color=INK, lw=0.9, zorder=1)
        ax.plot(place, -depth, "o", ms=12, color=COLORS[0] if truth else COLORS[1], zorder=2)
        label = dict(color="white", size=8, ha="center", va="center_baseline", zorder=3)
        ax.text(place, -depth, SIGNS[sign], **label)
        waiting.setdefault(depth, []).append(place)
    ax.set_axis_off()


left, middle, last = panels(3, height=2.5, width=7.2)
line = jnp.linspace(-7, 7, 300)[:, None]
phi = layers.radial_basis(radial["radial_basis_0"], line)
left.plot(line, phi * radial["dense_0"]["kernel"][:, 0], color=INK, lw=0.8, alpha=0.6)
left.plot(line, layers.dense(radial["dense_0"], phi), color=COLORS[0])
left.plot(at, t, "o", ms=3, color=COLORS[1])
left.set(title="near in the inputs", xlabel="$x$")
middle.plot(*crescent.T, "o", ms=2, color=COLORS[1], alpha=0.35)
for strand in (*sheet, *sheet.transpose(1, 0, 2)):
    middle.plot(*strand.T, "o-", ms=2, lw=0.9, color=COLORS[0])
middle.set(title="near on a map", xticks=[], yticks=[], aspect="equal")
sizes = np.array(new_tree.mask.sum(1))
depths = np.array(new_tree.depths.max(1))
pick = np.flatnonzero((sizes > 12) & (sizes < 20) & (depths > 3))[0]
there = np.array(new_tree.mask[pick])
draw_tree(last, *(np.array(a[pick])[there] for a in (new_ids, new_tree.depths, said)))
last.set(title="near in a tree")
plt.show()

# %% [markdown]
# Left: grey bumps, each with its own height, add up to the blue curve; far from all of them it is
# flat. Middle: a sheet of units, bent into a crescent and not torn or folded. Right: a formula
# that the network has not seen, in a tree deeper than it has seen. The colours are its answers at
# each node, true (blue) or false (orange). It learned three signs, not trees.
#
# ## Notation
#
# | symbol | shape | meaning |
# |---|---|---|
# | $x$ | $[n, d]$ | inputs, one per row; $x_i$ is $[d]$ |
# | $c_k$, $s_k$ | $[d]$, $[\,]$ | centre and width of radial unit $k = 1 \dots K$ |
# | $\phi_k$ | $[n]$ | activation of unit $k$; $\Phi$ is $[n, K]$ |
# | $v$, $t$ | $[K]$, $[n]$ | weights of the output, and targets |
# | $w_j$, $r_j$ | $[d]$, $[2]$ | code of unit $j$ of a map, and its place on the grid |
# | $b(x)$ | | the unit whose code is nearest to $x$, the best matching one |
# | $h_{bj}$ | | how much $j$ is a neighbour of $b$, by $\lVert r_b - r_j \rVert$ only |
# | $h_j$ | $[m]$ | state of node $j$ of a tree; $x_j$ its input, $C(j)$ its children |
# | $W, U, b$ | $[d, m], [m, m], [m]$ | weights of a tree, the same at every node |
# | $g$ | | what comes back from the loss: $\partial L / \partial\,$output |
#
# (Two fields, two meanings of $h$ and of $b$: with two indices $h_{bj}$ belongs to a map, with one
# $h_j$ to a tree.)
#
# ## Derivation
#
# ### Radial units
#
# **1.** A unit measures how far $x$ is from its centre, in its own widths:
#
# $$d_k = \frac{x - c_k}{s_k}, \qquad \phi_k = e^{-\frac12 \lVert d_k \rVert^2} .$$
#
# The network is $f(x) = \sum_k v_k \phi_k(x) + \text{bias}$.
#
# **2.** If centres and widths are given, $f$ is **linear** in what is left. Without the bias,
# minimize $\lVert \Phi v - t \rVert^2 + \lambda \lVert v \rVert^2$: its gradient is zero where
#
# $$(\Phi^\top \Phi + \lambda I)\, v = \Phi^\top t .$$
#
# One set of equations, no iterations, no local minima.
#
# **3.** Centres and widths can learn as well. From $\partial \phi_k / \partial d_k = -\phi_k d_k$,
# and with $\log s_k$ as the parameter, so that a width stays positive,
#
# $$\begin{aligned}
# \partial \phi_k / \partial c_k &= \phi_k\, d_k / s_k && [d] \\
# \partial \phi_k / \partial x &= -\phi_k\, d_k / s_k && [d] \\
# \partial \phi_k / \partial \log s_k &= \phi_k \lVert d_k \rVert^2 && [\,]
# \end{aligned}$$
#
# **4.** All three have the factor $\phi_k$. Six widths away it is $10^{-8}$, and 40 widths away it
# is no float any more. A unit that no example is near learns nothing, ever. So let the data place
# the centres first.
#
# ### Maps
#
# **5.** Let only the nearest code answer for an input. The mean squared distance,
#
# $$E = \tfrac12\, \mathrm{mean}_i\, \min_j \lVert x_i - w_j \rVert^2 ,$$
#
# has the gradient $w_j - x_i$ for the nearest code, and 0 for the others. (Where two are equally
# near, the minimum has a kink, but no jump.) Going downhill, each code moves to the middle of
# its inputs: that is k-means. The codes are in no order.
#
# **6.** Kohonen's rule lets the neighbours come along:
#
# $$\begin{aligned}
# w_j &\leftarrow w_j + \eta\, h_{b(x) j}\, (x - w_j) , \\
# h_{bj} &= e^{-\lVert r_b - r_j \rVert^2 / 2 \sigma^2} .
# \end{aligned}$$
#
# Neighbours **on the grid**, wherever their codes are. That pulls the order of the grid into the
# codes.
#
# **7.** Which energy goes down? Many texts say
# $F = \frac12 \mathrm{mean}_i \sum_j h_{b(x_i) j} \lVert x_i - w_j \rVert^2$. If $b$ stays as it
# is, the rule is indeed $-\partial F / \partial w_j$. But $b$ depends on $w$. Where $x_i$ is
# equally near to two codes, $b$ changes, all $h_{bj}$ change with it, and $F$ **jumps**: the
# winners' terms are equal there, those of their neighbours are not.
#
# **8.** Perhaps another energy does it? No. On average over inputs of density 1 in $[0, 1]$, the
# rule moves code $j$ by $V_j = \int h_{b(x) j} (x - w_j)\, dx$. If $V = -\nabla E$ for some $E$,
# then $\partial V_j / \partial w_k = \partial V_k / \partial w_j$, as second derivatives commute.
# Take three units in a row, $w_1 < w_2 < w_3$, and write $h_0, h_1, h_2$ for $h$ of a unit, of its
# neighbour, and of the one after. The cells meet at $m = \frac12 (w_1 + w_2)$ and
# $m' = \frac12 (w_2 + w_3)$:
#
# $$\begin{aligned}
# V_1 &= \textstyle ( h_0 \!\int_0^m + h_1 \!\int_m^{m'} + h_2 \!\int_{m'}^1 ) (x - w_1)\, dx \\
# V_3 &= \textstyle ( h_2 \!\int_0^m + h_1 \!\int_m^{m'} + h_0 \!\int_{m'}^1 ) (x - w_3)\, dx
# \end{aligned}$$
#
# **9.** $V_1$ knows of $w_3$ only through $m'$, and $V_3$ of $w_1$ through $m$:
#
# $$\begin{aligned}
# \partial V_1 / \partial w_3 &= \tfrac12 (h_1 - h_2)(m' - w_1) \\
# \partial V_3 / \partial w_1 &= \tfrac12 (h_1 - h_2)(w_3 - m) \\
# \text{gap} &= \tfrac12 (h_1 - h_2) \big( w_2 - \tfrac{w_1 + w_3}{2} \big) .
# \end{aligned}$$
#
# The gap is not zero, unless the codes are evenly spaced or $h_1 = h_2$ (as in k-means, where both
# are 0). **Kohonen's rule is in general not the gradient of any energy** (Erwin, Obermayer and
# Schulten, 1992).
#
# **10.** A repair (Heskes, 1999): let that unit win whose **neighbourhood** fits best,
# $b^*(x) = \arg\min_b \sum_j h_{bj} \lVert x - w_j \rVert^2$. Then
#
# $$F^* = \tfrac12\, \mathrm{mean}_i \min_b \sum_j h_{bj} \lVert x_i - w_j \rVert^2$$
#
# is a minimum of smooth functions, continuous as in step 5, and its gradient is
# $\mathrm{mean}_i\, h_{b^*(x_i) j} (w_j - x_i)$: the rule, with $b^*$ for $b$.
#
# ### Trees
#
# **11.** The state of a node comes from its input and its children:
#
# $$\begin{aligned}
# z_j &= x_j W + \sum_{k \in C(j)} h_k\, U + b , \\
# h_j &= \tanh z_j .
# \end{aligned}$$
#
# Leaves first, the root last. The weights are the same everywhere, so any tree will do.
#
# **12.** Let $\delta_j = \partial L / \partial z_j$. A node is seen by the loss, which sends $g_j$,
# and by **one** parent $p$, in whose $z_p$ it appears as $h_j U$. Therefore
#
# $$\delta_j = (g_j + \delta_p U^\top) \odot (1 - h_j^2) ,$$
#
# from the root, which has no parent, to the leaves.
#
# **13.** The weights are used at every node, so their gradients add up. With $k$ over the children
# of $j$,
#
# $$\begin{aligned}
# \partial L / \partial W &= \textstyle \sum_j x_j^\top \delta_j && [d, m] \\
# \partial L / \partial U &= \textstyle \sum_j \big( \sum_k h_k \big)^\top \delta_j && [m, m] \\
# \partial L / \partial b &= \textstyle \sum_j \delta_j && [m]
# \end{aligned}$$
#
# **14.** From the root to a leaf, one factor $U^\top \odot (1 - h^2)$ for each level. A chain of
# $n$ nodes has $n - 1$ of them; a balanced tree $\log_2 n$. A tree is a shortcut. The TreeLSTM adds
# another, a memory $c_j = i_j \odot u_j + \sum_k f_{jk} \odot c_k$, along which an error is
# multiplied only by the forget gates $f$.
#
# ## Code


# %%
def radial_units(params, x):
    c, log_s = params
    d = (x[:, None] - c) / jnp.exp(log_s)[:, None]
    return jnp.exp(-0.5 * (d**2).sum(-1)), d


def radial_units_vjp(g, params, x):
    phi, d = radial_units(params, x)
    pull = (g * phi)[..., None] * d / jnp.exp(params[1])[:, None]  # step 3
    return (pull.sum(0), (g * phi * (d**2).sum(-1)).sum(0)), -pull.sum(1)


def neighbourhood(grid, sigma):
    r = jnp.stack(jnp.meshgrid(*map(jnp.arange, grid), indexing="ij"), -1).reshape(-1, 2)
    return jnp.exp(-((r[:, None] - r) ** 2).sum(-1) / (2 * sigma**2))


def squares(w, x):
    return ((x[:, None] - w) ** 2).sum(-1)


def kohonen(w, x, h, eta):
    b = squares(w, x).argmin(1)
    return w + eta * (h[b][..., None] * (x[:, None] - w)).mean(0)  # step 6


def heskes(w, x, h):
    return 0.5 * (squares(w, x) @ h.T).min(1).mean()  # step 10


def heskes_grad(w, x, h):
    b = (squares(w, x) @ h.T).argmin(1)
    return (h[b][..., None] * (w - x[:, None])).mean(0)


def tree_forward(params, x, parents):
    """Nodes in postorder; `parents[j]` is the parent of j, and the root is its own."""
    W, U, b = params
    h, below = [], [jnp.zeros(len(b)) for _ in parents]
    for j, p in enumerate(parents):
        h.append(jnp.tanh(x[j] @ W + below[j] @ U + b))  # step 11
        if p != j:
            below[p] = below[p] + h[j]
    return jnp.stack(h), jnp.stack(below)


def tree_vjp(g, params, x, parents):
    W, U, _ = params
    h, below = tree_forward(params, x, parents)
    delta = [None] * len(parents)
    for j in reversed(range(len(parents))):
        from_parent = 0 if parents[j] == j else delta[parents[j]] @ U.T
        delta[j] = (g[j] + from_parent) * (1 - h[j] ** 2)  # step 12
    delta = jnp.stack(delta)
    return (x.T @ delta, below.T @ delta, delta.sum(0)), delta @ W.T  # step 13


# %% [markdown]
# A map of something with more than two dimensions: 600 pictures of handwritten digits, 64 numbers
# each. The map is told no labels.

# %%
digits, labels = load_digits(return_X_y=True)
digits, labels = jnp.array(digits[:600] / 16), labels[:600]
digits_step = jax.jit(networks.som_batch_step(30, radius=5.0, final_radius=0.7))
state = networks.som_from_plane((9, 9), digits), jnp.array(0)
for _ in range(30):
    state, _ = digits_step(state, digits, None)
atlas = state[0]

left, right = panels(2, height=3.2)
pictures = np.pad(atlas["codebook"].reshape(9, 9, 8, 8), [(0, 0), (0, 0), (1, 1), (1, 1)])
pictures = pictures.transpose(0, 2, 1, 3).reshape(90, 90)
left.imshow(pictures, cmap="Greys")
left.set(title="the codes, as pictures", xticks=[], yticks=[])
heights = np.array(networks.u_matrix(atlas))
right.imshow(heights, cmap="Blues", vmin=heights.min(), vmax=1.4 * heights.max())
nearest = np.array(squares(atlas["codebook"].reshape(81, 64), digits).argmin(1))
for unit in np.unique(nearest):
    most = np.bincount(labels[nearest == unit]).argmax()
    look = dict(ha="center", va="center", size=9, color="#111111")
    right.text(unit % 9, unit // 9, str(most), **look)
right.set(title="how far from their neighbours", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# Left, each unit's code: walk over the map, and one digit turns into another. Right, the U-matrix:
# the darker, the farther a code is from those of its neighbours. Borders between kinds show. The
# labels were written on afterwards: each unit's most frequent digit. Most equal ones
# lie together.
#
# And step 14, measured: a chain of 40 nodes, with random weights. How much does the root feel of
# each node's input?

# %%
chain = (0,)
for _ in range(39):
    chain = (0, chain)
_, deep = networks.pack_trees([chain])
nodes = jax.random.normal(jax.random.key(0), (1, 40, 16))
at_root = jnp.zeros((1, 40, 16)).at[:, -1].set(1)
simple = layers.tree_rnn_init(jax.random.key(1), 16, 16)
gated = layers.tree_lstm_init(jax.random.key(1), 16, 16)


def felt(vjp, params):
    """Length of the gradient in each node's input, from the root down, over that at the root."""
    lengths = jnp.linalg.norm(vjp(at_root, params, nodes, deep)[1][0], axis=-1)[::-1]
    return lengths / lengths[0]


lstm_felt = jax.jit(lambda bias: felt(layers.tree_lstm_vjp, gated | {"hf": gated["hf"] | bias}))
rnn = jax.jit(lambda: felt(layers.tree_rnn_vjp, simple))()
open_gates = {bias: lstm_felt({"bias": jnp.full(16, bias)}) for bias in (1.0, 4.0)}
ax = panels(height=2.3, width=5)
ax.semilogy(rnn, color=COLORS[1], label="$\\tanh$")
ax.semilogy(open_gates[1.0], "--", color=COLORS[0], label="TreeLSTM, forget bias 1")
ax.semilogy(open_gates[4.0], color=COLORS[0], label="TreeLSTM, forget bias 4")
ax.set(xlabel="levels below the root", ylabel="gradient, relative")
ax.legend(loc="lower left")
plt.show()
print(f"39 levels down: {rnn[-1]:.0e}, {open_gates[1.0][-1]:.0e}, {open_gates[4.0][-1]:.0e}")

# %% [markdown]
# The simple tree loses about two fifths at each level, and 40 levels down nothing arrives. In the
# TreeLSTM a forget gate with bias 4 starts at $\sigma(4) = 0.98$, nearly open, and the way down is
# free. At the customary bias of 1 it starts at 0.73: better, but no miracle.
#
# ## Check

# %%
rng = np.random.default_rng(1)
normal = lambda *shape: jnp.array(rng.normal(size=shape))
x, units = normal(6, 2), (normal(4, 2), 0.3 * normal(4))
g = normal(6, 4)
by_units, by_x = radial_units_vjp(g, units, x)
f = lambda units, x: g * radial_units(units, x)[0]
agree(by_units, f, units, x, name="radial units")
agree(by_x, lambda x, units: f(units, x), x, units, name="their input")
named = {"centers": units[0], "log_widths": units[1]}
agree(by_x, lambda x: g * layers.radial_basis(named, x), x, name="jaxnn's")
theirs, _ = layers.radial_basis_vjp(g, named, x)
assert jnp.allclose(theirs["centers"], by_units[0], atol=1e-14)

# %% [markdown]
# A tree with seven nodes, written `(6, (2, 0, 1), (5, 3, 4))`, with a loss at every node:

# %%
assert right_at_root > 0.95
assert rnn[-1] < 1e-6
assert open_gates[4.0][-1] > 1e4 * rnn[-1]
parents = (2, 2, 6, 5, 5, 6, 6)
_, seven = networks.pack_trees([(6, (2, 0, 1), (5, 3, 4))])
params, x, g = (normal(3, 4), normal(4, 4), normal(4)), normal(7, 3), normal(7, 4)
by_params, by_x = tree_vjp(g, params, x, parents)
agree(by_params, lambda p: g * tree_forward(p, x, parents)[0], params, name="tree, its weights")
flax = {"i": {"kernel": params[0], "bias": params[2]}, "h": {"kernel": params[1]}}
agree(by_x, lambda x: g * layers.tree_rnn(flax, x[None], seven)[0], x, name="jaxnn's, its inputs")

# %% [markdown]
# Kohonen's rule against the library's, and Heskes's energy against its gradient:

# %%
h = neighbourhood((3, 4), 0.8)
w, x = normal(12, 2), normal(50, 2)
step = networks.som_step(10, rate=0.5, final_rate=0.5, radius=0.8, final_radius=0.8)
(moved, _), _ = step(({"codebook": w.reshape(3, 4, 2)}, jnp.array(0)), x, None)
assert jnp.allclose(kohonen(w, x, h, 0.5), moved["codebook"].reshape(12, 2), atol=1e-14)
agree(heskes_grad(w, x, h), heskes, w, x, h, name="Heskes's energy")

# %% [markdown]
# ## Break it
#
# **Take Kohonen's rule for a gradient.** Step 9 in numbers. The derivatives of $V$, by autodiff,
# make a matrix that would be symmetric if there were an energy:


# %%
def drift(w, h):
    """V of step 8."""
    ends = jnp.array([0, (w[0] + w[1]) / 2, (w[1] + w[2]) / 2, 1])
    cell = lambda j: ((ends[1:] - w[j]) ** 2 - (ends[:-1] - w[j]) ** 2) / 2
    return jnp.stack([(h[:, j] * cell(j)).sum() for j in range(3)])


h = neighbourhood((1, 3), 0.8)
for w in (jnp.array([0.2, 0.5, 0.8]), jnp.array([0.1, 0.3, 0.9])):
    slopes = jax.jacobian(drift)(w, h)
    gap = 0.5 * (h[0, 1] - h[0, 2]) * (w[1] - (w[0] + w[2]) / 2)
    found = slopes[0, 2] - slopes[2, 0]
    print(w, f"asymmetry {float(found):z.6f}, by step 9 {float(gap):z.6f}")
    assert jnp.isclose(found, gap, atol=1e-12)
assert abs(gap) > 0.01
k_means = jax.jacobian(drift)(w, jnp.eye(3))
assert jnp.allclose(k_means, k_means.T)  # without neighbours there is an energy

# %% [markdown]
# And the energy $F$ of step 7, as one code slides past: it jumps whenever an input changes hands.

# %%
h, x = neighbourhood((1, 3), 0.8), jnp.array([[0.15], [0.4], [0.45], [0.95]])
slide = jnp.linspace(0.1, 0.84, 741)
codes = jnp.stack([jnp.full_like(slide, 0.05), slide, jnp.ones_like(slide)], 1)[..., None]


@jax.jit
@jax.vmap
def both(w):
    distances = squares(w, x)
    usual = 0.5 * (distances * h[distances.argmin(1)]).sum(1).mean()
    return usual, heskes(w, x, h)


usual, repaired = both(codes)
ax = panels(height=2.2, width=5)
ax.plot(slide, usual, ".", ms=1.5, color=COLORS[1], label="$F$, nearest code wins")
ax.plot(slide, repaired, color=COLORS[0], label="$F^*$, best neighbourhood wins")
ax.set(xlabel="code of the middle unit", ylabel="energy", ylim=(0.06, 0.18))
ax.legend(loc="upper right", markerscale=6)
plt.show()
jumps = [np.abs(np.diff(values)).max() for values in (usual, repaired)]
print(f"largest change in a step of 0.001: F {jumps[0]:.4f}, F* {jumps[1]:.4f}")
assert jumps[0] > 10 * jumps[1]

# %% [markdown]
# **Forget the neighbours.** With a radius near 0 the map is k-means: its codes fit the data at
# least as well, but are in no order. The topographic error counts the inputs whose two nearest
# units are not neighbours.

# %%
start = networks.som_from_samples(jax.random.key(0), (14, 5), crescent)
alone = jax.jit(networks.som_batch_step(30, radius=0.05, final_radius=0.05))
state = start, jnp.array(0)
for _ in range(30):
    state, _ = alone(state, crescent, None)
for name, params in (("map", {"codebook": sheet}), ("k-means", state[0])):
    order = networks.topographic_error(params, crescent)
    fit = networks.quantization_error(params, crescent)
    print(f"{name}: topographic error {order:.2f}, mean distance {fit:.3f}")
assert networks.topographic_error({"codebook": sheet}, crescent) < 0.2
assert order > 0.7

# %% [markdown]
# **Start far away.** Data around 50, centres around 0, widths of 1 (step 4):

# %%
net = networks.rbf_network(1, 7, 1)
params = net.init(jax.random.key(0))
slopes = jax.grad(lambda params: ((net.apply(params, at + 50) - t) ** 2).mean())(params)
print("largest slope of a centre:", jnp.abs(slopes["radial_basis_0"]["centers"]).max())
assert not slopes["radial_basis_0"]["centers"].any()
fitted = fit_radial(at + 50, t)
assert ((net.apply(fitted, at + 50) - t) ** 2).mean() < 0.1  # k-means goes where the data is

# %% [markdown]
# **Ask for order.** The children of a node are added up, and a sum does not know its order. "And"
# and "or" do not mind. "Implies" would: $1 \Rightarrow 0$ and $0 \Rightarrow 1$ get one answer, so
# one is wrong, whatever the weights. (A cure: give each child an input that says which one it is.)

# %%
one_way, tree = networks.pack_trees([(2, 1, 0), (2, 0, 1)])
answers = networks.recursive_network(5, 12, 2).apply(logic, (one_way, tree))
print("answers to (1, 0) and (0, 1):", *np.array(answers).round(3))
assert jnp.allclose(answers[0], answers[1], atol=1e-12)

# %% [markdown]
# ## Exercises
#
# 1. At what distance from its centre is a radial unit most sensitive to its input? How sensitive?
# 2. What does a radial network say very far from all data? Compare a ReLU network.
# 3. What happens to a map whose radius $\sigma$ never shrinks from a very large value?
# 4. Sixteen words, $U = \frac12 I$, and states so small that $\tanh$ is a line. By what factor is
#    the first word's gradient smaller than the root's in a chain of 16 nodes? And if the words are
#    the leaves of a balanced tree?
#
# Try them before you read on.
#
# ## Answers
#
# **1.** The slope is $\phi \lVert d \rVert / s$ with $\phi = e^{-d^2/2}$. Its derivative in $d$ is
# $(1 - d^2) \phi / s$: at one width, where it is $e^{-1/2} / s = 0.607 / s$. A unit knows most
# about the rim of its neighbourhood; at the centre it is flat.

# %%
s, far = 2.0, jnp.linspace(0, 8, 801)
unit = lambda x: jnp.exp(-0.5 * (x / s) ** 2)
slope = jax.vmap(jax.grad(unit))(far)
agree(-unit(far) * far / s**2, unit, far, name="one unit")
print(f"steepest at {far[jnp.abs(slope).argmax()] / s} widths: {jnp.abs(slope).max() * s:.4f} / s")
assert jnp.isclose(far[jnp.abs(slope).argmax()], s)
assert jnp.isclose(jnp.abs(slope).max(), np.exp(-0.5) / s)

# %% [markdown]
# **2.** Its bias, and nothing else: all units are silent. That is an honest "I don't know". A ReLU
# network is linear far away, and surer the farther it goes.

# %%
far_away = networks.rbf_network(1, 7, 1).apply(radial, jnp.array([[1000.0]]))
print(f"at 1000: {far_away[0, 0]:.6f}, bias: {radial['dense_0']['bias'][0]:.6f}")
assert far_away[0, 0] == radial["dense_0"]["bias"][0]

# %% [markdown]
# **3.** Every $h_{bj}$ is 1: all units learn alike, from all inputs, and meet in the mean. The
# radius has to shrink for the map to unfold.

# %%
wide = networks.som_batch_step(5, radius=1e6, final_radius=1e6)
(one_point, _), _ = wide((start, jnp.array(0)), crescent, None)
assert jnp.allclose(one_point["codebook"], crescent.mean(0), atol=1e-9)

# %% [markdown]
# **4.** One factor $\frac12$ for each level (step 14): $2^{-15}$ in the chain, and $2^{-4}$ in the
# tree.

# %%
chain = (*range(1, 16), 15)
leaf = lambda depth, name: name if depth == 0 else (name, *[leaf(depth - 1, name)] * 2)
_, balanced = networks.pack_trees([leaf(4, 0)])
small = {"i": {"kernel": jnp.eye(1), "bias": jnp.zeros(1)}, "h": {"kernel": jnp.eye(1) / 2}}
root = lambda x: layers.tree_rnn(small, x, balanced)[0, -1, 0]
in_tree = jax.grad(root)(jnp.zeros((1, 31, 1)))[0, :, 0]
plain = (jnp.eye(1), jnp.eye(1) / 2, jnp.zeros(1))
_, in_chain = tree_vjp(jnp.zeros((16, 1)).at[-1].set(1), plain, jnp.zeros((16, 1)), chain)
print("chain:", in_chain[0, 0], "tree:", in_tree[0])
assert in_chain[0, 0] == 2.0**-15
assert in_tree[0] == 2.0**-4
