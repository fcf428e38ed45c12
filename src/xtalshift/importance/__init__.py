"""Importance weights: density ratios and kernel mean matching."""
