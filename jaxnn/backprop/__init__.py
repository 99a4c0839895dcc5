"""Backpropagation on one batch, written out: every number beside the rule that made it."""

from jaxnn.backprop.passes import Explanation, LayerPass, explain

__all__ = ["Explanation", "LayerPass", "explain"]
