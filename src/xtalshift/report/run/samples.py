"""The rows that the pictures show: points thinned by one rule, and histograms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["POINTS_PER_PANEL", "histograms", "map_panels", "parity_panels", "spread_rows"]

POINTS_PER_PANEL = 1_500
"""Most points that one panel draws (both classes together)."""

_BINS = 40
_SHARE_IN_RANGE = 0.995


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
    predictions: pd.DataFrame, methods: list[str], fits: dict[str, list[str]]
) -> list[dict[str, Any]]:
    """Collect target and predicted values of one panel per split and method.

    Parameters
    ----------
    predictions : DataFrame
        Columns ``method, split, role, seed, id, formula, target, prediction``.
    methods : list of str
        What to show, in this order. Of each method the lowest seed is shown.
    fits : dict
        Per split the splits that share its training. They share their ID rows too, which the table
        holds once.

    Returns
    -------
    list of dict
        ``split``, ``method``, ``seed`` and ``roles``: per role ``x`` (target), ``y`` (predicted),
        ``formula``, and ``n`` rows before thinning.
    """
    panels = []
    groups = dict(iter(predictions.groupby("method", sort=False)))
    for split, together in fits.items():
        for method in [name for name in methods if name in groups]:
            rows = groups[method]
            parts = _test_rows(rows[rows["seed"] == rows["seed"].min()], split, together)
            shares = _shares([len(part) for part in parts.values()])
            if sum(shares):
                panels.append(
                    {
                        "split": split,
                        "method": method,
                        "seed": int(rows["seed"].min()),
                        "roles": {
                            role: _points(part, "target", "prediction", share)
                            for (role, part), share in zip(parts.items(), shares, strict=True)
                            if len(part)
                        },
                    }
                )
    return panels


def map_panels(table: pd.DataFrame, splits: list[str]) -> list[dict[str, Any]]:
    """Collect the principal-component coordinates, one panel per OOD split.

    Parameters
    ----------
    table : DataFrame
        Columns ``formula, pc1, pc2`` and one ``in_<split>`` per OOD split.
    splits : list of str
        Splits to show; those without a column are left out.

    Returns
    -------
    list of dict
        ``split`` and ``roles`` (``id``: the other rows, ``ood``) as in `parity_panels`.
    """
    panels = []
    for split in splits:
        column = f"in_{split}"
        if column not in table:
            continue
        held_out = table[column].to_numpy(dtype=bool)
        parts = {"id": table[~held_out], "ood": table[held_out]}
        shares = _shares([len(part) for part in parts.values()])
        roles = {
            role: _points(part, "pc1", "pc2", share)
            for (role, part), share in zip(parts.items(), shares, strict=True)
            if len(part)
        }
        panels.append({"split": split, "roles": roles})
    return panels


def histograms(
    predictions: pd.DataFrame, table: pd.DataFrame | None, fits: dict[str, list[str]]
) -> list[dict[str, Any]]:
    """Count the targets of the training rows, the ID rows and the OOD rows of each split.

    Training rows are the rows of `table` that are in no test part of the training (training and
    validation together); without a table only the test parts are counted. The lowest seed is used.
    The outermost bins also hold the rows beyond the middle 99.5 %.

    Parameters
    ----------
    predictions, fits
        As `parity_panels` takes them.
    table : DataFrame, optional
        As `map_panels` takes it, with ``id`` and ``target``.

    Returns
    -------
    list of dict
        ``split``, ``edges`` (shared), and ``parts``: per part (``train``, ``id``, ``ood``) the
        ``share`` of its rows in every bin and ``n``.
    """
    # every method predicts the same rows, but a failed one none
    rows = predictions[predictions["seed"] == predictions["seed"].min()]
    rows = rows.drop_duplicates(["split", "role", "id"])
    panels = []
    for split, together in fits.items():
        tests = _test_rows(rows, split, together)
        parts = {role: part["target"] for role, part in tests.items()}
        if table is not None:
            seen = table["id"].isin(tests["id"]["id"])
            for column in {f"in_{name}" for name in together} & set(table.columns):
                seen |= table[column].astype(bool)
            parts = {"train": table.loc[~seen, "target"], **parts}
        values = {name: part.to_numpy(dtype=float) for name, part in parts.items()}
        values = {name: part[np.isfinite(part)] for name, part in values.items()}
        values = {name: part for name, part in values.items() if part.size}
        if not values:
            continue
        edges = _edges(np.concatenate(list(values.values())))
        panels.append(
            {
                "split": split,
                "edges": [_short(edge) for edge in edges],
                "parts": {
                    name: {"share": _bin_shares(part, edges), "n": int(part.size)}
                    for name, part in values.items()
                },
            }
        )
    return panels


def _test_rows(rows: pd.DataFrame, split: str, together: list[str]) -> dict[str, pd.DataFrame]:
    inside = rows[(rows["role"] == "id") & rows["split"].isin(together)]
    own = inside[inside["split"] == split]
    return {
        "id": own if len(own) else inside.drop_duplicates("id"),
        "ood": rows[(rows["role"] == "ood") & (rows["split"] == split)],
    }


def _shares(counts: list[int]) -> list[int]:
    """Divide the points of a panel: half each, and what one class does not need to the other."""
    half = POINTS_PER_PANEL // 2
    first, second = counts
    return [
        min(first, max(half, POINTS_PER_PANEL - second)),
        min(second, max(half, POINTS_PER_PANEL - first)),
    ]


def _points(rows: pd.DataFrame, x: str, y: str, most: int) -> dict[str, Any]:
    finite = np.isfinite(rows[[x, y]].to_numpy(dtype=float)).all(axis=1)
    kept = rows[finite].iloc[spread_rows(int(finite.sum()), most)]
    return {
        "x": [_short(value) for value in kept[x]],
        "y": [_short(value) for value in kept[y]],
        "formula": [str(text) for text in kept["formula"]],
        "n": len(rows),
    }


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    tail = (1.0 - _SHARE_IN_RANGE) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, _BINS + 1)


def _bin_shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> list[float]:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
    return [_short(count / values.size) for count in counts]


def _short(value: float) -> float:
    """Round to five significant digits: enough for a picture, and half the file."""
    return float(f"{value:.5g}")
