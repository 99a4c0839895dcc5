"""The one quiet style of every picture: colours, ink, figures, axes and legends."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.legend import Legend

# Okabe and Ito, "Color universal design", 2008; without their black, which vanishes
# on a dark page, and their yellow, which does on a white one.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v")
# The grey whose contrast is the same, 4.3 to 1, against white and against #111111.
INK = "#7a7a7a"
SMALL, NORMAL = 9.0, 10.0
SHADES = LinearSegmentedColormap.from_list("jaxnn_shades", ["#f2f6fa", "#7fb3d5", "#00507d"])
# Blue below zero and orange above, which colour-blind readers tell apart.
SIGNED = LinearSegmentedColormap.from_list(
    "jaxnn_signed", ["#00507d", "#5aa0cc", "#f5f5f5", "#e8935a", "#a34700"]
)


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


def legend(ax, *, dots: float | None = None, **place) -> Legend:
    """A legend without a frame, in the ink of the page; `dots` is the area of its dots."""
    drawn = ax.legend(frameon=False, fontsize=SMALL, labelcolor=INK, **place)
    drawn.get_title().set(color=INK, fontsize=SMALL)
    if dots is not None:
        for mark in drawn.legend_handles:
            mark.set_sizes([dots])
    return drawn


def legend_above(ax, **options) -> None:
    """A legend over the Axes, in two columns where they are wide enough for them, else in one."""
    options |= dict(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    if legend(ax, ncols=2, **options).get_window_extent().width > ax.get_window_extent().width:
        legend(ax, ncols=1, **options)


def colorbar(ax, drawn, meaning):
    """The scale of colours beside an Axes, without a frame."""
    bar = ax.figure.colorbar(drawn, ax=ax, fraction=0.046, pad=0.03)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK, labelsize=SMALL, width=0.8, length=2)
    bar.ax.yaxis.offsetText.set(color=INK, fontsize=SMALL)
    bar.set_label(meaning, color=INK, fontsize=SMALL)
    return bar


def readable(color, faint) -> str:
    """White on a dark cell and black on a light one; zeros step back."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    if np.dot(linear, (0.2126, 0.7152, 0.0722)) < 0.18:
        return "white"
    return "#6c6c6c" if faint else "black"
