"""`xtalshift run` from a table to a report, resumed, repeated and refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from integration.tables import make_rows, write_rows
from xtalshift.benchmark.store import RECORDS_FILE, read_records
from xtalshift.benchmark.worker import task_folder
from xtalshift.estimators.baselines import ConstantRegressor
from xtalshift.files import lock_folder
from xtalshift.methods import METHODS, Method
from xtalshift.model import load_model
from xtalshift.parallel import InProcessExecutor

pytestmark = pytest.mark.usefixtures("few_corrections")

MACHINE_KEYS = {"seconds", "peak_memory_mib", "provenance"}
TESTS = {"random": "id", "covariate": "ood", "prior": "ood", "family:F": "ood"}


def stable(value: Any) -> Any:
    """Return results without what belongs to the machine and the moment."""
    if isinstance(value, dict):
        return {key: stable(item) for key, item in value.items() if key not in MACHINE_KEYS}
    return [stable(item) for item in value] if isinstance(value, list) else value


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def check_saved_model(results, out, said, predictions):
    """Check that the model of a run is the chosen method, fitted to all rows."""
    model = results["model"]
    assert model["n_rows"] == model["n_train"] + model["n_validation"] == 60
    errors = {one["method"]: one["mae"] for one in model["choice"]["rivals"]}
    assert model["choice"]["mae"] < min(errors.values())
    assert {model["method"], *errors} == {"dummy", "ridge", "lightgbm", "erm", "cal"}
    assert f"Model:  {out / 'model'}\n  {model['method']}, trained on all 60 rows" in said
    assert "rows that no test set holds, each predicted by fits to others" in said
    assert "Errors and coverage in the tables are those of models that saw no test row" in said
    again = load_model(out / "model")
    assert again.card.provenance["method"] == model["method"]
    assert np.isfinite(again.predict(predictions["formula"].tolist()).prediction).all()


def test_run_compares_all_methods_and_resumes(table, tmp_path, xtalshift, quick):
    out = tmp_path / "run"
    command = ("run", "--dataset", table, "--target", "gap", "--unit", "eV", "--out", out,
               "--methods", "dummy,ridge,lightgbm,erm,cal", *quick)  # fmt: skip
    outcome = xtalshift(*command)
    assert outcome.code == 0, outcome.err
    assert "MAE in eV" in outcome.out
    assert f"Report: {out / 'report.html'}" in outcome.out
    results = read(out)
    # 60 rows have 9 ID rows, which are too few to calibrate on
    assert all(record["coverage_90"] is None for record in results["records"])
    assert "Coverage of the 90 % intervals" not in outcome.out
    assert results["schema_version"] == 2
    assert results["intake"]["rows_kept"] == 60
    assert results["provenance"]["data"]["unit"] == "eV"
    done = {(r["method"], r["split"], r["role"]) for r in results["records"]}
    for method in ("dummy", "ridge", "lightgbm", "erm", "erm:last", "erm:ema", "cal", "cal:ema"):
        assert {(method, split, role) for split, role in TESTS.items()} <= done
    assert len(done) == len(results["records"])
    for record in results["records"]:
        assert record["status"] == "ok"
        assert record["rmse"] >= record["mae"] > 0
        if record["method"] == "dummy":
            assert record["mae_over_dummy"] == pytest.approx(1.0)

    predictions = pd.read_parquet(out / "predictions.parquet")
    source = pd.read_csv(table, dtype=str, keep_default_na=False).set_index("id")["formula"]
    assert predictions["formula"].tolist() == source[predictions["id"]].tolist()
    for record in results["records"]:
        if (record["split"], record["role"]) in TESTS.items():
            rows = predictions[
                (predictions["method"] == record["method"])
                & (predictions["split"] == record["split"])
                & (predictions["role"] == record["role"])
            ]
            assert len(rows) == record["n"]
            mae = (rows["prediction"] - rows["target"]).abs().mean()
            assert mae == pytest.approx(record["mae"], rel=1e-12)
    check_saved_model(results, out, outcome.out, predictions)
    assert "<html" in (out / "report.html").read_text()

    # the file that a run leaves is a configuration, and the same command resumes
    resumed = xtalshift("run", "--config", out / "config.toml", "--out", out)
    assert resumed.code == 0, resumed.err
    assert "5 tasks, 5 of them done before" in resumed.err
    assert stable(read(out)) == stable(results)

    fresh = tmp_path / "fresh"
    assert xtalshift(*command, "--out", fresh).code == 0
    assert stable(read(fresh)) == stable(results)
    pd.testing.assert_frame_equal(pd.read_parquet(fresh / "predictions.parquet"), predictions)

    # only the missing task is trained again, and nothing changes
    lines = (out / "records.jsonl").read_text().splitlines(keepends=True)
    kept = [line for line in lines if '"name":"erm"' not in line]
    assert len(kept) == len(lines) - 1
    (out / "records.jsonl").write_text("".join(kept))
    third = xtalshift(*command)
    assert "5 tasks, 4 of them done before" in third.err
    assert stable(read(out)) == stable(results)


def test_intervals_are_judged_reported_and_missing_in_folders_of_earlier_versions(
    tmp_path, xtalshift
):
    table, out = write_rows(tmp_path / "gaps.csv", make_rows(154)), tmp_path / "run"
    outcome = xtalshift("run", "--dataset", table, "--target", "gap", "--methods", "dummy,ridge",
                        "--out", out)  # fmt: skip
    assert outcome.code == 0, outcome.err
    results, rows = read(out), pd.read_parquet(out / "predictions.parquet")
    assert results["model"]["method"] == "ridge"
    shares = []
    for record in results["records"]:
        split = record["split"] if record["role"] == "ood" else "random"
        chosen = rows[(rows["method"] == record["method"]) & (rows["split"] == split)]
        assert record["coverage_90"] == (chosen["needed_level"] < 0.9).mean()
        width = (chosen["upper"] - chosen["lower"]).median()
        assert record["median_width_90"] == pytest.approx(width)
        if record["method"] == "ridge" and TESTS[record["split"]] == record["role"]:
            shares.append(f"{100 * record['coverage_90']:.0f} % on {record['split']}")
    coverage = f"{', '.join(shares[:-1])} and {shares[-1]}"
    assert f"Coverage of the 90 % intervals of ridge: {coverage}\n" in outcome.out
    assert "Before you rely on these numbers:\n- " in outcome.out
    # the model of the task, calibrated on all ID rows, says the same of OOD rows
    prior = rows[(rows["method"] == "ridge") & (rows["split"] == "prior")]
    (task,) = [one for one in read_records(out / RECORDS_FILE)[1].values() if one.name == "ridge"]
    again = load_model(task_folder(out, task.id) / "model").predict(prior["formula"].tolist())
    for name in ("lower", "upper", "std", "ood_score"):
        assert getattr(again, name) == pytest.approx(prior[name].to_numpy(), rel=1e-6)
    assert again.in_domain.tolist() == prior["in_domain"].tolist()
    # the saved one is calibrated by folds of all rows
    assert len(load_model(out / "model").calibration) == results["model"]["n_calibrated"] == 154
    assert "Interval evaluation" in (out / "report.html").read_text()

    rows[rows.columns[:8]].to_parquet(out / "predictions.parquet")
    for record in results["records"]:
        del record["coverage_90"], record["median_width_90"]
    (out / "results.json").write_text(json.dumps(results))
    assert xtalshift("report", out).code == 0
    page = (out / "report.html").read_text()
    assert "Interval evaluation" not in page
    assert "Predictions against targets" in page


def test_the_model_of_a_run_predicts_and_is_adapted(table, tmp_path, xtalshift, quick):
    out = tmp_path / "run"
    outcome = xtalshift("run", table, "--target", "gap", "--methods", "ridge,auto", "--splits",
                        "random", "--minutes", "4", "-o", out, *quick)  # fmt: skip
    assert outcome.code == 0, outcome.err
    model = read(out)["model"]
    assert (model["n_rows"], model["choice"]["repeats"]) == (60, 1)
    assert read(out)["config"]["minutes"] == 4.0
    cards = [json.loads(path.read_text())["card"] for path in out.glob("tasks/*/model/model.json")]
    budgets = {card["provenance"]["method"]: card["provenance"].get("minutes") for card in cards}
    assert budgets == {"dummy": None, "ridge": None, "auto": 4.0}
    predicted = xtalshift("predict", out / "model", "GaN", "LiFePO4")
    assert predicted.code == 0, predicted.err
    assert "GaN" in predicted.out
    labels = tmp_path / "labels.csv"
    labels.write_text("formula,gap\nGaSb,0.7\nGaP,2.3\nInP,1.3\nInSb,0.2\nAlSb,1.6\nAlP,2.5\n")
    adapted = xtalshift("adapt", out / "model", labels, "--target", "gap", "--method", "auto",
                        "-o", tmp_path / "adapted")  # fmt: skip
    assert adapted.code == 0, adapted.err
    assert load_model(tmp_path / "adapted").predict(["GaN"]).prediction.shape == (1,)


def test_another_configuration_needs_overwrite_and_keeps_other_files(table, tmp_path, xtalshift):
    out = tmp_path / "run"
    base = ("run", "--dataset", table, "--target", "gap", "--out", out, "--threads", "1")
    assert xtalshift(*base, "--methods", "dummy,ridge").code == 0
    (out / "notes.txt").write_text("mine")
    before = snapshot(out)
    refused = xtalshift(*base, "--methods", "dummy,ridge", "--seed", "1")
    assert refused.code == 1
    assert "other settings" in refused.err
    assert "--overwrite" in refused.err
    assert snapshot(out) == before
    assert xtalshift(*base, "--methods", "dummy", "--seed", "1", "--overwrite").code == 0
    assert (out / "notes.txt").read_text() == "mine"
    assert {record["method"] for record in read(out)["records"]} == {"dummy"}
    assert len(list((out / "tasks").iterdir())) == 1


def test_a_foreign_folder_is_not_touched(table, tmp_path, xtalshift):
    out = tmp_path / "thesis"
    (out / "model").mkdir(parents=True)
    (out / "model" / "chapter.tex").write_text("work of years")
    before = snapshot(out)
    command = ("run", "--dataset", table, "--target", "gap", "--out", out, "--methods", "dummy")
    refused = xtalshift(*command)
    assert (refused.code, "not empty" in refused.err) == (1, True)
    overwritten = xtalshift(*command, "--overwrite")
    assert (overwritten.code, "'model'" in overwritten.err) == (1, True)
    assert snapshot(out) == before


def test_overwrite_may_add_a_run_to_a_folder_of_other_files(table, tmp_path, xtalshift):
    (tmp_path / "log.txt").write_text("keep")
    command = ("run", "--dataset", table, "--target", "gap", "--out", tmp_path, "--methods=dummy")
    assert xtalshift(*command, "--overwrite").code == 0
    assert (tmp_path / "log.txt").read_text() == "keep"
    assert read(tmp_path)["records"]


class Failing(ConstantRegressor):
    """Fails until told otherwise."""

    broken = True

    def _fit(self, data):
        if type(self).broken:
            raise RuntimeError("the disk of the method broke")
        super()._fit(data)


@pytest.fixture
def failing(monkeypatch):
    method = Method(lambda settings, seed: Failing(), saved=True)
    monkeypatch.setitem(METHODS._items, "failing", method)
    monkeypatch.setattr(Failing, "broken", True)
    # other processes do not know the method
    monkeypatch.setattr("xtalshift.parallel.make_executor", lambda **_: InProcessExecutor())


def test_a_failed_method_is_a_record_and_is_tried_again(
    table, tmp_path, xtalshift, failing, monkeypatch
):
    from xtalshift.estimators import PREDICTORS

    monkeypatch.setitem(PREDICTORS._items, "Failing", Failing)
    command = ("run", "--dataset", table, "--target", "gap", "--out", tmp_path / "r", "--threads=1")
    outcome = xtalshift(*command, "--methods", "failing,ridge")
    assert outcome.code == 0
    assert (
        "failing failed on all fold 0, seed 0: RuntimeError: the disk of the method broke"
        in outcome.err
    )
    records = [r for r in read(tmp_path / "r")["records"] if r["method"] == "failing"]
    assert {(r["status"], r["mae"]) for r in records} == {("failed", None)}
    assert all("the disk of the method broke" in r["reason"] for r in records)
    assert "the disk of the method broke" in (tmp_path / "r" / "report.html").read_text()
    row = next(line for line in outcome.out.splitlines() if "failing" in line)
    assert row.count("failed") == 4

    monkeypatch.setattr(Failing, "broken", False)
    assert xtalshift(*command, "--methods", "failing,ridge").code == 0
    assert {r["status"] for r in read(tmp_path / "r")["records"]} == {"ok"}


def test_a_run_of_which_everything_failed_exits_1(table, tmp_path, xtalshift, failing):
    command = ("run", "--dataset", table, "--target", "gap", "--out", tmp_path / "r")
    outcome = xtalshift(*command, "--methods", "failing")
    assert outcome.code == 1
    assert read(tmp_path / "r")["model"]["method"] == "dummy"
    assert (tmp_path / "r" / "report.html").exists()


def test_settings_of_flag_beat_set_beat_file(table, tmp_path, xtalshift):
    file = tmp_path / "c.toml"
    file.write_text(
        f'seed = 1\nmethods = ["dummy"]\n[data]\ndataset = "{table}"\ntarget = "gap"\n'
        '[split]\nschemes = ["prior"]\ntail = "low"\nfamily = "O"\n'
    )
    out = tmp_path / "r"
    outcome = xtalshift("run", "--config", file, "--set", "split.tail=high", "--set", "seed=2",
                        "--seed", "3", "--out", out)  # fmt: skip
    assert outcome.code == 0, outcome.err
    config = read(out)["config"]
    assert (config["seed"], config["split"]["tail"], config["split"]["family"]) == (3, "high", "O")
    targets = pd.read_csv(table)["gap"]
    rows = pd.read_parquet(out / "predictions.parquet")
    tail = rows[rows["role"] == "ood"]["target"]
    assert sorted(tail) == sorted(targets.nlargest(6))


def test_seeds_and_separate_trainings(table, tmp_path, xtalshift):
    out = tmp_path / "r"
    outcome = xtalshift("run", "--dataset", table, "--target", "gap", "--methods", "dummy,ridge",
                        "--seeds=2", "--separate", "--splits", "prior", "--out", out)  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "mean over 2 seeds" in outcome.out
    results = read(out)
    assert {record["seed"] for record in results["records"]} == {0, 1}
    assert {item["fit"] for item in results["splits"]} == {"random", "prior"}
    trained = {item["fit"]: item["n_train"] for item in results["splits"] if item["seed"] == 0}
    assert trained["random"] > trained["prior"]  # nothing but ID rows is held out of it


@pytest.mark.parametrize("way", ["flag", "file"])
def test_relation_shift(way, tmp_path, xtalshift, table):
    frame = pd.read_csv(table, dtype={"id": str}, keep_default_na=False)
    chosen = frame["formula"].str.endswith("S")
    frame["piezo"] = chosen.map({True: "yes", False: "no"})
    source = tmp_path / "t.csv"
    frame.to_csv(source, index=False)
    listed = tmp_path / "piezo.csv"
    frame[chosen][["formula"]].to_csv(listed, index=False)
    option = ("--relation-flag", "piezo") if way == "flag" else ("--relation-file", listed)
    out = tmp_path / "r"
    outcome = xtalshift("run", "--dataset", source, "--target", "gap", "--methods", "dummy",
                        "--splits", "random", *option, "--out", out)  # fmt: skip
    assert outcome.code == 0, outcome.err
    rows = pd.read_parquet(out / "predictions.parquet")
    held_out = rows[(rows["split"] == "relation") & (rows["role"] == "ood")]
    assert sorted(held_out["formula"]) == sorted(frame[chosen]["formula"])


def test_a_changed_relation_file_is_another_run(tmp_path, xtalshift, table):
    listed = tmp_path / "piezo.csv"
    listed.write_text(
        "formula\n" + "\n".join(pd.read_csv(table, keep_default_na=False)["formula"][:5]) + "\n"
    )
    command = ("run", "--dataset", table, "--target", "gap", "--methods", "dummy", "--splits",
               "random", "--relation-file", listed, "--out", tmp_path / "r")  # fmt: skip
    assert xtalshift(*command).code == 0
    first = read(tmp_path / "r")
    listed.write_text(
        "formula\n" + "\n".join(pd.read_csv(table, keep_default_na=False)["formula"][:6]) + "\n"
    )
    refused = xtalshift(*command)
    assert refused.code == 1
    assert "cannot be compared with these (folds: " in refused.err
    assert read(tmp_path / "r") == first


def test_another_table_is_refused(tmp_path, xtalshift, table):
    mine = tmp_path / "mine.csv"
    mine.write_text(table.read_text())
    command = ("run", "--dataset", mine, "--target", "gap", "--methods", "dummy", "--out",
               tmp_path / "r")  # fmt: skip
    assert xtalshift(*command).code == 0
    before = snapshot(tmp_path / "r")
    mine.write_text(table.read_text() + "x1,CsCl,2,300\n")
    refused = xtalshift(*command)
    assert refused.code == 1
    assert "cannot be compared with these (data: " in refused.err
    assert "--overwrite" in refused.err
    assert snapshot(tmp_path / "r") == before


def test_log_scale_predicts_in_real_units(table, tmp_path, xtalshift):
    out = tmp_path / "r"
    outcome = xtalshift("run", "--dataset", table, "--target", "gap", "--methods", "dummy,ridge",
                        "--transform", "log", "--out", out)  # fmt: skip
    assert outcome.code == 0, outcome.err
    rows = pd.read_parquet(out / "predictions.parquet")
    ridge = rows[rows["method"] == "ridge"]
    assert (ridge["prediction"] > 0).all()
    assert ridge["prediction"].mean() == pytest.approx(ridge["target"].mean(), rel=0.3)
    dummy = rows[(rows["method"] == "dummy") & (rows["split"] == "random")]
    assert (dummy["prediction"] == dummy["prediction"].iloc[0]).all()


def test_duplicates_and_hydrates(table, tmp_path, xtalshift):
    source = tmp_path / "t.csv"
    first = pd.read_csv(table, keep_default_na=False)["formula"][0]
    source.write_text(table.read_text() + f"0060,{first},9.0,300\n0061,CuSO4*5H2O,2.0,300\n")
    base = ("run", "--dataset", source, "--target", "gap", "--methods", "dummy", "--splits=random")
    counts = {}
    for name, options in {
        "plain": (),
        "keep": ("--duplicates", "keep"),
        "expand": ("--hydrates", "expand"),
    }.items():
        outcome = xtalshift(*base, *options, "--out", tmp_path / name)
        assert outcome.code == 0, outcome.err
        counts[name] = read(tmp_path / name)["intake"]["rows_kept"]
    assert counts == {"plain": 60, "keep": 61, "expand": 61}
    strict = xtalshift(*base, "--strict", "--out", tmp_path / "strict")
    assert strict.code == 1
    assert "row 62" in strict.err
    assert "CuSO4*5H2O" in strict.err
    assert not (tmp_path / "strict").exists()


def test_a_second_run_in_the_same_folder_is_one_readable_line(table, xtalshift, tmp_path, quick):
    out = tmp_path / "out"
    with lock_folder(out):
        found = xtalshift("run", table, "--target", "gap", "--out", out, *quick)
    assert found.code == 1
    assert "another process is writing to" in found.err
    assert "Traceback" not in found.err
    assert [path.name for path in out.iterdir()] == [".lock"]


def test_a_family_that_is_in_no_row_gets_an_example_that_works(tmp_path, xtalshift):
    table = write_rows(tmp_path / "rows.csv", make_rows(140))
    quick = ("--target", "gap", "--methods", "dummy", "--threads", 1)
    found = xtalshift("run", table, "-o", tmp_path / "run", *quick, "--family", "U")
    assert found.code == 1
    error = found.err.splitlines()[-1]
    assert error.startswith("Error: rows.csv: split 'family:U': all materials that contain U holds")
    example = re.search(
        r"such as ([A-Z][a-z]?) \((\d+) of (\d+) rows\). --family names another", error
    )
    assert example is not None
    assert 0 < int(example[2]) < int(example[3]) == 140
    assert error.endswith("--splits random,covariate,prior leaves this split out")
    for way in (("--family", example[1]), ("--splits", "random,covariate,prior")):
        assert xtalshift("run", table, "-o", tmp_path / way[1], *quick, *way).code == 0
