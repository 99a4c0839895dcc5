"""The table of measured errors, as Markdown and as JSON."""

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from jaxnn.activations import mixing
from jaxnn.check._measure import PARTS, Measured, Row, text

HEADS = {"value": "value", "first": "f′", "second": "f″"}
INTRODUCTION = """\
Every function is computed at points chosen to be hard, in every way there is (compiled and
eager, by its closed form, in forward and in reverse mode), and compared with the truth to 130
digits. One comparison of one number is a check.

The promise, in float32:

- elementwise functions: the value within 4 units in the last place (ULP), the derivative
  within 6, the second derivative within 8, over all finite inputs. Within 0.35 of a simple zero
  of a derivative, where no formula can keep its digits, within 2⁻²² instead. Infinity gives the
  limit, and NaN gives NaN in the value and in both derivatives. Derivatives in a parameter that
  may be learned (the rows "alpha", "beta", "slope", and "slope in alpha" for the derivative in
  both) are within 8 ULP, for parameters from 2⁻²⁰ to 2²⁰;
- bfloat16 and float16: within 1 ULP, since all is computed in float32 and rounded once;
- losses: value and gradient within 8 ULP, cross-entropies within 4. Where terms of both signs
  cancel (a Poisson loss or a divergence that crosses 0, a soft label that is met exactly, two
  distances, or a distance and its margin), ULP are those of the largest term;
- losses that compare whole rows or sequences (contrastive, triplet, cosine_distance, info_nce,
  ctc, projected_cross_entropy, weighted_mean): errors within 1e-6 of the largest entry;
- norms, attention, recurrent layers and what else sums: errors within 1e-6 of the largest
  entry, for inputs from 1e-30 to 3e38, and offsets up to a million standard deviations. Where
  attention has logits beyond 3e38, which no float32 holds, it is held to the same ("huge");
- penalties, metrics, decoding, maps and diagnostics likewise. What is left of the variance is
  taken from 1: errors of r2_score are shares of that. Initializers are measured at what a key
  draws;
- whole networks, steps of training and what is explained of them, for inputs and weights near 1:
  outputs and gradients in all parameters within 1e-6 of the largest entry or of 1, if that is
  larger. Where normalizations follow each other, transformers are within 4e-6, and the gradient
  of a residual network within 1e-5; what solves equations (rbf_fit, rbf_interpolate) is within
  4e-6. The networks are small, and compiled; eagerly their layers are measured one by
  one;
- optimizers: within 1e-5 of the exact recursion, for gradients of 0 and from 1e-30 to 3e38 (of
  smaller ones the share 1 - β that a mean takes in may be subnormal); clipping within 1e-6.
  Their rules in plain jnp, which are there to be read, within 1e-6 for gradients near 1.

Exempt are subnormal numbers, as inputs, results or differences: XLA takes them for 0 on CPU. ∞
in the table stands for NaN, or infinity, where the truth is a number; about 8e6 ULP is a false
zero. Peers are held to the same bounds, in float32, and the share of their checks that miss
them is in brackets. (Flax's activations and losses are those of jax and Optax.)
"""


@dataclass
class Report:
    """What `run` measured.

    Attributes:
        rows: one per function and dtype: `name`, `dtype`, `unit`, `bounds`, what was `measured`,
            and the same of its `peers`.
        environment: versions, backend and date.
        missing: peers that were asked for and are not installed.
    """

    rows: list[Row]
    environment: dict[str, Any]
    missing: list[str] = field(default_factory=list)

    @property
    def checks(self) -> int:
        """How many numbers were compared with the truth."""
        return sum(row.measured.checks for row in self.rows)

    @property
    def failures(self) -> int:
        """How many of them broke the promise."""
        return sum(row.measured.failures for row in self.rows)

    def totals(self, library=None, elementwise=False) -> tuple[int, int]:
        """Checks and failures of ours, or of a peer where it has the function."""
        rows = [row for row in self.rows if "second" in row.bounds or not elementwise]
        found = [row.peers.get(library) if library else row.measured for row in rows]
        found = [m for m in found if isinstance(m, Measured)]
        return sum(m.checks for m in found), sum(m.failures for m in found)

    def markdown(self) -> str:
        """The report as a page of Markdown."""
        environment = ", ".join(f"{key} {value}" for key, value in self.environment.items())
        lines = ["# Measured accuracy", "", INTRODUCTION, f"Measured with {environment}.", ""]
        lines += self._summary()
        for title, rows in self._groups():
            lines += [f"## {title}", "", *self._table(rows), ""]
        return "\n".join(lines)

    def as_dict(self) -> dict:
        """The report as plain data."""
        return {
            "environment": self.environment,
            "checks": self.checks,
            "failures": self.failures,
            "missing": self.missing,
            "rows": [asdict(row) for row in self.rows],
        }

    def json(self) -> str:
        """The report as JSON; an infinite error is null, for JSON knows no infinity."""
        finite = lambda x: None if isinstance(x, float) and not math.isfinite(x) else x

        def plain(tree):
            if isinstance(tree, dict):
                return {key: plain(value) for key, value in tree.items()}
            return [plain(value) for value in tree] if isinstance(tree, list) else finite(tree)

        return json.dumps(plain(self.as_dict()), indent=1, ensure_ascii=False)

    def _libraries(self):
        return list(dict.fromkeys(name for row in self.rows for name in row.peers))

    def _summary(self):
        lines = ["| | checks | failures | of activations | failures |", "|---|---|---|---|---|"]
        for library in (None, *self._libraries()):
            all_of, some = self.totals(library), self.totals(library, elementwise=True)
            cells = [f"{checks:,} | {_share(checks, failed)}" for checks, failed in (all_of, some)]
            lines.append(f"| {library or '**jaxnn**'} | {' | '.join(cells)} |")
        lines += [f"\n{name} is not installed: left out." for name in self.missing]
        return [*lines, ""]

    def _groups(self):
        titles = {
            "activations": "Activations",
            "losses": "Losses",
            "layers": "Layers",
            "optimizers": "Optimizers and clipping",
            "regularizers": "Penalties",
            "metrics": "Metrics",
            "initializers": "Initializers",
            "decoding": "Decoding",
            "networks": "Networks",
            "training": "Training",
            "diagnostics": "Diagnostics",
            "backprop": "Explanations",
            "summary": "Summaries",
        }
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            module = row.name.split(".")[0]
            mixes = row.name.removeprefix("activations.") in mixing.__all__
            title = titles[module] + (" that mix features" if mixes else "")
            groups.setdefault(title, []).append(row)
        return groups.items()

    def _table(self, rows):
        parts = [part for part in PARTS if any(part in row.bounds for row in rows)]
        libraries = [name for name in self._libraries() if any(row.peers.get(name) for row in rows)]
        heads = ["function", "dtype", "unit", *(HEADS[part] for part in parts), "allowed"]
        heads += ["checks", "verdict", *libraries, "worst input"]
        yield "| " + " | ".join(heads) + " |"
        yield "|" + "---|" * len(heads)
        for row in rows:
            yield "| " + " | ".join(self._cells(row, parts, libraries)) + " |"

    def _cells(self, row, parts, libraries):
        m = row.measured
        errors = [_error(row, m, part) for part in parts]
        allowed = " / ".join(_number(row, row.bounds[part]) for part in row.bounds)
        verdict = f"**{m.failures:,} failed**" if m.failures else "kept"
        peers = [_peer(row, row.peers.get(library, "")) for library in libraries]
        name = row.name.split(".", 1)[1]
        cells = [f"`{name}`", row.dtype, row.unit, *errors, allowed, f"{m.checks:,}", verdict]
        return [*cells, *peers, m.worst_input.replace("|", "\\|")]


def _number(row, number):
    if row.unit == "ULP":
        return text(number).removesuffix(".0")
    if number == 0 or math.isinf(number):
        return "∞" if number else "0"
    return f"{number:.0e}".replace("e-0", "e-").replace("e+0", "e")


def _error(row, measured, part):
    return _number(row, measured.worst[part]) if part in measured.worst else ""


def _peer(row, measured):
    if isinstance(measured, str):
        return measured
    errors = " / ".join(_error(row, measured, part) for part in measured.worst)
    return f"{errors} ({_share(measured.checks, measured.failures)})"


def _share(checks, failures):
    if not failures:
        return "0"
    share = 100 * failures / max(checks, 1)
    return f"{share:.1f} %" if share >= 0.1 else "< 0.1 %"
