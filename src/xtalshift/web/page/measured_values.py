"""Values that were measured and typed beside suggestions: from a form to a table, and back."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from xtalshift.errors import DataError
from xtalshift.web.page.number_marks import NumberMarks
from xtalshift.web.page.targets import Target
from xtalshift.words import plural

LEAST_LABELS = 5
"""Materials with values that an adaptation needs."""
FIRST_TYPED = "formula-1"
"""Field that the form of values has, and no other."""
_MOST_TYPED = 200


def typed_table(
    asked: Mapping[str, str], targets: Sequence[Target], extra: Sequence[str], marks: NumberMarks
) -> str:
    """Return the measured values of a form as CSV; empty if it is another form.

    Raises
    ------
    DataError
        If a value is no number, or there are fewer than `LEAST_LABELS`.
    """
    rows: list[list[str]] = []
    for number in range(1, _MOST_TYPED + 1):
        formula = asked.get(f"formula-{number}")
        if formula is None:
            break
        values = [
            _value(asked.get(f"value-{number}-{place}", ""), target, number, formula, marks)
            for place, target in enumerate(targets)
        ]
        if any(values):
            given = [asked.get(f"given-{number}-{name}", "") for name in extra]
            rows.append([formula, *given, *values])
    if FIRST_TYPED not in asked:
        return ""
    if len(rows) < LEAST_LABELS:
        raise DataError(
            f"{plural(len(rows), 'material', 'has', 'have')} a value; type those of at least "
            f"{LEAST_LABELS}"
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["formula", *extra, *(target.name for target in targets)])
    writer.writerows(rows)
    return text.getvalue()


def _value(text: str, target: Target, row: int, formula: str, marks: NumberMarks) -> str:
    """Return a typed value as text that is read as the same number everywhere."""
    text = text.strip()
    if target.classes or not text:
        return text
    number, doubtful = marks.read(text)
    if doubtful or not math.isfinite(number):
        why = (
            f"in which {marks.thousands!r} parts thousands; write {marks.decimal!r} before "
            "decimals, and nothing between thousands"
            if doubtful
            else f"no number; write it as {marks.example}, without its unit"
        )
        error = DataError(f"the value of {formula[:60]} is {text[:60]!r}, {why}")
        error.row, error.value = row, text[:60]
        raise error
    return repr(number)


def read_typed(
    path: Path, targets: Sequence[Target], marks: NumberMarks
) -> dict[tuple[str, str], str]:
    """Return the values of a table of `typed_table` as its reader writes them.

    By formula and target.
    """
    found = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for one in targets:
                text = row.get(one.name) or ""
                shown = text if one.classes else text.replace(".", marks.decimal)
                found[str(row.get("formula")), one.name] = shown
    return found
