"""An audit as a table on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from xtalshift.report.shared.text import format_number

if TYPE_CHECKING:
    from xtalshift.splits.audit.findings import FoldAudit, SplitAudit

_OF_NUMBERS, _OF_CLASSES = "W1/sd", "classes"
"""Shift of the targets: Wasserstein distance, or total variation of the shares of classes."""
_COLUMNS = (
    "fold",
    "train",
    "test",
    "AUC (95 %)",
    "distance",
    _OF_NUMBERS,
    "ESS",
    "dummy/random",
    "labels",
)
_WIDTH = 130


def print_audit(audit: SplitAudit) -> None:
    """Print every fold of an audit with its labels, and the reasons of a single fold."""
    of_classes = any(fold.class_distance is not None for fold in audit.folds)
    table = Table(
        Column(_COLUMNS[0], no_wrap=True, max_width=28, overflow="ellipsis"),
        *[
            Column(_OF_CLASSES if of_classes and name == _OF_NUMBERS else name, justify="right")
            for name in _COLUMNS[1:-1]
        ],
        Column(_COLUMNS[-1], overflow="fold"),
        box=SIMPLE_HEAD,  # borders would take space from the digits on a narrow terminal
        padding=(0, 1, 0, 0),
    )
    folds = audit.folds
    for fold in folds:
        table.add_row(*_cells(fold))
    console = Console(highlight=False)
    if not console.is_terminal:  # a log has no width of its own
        console = Console(highlight=False, width=_WIDTH)
    counts = ", ".join(f"{name} {count}" for name, count in audit.labels.items())
    many = f"{len(folds)} folds" if len(folds) > 1 else "1 fold"
    console.print(f"{audit.name}: {many} of {audit.n_rows:,} rows. {counts}", markup=False)
    console.print(table)
    for caution in audit.cautions:
        console.print(f"Note: {caution}", markup=False, soft_wrap=True)
    if len(folds) == 1:
        for reason in folds[0].reasons:
            console.print(f"- {reason}", markup=False, soft_wrap=True)
        for name, why in folds[0].missing.items():
            console.print(f"- not measured: {name}, {why}", markup=False, soft_wrap=True)
    blind = sum("interpolation" in fold.labels and fold.auc is None for fold in folds)
    if blind:
        console.print(
            f"{blind} labelled interpolation without a classifier: a shift cannot be excluded",
            soft_wrap=True,
        )
    if len(folds) > 1:
        console.print(
            "A fold can have several labels; -o DIR writes a page with the reasons. AUC: "
            "classifier of test against training rows; distance: test to train over train to "
            "train; ESS: effective number of training formulas for the test region",
            soft_wrap=True,
        )
    if audit.random_mae is not None and audit.dummy_mae is not None:
        console.print(
            f"Error of a constant (training mean): {audit.dummy_mae:.4g} on average over folds, "
            f"{audit.random_mae:.4g} on random splits",
            soft_wrap=True,
        )


def _cells(fold: FoldAudit) -> list[str]:
    auc = format_number(fold.auc)
    if fold.auc is not None:
        auc = f"{fold.auc:.3f} ({fold.auc_low:.2f}-{fold.auc_high:.2f})"
    return [
        fold.name or "-",
        f"{fold.n_train:,}",
        f"{fold.n_test:,}",
        auc,
        format_number(fold.distance_ratio),
        format_number(fold.wasserstein if fold.class_distance is None else fold.class_distance),
        format_number(fold.ess),
        format_number(fold.dummy_over_random),
        ", ".join(fold.labels),
    ]
