"""What every example does besides its own subject: options, device, data, a saved picture."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import matplotlib.pyplot as plt
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


def shifted(key, images):
    """Each image of a batch, moved by up to a pixel to any side."""
    corners = jax.random.randint(key, (len(images), 2), 0, 3)
    cut = lambda image, at: jax.lax.dynamic_slice(image, (*at, 0), images.shape[1:])
    return jax.vmap(cut)(jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))), corners)


def images(rows: Mapping[str, object], name: str, options: argparse.Namespace) -> None:
    """Saves rows of small square images, each under its name."""
    rows = {title: np.asarray(row) for title, row in rows.items()}
    side = round(next(iter(rows.values()))[0].size ** 0.5)
    columns = max(map(len, rows.values()))
    _, grid = plt.subplots(len(rows), columns, figsize=(columns * 0.7, len(rows) * 0.8))
    for axes, (title, row) in zip(np.atleast_2d(grid), rows.items(), strict=True):
        for ax, image in zip(axes, row, strict=True):
            ax.imshow(image.reshape(side, side), cmap="gray_r", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
        axes[0].set_ylabel(title)
    save(grid, name, options)


def scatter(points, labels, name: str, options: argparse.Namespace) -> None:
    """Saves points of two or more features, by their first two principal axes, by class."""
    points = np.asarray(points, float)
    if points.shape[1] > 2:
        points = points - points.mean(0)
        points = points @ np.linalg.svd(points, full_matrices=False)[2][:2].T
    _, ax = plt.subplots(figsize=(4.8, 4.2))
    for label in np.unique(labels):
        ax.plot(*points[np.asarray(labels) == label].T, ".", ms=3, label=str(label))
    ax.legend(frameon=False, fontsize="small", markerscale=3, loc="upper right")
    ax.set(xlabel="first axis", ylabel="second axis")
    save(ax, name, options)


def lines(x, ys: Mapping[str, object], name: str, options: argparse.Namespace) -> None:
    """Saves several lines over one axis, each with its name."""
    _, ax = plt.subplots(figsize=(8, 3))
    for title, y in ys.items():
        ax.plot(x, y, lw=1.2, label=title)
    ax.legend(frameon=False)
    save(ax, name, options)


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
