"""Examples are short, honest about their goals, and call nothing but jaxnn and its peers."""

import argparse
import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).parents[1]
HERE = ROOT / "examples"
EXAMPLES = [path for path in sorted(HERE.glob("[!_]*.py")) if path.stem != "all"]
RECIPES = sorted(HERE.glob("recipes/*.py"))
SCRIPTS = [*EXAMPLES, HERE / "all.py", *RECIPES]
LIBRARIES = {"jax", "jaxnn", "matplotlib", "minisom", "numpy", "optax", "scipy", "sklearn"}
HELPERS = {path.stem for path in HERE.glob("_*.py")}
PICTURES = {"save", "images", "scatter"}
by_name = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


@pytest.fixture
def helper(monkeypatch):
    """`helper(name)` imports a module that the examples share."""
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_short(path):
    assert len(path.read_text().splitlines()) < 60


@pytest.mark.parametrize("path", [*SCRIPTS, *HERE.glob("_*.py")], ids=lambda path: path.stem)
def test_a_script_imports_jaxnn_and_peers_alone(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.split(".")[0] in LIBRARIES | HELPERS | sys.stdlib_module_names, name
            assert "._" not in name, f"{name} is private"


@by_name
def test_an_example_reads_options_saves_a_picture_and_checks_a_goal(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree).splitlines()[0].endswith(".")
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    calls = [call for call in calls if isinstance(call, ast.Attribute)]
    shared = {call.attr for call in calls if getattr(call.value, "id", None) == "_shared"}
    assert {"start", "check"} <= shared
    assert shared & PICTURES
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert {"quick", "seed"} <= read, "options that it does not use"


def run(path, *options):
    """What a script prints, which succeeds and says where it ran."""
    command = [sys.executable, str(path), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.removeprefix(f"{path.name} ").startswith(f"on {jax.default_backend()}"), first
    return done.stdout


def check_example(path, folder):
    run(path, "--quick", "--seed", 1, "--pictures", folder)
    assert (folder / f"{path.stem}.png").stat().st_size > 10_000


def test_a_quick_run_says_where_it_ran_and_saves_its_picture(tmp_path):
    check_example(HERE / "rbf.py", tmp_path)


@pytest.mark.example
@by_name
def test_every_example_runs(path, tmp_path):
    check_example(path, tmp_path)


@pytest.mark.example
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_runs_and_prints_what_it_found(path, tmp_path):
    assert len(run(path, tmp_path).splitlines()) > 1


def test_a_full_run_that_misses_its_goal_fails(helper, monkeypatch, tmp_path, capsys):
    shared = helper("_shared")
    monkeypatch.setenv("JAXNN_RESULTS", str(tmp_path / "results"))
    full, quick = (argparse.Namespace(quick=quick) for quick in (False, True))
    what = "MLP", "digits", "test accuracy"
    shared.check(full, *what, 0.98, ">", 0.97, {"SVC": 0.97})
    assert "MLP on digits, test accuracy: 0.98 (> 0.97); SVC: 0.97" in capsys.readouterr().out
    assert json.loads((tmp_path / "results").read_text())["peers"] == {"SVC": 0.97}
    shared.check(quick, *what, 0.96, ">", 0.97)
    for ours, relation in [(0.97, ">"), (0.98, "<="), (float("nan"), "<")]:
        with pytest.raises(SystemExit, match="goal missed"):
            shared.check(full, *what, ours, relation, 0.97)


def test_the_table_replaces_rows_of_what_ran_and_keeps_the_others(helper, monkeypatch, tmp_path):
    table = helper("_table")
    monkeypatch.setattr(table, "README", tmp_path / "README.md")
    table.README.write_text("before\n<!-- results of examples/all.py -->\n<!-- end -->\nafter\n")
    result = dict(network="n", data="d", result="r", ours=1.0, goal="> 0.5", peers={"p": 0.25})

    def update(name, **changed):
        (tmp_path / name).write_text(json.dumps(result | changed) + "\n")
        table.update([tmp_path / name, tmp_path / "one_without_results"])
        return table.README.read_text().splitlines()

    row = "| [n](examples/{}.py) | d | r | {} | > 0.5 | p 0.25 |"
    update("gan")
    lines = update("mlp")
    assert lines[4:-2] == [row.format("mlp", 1), row.format("gan", 1)]
    lines = update("gan", ours=2.0)
    assert lines[4:-2] == [row.format("mlp", 1), row.format("gan", 2)]
    assert (lines[0], lines[-1]) == ("before", "after")


@by_name
def test_the_table_of_the_readme_has_a_place_for_every_example(path, helper):
    table = helper("_table")
    assert path.stem in table.ORDER
    assert f"](examples/{path.name})" in table.MARKED.search(table.README.read_text())[0], (
        f"run `python examples/all.py {path.stem}`"
    )
