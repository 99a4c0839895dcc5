"""Measured accuracy: every function against high-precision truth, on the machine at hand.

    python -m jaxnn.check                           all of it, in a few minutes
    python -m jaxnn.check activations huber         a module, a function
    python -m jaxnn.check --against jax,torch       beside what others do at the same points

prints a table of the worst errors, writes it as Markdown and JSON, and exits non-zero where the
promise of the documentation is broken. `run` does the same from Python, and `gradient` holds a
function of your own to it. Needs mpmath: `pip install 'jaxnn-functional[check]'`.
"""

from jaxnn.check._gradient import gradient
from jaxnn.check._run import run

__all__ = ["gradient", "run"]
