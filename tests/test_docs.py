"""Everything printed in docstrings, README and guides is complete, and runs."""

import doctest
import inspect
import re
import sys
from pathlib import Path

import harness
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("quick_compilation")

HOME = Path(__file__).parents[1]
PUBLIC = [
    pytest.param(module, name, id=f"{module.__name__}.{name}")
    for module in harness.modules()
    if not module.__name__.rsplit(".", 1)[-1].startswith("_")
    for name in module.__all__
    if getattr(getattr(module, name), "__module__", None) == module.__name__
]


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_docstring_is_complete_and_its_example_runs(module, name):
    item = getattr(module, name)
    text = inspect.getdoc(item) or ""
    assert text.splitlines()[:1] not in ([], [""]), "no docstring"
    first = text.splitlines()[0]
    assert first.endswith((".", ":")), f"the first line must be a sentence: {first!r}"
    if inspect.isfunction(item) and not name.endswith(("_grad", "_vjp", "_update")):
        assert "Returns:" in text or "Yields:" in text, "what does it return?"
        assert "Example:" in text, "no example"
        if inspect.signature(item).parameters:
            assert "Args:" in text, "what do its arguments mean?"
            for parameter in inspect.signature(item).parameters:
                assert re.search(rf"\*{{0,2}}\b{parameter}\b.*:", text), (
                    f"{parameter}: undocumented"
                )
    names = {"jax": jax, "jnp": jnp, "np": np} | vars(module)
    run_doctest(text, names, f"{module.__name__}.{name}")


def run_doctest(text, names, where):
    """Runs the examples of a text and fails with what they printed."""
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    test = doctest.DocTestParser().get_doctest(text, dict(names), where, None, 0)
    report = []
    doctest.DocTestRunner(optionflags=flags).run(test, out=report.append)
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
    assert not report, "".join(report)


PAGES = sorted([*HOME.glob("*.md"), *HOME.glob("docs/**/*.md"), *HOME.glob("notebooks/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(HOME)))
def test_python_printed_in_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        if ">>>" in block:
            run_doctest(block, names, page.name)
        else:
            exec(compile(block, page.name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(HOME)))
def test_links_in_a_page_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+?)\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_readme_opens_with_the_two_commands():
    blocks = re.findall(r"```bash\n(.*?)```", (HOME / "README.md").read_text(), re.DOTALL)
    assert "examples/mlp.py" in blocks[0]
    assert "pytest" in blocks[1]
    for block in blocks[:2]:
        assert "pip install" in block, "a command must be complete in itself"
