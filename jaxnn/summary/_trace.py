"""From a function or network, and examples of its inputs, to a jaxpr whose steps are tagged.

A tag is one more named scope around each step, `@17`. JAX keeps scopes when it differentiates,
so every step of the backward pass says to which step of the forward pass it belongs.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.extend import core

Path = tuple[str, ...]


class Argument(NamedTuple):
    """One array among the arguments.

    Attributes:
        role: `"parameter"`, `"state"`, `"input"`, or `"random"` for a key among the options.
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
        captured: arrays of floating point numbers that the function holds itself.
    """

    jaxpr: Any
    arguments: list[Argument]
    captured: list[Any]

    @property
    def parameters(self) -> list[int]:
        """Which arguments are parameters."""
        return [i for i, a in enumerate(self.arguments) if a.role == "parameter"]


def trace(caller: str, f: Any, inputs: Sequence, options: dict) -> Trace:
    """Traces a network, a Flax module, a callable pytree of arrays, or a plain function.

    Nothing is computed: parameters that must be made are made by `jax.eval_shape`.
    """
    call, trees = _opened(caller, f, inputs, options)
    flat, shapes = _flat(call, [tree for _, tree in trees])
    closed = jax.make_jaxpr(flat)(*shapes)
    arguments = []
    for role, tree in trees:
        found = jax.tree_util.tree_leaves_with_path(tree)
        for (path, leaf), learned in zip(found, _learned(tree), strict=True):
            if hasattr(leaf, "dtype"):
                # What can't be learned by gradients, such as a count, is state.
                fixed = role == "parameter" and not (learned and _floating(leaf))
                given = _option(leaf) if role == "option" else role
                aval = closed.in_avals[len(arguments)]
                arguments.append(Argument("state" if fixed else given, _keys(path), aval))
    tags = (f"@{i}" for i in itertools.count())
    return Trace(closed.replace(jaxpr=_tagged(closed.jaxpr, tags)), arguments, _captured(closed))


def _flat(call, trees):
    """The same function of the arrays in some trees, and their shapes.

    Numbers and functions among the leaves stay as they are.
    """
    leaves, structure = jax.tree.flatten(trees)
    arrays = [i for i, leaf in enumerate(leaves) if hasattr(leaf, "dtype")]

    def flat(*given):
        full = list(leaves)
        for i, leaf in zip(arrays, given, strict=True):
            full[i] = leaf
        return call(*jax.tree.unflatten(structure, full))

    return flat, jax.eval_shape(lambda *x: x, *(leaves[i] for i in arrays))


def _option(leaf) -> str:
    """What an array among the options is: a mask is data, a key of random numbers none."""
    key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) or leaf.dtype == jnp.uint32
    return "random" if key else "input"


def _captured(closed) -> list[Any]:
    """Parameters as likely as not; tables that JAX or a library keeps are NumPy's."""
    found = {id(x): x for x in _constants(closed) if isinstance(x, jax.Array) and x.ndim}
    return [x for x in found.values() if _floating(x)]


def _constants(value):
    """All constants of a jaxpr, those of inner ones too."""
    if isinstance(value, core.ClosedJaxpr):
        yield from value.consts
        value = value.jaxpr
    if isinstance(value, core.Jaxpr):
        value = tuple(param for step in value.eqns for param in step.params.values())
    if type(value) is tuple:
        for item in value:
            yield from _constants(item)


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
    """A function of trees, and these trees by their roles; the last are the options."""
    data = [*(("input", x) for x in inputs), ("option", options)]
    if hasattr(f, "init") and hasattr(f, "apply"):
        _refuse_shapes(caller, inputs)
        if not isinstance(f, tuple):
            return _linen(f, inputs, options)
        f = cast(Any, f)
        made = jax.eval_shape(f.init, jax.random.key(0))  # of Network, StatefulNetwork and kin
        both = made if isinstance(made, tuple) else (made,)
        own = list(zip(("parameter", "state"), both, strict=False))
        return _with_options(f.apply), own + data
    if not callable(f):
        raise TypeError(
            f"{caller}: f must be a function or a network, got {type(f).__name__}. "
            "Pass what mlp(...) returns, a Flax or Equinox module, or any function of arrays."
        )
    if any(hasattr(leaf, "dtype") for leaf in jax.tree.leaves(f)):  # a module that is a pytree
        _refuse_shapes(caller, inputs)
        call = lambda module, *args, **options: module(*args, **options)
        return _with_options(call), [("parameter", f), *data]
    own = len(inputs) > 1 and not isinstance(inputs[0], tuple) and not _leaf(inputs[0])
    if own:
        data[0] = ("parameter", inputs[0])
    _refuse_shapes(caller, inputs[own:])
    return _with_options(f), data


def _with_options(f):
    return lambda *args: f(*args[:-1], **args[-1])


def _refuse_shapes(caller, inputs):
    """Shapes in place of arrays; beside arrays, numbers are options."""
    if any(hasattr(leaf, "dtype") for leaf in jax.tree.leaves(inputs)):
        return
    for x in inputs:
        leaves = jax.tree.leaves(x)
        if isinstance(x, tuple | list) and leaves and all(type(leaf) is int for leaf in leaves):
            raise TypeError(
                f"{caller}: inputs must be arrays or jax.ShapeDtypeStruct, got the shape {x}. "
                "Pass jax.ShapeDtypeStruct(shape, jnp.float32)."
            )


def _linen(module, inputs, options):
    options = dict(options)
    key = jax.random.key(0)
    rngs, keys = {"params": key, "dropout": key}, options.pop("rngs", {})
    rngs |= keys if isinstance(keys, Mapping) else {"params": keys}
    mutable = options.pop("mutable", None)
    init = lambda args, options: module.init(rngs, *args, **options)
    init, shapes = _flat(init, [tuple(inputs), options])
    variables = dict(jax.eval_shape(init, *shapes))
    params = variables.pop("params", {})

    def call(params, state, rngs, *args, **options):
        given = {"rngs": rngs, "mutable": mutable or list(state), **options}
        return module.apply({"params": params, **state}, *args, **given)[0]

    own = [("parameter", params), ("state", variables), ("option", rngs)]
    data = [*(("input", x) for x in inputs), ("option", options)]
    return _with_options(call), own + data


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
