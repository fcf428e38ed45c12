"""The audit of splits as a folder: ``audit.html`` to read, ``audit.json`` and ``audit.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from xtalshift.data.spreadsheet import mark
from xtalshift.errors import DataError
from xtalshift.files import replace_file
from xtalshift.jsonio import finite, write_json
from xtalshift.report.audit.audit_figures import draw_split
from xtalshift.report.audit.split_findings import ShownSplit, describe_split
from xtalshift.report.shared.figures import FOLD_KINDS, number_panels
from xtalshift.report.shared.html import render_page
from xtalshift.splits.audit.findings import FoldAudit, SplitAudit

AUDIT_FILES = ("audit.json", "audit.csv", "audit.html")
"""What `write_audit` writes: all values, a table of the folds, and the page."""


def write_audit(audits: Sequence[SplitAudit], out: Path) -> Path:
    """Write the audits of one table into a folder.

    Parameters
    ----------
    audits : sequence of SplitAudit
        At least one.
    out : Path
        Made if it does not exist; earlier files of the same names are replaced.

    Returns
    -------
    Path
        ``audit.html``; beside it lie ``audit.json`` (everything) and ``audit.csv`` (one row per
        fold). Each is replaced at once or not at all; equal audits give equal bytes.

    Raises
    ------
    DataError
        If there is no audit or the folder cannot be written.
    """
    if not audits:
        raise DataError("there is no split to report; audit a file with at least one fold")
    out = Path(out)
    page = render_audit([describe_split(audit) for audit in audits])
    values = {"schema_version": 1, "splits": [audit.to_dict() for audit in audits]}
    values_file, table, html = AUDIT_FILES
    write_json(out / values_file, values)
    replace_file(out / table, _as_csv(audits))
    replace_file(out / html, page)
    return out / html


def render_audit(splits: Sequence[ShownSplit]) -> str:
    """Return the page of some audited splits of one table."""
    sections = number_panels(
        {f"split{number}": draw_split(split) for number, split in enumerate(splits, start=1)}
    )
    return render_page(
        "audit.html.j2",
        (panel for panels in sections.values() for panel in panels),
        splits=list(zip(splits, sections.values(), strict=True)),
        kinds=FOLD_KINDS,
    )


def _as_csv(audits: Sequence[SplitAudit]) -> str:
    text = io.StringIO()
    columns = ["split", *(item.name for item in fields(FoldAudit))]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for audit in audits:
        for row in audit.rows():
            cells = finite({"split": audit.name} | row)
            writer.writerow({k: mark(v) if isinstance(v, str) else v for k, v in cells.items()})
    return text.getvalue()
