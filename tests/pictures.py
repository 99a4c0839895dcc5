"""What every picture must hold, for the tests of the rooms of `jaxnn.plots`."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.text import Text


@pytest.fixture(autouse=True)
def tidy(monkeypatch):
    """Nothing may be shown, no setting may be left behind, and no figure stays open."""
    monkeypatch.setattr(plt, "show", lambda *_: pytest.fail("a plot called show"))
    before = mpl.rcParams.copy()
    yield
    assert mpl.rcParams == before
    plt.close("all")


def luminance(color):
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


def contrast(first, second):
    """Contrast ratio of the Web Content Accessibility Guidelines, from 1 to 21."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def figure_of(axes):
    return np.ravel(axes)[0].figure


def writing(figure):
    """Every text that shows."""
    figure.canvas.draw()
    texts = []
    bars = [bar for ax in figure.axes for bar in ax.child_axes]
    for ax in figure.axes + bars:
        texts += [child for child in ax.get_children() if isinstance(child, Text)]
        for axis in (ax.xaxis, ax.yaxis):  # of all ticks, only those in view
            texts += [axis.label, *(tick.label1 for tick in axis._update_ticks())]
        if ax.get_legend():
            texts += ax.get_legend().findobj(Text)
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def check_legible(draw, page):
    """Text and lines stand out from the page, and the picture is not blank."""
    figure = figure_of(draw())
    assert to_rgba(figure.get_facecolor())[-1] == 0, "transparent, so that the page shows"
    cells = {t for ax in figure.axes for t in ax.texts} if figure.axes[0].images else set()
    for text in writing(figure):
        if text not in cells:
            assert contrast(text.get_color(), page) > 3, text
    for line in figure.axes[0].lines:
        assert contrast(line.get_color(), page) > 3

    figure.set_facecolor(page)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255
    assert (np.abs(pixels - to_rgb(page)).max(-1) > 0.2).mean() > 0.008, "a blank picture"


def check_uncovered(draw):
    """No text is cut off, and none covers another."""
    check_apart(figure_of(draw()))


def check_fitting(draw):
    """The same where two pictures share a small figure."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6, 3), layout="constrained")
    draw(left)
    draw(right)
    check_apart(figure)
    first, second = (ax.get_tightbbox() for ax in (left, right))
    assert first.x1 <= second.x0 + 0.5


def check_apart(figure):
    texts = writing(figure)
    width, height = figure.bbox.size
    for text in texts:
        box = text.get_window_extent()
        assert min(box.x0, box.y0) >= -0.5, text
        assert box.x1 <= width + 0.5, text
        assert box.y1 <= height + 0.5, text
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts if t.get_rotation() in (0, 90)]
    for i, (text, box) in enumerate(boxes):
        for other, second in boxes[:i]:
            assert not box.overlaps(second), (text, other)


def check_placed(draw):
    """A picture goes into the Axes it is given, and nowhere else."""
    _, (left, right) = plt.subplots(1, 2)
    assert draw(right) is right
    assert right.has_data() or right.texts
    assert not left.has_data()
    assert len(plt.get_fignums()) == 1
