"""The parameters of every network: their names and shapes stay, here and in Flax.

A renaming would break the parameters people have saved. If one is meant, write the new names
with `python tests/test_parameters.py`, and tell it in the changelog.
"""

import inspect
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from jaxnn import interop, networks

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
GOLDEN = Path(__file__).with_name("golden_parameters.txt")
MLP = networks.mlp([2, 3, 1])
IMAGES, STEPS, ROWS = jnp.zeros((2, 4, 4, 1)), jnp.zeros((2, 5, 1)), jnp.zeros((2, 3))
IDS = jnp.zeros((2, 4), int)
BLOCKS = {"width": 4, "heads": 2, "depth": 1, "length": 4}

# Each network in its smallest form, and inputs of it. `[...]` names another form of one.
NETWORKS = {
    "autoencoder": (networks.autoencoder([3, 2]), ROWS),
    "batch_norm_cnn": (networks.batch_norm_cnn((4, 4, 1), [2], 3, hidden=[2]), IMAGES),
    "batch_norm_mlp": (networks.batch_norm_mlp([3, 2, 1]), ROWS),
    "cnn": (networks.cnn((4, 4, 1), [2], 3, hidden=[2]), IMAGES),
    "convolutional_autoencoder": (networks.convolutional_autoencoder((4, 4, 1), [2], 3), IMAGES),
    "gan": (networks.gan(networks.mlp([1, 2]), MLP), jnp.zeros((2, 1))),
    "gru": (networks.gru(1, 2, 1), STEPS),
    "lstm": (networks.lstm(1, 2, 1, layers=2), STEPS),
    "lstm[bidirectional]": (networks.lstm(1, 2, 1, bidirectional=True), STEPS),
    "mlp": (MLP, ROWS[:, :2]),
    "perceptron": (networks.perceptron(3), ROWS),
    "rbf_network": (networks.rbf_network(3, 2, 1), ROWS),
    "recursive_network": (
        networks.recursive_network(9, 2, 3), networks.pack_trees([(7, 1, (8, 2, 3)), (4, 1)])),
    "recursive_network[tree_rnn]": (
        networks.recursive_network(9, 2, 3, cell="tree_rnn"), networks.pack_trees([(7, 1, 2)])),
    "resnet": (networks.resnet((4, 4, 1), [2, 3], 2, blocks=1), IMAGES),
    "rnn": (networks.rnn(1, 2, 1), STEPS),
    "self_organizing_map": (networks.self_organizing_map((2, 2), 3), ROWS),
    "sequence_to_sequence": (networks.sequence_to_sequence(5, 6, **BLOCKS), (IDS, IDS)),
    "siamese": (networks.siamese(MLP), (ROWS[:, :2], ROWS[:, 1:])),
    "transformer": (networks.transformer(5, **BLOCKS), IDS),
    "transformer_encoder": (networks.transformer_encoder(5, 3, **BLOCKS), IDS),
    "variational_autoencoder": (networks.variational_autoencoder([3, 4, 2]), ROWS),
    "with_state": (networks.with_state(MLP), ROWS[:, :2]),
}  # fmt: skip


def names_and_shapes():
    for name, (net, _) in NETWORKS.items():
        tree = jax.eval_shape(net.init, KEY)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            yield f"{name}{jax.tree_util.keystr(path)} {leaf.shape}"


def is_constructor(item):
    """Whether it returns a network, which is what has an `init`."""
    return inspect.isfunction(item) and hasattr(inspect.signature(item).return_annotation, "init")


def test_every_network_is_here():
    constructors = {name for name in networks.__all__ if is_constructor(getattr(networks, name))}
    assert {"mlp", "resnet", "autoencoder", "transformer"} <= constructors
    assert {name.split("[")[0] for name in NETWORKS} == constructors, "add it to NETWORKS"


def test_names_and_shapes_of_parameters_stay():
    found, golden = list(names_and_shapes()), GOLDEN.read_text().splitlines()
    lost, new = sorted(set(golden) - set(found)), sorted(set(found) - set(golden))
    assert found == golden, f"lost: {lost}; new: {new}. If it is meant: {__doc__}"


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_the_same_parameters_in_flax(name):
    net, inputs = NETWORKS[name]
    expected = jax.eval_shape(net.init, KEY)
    both = expected if isinstance(net, networks.StatefulNetwork) else (expected, {})

    module = interop.to_linen(net)
    variables = jax.eval_shape(module.init, KEY, inputs)
    found = tuple(variables.get(kind, {}) for kind in ("params", "batch_stats"))
    chex.assert_trees_all_equal_shapes_and_dtypes(found, both)
    assert jax.tree.leaves(jax.eval_shape(module.apply, variables, inputs))

    def in_nnx(key):
        module = interop.to_nnx(net, rngs=nnx.Rngs(key))
        return tuple(nnx.to_pure_dict(nnx.state(module, k)) for k in (nnx.Param, nnx.BatchStat))

    chex.assert_trees_all_equal_shapes_and_dtypes(jax.eval_shape(in_nnx, KEY), both)


if __name__ == "__main__":
    GOLDEN.write_text("".join(line + "\n" for line in names_and_shapes()))
