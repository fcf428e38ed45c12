"""Real processes that are stopped in the middle of a training."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from xtalshift.cli.main import main; main()"]
# long enough to be hit, short enough to be finished: about two seconds
TRAINING = ("--methods", "ridge,erm", "--threads", "1", "--set", "erm.epochs=600",
            "--set", "erm.patience=600", "--set", "network.architecture=[16]")  # fmt: skip


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def records(folder: Path) -> list[dict[str, object]]:
    found = json.loads((folder / "results.json").read_text())["records"]
    return [{key: value for key, value in r.items() if key != "seconds"} for r in found]


@pytest.fixture(scope="module")
def undisturbed(table: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    out = tmp_path_factory.mktemp("undisturbed")
    process = start("run", "--dataset", table, "--target", "gap", *TRAINING, "--out", out / "r")
    assert process.communicate(timeout=120) is not None
    assert process.returncode == 0
    return records(out / "r")


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_continues_to_the_same_results(blow, table, tmp_path, undisturbed):
    out = tmp_path / "r"
    command = ("run", "--dataset", table, "--target", "gap", *TRAINING, "--out", out)
    process = start(*command)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("erm (all, seed 0)"):
            break
    time.sleep(0.3)
    process.send_signal(blow)
    _, err = process.communicate(timeout=60)
    assert not (out / "results.json").exists()
    assert (out / "tasks" / "ridge-all-0" / "task.json").exists()
    assert not (out / "tasks" / "erm-all-0" / "task.json").exists()
    if blow is signal.SIGINT:
        assert process.returncode == 1
        assert err.splitlines() == [
            "Stopped. What was finished is kept; the same command continues."
        ]
    process = start(*command)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert err.count("done before, kept") == 2  # dummy and ridge
    assert records(out) == undisturbed
    assert not [path.name for path in out.rglob(".*")]


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys, time\n"
        "from xtalshift.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pandas', 'torch', 'sklearn', 'pymatgen', 'plotly'}\n"
        "print(sorted(heavy & set(sys.modules)), time.process_time() < 1, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[] True\n"


def test_a_closed_pipe_is_no_error():
    process = start("datasets", "list")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait(timeout=60)
