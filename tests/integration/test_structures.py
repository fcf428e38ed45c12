"""Crystal structures in commands: a folder of CIFs, a column of CIF text, files named by ids."""

import gzip
import hashlib
import http.server
import json
import re
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

import xtalshift as xs
from polymorph_toys import crystals, split, write_cif, write_folder
from xtalshift.chem.elements import SYMBOLS
from xtalshift.data import catalog
from xtalshift.data.formula_texts import options_for
from xtalshift.data.materials import Materials
from xtalshift.data.settings import ReadingOptions
from xtalshift.data.structure_texts import read_cells
from xtalshift.errors import DataError
from xtalshift.registry import Registry
from xtalshift.structure import Structures

NAMES, BATCH, VALUES = crystals()


@pytest.fixture
def tables(tmp_path):
    """Return a folder of CIFs, a table of values by id, and a table with CIF text."""
    folder = write_folder(tmp_path / "cifs", NAMES, BATCH)
    by_id, by_text = tmp_path / "values.csv", tmp_path / "texts.parquet"
    frame = pd.DataFrame({"id": NAMES, "y": VALUES})
    frame.to_csv(by_id, index=False)
    texts = [write_cif(BATCH.take([row])) for row in range(len(BATCH))]
    frame.assign(cif=texts).to_parquet(by_text)
    return folder, by_id, by_text


def test_features_of_a_folder_and_of_a_column_are_the_same(xtalshift, tables, tmp_path):
    folder, by_id, by_text = tables
    made = []
    for number, source in enumerate([(folder,), (by_text,), (by_id, "--structures", folder)]):
        out = tmp_path / f"{number}.parquet"
        done = xtalshift("featurize", *source, "--features", "magpie+structure", "-o", out)
        assert done.code == 0, done.err
        made.append(pd.read_parquet(out))
    for table, source in zip(made, (folder, by_text, by_id), strict=True):
        assert list(table)[:2] == ["id", "formula"], source  # polymorphs have one formula
    assert made[2]["id"].tolist() == NAMES
    first = made[1].drop(columns="formula")
    assert first["status"].eq("ok").all()
    assert len(first) == 192
    volumes = BATCH.volumes / BATCH.sizes
    np.testing.assert_allclose(first["structure volume per atom"], volumes, rtol=1e-6)
    pd.testing.assert_frame_equal(made[2].drop(columns="formula"), first)
    order = np.argsort(NAMES)  # a folder is read in the order of its names
    folded = made[0].drop(columns="formula")
    pd.testing.assert_frame_equal(folded, first.iloc[order].reset_index(drop=True))


def test_from_a_folder_of_files_to_predictions(xtalshift, tables, tmp_path):
    folder, by_id, _ = tables
    model, out = tmp_path / "model", tmp_path / "p.csv"
    trained = xtalshift(
        "train", by_id, "--target", "y", "--structures", folder, "--method", "ridge", "-o", model
    )
    assert trained.code == 0, trained.err
    assert "192 materials" in trained.err + trained.out  # polymorphs are not merged
    done = xtalshift("predict", model, folder, "-o", out)
    assert done.code == 0, done.err
    frame = pd.read_csv(out).set_index("id")
    errors = np.abs(frame.loc[NAMES, "prediction"] - VALUES)
    assert errors.mean() < 0.2 * np.abs(VALUES - VALUES.mean()).mean()
    refused = xtalshift("predict", model, "NaCl")
    assert refused.code == 1
    assert "need a crystal structure" in refused.err + refused.out


def test_a_table_without_structures_is_told(xtalshift, tmp_path):
    formulas = tmp_path / "f.csv"
    pd.DataFrame({"formula": ["NaCl", "KCl"] * 20, "y": range(40)}).to_csv(formulas, index=False)
    done = xtalshift(
        "train", formulas, "--target", "y", "--features", "magpie+structure", "-o", tmp_path / "m"
    )
    assert done.code == 1
    assert "the features need crystal structures, and" in done.err
    assert "--structure-col" in done.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a folder with CIFs, values and a model of them."""
    place = tmp_path_factory.mktemp("structures")
    folder = write_folder(place / "cifs", NAMES, BATCH)
    pd.DataFrame({"id": NAMES, "y": VALUES}).to_csv(place / "values.csv", index=False)
    model = xs.fit(xs.read_table(place / "values.csv", target="y", structures=folder), "ridge")
    model.save(place / "model")
    return place


def test_the_same_model_from_python(trained):
    model = xs.load_model(trained / "model")
    assert model.featurizer.blocks == "magpie+structure"
    known = Materials.parse(["NaCl"], structures=BATCH.take([NAMES.index("NaCl-rocksalt")]))
    assert model.predict(known).prediction == pytest.approx(
        VALUES[NAMES.index("NaCl-rocksalt")], rel=0.2
    )
    assert "crystal structure" in model.predict(["NaCl"]).reason[0]


def test_python_predicts_a_folder_that_was_read(trained):
    folder, loaded = trained / "cifs", xs.load_model(trained / "model")
    read = xs.read_table(folder, need_target=False)
    found, same = loaded.predict(read), loaded.predict(read.materials)
    np.testing.assert_array_equal(found.prediction, same.prediction)
    assert list(found.frame)[:2] == ["id", "formula"]
    assert found.frame["id"].tolist() == sorted(NAMES)
    assert "id" not in loaded.predict(["NaCl"]).frame
    for path in (str(folder), folder):
        with pytest.raises(DataError, match=r"structures read_table\(path, need_target=F"):
            loaded.predict(path)


def test_a_row_without_a_prediction_has_no_nearest_space_group(xtalshift, trained, tmp_path):
    some = write_folder(tmp_path / "some", NAMES[:2], BATCH.take(slice(2)))
    (some / f"{NAMES[1]}.cif").write_text("<html></html>")
    bad = sorted(NAMES[:2]).index(NAMES[1])
    good = 1 - bad
    out = tmp_path / "p.csv"
    assert xtalshift("predict", trained / "model", some, "-o", out).code == 0
    written = pd.read_csv(out, dtype=str, keep_default_na=False)["nearest_space_group"]
    assert (written[bad], written[good].isdecimal()) == ("", True)
    found = xs.load_model(trained / "model").predict(xs.read_table(some, need_target=False))
    assert found.frame["nearest_space_group"].isna().tolist() == [not bad, bool(bad)]
    assert found.rows()[bad]["nearest_space_group"] is None
    assert str(found.rows()[good]["nearest_space_group"]) == written[good]
    screened = tmp_path / "screened"
    assert xtalshift("screen", trained / "model", some, "-o", screened, "--top", "2").code == 0
    part = pd.read_parquet(screened / "parts" / "part-000000.parquet")["nearest_space_group"]
    assert part.isna().tolist() == [not bad, bool(bad)]


def test_explanations_name_crystals(xtalshift, trained, tmp_path):
    some, out = write_folder(tmp_path / "some", NAMES[:2], BATCH.take(slice(2))), tmp_path / "e.csv"
    assert xtalshift("explain", trained / "model", some, "-o", out).code == 0
    frame = pd.read_csv(out)
    assert list(frame)[:2] == ["id", "formula"]
    assert set(frame["id"]) == set(NAMES[:2])
    ids = tmp_path / "ids.csv"
    pd.DataFrame({"id": NAMES[:2]}).to_csv(ids, index=False)
    done = xtalshift("explain", trained / "model", ids, "--structures", some, "--json")
    assert [one["id"] for one in json.loads(done.out)] == NAMES[:2]


def test_predictions_tell_what_is_odd_about_structures(xtalshift, trained, tmp_path):
    """As `train` and `check` do; the values alone look as any others."""
    box = replace(BATCH.take([0]), lattices=np.array([np.diag([20.0, 20.0, 20.0])]))
    box = replace(box, positions=0.1 * (box.positions % 1))
    some = write_folder(
        tmp_path / "some", [NAMES[1], "box"], Structures.join([BATCH.take([1]), box])
    )
    done = xtalshift("predict", trained / "model", some, "-o", tmp_path / "p.csv")
    assert done.code == 0, done.err
    row = 1 + sorted([NAMES[1], "box"]).index("box")
    assert re.search(rf"1 structure: vacuum along [abc] \(row {row} \(id box\)\)", done.out)


def test_a_run_whose_structures_changed_says_so(xtalshift, tables, tmp_path):
    folder, by_id, _ = tables
    command = (
        "run", by_id, "--target", "y", "--structures", folder, "--methods", "ridge", "--splits",
        "random", "-o", tmp_path / "run", "--set", "explain.learning=false",
        "--set", "explain.drivers=false",
    )  # fmt: skip
    assert xtalshift(*command).code == 0
    (folder / f"{NAMES[0]}.cif").write_text(write_cif(BATCH.take([5])))
    again = xtalshift(*command)
    assert again.code == 1
    assert "(data: 'table' had other rows or structures); choose another --out" in again.err


def test_ids_name_the_files_and_faults_are_counted(xtalshift, tables, tmp_path):
    folder, by_id, _ = tables
    frame = pd.read_csv(by_id).rename(columns={"id": "entry"})
    frame.loc[0, "entry"] = "absent"
    (folder / f"{frame.entry[1]}.cif").write_text("<html></html>")
    table = tmp_path / "entries.csv"
    frame.to_csv(table, index=False)
    for option in ("--id-col", "--structure-col"):
        done = xtalshift("check", table, "--target", "y", "--structures", folder, option, "entry")
        assert done.code == 0, done.err
        assert "structure: no file of its name" in done.out
        assert "structure: it cannot be used" in done.out
        assert frame.entry[1] in done.out  # the file, not the number of the row
    none = xtalshift("check", table, "--target", "y", "--structures", folder)
    assert "Name it: --id-col" in none.err


def test_formulas_that_contradict_the_structures_are_told(xtalshift, trained, tmp_path):
    """A shifted column of formulas: rows are read by their structures, and outputs show these."""
    folder, table = trained / "cifs", tmp_path / "shifted.csv"
    own = [name.partition("-")[0] for name in NAMES]
    frame = pd.DataFrame({"id": NAMES, "formula": own[::-1], "y": VALUES})
    frame.to_csv(table, index=False)
    said = "a formula in column 'formula' that is not that of its structure (192 rows)"
    example = "row 1: TlTe (id LiF-rocksalt): its structure is LiF"
    for command in (("check",), ("train", "--method", "ridge", "-o", tmp_path / "m")):
        name, *options = command
        done = xtalshift(name, table, "--structures", folder, "--target", "y", *options)
        assert done.code == 0, done.err
        assert said in done.out + done.err
        assert example in done.out + done.err
    out, screened = tmp_path / "p.csv", tmp_path / "s"
    given = (table, "--structures", folder)
    for command in (("predict", "-o", out), ("screen", "--top", "192", "-o", screened)):
        name, *options = command
        done = xtalshift(name, trained / "model", *given, *options)
        assert done.code == 0, done.err
    for path in (out, screened / "top.csv"):
        shown = pd.read_csv(path).set_index("id").loc[NAMES]
        assert shown["formula"].tolist() == own
        assert shown["formula_in_table"].tolist() == own[::-1]
    frame.assign(formula=own).to_csv(table, index=False)
    right = xtalshift("check", table, "--target", "y", "--structures", folder)
    assert "that is not that of its structure" not in right.out


def test_screening_a_folder(xtalshift, trained, tmp_path):
    out = tmp_path / "screened"
    done = xtalshift("screen", trained / "model", trained / "cifs", "--top", "3", "-o", out)
    assert done.code == 0, done.err
    rows = pd.concat(map(pd.read_parquet, sorted((out / "parts").glob("*.parquet"))))
    assert len(rows) == 192
    assert "structure" not in rows
    values = pd.Series(VALUES, index=NAMES)
    best = pd.read_csv(out / "top.csv")
    assert values[best["id"]].min() > np.quantile(VALUES, 0.9)
    assert [name.partition("-")[0] for name in best["id"]] == best["formula"].tolist()
    assert re.search(r"rank +id +formula +prediction", done.out)
    assert best["id"][0] in done.out


@pytest.mark.parametrize("named", ["ids", "paths"])
def test_screening_knows_the_files_that_its_table_names(xtalshift, trained, tmp_path, named):
    """Exchanged contents are another screening, as with a folder as input."""
    folder = write_folder(tmp_path / "some", NAMES[:6], BATCH.take(slice(6)))
    names = NAMES[:6] if named == "ids" else [str(folder / f"{name}.cif") for name in NAMES[:6]]
    table = tmp_path / "names.csv"
    pd.DataFrame({"id": names}).to_csv(table, index=False)
    how = ("--structures", folder) if named == "ids" else ("--structure-col", "id")
    command = ("screen", trained / "model", table, *how, "--top", "2", "-o", tmp_path / "out")
    assert xtalshift(*command).code == 0
    finished = xtalshift(*command)
    assert (finished.code, "is already finished" in finished.err) == (0, True)
    one, other = (folder / f"{NAMES[place]}.cif" for place in (0, 5))
    one_text, other_text = one.read_text(), other.read_text()
    one.write_text(other_text)
    other.write_text(one_text)
    again = xtalshift(*command)
    assert again.code == 1
    assert re.search(r"holds another screening \(structure_files.sha256: .* there", again.err)
    other.unlink()
    assert "structure_files" in xtalshift(*command).err


def test_suggestions_name_polymorphs(xtalshift, trained, tmp_path):
    """Three crystals of one formula are three candidates."""
    first = BATCH.take(slice(6))
    wider = replace(first, lattices=1.1 * first.lattices)
    some, out = write_folder(tmp_path / "some", NAMES[:6], wider), tmp_path / "next.csv"
    done = xtalshift("suggest", trained / "model", some, "-n", "6", "-o", out)
    assert done.code == 0, done.err
    assert set(pd.read_csv(out)["id"]) == set(NAMES[:6])
    assert f"adapt {trained / 'model'} measured.csv --structures {some} -o MODEL2" in done.out
    ids = tmp_path / "ids.csv"
    pd.DataFrame({"id": NAMES[:6]}).to_csv(ids, index=False)
    by_id = xtalshift("suggest", trained / "model", ids, "--structures", some, "-o", out)
    assert f"measured.csv --structures {some} -o MODEL2" in by_id.out


def test_the_folder_of_structures_serves_measured_materials(xtalshift, trained, tmp_path):
    first = BATCH.take(slice(6))
    wider = replace(first, lattices=1.1 * first.lattices)
    new = write_folder(tmp_path / "new", NAMES[:6], wider)
    # the same names, and other crystals
    other = write_folder(tmp_path / "other", NAMES[1:6], first.take(slice(1, 6)))
    measured, out = tmp_path / "measured.csv", tmp_path / "next.csv"
    pd.DataFrame({"id": NAMES[:2], "y": VALUES[:2]}).to_csv(measured, index=False)
    command = ("suggest", trained / "model", new, "-n", "6", "-o", out, "--measured", measured)
    done = xtalshift(*command, "--structures", new)
    assert done.code == 0, done.err
    assert f"{measured}: 2 of 2 rows are measured materials, 2 with a value (y)" in done.err
    assert set(pd.read_csv(out)["id"]) == set(NAMES[2:6])
    done = xtalshift(*command, "--structures", other)
    assert "1 of 2 rows are measured materials" in done.err
    assert set(pd.read_csv(out)["id"]) == set(NAMES[:6])  # those of their own folder
    remedy = (
        "; give the folder of its structure files in its place, a column 'cif', or a column 'id'"
    )
    none = xtalshift(*command)
    assert f"the features need crystal structures, and {measured} has none{remedy}" in none.err
    pd.DataFrame({"id": ["a"], "y": [1.0]}).to_csv(measured, index=False)
    absent = xtalshift(*command, "--structures", new)
    assert f"{new} has no structure file of any row of {measured}{remedy}" in absent.err


def test_the_folder_of_structures_serves_formulas_only_where_there_are_none(tmp_path):
    folder = write_folder(tmp_path / "cifs", NAMES[:2], BATCH.take(slice(2)))
    options = ReadingOptions(structures=str(folder))
    table = tmp_path / "t.csv"

    def found(*columns, crystals):
        table.write_text(",".join(columns) + "\n")
        own = options_for(table, options, crystals=crystals)
        return own.structures is not None, own.structure_col

    assert found("id", "formula", crystals=True) == (True, None)
    assert found("id", "formula", crystals=False) == (False, None)
    assert found("id", "y", crystals=False) == (True, None)
    assert found("id", "cif", crystals=True) == (False, "cif")
    options = options.model_copy(update={"structure_col": "cif"})
    assert found("id", "cif", crystals=True) == (True, "cif")  # names of files, as in the table
    assert options_for(folder, options, crystals=True).structures is None


def test_adaptation_and_splits_read_structures(xtalshift, trained, tmp_path):
    labels = tmp_path / "labels.csv"
    pd.DataFrame({"id": NAMES[::8], "y": 2 * VALUES[::8]}).to_csv(labels, index=False)
    done = xtalshift(
        "adapt", trained / "model", labels, "--structures", trained / "cifs", "-o", tmp_path / "a"
    )
    assert done.code == 0, done.err
    assert "24 target rows" in done.out
    assert "MAE on 3 labels" in done.out  # the others are training materials
    one_each = [3 * place + place % 3 for place in range(len(NAMES) // 3)]
    names = [NAMES[row] for row in one_each]  # polymorphs would stay on one side
    folder = write_folder(tmp_path / "one", names, BATCH.take(one_each))
    folds = tmp_path / "split.parquet"
    done = xtalshift("split", folder, "--scheme", "leave-out", "-p", "by=space_group", "-o", folds)
    assert done.code == 0, done.err
    found = pd.read_parquet(folds)
    assert found["fold"].nunique() == 3  # rock salt, zinc blende, caesium chloride
    kinds = found[found["part"] == "test"].groupby("fold")["id"]
    for _, names in kinds:
        assert len({name.partition("-")[2] for name in names}) == 1


def test_candidates_with_structures_are_judged(xtalshift, trained, tmp_path):
    new = [name for name in NAMES if split(name)[1] == "Te"]
    old = [name for name in NAMES if split(name)[1] != "Te"]
    table = tmp_path / "old.csv"
    pd.DataFrame({"id": old, "y": [VALUES[NAMES.index(name)] for name in old]}).to_csv(
        table, index=False
    )
    folder = write_folder(tmp_path / "new", new, BATCH.take([NAMES.index(name) for name in new]))
    by_id = tmp_path / "new.csv"
    pd.DataFrame({"id": new}).to_csv(by_id, index=False)
    command = (
        "run", table, "--structures", trained / "cifs", "--target", "y", "--methods", "ridge,svr",
        "--splits", "random", "--proxies", "Se,S", "-o", tmp_path / "run",
        "--set", "judge.n_measure=0", "--candidates",
    )  # fmt: skip
    done = xtalshift(*command, folder)
    assert done.code == 0, done.err
    frame = pd.read_csv(tmp_path / "run" / "candidates.csv").set_index("id")
    again = xtalshift(*command, by_id, "--overwrite")  # one folder has the files of both
    assert again.code == 0, again.err
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "run" / "candidates.csv")
        .set_index("id")
        .loc[frame.index, frame.columns],
        frame,
    )
    errors = np.abs(frame.loc[new, "prediction"] - [VALUES[NAMES.index(name)] for name in new])
    assert errors.mean() < 0.3 * VALUES.std()
    assert frame["rank"].max() == 24
    _check_drawings(xtalshift, tmp_path / "run", frame)


def _check_drawings(xtalshift, folder, frame):
    """Check that a page draws what `results.json` holds, also when it is written again."""
    results = json.loads((folder / "results.json").read_text())
    stored = {one["rank"]: one for one in results["answer"]["crystals"]}
    ends = {*range(1, 7), *range(19, 25)}
    assert set(stored) == ends
    for name, rank in frame["rank"].items():
        if rank in ends:
            kept = read_cells([stored[rank]["structure"]]).structures
            np.testing.assert_allclose(
                kept.volumes, BATCH.volumes[NAMES.index(name)], rtol=1e-6
            )  # a polymorph has its own structure
            near = read_cells([stored[rank]["nearest"]]).structures
            assert near.compositions().reduced_formulas()[0] == frame["nearest_formula"][name]
    worst = results["explanation"]["worst"]
    assert len(worst) == 10
    for row in worst:
        own = read_cells([row["structure"]]).structures
        np.testing.assert_allclose(own.volumes, BATCH.volumes[NAMES.index(row["id"])], rtol=1e-6)
        near = [read_cells([one["structure"]]).structures for one in row["neighbours"]]
        formulas = [one.compositions().reduced_formulas()[0] for one in near]
        assert formulas == [one["formula"] for one in row["neighbours"]]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count('role="img" aria-labelledby') == 2 * len(ends) + 2 * 6
    assert len(set(re.findall(r'<title id="([^"]+)"', page))) == page.count("<title id=")
    (folder / "report.html").unlink()
    assert xtalshift("report", folder).code == 0
    assert (folder / "report.html").read_text(encoding="utf-8") == page


def test_cif_text_in_a_csv(xtalshift, tmp_path):
    """The lines of a quoted CIF are no rows, and its commas and tabs no separators."""
    texts = [write_cif(BATCH.take([row])) for row in range(len(BATCH))]
    table = tmp_path / "texts.csv"
    pd.DataFrame({"id": NAMES, "y": VALUES, "cif": texts}).to_csv(table, index=False)
    done = xtalshift("train", table, "--target", "y", "--method", "ridge", "-o", tmp_path / "model")
    assert done.code == 0, done.err
    assert "192 materials, 209 features" in done.err
    out = tmp_path / "p.csv"
    done = xtalshift("predict", tmp_path / "model", table, "-o", out)
    assert done.code == 0, done.err
    again = pd.read_csv(out)
    assert again["cif"].tolist() == texts  # columns of a table are kept as they are
    assert again["formula"].tolist() == [name.partition("-")[0] for name in NAMES]


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Serve a data set of the form of Matbench; the catalogue names it ``small``."""
    content = {
        "index": list(range(len(NAMES))),
        "columns": ["structure", "y"],
        "data": [[_as_dict(BATCH.take([row])), VALUES[row]] for row in range(len(NAMES))],
    }
    folder = tmp_path / "served"
    folder.mkdir()
    packed = gzip.compress(json.dumps(content).encode())
    (folder / "small.json.gz").write_bytes(packed)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    monkeypatch.setenv("XTALSHIFT_CACHE", str(tmp_path / "cache"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    real = catalog.get_entry("matbench_dielectric")
    registry = Registry("data set")
    registry.add(
        "small",
        real.model_copy(
            update={
                "name": "small",
                "url": f"http://127.0.0.1:{server.server_port}/small.json.gz",
                "sha256": hashlib.sha256(packed).hexdigest(),
                "columns": ("structure", "y"),
                "target": "y",
                "units": {"y": "eV"},
                "n_rows": len(NAMES),
            }
        ),
    )
    monkeypatch.setattr(catalog, "_catalogue", lambda: registry)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield tmp_path / "cache"
    server.shutdown()
    server.server_close()


def _as_dict(structure):
    """Return a structure as pymatgen writes it."""
    sites = [
        {"species": [{"element": SYMBOLS[z], "occu": 1}], "abc": place.tolist()}
        for z, place in zip(structure.z, structure.positions, strict=True)
    ]
    lattice = {"@class": "Lattice", "matrix": structure.lattices[0].tolist()}
    return {"@module": "pymatgen.core", "@class": "Structure", "lattice": lattice, "sites": sites}


def test_a_data_set_of_the_catalogue_has_structures(xtalshift, archive, tmp_path):
    model = tmp_path / "model"
    done = xtalshift("train", "small", "--method", "ridge", "-o", model)
    assert done.code == 0, done.err
    assert "192 materials, 209 features" in done.err
    assert (archive / "small.json.gz").exists()
    done = xtalshift(
        "train", "small", "--method", "ridge", "--features", "magpie", "-o", model, "--overwrite"
    )
    assert done.code == 0, done.err
    assert "64 materials, 145 features" in done.err  # polymorphs have one formula
    done = xtalshift(
        "run", "small", "--methods", "ridge", "--splits", "random", "-o", tmp_path / "run",
        "--set", "explain.learning=false", "--set", "explain.drivers=false",
    )  # fmt: skip
    assert done.code == 0, done.err
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["config"]["data"]["structure_col"] == "structure"
    assert all(row["structure"] for row in results["explanation"]["worst"])


SMALL_CAL = (
    *("--set", "cal.epochs=4", "--set", "cal.warmup_epochs=1", "--threads", "1"),
    *("--set", "network.architecture=[16]", "--set", "intervals.method=none"),
)


@pytest.fixture
def few(tmp_path, monkeypatch):
    """Return a table of 48 crystals with formulas, values and CIF text."""
    pytest.importorskip("chgnet")
    monkeypatch.setenv("XTALSHIFT_CACHE", str(tmp_path / "cache"))
    rows = range(0, 192, 4)
    path = tmp_path / "few.parquet"
    pd.DataFrame({
        "id": [NAMES[row] for row in rows],
        "formula": [NAMES[row].partition("-")[0] for row in rows],
        "y": VALUES[list(rows)],
        "cif": [write_cif(BATCH.take([row])) for row in rows],
    }).to_parquet(path)  # fmt: skip
    return path


def test_attacked_crystals_are_written_as_files_and_as_a_table(xtalshift, few, tmp_path):
    out, model = tmp_path / "adv.csv", tmp_path / "model"
    command = ("train", few, "--target", "y", "--id-col", "id", "--method", "cal-crystal",
               "-o", model, "--save-adversarial", out, *SMALL_CAL)  # fmt: skip
    done = xtalshift(*command, "--set", "cal.substitutions=1", "--set", "cal.neighbours=2",
                     "--set", "cal.epsilon=1")  # fmt: skip
    assert done.code == 0, done.err
    assert f" moved); as CIF files: {tmp_path / 'adv'}/" in done.out
    frame = pd.read_csv(out, keep_default_na=False)
    assert len(frame) == len(list((tmp_path / "adv").iterdir()))
    assert 40 <= len(frame) < 48
    assert frame["file"].tolist() == [f"{name}.cif" for name in frame["id"]]
    assert (frame["substituted"] != "").any()
    moved = frame["displacement_rms"].astype(float) > 0
    assert moved.mean() > 0.5
    assert (frame["loss_gain"].astype(float)[moved] > 0).all()
    assert frame["strain_norm"].astype(float).max() == pytest.approx(3.0, rel=1e-6)
    # the files are crystals with these predictions
    predicted = tmp_path / "p.csv"
    assert xtalshift("predict", model, tmp_path / "adv", "-o", predicted).code == 0
    found = pd.read_csv(predicted).set_index("id").loc[frame["id"], "prediction"]
    np.testing.assert_allclose(
        found, frame["adversarial_prediction"].astype(float), rtol=1e-4, atol=1e-4
    )
    before = pd.read_csv(predicted).set_index("id").loc[frame["id"], "formula"]
    assert before.tolist() == frame["adversarial_formula"].tolist()
    out.unlink()
    refused = xtalshift(*command)
    assert refused.code == 1
    assert f"{tmp_path / 'model'} " in refused.err
    other = ["other" if part == model else part for part in command]
    refused = xtalshift(*(tmp_path / part if part == "other" else part for part in other))
    assert refused.code == 1
    assert "exists, and the crystals go to a folder of this name" in refused.err


def test_crystals_are_compared_with_their_control(xtalshift, few, tmp_path):
    done = xtalshift(
        "run", few, "--target", "y", "--methods", "erm,cal-crystal,cal-crystal-eps0",
        "--splits", "random", "-o", tmp_path / "run", "--set", "erm.epochs=3", *SMALL_CAL,
    )  # fmt: skip
    assert done.code == 0, done.err
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    status = {one["method"]: one["status"] for one in results["records"]}
    assert {"dummy", "erm", "cal-crystal", "cal-crystal-eps0"} <= set(status)
    assert set(status.values()) == {"ok"}


def test_attacks_on_crystals_say_what_is_missing(xtalshift, few, tmp_path):
    command = ("train", few, "--target", "y", "-o", tmp_path / "m", *SMALL_CAL)
    plain = xtalshift(*command, "--method", "cal", "--set", "cal.attack=structure")
    assert plain.code == 1
    assert "the features are magpie; add it (--features +chgnet)" in plain.err
    given = xtalshift(*command, "--method", "cal-crystal", "--features", "magpie+structure")
    assert given.code == 1
    assert "the features are magpie+structure; add it (--features +chgnet)" in given.err
    formulas = tmp_path / "f.csv"
    pd.DataFrame({"formula": ["NaCl", "KCl"] * 20, "y": range(40)}).to_csv(formulas, index=False)
    none = xtalshift(
        "train", formulas, "--target", "y", "--method", "cal-crystal", "-o", tmp_path / "n"
    )
    assert none.code == 1
    assert "need crystal structures" in none.err
