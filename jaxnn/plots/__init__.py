r"""Pictures of training, gradients, decisions and what is inside, drawn with matplotlib.

Arrays go in, Axes come out: nothing is shown and no global setting is changed, so every
picture can be placed in a figure of yours (`ax=`), altered and saved; make a figure of several
with `layout="constrained"`, so that each has room for its text. Figures made here are
transparent and their text is mid-grey, so that one file is legible on a white and on a dark
page; `axes.figure.set_facecolor("white")` makes one opaque. The colours are those of Okabe and
Ito, which colour-blind readers tell apart, and whatever differs in colour differs in form too.
"""

from jaxnn.plots._style import COLORS, INK
from jaxnn.plots.activations import activation
from jaxnn.plots.decisions import confusion_matrix, decision_boundary
from jaxnn.plots.diagram import diagram
from jaxnn.plots.gradients import animate_gradient_flow, gradient_flow
from jaxnn.plots.images import attention, feature_maps, filters, receptive_field, saliency
from jaxnn.plots.maps import component_planes, latent_space, som
from jaxnn.plots.surfaces import learning_rate_range, loss_landscape
from jaxnn.plots.training import training_curves

__all__ = [
    "COLORS",
    "INK",
    "activation",
    "animate_gradient_flow",
    "attention",
    "component_planes",
    "confusion_matrix",
    "decision_boundary",
    "diagram",
    "feature_maps",
    "filters",
    "gradient_flow",
    "latent_space",
    "learning_rate_range",
    "loss_landscape",
    "receptive_field",
    "saliency",
    "som",
    "training_curves",
]
