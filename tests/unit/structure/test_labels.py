"""Labels of crystals by name."""

import numpy as np

from prototype_toys import PROTOTYPES
from structure_toys import CRYSTALS
from xtalshift.structure import Structures, labels
from xtalshift.structure.labels import STRUCTURE_LABELS, label_structures

KNOWN = {
    "copper": "3D",
    "rock salt": "3D",
    "graphite": "2D",
    "selenium": "1D",
    "hydrogen in a box": "0D",
}


def test_dimensionality(monkeypatch):
    rows = Structures.join([Structures.none(1), *(CRYSTALS[name] for name in KNOWN)])
    found, reasons = label_structures(rows, "dimensionality")
    assert found.tolist() == ["", *KNOWN.values()]
    assert reasons.tolist() == ["the row has no atoms", *[""] * len(KNOWN)]
    monkeypatch.setattr(labels, "_CHUNK_ATOMS", 2)
    assert label_structures(rows, "dimensionality")[0].tolist() == found.tolist()


def test_types_are_named_after_their_first_formula():
    rutile, anatase = PROTOTYPES["AB2_tP6_136_a_f"], PROTOTYPES["AB2_tI12_141_a_e"]
    salt = CRYSTALS["rock salt"]
    other = Structures.of(salt.lattices[0], [19, 17], salt.positions)
    rows = Structures.join([rutile, other, Structures.none(1), anatase, salt])
    found, reasons = label_structures(rows, "matched")
    assert found.tolist() == ["TiO2 type", "KCl type", "", "TiO2 type 2", "KCl type"]
    assert reasons.tolist() == ["", "", "the row has no atoms", "", ""]


def test_every_label_has_its_place_and_no_rows_have_none():
    rows = Structures.join([CRYSTALS["rock salt"], Structures.none(1)])
    expected = {
        "crystal_system": "cubic", "space_group": "225", "point_group": "m-3m",
        "prototype": "AB_cF8_225_a_b", "dimensionality": "3D", "matched": "NaCl type",
    }  # fmt: skip
    assert list(STRUCTURE_LABELS) == list(expected)
    for by, label in expected.items():
        found, reasons = label_structures(rows, by)
        assert found.tolist() == [label, ""]
        assert reasons[0] == ""
        assert reasons[1].endswith("the row has no atoms")
        none = label_structures(Structures.none(0), by)
        assert [len(values) for values in none] == [0, 0]
        assert isinstance(found, np.ndarray)
