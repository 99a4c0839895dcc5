"""Trees of arrays in a file, and back: parameters, train states, whatever is a pytree.

The file is what `flax.serialization` writes: nested dicts by the names of the tree, in msgpack.
So parameters saved here are read by Flax, and the other way round.
"""

import os
import uuid
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization, traverse_util

from jaxnn import _checks

__all__ = ["load", "save"]


def save(path: str | Path, tree: Any) -> None:
    """Writes a tree of arrays to a file, wholly or not at all.

    Until the new file is complete and on the disk, the old one stays as it was.

    Args:
        path: the file; its folder must exist.
        tree: any pytree whose leaves are arrays, numbers or random keys.

    Returns:
        Nothing.

    Raises:
        FileNotFoundError: if the folder does not exist.
        TypeError: if a leaf is something else, or traced by `jit`.
        ValueError: if two leaves have the same name.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "params"
        >>> save(path, {"kernel": jnp.array([1.0, 2.0])})
        >>> load(path, {"kernel": jnp.zeros(2)})
        {'kernel': Array([1., 2.], dtype=float32)}
    """
    path = Path(path)
    named = {}
    for name, leaf in _named("save", tree):
        named[name] = _stored(name, leaf)
    content = serialization.msgpack_serialize(traverse_util.unflatten_dict(named))
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"save: the folder of path must exist, got {path}. Create {path.parent} first."
        )
    # Beside the old file, so that the last step is a mere renaming.
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def load(path: str | Path, like: Any) -> Any:
    """Reads a tree of arrays from a file that `save` wrote.

    Args:
        path: the file.
        like: a tree of the same names, shapes and dtypes, whose values don't matter:
            `jax.eval_shape(network.init, key)` will do. Arrays that are spread over devices
            come back spread in the same way.

    Returns:
        A tree like `like` with the values of the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file holds no tree, or one of other names, shapes or dtypes.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "params"
        >>> save(path, {"kernel": jnp.zeros((3, 2))})
        >>> load(path, {"kernel": jnp.zeros((2, 3))})
        Traceback (most recent call last):
        ValueError: load: kernel must be float32(2, 3) as in like, got float32(3, 2). ...
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"load: path must be a file, got {path}. Save one there first.")
    named = dict(_named("load", like))
    stored = _read(path)
    missing, unknown = (
        sorted("/".join(name) for name in a.keys() - b.keys())
        for a, b in ((named, stored), (stored, named))
    )
    if missing or unknown:
        raise ValueError(
            f"load: {path} must hold the names of like, but lacks {missing} and has {unknown} "
            "besides. Pass the tree of the network and optimizer that were saved."
        )
    leaves = [_restored(name, stored[name], leaf) for name, leaf in named.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _named(function, tree):
    """`(names from the root to the leaf, leaf)` for each leaf, with Flax's names."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = [(tuple(_name(step) for step in path) or ("value",), leaf) for path, leaf in leaves]
    names = [name for name, _ in named]
    twice = sorted({"/".join(name) for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"{function}: each leaf must have a name of its own, got {twice} twice. A key 1 and "
            "a key '1' are the same in a file: rename one."
        )
    return named


def _name(step):
    for attribute in ("key", "name", "idx"):
        if hasattr(step, attribute):
            return str(getattr(step, attribute))
    return str(step)


def _stored(name, leaf):
    if not _checks.concrete(leaf):
        raise TypeError(
            f"save: {'/'.join(name)} must have a value, got {leaf!r}. Call save outside of jit."
        )
    if _is_key(leaf):
        leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    if array.dtype.kind in "OUSM":
        raise TypeError(
            f"save: {'/'.join(name)} must be an array or a number, got {leaf!r}. Take it out of "
            "the tree."
        )
    return array


def _read(path):
    try:
        tree = serialization.msgpack_restore(path.read_bytes())
        return traverse_util.flatten_dict(tree)
    except Exception as error:
        raise ValueError(
            f"load: {path} must be a file that save wrote, got {type(error).__name__}: {error}. "
            "Pass another path."
        ) from None


def _restored(name, value, like):
    keys = _is_key(like)
    wanted = jax.eval_shape(jax.random.key_data, like) if keys else like
    shape, dtype = jnp.shape(wanted), _dtype(wanted)
    if np.shape(value) != shape or np.result_type(value) != dtype:
        raise ValueError(
            f"load: {'/'.join(name)} must be {dtype}{shape} as in like, got "
            f"{np.result_type(value)}{np.shape(value)}. Pass a tree of the network that was saved."
        )
    if keys:
        return jax.random.wrap_key_data(jnp.asarray(value), impl=jax.random.key_impl(like))
    if isinstance(like, bool | int | float | complex):
        return type(like)(value)
    if isinstance(like, np.ndarray | np.generic):
        return value
    # An array that was free to move stays free: no device is named for it.
    free = not getattr(like, "committed", True)
    return jax.device_put(value, None if free else like.sharding)


def _dtype(leaf):
    return leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype


def _is_key(leaf):
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
