"""Whole networks, tiny ones: outputs, and gradients in all parameters and inputs.

Of a network any weight of which may be nearly 0, and any output, errors are shares of the
largest entry, or of 1, the size of its inputs and weights, if that is larger.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn import activations, networks
from jaxnn.check import _sequences, _stacks, _truth
from jaxnn.check._blocks import Block
from jaxnn.check._sequences import _along, _gru_step, _lstm_step, _rnn_step
from jaxnn.check._stacks import dense, numbers, output
from jaxnn.check._vectors import flat, normal, parts
from jaxnn.layers.tree_shapes import Tree

EPSILON = 0.125
TANH = {"activation": activations.tanh}


def of_params(name, like, f, truth, *inputs, constants=(), closed_form=None, wrt=None, **options):
    """A function of parameters and inputs, `f(params, *inputs)`, beside its truth.

    Args:
        name: what stands in the table.
        like: a tree of arrays or their shapes, the parameters.
        f: to an array.
        truth: the same on a tree of exact numbers, to a flat list.
        *inputs: shapes of the inputs.
        constants: arrays, the arguments of both that follow the inputs.
        closed_form: `closed_form(g, params, *inputs)`, the cotangents of all of these.
        wrt: how many arrays are differentiated; None is parameters and inputs, 0 none.
        **options: of the `Block`.
    """
    leaves, shape = jax.tree.flatten(like)
    count = len(leaves)
    tree = lambda of: lambda *args: of(shape.unflatten(args[:count]), *args[count:])
    scale = options.pop("scale", 1.0)
    examples = options.pop("examples", 4)
    shapes = [leaf.shape for leaf in leaves] + list(inputs)

    names = [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(like)]

    def draw(settings):
        arrays = [a[:examples] for a in normal(*shapes, count=examples)(settings)]
        for i, a in enumerate(arrays):
            arrays[i] = _drawn(names[i] if i < count else "", a, np.float32(scale))
        return *arrays, *(np.broadcast_to(c, (len(arrays[0]), *np.shape(c))) for c in constants)

    pulled_back = None
    if closed_form:
        pulled_back = lambda g, *args: jax.tree.leaves(tree(lambda *a: closed_form(g, *a))(*args))
    one = lambda *args: {"value": 1.0, "first": 1.0}
    settled = {"terms": one, "eager": False, "bound": 1e-6} | options
    wrt = count + len(inputs) if wrt is None else wrt
    return Block(name, tree(f), pulled_back, tree(truth), draw, wrt, "relative", **settled)


def _drawn(name, array, scale):
    """Normal numbers; scales near 1, as they begin, since a mean far beyond the deviation that a
    scale near 0 leaves is a matter of normalization; and variances that are positive.
    """
    if "scale" in name:
        return 1 + array / 4
    return np.abs(array) + np.float32(0.5) if "'var'" in name else array * scale


def params_of(network):
    """Shapes of the parameters that it begins with; of a stateful one `(params, state)`."""
    return jax.eval_shape(network.init, jax.random.key(0))


def _plain(name, network, truth, *inputs, **options):
    return of_params(
        "networks." + name, params_of(network), lambda params, *x: flat(*_outputs(network, params,
        x)), truth, *inputs, **options,
    )  # fmt: skip


def _outputs(network, params, inputs):
    return jax.tree.leaves(network.apply(params, *inputs))


# Networks of vectors


def _mlp():
    net = networks.mlp([2, 3, 2], **TANH)
    slope = {"activation_grad": activations.tanh_grad}
    return _plain(
        "mlp", net, lambda params, x: [y for row in x for y in output(params, row)], (2, 2),
        closed_form=lambda g, params, x: networks.mlp_vjp(
            g.reshape(2, 2), params, x, **TANH, **slope
        ),
    )  # fmt: skip


def _stateful(name, network, truth, *inputs, **options):
    """Of a stateful network in training, and after that, with the state that came of it, in use.

    `truth(params, state, x, norm)` returns outputs and state; `norm` is the normalization of
    the one or the other. A variance of few examples may be next to nothing, so what is added to
    it, `epsilon`, is not.
    """
    like = params_of(network)
    batch_norm, by_state = (
        partial(norm, epsilon=EPSILON) for norm in (_stacks.batch_norm, _stacks.batch_norm_by_state)
    )
    own = len(jax.tree.leaves(like[0]))

    def f(both, x):
        params, state = both
        y, state = network.apply(params, state, x, train=True)
        used, _ = network.apply(params, state, x)
        return flat(y, *jax.tree.leaves(state), used)

    def exact(both, x):
        params, state = both
        y, state = truth(params, state, x, batch_norm)
        used, _ = truth(params, state, x, by_state)
        return numbers([y, state, used])

    # No gradient reaches the state, nor the outputs by it: measured in parameters alone.
    value = of_params("networks." + name, like, f, exact, *inputs, wrt=0, **options)

    def trained(both, x):
        params, state = both
        return network.apply(params, state, x, train=True)[0].reshape(-1)

    def in_training(both, x):
        params, state = both
        return numbers(truth(params, state, x, batch_norm)[0])

    # Normalizations one after the other pass on what the first have lost.
    options = {"bound": 4e-6 if name == "resnet" else 1e-6} | options
    slopes = of_params(
        f"networks.{name} (gradient)", like, trained, in_training, *inputs, wrt=own, **options
    )
    return [value, slopes]


def _batch_norm_mlp(params, state, x, norm):
    hidden = [dense(params["dense_0"], row) for row in x]
    hidden, new = norm(params["batch_norm_0"], state["batch_norm_0"], hidden)
    y = [dense(params["dense_1"], [_stacks.tanh(v) for v in row]) for row in hidden]
    return y, {"batch_norm_0": new}


def _rbf(params, x):
    m, units, out = _truth.mp(), params["radial_basis_0"], []
    for center, width in zip(units["centers"], units["log_widths"], strict=True):
        squared = sum((v - c) ** 2 for v, c in zip(x, center, strict=True))
        out.append(m.exp(-squared / (2 * m.exp(2 * width))))
    return dense(params["dense_0"], out)


def _encoded(params, x):
    code = output(params["encoder"], x)
    return output(params["decoder"], code)


def _variational():
    """With one key, whose noise is known: what it makes of a mean 0 and a variance 1."""
    net, key = networks.variational_autoencoder([3, 2, 2], **TANH), jax.random.key(0)
    noise = np.asarray(jax.random.normal(key, (2,), jnp.float32))

    def truth(params, x, noise):
        mean, log_variance = parts(output(params["encoder"], x), 2)
        deviations = [_truth.mp().exp(v / 2) for v in log_variance]
        code = [a + d * e for a, d, e in zip(mean, deviations, noise, strict=True)]
        return [*output(params["decoder"], code), *mean, *log_variance]

    f = lambda params, x, noise: flat(*net.apply(params, x, key=key))
    name = "networks.variational_autoencoder"
    return of_params(name, params_of(net), f, truth, (3,), constants=[noise])


def _vectors():
    n = networks
    return [
        _mlp(),
        *_stateful(
            "batch_norm_mlp", n.batch_norm_mlp([2, 2, 2], epsilon=EPSILON, **TANH),
            _batch_norm_mlp, (3, 2),
        ),
        _plain("perceptron", n.perceptron(3), lambda p, x: dense(p["dense_0"], x), (3,)),
        _plain("rbf_network", n.rbf_network(2, 3, 2), _rbf, (2,)),
        _plain("autoencoder", n.autoencoder([3, 2, 2], **TANH), _encoded, (3,)),
        _variational(),
        _plain(
            "gan", n.gan(n.mlp([2, 2, 2], **TANH), n.mlp([2, 2, 1], **TANH)),
            lambda params, z: output(params["generator"], z), (2,),
        ),
        _siamese(),
    ]  # fmt: skip


def _siamese():
    net = networks.siamese(networks.mlp([2, 2, 2], **TANH))
    return of_params(
        "networks.siamese", params_of(net), lambda params, a, b: flat(*net.apply(params, (a, b))),
        lambda params, a, b: output(params, a) + output(params, b), (2,), (2,),
    )  # fmt: skip


# Networks of images


def _cnn(params, image):
    z = _stacks.conv(params["conv_0"], image)
    pooled = _stacks.max_pool(_stacks.elementwise(_stacks.relu, z))
    return dense(params["dense_0"], numbers(pooled))


def _batch_norm_cnn(params, state, images, norm):
    z = [_stacks.conv(params["conv_0"], image) for image in images]
    z, new = norm(params["batch_norm_0"], state["batch_norm_0"], z)
    pooled = [_stacks.max_pool(_stacks.elementwise(_stacks.relu, image)) for image in z]
    return [dense(params["dense_0"], numbers(image)) for image in pooled], {"batch_norm_0": new}


def _resnet(params, state, images, norm):
    """Of two blocks, of which the second halves the image."""

    def part(at, name, images, stride=1):
        weights, old, new = at
        images = [_stacks.conv(weights["conv" + name], image, stride) for image in images]
        images, new["norm" + name] = norm(weights["norm" + name], old["norm" + name], images)
        return images

    rectified = lambda images: [_stacks.elementwise(_stacks.relu, image) for image in images]
    new = {}
    x = rectified(part((params, state, new), "", images))
    for name, stride in (("block_0", 1), ("block_1", 2)):
        at = params[name], state[name], new.setdefault(name, {})
        y = part(at, "_1", rectified(part(at, "_0", x, stride)))
        way = part(at, "_2", x, stride) if "conv_2" in params[name] else x
        pairs = zip(_stacks.vectors(y), _stacks.vectors(way), strict=True)
        sums = iter([[a + b for a, b in zip(*pair, strict=True)] for pair in pairs])
        x = rectified(_stacks.refilled(y, lambda _, sums=sums: next(sums)))
    means = [
        [sum(column) / len(column) for column in zip(*_stacks.vectors(image), strict=True)]
        for image in x
    ]
    return [dense(params["dense"], row) for row in means], new


def _convolutional_autoencoder(params, image):
    encoder, decoder = params["encoder"], params["decoder"]
    z = _stacks.elementwise(_stacks.relu, _stacks.conv(encoder["conv_0"], image, 2))
    wide = dense(decoder["dense"], dense(encoder["dense"], numbers(z)))
    small = iter(parts(wide, len(wide) // len(z[0][0])))
    small = _stacks.refilled(z, lambda _: [_stacks.relu(v) for v in next(small)])
    return numbers(_stacks.conv_transpose(decoder["conv_0"], small))


def _images():
    n = networks
    return [
        _plain("cnn", n.cnn((4, 4, 1), [2], 2), _cnn, (4, 4, 1), examples=2),
        *_stateful(
            "batch_norm_cnn", n.batch_norm_cnn((2, 4, 1), [2], 2, epsilon=EPSILON),
            _batch_norm_cnn, (2, 2, 4, 1), examples=2,
        ),
        *_stateful(
            "resnet", n.resnet((2, 2, 1), [1, 2], 2, blocks=1, epsilon=EPSILON), _resnet,
            (3, 2, 2, 1), examples=1,
        ),
        _plain(
            "convolutional_autoencoder", n.convolutional_autoencoder((2, 4, 1), [2], 2),
            _convolutional_autoencoder, (2, 4, 1), examples=2,
        ),
    ]  # fmt: skip


# Networks of sequences and trees


def _layer(params, bias_in):
    """The arrays of a recurrent layer."""
    return params["dense_i"]["kernel"], params[bias_in]["bias"], params["dense_h"]["kernel"]


def _two_layers(params, xs):
    along = _along(_rnn_step)
    states = parts(along(*_layer(params["layer_0"], "dense_i"), xs), len(xs))
    states = parts(along(*_layer(params["layer_1"], "dense_i"), states), len(xs))
    return dense(params["dense"], states[-1])


def _two_ways(params, xs):
    """Of each way where it has seen the whole sequence."""
    along, both = _along(_gru_step), params["layer_0"]
    ends = [
        parts(along(*_layer(both[way], "dense_i"), rows), len(xs))[-1]
        for way, rows in (("forward", xs), ("backward", xs[::-1]))
    ]
    return dense(params["dense"], ends[0] + ends[1])


def _at_every_step(params, xs):
    states = _along(_lstm_step, 2)(*_layer(params["layer_0"], "dense_h"), xs)
    return [y for h in parts(states, len(xs)) for y in dense(params["dense"], h)]


def _of_tree():
    net, gates = networks.recursive_network(3, 2, 2), "igof"
    ids = np.array([0, 2, 1, 2, 0, 1], np.int32)

    def f(params, ids):
        return net.apply(params, (ids, Tree(jnp.array(_sequences.DEPTHS), 3)))

    def truth(params, ids):
        cell = params["tree_lstm"]
        beside = lambda way, which: [
            [v for gate in gates for v in cell[way + gate][which][i]] for i in range(2)
        ]
        bias = [v for gate in gates for v in cell["h" + gate]["bias"]]
        rows = [params["embedding"]["embedding"][i] for i in ids]
        arrays = beside("i", "kernel"), bias, beside("h", "kernel")
        return dense(params["dense"], _sequences._tree_lstm(*arrays, rows)[-2:])

    name = "networks.recursive_network"
    return of_params(name, params_of(net), f, truth, constants=[ids], examples=2)


def _sequences_and_trees():
    n, xs = networks, (3, 2)
    scan = {"forward": False}
    return [
        _plain("rnn", n.rnn(2, 2, 2, layers=2), _two_layers, xs, **scan),
        _plain("gru", n.gru(2, 2, 2, bidirectional=True), _two_ways, xs, **scan),
        _plain("lstm", n.lstm(2, 2, 2, every_step=True), _at_every_step, xs, **scan),
        _of_tree(),
    ]


# Transformers, with two heads of queries that share keys and values

SIZES = {"width": 4, "heads": 2, "groups": 1, "hidden": 3, "depth": 1, "length": 4}
IDS = np.array([2, 0, 1], np.int32)


def _decoder():
    net = networks.transformer(3, **SIZES)
    truth = lambda params, ids: numbers(_stacks.transformer(params, ids))
    return _attentive("transformer", net, lambda p, ids: net.apply(p, ids), truth, [IDS])


def _encoder():
    net = networks.transformer_encoder(3, 2, **SIZES)
    truth = lambda params, ids: numbers(_stacks.transformer(params, ids, causal=False))
    return _attentive("transformer_encoder", net, lambda p, ids: net.apply(p, ids), truth, [IDS])


def _translated(params, source, target):
    context = _stacks.transformer(params["encoder"], source, causal=False)
    return _stacks.transformer(params["decoder"], target, context)


def _both_sides():
    net = networks.sequence_to_sequence(3, 3, **SIZES)
    return _attentive(
        "sequence_to_sequence", net, lambda p, *ids: net.apply(p, ids),
        lambda *args: numbers(_translated(*args)), [IDS[:2], IDS[1:]], examples=1,
    )  # fmt: skip


def _attentive(name, net, f, truth, ids, examples=2):
    """Of weights half as large, as `_halved` in the attention of one layer."""
    options = {"constants": ids, "scale": 0.5, "examples": examples}
    return of_params("networks." + name, params_of(net), f, truth, **options)


def _likeliest(logits):
    return max(range(len(logits)), key=lambda i: logits[i])


def _written():
    """What is written without a key: each time the likeliest id."""
    decoder = networks.transformer(3, **SIZES)
    both = networks.sequence_to_sequence(3, 3, **SIZES)

    def continued(params, ids):
        for _ in range(2):
            ids = [*ids, _likeliest(_stacks.transformer(params, ids)[-1])]
        return ids

    def translated(params, source, target):
        for _ in range(2):
            target = [*target, _likeliest(_translated(params, source, target)[-1])]
        return target

    f = lambda params, ids: decoder.sample(params, ids[None], 2)[0]
    g = lambda params, *ids: both.sample(params, tuple(i[None] for i in ids), 2)[0]
    options = {"wrt": 0, "examples": 8, "scale": 0.5}
    return [
        of_params(
            "networks.transformer (sample)", params_of(decoder), f, continued,
            constants=[IDS[:2]], **options,
        ),
        of_params(
            "networks.sequence_to_sequence (sample)", params_of(both), g, translated,
            constants=[IDS, IDS[:1]], **options,
        ),
    ]  # fmt: skip


def entries():
    """All of them."""
    transformers = [_decoder(), _encoder(), _both_sides(), *_written()]
    return [*_vectors(), *_images(), *_sequences_and_trees(), *transformers]
