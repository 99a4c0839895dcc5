"""Who may import whom, what an import costs, and which names are public."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import harness
import pytest

import jaxnn

ROOT = Path(jaxnn.__file__).parent

# A module may import those named, besides the standard library. Groups stand in layers: what
# is below knows nothing of what is above.
BASE = {"jax", "optax", "jaxnn._checks"}
FOUNDATION = BASE | {"jaxnn._exact", "jaxnn._exact_gelu", "jaxnn._rounding", "jaxnn._units"}
BLOCKS = FOUNDATION | {
    "jaxnn.activations", "jaxnn.initializers", "jaxnn.metrics", "jaxnn.regularizers",
    "jaxnn.optimizers",
}  # fmt: skip
ALLOWED = {
    "_checks": {"jax", "chex", "numpy"},
    "_rounding": {"jax", "numpy"},
    "_exact": {"jax", "jaxnn._rounding"},
    "_exact_gelu": {"jax", "numpy", "jaxnn._exact", "jaxnn._rounding"},
    "_program": {"jax"},
    "_units": {"jax"},
    "activations": FOUNDATION | {"jaxnn.activations"},
    "initializers": FOUNDATION,
    "metrics": FOUNDATION | {"jaxnn.metrics"},
    "regularizers": FOUNDATION,
    "optimizers": FOUNDATION | {"jaxnn.optimizers"},
    "decoding": BASE,
    "losses": BLOCKS | {"jaxnn.losses"},
    "layers": BLOCKS | {"jaxnn.layers", "numpy"},  # numpy for tables of constants, in float64
    "networks": BLOCKS | {"jaxnn.losses", "jaxnn.layers", "jaxnn.networks"},
    "training": BASE | {"jaxnn._units", "jaxnn.training"},
    "serialization": {"jax", "numpy", "flax.serialization", "flax.traverse_util", "jaxnn._checks"},
    "sharding": {"jax"},
    "callbacks": {"jax", "numpy", "tqdm", "jaxnn._checks", "jaxnn.serialization"},
    "interop": {
        "jax", "flax.errors", "flax.linen", "flax.nnx", "flax.traverse_util", "jaxnn._checks",
        "jaxnn.networks._network",
    },
    "backprop": BLOCKS | {
        "jaxnn._program", "jaxnn.backprop", "jaxnn.layers", "jaxnn.losses",
        "jaxnn.networks.StatefulNetwork", "numpy",
    },
    "diagnostics": BASE | {
        "jaxnn._program", "jaxnn._units", "jaxnn.diagnostics", "jaxnn.training", "numpy",
    },
    "plots": {"numpy", "matplotlib", "jaxnn.plots"},
    "summary": {"jax", "numpy", "jaxnn.summary"},
    # mpmath and the peers are loaded by name, when they are asked for.
    "check": BLOCKS | {
        "jaxnn.losses", "jaxnn.layers", "jaxnn.networks", "jaxnn.decoding", "jaxnn.training",
        "jaxnn.diagnostics", "jaxnn.backprop", "jaxnn.summary", "jaxnn.check", "numpy", "tqdm",
    },
}  # fmt: skip


def imports(path):
    """Names of all modules a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                top = (node.module or "").split(".")[0]
                yield inner if top in ("jaxnn", "flax") else node.module


def permitted(name, allowed):
    top = name.split(".")[0]
    if top in sys.stdlib_module_names:
        return True
    return any(name == a or name.startswith(a + ".") for a in allowed)


@pytest.mark.parametrize(
    "path", [p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py"], ids=lambda p: p.stem
)
def test_imports_keep_their_order(path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    assert room in ALLOWED, f"give {room} a line in ALLOWED: whom may it import?"
    wrong = [name for name in imports(path) if not permitted(name, ALLOWED[room])]
    assert not wrong, f"{room} may not import {wrong}"


def fresh(code):
    """Runs code in a new interpreter and returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.strip()


def test_importing_brings_in_nothing_heavy():
    heavy = ["matplotlib", "sklearn", "flax.linen", "flax.nnx", "tqdm", "orbax", "tensorstore"]
    code = f"import sys, jaxnn; print([m for m in {heavy} if m in sys.modules])"
    assert fresh(code) == "[]"


def test_lazy_submodules_are_reachable():
    assert fresh("import jaxnn; print(jaxnn.plots.__name__)") == "jaxnn.plots"
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = jaxnn.nonsense  # pyright: ignore


@pytest.mark.parametrize("module", harness.modules(), ids=lambda m: m.__name__)
def test_public_names_are_listed_and_sorted(module):
    if module.__name__.rsplit(".", 1)[-1].startswith("_"):
        return
    names = module.__all__
    assert sorted(names) == sorted(set(names)), "a name is listed twice"
    assert all(hasattr(module, name) for name in names)
    if not hasattr(module, "__path__"):
        own = {
            name
            for name, item in vars(module).items()
            if not name.startswith("_")
            and (inspect.isfunction(item) or inspect.isclass(item))
            and item.__module__ == module.__name__
        }
        assert own <= set(names), f"public but not in __all__: {sorted(own - set(names))}"


def test_top_level_names_are_few():
    submodules = {name for name in jaxnn.__all__ if inspect.ismodule(getattr(jaxnn, name))}
    assert set(jaxnn.__all__) - submodules == {"Network", "make_fit"}
    for name in submodules:
        assert getattr(jaxnn, name) is importlib.import_module(f"jaxnn.{name}")
