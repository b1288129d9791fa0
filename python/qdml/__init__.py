# SPDX-License-Identifier: MIT
"""qdml: machine-learned force fields for colloidal quantum dots.

`qdml.Calculator("model.qdml")` is an ASE calculator; the command line is `qdml --help`.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Calculator", "__version__"]

if TYPE_CHECKING:
    from qdml.calculator import Calculator


def __getattr__(name: str) -> object:
    """Import the calculator only when asked for: the command line starts without ASE."""
    if name == "Calculator":
        from qdml.calculator import Calculator

        return Calculator
    raise AttributeError(f"module 'qdml' has no attribute '{name}'")
