"""The examples run as they stand."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_quickstart_predicts_and_names_the_bad_formula(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runpy.run_path(str(EXAMPLES / "quickstart.py"))
    first, second, bad = capsys.readouterr().out.splitlines()
    assert 7.0 < float(first.removeprefix("RbBr: ").removesuffix(" eV")) < 11.0
    assert 5.0 < float(second.removeprefix("SrO: ").removesuffix(" eV")) < 9.0
    assert bad.startswith("Xy2: formula 'Xy2': unknown element")
    assert len(list(tmp_path.glob("*/model/model.json"))) == 1


def test_a_splitter_of_ones_own_is_checked_used_and_audited(capsys):
    runpy.run_path(str(EXAMPLES / "own_splitter.py"))
    errors, labels = capsys.readouterr().out.splitlines()
    assert errors.startswith("398 rows held out, MAE ")
    assert 100 < float(errors.removesuffix(" uV/K").split()[-1]) < 250
    assert labels.startswith("covariate, prior: AUC 1.00, distance ratio 2.")


def test_a_method_of_ones_own_stands_beside_the_baselines(tmp_path, xtalshift):
    assert len((EXAMPLES / "own_method.py").read_text().splitlines()) < 40
    outcome = xtalshift("benchmark", EXAMPLES / "own_method.toml", "--out", tmp_path / "r")
    assert outcome.code == 0, outcome.err
    assert "24 of 24 tasks done" in outcome.out
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    errors = {cell["label"]: cell["mae_over_dummy"] for cell in summary["cells"]
              if cell["split"] == "fluorides" and cell["role"] == "ood"}  # fmt: skip
    assert 0.3 < errors["huber"] < 0.9
    assert (tmp_path / "r" / "report.html").exists()
