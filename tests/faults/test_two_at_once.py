"""Two processes of one command with one output, at the same time."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from integration.tables import make_rows, write_rows
from warm_commands import Command
from xtalshift.cli.main import main

SPEC = """
methods = ["ridge"]
seeds = 1
[data.gaps]
dataset = "{table}"
target = "gap"
[splits.shift]
scheme = "prior"
params = {{ share = 0.3 }}
"""
METHODS = ("ridge", "dummy")
LOCKED = {
    # the command and a file that it writes early, once it has locked its folder
    "run": (("run", "TABLE", "--target", "gap", "--methods", "ridge"), "records.jsonl"),
    "benchmark": (("benchmark", "SPEC", "--workers", "1"), "records.jsonl"),
    "screen": (("screen", "MODEL", "TABLE", "--workers", "1"), "checkpoint/journal.jsonl"),
}


def here(*arguments: object) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == 0


def train(table: Path, method: str, out: Path) -> tuple[object, ...]:
    return ("train", table, "-o", out, "--target", "gap", "--method", method, "--threads", "1",
            "--overwrite")  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Return the paths of a table, a specification and two models."""
    folder = tmp_path_factory.mktemp("given")
    table = write_rows(folder / "gaps.csv", make_rows(80))
    (folder / "spec.toml").write_text(SPEC.format(table=table))
    for method in METHODS:
        here(*train(table, method, folder / method))
    return {"TABLE": table, "SPEC": folder / "spec.toml", "MODEL": folder / "ridge"}


@pytest.mark.skipif(sys.platform == "win32", reason="needs to stop a process")
@pytest.mark.parametrize("name", LOCKED)
def test_the_second_process_in_a_folder_is_refused_and_the_first_finishes(
    name, given, tmp_path, said
):
    command, early = LOCKED[name]
    out = tmp_path / "out"
    asked = (*(given.get(word, word) for word in command), "-o", out)
    first = Command(said, *asked)
    while not (out / early).exists():
        assert first.code is None, first.wait()
        time.sleep(0.002)
    first.send(signal.SIGSTOP)
    before = contents(out)
    code, err = Command(said, *asked).wait()
    assert code == 1
    assert err.splitlines()[-1] == (
        f"Error: another process is writing to {out}; wait for it, or choose another folder"
    )
    assert contents(out) == before
    first.send(signal.SIGCONT)
    code, err = first.wait()
    assert code == 0, err
    assert len(contents(out)) > len(before)


@pytest.mark.parametrize("name", ["train", "predict"])
def test_of_two_outputs_one_remains_and_is_whole(name, given, tmp_path, said):
    def command(method: str, out: Path) -> tuple[object, ...]:
        if name == "train":
            return train(given["TABLE"], method, out)
        return ("predict", given["MODEL"].with_name(method), given["TABLE"], "-o", out / "out.csv")

    whole = []
    for method in METHODS:
        here(*command(method, tmp_path / method))
        whole.append(contents(tmp_path / method))
    for process in [Command(said, *command(method, tmp_path / "out")) for method in METHODS]:
        code, err = process.wait()
        assert code == 0, err
    assert whole[0] != whole[1]
    assert contents(tmp_path / "out") in whole
