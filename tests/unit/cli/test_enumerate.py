"""The command ``xtalshift enumerate``."""

import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from xtalshift.chem.enumeration import count_formulas, enumerate_formulas
from xtalshift.cli import enumerate as command
from xtalshift.cli.main import main

LI_FE_O = ["--elements", "Li,Fe,O", "--max-atoms", "5"]


@pytest.fixture
def run(capsys):
    """Return a function that runs the command and returns its code, output and errors."""

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(["enumerate", *map(str, arguments)])
        captured = capsys.readouterr()
        return SimpleNamespace(code=stop.value.code, out=captured.out, err=captured.err)

    return call


def test_a_table_of_one_column_goes_to_the_screen(run):
    done = run(*LI_FE_O)
    assert done.code == 0
    assert done.out.split() == ["formula", "Li2O", "FeO", "Fe2O3", "LiFeO2", "Li2FeO2"]
    assert done.err.splitlines() == ["37 compositions to check", "5 formulas"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_has_all_formulas_of_many_blocks_in_order(run, tmp_path, suffix, monkeypatch):
    monkeypatch.setattr("xtalshift.chem.enumeration._ROWS", 50)
    out = tmp_path / f"c.{suffix}"
    names = ["Na", "Mg", "Fe", "halogens", "N"]
    options = ("--no-charge-neutral", "--max-elements", "3", "--must-contain", "halogen")
    done = run("--elements", ",".join(names), "--max-atoms", 6, *options, "-o", out)
    limits = {"max_atoms": 6, "max_elements": 3, "required": ["halogen"]}
    blocks = enumerate_formulas(names, **limits, neutral=False)
    expected = [formula for block in blocks for formula in block.formulas]
    table = pd.read_parquet(out) if suffix == "parquet" else pd.read_csv(out, keep_default_na=False)
    assert table.columns.tolist() == ["formula"]
    assert table["formula"].tolist() == expected
    assert done.out == f"{len(expected):,} formulas: {out}\n"
    assert len(expected) == count_formulas(names, **limits) > 1000


def test_rules_narrow_the_list(run):
    listed = {
        option: run(*LI_FE_O, "--max-elements", "2", *option.split()).out.split()[1:]
        for option in ("--no-charge-neutral", "--charge-neutral", "--electronegativity")
    }
    assert len(listed["--no-charge-neutral"]) == 27
    assert listed["--charge-neutral"] == ["Li2O", "FeO", "Fe2O3"] == listed["--electronegativity"]
    phosphorus = [
        run("--elements", "P,S", "--max-atoms", "7", *option).out.split()[1:]
        for option in ((), ("--electronegativity",))
    ]
    # sulphur is no cation beside phosphorus
    assert set(phosphorus[0]) - set(phosphorus[1]) == {"P2S", "P4S3"}
    assert "P2S3" in phosphorus[1]


def test_smact_rules_take_the_place_of_neutrality(run, monkeypatch):
    rule = "xtalshift.chem.charge_neutrality.load_smact_rules"
    monkeypatch.setattr(rule, lambda: lambda _, amounts: amounts[0] == 1)
    listed = run(*LI_FE_O, "--max-elements", "2", "--rules", "smact").out.split()[1:]
    assert listed[:5] == ["LiFe", "LiFe2", "LiFe3", "LiFe4", "LiO"]
    both = run(*LI_FE_O, "--max-elements", "2", "--rules", "smact", "--charge-neutral")
    assert both.out.split() == ["formula", "FeO"]
    ordered = run(*LI_FE_O, "--rules", "smact", "--electronegativity")
    assert ordered.out.split() == ["formula", "FeO", "LiFeO2"]


def test_smact_itself(run):
    pytest.importorskip("smact.screening")
    listed = run("--elements", "Li,Fe,F", "--max-atoms", 3, "--rules", "smact").out.split()
    assert listed == ["formula", *("LiFe", "LiFe2", "Li2Fe", "LiF", "FeF", "FeF2")]


def test_missing_smact_names_the_remedy(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "smact", None)
    done = run(*LI_FE_O, "--rules", "smact")
    assert done.code == 1
    assert done.err.startswith("Error: the rules smact need the package SMACT")
    assert "pip install 'xtalshift[smact]'" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--elements", "Li,Xq", "--max-atoms", "3"], "unknown element or class 'Xq'"),
        (["--elements", "Li,halogns", "--max-atoms", "3"], "did you mean 'halogen'?"),
        (["--elements", "", "--max-atoms", "3"], "cannot be made of the 0 given ()"),
        (["--elements", "Li,O", "--max-atoms", "1"], "allow 2 atoms or more"),
        ([*LI_FE_O, "--must-contain", "F"], "must contain F, which is not among the elements"),
        ([*LI_FE_O, "--rules", "smat"], "no rules 'smat'; there are: smact"),
        ([*LI_FE_O, "-o", "c.xlsx"], "an output file must end in .csv or .parquet"),
    ],
)
def test_errors_are_one_line_with_the_remedy(run, arguments, message):
    done = run(*arguments)
    limits = {"cannot be made of the 0 given ()", "allow 2 atoms or more"}
    assert (done.code, done.out) == (2 if message in limits else 1, "")
    assert message in done.err.splitlines()[-1]


def test_nothing_found_is_an_error_and_leaves_no_file(run, tmp_path):
    out = tmp_path / "c.csv"
    out.write_text("old")
    done = run("--elements", "Li,Na,Mg", "--max-atoms", "4", "-o", out, "--overwrite")
    assert done.code == 1
    assert "none of the 19 compositions of Li,Na,Mg passes; add an element that" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["c.csv"]
    assert out.read_text() == "old"


def test_very_many_are_not_refused_but_advised():
    assert command._advise(10**9 - 1) == ""
    assert command._advise(72 * 10**8).startswith(", up to 2.0 hours; to reduce the number")
