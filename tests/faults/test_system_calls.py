"""The same with real system calls: strace kills a process that replaces a model."""

from __future__ import annotations

import shutil
import subprocess
import sys
from itertools import count

import pytest

from faults.test_save_and_kill import read_model, save_dummy, save_ridge

CALLS = ("flock", "fsync", "rename", "unlink")
REPLACE = """
import sys
from pathlib import Path
from xtalshift.model import load_model, save_model
save_model(load_model(Path(sys.argv[1])), Path(sys.argv[2]))
"""


@pytest.mark.long
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("call", CALLS)
def test_a_kill_at_any_system_call_leaves_the_old_or_the_new_model(call, tmp_path):
    new, folder = tmp_path / "new", tmp_path / "folder"
    save_dummy(new)
    save_ridge(folder)
    known = [read_model(folder), read_model(new)]
    for number in count(1):
        save_ridge(folder)
        command = [
            "strace", "-f", "-qq", "-o", "/dev/null",
            "-e", f"inject={call}:signal=KILL:when={number}",
            sys.executable, "-c", REPLACE, new / "model", folder / "model",
        ]  # fmt: skip
        done = subprocess.run(command, check=False).returncode == 0
        assert read_model(folder) in known
        if done:
            break
    assert number > 1
    assert read_model(folder) == known[1]
    assert len(list((folder / "model").iterdir())) == 2
