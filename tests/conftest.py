"""Settings of every test: strict dtypes, and no display for the plots."""

import os
import re
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")


# Tests of a file share a worker, and with it what was compiled for the first of them. Some files
# are too long for one: there a block, a network, a script or a module shares, as the ids name it.
PARTS = {"docs": r"\[(.*)\.\w+\]$"} | dict.fromkeys(
    ("closed_forms", "examples", "explain_networks", "fusion", "fuzz", "lowering", "notebooks"),
    r"\[(.*?)(-\d+)?\]$",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """By ids, since pytest 9.2 loses the groups that pytest-xdist 3.8 gives to tests."""
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Sharing(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, test = nodeid.partition("::")
            by = PARTS.get(Path(file).stem.removeprefix("test_"))
            part = re.search(by, test) if by else None
            return f"{file}[{part[1]}]" if part else file

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
