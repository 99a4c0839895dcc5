"""Strips of handwritten digits, side by side, and how to show what was read on them."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.svm import SVC

WIDTH, MOST, BLANK = 50, 5, 10


def load(copies, seed):
    """Strips of the digits of some writers, each used some times, and of those of others.

    Also the error of scikit-learn's support vector machine on the latter, one by one.
    """
    images, digits = load_digits(return_X_y=True)
    half, random = len(images) // 2, np.random.default_rng(seed)
    seen = np.concatenate([random.permutation(half) for _ in range(copies)])
    new = half + random.permutation(len(images) - half)
    machine = SVC(gamma=0.001).fit(images[:half], digits[:half])
    error = 1 - machine.score(images[half:], digits[half:])
    return strips(images, digits, seen, random), strips(images, digits, new, random), error


def strips(images, digits, order, random):
    """The digits in that order, two to five on a strip and up to two columns apart.

    Returns images `[strips, 8, WIDTH, 1]`, labels `[strips, MOST]` filled up with blanks, and
    how many there are. The last strip takes what is left.
    """
    cuts = np.cumsum(random.integers(2, MOST + 1, len(order)))
    groups = np.split(order, cuts[cuts < len(order)])
    x = np.zeros((len(groups), 8, WIDTH, 1), np.float32)
    y = np.full((len(groups), MOST), BLANK, np.int32)
    for strip, label, group in zip(x, y, groups, strict=True):
        label[: len(group)] = digits[group]
        for i, end in zip(group, np.cumsum(8 + random.integers(0, 3, len(group))), strict=True):
            strip[:, end - 8 : end, 0] = images[i].reshape(8, 8) / 16
    return jnp.asarray(x), jnp.asarray(y), jnp.array([len(group) for group in groups])


def drawn(x, y, counts, read, lengths):
    """The axes of some strips with what was read on them, first those that were read wrongly."""
    words = lambda rows, ends: ["".join(map(str, r[:n])) for r, n in zip(rows, ends, strict=True)]
    truth, said = words(np.asarray(y), counts), words(np.asarray(read), lengths)
    order = sorted(range(len(truth)), key=lambda i: truth[i] == said[i])
    _, axes = plt.subplots(6, 4, figsize=(10, 5.5))
    for ax, i in zip(axes.flat, order, strict=False):
        ax.imshow(x[i, ..., 0], cmap="gray_r", aspect="equal")
        right = truth[i] == said[i]
        ax.set_title(
            said[i] if right else f"{said[i]}, not {truth[i]}",
            color="black" if right else "#D55E00",
        )
        ax.set_axis_off()
    return axes
