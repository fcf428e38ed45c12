"""Importance weights: how much likelier a source row is in the target domain."""
