"""Settings of every test: strict dtypes, and no display for the plots."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(scope="module")
def quick_compilation():
    """Programs of these tests compile in half the time, and run slower.

    For tests of formulas; what is claimed of rounding is tested on programs as users run them.
    """
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module", autouse=True)
def _forgotten_programs():
    """What was compiled for a file of tests is dropped after it: it would add up to gigabytes."""
    yield
    jax.clear_caches()
