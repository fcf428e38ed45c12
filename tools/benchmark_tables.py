"""Print the summary of a benchmark as Markdown tables: python tools/benchmark_tables.py DIR."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(folder: str, *options: str) -> None:
    """Print one table per label budget; ``--variants`` adds last and averaged parameters."""
    summary = json.loads((Path(folder) / "summary.json").read_text(encoding="utf-8"))
    splits = [(split["data"], split["split"]) for split in summary["splits"]]
    several = len({data for data, _ in splits}) > 1
    cells = {(c["data"], c["split"], c["role"], c["label"]): c for c in summary["cells"]}
    sees = {method["name"]: method for method in summary["methods"]}
    for scenario in summary["scenarios"]:
        budget = scenario["budget"]
        print(f"\n**{f'{budget} target labels' if budget else 'Without target labels'}**, ", end="")
        print(f"{scenario['n_complete']} tasks ({scenario['unit']}), ", end="")
        print(f"Friedman p = {scenario.get('friedman_p') or 0:.2g}, ", end="")
        print(f"critical difference {scenario.get('critical_difference') or 0:.2f}\n")
        heads = [f"{data} {split}" if several else split for data, split in splits]
        columns = ["method", "rank", "OOD / dummy", *heads, "ID / dummy", "CPU s"]
        print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
        for row in scenario["methods"]:
            print(f"| {' | '.join(_row(row, splits, cells))} |")
    if "--variants" in options:
        _print_variants(summary, splits)
    caps = [f"{m['name']} {m['row_cap']:,}" for m in sees.values() if m["row_cap"]]
    if caps:
        print(f"\nLargest numbers of training rows: {', '.join(caps)}.")


def _row(
    row: dict[str, Any], splits: list[tuple[str, str]], cells: dict[tuple[str, ...], Any]
) -> list[str]:
    found = [cells.get((*split, "ood", row["label"])) for split in splits]
    inside = [cells.get((*split, "id", row["label"])) for split in splits]
    name = f"**{row['label']}**" if row["bold"] else row["label"]
    rank = "" if row["rank"] is None else f"{row['rank']:.1f}"
    return [
        name,
        rank,
        _number(row["over_dummy"], ".3f"),
        *(_cell(cell) for cell in found),
        _number(_mean(cell["mae_over_dummy"] for cell in inside if cell), ".3f"),
        _number(_mean(cell["cpu_seconds"] for cell in found if cell), ".1f"),
    ]


def _print_variants(summary: dict[str, Any], splits: list[tuple[str, str]]) -> None:
    print(f"\n| variant | {' | '.join(split for _, split in splits)} |")
    print(f"|---|{'---|' * len(splits)}")
    labels = dict.fromkeys(cell["label"] for cell in summary["cells"] if cell["variant"])
    for label in labels:
        base = label.replace(":last", "").replace(":ema", "")
        for name in (base, label):
            found = {
                (c["data"], c["split"]): c
                for c in summary["cells"]
                if c["label"] == name and c["role"] == "ood"
            }
            if name == label or label.endswith("last") or ":last" in label:
                print(f"| {name} | {' | '.join(_cell(found.get(split)) for split in splits)} |")


def _cell(cell: dict[str, Any] | None) -> str:
    if cell is None or cell["mae"] is None:
        return ""
    spread = cell["mae_sd"]
    if spread is not None and spread < 1e-9 * cell["mae"]:
        spread = 0.0  # a rounding error of equal numbers
    text = "" if spread is None else f" ± {spread:.2g}"
    return f"{cell['mae']:.4g}{text}"


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


if __name__ == "__main__":
    main(*sys.argv[1:])
