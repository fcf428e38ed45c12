"""Errors of predictions, always beside those of a constant."""

from xtalshift.metrics.regression import RegressionScores, regression_scores

__all__ = ["RegressionScores", "regression_scores"]
