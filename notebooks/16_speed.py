# %% [markdown]
# # 16 Speed: what jit, vmap and closed forms buy
#
# A network of 41 weights learns two moons: 50 epochs, 1,250 steps. Written as a loop in Python it
# takes half a minute or so. Written as one program it takes some hundredths of a second,
# for the same numbers. The arithmetic is the same. Where did the time go?

# %%
import time

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from _shared import COLORS, INK, agree, panels
from sklearn.datasets import make_moons

from jaxnn import activations, losses, make_fit, networks, optimizers
from jaxnn.losses import binary_cross_entropy, sparse_categorical_cross_entropy
from jaxnn.training import TrainState, gradient_step, supervised

jax.config.update("jax_enable_x64", True)  # finite differences need the digits


def median_seconds(f, repeats=5):
    """Median time of a call, after one that compiles; JAX returns before it has computed."""
    jax.block_until_ready(f())
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(f())
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


x, y = make_moons(800, noise=0.2, random_state=0)
data = jnp.array(x), jnp.array(y[:, None], float)
batch = data[0][:32], data[1][:32]
network = networks.mlp([2, 10, 1])
loss_fn = supervised(network, binary_cross_entropy)
optimizer = optimizers.adam(0.01)
step = gradient_step(loss_fn, optimizer)
params = network.init(jax.random.key(0))
state = TrainState(params, optimizer.init(params), None)
fit = make_fit(loss_fn, optimizer, epochs=50, batch_size=32)
STEPS = 50 * 25
keys = jax.random.split(jax.random.key(1), 16)
compiled_step = jax.jit(step)
population = jax.jit(jax.vmap(lambda key: fit(params, data, key=key).params))


def a_hundred():
    current = state
    for _ in range(100):
        current, _ = compiled_step(current, batch, None)
    return current


seconds = {
    "each operation\nfrom Python": median_seconds(lambda: step(state, batch, None), 3),
    "each step\none program": median_seconds(a_hundred) / 100,
    "all steps\none program": median_seconds(lambda: fit(params, data, key=keys[0])) / STEPS,
    "16 networks\none program": median_seconds(lambda: population(keys)) / STEPS / 16,
}
ax = panels(height=2.6)
bars = ax.bar(list(seconds), [1e6 * s for s in seconds.values()], color=COLORS[0], width=0.55)
best = min(seconds.values())
for bar, value in zip(bars, seconds.values(), strict=True):
    at = bar.get_x() + bar.get_width() / 2, bar.get_height()
    label = f"x {value / best:,.0f}" if value / best > 1.5 else "1"
    ax.annotate(label, at, ha="center", va="bottom", color=INK, fontsize=9)
ax.set(yscale="log", ylabel="microseconds per step", title="one step of training, as measured here")
ax.margins(y=0.2)
plt.show()

# %% [markdown]
# Every bar computes the same step. (The heights, and the times above, are those of the machine that
# drew them; what this notebook claims below is counted, not timed, and true on yours as well.)
#
# ## Notation
#
# | symbol | shape | meaning |
# |---|---|---|
# | $c$ | $[\,]$ | time to start one compiled program from Python, tens of microseconds |
# | $k$ | $[\,]$ | operations in a step |
# | $t_i$ | $[\,]$ | time that operation $i$ computes |
# | $N$, $M$ | $[\,]$ | steps; networks |
# | $C$ | $[\,]$ | time to trace and compile |
# | $x$ | $[n, d]$ | features before an output layer |
# | $W$ | $[d, K]$ | its kernel, for $K$ classes |
# | $y$ | $[n]$ | the right classes |
# | $z = xW$, $p$ | $[n, K]$ | logits and their softmax |
#
# ## Derivation
#
# ### Starting things
#
# **1.** Run from Python, every operation is a program of its own: $T = N \sum_i (c + t_i)$. For a
# small network $t_i$ is a microsecond or less. Almost all of $T$ is $Nkc$: the time goes into
# **starting** to compute.
#
# **2.** `jit` makes one program of a step: $T = N (c + \sum_i t_i)$. The $k$ is gone. And where
# $t_i$ counts, it shrinks too: a chain of $k$ elementwise operations on $n$ numbers reads and
# writes $2kn$ numbers, and as one fused loop $2n$.
#
# **3.** A loop inside the program (`scan`) makes one program of all steps: $T = c + N \sum_i t_i$.
# Only arithmetic is left, so only now does a faster chip help.
#
# **4.** It costs $C$ once, for each shape of the inputs. It pays from
# $N > C / (\text{saved per step})$ on.
#
# **5.** `vmap` adds an axis: $M$ networks are still one program, and $M$ products of a matrix with
# a vector become one product of stacks of matrices, which is what chips are good at.
#
# ### Gradients
#
# **6.** A product $z = xW$ costs $2ndK$ operations (a multiplication and an addition for each
# term). Backwards there are two products of the same size, $\partial x = g W^\top$ and
# $\partial W = x^\top g$. So a gradient costs about three times its function, **whatever the number
# of weights**. Differences would cost one evaluation for each weight; so does forward mode.
#
# **7.** Reverse mode pays in memory: for each operation it keeps what its slope needs until the way
# back. Autodiff of $\log(1 + e^x)$ keeps $e^x$ for the one operation and $1 + e^x$ for another. Its
# closed form $\sigma(x)$ needs $x$ alone.
#
# ### A closed form that makes the impossible possible
#
# **8.** Cross-entropy over $K$ classes: $L = \sum_i \big( \ell_i - z_{i y_i} \big)$ with
# $\ell_i = \log \sum_k e^{z_{ik}}$. Autodiff keeps $z$ and $p$: twice $[n, K]$, and more while it
# computes. With 32,000 words and 16,000 positions, twice is 4 GB in float32, for one number per
# row.
#
# **9.** A sum can be taken in chunks. Keep a running maximum $m$ and the sum $s$ of $e^{z - m}$;
# when a chunk $z_c$ comes with a larger maximum $m'$, rescale:
#
# $$\begin{aligned}
# m' &= \max(m, \max z_c) \\
# s' &= s\, e^{m - m'} + \textstyle\sum e^{z_c - m'} \\
# \ell &= m + \log s \quad \text{after the last one.}
# \end{aligned}$$
#
# **10.** Backwards, $\partial z = g\,(p - 1_y)$ with $p = e^{z - \ell}$. Given $\ell$, each chunk
# of $p$ can be computed again from $x$ and $W_c$, used and forgotten:
#
# $$\partial x = \sum_c \partial z_c W_c^\top, \qquad \partial W_c = x^\top \partial z_c .$$
#
# One product more than autodiff (step 6: four instead of three), and $[n, K/\text{chunks}]$ of
# memory instead of $[n, K]$.
#
# ## Code

# %%
CHUNKS = 8


def cut(W):
    """`[chunks, d, K / chunks]`."""
    return W.reshape(W.shape[0], CHUNKS, -1).swapaxes(0, 1)


def log_sum(x, W):
    """The logarithm of the sum of step 8, by step 9."""

    def chunk(carry, W_c):
        m, s = carry
        z_c = x @ W_c
        higher = jnp.maximum(m, z_c.max(1))
        return (higher, s * jnp.exp(m - higher) + jnp.exp(z_c - higher[:, None]).sum(1)), None

    start = jnp.full(len(x), -jnp.inf, x.dtype), jnp.zeros(len(x), x.dtype)
    (m, s), _ = jax.lax.scan(chunk, start, cut(W))
    return m + jnp.log(s)


@jax.custom_vjp
def chunked(x, W, y):
    return log_sum(x, W) - (x * W[:, y].T).sum(1)


def chunked_forward(x, W, y):
    ell = log_sum(x, W)
    return ell - (x * W[:, y].T).sum(1), (x, W, y, ell)


def chunked_vjp(kept, g):
    x, W, y, ell = kept
    first = jnp.arange(CHUNKS) * (W.shape[1] // CHUNKS)

    def chunk(x_grad, inputs):
        W_c, k = inputs
        hot = y[:, None] == k + jnp.arange(W_c.shape[1])
        dz = g[:, None] * (jnp.exp(x @ W_c - ell[:, None]) - hot)  # step 10
        return x_grad + dz @ W_c.T, x.T @ dz

    x_grad, W_grad = jax.lax.scan(chunk, jnp.zeros_like(x), (cut(W), first))
    return x_grad, W_grad.swapaxes(0, 1).reshape(W.shape), None


chunked.defvjp(chunked_forward, chunked_vjp)


def whole(x, W, y):
    return sparse_categorical_cross_entropy(x @ W, y)


# %% [markdown]
# ## Check
#
# The chunked loss is the whole one, and its gradient is that of autodiff and of differences.

# %%
rng = np.random.default_rng(0)
features, kernel = jnp.array(rng.normal(size=(5, 3))), jnp.array(rng.normal(size=(3, 16)))
labels = jnp.array(rng.integers(0, 16, 5))
_, kept = chunked_forward(features, kernel, labels)
x_grad, W_grad, _ = chunked_vjp(kept, jnp.ones(5))
agree(x_grad, whole, features, kernel, labels, name="in the features")
agree(W_grad, lambda W: whole(features, W, labels), kernel, name="in the kernel")
assert jnp.allclose(chunked(features, kernel, labels), whole(features, kernel, labels))

# %% [markdown]
# How much memory it takes is known when it is compiled, before anything runs. The library has this
# loss as `losses.projected_cross_entropy`, with a bias.

# %%
n, d, K = 512, 32, 65536
shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((n, d), (d, K))]
ids = jax.ShapeDtypeStruct((n,), jnp.int32)


def library(x, W, y):
    return losses.projected_cross_entropy(x, W, jnp.zeros(W.shape[1], W.dtype), y)


memory = {}
for name, f in (("whole", whole), ("chunked", chunked), ("jaxnn", library)):
    total = lambda x, W, y, f=f: f(x, W, y).sum()
    compiled = jax.jit(jax.grad(total, (0, 1))).lower(*shapes, ids).compile()
    memory[name] = compiled.memory_analysis().temp_size_in_bytes
    print(f"{name:8} needs {memory[name] / 2**20:5.1f} MiB beside inputs and outputs")
print(f"one array of [n, K] is {4 * n * K / 2**20:.1f} MiB")
assert memory["whole"] >= 4 * n * K
assert memory["chunked"] < 4 * n * K / 2
assert memory["jaxnn"] < 4 * n * K / 2

# %% [markdown]
# Steps 1 to 3, counted. A step of training consists of so many operations, and that many programs
# would be started from Python. Compiled, it is one, and what is left inside are a few fused loops.

# %%
jaxpr = jax.make_jaxpr(step)(state, batch, None).jaxpr


def operations(jaxpr):
    """How many operations there are, inside called functions as well."""
    count = 0
    for eqn in jaxpr.eqns:
        inner = [p.jaxpr for p in eqn.params.values() if hasattr(p, "jaxpr")]
        count += sum(map(operations, inner)) if inner else 1
    return count


text = compiled_step.lower(state, batch, None).compile().as_text()
entry = text[text.index("ENTRY") :]
kernels = sum(
    f" {kind}(" in line for line in entry.splitlines() for kind in ("fusion", "dot", "call")
)
print(f"a step: {operations(jaxpr)} operations; compiled, {kernels} loops and products")
assert kernels < operations(jaxpr) / 2

# %% [markdown]
# Step 7, counted: what `jax.vjp` keeps for the way back.

# %%
at = jnp.linspace(-3, 3, 1000)
for name, f, arrays in (
    ("log(1 + exp(x)), autodiff", lambda x: jnp.log(1 + jnp.exp(x)), 2),
    ("the library's softplus", activations.softplus, 1),
):
    _, pull = jax.vjp(f, at)
    kept = [a for a in jax.tree.leaves(pull) if getattr(a, "size", 0) == at.size]
    print(f"{name}: {len(kept)} arrays as large as the input")
    assert len(kept) == arrays

# %% [markdown]
# And step 5: sixteen networks in one program are the networks they would have been alone.

# %%
together, alone = population(keys), fit(params, data, key=keys[3]).params
different = jax.tree.map(lambda a, b: float(jnp.abs(a[3] - b).max()), together, alone)
print(f"member 3 of 16, and alone, differ by {max(jax.tree.leaves(different)):.0e}")
assert max(jax.tree.leaves(different)) < 1e-9

# %% [markdown]
# ## Break it
#
# **A fresh function for each call.** JAX remembers a compiled program by the function it came from.
# A lambda written inside a loop is a new function every time; so is the optimizer made inside it.

# %%
traces = {"fresh": 0, "kept": 0}


def counted(name):
    def f(a):
        traces[name] += 1  # runs while tracing only
        return (a * 2).sum()

    return f


once = jax.jit(counted("kept"))
for _ in range(5):
    jax.jit(counted("fresh"))(jnp.ones(3))
    once(jnp.ones(3))
print("traced and compiled, of five calls:", traces)
assert traces == {"fresh": 5, "kept": 1}

# %% [markdown]
# **A loop that Python runs.** Inside `jit` a Python loop is unrolled: each step is traced and
# compiled again. With `scan` the program stays as small as one step.

# %%
W = jnp.eye(4)


def unrolled(a, steps):
    for _ in range(steps):
        a = jnp.tanh(a @ W)
    return a


def scanned(a, steps):
    return jax.lax.scan(lambda a, _: (jnp.tanh(a @ W), None), a, length=steps)[0]


sizes = {}
for steps in (1, 10, 100):
    for f in (unrolled, scanned):
        made = jax.make_jaxpr(lambda a, f=f, steps=steps: f(a, steps))(jnp.ones(4))
        sizes[f.__name__, steps] = operations(made.jaxpr)
    both = f"{sizes['unrolled', steps]} operations unrolled, {sizes['scanned', steps]} scanned"
    print(f"{steps} steps: {both}")
assert sizes["unrolled", 100] == 10 * sizes["unrolled", 10]
assert sizes["scanned", 100] == sizes["scanned", 1]

# %% [markdown]
# **Forward mode for a gradient.** One pass for each weight, step 6. XLA counts the operations of a
# program; here are those of the two ways to the same gradient.

# %%
wide = networks.mlp([8, 32, 1])
wide_params = wide.init(jax.random.key(0))
flat, unravel = jax.flatten_util.ravel_pytree(wide_params)
inputs = jnp.array(rng.normal(size=(64, 8)))
objective = lambda flat: (wide.apply(unravel(flat), inputs) ** 2).mean()
flops = {
    name: jax.jit(f).lower(flat).compile().cost_analysis()["flops"]
    for name, f in (
        ("value", objective),
        ("reverse", jax.grad(objective)),
        ("forward", jax.jacfwd(objective)),
    )
}
print({name: int(count) for name, count in flops.items()}, "for", flat.size, "weights")
assert flops["reverse"] < 5 * flops["value"]
assert flops["forward"] > 20 * flops["reverse"]
assert jnp.allclose(jax.grad(objective)(flat), jax.jacfwd(objective)(flat))

# %% [markdown]
# ## Exercises
#
# 1. A dense layer takes $[64, 100]$ to $[64, 50]$. How many operations is its matrix product, and
#    how many are the two of its backward pass? Ask XLA.
# 2. An epoch has batches of 32, 32, 32 and 17 examples. How often does a compiled step compile?
#    What does `make_fit` do about it?
# 3. Compiling takes 2 s, a step from Python 2 ms, in the program 10 µs. From how many steps on does
#    compiling pay?
# 4. A matrix times a vector is written for one vector. What does `vmap` over 100 vectors make of
#    it?
#
# Try them before you read on.
#
# ## Answers
#
# **1.** $2 \cdot 64 \cdot 100 \cdot 50 = 640{,}000$ forwards, twice that backwards.

# %%
product = jax.jit(lambda a, b: a @ b)
counted_flops = product.lower(jnp.ones((64, 100)), jnp.ones((100, 50))).compile().cost_analysis()
pull = jax.jit(lambda a, b, g: jax.vjp(jnp.matmul, a, b)[1](g))
backward = pull.lower(jnp.ones((64, 100)), jnp.ones((100, 50)), jnp.ones((64, 50))).compile()
print(int(counted_flops["flops"]), int(backward.cost_analysis()["flops"]))
assert abs(counted_flops["flops"] - 640_000) < 10_000
assert abs(backward.cost_analysis()["flops"] - 1_280_000) < 20_000

# %% [markdown]
# **2.** Twice: once for each shape. `make_fit` fills the last batch up from the start of the same
# shuffled order, so that all have one shape, and no example is left out.

# %%
sizes_seen = []


@jax.jit
def see(batch):
    sizes_seen.append(len(batch))
    return batch.sum()


for size in (32, 32, 32, 17):
    see(jnp.ones(size))
print("compiled for batches of", sizes_seen)
assert sizes_seen == [32, 17]

# %% [markdown]
# **3.** $2 / (0.002 - 0.00001) = 1005.03$: from 1,006 steps on (step 4). The moons take 1,250.
#
# **4.** One matrix product, $[100, d] \times [d, h]$: a single operation in the program.

# %%
batched = jax.make_jaxpr(jax.vmap(lambda v: v @ kernel))(jnp.ones((100, 3)))
print(batched.jaxpr.eqns[0].primitive, batched.out_avals[0].shape)
assert [eqn.primitive.name for eqn in batched.jaxpr.eqns] == ["dot_general"]
assert np.ceil(2 / (0.002 - 0.00001)) == 1006
