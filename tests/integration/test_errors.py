"""What a careless user reads: one line that names the fault and the remedy."""

from __future__ import annotations

import errno
from pathlib import Path

import pandas as pd
import pytest

from xtalshift.benchmark.store import RecordStore


def fails(outcome, *words, code=None):
    """Assert one readable line that holds all words; the code of values not allowed is 2."""
    assert outcome.code in ({1, 2} if code is None else {code}), outcome.err
    errors = [line for line in outcome.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert outcome.err.splitlines()[-1] == errors[0]
    assert "Traceback" not in outcome.err
    assert "bug in xtalshift" not in errors[0]
    for word in words:
        assert word in errors[0]


@pytest.fixture
def run(xtalshift, table, tmp_path):
    def call(*options, dataset=table, target="gap", methods="dummy"):
        return xtalshift("run", "--dataset", dataset, "--target", target, "--methods", methods,
                         "--out", tmp_path / "out", "--threads", "1", *options)  # fmt: skip

    return call


@pytest.mark.parametrize(
    ("options", "words", "code"),
    [
        (("--set", "erm.epoch=3"), ("erm.epoch", "did you mean 'epochs'"), 2),
        (("--set", "erm.epochs=many"), ("erm.epochs", "'many'"), 2),
        (("--set", "erm.epochs"), ("name=value",), 2),
        (("--splits", "covariat"), ("split.schemes", "covariat", "'covariate'"), 2),
        (("--transform", "logg"), ("data.transform", "'logg'", "'log1p'", "did you mean 'log'"), 2),
        (("--features", "magpi"), ("'magpi'", "did you mean 'magpie'"), 2),
        (("--feature-cols", "temprature"), ("'temprature'", "did you mean 'temperature'"), 1),
        (("--formula-col", "formulla"), ("'formulla'", "did you mean 'formula'"), 1),
        (("--id-col", "idd"), ("'idd'", "did you mean 'id'"), 1),
        (("--family", "Xx"), ("Xx",), 1),
        (("--splits", "relation"), ("--relation-flag", "--relation-file"), 1),
        (("--relation-flag", "temperature"), ("'temperature'", "not a flag"), 1),
        (("--relation-file", "nowhere.csv"), ("nowhere.csv", "does not exist"), 1),
        (("--config", "nowhere.toml"), ("nowhere.toml",), 1),
        (("--device", "cuda:77"), ("cuda:77",), 1),
    ],
)
def test_wrong_settings(run, options, words, code):
    fails(run(*options), *words, code=code)


def test_unknown_method_names_the_nearest(run):
    wrong = run(methods="lightgmb")
    fails(wrong, "'lightgmb' (did you mean 'lightgbm'?); choose from: dummy, ridge", code=2)
    assert "kmm-ridge" not in wrong.err  # only `benchmark` offers it
    only = run(methods="kmm-ridge")
    fails(only, "'kmm-ridge', only `xtalshift benchmark` does; choose from: dummy", code=2)
    fails(run(methods=""), "at least one method", code=2)


def test_wrong_target(run):
    fails(run(target="gapp"), "'gapp'", "did you mean 'gap'")
    fails(run(target="formula"), "'formula'", "cannot be the target")


def test_the_hint_stands_before_the_list_and_ends_with_one_mark(run, xtalshift, tmp_path):
    fails(run(target="gapp"), "no target column 'gapp' (did you mean 'gap'?). Columns: ")
    fails(run("--formula-col", "qq"), "no formula column 'qq'. Columns: id, formula")
    named = xtalshift("featurize", "ricci_seebeck", "-o", tmp_path / "f.csv")
    fails(named, "ricci_seebeck does not exist", "'xtalshift datasets fetch NAME'")
    for command in (("check", "GaN"), ("featurize", "GaN", "-o", tmp_path / "f.csv")):
        fails(xtalshift(*command), "GaN is a formula, not a file; write formulas to a file, one a")
    fails(xtalshift("check", "-"), "standard input is no table for this command", "'screen'")


def test_without_a_target_the_candidates_are_named(xtalshift, table, tmp_path):
    outcome = xtalshift("run", "--dataset", table, "--out", tmp_path / "o")
    fails(outcome, "gap", "temperature")


@pytest.mark.parametrize(
    "command", ["run", "train", "adapt", "calibrate", "split", "check", "audit"]
)
def test_a_wrong_column_is_told_before_an_output_that_is_there(xtalshift, table, tmp_path, command):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    args = {
        "run": (table, "--out", out),
        "train": (table, "-o", out),
        "adapt": (tmp_path, table, "-o", out),
        "calibrate": (tmp_path, table, "-o", out),
        "split": (table, "--scheme", "random", "-o", out),
        "check": (table, "--fix", out),
        "audit": (table, tmp_path / "split.parquet", "--out", out),
    }[command]
    fails(
        xtalshift(command, *args, "--target", "gpa"), "no target column 'gpa' (did you mean 'gap'"
    )


def test_files_that_cannot_be_used(run, tmp_path):
    fails(run(dataset=tmp_path / "no.csv"), "no.csv", "neither a file nor a data set")
    fails(run(dataset="ricci_seebek"), "did you mean 'ricci_seebeck'")
    fails(run(dataset=tmp_path), str(tmp_path), "folder")
    cases = {
        "empty.csv": (b"", "is empty"),
        "binary.csv": (bytes(range(256)) * 4, "binary"),
        "header.csv": (b"formula,gap\n", "no rows"),
        "photo.png": (b"\x89PNG", "a type that cannot be read"),
        "broken.json": (b'[{"formula": ', "not JSON"),
        "broken.parquet": (b"PAR1 and nothing", "broken.parquet"),
        "blank.csv": (b"formula,gap\nNaCl,\nKCl,\n", "has no usable number"),
        "names.csv": (b"name,gap\nNaCl,1\n", "no formula column"),
    }
    for name, (content, words) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        fails(run(dataset=path), words)


def test_bad_rows_are_counted_and_the_first_is_named(run, table, tmp_path):
    source = tmp_path / "t.csv"
    source.write_text(table.read_text() + "x1,Foo2,1.0,300\nx2,NaCl2K,abc,300\nx3,,2,300\n")
    outcome = run(dataset=source)
    assert outcome.code == 0
    assert "63 rows read, 3 dropped, 0 merged: 60 materials" in outcome.err
    assert "row 61" in outcome.err
    assert "Foo2" in outcome.err
    assert "target: not a number (row 62: 'abc')" in outcome.err
    fails(run("--strict", "--overwrite", dataset=source), "row 61", "x1", "Foo2")


def test_no_good_formula_at_all(run, tmp_path):
    source = tmp_path / "t.csv"
    source.write_text("formula,gap\nfoo,1\nbar,2\n")
    fails(run(dataset=source), "none of the 2 rows", "row 1", "foo")


def test_too_few_rows_say_how_many_are_needed(run, tmp_path):
    source = tmp_path / "t.csv"
    source.write_text("formula,gap\nNaCl,1\nKCl,2\nLiF,3\n")
    outcome = run("--splits", "random", dataset=source)
    fails(outcome, "3", "at least 20")
    trained = tmp_path / "m"
    assert not trained.exists()


def test_a_zero_target_on_a_log_scale(run, table, tmp_path):
    source = tmp_path / "t.csv"
    source.write_text(table.read_text() + "x1,CsCl,0,300\n")
    fails(run("--transform", "log", dataset=source), "row 61", "0", "log1p")


def test_places_that_cannot_be_written(xtalshift, table, tmp_path, model):
    file = tmp_path / "file"
    file.write_text("")
    command = ("run", "--dataset", table, "--target", "gap", "--methods", "dummy", "--out")
    fails(xtalshift(*command, file), str(file), "choose another place")
    fails(xtalshift(*command, file / "below"), str(file), "choose another place")
    fails(xtalshift(*command, "/proc/none/x"), "/proc/none/x", "choose another place")
    fails(xtalshift("train", table, "--target", "gap", "-o", file), str(file))
    fails(xtalshift("train", table, "--target", "gap", "-o", file / "below"), str(file))
    fails(xtalshift("predict", model, table, "-o", file / "x.csv"), str(file))
    fails(xtalshift("featurize", table, "-o", "/proc/none/x.csv"), "/proc/none/x.csv")
    assert file.read_text() == ""


def test_a_full_disk_is_one_line(run, xtalshift, table, tmp_path, model, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "results")

    with monkeypatch.context() as patch:
        patch.setattr(RecordStore, "add", full)
        fails(run(), "No space left on device")
    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    out = tmp_path / "p.csv"
    fails(xtalshift("predict", model, table, "-o", out), "No space left", str(tmp_path))
    assert not list(Path(tmp_path).glob("*p.csv*"))


def test_debug_shows_the_traceback_wherever_it_stands(xtalshift, tmp_path):
    for arguments in (("--debug", "run"), ("run", "--debug")):
        outcome = xtalshift(*arguments, "--dataset", tmp_path / "no.csv")
        assert outcome.code == 1
        assert "Traceback" in outcome.err
        assert outcome.err.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ZeroDivisionError("division by zero"),
            (
                "unexpected ZeroDivisionError: division by zero. "
                "This is a bug in xtalshift; --debug shows where"
            ),
        ),
        (  # no memory was left for the error itself
            SystemError("error return without exception set"),
            (
                "memory ran out (error return without exception set); "
                "use fewer workers, threads or rows, or a larger limit"
            ),
        ),
    ],
)
def test_a_fault_of_the_program_says_so(xtalshift, table, tmp_path, monkeypatch, error, said):
    def broken(*_, **__):
        raise error

    monkeypatch.setattr("xtalshift.jobs.run.run", broken)
    outcome = xtalshift("run", "--dataset", table, "--target", "gap", "--out", tmp_path / "r")
    assert outcome.code == 1
    assert outcome.err == f"Error: {said}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("runn",), "No such command 'runn'"),
        (("run", "--nope"), "No such option: --nope"),
        (("run", "--seeds", "0"), "'--seeds'"),
        (("predict",), "Missing argument 'MODEL'"),
        (("train", "a.csv"), "Missing option '--out'"),
        (("datasets", "nope"), "No such command 'nope'"),
    ],
)
def test_wrong_usage_exits_2(xtalshift, arguments, words):
    outcome = xtalshift(*arguments)
    assert outcome.code == 2
    assert words in outcome.err
    assert outcome.out == ""


def test_help_and_version_exit_0_and_no_command_exits_2(xtalshift):
    assert xtalshift("--version").out == "xtalshift 0.1.0\n"
    for command in ("run", "datasets", "featurize", "split", "train", "predict"):
        outcome = xtalshift(command, "--help")
        assert outcome.code == 0
        assert f" {command} [OPTIONS]" in outcome.out
    assert xtalshift().code == 2
