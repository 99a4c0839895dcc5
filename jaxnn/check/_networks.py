"""Whole networks, tiny ones: outputs, and gradients in all parameters and inputs.

Of a network any weight of which may be nearly 0, and any output, errors are shares of the
largest entry, or of 1, the size of its inputs and weights, if that is larger.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn import activations, networks
from jaxnn.check import _stacks, _truth
from jaxnn.check._blocks import Block
from jaxnn.check._stacks import dense, numbers, output
from jaxnn.check._vectors import flat, normal, parts

EPSILON = 0.125
TANH: dict[str, Any] = {"activation": activations.tanh}


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


def plain(name, network, truth, *inputs, **options):
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
    return plain(
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
    options = {"bound": 1e-5 if name == "resnet" else 1e-6} | options
    slopes = of_params(
        f"networks.{name} (gradient)", like, trained, in_training, *inputs, wrt=own, **options
    )
    return [value, slopes]


def _batch_norm_mlp(params, state, x, norm):
    hidden = [dense(params["dense_0"], row) for row in x]
    hidden, new = norm(params["batch_norm_0"], state["batch_norm_0"], hidden)
    y = [dense(params["dense_1"], [_stacks.tanh(v) for v in row]) for row in hidden]
    return y, {"batch_norm_0": new}


def rbf(params, x):
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
        plain("perceptron", n.perceptron(3), lambda p, x: dense(p["dense_0"], x), (3,)),
        plain("rbf_network", n.rbf_network(2, 3, 2), rbf, (2,)),
        plain("autoencoder", n.autoencoder([3, 2, 2], **TANH), _encoded, (3,)),
        _variational(),
        plain(
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
    pixels = iter(parts(wide, len(wide) // len(z[0][0])))
    small = _stacks.refilled(z, lambda _: [_stacks.relu(v) for v in next(pixels)])
    return numbers(_stacks.conv_transpose(decoder["conv_0"], small))


def _images():
    n = networks
    return [
        plain("cnn", n.cnn((4, 4, 1), [2], 2), _cnn, (4, 4, 1), examples=2),
        *_stateful(
            "batch_norm_cnn", n.batch_norm_cnn((2, 4, 1), [2], 2, epsilon=EPSILON),
            _batch_norm_cnn, (2, 2, 4, 1), examples=2,
        ),
        *_stateful(
            "resnet", n.resnet((2, 2, 1), [1, 2], 2, blocks=1, epsilon=EPSILON), _resnet,
            (3, 2, 2, 1), examples=1,
        ),
        plain(
            "convolutional_autoencoder", n.convolutional_autoencoder((2, 4, 1), [2], 2),
            _convolutional_autoencoder, (2, 4, 1), examples=2,
        ),
    ]  # fmt: skip


def entries():
    """All of them."""
    return [*_vectors(), *_images()]
