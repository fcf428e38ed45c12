"""Rows of one crystal are found."""

import numpy as np

from prototype_toys import PROTOTYPES, scaled, shaken
from structure_toys import CRYSTALS, repeated
from xtalshift.data import Dataset
from xtalshift.data.materials import Materials
from xtalshift.data.structure_findings import crystal_findings
from xtalshift.structure import Structures

RUTILE, ANATASE = PROTOTYPES["AB2_tP6_136_a_f"], PROTOTYPES["AB2_tI12_141_a_e"]


def table(*rows):
    structures = Structures.join(rows)
    ids = [f"m{row}" for row in range(len(rows))]
    formulas = structures.compositions().reduced_formulas()
    return Dataset(Materials.parse(formulas, ids=ids, structures=structures))


def test_rows_of_one_crystal_are_named():
    rng = np.random.default_rng(0)
    salt = CRYSTALS["rock salt"]
    rows = (RUTILE, salt, ANATASE, shaken(RUTILE, rng), repeated(salt, rng), scaled(RUTILE, 1.01))
    same, finding = crystal_findings(table(*rows, RUTILE))
    assert same.describe().startswith(
        "the same crystal as an earlier row; 1 crystal is described so (1 row). Such rows are "
        "merged if their feature columns are equal too"
    )
    assert same.show() == ("row 7: TiO2 (id m6): as row 1 (id m0)",)
    assert finding.describe().startswith(
        "the crystal of an earlier row in another cell, or slightly distorted; 2 crystals are "
        "described so (3 rows). Such rows are not merged"
    )
    assert finding.show(3) == (
        "row 4: TiO2 (id m3): as row 1 (id m0)",
        "row 5: NaCl (id m4): as row 2 (id m1)",
        "row 6: TiO2 (id m5): as row 1 (id m0)",
    )
    assert not finding.warns


def test_polymorphs_and_rows_without_structures_are_no_finding():
    assert crystal_findings(table(RUTILE, ANATASE, *[Structures.none(1)] * 2)) == ()
    assert crystal_findings(Dataset.of(["TiO2", "TiO2"])) == ()
    (finding,) = crystal_findings(table(ANATASE, shaken(ANATASE, np.random.default_rng(0))))
    assert "; 1 crystal is described so (1 row)" in finding.describe()
