"""Explain the predictions of a model for formulas, or for the rows of a small table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xtalshift.data import iter_raw
from xtalshift.data.materials import Materials
from xtalshift.errors import DataError, FormulaError
from xtalshift.jobs.predict import AnyPredictor
from xtalshift.model.explaining.explain import SWAPS
from xtalshift.model.explaining.record import Explanation
from xtalshift.model.several_tables import SeveralPredictor
from xtalshift.model.table_predictor import TablePredictor
from xtalshift.progress import NO_PROGRESS, Progress

MOST_ROWS = 1000
"""Most rows of a table: each takes about a second."""


def explain_predictions(
    predictor: AnyPredictor,
    materials: Materials,
    *,
    of_class: str | None = None,
    substitutions: int = SWAPS,
    strict: bool = False,
    progress: Progress = NO_PROGRESS,
) -> list[Explanation]:
    """Return the explanations of materials, of several targets those of each one after the other.

    Parameters
    ----------
    predictor : TablePredictor or SeveralPredictor
        The model and the level of intervals.
    materials : Materials
        n rows, as `TablePredictor.parse_formulas` or `read_few` returns them.
    of_class, substitutions, progress
        As in `xtalshift.model.FittedModel.explain`.
    strict : bool
        Whether a bad row is an error.

    Raises
    ------
    FormulaError
        If a row is bad (`strict`), or all are.
    DataError, ConfigError
        As `xtalshift.model.FittedModel.explain`.
    """
    how: dict[str, Any] = {
        "of_class": of_class,
        "level": predictor.level,
        "substitutions": substitutions,
        "progress": progress,
    }
    if isinstance(predictor, TablePredictor):
        found = predictor.model.explain(materials, **how)
    else:
        each = predictor.models.explain(materials, **how)
        found = [one for row in zip(*each.values(), strict=True) for one in row]
    _refuse_bad(found, strict=strict)
    return found


def read_few(predictor: AnyPredictor, source: Path) -> Materials:
    """Return the materials of a table.

    Raises
    ------
    DataError
        If it cannot be read, or has more than `MOST_ROWS` rows.
    """
    predictor = predictor.for_file(source)
    raw = next(iter(iter_raw(source, MOST_ROWS + 1, predictor.reading)))
    if not len(raw):
        raise DataError(f"{source} has no rows; give a table of the materials to explain")
    if len(raw) > MOST_ROWS:
        raise DataError(
            f"{source} has more than {MOST_ROWS:,} rows, and each takes about a second to explain; "
            "give a table of those that matter"
        )
    return reader(predictor).read(raw, str(source))


def reader(predictor: AnyPredictor) -> TablePredictor:
    """Return what reads materials: of several targets the first model, as all of them do."""
    return predictor.one if isinstance(predictor, SeveralPredictor) else predictor


def _refuse_bad(found: Sequence[Explanation], *, strict: bool) -> None:
    bad = [one for one in found if one.reason]
    if bad and (strict or len(bad) == len(found)):
        first = bad[0]
        named = first.formula in first.reason
        text = first.reason if named else f"{first.formula}: {first.reason}"
        alone = strict or len(found) == 1
        raise FormulaError(text if alone else f"no formula could be explained; {text}")
