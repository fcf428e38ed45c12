"""Rows for a cache, and a process that adds them."""

import numpy as np

from xtalshift.featurize.row_cache import RowCache

KEYS = [f"{k:032x}" for k in range(1300)]  # more than one question to the database
ROWS = np.random.default_rng(0).normal(size=(len(KEYS), 3)).astype(np.float32)


def add_all(path, begin, end):
    """Add some rows, ten in each transaction."""
    cache = RowCache(path, 3)
    for k in range(begin, end, 10):
        cache.add(KEYS[k : k + 10], ROWS[k : k + 10])
