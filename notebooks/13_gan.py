# %% [markdown]
# # 13 A GAN's game and its gradients
#
# One network forges, another one judges. Each learns from the other's gradient, and neither of them
# minimizes anything that stays put. Why should such a game end, and why does it so often go round
# in circles instead?

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from _shared import COLORS, INK, agree, panels
from jax.scipy.special import rel_entr

from jaxnn import activations, networks, optimizers, training

jax.config.update("jax_enable_x64", True)  # finite differences need the digits
sigmoid, softplus = activations.sigmoid, activations.softplus


def play(rule, eta, steps, start=(1.0, 0.0)):
    """The forger's place theta and the judge's slope psi, step by step: `[steps + 1, 2]`."""

    def step(state, _):
        state = rule(*state, eta)
        return state, jnp.stack(state)

    start = tuple(map(jnp.array, start))
    _, path = jax.lax.scan(step, start, length=steps)
    return jnp.concatenate([jnp.stack(start)[None], path])


# The judge scores a point x by psi x. The true data lie at 0, all fakes at theta.
def together(theta, psi, eta):
    return theta + eta * psi, psi - eta * theta


def in_turn(theta, psi, eta):
    psi = psi - eta * theta
    return theta + eta * psi, psi


def penalized(theta, psi, eta, gamma=0.5):
    return theta + eta * psi, psi - eta * (theta + gamma * psi)


RULES = {"together": together, "in turn": in_turn, "with a penalty": penalized}
ax = panels(width=4.2, height=3.6)
for (name, rule), color, style in zip(
    RULES.items(), COLORS[1::-1] + COLORS[2:3], "os^", strict=True
):
    ax.plot(*play(rule, 0.2, 45).T, "-" + style, color=color, ms=3, lw=1, label=name)
ax.plot(0, 0, "*", color=INK, ms=12)
ax.set(xlabel="forger's place $\\theta$", ylabel="judge's slope $\\psi$", aspect="equal")
ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1))
plt.show()

# %% [markdown]
# The smallest game there is: one number each. The star is where the forger is perfect and the judge
# indifferent. If both step at once, they spiral away from it. If they step in turn, they circle it
# for ever. Only a judge that is told not to be too sure lets them arrive.
#
# ## Notation
#
# | symbol | shape | meaning |
# |---|---|---|
# | $x \sim p$ | $[n, d]$ | data |
# | $z$, $G(z) \sim q$ | $[n, \ell]$, $[n, d]$ | noise, and what the generator makes of it |
# | $s = D(x)$ | $[n]$ | score of the discriminator; $\sigma(s)$ is its probability for "real" |
# | $L_D, L_G$ | $[\,]$ | what each side minimizes |
# | $f$ | $[n]$ | a critic: a score without a sigmoid |
# | $U$, $b$, $v$ | $[d, h]$, $[h]$, $[h]$ | weights of the critic of step 12, with $h$ units |
# | $\theta, \psi$ | $[\,]$ | the two numbers of the smallest game |
# | $\eta$, $\gamma$ | $[\,]$ | learning rate; strength of the penalty |
# | $\phi$ | any | the parameters of the generator |
#
# ## Derivation
#
# ### What the judge knows
#
# **1.** The judge is a classifier with the cross-entropy of notebook 03,
#
# $$\begin{aligned}
# L_D = &-E_{x \sim p} \log \sigma(D(x)) \\
# &- E_{x \sim q} \log (1 - \sigma(D(x))) .
# \end{aligned}$$
#
# **2.** At one point $x$, with $\sigma = \sigma(D(x))$, this is
# $-p \log \sigma - q \log (1 - \sigma)$. Its slope in $\sigma$ is zero where
# $p (1 - \sigma) = q \sigma$:
#
# $$\sigma^\star = \frac{p}{p + q}, \qquad D^\star(x) = \log \frac{p(x)}{q(x)} .$$
#
# A perfect judge knows the ratio of the densities.
#
# **3.** Put it in. With $m = (p + q) / 2$,
#
# $$\begin{aligned}
# L_D^\star &= -\int p \log \frac{p}{2m} - \int q \log \frac{q}{2m} \\
# &= 2 \log 2 - \mathrm{KL}(p \,\|\, m) - \mathrm{KL}(q \,\|\, m) .
# \end{aligned}$$
#
# So a forger who makes $L_D^\star$ large makes $q$ like $p$. The best it can reach is
# $2 \log 2 = 1.386$, where the judge can only toss a coin.
#
# **4.** In the scores, by notebook 01 (step 10), the judge's slopes are "prediction minus target":
# $\;\sigma(s) - 1 = -\sigma(-s)$ at data, and $\sigma(s)$ at fakes.
#
# ### What the forger is told
#
# **5.** The forger wants the opposite, and would minimize $\log(1 - \sigma(s)) =
# -\mathrm{softplus}(s)$. The slope is $-\sigma(s)$. At first the judge sees through every fake,
# $s \ll 0$, and the slope is nothing: **the worse the forger, the less it learns**.
#
# **6.** So change what it minimizes, to $-\log \sigma(s) = \mathrm{softplus}(-s)$. Its slope is
# $-\sigma(-s)$: close to $-1$ where the fakes are bad, and 0 where they pass. The same direction,
# with the strength where it is needed ("non-saturating"). It is no longer the same game with the
# sign turned.
#
# **7.** Into the generator's parameters $\phi$ it goes by the chain rule, through the **input** of
# the judge:
#
# $$\frac{\partial L_G}{\partial \phi} = -\sigma(-s)\;
# \frac{\partial D}{\partial x} \Big|_{G(z)} \frac{\partial G(z)}{\partial \phi} .$$
#
# The forger sees the data only through $\partial D / \partial x$.
#
# ### Why it goes round
#
# **8.** The smallest game: data at 0, fakes at $\theta$, $f(x) = \psi x$. The critic raises
# $f(0) - f(\theta) = -\psi\theta$, the forger raises $f(\theta) = \psi\theta$. Their steps are
# $\dot\psi = -\theta$ and $\dot\theta = \psi$: a rotation.
#
# **9.** Both at once: $\binom{\theta}{\psi} \leftarrow \begin{pmatrix} 1 & \eta \\ -\eta & 1
# \end{pmatrix} \binom{\theta}{\psi}$, with eigenvalues $1 \pm i\eta$ of size $\sqrt{1 + \eta^2} >
# 1$. No rate is small enough.
#
# **10.** In turn: the matrix is $\begin{pmatrix} 1 - \eta^2 & \eta \\ -\eta & 1 \end{pmatrix}$. Its
# determinant is 1 and, for $\eta < 2$, its eigenvalues are complex: both of size exactly 1. (The
# circle is a little oval, so that single steps bring it nearer and farther.)
#
# **11.** Punish the critic's slope with $\frac{\gamma}{2} \psi^2$: $\dot\psi = -\theta -
# \gamma\psi$. A rotation with friction. The determinant of the step is $1 - \eta\gamma + \eta^2$,
# below 1 for $\eta < \gamma$.
#
# **12.** Wasserstein GANs punish the distance of the slope from 1,
# $P = (\lVert \nabla_x f \rVert - 1)^2$, at points between data and fakes. Its gradient in the
# critic's weights is a derivative of a derivative. For $f(x) = v \cdot \tanh(xU + b)$:
#
# $$\begin{aligned}
# t &= 1 - \tanh^2(xU + b) && [h] \\
# \nabla_x f &= U (v \odot t) && [d] \\
# \frac{\partial P}{\partial v} &= 2 \Big( 1 - \frac{1}{\lVert \nabla_x f \rVert} \Big)\,
# t \odot (U^\top \nabla_x f) && [h]
# \end{aligned}$$
#
# ## Code


# %%
def judge_loss(real, fake):
    return softplus(-real).mean() + softplus(fake).mean()  # step 1, in the scores


def judge_grad(real, fake):
    return -sigmoid(-real) / real.size, sigmoid(fake) / fake.size  # step 4


def forger_loss(fake):
    return softplus(-fake).mean()


def forger_grad(fake):
    return -sigmoid(-fake) / fake.size  # step 6


def critic(v, U, b, x):
    return jnp.tanh(x @ U + b) @ v


def penalty(v, U, b, x):
    slope = jax.grad(lambda x: critic(v, U, b, x))(x)
    return (jnp.linalg.norm(slope) - 1) ** 2


def penalty_grad(v, U, b, x):
    t = 1 - jnp.tanh(x @ U + b) ** 2
    slope = U @ (v * t)
    size = jnp.linalg.norm(slope)
    return 2 * (1 - 1 / size) * t * (U.T @ slope)  # step 12


# %% [markdown]
# ## Check

# %%
rng = np.random.default_rng(0)
real, fake = jnp.array(rng.normal(size=6) * 3), jnp.array(rng.normal(size=6) * 3)
by_hand = judge_grad(real, fake)
agree(by_hand, lambda s: judge_loss(*s), (real, fake), name="the judge, in its scores")
agree(forger_grad(fake), forger_loss, fake, name="the forger, in the scores")
v, U, b = (jnp.array(rng.normal(size=s)) for s in ((5,), (2, 5), (5,)))
x = jnp.array([0.3, -0.8])
agree(penalty_grad(v, U, b, x), penalty, v, U, b, x, name="the penalty, a derivative of a slope")

for name, rule, size in (
    ("together", together, np.sqrt(1 + 0.2**2)),
    ("in turn", in_turn, 1.0),
    ("with a penalty", penalized, np.sqrt(1 - 0.2 * 0.5 + 0.2**2)),
):
    matrix = np.array(
        jax.jacobian(lambda s, rule=rule: jnp.stack(rule(s[0], s[1], 0.2)))(jnp.ones(2))
    )
    found = np.abs(np.linalg.eigvals(matrix))
    print(f"{name:15} over many steps, the distance grows {found[0]:.4f} times per step")
    assert np.allclose(found, size)

# %% [markdown]
# The game with two networks, by the library's step for `run`: a generator learns to forge numbers
# that come from two humps.

# %%
KEY = jax.random.key(0)
small = lambda tree: jax.tree.map(lambda a: a.astype(jnp.float32), tree)
mixture = jnp.concatenate([rng.normal(-2, 0.5, 1024), rng.normal(1.5, 0.7, 1024)])
mixture = mixture.astype(jnp.float32)[:, None]
generator = networks.mlp([1, 32, 32, 1], activation=activations.gelu)
judge = networks.mlp([1, 32, 32, 1], activation=activations.gelu)
start, step = networks.gan_step(
    generator,
    judge,
    optimizers.adam(jnp.float32(1e-3), 0.5),
    optimizers.adam(jnp.float32(2e-3), 0.5),
    latent=1,
    average_decay=0.98,
)
state = start(small(networks.gan(generator, judge).init(KEY)))
noise = jax.random.normal(jax.random.key(1), (4000, 1), jnp.float32)
before = np.asarray(generator.apply(state.params["generator"], noise))[:, 0]


@jax.jit
def trained(state, key):
    return training.run(step, state, mixture, key=key, epochs=60, batch_size=128)[:2]


state, history = trained(state, KEY)
after = np.asarray(generator.apply(state.average, noise))[:, 0]


def p(x):
    bell = lambda at, width: np.exp(-(((x - at) / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))
    return 0.5 * bell(-2, 0.5) + 0.5 * bell(1.5, 0.7)


left, right = panels(2, height=2.7)
grid = np.linspace(-5, 5, 200)
bins = np.linspace(-5, 5, 61)
left.hist(before, bins, density=True, color=INK, alpha=0.4, label="fakes, before")
left.hist(after, bins, density=True, color=COLORS[0], alpha=0.6, label="fakes, after")
left.plot(grid, p(grid), color=COLORS[1], label="the data")
left.set(xlabel="$x$", ylabel="density")
left.legend(fontsize=7.5)
right.plot(history["discriminator_loss"], color=COLORS[2], label="judge")
right.plot(history["generator_loss"], "--", color=COLORS[3], label="forger")
right.axhline(2 * np.log(2), color=INK, lw=0.8, ls=":")
right.text(59, 1.45, "$2 \\log 2$: a coin", ha="right", color=INK, fontsize=8)
right.set(xlabel="epoch", title="losses (nats)")
right.legend(fontsize=7.5)
plt.show()

# %% [markdown]
# The losses do not fall: they are not those of a minimization. The judge's ends near $2 \log 2$:
# this judge can't tell any more. We can: both humps are served, but the left one is too narrow and
# the right one ends too early. So could a perfect judge, whose loss is
# that of step 3, with histograms for densities.

# %%
near = [np.mean((after > low) & (after < high)) for low, high in ((-4, -0.5), (-0.5, 4))]
print("share of the fakes at the left hump and at the right:", np.round(near, 1))
judged = float(history["discriminator_loss"][-10:].mean())
shares = [np.histogram(values, bins)[0] / len(values) for values in (mixture, after)]
perfect = -float(sum(rel_entr(part, sum(shares)).sum() for part in shares))
print(f"loss of a coin {2 * np.log(2):.2f}, judge {judged:.2f}, perfect judge {perfect:.2f}")
assert min(near) > 0.25
assert abs(judged - 2 * np.log(2)) < 0.15
assert perfect < judged - 0.1

# %% [markdown]
# ## Break it
#
# **The zero-sum forger.** A perfect judge of two densities that hardly touch: $p$ around 0, $q$
# around 8, both of width 1, so $D^\star(x) = 32 - 8x$ (exercise 1). What is the forger told?

# %%
fakes = jnp.array(rng.normal(8, 1, 1000))
scores = 32 - 8 * fakes
saturating, other = jnp.abs(sigmoid(scores)).mean(), jnp.abs(forger_grad(scores) * 1000).mean()
print(f"slope in the score: zero-sum {saturating:.1e}, non-saturating {other:.3f}")
assert saturating < 0.01
assert other > 0.99

# %% [markdown]
# **Cut the path of step 7.** Treat $G(z)$ as data, as one rightly does when it is the judge's turn,
# when it is the forger's too. Everything runs, and the generator's gradient is 0.

# %%
params = state.params
fooled = lambda g: softplus(-judge.apply(params["discriminator"], generator.apply(g, noise[:64])))
blind = lambda g: softplus(
    -judge.apply(params["discriminator"], jax.lax.stop_gradient(generator.apply(g, noise[:64])))
)
size = lambda f: float(
    sum(
        jnp.abs(a).sum()
        for a in jax.tree.leaves(jax.grad(lambda g: f(g).mean())(params["generator"]))
    )
)
print("size of the gradient:", "not 0" if size(fooled) > 0 else 0, "and", size(blind))
assert size(fooled) > 0
assert size(blind) == 0

# %% [markdown]
# **No friction.** Without the penalty the distance grows by $\sqrt{1 + \eta^2}$ each step, also for
# a small rate, and also if you wait.

# %%
for eta, steps in ((0.2, 50), (0.02, 5000)):
    path = play(together, eta, steps)
    grown = float(jnp.linalg.norm(path[-1]) / jnp.linalg.norm(path[0]))
    print(f"rate {eta}: {steps} steps, {grown:.2f} times as far")
    assert np.isclose(grown, (1 + eta**2) ** (steps / 2))

# %% [markdown]
# ## Exercises
#
# 1. Two Gaussians of width 1, at 0 and at $\mu$. What is the perfect judge's score $D^\star$?
# 2. Two densities that nowhere overlap. How large is $L_D^\star$, and what does it tell the forger
#    about the direction?
# 3. For which rates does the game of step 11 converge, if $\gamma = 0.5$?
# 4. The forger of step 6 sees one fake with score $s = -10$ and one with $s = 2$. Whose slope
#    counts more, and by how much? And in the zero-sum game?
#
# Try them before you read on.
#
# ## Answers
#
# **1.** $\log p/q = -\frac{x^2}{2} + \frac{(x - \mu)^2}{2} = \frac{\mu^2}{2} - \mu x$: a straight
# line, as logistic regression has. With $\mu = 8$ it is $32 - 8x$.

# %%
log_density = lambda x, at: -((x - at) ** 2) / 2
points = np.linspace(-3, 11, 50)
assert np.allclose(log_density(points, 0) - log_density(points, 8), 32 - 8 * points)

# %% [markdown]
# **2.** Where $p > 0$, $q = 0$ and $\sigma^\star = 1$; elsewhere 0. So $L_D^\star = 0$, wherever
# the fakes are, near or far: there is no direction in it. What the forger learns comes from judges
# that are **not** perfect. The distance of Wasserstein GANs has a slope also there.

# %%
apart = []
for mu in (6.0, 12.0, 24.0):
    real, fake = rng.normal(0, 1, 5000), rng.normal(mu, 1, 5000)
    apart.append(float(judge_loss(mu**2 / 2 - mu * real, mu**2 / 2 - mu * fake)))
print("loss of the perfect judge at distance 6, 12, 24:", *(f"{loss:.0e}" for loss in apart))
assert apart[0] > apart[1] > apart[2]
assert apart[2] < 1e-12

# %% [markdown]
# **3.** The eigenvalues of $\begin{pmatrix} 1 & \eta \\ -\eta & 1 - \eta\gamma \end{pmatrix}$ are
# complex for $\gamma < 2$, so their size is the root of the determinant, $1 - \eta\gamma + \eta^2$:
# below 1 for $0 < \eta < \gamma = 0.5$.

# %%
ends = {eta: float(jnp.linalg.norm(play(penalized, eta, 3000)[-1])) for eta in (0.1, 0.49, 0.51)}
print("distance after 3000 steps:", {eta: f"{end:.0e}" for eta, end in ends.items()})
assert ends[0.49] < 1 < ends[0.51]
assert ends[0.1] < 1e-9

# %% [markdown]
# **4.** $\sigma(10) / \sigma(-2) = 8.4$ times the bad one. In the zero-sum game
# $\sigma(-10) / \sigma(2) = 0.00005$: only what already passes is improved.

# %%
ratios = float(sigmoid(10.0) / sigmoid(-2.0)), float(sigmoid(-10.0) / sigmoid(2.0))
print(f"non-saturating {ratios[0]:.2f}, zero-sum {ratios[1]:.1e}")
assert abs(ratios[0] - 8.389) < 1e-3
assert ratios[1] < 1e-4
