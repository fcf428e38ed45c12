"""Write src/xtalshift/chem/oxidation_counts.csv from the installed SMACT.

Run once by hand: ``python tools/make_oxidation_table.py``. The package itself reads the file only.
"""

from __future__ import annotations

import csv
import io
import json
from importlib.metadata import version
from pathlib import Path

import smact

from xtalshift.chem.elements import SYMBOLS

TARGET = Path(__file__).parents[1] / "src" / "xtalshift" / "chem" / "oxidation_counts.csv"
HEADER = """\
# Entries of the ICSD (2024) in which an element has an oxidation state, as counted by those of
# SMACT {version} (MIT licence; Davies et al., J. Open Source Softw. 4, 1361, 2019). State:entries;
# states of fewer than {least} entries are left out. Made by tools/make_oxidation_table.py.
"""
LEAST = 3
"""SMACT too calls fewer entries no consensus."""


def count_rows() -> list[list[str]]:
    """Return one row per element that has counts: symbol, and counts by ascending state."""
    path = Path(smact.data_directory) / "oxidation_states_icsd24_counts.json"
    counts: dict[str, dict[int, int]] = {}
    for entry in json.loads(path.read_text(encoding="utf-8")):
        if entry["results_count"] >= LEAST:
            found = counts.setdefault(entry["element"], {})
            found[entry["oxidation_state"]] = entry["results_count"]
    return [
        [symbol, " ".join(f"{state}:{n}" for state, n in sorted(counts[symbol].items()))]
        for symbol in SYMBOLS
        if symbol in counts
    ]


def main() -> None:
    """Write the table."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["symbol", "counts"])
    writer.writerows(count_rows())
    header = HEADER.format(version=version("smact"), least=LEAST)
    TARGET.write_text(header + buffer.getvalue(), encoding="utf-8")


if __name__ == "__main__":
    main()
