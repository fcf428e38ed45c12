"""The held-out rows with the largest errors, and the training materials around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.benchmark.explanation import NearRow, WorstRow
from xtalshift.benchmark.problem import FoldRows, Problem
from xtalshift.data.structure_texts import pack_rows
from xtalshift.data.transform import TargetTransform
from xtalshift.domain.reasons import DomainReasons
from xtalshift.model import FittedModel

N_NEAREST = 3


def worst_rows(
    predictions: pd.DataFrame, scale: TargetTransform, n: int, *, role: str
) -> pd.DataFrame:
    """Return the rows of one role with the largest errors, each material once, largest first.

    Parameters
    ----------
    predictions : DataFrame
        As ``predictions.parquet`` has them, of one method.
    scale : TargetTransform
        Errors are compared on the scale of the training: for logarithms they are ratios.
    n : int
        Largest number of rows.
    role : str
        ``"id"`` or ``"ood"``.
    """
    rows = predictions[predictions["role"] == role]
    values = rows[["target", "prediction"]].to_numpy(dtype=float)
    rows = rows[np.isfinite(values).all(axis=1)]
    target, value = (rows[name].to_numpy(dtype=float) for name in ("target", "prediction"))
    if scale.name == "log":  # a prediction that underflows
        value = np.maximum(value, np.finfo(np.float64).tiny)
    error = np.abs(scale.forward(value) - scale.forward(target))
    ordered = rows.iloc[np.argsort(-error, kind="stable")]
    first: pd.DataFrame = ordered.drop_duplicates("id").head(n)
    return first


def describe_worst(
    rows: pd.DataFrame,
    problem: Problem,
    X: NDArray[np.float64],
    fold: FoldRows,
    model: FittedModel,
) -> list[WorstRow]:
    """Return rows of `worst_rows` with the nearest training materials of their fold.

    Parameters
    ----------
    rows : DataFrame
        Test rows of the fold.
    problem, X : Problem, ndarray of float64, shape (n, d)
        The table and the features of the method.
    fold : FoldRows
        The training that predicted them.
    model : FittedModel
        Its model; without a domain the nearest materials are not known.
    """
    domain = model.domain
    places = {str(problem.data.ids[row]): int(row) for test in fold.tests for row in test.rows}
    at = np.array([places[str(one)] for one in rows["id"]], dtype=np.int64)
    near: Sequence[DomainReasons | None] = [None] * len(rows)
    if domain is not None:
        near = domain.reasons(X[at], n_nearest=N_NEAREST, targets=model.shown_targets(domain))
    unseen = (
        [""] * len(rows)
        if domain is None
        else domain.unseen_elements(problem.data.materials.compositions.take(at))
    )
    known = {str(problem.data.ids[row]): int(row) for row in fold.train}
    structures = problem.data.materials.structures
    own = pack_rows(structures, at)
    found = []
    for (_, row), reasons, elements, structure in zip(
        rows.iterrows(), near, unseen, own, strict=True
    ):
        materials = () if reasons is None else reasons.nearest
        beside = np.array([known.get(one.id, -1) for one in materials], dtype=np.int64)
        drawn = pack_rows(structures, beside)
        found.append(
            WorstRow(
                split=str(row["split"]),
                role=str(row["role"]),
                id=str(row["id"]),
                formula=str(row["formula"]),
                target=float(row["target"]),
                prediction=float(row["prediction"]),
                lower=_finite(row["lower"]),
                upper=_finite(row["upper"]),
                in_domain=None if pd.isna(row["in_domain"]) else bool(row["in_domain"]),
                unseen=tuple(elements.split()),
                neighbours=tuple(
                    NearRow(one.formula, float(one.target), one.distance, text)
                    for one, text in zip(materials, drawn, strict=True)
                ),
                structure=structure,
            )
        )
    return found


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
