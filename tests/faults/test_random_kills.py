"""Commands that are killed at random points and repeated leave the files of undisturbed ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

KILLS = int(os.environ.get("XTALSHIFT_KILLS", "10000"))
KILL = "from faults.random_kills import kill_from_command_line as kill; kill()"


def kill(out: Path, kills: int, *options: str) -> Counter[str]:
    """Return the number of kills by their way, after a check that nothing was found."""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    subprocess.run(
        [sys.executable, "-c", KILL, out, "--kills", str(kills), *options],
        check=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    outcomes = [json.loads(line) for line in out.read_text().splitlines()]
    assert [one for one in outcomes if one["found"]] == []
    return Counter(where.split()[0] for one in outcomes for where in one["kills"])


def test_a_few_kills_leave_nothing(tmp_path):
    found = kill(tmp_path / "kills.jsonl", 30, "--scenarios", "train ridge", "predict csv")
    assert found.keys() == {"moment", "call"}


@pytest.mark.long
@pytest.mark.timeout(0)
def test_many_kills_leave_nothing(tmp_path):
    assert kill(tmp_path / "kills.jsonl", KILLS).total() >= KILLS
