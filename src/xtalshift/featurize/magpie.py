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
from xtalshift.chem.elements import MAGPIE_PROPERTIES, load_elements

__all__ = ["MAGPIE_FEATURES", "UNKNOWN_CHARGE", "magpie_features"]

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


def magpie_features(
    z: NDArray[np.uint8], amounts: NDArray[np.float64], *, impute_nan: bool
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Compute all features of m compositions of k elements each.

    Parameters
    ----------
    z : ndarray of uint8, shape (k, m)
        Atomic numbers.
    amounts : ndarray of float64, shape (k, m)
        Amounts as written (not normalised).
    impute_nan : bool
        Replace unknown properties by their mean over the elements; otherwise they are NaN.

    Returns
    -------
    values : ndarray of float64, shape (m, 145)
        In the order of `MAGPIE_FEATURES`.
    unknown : ndarray of bool, shape (m,)
        Rows with the reason `UNKNOWN_CHARGE`.
    """
    values = np.empty((z.shape[1], len(MAGPIE_FEATURES)))
    fractions = amounts / amounts.sum(axis=0)
    values[:, :_FIRST_STATISTIC] = _norms(fractions)
    statistics = values[:, _FIRST_STATISTIC:_FIRST_ORBITAL]
    statistics = statistics.reshape(len(values), len(MAGPIE_PROPERTIES), len(_STATISTICS))
    _statistics(z, amounts, fractions, load_elements(impute_nan=impute_nan).magpie, statistics)
    mean = statistics[:, :, _STATISTICS.index("mean")]
    values[:, _FIRST_ORBITAL : _FIRST_ORBITAL + 4] = mean[:, _VALENCE : _VALENCE + 4]
    values[:, -3], unknown = can_be_neutral(z, amounts)
    values[:, -2], values[:, -1] = _ionic_characters(z, fractions, impute_nan=impute_nan)
    return values, unknown


def _norms(fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``(sum x^p)^(1/p)`` for each p (p = 0 counts the elements), shape (m, 6)."""
    square = fractions * fractions
    cube = square * fractions
    fifth = square * cube
    powers = (square, cube, fifth, fifth * square, fifth * fifth)
    norms = np.empty((fractions.shape[1], len(_NORMS)))
    norms[:, 0] = len(fractions)
    for column, (p, power) in enumerate(zip(_NORMS[1:], powers, strict=True), start=1):
        norms[:, column] = power.sum(axis=0) ** (1.0 / p)
    return norms


def _statistics(
    z: NDArray[np.uint8],
    amounts: NDArray[np.float64],
    fractions: NDArray[np.float64],
    table: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Write the six statistics of each property to `out`, shape (m, 22, 6)."""
    most = amounts.max(axis=0)
    is_mode = np.abs(amounts - most) <= 1e-8 + 1e-5 * most  # the tolerance of numpy.isclose
    properties = table[z]  # (k, m, 22)
    weights = fractions[:, :, None]
    minimum, maximum = properties.min(axis=0), properties.max(axis=0)
    mean = (weights * properties).sum(axis=0)
    out[..., 0] = minimum
    out[..., 1] = maximum
    out[..., 2] = maximum - minimum
    out[..., 3] = mean
    out[..., 4] = (weights * np.abs(properties - mean)).sum(axis=0)
    out[..., 5] = np.where(is_mode[:, :, None], properties, np.inf).min(axis=0)


def _ionic_characters(
    z: NDArray[np.uint8], fractions: NDArray[np.float64], *, impute_nan: bool
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
def _pair_characters(*, impute_nan: bool) -> NDArray[np.float64]:
    """Return ``1 - exp(-(X_a - X_b)^2 / 4)`` by both atomic numbers (Pauling), (119, 119)."""
    x = load_elements(impute_nan=impute_nan).electronegativity
    return np.asarray(1.0 - np.exp(-0.25 * np.subtract.outer(x, x) ** 2))
