"""What it means that a closed form is true, in one place for every function of the library.

A function `f` and its companion `f_grad` or `f_vjp` meet at the sample points of
`tests/cases`. Everything is computed in float64 at a fixed random cotangent; finite
differences come first, because a closed form that is installed as JAX's own rule can't be
proved by comparing it with `jax.grad`.
"""

import importlib
import pkgutil
import sys
from functools import cache, partial

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases._case import Case
from jax.flatten_util import ravel_pytree

import jaxnn

# Modules of differentiable blocks: each public function in them must have a closed form.
BLOCKS = ("activations", "layers", "losses", "regularizers")
COMPANIONS = ("_grad", "_vjp", "_init")
# Functions of sizes alone have nothing to differentiate.
CONSTANTS = ("positional_encoding",)
STEP = 1e-6


def _accepted(**options):
    """The options, if the compiler of this version of jax has them."""
    try:
        jax.jit(lambda: 0.0, compiler_options=options).lower().compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return options


# Beside `quick_compilation`, for formulas: programs compile in two thirds of the time with it.
quick_jit = partial(jax.jit, compiler_options=_accepted(xla_cpu_use_fusion_emitters=False))


def modules(package=jaxnn):
    """Every module of the library, imported."""
    found = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    return [importlib.import_module(info.name) for info in found]


def blocks():
    """Every public function that must have a closed form."""
    tops = [importlib.import_module(f"jaxnn.{name}") for name in BLOCKS]
    names = [(top, name) for top in tops for name in top.__all__]
    return [
        getattr(top, name)
        for top, name in names
        if not name.endswith(COMPANIONS) and name not in CONSTANTS
    ]


def samples():
    """All lines of sample points: function -> its cases."""
    found = {}
    for info in pkgutil.iter_modules(cases.__path__):
        if not info.name.startswith("_"):
            found |= importlib.import_module(f"cases.{info.name}").CASES
    return found


CASES = samples()


def companion(f):
    """The closed form beside `f`, and whether it pulls back a cotangent itself."""
    module = sys.modules[f.__module__]
    for suffix in ("_vjp", "_grad"):
        if closed_form := getattr(module, f.__name__ + suffix, None):
            return closed_form, suffix == "_vjp"
    return None, False


def cast(tree, dtype):
    """The floats of a tree in `dtype`; integers, booleans and keys as they are."""

    def one(leaf):
        if isinstance(leaf, np.ndarray | np.generic) and np.issubdtype(leaf.dtype, np.floating):
            return jax.device_put(np.asarray(leaf, dtype))  # `jnp.asarray` compiles a program
        return jax.device_put(leaf) if isinstance(leaf, np.ndarray | np.generic) else leaf

    with np.errstate(over="ignore"):  # what a short type can't hold is infinite there
        return jax.tree.map(one, tree)


def value(f, case: Case, args):
    """The differentiable output of `f`, an array or a tree of them."""
    y = f(*args, **case.options)
    return case.output(y) if case.output else y


def cotangent(f, case: Case, args):
    """A fixed random cotangent for the output of `f`, in its dtype."""
    pick, rebuild = closing(args)
    like = jax.eval_shape(lambda arrays: value(f, case, rebuild(arrays)), pick(args))
    normal = np.random.default_rng(0).normal
    return jax.tree.map(
        lambda leaf: jax.device_put(np.asarray(normal(size=leaf.shape), leaf.dtype)), like
    )


def closing(args):
    """`(pick, rebuild)`: the arguments JAX may trace, and how to put the others back.

    Keys stay traced arrays; None, Python numbers and strings are closed over.
    """
    traced = [isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(args)]
    leaves, tree = jax.tree.flatten(args)
    constants = [None if t else leaf for t, leaf in zip(traced, leaves, strict=True)]

    def pick(args):
        return [a for a, t in zip(jax.tree.leaves(args), traced, strict=True) if t]

    def rebuild(arrays):
        arrays = iter(arrays)
        both = [next(arrays) if t else c for t, c in zip(traced, constants, strict=True)]
        return jax.tree.unflatten(tree, both)

    return pick, rebuild


def pulled_back(f, case: Case, args, g):
    """What the closed form says: one cotangent for each argument it covers."""
    closed_form, pulls = companion(f)
    if pulls:
        found = closed_form(g, *args, **case.options)
        return tuple(found) if len(case.wrt) > 1 else (found,)
    slopes = closed_form(*args, **case.options)
    slopes = tuple(slopes) if len(case.wrt) > 1 else (slopes,)
    return tuple(
        jax.tree.map(partial(_chain, g), slope, args[i])
        for slope, i in zip(slopes, case.wrt, strict=True)
    )


def _chain(g, slope, argument):
    """Cotangent of an elementwise or per-row slope, summed where the argument was broadcast."""
    full = slope * g.reshape(g.shape + (1,) * (slope.ndim - g.ndim))
    shape = jnp.shape(argument)
    if full.shape == shape:
        return full
    full = full.sum(tuple(range(full.ndim - len(shape))))
    kept = tuple(i for i, n in enumerate(shape) if n == 1 and full.shape[i] != 1)
    return full.sum(kept, keepdims=True)


def replaced(args, case: Case, chosen):
    """The arguments, with those that are differentiated replaced."""
    args = list(args)
    for i, argument in zip(case.wrt, chosen, strict=True):
        args[i] = argument
    return tuple(args)


def chosen(args, case: Case):
    """The arguments that are differentiated."""
    return tuple(args[i] for i in case.wrt)


@cache
def finite_differences(f, index):
    """Central differences of <g, f> in float64, in every entry of every covered argument."""
    case = CASES[f][index]
    args = cast(case.args, jnp.float64)
    g = cotangent(f, case, args)
    pick, rebuild = closing(args)

    @quick_jit
    def slopes(arrays, g):
        args = rebuild(arrays)
        flat, unravel = ravel_pytree(chosen(args, case))

        def at(flat):
            return inner(value(f, case, replaced(args, case, unravel(flat))), g)

        def slope(i):
            step = STEP * jnp.maximum(1, jnp.abs(flat[i]))
            return (at(flat.at[i].add(step)) - at(flat.at[i].add(-step))) / (2 * step)

        return jax.vmap(slope)(jnp.arange(flat.size))

    return np.asarray(slopes(pick(args), g))


def closed_form_error(f, index):
    """How far the closed form is from finite differences, as a multiple of what is allowed."""
    case = CASES[f][index]
    args = cast(case.args, jnp.float64)
    g = cotangent(f, case, args)
    numeric = finite_differences(f, index)
    pick, rebuild = closing(args)

    @quick_jit
    def error(arrays, g):
        analytic, _ = ravel_pytree(pulled_back(f, case, rebuild(arrays), g))
        assert analytic.shape == numeric.shape, "the closed form has another shape than its point"
        return (jnp.abs(analytic - numeric) / (1e-7 + 1e-6 * np.abs(numeric))).max()

    return error(pick(args), g)


def inner(one, other):
    """Inner product of two trees."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return sum(jnp.vdot(a, b) for a, b in pairs)


def derivatives(f, case: Case, args, g):
    """Everything that must agree, in one function so that it compiles once.

    Returns the closed form, reverse mode, forward mode along a direction, the second
    derivative along it by forward-over-reverse and reverse-over-reverse, and the change of
    the closed form along it by central differences.
    """
    covered = chosen(args, case)
    flat, unravel = ravel_pytree(covered)
    direction = jnp.asarray(np.random.default_rng(1).normal(size=flat.shape), flat.dtype)
    direction = unravel(direction)

    def scalar(*covered):
        return inner(value(f, case, replaced(args, case, covered)), g)

    gradient = jax.grad(scalar, tuple(range(len(covered))))

    def closed(step):
        moved = jax.tree.map(lambda a, d: a + step * d, covered, scaled)
        return pulled_back(f, case, replaced(args, case, moved), g)

    scaled = jax.tree.map(lambda a, d: d * jnp.maximum(1, jnp.abs(a)), covered, direction)
    reverse, pull = jax.vjp(gradient, *covered)
    second_reverse = pull(scaled)
    if case.forward:
        _, forward = jax.jvp(scalar, covered, direction)
        _, second = jax.jvp(gradient, covered, scaled)
    else:
        forward, second = inner(reverse, direction), second_reverse
    # A loop, so that the closed form compiles once for its three points.
    three = jax.lax.map(closed, jnp.array([-STEP, 0, STEP], flat.dtype))
    below, at, above = (jax.tree.map(lambda leaf, i=i: leaf[i], three) for i in range(3))
    return {
        "closed": at,
        "reverse": reverse,
        "forward": forward,
        "along": inner(at, direction),
        "second": second,
        "second_reverse": second_reverse,
        "second_numeric": jax.tree.map(lambda a, b: (a - b) / (2 * STEP), above, below),
    }


def each_block():
    """Every block, for parametrizing."""
    return [pytest.param(f, id=f.__name__) for f in blocks()]


def each_case(further=()):
    """`(f, index)` of every case, likewise; `further` marks those after the first of a block."""

    def one(f, index, place):
        return pytest.param(f, index, id=f"{f.__name__}-{index}", marks=further if place else ())

    plain = {f: [i for i, case in enumerate(CASES.get(f, [])) if not case.edge] for f in blocks()}
    return [one(f, i, place) for f, indices in plain.items() for place, i in enumerate(indices)]


def largest(tree):
    """The largest finite entry of a tree."""
    leaves = [np.asarray(leaf).astype(np.float64) for leaf in jax.tree.leaves(tree)]
    return max(float(np.abs(leaf[np.isfinite(leaf)]).max(initial=0)) for leaf in leaves)


def assert_near(narrow, truth, dtype, largest=0.0):
    """Within sixteen roundings of the truth, on the scale of the whole array.

    An array that is next to nothing beside the `largest`, as the gradient of the bias of keys is,
    which is 0, sums what cancels: there on the scale of the largest.
    """
    eps = float(jnp.finfo(dtype).eps)
    truth = np.asarray(truth, np.float64)
    scale = np.abs(truth).max(initial=0)
    scale = scale if scale > 1e-6 * largest else largest
    np.testing.assert_allclose(
        np.asarray(narrow, np.float64), truth, rtol=16 * eps, atol=max(16 * eps * scale, 1e-15)
    )
