"""The benchmark from the command line: killed, resumed, shared out, merged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from xtalshift.benchmark.store import RecordStore, read_records

COMMAND = [sys.executable, "-c", "from xtalshift.cli.main import main; main()"]
PLUGIN = """
import os
import time
from pathlib import Path

from xtalshift.estimators import ConstantRegressor
from xtalshift.methods import register_method

MARKS = Path("FOLDER")


class Slow(ConstantRegressor):
    def _fit(self, data):
        (MARKS / f"{os.getpid()}-{time.monotonic_ns()}").touch()
        time.sleep(float((MARKS / "seconds").read_text()))
        super()._fit(data)


@register_method("slow", family="constant")
def slow(settings, seed):
    return Slow("median", random_state=seed)


@register_method("broken", family="constant")
def broken(settings, seed):
    raise RuntimeError("no such luck")
"""
SPEC = """
plugins = ["plugin.py"]
methods = {methods}
seeds = 2
budgets = [5]
[data.gaps]
dataset = "{table}"
target = "gap"
unit = "eV"
[splits.shift]
scheme = "prior"
params = {{ share = 0.3 }}
[network]
architecture = [8]
[erm]
epochs = 3
[lightgbm]
n_estimators = 20
"""
MACHINE = ("seconds", "cpu_seconds", "predict_seconds", "peak_mib", "host", "attempts")


@pytest.fixture
def marks(tmp_path):
    """Return the folder by which the plugin and a test talk."""
    marks = tmp_path / "marks"
    marks.mkdir()
    (marks / "seconds").write_text("0.5")
    return marks


@pytest.fixture
def make_spec(table, tmp_path, marks):
    (tmp_path / "plugin.py").write_text(PLUGIN.replace("FOLDER", str(marks)))

    def write(*methods: str) -> Path:
        path = tmp_path / "spec.toml"
        path.write_text(SPEC.format(methods=json.dumps(methods), table=table))
        return path

    return write


def numbers(folder: Path) -> dict[str, dict[str, object]]:
    """Return the records without what differs between two runs."""
    _, records = read_records(folder / "records.jsonl")
    return {
        key: {name: value for name, value in record.to_plain().items() if name not in MACHINE}
        for key, record in records.items()
    }


def conclusions(folder: Path) -> dict[str, object]:
    """Return the summary without seconds and memory."""
    summary = json.loads((folder / "summary.json").read_text())
    for cell in summary["cells"]:
        for name in ("seconds", "cpu_seconds", "peak_mib"):
            cell.pop(name)
    summary.pop("provenance")
    return summary


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_records(folder: Path, count: int) -> None:
    path = folder / "records.jsonl"
    for _ in range(2400):
        if path.exists() and path.read_bytes().count(b"\n") > count:
            return
        time.sleep(0.05)
    raise AssertionError("no records")


def wait_until_gone(pid: int) -> None:
    """Wait until a process has ended, or is merely waiting to be forgotten."""
    status = Path(f"/proc/{pid}/status")
    for _ in range(400):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if status.exists() and "State:\tZ" in status.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} goes on")


def test_everything_from_spec_to_report(make_spec, tmp_path, xtalshift):
    spec = make_spec("dummy", "ridge", "ridge@fractions", "erm", "target-ridge", "broken")
    outcome = xtalshift("benchmark", spec, "--out", tmp_path / "r")
    assert outcome.code == 0, outcome.err
    assert "10 of 12 tasks done, 2 failed" in outcome.out
    assert "failed: broken on shift fold 0, seed 0: RuntimeError: no such luck" in outcome.out
    assert "with 5 target labels" in outcome.out
    assert "broken failed on shift fold 0, seed 1" in outcome.err
    held = {path.name for path in (tmp_path / "r").iterdir()}
    assert held >= {"records.jsonl", "summary.json", "benchmark.toml", "audit.json", "report.html"}
    _, records = read_records(tmp_path / "r" / "records.jsonl")
    failed = [record for record in records.values() if not record.ok]
    assert 'raise RuntimeError("no such luck")' in failed[0].traceback
    # again: nothing is repeated, not even what failed
    before = (tmp_path / "r" / "records.jsonl").read_bytes()
    again = xtalshift("benchmark", spec, "--out", tmp_path / "r", "--resume")
    assert "12 tasks, 12 of them done before" in again.err
    assert (tmp_path / "r" / "records.jsonl").read_bytes() == before
    retried = xtalshift("benchmark", spec, "--out", tmp_path / "r", "--retry")
    assert "12 tasks, 10 of them done before" in retried.err


def test_a_method_may_be_added_later(make_spec, tmp_path, xtalshift):
    assert xtalshift("benchmark", make_spec("ridge"), "--out", tmp_path / "r").code == 0
    outcome = xtalshift("benchmark", make_spec("ridge", "lightgbm"), "--out", tmp_path / "r")
    assert "6 tasks, 4 of them done before" in outcome.err


def test_a_killed_benchmark_continues_to_the_same_summary(make_spec, marks, tmp_path, xtalshift):
    spec = make_spec("ridge", "slow", "erm")
    out = tmp_path / "stopped"
    process = start("benchmark", spec, "--out", out, "--workers", 1)
    wait_for_records(out, 2)
    before = numbers(out)
    (marks / "seconds").write_text("60")
    while not list(marks.glob("*-*")):
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=60)
    for path in marks.glob("*-*"):  # no worker goes on
        wait_until_gone(int(path.name.partition("-")[0]))
    (marks / "seconds").write_text("0")
    kept = (out / "records.jsonl").read_bytes()
    outcome = xtalshift("benchmark", spec, "--out", out)
    assert outcome.code == 0, outcome.err
    assert (out / "records.jsonl").read_bytes().startswith(kept)  # appended to, nothing repeated
    assert {key: numbers(out)[key] for key in before} == before
    assert xtalshift("benchmark", spec, "--out", tmp_path / "whole").code == 0
    assert numbers(out) == numbers(tmp_path / "whole")
    assert conclusions(out) == conclusions(tmp_path / "whole")


def test_ctrl_c_before_the_first_task_promises_nothing(make_spec, tmp_path, xtalshift, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    for name in ("prepare_shared", "_execute"):
        with monkeypatch.context() as patch:
            patch.setattr(f"xtalshift.benchmark.engine.{name}", stopped)
            outcome = xtalshift("benchmark", make_spec("ridge"), "--out", tmp_path / "r")
        assert outcome.err.splitlines()[-1] == (
            "Stopped. Nothing was finished that could be continued."
        )


def test_ctrl_c_leaves_the_summary_of_what_is_done(make_spec, tmp_path, xtalshift, monkeypatch):
    add, added = RecordStore.add, []

    def add_two(self, record):
        if len(added) == 2:
            raise KeyboardInterrupt
        added.append(record.id)
        add(self, record)

    monkeypatch.setattr(RecordStore, "add", add_two)
    outcome = xtalshift("benchmark", make_spec("ridge"), "--out", tmp_path / "r")
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1] == (
        "Stopped. Finished work is kept; run the same command to continue."
    )
    assert json.loads((tmp_path / "r" / "summary.json").read_text())["n_done"] == 2
    assert list(numbers(tmp_path / "r")) == added


def test_parts_of_the_work_are_merged(make_spec, tmp_path, xtalshift):
    spec = make_spec("ridge", "erm", "target-ridge")
    for part in (1, 2):
        outcome = xtalshift(
            "benchmark", spec, "--out", tmp_path / f"{part}", "--shard", f"{part}/2"
        )
        assert outcome.code == 0
        assert "4 tasks, 0 of them done before" in outcome.err
    outcome = xtalshift("benchmark", spec, "--out", tmp_path / "1", "--merge", tmp_path / "2")
    assert "4 records added" in outcome.err
    assert "8 tasks, 8 of them done before" in outcome.err
    assert xtalshift("benchmark", spec, "--out", tmp_path / "whole").code == 0
    assert conclusions(tmp_path / "1") == conclusions(tmp_path / "whole")


def test_the_time_limit_ends_between_two_tasks(make_spec, tmp_path, xtalshift):
    spec = make_spec("ridge", "slow")
    outcome = xtalshift(
        "benchmark", spec, "--out", tmp_path / "r", "--limit-time", 0.001, "--workers", 1
    )
    assert "The time limit is reached" in outcome.err
    assert ", " in outcome.out
    assert "left" in outcome.out
    outcome = xtalshift("benchmark", spec, "--out", tmp_path / "r")
    assert "6 of 6 tasks done" in outcome.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--executor", "rai"), "executor 'rai' (did you mean 'ray'"),
        (("--address", "auto"), "--address is for --executor ray"),
        (("--shard", "3/2"), "--shard '3/2': expected K/N"),
        (("--resume",), "nothing to resume"),
        (("--methods", "rigde"), "did you mean 'ridge'"),
        (("--set", "data.gaps.dataset=missing.csv"), "missing.csv"),
        (("--set", "splits.shift.params.shar=0.1"), "no parameter 'shar' (did you mean 'share'"),
    ],
)
def test_wrong_options_are_one_line(options, message, make_spec, tmp_path, xtalshift):
    outcome = xtalshift("benchmark", make_spec("ridge"), "--out", tmp_path / "r", *options)
    assert outcome.code == (2 if "--shard" in options else 1)
    assert message in outcome.err.splitlines()[-1]


def test_other_data_in_the_same_folder_are_refused(make_spec, table, tmp_path, xtalshift):
    spec = make_spec("ridge")
    assert xtalshift("benchmark", spec, "--out", tmp_path / "r").code == 0
    other = tmp_path / "other.csv"
    other.write_text("\n".join(table.read_text().splitlines()[:-1]) + "\n")
    options = ("benchmark", spec, "--out", tmp_path / "r", "--set", f"data.gaps.dataset={other}")
    outcome = xtalshift(*options)
    assert outcome.code == 1
    assert "cannot be compared with these (data:" in outcome.err
    assert "had other rows or structures)" in outcome.err
    assert xtalshift(*options, "--overwrite").code == 0


def test_the_lists_and_the_plan(make_spec, xtalshift):
    outcome = xtalshift("benchmark", "--list")
    assert outcome.code == 0
    for name in ("ricci-shifts", "matex", "lightgbm", "fine-tune", "kmm-ridge"):
        assert name in outcome.out
    outcome = xtalshift("benchmark", make_spec("ridge", "target-ridge"), "--plan")
    assert "6 tasks: 3 methods (each label budget counts) on 1 fold of 1 split, 2 seeds" in (
        outcome.out
    )


def test_a_folder_may_have_the_name_of_a_benchmark_of_the_package(tmp_path, monkeypatch, xtalshift):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smoke").mkdir()
    outcome = xtalshift("benchmark", "smoke", "-o", "smoke", "--plan")
    assert outcome.code == 0, outcome.err
    assert " tasks: " in outcome.out
