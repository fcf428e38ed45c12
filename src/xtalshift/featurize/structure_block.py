"""Features of crystal structures that do not depend on how a crystal is described.

Rotations, other cells of the same lattice, another origin and another order of the atoms leave the
values as they are (to 1e-5). All values are continuous in the positions, so that a small error of
the positions is a small error of the features. Atoms count with their occupancies.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations_with_replacement
from math import factorial, pi, prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.elements import (
    ATOMIC_NUMBERS,
    ELEMENT_CLASSES,
    MAGPIE_PROPERTIES,
    SYMBOLS,
    load_elements,
)
from xtalshift.featurize.blocks import StructureBlock
from xtalshift.featurize.cell_checks import why_overlapping, why_unusable
from xtalshift.featurize.features import Features
from xtalshift.structure import Structures
from xtalshift.structure.bonds import CUTOFF, Bonds, covalent_radii, find_bonds
from xtalshift.structure.dimensionality import dimensionality_scores

FloatArray = NDArray[np.float64]

_CHUNK_ATOMS = 2048  # about 100 neighbours each: a few megabytes
_GRAM = 1.66053906660  # g/cm^3 of one atomic mass unit per cubic angstrom
_TENTH = 0.6  # angstrom by which a bond is longer at a tenth of the order
_FAINT = 1e-6  # bonds of less weight are left out of the means over bonds
_NO_BOND = 1e-6  # weight, beside those of the bonds, of the value of an atom without bonds

_CELL = {  # feature: the property of the elements that it needs
    "density": "AtomicWeight",
    "volume per atom": "",
    "volume over that of the elements": "GSvolume_pa",
    "packing fraction": "CovalentRadius",
    "valence electron density": "NValence",
}
_ATOM = {
    "coordination": "",
    "bond length": "",
    "relative bond length": "CovalentRadius",
    "bond length spread": "",
    "bond order sum": "CovalentRadius",
    "off-centre": "",
    "Q2": "",
    "Q4": "",
    "Q6": "",
    "like bonds": "",
    "metal-metal bonds": "",
    "metal-nonmetal bonds": "",
    "electronegativity difference": "Electronegativity",
}
_STATISTICS = ("mean", "deviation of", "maximum")
_SHELLS = (2.0, 3.0, 4.0, 5.0)  # angstrom
_SHELL_WIDTH = 0.5  # standard deviation of the Gaussian around each
_RELATIVE_SHELLS = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6)  # sums of the covalent radii
_RELATIVE_WIDTH = 0.07

_NEEDED: dict[str, str] = {
    **_CELL,
    "shortest distance": "",
    **{f"{statistic} {name}": need for name, need in _ATOM.items() for statistic in _STATISTICS},
    "largest share of directions": "",
    "least share of directions": "",
    **{f"{dimension}D": "CovalentRadius" for dimension in range(4)},
    **{f"neighbours at {shell:g} A": "" for shell in _SHELLS},
    **{f"neighbours at {shell:g} radii": "CovalentRadius" for shell in _RELATIVE_SHELLS},
}

STRUCTURE_FEATURES: tuple[str, ...] = tuple(f"structure {name}" for name in _NEEDED)
"""Names of the features, in order."""


def structure_features(structures: Structures, *, impute_nan: bool = True) -> Features:
    """Compute the features of n crystal structures.

    Parameters
    ----------
    structures : Structures
        The structures.
    impute_nan : bool, default True
        Replace an unknown property of an element (all of them are artificial or noble gases) by its
        mean over the elements; otherwise the features that need it are NaN.

    Returns
    -------
    Features
        One row per structure, `STRUCTURE_FEATURES`. A row has a reason and no values if it has no
        atoms, or if its atoms are so close that it is no crystal.

    Raises
    ------
    ConfigError
        If pymatgen is not installed.
    """
    values = np.full((len(structures), len(STRUCTURE_FEATURES)), np.nan)
    reasons = why_unusable(structures)
    good = np.flatnonzero(reasons == "")
    part = np.cumsum(structures.sizes[good]) // _CHUNK_ATOMS
    for rows in np.split(good, np.flatnonzero(np.diff(part)) + 1):
        if rows.size:
            chunk = structures.take(rows)
            bonds = find_bonds(chunk)
            close = why_overlapping(chunk, bonds.neighbours)
            reasons[rows] = close
            values[rows] = np.where((close == "")[:, None], _features(chunk, bonds), np.nan)
    if not impute_nan:
        for property_ in MAGPIE_PROPERTIES:
            lacking = np.isnan(_element_values(property_, impute_nan=False))[structures.z]
            columns = [need == property_ for need in _NEEDED.values()]
            values[np.ix_(np.unique(structures.rows[lacking]), np.flatnonzero(columns))] = np.nan
    return Features(values, STRUCTURE_FEATURES, reasons)


def _fill(
    structures: Structures,
    values: FloatArray,
    reasons: NDArray[np.object_],
    *,
    impute_nan: bool,
) -> None:
    structure_features(structures, impute_nan=impute_nan).write(values, reasons)


STRUCTURE = StructureBlock(STRUCTURE_FEATURES, _fill)
"""The block ``structure``."""


def _features(structures: Structures, bonds: Bonds) -> FloatArray:
    """Return the values of a chunk, in the order of `STRUCTURE_FEATURES`."""
    strong = bonds.take(np.flatnonzero(bonds.weights > _FAINT))
    directions, second_moments = _directions(strong, len(structures.z))
    atomic = np.concatenate(
        [_lengths(structures, bonds, strong), directions, _chemistry(structures, strong)]
    )
    return np.column_stack(
        [
            _cell(structures),
            np.minimum.reduceat(bonds.nearest, structures.starts[:-1]),
            _statistics(structures, atomic),
            _shares_of_directions(structures, second_moments),
            dimensionality_scores(structures, bonds),
            _radial(structures, bonds),
        ]
    )


def _cell(structures: Structures) -> FloatArray:
    """Return the features of `_CELL`, shape (n, 5)."""
    z, volumes = structures.z, structures.volumes
    spheres = 4.0 / 3.0 * pi * covalent_radii()[z] ** 3
    return np.column_stack(
        [
            _sums(structures, _element_values("AtomicWeight")[z]) * _GRAM / volumes,
            volumes / _sums(structures, 1.0),
            volumes / _sums(structures, _element_values("GSvolume_pa")[z]),
            _sums(structures, spheres) / volumes,
            _sums(structures, _element_values("NValence")[z]) / volumes,
        ]
    )


def _lengths(structures: Structures, bonds: Bonds, strong: Bonds) -> FloatArray:
    """Return the features of atoms from the lengths of bonds, shape (5, m)."""
    m, pairs = len(structures.z), strong.neighbours
    own = covalent_radii()[structures.z]
    lengths = _means(strong, pairs.distances, m, empty=CUTOFF)
    relative = _means(strong, pairs.distances / strong.radii, m, empty=CUTOFF / (2.0 * own))
    spread = np.sqrt(_means(strong, (pairs.distances / lengths[pairs.atoms] - 1.0) ** 2, m))
    # Pauling, J. Am. Chem. Soc. 69, 542 (1947)
    orders = bonds.presence * 10.0 ** ((bonds.radii - bonds.neighbours.distances) / _TENTH)
    return np.stack(
        [
            np.bincount(bonds.neighbours.atoms, bonds.weights, minlength=m),
            lengths,
            relative,
            spread,
            np.bincount(bonds.neighbours.atoms, orders, minlength=m),
        ]
    )


def _chemistry(structures: Structures, strong: Bonds) -> FloatArray:
    """Return the features of atoms from the elements along their bonds, shape (4, m)."""
    first, second = structures.z[strong.neighbours.atoms], structures.z[strong.neighbours.others]
    metals = _are_metals()[first].astype(np.intp) + _are_metals()[second]
    columns = [first == second, metals == 2, metals == 1]  # noqa: PLR2004
    electronegativity = _element_values("Electronegativity")
    columns.append(np.abs(electronegativity[first] - electronegativity[second]))
    return np.stack([_means(strong, column, len(structures.z)) for column in columns])


class _Monomials(NamedTuple):
    """Products of coordinates of one degree: ``(x . y)^degree = sum_t count_t x^t y^t``."""

    terms: list[tuple[int, ...]]
    counts: list[float]


@cache
def _monomials(degree: int) -> _Monomials:
    terms = list(combinations_with_replacement(range(3), degree))
    counts = [
        factorial(degree) / prod(factorial(term.count(i)) for i in range(3)) for term in terms
    ]
    return _Monomials(terms, counts)


def _directions(strong: Bonds, m: int) -> tuple[FloatArray, FloatArray]:
    """Return the features of atoms from the directions of bonds.

    Returns
    -------
    features : ndarray of float64, shape (4, m)
        The length of the mean direction, and the bond-orientational parameters Q2, Q4 and Q6 of
        Steinhardt, Nelson and Ronchetti, Phys. Rev. B 28, 784 (1983), with the weights of the
        bonds. By the addition theorem ``Q_l^2`` is the mean of the Legendre polynomial ``P_l`` of
        the cosine over all pairs of bonds; the mean of a power of the cosine is a sum of squares
        of moments.
    second_moments : ndarray of float64, shape (6, m)
        Mean of xx, xy, xz, yy, yz and zz.
    """
    pairs = strong.neighbours
    atoms, starts = pairs.groups()
    means, moments = {}, {}
    products: dict[tuple[int, ...], FloatArray] = {(): strong.weights}
    total = np.bincount(pairs.atoms, strong.weights, minlength=m)
    units = (pairs.vectors / pairs.distances[:, None]).T
    for degree in (1, 2, 4, 6):
        columns = np.zeros((len(_monomials(degree).terms), m))
        for column, term in zip(columns, _monomials(degree).terms, strict=True):
            column[atoms] = np.add.reduceat(_product(term, units, products), starts)
        columns /= total + _NO_BOND
        means[degree] = columns
        moments[degree] = np.zeros(m)
        for count, column in zip(_monomials(degree).counts, columns, strict=True):
            moments[degree] += count * column**2  # in one order: the same bits in every batch
    one = (total / (total + _NO_BOND)) ** 2
    c2, c4, c6 = moments[2], moments[4], moments[6]
    squares = [
        moments[1],
        (3.0 * c2 - one) / 2.0,
        (35.0 * c4 - 30.0 * c2 + 3.0 * one) / 8.0,
        (231.0 * c6 - 315.0 * c4 + 105.0 * c2 - 5.0 * one) / 16.0,
    ]
    return np.sqrt(np.maximum(squares, 0.0)), means[2]


def _product(
    term: tuple[int, ...], units: FloatArray, known: dict[tuple[int, ...], FloatArray]
) -> FloatArray:
    """Return the weights times the coordinates of a term, from the term without its last one."""
    if term not in known:
        known[term] = _product(term[:-1], units, known) * units[term[-1]]
    return known[term]


def _shares_of_directions(structures: Structures, second_moments: FloatArray) -> FloatArray:
    """Return the largest and least mean square of the bond directions along a line, (n, 2)."""
    xx, xy, xz, yy, yz, zz = (
        _sums(structures, moment) / _sums(structures, 1.0) for moment in second_moments
    )
    tensor = np.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz], axis=1).reshape(-1, 3, 3)
    return np.asarray(np.linalg.eigvalsh(tensor)[:, [2, 0]], dtype=np.float64)


def _radial(structures: Structures, bonds: Bonds) -> FloatArray:
    """Return the neighbours per atom around some distances, in angstrom and in radii, (n, 13)."""
    distances = bonds.neighbours.distances
    rows = structures.rows[bonds.neighbours.atoms]
    counts = structures.occupancies[bonds.neighbours.atoms] * bonds.presence
    columns = []
    for lengths, shells, width in (
        (distances, _SHELLS, _SHELL_WIDTH),
        (distances / bonds.radii, _RELATIVE_SHELLS, _RELATIVE_WIDTH),
    ):
        for shell in shells:
            near = counts * np.exp(-0.5 * ((lengths - shell) / width) ** 2)
            columns.append(np.bincount(rows, near, minlength=len(structures)))
    return np.column_stack(columns) / _sums(structures, 1.0)[:, None]


def _statistics(structures: Structures, atomic: FloatArray) -> FloatArray:
    """Return mean, standard deviation and maximum over the atoms, feature by feature."""
    rows, starts, atoms = structures.rows, structures.starts[:-1], _sums(structures, 1.0)
    columns = []
    for one in atomic:
        mean = _sums(structures, one) / atoms
        variance = _sums(structures, (one - mean[rows]) ** 2) / atoms
        columns += [mean, np.sqrt(variance), np.maximum.reduceat(one, starts)]
    return np.column_stack(columns)


def _sums(structures: Structures, values: FloatArray | float) -> FloatArray:
    """Return the sum over the atoms of each structure, with their occupancies, shape (n,)."""
    weighted = values * structures.occupancies
    sums = np.bincount(structures.rows, weighted, minlength=len(structures))
    return np.asarray(sums, dtype=np.float64)


def _means(
    strong: Bonds, values: NDArray[Any], m: int, empty: FloatArray | float = 0.0
) -> FloatArray:
    """Return the weighted mean over the bonds of each atom, `empty` without bonds, shape (m,)."""
    atoms, weights = strong.neighbours.atoms, strong.weights
    total = np.bincount(atoms, weights, minlength=m)
    sums = np.bincount(atoms, weights * values, minlength=m)
    return np.asarray((sums + _NO_BOND * empty) / (total + _NO_BOND))


@cache
def _element_values(name: str, *, impute_nan: bool = True) -> FloatArray:
    """Return a property of `MAGPIE_PROPERTIES` by atomic number, shape (119,)."""
    table = load_elements(impute_nan=impute_nan).magpie
    return np.ascontiguousarray(table[:, MAGPIE_PROPERTIES.index(name)])


@cache
def _are_metals() -> NDArray[np.bool_]:
    """Return which atomic numbers are metals (metalloids are not), shape (119,)."""
    metals = np.zeros(len(SYMBOLS), dtype=bool)
    metals[[ATOMIC_NUMBERS[symbol] for symbol in ELEMENT_CLASSES["metal"]]] = True
    return metals
