"""Predict millions of formulas with a saved model: in blocks, in many processes, resumable."""

from xtalshift.screening.stream import screen

__all__ = ["screen"]
