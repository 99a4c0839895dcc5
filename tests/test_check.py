"""The measurement of accuracy: its truths, its verdicts, its command, and what it catches."""

import functools
import inspect
import json
import pkgutil
import types
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from jax.typing import ArrayLike

import jaxnn
from jaxnn import activations, check, losses
from jaxnn.check import (
    _activations,
    _cli,
    _peers,
    _points,
    _run,
    _truth,
    _ulp,
)

SETTINGS = _run.Settings(128, 0, True, ())


@pytest.fixture(scope="module")
def report():
    """A few functions of every kind, quickly."""
    return check.run("tanh", "huber", "softmax", "dense", "adam", "clip_by_norm", quick=True)


def test_what_is_measured_keeps_the_promise(report):
    assert report.checks > 5000
    assert report.failures == 0, [row.measured.worst_input for row in report.rows]


@pytest.mark.slow
def test_everything_measured_keeps_the_promise():
    report = check.run()
    assert report.totals(elementwise=True)[0] >= 230_000
    assert report.failures == 0, [
        (row.name, row.dtype, row.measured.worst_input)
        for row in report.rows
        if row.measured.failures
    ]


def test_the_report_has_a_row_and_a_column_for_everything(report):
    page = report.markdown()
    for column in ("function", "dtype", "value", "f′", "f″", "checks", "verdict", "worst input"):
        assert f" {column} |" in page
    rows = json.loads(report.json())["rows"]
    assert [row["name"] for row in rows] == [row.name for row in report.rows]
    tanh = rows[0]
    assert tanh["bounds"] == {"value": 4, "first": 6, "second": 8}
    assert 0 < tanh["measured"]["worst"]["second"] <= 8
    assert tanh["measured"]["checks"] > 1000
    assert str(jax.__version__) in page
    assert "`tanh`" in page


def planted(monkeypatch, **changes):
    """Replaces the catalogue of activations by tanh alone, with something wrong."""
    entry = next(e for e in _activations.entries() if e.name == "activations.tanh")
    monkeypatch.setattr(_activations, "entries", lambda: [replace(entry, **changes)])


@pytest.mark.parametrize("wrong", [
    {"closed_form": lambda x: 1 - activations.tanh(x) ** 2},  # cancels from 8 on
    {"f": lambda x: activations.tanh(x) * (1 + 8e-7)},  # 7 units in the last place
    {"closed_form": lambda x: jnp.nan_to_num(activations.tanh_grad(x))},  # hides NaN
])  # fmt: skip
def test_a_wrong_formula_is_caught(monkeypatch, tmp_path, capsys, wrong):
    planted(monkeypatch, **wrong)
    output = tmp_path / "accuracy"
    assert _cli.main(["tanh", "--quick", "--output", str(output)]) == 1
    assert "failed" in output.with_suffix(".md").read_text()
    assert json.loads(output.with_suffix(".json").read_text())["failures"] > 0
    assert "failed" in capsys.readouterr().out


def test_the_command_succeeds_where_the_promise_is_kept(monkeypatch, tmp_path, capsys):
    output = tmp_path / "accuracy"
    assert _cli.main(["relu", "--quick", "--output", str(output), "--against", "jax"]) == 0
    printed = capsys.readouterr().out
    assert "0 failures" in printed
    assert "| jax |" in printed


def test_a_peer_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(_peers, "installed", lambda name: name != "keras")
    report = check.run("relu", quick=True, against=["jax", "keras"])
    assert "keras is not installed" in report.markdown()
    assert report.missing == ["keras"]
    assert set(report.rows[0].peers) == {"jax"}


def test_peers_are_measured_at_the_same_points():
    report = check.run("tanh", "log_cosh", quick=True, against=["jax", "optax"])
    tanh, log_cosh = report.rows
    assert tanh.peers["jax"].failures > 0  # the gradient is 0 from 8 on
    assert tanh.peers["optax"] == ""
    assert log_cosh.peers["optax"].failures > 0


def test_bad_requests_say_what_to_do(monkeypatch, capsys):
    with pytest.raises(ValueError, match="Did you mean tanh"):
        check.run("tanhh")
    with pytest.raises(ValueError, match="against must name some of jax"):
        check.run("tanh", against=["numpy"])
    with pytest.raises(ValueError, match="points must be at least 128"):
        check.run("tanh", points=10)
    assert _cli.main(["nonsense"]) == 2
    assert "Did you mean" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["nowhere/x", "folder/", "", "folder/taken"])
def test_an_output_that_cannot_be_written_is_refused_at_once(output, tmp_path, monkeypatch, capsys):
    (tmp_path / "folder/taken.json").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_cli, "run", lambda *names, **options: pytest.fail("measured in vain"))
    assert _cli.main(["sigmoid", "--output", output]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("check: --output must name files that can be written")
    assert printed.count("\n") == 1


@pytest.fixture
def asked(monkeypatch):
    """What the command asks of a `run` that measures nothing."""
    calls = []
    found = types.SimpleNamespace(markdown=str, json=str, checks=1, failures=0)
    monkeypatch.setattr(_cli, "run", lambda *names, **kwargs: calls.append(kwargs) or found)
    return calls


def test_a_report_that_cannot_be_written_is_no_broken_promise(asked, monkeypatch, tmp_path, capsys):
    def full(file, text):
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", full)
    assert _cli.main(["--output", str(tmp_path / "x")]) == 2
    assert "no space left" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["out", "out.md", "out.json"])
def test_an_output_may_name_either_file(asked, name, tmp_path):
    assert _cli.main(["--output", str(tmp_path / name)]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"out.md", "out.json"}


def test_peers_may_be_named_with_spaces(asked, tmp_path):
    assert _cli.main(["--against", "jax, optax,", "--output", str(tmp_path / "out")]) == 0
    assert asked[0]["against"] == ["jax", "optax"]


def test_a_gradient_is_measured_with_its_function():
    names = lambda *asked: [entry.name for entry in _run._chosen(asked)]
    assert names("relu_grad") == names("jaxnn.activations.relu_grad") == ["activations.relu"]
    assert names("jaxnn.activations.softmax_vjp") == names("softmax")
    with pytest.raises(ValueError, match=r"got 'jaxnn\.tanhh_grad'. Did you mean tanh"):
        _run._chosen(["jaxnn.tanhh_grad"])


def test_without_mpmath_the_extra_is_named(monkeypatch):
    def missing(name):
        raise ImportError(name)

    _truth.mpmath.cache_clear()
    _truth.mp.cache_clear()
    monkeypatch.setattr(_truth.importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"pip install 'jaxnn-functional\[check\]'"):
        check.run("tanh")


def public_functions():
    """`module.name` of everything public: what the modules of the package name in `__all__`."""
    modules = {name: getattr(jaxnn, name) for name in jaxnn.__all__}
    modules = {name: m for name, m in modules.items() if isinstance(m, types.ModuleType)}
    beside = set(jaxnn.__all__) - set(modules)
    assert all(any(hasattr(m, name) for m in modules.values()) for name in beside)
    return {
        f"{name}.{function}"
        for name, module in modules.items()
        for function in module.__all__
        if not function.endswith(("_grad", "_vjp"))  # held to the truth beside their function
    }


def test_every_public_function_is_measured_or_exempt_by_name():
    lines = {entry.name.split("(")[0].split(" ")[0] for entry in _run.catalogue()}
    exempt = [pattern for patterns in _run.EXEMPT.values() for pattern in patterns]
    public = public_functions()
    excused = {name for name in public if any(fnmatchcase(name, pattern) for pattern in exempt)}
    assert lines <= public
    assert public - lines == excused, "give it an entry in jaxnn/check, or a reason in EXEMPT"
    assert all(any(fnmatchcase(name, pattern) for name in public) for pattern in exempt)


def test_every_parameter_of_an_activation_is_measured():
    """Each that may be learned has a row of its own."""
    lines = {entry.name for entry in _activations.entries()}
    for name in set(activations.__all__) & {line.split(".")[1].split("(")[0] for line in lines}:
        _, *parameters = inspect.signature(getattr(activations, name)).parameters.values()
        for parameter in parameters:
            if parameter.annotation is ArrayLike:
                assert f"activations.{name} ({parameter.name})" in lines


def test_no_module_is_left_out():
    """Every module of the package is public by its name in `__all__`, or private by its own."""
    found = {m.name for m in pkgutil.iter_modules(jaxnn.__path__) if not m.name.startswith("_")}
    assert found <= set(jaxnn.__all__)


# The truth itself


def definitions():
    m = mpmath
    sigmoid = lambda x: 1 / (1 + m.exp(-x))
    return {
        "sigmoid": sigmoid,
        "tanh": m.tanh,
        "log_sigmoid": lambda x: m.log(sigmoid(x)),
        "softplus": lambda x: m.log(1 + m.exp(x)),
        "softsign": lambda x: x / (1 + abs(x)),
        "mish": lambda x: x * m.tanh(m.log(1 + m.exp(x))),
        "gelu": lambda x: x * m.ncdf(x),
        "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * m.expm1(x)),
        "hard_swish": lambda x: x * min(max(x + 3, 0), 6) / 6,
        "gelu_tanh": lambda x: (
            x / 2 * (1 + m.tanh(m.sqrt(2 / m.pi) * (x + m.mpf("0.044715") * x**3)))
        ),
    }


@pytest.mark.parametrize("name", definitions())
def test_truth_and_its_derivatives_are_those_of_the_definition(name):
    points = [-20.3, -4.1, -0.7, 1e-3, 0.4, 2.2, 31.7]
    high, _ = _truth.evaluate(getattr(_truth, name), points)
    with mpmath.workdps(120):
        for order in range(3):
            for x, found in zip(points, high[order], strict=True):
                expected = mpmath.diff(definitions()[name], mpmath.mpf(x), order)
                assert abs(found - expected) <= 1e-14 * abs(expected) + 1e-45, (order, x)


def test_truth_at_the_ends():
    high, _ = _truth.evaluate(_truth.mish, [np.inf, -np.inf, np.nan, -1e30])
    np.testing.assert_array_equal(high[0], [np.inf, 0, np.nan, 0])
    np.testing.assert_array_equal(high[1], [1, 0, np.nan, 0])


@pytest.mark.parametrize(("got", "truth", "error"), [
    (1.0, 1.0, 0), (np.float32(1 + 2**-23), 1.0, 1), (0.0, 1e-30, 2.0**23), (0.0, 1e-39, 0),
    (np.nan, 1.0, np.inf), (1.0, np.nan, np.inf), (np.nan, np.nan, 0), (np.inf, 1e39, 0),
    (-np.inf, 1e39, np.inf), (np.inf, 1e38, np.inf), (-1.0, 1.0, 2.0**24),
])  # fmt: skip
def test_units_in_the_last_place(got, truth, error):
    found = _ulp.ulps(np.array([got]), np.array([truth]), np.array([0.0]), jnp.float32)[0]
    assert found == pytest.approx(error, rel=1) if 1 < error < np.inf else found == error


def test_points_reach_every_binade_and_all_special_values():
    x = _points.line(2048, near=(3.0,))
    assert len(x) == 2048
    assert {0.0, 1.0, np.inf, -np.inf, 3.0} <= set(x[~np.isnan(x)].tolist())
    finite = x[np.isfinite(x) & (x != 0)]
    assert np.abs(finite).min() >= 2.0**-126
    assert len(np.unique(np.frexp(finite)[1])) > 230
    for kind in _points.SHORT:
        assert _points.exact_in(x, kind).sum() > 400
    assert ((np.abs(x - 3) < 1e-4) & (x != 3)).sum() > 20


# A function of one's own


def test_gradient_accepts_what_is_right_and_catches_what_is_wrong():
    x = jnp.array([-30.0, -2.0, 0.5, 3.0, 30.0])
    sigmoid = lambda x: 1 / (1 + jnp.exp(-x))
    truth = lambda x: 1 / (1 + mpmath.exp(-x))
    naive = lambda x: sigmoid(x) * (1 - sigmoid(x))
    good = check.gradient(sigmoid, x, activations.sigmoid_grad, truth)
    assert good.passed
    assert set(good.errors) == {
        "closed form to finite differences", "closed form to truth", "autodiff to truth",
    }  # fmt: skip
    wrong = check.gradient(sigmoid, x, lambda x: sigmoid(x) ** 2)
    assert not wrong.passed
    assert "FAILED" in str(wrong)
    cancelling = check.gradient(sigmoid, x, naive, truth)
    assert not cancelling.passed
    assert cancelling.at["closed form to truth"] == 30.0


def test_gradient_finds_the_closed_form_beside_a_function():
    x = jnp.array([-2.0, 0.5])
    assert check.gradient(activations.mish, x).passed
    with pytest.raises(ValueError, match="one derivative per point"):
        check.gradient(jnp.sin, x, lambda x: jnp.cos(x)[:1])


POINTS = jnp.array([-3.0, -1.0, 0.1, 0.7, 2.0])


@pytest.mark.parametrize(("f", "points", "closed_form", "verdict"), [
    (lambda x: 1e-9 * jnp.sin(x), POINTS, lambda x: 1e-9 * jnp.cos(x), "passed"),
    (lambda x: 1e-9 * jnp.sin(x), POINTS, lambda x: -1e-9 * jnp.cos(x), "FAILED"),
    (lambda x: 1e-9 * jnp.sin(x), POINTS, lambda x: 1.001e-9 * jnp.cos(x), "FAILED"),
    (lambda x: x + 1e12, POINTS, None, "passed"),
    (lambda x: x + 1e12, POINTS, lambda x: 1.1 + 0 * x, "FAILED"),
    (jnp.log, [1e-7, 1.0, 1e30], None, "passed"),
    (jnp.sin, [1e-20, 1e3, 1e9], jnp.cos, "passed"),  # steps must not grow and shrink with x
    (lambda x: jnp.exp(x) - 1, [1e-10], jnp.exp, "passed"),  # loses its digits at small steps
    (lambda x: (1 + x) - 1, [1e-20], lambda x: 1 + 0 * x, "passed"),  # stands still there
    (lambda x: jnp.sin(x.astype(jnp.float32)), POINTS, jnp.cos, "passed"),
    (activations.sigmoid, [30.0], None, "passed"),
    (activations.sigmoid, [30.0], lambda x: 0 * x, "FAILED"),
    (activations.sigmoid, [1.0, 40.0], None, "NOT RESOLVED"),
    (activations.sigmoid, [60.0], lambda x: 0 * x, "NOT RESOLVED"),
    (activations.sigmoid, [1.0, 40.0], lambda x: jnp.nan * x, "FAILED"),
    (jnp.log, [-1.0], None, "NOT RESOLVED"),
    (lambda x: 2 * jnp.exp(x), [900.0], lambda x: 0 * x, "NOT RESOLVED"),  # infinite, not flat
    (activations.relu, [-3.0, -1e-20, 1e-20, 1e30], None, "passed"),
    (activations.relu, [-3.0], lambda x: 1e-9 + 0 * x, "FAILED"),
    (activations.relu, [0.0], None, "NOT RESOLVED"),
    (activations.hard_sigmoid, [-5.0, 3.2], None, "passed"),  # 0 and 1
    (lambda x: x**3 + jnp.cos(x), [0.0], None, "passed"),
    (lambda x: x**2, [0.0], lambda x: 2 * x + 1e-9, "FAILED"),
])  # fmt: skip
def test_gradient_knows_what_differences_tell(f, points, closed_form, verdict):
    found = check.gradient(f, points, closed_form)
    assert str(found).startswith(verdict), found
    assert found.passed == (verdict == "passed")
    assert bool(found.unresolved) == (verdict == "NOT RESOLVED")


def test_gradient_names_what_only_a_truth_resolves():
    x = [0.5, *range(40, 48)]
    found = check.gradient(activations.sigmoid, x)
    assert found.unresolved == tuple(range(40, 48))
    assert "not resolved at x = 40, 41, 42, 43, 44, ... (8 in all)" in str(found)
    truth = lambda x: 1 / (1 + mpmath.exp(-x))
    found = check.gradient(activations.sigmoid, x, truth=truth)
    assert found.passed
    assert found.unresolved == ()
    assert not check.gradient(activations.sigmoid, x, lambda x: 0 * x, truth).passed


class Scaled:
    """A callable object."""

    def __call__(self, x):
        return 3 * jnp.sin(x)


@pytest.mark.parametrize(
    "f", [functools.partial(activations.leaky_relu, slope=0.2), Scaled(), jax.jit(jnp.sin)]
)
def test_gradient_takes_whatever_can_be_called(f):
    assert check.gradient(f, POINTS).passed


def test_gradient_keeps_the_shape_of_the_points():
    weights = np.array([[1.0], [2.0]])
    x = np.array([[0.3, 0.4], [0.5, 0.6]])
    assert check.gradient(lambda x: weights * jnp.sin(x), x, lambda x: weights * jnp.cos(x)).passed
    assert check.gradient(jnp.sin, 0.5, jnp.cos, mpmath.sin).at["closed form to truth"] == 0.5


@pytest.mark.parametrize(("f", "points", "closed_form", "error", "message"), [
    (activations.softmax, POINTS, None, ValueError, "f must be elementwise, .*check_grads"),
    (jnp.cumsum, POINTS, None, ValueError, "f must be elementwise"),
    (lambda x: x + x[::-1], POINTS, None, ValueError, "f must be elementwise"),
    (lambda x: (x**2).sum(), POINTS, None, ValueError, r"argument, \[5\], got float64\[\]"),
    (lambda x: x > 0, POINTS, None, ValueError, r"must return floats .* got bool\[5\]"),
    (lambda x: (x, x), POINTS, None, ValueError, "must return floats .* got tuple"),
    (jnp.sin, [], None, ValueError, r"points must be at least one, .* got shape \(0,\)"),
    (jnp.sin, [1.0, jnp.inf], None, ValueError, "finite in float32, got inf"),
    (jnp.sin, {"a": POINTS}, None, TypeError, "points must be an array of floats, got dict"),
    (jnp.sin, [[1.0], [2.0, 3.0]], None, TypeError, "array of floats, got list"),
    (3, POINTS, None, TypeError, "f must be a function, got 3"),
    (jnp.sin, POINTS, 3, TypeError, "closed_form must be a function, got 3"),
    (losses.huber, POINTS, None, TypeError, "one array, got huber: .*'targets'. Fix the others"),
    (jnp.sin, POINTS, losses.huber_grad, TypeError, "closed_form must be a function of one array"),
])  # fmt: skip
def test_gradient_says_what_it_needs(f, points, closed_form, error, message):
    with pytest.raises(error, match=message):
        check.gradient(f, points, closed_form)


def test_the_committed_table_covers_everything_measured():
    page = (Path(__file__).parents[1] / "docs/accuracy.md").read_text()
    for entry in _run.catalogue():
        assert f"| `{entry.name.split('.', 1)[1]}` |" in page, "run python -m jaxnn.check again"
    assert "failed**" not in page
