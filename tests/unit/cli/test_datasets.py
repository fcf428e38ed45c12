from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from xtalshift.cli import datasets
from xtalshift.cli.datasets import app
from xtalshift.data.catalog import list_datasets
from xtalshift.errors import NotFoundError

runner = CliRunner()


def test_list_names_every_data_set_with_target_and_unit():
    result = runner.invoke(app, ["list"])
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == list(list_datasets())
    assert lines[0][1:3] == ["47737", "S_p (uV/K)"]


def test_list_on_a_terminal_is_a_table(monkeypatch):
    terminal = SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(datasets, "sys", terminal)
    monkeypatch.setenv("COLUMNS", "200")
    text = runner.invoke(app, ["list"]).stdout
    assert "S [muV/K] (uV/K)" in text
    assert "content" in text


def test_info_shows_state_licence_and_checksum():
    text = runner.invoke(app, ["info", "ricci_seebeck"]).stdout
    assert "300 K, 1e18 carriers/cm3" in text
    assert "S_p: uV/K" in text
    assert "licence: CC BY 4.0" in text
    assert "sha256: d823a239" in text


def test_fetch_prints_the_path():
    result = runner.invoke(app, ["fetch", "ricci_seebeck"])
    assert result.stdout.strip().endswith("ricci_seebeck.parquet")
    assert "a file of this package" in result.stderr


@pytest.mark.parametrize("command", ["info", "fetch"])
def test_unknown_names_reach_the_caller_with_a_hint(command):
    result = runner.invoke(app, [command, "ricci_sebeck"])
    assert isinstance(result.exception, NotFoundError)
    assert "did you mean 'ricci_seebeck'" in str(result.exception)
