"""Crystal structures: a batch of them, files, symmetry."""

from xtalshift.structure.structures import Structures

__all__ = ["Structures"]
