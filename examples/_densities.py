"""Densities of handwritten digits, in bits per pixel.

A grey level is spread evenly over its unit, so that a density says how many bits a digit takes.
"""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import GaussianMixture

LEVELS = 16


def spread(key, levels):
    """Grey levels, each at a random place of its unit, as shades from 0 to about 1."""
    return (levels + jax.random.uniform(key, levels.shape)) / LEVELS


def log_normal(x, mean=0.0, log_variance=0.0):
    """Logarithm of the density of a Gaussian with independent entries, by default the standard."""
    squares = (x - mean) ** 2 * jnp.exp(-log_variance)
    return -0.5 * (squares + log_variance + jnp.log(2 * jnp.pi)).sum(-1)


def bits(log_likelihood, pixels=64):
    """Bits per pixel, of the mean logarithm of the density of images."""
    return float(np.log(LEVELS) - log_likelihood / pixels) / np.log(2)


def bits_at_most(log_ratio, key, samples=256):
    """Bits per pixel where `log_ratio(key)` is log p(x, z) / q(z | x) for a sample z of q."""
    ratios = jax.lax.map(log_ratio, jax.random.split(key, samples))
    return bits((jax.nn.logsumexp(ratios, 0) - jnp.log(samples)).mean())


def others(train, test, factors):
    """Bits per pixel of factor analysis and of ten Gaussians; the first restores images too."""
    analysis = FactorAnalysis(factors).fit(train)
    mixture = GaussianMixture(10, reg_covar=1e-3, random_state=0).fit(train)
    peers = {"factor analysis": analysis, "ten Gaussians": mixture}
    restored = analysis.transform(test) @ analysis.components_ + analysis.mean_
    return {name: bits(peer.score(test)) for name, peer in peers.items()}, restored
