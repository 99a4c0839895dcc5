r"""Generative adversarial networks: a generator and a discriminator that play a game.

The discriminator D gives a score to data x and to what the generator makes of noise, G(z).

Non-saturating: D is a classifier, and each side minimizes its own logistic loss,

.. math:: L_D = E[\mathrm{softplus}(-D(x)) + \mathrm{softplus}(D(G(z)))], \qquad
          L_G = E[\mathrm{softplus}(-D(G(z)))]

\( L_G \) is not \( -L_D \): its slope in the score is \( -\sigma(-D) \), near -1 exactly where
D is sure of a fake, where that of the zero-sum game vanishes. Left alone the two go round each
other; a penalty on the slope of D at the data (R1), \( \frac{\lambda}{2} E[\lVert \nabla_x D(x)
\rVert^2] \), damps that: it pulls D towards a constant, which is where the game ends.

Wasserstein, with gradient penalty: D is a critic, whose scores estimate a distance if its slope
is 1 between data and fakes,

.. math:: L_D = E[D(G(z)) - D(x)] + \lambda E[(\lVert \nabla_{\hat x} D(\hat x) \rVert - 1)^2],
          \qquad L_G = -E[D(G(z))]

with \( \hat x \) anywhere on the line from x to G(z). The gradient of a penalty in the
parameters is a second derivative of D, which JAX takes as it takes any other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxnn import _checks
from jaxnn.activations import softplus
from jaxnn.networks._network import Network, named

__all__ = ["GANState", "gan", "gan_step"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GANState:
    """What changes while a pair of networks trains.

    Attributes:
        params: `{"generator": ..., "discriminator": ...}`.
        opt_state: the states of the two optimizers, under the same names.
        average: running average of the generator's parameters, which makes the better
            samples: the game goes round its balance, and the average is near it.
    """

    params: dict[str, Any]
    opt_state: dict[str, Any]
    average: Any


def gan(generator: Network, discriminator: Network) -> Network:
    """A generator and the discriminator that judges it, as one network.

    Args:
        generator: noise `[batch, latent]` to data.
        discriminator: data to scores, `[batch, 1]`.

    Returns:
        A network with parameters `{"generator": ..., "discriminator": ...}`; applied to noise
        it gives what the generator makes of it.

    Raises:
        TypeError: if one of them is not a `Network`.

    Example:
        >>> from jaxnn.networks import mlp
        >>> net = gan(mlp([2, 8, 3]), mlp([3, 8, 1]))
        >>> params = net.init(jax.random.key(0))
        >>> net.apply(params, jax.random.normal(jax.random.key(1), (5, 2))).shape
        (5, 3)

    Reference:
        Goodfellow et al., "Generative adversarial nets", NeurIPS 2014.
    """
    _networks("gan", generator=generator, discriminator=discriminator)

    def init(key: Array) -> dict[str, Any]:
        first, second = jax.random.split(key)
        return {"generator": generator.init(first), "discriminator": discriminator.init(second)}

    def apply(params: dict[str, Any], noise: Array, *, key: Array | None = None) -> Array:
        return named(generator.apply, params, "generator", noise, key=key)

    return Network(init, apply)


def gan_step(
    generator: Network,
    discriminator: Network,
    generator_optimizer: optax.GradientTransformation,
    discriminator_optimizer: optax.GradientTransformation,
    *,
    latent: int,
    wasserstein: bool = False,
    penalty: float | None = None,
    critic_steps: int = 1,
    average_decay: float = 0.999,
) -> tuple[Callable[[Any], GANState], Callable]:
    r"""Adversarial training, as a step for `training.run`.

    Each step updates the discriminator `critic_steps` times, on that many equal parts of the
    batch, and then the generator once.

    Args:
        generator: noise `[batch, latent]` to data.
        discriminator: data to scores, `[batch, 1]`.
        generator_optimizer: any Optax transformation.
        discriminator_optimizer: any Optax transformation.
        latent: features of the noise, which is standard normal.
        wasserstein: whether to play for the Wasserstein distance, with gradient penalty.
        penalty: weight \( \lambda \) of the gradient penalty: by default 10 for the Wasserstein
            distance; none otherwise, where it is R1.
        critic_steps: updates of the discriminator for one of the generator.
        average_decay: weight of the past in the running average of the generator.

    Returns:
        `(start, step)`: `start(params) -> GANState` for the parameters of `gan`, and
        `step(state, batch, key) -> (state, metrics)`, the metrics being both losses.

    Raises:
        ValueError: if a count is not positive, `penalty` is negative, `average_decay` is
            outside [0, 1], or the batch can't be divided into `critic_steps` parts.
        TypeError: if a network or optimizer is of another kind.

    Example:
        >>> from jaxnn import optimizers, training
        >>> from jaxnn.networks import mlp
        >>> nets = mlp([2, 8, 1]), mlp([1, 8, 1])
        >>> start, step = gan_step(*nets, optimizers.adam(1e-3), optimizers.adam(1e-3), latent=2)
        >>> state = start(gan(*nets).init(jax.random.key(0)))
        >>> state, history, _ = training.run(
        ...     step, state, jnp.ones((64, 1)), key=jax.random.key(1), epochs=2, batch_size=16)
        >>> sorted(history)
        ['discriminator_loss', 'generator_loss']

    Reference:
        Goodfellow et al., "Generative adversarial nets", NeurIPS 2014; Gulrajani, Ahmed,
        Arjovsky, Dumoulin and Courville, "Improved training of Wasserstein GANs", NeurIPS 2017;
        Mescheder, Geiger and Nowozin, "Which training methods for GANs do actually converge?",
        ICML 2018.
    """
    _networks("gan_step", generator=generator, discriminator=discriminator)
    _checks.sizes("gan_step", latent=latent, critic_steps=critic_steps)
    average_decay = _checks.probability("gan_step", average_decay=average_decay)
    weight = _checks.non_negative("gan_step", penalty=10.0 if penalty is None else penalty)
    optimizers = {"generator": generator_optimizer, "discriminator": discriminator_optimizer}
    for name, optimizer in optimizers.items():
        if not isinstance(optimizer, optax.GradientTransformation):
            raise TypeError(
                f"gan_step: {name}_optimizer must be an Optax transformation, got "
                f"{type(optimizer).__name__}. Pass one of jaxnn.optimizers or an optax chain."
            )

    def start(params):
        opt_state = {name: optimizers[name].init(params[name]) for name in optimizers}
        return GANState(params, opt_state, params["generator"])

    def made(params, size, key):
        first, second = jax.random.split(key)
        dtype = jax.tree.leaves(params)[0].dtype
        return generator.apply(params, jax.random.normal(first, (size, latent), dtype), key=second)

    def judged(params, x, key):
        return discriminator.apply(params, x, key=key)[..., 0]

    def discriminator_loss(params, fixed, real, key):
        keys = jax.random.split(key, 4)
        fake, score = made(fixed, len(real), keys[0]), lambda x: judged(params, x, keys[1])
        on_real, on_fake = score(real), score(fake)
        if wasserstein:
            # Kept off zero, where the root has no derivative.
            slope = jnp.sqrt(_squared_slopes(score, _between(keys[2], real, fake)) + 1e-12)
            return (on_fake - on_real + weight * (slope - 1) ** 2).mean()
        loss = softplus(-on_real) + softplus(on_fake)
        if penalty is not None:
            loss = loss + weight / 2 * _squared_slopes(score, real)
        return loss.mean()

    def generator_loss(params, fixed, size, key):
        first, second = jax.random.split(key)
        scores = judged(fixed, made(params, size, first), second)
        return -scores.mean() if wasserstein else softplus(-scores).mean()

    def updated(name, params, opt_state, grads):
        updates, new = optimizers[name].update(grads, opt_state[name], params[name])
        moved = optax.apply_updates(params[name], updates)
        return params | {name: moved}, opt_state | {name: new}

    def step(state: GANState, batch: Array, key: Array):
        parts = _parts(batch, critic_steps)
        first, second = jax.random.split(key)

        def criticize(at, inputs):
            part, key = inputs
            gradient = jax.value_and_grad(discriminator_loss)
            params, opt_state = at
            loss, grads = gradient(params["discriminator"], params["generator"], part, key)
            return updated("discriminator", params, opt_state, grads), loss

        inputs = parts, jax.random.split(first, critic_steps)
        at, losses = jax.lax.scan(criticize, (state.params, state.opt_state), inputs)
        params, opt_state = at
        gradient = jax.value_and_grad(generator_loss)
        at = params["generator"], params["discriminator"]
        loss, grads = gradient(*at, parts.shape[1], second)
        params, opt_state = updated("generator", params, opt_state, grads)
        average = optax.incremental_update(params["generator"], state.average, 1 - average_decay)
        metrics = {"discriminator_loss": losses.mean(), "generator_loss": loss}
        return GANState(params, opt_state, average), metrics

    return start, step


def _squared_slopes(score, x):
    """Squared lengths of the gradient of the scores, one for each row of x."""
    slopes = jax.grad(lambda x: score(x).sum())(x)
    return (slopes.reshape(len(x), -1) ** 2).sum(-1)


def _between(key, real, fake):
    """A random point on the line from each of the data to a fake."""
    share = jax.random.uniform(key, (len(real), *(1,) * (real.ndim - 1)), real.dtype)
    return share * real + (1 - share) * fake


def _parts(batch, count):
    if len(batch) % count:
        raise ValueError(
            f"gan_step: the batch must be divisible by critic_steps, got {len(batch)} examples "
            f"and {count} steps. Pass a batch_size that is a multiple of {count}."
        )
    return batch.reshape(count, -1, *batch.shape[1:])


def _networks(function, **networks):
    for name, network in networks.items():
        if not isinstance(network, Network):
            raise TypeError(
                f"{function}: {name} must be a Network, got {type(network).__name__}. "
                "Pass what mlp(...) or cnn(...) returns."
            )
