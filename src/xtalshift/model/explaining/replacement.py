"""What stands in the place of an element that is taken out of a formula.

A prediction without an element needs a material without it. To leave it out and share its amount
among the others changes PbTe into lead. Here a part of a training material takes its place. Both
formulas are sorted: metals (elements without a negative oxidation state), then the others, each by
electronegativity. If one has more elements, it is cut into as many runs as the other has elements,
between metals and others first and then where neighbours differ most; runs and elements then belong
together in order. Lead telluride and lithium iron phosphate have Pb - LiFe and Te - PO in common:
without Pb it is (LiFe)Te, without Te it is Pb(PO4). If everything is replaced, the training
material itself is left, so that nothing is counted twice or lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.charge_neutrality import has_state
from xtalshift.chem.compositions import Compositions
from xtalshift.chem.elements import SYMBOLS, load_elements
from xtalshift.estimators.shapley import coalitions

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_APART = 10.0  # more than any electronegativity: between metals and others


@dataclass(frozen=True, eq=False)
class Places:
    """The places of a formula of n elements, and what m training materials have there.

    Attributes
    ----------
    own : ndarray of float64, shape (n, 118)
        1 in the column of the element of each place, in the order of the formula.
    own_shares : ndarray of float64, shape (n,)
        Atomic fraction of each.
    others : ndarray of float64, shape (m, n, 118)
        What each training material has in its place, as fractions with the sum 1.
    other_shares : ndarray of float64, shape (m, n)
        How much of the training material that is.
    """

    own: FloatArray
    own_shares: FloatArray
    others: FloatArray
    other_shares: FloatArray

    @classmethod
    def of(cls, formula: Compositions, materials: Compositions) -> Places:
        """Return the places of one formula, and what n training materials have there."""
        z, shares = _sorted(formula, 0)
        written = formula.z[: formula.starts[1]].astype(np.int64)
        order = np.array([int(np.flatnonzero(z == one)[0]) for one in written])
        others = np.zeros((len(materials), len(z), len(SYMBOLS) - 1))
        other_shares = np.zeros((len(materials), len(z)))
        for row in range(len(materials)):
            _place(others[row], other_shares[row], (z, shares), _sorted(materials, row))
        own = np.zeros((len(z), len(SYMBOLS) - 1))
        own[np.arange(len(z)), written - 1] = 1.0
        return cls(own, shares[order], others[:, order], other_shares[:, order])

    def mixed(self, *, proportions: bool) -> FloatArray:
        """Return the atomic fractions that are left with each set of elements of the formula.

        Parameters
        ----------
        proportions : bool
            Whether the places have the shares of the formula, or those of the training materials.

        Returns
        -------
        ndarray of float64, shape (2^n, m, 118)
            Coalitions of elements in the order of `xtalshift.estimators.shapley.coalitions`.
        """
        inside = coalitions(len(self.own)).astype(np.float64)
        shares = self.other_shares
        if proportions:
            shares = np.broadcast_to(self.own_shares, shares.shape)
        kept = np.einsum("ab,cb,bd->acd", inside, shares, self.own, optimize=True)
        replaced = np.einsum("ab,cb,cbd->acd", 1 - inside, shares, self.others, optimize=True)
        return np.asarray(kept + replaced)


def as_compositions(fractions: FloatArray) -> Compositions:
    """Return rows of atomic fractions, shape (n, 118), as compositions."""
    rows, columns = np.nonzero(fractions)
    starts = np.append(0, np.cumsum(np.bincount(rows, minlength=len(fractions))))
    return Compositions(
        starts.astype(np.int64), (columns + 1).astype(np.uint8), fractions[rows, columns]
    )


def _sorted(compositions: Compositions, row: int) -> tuple[IntArray, FloatArray]:
    """Return the elements of a row in their order, and their shares."""
    inside = slice(compositions.starts[row], compositions.starts[row + 1])
    z, amounts = compositions.z[inside].astype(np.int64), compositions.amounts[inside]
    order = np.lexsort((z, _rank()[z]))
    return z[order], (amounts / amounts.sum())[order]


@cache
def _rank() -> FloatArray:
    """Return the place of each element in the order, by atomic number, shape (119,)."""
    states = has_state()
    negative = states[:, : states.shape[1] // 2].any(axis=1)
    pauling = np.nan_to_num(load_elements(impute_nan=True).electronegativity)
    return np.asarray(pauling + _APART * negative)


def _place(
    others: FloatArray,
    shares: FloatArray,
    own: tuple[IntArray, FloatArray],
    given: tuple[IntArray, FloatArray],
) -> None:
    """Fill in what a training material has in each place, in order."""
    (z, amounts), (other_z, other_amounts) = own, given
    if len(z) > len(other_z):
        run = _runs(z, len(other_z))  # of each place
        others[np.arange(len(z)), other_z[run] - 1] = 1.0
        shares[:] = other_amounts[run] * amounts / np.bincount(run, amounts)[run]
        return
    run = _runs(other_z, len(z))  # of each element of the training material
    shares[:] = np.bincount(run, other_amounts)
    others[run, other_z - 1] = other_amounts / shares[run]


def _runs(z: IntArray, count: int) -> IntArray:
    """Return in which of so many runs each element is, cut at the widest gaps."""
    gaps = np.diff(_rank()[z])
    cuts = np.sort(np.argsort(-gaps, kind="stable")[: count - 1])
    return np.searchsorted(cuts, np.arange(len(z)), side="left").astype(np.int64)
