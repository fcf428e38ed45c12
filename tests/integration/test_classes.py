"""A table of classes through check, run, report, audit and calibrate."""

import json

import pandas as pd
import pytest

from integration.tables import make_rows
from xtalshift.model import load_model

METHODS = ("--methods", "ridge,lightgbm", "--set", "explain.draws=1")


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Return a CSV of 150 rows of three classes that a composition tells."""
    path = tmp_path_factory.mktemp("classes") / "kinds.csv"
    lines = ["id,formula,kind"]
    for name, formula, gap, _ in make_rows(150):
        kind = "narrow" if gap < 6 else "middle" if gap < 8 else "wide"
        lines.append(f"{name},{formula},{kind}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def finished(classes, tmp_path_factory):
    return tmp_path_factory.mktemp("runs") / "run"


def test_run_compares_reports_and_saves_classifiers(classes, finished, xtalshift, quick):
    done = xtalshift("run", classes, "--target", "kind", *METHODS, "-o", finished, *quick)
    assert done.code == 0, done.err
    assert "the split prior is left out" in done.err + done.out
    assert "Log loss (in brackets: relative to predicting the shares of the classes)" in done.out
    results = json.loads((finished / "results.json").read_text())
    assert results["provenance"]["data"]["classes"] == ["middle", "narrow", "wide"]
    ridge = next(one for one in results["records"] if one["method"] == "ridge")
    assert 0 < ridge["log_loss_over_dummy"] < 1
    assert "mae" not in ridge or ridge["mae"] is None
    frame = pd.read_parquet(finished / "predictions.parquet")
    assert set(frame["prediction"]) <= {"middle", "narrow", "wide"}
    page = (finished / "report.html").read_text()
    for text in (
        "Can the probabilities be trusted?",
        "Which classes does it mix up?",
        "predicts the class of",
        "Calibration<span",
        "has the smallest log loss",
    ):
        assert text in page
    for text in ("mean absolute error", "Finding extremes", "Predictions against targets", "R² ="):
        assert text not in page.partition("Glossary")[0].lower().replace("r²", "R²"), text
    model = load_model(finished / "model")
    assert model.classes == ("middle", "narrow", "wide")
    assert len(model.calibration) == 150


def test_candidates_of_classes_get_an_answer(classes, tmp_path, xtalshift, quick):
    candidates, out = tmp_path / "candidates.csv", tmp_path / "run"
    known = classes.read_text().splitlines()[1].split(",")
    new = ["Cd2O3", "CdTe2", "oops", "Cd3N2", known[1]]
    candidates.write_text("\n".join(["formula", *new]) + "\n")
    done = xtalshift(
        "run", classes, "--target", "kind", "--candidates", candidates, "--methods", "ridge",
        "--splits", "random", "--set", "judge.n_proxies=2", "--set", "explain.learning=false",
        "-o", out, *quick,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "Expect a log loss near " in done.out
    assert "Hold-outs of your data that imitate the candidates" in done.out
    answer = json.loads((out / "results.json").read_text())["class_answer"]
    losses = [one["log_loss"] for one in answer["proxies"]]
    assert answer["expected_log_loss"] == pytest.approx((losses[0] * losses[1]) ** 0.5)
    assert answer["known"] == [known[1]]
    frame = pd.read_csv(out / "candidates.csv", keep_default_na=False)
    model = load_model(out / "model")
    assert model.calibration.origin == "proxies"
    expected = model.predict(new)
    assert frame["prediction"].tolist() == expected.prediction.tolist()
    assert frame["measured"].tolist() == ["", "", "", "", known[2]]
    assert frame["status"].tolist() == ["ok", "ok", "error", "ok", "ok"]
    assert float(frame["probability_wide"][0]) == pytest.approx(expected.probability("wide")[0])
    page = (out / "report.html").read_text()
    assert "Your candidates" in page
    assert "Their predictions" in page
    page_again = xtalshift("report", out)
    assert page_again.code == 0


def test_calibrate_says_what_sets_held_before_and_after(classes, tmp_path, xtalshift, quick):
    rows = classes.read_text().splitlines()
    source, region = tmp_path / "source.csv", tmp_path / "region.csv"
    source.write_text("\n".join(rows[:101]) + "\n")
    region.write_text("\n".join([rows[0], *rows[101:]]) + "\n")
    model, again = tmp_path / "model", tmp_path / "again"
    done = xtalshift("train", source, "--target", "kind", "--method", "ridge", "-o", model, *quick)
    assert done.code == 0, done.err
    done = xtalshift("calibrate", model, region, "-o", again)
    assert done.code == 0, done.err
    assert "Accuracy on 50 labels: " in done.out
    assert "The former 90 % sets contained the class of " in done.out
    assert "calibrated on 50 labels of the new region" in done.out
    assert load_model(again).calibration.origin == "target"


def test_audit_compares_shares_and_names_unseen_classes(classes, tmp_path, xtalshift):
    rows = pd.read_csv(classes, dtype=str)
    folds = tmp_path / "folds.csv"
    parts = {"class": rows["kind"] == "wide", "tenth": rows.index % 5 == 0}
    pd.concat(
        [
            rows[["id"]].assign(fold=name, part=["test" if one else "train" for one in held_out])
            for name, held_out in parts.items()
        ]
    ).to_csv(folds, index=False)
    done = xtalshift("audit", classes, folds, "--target", "kind", "--quick", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "classes" in done.out
    (audit,) = json.loads((tmp_path / "out" / "audit.json").read_text())["splits"]
    first, second = audit["folds"]
    assert first["unseen_classes"] == ["wide"]
    assert first["labels"][0] == "degenerate"
    assert second["labels"] == ["interpolation"]
    assert second["class_distance"] < 0.2
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "no classifier can name them, so this is no test out of distribution" in page
    assert "total variation" in page


def test_classes_without_order_have_no_tail(classes, tmp_path, xtalshift):
    out = tmp_path / "folds.csv"
    done = xtalshift("split", classes, "--target", "kind", "--scheme", "prior", "-o", out)
    assert done.code == 1
    assert "the classes of 'kind' have no order" in done.err
    ordered = ("--task", "ordinal", "--class-order", "narrow,middle,wide")
    done = xtalshift("split", classes, "--target", "kind", "--scheme", "prior", "-o", out, *ordered)
    assert done.code == 0, done.err
    done = xtalshift("audit", classes, out, "--target", "kind", "--quick", *ordered)
    assert done.code == 0, done.err


def test_zeros_and_ones_may_be_read_as_numbers(tmp_path, xtalshift):
    table = tmp_path / "flags.csv"
    lines = [f"{formula},{number % 2}" for number, (_, formula, *_) in enumerate(make_rows(40))]
    table.write_text("\n".join(["formula,flag", *lines]) + "\n")
    check = ("check", table, "--target", "flag")
    assert "2 classes (0, 1), because it has 0 and 1" in xtalshift(*check).out
    assert "2 classes" not in xtalshift(*check, "--task", "regression").out
