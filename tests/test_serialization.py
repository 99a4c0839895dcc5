"""Files: whatever is a tree comes back as it was, and a bad file or a wrong tree says so."""

from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import serialization

from jaxnn import networks, optimizers
from jaxnn.serialization import load, save
from jaxnn.training import TrainState

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
NET = networks.batch_norm_mlp([2, 4, 1])


def test_a_train_state_comes_back_with_its_optimizer(tmp_path):
    params, statistics = NET.init(KEY)
    optimizer = optax.chain(optimizers.clip_by_global_norm(1.0), optimizers.adam(0.1))
    filled = lambda tree: jax.tree.map(lambda a: a + jnp.ones((), a.dtype), tree)
    state = filled(TrainState(params, optimizer.init(params), statistics))
    save(tmp_path / "state", state)
    like = jax.eval_shape(
        lambda key: TrainState(params, optimizer.init(params), NET.init(key)[1]), KEY
    )
    found = load(tmp_path / "state", like)
    assert jax.tree.structure(found) == jax.tree.structure(state)
    chex.assert_trees_all_equal(found, state)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(found))


def test_every_kind_of_leaf_comes_back(tmp_path):
    tree = {
        "bfloat16": jnp.array([1.5, -2.0, jnp.nan], jnp.bfloat16),
        "float16": jnp.ones((2, 0), jnp.float16),
        "int8": jnp.arange(3, dtype=jnp.int8),
        "bool": jnp.array(True),
        "complex": jnp.array([1 + 2j]),
        "numpy": np.arange(3.0),
        "numbers": (1, 2.5, True),
        "key": jax.random.split(KEY, 2),
        "nothing": None,
        "list": [jnp.zeros(1), {0: jnp.ones(1), 10: jnp.ones(2)}],
    }
    save(tmp_path / "tree", tree)
    found = load(tmp_path / "tree", tree)
    key, expected = found.pop("key"), tree.pop("key")
    chex.assert_trees_all_equal(jax.random.key_data(key), jax.random.key_data(expected))
    assert jax.tree.map(type, found) == jax.tree.map(type, tree)
    chex.assert_trees_all_equal(found, tree)
    assert jax.tree.map(jnp.result_type, found) == jax.tree.map(jnp.result_type, tree)


def test_a_bare_array_and_an_empty_tree(tmp_path):
    save(tmp_path / "array", jnp.arange(3))
    assert load(tmp_path / "array", jnp.zeros(3, jnp.int32)).tolist() == [0, 1, 2]
    save(tmp_path / "empty", {})
    assert load(tmp_path / "empty", {}) == {}


def test_the_file_is_one_of_flax(tmp_path):
    params, _ = NET.init(KEY)
    save(tmp_path / "ours", params)
    like = jax.tree.map(jnp.zeros_like, params)
    theirs = serialization.from_bytes(like, (tmp_path / "ours").read_bytes())
    chex.assert_trees_all_equal(theirs, params)
    (tmp_path / "theirs").write_bytes(serialization.to_bytes(params))
    chex.assert_trees_all_equal(load(tmp_path / "theirs", like), params)


def test_arrays_return_to_their_devices(tmp_path):
    free = jnp.arange(4.0)
    placed = jax.device_put(free, jax.devices()[0])
    save(tmp_path / "tree", (free, placed))
    found = load(tmp_path / "tree", (free, placed))
    assert [a.committed for a in found] == [False, True]


def test_a_failing_write_leaves_the_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "tree"
    save(path, jnp.zeros(3))
    before = path.read_bytes()

    def fail(*args):
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(OSError, match="the disk is full"):
            save(path, jnp.ones(1000))
    with pytest.raises(TypeError, match="must be an array or a number"):
        save(path, {"a": jnp.ones(3), "b": print})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    save(path, jnp.ones(3))
    assert load(path, jnp.zeros(3)).tolist() == [1, 1, 1]


@jax.tree_util.register_pytree_with_keys_class
class Twins(tuple):
    """A node that gives its two children one name."""

    def __new__(cls, *children):
        return super().__new__(cls, children)

    def tree_flatten_with_keys(self):
        return [(jax.tree_util.GetAttrKey("left"), child) for child in self], None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


TREE = {"dense": {"kernel": jnp.zeros((2, 3)), "bias": jnp.zeros(3)}}
BAD = {
    "no file": (lambda path: load(path / "other", TREE), FileNotFoundError, "Save one there first"),
    "a folder for a file": (lambda path: load(path, TREE), FileNotFoundError, "must be a file"),
    "no folder": (
        lambda path: save(path / "a" / "b", TREE), FileNotFoundError, "save: the folder of path"),
    "a file of something else": (
        lambda path: (path / "text").write_text("hello") and load(path / "text", TREE),
        ValueError, "load: .*text must be a file that save wrote"),
    "half a file": (
        lambda path: (path / "half").write_bytes((path / "tree").read_bytes()[:50])
        and load(path / "half", TREE),
        ValueError, "must be a file that save wrote"),
    "another tree": (
        lambda path: load(path / "tree", {"dense": {"kernel": jnp.zeros((2, 3)), "scale": 1.0}}),
        ValueError, r"lacks \['dense/scale'\] and has \['dense/bias'\] besides"),
    "another shape": (
        lambda path: load(path / "tree", jax.tree.map(lambda a: a[:1], TREE)),
        ValueError, r"dense/bias must be float32\(1,\) as in like, got float32\(3,\)"),
    "another dtype": (
        lambda path: load(path / "tree", jax.tree.map(lambda a: a.astype(jnp.bfloat16), TREE)),
        ValueError, r"must be bfloat16\(3,\) as in like, got float32\(3,\)"),
    "words": (
        lambda path: save(path / "a", {"name": "mlp"}), TypeError, "name must be an array or a nu"),
    "a traced leaf": (
        lambda path: jax.jit(lambda a: save(path / "a", a))(1.0), TypeError, "outside of jit"),
    "two leaves of one name": (
        lambda path: save(path / "a", Twins(jnp.ones(1), jnp.ones(1))),
        ValueError, r"each leaf must have a name of its own, got \['left'\] twice"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_says_what_to_do(kind, tmp_path: Path):
    call, error, says = BAD[kind]
    save(tmp_path / "tree", TREE)
    with pytest.raises(error, match=says):
        call(tmp_path)
