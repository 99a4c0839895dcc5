"""Layers and a network on trees: plain recursion, chains, padding, one compilation, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from harness import quick_jit

from jaxnn import layers, make_fit, networks, optimizers
from jaxnn.losses import sparse_categorical_cross_entropy
from jaxnn.networks import Tree, pack_trees
from jaxnn.training import supervised

pytestmark = pytest.mark.usefixtures("quick_compilation")

random = np.random.default_rng(0)
KEY = jax.random.key(0)
INPUTS, FEATURES = 3, 4
RNN = layers.tree_rnn_init(KEY, INPUTS, FEATURES)
LSTM = layers.tree_lstm_init(KEY, INPUTS, FEATURES)
ROWS = random.normal(size=(10, INPUTS)).astype(np.float32)
TABLE = jnp.asarray(ROWS)
tree_lstm, tree_rnn = quick_jit(layers.tree_lstm), quick_jit(layers.tree_rnn)
FORK = (7, 1, (8, 2, 3))
CHAIN = (5, (4, (3, (2, 1))))


def grown(depth):
    if depth == 0 or random.random() < 0.3:
        return int(random.integers(10))
    return (int(random.integers(10)), *(grown(depth - 1) for _ in range(random.integers(1, 5))))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def rnn_by_recursion(p, node):
    """The state of a node, the way the definition reads."""
    value, *children = node if isinstance(node, tuple) else (node,)
    below = sum((rnn_by_recursion(p, child) for child in children), np.zeros(FEATURES))
    return np.tanh(ROWS[value] @ p["i"]["kernel"] + p["i"]["bias"] + below @ p["h"]["kernel"])


def lstm_by_recursion(p, node):
    """The state and the memory of a node, the way the definition reads."""
    value, *children = node if isinstance(node, tuple) else (node,)
    x, below = ROWS[value], [lstm_by_recursion(p, child) for child in children]

    def gate(name, h):
        from_h = p[f"h{name}"]
        return x @ p[f"i{name}"]["kernel"] + h @ from_h["kernel"] + from_h["bias"]

    h = sum((h for h, _ in below), np.zeros(FEATURES))
    c = sigmoid(gate("i", h)) * np.tanh(gate("g", h))
    c = c + sum(sigmoid(gate("f", h_k)) * c_k for h_k, c_k in below)
    return sigmoid(gate("o", h)) * np.tanh(c), c


@pytest.mark.parametrize(
    ("f", "params", "truth"),
    [
        (tree_rnn, RNN, rnn_by_recursion),
        (tree_lstm, LSTM, lambda p, tree: lstm_by_recursion(p, tree)[0]),
    ],
    ids=["tree_rnn", "tree_lstm"],
)
def test_equals_plain_recursion(f, params, truth):
    trees = [grown(4) for _ in range(12)]
    ids, tree = pack_trees(trees)
    roots = f(params, TABLE[ids], tree)[:, -1]
    by_hand = np.stack([truth(jax.tree.map(np.asarray, params), t) for t in trees])
    np.testing.assert_allclose(roots, by_hand, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("f", "params", "twin"),
    [
        (tree_rnn, RNN, linen.SimpleCell(FEATURES)),
        (tree_lstm, LSTM, linen.OptimizedLSTMCell(FEATURES)),
    ],
    ids=["tree_rnn", "tree_lstm"],
)
def test_a_chain_is_a_recurrent_network_with_the_same_parameters(f, params, twin):
    ids, tree = pack_trees([CHAIN])
    xs = TABLE[ids]
    unrolled = quick_jit(linen.RNN(twin).apply)({"params": {"cell": params}}, xs)
    np.testing.assert_allclose(f(params, xs, tree), unrolled, atol=1e-6)


@quick_jit
def pulled_back(params, xs, tree):
    """States, and the cotangents of parameters and inputs where that of every state is one."""
    states, pull = jax.vjp(lambda p, x: layers.tree_rnn(p, x, tree), params, xs)
    return states, *pull(jnp.ones_like(states))


def test_padding_changes_nothing_and_has_no_gradient():
    ids, tree = pack_trees([FORK])
    tight, *_ = pulled_back(RNN, TABLE[ids], tree)
    wide_ids, wide = pack_trees([FORK, grown(4)], nodes=60, levels=6)
    xs = jnp.where(wide.mask[..., None], TABLE[wide_ids], jnp.nan)
    loose, in_params, in_xs = pulled_back(RNN, xs, wide)
    np.testing.assert_allclose(loose[0, -5:], tight[0], rtol=1e-6)
    assert not loose[~wide.mask].any()
    assert all(bool(jnp.isfinite(a).all()) for a in jax.tree.leaves((in_params, in_xs)))
    assert not in_xs[~wide.mask].any()


def test_no_trees_and_nothing_but_padding_are_defined():
    for shape in ((0, 3), (2, 3), (2, 0)):
        states, *found = pulled_back(
            RNN, jnp.ones((*shape, INPUTS)), Tree(-jnp.ones(shape, int), 2)
        )
        assert states.shape == (*shape, FEATURES)
        assert not any(a.any() for a in jax.tree.leaves((states, found)))


def test_one_compilation_serves_trees_of_any_shape():
    traces = []

    @quick_jit
    def states(ids, tree):
        traces.append(ids.shape)
        return layers.tree_lstm(LSTM, TABLE[ids], tree)

    for trees in ([FORK, CHAIN], [3, (1, 2, 3, 4, 5)], [grown(2), grown(1)]):
        states(*pack_trees(trees, nodes=21, levels=5))
    assert traces == [(2, 21)]


def test_leading_axes_are_free_and_trees_can_be_vmapped():
    ids, tree = pack_trees([FORK, CHAIN, 3, (1, 2)])
    f = quick_jit(lambda xs, tree: layers.tree_rnn(RNN, xs, tree))
    together = f(TABLE[ids], tree)
    one_by_one = jax.vmap(f)(TABLE[ids], tree)
    square = Tree(tree.depths.reshape(2, 2, -1), tree.levels)
    np.testing.assert_allclose(one_by_one, together, rtol=1e-6)
    again = f(TABLE[ids].reshape(2, 2, -1, INPUTS), square)
    np.testing.assert_allclose(again.reshape(together.shape), together, rtol=1e-6)


def test_packing_keeps_shape_and_order():
    ids, tree = pack_trees([FORK, [4, [1]], 9], nodes=6, levels=4)
    assert ids.tolist() == [[0, 1, 2, 3, 8, 7], [0, 0, 0, 0, 1, 4], [0, 0, 0, 0, 0, 9]]
    assert tree.depths.tolist()[0] == [-1, 1, 2, 2, 1, 0]
    assert tree.mask.sum(1).tolist() == [5, 2, 1]
    deep = 0
    for _ in range(3000):  # deeper than Python's own stack
        deep = (1, deep)
    assert pack_trees([deep])[1].levels == 3001


@pytest.mark.parametrize(
    ("trees", "options", "error", "match"),
    [
        ([], {}, ValueError, "at least one tree"),
        (7, {}, ValueError, "at least one tree"),
        ([FORK], {"nodes": 4}, ValueError, "nodes must hold every tree, got 4; tree 0 needs 5"),
        ([3, CHAIN], {"levels": 2}, ValueError, "levels must hold .* tree 1 needs 5"),
        ([FORK], {"nodes": 0}, ValueError, "nodes must be at least 1"),
        ([1, ((2, 3), 4)], {}, TypeError, r"node of tree 1 must be an integer.*got \(\(2, 3\)"),
        ([(1, ())], {}, TypeError, r"got \(\)"),
        ([(1, "a")], {}, TypeError, "got 'a'"),
        ([(1, 2.5)], {}, TypeError, "got 2.5"),
    ],
)
def test_what_is_no_tree_is_an_error(trees, options, error, match):
    with pytest.raises(error, match=match):
        pack_trees(trees, **options)


def test_wrong_arguments_of_a_layer_are_errors():
    xs = jnp.ones((3, INPUTS))
    call = lambda xs, depths, levels=3: layers.tree_rnn(RNN, xs, Tree(jnp.array(depths), levels))
    with pytest.raises(ValueError, match="last axis of xs must have size 3"):
        call(xs[:, :2], [1, 1, 0])
    with pytest.raises(ValueError, match="one entry per row"):
        call(xs, [1, 0])
    with pytest.raises(ValueError, match=r"\[..., nodes, inputs\]"):
        call(xs[0], 0)
    with pytest.raises(TypeError, match="depths must hold integers"):
        call(xs, [1.0, 1.0, 0.0])
    with pytest.raises(TypeError, match="xs must be floating point"):
        call(xs.astype(int), [1, 1, 0])
    for depths, levels in [([2, 0, 0], 3), ([1, 1, 1], 3), ([2, 1, 0], 2), ([-2, 1, 0], 3)]:
        with pytest.raises(ValueError, match="trees in postorder"):
            call(xs, depths, levels)
    with pytest.raises(ValueError, match="g must have the shape of the output"):
        layers.tree_rnn_vjp(xs, RNN, xs, Tree(jnp.array([1, 1, 0]), 2))


def test_a_wrong_tree_under_jit_gives_nan_and_leaves_the_others_alone():
    depths, xs = jnp.array([[2, 0, 0], [1, 1, 0]]), jnp.ones((2, 3, INPUTS))

    def root(params, depths):
        return layers.tree_rnn(params, xs, Tree(depths, 3))[:, -1].sum(-1)

    found = quick_jit(root)(RNN, depths)
    assert jnp.isnan(found).tolist() == [True, False]
    gradient = quick_jit(jax.grad(lambda p, d: root(p, d)[0]))(RNN, depths)
    assert jnp.isnan(gradient["h"]["kernel"]).all()


def test_network_reads_the_root_or_every_node():
    inputs = pack_trees([FORK, CHAIN])
    sizes = {"vocabulary": 10, "width": 4, "classes": 3, "cell": "tree_rnn"}
    network = networks.recursive_network(**sizes)
    every = networks.recursive_network(**sizes, every_node=True, dropout_rate=0.5)
    params, apply = quick_jit(network.init)(KEY), quick_jit(every.apply)
    logits = apply(params, inputs)
    assert logits.shape == (2, 5, 3)
    np.testing.assert_allclose(logits[:, -1], quick_jit(network.apply)(params, inputs), rtol=1e-5)
    assert (apply(params, inputs, key=KEY) != logits).any()


def test_network_refuses_what_it_cannot_read():
    with pytest.raises(ValueError, match=r"cell must be one of \['tree_lstm', 'tree_rnn'\]"):
        networks.recursive_network(10, 4, 3, cell="lstm")
    with pytest.raises(ValueError, match="classes must be at least 1"):
        networks.recursive_network(10, 4, 0)
    network = networks.recursive_network(8, 4, 3, cell="tree_rnn")
    params, (ids, tree) = quick_jit(network.init)(KEY), pack_trees([FORK])
    with pytest.raises(ValueError, match="ids must be from 0 to 7, got 8"):
        network.apply(params, (ids, tree))
    with pytest.raises(TypeError, match="ids must hold integers"):
        network.apply(params, (ids.astype(float), tree))
    assert jnp.isnan(quick_jit(network.apply)(params, (ids, tree))).all()


def test_network_learns_what_no_bag_of_nodes_can_tell():
    """Which of two nodes stands above the other: the same nodes, another shape."""
    trees = [(1, (2, 0), 0), (2, (1, 0), 0), (1, (2, 0, 0)), (2, (1, 0, 0))] * 4
    labels = jnp.array([0, 1] * 8)
    network = networks.recursive_network(3, 8, 2)
    loss_fn = supervised(network, sparse_categorical_cross_entropy)
    fit = make_fit(loss_fn, optimizers.adam(0.05), epochs=30, batch_size=16)
    result = fit(quick_jit(network.init)(KEY), (pack_trees(trees), labels), key=KEY)
    assert result.history["loss"][-1] < 0.05
