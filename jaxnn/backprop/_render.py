"""Equations as text, Markdown, HTML and LaTeX."""

import re
from html import escape

import numpy as np

from jaxnn.backprop._shown import fits

PLAIN = {
    r"\partial ": "∂", r"\partial": "∂", r"\delta": "δ", r"\sigma": "σ", r"\odot": "⊙",
    r"\gamma": "γ", r"\beta": "β", r"\phi": "φ", r"\epsilon": "ε", r"\lambda": "λ",
    r"\star": "⋆", r"\ast": "∗", r"\Vert ": "‖", r" \Vert": "‖", r"\exp": "exp",
    r"\cdot": "·", r"\sum": "Σ", r"\langle ": "⟨", r" \rangle": "⟩", r"\dots": "…",
    r"\times": "×", r"\max": "max", r"\tanh": "tanh", r"\log": "log", r"\,": " ", r"\ ": " ",
    r"\_": "_", r"^{\top}": "ᵀ", r"^{2}": "²", " / ": "/",
}  # fmt: skip
LOW = str.maketrans("0123456789,kjit+- ", "₀₁₂₃₄₅₆₇₈₉,ₖⱼᵢₜ₊₋ ")


def plain(formula: str) -> str:
    """A formula without LaTeX."""
    formula = re.sub(r"\\mathrm\{([^}]*)\}", r"\1", formula)
    formula = re.sub(r"_\{([a-z]{2,}[a-z,]*)\}", r"_\1", formula)
    formula = re.sub(r"_\{([0-9kjit,+ -]+)\}", lambda found: found[1].translate(LOW), formula)
    primes = lambda found: "′" * found[1].count("prime")
    formula = re.sub(r"\^\{((\\prime)+)\}", primes, formula)
    formula = formula.replace(r"\sum_t", "Σₜ").replace(r"\hat{x}", "x̂")
    for latex_form, sign in PLAIN.items():
        formula = formula.replace(latex_form, sign)
    formula = re.sub(r"\^\{([^}]*)\}", r"^\1", formula).replace(r" \top", "ᵀ")
    formula = re.sub(r"\\sqrt\{(\w)\}", r"√\1", formula)
    formula = re.sub(r"\\sqrt\{([^{}]*)\}", r"√(\1)", formula)
    formula = formula.replace("{", "").replace("}", "")  # those that only group
    return re.sub(r"\s+", " ", formula).strip()


def number(value, digits: int) -> str:
    """One number: whole if it is an integer, scientific where decimals would lose it."""
    if isinstance(value, bool | np.bool_ | int | np.integer):
        return str(int(value))
    size = abs(value)
    if not np.isfinite(size) or 0.5 * 10**-digits <= size < 1e5:
        return f"{value:.{digits}f}"
    if size == 0:  # zero has no sign here
        return f"{size:.{digits}f}"
    return f"{value:.{max(digits - 2, 1)}e}"


def short(value) -> str:
    """An array too large to print."""
    value = np.asarray(value, float)
    shape = " × ".join(map(str, value.shape))
    largest = np.abs(value).max(initial=0)
    norm = np.linalg.norm(value.ravel())
    return f"{shape}, norm {norm:.4g}, largest {largest:.4g}"


def whole(written, equation) -> tuple[bool, bool]:
    """Whether the terms, and whether the value, are small enough to print."""
    arrays = [term for term in equation.terms if not isinstance(term, str)]
    fit = [fits(array, written.limit) for array in (*arrays, equation.value)]
    return bool(arrays) and all(fit), fit[-1]


# Text


def text(written) -> str:
    """The table as text, with matrices over several lines."""
    lines = [written.title, *(f"  {note}" for note in written.notes)]
    for title, equations in written.sections:
        lines += ["", title]
        for equation in equations:
            lines += ["  " + line for line in _text_of(written, equation)]
    return "\n".join(line.rstrip() for line in lines)


def _text_of(written, equation) -> list[str]:
    symbol = plain(equation.symbol)
    lines = [f"{symbol} = {plain(equation.rule)}"]
    if equation.value is None:
        return lines
    terms, value = whole(written, equation)
    blocks = [equation.terms] * terms + [(equation.value if value else short(equation.value),)]
    for block in blocks:
        rows = _block(block, written.digits)
        lines += [f"{' ' * len(symbol)} {'=' if not i else ' '} {r}" for i, r in enumerate(rows)]
    return lines


def _block(terms, digits) -> list[str]:
    """Matrices and signs side by side, from the top."""
    columns = [
        [plain(term)] if isinstance(term, str) else _matrix_lines(term, digits) for term in terms
    ]
    height = max(map(len, columns))
    for column in columns:
        filler = column[0] if column[0] in "()" else " " * len(column[0])
        column += [filler] * (height - len(column))
    rows = [" ".join(row) for row in zip(*columns, strict=True)]
    return [row.replace("( ", "(").replace(" )", ")") for row in rows]


def _matrix_lines(array, digits) -> list[str]:
    if np.ndim(array) == 0:
        return [number(array[()] if isinstance(array, np.ndarray) else array, digits)]
    if array.ndim == 3:  # side by side
        maps = (_matrix_lines(a, digits) for a in array)
        return [" ".join(line) for line in zip(*maps, strict=True)]
    cells = [[number(entry, digits) for entry in row] for row in np.atleast_2d(array)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    line = lambda row: " ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True))
    return [f"[{line(row)}]" for row in cells]


# Markdown


def markdown(written) -> str:
    """A table per section, matrices as lines of code."""
    lines = [f"**{written.title}**", *(f"\n{note}" for note in written.notes)]
    for title, equations in written.sections:
        lines += ["", f"**{title}**", "", "| | rule | with numbers | value |", "|---|---|---|---|"]
        for e in equations:
            numbers = result = ""
            if e.value is not None:
                terms, value = whole(written, e)
                numbers = _code(_block(e.terms, written.digits)) if terms else ""
                result = _code(_block((e.value,), written.digits)) if value else short(e.value)
            cells = [_cell(plain(e.symbol)), _cell(plain(e.rule)), numbers, result]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(formula) -> str:
    for sign in "|*_<>":
        formula = formula.replace(sign, f"\\{sign}")
    return formula


def _code(lines) -> str:
    # Spaces that don't break keep the columns of a matrix under each other.
    return "<br>".join(f"`{line.replace(' ', chr(160))}`" for line in lines)


# HTML

CELL = "padding:.35em .8em;text-align:left;vertical-align:middle;border:0;background:none"
RULER = "border-top:1px solid rgba(128,128,128,.4)"
# The ends of the brackets, which borders alone would not have.
ENDS = ",".join(
    f"linear-gradient(currentColor,currentColor) {side} {end}/.35em 1.5px no-repeat"
    for side in ("left", "right")
    for end in ("top", "bottom")
)
MATRIX = (
    "display:inline-table;border-collapse:collapse;vertical-align:middle;margin:.1em .2em;"
    f"border:0;border-left:1.5px solid;border-right:1.5px solid;background:{ENDS}"
)
ENTRY = "padding:.05em .4em;text-align:right;border:0;background:none"


def html(written) -> str:
    """A table in HTML, in the colours of the page it is put in."""
    rows = []
    for title, equations in written.sections:
        rows.append(
            f'<tr style="background:none"><th colspan="3" style="{CELL};{RULER};'
            f'padding-top:.8em">{escape(title)}</th></tr>'
        )
        rows += [_html_row(written, equation) for equation in equations]
    above = "<br/>".join(map(escape, [written.title, *written.notes]))
    head = f'<caption style="{CELL};caption-side:top">{above}</caption>'
    style = "border-collapse:collapse;border:0;font-variant-numeric:tabular-nums"
    return (
        f'<div style="overflow-x:auto"><table style="{style}">{head}{"".join(rows)}</table></div>'
    )


def _html_row(written, equation) -> str:
    numbers = "" if equation.value is None else _html_numbers(written, equation)
    cells = [escape(plain(equation.symbol)), f"= {escape(plain(equation.rule))}", numbers]
    cells = [f'<td style="{CELL};white-space:nowrap">{cell}</td>' for cell in cells]
    return f'<tr style="background:none">{"".join(cells)}</tr>'


def _html_numbers(written, equation) -> str:
    terms, value = whole(written, equation)
    numbers = "= " + _html_of(equation.value, written.digits) if value else ""
    if terms:
        parts = "".join(_html_of(term, written.digits) for term in equation.terms)
        return f"= {parts} {numbers}"
    return numbers or f"= {escape(short(equation.value))}"


def _html_of(term, digits) -> str:
    if isinstance(term, str):
        sign = escape(plain(term))
        return sign if sign in "()" else f" {sign} "
    if np.ndim(term) == 0:
        return escape(_matrix_lines(term, digits)[0])
    if term.ndim == 3:
        return "".join(_html_of(a, digits) for a in term)
    line = lambda row: "".join(f'<td style="{ENTRY}">{number(v, digits)}</td>' for v in row)
    rows = "".join(f'<tr style="background:none">{line(row)}</tr>' for row in np.atleast_2d(term))
    return f'<table style="{MATRIX}">{rows}</table>'


# LaTeX


def latex(written) -> str:
    """A formula per equation, and per section its title."""
    lines = []
    for title, equations in written.sections:
        lines.append(_latex_title(title))
        for e in equations:
            parts = [e.symbol, e.rule, *_latex_numbers(written, e)]
            lines.append("$" + " = ".join(parts) + "$")
    return "\n".join(lines)


def _latex_numbers(written, equation) -> list[str]:
    if equation.value is None:
        return []
    terms, value = whole(written, equation)
    parts = []
    if terms:
        joined = r" \; ".join(_latex_of(t, written.digits) for t in equation.terms)
        parts.append(joined.replace(r"( \; ", "(").replace(r" \; )", ")"))
    if value:
        return [*parts, _latex_of(equation.value, written.digits)]
    text = short(equation.value).replace(" ", r"\ ").replace("×", r"\times")
    return [*parts, rf"\mathrm{{{text}}}"]


def _latex_title(title) -> str:
    title = title.replace("_", r"\_").replace(" ", r"\ ")
    title = title.replace("→", r"\to").replace("×", r"\times")
    return rf"$\mathrm{{{title}}}$"


def _latex_of(term, digits) -> str:
    if isinstance(term, str):
        return term
    if np.ndim(term) == 0:
        return _latex_number(term[()] if isinstance(term, np.ndarray) else term, digits)
    if term.ndim == 3:
        return r" \, ".join(_latex_of(a, digits) for a in term)
    # Matrices as columns side by side: matplotlib knows \substack, but no environment.
    stack = lambda column: r" \\ ".join(_latex_number(v, digits) for v in column)
    columns = [rf"\substack{{{stack(column)}}}" for column in np.atleast_2d(term).T]
    inner = r" \;\; ".join(columns)
    return rf"\left[ {inner} \right]"


def _latex_number(value, digits) -> str:
    shown = number(value, digits)
    if shown.lstrip("-") in ("inf", "nan"):
        return shown.replace("inf", r"\infty").replace("nan", r"\mathrm{nan}")
    mantissa, _, exponent = shown.partition("e")
    return rf"{mantissa} \times 10^{{{int(exponent)}}}" if exponent else mantissa
