"""Cells of structures, and names of their files."""

import zipfile

import numpy as np
import pytest

from polymorph_toys import crystals, write_cif, write_folder
from xtalshift.data.files import file_kind
from xtalshift.data.structure_texts import iter_rows, pack, pack_rows, read_cells
from xtalshift.errors import DataError
from xtalshift.structure import Structures, read_structures
from xtalshift.structure.structure_files import find_files

NAMES, BATCH, _ = crystals()
ALLOY = Structures.of(np.eye(3) * np.pi, [26, 28], [[1 / 3, 0, 0]] * 2, [0.3, 0.7])


def same(one, other):
    """Say whether two batches have the same bits."""
    arrays = ("lattices", "starts", "z", "positions", "occupancies")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)


def test_packed_structures_keep_every_digit_and_what_was_said():
    found = read_structures(
        [write_cif(ALLOY), "garbage", write_cif(ALLOY.take([0])).replace("0.7", "?")]
    )
    again = read_cells(pack(found))
    kept = found.reasons == ""
    assert same(again.structures.take(kept), found.structures.take(kept))
    assert again.structures.sizes.tolist() == found.structures.sizes.tolist()
    assert again.reasons.tolist() == found.reasons.tolist()
    assert again.notes.tolist() == found.notes.tolist()
    assert found.reasons[1].startswith("unknown format")


def test_some_rows_are_packed():
    texts = pack_rows(BATCH, np.array([5, -1, 0]))
    assert texts[1] == ""
    again = read_cells([texts[0], texts[2]]).structures
    assert same(again, BATCH.take([5, 0]))
    assert pack_rows(None, np.array([1, 2])) == ["", ""]


def test_cells_are_texts_or_names(tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "cifs", NAMES[:3], BATCH.take(slice(3)))
    direct = read_cells([write_cif(BATCH.take([row])) for row in range(3)])
    by_name = read_cells([NAMES[0], f"{NAMES[1]}.cif", f" {NAMES[2]} "], str(folder))
    assert same(by_name.structures, direct.structures)
    monkeypatch.chdir(folder)
    by_path = read_cells([f"{name}.cif" for name in NAMES[:3]])
    assert same(by_path.structures, direct.structures)
    (folder / "secret.txt").write_text("data_x\n")
    assert read_cells(["secret.txt"]).reasons[0].startswith("unknown format")  # it is not opened
    assert (
        read_cells(["gone/b.cif"]).reasons[0].startswith("no structure file 'gone/b.cif' is there")
    )
    other = read_cells([NAMES[0].upper()], str(folder)).reasons[0]
    assert other.endswith(f"is called {NAMES[0].upper()!r}, or several are; there is {NAMES[0]!r}")
    absent = read_cells([NAMES[0], "LiF-typo", None], str(folder))
    assert absent.reasons.tolist() == [
        "",
        f"no structure file in {folder} is called 'LiF-typo', or several are",
        f"no structure file in {folder} is called 'None', or several are",
    ]
    with pytest.raises(DataError, match="does not exist"):
        read_cells(["x"], str(tmp_path / "nothing"))


def test_an_archive_is_a_folder(tmp_path):
    folder = write_folder(tmp_path / "cifs", NAMES[:4], BATCH.take(slice(4)))
    with zipfile.ZipFile(tmp_path / "cifs.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"deep/{path.name}")
    packed = read_cells(NAMES[:4], str(tmp_path / "cifs.zip"))
    assert same(packed.structures, read_cells(NAMES[:4], str(folder)).structures)
    rows = list(iter_rows(tmp_path / "cifs.zip"))
    assert [row.id for row in rows] == sorted(NAMES[:4])
    order = [NAMES.index(row.id) for row in rows]
    found = read_cells([row.text for row in rows]).structures
    assert found.z.tolist() == BATCH.take(order).z.tolist()


def test_names_that_several_files_have_are_no_names(tmp_path):
    for place in ("a", "b"):
        write_folder(tmp_path / place, NAMES[:2], BATCH.take(slice(2)))
    (tmp_path / "b" / f"{NAMES[1]}.cif").unlink()
    (tmp_path / "notes.txt").write_text("no structure")
    found = find_files(tmp_path)
    assert found[f"a/{NAMES[0]}"] == f"a/{NAMES[0]}.cif"
    assert found[NAMES[1]] == f"a/{NAMES[1]}.cif"
    assert NAMES[0] not in found
    assert "notes" not in found


def test_packed_and_other_cells_may_be_mixed():
    salt = BATCH.take([0])
    packed = pack(read_structures([write_cif(ALLOY)]))
    found = read_cells([write_cif(salt), *packed, "garbage", *packed])
    assert found.structures.sizes.tolist() == [2, 2, 0, 2]
    assert same(found.structures.take([1]), read_cells(packed).structures)
    assert found.reasons[2].startswith("unknown format")
    assert len(read_cells([])) == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"z": [26, 28]', '"z": [26]'), ('"z": [26, 28]', '"z": [26, 119]'),
        ('"z": [26, 28]', '"z": [26, 400]'), ('"z": [26, 28]', '"z": "Fe"'),
        ('"z"', '"y"'), ("0.7", "1.7"), ("0.7", "NaN"), ("3.14159265", "Infinity, 0, 0, 3.14"),
        ('"positions": [[', '"positions": [[0.5, '), ("}", ""), ('"lattice": [[', '"lattice": [[['),
    ],
)  # fmt: skip
def test_damaged_packed_texts_have_a_reason(old, new):
    (text,) = pack(read_structures([write_cif(ALLOY)]))
    assert old in text
    found = read_cells([text.replace(old, new), text])
    assert found.reasons.tolist() == [
        "the text of the structure is damaged; take it from its source again", "",
    ]  # fmt: skip
    assert found.structures.sizes.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.cif", "structures"), ("a.CIF.gz", "structures"), ("POSCAR", "structures"),
        ("CONTCAR.relax", "structures"), ("a.xyz", "structures"), ("a.tar.bz2", "structures"),
        ("a.zip", "structures"), ("a.json", "json"), ("a.json.gz", "json"), ("a.csv", "csv"),
        ("POSCAR_energies.csv", "csv"),
    ],
)  # fmt: skip
def test_which_files_are_tables_of_structures(tmp_path, name, kind):
    (tmp_path / name).write_text("x")
    assert file_kind(tmp_path / name) == kind
