"""The whole measurement, or a part of it."""

import datetime
import difflib
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax

from jaxnn.check import (
    _activations,
    _attention,
    _flow,
    _layers,
    _looking,
    _losses,
    _maps,
    _networks,
    _networks_in_time,
    _optimizers,
    _peers,
    _rows,
    _rules,
    _sequences,
    _training,
    _truth,
    _values,
    _windows,
)
from jaxnn.check._report import Report

# Public functions that have no line, by the reason why.
EXEMPT = {
    "draws parameters with initializers, which are measured": ("layers.*_init",),
    "a type": (
        "initializers.Initializer", "optimizers.SkipState", "networks.Autoencoder",
        "networks.GANState", "networks.Network", "networks.StatefulNetwork",
        "networks.Transformer", "networks.Tree", "training.FitResult", "training.TrainState",
        "diagnostics.Loop", "diagnostics.NonFinite", "diagnostics.PrincipalComponents",
        "diagnostics.Verdict", "backprop.Explanation", "backprop.LayerPass", "summary.[A-Z]*",
    ),
    "computes nothing itself: it keeps or skips what an optimizer has computed": (
        "optimizers.skip_nonfinite",
    ),
    "a network as it is, with an empty state": ("networks.with_state",),
    "arranges integers, and computes nothing": ("networks.pack_trees",),
    "draws examples, and computes nothing of them": (
        "networks.sample_triplets", "networks.som_from_samples",
    ),
    "passes on what gradient_flow computes": (
        "diagnostics.record_flow", "diagnostics.recorded_flow",
    ),
    "says in words, with three digits, what gradient_flow computes": ("diagnostics.diagnose",),
    "a place in a program, no number": ("diagnostics.first_nonfinite",),
    "names and shapes, no number": ("summary.graph",),
    "draws a picture of numbers that it is given": ("plots.*",),
    "shows or keeps the numbers of a training": ("callbacks.*",),
    "keeps every bit": ("serialization.*", "interop.*"),
    "where numbers are computed, not how": ("sharding.data_parallel",),
    "the measurement itself": ("check.*",),
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """How thoroughly to look."""

    points: int
    seed: int
    quick: bool
    against: tuple[str, ...]


def catalogue() -> list[Any]:
    """Everything that is measured, in the order of the table."""
    rows = _rows.entries()
    mixing = [entry for entry in rows if entry.name.startswith("activations")]
    return [
        *_activations.entries(), *mixing, *_losses.elementwise(),
        *(entry for entry in rows if entry not in mixing), *_layers.entries(),
        *_windows.entries(), *_attention.entries(), *_sequences.entries(),
        *_optimizers.entries(), *_rules.entries(), *_values.entries(), *_networks.entries(),
        *_networks_in_time.entries(), *_maps.entries(), *_training.entries(), *_flow.entries(),
        *_looking.entries(),
    ]  # fmt: skip


def run(
    *names: str,
    against: Sequence[str] = (),
    points: int = 2048,
    seed: int = 0,
    quick: bool = False,
    progress=None,
) -> Report:
    """Measures functions of jaxnn against high-precision truth on this machine and backend.

    Args:
        *names: which: modules (`"losses"`) or functions (`"gelu"`, `"losses.huber"`), with
            `"jaxnn."` before them or not; by default all. Gradients (`"gelu_grad"`) are measured
            with their function.
        against: peers to measure as well: `"jax"`, `"optax"`, `"torch"`, `"flax"`, `"keras"`.
            Those that are not installed are named in the report.
        points: how many, for each elementwise function.
        seed: of the points that are random.
        quick: float32 only, and fewer points: seconds instead of minutes.
        progress: wraps the list of what is measured, such as `tqdm.tqdm`.

    Returns:
        A `Report` with `checks`, `failures`, `rows`, `markdown()` and `json()`.

    Raises:
        ValueError: if a name or a peer is not known, or there are fewer than 128 points.
        ImportError: if mpmath is not installed.

    Example:
        >>> report = run("relu", quick=True)
        >>> report.failures, report.rows[0].measured.worst["value"]
        (0, 0.0)
    """
    _truth.mp()
    if points < 128:
        raise ValueError(f"run: points must be at least 128, got {points}. Leave it out: 2048.")
    unknown = [name for name in against if name not in _peers.LIBRARIES]
    if unknown:
        raise ValueError(
            f"run: against must name some of {', '.join(_peers.LIBRARIES)}, got {unknown[0]!r}. "
            "Other libraries have no column."
        )
    missing = [name for name in against if not _peers.installed(name)]
    present = tuple(name for name in against if name not in missing)
    settings = Settings(128 if quick else points, seed, quick, present)
    chosen = _chosen(names)
    rows = [row for entry in (progress or list)(chosen) for row in entry.rows(settings)]
    return Report(rows, _environment(present), missing)


def _chosen(names):
    entries = catalogue()
    if not names:
        return entries
    words = {entry.name: _words(entry.name) for entry in entries}
    known = sorted(set().union(*words.values()))
    plain = [name.removeprefix("jaxnn.") for name in names]
    plain = [name.removesuffix("_grad").removesuffix("_vjp") for name in plain]
    for name, asked in zip(plain, names, strict=True):
        if name not in known:
            close = difflib.get_close_matches(name, known, 3)
            raise ValueError(
                f"run: each name must be that of a module or function measured, got {asked!r}. "
                f"Did you mean {' or '.join(close or ['activations', 'losses'])}?"
            )
    return [entry for entry in entries if words[entry.name] & set(plain)]


def _words(name):
    """The names by which an entry can be asked for."""
    plain = name.split("(")[0].split(" ")[0]
    module, function = plain.split(".")
    return {name, plain, module, function}


def _environment(against):
    device = jax.devices()[0]
    versions = {"jax": jax.__version__, "jaxlib": _peers.version("jaxlib")}
    versions |= {name: _peers.version(name) for name in against if name != "jax"}
    return {
        **versions,
        "Python": platform.python_version(),
        "backend": f"{device.platform} ({device.device_kind}, {platform.machine()})",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
