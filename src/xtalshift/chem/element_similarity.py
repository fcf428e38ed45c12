"""Similar elements: which ones may replace another in a compound."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.charge_neutrality import has_state
from xtalshift.chem.elements import ELEMENT_CLASSES, MAGPIE_PROPERTIES, SYMBOLS, load_elements

_SHELLS = ("Valence", "Unfilled")  # NsValence ... NUnfilled: the family replaces them


@cache
def element_distances() -> NDArray[np.float64]:
    """Return the distance between two elements, by both atomic numbers.

    It is the root-mean-square difference of 12 Magpie properties (all but the numbers of valence
    electrons and holes), each in standard deviations over the elements whose Magpie properties are
    all known. Elements of different families have an infinite distance; a family is one main group,
    the d block, the f block, or the rare earths.

    Returns
    -------
    ndarray of float64, shape (119, 119)
        NaN where a property is unknown; otherwise 0 on the diagonal.
    """
    magpie = load_elements().magpie
    known = ~np.isnan(magpie).any(axis=1)
    kept = [not name.endswith(_SHELLS) for name in MAGPIE_PROPERTIES]
    scaled = (magpie - magpie[known].mean(axis=0)) / magpie[known].std(axis=0)
    difference = (scaled[:, None, :] - scaled[None, :, :])[..., kept]
    distances = np.where(_same_family(), np.sqrt((difference**2).mean(axis=2)), np.inf)
    distances[~known] = distances[:, ~known] = np.nan
    distances.flags.writeable = False
    return distances


@cache
def similar_elements(count: int, state: int | None = None) -> NDArray[np.uint8]:
    """Return the nearest other elements that share a common oxidation state.

    Parameters
    ----------
    count : int
        Neighbours per element.
    state : int, optional
        Restrict elements and neighbours to those with this oxidation state.

    Returns
    -------
    ndarray of uint8, shape (119, count)
        Row Z: atomic numbers, nearest first (see `element_distances`), padded with 0.
    """
    states = has_state()
    if state is None:
        shared = (states.astype(np.int64) @ states.T.astype(np.int64)) > 0
    else:
        column = state + states.shape[1] // 2
        inside = 0 <= column < states.shape[1]
        has = states[:, column] if inside else np.zeros(len(states), dtype=np.bool_)
        shared = np.logical_and.outer(has, has)
    distances = np.where(shared, element_distances(), np.inf)
    np.fill_diagonal(distances, np.inf)
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    found = np.isfinite(np.take_along_axis(distances, order, axis=1))
    table = np.zeros((len(states), count), dtype=np.uint8)
    table[:, : order.shape[1]] = np.where(found, order, 0)
    table.flags.writeable = False
    return table


def _same_family() -> NDArray[np.bool_]:
    """Return whether two elements have a family in common, by both atomic numbers."""
    column = load_elements(impute_nan=True).magpie[:, MAGPIE_PROPERTIES.index("Column")]
    family = np.where((column > 2) & (column < 13), 0.0, column)  # noqa: PLR2004
    symbols = np.array(SYMBOLS)
    family[np.isin(symbols, ELEMENT_CLASSES["lanthanide"] + ELEMENT_CLASSES["actinide"])] = -1.0
    rare = np.isin(symbols, ELEMENT_CLASSES["rare_earth"])
    return np.asarray(np.equal.outer(family, family) | np.logical_and.outer(rare, rare))
