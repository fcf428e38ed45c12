"""Predict millions of formulas with a saved model: in blocks, in many processes, resumable."""

from xtalshift.screening.run import screen

__all__ = ["screen"]
