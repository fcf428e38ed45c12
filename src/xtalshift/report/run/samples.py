"""Rows that the figures of a run show: thinned points, and histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.uncertainty.settings import LEVEL

POINTS_PER_PANEL = 1_500
"""Most points in one panel, ID and OOD together."""

INTERVALS_PER_PANEL = 300
"""Most points with an interval in one panel; more bars would cover each other."""

_BINS = 40
_SHARE_IN_RANGE = 0.995

Fits = Mapping[str, Sequence[str]]
"""Per split the splits that share its training, and so its ID rows, which a table holds once."""


@dataclass(frozen=True)
class Points:
    """Some of `n` rows: coordinates and formulas."""

    x: list[float]
    y: list[float]
    formula: list[str]
    n: int


@dataclass(frozen=True)
class PointPanel:
    """Points of one split by role (``id``, ``ood``); those of predictions have method and seed."""

    split: str
    roles: dict[str, Points]
    method: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class IntervalPoints:
    """Some of `n` predictions of a split with their 90 % intervals, of the lowest seed.

    `low` and `high` are None where an interval is infinite or unknown. `inside` tells whether the
    interval contains the target, None without an interval.
    """

    split: str
    role: str
    target: list[float]
    prediction: list[float]
    low: list[float | None]
    high: list[float | None]
    inside: list[bool | None]
    formula: list[str]
    n: int


@dataclass(frozen=True)
class Bars:
    """Share of `n` rows in every bin."""

    share: list[float]
    n: int


@dataclass(frozen=True)
class Histogram:
    """Targets of the parts (``train``, ``id``, ``ood``) of a split in common bins."""

    split: str
    edges: list[float]
    parts: dict[str, Bars]


def spread_rows(count: int, most: int) -> NDArray[np.intp]:
    """Choose at most `most` of `count` rows, evenly spaced in file order.

    Examples
    --------
    >>> spread_rows(10, 4).tolist()
    [0, 3, 6, 9]
    """
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype(np.intp)


def parity_panels(
    predictions: pd.DataFrame, methods: Sequence[str], fits: Fits
) -> list[PointPanel]:
    """Collect targets (x) and predictions (y), one panel per split and method.

    Parameters
    ----------
    predictions : DataFrame
        Columns ``method, split, role, seed, id, formula, target, prediction``.
    methods : sequence of str
        Methods to show, in this order, each for its lowest seed.
    fits : mapping
        Splits to show, each with those of the same training.
    """
    panels = []
    groups = dict(iter(predictions.groupby("method", sort=False)))
    for split, together in fits.items():
        for method in [name for name in methods if name in groups]:
            rows = groups[method]
            seed = int(rows["seed"].min())
            parts = _test_rows(rows[rows["seed"] == seed], split, together)
            if roles := _thin(parts, "target", "prediction"):
                panels.append(PointPanel(split, roles, method, seed))
    return panels


def interval_panels(
    predictions: pd.DataFrame, method: str, sets: Sequence[tuple[str, str]]
) -> list[IntervalPoints]:
    """Collect predictions of one method with their intervals, a panel for each set of test rows.

    Parameters
    ----------
    predictions : DataFrame
        As `parity_panels` takes it, optionally with ``lower``, ``upper`` and ``needed_level``.
    method : str
        The method, for its lowest seed.
    sets : sequence of (str, str)
        Split and role of each panel; those without predictions are left out.
    """
    rows = predictions[predictions["method"] == method]
    rows = rows[rows["seed"] == rows["seed"].min()]
    panels = []
    for split, role in sets:
        part = rows[(rows["split"] == split) & (rows["role"] == role)]
        kept = part[np.isfinite(part[["target", "prediction"]].to_numpy(dtype=float)).all(axis=1)]
        kept = kept.iloc[spread_rows(len(kept), INTERVALS_PER_PANEL)]
        if kept.empty:
            continue
        values = {
            name: [_short(value) for value in kept[name]] for name in ("target", "prediction")
        }
        ends = {
            name: [_short(v) if np.isfinite(v) else None for v in _column(kept, name)]
            for name in ("lower", "upper")
        }
        inside = [None if np.isnan(v) else bool(v < LEVEL) for v in _column(kept, "needed_level")]
        formulas = [str(text) for text in kept["formula"]]
        panels.append(
            IntervalPoints(
                split,
                role,
                values["target"],
                values["prediction"],
                ends["lower"],
                ends["upper"],
                inside,
                formulas,
                len(part),
            )
        )
    return panels


def _column(rows: pd.DataFrame, name: str) -> NDArray[np.float64]:
    return rows[name].to_numpy(dtype=float) if name in rows else np.full(len(rows), np.nan)


def map_panels(table: pd.DataFrame, splits: Sequence[str]) -> list[PointPanel]:
    """Collect principal components, one panel per OOD split; its other rows have the role ``id``.

    Parameters
    ----------
    table : DataFrame
        Columns ``formula, pc1, pc2`` and one ``in_<split>`` per OOD split.
    splits : sequence of str
        Splits to show; those without a column are left out.
    """
    panels = []
    for split in [name for name in splits if f"in_{name}" in table]:
        held_out = table[f"in_{split}"].to_numpy(dtype=bool)
        parts = {"id": table[~held_out], "ood": table[held_out]}
        panels.append(PointPanel(split, _thin(parts, "pc1", "pc2")))
    return panels


def histograms(
    predictions: pd.DataFrame, table: pd.DataFrame | None, fits: Fits, *, logarithmic: bool = False
) -> list[Histogram]:
    """Count the targets of the training rows, the ID rows and the OOD rows of each split.

    Training rows (with the validation rows) are the rows of `table` in no test part of the
    training; without a table only the test parts are counted. The lowest seed is used. The
    outermost bins include the rows beyond the middle 99.5 %.

    Parameters
    ----------
    predictions, fits
        As `parity_panels` takes them.
    table : DataFrame, optional
        As `map_panels` takes it, with ``id`` and ``target``.
    logarithmic : bool
        Whether the bins have equal widths in the logarithm of the targets.
    """
    rows = _rows_of_one_seed(predictions)
    found = []
    for split, together in fits.items():
        tests = _test_rows(rows, split, together)
        parts = {role: part["target"] for role, part in tests.items()}
        if table is not None:
            known = training_rows(predictions, table, split, together)
            parts = {"train": table.loc[known, "target"], **parts}
        values = {name: part.to_numpy(dtype=float) for name, part in parts.items()}
        values = {name: part[np.isfinite(part)] for name, part in values.items()}
        values = {name: part for name, part in values.items() if part.size}
        if values:
            every = np.concatenate(list(values.values()))
            edges = np.exp(_edges(np.log(every))) if logarithmic else _edges(every)
            bars = {name: Bars(_bin(part, edges), part.size) for name, part in values.items()}
            found.append(Histogram(split, [_short(edge) for edge in edges], bars))
    return found


def training_rows(
    predictions: pd.DataFrame, table: pd.DataFrame, split: str, together: Sequence[str]
) -> NDArray[np.bool_]:
    """Return which rows of `table` train (or select) a model of the lowest seed, see `histograms`.

    `together` are the splits that share this training, `split` among them.
    """
    tests = _test_rows(_rows_of_one_seed(predictions), split, together)
    tested = table["id"].isin(tests["id"]["id"]).to_numpy(dtype=bool)
    for column in {f"in_{name}" for name in together} & set(table.columns):
        tested |= table[column].to_numpy(dtype=bool)
    return ~tested


def _rows_of_one_seed(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return each test row of the lowest seed once; all methods predict the same rows."""
    rows = predictions[predictions["seed"] == predictions["seed"].min()]
    unique: pd.DataFrame = rows.drop_duplicates(["split", "role", "id"])
    return unique


def _test_rows(rows: pd.DataFrame, split: str, together: Sequence[str]) -> dict[str, pd.DataFrame]:
    inside = rows[(rows["role"] == "id") & rows["split"].isin(together)]
    own = inside[inside["split"] == split]
    return {
        "id": own if len(own) else inside.drop_duplicates("id"),
        "ood": rows[(rows["role"] == "ood") & (rows["split"] == split)],
    }


def _thin(parts: dict[str, pd.DataFrame], x: str, y: str) -> dict[str, Points]:
    """Divide the points of a panel: half to each role, and what one does not need to the other."""
    counts = {role: len(rows) for role, rows in parts.items()}
    half, found = POINTS_PER_PANEL // 2, {}
    for role, rows in parts.items():
        most = max(half, POINTS_PER_PANEL - (sum(counts.values()) - counts[role]))
        kept = rows[np.isfinite(rows[[x, y]].to_numpy(dtype=float)).all(axis=1)]
        kept = kept.iloc[spread_rows(len(kept), min(counts[role], most))]
        if counts[role]:
            xs, ys = ([_short(value) for value in kept[name]] for name in (x, y))
            found[role] = Points(xs, ys, [str(text) for text in kept["formula"]], counts[role])
    return found


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    tail = (1.0 - _SHARE_IN_RANGE) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, _BINS + 1)


def _bin(values: NDArray[np.float64], edges: NDArray[np.float64]) -> list[float]:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
    return [_short(count / values.size) for count in counts]


def _short(value: float) -> float:
    """Round to five significant digits: enough for a picture, and half the file."""
    return float(f"{value:.5g}")
