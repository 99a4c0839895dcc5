"""What every example does besides its own subject: options, device, data, a saved picture."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import jax
import matplotlib
import numpy as np

HERE = Path(__file__).parent


def start(description: str) -> argparse.Namespace:
    """Reads the options, and says on what the example runs."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few epochs; goals are not checked")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random choice")
    parser.add_argument("--pictures", type=Path, default=HERE.parent / "out", help="their folder")
    options = parser.parse_args()
    # A second run of the same example finds its compiled program here.
    cache = Path(os.environ.get("JAXNN_CACHE", Path(tempfile.gettempdir()) / "jaxnn-cache"))
    jax.config.update("jax_compilation_cache_dir", str(cache))
    matplotlib.use("agg")
    device = jax.devices()[0]
    print(f"{parser.prog} on {device.platform} ({device.device_kind})")
    return options


def save(axes, name: str, options: argparse.Namespace) -> None:
    """Saves the figure that `axes`, one or several, are in, and says where it is."""
    options.pictures.mkdir(parents=True, exist_ok=True)
    path = options.pictures / f"{name}.png"
    np.ravel(axes)[0].figure.savefig(path, dpi=150, bbox_inches="tight")
    print(f"picture: {path}")


def check(
    what: str,
    value: float,
    holds: bool,
    options: argparse.Namespace,
    peers: Mapping[str, float] | None = None,
) -> None:
    """Prints a result beside those of its peers, and fails where a full run misses its goal."""
    peers = dict(peers or {})
    beside = "".join(f"; {name}: {float(theirs):.4g}" for name, theirs in peers.items())
    print(f"{what}: {float(value):.4g}{beside}" + ("" if holds else "  (goal missed)"))
    if results := os.environ.get("JAXNN_RESULTS"):  # examples/all.py makes a table of these
        peers = {name: float(theirs) for name, theirs in peers.items()}
        row = dict(example=Path(sys.argv[0]).name, what=what, ours=float(value), peers=peers)
        with open(results, "a") as lines:
            lines.write(json.dumps(row) + "\n")
    if not holds and not options.quick:
        raise SystemExit(1)
