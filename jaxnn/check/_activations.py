"""The elementwise activations and their truths."""

from jaxnn import activations as a
from jaxnn.check import _truth as t
from jaxnn.check._elementwise import Elementwise


def _entry(f, closed_form, truth, *near, **options):
    words = ", ".join(f"{name}={value}" for name, value in options.items())
    name = f"activations.{f.__name__}" + (f"({words})" if words else "")
    return Elementwise(name, f, closed_form, truth, near or (0.0,), options)


def entries():
    """All of them, with the parameters that change their shape."""
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
    ]
