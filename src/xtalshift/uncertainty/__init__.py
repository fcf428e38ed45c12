"""Prediction intervals: conformal scores, their quantiles, and weights under covariate shift."""
