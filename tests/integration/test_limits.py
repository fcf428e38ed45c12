"""Numbers out of bounds, closed streams, little memory, few files, long names: one line."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pandas as pd
import pytest

from xtalshift.parallel import count_cores

LONG = "A" * 100_000


def wrong(outcome, *words):
    """Assert a usage error that says what is allowed."""
    assert outcome.code == 2, outcome.err
    assert "Error: " in outcome.err
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err


@pytest.fixture
def shell(table, model, tmp_path):
    """Return a function that runs a command line in a shell, in a folder with table and model."""
    (tmp_path / "m").symlink_to(model)
    (tmp_path / "t.csv").symlink_to(table)
    program = f"{sys.executable} -c 'from xtalshift.cli.main import main; main()'"

    def call(line, text=None):
        line = line.replace("xtalshift", program)
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=tmp_path, input=text, capture_output=True, text=True, check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip

    return call


@pytest.mark.parametrize("value", ["-1", "0", "1.5", "1e9", "1000000000", "nan", "inf", "many"])
@pytest.mark.parametrize("option", ["--threads", "--workers", "--chunk-rows", "--top", "--level"])
def test_numbers_of_a_screening(xtalshift, model, table, tmp_path, option, value):
    outcome = xtalshift("screen", model, table, "-o", tmp_path / "s", option, value)
    if (option, value) == ("--top", "1000000000"):  # as many as there are
        assert outcome.code == 0
    else:
        wrong(outcome)


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (("run", "--seeds", "1000000000"), "1000"),
        (("run", "--seed", "-1"), "0"),
        (("run", "--set", "erm.learning_rate=inf"), "finite"),
        (("run", "--set", "erm.patience=99999999999999999999"), "2,147,483,647"),
        (("run", "--set", "erm.epochs=1000000000"), "1000000"),
        (("run", "--set", "network.n_members=1000000000"), "1000"),
        (("run", "--set", "network.architecture=[1000000000]"), "1 to 16,384"),
        (("run", "--set", "lightgbm.num_leaves=1000000000"), "131072"),
        (("run", "--set", "intervals.folds=1000000000"), "1000"),
        (("benchmark", "smoke", "--seeds", "1000000000"), "1000"),
        (("benchmark", "smoke", "--shard", "1e9"), "K/N"),
        (("enumerate", "--elements", "Li,O", "--max-atoms", "1000000000"), "1000"),
        (("enumerate", "--elements", "Li,O", "--max-atoms", "-1"), "1"),
        (("suggest", "M", "T", "--seed", "-1"), "0"),
        (("suggest", "M", "T", "--diversity", "nan"), "finite number"),
        (("suggest", "M", "T", "--level", "1.5"), "less than 1"),
        (("predict", "M", "T", "-o", "p.csv", "--level", "nan"), "between 0 and 1"),
        (("split", "T", "--scheme", "random", "-o", "s.csv", "--budgets", "0"), "1"),
        (("split", "T", "--scheme", "random", "-o", "s.csv", "--thin", "inf"), "finite"),
        (("adapt", "M", "T", "-o", "a", "--calibration-folds", "-1"), "0"),
        (
            ("adapt", "M", "T", "-o", "a", "--method", "joint", "--set", "steps=1000000000"),
            "1000000",
        ),
    ],
)
def test_numbers_out_of_bounds(xtalshift, model, table, arguments, allowed):
    places = {"M": model, "T": table}
    wrong(xtalshift(*(places.get(text, text) for text in arguments)), allowed)


def test_threads_and_workers_are_bound_by_the_machine(xtalshift, model, table, tmp_path):
    most = f"1 to {16 * count_cores()} on this machine with {count_cores()} cores"
    wrong(xtalshift("predict", model, table, "-o", "p.csv", "--threads", "99999"), most)
    wrong(xtalshift("run", "--dataset", table, "--set", "threads=99999"), most)
    out = ("-o", tmp_path / "s")
    wrong(xtalshift("screen", model, table, *out, "--workers", "99999"), "99999 workers", most)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    "line",
    [
        "xtalshift datasets list | head -1",
        "xtalshift enumerate --elements Li,O,Fe,Mn,Co,Ni --max-atoms 20 | head -1",
        "xtalshift predict m GaN NaCl | head -0",
    ],
)
def test_a_reader_that_stops_early_is_no_error(shell, line):
    done = shell(line)
    assert done.returncode == 0
    assert "Error" not in done.stderr


def test_closed_streams(shell, tmp_path):
    assert shell("xtalshift datasets list >&-").returncode == 0
    done = shell("xtalshift predict m t.csv -o p.csv >&- 2>&-")
    assert done.returncode == 0
    assert (tmp_path / "p.csv").read_text().startswith("id,formula,")
    assert shell("xtalshift runn <&- >&- 2>&-").returncode == 2
    done = shell("xtalshift screen m - -o s --workers 1 <&-")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: standard input is closed; write formulas to it, or name a file\n"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="limits of processes")
def test_little_memory_and_few_files(shell):
    done = shell("ulimit -n 10; xtalshift screen m t.csv -o s --workers 2")
    assert done.returncode == 1
    assert done.stderr == "Error: Too many open files; raise the limit of the shell (ulimit -n)\n"
    # PyTorch is too large for this. With less, memory may also end where a library aborts.
    done = shell("ulimit -v 600000; xtalshift train t.csv -o n --target gap --method erm")
    assert done.returncode == 1
    assert "Error: memory ran out" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (LONG,),
        ("predict", "M", LONG),
        ("predict", "M", "GaN", "-o", f"{LONG}.csv"),
        ("train", "T", "-o", "m", "--method", LONG),
        ("train", "T", "-o", "m", "--set", f"{LONG}=1"),
        ("train", "T", "-o", "m", "--set", f"erm.epochs={LONG}"),
        ("datasets", "info", "A " * 50_000),
    ],
)
def test_messages_repeat_long_names_in_part(xtalshift, model, table, arguments):
    places = {"M": model, "T": table}
    outcome = xtalshift(*(places.get(text, text) for text in arguments))
    assert outcome.code in {1, 2}
    assert len(outcome.err) < 4_000
    assert "Error: " in outcome.err
    assert "bug in xtalshift" not in outcome.err


@pytest.fixture
def with_cells(table, tmp_path):
    """Return a function that writes the table with other cells in one column."""

    def write(column, cells):
        frame = pd.read_csv(table, dtype=str, keep_default_na=False)
        values = frame[column].astype(float)
        frame[column] = [cells(row, value) for row, value in enumerate(values)]
        frame.to_csv(tmp_path / "cells.csv", index=False)
        return tmp_path / "cells.csv"

    return write


def one(text):
    return lambda row, value: text if row == 5 else value


METHODS = ("ridge", "lightgbm", "lightgbm-quantile", "erm", "cal")
BOUNDS = "(0, or 1e-30 to 1e+30 in size; use another unit)"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("text", ["1e160", "-1e308", "5e-324", str(10**40)])
def test_a_target_out_of_range_drops_its_row(xtalshift, with_cells, tmp_path, quick, method, text):
    source = with_cells("gap", one(text))
    outcome = xtalshift(
        "train", source, "-o", tmp_path / "m", "--target", "gap", "--method", method, *quick
    )
    assert outcome.code == 0, outcome.err
    assert f"dropped 1: target: out of range (row 6: {float(text):g} {BOUNDS}" in (outcome.err)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e-29, 1e29])
def test_targets_at_the_bounds_of_the_range_are_learned(
    xtalshift, with_cells, tmp_path, quick, method, scale
):
    errors = []
    for factor in (1.0, scale):
        source = with_cells("gap", lambda row, value, factor=factor: repr((value + 0.1) * factor))
        outcome = xtalshift(
            "train", source, "-o", tmp_path / "m", "--target", "gap", "--method", method, *quick,
            "--overwrite",
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
        error, dummy = re.search(r"MAE (\S+) \(training mean: (\S+)\)", outcome.out).groups()
        errors.append(float(error) / float(dummy))
    assert errors[1] == pytest.approx(errors[0], rel=0.05)


def test_all_values_out_of_range(xtalshift, with_cells, tmp_path):
    train = ("-o", tmp_path / "m", "--target", "gap")
    source = with_cells("gap", lambda _, value: repr(value * 1e200))
    outcome = xtalshift("train", source, *train)
    assert outcome.code == 1
    assert "'gap' has no usable number (row 1: out of range" in outcome.err
    source = with_cells("temperature", lambda _, value: repr(value * 1e200))
    outcome = xtalshift("train", source, *train, "--feature-cols", "temperature")
    assert outcome.code == 1
    assert "60 x column 'temperature': out of range" in outcome.err


@pytest.mark.parametrize("method", METHODS)
def test_all_targets_equal_but_for_the_last_digit_of_one(
    xtalshift, with_cells, tmp_path, quick, method
):
    source = with_cells("gap", lambda row, _: "2.0000000000000004" if row == 0 else "2.0")
    outcome = xtalshift(
        "train", source, "-o", tmp_path / "m", "--target", "gap", "--method", method, *quick
    )
    assert outcome.code == 0, outcome.err
    predicted = xtalshift("predict", tmp_path / "m", "GaN")
    value = predicted.out.splitlines()[1].split(",")[1]
    assert float(value) == pytest.approx(2.0)


def test_a_feature_out_of_range_is_a_row_without_prediction(
    xtalshift, warm_model, with_cells, tmp_path
):
    source = with_cells("temperature", one("1e300"))
    outcome = xtalshift("predict", warm_model, source, "-o", tmp_path / "p.csv")
    assert outcome.code == 0
    assert "59 of 60 rows predicted" in outcome.out
    assert "row 6 (id 0005): column 'temperature' is out of range" in outcome.out
    outcome = xtalshift("predict", warm_model, "GaN", "--with", "temperature=1e300")
    assert outcome.code == 1
    assert "GaN: column 'temperature' is out of range" in outcome.err
    outcome = xtalshift("screen", warm_model, source, "-o", tmp_path / "s", "--workers", "1")
    assert outcome.code == 0
    assert "59 of 60 rows predicted, 1 with an error" in outcome.out


@pytest.mark.parametrize("text", ["1e160", "5e-324"])
def test_labels_out_of_range_are_left_out(xtalshift, model, with_cells, tmp_path, text):
    source = with_cells("gap", one(text))
    outcome = xtalshift(
        "run", "--dataset", source, "--target", "gap", "--methods", "ridge", "--splits", "random",
        "--threads", "1", "-o", tmp_path / "r",
    )  # fmt: skip
    assert outcome.code == 0
    assert "1 dropped" in outcome.err
    outcome = xtalshift("suggest", model, source, "--measured", source, "--toward", "high")
    assert "59 with a value (gap)" in outcome.err
    outcome = xtalshift("split", source, "--scheme", "prior", "--target", "gap", "-o",
                        tmp_path / "s.csv")  # fmt: skip
    assert outcome.code == 0
    assert "unusable 1" in outcome.out
    outcome = xtalshift("calibrate", model, source, "-o", tmp_path / "c", "--target", "gap")
    assert "target: out of range" in outcome.err
