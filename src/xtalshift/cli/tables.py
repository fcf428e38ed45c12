"""Results as a table on the terminal."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

__all__ = ["print_errors"]


def print_errors(results: dict[str, Any]) -> None:
    """Print the mean absolute error of every method on every test set.

    Parameters
    ----------
    results : dict
        What ``results.json`` holds.
    """
    records = results["records"]
    sets = []
    for item in results["splits"]:
        key = (item["name"], item["role"])
        shown = item["role"] == "ood" or item["name"] == "random" or item["fit"] != "all"
        if shown and key not in sets:
            sets.append(key)
    unit = results["provenance"]["data"]["unit"]
    seeds = len({record["seed"] for record in records})
    many = f", mean over {seeds} seeds" if seeds > 1 else ""
    table = Table(
        "method",
        title=f"MAE{f' in {unit}' if unit else ''} (in brackets: over that of the mean){many}",
        title_justify="left",
    )
    for name, role in sets:
        table.add_column(f"{name}\n{role.upper()}", justify="right", no_wrap=True)
    table.add_column("seconds", justify="right")
    for method in dict.fromkeys(record["method"] for record in records):
        rows = [record for record in records if record["method"] == method]
        cells = [_cell(rows, name, role) for name, role in sets]
        seconds = np.mean([record["seconds"] for record in rows])
        table.add_row(method, *cells, f"{seconds:.1f}")
    console = Console(highlight=False)
    if not console.is_terminal:  # a log has no width of its own
        console = Console(highlight=False, width=40 + 18 * len(sets))
    console.print(table)


def _cell(rows: list[dict[str, Any]], name: str, role: str) -> str:
    chosen = [row for row in rows if row["split"] == name and row["role"] == role]
    done = [row for row in chosen if row["status"] == "ok"]
    if not done:
        return "failed" if chosen else ""
    mae = np.mean([row["mae"] for row in done])
    ratio = np.mean([np.nan if row["mae_over_dummy"] is None else row["mae_over_dummy"]
                     for row in done])  # fmt: skip
    return f"{mae:.4g} ({ratio:.2f})"
