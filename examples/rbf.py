"""Classify wines and tumours with a radial basis function network, and interpolate with one.

Trained by stages, without gradients, in ten folds of one compiled program. A support vector
machine with Gaussian kernel has the same folds.
"""

from functools import partial

import _shared
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from scipy.interpolate import RBFInterpolator
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from jaxnn.networks import rbf_fit, rbf_interpolate, rbf_network


def classify(name, data, options):
    (x, y), classes = data, int(data[1].max()) + 1
    network = rbf_network(x.shape[1], 100, classes)
    train = jax.jit(partial(rbf_fit, centers=100, overlap=3.0, ridge=1e-3, steps=20))
    folds, right = StratifiedKFold(10, shuffle=True, random_state=options.seed), []
    for fit, test in list(folds.split(x, y))[: 2 if options.quick else 10]:
        z = jnp.asarray(StandardScaler().fit(x[fit]).transform(x), jnp.float32)
        params = train(jax.random.key(options.seed), z[fit], jax.nn.one_hot(y[fit], classes))
        right.append(np.mean(np.asarray(network.apply(params, z[test])).argmax(-1) == y[test]))
    theirs = cross_val_score(make_pipeline(StandardScaler(), SVC()), x, y, cv=folds).mean()
    level = theirs - 0.005  # a fraction of one example in each fold
    what = "RBF network", name, "accuracy, mean of ten folds"
    _shared.check(options, *what, np.mean(right), ">=", level, {"SVC": theirs})


def interpolate(options):
    x = np.sort(np.random.default_rng(options.seed).uniform(-4, 4, (12, 1)), axis=0)
    line = np.linspace(-4.5, 4.5, 300)[:, None]
    theirs = RBFInterpolator(x, np.sin(x), kernel="gaussian", epsilon=1.0, degree=-1)(line)
    with jax.enable_x64(True):
        params = rbf_interpolate(jnp.asarray(x), jnp.asarray(np.sin(x)), width=0.5**0.5)
        ours = rbf_network(1, 12, 1, use_bias=False).apply(params, jnp.asarray(line))
    axes = plt.subplots()[1]
    axes.plot(line, ours, line, theirs, "--", x, np.sin(x), "ko")
    axes.legend(["jaxnn", "scipy", "twelve points of a sine"], frameon=False)
    _shared.save(axes, "rbf", options)
    apart = float(np.abs(np.asarray(ours) - theirs).max())
    what = "RBF network", "interpolation of a sine", "largest difference from scipy's"
    _shared.check(options, *what, apart, "<", 1e-6)


if __name__ == "__main__":
    arguments = _shared.start(__doc__)
    classify("wine", load_wine(return_X_y=True), arguments)
    classify("breast cancer", load_breast_cancer(return_X_y=True), arguments)
    interpolate(arguments)
