"""Several targets from the command line."""

from __future__ import annotations

import filecmp

import pandas as pd
import pytest

from integration.conftest import QUICK
from integration.tables import make_rows
from xtalshift.model import load_models


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
