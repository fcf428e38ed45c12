"""Predict millions of formulas with a saved model: in blocks, in many processes, resumable."""
