"""Train and predict classes at the prompt: what is printed, what is written, what is refused."""

import json

import numpy as np
import pandas as pd
import pytest

from integration.tables import make_rows


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    path = tmp_path_factory.mktemp("kinds") / "kinds.csv"
    rows = [(formula, "low" if gap < 7 else "high") for _, formula, gap, _ in make_rows(120)]
    pd.DataFrame(rows, columns=["formula", "kind"]).to_csv(path, index=False)
    return path


@pytest.fixture
def model(kinds, tmp_path, xtalshift):
    out = tmp_path / "model"
    done = xtalshift("train", kinds, "--target", "kind", "--method", "ridge", "-o", out)
    assert done.code == 0, done.err
    assert "kind: read as 2 classes (high, low), because it has 2 words (120 rows)" in done.err
    assert "classification: high " in done.err
    assert "Classes: high, low" in done.out
    assert "ridge: validation log loss " in done.out
    assert "of that of the shares of the classes), balanced accuracy " in done.out
    assert "Probabilities and prediction sets: calibrated on 120 rows" in done.out
    return out


def test_predict_writes_probabilities_and_sets(model, tmp_path, xtalshift):
    table, out = tmp_path / "in.csv", tmp_path / "out.csv"
    table.write_text("formula,note\nNaCl,a\nXx,b\n")
    done = xtalshift("predict", model, table, "-o", out)
    assert done.code == 0, done.err
    found = pd.read_csv(out, keep_default_na=False)
    assert found["status"].tolist() == ["ok", "error"]
    assert found["note"].tolist() == ["a", "b"]
    row = found.iloc[0]
    likely = float(row["probability_high"]), float(row["probability_low"])
    assert sum(likely) == pytest.approx(1)
    assert row["prediction"] == ("high", "low")[likely[1] > likely[0]]
    assert set(row["prediction_set"].split("|")) <= {"high", "low"}
    assert found["prediction"][1] == ""


def test_ordered_classes_and_what_is_refused(kinds, model, tmp_path, xtalshift):
    out = tmp_path / "ordinal"
    done = xtalshift(
        "train", kinds, "--target", "kind", "--class-order", "low,high", "--method", "ridge",
        "--intervals", "none", "-o", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "Classes: low < high" in done.out
    refused = {
        ("train", kinds, "--target", "kind", "--method", "svr", "-o", tmp_path / "x"):
            "svr is for regression; for classes use: dummy",
        ("train", kinds, "--target", "kind", "--task", "ordinal", "-o", tmp_path / "x"):
            "--class-order a,b,c",
        ("adapt", model, kinds, "-o", tmp_path / "x", "--method", "fine-tune"):
            "method 'fine-tune' is for models of numbers",
        ("suggest", model, kinds, "--toward", "high", "-o", tmp_path / "x.csv"):
            "rule 'prediction' is for numbers, and the model predicts the classes high, low",
        ("suggest", model, kinds, "--class", "hih", "-o", tmp_path / "x.csv"):
            "the model has no class 'hih'",
    }  # fmt: skip
    for command, why in refused.items():
        done = xtalshift(*command)
        assert done.code == 1, command
        assert why in done.err


def test_adapt_to_labels_of_a_new_region(kinds, model, tmp_path, xtalshift):
    known = pd.read_csv(kinds)
    known["formula"] = [f"{name}Se7" for name in known["formula"]]
    known["kind"] = known["kind"].map({"low": "high", "high": "low"})
    table, out = tmp_path / "labels.csv", tmp_path / "adapted"
    known[:60].to_csv(table, index=False)
    done = xtalshift("adapt", model, table, "-o", out)
    assert done.code == 0, done.err
    assert "auto: 59 target rows, " in done.out
    assert "Log loss on 59 labels, each held out in turn: " in done.out
    assert "(the shares of the classes of the other labels: " in done.out
    assert "Probabilities and prediction sets: calibrated on 59 " in done.out
    said = json.loads((out / "model.json").read_text())["card"]["provenance"]["cross_fit"]
    assert said["after"] < said["before"]
    others = known[60:].drop(columns="kind").reset_index(drop=True)
    others.to_csv(table, index=False)
    right = []
    for one in (model, out):
        done = xtalshift("predict", one, table, "-o", tmp_path / f"{one.name}.csv")
        assert done.code == 0, done.err
        found = pd.read_csv(tmp_path / f"{one.name}.csv")
        right.append((found["prediction"].to_numpy() == known["kind"][60:].to_numpy()).mean())
    assert right[1] > right[0]


def test_suggest_the_least_certain_and_those_of_a_class(kinds, model, tmp_path, xtalshift):
    table, out = tmp_path / "new.csv", tmp_path / "next.csv"
    formulas = [f"{name}Se7" for name in pd.read_csv(kinds)["formula"]]
    pd.DataFrame({"formula": formulas}).to_csv(table, index=False)
    done = xtalshift("predict", model, table, "-o", tmp_path / "all.csv")
    assert done.code == 0, done.err
    known = pd.read_csv(tmp_path / "all.csv").drop_duplicates("formula").set_index("formula")
    likely = known["probability_low"]

    done = xtalshift("suggest", model, table, "-n", "5", "--class", "low", "-o", out, "--overwrite")
    assert done.code == 0, done.err
    assert "5 suggestions by rule class-probability" in done.out
    found = pd.read_csv(out)
    assert found["score"].tolist() == pytest.approx(likely.nlargest(5).tolist())
    assert found["probability_low"].tolist() == pytest.approx(found["score"].tolist())

    done = xtalshift(
        "suggest", model, table, "-n", "3", "--diversity", "0", "-o", out, "--overwrite"
    )
    assert done.code == 0, done.err
    assert "3 suggestions by rule entropy" in done.out
    entropy = -(likely * np.log(likely) + (1 - likely) * np.log(1 - likely))
    assert pd.read_csv(out)["score"].tolist() == pytest.approx(entropy.nlargest(3).tolist())

    done = xtalshift("suggest", model, table, "-n", "2", "--rule", "margin", "--measured", kinds)
    assert done.code == 0, done.err
    assert done.out.startswith("rank,formula,prediction,probability_high,probability_low")


def test_options_of_numbers_are_refused_by_check(kinds, xtalshift):
    for option, value in (("--bounds", "use"), ("--unit", "eV")):
        done = xtalshift("check", kinds, "--target", "kind", option, value)
        assert done.code == 1
        assert f"{option} {value} is about numbers, and kind is a class" in done.err


def test_rows_that_the_encoder_has_seen_are_explained(kinds, tmp_path, xtalshift):
    done = xtalshift(
        "train", kinds, "--target", "kind", "-o", tmp_path / "m", "--minutes", "0.001",
        "--set", "lightgbm.n_estimators=5", "--threads", 1,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "not among them, because the pretrained features have seen the material" in done.out
