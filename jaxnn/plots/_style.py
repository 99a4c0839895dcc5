"""The one quiet style of every picture: colours, ink, figures, axes and legends."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

# Okabe and Ito, "Color universal design", 2008; without their black, which vanishes
# on a dark page, and their yellow, which does on a white one.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v")
# The grey whose contrast is the same, 4.3 to 1, against white and against #111111.
INK = "#7a7a7a"
SMALL, NORMAL = 9.0, 10.0
SHADES = LinearSegmentedColormap.from_list("jaxnn_shades", ["#f2f6fa", "#7fb3d5", "#00507d"])


def new_figure(width, height):
    """A transparent figure, in inches, so that the page shows."""
    return plt.figure(figsize=(width, height), layout="constrained", facecolor="none")


def new_axes(width=4.8, height=3.4) -> Axes:
    """The Axes of a new figure."""
    return new_figure(width, height).add_subplot()


def quiet(ax: Axes) -> Axes:
    """The one style: no frame, no ground, all writing in the ink of both white and dark pages."""
    ax.set_facecolor("none")
    ax.grid(False)
    for side, spine in ax.spines.items():
        spine.set(visible=side in ("left", "bottom"), color=INK, linewidth=0.8)
    ax.tick_params(colors=INK, labelsize=SMALL, width=0.8)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set(color=INK, fontsize=NORMAL)
        axis.offsetText.set(color=INK, fontsize=SMALL)
    ax.title.set_color(INK)
    return ax


def legend(ax, **place) -> None:
    """A legend without a frame, in the ink of the page."""
    drawn = ax.legend(frameon=False, fontsize=SMALL, labelcolor=INK, **place)
    drawn.get_title().set(color=INK, fontsize=SMALL)


def readable(color, faint) -> str:
    """White on a dark cell and black on a light one; zeros step back."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    if np.dot(linear, (0.2126, 0.7152, 0.0722)) < 0.18:
        return "white"
    return "#6c6c6c" if faint else "black"
