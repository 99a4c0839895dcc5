"""The elementwise activations and their truths."""

import numpy as np

from jaxnn import activations as a
from jaxnn.check import _points
from jaxnn.check import _truth as t
from jaxnn.check._elementwise import Elementwise


def _entry(f, closed_form, truth, *near, **options):
    words = ", ".join(f"{name}={value}" for name, value in options.items())
    name = f"activations.{f.__name__}" + (f"({words})" if words else "")
    return Elementwise(name, f, closed_form, truth, near or (0.0,), options)


# In their parameters, which may be learned


def _pairs(settings):
    """Parameters c of 2^-20 to 2^20, half of them near 1, and x of every size, of c and of 1/c."""
    random = np.random.default_rng(settings.seed)
    n = settings.points
    c = np.exp2(random.uniform(-1, 1, n) * random.permuted(np.resize([2, 20], n)))
    c = c.astype(np.float32)
    for start, kind in ((1, _points.SHORT[0]), (3, _points.SHORT[1])):
        c[start::4] = np.abs(_points.rounded(c[start::4], kind))
    x = _points.line(n, (0.0,), settings.seed)
    x = np.where(np.isinf(x), np.float32(-1), x)
    near = random.choice([-1, 1], n) * np.exp2(random.uniform(-12, 7, n))
    near = np.choose(np.arange(n) // 4 % 3, [x, near * c, near / c]).astype(np.float32)
    for start, kind in ((1, _points.SHORT[0]), (3, _points.SHORT[1])):
        near[start::4] = _points.rounded(near[start::4], kind)
    return c, np.where(np.isnan(x), x, near)


def _of_swish_slope(c, x):
    """What cancels in the slope of swish and in that in beta: u stands for beta x."""
    x = x.astype(float)
    with np.errstate(over="ignore"):
        grows = 1 / (1 + np.exp(-c * x))
    return {"value": grows, "first": np.abs(2 * x * grows * (1 - grows))}


def _in_parameter(name, f, truth, closed_form=None, bounds=(4, 8, 8), terms=None):
    """`f(x, c)` as a function of c; all from the first derivative in c on is within 8 ULP."""
    swapped = lambda f: lambda c, x: f(x, c)
    return Elementwise(
        f"activations.{name}", swapped(f), closed_form and swapped(closed_form), swapped(truth),
        points=_pairs, orders=len(bounds) - 1, bounds=bounds, terms=terms,
    )  # fmt: skip


def _in_parameters():
    slope, line = {"bounds": (6, 8)}, {"bounds": (4, 8)}
    one_or = lambda below: lambda x, c: t.jet(1) if x > 0 else below(x, c)
    prelu_slope = lambda x, c: a.prelu_grad(x, c)[1]
    u_slope = lambda u: t.sigmoid(u) * (1 + u * t.sigmoid(-u))
    return [
        _in_parameter("leaky_relu (slope)", a.leaky_relu, t.leaky_relu, **line),
        _in_parameter("prelu (slope)", a.prelu, t.leaky_relu, prelu_slope, **line),
        _in_parameter("elu (alpha)", a.elu, t.elu, **line),
        _in_parameter(
            "elu (slope in alpha)", a.elu_grad, one_or(lambda x, c: c * t.exp(x)), **slope
        ),
        _in_parameter("celu (alpha)", a.celu, t.celu),
        _in_parameter(
            "celu (slope in alpha)", a.celu_grad, one_or(lambda x, c: t.exp(x / c)), **slope
        ),
        _in_parameter("swish (beta)", a.swish, t.swish),
        _in_parameter(
            "swish (slope in beta)", a.swish_grad, lambda x, c: u_slope(c * x),
            terms=_of_swish_slope, **slope,
        ),
    ]  # fmt: skip


def entries():
    """All of them, with the parameters that change their shape, and in parameters."""
    gelu = _entry(a.gelu, a.gelu_grad, t.gelu, 0.0, -0.7517916, 1.4142135, -1.4142135)
    tanh_form = lambda f: lambda x: f(x, approximate=True)
    return [
        _entry(a.linear, a.linear_grad, t.linear),
        _entry(a.sigmoid, a.sigmoid_grad, t.sigmoid, 0.0, 16.64, -88.0),
        _entry(a.log_sigmoid, a.log_sigmoid_grad, t.log_sigmoid),
        _entry(a.tanh, a.tanh_grad, t.tanh, 0.0, 0.5, -0.5, 8.0),
        _entry(a.relu, a.relu_grad, t.relu),
        _entry(a.relu6, a.relu6_grad, t.relu6, 0.0, 6.0),
        _entry(a.leaky_relu, a.leaky_relu_grad, t.leaky_relu, slope=0.01),
        _entry(a.prelu, lambda x, slope: a.prelu_grad(x, slope)[0], t.leaky_relu, slope=0.25),
        _entry(a.elu, a.elu_grad, t.elu, alpha=1.0),
        _entry(a.elu, a.elu_grad, t.elu, alpha=0.3),
        _entry(a.selu, a.selu_grad, t.selu),
        _entry(a.celu, a.celu_grad, t.celu, alpha=1.0),
        _entry(a.celu, a.celu_grad, t.celu, alpha=0.3),
        _entry(a.celu, a.celu_grad, t.celu, alpha=2.5),
        _entry(a.swish, a.swish_grad, t.swish, 0.0, -1.2784645, 2.3993573, beta=1.0),
        _entry(a.swish, a.swish_grad, t.swish, 0.0, beta=1.702),
        _entry(a.swish, a.swish_grad, t.swish, 0.0, beta=0.1),
        gelu,
        Elementwise(
            "activations.gelu(approximate=True)",
            tanh_form(a.gelu),
            tanh_form(a.gelu_grad),
            t.gelu_tanh,
            (0.0, -0.7524614, 1.4142135, -1.4142135),
        ),
        _entry(a.softplus, a.softplus_grad, t.softplus),
        _entry(a.softsign, a.softsign_grad, t.softsign),
        _entry(a.mish, a.mish_grad, t.mish, 0.0, -1.1924312, 2.2564018),
        _entry(a.hard_sigmoid, a.hard_sigmoid_grad, t.hard_sigmoid, 0.0, -3.0, 3.0),
        _entry(a.hard_swish, a.hard_swish_grad, t.hard_swish, 0.0, -3.0, 3.0, -1.5),
        *_in_parameters(),
    ]
