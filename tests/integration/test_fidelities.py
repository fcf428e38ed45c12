"""`xtalshift train --fidelity-col`: measured and computed values in one table."""

from __future__ import annotations

import json

import pytest

from integration.conftest import QUICK
from integration.tables import make_rows
from xtalshift.model import load_model


@pytest.fixture
def mixed(tmp_path):
    """Return a CSV of 60 computed gaps, and 20 measured ones of other materials, 2 higher."""
    path = tmp_path / "mixed.csv"
    rows = make_rows(80)
    lines = [f"{f},{gap},PBE" for _, f, gap, _ in rows[:60]]
    lines += [f"{f},{gap + 2:.3f},measured" for _, f, gap, _ in rows[60:]]
    path.write_text("\n".join(["formula,gap,how", *lines, "MgO,7.8,"]) + "\n")
    return path


def test_one_command_learns_from_both(xtalshift, mixed, tmp_path, quick):
    out = tmp_path / "model"
    done = xtalshift("train", mixed, "-o", out, "--target", "gap", "--unit", "eV", "--fidelity-col",
                     "how", "--method", "ridge", *quick)  # fmt: skip
    assert done.code == 0, done.err
    first, members, intervals, last = done.out.splitlines()
    assert first.startswith("ridge: 'measured' from 20 rows of it and 60 of 'PBE': MAE ")
    error, alone, low, mean = (
        float(first.split(before)[1].split()[0].rstrip(","))
        for before in ("MAE ", "others (", "alone, ", "is, ")
    )
    assert error < alone
    assert error < mean
    assert low == pytest.approx(2, abs=0.5)
    assert members.startswith("Members: ")
    assert intervals.startswith("Intervals: calibrated on 20 rows, each predicted by a model")
    assert last == f"Model: {out}"
    assert "the values of how = 'measured' are predicted" in done.err
    assert "1 row is left out" in done.err
    assert load_model(out).card.provenance["data"]["rows"] == 20
    done = xtalshift("predict", out, "GaN")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fidelity", "measured"), "--fidelity is a value of the column"),
        (("--fidelity-col", "how", "--split", "x.csv"), "--fidelity-col and --split do not go"),
        (("--fidelity-col", "how", "--bounds", "use"), "--bounds and --fidelity-col do not go"),
        (("--fidelity-col", "how", "--fidelity", "measure"), "did you mean 'measured'?"),
        (("--fidelity-col", "hw"), "did you mean 'how'?"),
        (("--fidelity-col", "how", "--fidelity", "measured,PBE,GW"), "3 fidelities are named"),
    ],
)
def test_what_cannot_be_is_refused(options, said, xtalshift, mixed, tmp_path):
    (tmp_path / "x.csv").write_text("id,fold\n")
    options = [str(tmp_path / "x.csv") if one == "x.csv" else one for one in options]
    done = xtalshift("train", mixed, "-o", tmp_path / "model", "--target", "gap", *options)
    assert done.code in {1, 2}
    assert said in done.err
    assert not (tmp_path / "model").exists()


def test_too_few_measured_rows_are_named(xtalshift, mixed, tmp_path):
    text = mixed.read_text().splitlines()
    mixed.write_text("\n".join(text[:70]) + "\n")
    done = xtalshift(
        "train", mixed, "-o", tmp_path / "m", "--target", "gap", "--fidelity-col", "how"
    )
    assert done.code == 1
    assert "9 usable rows of how = 'measured'; at least 10" in done.err


def test_run_compares_methods_with_cheap_rows_that_only_train(xtalshift, tmp_path):
    path, out = tmp_path / "mixed.csv", tmp_path / "run"
    rows = make_rows(130)
    lines = [f"{f},{gap},PBE" for _, f, gap, _ in rows[:80]]
    lines += [f"{f},{gap + 2:.3f},measured" for _, f, gap, _ in rows[70:]]
    path.write_text("\n".join(["formula,gap,how", *lines]) + "\n")
    how = ("--target", "gap", "--unit", "eV", "--fidelity-col", "how")
    command = ("run", path, "-o", out, *how, "--methods", "ridge", "--splits", "random", *QUICK)
    done = xtalshift(*command)
    assert done.code == 0, done.err
    assert "70 materials of 'PBE' without a value of 'measured' train every method" in done.err
    assert "ridge, trained on all 60 rows and 70 materials of 'PBE'" in done.out
    results = json.loads((out / "results.json").read_text())
    errors = {one["method"]: one["mae_over_dummy"] for one in results["records"]}
    assert set(errors) == {"dummy", "ridge"}
    # dummy and scores are of the measured rows alone, whose mean is 2 higher
    assert errors["dummy"] == pytest.approx(1)
    assert results["intake"]["rows_kept"] == 60
    assert results["model"]["beside"] == "70 materials of 'PBE'"
    trained = xtalshift("train", path, "-o", tmp_path / "m", *how, "--method", "ridge", *QUICK)
    assert trained.code == 0, trained.err
    # the model of the run is that of `train`, to the bit
    first, other = (load_model(one).predict(["GaN"]) for one in (out / "model", tmp_path / "m"))
    assert first.prediction == other.prediction
    assert first.upper == other.upper
    refused = xtalshift(*command, "--candidates", path)
    assert "--fidelity-col and --candidates do not go together" in refused.err
