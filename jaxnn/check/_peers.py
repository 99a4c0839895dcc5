"""What the libraries beside ours do at the same points, where they are installed."""

import functools
import importlib
import importlib.metadata
import importlib.util
import os
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.check import _measure, _steps

LIBRARIES = ("jax", "optax", "torch", "flax", "keras")


def installed(library) -> bool:
    return importlib.util.find_spec(library) is not None


def version(library) -> str:
    return importlib.metadata.version(library)


def elementwise(library, name, options, orders, points, judge):
    """What an elementwise function of that name does there, or "" where there is none."""
    f = _function(library, name, options)
    if f is None:
        return ""
    if library == "torch":
        return judge(_torch_ways(f, orders, points))
    ways = _measure.elementwise_ways(f, None, orders)
    return judge(_measure.results(ways, *map(jnp.asarray, points), eager=()))


def block(library, entry, arrays, judge):
    """What a function of rows or a layer of that name does, or "" where there is none."""
    f = _function(library, entry.name, {})
    if f is None:
        return ""
    if library == "torch":
        return judge(_torch_jacobians(f, entry.wrt, arrays))
    ways = entry.ways(f)
    return judge(_measure.results(ways, *arrays, eager=()))


def trajectory(library, name, gradients, judge):
    """What an optimizer of that name does, or "" where there is none."""
    make = _function(library, name, {})
    if make is None:
        return ""
    if library == "torch":
        return judge(_torch_trajectory(make, gradients))
    return judge(_steps.trajectories(make(), gradients))


def clip(library, name, cases, judge):
    """What clipping of that name does, or "" where there is none."""
    make = _function(library, name, {})
    if make is None:
        return ""
    if library == "torch":
        clipped = [make(g, bound) for bound, g in cases]
        return judge([("eager", "value", clipped)])
    return judge(_steps.clippings(make, cases))


def _function(library, name, options):
    table = _TABLES[library]()
    plain = name.split("(")[0].split(" ")[0]
    f = table.get(name) or (table.get(plain) if options or plain == name else None)
    if f is None or options.get("beta", 1.0) != 1.0:  # they have no other swish
        return None
    return functools.partial(f, **options) if options else f


def _torch_ways(f, orders, points):
    torch = importlib.import_module("torch")
    x, *rest = (torch.tensor(np.asarray(p)) for p in points)
    x.requires_grad_()
    found, y = [], f(x, *rest)
    for part in _measure.PARTS[: orders + 1]:
        found.append(("eager", part, y.detach().numpy()))
        if part == _measure.PARTS[orders]:
            break
        if not y.requires_grad:  # constant, or cut off from what made it
            y = torch.zeros_like(x)
            continue
        try:
            (y,) = torch.autograd.grad(y.sum(), x, create_graph=True, materialize_grads=True)
        except RuntimeError:  # some second derivatives do not exist there
            break
    return found


def _torch_jacobians(f, wrt, arrays):
    torch = importlib.import_module("torch")
    tensors = [torch.tensor(np.array(a)) for a in arrays]
    tensors = [t.long() if not t.is_floating_point() else t for t in tensors]
    of = lambda *args: f(*args).reshape(-1)
    value = torch.stack([of(*example) for example in zip(*tensors, strict=True)])
    rows = []
    for example in zip(*tensors, strict=True):
        inputs = tuple(example[:wrt])
        rest = example[wrt:]
        bound = lambda *chosen, rest=rest: of(*chosen, *rest)
        jacobians = torch.autograd.functional.jacobian(bound, inputs)
        rows.append(torch.cat([j.reshape(len(value[0]), -1) for j in jacobians], -1))
    return [("eager", "value", value.numpy()), ("eager", "first", torch.stack(rows).numpy())]


def _torch_trajectory(make, gradients):
    torch = importlib.import_module("torch")
    w = torch.zeros(gradients.shape[1], requires_grad=True)
    optimizer, path, total = make([w]), [], np.zeros(gradients.shape[1])
    for g in gradients:
        w.grad = torch.tensor(g)
        optimizer.step()
        total = total + w.detach().numpy()
        path.append(total)
        with torch.no_grad():
            w.zero_()  # what is measured are the updates, not the rounding of their sum
    return [("eager", "value", np.array(path))]


# Which of their functions is which of ours


@functools.cache
def _jax():
    nn, a = jax.nn, "activations."
    norm = lambda x: nn.standardize(x, epsilon=1e-6)

    def attention(q, k, v):
        mask = jnp.tril(jnp.ones((len(q), len(q)), bool), -1)
        return nn.dot_product_attention(q[None], k[None], v[None], mask=mask[None, None])[0]

    return {
        a + "sigmoid": nn.sigmoid,
        a + "log_sigmoid": nn.log_sigmoid,
        a + "tanh": nn.tanh,
        a + "relu": nn.relu,
        a + "relu6": nn.relu6,
        a + "leaky_relu": lambda x, slope: nn.leaky_relu(x, slope),
        a + "elu": nn.elu,
        a + "selu": nn.selu,
        a + "celu": nn.celu,
        a + "swish": lambda x, beta: nn.silu(x),
        a + "gelu": lambda x: nn.gelu(x, approximate=False),
        a + "gelu(approximate=True)": lambda x: nn.gelu(x, approximate=True),
        a + "softplus": nn.softplus,
        a + "softsign": nn.soft_sign,
        a + "mish": nn.mish,
        a + "hard_sigmoid": nn.hard_sigmoid,
        a + "hard_swish": nn.hard_silu,
        a + "softmax": nn.softmax,
        a + "log_softmax": nn.log_softmax,
        a + "glu": nn.glu,
        "layers.layer_norm": lambda x, scale, bias: norm(x) * scale + bias,
        "layers.scaled_dot_product_attention": attention,
    }


@functools.cache
def _optax():
    optax = importlib.import_module("optax")
    loss, p, o = optax.losses, "losses.", "optimizers."
    rate = _steps.RATE
    return {
        p + "squared_error": loss.squared_error,
        p + "huber": loss.huber_loss,
        p + "log_cosh": loss.log_cosh,
        p + "binary_cross_entropy": loss.sigmoid_binary_cross_entropy,
        p + "hinge": loss.hinge_loss,
        p + "focal": lambda z, y, gamma: loss.sigmoid_focal_loss(z, y, gamma=gamma),
        p + "categorical_cross_entropy": loss.softmax_cross_entropy,
        p + "sparse_categorical_cross_entropy": loss.softmax_cross_entropy_with_integer_labels,
        p + "kl_divergence": loss.kl_divergence,
        p + "categorical_hinge": loss.multiclass_hinge_loss,
        p + "cosine_distance": lambda a, b: loss.cosine_distance(a, b, epsilon=0.0),
        p + "triplet(squared=False)": lambda a, b, c: loss.triplet_margin_loss(a, b, c),
        o + "gradient_descent": lambda: optax.sgd(rate),
        o + "momentum": lambda: optax.sgd(rate, 0.9),
        o + "momentum(nesterov=True)": lambda: optax.sgd(rate, 0.9, nesterov=True),
        o + "rmsprop": lambda: optax.rmsprop(rate, 0.9, 1e-8, eps_in_sqrt=False),
        o + "adagrad": lambda: optax.adagrad(rate, 0.0, 1e-8),
        o + "adadelta": lambda: optax.adadelta(1.0, 0.95, 1e-6),
        o + "adam": lambda: optax.adam(rate),
        o + "adamw": lambda: optax.adamw(rate),
        o + "nadam": lambda: optax.nadam(rate),
        o + "lion": lambda: optax.lion(rate),
        o + "clip_by_value": optax.clip,
        o + "clip_by_global_norm": optax.clip_by_global_norm,
    }


@functools.cache
def _flax():
    nn = importlib.import_module("flax.linen")

    def apply(module, add_batch=False):
        def f(x, *params):
            tree = dict(zip(("scale", "bias"), params, strict=False))
            x = x[None] if add_batch else x
            y = module.apply({"params": tree}, x)
            return y[0] if add_batch else y

        return f

    def batch(x, scale, bias):
        module = nn.BatchNorm(use_running_average=False, epsilon=1e-5)
        zero = jnp.zeros(x.shape[-1])
        statistics = {"mean": zero, "var": zero}
        tree = {"params": {"scale": scale, "bias": bias}, "batch_stats": statistics}
        return module.apply(tree, x, mutable=["batch_stats"])[0]

    def attention(q, k, v):
        mask = jnp.tril(jnp.ones((len(q), len(q)), bool), -1)
        return nn.dot_product_attention(q, k, v, mask=mask[None])

    return {
        "layers.layer_norm": apply(nn.LayerNorm(epsilon=1e-6)),
        "layers.rms_norm": apply(nn.RMSNorm(epsilon=1e-6)),
        "layers.group_norm": apply(nn.GroupNorm(num_groups=2, epsilon=1e-6), add_batch=True),
        "layers.batch_norm": batch,
        "layers.scaled_dot_product_attention": attention,
    }


@functools.cache
def _keras():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = importlib.import_module("keras")
    k, loss, a, p = keras.activations, keras.losses, "activations.", "losses."

    def single(f, **options):
        """A loss of rows, on rows of one."""
        return lambda x, y: f(y[..., None], x[..., None], **options)

    def rows(f, **options):
        return lambda x, y: f(y, x, **options)

    return {
        a + "sigmoid": k.sigmoid,
        a + "log_sigmoid": k.log_sigmoid,
        a + "tanh": k.tanh,
        a + "relu": k.relu,
        a + "relu6": k.relu6,
        a + "leaky_relu": lambda x, slope: k.leaky_relu(x, slope),
        a + "elu": k.elu,
        a + "selu": k.selu,
        a + "celu": k.celu,
        a + "swish": lambda x, beta: k.silu(x),
        a + "gelu": lambda x: k.gelu(x, approximate=False),
        a + "gelu(approximate=True)": lambda x: k.gelu(x, approximate=True),
        a + "softplus": k.softplus,
        a + "softsign": k.softsign,
        a + "mish": k.mish,
        a + "hard_sigmoid": k.hard_sigmoid,
        a + "hard_swish": k.hard_silu,
        a + "softmax": k.softmax,
        a + "log_softmax": k.log_softmax,
        a + "glu": k.glu,
        p + "squared_error": single(loss.mean_squared_error),
        p + "absolute_error": single(loss.mean_absolute_error),
        p + "huber": lambda x, y, delta: single(loss.huber, delta=delta)(x, y),
        p + "log_cosh": single(loss.log_cosh),
        p + "binary_cross_entropy": single(loss.binary_crossentropy, from_logits=True),
        p + "binary_cross_entropy_from_probabilities": single(loss.binary_crossentropy),
        p + "hinge": single(loss.hinge),
        p + "squared_hinge": single(loss.squared_hinge),
        p + "categorical_cross_entropy": rows(loss.categorical_crossentropy, from_logits=True),
        p + "sparse_categorical_cross_entropy": rows(
            loss.sparse_categorical_crossentropy, from_logits=True
        ),
        p + "categorical_cross_entropy_from_probabilities": rows(loss.categorical_crossentropy),
    }


@functools.cache
def _torch():
    torch = importlib.import_module("torch")
    F, optim = torch.nn.functional, torch.optim
    a, p, o, rate = "activations.", "losses.", "optimizers.", _steps.RATE
    none = {"reduction": "none"}

    def attention(q, k, v):
        swap = lambda x: x.transpose(0, 1)[None]
        mask = torch.tril(torch.ones(len(q), len(q), dtype=torch.bool), -1)
        return swap(F.scaled_dot_product_attention(*map(swap, (q, k, v)), attn_mask=mask)[0])[0]

    def clipped(clip):
        def f(g, bound):
            w = SimpleNamespace(grad=torch.tensor(g))
            parameter = torch.zeros(len(g), requires_grad=True)
            parameter.grad = w.grad
            clip([parameter], bound)
            return parameter.grad.numpy().astype(np.float64)

        return f

    def batch(x, scale, bias):
        return F.batch_norm(x, None, None, scale, bias, training=True, eps=1e-5)

    def groups(x, scale, bias):
        return F.group_norm(x.T[None], 2, scale, bias, 1e-6)[0].T

    clip_norm = clipped(torch.nn.utils.clip_grad_norm_)
    return {
        a + "sigmoid": torch.sigmoid,
        a + "log_sigmoid": F.logsigmoid,
        a + "tanh": torch.tanh,
        a + "relu": F.relu,
        a + "relu6": F.relu6,
        a + "leaky_relu": lambda x, slope: F.leaky_relu(x, slope),
        a + "elu": lambda x, alpha: F.elu(x, alpha),
        a + "selu": F.selu,
        a + "celu": lambda x, alpha: F.celu(x, alpha),
        a + "swish": lambda x, beta: F.silu(x),
        a + "gelu": F.gelu,
        a + "gelu(approximate=True)": lambda x: F.gelu(x, approximate="tanh"),
        a + "softplus": F.softplus,
        a + "softsign": F.softsign,
        a + "mish": F.mish,
        a + "hard_sigmoid": F.hardsigmoid,
        a + "hard_swish": F.hardswish,
        a + "softmax": lambda x: F.softmax(x, -1),
        a + "log_softmax": lambda x: F.log_softmax(x, -1),
        a + "glu": F.glu,
        p + "squared_error": lambda x, y: F.mse_loss(x, y, **none),
        p + "absolute_error": lambda x, y: F.l1_loss(x, y, **none),
        p + "huber": lambda x, y, delta: F.huber_loss(x, y, delta=delta, **none),
        p + "poisson": lambda x, y: F.poisson_nll_loss(x, y, **none),
        p + "binary_cross_entropy": lambda x, y: F.binary_cross_entropy_with_logits(x, y, **none),
        p + "binary_cross_entropy_from_probabilities": lambda x, y: F.binary_cross_entropy(
            x, y, **none
        ),
        p + "categorical_cross_entropy": F.cross_entropy,
        p + "sparse_categorical_cross_entropy": F.cross_entropy,
        p + "kl_divergence": lambda x, y: F.kl_div(x, y, **none).sum(-1),
        p + "cosine_distance": lambda x, y: 1 - F.cosine_similarity(x, y, dim=-1),
        p + "triplet(squared=False)": lambda x, y, z: F.triplet_margin_loss(
            x[None], y[None], z[None], **none
        )[0],
        "layers.layer_norm": lambda x, s, b: F.layer_norm(x, x.shape, s, b, 1e-6),
        "layers.rms_norm": lambda x, s: F.rms_norm(x, x.shape, s, 1e-6),
        "layers.group_norm": groups,
        "layers.batch_norm": batch,
        "layers.scaled_dot_product_attention": attention,
        o + "gradient_descent": lambda w: optim.SGD(w, rate),
        o + "momentum": lambda w: optim.SGD(w, rate, 0.9),
        o + "momentum(nesterov=True)": lambda w: optim.SGD(w, rate, 0.9, nesterov=True),
        o + "rmsprop": lambda w: optim.RMSprop(w, rate, 0.9),
        o + "adagrad": lambda w: optim.Adagrad(w, rate, eps=1e-8),
        o + "adadelta": lambda w: optim.Adadelta(w, 1.0, 0.95),
        o + "adam": lambda w: optim.Adam(w, rate),
        o + "adamw": lambda w: optim.AdamW(w, rate, weight_decay=0.0),
        o + "clip_by_value": clipped(torch.nn.utils.clip_grad_value_),
        o + "clip_by_norm": clip_norm,
        o + "clip_by_global_norm": clip_norm,
    }


_TABLES = {"jax": _jax, "optax": _optax, "torch": _torch, "flax": _flax, "keras": _keras}
