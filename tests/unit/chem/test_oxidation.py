"""States of ions against chemistry, and the table against its source."""

import json
from pathlib import Path

import pytest

from xtalshift.chem.elements import ATOMIC_NUMBERS, SYMBOLS
from xtalshift.chem.oxidation import element_groups, load_oxidation

TABLE = load_oxidation()


def test_counts_are_those_of_smact():
    smact = pytest.importorskip("smact")
    path = Path(smact.data_directory) / "oxidation_states_icsd24_counts.json"
    expected = {}
    for entry in json.loads(path.read_text()):
        if entry["results_count"] >= 3:
            own = expected.setdefault(entry["element"], {})
            own[entry["oxidation_state"]] = entry["results_count"]
    assert {SYMBOLS[z]: counts for z, counts in enumerate(TABLE.counts) if counts} == expected


@pytest.mark.parametrize(
    ("symbol", "cations", "anions", "bonded"),
    [
        ("Na", (1,), (), ()),
        ("Fe", (2, 3, 4), (), ()),  # +4 has 1.2 % of the ions, +1 has 0.3 %
        ("Mn", (2, 3, 4, 7), (), ()),  # +7 is rare, but common to chemists
        ("Cu", (1, 2, 3), (), ()),
        ("O", (), (-2,), (-1,)),
        ("S", (2, 4, 6), (-2,), (-1,)),
        ("Sb", (3, 5), (-3,), (-2, -1)),
        ("Si", (4,), (-4,), (-3, -2, -1)),
        ("H", (1,), (-1,), ()),
        ("B", (3,), (), ()),  # -3 is no closed shell
        ("Pb", (2, 4), (), ()),
        ("He", (), (), ()),
    ],
)
def test_states_of_ions(symbol, cations, anions, bonded):
    z = ATOMIC_NUMBERS[symbol]
    assert (TABLE.cations[z], TABLE.anions[z], TABLE.bonded[z]) == (cations, anions, bonded)


@pytest.mark.parametrize(
    ("cation", "anion", "fits"),
    [
        ("Cs", "S", True),
        ("S", "Sb", False),
        ("Sb", "S", True),
        ("Pb", "Te", True),  # 2.33 and 2.10: within the slack of metals
        ("W", "Te", True),
        ("Au", "Sb", False),  # 2.54 and 2.05
        ("C", "Se", True),  # both 2.55
        ("Se", "C", True),
        ("Cs", "Au", False),  # gold has no closed shell
        ("Rf", "O", False),  # no electronegativity
    ],
)
def test_who_gives_to_whom(cation, anion, fits):
    assert TABLE.gives[ATOMIC_NUMBERS[cation], ATOMIC_NUMBERS[anion]] == fits


def test_groups():
    groups = dict(zip(SYMBOLS, element_groups().tolist(), strict=True))
    assert [groups[s] for s in ("H", "Li", "Cs", "Sc", "La", "Lu", "U", "Fe", "O", "Te")] == [
        *(0, 1, 1, 3, 3, 3, 19, 8, 16, 16)
    ]
    assert len({groups["Nh"], groups["Og"], groups["Al"]}) == 3
