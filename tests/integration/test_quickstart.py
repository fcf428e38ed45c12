"""The example runs as it stands."""

from __future__ import annotations

import runpy
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart.py"


def test_the_quickstart_predicts_and_names_the_bad_formula(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runpy.run_path(str(EXAMPLE))
    first, second, bad = capsys.readouterr().out.splitlines()
    assert 7.0 < float(first.removeprefix("RbBr: ").removesuffix(" eV")) < 11.0
    assert 5.0 < float(second.removeprefix("SrO: ").removesuffix(" eV")) < 9.0
    assert bad.startswith("Xy2: formula 'Xy2': unknown element")
    assert len(list(tmp_path.glob("*/model/model.json"))) == 1
