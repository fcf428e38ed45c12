"""Targets such as ``<4.2`` in all commands that train or judge."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from integration.tables import make_rows

PLAIN = ("--threads", "1", "--set", "choice.folds=2", "--set", "choice.repeats=1")


@pytest.fixture
def limited(tmp_path):
    """Return a CSV of 80 rows, of which every fourth is below a limit."""
    path = tmp_path / "limited.csv"
    rows = [f"{f},{gap if n % 4 else '<6'}" for n, (_, f, gap, _) in enumerate(make_rows(80))]
    path.write_text("\n".join(["formula,gap", *rows]) + "\n")
    return path


def test_run_trains_on_bounds_and_scores_values(xtalshift, limited, tmp_path):
    out = tmp_path / "run"
    command = ("run", limited, "--target", "gap", "--bounds", "use", "--methods", "dummy,ridge",
               "--splits", "random,covariate", "--out", out, *PLAIN)  # fmt: skip
    done = xtalshift(*command)
    assert done.code == 0, done.err
    results = json.loads((out / "results.json").read_text())
    told = results["intake"]["findings"][0]
    assert (told["kind"], told["count"]) == ("gap: only bounds are known, and used", 20)
    splits = {(one["name"], one["role"]): one for one in results["splits"]}
    assert len(splits) == 3
    held_out = splits["random", "id"]["n_bounded"] + splits["covariate", "ood"]["n_bounded"]
    assert held_out > 0
    whole = sum(splits[key][part] for key in (("random", "id"), ("covariate", "ood"))
                for part in ("n_test", "n_bounded"))  # fmt: skip
    one = splits["random", "id"]
    assert whole + one["n_train"] + one["n_val"] == 80
    for record in results["records"]:
        key = record["split"], record["role"]
        assert record["n"] == splits[key]["n_test"]
        assert record["status"] == "ok"
    # no bound is among the rows that are scored
    frame = pd.read_parquet(out / "predictions.parquet")
    values = {gap for n, (_, _, gap, _) in enumerate(make_rows(80)) if n % 4}
    assert set(frame["target"]) <= values
    assert "further rows have bounds, and so no error" in done.err
    assert results["model"]["n_rows"] == 80


def test_candidates_are_judged_by_values_and_predicted_from_all_rows(xtalshift, limited, tmp_path):
    new = tmp_path / "new.csv"
    new.write_text("\n".join(["formula", *(f for _, f, _, _ in make_rows(110)[85:])]) + "\n")
    done = xtalshift("run", limited, "--target", "gap", "--bounds", "use", "--methods",
                     "dummy,ridge", "--splits", "random", "--candidates", new, "--out",
                     tmp_path / "run", *PLAIN, "--proxies", "nearest")  # fmt: skip
    assert done.code == 0, done.err
    assert "20 rows have bounds, and so no error: they train the recommended method" in done.err


def test_trainings_have_them_in_the_loss_of_methods_that_can(xtalshift, limited, tmp_path):
    table = ("train", limited, "--target", "gap", "--bounds", "tobit")
    done = xtalshift(*table, "-o", tmp_path / "m")
    assert done.code == 1
    assert "auto has no loss for bounds (--bounds tobit); choose one of lightgbm, erm, " in done.err
    assert "(in benchmarks also cal-uncertainty, " in done.err
    assert "--bounds use, which works with all methods" in done.err
    done = xtalshift(*table, "--method", "lightgbm", "-o", tmp_path / "m", "--threads", "1")
    assert done.code == 0, done.err
    assert "20 bounds of targets in the loss; values lie " in done.err
    assert "(20 rows). The loss takes them; errors and intervals leave such rows out" in done.err
    told = xtalshift("predict", tmp_path / "m", "GaN")
    assert told.code == 0, told.err


def test_a_run_compares_methods_that_can(xtalshift, limited, tmp_path):
    done = xtalshift("run", limited, "--target", "gap", "--bounds", "tobit", "--splits", "random",
                     "--set", "erm.epochs=2", "--set", "cal.epochs=2", "--set",
                     "cal.warmup_epochs=1", "--set", "lightgbm.n_estimators=5", "--set",
                     "network.architecture=[4]", "--out", tmp_path / "run", *PLAIN)  # fmt: skip
    assert done.code == 0, done.err
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert {one["method"].partition(":")[0] for one in results["records"]} == {
        "dummy", "lightgbm", "erm", "cal", "cal-eps0",
    }  # fmt: skip
    assert all(one["status"] == "ok" for one in results["records"])
    history = next(one for one in results["histories"] if one["method"] == "erm")
    assert "val_tobit" in history["epochs"][0]
    done = xtalshift("run", limited, "--target", "gap", "--bounds", "tobit", "--methods", "ridge",
                     "--out", tmp_path / "other")  # fmt: skip
    assert done.code == 1
    assert "ridge has no loss for bounds" in done.err


def test_check_says_what_would_be_used(xtalshift, limited):
    plain = xtalshift("check", limited, "--target", "gap")
    used = xtalshift("check", limited, "--target", "gap", "--bounds", "use")
    assert "of which 60 can be used" in plain.out
    assert "--bounds use trains on what is known of it" in plain.out
    assert "of which 80 can be used" in used.out
    assert "only bounds are known, and used (20 rows)" in used.out
    assert "< 6" in used.out


def test_benchmark_takes_bounds(xtalshift, limited, tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text(
        f"""
title = "limits"
methods = ["ridge"]
[data.gaps]
dataset = "{limited}"
target = "gap"
bounds = "use"
[splits.random]
scheme = "random"
"""
    )
    done = xtalshift("benchmark", spec, "--out", tmp_path / "out", "--workers", "1")
    assert done.code == 0, done.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    (cell,) = (one for one in summary["cells"] if one["name"] == "ridge")
    assert cell["mae"] > 0
