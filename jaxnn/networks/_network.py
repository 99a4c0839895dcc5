"""The types that architectures return."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
from jax import Array

from jaxnn import _checks

Params: TypeAlias = dict[str, Any]
State: TypeAlias = dict[str, Any]


class Network(NamedTuple):
    """A network: two pure functions, in the manner of `optax.GradientTransformation`.

    Attributes:
        init: `init(key) -> params`. Parameters are plain nested dicts of arrays.
        apply: `apply(params, inputs, *, key=None) -> outputs`. Without a key the outputs
            are a deterministic function of the inputs; with a key, dropout and other
            noise is drawn from it. No key, no noise.
    """

    init: Callable[[Array], Params]
    apply: Callable[..., Any]


class StatefulNetwork(NamedTuple):
    """A network that remembers something besides its parameters, such as batch statistics.

    Gradients are taken in the parameters; the state changes only by being passed on.

    Attributes:
        init: `init(key) -> (params, state)`, both plain nested dicts of arrays.
        apply: `apply(params, state, inputs, *, key=None, train=False) -> (outputs, state)`.
            With `train` the outputs use this batch, and the state that comes back has seen
            it; without, the state is used, and comes back as it was. As in `Network`, noise
            comes from `key` alone.
    """

    init: Callable[[Array], tuple[Params, State]]
    apply: Callable[..., tuple[Any, State]]


def with_state(network: Network) -> StatefulNetwork:
    """A plain network where a stateful one is expected; its state is empty.

    Args:
        network: any network without state.

    Returns:
        The same network with an empty dict for a state; `train` changes nothing.

    Example:
        >>> net = with_state(Network(lambda key: {}, lambda params, x, *, key=None: 2 * x))
        >>> net.apply({}, {}, 1.5, train=True)
        (3.0, {})
    """

    def init(key: Array) -> tuple[Params, State]:
        return network.init(key), {}

    def apply(params: Params, state: State, inputs, *, key=None, train=False, **options):
        del train
        return network.apply(params, inputs, key=key, **options), state

    return StatefulNetwork(init, apply)


def named(layer: Callable, params: Params, name: str, *inputs, **options):
    """`layer(params[name], *inputs, **options)`, under that name in summaries and profiles."""
    with jax.named_scope(name):
        return layer(params[name], *inputs, **options)


def split(key: Array | None, count: int):
    """`count` keys, which are None where there is none: no key, no noise."""
    return [None] * count if key is None else jax.random.split(key, count)


def check_image(function: str, image_shape) -> tuple[int, int, int]:
    """Raises unless `image_shape` is `(height, width, channels)`; returns the three."""
    if len(image_shape) != 3:
        raise ValueError(
            f"{function}: image_shape must be (height, width, channels), got "
            f"{tuple(image_shape)}. A grey image has one channel: (8, 8, 1)."
        )
    _checks.sizes(function, **{f"image_shape[{i}]": n for i, n in enumerate(image_shape)})
    height, width, channels = image_shape
    return height, width, channels


def check_sizes(function: str, sizes, activation, dropout_rate) -> None:
    """Raises unless dense layers of these sizes, and what stands between them, make a network."""
    try:
        count = len(sizes)
    except TypeError:
        raise TypeError(
            f"{function}: sizes must be a list of sizes, got {sizes!r}. "
            "For 3 inputs, one hidden layer of 8 and 1 output, pass [3, 8, 1]."
        ) from None
    if count < 2:
        raise ValueError(
            f"{function}: sizes must name at least the input and the output, got {list(sizes)}. "
            "For 3 inputs, one hidden layer of 8 and 1 output, pass [3, 8, 1]."
        )
    _checks.sizes(function, **{f"sizes[{i}]": size for i, size in enumerate(sizes)})
    _checks.function(function, activation=activation)
    _checks.probability(function, dropout_rate=dropout_rate)
