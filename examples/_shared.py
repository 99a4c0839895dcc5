"""What every example does besides its own subject: options, device, data, a saved picture."""

import argparse
import json
import operator
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import optax

from jaxnn import losses

HERE = Path(__file__).parent
RELATIONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


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
    plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    device = jax.devices()[0]
    print(f"{parser.prog} on {device.platform} ({device.device_kind})")
    return options


def save(axes, name: str, options: argparse.Namespace) -> None:
    """Saves the figure that `axes`, one or several, are in, and says where it is."""
    options.pictures.mkdir(parents=True, exist_ok=True)
    path = options.pictures / f"{name}.png"
    np.ravel(axes)[0].figure.savefig(path, dpi=150, bbox_inches="tight")
    print(f"picture: {path}")


def cosine(rate: float, epochs: int, examples: int, batch_size: int):
    """A rate that falls to zero along a cosine, over all steps of a training."""
    return optax.cosine_decay_schedule(rate, epochs * -(-examples // batch_size))


def smooth_cross_entropy(logits, labels):
    """Cross-entropy with a tenth of the labels spread over all classes.

    No answer is quite certain then, and the logits stay moderate.
    """
    targets = losses.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), 0.1)
    return losses.categorical_cross_entropy(logits, targets)


def shifted(network):
    """The network, which while it trains sees each image moved by up to a pixel to any side."""

    def moved(key, images):
        corners = jax.random.randint(key, (len(images), 2), 0, 3)
        cut = lambda image, at: jax.lax.dynamic_slice(image, (*at, 0), images.shape[1:])
        return jax.vmap(cut)(jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))), corners)

    def apply(params, x, *, key=None):
        return network.apply(params, x if key is None else moved(key, x), key=key)

    return network._replace(apply=apply)


def blurred(network, noise):
    """The network, which while it trains sees everything under noise."""

    def apply(params, x, *, key=None):
        seen = x if key is None else x + noise * jax.random.normal(key, x.shape)
        return network.apply(params, seen, key=key)

    return network._replace(apply=apply)


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
            ax.spines[:].set_visible(True)
        axes[0].set_ylabel(title, rotation=0, ha="right", va="center")
    save(grid, name, options)


def scatter(points, labels, name: str, options: argparse.Namespace) -> None:
    """Saves points of two or more features, by their first two principal axes, by class."""
    points = np.asarray(points, float)
    if points.shape[1] > 2:
        points = points - points.mean(0)
        points = points @ np.linalg.svd(points, full_matrices=False)[2][:2].T
    _, ax = plt.subplots(figsize=(4.8, 4.2))
    for label in np.unique(labels):
        of_class = points[np.asarray(labels) == label]
        ax.plot(*of_class.T, ".", ms=3)
        box = {"boxstyle": "round", "facecolor": "white", "alpha": 0.8}
        ax.text(*np.median(of_class, axis=0), label, ha="center", va="center", bbox=box)
    ax.set(xlabel="first axis", ylabel="second axis")
    save(ax, name, options)


def check(
    options: argparse.Namespace,
    network: str,
    data: str,
    result: str,
    ours: float,
    relation: str,
    goal: float,
    peers: Mapping[str, float] | None = None,
) -> None:
    """Prints a result beside its goal and its peers; a full run that misses the goal fails."""
    ours, goal = float(ours), float(goal)
    peers = {name: float(theirs) for name, theirs in (peers or {}).items()}
    reached = RELATIONS[relation](ours, goal)
    beside = "".join(f"; {name}: {theirs:.4g}" for name, theirs in peers.items())
    print(f"{network} on {data}, {result}: {ours:.4g} ({relation} {goal:.4g}){beside}")
    if results := os.environ.get("JAXNN_RESULTS"):  # examples/all.py makes a table of these
        row = dict(network=network, data=data, result=result, ours=ours, peers=peers)
        with open(results, "a") as lines:
            lines.write(json.dumps(row | {"goal": f"{relation} {goal:.4g}"}) + "\n")
    if not reached and not options.quick:
        raise SystemExit("goal missed")
