"""What target labels are worth, and how methods do on each fold, as plain data."""

from __future__ import annotations

from statistics import median
from typing import Any

from xtalshift.report.benchmark.board import Cells, Place

__all__ = ["describe_curves", "describe_folds"]

_SLACK = 1.0 + 1e-9


def describe_curves(
    summary: dict[str, Any], places: list[Place], cells: Cells
) -> list[dict[str, Any]]:
    """Return per split the error of each method against the number of target labels.

    Parameters
    ----------
    summary : dict
        Of a benchmark.
    places : list of dict
        See `xtalshift.report.benchmark.board.list_places`.
    cells : Cells
        Of the summary.

    Returns
    -------
    list of dict
        ``place`` (its number), ``budgets``, ``source`` (label and error of the best method without
        any target row, or None) and ``methods``: ``label``, ``target_only``, and by budget ``mae``,
        ``mae_sd``, ``efficiency``, ``bound`` (an efficiency that is at most this) and
        ``forgetting``.
    """
    found = []
    for number, place in enumerate(places):
        curves = [
            one
            for one in summary["curves"]
            if (one["data"], one["split"]) == (place["data"], place["split"])
        ]
        if not curves:
            continue
        references = [one["budgets"] for one in curves if _is_reference(one)]
        least = min((budget for budgets in references for budget in budgets), default=0)
        budgets = sorted({budget for one in curves for budget in one["budgets"]})
        found.append(
            {
                "place": number,
                "budgets": budgets,
                "source": _best_source(summary, place, cells),
                "referenced": bool(references),
                "methods": [_curve(one, budgets, least, place, cells) for one in curves],
            }
        )
    return found


def _is_reference(curve: dict[str, Any]) -> bool:
    return bool(curve["target_only"] and not curve["variant"])


def _curve(
    curve: dict[str, Any], budgets: list[int], least: int, place: Place, cells: Cells
) -> dict[str, Any]:
    """Return one curve with a value, or None, for each budget of its split."""
    at = {budget: i for i, budget in enumerate(curve["budgets"])}
    worth = curve.get("label_efficiency")

    def pick(values: list[Any] | None) -> list[Any]:
        return [values[at[b]] if values and b in at else None for b in budgets]

    efficiency = pick(worth)
    forgetting = []
    for budget in budgets:
        cell = cells.find(place, curve["name"], curve["variant"], budget, "id") or {}
        forgetting.append(cell.get("forgetting"))
    return {
        "label": f"{curve['name']}:{curve['variant']}" if curve["variant"] else curve["name"],
        "variant": curve["variant"],
        "target_only": _is_reference(curve),
        "mae": pick(curve["mae"]),
        "mae_sd": pick(curve["mae_sd"]),
        "efficiency": efficiency,
        # no better than the reference at its fewest labels: fewer were not tried
        "bound": [
            value is not None and value * budget <= least * _SLACK
            for value, budget in zip(efficiency, budgets, strict=True)
        ],
        # JSON has no infinity: the reference never gets so far
        "beyond": [
            worth is not None and budget in at and value is None
            for value, budget in zip(efficiency, budgets, strict=True)
        ],
        "forgetting": forgetting,
    }


def _best_source(summary: dict[str, Any], place: Place, cells: Cells) -> dict[str, Any] | None:
    found = []
    for method in summary["methods"]:
        cell = cells.find(place, method["name"], "", 0)
        if method["sees"] == "source" and cell and cell["mae"] is not None:
            found.append({"label": method["name"], "mae": cell["mae"]})
    return min(found, key=lambda one: one["mae"], default=None)


def describe_folds(
    summary: dict[str, Any], places: list[Place], boards: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return per split of several folds the error over the dummy's of each method on each fold.

    Parameters
    ----------
    summary : dict
        Of a benchmark.
    places : list of dict
        See `xtalshift.report.benchmark.board.list_places`.
    boards : list of dict
        See `xtalshift.report.benchmark.board.build_board`.

    Returns
    -------
    list of dict
        ``place`` (its number), ``labels`` (methods, best rank first, those with target labels
        last) and ``folds``, hardest first: ``name``, ``labels`` (of the audit), ``reasons``,
        ``n_test``, ``median`` and ``values`` (by method, None where it has none).
    """
    ranked = dict.fromkeys(
        row["label"] for board in boards for row in board["rows"] if not row["variant"]
    )
    order = {label: number for number, label in enumerate(ranked)}
    found = []
    for number, place in enumerate(places):
        where = (place["data"], place["split"], place["role"])
        rows = [
            one for one in summary["folds"] if (one["data"], one["split"], one["role"]) == where
        ]
        if len({one["fold"] for one in rows}) < 2:  # noqa: PLR2004 - the table says it all
            continue
        there = list(dict.fromkeys(one["label"] for one in rows))
        labels = sorted(there, key=lambda label: order.get(label, len(order)))
        by_fold: dict[int, dict[str, dict[str, Any]]] = {}
        for one in rows:
            by_fold.setdefault(one["fold"], {})[one["label"]] = one
        folds = [_fold(fold, one, labels, place) for fold, one in sorted(by_fold.items())]
        folds.sort(key=lambda fold: -round(fold["median"] or 0.0, 9))
        found.append({"place": number, "labels": labels, "folds": folds})
    return found


def _fold(
    number: int, rows: dict[str, dict[str, Any]], labels: list[str], place: Place
) -> dict[str, Any]:
    first = next(iter(rows.values()))
    audit = place["audited"].get(str(number)) or {}
    values = [rows[label]["mae_over_dummy"] if label in rows else None for label in labels]
    known = [value for value in values if value is not None]
    return {
        "number": number,
        "name": first.get("fold_name") or f"fold {number}",
        "labels": audit.get("labels") or [],
        "n_test": first["n_test"],
        "median": median(known) if known else None,
        "values": values,
    }
