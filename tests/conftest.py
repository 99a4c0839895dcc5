"""Settings of every test: strict dtypes, and no display for the plots."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

import jax

jax.config.update("jax_numpy_dtype_promotion", "strict")
