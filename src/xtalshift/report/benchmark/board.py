"""The leaderboards of a benchmark: one row per method, one group of columns per split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import fmean
from typing import Any

from xtalshift.report.benchmark.text import describe_board

__all__ = ["Cells", "build_board", "list_places"]

_CELL_KEYS = (
    "mae", "mae_sd", "mae_low", "mae_high", "id_mae", "gap", "rmse", "r2", "spearman",
    "worst_fold_mae", "worst_family", "worst_family_mae", "tail_recall", "tail_precision",
    "tail_enrichment", "top30_precision", "top30_precision_weighted", "coverage", "width",
    "seconds", "cpu_seconds", "peak_mib", "n_runs", "n_folds",
)  # fmt: skip
_N_REASONS = 4
_NOISE = 1e-9
"""Of an error: a spread below it is rounding."""
_SEES = {"source": "nothing", "features": "target features"}

Place = dict[str, Any]
"""One split of one table, as `list_places` returns it."""


class Cells:
    """The cells of a summary and its failures, by what they belong to."""

    def __init__(self, summary: dict[str, Any]) -> None:
        self._cells = {
            (
                one["data"],
                one["split"],
                one["role"],
                one["name"],
                one["variant"],
                one["budget"],
            ): one
            for one in summary["cells"]
        }
        self._failed = Counter(
            (one["data"], one["split"], one["name"], one.get("budget") or 0)
            for one in summary["failures"]
        )
        self.variants: dict[tuple[str, int], list[str]] = {}
        for _, _, _, name, variant, budget in self._cells:
            known = self.variants.setdefault((name, budget), [])
            if variant and variant not in known:
                known.append(variant)

    def find(
        self, place: Place, name: str, variant: str, budget: int, role: str = ""
    ) -> dict[str, Any] | None:
        """Return the cell of a method on a split, by default on its test rows."""
        role = role or place["role"]
        return self._cells.get((place["data"], place["split"], role, name, variant, budget))

    def failed(self, place: Place, name: str, budget: int) -> int:
        """Return how many tasks of a method failed on a split."""
        return self._failed[place["data"], place["split"], name, budget]


def list_places(summary: dict[str, Any]) -> list[Place]:
    """Return each split of each table with its unit and its audit, OOD splits first."""
    tables = {one["name"]: one for one in summary.get("data") or []}
    several = len({one["data"] for one in summary["splits"]}) > 1
    seeds = summary["spec"].get("seeds") or 1
    places = []
    for one in summary["splits"]:
        audit = one.get("audit") or {}
        table = tables.get(one["data"], {})
        places.append(
            {
                "data": one["data"],
                "split": one["split"],
                "label": f"{one['split']} ({one['data']})" if several else one["split"],
                "table": one["data"] if several else "",
                "unit": table.get("unit") or "",
                "target": table.get("target") or "target",
                "role": one["role"],
                "scheme": one["scheme"],
                "params": one["params"],
                "budgets": one["budgets"],
                "folds": one["folds"],
                "runs": one["folds"] * seeds,
                "sizes": one["sizes"],
                "labels": audit.get("labels") or {},
                "audited": audit.get("folds") or {},
                "full": audit.get("full", True),
                "auc": _mean(fold.get("auc") for fold in (audit.get("folds") or {}).values()),
                "distance_ratio": _mean(
                    fold.get("distance_ratio") for fold in (audit.get("folds") or {}).values()
                ),
                "reasons": _reasons(audit),
                "why": _why(audit),
            }
        )
    return sorted(places, key=lambda place: place["role"] != "ood")


def _reasons(audit: dict[str, Any]) -> list[str]:
    """Return why the labels are given; with several folds each says whose reason it is."""
    folds = audit.get("folds") or {}
    return [
        f"fold {number}: {reason}" if len(folds) > 1 else reason
        for number, fold in folds.items()
        for reason in fold.get("reasons") or []
    ]


def _why(audit: dict[str, Any]) -> dict[str, str]:
    """Return the first reasons for each label in one line, for a reader who points at it."""
    found: dict[str, list[str]] = {}
    for text in _reasons(audit):
        for label in audit["labels"]:
            if f"{label}: " in text:
                found.setdefault(label, []).append(text.replace(f"{label}: ", "", 1))
    return {
        label: "; ".join(texts[:_N_REASONS]) + ("; ..." if len(texts) > _N_REASONS else "")
        for label, texts in found.items()
    }


def build_board(
    summary: dict[str, Any], scenario: dict[str, Any], places: list[Place], cells: Cells
) -> dict[str, Any]:
    """Return the leaderboard of one number of target labels.

    Parameters
    ----------
    summary, scenario : dict
        The scenario is one of those of the summary.
    places : list of dict
        See `list_places`.
    cells : Cells
        Of the summary.

    Returns
    -------
    dict
        The statistics of the scenario; ``columns`` (numbers of `places`), ``rows`` (in the order of
        the scenario, each with its variants behind it; ``cells`` by column), ``duels`` (wins, ties,
        losses and p of each pair), ``absent`` (methods without any result) and ``sentences``.
    """
    budget = scenario["budget"]
    columns = [i for i, place in enumerate(places) if not budget or budget in place["budgets"]]
    shown = [places[i] for i in columns]
    known = {one["name"]: one for one in summary["methods"]}
    rows = []
    for ranked in scenario["methods"]:
        method = known[ranked["name"]]
        rows.append(_row(method, ranked, "", shown, cells))
        rows += [
            _row(method, ranked, variant, shown, cells)
            for variant in cells.variants.get((ranked["name"], ranked["budget"]), [])
        ]
    ranked_names = {(one["name"], one["budget"]) for one in scenario["methods"]}
    board: dict[str, Any] = {
        key: scenario.get(key)
        for key in (
            "budget", "unit", "n_tasks", "n_complete", "tie", "level", "friedman_p",
            "critical_difference", "comparisons",
        )
    }  # fmt: skip
    board |= {
        "cliques": scenario.get("cliques") or [],
        "columns": columns,
        "shifted": any(place["role"] == "ood" for place in shown),
        "rows": rows,
        "duels": _duels(scenario),
        "absent": [
            one["name"]
            for one in summary["methods"]
            if not {(one["name"], 0), (one["name"], budget)} & ranked_names
            and (budget or one["sees"] != "labels")
        ],
    }
    return board | {"sentences": describe_board(board, places)}


def _row(
    method: dict[str, Any], ranked: dict[str, Any], variant: str, places: list[Place], cells: Cells
) -> dict[str, Any]:
    name, budget = method["name"], ranked["budget"]
    found = [_cell(place, name, variant, budget, cells) for place in places]
    counted = [i for i, place in enumerate(places) if place["role"] == "ood"] or range(len(places))
    ratios = [found[i]["over_dummy"] for i in counted]
    known = [ratio for ratio in ratios if ratio is not None]
    mean = fmean(known) if known else None
    return {
        "label": f"{name}:{variant}" + (f" ({budget})" if budget else "")
        if variant
        else ranked["label"],
        "name": name,
        "variant": variant,
        "budget": budget,
        "kind": method["kind"],
        "sees": f"{budget} labels" if budget else _SEES.get(method["sees"], method["sees"]),
        "features": method["features"],
        "row_cap": method.get("row_cap"),
        "rank": None if variant else ranked["rank"],
        "p": None if variant else ranked["p_against_best"],
        "bold": bool(ranked["bold"]) and not variant,
        # of the splits of this table, not of all, so that rows compare
        "over_dummy": mean,
        "n_splits": len(known),
        "of_splits": len(ratios),
        "seconds": _mean(cell["seconds"] for cell in found),
        "cpu_seconds": _mean(cell["cpu_seconds"] for cell in found),
        "peak_mib": max((c["peak_mib"] for c in found if c["peak_mib"] is not None), default=None),
        "cells": found,
    }


def _cell(place: Place, name: str, variant: str, budget: int, cells: Cells) -> dict[str, Any]:
    source = cells.find(place, name, variant, budget) or {}
    found = {key: source.get(key) for key in _CELL_KEYS}
    if found["mae"] and (found["mae_sd"] or 0.0) < _NOISE * found["mae"]:
        found["mae_sd"] = found["mae_sd"] and 0.0
    return found | {
        "over_dummy": source.get("mae_over_dummy"),
        "failed": cells.failed(place, name, budget),
        "missing": max(place["runs"] - source.get("n_runs", 0), 0),
        "runs": place["runs"],
    }


def _duels(scenario: dict[str, Any]) -> list[list[list[Any]]]:
    """Return wins, ties and losses and the corrected p of each method against each other one."""
    labels = [one["label"] for one in scenario["methods"]]
    p = {}
    for one in scenario["comparisons"]:
        p[one["a"], one["b"]] = p[one["b"], one["a"]] = one["wilcoxon_holm"]
    return [
        [
            [*scenario["wins"][i][j], p.get((mine, other))] if i != j else [None] * 4
            for j, other in enumerate(labels)
        ]
        for i, mine in enumerate(labels)
    ]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
