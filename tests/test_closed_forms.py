"""Every closed form is true: against finite differences, and against JAX in every mode."""

import sys
from pathlib import Path

import chex
import harness
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from harness import (
    CASES,
    cast,
    cotangent,
    derivatives,
    each_block,
    each_case,
    pulled_back,
    quick_jit,
    value,
)

import jaxnn

pytestmark = pytest.mark.usefixtures("quick_compilation")
every_block = pytest.mark.parametrize("f", each_block())
every_case = pytest.mark.parametrize(("f", "index"), each_case())
# Formulas are proven in every case; what JAX does with them, dtypes and batching in the first,
# and in the others by slow tests.
first_case = pytest.mark.parametrize(("f", "index"), each_case(further=[pytest.mark.slow]))


@pytest.fixture
def double_precision():
    with jax.enable_x64(True):
        yield


MET = set()


@every_block
def test_has_a_closed_form_and_sample_points(f):
    name = f.__name__
    MET.add(f)
    assert harness.companion(f)[0], f"{name} needs {name}_grad or {name}_vjp right below it"
    assert CASES.get(f), f"add a line of sample points for {name} to tests/cases"
    assert any(not case.edge for case in CASES[f]), f"{name}: every case is an edge"


@every_case
def test_closed_form_matches_finite_differences(f, index, double_precision):
    assert harness.closed_form_error(f, index) <= 1


@first_case
def test_jax_agrees_in_every_mode(f, index, double_precision):
    case = CASES[f][index]
    args = cast(case.args, jnp.float64)
    g = cotangent(f, case, args)
    pick, rebuild = harness.closing(args)
    found = quick_jit(lambda arrays, g: derivatives(f, case, rebuild(arrays), g))(pick(args), g)
    chex.assert_trees_all_close(found["reverse"], found["closed"], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(found["forward"], found["along"], rtol=1e-9, atol=1e-10)
    chex.assert_tree_all_finite(found["second"])
    chex.assert_trees_all_close(found["second"], found["second_numeric"], rtol=2e-5, atol=1e-5)
    # Reverse over reverse contracts the symmetric Hessian from the other side.
    chex.assert_trees_all_close(found["second_reverse"], found["second"], rtol=1e-8, atol=1e-9)


@first_case
def test_every_dtype_is_kept_and_near_the_truth(f, index):
    """Value, closed form and JAX's gradient in short and single precision, against float64."""
    check_dtypes(f, index, jnp.bfloat16, jnp.float32)


@pytest.mark.slow
@every_case
def test_float16_is_kept_and_near_the_truth(f, index):
    check_dtypes(f, index, jnp.float16)


def check_dtypes(f, index, *dtypes):
    case = CASES[f][index]
    args = cast(case.args, jnp.float32)
    cotangents = jax.tree.map(np.asarray, cotangent(f, case, args))
    pick, rebuild = harness.closing(args)

    @quick_jit
    def all_three(arrays, g):
        args = rebuild(arrays)
        double = jax.tree.leaves(g)[0].dtype == jnp.float64
        wide = jnp.float64 if double else jnp.float32

        def scalar(*covered):
            y = value(f, case, harness.replaced(args, case, covered))
            return harness.inner(cast_to(y, wide), cast_to(g, wide)), y

        covered = harness.chosen(args, case)
        gradient, y = jax.grad(scalar, tuple(range(len(covered))), has_aux=True)(*covered)
        return y, gradient, pulled_back(f, case, args, g)

    for dtype in dtypes:
        args = cast(case.args, dtype)
        arrays, g = pick(args), cast(cotangents, dtype)
        if not all(np.isfinite(_double(leaf)).all() for leaf in arrays if _is_float(leaf)):
            continue  # the sample points overflow this dtype, so there is nothing to compare
        found = all_three(arrays, g)
        assert {leaf.dtype for leaf in jax.tree.leaves(found[0])} == {jnp.dtype(dtype)}
        covered = harness.chosen(args, case)
        chex.assert_trees_all_equal_dtypes(*found[1:], covered)
        with jax.enable_x64(True):
            widened = [jax.device_put(_double(a)) if _is_float(a) else a for a in arrays]
            truth = all_three(widened, jax.tree.map(lambda leaf: jax.device_put(_double(leaf)), g))
        for ours, wide in zip(found, truth, strict=True):
            largest = harness.largest(wide)
            pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(wide), strict=True)
            for narrow, leaf in pairs:
                harness.assert_near(narrow, leaf, dtype, largest)


@first_case
def test_jit_and_vmap_change_nothing(f, index):
    case = CASES[f][index]
    args = cast(case.args, jnp.float32)
    g = cotangent(f, case, args)
    pick, rebuild = harness.closing(args)
    arrays = pick(args)

    def both(arrays):
        args = rebuild(arrays)
        return value(f, case, args), pulled_back(f, case, args, g)

    eager = both(arrays)
    # What is compared is NumPy's from here on: each operation on arrays of JAX would be compiled.
    jitted, batched = quick_jit(
        lambda arrays: (both(arrays), jax.vmap(both)([jnp.stack([a, a]) for a in arrays]))
    )(arrays)
    eps = float(jnp.finfo(jnp.float32).eps)
    leaves = lambda tree: zip(*map(jax.tree.leaves, tree), strict=True)
    for part in zip(eager, jitted, batched, strict=True):
        largest = harness.largest(part[1])
        for one, other, two in leaves(part):
            harness.assert_near(one, other, jnp.float32, largest)
            two, scale = np.asarray(two), harness.largest(other)
            scale = scale if scale > 1e-6 * largest else largest
            np.testing.assert_allclose(two[1], other, rtol=16 * eps, atol=16 * eps * scale)
            np.testing.assert_array_equal(two[0], two[1])


@every_block
def test_sample_points_reach_every_branch(f, monkeypatch):
    """Each `jnp.where` that `f` and its closed form run must be seen true and seen false."""
    seen = {}
    where = jnp.where

    def record(site, some, every):
        true, false = seen[site]
        seen[site] = (true or bool(some), false or not bool(every))

    def recorder(condition, *branches, **options):
        frame = sys._getframe(1)
        site = (frame.f_code.co_filename, frame.f_lineno, frame.f_lasti)
        seen.setdefault(site, (False, False))
        condition = jnp.asarray(condition)
        if condition.size and not all(seen[site]):
            jax.debug.callback(
                lambda some, every: record(site, some, every), condition.any(), condition.all()
            )
        return where(condition, *branches, **options)

    def half():
        return [
            f"{name}:{line}"
            for (name, line, _), both in seen.items()
            if not all(both) and not _proven_elsewhere(f, name)
        ]

    monkeypatch.setattr(jnp, "where", recorder)
    for case in CASES[f]:
        args = cast(case.args, jnp.float32)
        pick, rebuild = harness.closing(args)

        def both(arrays, case=case, rebuild=rebuild):
            args = rebuild(arrays)
            y, pull = jax.vjp(
                lambda *covered: value(f, case, harness.replaced(args, case, covered)),
                *harness.chosen(args, case),
            )
            ones = jax.tree.map(jnp.ones_like, y)
            return pulled_back(f, case, args, ones), pull(ones)

        traced = quick_jit(both).trace(pick(args))
        if half():
            jax.block_until_ready(traced.lower().compile()(pick(args)))
            jax.effects_barrier()
    assert not half(), f"{f.__name__}: these conditions were never seen on both sides: {half()}"


def _proven_elsewhere(f, path):
    """Activations inside of a layer have sample points of their own."""
    inside = Path(path).relative_to(Path(jaxnn.__file__).parent).parts[0]
    return f.__module__.startswith("jaxnn.layers") and inside in (
        "_exact.py", "_exact_gelu.py", "_rounding.py", "activations",
    )  # fmt: skip


# Nothing, the other sign, and one part in ten thousand.
SLIPS = (0.0, -1.0, 1.0001)


@every_block
def test_a_wrong_closed_form_is_caught(f, monkeypatch, double_precision):
    caught = np.zeros(len(SLIPS), bool)

    def error(slip, index):
        def wrong(truth, *args, **options):
            return jax.tree.map(lambda true: slip * true, truth(*args, **options))

        with monkeypatch.context() as patch:
            _plant(patch, f, wrong)
            return harness.closed_form_error(f, index)

    for index in _plain(f):
        # One program for all slips.
        caught |= np.asarray(jax.vmap(error, (0, None))(np.array(SLIPS), index)) > 1
        if caught.all():
            return
    pytest.fail(f"{f.__name__}: times {[s for s, c in zip(SLIPS, caught, strict=True) if not c]}")


def _textbook_slips():
    """Wrong formulas that have been printed or released, by the function they belong to."""
    from jaxnn import activations, layers, losses

    sigmoid = jax.nn.sigmoid
    softmax = jax.nn.softmax
    return [
        (activations.sigmoid, lambda x: sigmoid(x) * (1 + sigmoid(x))),
        (activations.tanh, lambda x: 1 - jnp.tanh(x)),
        (activations.relu, lambda x: jnp.where(x > -0.6, 1.0, 0.0)),
        (activations.leaky_relu, lambda x, slope=0.01: jnp.where(x > 0, 1.0, 0.0)),
        (activations.elu, lambda x, alpha=1.0: jnp.where(x > 0, 1.0, alpha * jnp.expm1(x))),
        (activations.swish, lambda x, beta=1.0: sigmoid(beta * x)),
        (activations.softmax, lambda g, x, *_: g * softmax(x) * (1 - softmax(x))),
        (activations.log_softmax, lambda g, x, *_: g - softmax(x)),
        (losses.huber, lambda p, t, delta=1.0: p - t),
        (losses.hinge, lambda s, y: jnp.where(s * y < 1, 1.0, 0.0)),
        (losses.squared_error, lambda p, t: p - t),
        (losses.absolute_error, lambda p, t: jnp.sign(t - p)),
        (losses.binary_cross_entropy, lambda z, y: sigmoid(z)),
        (losses.log_cosh, lambda p, t: jnp.tanh(t - p)),
        (layers.dense, lambda g, params, x: (
            {"kernel": x.T @ g, "bias": g.mean(0)}, g @ params["kernel"].T)),
        (layers.layer_norm, lambda g, params, x, epsilon=1e-6: (
            {"scale": (g * x).sum(0), "bias": g.sum(0)},
            g * params["scale"] / jnp.sqrt(x.var(-1, keepdims=True) + epsilon))),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("f", "wrong"), [pytest.param(f, wrong, id=f.__name__) for f, wrong in _textbook_slips()]
)
def test_a_printed_mistake_is_caught(f, wrong, monkeypatch, double_precision):
    assert not _caught(f)
    _plant(monkeypatch, f, lambda truth, *args, **options: wrong(*args, **options))
    assert _caught(f)


@pytest.mark.parametrize("f", each_block()[:8])
def test_tests_of_a_block_share_a_worker(f, request):
    """Otherwise each worker compiles for itself what they share."""
    first = f"::{test_has_a_closed_form_and_sample_points.__name__}[{f.__name__}]"
    ran = any(item.nodeid.endswith(first) for item in request.session.items)
    assert not ran or f in MET, "they ran on several workers: see PARTS in conftest.py"


def _plant(monkeypatch, f, wrong):
    closed_form, _ = harness.companion(f)
    module = sys.modules[f.__module__]
    planted = lambda *args, **options: wrong(closed_form, *args, **options)
    monkeypatch.setattr(module, closed_form.__name__, planted)


def _plain(f):
    return [i for i, case in enumerate(CASES[f]) if not case.edge]


def _caught(f):
    return any(harness.closed_form_error(f, i) > 1 for i in _plain(f))


def cast_to(tree, dtype):
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


def _double(leaf):
    return np.asarray(leaf).astype(np.float64)


def _is_float(leaf):
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.floating)
