"""English and code to learn from: the topics of Python's own help, and their n-gram statistics."""

from collections import Counter
from pydoc_data.topics import topics

import matplotlib.pyplot as plt
import numpy as np


def letters():
    """The text as ids, where its last tenth begins, and the letters of the ids."""
    text = "\n".join(topics.values())
    kinds = sorted(set(text))
    number = {letter: i for i, letter in enumerate(kinds)}
    return np.array([number[letter] for letter in text], np.int32), len(text) * 9 // 10, kinds


def ngram_bits(ids, cut, order):
    """Bits per letter of the held-out part, by how often each followed up to `order` others.

    A tenth is added to each count, so that nothing is impossible. The highest order is also
    mixed with the lower ones, the more so the more kinds of letters have followed (the
    smoothing of Witten and Bell), which is better.
    """
    size, bits = int(ids.max()) + 1, {}
    mixed = 1 / size
    for length in range(order + 1):
        grams = _grams(ids[:cut], length + 1, size)
        counts, contexts = Counter(grams), Counter(gram // size for gram in grams)
        kinds = Counter(gram // size for gram in counts)
        held = _grams(ids[cut - length :], length + 1, size)
        n, total, kind = np.array(
            [(counts[gram], contexts[gram // size], kinds[gram // size]) for gram in held]
        ).T
        bits[f"order {length}"] = -np.log2((n + 0.1) / (total + 0.1 * size)).mean()
        mixed = np.where(total > 0, (n + kind * mixed) / np.maximum(total + kind, 1), mixed)
    return bits | {f"orders 0 to {order}, mixed": -np.log2(mixed).mean()}


def _grams(ids, length, size):
    """Each run of `length` ids, as one number."""
    runs = np.lib.stride_tricks.sliding_window_view(ids, length).astype(np.int64)
    return (runs @ size ** np.arange(length)[::-1]).tolist()


def draw(losses, held_out, peers):
    """Draws bits per letter while training, and at its end on what was held out."""
    _, ax = plt.subplots(figsize=(6, 4))
    epochs = np.arange(1, len(losses) + 1)
    ax.plot(epochs, losses, "o-", ms=4, color="#0072B2", label="transformer, training")
    ax.plot(epochs[-1], held_out, "D", color="#D55E00", label="transformer, held out")
    for i, (name, bits) in enumerate(peers.items()):
        ax.axhline(bits, color="0.6", lw=1, zorder=0)
        at = epochs[-1 - i % 2 * (len(epochs) > 1)], bits  # neighbours are not on one another
        ax.annotate(name, at, (0, 2), textcoords="offset points", ha="right")
    ax.set(xlabel="epoch", ylabel="bits per letter", xticks=epochs, ylim=(0, None))
    ax.legend(frameon=False, loc="lower left")
    return ax
