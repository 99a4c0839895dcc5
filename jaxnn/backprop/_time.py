r"""Recurrent layers step by step: backpropagation through time, with a delta for every step.

The blocks themselves run whole sequences; here the same is written out, in the formulas of
`layers.sequences` and `layers.cells`. In a formula `<h>` is h of the step, `<h->` that of the
step before and `<h+>` that of the step after.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxnn.activations import sigmoid, sigmoid_grad, tanh_grad

# The longest sequence of which every step is printed.
STEPS = 6


class Line(NamedTuple):
    """One row per step.

    Attributes:
        name: what is computed.
        rule: how.
        terms: the same with arrays, by their names, to put numbers in.
        last: the rule of the last step, to which no later one gives anything.
    """

    name: str
    rule: str
    terms: tuple[str, ...] = ()
    last: str | None = None


class Cell(NamedTuple):
    """A recurrent cell, written out.

    Attributes:
        gates: the letters of the gates that stand side by side in its kernels.
        run: `run(params, xs, g)`, its values and cotangents in all steps, time first.
        forward: lines of a step.
        backward: likewise.
        delta: what meets `W` in the backward pass.
        state: what meets `U`.
    """

    gates: str
    run: Any
    forward: tuple[Line, ...]
    backward: tuple[Line, ...]
    delta: str
    state: str


def _affine(params, name, x):
    y = x @ params[name]["kernel"]
    return y + params[name]["bias"] if "bias" in params[name] else y


def _zeros(params, xs):
    return jnp.zeros((xs.shape[1], params["dense_h"]["kernel"].shape[0]), xs.dtype)


def _split(a, gates):
    return dict(zip(gates, jnp.split(a, len(gates), -1), strict=True))


def _simple_rnn(params, xs, g) -> dict[str, Array]:
    kernel = params["dense_h"]["kernel"]

    def step(h, x):
        z = _affine(params, "dense_i", x) + _affine(params, "dense_h", h)
        return jnp.tanh(z), {"z": z, "z_all": z, "h": jnp.tanh(z), "h-": h}

    def back(in_h, at):
        dh = at["G"] + in_h
        delta = dh * tanh_grad(at["z"])
        return delta @ kernel.T, {"dh": dh, "slope": tanh_grad(at["z"]), "delta": delta}

    _, forward = lax.scan(step, _zeros(params, xs), xs)
    forward |= {"x": xs, "G": g}
    _, backward = lax.scan(back, _zeros(params, xs), forward, reverse=True)
    return forward | backward | {"state": backward["delta"]}


def _gru(params, xs, g) -> dict[str, Array]:
    kernel = params["dense_h"]["kernel"]

    def step(h, x):
        u = _split(_affine(params, "dense_i", x), "rzn")
        v = _split(_affine(params, "dense_h", h), "rzn")
        r, z = sigmoid(u["r"] + v["r"]), sigmoid(u["z"] + v["z"])
        a = jnp.concatenate([u["r"] + v["r"], u["z"] + v["z"], u["n"] + r * v["n"]], -1)
        n = jnp.tanh(u["n"] + r * v["n"])
        new = (1 - z) * n + z * h
        made = {"r": r, "z": z, "n": n, "keep": 1 - z, "v": v["n"], "z_all": a, "h": new, "h-": h}
        return new, made

    def back(in_h, at):
        a, dh = _split(at["z_all"], "rzn"), at["G"] + in_h
        dn = dh * (1 - at["z"]) * tanh_grad(a["n"])
        dz = dh * (at["h-"] - at["n"]) * sigmoid_grad(a["z"])
        dr = dn * at["v"] * sigmoid_grad(a["r"])
        state = jnp.concatenate([dr, dz, at["r"] * dn], -1)
        made = {"dh": dh, "dn": dn, "dz": dz, "dr": dr, "state": state}
        return state @ kernel.T + at["z"] * dh, made

    _, forward = lax.scan(step, _zeros(params, xs), xs)
    forward |= {"x": xs, "G": g}
    _, made = lax.scan(back, _zeros(params, xs), forward, reverse=True)
    delta = jnp.concatenate([made["dr"], made["dz"], made["dn"]], -1)
    return forward | made | {"delta": delta}


def _lstm(params, xs, g) -> dict[str, Array]:
    kernel = params["dense_h"]["kernel"]

    def step(carry, x):
        c, h = carry
        a = _affine(params, "dense_i", x) + _affine(params, "dense_h", h)
        at = _split(a, "ifgo")
        at = {name: jnp.tanh(v) if name == "g" else sigmoid(v) for name, v in at.items()}
        new_c = at["f"] * c + at["i"] * at["g"]
        new_h = at["o"] * jnp.tanh(new_c)
        made = {"z_all": a, "c": new_c, "h": new_h, "c-": c, "h-": h, "tanh": jnp.tanh(new_c)}
        return (new_c, new_h), made | at

    def back(carry, at):
        (in_c, in_h), a = carry, _split(at["z_all"], "ifgo")
        dh = at["G"] + in_h
        dc = in_c + dh * at["o"] * tanh_grad(at["c"])
        made = {
            "di": dc * at["g"] * sigmoid_grad(a["i"]),
            "df": dc * at["c-"] * sigmoid_grad(a["f"]),
            "dg": dc * at["i"] * tanh_grad(a["g"]),
            "do": dh * at["tanh"] * sigmoid_grad(a["o"]),
        }
        delta = jnp.concatenate(list(made.values()), -1)
        made |= {"dh": dh, "dc": dc, "delta": delta}
        return (dc * at["f"], delta @ kernel.T), made

    start = _zeros(params, xs), _zeros(params, xs)
    _, forward = lax.scan(step, start, xs)
    forward |= {"x": xs, "G": g}
    _, backward = lax.scan(back, start, forward, reverse=True)
    return forward | backward | {"state": backward["delta"]}


def _gate(name, f=r"\sigma") -> Line:
    return Line(name, rf"{f}(<x> <W{name}> + <b{name}> + <h-> <U{name}>)")


CELLS = {
    "simple_rnn": Cell(
        "", _simple_rnn,
        (
            Line("z", "<x> <W> + <b> + <h-> <U>", ("x", "W", "+", "b", "+", "h-", "U")),
            Line("h", r"\tanh(<z>)"),
        ),
        (
            Line("dh", r"<G> + <delta+> <U>^{\top}", ("G", "+", "delta+", "U^T"), "<G>"),
            Line("delta", r"<dh> \odot (1 - <h>^{2})", ("dh", r"\odot", "slope")),
        ),
        "<delta>", "<delta>",
    ),
    "gru": Cell(
        "rzn", _gru,
        (
            _gate("r"), _gate("z"),
            Line("n", r"\tanh(<x> <Wn> + <bn> + <r> \odot <h-> <Un>)"),
            Line("h", r"(1 - <z>) \odot <n> + <z> \odot <h->",
                 ("keep", r"\odot", "n", "+", "z", r"\odot", "h-")),
        ),
        (
            Line("dh", r"<G> + <z+> \odot <dh+> + (<dr+>, <dz+>, <r+> \odot <dn+>) <U>^{\top}",
                 last="<G>"),
            Line("dn", r"<dh> \odot (1 - <z>) \odot (1 - <n>^{2})"),
            Line("dz", r"<dh> \odot (<h-> - <n>) \odot <z> \odot (1 - <z>)"),
            Line("dr", r"<dn> \odot <h-> <Un> \odot <r> \odot (1 - <r>)"),
        ),
        "(<dr>, <dz>, <dn>)", r"(<dr>, <dz>, <r> \odot <dn>)",
    ),
    "lstm": Cell(
        "ifgo", _lstm,
        (
            _gate("i"), _gate("f"), _gate("g", r"\tanh"), _gate("o"),
            Line("c", r"<f> \odot <c-> + <i> \odot <g>",
                 ("f", r"\odot", "c-", "+", "i", r"\odot", "g")),
            Line("h", r"<o> \odot \tanh(<c>)", ("o", r"\odot", "tanh")),
        ),
        (
            Line("dh", r"<G> + (<di+>, <df+>, <dg+>, <do+>) <U>^{\top}", last="<G>"),
            Line("dc", r"<dh> \odot <o> \odot (1 - \tanh^{2}(<c>)) + <f+> \odot <dc+>",
                 last=r"<dh> \odot <o> \odot (1 - \tanh^{2}(<c>))"),
            Line("di", r"<dc> \odot <g> \odot <i> \odot (1 - <i>)"),
            Line("df", r"<dc> \odot <c-> \odot <f> \odot (1 - <f>)"),
            Line("dg", r"<dc> \odot <i> \odot (1 - <g>^{2})"),
            Line("do", r"<dh> \odot \tanh(<c>) \odot <o> \odot (1 - <o>)"),
        ),
        "(<di>, <df>, <dg>, <do>)", "(<di>, <df>, <dg>, <do>)",
    ),
}  # fmt: skip


class Unrolled(NamedTuple):
    """A recurrent layer in all of its steps.

    Attributes:
        cell: which.
        arrays: by name, `[time, sequences, ...]`, in the order in which the steps are taken.
        params: `W`, `U`, `b` and those of each gate.
    """

    cell: Cell
    arrays: dict[str, Array]
    params: dict[str, Array]


def unrolled(kind: str, params: Any, xs: Array, g: Array, reverse: bool) -> Unrolled:
    """Runs a recurrent layer step by step, forward and backward."""
    first = lambda a: jnp.moveaxis(a.reshape(-1, *a.shape[-2:]), 1, 0)
    xs, g = (first(a)[::-1] if reverse else first(a) for a in (xs, g))
    cell = CELLS[kind]
    own = {"W": params["dense_i"]["kernel"], "U": params["dense_h"]["kernel"]}
    for part in params.values():
        own |= {"b": part["bias"]} if "bias" in part else {}
    for name in list(own):
        if cell.gates:
            own |= {f"{name}{gate}": a for gate, a in _split(own[name], cell.gates).items()}
    return Unrolled(cell, jax.jit(cell.run)(params, xs, g), own)
