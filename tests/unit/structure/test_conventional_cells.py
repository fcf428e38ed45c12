"""Conventional cells of textbook crystals."""

import numpy as np
import pytest

from structure_toys import CRYSTALS, repeated
from xtalshift.structure import Structures
from xtalshift.structure.conventional_cells import conventional_cell


@pytest.mark.parametrize(
    ("name", "symbol", "number", "atoms"),
    [
        ("copper", "Fm-3m", 225, 4),
        ("rock salt", "Fm-3m", 225, 8),
        ("diamond", "Fd-3m", 227, 8),
        ("perovskite", "Pm-3m", 221, 5),
        ("graphite", "P6_3/mmc", 194, 4),
    ],
)
def test_textbook_crystals(name, symbol, number, atoms):
    larger = repeated(CRYSTALS[name], np.random.default_rng(0))
    for given in (CRYSTALS[name], larger):
        found = conventional_cell(given)
        assert (found.symbol, found.number) == (symbol, number)
        assert found.structure.sizes.tolist() == [atoms]
        density = given.sizes / given.volumes
        np.testing.assert_allclose(found.structure.sizes / found.structure.volumes, density)
        same = [one.compositions().reduced_formulas()[0] for one in (given, found.structure)]
        assert same[0] == same[1]


def test_shared_sites_keep_their_shares():
    fcc = 3.6 * np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    alloy = Structures.of(fcc, [29, 28], [[0, 0, 0]] * 2, [0.25, 0.75])
    found = conventional_cell(alloy)
    assert (found.symbol, found.structure.sizes.tolist()) == ("Fm-3m", [8])
    assert sorted(zip(found.structure.z, found.structure.occupancies, strict=True)) == (
        [(28, 0.75)] * 4 + [(29, 0.25)] * 4
    )


@pytest.mark.parametrize("name", ["get_symmetry_dataset", "standardize_cell"])
def test_a_crystal_without_symmetry_stays(name, monkeypatch):
    monkeypatch.setattr(f"spglib.{name}", lambda *_, **__: None)
    one = CRYSTALS["rock salt"]
    found = conventional_cell(one)
    assert (found.structure, found.symbol, found.number) == (one, "", 0)
