"""Splits by crystal structure, from the command line to the folds."""

import numpy as np
import pandas as pd
import pytest

from polymorph_toys import crystals, write_cif, write_folder
from xtalshift.benchmark.prepare import prepare_shared
from xtalshift.benchmark.spec import BenchmarkSpec
from xtalshift.data.clean import clean_table
from xtalshift.data.readers import read_table
from xtalshift.errors import FormulaError
from xtalshift.jobs.split import iter_parts
from xtalshift.progress import NO_PROGRESS
from xtalshift.splits import SOAPLOCOSplit
from xtalshift.splits.split_spec import SplitSpec

NAMES, BATCH, VALUES = crystals()
ONE_EACH = [3 * place + place % 3 for place in range(64)]  # polymorphs would stay on one side
KINDS = np.array([NAMES[row].partition("-")[2] for row in ONE_EACH])


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Return a folder of 64 CIFs, a table of CIF text and formulas, and one of formulas."""
    place = tmp_path_factory.mktemp("crystals")
    names, rows = [NAMES[row] for row in ONE_EACH], BATCH.take(ONE_EACH)
    folder = write_folder(place / "cifs", names, rows)
    frame = pd.DataFrame(
        {
            "id": names,
            "formula": [name.partition("-")[0] for name in names],
            "y": VALUES[ONE_EACH],
        }
    )
    frame.to_csv(place / "formulas.csv", index=False)
    texts = [write_cif(rows.take([row])) for row in range(len(rows))]
    frame.assign(cif=texts).to_parquet(place / "texts.parquet")
    return folder, place / "texts.parquet", place / "formulas.csv"


@pytest.fixture
def split(xtalshift, tmp_path):
    def call(table, *options, code=0):
        out = tmp_path / "split.parquet"
        done = xtalshift("split", table, *options, "--overwrite", "-o", out)
        assert done.code == code, done.err
        return (done, pd.read_parquet(out), out) if code == 0 else done

    return call


def held_out(found):
    return [set(part["id"]) for _, part in found[found["part"] == "test"].groupby("fold")]


@pytest.mark.parametrize("by", ["prototype", "matched"])
def test_a_structure_type_is_left_out(split, xtalshift, tables, by):
    folder, text, _ = tables
    ids = {kind: {NAMES[row] for row in ONE_EACH if NAMES[row].endswith(kind)} for kind in KINDS}
    for table in (folder, text):
        done, found, out = split(table, "--scheme", "leave-out", "-p", f"by={by}", "--id-col", "id")
        held = held_out(found)
        assert len(held) == 3
        assert all(one in held for one in ids.values())
        names = found["fold_name"].unique()
        if by == "prototype":
            assert set(names) == {
                "AB_cF8_225_a_b",
                "AB_cF8_216_a_c",
                "AB_cP2_221_a_b",
            }
        else:
            assert all(name.endswith(" type") for name in names)
        audited = xtalshift("audit", table, out, "-o", out.parent / "audit", "--overwrite")
        assert audited.code == 0, audited.err
        assert "is not checked" not in audited.err
    assert "train" in done.out


def test_matched_crystals_stay_in_one_fold(split, tables):
    found = split(tables[1], "--scheme", "grouped", "-p", "by=matched", "-p", "n_folds=3")[1]
    for one in held_out(found):
        assert len({name.partition("-")[2] for name in one}) == 1


def test_networks_are_left_out(split, tables):
    _, found, _ = split(tables[0], "--scheme", "leave-out", "-p", "by=dimensionality")
    assert found["fold_name"].unique().tolist() == ["0D", "3D"]
    assert list(map(len, held_out(found))) == [32, 32]


def test_soap_clusters(split, tables):
    options = ("--scheme", "soap-loco", "-p", "n_clusters=4", "--id-col", "id")
    done, found, _ = split(tables[1], *options)
    assert done.out.startswith("cluster 0: train ")
    assert held_out(found) == held_out(split(tables[1], *options)[1])
    assert sorted(name for one in held_out(found) for name in one) == sorted(
        NAMES[row] for row in ONE_EACH
    )
    formulas = [NAMES[row].partition("-")[0] for row in ONE_EACH]
    splitter = SOAPLOCOSplit(BATCH.take(ONE_EACH), 4)
    found = split(tables[1], *options, "-p", "random_state=0")[1]
    ids = np.array([NAMES[row] for row in ONE_EACH])
    folds = splitter.folds(np.empty((64, 0)), None, np.array(formulas))
    assert {frozenset(ids[fold.test]) for fold in folds} == set(map(frozenset, held_out(found)))


@pytest.mark.parametrize(
    ("scheme", "params"),
    [
        ("loco", ("n_clusters=3",)),
        ("sparse-x", ("n_folds=3", "n_others=2")),
        ("covariate", ()),
        ("farthest", ()),
    ],
)
def test_distances_in_features_of_the_scheme(split, tables, scheme, params):
    texts = tables[1]
    options = ["--scheme", scheme]
    for one in params:
        options += ["-p", one]
    usual = held_out(split(texts, *options)[1])
    own = held_out(split(texts, *options, "-p", "features=structure")[1])
    assert own == held_out(split(texts, *options, "--features", "structure")[1])
    assert own != usual


def test_inner_and_outer_scheme_have_spaces_of_their_own(split, tables):
    found = split(
        tables[1], "--scheme", "loco", "-p", "n_clusters=3", "-p", "features=structure",
        "--inner", "soap-loco", "--inner-param", "n_clusters=2",
    )[1]  # fmt: skip
    assert found.groupby("fold")["inner"].unique().map(list).tolist() == [[-1, 0, 1]] * 3


def test_what_is_missing_is_named(split, tables):
    *_, formulas = tables
    done = split(formulas, "--scheme", "leave-out", "-p", "by=prototype", code=1)
    assert "prototype is read from a column cif, structure or poscar, and the table" in done.err
    done = split(formulas, "--scheme", "leave-out", "-p", "by=prototipe", code=1)
    assert "did you mean 'prototype'" in done.err
    assert "prototype, dimensionality, matched; columns: " in done.err
    done = split(formulas, "--scheme", "soap-loco", code=1)
    assert "need crystal structures, and" in done.err
    done = split(formulas, "--scheme", "loco", "-p", "features=structure", code=1)
    assert "need crystal structures, and" in done.err
    done = split(formulas, "--scheme", "loco", "-p", "features=strukture", code=1)
    assert "unknown block 'strukture'" in done.err
    done = split(tables[1], "--scheme", "soap-loco", "-p", "structures=cif", code=1)
    assert "scheme soap-loco has no parameter 'structures'" in done.err


def test_rows_that_have_no_fingerprint_get_a_reason(split, tables, tmp_path):
    frame = pd.read_parquet(tables[1])
    frame.loc[3, "cif"] = "garbage"
    frame.loc[5, "cif"] = frame.loc[5, "cif"].replace(" 1\n", " 0.5\n")
    frame.to_parquet(tmp_path / "worse.parquet")
    found = split(tmp_path / "worse.parquet", "--scheme", "soap-loco", "-p", "n_clusters=3")[1]
    first = found[found["fold"] == 0].reset_index(drop=True)
    assert first.index[first["status"] == "error"].tolist() == [3, 5]
    assert "unknown format" in first["reason"][3]
    assert "a site is not fully occupied" in first["reason"][5]


def test_in_python_the_column_is_read(tables):
    table = read_table(tables[1], target="y", id_col="id")
    assert table.materials.structures is None
    spec = SplitSpec(scheme="soap-loco", params={"n_clusters": 2}, validation_share=0)
    parts = list(iter_parts(table, spec))
    assert [len(one.fold.test) for one in parts] == sorted(
        (len(one.fold.test) for one in parts), reverse=True
    )
    assert sum(len(one.fold.test) for one in parts) == 64
    assert len(clean_table(table)) == 64


def test_a_benchmark_splits_by_structure(tables):
    *_, texts, _ = tables
    spec = {
        "data": {"t": {"dataset": str(texts), "target": "y"}},
        "splits": {
            "prototypes": {"scheme": "leave-out", "params": {"by": "prototype"}},
            "loco": {"scheme": "loco", "params": {"n_clusters": 2, "features": "structure"}},
            "soap": {"scheme": "soap-loco", "params": {"n_clusters": 8}},
        },
        "methods": ["dummy"], "seeds": 1, "validation_share": 0.1, "audit": False,
    }  # fmt: skip
    shared, _ = prepare_shared(BenchmarkSpec.from_dict(spec).check_methods(), {})
    counts = pd.Series([fold.split for fold in shared.folds.values()]).value_counts()
    assert counts.to_dict() == {"prototypes": 3, "loco": 2, "soap": 8}
    assert shared.problems["t"].settings.blocks == "magpie"  # what methods see is not changed


def test_a_benchmark_leaves_a_crystal_out_that_one_method_cannot_take(tables, tmp_path):
    frame = pd.read_parquet(tables[1])
    frame["y"] = np.arange(64.0)
    assert frame.loc[5, "cif"].endswith(" 1\n")
    frame.loc[5, "cif"] = frame.loc[5, "cif"].removesuffix(" 1\n") + " 0.5\n"
    frame.to_parquet(tmp_path / "texts.parquet")
    spec = {
        "data": {"t": {"dataset": str(tmp_path / "texts.parquet"), "target": "y", "id_col": "id"}},
        "splits": {"loco": {"scheme": "loco", "params": {"n_clusters": 2}}},
        "methods": ["dummy", "ridge@magpie", "ridge@sites"], "seeds": 1, "audit": False,
    }  # fmt: skip
    said = []

    class Listener(type(NO_PROGRESS)):
        def say(self, text):
            said.append(text)

    spec = BenchmarkSpec.from_dict(spec).check_methods()
    shared, whole = prepare_shared(spec, {}, Listener())
    problem = shared.problems["t"]
    assert problem.data.y.tolist() == whole["t"].data.y.tolist()
    assert sorted(problem.data.y) == [value for value in range(64) if value != 5]
    assert {len(X) for X in problem.X.values()} == {63}
    assert problem.tails == pytest.approx(np.quantile(problem.data.y, [0.05, 0.95]))
    tested = np.concatenate([fold.test_rows for fold in shared.folds.values()])
    assert sorted(tested) == list(range(63))
    assert problem.describe().cleaning.rows_dropped == 1
    (line,) = [text for text in said if "left out" in text]
    assert line.startswith("  1 row is left out for every method: no sites features (row 6: a site")
    strict = spec.data["t"].model_copy(update={"strict": True})
    with pytest.raises(FormulaError, match="row 6: no sites features"):
        prepare_shared(spec.model_copy(update={"data": {"t": strict}}), {})


def test_check_names_rows_of_one_crystal(xtalshift, tmp_path):
    names = ["NaCl-rocksalt", "NaCl-zincblende", "NaCl-rocksalt-again"]
    rows = BATCH.take([NAMES.index(name.removesuffix("-again")) for name in names])
    rows.lattices[2] *= 1.01
    done = xtalshift("check", write_folder(tmp_path / "cifs", names, rows))
    assert done.code == 0, done.err
    assert "- the crystal of an earlier row in another cell, or slightly distorted; 1" in done.out
    assert "row 2: NaCl (id NaCl-rocksalt): as row 1 (id NaCl-rocksalt-again)" in done.out
    assert "3, of which 3 can be used" in done.out
