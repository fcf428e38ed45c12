"""Cells of structures, and names of their files."""

import zipfile
from unicodedata import normalize

import numpy as np
import pytest

from polymorph_toys import crystals, write_cif, write_folder
from xtalshift.data.files import file_kind
from xtalshift.data.structure_texts import iter_rows, pack, pack_rows, read_cells
from xtalshift.errors import DataError
from xtalshift.structure import Structures, read_structures
from xtalshift.structure.structure_files import list_files, name_files

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
    assert other.endswith(f"is called {NAMES[0].upper()!r}; there is {NAMES[0]!r}")
    there = ", ".join(sorted(f"{name}.cif" for name in NAMES[:3]))
    absent = read_cells([NAMES[0], "LiF-typo", None], str(folder))
    assert absent.reasons.tolist() == [
        "",
        f"no structure file in {folder} is called 'LiF-typo'; it holds {there}",
        f"no structure file in {folder} is called 'None'; it holds {there}",
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
    found = name_files(list_files(tmp_path))
    assert found[f"a/{NAMES[0]}"] == [f"a/{NAMES[0]}.cif"]
    assert found[NAMES[1]] == [f"a/{NAMES[1]}.cif"]
    assert "notes" not in found
    reason = read_cells([NAMES[0]], str(tmp_path)).reasons[0]
    assert reason == (
        f"no structure file in {tmp_path} is the only one called {NAMES[0]!r}: there are "
        f"a/{NAMES[0]}.cif, b/{NAMES[0]}.cif; write the path of one"
    )


def test_an_id_names_one_of_the_structures_of_a_file(tmp_path):
    """What `iter_rows` calls a structure, a table may call it."""
    texts = [write_cif(BATCH.take([row])).replace("data_", f"data_{row}") for row in range(3)]
    (tmp_path / "all.cif").write_text("\n".join(texts))
    (tmp_path / "all#2.cif").write_text(texts[0])
    rows = list(iter_rows(tmp_path))
    assert [row.id for row in rows] == ["all#2", "all", "all#2", "all#3"]
    found = read_cells(["all#3", "all", "all#4", "all#0"], str(tmp_path))
    assert same(found.structures.take([0, 1]), read_cells(texts[2::-2]).structures)
    assert "the first of" not in found.notes[1]
    assert found.reasons[2] == "no structure file: 'all#4', but all.cif has 3 of them"
    assert "is called 'all#0'" in found.reasons[3]
    assert same(read_cells(["all#2"], str(tmp_path)).structures, read_cells(texts[:1]).structures)
    assert read_cells(["all"], str(tmp_path)).notes[0].startswith("the first of 3 structures")


def test_the_name_of_a_folder_with_one_file(tmp_path):
    texts = [write_cif(BATCH.take([row])) for row in range(2)]
    for name, text in zip(("mp-1", "mp-2"), texts, strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "POSCAR").write_text(text)
    found = read_cells(["mp-2", "mp-1"], str(tmp_path))
    assert same(found.structures, read_cells(texts[::-1]).structures)
    (tmp_path / "mp-1" / "CONTCAR").write_text(texts[0])
    reasons = read_cells(["mp-2", "mp-1"], str(tmp_path)).reasons
    assert reasons[0] == ""
    assert "there are mp-1/CONTCAR, mp-1/POSCAR; write the path of one" in reasons[1]


def test_a_file_that_is_left_out_for_its_name_is_told(tmp_path):
    for name in ("mp-1.cif", "mp-2.cif.txt"):
        (tmp_path / name).write_text(write_cif(ALLOY))
    assert (
        read_cells(["mp-2"], str(tmp_path))
        .reasons[0]
        .endswith(
            "is called 'mp-2'; it holds mp-1.cif; 1 file left out, such as 'mp-2.cif.txt': give it "
            "the suffix of its format, such as .cif"
        )
    )


def test_accents_may_be_characters_of_their_own(tmp_path):
    (tmp_path / f"{normalize('NFD', 'Ångström')}.cif").write_text(write_cif(ALLOY))
    cells = [normalize(form, "Ångström") for form in ("NFC", "NFD")]
    assert read_cells(cells, str(tmp_path)).reasons.tolist() == ["", ""]


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
