"""How well made data can be told from real ones, and a mixture of Gaussians as a peer."""

import numpy as np
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

DRAWS = 10  # of as many samples as there are real ones: a single one is off by a hundredth


def told_apart(real, made):
    """How often the nearest other sample is of the same kind, less a half: 0 is not at all."""
    draws = np.split(np.asarray(made), DRAWS)
    return abs(np.mean([_same_kind(real, draw) for draw in draws]) - 0.5)


def others(train, test, seed):
    """The same of 30 Gaussians, with scikit-learn's and with a tuned smoothing of covariances.

    And of samples drawn again from those that all learn from, of which some come twice.
    """
    rng, found = np.random.default_rng(seed), {}
    for name, noise in {"Gaussian mixture": 1e-6, "Gaussian mixture, smoothed": 1e-3}.items():
        mixture = GaussianMixture(30, reg_covar=noise, random_state=seed).fit(train)
        made = mixture.sample(DRAWS * len(test))[0]  # one Gaussian after the other
        found[name] = told_apart(test, rng.permutation(made))
    again = np.asarray(train)[rng.integers(len(train), size=DRAWS * len(test))]
    return found | {"drawn again": told_apart(test, again)}


def _same_kind(real, made):
    both, kinds = np.concatenate([real, made]), np.arange(2 * len(real)) < len(real)
    nearest = NearestNeighbors(n_neighbors=1).fit(both).kneighbors(return_distance=False)[:, 0]
    return (kinds == kinds[nearest]).mean()
