"""Every notebook runs from the top, says what it promises, and is stored as its text makes it.

Needs the `dev` extra; run with `pytest -m notebook`.
"""

import importlib.util
import re
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
NOTEBOOKS = HOME / "notebooks"
SECTIONS = ["Notation", "Derivation", "Code", "Check", "Break it", "Exercises", "Answers"]
LARGEST = 400_000  # bytes, so that a page of it opens quickly
TEXTS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))

pytestmark = [
    pytest.mark.notebook,
    # The kernel's client and its event loop are not ours to correct.
    pytest.mark.filterwarnings("ignore"),
]
each = pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
each_and_template = pytest.mark.parametrize(
    "text", [*TEXTS, NOTEBOOKS / "_template.py"], ids=lambda path: path.stem
)


@pytest.fixture(scope="module")
def build():
    """The script that makes notebooks of texts."""
    spec = importlib.util.spec_from_file_location("build_notebooks", NOTEBOOKS / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stored(text):
    import nbformat

    return nbformat.read(text.with_suffix(".ipynb"), as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook):
    """All text of all outputs, and the markup of pictures that are text."""
    for cell in code(notebook):
        for output in cell.outputs:
            yield output.get("text", "")
            for kind, data in output.get("data", {}).items():
                if not kind.startswith("image/png"):
                    yield str(data)


def complaints(notebook):
    """What outputs must not hold: errors, warnings, paths of a machine, addresses of objects."""
    found = []
    for cell in code(notebook):
        found += [o.name for o in cell.outputs if o.get("name") == "stderr"]
        found += [o.ename for o in cell.outputs if o.output_type == "error"]
    path = r"(?:/(?:home|root|tmp|work|usr|Users|opt|var)/|[A-Z]:\\|site-packages| at 0x)\S*"
    return found + re.findall(path, "\n".join(printed(notebook)))


@each
def test_runs_from_the_top(text, build):
    notebook = build.execute(build.read(text))
    assert not complaints(notebook)


@each
def test_is_stored_as_its_text_makes_it(text, build):
    kept, made = stored(text), build.read(text)
    both = [[(c.cell_type, c.id, c.source, c.metadata) for c in n.cells] for n in (kept, made)]
    assert both[0] == both[1], f"run: python notebooks/build.py {text.stem[:2]}"
    assert kept.metadata == made.metadata
    counts = [cell.execution_count for cell in code(kept)]
    assert counts == list(range(1, len(counts) + 1)), "it was not executed once from the top"
    assert not complaints(kept)
    assert text.with_suffix(".ipynb").stat().st_size < LARGEST


def parts(notebook):
    """`(heading, kind, text)` of every piece, cut at the headings of rank two."""
    heading = None
    for cell in notebook.cells:
        if cell.cell_type == "code":
            yield heading, "code", cell.source
            continue
        before, *pieces = re.split(r"^## ", cell.source, flags=re.MULTILINE)
        yield heading, "markdown", before
        for piece in pieces:
            heading = piece.splitlines()[0]
            yield heading, "markdown", piece


@each_and_template
def test_has_every_section_in_order(text, build):
    notebook = build.read(text)
    first = notebook.cells[0].source
    assert re.match(r"# (?:\d\d|NN) \S.*\n", first), "the title: `# 01 What it is about`"
    assert "?" in first, "it opens with a question"
    headings = [heading for heading, _, _ in parts(notebook)]
    headings = [h for h, before in zip(headings, [None, *headings], strict=False) if h != before]
    assert [heading for heading in headings if heading in SECTIONS] == SECTIONS


@each_and_template
def test_claims_are_asserted(text, build):
    notebook = build.read(text)
    pieces = {}
    for heading, kind, piece in parts(notebook):
        pieces[heading, kind] = pieces.get((heading, kind), "") + piece + "\n"
    for name in ("Break it", "Answers"):
        assert "assert " in pieces[name, "code"], f"{name} asserts nothing"
    assert "agree(" in pieces["Check", "code"], "Check compares no three gradients"
    assert re.search(r"^\*\*1\.", pieces["Derivation", "markdown"], re.MULTILINE), (
        "the steps of the derivation are numbered: `**1.** ...`"
    )
    last = notebook.cells[-1]
    assert last.cell_type == "code"
    assert "assert " in last.source, "it ends in assertions"


@each
def test_a_picture_comes_before_the_notation(text):
    for cell in stored(text).cells:
        assert "## Notation" not in cell.source, "no picture before the notation"
        kinds = [kind for output in cell.get("outputs", ()) for kind in output.get("data", ())]
        if any(kind.startswith("image/") for kind in kinds):
            return


@each
def test_a_page_folds_the_code_of_its_first_picture_only(text, build, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "PAGES", tmp_path)
    html = build.page(text).read_text()
    first, rest = html[html.index("<h1") :].split("data:image/", 1)
    shown = re.sub(r"<details>.*?</details>", "", first, flags=re.DOTALL)
    assert first.count("<details>") == first.count("highlight hl") == 1
    assert "highlight hl" not in shown, "code stands before the picture"
    assert "<details>" not in rest
    assert "highlight hl" in rest


@each
def test_notebook_and_index_name_each_other(text):
    assert f"({text.stem}.ipynb)" in (NOTEBOOKS / "README.md").read_text()
