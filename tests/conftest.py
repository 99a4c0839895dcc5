"""Settings of every test: strict dtypes, and no display for the plots."""

import os
import re
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")


# In these files the tests of one block, or of one network, share a worker, and with it what was
# compiled for the first of them.
SHARING = {"test_closed_forms.py", "test_explain_networks.py"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Tells by ids which tests share a worker: pytest 9.2 loses the groups of pytest-xdist 3.8."""
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Sharing(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, test = nodeid.partition("::")
            name = re.search(r"\[(.*?)(-\d+)?\]$", test)
            return f"{file}[{name[1]}]" if name and Path(file).name in SHARING else nodeid

    return Sharing(config, log)


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
