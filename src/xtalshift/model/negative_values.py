"""Predictions below 0 of a property that is never negative in the training table."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from xtalshift.words import plural


def warn_of_negative(predictions: ArrayLike, name: str) -> Iterable[str]:
    """Yield a warning if predictions are below 0, for a model whose training values are not.

    Parameters
    ----------
    predictions : array_like of float, shape (n,)
        Those of the rows that were chosen.
    name : str
        What is predicted.
    """
    values = np.asarray(predictions, dtype=np.float64)
    below = int(np.sum(values < 0))
    if below:
        yield (
            f"warning: {plural(below, 'row', 'has', 'have')} a prediction of {name} below 0, which "
            "no training value is. Where it cannot be negative, train with --transform log (values "
            "over decades) or clip, which predict none; otherwise such rows win goals of low values"
        )
