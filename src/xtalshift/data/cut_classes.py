"""Classes of a number: which range it is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from xtalshift.data.dataset import Dataset
from xtalshift.errors import ConfigError


def cut_classes(
    data: Dataset, cuts: Sequence[float], names: Sequence[str] = (), *, ordered: bool = False
) -> Dataset:
    """Return a data set whose target is the range that its number is in.

    Parameters
    ----------
    data : Dataset
        With targets that are numbers, clean: replicates are averaged before they are cut.
    cuts : sequence of float
        Ends of the ranges, ascending; each belongs to the range below it. A cut at 0 tells 0 from
        positive numbers.
    names : sequence of str, optional
        Names of the ranges, one more than cuts.
    ordered : bool
        Whether a model is to know their order.

    Raises
    ------
    ConfigError
        If the targets are classes, cuts do not ascend, or there are not as many names as ranges.

    Examples
    --------
    >>> import xtalshift as xs
    >>> data = cut_classes(xs.Dataset.of(["Cu", "Si", "NaCl"], [0.0, 1.1, 8.5]), [0, 2])
    >>> data.classes, data.y.tolist()
    (('up to 0', '0 to 2', 'above 2'), [0.0, 1.0, 2.0])
    """
    ends = np.asarray(cuts, dtype=np.float64)
    if data.classes is not None:
        raise ConfigError("the target is a class already; cuts are for numbers")
    if not len(ends) or (np.diff(ends) <= 0).any() or not np.isfinite(ends).all():
        raise ConfigError(f"cuts = {list(cuts)}: expected numbers that ascend")
    shown = [f"{end:g}" for end in ends]
    found = tuple(names) or (
        f"up to {shown[0]}",
        *(f"{low} to {high}" for low, high in pairwise(shown)),
        f"above {shown[-1]}",
    )
    if len(set(found)) != len(ends) + 1:
        raise ConfigError(f"{len(ends)} cuts make {len(ends) + 1} classes, not {', '.join(found)}")
    codes = np.searchsorted(ends, data.y, side="left").astype(np.float64)
    codes[~np.isfinite(data.y)] = np.nan
    return replace(
        data, targets=codes, classes=found, ordered=ordered, unit="", bounds=None, noise=None
    )
