"""Several targets from the command line."""

from __future__ import annotations

import filecmp
import json
from math import gcd

import numpy as np
import pandas as pd
import pytest

from integration.conftest import QUICK
from integration.tables import make_rows
from xtalshift.model import load_model, load_models

pytestmark = pytest.mark.usefixtures("few_corrections")


@pytest.fixture(scope="module")
def elastic(tmp_path_factory):
    """Return a CSV of 80 rows with three targets and holes."""
    path = tmp_path_factory.mktemp("several") / "elastic.csv"
    lines = ["id,formula,bulk,shear,debye"]
    for number, (name, formula, gap, _) in enumerate(make_rows(80)):
        cells = [f"{30 * gap:g}", f"{12 * gap + number % 5:g}", f"{600 - 40 * gap:g}"]
        if number % 4 == 1:
            cells[1] = ""
        if number % 5 == 2:
            cells[2] = ""
        lines.append(",".join([name, formula, *cells]))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("method", ["ridge", "erm"])
def test_train_gives_the_models_of_the_single_commands(xtalshift, elastic, tmp_path, method):
    common = ("--method", method, "--seed", 3, *QUICK)
    done = xtalshift(
        "train", elastic, "--target", "bulk,shear,debye", "--unit", "GPa,GPa,K",
        "-o", tmp_path / "all", *common,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "shear: 20 of 80 rows have no value of it, but another" in done.err
    assert "Joint intervals (90 % for all targets at once): calibrated on 48 rows" in done.out
    for number, (name, unit) in enumerate([("bulk", "GPa"), ("shear", "GPa"), ("debye", "K")]):
        alone = tmp_path / name
        one = xtalshift("train", elastic, "--target", name, "--unit", unit, "-o", alone, *common)
        assert one.code == 0, one.err
        match, differ, missing = filecmp.cmpfiles(
            alone, tmp_path / "all" / f"{number + 1}-{name}",
            [path.name for path in alone.iterdir()], shallow=False,
        )  # fmt: skip
        assert (len(match), differ, missing) == (2, [], [])
    assert not list(tmp_path.glob(".*checkpoint*"))


@pytest.fixture(scope="module")
def saved(elastic, tmp_path_factory):
    from xtalshift.data import read_targets
    from xtalshift.model import fit_several

    tables = read_targets(elastic, ["bulk", "shear", "debye"], units={"bulk": "GPa"})
    return fit_several(tables, "ridge").save(tmp_path_factory.mktemp("models") / "m")


def test_predict_adds_the_columns_of_each_target(xtalshift, saved, tmp_path):
    table = tmp_path / "new.csv"
    table.write_text("name,formula\na,CaO\nb,oops\nc,Fe2O3\n")
    out = tmp_path / "out.csv"
    done = xtalshift("predict", saved, table, "-o", out)
    assert done.code == 0, done.err
    assert "2 of 3 rows predicted; 1 with an error" in done.out
    frame = pd.read_csv(out)
    expected = load_models(saved).predict(["CaO", "oops", "Fe2O3"]).frame
    assert list(frame.columns) == ["name", *expected.columns]
    for name in ("prediction_bulk", "upper_shear", "joint_lower_debye"):
        pd.testing.assert_series_equal(frame[name], expected[name])
    # the same command may write there again, another not
    assert xtalshift("predict", saved, table, "-o", out).code == 0
    other = tmp_path / "mine.csv"
    other.write_text("prediction\n1\n")
    assert (
        "not known to be an earlier output" in xtalshift("predict", saved, table, "-o", other).err
    )


def test_predict_formulas_and_what_it_refuses(xtalshift, saved, tmp_path):
    done = xtalshift("predict", saved, "CaO", "GaN")
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].startswith("formula,prediction_bulk,lower_bulk")
    assert len(done.out.splitlines()) == 3
    done = xtalshift("predict", saved, "CaO", "--intervals", "weighted")
    assert done.code == 1
    assert "is for one target" in done.err


def test_a_model_of_several_targets_is_not_replaced_unasked(xtalshift, elastic, tmp_path):
    out, how = tmp_path / "m", ("--method", "ridge")
    assert xtalshift("train", elastic, "--target", "bulk,shear", "-o", out, *how).code == 0
    again = xtalshift("train", elastic, "--target", "bulk,shear", "-o", out, *how)
    assert again.code == 1
    assert "give --overwrite" in again.err
    one = xtalshift("train", elastic, "--target", "bulk", "-o", out, *how)
    assert one.code == 1
    done = xtalshift("train", elastic, "--target", "bulk,debye", "-o", out, *how, "--overwrite")
    assert done.code == 0
    assert load_models(out).targets == ("bulk", "debye")


def test_one_network_of_all_targets(xtalshift, elastic, tmp_path):
    out = tmp_path / "m"
    done = xtalshift(
        "train", elastic, "--target", "bulk,shear,debye", "--method", "multi-task", "-o", out,
        *QUICK,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.out.count("multi-task: validation MAE") == 3
    assert "calibrated on 48 rows" in done.out
    assert xtalshift("predict", out, "CaO").code == 0
    split = tmp_path / "split.csv"
    split.write_text("id,fold,part\n")
    refused = xtalshift(
        "train", elastic, "--target", "bulk,shear", "--method", "multi-task", "-o", out,
        "--split", split, "--overwrite",
    )  # fmt: skip
    assert refused.code == 1
    assert "fitted to all together" in refused.err


def test_suggest_asks_for_goals_and_writes_a_table(xtalshift, saved, tmp_path):
    table = tmp_path / "new.csv"
    table.write_text("name,formula\na,CaO2\nb,oops\nc,Fe2O3\nd,Al2S3\n")
    asked = xtalshift("suggest", saved, table)
    assert asked.code == 1
    assert "models of bulk, shear, debye: say which values are good" in asked.err
    out = tmp_path / "next.csv"
    done = xtalshift("suggest", saved, table, "--goal", "max,-,min", "-n", 2, "-o", out)
    assert done.code == 0, done.err
    assert "known materials are beaten by none" in done.out
    frame = pd.read_csv(out)
    assert frame["rank"].tolist() == [1, 2]
    assert {"name", "prediction_bulk", "prediction_shear", "score", "utility"} <= set(frame)
    wrong = xtalshift("suggest", saved, table, "--goal", "max,min,-", "--toward", "high")
    assert "--toward is for one" in wrong.err
    one = xtalshift("suggest", saved / "1-bulk", table, "--goal", "max,min")
    assert "is a model of one target" in one.err
    bad = xtalshift("suggest", saved, table, "--goal", "max,min,-", "--reference", "a,b")
    assert bad.code == 2


def write_candidates(path, n=150):
    metals, anions = ("Li", "Na", "K", "Mg", "Ca", "Zn", "Al", "Fe"), ("O", "S", "F", "Cl", "N")
    formulas = [
        f"{metal}{m}{anion}{k}"
        for m in range(1, 5)
        for k in range(1, 5)
        if gcd(m, k) == 1
        for metal in metals
        for anion in anions
    ]
    rng = np.random.default_rng(0)
    kept = rng.permutation(formulas)[:n].tolist()
    path.write_text("formula\n" + "\n".join([*kept, "oops", kept[0]]) + "\n")
    return path


def front_by_hand(frame, goals):
    """Return the rows that none beats, one after the other."""
    values = np.column_stack([frame[f"prediction_{name}"] * sign for name, sign in goals.items()])
    return [
        row
        for row, own in enumerate(values)
        if np.isfinite(own).all()
        and not ((values >= own).all(axis=1) & (values > own).any(axis=1)).any()
        and not (values[:row] == own).all(axis=1).any()
    ]


def test_screen_lists_the_front_whatever_the_chunks(xtalshift, saved, tmp_path):
    table = write_candidates(tmp_path / "new.csv")
    tops = []
    for chunk in (13, 1000):
        out = tmp_path / f"s{chunk}"
        done = xtalshift(
            "screen", saved, table, "-o", out, "--top", 200, "--goal", "max,min,-",
            "--chunk-rows", chunk, "--distinct",
        )  # fmt: skip
        assert done.code == 0, done.err
        assert "150 of 152 rows predicted, 1 with an error, 1 duplicate" in done.out
        tops.append((out / "top.csv").read_bytes())
    assert tops[0] == tops[1]
    top = pd.read_csv(tmp_path / "s13" / "top.csv")
    every = load_models(saved).predict(pd.read_csv(table)["formula"].tolist()).frame
    expected = front_by_hand(every, {"bulk": 1, "shear": -1})
    assert sorted(top["input_row"] - 1) == expected
    assert top["rank"].tolist() == list(range(1, len(expected) + 1))
    # the share grows by less and less, to all
    assert top["hypervolume_share"].iloc[-1] == pytest.approx(1.0)
    assert (np.diff(top["hypervolume_share"], n=1) >= -1e-12).all()
    few = tmp_path / "few"
    assert xtalshift(
        "screen", saved, table, "-o", few, "--top", 2, "--goal", "max,min,-", "--distinct"
    ).code == 0  # fmt: skip
    pd.testing.assert_frame_equal(pd.read_csv(few / "top.csv"), top.head(2))
    parts = pd.concat(pd.read_parquet(path) for path in sorted((few / "parts").iterdir()))
    assert len(parts) == 152
    assert parts["prediction_debye"].notna().sum() == 150


def test_screen_asks_for_goals_and_keeps_conditions(xtalshift, saved, tmp_path):
    table = write_candidates(tmp_path / "new.csv", 80)
    asked = xtalshift("screen", saved, table, "-o", tmp_path / "a", "--top", 5)
    assert asked.code == 1
    assert "the models are of bulk, shear, debye" in asked.err
    mixed = xtalshift(
        "screen", saved, table, "-o", tmp_path / "b", "--top", 5, "--goal", "max,min,-", "--lowest"
    )
    assert "goals rank rows by themselves" in mixed.err
    one = xtalshift(
        "screen", saved / "1-bulk", table, "-o", tmp_path / "c", "--top", 5, "--goal", "max,min"
    )
    assert "is a model of one target" in one.err
    done = xtalshift(
        "screen", saved, table, "-o", tmp_path / "d", "--top", 50, "--goal", "max,-,max",
        "--in-domain", "--min-plausibility", 0.001,
    )  # fmt: skip
    assert done.code == 0, done.err
    top = pd.read_csv(tmp_path / "d" / "top.csv")
    assert top[["in_domain_bulk", "in_domain_debye"]].to_numpy().all()
    assert (top["plausibility"] >= 0.001).all()
    # of the rows that meet the conditions none beats another
    assert len(front_by_hand(top, {"bulk": 1, "debye": 1})) == len(top)


def write_labels(path, columns):
    """Write 30 labels of oxides and sulfides that the models have not seen; some lack one."""
    formulas = [f"{m}{k}{a}{n}" for m in ("Cd", "Sr", "Be") for a in ("O", "S") for k, n in
                ((2, 3), (3, 2), (1, 2), (2, 1), (3, 4))]  # fmt: skip
    lines = [",".join(["formula", *columns])]
    for number, formula in enumerate(formulas):
        cells = [f"{100 + 7 * (number % 11) + 3 * place}" for place in range(len(columns))]
        if number % 6 == 0:
            cells[-1] = ""
        lines.append(",".join([formula, *cells]))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("command", ["adapt", "calibrate"])
def test_labels_of_some_targets_change_these_only(xtalshift, saved, tmp_path, command):
    labels = write_labels(tmp_path / "new.csv", ["bulk", "shear"])
    out = tmp_path / "out"
    done = xtalshift(command, saved, labels, "-o", out)
    assert done.code == 0, done.err
    assert "Target debye: " in done.err
    assert "has no such column; it stays as it is" in done.err
    assert [line for line in done.out.splitlines() if line.startswith("Target")] == [
        "Target bulk", "Target shear",
    ]  # fmt: skip
    assert "Joint intervals: none" in done.out
    before, after = load_models(saved), load_models(out)
    assert after.joint is None
    assert len(after["bulk"].calibration) == 30
    assert len(after["shear"].calibration) == 25
    np.testing.assert_array_equal(
        after["debye"].calibration.scores, before["debye"].calibration.scores
    )
    # the same as for the model of one target
    alone = tmp_path / "alone"
    assert xtalshift(command, saved / "2-shear", labels, "-o", alone).code == 0
    one, other = load_model(alone).predict(["CdO"]), after["shear"].predict(["CdO"])
    assert one.prediction == other.prediction
    assert one.upper == other.upper
    named = xtalshift(command, saved, labels, "-o", out, "--overwrite", "--target", "bulk")
    assert named.code == 2
    none = write_labels(tmp_path / "none.csv", ["gap"])
    refused = xtalshift(command, saved, none, "-o", out, "--overwrite")
    assert "a column of none of the targets" in refused.err


def test_run_is_a_run_of_each_target_and_one_page_of_all(xtalshift, elastic, tmp_path):
    out = tmp_path / "run"
    how = ("--methods", "ridge", "--splits", "random,covariate", *QUICK)
    command = ("run", elastic, "--target", "bulk,debye", "--unit", "GPa,K", "-o", out, *how)
    done = xtalshift(*command)
    assert done.code == 0, done.err
    assert "All 2 targets: mean of MAE relative to predicting the mean" in done.out
    results = json.loads((out / "results.json").read_text())
    assert [one["name"] for one in results["targets"]] == ["bulk", "debye"]
    assert [one["folder"] for one in results["targets"]] == ["1-bulk", "2-debye"]
    assert [one["unit"] for one in results["targets"]] == ["GPa", "K"]
    # the records of each are those of its own run, with its name
    for one in results["targets"]:
        own = json.loads((out / one["folder"] / "results.json").read_text())["records"]
        ours = [row for row in results["records"] if row["target"] == one["name"]]
        assert [{**row, "target": one["name"]} for row in own] == ours
    alone = tmp_path / "alone"
    assert xtalshift("run", elastic, "--target", "debye", "-o", alone, *how).code == 0
    records = json.loads((alone / "results.json").read_text())["records"]
    ours = [row for row in results["records"] if row["target"] == "debye"]
    assert [row["mae"] for row in records] == [row["mae"] for row in ours]
    (overall,) = [
        row for row in results["overall"] if (row["method"], row["split"]) == ("ridge", "random")
    ]  # fmt: skip
    shares = [
        row["mae_over_dummy"]
        for row in results["records"]
        if (row["method"], row["split"]) == ("ridge", "random")
    ]
    assert len(shares) == overall["n_targets"] == 2
    assert overall["error_over_dummy"] == pytest.approx(sum(shares) / 2)
    page = (out / "report.html").read_text()
    assert f"{overall['error_over_dummy']:.3f}" in page
    assert 'href="2-debye/report.html"' in page
    assert (out / "1-bulk" / "report.html").exists()
    assert load_models(out / "model").targets == ("bulk", "debye")
    # the same command finds all done; the page is written again
    assert xtalshift(*command).code == 0
    (out / "report.html").unlink()
    assert xtalshift("report", out).code == 0
    assert (out / "report.html").read_text() == page


def test_run_refuses_what_it_cannot_compare(xtalshift, elastic, tmp_path):
    both = xtalshift(
        "run", elastic, "--target", "bulk,debye", "-o", tmp_path / "a", "--fidelity-col", "id"
    )
    assert both.code == 1
    assert "--fidelity-col is for one target" in both.err
    held = tmp_path / "b"
    held.mkdir()
    (held / "config.toml").write_text("")
    other = xtalshift(
        "run", elastic, "--target", "bulk,debye", "-o", held, "--methods", "ridge", *QUICK
    )
    assert "holds a run of one target" in other.err


def test_check_says_what_is_odd_of_each_target(xtalshift, elastic, tmp_path):
    done = xtalshift("check", elastic, "--target", "bulk,shear", "--unit", "GPa,GPa")
    assert done.code == 0, done.err
    first, second = done.out.split("Target shear\n")
    assert first.startswith("Target bulk\n")
    assert "of which 80 can be used" in first
    assert "of which 60 can be used" in second
    fixed = xtalshift("check", elastic, "--target", "bulk,shear", "--fix", tmp_path / "f.csv")
    assert fixed.code == 2


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Return a CSV of 80 rows with a number and a class, which lacks every fifth."""
    path = tmp_path_factory.mktemp("mixed") / "mixed.csv"
    lines = ["formula,gap,kind"]
    for number, (_, formula, gap, _) in enumerate(make_rows(80)):
        kind = "" if number % 5 == 2 else ("wide" if gap > 7 else "narrow")
        lines.append(f"{formula},{gap:g},{kind}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_class_among_numbers_from_training_to_suggestions(xtalshift, mixed, tmp_path):
    out, how = tmp_path / "m", ("--method", "ridge", *QUICK)
    done = xtalshift("train", mixed, "--target", "gap,kind", "--unit", "gap=eV", "-o", out, *how)
    assert done.code == 0, done.err
    assert "Target gap\nridge: validation MAE " in done.out
    assert "Target kind\nClasses: narrow, wide\nridge: validation log loss " in done.out
    assert "Joint intervals: none" in done.out
    alone = tmp_path / "alone"
    assert xtalshift("train", mixed, "--target", "kind", "-o", alone, *how).code == 0
    match, differ, _ = filecmp.cmpfiles(
        alone, out / "2-kind", [path.name for path in alone.iterdir()], shallow=False
    )
    assert (len(match), differ) == (2, [])
    labels = tmp_path / "labels.csv"
    formulas = [f"{m}{k}{a}" for m in ("Cd", "Be") for a in ("O", "S", "Te") for k in (2, 3)]
    labels.write_text(
        "formula,gap,kind\n"
        + "".join(f"{f},{5 + n % 4},{('wide', 'narrow')[n % 2]}\n" for n, f in enumerate(formulas))
    )
    found = xtalshift("calibrate", out, labels, "-o", tmp_path / "c")
    assert found.code == 0, found.err
    assert "Target gap\nMAE on 12 labels: " in found.out
    assert "Target kind\nAccuracy on 12 labels: " in found.out
    table = tmp_path / "new.csv"
    table.write_text("formula\nCdO2\noops\nBe3N2\nAl2S3\n")
    written = tmp_path / "p.csv"
    done = xtalshift("predict", out, table, "-o", written)
    assert "3 of 4 rows predicted; 1 with an error" in done.out
    frame = pd.read_csv(written, keep_default_na=False)
    likely = frame[["probability_narrow_kind", "probability_wide_kind"]].iloc[0].astype(float)
    assert likely.sum() == pytest.approx(1)
    assert "prediction_gap" in frame
    goal = ("--goal", "max,min")
    for command in (("suggest", out, table, *goal),
                    ("screen", out, table, "-o", tmp_path / "s", "--top", 2, *goal)):  # fmt: skip
        refused = xtalshift(*command)
        assert refused.code == 1
        assert "'kind' is a class, which is neither high nor low: give - for it" in refused.err
    # without a table of the best a screening predicts both
    done = xtalshift("screen", out, table, "-o", tmp_path / "all")
    assert done.code == 0, done.err
    (part,) = (tmp_path / "all" / "parts").iterdir()
    rows = pd.read_parquet(part)
    assert rows["prediction_kind"].tolist() == frame["prediction_kind"].tolist()


def test_what_is_about_numbers_alone_is_refused_for_a_class(xtalshift, mixed, tmp_path):
    out = tmp_path / "m"
    unit = xtalshift("train", mixed, "--target", "gap,kind", "--unit", "kind=eV", "-o", out)
    assert "--unit eV is for 'kind', which is a class" in unit.err
    method = xtalshift("train", mixed, "--target", "gap,kind", "--method", "svr", "-o", out)
    assert "target 'kind': svr is for regression; for classes use: " in method.err
    for option, value in (("--bounds", "use"), ("--unit", "eV"), ("--transform", "log")):
        done = xtalshift("train", mixed, "--target", "kind", "-o", out, option, value)
        assert done.code == 1
        assert f"{option} {value} is about numbers, and kind is a class; leave it out" in done.err


def test_a_run_of_a_number_and_a_class(xtalshift, mixed, tmp_path):
    out = tmp_path / "run"
    how = ("--methods", "ridge,multi-task", "--splits", "random", "--transform", "log1p", *QUICK)
    done = xtalshift("run", mixed, "--target", "gap,kind", "--unit", "gap=eV", "-o", out, *how)
    assert done.code == 0, done.err
    assert "kind is a class: multi-task is left out" in done.err
    assert "mean of MAE or log loss relative to predicting the mean or the shares" in done.out
    results = json.loads((out / "results.json").read_text())
    assert [one["classes"] for one in results["targets"]] == [None, ["narrow", "wide"]]
    (overall,) = [row for row in results["overall"] if row["method"] == "ridge"]
    shares = [
        row["mae_over_dummy"] if row["target"] == "gap" else row["log_loss_over_dummy"]
        for row in results["records"]
        if row["method"] == "ridge"
    ]
    assert len(shares) == 2
    assert overall["error_over_dummy"] == pytest.approx(sum(shares) / 2)
    page = (out / "report.html").read_text()
    assert "Classes: narrow, wide. Log loss; in brackets over that of the shares" in page
    assert load_models(out / "model").targets == ("gap", "kind")
