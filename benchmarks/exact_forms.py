"""The exact forms against jax.nn's and Optax's own: forward, and gradient alone."""

import sys

import _timing
import jax
import jax.numpy as jnp
import optax

from jaxnn import activations, losses

LARGE, SMALL = 1_000_000, 1_000
SLOW = 1.5
# Why a form takes longer than that; what is not named here has no excuse.
REASONS = {
    "tanh": "an exponential and a division; XLA has a rational function, of 3.8 ULP",
    "swish": "the tail, where exp alone would be subnormal, is scaled",
    "gelu": "a polynomial for the tail instead of erf, which is 0 below -6",
    "gelu, tanh form": "the argument of exp in two floats: else 90 ULP are lost below -9",
    "softmax": "the rounding of x - max counts: else 40 ULP are lost; its slope centres twice",
    "log_softmax": "a second sum, of all but the largest: else 2e-9 is rounded to 0",
    "categorical_cross_entropy": "sums without the largest, and the labels are checked",
    "sparse_categorical_cross_entropy": "sums without the largest, and the labels are checked",
    "ctc, 50 frames of 20 classes": "what each frame rounds off is carried along",
    "ctc where the labels are all but certain": "a second recursion, of all that is misread",
}


def pairs():
    """`name -> (ours, theirs, arguments)`, functions of arrays."""
    nn, a, loss, o = jax.nn, activations, losses, optax.losses
    one = lambda n: (3 * jax.random.normal(jax.random.key(0), (n,)),)

    def two(n):
        return (*one(n), (jax.random.uniform(jax.random.key(1), (n,)) > 0.5).astype(jnp.float32))

    def rows(n):
        x = one(n)[0].reshape(-1, 10)
        return x, jax.random.randint(jax.random.key(1), x.shape[:1], 0, 10)

    def dense(n):
        x, labels = rows(n)
        return x, jax.nn.one_hot(labels, 10)

    def noise(n):
        z = one(n)[0].reshape(-1, 50, 20)
        return z, jax.random.randint(jax.random.key(1), (len(z), 10), 1, 20)

    def confident(n):
        z, labels = noise(n)
        path = jnp.zeros(z.shape[:2], int).at[:, 2:42:4].set(labels)
        return z + 20 * jax.nn.one_hot(path, 20), labels

    def our_ctc(z, labels):
        frames, counts = (jnp.full(len(z), x.shape[1]) for x in (z, labels))
        return loss.ctc(z, labels, frames, counts)

    def their_ctc(z, labels):
        return o.ctc_loss(z, jnp.zeros(z.shape[:2]), labels, jnp.zeros(labels.shape))

    return {
        "sigmoid": (a.sigmoid, nn.sigmoid, one),
        "log_sigmoid": (a.log_sigmoid, nn.log_sigmoid, one),
        "tanh": (a.tanh, jnp.tanh, one),
        "relu": (a.relu, nn.relu, one),
        "leaky_relu": (a.leaky_relu, nn.leaky_relu, one),
        "elu": (a.elu, nn.elu, one),
        "selu": (a.selu, nn.selu, one),
        "celu": (a.celu, nn.celu, one),
        "swish": (a.swish, nn.silu, one),
        "gelu": (a.gelu, lambda x: nn.gelu(x, approximate=False), one),
        "gelu, tanh form": (lambda x: a.gelu(x, True), nn.gelu, one),
        "softplus": (a.softplus, nn.softplus, one),
        "softsign": (a.softsign, nn.soft_sign, one),
        "mish": (a.mish, nn.mish, one),
        "hard_swish": (a.hard_swish, nn.hard_silu, one),
        "softmax, 10 classes": (a.softmax, nn.softmax, lambda n: rows(n)[:1]),
        "log_softmax, 10 classes": (a.log_softmax, nn.log_softmax, lambda n: rows(n)[:1]),
        "huber": (loss.huber, o.huber_loss, two),
        "log_cosh": (loss.log_cosh, o.log_cosh, two),
        "binary_cross_entropy": (loss.binary_cross_entropy, o.sigmoid_binary_cross_entropy, two),
        "focal": (loss.focal, o.sigmoid_focal_loss, two),
        "categorical_cross_entropy": (
            loss.categorical_cross_entropy,
            o.softmax_cross_entropy,
            dense,
        ),
        "sparse_categorical_cross_entropy": (
            loss.sparse_categorical_cross_entropy,
            o.softmax_cross_entropy_with_integer_labels,
            rows,
        ),
        "ctc, 50 frames of 20 classes": (our_ctc, their_ctc, noise),
        "ctc where the labels are all but certain": (our_ctc, their_ctc, confident),
    }


def gradient(f):
    """Of a weighted sum: with equal weights the gradient of softmax would be a known zero."""
    return lambda weights, x, *rest: jax.grad(lambda x: (weights * f(x, *rest)).sum())(x)


def measured(ours, theirs, arguments):
    """Cells of one row, and the worst ratio at the large size."""
    cells, worst = [], 0.0
    for n in (LARGE, SMALL):
        args = arguments(n)
        weights = jnp.cos(jnp.arange(n)).reshape(args[0].shape)
        weights = weights[(..., *[0] * (weights.ndim - jax.eval_shape(ours, *args).ndim))]
        for kind, given in ((lambda f: f, args), (gradient, (weights, *args))):
            runs, compiling = {}, {}
            for name, f in (("ours", kind(ours)), ("theirs", kind(theirs))):
                program, compiling[name] = _timing.compile_seconds(f, *given)
                runs[name] = lambda program=program, given=given: program(*given)
            seconds = _timing.medians(runs, rounds=25 if n == LARGE else 200)
            ratio = seconds["ours"] / seconds["theirs"]
            cells.append(f"{1e6 * seconds['ours']:.0f} µs, {ratio:.2f}")
            if n == LARGE:
                worst = max(worst, ratio)
                compiled = compiling
    cells.append(f"{compiled['ours']:.2f} s, {compiled['ours'] / compiled['theirs']:.1f}")
    return cells, worst


def main():
    names = sys.argv[1:]
    rows = []
    for name, contenders in pairs().items():
        if names and not any(wanted in name for wanted in names):
            continue
        cells, worst = measured(*contenders)
        reason = REASONS.get(name.removesuffix(", 10 classes"), "none known")
        rows.append((name, *cells, reason if worst > SLOW else ""))
    columns = ["", "1e6 numbers", "its gradient", "1e3 numbers", "its gradient"]
    columns += ["compiling the gradient", f"why above {SLOW}"]
    title = "Time, and ratio to jax.nn or Optax (below 1 is faster)"
    _timing.table(title, rows, columns)


if __name__ == "__main__":
    main()
