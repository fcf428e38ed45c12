"""Structures of folders, archives and files: ids, order, and what is wrong with a place."""

import gzip
import io
import os
import tarfile
import zipfile

import pytest

from structure_texts import as_json, cif, extxyz, poscar
from xtalshift.errors import DataError
from xtalshift.structure import archives as archives_module
from xtalshift.structure import read_structure_files
from xtalshift.structure.structure_files import describe_left_out, list_files, name_files

FILES = {
    "NaCl.cif": cif(),
    "b/CsCl.vasp": poscar(),
    "b/frames.extxyz": extxyz() + extxyz("X 0 0 0") + extxyz("Na 0 0 0"),
    "a/POSCAR": poscar(),
    "b/POSCAR": poscar(symbols="K Br"),
    "a/mp-1.0.json": as_json(),
    "a/notes.md": "not read",
    "a/.hidden.cif": cif(),
    ".cache/x.cif": cif(),
    "__MACOSX/x.cif": cif(),
    "broken.CIF": "data_x\n",
}
IDS = ["NaCl", "a/POSCAR", "mp-1.0", "CsCl", "b/POSCAR", "frames", "frames#2", "frames#3", "broken"]
FORMULAS = dict(
    zip(IDS, ["NaCl", "CsCl", "CsCl", "CsCl", "KBr", "CsCl", "", "Na", ""], strict=True)
)


def fill(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def as_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/", "")
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def as_tar(path, files):
    mode = "w:gz" if path.name.endswith("gz") else "w"
    with tarfile.open(path, mode) as archive:
        for name, text in sorted(files.items()):
            data = text.encode()
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def read(path, **options):
    """Return id -> (file, formula, reason) of all blocks."""
    found = {}
    for block in read_structure_files(path, **options):
        formulas = block.read.structures.compositions().reduced_formulas()
        rows = zip(block.files, formulas, block.read.reasons, strict=True)
        found |= dict(zip(block.ids, rows, strict=True))
    return found


def test_a_folder(tmp_path):
    found = read(fill(tmp_path, FILES))
    assert {identity: formula for identity, (_, formula, _) in found.items()} == FORMULAS
    files = [file for file, _, _ in found.values()]
    assert files == sorted(files)
    assert found["a/POSCAR"][0] == "a/POSCAR"
    assert found["frames#2"][0] == "b/frames.extxyz"
    assert found["frames#2"][2].startswith("species 'X' is a dummy atom or a vacancy; ")
    assert found["broken"][2].startswith("the CIF has no data block with _cell_length_a")


@pytest.mark.parametrize("pack", [as_zip, as_tar])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_archive_is_its_folder(tmp_path, pack, suffix):
    name = "x.zip" if pack is as_zip else f"x.tar{suffix}"
    found = read(pack(tmp_path / name, FILES))
    folder = read(fill(tmp_path / "folder", FILES))
    assert found == folder


def test_names_that_leave_the_folder_write_nothing(tmp_path):
    found = read(as_zip(tmp_path / "x.zip", {"../../up.cif": cif(), "/root/down.cif": cif()}))
    assert set(found) == {"up", "down"}
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_ids_of_names_that_repeat(tmp_path):
    files = {
        "a/x.cif": cif(),
        "b/x.cif": cif(),
        "c/x.cif": cif(),
        "c/x.vasp": poscar(),
        "y.cif": "",
    }
    assert list(read(fill(tmp_path, files))) == ["a/x", "b/x", "c/x.cif", "c/x.vasp", "y"]


def test_linked_folders_are_read_once_and_circles_end(tmp_path):
    other = fill(tmp_path / "other", {"x.cif": cif(), "deep/y.cif": cif()})
    folder = fill(tmp_path / "folder", {"z.cif": cif(), "own/w.cif": cif()})
    (folder / "a").symlink_to(folder / "own")  # the folder itself names its files
    (folder / "more").symlink_to(other)
    (folder / "again").symlink_to(other)
    (other / "deep" / "circle").symlink_to(folder)
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    files = [file for file, _, _ in read(folder).values()]
    assert files == ["again/deep/y.cif", "again/x.cif", "own/w.cif", "z.cif"]
    only = tmp_path / "only"
    only.mkdir()
    (only / "link").symlink_to(other)
    assert set(read(only)) == {"x", "y", "w", "z"}


def test_files_that_may_be_meant_are_told():
    ordinary = ["a.cif", "README", "notes.txt", "values.csv", "b/INCAR", "b/POTCAR", "paper.pdf"]
    assert describe_left_out(ordinary) == ""
    assert describe_left_out([*ordinary, "b/mp-1008.cif.txt"]) == (
        "1 file left out, such as 'b/mp-1008.cif.txt': give it the suffix of its format, such as "
        ".cif"
    )
    odd = ["more.zip", "mp-1_POSCAR", "NaCl", "x.CIF.bak", "1234"]
    assert describe_left_out([*ordinary, *odd]) == (
        "5 files left out, such as 'more.zip': unpack it"
    )


def test_names_that_a_table_may_give():
    found = name_files(["mp-1/POSCAR", "./mp-2/x/POSCAR", "mp-3/a.cif", "mp-3/b.cif", "mp-3.cif"])
    assert found["mp-1"] == ["mp-1/POSCAR"]
    assert found["mp-2"] == found["x"] == found["mp-2/x"] == ["./mp-2/x/POSCAR"]
    assert found["mp-3"] == ["mp-3.cif"]  # before the folder
    assert found["POSCAR"] == ["mp-1/POSCAR", "./mp-2/x/POSCAR"]
    # the ids that these files get when the folder is read
    twice = name_files(["x.cif", "a/x.cif", "b/x.cif", "b/x.vasp"])
    assert (twice["x"], twice["a/x"]) == (["x.cif"], ["a/x.cif"])
    assert twice["b/x"] == ["b/x.cif", "b/x.vasp"]
    assert name_files(["Ångstro\u0308m.cif"])["Ångström"] == ["Ångstro\u0308m.cif"]


def test_blocks_hold_whole_files(tmp_path):
    files = {f"{i}.extxyz": extxyz() * 3 for i in range(5)}
    blocks = list(read_structure_files(fill(tmp_path, files), rows=4))
    assert [len(block) for block in blocks] == [6, 6, 3]
    assert blocks[1].ids.tolist() == ["2", "2#2", "2#3", "3", "3#2", "3#3"]
    assert blocks[1].files.tolist() == ["2.extxyz"] * 3 + ["3.extxyz"] * 3


def test_files_are_opened_one_after_the_other(tmp_path, monkeypatch):
    opened = []
    original = archives_module._read_path
    monkeypatch.setattr(
        archives_module, "_read_path", lambda path: opened.append(path.name) or original(path)
    )
    blocks = read_structure_files(fill(tmp_path, {f"{i}.cif": cif() for i in range(9)}), rows=2)
    assert opened == []
    next(blocks)
    assert opened == ["0.cif", "1.cif"]


def test_one_file_of_any_name(tmp_path):
    fill(tmp_path, {"crystal.txt": cif(), "x.cif.gz": gzip.compress(cif().encode())})
    assert read(tmp_path / "crystal.txt") == {"crystal.txt": ("crystal.txt", "NaCl", "")}
    assert read(tmp_path / "x.cif.gz") == {"x": ("x.cif.gz", "NaCl", "")}


def test_nothing_to_read(tmp_path):
    with pytest.raises(DataError, match=r"nowhere does not exist; name a folder, an archive or a"):
        read(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"has no structure file .*POSCAR.*: it is empty; name ano"):
        read(tmp_path)
    fill(tmp_path, dict.fromkeys(("a.csv", "b.csv", "c.csv", "d.csv"), "x"))
    match = r"has no structure file \(\.cif, .*: it holds a.csv, b.csv, c.csv \.\.\.; to read the"
    with pytest.raises(DataError, match=match):
        read(tmp_path)
    with pytest.raises(DataError, match=r"a\.csv is neither a folder nor an archive of structure"):
        list_files(tmp_path / "a.csv")


def test_a_file_that_cannot_be_read_is_a_row(tmp_path):
    fill(tmp_path, {"a.cif.gz": b"\x1f\x8bno", "b.cif": cif(), "c.cif": b"", "e.cif": b"\0" * 99})
    os.mkfifo(tmp_path / "d.cif")
    found = read(tmp_path)
    assert [row[1] for row in found.values()] == ["", "NaCl", "", "", ""]
    assert [found[name][2][:35] for name in "acde"] == [
        "the file cannot be read (Compressed",
        "no structure: it is empty or no tex",
        "it is no regular file; remove it fr",
        "it is no text but binary data; name",
    ]


def test_a_large_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives_module, "LARGEST_FILE", 2**20)
    files = {"a.cif": b"#" * (2**20 + 1), "b.cif.gz": gzip.compress(b"#" * 2**21), "c.cif": cif()}
    found = read(fill(tmp_path, files))
    reason = "it has more than 1 MB; split it, or use smaller cells"
    assert [row[2] for row in found.values()] == [reason, reason, ""]


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.tar.gz"])
def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path, name):
    zeros = {"x.cif": "0" * (101 * 2**20)}
    pack = as_zip if name.endswith("zip") else as_tar
    with pytest.raises(DataError, match=r"bomb.* bytes and unpacks to 105,906,176 or more, wh"):
        read(pack(tmp_path / name, zeros))


def test_a_zip_that_lies_about_its_sizes(tmp_path):
    path = as_zip(tmp_path / "x.zip", {"x.cif": "0" * 5_000_000, "y.cif": cif()})
    true, told = (5_000_000).to_bytes(4, "little"), (5_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(true, told))
    found = read(path)
    assert found["y"][1] == "NaCl"
    assert found["x"][1] == ""
    assert found["x"][2] != ""


def test_too_many_members(tmp_path, monkeypatch):
    monkeypatch.setattr(archives_module, "MOST_FILES", 3)
    for pack, name in ((as_zip, "x.zip"), (as_tar, "x.tar")):
        with pytest.raises(DataError, match=rf"{name} holds more than 3 files; split it"):
            read(pack(tmp_path / name, {f"{i}.cif": cif() for i in range(4)}))


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_a_damaged_archive(tmp_path, name):
    pack = as_zip if name.endswith("zip") else as_tar
    path = pack(tmp_path / name, {f"{i}.cif": f"# {os.urandom(4000).hex()}" for i in range(9)})
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(DataError, match=rf"cannot unpack .*{name} \(.*\); copy or pack it again"):
        read(path)


def test_a_member_with_a_password_is_a_row(tmp_path):
    path = as_zip(tmp_path / "x.zip", {"x.cif": cif(), "y.cif": cif()})
    data = bytearray(path.read_bytes())
    heads = [at for at in range(len(data)) if data[at : at + 4] == b"PK\x01\x02"]
    data[heads[1] + 8] |= 1  # the flags of x.cif, after the folder
    path.write_bytes(data)
    found = read(path)
    assert found["x"][2].startswith(
        "the file cannot be read (File 'x.cif' is encrypted, password r"
    )
    assert found["y"][1:] == ("NaCl", "")


def test_progress_counts_files(tmp_path):
    from contextlib import contextmanager

    told = []

    class Recorder:
        @contextmanager
        def task(self, name, total):
            told.append((name, total))
            yield self

        def advance(self, steps=1, **info):
            told.append(steps)

    files = {"a.extxyz": extxyz() * 3, "b.cif": ""}
    list(read_structure_files(fill(tmp_path, files), progress=Recorder()))
    assert told == [("structures", 2), 1, 1]
