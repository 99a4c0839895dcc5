"""What the flow of gradients says, in plain words and with the evidence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Verdict", "diagnose"]

# By how much the gradient may fall or grow from the last layer to the first.
VANISHING, EXPLODING = 1e-3, 1e3
# A layer asked to change by more than this many times itself is out of hand.
RATIO = 100.0
DEAD, CLOSED = 0.5, 0.8
REMEDIES = {
    "not finite": "Find where it began with `first_nonfinite`.",
    "dead": "Take a smaller learning rate, a bias that is not negative, or an activation that "
    "passes on something below zero.",
    "exploding": "Clip the gradients by their norm, or draw smaller weights: the product of the "
    "weights grows from layer to layer.",
    "vanishing": "Draw weights that keep the variance (he, glorot, orthogonal), use activations "
    "of the relu family, normalization or residual connections.",
    "saturated": "Draw smaller weights or normalize the inputs; the relu family saturates on "
    "one side only.",
    "healthy": "Nothing to do.",
}


@dataclass(frozen=True)
class Verdict:
    """What `diagnose` found.

    Attributes:
        name: `not finite`, `dead`, `exploding`, `vanishing`, `saturated` or `healthy`: the first
            of them that holds.
        evidence: a sentence per finding, with its numbers.
        remedy: what helps.
    """

    name: str
    evidence: tuple[str, ...]
    remedy: str

    def __str__(self) -> str:
        """The verdict, its evidence and the remedy."""
        return f"{self.name}: {' '.join(self.evidence)} {self.remedy}"


def diagnose(flow: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """Says whether the gradients of a network vanish, explode, meet dead units, or are healthy.

    - not finite: an entry is nan or infinite;
    - dead: in some layer, half of the units or more are inactive on every example;
    - exploding: the gradient of the first layer is over 1000 times that of the last, or that
      of some layer over 100 times its weights;
    - vanishing: the gradient of the first layer is less than a thousandth of that of the last,
      or there is none at all;
    - saturated: in some layer, 80 % or more of the entries pass on less than a hundredth of
      the gradient, and not because their activation is zero on one side.

    The thresholds are round numbers, no law: a look at `plots.gradient_flow` says more.

    Args:
        flow: what `gradient_flow` returned; of a recorded one, the last epoch is judged.

    Returns:
        The `Verdict`; `print` it.

    Raises:
        ValueError: if the flow holds no layer.

    Example:
        >>> layer = {"gradient_norm": 1.0, "weight_norm": 1.0, "gradient_ratio": 1.0}
        >>> flow = {"dense_0": layer | {"gradient_norm": 1e-9}, "dense_1": layer}
        >>> print(diagnose(flow).evidence[0])
        The gradient of dense_0 is 1e-09 times that of dense_1 (norms 1e-09 and 1), a factor of
        1e-09 per layer.
    """
    flow = {name: _latest(entries) for name, entries in flow.items()}
    flow = dict(sorted(flow.items(), key=lambda layer: layer[1].get("position", 0)))
    given = {name: sorted(entries) for name, entries in flow.items()}
    # Updates may be recorded of more than one layer together, or of no layer.
    flow = {name: e for name, e in flow.items() if set(e) != {"update_ratio"}}
    if not flow or not all("gradient_norm" in entries for entries in flow.values()):
        raise ValueError(
            "diagnose: flow must hold at least one layer with its gradient_norm, got "
            f"{given}. Pass what `gradient_flow` returned."
        )
    findings: dict[str, list[str]] = {}
    for name, sentence in [*_broken(flow), *_inactive(flow), *_scale(flow)]:
        findings.setdefault(name, []).append(sentence)
    order = [name for name in REMEDIES if name in findings]
    name = order[0] if order else "healthy"
    evidence = [sentence for each in order for sentence in findings[each]] or _health(flow)
    return Verdict(name, tuple(evidence), REMEDIES[name])


def _latest(entries) -> dict[str, float]:
    """The entries of a layer as numbers: of a recording, those of the last epoch that ran."""
    found = {}
    for name, values in entries.items():
        values = np.asarray(values, float).reshape(-1)
        ran = values[~np.isnan(values)]
        found[name] = float(ran[-1] if len(values) > 1 and len(ran) else values[-1])
    return found


def _broken(flow):
    wrong = {
        name: entry
        for name, entries in flow.items()
        for entry, value in entries.items()
        if not (np.isfinite(value) or (entry.endswith("_ratio") and _is_zero(entries)))
    }
    if wrong:
        name, entry = next(iter(wrong.items()))
        sentence = f"The {entry} of {name} is {flow[name][entry]:g}"
        yield "not finite", f"{sentence}{_others(wrong, 'with such entries')}."


def _is_zero(entries) -> bool:
    """Whether a layer of zeros, such as a bias, has a ratio that says nothing."""
    return entries.get("weight_norm") == 0 and np.isfinite(entries["gradient_norm"])


def _inactive(flow):
    dead = _over(flow, lambda e: e.get("dead", 0), DEAD)
    if dead:
        name, part = max(dead.items(), key=lambda item: item[1])
        sentence = f"{part:.0%} of the units of {name} are inactive on every example"
        yield "dead", f"{sentence}{_others(dead, 'with half or more')}."

    def closed(entries):
        saturated = entries.get("saturated", 0)
        return saturated + entries["inactive"] if saturated > 0 else 0

    shut = _over(flow, closed, CLOSED)
    if shut:
        name, part = max(shut.items(), key=lambda item: item[1])
        sentence = f"{part:.0%} of the entries of {name} pass on next to nothing"
        yield "saturated", f"{sentence}{_others(shut, 'with 80 % or more')}."


def _scale(flow):
    # Parameters that no data meet, such as unused ones, are no end of the network.
    met = [name for name, entries in flow.items() if "delta_norm" in entries] or list(flow)
    first, last = met[0], met[-1]
    here, there = (flow[name]["gradient_norm"] for name in (first, last))
    if all(entries["gradient_norm"] == 0 for entries in flow.values()):
        yield "vanishing", "All gradients are zero."
    elif np.isfinite(here) and here > EXPLODING * there:
        yield "exploding", _compared(first, last, here, there, len(met))
    elif here < VANISHING * there:
        yield "vanishing", _compared(first, last, here, there, len(met))
    large = _over(flow, lambda e: e.get("gradient_ratio", 0), RATIO)
    if large:
        name, ratio = max(large.items(), key=lambda item: item[1])
        sentence = f"The gradient of {name} is {ratio:.3g} times its weights"
        yield "exploding", f"{sentence}{_others(large, 'over 100 times')}."


def _over(flow, measure, threshold) -> dict[str, float]:
    """The layers in which a measure reaches a threshold, and is finite."""
    found = {name: measure(entries) for name, entries in flow.items()}
    return {name: value for name, value in found.items() if threshold <= value < np.inf}


def _others(found, what) -> str:
    """The end of a sentence about one layer, if it holds for more."""
    more = len(found) - 1
    return f"; {more} other layer{'s' * (more > 1)} {what}" if more else ""


def _compared(first, last, here, there, depth) -> str:
    times = here / there if there else np.inf
    each = times ** (1 / (depth - 1)) if depth > 1 else times
    return (
        f"The gradient of {first} is {times:.3g} times that of {last} "
        f"(norms {here:.3g} and {there:.3g}), a factor of {each:.2g} per layer."
    )


def _health(flow) -> list[str]:
    norms = [entries["gradient_norm"] for entries in flow.values()]
    found = [f"Gradient norms are between {min(norms):.3g} and {max(norms):.3g} in all layers."]
    if len(norms) == 1:
        found = [f"The gradient norm is {norms[0]:.3g}; one layer has no other to compare it with."]
    dead = [entries["dead"] for entries in flow.values() if "dead" in entries]
    if dead:
        found.append(f"At most {max(dead):.0%} of the units of a layer are dead.")
    return found
