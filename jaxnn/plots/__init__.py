r"""Pictures of training, activations, decisions and mistakes, drawn with matplotlib.

Arrays go in, Axes come out: nothing is shown and no global setting is changed, so every
picture can be placed in a figure of yours (`ax=`), altered and saved. Figures made here are
transparent and their text is mid-grey, so that one file is legible on a white and on a dark
page; `axes.figure.set_facecolor("white")` makes one opaque. The colours are those of Okabe and
Ito, which colour-blind readers tell apart, and whatever differs in colour differs in form too.
"""

from jaxnn.plots._style import COLORS, INK
from jaxnn.plots.activations import activation
from jaxnn.plots.decisions import confusion_matrix, decision_boundary
from jaxnn.plots.training import training_curves

__all__ = [
    "COLORS",
    "INK",
    "activation",
    "confusion_matrix",
    "decision_boundary",
    "training_curves",
]
