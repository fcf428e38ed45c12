"""The hull of known compounds, against pymatgen where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from xtalshift.chem.compositions import parse_formulas
from xtalshift.chem.known_hull import KnownHull

ENERGIES = {
    "Li2O": -2.0, "LiO": -1.6, "FeO": -1.3, "Fe2O3": -1.7, "Fe3O4": -1.65, "LiFeO2": -1.9,
    "Li5FeO4": -1.85, "LiFe": 0.3, "Fe": 0.05,
}  # fmt: skip


def compositions(*formulas):
    return parse_formulas(list(formulas))[0]


@pytest.fixture(scope="module")
def hull():
    return KnownHull(compositions(*ENERGIES), np.array(list(ENERGIES.values())))


def test_binary_by_hand(hull):
    # Fe5O7 is two parts Fe2O3 and one FeO: shares of atoms 10/12 and 2/12
    points = hull.at(compositions("Fe5O7", "LiFe", "Fe2O3", "Fe", "NaCl", "NaFeO"))
    low = min(
        -1.7 * 10 / 12 - 1.3 * 2 / 12,
        -1.65 * 7 / 12 - 1.7 * 5 / 12,  # Fe3O4 + Fe2O3
    )
    assert points.energy[:5] == pytest.approx([low, 0.0, -1.7, 0.0, 0.0])
    assert points.phases[:5] == [
        "0.58 Fe3O4 + 0.42 Fe2O3", "0.5 Li + 0.5 Fe", "Fe2O3", "Fe", "0.5 Na + 0.5 Cl",
    ]  # fmt: skip
    assert points.n_known.tolist() == [3, 1, 3, 0, 0, 3]
    assert points.energy[5] == pytest.approx(-1.65 * 7 / 12)  # Fe3O4, Fe and Na


def test_against_pymatgen(hull):
    diagrams = pytest.importorskip("pymatgen.analysis.phase_diagram")
    from pymatgen.core import Composition

    entries = [
        diagrams.PDEntry(Composition(name), energy * Composition(name).num_atoms)
        for name, energy in ENERGIES.items()
    ]
    entries += [diagrams.PDEntry(Composition(symbol), 0.0) for symbol in ("Li", "Fe", "O")]
    diagram = diagrams.PhaseDiagram(entries)
    names = ["LiFeO4", "Li3FeO3", "LiFe5O8", "Li7Fe2O11", "FeO9", "Li9Fe"]
    wanted = [diagram.get_hull_energy_per_atom(Composition(name)) for name in names]
    np.testing.assert_allclose(hull.at(compositions(*names)).energy, wanted, atol=1e-9)


def test_the_lowest_of_one_composition_counts():
    hull = KnownHull(compositions("Li2O", "Li4O2", "Li2O"), np.array([-1.0, -2.0, -1.5]))
    assert len(hull) == 1
    assert hull.at(compositions("LiO2")).energy == pytest.approx([-1.0])


def test_rows_without_elements_and_without_known_compounds():
    unreadable = compositions("", "LiO")
    hull = KnownHull(unreadable.take([0]), np.array([-1.0]))
    points = hull.at(unreadable)
    assert np.isnan(points.energy[0])
    assert points.energy[1] == 0
    assert points.phases == ["", "0.5 Li + 0.5 O"]
    assert len(hull.at(unreadable.take([])).energy) == 0


def test_many_elements():
    many = compositions("LiNaKRbCsBeMgCaSrBaAlO")
    hull = KnownHull(compositions("Li2O", "NaCl"), np.array([-2.0, -3.0]))
    points = hull.at(many)
    assert points.n_known.tolist() == [1]
    assert points.energy == pytest.approx([-2.0 * 1.5 / 12])
