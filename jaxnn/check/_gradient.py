"""The same for a function of one's own."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxnn.check import _truth, _ulp

STEP = 1e-6


@dataclass(frozen=True)
class Gradient:
    """How closed form, autodiff, finite differences and truth agree.

    Attributes:
        errors: worst differences, as multiples of what is allowed: of the closed form to finite
            differences, in float64, and to the truth, in float32; of autodiff to the truth, or
            without one to finite differences.
        at: the points of these.
        passed: whether the closed form is right: its own errors are at most 1.
    """

    errors: dict[str, float]
    at: dict[str, float]
    passed: bool

    def __str__(self):
        lines = [f"{'passed' if self.passed else 'FAILED'} (1 is what is allowed)"]
        lines += [f"  {k:40} {e:10.3g} at x = {self.at[k]:.9g}" for k, e in self.errors.items()]
        return "\n".join(lines)


def gradient(
    f: Callable,
    points: ArrayLike,
    closed_form: Callable | None = None,
    truth: Callable | None = None,
    ulp: float = 6,
) -> Gradient:
    """Compares the derivative of an elementwise function of one's own with all it should equal.

    First with central differences in float64, which know nothing of any formula: they catch a
    wrong closed form, but are good to eight digits only, and at kinks to none. Then in float32
    with the truth, in units in the last place, which catches one that cancels or overflows.

    Args:
        f: the function, of an array and elementwise, for JAX.
        points: where to look, floats of any shape. Leave kinks out.
        closed_form: its derivative, a function of the same array; by default the function named
            `f_grad` beside `f`, if there is one, and else what JAX derives.
        truth: the same function as `f` on numbers of mpmath, such as
            `lambda x: 1 / (1 + mpmath.exp(-x))`. It is differentiated to some 80 digits.
        ulp: how many units in the last place the derivative may be off in float32.

    Returns:
        A `Gradient`: `passed`, and the worst errors of each comparison; print it.

    Raises:
        ValueError: if `closed_form` returns another shape than `points`.
        ImportError: if `truth` is given, and mpmath is not installed.

    Example:
        >>> print(gradient(jnp.sin, jnp.array([0.5, 1.0]), lambda x: jnp.cos(x)).passed)
        True
        >>> gradient(jnp.sin, jnp.array([0.5, 1.0]), lambda x: -jnp.cos(x)).passed
        False
    """
    x = np.ravel(np.asarray(points, np.float32)).astype(np.float64)
    autodiff = lambda x: jax.grad(lambda x: f(x).sum())(x)
    beside = getattr(sys.modules.get(f.__module__), f"{f.__name__}_grad", None)
    slope: Callable = closed_form or beside or autodiff
    with jax.enable_x64(True):
        wide = jnp.asarray(x)
        step = STEP * jnp.maximum(1, jnp.abs(wide))
        numeric = np.asarray((f(wide + step) - f(wide - step)) / (2 * step))
        found = np.asarray(slope(wide))
        derived = np.asarray(autodiff(wide))
    if found.shape != x.shape:
        raise ValueError(
            f"gradient: closed_form must return one derivative per point, shape {x.shape}, "
            f"got {found.shape}. Return an array shaped like its argument."
        )
    allowed = 1e-7 + 1e-6 * np.abs(numeric)
    compared = {"closed form to finite differences": np.abs(found - numeric) / allowed}
    others = {"autodiff to finite differences": np.abs(derived - numeric) / allowed}
    if truth is not None:
        short = jnp.asarray(x, jnp.float32)
        high, low = _slopes(truth, x)
        error = lambda of: _ulp.ulps(of(short), high, low, jnp.float32) / ulp
        compared["closed form to truth"] = error(slope)
        others = {"autodiff to truth": error(autodiff)}
    errors = {name: np.where(np.isnan(e), np.inf, e) for name, e in (compared | others).items()}
    worst = {name: int(np.argmax(e)) for name, e in errors.items()}
    return Gradient(
        {name: float(errors[name][i]) for name, i in worst.items()},
        {name: float(x[i]) for name, i in worst.items()},
        all(bool((errors[name] <= 1).all()) for name in compared),
    )


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
