"""From a function or network, and examples of its inputs, to a jaxpr whose steps are tagged.

A tag is one more named scope around each step, `@17`. JAX keeps scopes when it differentiates,
so every step of the backward pass says to which step of the forward pass it belongs.
"""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.extend import core

Path = tuple[str, ...]


class Argument(NamedTuple):
    """One array among the arguments.

    Attributes:
        role: `"parameter"`, `"state"` or `"input"`.
        path: the keys that lead to it.
        aval: its shape and dtype.
    """

    role: str
    path: Path
    aval: Any


class Trace(NamedTuple):
    """A function of flat arrays.

    Attributes:
        jaxpr: closed, of all arguments.
        arguments: one for each input of the jaxpr.
    """

    jaxpr: Any
    arguments: list[Argument]

    @property
    def parameters(self) -> list[int]:
        """Which arguments are parameters."""
        return [i for i, a in enumerate(self.arguments) if a.role == "parameter"]


def trace(caller: str, f: Any, inputs: Sequence, options: dict) -> Trace:
    """Traces a network, a Flax module, a callable pytree of arrays, or a plain function.

    Nothing is computed: parameters that must be made are made by `jax.eval_shape`.
    """
    call, trees = _opened(caller, f, inputs, options)
    leaves, structure = jax.tree.flatten([tree for _, tree in trees])
    arrays = [i for i, leaf in enumerate(leaves) if hasattr(leaf, "dtype")]

    def flat(*given):  # numbers and functions among the leaves stay as they are
        full = list(leaves)
        for i, leaf in zip(arrays, given, strict=True):
            full[i] = leaf
        return call(*jax.tree.unflatten(structure, full))

    closed = jax.make_jaxpr(flat)(*jax.eval_shape(lambda *x: x, *(leaves[i] for i in arrays)))
    arguments = []
    for role, tree in trees:
        found = jax.tree_util.tree_leaves_with_path(tree)
        for (path, leaf), learned in zip(found, _learned(tree), strict=True):
            if hasattr(leaf, "dtype"):
                # What can't be learned by gradients, such as a count, is state.
                fixed = role == "parameter" and not (learned and _floating(leaf))
                aval = closed.in_avals[len(arguments)]
                arguments.append(Argument("state" if fixed else role, _keys(path), aval))
    tags = (f"@{i}" for i in itertools.count())
    return Trace(closed.replace(jaxpr=_tagged(closed.jaxpr, tags)), arguments)


def _tagged(jaxpr, tags):
    """The same jaxpr; each step, inner ones too, stands in a scope of its own."""

    def inner(value):
        if isinstance(value, core.ClosedJaxpr):
            return value.replace(jaxpr=_tagged(value.jaxpr, tags))
        if isinstance(value, core.Jaxpr):
            return _tagged(value, tags)
        if type(value) is tuple:  # the branches of a cond
            return tuple(inner(item) for item in value)
        return value

    steps = []
    for step in jaxpr.eqns:
        source = step.source_info
        source = source.replace(name_stack=source.name_stack.extend(next(tags)))
        params = {name: inner(value) for name, value in step.params.items()}
        steps.append(step.replace(source_info=source, params=params))
    return jaxpr.replace(eqns=steps)


def differentiated(traced: Trace) -> tuple[Any, int] | None:
    """The jaxpr of the forward and then the backward pass, and how many outputs come first.

    The cotangents of the outputs are its last arguments. The gradient is that in the
    parameters, or in the inputs where there are none; None where there is nothing to derive.
    """
    arguments = traced.arguments
    role = "parameter" if traced.parameters else "input"
    wrt = [i for i, a in enumerate(arguments) if a.role == role and _floating(a.aval)]
    floats = [i for i, aval in enumerate(traced.jaxpr.out_avals) if _floating(aval)]
    if not wrt or not floats:
        return None
    forward = core.jaxpr_as_fun(traced.jaxpr)

    def both(args, cotangents):
        def of(chosen):
            full = list(args)
            for i, x in zip(wrt, chosen, strict=True):
                full[i] = x
            outputs = forward(*full)
            return [outputs[i] for i in floats]

        outputs, pull = jax.vjp(of, [args[i] for i in wrt])
        return outputs, pull(cotangents)

    like = lambda aval: jax.ShapeDtypeStruct(aval.shape, aval.dtype)
    args = [like(a.aval) for a in arguments]
    cotangents = [like(traced.jaxpr.out_avals[i]) for i in floats]
    return jax.make_jaxpr(both)(args, cotangents), len(floats)


def _opened(caller, f, inputs, options):
    """A function of trees, and these trees by their roles."""
    data = [("input", x) for x in inputs]
    if hasattr(f, "init") and hasattr(f, "apply"):
        if not isinstance(f, tuple):
            return _linen(f, inputs, options, data)
        f = cast(Any, f)
        made = jax.eval_shape(f.init, jax.random.key(0))  # of Network, StatefulNetwork and kin
        both = made if isinstance(made, tuple) else (made,)
        own = list(zip(("parameter", "state"), both, strict=False))
        return partial(f.apply, **options), own + data
    if not callable(f):
        raise TypeError(
            f"{caller}: f must be a function or a network, got {type(f).__name__}. "
            "Pass what mlp(...) returns, a Flax or Equinox module, or any function of arrays."
        )
    if any(hasattr(leaf, "dtype") for leaf in jax.tree.leaves(f)):  # a module that is a pytree
        call = lambda module, *args: module(*args, **options)
        return call, [("parameter", f), *data]
    if len(data) > 1 and not isinstance(inputs[0], tuple) and not _leaf(inputs[0]):
        data[0] = ("parameter", inputs[0])
    return partial(f, **options), data


def _linen(module, inputs, options, data):
    key = jax.random.key(0)
    variables = dict(jax.eval_shape(partial(module.init, **options), key, *inputs))
    own = [("parameter", variables.pop("params", {})), ("state", variables)]

    def call(params, state, *args):
        return module.apply({"params": params, **state}, *args, **options)

    return call, own + data


def _learned(tree) -> list[bool]:
    """For each leaf whether it may be learned: of variables of flax.nnx only `Param`."""
    kinds = lambda node: {kind.__name__ for kind in type(node).__mro__}
    variable = lambda node: "Variable" in kinds(node)
    learned = []
    for node in jax.tree.leaves(tree, is_leaf=variable):
        may = not variable(node) or "Param" in kinds(node)
        learned += [may] * len(jax.tree.leaves(node))
    return learned


def _keys(path) -> Path:
    """The keys of a path as text; numbers in brackets, as they are written in Python."""
    names = []
    for key in path:
        name = jax.tree_util.keystr((key,), simple=True)
        names.append(f"[{name}]" if isinstance(key, jax.tree_util.SequenceKey) else name)
    return tuple(names[:-1] if names[-1:] == ["value"] else names)  # of a flax.nnx.Param


def _leaf(x) -> bool:
    return jax.tree_util.treedef_is_leaf(jax.tree.structure(x))


def _floating(aval) -> bool:
    return jnp.issubdtype(aval.dtype, jnp.inexact)
