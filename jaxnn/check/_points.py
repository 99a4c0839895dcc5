"""Where a function is looked at: every binade, the kinks, the zeros, random bits, and the ends."""

import jax.numpy as jnp
import numpy as np

SHORT = (jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16))


def line(count, near=(), seed=0):
    """`count` float32 points of the real line, with infinities, NaN and both zeros.

    A quarter of them are exact in bfloat16 and a quarter in float16. None is subnormal in the
    type it is meant for.

    Args:
        count: how many, at least 128.
        near: kinks, zeros and other points to crowd around.
        seed: of the random ones.
    """
    random = np.random.default_rng(seed)
    ends = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 2.0**-126, -(2.0**-126)]
    largest = float(np.finfo(np.float32).max)
    fixed = np.array([*ends, largest, -largest], np.float32)
    crowd = around(near, random, count // 4)
    rest = count - len(fixed) - len(crowd)
    x = np.concatenate([fixed, crowd, spread(rest, random)])
    for start, kind in ((1, SHORT[0]), (3, SHORT[1])):
        part = slice(len(ends) + start, None, 4)  # the ends are exact in every type
        x[part] = rounded(x[part], kind)
    return x


def spread(count, random):
    """Points of every binade, of the usual range, and of random bits."""
    bits = random.integers(0, 2**32, count // 8, np.uint32).view(np.float32)
    bits = np.where(np.isfinite(bits), bits, np.float32(1))
    binades = np.linspace(-126, 127.99, count // 4)
    powers = random.permutation(np.exp2(binades)) * random.choice([-1, 1], count // 4)
    widths = np.repeat([1, 6, 20, 110], -(-count // 4))
    usual = random.permutation(widths)[: count - len(bits) - len(powers)]
    x = np.concatenate([bits, powers, usual * random.uniform(-1, 1, len(usual))])
    x = x.astype(np.float32)
    return random.permutation(np.where(np.abs(x) >= 2.0**-126, x, np.float32(0.5)))


def around(near, random, count):
    """Points at and ever closer to those given, from both sides."""
    if not len(near):
        return np.zeros(0, np.float32)
    centres = np.resize(np.asarray(near, np.float32), count)
    steps = np.exp2(-random.uniform(0, 24, count)) * random.choice([-1, 1], count)
    steps = steps * np.maximum(np.abs(centres), 0.25)
    steps[: len(near)] = 0
    return (centres + steps).astype(np.float32)


def rounded(x, kind):
    """x, rounded to a short type; what is no normal number there is replaced by a usual one."""
    with np.errstate(over="ignore"):
        short = x.astype(kind).astype(np.float32)
    tiny = float(jnp.finfo(kind).tiny)
    usable = np.isfinite(short) & (np.abs(short) >= tiny)
    spare = (np.arange(len(x)) % 64 / 4 - 8.125).astype(np.float32)
    return np.where(usable, short, spare)


def exact_in(x, kind):
    """Where x is exact in a short type, and no subnormal there."""
    with np.errstate(over="ignore", invalid="ignore"):
        same = (x.astype(kind).astype(np.float32) == x) | np.isnan(x)
    return same & ((np.abs(x) >= float(jnp.finfo(kind).tiny)) | (x == 0) | np.isnan(x))
