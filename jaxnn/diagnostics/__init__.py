"""Looking into a computation: where a NaN or an infinity began.

first_nonfinite(f, *inputs)    the layer, the operation, the pass, the epoch and the batch
"""

from jaxnn.diagnostics.nonfinite import Loop, NonFinite, first_nonfinite

__all__ = ["Loop", "NonFinite", "first_nonfinite"]
