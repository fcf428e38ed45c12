"""Known compounds with the same formula type and elements of the same groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.compositions import Compositions
from xtalshift.chem.oxidation import element_groups

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Hashes = NDArray[np.uint64]

_WHOLE = 1e-8


class Analogues:
    """Finds the analogues of compositions in a list of known compounds.

    Two compounds are analogues if their reduced formulas have the same amounts of elements of the
    same groups of the periodic table: KSbS2 and CsSbSe2. Formulas are compared by 64-bit hashes; of
    10^7 formulas against 10^5 known ones, a wrong match has a probability of 5e-8.

    Parameters
    ----------
    known : Compositions
        Known compounds; those without whole numbers of atoms are left out.
    """

    def __init__(self, known: Compositions) -> None:
        rows = _reduce(known)
        _, first = np.unique(_hash_rows(rows, rows.z), return_index=True)
        self._rows = rows.take(first)
        self._own = _hash_rows(self._rows, self._rows.z)  # ascending
        types = _hash_rows(self._rows, element_groups()[self._rows.z])
        self._order = np.argsort(types, kind="stable")
        self._types, self._starts, self._sizes = np.unique(
            types[self._order], return_index=True, return_counts=True
        )
        self._members: dict[int, tuple[IntArray, list[str]]] = {}

    def __len__(self) -> int:
        """Return the number of different known compounds."""
        return len(self._rows)

    def count(self, z: tuple[int, ...], amounts: IntArray) -> tuple[IntArray, BoolArray, IntArray]:
        """Return the number of analogues of n compositions of k elements.

        Parameters
        ----------
        z : tuple of int
            Atomic numbers of k elements.
        amounts : ndarray of int64, shape (k, n)
            Amounts of reduced formulas.

        Returns
        -------
        number : ndarray of int64, shape (n,)
            How many other known compounds are analogues.
        known : ndarray of bool, shape (n,)
            Whether the compound itself is known.
        kind : ndarray of int64, shape (n,)
            For `nearest`; -1 where neither the compound nor an analogue is known.
        """
        own, groups = np.array(z)[:, None], element_groups()[list(z)][:, None]
        kind = _find(self._types, _hash(groups, amounts).sum(axis=0, dtype=np.uint64))
        number, known = np.zeros(len(kind), dtype=np.int64), np.zeros(len(kind), dtype=np.bool_)
        seen = np.flatnonzero(kind >= 0)
        if len(seen):
            hashes = _hash(own, amounts[:, seen]).sum(axis=0, dtype=np.uint64)
            known[seen] = _find(self._own, hashes) >= 0
            number[seen] = self._sizes[kind[seen]] - known[seen]
        return number, known, kind

    def count_each(self, compositions: Compositions) -> tuple[IntArray, BoolArray]:
        """Return the number of analogues of n compositions of any elements, and which are known.

        Parameters
        ----------
        compositions : Compositions
            n rows, none of them empty; amounts are reduced here.

        Returns
        -------
        number : ndarray of int64, shape (n,)
        known : ndarray of bool, shape (n,)
            As `count`.
        """
        reduced = compositions.counts().astype(np.float64)
        rows = Compositions(compositions.starts, compositions.z, reduced)
        kind = _find(self._types, _hash_rows(rows, element_groups()[rows.z]))
        known = _find(self._own, _hash_rows(rows, rows.z)) >= 0
        number = np.zeros(len(rows), dtype=np.int64)
        seen = kind >= 0
        number[seen] = self._sizes[kind[seen]] - known[seen]
        return number, known

    def nearest(self, z: tuple[int, ...], amounts: IntArray, kind: int) -> str:
        """Return the formula of the analogue of one composition with the nearest atomic numbers."""
        if kind not in self._members:
            start = self._starts[kind]
            rows = self._rows.take(self._order[start : start + self._sizes[kind]])
            parts = zip(rows.starts, rows.starts[1:], strict=False)
            aligned = [_aligned(rows.z[a:b].astype(np.int64), rows.amounts[a:b]) for a, b in parts]
            self._members[kind] = np.array(aligned), rows.reduced_formulas().tolist()
        numbers, formulas = self._members[kind]
        distance = np.abs(numbers - _aligned(np.array(z), amounts)).sum(axis=1)
        distance[distance == 0] = np.iinfo(np.int64).max  # the compound itself
        return str(formulas[distance.argmin()])


def _aligned(z: IntArray, amounts: NDArray[np.float64] | IntArray) -> IntArray:
    """Return atomic numbers in an order that is the same for all analogues."""
    return z[np.lexsort((z, amounts, element_groups()[z]))]


def _reduce(compositions: Compositions) -> Compositions:
    """Return the rows of whole numbers of atoms, without common divisors."""
    filled = compositions.take(compositions.sizes > 0)
    if not len(filled):
        return filled
    counts = np.rint(filled.amounts)
    broken = (np.abs(counts - filled.amounts) > _WHOLE) | (counts < 1)
    whole = ~np.logical_or.reduceat(broken, filled.starts[:-1])
    rows = filled.take(whole)
    counts = np.rint(rows.amounts).astype(np.int64)
    divisors = np.gcd.reduceat(counts, rows.starts[:-1]) if len(counts) else counts
    return Compositions(
        rows.starts, rows.z, (counts // np.repeat(divisors, rows.sizes)).astype(np.float64)
    )


def _hash_rows(rows: Compositions, names: NDArray[np.integer]) -> Hashes:
    """Return one hash per row of the pairs of a name (element or group) and an amount."""
    if not len(rows):
        return np.zeros(0, dtype=np.uint64)
    pairs = _hash(names.astype(np.int64), rows.amounts.astype(np.int64))
    return np.asarray(np.add.reduceat(pairs, rows.starts[:-1]), dtype=np.uint64)


def _hash(names: IntArray, amounts: IntArray) -> Hashes:
    """Mix names and amounts (SplitMix64); sums of the results do not depend on the order."""
    mixed = (names.astype(np.uint64) << np.uint64(32)) + amounts.astype(np.uint64)
    mixed += np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _find(ascending: Hashes, wanted: Hashes) -> IntArray:
    """Return the place of each hash, -1 where it is missing."""
    if not len(ascending):
        return np.full(len(wanted), -1, dtype=np.int64)
    place = np.searchsorted(ascending, wanted)
    place[place == len(ascending)] = 0
    return np.where(ascending[place] == wanted, place, -1)
