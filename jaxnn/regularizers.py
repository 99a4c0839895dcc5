r"""Penalties on the size of the weights, each beside its gradient, to be added to a loss.

Only kernels are penalised: leaves whose name ends in `kernel`, wherever they stand in the
tree. Biases, normalization scales and learned slopes set a level, not a sensitivity, and
are left alone; so are embedding tables, whose rows would all shrink at every step while only
those in the batch learn. `penalised` chooses otherwise, by the path of each leaf:

    l2(params, 1e-4, lambda path: path.endswith(("kernel", "embedding")))

A penalty is a sum over weights: add it to the **mean** loss of a batch.

`penalty_grad` takes the same arguments and returns a tree shaped like `params`: the gradient
of the penalty, zeros for what it leaves out.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks

__all__ = [
    "elastic_net", "elastic_net_grad",
    "l1", "l1_grad",
    "l2", "l2_grad",
]  # fmt: skip


def _is_kernel(path: str) -> bool:
    return path.endswith("kernel")


def l1(params: Any, strength: float, penalised: Callable[[str], bool] = _is_kernel) -> Array:
    r"""L1 penalty (lasso), \( \lambda \sum |w| \) over all kernels.

    Pulls every weight towards zero with the same force, so that many arrive: a sparse network.

    Args:
        params: pytree of parameters.
        strength: the factor \( \lambda \), not negative.
        penalised: called with the path of each leaf, such as `"dense_0/kernel"`; says whether
            it counts. Kernels alone by default.

    Returns:
        The penalty, a scalar in the dtype of the kernels.

    Raises:
        ValueError: if `strength` is negative (under `jit`, NaN), or nothing in `params` is
            penalised.
        TypeError: if what is penalised is not floating point.

    Example:
        >>> params = {"kernel": jnp.array([[3.0], [-4.0]]), "bias": jnp.array([100.0])}
        >>> float(l1(params, 0.5))
        3.5
    """
    strength = _strength("l1", strength=strength)
    # w sign(w) is |w|, but has slope 0 at 0, where JAX gives jnp.abs slope +1: a weight that
    # has arrived at zero stays there.
    return _total("l1", params, penalised, lambda w: _as(strength, w) * w * jnp.sign(w))


def l1_grad(params: Any, strength: float, penalised: Callable[[str], bool] = _is_kernel) -> Any:
    r"""Gradient of `l1` in `params`, \( \lambda\,\mathrm{sign}(w) \); 0 at 0."""
    strength = _strength("l1_grad", strength=strength)
    return _slopes("l1_grad", params, penalised, lambda w: _as(strength, w) * jnp.sign(w))


def l2(params: Any, strength: float, penalised: Callable[[str], bool] = _is_kernel) -> Array:
    r"""L2 penalty (ridge), \( \lambda \sum w^2 \) over all kernels.

    Pulls every weight towards zero in proportion to its size: small weights, few of them zero.

    This is Keras' `L2(strength)`. PyTorch's `weight_decay` adds \( \lambda w \) to the
    gradient, which is \( \tfrac{\lambda}{2} \sum w^2 \): `strength` is half of it, and there
    it covers biases as well. With adaptive optimizers a penalty is not weight decay, since
    its gradient is normalised with the rest: for that, take `adamw`.

    Args:
        params: pytree of parameters.
        strength: the factor \( \lambda \), not negative.
        penalised: called with the path of each leaf, such as `"dense_0/kernel"`; says whether
            it counts. Kernels alone by default.

    Returns:
        The penalty, a scalar in the dtype of the kernels.

    Raises:
        ValueError: if `strength` is negative (under `jit`, NaN), or nothing in `params` is
            penalised.
        TypeError: if what is penalised is not floating point.

    Example:
        >>> def loss_fn(params, x, y):
        ...     error = x @ params["kernel"] + params["bias"] - y
        ...     return (error**2).mean() + l2(params, 1e-2)
        >>> params = {"kernel": jnp.array([[3.0], [-4.0]]), "bias": jnp.array([100.0])}
        >>> x, y = jnp.zeros((8, 2)), jnp.full((8, 1), 100.0)
        >>> round(float(loss_fn(params, x, y)), 4)
        0.25
        >>> jax.grad(loss_fn)(params, x, y)["kernel"].round(4).tolist()
        [[0.05999999865889549], [-0.07999999821186066]]
    """
    strength = _strength("l2", strength=strength)
    return _total("l2", params, penalised, lambda w: _as(strength, w) * w * w)


def l2_grad(params: Any, strength: float, penalised: Callable[[str], bool] = _is_kernel) -> Any:
    r"""Gradient of `l2` in `params`, \( 2 \lambda w \)."""
    strength = _strength("l2_grad", strength=strength)
    return _slopes("l2_grad", params, penalised, lambda w: 2 * _as(strength, w) * w)


def elastic_net(
    params: Any,
    l1_strength: float,
    l2_strength: float,
    penalised: Callable[[str], bool] = _is_kernel,
) -> Array:
    r"""Elastic net, \( \lambda_1 \sum |w| + \lambda_2 \sum w^2 \) over all kernels.

    `l1` and `l2` together: sparse, but of two weights that do the same it keeps both.
    Scikit-learn's `ElasticNet(alpha, l1_ratio)` has \( \lambda_1 = \alpha\,r \) and
    \( \lambda_2 = \tfrac12 \alpha (1 - r) \), beside half the mean squared error.

    Args:
        params: pytree of parameters.
        l1_strength: the factor \( \lambda_1 \), not negative.
        l2_strength: the factor \( \lambda_2 \), not negative.
        penalised: called with the path of each leaf, such as `"dense_0/kernel"`; says whether
            it counts. Kernels alone by default.

    Returns:
        The penalty, a scalar in the dtype of the kernels.

    Raises:
        ValueError: if a strength is negative (under `jit`, NaN), or nothing in `params` is
            penalised.
        TypeError: if what is penalised is not floating point.

    Example:
        >>> params = {"kernel": jnp.array([[3.0], [-4.0]]), "bias": jnp.array([100.0])}
        >>> float(elastic_net(params, 0.5, 1.0))
        28.5

    Reference:
        Zou and Hastie, "Regularization and variable selection via the elastic net", 2005.
    """
    l1_strength = _strength("elastic_net", l1_strength=l1_strength)
    l2_strength = _strength("elastic_net", l2_strength=l2_strength)

    def penalty(w):
        return (_as(l1_strength, w) * jnp.sign(w) + _as(l2_strength, w) * w) * w

    return _total("elastic_net", params, penalised, penalty)


def elastic_net_grad(
    params: Any,
    l1_strength: float,
    l2_strength: float,
    penalised: Callable[[str], bool] = _is_kernel,
) -> Any:
    r"""Gradient of `elastic_net`, \( \lambda_1\,\mathrm{sign}(w) + 2 \lambda_2 w \)."""
    l1_strength = _strength("elastic_net_grad", l1_strength=l1_strength)
    l2_strength = _strength("elastic_net_grad", l2_strength=l2_strength)

    def slope(w):
        return _as(l1_strength, w) * jnp.sign(w) + 2 * _as(l2_strength, w) * w

    return _slopes("elastic_net_grad", params, penalised, slope)


def _total(function, params, penalised, penalty):
    """Sum of `penalty` over what is penalised, in float32 at least and rounded once."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    chosen = {_name(path): jnp.asarray(leaf) for path, leaf in leaves if penalised(_name(path))}
    if not chosen:
        raise ValueError(
            f"{function}: params must hold something to penalise, got leaves "
            f"{[_name(path) for path, _ in leaves]}, none of them a kernel. Pass `penalised`, "
            "which is called with such a path and says whether the leaf counts."
        )
    _checks.floating(function, **chosen)
    dtype = max((leaf.dtype for leaf in chosen.values()), key=lambda dtype: dtype.itemsize)
    total = jnp.zeros((), _checks.wide(dtype))
    for leaf in chosen.values():
        total += penalty(leaf.astype(total.dtype)).sum()
    return total.astype(dtype)


def _slopes(function, params, penalised, slope):
    """Tree like `params`: `slope` of what is penalised, zeros elsewhere."""

    def one(path, leaf):
        leaf = jnp.asarray(leaf)
        if not penalised(_name(path)):
            return jnp.zeros_like(leaf)
        _checks.floating(function, **{_name(path): leaf})
        return slope(leaf.astype(_checks.wide(leaf.dtype))).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(one, params)


def _name(path):
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _as(strength, w):
    return jnp.asarray(strength, w.dtype)


def _strength(function, **strength):
    """The one named strength, which must not be negative: see `_checks.number`."""
    do = "A negative strength rewards large weights: drop the sign."
    return _checks.number(function, lambda s: s >= 0, "not be negative", do, **strength)
