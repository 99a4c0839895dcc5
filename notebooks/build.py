"""Pairs, executes and stores the notebooks, and makes web pages of them.

python notebooks/build.py                 execute every notebook and store it with its outputs
python notebooks/build.py 04 07           only these
python notebooks/build.py --html          and write a page of each to out/notebooks
python notebooks/build.py --html --stored only the pages, of what is stored

The text `NN_name.py` is the source; `NN_name.ipynb` is made from it. What changes from one
execution to the next without meaning anything (times, versions, random ids) is left out.
"""

import argparse
import hashlib
import os
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
PAGES = HERE.parent / "out" / "notebooks"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
SECONDS = 300  # after which a cell is taken to hang
# The page: a column that is comfortable to read, and on a narrow screen all of it.
STYLE = """<style>
body.jp-Notebook { padding: 0; }
main { max-width: 56rem; margin: 0 auto; padding: 1rem; box-sizing: border-box; }
.jp-InputPrompt, .jp-OutputPrompt { display: none; }
.jp-RenderedHTMLCommon { font-size: 16px; line-height: 1.6; }
.jp-OutputArea-output pre { white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere; }
.jp-InputArea-editor, .jp-InputArea-editor .highlight { overflow-x: auto; }
.jp-RenderedImage img { max-width: 100%; height: auto; }
.jp-Cell { padding: 0.3rem 0; }
.MJXc-display, .MathJax_Display { overflow-x: auto; overflow-y: hidden; max-width: 100%; }
.jp-RenderedHTMLCommon table { display: block; overflow-x: auto; font-size: 14.5px; }
.jp-RenderedHTMLCommon td:not(:last-child) { white-space: nowrap; }
/* The tables of `backprop.explain` take the room to the right of the text where there is some. */
@media (min-width: 64rem) {
  .jp-Cell-outputArea:has(table) { flex: none; width: calc(50vw + 26.5rem); }
  .jp-OutputArea-output table { font-size: 13.5px; }
}
/* Small print, but tables of it keep their lines; pictures scroll before they are illegible. */
@media (max-width: 40rem) {
  main { padding: 0.5rem; }
  .jp-OutputArea-output pre { font-size: 10.5px; }
  .jp-OutputArea-output table { font-size: 12px; }
  .jp-RenderedImage { overflow-x: auto; }
  .jp-RenderedImage img { max-width: none; zoom: 0.62; }
}
summary { cursor: pointer; color: #7a7a7a; font: 14px var(--jp-content-font-family); }
details { width: 100%; }
</style>"""
# Code that a notebook folds is folded on its page too.
TEMPLATE = """{% extends "lab/index.html.j2" %}
{% block input_group %}
{% if cell.metadata.jupyter and cell.metadata.jupyter.source_hidden %}
<details><summary>the code of this picture</summary>{{ super() }}</details>
{% else %}{{ super() }}{% endif %}
{% endblock input_group %}"""


def sources(names=()) -> list[Path]:
    """The texts of the notebooks whose file names start with one of `names`; all if there is none.

    Raises:
        ValueError: if a name fits none.
    """
    found = sorted(HERE.glob("[0-9][0-9]_*.py"))
    for name in names:
        if not any(path.name.startswith(name) for path in found):
            raise ValueError(f"build: no notebook is called {name}, only {[p.stem for p in found]}")
    return [path for path in found if not names or path.name.startswith(tuple(names))]


def read(path: Path) -> nbformat.NotebookNode:
    """The notebook that a text describes, without outputs; equal texts give equal notebooks."""
    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen = set()
    for cell in notebook.cells:
        cell.id = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        while cell.id in seen:
            cell.id = hashlib.sha256(cell.id.encode()).hexdigest()[:8]
        seen.add(cell.id)
    return _folded(notebook)


def _folded(notebook):
    """Clears what cells say of themselves, and folds the code of the first picture.

    A question and a picture come first: who wants to know how it was made opens its code.
    """
    before = True
    for cell in notebook.cells:
        before = before and "## Notation" not in cell.source
        fold = {"jupyter": {"source_hidden": True}} if before and cell.cell_type == "code" else {}
        cell.metadata = nbformat.from_dict(fold)
    return notebook


def execute(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Runs every cell, from the top, in a new kernel; fails where a cell does."""
    # Notebooks find `_shared` beside them, and draw inline whatever the caller's backend is.
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        NotebookClient(
            notebook,
            timeout=SECONDS,
            coalesce_streams=True,  # else prints are cut apart wherever they happen to arrive
            resources={"metadata": {"path": str(HERE)}},
            extra_arguments=["--Application.log_level=ERROR"],
        ).execute()
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    return _folded(notebook)


def page(path: Path) -> Path:
    """Renders a stored notebook as a web page."""
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(
        extra_loaders=[DictLoader({"page.html.j2": TEMPLATE})], template_file="page.html.j2"
    )
    html, _ = exporter.from_filename(str(path.with_suffix(".ipynb")))
    PAGES.mkdir(parents=True, exist_ok=True)
    target = PAGES / f"{path.stem}.html"
    # Formulas that MathJax breaks blow up the column of a table; what is too wide scrolls.
    html = html.replace("automatic: true", "automatic: false", 1)
    target.write_text(html.replace("</head>", STYLE + "</head>", 1))
    return target


def main() -> None:
    """Builds what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="the first characters of their names, such as 04")
    parser.add_argument("--html", action="store_true", help="write web pages to out/notebooks")
    parser.add_argument("--stored", action="store_true", help="execute nothing")
    options = parser.parse_args()
    for path in sources(options.names):
        began = time.perf_counter()
        if not options.stored:
            nbformat.write(execute(read(path)), path.with_suffix(".ipynb"))
        seconds = time.perf_counter() - began
        size = path.with_suffix(".ipynb").stat().st_size / 1000
        print(f"{path.stem}: {seconds:.1f} s, {size:.0f} kB", flush=True)
        if options.html:
            print(f"  {page(path)}")


if __name__ == "__main__":
    main()
