"""What goes on inside a network: signals, gradients, and where they go wrong.

gradient_flow, diagnose                     size of signals and gradients, and what they say
record_flow, record_updates, recorded_flow  the same along a compiled training
first_nonfinite                             the layer, operation, epoch of the first NaN
layer_outputs, attention_maps               what the layers compute
saliency, integrated_gradients, receptive_field   on what an output depends
loss_landscape, learning_rate_range         the loss around a point, and along rates
principal_components                        many dimensions in two
"""

from jaxnn.diagnostics.attribution import integrated_gradients, receptive_field, saliency
from jaxnn.diagnostics.gradients import gradient_flow
from jaxnn.diagnostics.inside import attention_maps, layer_outputs
from jaxnn.diagnostics.landscape import learning_rate_range, loss_landscape
from jaxnn.diagnostics.nonfinite import Loop, NonFinite, first_nonfinite
from jaxnn.diagnostics.projections import PrincipalComponents, principal_components
from jaxnn.diagnostics.recording import record_flow, record_updates, recorded_flow
from jaxnn.diagnostics.verdicts import Verdict, diagnose

__all__ = [
    "Loop", "NonFinite", "PrincipalComponents", "Verdict", "attention_maps", "diagnose",
    "first_nonfinite", "gradient_flow", "integrated_gradients", "layer_outputs",
    "learning_rate_range", "loss_landscape", "principal_components", "receptive_field",
    "record_flow", "record_updates", "recorded_flow", "saliency",
]  # fmt: skip
