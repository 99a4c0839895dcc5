r"""Both ways between networks and Flax: a network as a Flax module, a Flax module as a network.

Nothing is copied or renamed on the way. Parameters are the same tree on both sides, so those
of one run in the other, and a way there and back is the identity:

| here | in Linen | in NNX |
|---|---|---|
| parameters | collection `params` | `nnx.Param`, each under its own name |
| state of a `StatefulNetwork` | collection `batch_stats` | `nnx.BatchStat`, likewise |
| `key` | stream `dropout` | stream `dropout` |
| `train` | argument `train` | `module.train()`, `module.eval()` |

A Flax module becomes a `Network` if it has parameters alone, else a `StatefulNetwork`. Where its
`__call__` asks how it is meant, by an argument of one of the usual names, it is told:

| argument | is |
|---|---|
| `train`, `training` | `train`; of a `Network`, whether there is a key |
| `deterministic` | whether there is no key |
| `use_running_average` | not `train` |
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import errors, linen, nnx, traverse_util

from jaxnn import _checks
from jaxnn.networks._network import Network, StatefulNetwork, with_state

__all__ = ["from_linen", "from_nnx", "to_linen", "to_nnx"]


def to_linen(network: Any) -> linen.Module:
    """A network as a Linen module, to be used alone or inside others.

    The module is called as `module(inputs, train=False)`, and with whatever else the network
    takes. It draws noise where it is given a stream `dropout`.

    Args:
        network: a `Network` or a `StatefulNetwork`.

    Returns:
        The module. Its collection `params` is a tree of the network's parameters, and
        `batch_stats`, if the network has a state, one of its state.

    Raises:
        TypeError: if `network` is no network.

    Example:
        >>> from jaxnn.networks import mlp
        >>> net = mlp([3, 8, 2])
        >>> params, x = net.init(jax.random.key(0)), jnp.ones((4, 3))
        >>> outputs = to_linen(net).apply({"params": params}, x)
        >>> bool((outputs == net.apply(params, x)).all())
        True
    """
    _check("to_linen", network)
    return _LinenNetwork(network)


class _LinenNetwork(linen.Module):
    network: Any

    @linen.compact
    def __call__(self, inputs, *, train: bool = False, **options):
        network = _lifted(self.network)
        # A module may be called twice while it is initialized; the first call counts.
        if self.is_initializing() and not self.variables.get("params"):
            params, state = network.init(self.make_rng("params"))
            self._put("params", params)
            self._put("batch_stats", state)
        params, state = (self.variables.get(name, {}) for name in ("params", "batch_stats"))
        key = self.make_rng("dropout") if self.has_rng("dropout") else None
        outputs, state = network.apply(params, state, inputs, key=key, train=train, **options)
        if train and not self.is_initializing():
            self._put("batch_stats", state)
        return outputs

    def _put(self, collection, tree):
        # Not `self.param`, for which names such as `init` are taken.
        for name, value in tree.items():
            self.put_variable(collection, name, value)


def from_linen(module: linen.Module, example: Any, **options: Any) -> Network | StatefulNetwork:
    """A Linen module as a network.

    Args:
        module: any Linen module that is called with one input, which may be a tuple or dict.
        example: an input, to see shapes by.
        **options: further arguments of its `__call__`; `apply` takes such too.

    Returns:
        A `Network` over the collection `params` of the module. If the module has other
        collections it is a `StatefulNetwork`, whose state is `batch_stats`; beside further
        ones, all of them by name. A key is the stream `dropout`, so noise is the same as in
        Flax; other streams are drawn from it.

    Raises:
        TypeError: if `module` is no Linen module.
        ValueError: from `apply`, if the module draws noise though there is no key.

    Example:
        >>> net = from_linen(linen.Dense(2), jnp.ones((1, 3)))
        >>> params = net.init(jax.random.key(0))
        >>> net.apply(params, jnp.ones((4, 3))).shape
        (4, 2)
    """
    if not isinstance(module, linen.Module):
        raise TypeError(
            f"from_linen: module must be a Linen module, got {module!r}. "
            "Pass an instance, such as linen.Dense(2); from_nnx takes NNX modules."
        )

    def variables(key):
        told = _told(module.__call__, None, False) | options
        return linen.meta.unbox(module.init(key, example, **told))

    collections = sorted(jax.eval_shape(variables, jax.random.key(0)).keys() - {"params"})
    alone = collections == ["batch_stats"]

    def init(key):
        found = dict(variables(key))
        params = found.pop("params", {})
        return params, found["batch_stats"] if alone else found

    def call(params, state, inputs, key, train, more):
        told = _told(module.__call__, key, train) | options | more
        rngs = None if key is None else {"dropout": key, "params": jax.random.fold_in(key, 1)}
        collected = {"params": params} | ({"batch_stats": state} if alone else state)
        mutable = collections if train and collections else False
        try:
            found = module.apply(collected, inputs, rngs=rngs, mutable=mutable, **told)
        except errors.InvalidRngError as error:
            raise ValueError(
                f"from_linen: without a key the module must draw nothing, got {error}. Pass key, "
                "or give its __call__ an argument `deterministic`, which is then True."
            ) from None
        if not mutable:
            return found, state
        outputs, changed = found
        return outputs, changed["batch_stats"] if alone else changed

    return _network(init, call, stateful=bool(collections))


def to_nnx(network: Any, *, rngs: nnx.Rngs) -> nnx.Module:
    """A network as an NNX module that owns parameters.

    As all of NNX it starts in training mode: noise is drawn from a stream `dropout` of its own,
    and running statistics move, until `module.eval()`.

    Args:
        network: a `Network` or a `StatefulNetwork`.
        rngs: the source of parameters (stream `params`) and of noise (stream `dropout`; without
            such a stream there is none).

    Returns:
        The module. `nnx.state(module, nnx.Param)` is a tree of the network's parameters, and
        `nnx.state(module, nnx.BatchStat)` one of its state; `nnx.update(module, params)` puts
        others in.

    Raises:
        TypeError: if `network` is no network, or `rngs` no `nnx.Rngs`.
        ValueError: if the network has a name for two things, or one that NNX needs.

    Example:
        >>> from jaxnn.networks import mlp
        >>> module = to_nnx(mlp([3, 8, 2]), rngs=nnx.Rngs(0))
        >>> module.dense_1["kernel"].shape, module(jnp.ones((4, 3))).shape
        ((8, 2), (4, 2))
    """
    _check("to_nnx", network)
    if not isinstance(rngs, nnx.Rngs):
        raise TypeError(
            f"to_nnx: rngs must be streams of random numbers, got {type(rngs).__name__}. "
            "Pass nnx.Rngs(0), or nnx.Rngs(key)."
        )
    return _NNXNetwork(network, rngs)


class _NNXNetwork(nnx.Module):
    def __init__(self, network, rngs):
        params, state = _lifted(network).init(rngs.params())
        self._network = network
        self._trees = jax.tree.structure(params), jax.tree.structure(state)
        self.deterministic = self.use_running_average = False  # what train() and eval() set
        noisy = "dropout" in rngs or "default" in rngs
        self._stream = rngs.dropout.fork() if noisy else nnx.data(None)
        for name, variables in _side_by_side(params, state).items():
            if hasattr(self, name):
                raise ValueError(
                    f"to_nnx: a parameter must have a name that NNX leaves free, got {name!r}. "
                    "Rename it in the network."
                )
            setattr(self, name, nnx.data(variables))

    def __call__(self, inputs, **options):
        params, state = map(self._tree, (nnx.Param, nnx.BatchStat), self._trees)
        stream = None if self.deterministic else self._stream
        outputs, state = _lifted(self._network).apply(
            params,
            state,
            inputs,
            key=None if stream is None else stream(),
            train=not self.use_running_average,
            **options,
        )
        if not self.use_running_average:
            nnx.update(self, state)
        return outputs

    def _tree(self, kind, tree):
        # The order of leaves is that of the names, on both sides.
        return jax.tree.unflatten(tree, jax.tree.leaves(_pure(nnx.state(self, kind))))


def from_nnx(make: Callable[[nnx.Rngs], nnx.Module]) -> Network | StatefulNetwork:
    """An NNX module as a network.

    The parameters of a module that is there already are `nnx.to_pure_dict(nnx.state(module,
    nnx.Param))`, and `nnx.update(module, params)` hands trained ones back.

    Args:
        make: `make(rngs) -> module`, such as `lambda rngs: nnx.Linear(3, 2, rngs=rngs)`. The
            module is called with one input, which may be a tuple or dict.

    Returns:
        A `Network` over the `nnx.Param` of the module. If the module has other variables, such
        as `nnx.BatchStat`, it is a `StatefulNetwork`, and they are its state. All streams of
        random numbers are drawn from the key.

    Raises:
        TypeError: if `make` is no function, or makes no NNX module.
        ValueError: from `apply`, if the parameters are not those of the module.

    Example:
        >>> net = from_nnx(lambda rngs: nnx.Linear(3, 2, rngs=rngs))
        >>> params = net.init(jax.random.key(0))
        >>> net.apply(params, jnp.ones((4, 3))).shape
        (4, 2)
    """
    if isinstance(make, nnx.Module):
        raise TypeError(
            f"from_nnx: make must be a function of rngs, got a {type(make).__name__} that is made "
            "already. Pass lambda rngs: Model(..., rngs=rngs)."
        )
    _checks.function("from_nnx", make=make)

    def made(key):
        module = make(nnx.Rngs(key))
        if not isinstance(module, nnx.Module):
            raise TypeError(
                f"from_nnx: make must return an NNX module, got {type(module).__name__}. "
                "from_linen takes Linen modules."
            )
        return module

    parts = nnx.Param, nnx.RngState, nnx.Intermediate, ...
    graph, *abstract = nnx.split(nnx.eval_shape(lambda: made(jax.random.key(0))), *parts)
    names, streams, intermediate, others = map(nnx.to_flat_state, abstract)

    def init(key):
        params, _, _, state = map(_pure, nnx.split(made(key), *parts)[1:])
        return params, state

    def call(params, state, inputs, key, train, more):
        module = nnx.merge(
            graph,
            _filled(names, "params", params),
            _reseeded(streams, jax.random.key(0) if key is None else key),
            nnx.from_flat_state(intermediate),
            _filled(others, "state", state),
        )
        module.set_attributes(deterministic=key is None, raise_if_not_found=False)
        module.set_attributes(use_running_average=not train, raise_if_not_found=False)
        outputs = module(inputs, **_told(module.__call__, key, train) | more)
        return outputs, _pure(nnx.split(module, *parts)[4]) if train else state

    return _network(init, call, stateful=bool(others))


def _check(function, network):
    if not (callable(getattr(network, "init", None)) and callable(getattr(network, "apply", None))):
        raise TypeError(
            f"{function}: network must be a Network or a StatefulNetwork, got "
            f"{type(network).__name__}. Pass what a function of jaxnn.networks returns."
        )


def _lifted(network) -> StatefulNetwork:
    return network if isinstance(network, StatefulNetwork) else with_state(network)


def _network(init, call, stateful):
    """The network of `init(key) -> (params, state)` and a call in the same terms."""

    def apply(params, inputs, *, key=None, **options):
        return call(params, {}, inputs, key, key is not None, options)[0]

    def apply_with_state(params, state, inputs, *, key=None, train: bool = False, **options):
        return call(params, state, inputs, key, train, options)

    if stateful:
        return StatefulNetwork(init, apply_with_state)
    return Network(lambda key: init(key)[0], apply)


def _told(call, key, train) -> dict[str, Any]:
    """The arguments by which `call` asks whether it trains and whether it draws."""
    answers = {
        "train": train,
        "training": train,
        "deterministic": key is None,
        "use_running_average": not train,
    }
    asked = inspect.signature(call).parameters
    return {name: answer for name, answer in answers.items() if name in asked}


def _side_by_side(params, state):
    """One tree of NNX variables, in which a norm has its scale beside its running mean."""
    params, state = map(traverse_util.flatten_dict, (params, state))
    if both := sorted(params.keys() & state.keys()):
        raise ValueError(
            "to_nnx: parameters and state must differ in their names, got both for "
            f"{['/'.join(path) for path in both]}. Rename one of them."
        )
    variables = {path: nnx.Param(value) for path, value in params.items()}
    variables |= {path: nnx.BatchStat(value) for path, value in state.items()}
    return traverse_util.unflatten_dict(variables)


def _pure(state):
    return nnx.to_pure_dict(state)


def _filled(names, kind, values):
    """The variables of `names` with values from a plain tree."""
    flat: Any = traverse_util.flatten_dict(values)
    expected = {path: variable.shape for path, variable in names}
    found = {path: jnp.shape(value) for path, value in flat.items()}
    if found != expected:
        wrong = sorted(
            "/".join(map(str, path))
            for path in found.keys() | expected.keys()
            if found.get(path) != expected.get(path)
        )
        raise ValueError(
            f"from_nnx: {kind} must have the names and shapes of the module's, got others for "
            f"{wrong}. Pass what init returns, or nnx.to_pure_dict(nnx.state(module, nnx.Param))."
        )
    return nnx.from_flat_state([(path, variable.replace(flat[path])) for path, variable in names])


def _reseeded(streams, key):
    """Streams of random numbers, all different and all from one key."""
    filled = []
    for i, (path, variable) in enumerate(streams):
        if isinstance(variable, nnx.RngKey):
            seed = jax.random.fold_in(key, i)
            value = jax.random.split(seed, variable.shape) if variable.shape else seed
        else:
            value = jnp.zeros(variable.shape, variable.dtype)
        filled.append((path, variable.replace(value)))
    return nnx.from_flat_state(filled)
