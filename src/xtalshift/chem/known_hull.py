"""How a composition would decompose into known compounds: the convex hull of their energies."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from xtalshift.chem.compositions import Compositions
from xtalshift.chem.elements import SYMBOLS
from xtalshift.chem.writing import readable_key

FloatArray = NDArray[np.float64]

_FEW = 10  # elements up to which all their subsets are looked up
_NONE = 1e-6  # share of the atoms that is rounding


class HullPoints(NamedTuple):
    """The hull at n compositions."""

    energy: FloatArray
    """Shape (n,). Energy per atom of the most stable mixture of known compounds and elements, at
    most 0; in the unit of the energies; NaN without elements."""
    phases: list[str]
    """Length n. This mixture, with shares of the atoms: ``0.4 FeO + 0.6 Fe2O3``."""
    n_known: NDArray[np.int64]
    """Shape (n,). Known compounds of two or more of the elements of the composition."""


class KnownHull:
    """The lower convex hull of the formation energies of known compounds and of the elements.

    The energy at a composition is the minimum of a linear programme over mixtures of known
    compounds (Ong et al., Chem. Mater. 20, 1798, 2008, describe the phase diagrams that it is a
    point of). Compounds that are not known are missing, so that the true hull is at most as high.

    Parameters
    ----------
    known : Compositions
        n known compounds; rows without elements are left out.
    energies : ndarray of float64, shape (n,)
        Formation energies per atom, 0 for the elements in their stable form. Of several of one
        composition the lowest counts.

    Examples
    --------
    >>> from xtalshift.chem.compositions import parse_formulas
    >>> known, _, _ = parse_formulas(["Li2O", "Li2O2"])
    >>> hull = KnownHull(known, np.array([-2.0, -1.5]))
    >>> points = hull.at(parse_formulas(["LiO2", "LiF"])[0])
    >>> points.energy.round(3).tolist(), points.phases, points.n_known.tolist()
    ([-1.0, 0.0], ['0.67 LiO + 0.33 O', '0.5 Li + 0.5 F'], [2, 0])
    """

    def __init__(self, known: Compositions, energies: FloatArray) -> None:
        used = np.flatnonzero(known.sizes > 1)  # elements are at 0 by definition
        rows = known.take(used)
        formulas = rows.reduced_formulas()
        order = np.lexsort((energies[used], formulas.astype(str)))
        _, first = np.unique(formulas[order].astype(str), return_index=True)
        kept = order[first]
        self._rows = rows.take(kept)
        self._energies = energies[used][kept]
        self._formulas = formulas[kept]
        self._systems: dict[frozenset[int], list[int]] = {}
        for row, (start, stop) in enumerate(_spans(self._rows)):
            system = frozenset(self._rows.z[start:stop].tolist())
            self._systems.setdefault(system, []).append(row)

    def __len__(self) -> int:
        """Return the number of known compositions of two or more elements."""
        return len(self._formulas)

    def at(self, compositions: Compositions) -> HullPoints:
        """Return the hull at n compositions."""
        n = len(compositions)
        energy, phases, number = np.full(n, np.nan), [""] * n, np.zeros(n, dtype=np.int64)
        ordered = compositions.ordered()
        for row, (start, stop) in enumerate(_spans(ordered)):
            if start == stop:
                continue
            z, amounts = ordered.z[start:stop].tolist(), ordered.amounts[start:stop]
            members = self._members(frozenset(z))
            number[row] = len(members)
            energy[row], phases[row] = self._solve(z, amounts / amounts.sum(), members)
        return HullPoints(energy, phases, number)

    def _members(self, system: frozenset[int]) -> list[int]:
        """Return the known compounds of some of these elements, in order."""
        if len(system) <= _FEW:
            parts = (
                frozenset(part)
                for size in range(2, len(system) + 1)
                for part in combinations(system, size)
            )
            found = [row for part in parts for row in self._systems.get(part, ())]
        else:
            found = [row for part, rows in self._systems.items() if part <= system for row in rows]
        return sorted(found)

    def _solve(self, z: list[int], shares: FloatArray, members: list[int]) -> tuple[float, str]:
        """Return the energy and the text of the most stable mixture of a composition."""
        stable = [row for row in members if self._energies[row] < 0]
        names = [*(SYMBOLS[number] for number in z), *(self._formulas[row] for row in stable)]
        energies = np.concatenate([np.zeros(len(z)), self._energies[stable]])
        contents = np.zeros((len(z), len(names)))
        contents[:, : len(z)] = np.eye(len(z))
        place = {number: at for at, number in enumerate(z)}
        for column, row in enumerate(stable, start=len(z)):
            span = slice(*self._rows.starts[row : row + 2])
            at = [place[number] for number in self._rows.z[span].tolist()]
            contents[at, column] = self._rows.amounts[span] / self._rows.amounts[span].sum()
        mixture = shares
        if stable:
            found = linprog(energies, A_eq=contents, b_eq=shares, bounds=(0, None), method="highs")
            mixture = found.x
        used = [column for column in np.argsort(-mixture, kind="stable") if mixture[column] > _NONE]
        text = " + ".join(f"{mixture[column]:.2g} {readable_key(names[column])}" for column in used)
        return float(energies @ mixture) + 0.0, text.replace("1 ", "", 1) if len(
            used
        ) == 1 else text


def _spans(compositions: Compositions) -> Iterator[tuple[int, int]]:
    return pairwise(compositions.starts.tolist())
