"""Results as a table on the terminal."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

__all__ = ["print_coverage", "print_errors"]


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
        Column("method", no_wrap=True),
        box=SIMPLE_HEAD,  # every border costs a narrow terminal a digit
        padding=(0, 1, 0, 0),
    )
    for name, role in sets:
        table.add_column(f"{name}\n{role.upper()}", justify="right", overflow="fold")
    table.add_column("s", justify="right")
    names = list(dict.fromkeys(record["method"] for record in records))
    for method in [name for name in names if ":" not in name]:
        rows = [record for record in records if record["method"] == method]
        cells = [_cell(rows, name, role) for name, role in sets]
        seconds = fmean(record["seconds"] for record in rows)
        table.add_row(method, *cells, f"{seconds:.1f}")
    console = Console(highlight=False)
    if not console.is_terminal:  # a log has no width of its own
        console = Console(highlight=False, width=40 + 18 * len(sets))
    where = f" in {unit}" if unit else ""
    title = f"MAE{where} (in brackets: relative to predicting the mean){many}"
    console.print(title, markup=False, soft_wrap=True)
    console.print(table)
    if any(":" in name for name in names):
        console.print("Last and averaged (EMA) weights of the networks: see the report.")


def print_coverage(results: dict[str, Any]) -> None:
    """Print which share of the targets the intervals of the saved method hold, if it has any.

    Parameters
    ----------
    results : dict
        What ``results.json`` holds.
    """
    method = (results.get("model") or {}).get("method")
    held: dict[tuple[str, str], list[float]] = {}
    for record in results["records"]:
        if record["method"] == method and record.get("coverage_90") is not None:
            held.setdefault((record["split"], record["role"]), []).append(record["coverage_90"])
    inside = held.get(("random", "id"))
    if not inside:
        return
    outside = {name: fmean(shares) for (name, role), shares in held.items() if role == "ood"}
    text = f"90 % intervals of {method} hold {100 * fmean(inside):.0f} % of ID"
    if outside:
        shares = "/".join(f"{100 * share:.0f}" for share in outside.values())
        text += f" and {shares} % of {'/'.join(outside)}"
    Console(highlight=False).print(f"{text} rows", markup=False, soft_wrap=True)


def _cell(rows: list[dict[str, Any]], name: str, role: str) -> str:
    chosen = [row for row in rows if row["split"] == name and row["role"] == role]
    done = [row for row in chosen if row["status"] == "ok"]
    if not done:
        return "failed" if chosen else ""
    mae = fmean(row["mae"] for row in done)
    ratios = [row["mae_over_dummy"] for row in done]
    if None in ratios:  # the mean is exactly right: there is nothing to compare with
        return f"{mae:.4g}"
    return f"{mae:.4g} ({fmean(ratios):.2f})"
