"""The audit of a split as a folder: ``audit.html`` to read, ``audit.json`` and ``audit.csv``."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields
from math import inf
from pathlib import Path
from statistics import fmean, median
from typing import Any

from xtalshift.errors import DataError
from xtalshift.jsonio import finite, write_json
from xtalshift.report.audit.figures import KINDS, draw_split
from xtalshift.report.audit.text import (
    SHIFTED,
    SHIFTS,
    list_alerts,
    list_cautions,
    write_headline,
)
from xtalshift.report.shared.html import render_page, write_text
from xtalshift.splits.audit.findings import FoldAudit, SplitAudit

__all__ = ["audit_payload", "render_audit", "write_audit"]

_MEANS = ("auc", "distance_ratio", "wasserstein", "ks", "ess_share", "dummy_over_random")
_MEASURES = {
    "auc": "AUC, ESS",
    "distance_ratio": "distance ratio",
    "wasserstein": "W1, KS",
    "dummy_mae": "error of a constant",
    "dummy_over_random": "the same over random folds",
    "unseen_elements": "unseen elements",
    "relation_shift": "relation shift",
}
_N_EXAMPLES = 3


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
        If there is no audit or the place cannot be written.
    """
    out = Path(out)
    page = render_audit(audit_payload(audits))
    values = {"schema_version": 1, "splits": [audit.to_dict() for audit in audits]}
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "audit.json", values)
        write_text(out / "audit.csv", _as_csv(audits))
        write_text(out / "audit.html", page)
    except OSError as error:
        raise DataError(
            f"cannot write to {out}: {error.strerror}; choose another folder with --out"
        ) from error
    return out / "audit.html"


def audit_payload(audits: Sequence[SplitAudit]) -> dict[str, Any]:
    """Return what the page shows, as plain data.

    Parameters
    ----------
    audits : sequence of SplitAudit
        At least one.

    Returns
    -------
    dict
        ``splits``: each as `SplitAudit.to_dict` with, in addition, ``headline``, ``alerts`` (leaks)
        and ``cautions`` (sentences), ``kinds`` (how many folds of each of `KINDS`), ``shifted``
        and ``leaking`` (folds), ``means``, ``sizes`` (least, median and most test rows),
        ``not_measured`` and ``crossed`` (folds beyond each threshold); each fold has a ``title``
        and a ``kind``.

    Raises
    ------
    DataError
        If there is no audit.
    """
    if not audits:
        raise DataError("there is no split to report; audit a file with at least one fold")
    return {"splits": [_describe_split(audit) for audit in audits]}


def render_audit(payload: dict[str, Any]) -> str:
    """Return the page of a payload; it loads nothing, and its policy forbids it to."""
    panels = [
        draw_split(split, f"figure-{number}")
        for number, split in enumerate(payload["splits"], start=1)
    ]
    return render_page(
        "audit.html.j2",
        [panel for group in panels for panel in group],
        splits=list(zip(payload["splits"], panels, strict=True)),
        kinds=KINDS,
    )


def _describe_split(audit: SplitAudit) -> dict[str, Any]:
    plain_audit = audit.to_dict()
    folds = [
        plain
        | {
            "title": fold.name or f"#{number}",
            "kind": _kind(fold.labels),
            # JSON knows no infinity, but a ratio over 0 is no missing measure
            "distance_infinite": fold.distance_ratio == inf,
        }
        for number, (fold, plain) in enumerate(
            zip(audit.folds, plain_audit["folds"], strict=True), start=1
        )
    ]
    counts = Counter(fold["kind"] for fold in folds)
    kinds = {kind: counts[kind] for kind in KINDS if counts[kind]}
    sizes = [fold["n_test"] for fold in folds]
    found = plain_audit | {
        "folds": folds,
        "kinds": kinds,
        "shifted": sum(counts[kind] for kind in SHIFTED),
        "leaking": sum("leak" in fold["labels"] for fold in folds),
        "means": {name: _mean(fold[name] for fold in folds) for name in _MEANS},
        "sizes": [min(sizes), round(median(sizes)), max(sizes)] if sizes else None,
        "not_measured": _not_measured(folds),
        "crossed": dict(Counter(name for fold in folds for name in fold["crossed"])),
        "alerts": list_alerts(folds),
    }
    found["headline"] = write_headline(found)
    found["cautions"] = list_cautions(found)
    described: dict[str, Any] = finite(found)
    return described


def _kind(labels: Sequence[str]) -> str:
    """Return one of `KINDS`: too small to tell comes first, whatever else seems to be found."""
    if "degenerate" in labels:
        return "degenerate"
    shifts = [label for label in labels if label in SHIFTS]
    if len(shifts) > 1:
        return "several"
    return shifts[0] if shifts else "interpolation"


def _not_measured(folds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return per measure in how many folds it is missing, and the reasons of the first ones."""
    found = []
    for measure, title in _MEASURES.items():
        reasons: dict[str, list[str]] = {}
        for fold in folds:
            if measure in fold["missing"]:
                reasons.setdefault(fold["missing"][measure], []).append(fold["title"])
        if reasons:
            whose = dict(list(reasons.items())[:_N_EXAMPLES])
            found.append(
                {
                    "measure": title,
                    "count": sum(len(names) for names in reasons.values()),
                    "reasons": whose,
                    "further": len(reasons) - len(whose),
                }
            )
    return found


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _as_csv(audits: Sequence[SplitAudit]) -> str:
    text = io.StringIO()
    columns = ["split", *(item.name for item in fields(FoldAudit))]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for audit in audits:
        for row in audit.rows():
            writer.writerow(finite({"split": audit.name} | row))
    return text.getvalue()
