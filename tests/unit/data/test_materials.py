import dataclasses

import numpy as np
import pytest

from polymorph_toys import crystal
from xtalshift.chem.families import FAMILIES
from xtalshift.chem.formulas import Notation
from xtalshift.data.materials import Materials
from xtalshift.errors import DataError
from xtalshift.structure import Structures

FORMULAS = ["NaCl", "Qq2", "Fe4O6", "CuSO4*5H2O", "D2O"]


def make(**changes):
    values = {"ids": list("abcde"), "extra": np.arange(10.0).reshape(5, 2), "extra_names": "Tp"}
    return Materials.parse(FORMULAS, **(values | changes))


def test_formulas_are_parsed_once_and_bad_ones_have_a_reason():
    materials = make()
    assert len(materials) == len(materials.compositions) == 5
    assert materials.formulas.tolist() == FORMULAS
    assert materials.groups.tolist() == ["NaCl", "", "Fe2O3", "", "H2O"]
    assert materials.reasons[[0, 2, 4]].tolist() == ["", "", ""]
    assert "Qq" in materials.reasons[1]
    assert "hydrate" in materials.reasons[3]
    assert [note != "" for note in materials.notes] == [False, False, False, False, True]
    names = tuple(FAMILIES)
    assert [names[code] for code in materials.families[[0, 2]]] == ["halide", "oxide"]


def test_hydrates_are_expanded_on_demand():
    expanded = make(notation=Notation("expand"))
    assert expanded.reasons[3] == ""
    assert expanded.groups[3] == "CuH10SO9"
    assert expanded.take([3]).notation == Notation("expand")


@pytest.mark.parametrize("derived_first", [True, False])
@pytest.mark.parametrize(
    "rows", [[4, 0, 0], np.array([True, False, True, False, False]), slice(1, 3)]
)
def test_take_keeps_everything_of_a_row(rows, derived_first):
    materials = make()
    if derived_first:  # then groups and families are taken, not derived again
        assert len(materials.groups) == len(materials.families) == 5
    taken = materials.take(rows)
    assert ("groups" in taken.__dict__) is derived_first
    order = np.arange(5)[rows]
    whole = make()
    for name in ("formulas", "reasons", "notes", "ids", "groups", "families"):
        assert getattr(taken, name).tolist() == getattr(whole, name)[order].tolist(), name
    np.testing.assert_array_equal(taken.extra, np.arange(10.0).reshape(5, 2)[order])
    assert taken.extra_names == ("T", "p")
    assert len(taken) == len(taken.compositions) == len(order)
    reduced = taken.compositions.reduced_formulas().tolist()
    assert reduced == whole.groups[order].tolist()


def test_ids_and_names_of_features_have_defaults():
    materials = Materials.parse(["Fe", "Co"], extra=[[1.0, 2.0], [3.0, np.nan]])
    assert materials.ids.tolist() == ["1", "2"]
    assert materials.extra_names == ("x0", "x1")
    plain = Materials.parse(["Fe", "Co"])
    assert plain.extra.shape == (2, 0)
    assert plain.extra_names == ()


def test_cells_that_are_no_text_are_unreadable_not_an_error():
    materials = Materials.parse([None, 3.5, "Fe"], ids=[7, 8, 9])
    assert materials.ids.tolist() == ["7", "8", "9"]
    assert [reason != "" for reason in materials.reasons] == [True, True, False]


def test_lengths_must_agree():
    with pytest.raises(DataError, match="2 ids for 5 formulas"):
        make(ids=["a", "b"])
    for extra in (np.zeros((2, 2)), np.zeros(5)):
        with pytest.raises(DataError, match=r"extra has shape .*expected \(5, k\)"):
            make(extra=extra)


def test_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().notation = Notation("expand")


def test_keys_are_equal_for_equal_materials_and_conditions():
    found = Materials.parse(
        ["Fe2O3", "Fe4O6", "?", "Fe2O3"], extra=[[1.0], [1.0], [1.0], [2.0]], extra_names=["T"]
    ).keys
    assert found.tolist() == ["Fe2O3|[1.0]", "Fe2O3|[1.0]", "", "Fe2O3|[2.0]"]
    assert Materials.parse(["Fe4O6", "?"]).keys.tolist() == ["Fe2O3", ""]


def test_structures_tell_polymorphs_apart():
    crystals = Structures.join([crystal("Na", "Cl", kind) for kind in ("rocksalt", "zincblende")])
    found = Materials.parse(["NaCl", "NaCl"], structures=crystals)
    first, second = found.keys
    assert first.startswith("NaCl|")
    assert second.startswith("NaCl|")
    assert first != second
    assert found.take([1]).structures.volumes == found.structures.volumes[1]
    with pytest.raises(DataError, match="2 structures for 1 formulas"):
        Materials.parse(["NaCl"], structures=crystals)
