"""Checks of arguments, with messages that say what to do next.

chex decides whether shapes agree; the sentence the user reads is ours. Shapes and dtypes are
known while tracing, so under `jax.jit` such a check runs once and is free afterwards. Values
are looked at only where they are concrete.
"""

import operator
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def concrete(*arrays) -> bool:
    """Whether the values of all arrays (or pytrees) are there to be looked at."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(arrays))


def array(function: str, **arrays) -> None:
    """Raises TypeError where one of the named arguments is a list or a tuple, as JAX does."""
    for name, item in arrays.items():
        if isinstance(item, list | tuple):
            raise TypeError(
                f"{function}: {name} must be an array, got a {type(item).__name__}. "
                f"Convert it: jnp.asarray({name})."
            )


def same_shape(function: str, **arrays) -> None:
    """Raises ValueError unless all the named arrays have one shape.

    Losses call this first: broadcasting (32,) against (32, 1) would otherwise compare every
    prediction with every target and return a plausible (32, 32) loss.
    """
    array(function, **arrays)
    shapes = [jnp.shape(item) for item in arrays.values()]
    try:
        chex.assert_equal_shape([jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes])
    except AssertionError:
        raise ValueError(
            f"{function}: {' and '.join(arrays)} must have the same shape, "
            f"got {' and '.join(map(str, shapes))}. "
            "Reshape one of them: x[..., None] adds an axis, x[..., 0] removes one."
        ) from None


def last_axis(function: str, size: int, **arrays) -> None:
    """Raises ValueError unless every named array ends in an axis of `size`."""
    array(function, **arrays)
    for name, item in arrays.items():
        try:
            chex.assert_axis_dimension(item, -1, size)
        except AssertionError:
            raise ValueError(
                f"{function}: the last axis of {name} must have size {size}, "
                f"got shape {jnp.shape(item)}. Features stand last: transpose or reshape {name}, "
                "or build the parameters for that many features."
            ) from None


def has_axis(function: str, axis, **arrays) -> None:
    """Raises ValueError unless every named array has the axis, or each of several."""
    array(function, **arrays)
    for name, item in arrays.items():
        dims = jnp.ndim(item)
        axes = axis if isinstance(axis, tuple) else () if axis is None else (axis,)
        if not all(-dims <= one < dims for one in axes):
            raise ValueError(
                f"{function}: axis must be one of the {dims} axes of {name}, got {axis} and shape "
                f"{jnp.shape(item)}. Axes are counted from 0, or from the last, -1."
            )


def one_per_row(function: str, rows, **arrays) -> None:
    """Raises ValueError unless every named array has the shape of `rows` less its last axis."""
    array(function, rows=rows, **arrays)
    expected = jnp.shape(rows)[:-1]
    for name, item in arrays.items():
        try:
            chex.assert_shape(item, expected)
        except AssertionError:
            raise ValueError(
                f"{function}: {name} must hold one entry per row, shape {expected}, "
                f"got {jnp.shape(item)}. Drop or add an axis: x[..., 0], x[..., None]."
            ) from None


def floating(function: str, **arrays) -> None:
    """Raises TypeError unless all the named arrays hold floats."""
    array(function, **arrays)
    for name, item in arrays.items():
        dtype = jnp.result_type(item)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                f"{function}: {name} must be floating point, got {dtype}. "
                f"Convert it: {name}.astype(jnp.float32)."
            )


def real(function: str, **arrays) -> None:
    """Raises TypeError where one of the named arrays is a list, or holds complex numbers."""
    array(function, **arrays)
    for name, item in arrays.items():
        dtype = jnp.result_type(item)
        if jnp.issubdtype(dtype, jnp.complexfloating):
            raise TypeError(
                f"{function}: {name} must be real, got {dtype}. "
                f"Pass {name}.real, or jnp.abs({name})."
            )


def integer(function: str, **arrays) -> None:
    """Raises TypeError unless all the named arrays hold integers."""
    array(function, **arrays)
    for name, item in arrays.items():
        dtype = jnp.result_type(item)
        if not jnp.issubdtype(dtype, jnp.integer):
            raise TypeError(
                f"{function}: {name} must hold integers, got {dtype}. "
                f"Convert it: {name}.astype(jnp.int32)."
            )


def boolean(function: str, **flags) -> None:
    """Raises TypeError unless all the named flags are True or False, of Python or of NumPy."""
    for name, flag in flags.items():
        if not isinstance(flag, (bool, np.bool_)):
            raise TypeError(
                f"{function}: {name} must be True or False, got {flag!r}. Pass a Python bool."
            )


def values(function: str, holds: Callable[[Any], Any], must: str, do: str, **arrays) -> None:
    """Raises ValueError unless `holds` is true of every value of the named concrete arrays.

    Args:
        function: who asks.
        holds: elementwise condition, called with a whole array.
        must: what must hold, completing "`name` must ...".
        do: the sentence that says what to do.
        **arrays: the arrays; traced ones are left alone.
    """
    for name, item in arrays.items():
        if concrete(item):
            with jax.ensure_compile_time_eval():  # under `jit` too, constants are looked at
                ok = jnp.asarray(holds(jnp.asarray(item)))
                if not bool(ok.all()):
                    wrong = jnp.asarray(item)[~ok].ravel()[0] if ok.ndim else item
                    raise ValueError(f"{function}: {name} must {must}, got {wrong}. {do}")


def number(function: str, holds: Callable[[Any], Any], must: str, do: str, **numbers) -> Any:
    """The one named hyperparameter, which must satisfy `holds`, as in `values`.

    A traced one that doesn't becomes NaN, and by the product so do all gradients. One that can be
    looked at is returned as it is.
    """
    values(function, holds, must, do, **numbers)
    ((_, n),) = numbers.items()
    if concrete(n):
        return n
    if not (jnp.issubdtype(n.dtype, jnp.inexact) or n.weak_type):
        n = n.astype(float)
    return n * jnp.where(holds(n), 1, jnp.nan)


def broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    """Whether an array of the one shape can be broadcast to the other."""
    pairs = zip(reversed(shape), reversed(to), strict=False)
    return len(shape) <= len(to) and all(size in (1, whole) for size, whole in pairs)


def cotangent(function: str, g, shape) -> None:
    """Raises ValueError unless the cotangent `g` has the shape of the output it belongs to."""
    array(function, g=g)
    if jnp.shape(g) != tuple(shape):
        raise ValueError(
            f"{function}: g must have the shape of the output, {tuple(shape)}, "
            f"got {jnp.shape(g)}. Pass one cotangent for each entry of the output."
        )


def sizes(function: str, **counts) -> None:
    """Raises unless every named count is a positive integer: TypeError for another kind."""
    for name, count in counts.items():
        try:
            positive = operator.index(count) > 0
        except TypeError:
            raise TypeError(
                f"{function}: {name} must be an integer, got {count!r}. Pass a Python int."
            ) from None
        if not positive:
            raise ValueError(f"{function}: {name} must be at least 1, got {count}. Pass a size.")


def class_number(function: str, classes: int, **numbers) -> None:
    """Raises unless every named number is one of `classes`: TypeError for another kind."""
    for name, number in numbers.items():
        try:
            inside = 0 <= operator.index(number) < classes
        except TypeError:
            raise TypeError(
                f"{function}: {name} must be an integer, got {number!r}. Pass a Python int."
            ) from None
        if not inside:
            raise ValueError(
                f"{function}: {name} must be a class from 0 to {classes - 1}, got {number}. "
                "Classes are counted from 0, and each has a logit of its own."
            )


def key(function: str, **keys) -> None:
    """Raises TypeError unless all the named arguments are JAX keys, typed ones or raw."""
    for name, item in keys.items():
        dtype = getattr(item, "dtype", None)
        typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
        if not typed and not (dtype == jnp.uint32 and jnp.ndim(item) == 1):
            raise TypeError(
                f"{function}: {name} must be a key of jax.random, got {item!r}. "
                "Pass jax.random.key(0)."
            )


def function(caller: str, **functions) -> None:
    """Raises TypeError unless all the named arguments can be called."""
    for name, item in functions.items():
        if not callable(item):
            raise TypeError(
                f"{caller}: {name} must be a function, got {item!r}. "
                "Pass the function itself, not its name and not what it returns."
            )


def wide(dtype):
    """The dtype to compute in: float32 for narrower floats, else `dtype` itself.

    `jnp.promote_types` raises here for bfloat16 under strict promotion.
    """
    return jnp.dtype(jnp.float32) if jnp.finfo(dtype).bits < 32 else jnp.dtype(dtype)


def probability(function: str, **rate) -> Any:
    """The one named rate, which must be within [0, 1]: see `number`."""
    inside = lambda rate: (rate >= 0) & (rate <= 1)
    return number(function, inside, "be within [0, 1]", "Pass a fraction, such as 0.1.", **rate)


def positive(function: str, **numbers) -> Any:
    """The one named hyperparameter, which must be above 0: see `number`."""
    return number(function, lambda n: n > 0, "be positive", "Pass a number above 0.", **numbers)


def non_negative(function: str, do: str = "Pass 0 or more.", **numbers) -> Any:
    """The one named hyperparameter, which must be at least 0: see `number`."""
    return number(function, lambda n: n >= 0, "be at least 0", do, **numbers)
