"""How well made data can be told from real ones, and a mixture of Gaussians as a peer."""

import numpy as np
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors


def told_apart(real, made):
    """How often the nearest other sample is of the same kind, less a half: 0 is not at all."""
    both, kinds = np.concatenate([real, made]), np.arange(2 * len(real)) < len(real)
    nearest = NearestNeighbors(n_neighbors=1).fit(both).kneighbors(return_distance=False)[:, 0]
    return abs((kinds == kinds[nearest]).mean() - 0.5)


def mixtures(train, test, seed):
    """The same of 30 Gaussians, with scikit-learn's and with a tuned smoothing of covariances."""
    peers = {"Gaussian mixture": 1e-6, "Gaussian mixture, smoothed": 1e-3}
    for name, noise in peers.items():
        mixture = GaussianMixture(30, reg_covar=noise, random_state=seed).fit(train)
        peers[name] = told_apart(test, mixture.sample(len(test))[0])
    return peers
