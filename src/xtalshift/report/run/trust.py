"""How far predictions may be trusted: what intervals promised, what they held, who was warned."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.benchmark.records import TRUST_COLUMNS
from xtalshift.report.run.scores import DUMMY
from xtalshift.report.run.trust_text import describe_trust, falls_short
from xtalshift.uncertainty.conformal import LEVEL

__all__ = ["EDGES", "LEVELS", "trust_payload"]

FloatArray = NDArray[np.float64]

LEVELS = [percent / 100 for percent in range(1, 100)]
"""Levels at which promised and observed coverage are compared."""

EDGES = [0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0]
"""Edges of the bins of the OOD score, finer where rows are new; the last holds scores of 1 too."""

_FEWEST = 20
_WIDTH_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def trust_payload(
    predictions: pd.DataFrame | None, columns: list[dict[str, Any]], first: str | None
) -> dict[str, Any] | None:
    """Work out coverage, width and domain of every method on every part of the test rows.

    Rows of all seeds count. The splits are those of `columns`: the ID rows of the random split and
    the OOD rows of every other.

    Parameters
    ----------
    predictions : DataFrame or None
        ``predictions.parquet``.
    columns : list of dict
        ``split``, ``role`` and ``label`` of each column of the report.
    first : str or None
        Method to show first, the saved one.

    Returns
    -------
    dict or None
        ``levels``, ``edges`` of the bins, ``fewest`` (materials of one), ``saved``, ``first``, and
        ``methods``: of each ``method``, ``sentences`` and ``parts``, one per column that has
        intervals: ``split``, ``label``, ``role``, ``n`` rows of so many ``materials``,
        ``coverage`` and ``median_width`` of the 90 % intervals, ``short`` (whether they clearly
        hold too few), ``outside`` (share out of domain), ``width_over_dummy``, ``curve`` (coverage
        at each level), ``binned`` (per bin ``n``, ``coverage``, ``median_error``, ``high_error``)
        and ``widths`` (quantiles over the constant's median).
        None where no method has intervals, as in folders of earlier versions.
    """
    if predictions is None or not set(TRUST_COLUMNS) <= set(predictions.columns):
        return None
    known = predictions[predictions["needed_level"].notna()]
    groups = {
        str(name): dict(iter(rows.groupby(["split", "role"], sort=False)))
        for name, rows in known.groupby("method", sort=False)
    }
    constant = groups.get(DUMMY, {})
    methods = []
    for name in sorted(groups, key=lambda name: name != DUMMY):
        parts = [
            _judge_part(column, groups[name][key], constant.get(key))
            for column in columns
            if (key := (column["split"], column["role"])) in groups[name]
        ]
        if parts:
            inside = next((part for part in parts if part["role"] == "id"), None)
            for part in parts:
                part["short"] = falls_short(part, inside)
            sentences = describe_trust(name, parts)
            methods.append({"method": name, "parts": parts, "sentences": sentences})
    if not methods:
        return None
    names = [method["method"] for method in methods]
    return {
        "levels": LEVELS,
        "edges": EDGES,
        "fewest": _FEWEST,
        "saved": first,
        "first": first if first in names else names[-1],
        "methods": methods,
    }


def _judge_part(
    column: dict[str, Any], rows: pd.DataFrame, constant: pd.DataFrame | None
) -> dict[str, Any]:
    needed = _floats(rows, "needed_level")
    error = np.abs(_floats(rows, "prediction") - _floats(rows, "target"))
    width = _widths(rows)
    # a constant has one width per calibration; with transformed targets too
    unit = None if constant is None else float(np.median(_widths(constant)))
    relative = width / unit if unit and math.isfinite(unit) else None
    inside = rows["in_domain"].astype("boolean")
    return {
        "split": column["split"],
        "label": column["label"],
        "role": column["role"],
        "n": len(rows),
        "materials": int(rows["id"].nunique()),
        "coverage": float(np.mean(needed < LEVEL)),
        "median_width": float(np.median(width)),
        "outside": None if inside.isna().all() else float((~inside.dropna()).mean()),
        "width_over_dummy": None if relative is None else float(np.median(relative)),
        "curve": [_short(float(np.mean(needed < level))) for level in LEVELS],
        "binned": _binned(rows, needed, error),
        "widths": None
        if relative is None
        else [_short(float(np.quantile(relative, q))) for q in _WIDTH_QUANTILES],
    }


def _binned(rows: pd.DataFrame, needed: FloatArray, error: FloatArray) -> list[dict[str, Any]]:
    """Return coverage and errors per bin of the OOD score; None where materials are few."""
    score, names = _floats(rows, "ood_score"), rows["id"].to_numpy()
    places = np.searchsorted(EDGES[1:-1], score, side="right")
    places[np.isnan(score)] = -1
    bins = []
    for place in range(len(EDGES) - 1):
        chosen = places == place
        n = len(set(names[chosen]))  # seeds repeat the materials of an OOD split
        one: dict[str, Any] = dict.fromkeys(("coverage", "median_error", "high_error"))
        if n >= _FEWEST:
            one["coverage"] = _short(float(np.mean(needed[chosen] < LEVEL)))
            one["median_error"] = _short(float(np.median(error[chosen])))
            one["high_error"] = _short(float(np.quantile(error[chosen], LEVEL)))
        bins.append({"n": n, **one})
    return bins


def _widths(rows: pd.DataFrame) -> FloatArray:
    with np.errstate(invalid="ignore"):  # both bounds of a prediction that overflows
        width = _floats(rows, "upper") - _floats(rows, "lower")
    return np.where(np.isnan(width), np.inf, width)


def _floats(rows: pd.DataFrame, name: str) -> FloatArray:
    return rows[name].to_numpy(dtype=np.float64)


def _short(value: float) -> float | None:
    """Round to five significant digits; None for what no picture can show."""
    return float(f"{value:.5g}") if math.isfinite(value) else None
