# %% [markdown]
# # NN What it is about
#
# A question that a curious person has: why is the slope of a square twice its side?
#
# Then, before any formula, a picture of the answer. Copy this file to `NN_name.py`, keep the
# headings, and run `python notebooks/build.py NN --html`.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from _shared import COLORS, agree, panels

jax.config.update("jax_enable_x64", True)  # finite differences need the digits

x = jnp.linspace(0, 2, 100)
ax = panels(width=3.6)
ax.plot(x, x**2, color=COLORS[0])
ax.set(xlabel="side $x$", ylabel="area")
plt.show()

# %% [markdown]
# What to see in it, in a sentence or two.
#
# ## Notation
#
# | symbol | shape | meaning |
# |---|---|---|
# | $x$ | $[n]$ | sides |
# | $y$ | $[n]$ | areas |
#
# ## Derivation
#
# **1.** Each step is a sentence and at most one display; its number is what the text, the code
# and the exercises refer to.
#
# $$(x + h)^2 - x^2 = 2xh + h^2$$
#
# **2.** Divide by $h$ and let it go to zero: $y' = 2x$. Displays stay narrow, for a phone: use
# `aligned` rather than `\qquad`. A `|` breaks a table: write `\lvert x \rvert`. No line of text
# starts in the middle of a `$formula$`.
#
# ## Code
#
# The symbols of the derivation are the names of the code.


# %%
def y(x):
    return x**2


def y_grad(x):
    return 2 * x  # step 2


# %% [markdown]
# ## Check
#
# Derived by hand, by autodiff, and by differences:

# %%
agree(y_grad(x), y, x, name="area")

# %% [markdown]
# ## Break it
#
# Change one thing and see it fail, by as much as the derivation says.

# %%
h = 0.1
one_sided = (y(x + h) - y(x)) / h
print("a one-sided difference is off by", (one_sided - y_grad(x)).max().round(3))
assert jnp.allclose(one_sided - y_grad(x), h)  # the h^2 of step 1

# %% [markdown]
# ## Exercises
#
# 1. What is the slope of the volume $x^3$?
#
# Try them before you read on.
#
# ## Answers
#
# **1.** $3x^2$: three faces grow.

# %%
agree(3 * x**2, lambda x: x**3, x, name="volume")
assert jnp.allclose(jax.grad(lambda x: x**3)(2.0), 12)
