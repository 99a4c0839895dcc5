"""Classify wines and tumours with a radial basis function network, and interpolate with one.

Trained by stages, without gradients, in ten folds that run as one compiled program each. A
support vector machine with Gaussian kernel has the same folds.
"""

from functools import partial

import _shared
import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import RBFInterpolator
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from jaxnn import plots
from jaxnn.networks import rbf_fit, rbf_interpolate, rbf_network

CENTERS = 80


def main():
    options = _shared.start(__doc__)
    fit = jax.jit(partial(rbf_fit, centers=CENTERS, overlap=4.0, ridge=1e-3, steps=20))
    for name, load in [("wine", load_wine), ("breast cancer", load_breast_cancer)]:
        x, y = load(return_X_y=True)
        folds = StratifiedKFold(10, shuffle=True, random_state=options.seed)
        network, scores = rbf_network(x.shape[1], CENTERS, y.max() + 1), []
        for train, test in list(folds.split(x, y))[: 2 if options.quick else 10]:
            scaler = StandardScaler().fit(x[train])
            inputs = jnp.asarray(scaler.transform(x), jnp.float32)
            params = fit(jax.random.key(options.seed), inputs[train], jax.nn.one_hot(y[train], y.max() + 1))
            scores.append((network.apply(params, inputs[test]).argmax(-1) == y[test]).mean())
        theirs = cross_val_score(make_pipeline(StandardScaler(), SVC()), x, y, cv=folds).mean()
        print(f"{name}: accuracy of scikit-learn's SVC in ten folds: {theirs:.4f}")
        ours = float(np.mean(scores))
        _shared.check(f"{name}: accuracy of jaxnn's RBF network", ours, ours >= theirs - 0.005, options)


if __name__ == "__main__":
    main()
