"""Which part of an input an output depends on."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxnn import _checks

__all__ = ["integrated_gradients", "receptive_field", "saliency"]


def saliency(f: Callable, x: ArrayLike, target: ArrayLike | None = None) -> Array:
    r"""The gradient of a score in the input, \( \partial f_t(x) / \partial x \).

    Where it is large, a small change of the input changes the score most. For a recurrent
    network its size step by step says how far back the output still depends on its input.

    Args:
        f: scores of a batch, `[examples, ...] -> [examples, classes]`, or `[examples]`; each
            example's score must depend on that example alone.
        x: the batch, floats `[examples, ...]`.
        target: the class of each example whose score is meant, integers `[examples]`; None is
            the class of the largest score.

    Returns:
        The gradient, shaped like `x`, with its sign.

    Raises:
        TypeError: if `f` is not a function, `x` no floats or `target` no integers.
        ValueError: if `f` returns neither one score nor one per class.

    Example:
        >>> w = jnp.array([[1.0, -2.0], [3.0, 0.0]])
        >>> saliency(lambda x: x @ w, jnp.ones((1, 2)))    # class 0 has the larger score
        Array([[1., 3.]], dtype=float32)

    Reference:
        Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks", 2014.
    """
    x = _input("saliency", f, x)
    return jax.grad(lambda x: _score("saliency", f, x, target).sum())(x)


def integrated_gradients(
    f: Callable,
    x: ArrayLike,
    target: ArrayLike | None = None,
    *,
    baseline: ArrayLike | None = None,
    steps: int = 64,
) -> Array:
    r"""What each entry of an input adds to a score, on the way from a baseline.

    .. math:: (x_i - x'_i) \int_0^1 \frac{\partial f_t(x' + \alpha (x - x'))}{\partial x_i}
              \, d\alpha

    The entries sum to \( f_t(x) - f_t(x') \), which the gradient at x alone does not tell.

    Args:
        f: as for `saliency`.
        x: the batch, floats `[examples, ...]`.
        target: as for `saliency`; None is the class of the largest score at `x`.
        baseline: x', shaped like `x` or broadcast to it; None is zero.
        steps: midpoints of the integral.

    Returns:
        The attributions, shaped like `x`.

    Raises:
        TypeError: if `f` is not a function, `x` no floats or `target` no integers.
        ValueError: if `f` returns neither one score nor one per class, or `steps` is not
            positive.

    Example:
        >>> f = lambda x: x[:, 0] * x[:, 1]
        >>> integrated_gradients(f, jnp.array([[2.0, 3.0]]))    # of 6, each half
        Array([[3., 3.]], dtype=float32)

    Reference:
        Sundararajan, Taly and Yan, "Axiomatic attribution for deep networks", ICML 2017.
    """
    x = _input("integrated_gradients", f, x)
    _checks.sizes("integrated_gradients", steps=steps)
    start = jnp.zeros_like(x) if baseline is None else jnp.broadcast_to(baseline, x.shape)
    if target is None and (scores := f(x)).ndim == 2:
        target = scores.argmax(-1)
    gradient = jax.grad(lambda x: _score("integrated_gradients", f, x, target).sum())
    alphas = (jnp.arange(steps, dtype=x.dtype) + 0.5) / steps

    def add(total, alpha):
        return total + gradient(start + alpha * (x - start)), None

    total, _ = jax.lax.scan(add, jnp.zeros_like(x), alphas)
    return (x - start) * total / steps


def receptive_field(f: Callable, x: ArrayLike, place: tuple[int, int] | None = None) -> Array:
    r"""How much one place of a feature map depends on each place of the image.

    The mean of \( \sum_c |\partial f_c(x)_{place} / \partial x| \) over the batch and the
    channels of the image. Where it is zero, the place does not see; where it is large, it
    looks: usually a small part of what it sees.

    Args:
        f: from images to feature maps, `[examples, height, width, channels]` both.
        x: images, floats; random ones will do.
        place: row and column in the feature map; None is its middle.

    Returns:
        The field, `[height, width]` of the images.

    Raises:
        TypeError: if `f` is not a function or `x` no floats.
        ValueError: if images or feature maps have other axes, or there is no such place.

    Example:
        >>> from jaxnn.layers import conv
        >>> params = {"kernel": jnp.ones((3, 3, 1, 1))}
        >>> field = receptive_field(lambda x: conv(params, x), jnp.ones((1, 5, 5, 1)))
        >>> field[1:4, 1:4].sum(), field.sum()
        (Array(9., dtype=float32), Array(9., dtype=float32))

    Reference:
        Luo, Li, Urtasun and Zemel, "Understanding the effective receptive field in deep
        convolutional neural networks", NeurIPS 2016.
    """
    x = _input("receptive_field", f, x)
    maps = jax.eval_shape(f, x)
    if x.ndim != 4 or maps.ndim != 4:
        raise ValueError(
            "receptive_field: x and f(x) must be [examples, height, width, channels], got "
            f"{x.shape} and {maps.shape}. Pass the part of the network before it is flattened."
        )
    row, column = (maps.shape[1] // 2, maps.shape[2] // 2) if place is None else place
    if not (0 <= row < maps.shape[1] and 0 <= column < maps.shape[2]):
        raise ValueError(
            f"receptive_field: place must be within the feature map, {maps.shape[1:3]}, "
            f"got {place}. Rows and columns count from 0."
        )

    def seen(channel):
        at = lambda x: jnp.take(f(x)[:, row, column], channel, axis=-1).sum()
        return jnp.abs(jax.grad(at)(x)).mean((0, 3))

    return jax.lax.map(seen, jnp.arange(maps.shape[3])).sum(0)


def _input(function, f, x) -> Array:
    _checks.function(function, f=f)
    x = jnp.asarray(x)
    _checks.floating(function, x=x)
    return x


def _score(function, f, x, target) -> Array:
    """The chosen score of each example."""
    scores = f(x)
    if scores.ndim == 1 and len(scores) == len(x):
        return scores
    if scores.ndim != 2 or len(scores) != len(x):
        raise ValueError(
            f"{function}: f must return scores [examples, classes] or [examples], got "
            f"{scores.shape} for {len(x)} examples. Choose or sum what else it returns."
        )
    target = jax.lax.stop_gradient(scores).argmax(-1) if target is None else jnp.asarray(target)
    _checks.integer(function, target=target)
    _checks.one_per_row(function, scores, target=target)
    inside = lambda t: (t >= 0) & (t < scores.shape[-1])
    within = f"be from 0 to {scores.shape[-1] - 1}"
    _checks.values(function, inside, within, "Number the classes from 0.", target=target)
    return jnp.take_along_axis(scores, target[:, None], -1)[:, 0]
