"""Every promise of docs/guarantees.md names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tests_of_all_promises_exist():
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and ".py`" in line]
    assert len(rows) > 10
    for row in rows:
        for name in re.findall(r"`([\w/]+\.py)`", row):
            assert (ROOT / "tests" / name).is_file(), row
