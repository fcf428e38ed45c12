"""The Tobit loss of one row after the other, from the probabilities of scipy."""

import math

import numpy as np
from scipy.optimize import minimize
from scipy.stats import norm


def loss_of_row(prediction, lower, upper, spread):
    """Return ``s^2`` times minus the log-likelihood, less that of a value that is predicted."""
    if lower == upper:
        at_center = norm.logpdf(0.0, scale=spread)
        return -(spread**2) * (norm.logpdf(lower, loc=prediction, scale=spread) - at_center)
    if lower == -math.inf:
        return -(spread**2) * norm.logcdf(upper, loc=prediction, scale=spread)
    if upper == math.inf:
        return -(spread**2) * norm.logsf(lower, loc=prediction, scale=spread)
    between = norm.cdf(upper, loc=prediction, scale=spread) - norm.cdf(
        lower, loc=prediction, scale=spread
    )
    return -(spread**2) * math.log(between)


def losses(predictions, lower, upper, spread):
    """Return the losses of all rows, shape (n,)."""
    rows = zip(predictions, lower, upper, spread, strict=True)
    return np.array([loss_of_row(*map(float, row)) for row in rows])


def fit_line(x, lower, upper, spread):
    """Return intercept and slope of the line with the largest likelihood, by scipy."""

    def total(line):
        return losses(line[0] + line[1] * x, lower, upper, spread).sum()

    return minimize(total, np.zeros(2), method="BFGS", options={"gtol": 1e-7}).x
