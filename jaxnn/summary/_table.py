"""A summary as plain text, Markdown and HTML."""

from collections.abc import Iterator
from html import escape

from jaxnn.summary._fold import fold

HEADER = (
    "layer", "kind", "output", "dtype", "parameters", "bytes", "FLOPs forward", "backward", "kept",
)  # fmt: skip
WORDS = 4  # columns of text; the others are numbers


def lines(summary) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Level and cells of each line, repeated blocks folded."""
    yield from _lines(summary.rows, 0)
    if summary.unused:
        yield 0, ("(not used)", "", "", "", *_numbers((*summary.unused, 0, 0, 0)))


def _lines(rows, level):
    for part in fold(rows):
        once = part.first
        for row in once:
            yield level, _cells(row)
            yield from _lines(row.rows, level + 1)
        if part.times > 1:
            again = [row for rows in part.parts[1:] for row in rows]
            sums = [sum(column) for column in zip(*map(_sums, again), strict=True)]
            if len(once) == 1:
                name = again[0].name + (f" … {again[-1].name}" if len(again) > 1 else "")
            else:
                name = f"{again[0].name} … {again[-1].name}"
            like = f"{part.times - 1} × as above"
            yield level, (name, like, "", "", *_numbers(sums))


def _cells(row):
    kind = "" if row.kind == row.name else row.kind
    parameters, *others = _numbers(_sums(row))
    parameters = "shared" if row.shared else parameters
    return (row.name, kind, shape_text(row.shape), row.dtype, parameters, *others)


def _sums(row):
    return (row.parameters, row.nbytes, row.flops, row.backward_flops or 0, row.kept)


def _numbers(values):
    parameters, nbytes, *others = values
    texts = [f"{parameters:,}", size_text(nbytes), *(f"{v:,.0f}" for v in others[:2])]
    return (*texts, size_text(others[2]))


def total(summary) -> tuple[str, ...]:
    """The cells of the last line."""
    values = (
        summary.parameters, summary.nbytes, summary.flops, summary.backward_flops or 0,
        summary.kept,
    )  # fmt: skip
    return ("total", "", "", "", *_numbers(values))


def shape_text(shape) -> str:
    """A shape as people write it: `32 × 64`."""
    return " × ".join(map(str, shape)) if shape else "scalar"


def size_text(count) -> str:
    """Bytes in a unit that fits."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    raise AssertionError


def text(summary) -> str:
    """Columns in plain text."""
    rows = [("  " * level + cells[0], *cells[1:]) for level, cells in lines(summary)]
    table = [HEADER, *rows, total(summary)]
    widths = [max(len(row[i]) for row in table) for i in range(len(HEADER))]

    def line(row):
        cells = [
            cell.ljust(width) if i < WORDS else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    rule = "─" * len(line(HEADER).ljust(sum(widths) + 2 * len(widths) - 2))
    body = [line(row) for row in rows]
    return "\n".join([line(HEADER), rule, *body, rule, line(total(summary)), *footer(summary)])


def markdown(summary) -> str:
    """A table in Markdown."""
    rows = [("&nbsp;&nbsp;" * level + cells[0], *cells[1:]) for level, cells in lines(summary)]
    table = [HEADER, ["---"] * WORDS + ["---:"] * (len(HEADER) - WORDS), *rows, total(summary)]
    body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table]
    return "\n".join([*body, "", *footer(summary)])


def html(summary) -> str:
    """A table in HTML, in the colours of the page."""

    def row(cells, tag="td", level=0, style=""):
        parts = []
        for i, cell in enumerate(cells):
            align = "left" if i < WORDS else "right"
            indent = f";padding-left:{0.5 + 1.2 * level}em" if i == 0 else ""
            parts.append(f'<{tag} style="text-align:{align}{indent}">{escape(cell)}</{tag}>')
        return f"<tr{style}>{''.join(parts)}</tr>"

    body = "".join(row(cells, level=level) for level, cells in lines(summary))
    bold = ' style="font-weight:bold;border-top:1px solid"'
    notes = "".join(f"<div>{escape(note)}</div>" for note in footer(summary))
    return (
        f"<table><thead>{row(HEADER, 'th')}</thead><tbody>{body}"
        f"{row(total(summary), style=bold)}</tbody></table>{notes}"
    )


def footer(summary) -> list[str]:
    """What the columns don't say."""
    notes = [f"peak of activations {size_text(summary.peak)}"]
    if summary.state:
        notes[0] += f", state {summary.state:,} numbers"
    return notes + [f"note: {note}" for note in summary.notes]
