"""Predict properties of materials unlike the training data, and say how far to trust each one."""

__version__ = "0.1.0"
