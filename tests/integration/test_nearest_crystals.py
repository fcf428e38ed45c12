"""The nearest known crystal: polymorphs of one formula are told apart, also after saving."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import xtalshift as xs
from polymorph_toys import crystals, write_cif, write_folder
from xtalshift.data.materials import Materials
from xtalshift.model.predictions import CRYSTAL_COLUMNS, PREDICTED_COLUMNS
from xtalshift.model.signed_json import hash_described

pytestmark = pytest.mark.usefixtures("few_corrections")

NAMES, BATCH, VALUES = crystals()
GROUPS = {"rocksalt": 225, "zincblende": 216, "cesium-chloride": 221}
TWELVE = [row for row, name in enumerate(NAMES) if name.startswith(("NaCl", "KF", "CuF", "AgI"))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a folder with CIFs and a model of them, its training rows, and the structures read."""
    place = tmp_path_factory.mktemp("nearest")
    folder = write_folder(place / "cifs", NAMES, BATCH)
    pd.DataFrame({"id": NAMES, "y": VALUES}).to_csv(place / "values.csv", index=False)
    data = xs.read_table(place / "values.csv", target="y", structures=folder, id_col="id")
    model = xs.fit(data, "ridge")
    model.save(place / "model")
    known = set(model.domain.crystals_.ids)
    return (
        place,
        [row for row, name in enumerate(NAMES) if name in known],
        data.materials.structures,
    )


def given(structures, rows, factor=1.0):
    some = structures.take(rows)
    moved = replace(some, lattices=factor * some.lattices)
    formulas = some.compositions().reduced_formulas()
    return Materials.parse(formulas, ids=[NAMES[row] for row in rows], structures=moved)


def test_a_training_crystal_is_its_own_neighbour_at_distance_0(trained):
    place, known, read = trained
    found = xs.load_model(place / "model").predict(given(read, known))
    assert len(known) > 150
    assert found.nearest_id.tolist() == [NAMES[row] for row in known]
    assert found.nearest_distance.tolist() == [0.0] * len(known)
    assert found.nearest_space_group.tolist() == [
        GROUPS[NAMES[row].partition("-")[2]] for row in known
    ]
    near = xs.load_model(place / "model").predict(given(read, known[:1], 1.2), explain=True)
    assert near.nearest_distance[0] > 0
    assert f" {near.nearest_id[0]} (space group " in near.explanation[0]


def test_a_model_of_formulas_has_no_such_columns(trained):
    place, known, read = trained
    found = xs.load_model(place / "model").predict(given(read, known[:3]))
    assert found.frame.columns.tolist() == ["id", "formula", *PREDICTED_COLUMNS, *CRYSTAL_COLUMNS]
    formulas = ["NaCl", "KCl", "NaBr", "KBr", "LiF", "NaF", "KF", "LiCl", "LiBr", "RbCl"]
    model = xs.fit(xs.Dataset.of(formulas, range(10)), "ridge")
    assert model.domain.crystals_ is None
    assert model.predict(["RbBr"]).frame.columns.tolist() == ["formula", *PREDICTED_COLUMNS]


def test_predictions_of_files_name_it(xtalshift, trained, tmp_path):
    place, known, _ = trained
    some = known[:6]
    folder = write_folder(tmp_path / "some", [f"new{row}" for row in some], BATCH.take(some))
    done = xtalshift("predict", place / "model", folder, "-o", tmp_path / "p.csv")
    assert done.code == 0, done.err
    frame = pd.read_csv(tmp_path / "p.csv").set_index("id")
    assert frame.loc[[f"new{row}" for row in some], "nearest_id"].tolist() == [
        NAMES[row] for row in some
    ]
    taken = pd.DataFrame({"nearest_id": ["x"], "structure": [write_cif(BATCH.take([0]))]})
    taken.to_parquet(tmp_path / "taken.parquet")
    done = xtalshift(
        "predict", place / "model", tmp_path / "taken.parquet", "-o", tmp_path / "t.csv"
    )
    assert done.code == 1
    assert "'nearest_id'" in done.err


def test_screening_names_it(xtalshift, trained, tmp_path):
    place, *_ = trained
    out = tmp_path / "screened"
    done = xtalshift("screen", place / "model", place / "cifs", "--top", "3", "-o", out)
    assert done.code == 0, done.err
    best = pd.read_csv(out / "top.csv")
    assert best["nearest_id"].isin(NAMES).all()
    for _, row in best.iterrows():
        assert row["nearest_known"].startswith(
            f"{row['nearest_formula']} {row['nearest_id']} (space group "
        )


def test_adaptation_adds_the_crystals_of_the_labels(trained):
    place, known, read = trained
    model = xs.load_model(place / "model")
    rows = [row for row in range(len(NAMES)) if row not in known] + known[:3]
    labels = xs.Dataset(given(read, rows, 1.2), VALUES[rows] + 1)
    for start in (model, replace(model, domain=_without_crystals(model.domain))):
        adapted = xs.adapt(start, labels)
        kept = adapted.regressor is start.regressor
        ids = adapted.domain.crystals_
        if start is not model:
            assert ids is None  # as of an earlier version
        elif not kept:
            assert {NAMES[row] for row in rows} <= set(ids.ids)
            assert len(ids) == len(adapted.domain.formulas_)


def _without_crystals(domain):
    plain = type(domain)().set_state(domain.get_state())
    plain.crystals_ = None
    return plain


def test_a_model_of_the_version_before_is_read(trained, tmp_path):
    place, known, read = trained
    model = xs.load_model(place / "model")
    replace(model, domain=_without_crystals(model.domain)).save(tmp_path / "old")
    path = tmp_path / "old" / "model.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    description |= {"format_version": 5}
    description.pop("sha256")
    arrays = next((tmp_path / "old").glob("arrays-*"))
    path.write_text(
        json.dumps({**description, "sha256": hash_described(description)}),
        encoding="utf-8",
    )
    assert arrays.exists()
    old = xs.load_model(tmp_path / "old")
    found = old.predict(given(read, known[:5]))
    assert found.nearest_id is None
    np.testing.assert_array_equal(
        found.prediction, model.predict(given(read, known[:5])).prediction
    )


def test_suggestions_show_ids_and_the_nearest(xtalshift, trained, tmp_path, monkeypatch):
    place, *_ = trained
    monkeypatch.setattr("xtalshift.cli.suggest._on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    wider = replace(BATCH.take(TWELVE), lattices=1.15 * BATCH.take(TWELVE).lattices)
    some = write_folder(tmp_path / "some", [NAMES[row] for row in TWELVE], wider)
    done = xtalshift("suggest", place / "model", some, "-n", "12")
    assert done.code == 0, done.err
    for row in TWELVE:
        assert f" {NAMES[row]} " in done.out
    assert any(f"{name.partition('-')[0]} {name}: " in done.out for name in NAMES)


def test_candidates_of_a_run_have_ids_and_nearest_crystals(xtalshift, trained, tmp_path):
    place, *_ = trained
    new = [row for row, name in enumerate(NAMES) if "Te-" in name]
    old = [row for row, name in enumerate(NAMES) if "Te-" not in name]
    pd.DataFrame({"id": [NAMES[row] for row in old], "y": VALUES[old]}).to_csv(
        tmp_path / "old.csv", index=False
    )
    texts = [write_cif(BATCH.take([row])) for row in new]
    pd.DataFrame({"cif": texts}).to_parquet(tmp_path / "new.parquet")  # without ids
    done = xtalshift(
        "run", tmp_path / "old.csv", "--structures", place / "cifs", "--target", "y", "--methods",
        "ridge", "--splits", "random", "--candidates", tmp_path / "new.parquet", "--proxies",
        "Se,S", "-o", tmp_path / "run", "--set", "judge.n_measure=0",
    )  # fmt: skip
    assert done.code == 0, done.err
    frame = pd.read_csv(tmp_path / "run" / "candidates.csv")
    assert sorted(frame["id"]) == list(range(1, 25))
    assert frame["nearest_id"].isin([NAMES[row] for row in old]).all()
    best = frame.sort_values("rank").iloc[0]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert f'{best["formula"]}<span class="sub">{best["id"]}</span>' in page
    near = f"{best['nearest_formula']} ({best['nearest_id']}, space group "
    assert near in page
    assert f"{best['formula']} ({best['id']})" in done.out
