"""The 145 composition features of Magpie.

The definitions are those of Ward et al., npj Comput. Mater. 2, 16028 (2016), as matminer 0.10
computes them: stoichiometry norms, statistics of elemental properties, valence orbitals, ions.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.charge_neutrality import MAX_SUMS, can_be_neutral
from xtalshift.chem.compositions import Compositions
from xtalshift.chem.elements import MAGPIE_PROPERTIES, load_elements
from xtalshift.featurize.blocks import Block

_NORMS = (0, 2, 3, 5, 7, 10)
_STATISTICS = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")
_VALENCE = MAGPIE_PROPERTIES.index("NsValence")  # followed by p, d and f
_FIRST_STATISTIC = len(_NORMS)
_FIRST_ORBITAL = _FIRST_STATISTIC + len(MAGPIE_PROPERTIES) * len(_STATISTICS)

MAGPIE_FEATURES: tuple[str, ...] = (
    *(f"{p}-norm" for p in _NORMS),
    *(f"MagpieData {stat} {name}" for name in MAGPIE_PROPERTIES for stat in _STATISTICS),
    *(f"avg {orbital} valence electrons" for orbital in "spdf"),
    "compound possible",
    "max ionic char",
    "avg ionic char",
)
"""Names of the features in order, those of matminer."""

UNKNOWN_CHARGE = (
    "charge neutrality is too costly to decide: the oxidation states of half of the elements have "
    f"more than {MAX_SUMS:,} different sums; round the amounts or leave the row out"
)
"""The reason for a composition whose feature 'compound possible' is not computed."""


def count_imputed(compositions: Compositions) -> NDArray[np.int64]:
    """Return how many of the 22 properties an element of each composition lacks, shape (n,)."""
    counts = np.zeros(len(compositions), dtype=np.int64)
    missing: NDArray[np.bool_] = np.isnan(load_elements().magpie)
    lacking: NDArray[np.bool_] = np.any(missing, axis=1)
    at = np.flatnonzero(lacking[compositions.z])
    if at.size:
        rows, first = np.unique(
            np.searchsorted(compositions.starts, at, side="right") - 1, return_index=True
        )
        counts[rows] = np.logical_or.reduceat(missing[compositions.z[at]], first).sum(axis=1)
    return counts


def _fill(
    compositions: Compositions,
    values: NDArray[np.float64],
    reasons: NDArray[np.object_],
    *,
    impute_nan: bool,
) -> None:
    """Write the Magpie features to `values` and what is wrong to `reasons`."""
    sizes = compositions.sizes
    order = np.argsort(sizes, kind="stable")  # rows of equally many elements are one array
    columns = np.empty((len(MAGPIE_FEATURES), len(sizes)))
    end = 0
    for size, count in enumerate(np.bincount(sizes).tolist()):
        begin, end = end, end + count
        if size == 0 or count == 0:
            continue
        rows = order[begin:end]
        at = compositions.starts[rows] + np.arange(size)[:, None]
        unknown = _fill_equal_sizes(
            compositions.z[at].astype(np.intp),
            compositions.amounts[at],
            impute_nan=impute_nan,
            out=columns[:, begin:end],
        )
        reasons[rows[unknown]] = UNKNOWN_CHARGE
    if values.flags.f_contiguous:
        columns.take(np.argsort(order), axis=1, out=values.T, mode="clip")
    else:
        values[order] = columns.T


def _fill_equal_sizes(
    z: NDArray[np.intp],
    amounts: NDArray[np.float64],
    *,
    impute_nan: bool,
    out: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Compute all features of m compositions of k elements each.

    Parameters
    ----------
    z : ndarray of intp, shape (k, m)
        Atomic numbers.
    amounts : ndarray of float64, shape (k, m)
        Amounts as written (not normalised).
    impute_nan : bool
        Replace unknown properties by their mean over the elements; otherwise they are NaN.
    out : ndarray of float64, shape (145, m)
        Filled with the values in the order of `MAGPIE_FEATURES`.

    Returns
    -------
    ndarray of bool, shape (m,)
        Compositions with the reason `UNKNOWN_CHARGE`.
    """
    fractions = amounts / sum(amounts)  # one by one: another order for one composition otherwise
    _fill_norms(fractions, out[:_FIRST_STATISTIC])
    statistics = out[_FIRST_STATISTIC:_FIRST_ORBITAL]
    statistics = statistics.reshape(len(MAGPIE_PROPERTIES), len(_STATISTICS), -1)
    _fill_statistics(z, amounts, fractions, _properties(impute_nan=impute_nan), statistics)
    mean = statistics[:, _STATISTICS.index("mean")]
    out[_FIRST_ORBITAL : _FIRST_ORBITAL + 4] = mean[_VALENCE : _VALENCE + 4]
    out[-3], unknown = can_be_neutral(z.astype(np.uint8), amounts)
    out[-2], out[-1] = _ionic_characters(z, fractions, impute_nan=impute_nan)
    return unknown


def _fill_norms(fractions: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write ``(sum x^p)^(1/p)`` for each p (p = 0 counts the elements) to `out`, shape (6, m)."""
    square = fractions * fractions
    cube = square * fractions
    fifth = square * cube
    powers = (square, cube, fifth, fifth * square, fifth * fifth)
    out[0] = len(fractions)
    for norm, p, power in zip(out[1:], _NORMS[1:], powers, strict=True):
        norm[:] = sum(power) ** (1.0 / p)


def _fill_statistics(
    z: NDArray[np.intp],
    amounts: NDArray[np.float64],
    fractions: NDArray[np.float64],
    table: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Write the six statistics of each property to `out`, shape (22, 6, m)."""
    properties = [table.take(element, axis=1) for element in z]  # k arrays of shape (22, m)
    minimum, maximum, spread, mean, deviation, mode = np.moveaxis(out, 1, 0)
    minimum[:] = maximum[:] = properties[0]
    for values in properties[1:]:
        np.minimum(minimum, values, out=minimum)
        np.maximum(maximum, values, out=maximum)
    np.subtract(maximum, minimum, out=spread)

    most = amounts.max(axis=0)
    is_mode = np.abs(amounts - most) <= 1e-8 + 1e-5 * most  # the tolerance of numpy.isclose
    work = table.take(z[is_mode.argmax(axis=0), np.arange(z.shape[1])], axis=1)
    for place in range(1, len(z)):  # of several modes the least counts
        also = np.flatnonzero(is_mode[place] & is_mode[:place].any(axis=0))
        work[:, also] = np.minimum(work[:, also], properties[place][:, also])
    mode[:] = work

    mean[:] = deviation[:] = 0.0
    for values, fraction in zip(properties, fractions, strict=True):
        mean += np.multiply(values, fraction, out=work)
    for values, fraction in zip(properties, fractions, strict=True):
        values -= mean  # noqa: PLW2901 - in place, because new arrays cost more than the sums
        np.abs(values, out=values)
        values *= fraction  # noqa: PLW2901
        deviation += values


def _ionic_characters(
    z: NDArray[np.intp], fractions: NDArray[np.float64], *, impute_nan: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest and the mean ionic character over pairs of elements, each (m,)."""
    table = _pair_characters(impute_nan=impute_nan)
    largest, mean = np.zeros((2, z.shape[1]))
    for a, b in combinations(range(len(z)), 2):
        character = table[z[a], z[b]]
        largest = np.maximum(largest, character)
        mean += fractions[a] * fractions[b] * character
    return largest, mean


@cache
def _properties(*, impute_nan: bool) -> NDArray[np.float64]:
    """Return the elemental properties by property and atomic number, (22, 119)."""
    return np.ascontiguousarray(load_elements(impute_nan=impute_nan).magpie.T)


@cache
def _pair_characters(*, impute_nan: bool) -> NDArray[np.float64]:
    """Return ``1 - exp(-(X_a - X_b)^2 / 4)`` by both atomic numbers (Pauling), (119, 119)."""
    x = load_elements(impute_nan=impute_nan).electronegativity
    return np.asarray(1.0 - np.exp(-0.25 * np.subtract.outer(x, x) ** 2))


MAGPIE = Block(MAGPIE_FEATURES, _fill)
"""The block ``magpie``."""
