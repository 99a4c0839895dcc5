"""Every program can be compiled for a CPU, a GPU and a TPU, of which none has to be at hand.

An operation that a platform lacks is found when a program is lowered for it, which takes no
device and compiles nothing.
"""

from functools import partial

import harness
import jax
import jax.numpy as jnp
import pytest
from harness import CASES, cast, each_block
from test_parameters import NETWORKS

from jaxnn import decoding, initializers, losses, metrics, networks, optimizers, training

PLATFORMS = ["cpu", "cuda", "tpu"]
KEY = jax.random.key(0)


def lower(f, *inputs):
    """Lowers `f` in single precision, or fails with what a platform lacks."""
    exported = jax.export.export(jax.jit(f), platforms=PLATFORMS)(*inputs)
    assert list(exported.platforms) == PLATFORMS
    assert "f64" not in exported.mlir_module()


def shaped(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def total(tree):
    """A scalar that depends on every float of a tree."""
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return sum(leaf.mean() for leaf in floats)


def test_what_a_platform_lacks_is_found():
    with pytest.raises(NotImplementedError, match="tpu"):
        lower(jnp.linalg.eig, shaped(3, 3))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_of_training_of_every_network(name):
    """From the key of the parameters to those after one update, and what they predict."""
    net, inputs = NETWORKS[name]
    net = net if isinstance(net, networks.StatefulNetwork) else networks.with_state(net)
    optimizer = optimizers.adam(1e-3)

    def loss_fn(params, state, batch, key):
        y, state = net.apply(params, state, batch, key=key, train=True)
        return total(y), ({}, state)

    step = training.gradient_step(loss_fn, optimizer, has_state=True)

    def program(key, batch):
        params, statistics = net.init(key)
        state = training.TrainState(params, optimizer.init(params), statistics)
        state, measured = step(state, batch, key)
        return measured, net.apply(state.params, state.statistics, batch)

    lower(program, KEY, inputs)


@pytest.mark.slow
@pytest.mark.parametrize("f", each_block())
def test_every_block_its_closed_form_and_the_gradient_that_is_installed(f):
    for case in (case for case in CASES[f] if not case.edge):
        args = cast(case.args, jnp.float32)
        pick, rebuild = harness.closing(args)

        def program(arrays, g, case=case, rebuild=rebuild):
            args = rebuild(arrays)
            at = lambda *chosen: harness.value(f, case, harness.replaced(args, case, chosen))
            y, pull = jax.vjp(at, *harness.chosen(args, case))
            return y, pull(g), harness.pulled_back(f, case, args, g)

        lower(program, pick(args), harness.cotangent(f, case, args))


MLP = networks.mlp([2, 3, 1])
IDS, LENGTHS = shaped(2, 4, dtype=jnp.int32), shaped(2, dtype=jnp.int32)


def fitted(x, y, key):
    """Training with validation, early stopping and a weight decay, as one program."""
    loss_fn = training.supervised(MLP, losses.squared_error, r2=metrics.r2_score)
    optimizer = optimizers.skip_nonfinite(optimizers.adamw(1e-3))
    fit = training.make_fit(loss_fn, optimizer, epochs=2, batch_size=2, patience=1)
    return fit(MLP.init(key), (x, y), (x, y), key=key)


def played(x, key, wasserstein):
    nets, optimizer = (networks.mlp([1, 2]), networks.mlp([2, 1])), optimizers.adam(1e-3)
    options = dict(latent=1, wasserstein=wasserstein, penalty=1.0, critic_steps=2)
    start, step = networks.gan_step(*nets, optimizer, optimizer, **options)
    return step(start(networks.gan(*nets).init(key)), x, key)


def mapped(x, key, make, hexagonal):
    start = networks.som_from_plane((3, 3), x)
    state, _ = make(2, hexagonal=hexagonal)((start, jnp.array(0)), x, key)
    params = state[0]
    errors = networks.quantization_error(params, x), networks.topographic_error(params, x)
    return params, errors, networks.u_matrix(params), networks.som_hits(params, x)


def sampled(key, ids, lengths, prompt):
    sizes = dict(width=4, heads=2, depth=1, length=8)
    decoder, both = networks.transformer(5, **sizes), networks.sequence_to_sequence(5, 5, **sizes)
    options = dict(key=key, temperature=2.0, end=1)
    one = decoder.sample(decoder.init(key), prompt, 3, **options)
    return one, both.sample(both.init(key), (ids, prompt), 3, lengths=lengths, **options)


def decoded(logits, lengths, labels):
    greedy = decoding.ctc_greedy(logits, lengths)
    return greedy, decoding.ctc_beam_search(logits, lengths), metrics.edit_distance(
        greedy[0], labels, greedy[1], lengths
    )  # fmt: skip


def corrected(x, y, key):
    net = networks.perceptron(2)
    params, _ = networks.perceptron_step()(net.init(key), (x, y), key)
    return net.apply(params, x)


def started(key):
    names = set(initializers.__all__) - {"Initializer", "constant", "fans"}
    made = [initializers.constant(0.1), *(getattr(initializers, name)() for name in sorted(names))]
    return [init(key, (3, 3, 2, 4), jnp.float32) for init in made]


def rated(logits, labels):
    scores, parts = logits[:, 0], (metrics.precision, metrics.recall, metrics.f1_score)
    found = [metrics.accuracy(logits, labels), metrics.top_k_accuracy(logits, labels, 2)]
    found += [part(labels, labels, 3, "macro") for part in parts]
    return *found, metrics.roc_auc(scores, labels % 2), metrics.perplexity(scores)


SOM, X = {"x": shaped(6, 3), "key": KEY}, shaped(4, 2)
PROGRAMS = {
    "batch of a map": (partial(mapped, make=networks.som_batch_step, hexagonal=True), SOM),
    "decoding of CTC": (decoded, dict(logits=shaped(2, 4, 3), lengths=LENGTHS, labels=IDS)),
    "fit": (fitted, dict(x=X, y=shaped(4, 1), key=KEY)),
    "game": (partial(played, wasserstein=False), dict(x=X, key=KEY)),
    "initializers": (started, dict(key=KEY)),
    "map": (partial(mapped, make=networks.som_step, hexagonal=False), SOM),
    "metrics": (rated, dict(logits=shaped(4, 3), labels=shaped(4, dtype=jnp.int32))),
    "perceptron": (corrected, dict(x=X, y=shaped(4), key=KEY)),
    "radial basis": (
        partial(networks.rbf_fit, centers=3), dict(key=KEY, x=X, targets=shaped(4, 1))),
    "sampling": (sampled, dict(key=KEY, ids=IDS, lengths=LENGTHS, prompt=IDS)),
    "triplets": (
        partial(networks.sample_triplets, count=4),
        dict(key=KEY, labels=shaped(4, dtype=jnp.int32))),
    "Wasserstein": (partial(played, wasserstein=True), dict(x=X, key=KEY)),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_that_train_decode_and_measure(name):
    f, inputs = PROGRAMS[name]
    lower(lambda inputs: f(**inputs), inputs)
