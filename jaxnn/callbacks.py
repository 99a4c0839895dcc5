"""What happens on the host while a compiled run goes on.

A callback is any function `callback(epoch, metrics)`, called after each epoch with a count from
0 and a dict of scalars. It can't steer the run. Three attributes say more, where it has them:

    with_state    if true, it is called as `callback(epoch, metrics, state)`, with the state
                  after this epoch: in `make_fit`, the `TrainState`
    population    if true, it is called under `jax.vmap` too, once per epoch with one value per
                  member in each metric; otherwise it is silent there
    finish        a method that is called when the run ends
"""

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any, TextIO

import jax
import numpy as np

from jaxnn import _checks, serialization

__all__ = ["checkpoint", "logs", "progress"]

LAYOUT = "epoch {n_fmt}/{total_fmt} |{bar}| {desc} [{elapsed}<{remaining}]"


def checkpoint(path: str | Path, *, monitor: str | None = None, every: int = 1):
    """Saves the state to a file as the run goes on: the last one, or the best so far.

    `serialization.load(path, like)` reads it, where `like` is a state of the same shapes, such
    as `TrainState(params, optimizer.init(params))` or the state of another result. The file is
    always whole: a run that is killed while it writes leaves the state it saved before. Results
    may be there before the last file is: `jax.effects_barrier()` waits for it.

    Args:
        path: the file; its folder must exist. It is written over.
        monitor: the metric whose lowest value marks the best state, such as
            `"validation_loss"`; None for the last state.
        every: save after each so many epochs, and no more often.

    Returns:
        A callback for `make_fit` and `run`. Under `jax.vmap` nothing is saved.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if `every` is not positive, or, when the run begins, if there is no metric
            `monitor`.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "best"
        >>> save = checkpoint(file, monitor="loss")
        >>> for epoch, loss in enumerate([3.0, 1.0, 2.0]):
        ...     save(epoch, {"loss": loss}, {"epoch": np.array(epoch)})
        >>> serialization.load(file, {"epoch": np.array(0)})
        {'epoch': array(1)}
    """
    path = Path(path)
    _folder("checkpoint", path)
    _checks.sizes("checkpoint", every=every)
    return _Checkpoint(path, monitor, every)


class _Checkpoint:
    with_state = True

    def __init__(self, path, monitor, every):
        self.path, self.monitor, self.every = path, monitor, every
        self.best = np.inf

    def __call__(self, epoch, metrics, state):
        if self.monitor is not None and self.monitor not in metrics:
            raise ValueError(
                f"checkpoint: monitor must be one of {sorted(metrics)}, got {self.monitor!r}. "
                "Metrics of the validation are called validation_loss and so on."
            )
        if (int(epoch) + 1) % self.every:
            return
        if self.monitor is not None:
            value = float(metrics[self.monitor])
            if not value < self.best:  # a NaN is never the best
                return
            self.best = value
        serialization.save(self.path, state)

    def finish(self):
        """Forgets the best: a next run starts anew."""
        self.best = np.inf


def progress(epochs: int, *, population: bool = False, stream: TextIO | None = None):
    """A progress bar over epochs, with the latest loss and metrics, training/validation.

    Drawn by tqdm, in terminals and notebooks, a few times a second at most. Where the stream
    is neither, such as a log file, a line is written for every tenth of the run.

    Args:
        epochs: how many there will be at most.
        population: whether to draw under `jax.vmap`, with the mean over members; otherwise
            the bar is silent there.
        stream: where to draw; standard error by default.

    Returns:
        A callback for `make_fit` and `run`.

    Raises:
        ValueError: if `epochs` is not positive.

    Example:
        >>> bar = progress(2, stream=sys.stdout)
        >>> bar(0, {"loss": 1.5})
        epoch 1/2: loss 1.5
        >>> bar(1, {"loss": 0.25})
        epoch 2/2: loss 0.25
        >>> bar.finish()
    """
    _checks.sizes("progress", epochs=epochs)
    return _Progress(epochs, population, stream)


class _Progress:
    def __init__(self, epochs, population, stream):
        self.epochs, self.population, self.stream = epochs, population, stream
        self.bar: Any = None
        self.tenth = 0

    def __call__(self, epoch, metrics):
        done = int(np.max(epoch)) + 1
        words = _words(metrics)
        stream = self.stream or sys.stderr
        if not (_in_notebook() or stream.isatty()):
            self._line(done, words, stream)
            return
        if self.bar is None:
            # A pseudo-terminal may say that it has no lines, and the bar would hide.
            columns, rows = shutil.get_terminal_size()
            size = {"ncols": columns, "nrows": rows, "bar_format": LAYOUT}
            self.bar = _bar_class()(total=self.epochs, file=stream, **size)
        self.bar.set_description_str(words, refresh=False)
        self.bar.update(done - self.bar.n)

    def _line(self, done, words, stream):
        tenth = 10 * done // self.epochs
        if tenth > self.tenth:
            print(f"epoch {done}/{self.epochs}: {words}", file=stream, flush=True)
        self.tenth = tenth

    def finish(self):
        """Draws the last state and closes the bar; a next run opens a new one."""
        if self.bar is not None:
            self.bar.refresh()
            self.bar.close()
        self.bar, self.tenth = None, 0


def logs(path: str | Path, *, population: bool = False):
    r"""Appends one line of JSON per epoch to a file, as it happens.

    Args:
        path: the file; its folder must exist. Lines are appended to what it holds.
        population: whether to write under `jax.vmap`, with one value per member; otherwise
            nothing is written there.

    Returns:
        A callback for `make_fit` and `run`.

    Raises:
        FileNotFoundError: if the folder does not exist.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "log.jsonl"
        >>> logs(file)(0, {"loss": 0.5})
        >>> file.read_text()
        '{"epoch": 0, "loss": 0.5}\n'
    """
    path = Path(path)
    _folder("logs", path)

    def write(epoch, metrics):
        line = {"epoch": int(np.max(epoch)), **_plain(metrics)}
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    write.population = population
    return write


def _folder(function, path):
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{function}: the folder of path must exist, got {path}. Create {path.parent} first."
        )


def _words(metrics):
    """Metrics in few words, `loss 0.25` or `loss 0.25/0.31` with that of the validation."""
    short = {name: f"{np.nanmean(value):.3g}" for name, value in _plain(metrics).items()}
    pairs = {name: short.pop(f"validation_{name}", None) for name in list(short)}
    return ", ".join(
        f"{name} {word}" + (f"/{pairs[name]}" if pairs[name] else "")
        for name, word in sorted(short.items(), key=lambda item: item[0] != "loss")
    )


def _plain(metrics):
    """Metrics as numbers, or lists of them."""
    return jax.tree.map(lambda value: np.asarray(value, float).tolist(), dict(metrics))


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    instance = shell and shell.get_ipython()
    return instance is not None and "IPKernelApp" in instance.config


def _bar_class():
    """The bar for where we are; the plain one serves in notebooks without widgets too."""
    if _in_notebook() and importlib.util.find_spec("ipywidgets"):
        from tqdm.notebook import tqdm
    else:
        from tqdm.std import tqdm
    return tqdm
