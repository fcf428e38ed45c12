"""Processes of a Ray cluster are killed while a benchmark or a screening works on it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from integration.tables import ANIONS, METALS, make_rows, write_rows
from integration.test_benchmark import conclusions, numbers

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs the processes of Linux"),
]

PATIENT = """
from xtalshift.parallel import ray_tasks
ray_tasks.HEAD_SECONDS = 6.0
from xtalshift.cli.main import main
main()
"""
"""The command line, which waits 6 seconds for a head, not 30."""
SPEC = """
methods = ["erm", "ridge"]
seeds = 2
[data.gaps]
dataset = "{table}"
target = "gap"
[splits.shift]
scheme = "prior"
params = {{ share = 0.3 }}
[network]
architecture = [8]
[erm]
epochs = 40
patience = 40
"""
RAY = ("--executor", "ray", "--workers", "2")
GONE = r"Error: the Ray cluster is gone \(its (head|node).*\)\. Finished work is kept; run the .*"
VICTIMS = {
    "worker": ("ray::_work",),
    "head": ("gcs_server",),
    "node": ("raylet",),
    "head and node": ("gcs_server", "raylet"),
}


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PATIENT, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(*arguments: object) -> None:
    process = start(*arguments)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err


def below(pid: int) -> dict[int, str]:
    """Return the programs of all processes that a process started."""
    children: dict[int, list[int]] = {}
    programs: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes().split(b"\0")[0].decode()
        except OSError:  # it has ended
            continue
        children.setdefault(parent, []).append(int(folder.name))
        programs[int(folder.name)] = Path(command).name.strip()
    found, left = {}, [pid]
    while left:
        for child in children.get(left.pop(), []):
            found[child] = programs[child]
            left.append(child)
    return found


def kill_within(process: subprocess.Popen[str], who: str) -> None:
    """Kill a worker amid a task, or processes of the cluster while a worker has one."""
    while True:
        running = below(process.pid)
        if "ray::_work" in running.values():
            break
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    victims = [pid for pid, program in running.items() if program in VICTIMS[who]]
    for pid in victims[: len(VICTIMS[who])]:
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """Return a benchmark and a screening, without their folders."""
    folder = tmp_path_factory.mktemp("commands")
    table = write_rows(folder / "gaps.csv", make_rows(140))
    (folder / "spec.toml").write_text(SPEC.format(table=table))
    finish("train", table, "-o", folder / "model", "--target", "gap", "--method", "ridge")
    formulas = [f"{a}{i}{b}{j}{x}" for a in METALS for b in METALS if a != b
                for i in range(1, 6) for j in range(1, 6) for x in ANIONS]  # fmt: skip
    pd.DataFrame({"formula": formulas}).to_csv(folder / "candidates.csv", index=False)
    return {
        "benchmark": ("benchmark", folder / "spec.toml"),
        "screen": ("screen", folder / "model", folder / "candidates.csv", "--chunk-rows", "10000"),
    }


def outcome(command: str, folder: Path) -> object:
    if command == "benchmark":
        return numbers(folder), conclusions(folder)
    parts = {path.name: path.read_bytes() for path in (folder / "parts").iterdir()}
    assert len(parts) == 6
    return parts


@pytest.fixture(scope="module")
def undisturbed(commands, tmp_path_factory):
    """Return what the commands leave on this machine, without Ray."""
    found = {}
    for name, command in commands.items():
        out = tmp_path_factory.mktemp("undisturbed") / name
        finish(*command, "-o", out, "--workers", "2")
        found[name] = outcome(name, out)
    return found


@pytest.mark.parametrize("command", ["benchmark", "screen"])
def test_the_work_of_a_killed_worker_is_done_again(command, commands, undisturbed, tmp_path):
    process = start(*commands[command], "-o", tmp_path / "out", *RAY)
    kill_within(process, "worker")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "raylet" not in out + err
    assert outcome(command, tmp_path / "out") == undisturbed[command]


@pytest.mark.parametrize("who", ["head", "node", "head and node"])
@pytest.mark.parametrize("command", ["benchmark", "screen"])
def test_a_killed_cluster_is_one_line_and_the_same_command_continues(
    command, who, commands, undisturbed, tmp_path
):
    asked = (*commands[command], "-o", tmp_path / "out", *RAY)
    process = start(*asked)
    kill_within(process, who)
    out, err = process.communicate(timeout=45)
    if who != "head" or process.returncode:  # workers may end their tasks without the head
        assert process.returncode == 1, err
        assert re.fullmatch(GONE, err.splitlines()[-1])
    assert "raylet" not in out + err
    assert "Traceback" not in out + err
    finish(*asked)
    assert outcome(command, tmp_path / "out") == undisturbed[command]
