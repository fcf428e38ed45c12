"""Shapley values by their definition: the mean over all orders in which players can come."""

from functools import cache
from itertools import permutations

import numpy as np


def shapley_by_orders(value, n):
    """Return the Shapley value of each of n players; `value` takes a set of players."""
    value, found, orders = cache(value), np.zeros(n), list(permutations(range(n)))
    for order in orders:
        present = set()
        for player in order:
            before = value(frozenset(present))
            present.add(player)
            found[player] += value(frozenset(present)) - before
    return found / len(orders)


def feature_shapley(predict, x, baseline):
    """Return how each feature moves a function from a baseline to a row, by all orders."""

    def value(present):
        row = baseline.copy()
        row[list(present)] = x[list(present)]
        return float(predict(row[None])[0])

    return shapley_by_orders(value, len(x))
