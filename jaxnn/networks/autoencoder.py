"""Autoencoders: plain, convolutional and variational.

    x -> encoder -> code -> decoder -> reconstruction

A denoising autoencoder is the plain one, trained on `(noisy, clean)` pairs.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxnn import _checks
from jaxnn.activations import relu
from jaxnn.initializers import Initializer, he_normal
from jaxnn.layers import conv, conv_init, conv_transpose, conv_transpose_init, dense, dense_init
from jaxnn.networks._network import Params, check_image, check_sizes, named, split
from jaxnn.networks.mlp import mlp

__all__ = ["Autoencoder", "autoencoder", "convolutional_autoencoder", "variational_autoencoder"]


class Autoencoder(NamedTuple):
    """A `Network` whose two halves can be applied by themselves.

    Attributes:
        init: `init(key) -> params`, `{"encoder": ..., "decoder": ...}`.
        apply: `apply(params, x, *, key=None) -> reconstruction`; of a variational one also the
            mean and log variance of the code.
        encode: `encode(params, x) -> code`; of a variational one its mean and log variance.
        decode: `decode(params, code) -> reconstruction`.
    """

    init: Callable[[Array], Params]
    apply: Callable[..., Any]
    encode: Callable[..., Any]
    decode: Callable[..., Array]


def autoencoder(
    sizes: Sequence[int],
    *,
    activation: Callable[[Array], Array] = relu,
    kernel_init: Initializer = he_normal(),
    dropout_rate: float = 0.0,
) -> Autoencoder:
    r"""An autoencoder of dense layers; the decoder is the encoder in reverse.

    \( \hat x = D(E(x)) \), trained so that \( \hat x \) is near x though the code has fewer
    features. With two sizes and `activations.linear` everything is linear, and the best it can
    do is principal component analysis.

    Args:
        sizes: features of the input, of each hidden layer and of the code.
        activation: the function between layers, elementwise; code and reconstruction are
            affine.
        kernel_init: how to draw the kernels.
        dropout_rate: fraction of hidden activations zeroed when `apply` gets a key.

    Returns:
        The network; inputs and reconstructions `[..., sizes[0]]`, codes `[..., sizes[-1]]`.

    Raises:
        ValueError: if `sizes` names fewer than two sizes or one that is not positive.
        TypeError: if `activation` is not a function.

    Example:
        >>> net = autoencoder([64, 32, 2])
        >>> params = net.init(jax.random.key(0))
        >>> code = net.encode(params, jnp.ones((5, 64)))
        >>> code.shape, net.decode(params, code).shape
        ((5, 2), (5, 64))

    Reference:
        Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks",
        Science 2006; Vincent et al., "Extracting and composing robust features with denoising
        autoencoders", ICML 2008.
    """
    check_sizes("autoencoder", sizes, activation, dropout_rate)
    encoder, decoder = (
        mlp(way, activation=activation, kernel_init=kernel_init, dropout_rate=dropout_rate)
        for way in (sizes, sizes[::-1])
    )

    def apply(params: Params, x: Array, *, key: Array | None = None) -> Array:
        first, second = split(key, 2)
        code = named(encoder.apply, params, "encoder", x, key=first)
        return named(decoder.apply, params, "decoder", code, key=second)

    return _halves(encoder, decoder, apply)


def convolutional_autoencoder(
    image_shape: Sequence[int],
    channels: Sequence[int],
    code: int,
    *,
    kernel_size: int = 3,
    activation: Callable[[Array], Array] = relu,
    kernel_init: Initializer = he_normal(),
) -> Autoencoder:
    """An autoencoder for images: convolutions halve the image, transposed ones double it.

    Args:
        image_shape: `(height, width, channels)`; each side must be divisible by 2 as often as
            there are entries in `channels`.
        channels: features of each convolution of the encoder.
        code: features of the code, between two dense layers.
        kernel_size: taps along each axis.
        activation: the function after each convolution but the last, elementwise.
        kernel_init: how to draw the kernels.

    Returns:
        The network; inputs and reconstructions `[..., height, width, channels]`, codes
        `[..., code]`.

    Raises:
        ValueError: if a size is not positive or a side can't be halved.
        TypeError: if `activation` is not a function.

    Example:
        >>> net = convolutional_autoencoder((8, 8, 1), [8, 16], 4)
        >>> params = net.init(jax.random.key(0))
        >>> net.apply(params, jnp.ones((3, 8, 8, 1))).shape
        (3, 8, 8, 1)

    Reference:
        Masci, Meier, Cireşan and Schmidhuber, "Stacked convolutional auto-encoders for
        hierarchical feature extraction", ICANN 2011.
    """
    name = "convolutional_autoencoder"
    height, width, features = check_image(name, image_shape)
    _checks.sizes(name, code=code, kernel_size=kernel_size)
    _checks.sizes(name, **{f"channels[{i}]": n for i, n in enumerate(channels)})
    _checks.function(name, activation=activation)
    depth, shrink = len(channels), 2 ** len(channels)
    if height % shrink or width % shrink:
        raise ValueError(
            f"{name}: each side of the image must be divisible by {shrink}, got "
            f"{(height, width)}. Pad the image, or pass fewer channels."
        )
    inputs = [features, *channels]
    small = (height // shrink, width // shrink, inputs[-1])
    flat = small[0] * small[1] * small[2]
    window = (kernel_size, kernel_size)

    def init(key: Array) -> Params:
        keys = iter(jax.random.split(key, 2 * depth + 2))
        pairs = list(pairwise(inputs))
        encoder = {
            f"conv_{i}": conv_init(next(keys), window, a, b, kernel_init)
            for i, (a, b) in enumerate(pairs)
        }
        decoder = {
            f"conv_{i}": conv_transpose_init(next(keys), window, b, a, kernel_init)
            for i, (a, b) in enumerate(reversed(pairs))
        }
        encoder["dense"] = dense_init(next(keys), flat, code, kernel_init)
        decoder["dense"] = dense_init(next(keys), code, flat, kernel_init)
        return {"encoder": encoder, "decoder": decoder}

    def encode(params: Params, x: Array) -> Array:
        at = params["encoder"]
        with jax.named_scope("encoder"):
            for i in range(depth):
                x = activation(named(conv, at, f"conv_{i}", x, 2))
            return named(dense, at, "dense", x.reshape(*x.shape[:-3], flat))

    def decode(params: Params, code: Array) -> Array:
        at = params["decoder"]
        with jax.named_scope("decoder"):
            x = named(dense, at, "dense", code)
            x = x.reshape(*x.shape[:-1], *small)
            for i in range(depth):
                x = named(conv_transpose, at, f"conv_{i}", activation(x), 2)
            return x

    def apply(params: Params, x: Array, *, key: Array | None = None) -> Array:
        del key  # nothing is drawn
        return decode(params, encode(params, x))

    return Autoencoder(init, apply, encode, decode)


def variational_autoencoder(
    sizes: Sequence[int],
    *,
    activation: Callable[[Array], Array] = relu,
    kernel_init: Initializer = he_normal(),
) -> Autoencoder:
    r"""A variational autoencoder: the code is a Gaussian, from which the decoder gets a sample.

    .. math:: z = \mu(x) + e^{\frac12 \log\sigma^2(x)} \odot \epsilon, \qquad
              \epsilon \sim N(0, I)

    The noise stands beside the parameters, not between them (the reparametrization), so the
    gradient passes through \( \mu \) and \( \sigma \). Train it to reconstruct, plus
    `losses.gaussian_kl_divergence(mean, log_variance)`.

    Args:
        sizes: features of the input, of each hidden layer and of the code.
        activation: the function between layers, elementwise.
        kernel_init: how to draw the kernels.

    Returns:
        The network. `apply(params, x, *, key=None)` gives `(reconstruction, mean,
        log_variance)`; without a key the mean itself is decoded. `encode` gives `(mean,
        log_variance)`. New data are `decode(params, jax.random.normal(key, [n, sizes[-1]]))`.

    Raises:
        ValueError: if `sizes` names fewer than two sizes or one that is not positive.
        TypeError: if `activation` is not a function.

    Example:
        >>> net = variational_autoencoder([64, 32, 2])
        >>> params = net.init(jax.random.key(0))
        >>> x, mean, log_variance = net.apply(params, jnp.ones((5, 64)), key=jax.random.key(1))
        >>> x.shape, mean.shape, log_variance.shape
        ((5, 64), (5, 2), (5, 2))

    Reference:
        Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014.
    """
    check_sizes("variational_autoencoder", sizes, activation, 0.0)
    both_moments = [*sizes[:-1], 2 * sizes[-1]]
    encoder = mlp(both_moments, activation=activation, kernel_init=kernel_init)
    decoder = mlp(sizes[::-1], activation=activation, kernel_init=kernel_init)

    def encode(params: Params, x: Array) -> tuple[Array, Array]:
        mean, log_variance = jnp.split(named(encoder.apply, params, "encoder", x), 2, -1)
        return mean, log_variance

    def apply(params: Params, x: Array, *, key: Array | None = None):
        mean, log_variance = encode(params, x)
        code = mean
        if key is not None:
            noise = jax.random.normal(key, mean.shape, mean.dtype)
            code = mean + jnp.exp(log_variance / 2) * noise
        return named(decoder.apply, params, "decoder", code), mean, log_variance

    return _halves(encoder, decoder, apply)._replace(encode=encode)


def _halves(encoder, decoder, apply) -> Autoencoder:
    def init(key: Array) -> Params:
        first, second = jax.random.split(key)
        return {"encoder": encoder.init(first), "decoder": decoder.init(second)}

    def encode(params: Params, x: Array) -> Array:
        return named(encoder.apply, params, "encoder", x)

    def decode(params: Params, code: Array) -> Array:
        return named(decoder.apply, params, "decoder", code)

    return Autoencoder(init, apply, encode, decode)
