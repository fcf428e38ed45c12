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


def read(done):
    """Return the formulas that were written to the screen."""
    return [line.split(",")[0] for line in done.out.splitlines()[1:]]


def test_the_most_plausible_come_first_on_the_screen(run):
    done = run(*LI_FE_O)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "formula,plausibility,why"
    assert lines[1] == "Li2O,0.9978,Li+1 (1) O-2 (1); known; 18 analogues: Li2S"
    assert lines[-1].startswith("FeO2,0.1088,Fe+4 (0.012) O-2 (1); known; 11 analogues: FeS2")
    values = [float(line.split(",")[1]) for line in lines[1:]]
    assert values == sorted(values, reverse=True)
    assert read(done) == ["Li2O", "LiFeO2", "Fe2O3", "Li2FeO2", "FeO", "FeO2"]
    assert done.err.splitlines() == ["37 compositions to check", "6 formulas"]
    listed = run(*LI_FE_O, "--order", "elements")
    assert read(listed) == ["Li2O", "FeO", "FeO2", "Fe2O3", "LiFeO2", "Li2FeO2"]
    assert sorted(listed.out.splitlines()) == sorted(lines)


def test_top_keeps_the_most_plausible_and_says_so(run, monkeypatch):
    monkeypatch.setattr("xtalshift.chem.enumeration._ROWS", 1)
    done = run(*LI_FE_O, "--top", 2)
    assert read(done) == ["Li2O", "LiFeO2"]
    assert done.err.splitlines()[-1] == "2 formulas (the most plausible of 6)"


def test_must_contain_is_all_and_any_is_any(run):
    base = ["--elements", "Li,Na,S,Se", "--max-atoms", "4", "--no-charge-neutral"]
    both = run(*base, "--must-contain", "S,Se")
    assert "; every formula contains S and Se" in both.err
    assert read(both)
    assert all("Se" in f and "S" in f.replace("Se", "") for f in read(both))
    some = run(*base, "--must-contain-any", "S,Se", "--must-contain-any", "Li,Na")
    assert "; every formula contains S or Se, and Li or Na" in some.err
    assert {"Li2S", "Na2Se", "LiSeS"} <= set(read(some))
    assert "NaLi" not in read(some)


def test_refused_by_default_and_admitted_by_an_option(run):
    for names, option, formula in [
        ("Fe,O", "--mixed-valence", "Fe3O4"),
        ("Fe,Al,O", "--intermetallics", "AlFe"),
        ("Ca,C,O", "--polyanions", "CaC2"),
    ]:
        base = ["--elements", names, "--max-atoms", "7"]
        assert formula not in read(run(*base))
        assert formula in read(run(*base, option))
    assert {"CsSbS", "Cs4Sb2S", "Cs3Sb3S"}.isdisjoint(
        read(run("--elements", "Cs,Sb,S", "--max-atoms", 7))
    )


def test_known_compounds_of_a_file(run, tmp_path):
    (tmp_path / "known.csv").write_text("formula\nNa2S\nK2S\n")
    done = run("--elements", "Li,O", "--max-atoms", 3, "--known", tmp_path / "known.csv")
    assert done.out.splitlines()[1] == "Li2O,0.1746,Li+1 (1) O-2 (1); 2 analogues: Na2S"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_has_all_formulas_of_many_blocks_in_order(run, tmp_path, suffix, monkeypatch):
    monkeypatch.setattr("xtalshift.chem.enumeration._ROWS", 50)
    out = tmp_path / f"c.{suffix}"
    names = ["Na", "Mg", "Fe", "halogens", "N"]
    options = ("--no-charge-neutral", "--max-elements", "3", "--must-contain", "halogen")
    options += ("--order", "elements")
    done = run("--elements", ",".join(names), "--max-atoms", 6, *options, "-o", out)
    limits = {"max_atoms": 6, "max_elements": 3, "required": ["halogen"]}
    blocks = enumerate_formulas(names, **limits, charges=None)
    expected = [formula for block in blocks for formula in block.formulas]
    table = pd.read_parquet(out) if suffix == "parquet" else pd.read_csv(out, keep_default_na=False)
    assert table.columns.tolist() == ["formula", "plausibility", "why"]
    assert table["formula"].tolist() == expected
    assert done.out == f"{len(expected):,} formulas: {out}\n"
    assert len(expected) == count_formulas(names, **limits) > 1000


def test_smact_rules_take_the_place_of_neutrality(run, monkeypatch):
    rule = "xtalshift.jobs.enumerate.load_smact_rules"
    monkeypatch.setattr(rule, lambda: lambda _, amounts: amounts[0] == 1)
    base = [*LI_FE_O, "--rules", "smact", "--order", "elements"]
    listed = read(run(*base, "--max-elements", "2"))
    assert listed[:5] == ["LiFe", "LiFe2", "LiFe3", "LiFe4", "LiO"]
    assert read(run(*base, "--max-elements", "2", "--charge-neutral")) == ["FeO", "FeO2"]


def test_smact_itself(run):
    pytest.importorskip("smact.screening")
    base = ["--elements", "Li,Fe,F", "--max-atoms", 3, "--order", "elements"]
    assert read(run(*base, "--rules", "smact")) == ["LiFe", "LiFe2", "Li2Fe", "LiF", "FeF", "FeF2"]


def test_missing_smact_names_the_remedy(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "smact", None)
    done = run(*LI_FE_O, "--rules", "smact")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("Error: the rules smact need the package SMACT")
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
        ([*LI_FE_O, "--no-charge-neutral", "--polyanions"], "keeps all formulas anyway"),
        ([*LI_FE_O, "--order", "elements", "--top", "3"], "leave out --order elements"),
        ([*LI_FE_O, "--known", "nowhere.csv"], "'nowhere.csv' is neither a file nor a data set"),
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
