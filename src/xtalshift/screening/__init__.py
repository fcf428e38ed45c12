"""Millions of formulas through a saved model: in pieces, by many processes, to be continued."""

from xtalshift.screening.run import screen

__all__ = ["screen"]
