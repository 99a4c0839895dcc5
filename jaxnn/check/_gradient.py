"""The same for a function of one's own."""

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxnn import _checks
from jaxnn.check import _differences, _truth, _ulp

ERRORS = 5  # a difference may be off by this many times its estimated error,
RELATIVE = 1e-6  # and a closed form by this much of it besides
NAMED = 5  # so many points are printed


@dataclass(frozen=True)
class Gradient:
    """How closed form, autodiff, finite differences and truth agree.

    Attributes:
        errors: worst differences, as multiples of what is allowed: of the closed form to finite
            differences, in float64, and to the truth, in float32; of autodiff to the truth, or
            without one to finite differences.
        at: the points of these.
        unresolved: the points where differences neither confirm nor contradict the closed form,
            since f has a kink or no value there, or moves by less than its rounding; none where
            there is a truth.
        passed: whether the closed form is right at every point: its own errors are at most 1,
            and nothing is unresolved.
    """

    errors: dict[str, float]
    at: dict[str, float]
    unresolved: tuple[float, ...]
    passed: bool

    def __str__(self):
        wrong = any(e > 1 for name, e in self.errors.items() if name.startswith("closed form"))
        verdict = "passed" if self.passed else "FAILED" if wrong else "NOT RESOLVED"
        lines = [f"{verdict} (1 is what is allowed)"]
        lines += [f"  {k:40} {e:10.3g} at x = {self.at[k]:.9g}" for k, e in self.errors.items()]
        if self.unresolved:
            named = ", ".join(f"{x:.9g}" for x in self.unresolved[:NAMED])
            more = ", ..." if len(self.unresolved) > NAMED else ""
            lines += [
                f"  not resolved at x = {named}{more} ({len(self.unresolved)} in all): f has a",
                "  kink or no value there, or moves by less than its rounding. Pass truth, or",
                "  leave these out.",
            ]
        return "\n".join(lines)


def gradient(
    f: Callable,
    points: ArrayLike,
    closed_form: Callable | None = None,
    truth: Callable | None = None,
    ulp: float = 6,
) -> Gradient:
    r"""Compares the derivative of an elementwise function of one's own with all it should equal.

    First with differences in float64, which know nothing of any formula,

    \( f'(x) \approx \frac{8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))}{12 h} \),

    at the step h where their estimated error is least: what halving h changes, and the rounding
    of f over h. They catch what is off by more than a millionth, but tell nothing at kinks, nor
    where f moves by less than its rounding. Then in float32 with the truth, in units in the last
    place, which catches a closed form that cancels or overflows.

    Args:
        f: the function, of an array and elementwise, for JAX.
        points: where to look, floats of any shape, rounded to float32. Leave kinks out.
        closed_form: its derivative, a function of the same array; by default the function named
            `f_grad` beside `f`, if there is one, and else what JAX derives.
        truth: the same function as `f` on numbers of mpmath, such as
            `lambda x: 1 / (1 + mpmath.exp(-x))`. It is differentiated to some 80 digits.
        ulp: how many units in the last place the derivative may be off in float32.

    Returns:
        A `Gradient`: `passed`, the worst errors of each comparison, and the points where without
        a truth nothing can be said; print it.

    Raises:
        ValueError: if `points` are none or not finite, `f` is not elementwise, or `closed_form`
            returns another shape than `points`.
        TypeError: if `points` are not numbers, a function cannot be called, or `f` or
            `closed_form` needs further arguments.
        ImportError: if `truth` is given, and mpmath is not installed.

    Example:
        >>> print(gradient(jnp.sin, jnp.array([0.5, 1.0]), lambda x: jnp.cos(x)).passed)
        True
        >>> gradient(jnp.sin, jnp.array([0.5, 1.0]), lambda x: -jnp.cos(x)).passed
        False
        >>> gradient(jnp.tanh, jnp.array([0.5, 30.0]), lambda x: 1 / jnp.cosh(x) ** 2).unresolved
        (30.0,)
    """
    autodiff = lambda x: jax.grad(lambda x: f(x).sum())(x)
    slope = autodiff if closed_form is None else closed_form
    if closed_form is None:  # an object without a name has no function beside it
        module = sys.modules.get(getattr(f, "__module__", None) or "")
        slope = getattr(module, f"{getattr(f, '__name__', '<object>')}_grad", autodiff)
    _checks.function("gradient", f=f, closed_form=slope, truth=f if truth is None else truth)
    _of_one_array(f=f, closed_form=slope)
    x = _points(points)
    with jax.enable_x64(True):
        compiled = jax.jit(lambda x: f(x))
        _elementwise(compiled, x)
        numeric = _differences.difference(compiled, x)
        found, derived = (np.asarray(of(jnp.asarray(x))) for of in (slope, autodiff))
    if found.shape != x.shape:
        raise ValueError(
            f"gradient: closed_form must return one derivative per point, shape {x.shape}, "
            f"got {found.shape}. Return an array shaped like its argument."
        )
    compared = {"closed form to finite differences": _off(found, numeric)}
    others = {"autodiff to finite differences": _off(derived, numeric)}
    unresolved = _unresolved(found, derived, numeric)
    if truth is not None:
        short = jnp.asarray(x, jnp.float32)
        high, low = _slopes(truth, x.ravel()).reshape(2, *x.shape)
        error = lambda of: _ulp.ulps(of(short), high, low, jnp.float32) / ulp
        compared["closed form to truth"] = error(slope)
        others = {"autodiff to truth": error(autodiff)}
        unresolved = np.zeros_like(unresolved)
    errors = compared | others
    worst = {name: int(np.argmax(e)) for name, e in errors.items()}
    return Gradient(
        {name: float(errors[name].flat[i]) for name, i in worst.items()},
        {name: float(x.flat[i]) for name, i in worst.items()},
        tuple(x[unresolved].tolist()),
        not unresolved.any() and all(bool((e <= 1).all()) for e in compared.values()),
    )


def _of_one_array(**functions):
    """Raises TypeError unless each of the functions can be called with one array."""
    for name, item in functions.items():
        try:
            inspect.signature(item).bind(0.0)
        except TypeError as error:
            raise TypeError(
                f"gradient: {name} must be a function of one array, got "
                f"{getattr(item, '__name__', item)}: {error}. "
                "Fix the others: lambda x: f(x, ...)."
            ) from None
        except ValueError:  # some builtins don't say what they take
            pass


def _points(points):
    """The points in float64, rounded to float32."""
    try:
        x = np.asarray(points)
    except ValueError:  # rows of different lengths
        x = np.array(None)
    if not (np.issubdtype(x.dtype, np.integer) or jnp.issubdtype(x.dtype, jnp.floating)):
        raise TypeError(
            "gradient: points must be an array of floats, got "
            f"{type(points).__name__ if x.dtype == object else x.dtype}. "
            "Pass one, such as jnp.linspace(-5.0, 5.0, 21)."
        )
    with np.errstate(over="ignore"):
        x = x.astype(np.float32).astype(np.float64)
    if not x.size or not np.isfinite(x).all():
        raise ValueError(
            "gradient: points must be at least one, and finite in float32, got "
            f"{x[~np.isfinite(x)][0] if x.size else f'shape {x.shape}'}. "
            "Pass where to look, such as jnp.linspace(-5.0, 5.0, 21)."
        )
    return x


def _elementwise(f, x):
    """Raises ValueError unless f is elementwise."""
    instead = "Leave out sums and means, or use jax.test_util.check_grads for such a function."
    out = jax.eval_shape(f, jnp.asarray(x))
    got = f"{out.dtype}{list(out.shape)}" if hasattr(out, "dtype") else type(out).__name__
    if not got.startswith(("float", "bfloat")) or out.shape != x.shape:
        raise ValueError(
            f"gradient: f must return floats shaped like its argument, {list(x.shape)}, "
            f"got {got}. {instead}"
        )
    if _differences.mixed(f, x):
        raise ValueError(
            "gradient: f must be elementwise, got a result of which one entry changes with "
            f"another entry of x. {instead}"
        )


def _off(found, numeric):
    """How far off finite differences a derivative is, as a multiple of what is allowed."""
    allowed = ERRORS * numeric.error + RELATIVE * np.abs(numeric.slope)
    with np.errstate(all="ignore"):
        off = np.abs(found - numeric.slope) / (allowed + numeric.doubt)
    off = np.where(found == numeric.slope, 0, np.where(np.isnan(off), np.inf, off))
    return np.where(np.isfinite(numeric.error), off, 0)


def _unresolved(found, derived, numeric):
    """Where finite differences neither contradict a derivative nor confirm it."""
    confirmed = numeric.known() & (_off(found, numeric._replace(doubt=0)) <= 1)
    # Where f stands still, JAX must say so too: a sigmoid stands still in float64 from 40 on.
    nothing = numeric.flat & (found == 0) & ~(np.abs(derived) > 0)
    return ~confirmed & ~nothing & (_off(found, numeric) <= 1)


def _slopes(truth, x):
    """Central differences of a function of mpmath, high and low parts."""
    m = _truth.mpmath()
    found = []
    with m.workdps(_truth.DIGITS):
        for point in x:
            at = m.mpf(float(point))
            step = m.mpf(10) ** -45 * max(abs(at), m.mpf(10) ** -20)
            found.append(_truth.split((truth(at + step) - truth(at - step)) / (2 * step)))
    return np.array(found).reshape(-1, 2).T
