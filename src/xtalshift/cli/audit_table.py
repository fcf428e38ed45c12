"""An audit as a table on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from xtalshift.report.shared.text import format_number

if TYPE_CHECKING:
    from xtalshift.splits.audit.fold_audit import SplitAudit

__all__ = ["print_audit"]

_COLUMNS = (
    "fold",
    "train",
    "test",
    "AUC (95 %)",
    "distance",
    "W1/sd",
    "ESS",
    "dummy/random",
    "labels",
)
_WIDTH = 130


def print_audit(audit: SplitAudit) -> None:
    """Print every fold of an audit with its labels, and the reasons for them.

    Parameters
    ----------
    audit : SplitAudit
        What `xtalshift.splits.audit.fold_audit.audit` returns.
    """
    table = Table(
        Column(_COLUMNS[0], no_wrap=True, max_width=28, overflow="ellipsis"),
        *[Column(name, justify="right") for name in _COLUMNS[1:-1]],
        Column(_COLUMNS[-1], overflow="fold"),
        box=SIMPLE_HEAD,  # every border costs a narrow terminal a digit
        padding=(0, 1, 0, 0),
    )
    rows = audit.rows()
    for row in rows:
        table.add_row(*_cells(row))
    console = Console(highlight=False)
    if not console.is_terminal:  # a log has no width of its own
        console = Console(highlight=False, width=_WIDTH)
    counts = ", ".join(f"{name} {count}" for name, count in audit.labels.items())
    many = f"{len(rows)} folds" if len(rows) > 1 else "1 fold"
    console.print(f"{audit.name}: {many} of {audit.n_rows:,} rows. {counts}", markup=False)
    console.print(table)
    if len(rows) == 1:
        for reason in audit.folds[0].reasons:
            console.print(f"- {reason}", markup=False, soft_wrap=True)
        for name, why in audit.folds[0].missing.items():
            console.print(f"- not measured: {name}, {why}", markup=False, soft_wrap=True)
    blind = sum("interpolation" in fold.labels and fold.auc is None for fold in audit.folds)
    if blind:
        console.print(
            f"{blind} called interpolation without asking a classifier: undecided, not safe",
            soft_wrap=True,
        )
    if len(rows) > 1:
        console.print(
            "A fold can have several labels; -o DIR writes a page with the reasons. AUC: telling "
            "test from train; distance: to train, over that within train; ESS: training formulas "
            "that count there",
            soft_wrap=True,
        )
    if audit.random_mae is not None and audit.dummy_mae is not None:
        console.print(
            f"Error of a constant (training mean): {audit.dummy_mae:.4g} on average over folds, "
            f"{audit.random_mae:.4g} on random splits",
            soft_wrap=True,
        )


def _cells(row: dict[str, Any]) -> list[str]:
    auc = format_number(row["auc"])
    if row["auc"] is not None:
        auc = f"{row['auc']:.3f} ({row['auc_low']:.2f}-{row['auc_high']:.2f})"
    return [
        row["name"] or "-",
        f"{row['n_train']:,}",
        f"{row['n_test']:,}",
        auc,
        format_number(row["distance_ratio"]),
        format_number(row["wasserstein"]),
        format_number(row["ess"]),
        format_number(row["dummy_over_random"]),
        ", ".join(row["labels"]) if not isinstance(row["labels"], str) else row["labels"],
    ]
