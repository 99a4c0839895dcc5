"""The structure of a network: layers, what each reads, and equal ones folded where they repeat."""

import functools

import jax
import jax.numpy as jnp
import pytest
from flax import linen
from jax import lax

from jaxnn import layers, networks
from jaxnn.summary import graph


def like(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


IDS = functools.partial(like, dtype=jnp.int32)


def edges(g):
    return {(g.nodes[e.source].name, g.nodes[e.target].name) for e in g.edges}


def test_data_flows_from_layer_to_layer():
    g = graph(networks.mlp([64, 128, 10]), like(32, 64))
    assert [(node.name, node.kind, node.shape) for node in g.nodes] == [
        ("input", "input", (32, 64)),
        ("dense_0", "dense", (32, 128)),
        ("relu", "", (32, 128)),
        ("dense_1", "dense", (32, 10)),
    ]
    assert [(e.source, e.target) for e in g.edges] == [(0, 1), (1, 2), (2, 3)]
    assert [node.parameters for node in g.nodes] == [0, 65 * 128, 0, 1290]


def test_equal_blocks_are_one_group():
    network = networks.transformer(50, width=32, heads=4, depth=6, length=16)
    g = graph(network, IDS(2, 16))
    (group,) = g.groups
    assert (group.name, group.repeats, group.parent) == ("block_0 … block_5", 6, None)
    inside = [node.name for node in g.nodes if node.group == 0]
    assert inside == [
        "norm_0", "attention", "add", "norm_1", "dense_0", "gelu", "dense_1", "add",
    ]  # fmt: skip
    assert ("embedding", "norm_0") in edges(g)
    assert ("embedding", "add") in edges(g), "the residual connection"
    assert ("add", "norm") in edges(g), "out of the last block"
    assert all(e.source < e.target for e in g.edges)


def test_different_blocks_stand_apart():
    g = graph(networks.resnet((8, 8, 1), [4, 8], 10, blocks=2), like(2, 8, 8, 1))
    assert [(group.name, group.repeats) for group in g.groups] == [
        ("block_0 … block_1", 2),
        ("block_2", 1),
        ("block_3", 1),
    ]
    assert {("conv_1", "norm_1"), ("norm_1", "add"), ("norm_2", "add"), ("relu", "conv_0")} <= (
        edges(g)
    )


def test_two_sides_meet_in_cross_attention():
    network = networks.sequence_to_sequence(50, 60, width=16, heads=2, depth=2, length=16)
    g = graph(network, (IDS(2, 16), IDS(2, 12)))
    assert [(group.name, group.parent) for group in g.groups] == [
        ("encoder", None),
        ("block_0 … block_1", 0),
        ("decoder", None),
        ("block_0 … block_1", 2),
    ]
    assert ("norm", "cross_attention") in edges(g)
    assert [node.name for node in g.nodes if node.kind == "input"] == ["input 0", "input 1"]


def test_series_of_equal_layers_are_folded():
    g = graph(networks.mlp([8] * 9 + [2]), like(4, 8))
    assert [group.repeats for group in g.groups] == [8]
    assert [node.name for node in g.nodes] == ["input", "dense_0", "relu", "dense_8"]
    assert len(graph(networks.mlp([8, 8, 8, 2]), like(4, 8)).groups) == 0, "two are no series"


def test_a_loop_is_a_group_that_repeats():
    step = lambda x, layer: (jnp.tanh(layers.dense(layer, x)), None)
    params = {"kernel": like(50, 8, 8), "bias": like(50, 8)}
    g = graph(lambda p, x: lax.scan(step, x, p)[0], params, like(4, 8))
    assert [(group.name, group.repeats) for group in g.groups] == [("scan", 50)]
    assert [node.kind for node in g.nodes] == ["input", "dense", "tanh"]
    assert [(e.source, e.target) for e in g.edges] == [(0, 1), (1, 2)]


def test_inputs_are_named_after_their_keys():
    f = lambda batch: batch["image"] @ batch["weights"]
    g = graph(f, {"image": like(4, 3), "weights": like(3, 2), "unused": like(1)})
    assert [node.name for node in g.nodes] == ["image", "weights", "matmul"]
    assert [(e.source, e.target) for e in g.edges] == [(0, 2), (1, 2)]


# What is folded: only what follows each other


def structure(f, count):
    """Names, edges and repeats of a function of some equal layers and an input."""
    g = graph(f, {f"w{i}": {"kernel": like(8, 8)} for i in range(count)}, like(4, 8))
    names = [node.name for node in g.nodes]
    return names, [(e.source, e.target) for e in g.edges], [group.repeats for group in g.groups]


class Attention(linen.Module):
    """Three equal layers of the same input."""

    @linen.compact
    def __call__(self, x):
        q, k, v = (linen.Dense(8)(x) for _ in range(3))
        return linen.Dense(8)(jax.nn.softmax(q @ k.swapaxes(-1, -2)) @ v)


def test_equal_layers_of_the_same_input_stand_beside_each_other():
    g = graph(Attention(), like(2, 5, 8))
    assert g.groups == ()
    assert [node.name for node in g.nodes[1:4]] == ["Dense_0", "Dense_1", "Dense_2"]
    expected = [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4), (4, 5)]
    assert [(e.source, e.target) for e in g.edges] == expected


def test_an_ensemble_stands_side_by_side():
    network = networks.mlp([8, 8, 8])
    params = jax.eval_shape(network.init, jax.random.key(0))
    g = graph(lambda p, x: jnp.stack([network.apply(q, x) for q in p]), [params] * 4, like(4, 8))
    assert g.groups == ()
    assert len([e for e in g.edges if e.source == 0]) == 4
    assert len([e for e in g.edges if e.target == len(g.nodes) - 1]) == 4


def test_branches_of_several_depths_fold_each_for_itself():
    def inception(p, x):
        branches, w = [], iter(p.values())
        for depth in range(1, 5):
            y = x
            for _ in range(depth):
                y = jnp.tanh(layers.dense(next(w), y))
            branches.append(y)
        return jnp.concatenate(branches, -1)

    names, edges, repeats = structure(inception, 10)
    assert repeats == [3, 4], "one and two are no series"
    assert len([e for e in edges if e[0] == 0]) == 4
    assert len([e for e in edges if e[1] == names.index("concatenate")]) == 4


@pytest.mark.parametrize("stem", [False, True])
def test_the_skips_of_a_u_net_lead_to_different_layers(stem):
    def u_net(p, x):
        skips, w = [], iter(p.values())
        x = layers.dense(next(w), x) if stem else x
        for _ in range(3):
            x = jnp.tanh(layers.dense(next(w), x))
            skips.append(x)
        for skip in reversed(skips):
            x = jnp.tanh(layers.dense(next(w), x)) + skip
        return x

    names, edges, repeats = structure(u_net, 6 + stem)
    assert repeats == []
    sums = [i for i, name in enumerate(names) if name == "add"]
    sources = [{a for a, b in edges if b == i} for i in sums]
    down = [i for i, name in enumerate(names) if name == "tanh"][:3]
    assert sources == [{down[2], sums[0] - 1}, {down[1], sums[1] - 1}, {down[0], sums[2] - 1}]


def in_turn(p, x):
    h = x
    for w in p.values():
        h = jnp.tanh(layers.dense(w, h)) + x  # x is read by all
    return h


def crossed(p, x):
    h = x
    for i, w in enumerate(p.values()):  # every second one reads the input
        h = jnp.tanh(layers.dense(w, h if i % 2 else x)) + h
    return h


def densely(p, x):
    h = [x]
    for w in p.values():
        h.append(jnp.tanh(layers.dense(w, sum(h))))
    return h[-1]


def middle(p, x):
    h = [x]
    for w in p.values():
        h.append(jnp.tanh(layers.dense(w, h[-1])))
    return h[-1] + h[3]


@pytest.mark.parametrize(
    ("f", "repeats"), [(in_turn, [6]), (crossed, [3]), (densely, []), (middle, [3, 3])]
)
def test_what_is_folded_reads_the_one_before_it_and_else_the_same(f, repeats):
    assert structure(f, 6)[2] == repeats


def test_two_chains_beside_each_other_are_one_series():
    def twins(p, x):
        a, b = x, x
        for v, w in zip(list(p.values())[::2], list(p.values())[1::2], strict=True):
            a, b = layers.dense(v, a), layers.dense(w, b)
        return a - b

    names, edges, repeats = structure(twins, 8)
    assert (names, repeats) == (["input", "w0", "w1", "sub"], [4])
    assert edges == [(0, 1), (0, 2), (1, 3), (2, 3)]
