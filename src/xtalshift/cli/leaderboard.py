"""The leaderboard of a benchmark on the terminal."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

__all__ = ["print_leaderboard"]

_N_FAILURES = 5


def print_leaderboard(summary: dict[str, Any]) -> None:
    """Print methods in the order of their average rank, per label budget, and what failed.

    Parameters
    ----------
    summary : dict
        What ``summary.json`` holds.
    """
    console = Console(highlight=False)
    splits = [split for split in summary["splits"] if split["role"] == "ood"] or summary["splits"]
    several = len({split["data"] for split in splits}) > 1
    columns = [(split["data"], split["split"], split["role"]) for split in splits]
    if not console.is_terminal:  # a log has no width of its own
        console = Console(highlight=False, width=60 + 16 * len(columns))
    cells = {
        (cell["data"], cell["split"], cell["role"], cell["label"]): cell
        for cell in summary["cells"]
    }
    for scenario in summary["scenarios"]:
        budget = scenario["budget"]
        what = f"with {budget} target labels" if budget else "without target labels"
        console.print(
            f"MAE {what} (in brackets: over that of the mean); average rank over "
            f"{scenario['n_complete']} tasks ({scenario['unit']})",
            markup=False,
            soft_wrap=True,
        )
        table = Table(Column("method", no_wrap=True), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("rank", justify="right")
        for data, split, role in columns:
            place = f"{data}\n{split}" if several else split
            table.add_column(f"{place}\n{role.upper()}", justify="right", overflow="fold")
        table.add_column("s", justify="right")
        for row in scenario["methods"]:
            found = [cells.get((*column, row["label"])) for column in columns]
            seconds = [cell["seconds"] for cell in found if cell and cell["seconds"] is not None]
            table.add_row(
                f"[bold]{row['label']}[/bold]" if row["bold"] else row["label"],
                "" if row["rank"] is None else f"{row['rank']:.1f}",
                *(_cell(cell) for cell in found),
                f"{sum(seconds) / len(seconds):.1f}" if seconds else "",
            )
        console.print(table)
    if any(row["bold"] for scenario in summary["scenarios"] for row in scenario["methods"]):
        console.print(
            "Bold: the best rank, and what a paired Wilcoxon test (Holm) tells from the dummy, but "
            "not from the best."
        )
    else:
        console.print("Nothing is bold: no test tells any method from the best one.")
    left = summary["n_tasks"] - summary["n_done"] - summary["n_failed"]
    console.print(
        f"{summary['n_done']:,} of {summary['n_tasks']:,} tasks done"
        + (f", {left:,} left" if left else "")
        + (f", {summary['n_failed']:,} failed" if summary["n_failed"] else "")
    )
    for failure in summary["failures"][:_N_FAILURES]:
        console.print(
            f"  failed: {failure['name']} on {failure['split']} fold {failure['fold']}, seed "
            f"{failure['seed']}: {failure['reason']}",
            markup=False,
        )
    if len(summary["failures"]) > _N_FAILURES:
        console.print(f"  and {len(summary['failures']) - _N_FAILURES} more, see records.jsonl")


def _cell(cell: dict[str, Any] | None) -> str:
    if cell is None or cell["mae"] is None:
        return ""
    ratio = cell["mae_over_dummy"]
    return f"{cell['mae']:.4g}" + ("" if ratio is None else f" ({ratio:.2f})")
