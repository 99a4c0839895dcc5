"""The losses and their truths: of one prediction and one target, and of rows."""

import numpy as np

from jaxnn import losses as l
from jaxnn.check import _points
from jaxnn.check import _truth as t
from jaxnn.check._elementwise import Elementwise

# Elementwise losses: how predictions and targets are drawn


def _errors(settings):
    """Predictions of any size at targets of 0, close to targets of any size, and far from them."""
    n = settings.points // 4
    p = _points.line(4 * n, (0.0, 1.0), settings.seed)
    random = np.random.default_rng(settings.seed)
    targets = _points.line(4 * n, (), settings.seed + 1)
    usual = np.isfinite(targets) & (np.abs(targets) < 1e30)
    targets = np.where(usual, targets, np.float32(1.5))
    close = targets * (1 + np.exp2(-random.uniform(0, 24, 4 * n)))
    order = np.arange(4 * n)
    finite = np.isfinite(p)
    p = np.where((order % 4 == 3) & finite, close.astype(np.float32), p)
    targets = np.where((order % 4 < 2) | ~finite, np.float32(0), targets)
    with np.errstate(over="ignore", invalid="ignore"):
        subnormal = (np.abs(p - targets) < 2.0**-126) & (p != targets)
    return np.where(subnormal, targets, p), targets


def _labelled(low, high, near=0.0, soft=False):
    """Logits of any size with labels `low`, `high`, and if `soft` some between."""

    def draw(settings):
        z = _points.line(settings.points, (0.0, near), settings.seed)
        random = np.random.default_rng(settings.seed)
        y = random.choice([low, high], z.shape).astype(np.float32)
        between = soft & (np.arange(len(z)) % 5 == 4)
        y = np.where(between, random.integers(0, 257, z.shape) / 256, y).astype(np.float32)
        return z, y

    return draw


def _probabilities(settings):
    """Probabilities throughout, close to 0 and to 1, and certain ones that are right."""
    random = np.random.default_rng(settings.seed)
    n = settings.points
    tiny = np.exp2(-random.uniform(0, 125, n))
    below = 1 - np.exp2(-random.uniform(1, 24, n))
    p = np.choose(np.arange(n) % 3, [tiny, below, random.uniform(0, 1, n)]).astype(np.float32)
    for start, kind in ((1, _points.SHORT[0]), (3, _points.SHORT[1])):
        p[start::4] = np.minimum(np.abs(_points.rounded(p[start::4], kind)), 1)
    y = random.choice([0, 1, 0.25, 0.5], n, p=[0.35, 0.35, 0.15, 0.15]).astype(np.float32)
    y = np.where(p == 1, 1, y)
    p[:2], y[:2] = (0, 1), (0, 1)
    return p, y.astype(np.float32)


def _counts(settings):
    """Logarithms of rates, also next to those of the counts."""
    random = np.random.default_rng(settings.seed)
    n = settings.points
    k = random.integers(0, 100, n)
    close = np.log(np.maximum(k, 1)) + random.choice([-1, 1], n) * np.exp2(
        -random.uniform(0, 20, n)
    )
    z = np.where(np.arange(n) % 2, random.uniform(-90, 88, n), close).astype(np.float32)
    return _halved(z), k.astype(np.float32)


def _halved(z):
    """Some of the points exact in the short types."""
    for start, kind in ((1, _points.SHORT[0]), (3, _points.SHORT[1])):
        z[start::4] = _points.rounded(z[start::4], kind)
    return z


def _gaussians(settings):
    random = np.random.default_rng(settings.seed)
    n = settings.points
    sizes = np.exp2(random.uniform(-40, 6, (2, n))) * random.choice([-1, 1], (2, n))
    mean, v = _halved(sizes[0].astype(np.float32)), _halved(sizes[1].astype(np.float32))
    return mean, v


# Their definitions


def _squared_error(p, target):
    r = p - target
    return r * r


def _absolute_error(p, target):
    r = p - target
    return t.jet(0) * r if r.value == 0 else abs(r)


def _huber(p, target, delta):
    r = p - target
    return r * r / 2 if abs(r.value) <= delta else delta * (abs(r) - t.mp().mpf(delta) / 2)


def _log_cosh(p, target):
    a = abs(p - target)
    return t.log((t.exp(a) + t.exp(-a)) / 2)


def _absolute_percentage_error(p, target, epsilon):
    return 100 * _absolute_error(p, target) / max(abs(target), epsilon)


def _quantile(p, target, q):
    r = p - target
    if r.value == 0:
        return t.jet(0) * r
    return (1 - t.mp().mpf(q)) * r if r.value > 0 else -t.mp().mpf(q) * r


def _poisson(z, k):
    return t.exp(z) - k * z


def _binary_cross_entropy(z, y):
    return y * t.softplus(-z) + (1 - y) * t.softplus(z)


def _binary_from_probabilities(p, y):
    positive = y * t.log(p) if y != 0 else t.jet(0)
    negative = (1 - y) * t.log1p(-p) if y != 1 else t.jet(0)
    return -positive - negative


def _hinge(s, y):
    return t.relu(1 - y * s)


def _squared_hinge(s, y):
    margin = t.relu(1 - y * s)
    return margin * margin


def _focal(z, y, gamma):
    def of(z):
        wrong = -gamma * t.softplus(z)  # log(1 - p)
        return t.exp(wrong) * t.softplus(-z)

    return y * of(z) + (1 - y) * of(-z)


def _gaussian_kl_divergence(mean, v):
    return (mean * mean + t.expm1(v) - v) / 2


# What is subtracted where a gradient, or the loss itself, crosses 0


def _poisson_terms(z, k):
    rate = np.exp(z.astype(float))
    return {"value": np.maximum(rate, np.abs(k * z)), "first": np.maximum(rate, k)}


def _binary_terms(z, y):
    with np.errstate(over="ignore", invalid="ignore"):
        small = 1 / (1 + np.exp(np.abs(z.astype(float))))
    return {"first": np.maximum(small, np.where(z > 0, 1 - y, y) * (y * (1 - y) > 0))}


def _entry(f, closed_form, truth, points, bound=8, terms=None, **options):
    words = ", ".join(f"{name}={value}" for name, value in options.items())
    name = f"losses.{f.__name__}" + (f"({words})" if words else "")
    return Elementwise(
        name, f, closed_form, truth, (), options, points, 1, (bound, bound), terms
    )  # fmt: skip


def elementwise():
    """Losses of one prediction and one target."""
    kl = lambda mean, v: l.gaussian_kl_divergence(mean, v)
    in_mean = lambda mean, v: l.gaussian_kl_divergence_grad(mean, v)[0]
    in_variance = lambda v, mean: l.gaussian_kl_divergence_grad(mean, v)[1]
    return [
        _entry(l.squared_error, l.squared_error_grad, _squared_error, _errors),
        _entry(l.absolute_error, l.absolute_error_grad, _absolute_error, _errors),
        _entry(l.huber, l.huber_grad, _huber, _errors, delta=1.0),
        _entry(l.huber, l.huber_grad, _huber, _errors, delta=0.1),
        _entry(l.log_cosh, l.log_cosh_grad, _log_cosh, _errors),
        _entry(
            l.absolute_percentage_error,
            l.absolute_percentage_error_grad,
            _absolute_percentage_error,
            _errors,
            epsilon=1e-7,
        ),
        # 1 - q is rounded once: its truth is that of q itself, not of q as a float32.
        _entry(
            l.quantile, l.quantile_grad, lambda p, t, q: _quantile(p, t, 0.9), _errors, q=0.9
        ),
        _entry(l.poisson, l.poisson_grad, _poisson, _counts, terms=_poisson_terms),
        _entry(
            l.binary_cross_entropy,
            l.binary_cross_entropy_grad,
            _binary_cross_entropy,
            _labelled(0, 1, soft=True),
            bound=4,
            terms=_binary_terms,
        ),
        _entry(
            l.binary_cross_entropy_from_probabilities,
            l.binary_cross_entropy_from_probabilities_grad,
            _binary_from_probabilities,
            _probabilities,
            bound=4,
        ),
        _entry(l.hinge, l.hinge_grad, _hinge, _labelled(-1, 1, 1.0)),
        _entry(l.squared_hinge, l.squared_hinge_grad, _squared_hinge, _labelled(-1, 1, 1.0)),
        *(
            _entry(l.focal, l.focal_grad, _focal, _labelled(0, 1), gamma=gamma)
            for gamma in (2.0, 0.5)
        ),
        Elementwise(
            "losses.gaussian_kl_divergence (mean)", kl, in_mean, _gaussian_kl_divergence,
            (), {}, _gaussians, 1, (8, 8),
        ),
        Elementwise(
            "losses.gaussian_kl_divergence (log variance)", lambda v, mean: kl(mean, v),
            in_variance, lambda v, mean: _gaussian_kl_divergence(mean, v),
            (), {}, lambda settings: _gaussians(settings)[::-1], 1, (8, 8),
        ),
    ]  # fmt: skip
