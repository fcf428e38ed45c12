"""Which elements may stand in for another one."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.charge_neutrality import has_state
from xtalshift.chem.elements import MAGPIE_PROPERTIES, load_elements

__all__ = ["element_distances", "similar_elements"]


_SHELLS = ("Valence", "Unfilled")  # NsValence ... NUnfilled: the family says them better
_F_BLOCK = ((57, 71), (89, 103))
_RARE_EARTHS = (21, 39, *range(57, 72))  # Sc and Y behave like the lanthanides


@cache
def element_distances() -> NDArray[np.float64]:
    """Return how far apart two elements are, by both atomic numbers.

    The distance is the root-mean-square difference of the 12 Magpie properties that are no numbers
    of valence electrons or holes, each in standard deviations over the elements that count: those
    whose Magpie properties are all tabulated. Elements of different families are infinitely far
    apart; a family is one main group, the d block, the f block, or the rare earths.

    Returns
    -------
    ndarray of float64, shape (119, 119)
        NaN where an element does not count; 0 on the diagonal otherwise.
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
        Only neighbours that have this oxidation state, of elements that have it.

    Returns
    -------
    ndarray of uint8, shape (119, count)
        Row Z: atomic numbers, nearest first (see `element_distances`), filled up with 0.
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
    z = np.arange(len(load_elements().magpie))
    column = load_elements(impute_nan=True).magpie[:, MAGPIE_PROPERTIES.index("Column")]
    family = np.where((column > 2) & (column < 13), 0.0, column)  # noqa: PLR2004
    for first, last in _F_BLOCK:
        family[(z >= first) & (z <= last)] = -1.0
    rare = np.isin(z, _RARE_EARTHS)
    return np.asarray(np.equal.outer(family, family) | np.logical_and.outer(rare, rare))
