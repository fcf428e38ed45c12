"""Predict a file of any length, piece by piece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from xtalshift.data import RawTable, iter_raw
from xtalshift.data.columns import reading_of
from xtalshift.data.files import naming_table
from xtalshift.data.formula_findings import note_kinds
from xtalshift.data.materials import Materials
from xtalshift.data.writers import check_output, check_writable, open_writer
from xtalshift.errors import FormulaError
from xtalshift.files import replace_file
from xtalshift.model import (
    ClassPredictions,
    FittedClassifier,
    FittedModel,
    Predictions,
    load_model,
)
from xtalshift.model.several_tables import SeveralPredictor
from xtalshift.model.table_predictor import TablePredictor, learn_shift
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.uncertainty.settings import LEVEL

if TYPE_CHECKING:
    from xtalshift.data.optimade import Fetched

AnyPredictor: TypeAlias = TablePredictor | SeveralPredictor
CHUNK_ROWS = 20_000
_TABLE = "structures.parquet"
_EXAMPLES = 3
"""Bad rows that are named."""


def predict(
    model: FittedModel | FittedClassifier | Path | str,
    materials: Materials | Sequence[str],
    extra: ArrayLike | None = None,
    *,
    level: float = LEVEL,
) -> Predictions | ClassPredictions:
    """Predict materials with a model.

    Parameters
    ----------
    model : FittedModel, FittedClassifier, Path or str
        A model, or the folder of a saved one.
    materials : Materials or sequence of str, length n
        Formulas.
    extra : array_like of float, shape (n, k), optional
        The extra feature columns of the model.
    level : float
        Level of the intervals, in (0, 1).

    Returns
    -------
    Predictions or ClassPredictions
        One entry per row; a row that cannot be predicted has a reason.

    Raises
    ------
    ModelFormatError
        If the folder does not hold a model.
    """
    loaded = load_model(model) if isinstance(model, Path | str) else model
    found: Predictions | ClassPredictions = loaded.predict(materials, extra, level=level)
    return found


@dataclass
class PredictionCounts:
    """How many rows were predicted, and how many need attention."""

    rows: int = 0
    bad: int = 0
    judged: int = 0
    outside: int = 0
    new_elements: int = 0
    clipped: int = 0
    unbounded: int = 0
    """`rows`, `bad`, `judged`, `outside`, `new_elements`, `clipped`, `unbounded`: numbers of rows:
    all; without a prediction; with an OOD score; outside the domain; with elements that no training
    material has; with features far outside the training range; without a finite interval."""
    imputed: int = 0
    """Rows with an element that lacks a property."""
    structures: Counter[str] = field(default_factory=Counter)
    """What is odd about structures that were read all the same, and in how many rows."""
    odd: dict[str, str] = field(default_factory=dict)
    """The first row of each."""
    examples: dict[int, str] = field(default_factory=dict)
    """The first bad rows with their reasons, by their number from 1."""
    effective_sample_size: float = float("nan")
    calibration_rows: int = 0
    """`effective_sample_size`, `calibration_rows`: values for weighted intervals; NaN and 0 for
    others."""

    def add(self, frame: pd.DataFrame, targets: Sequence[str] = ("",)) -> None:
        """Count the rows of a piece of the output.

        A row that needs attention for any of several `targets` counts once.
        """
        bad = (frame["status"] != "ok").to_numpy()
        for row in np.flatnonzero(bad)[: _EXAMPLES - len(self.examples)].tolist():
            number = self.rows + row + 1
            named = f" (id {frame['id'].iloc[row]})" if "id" in frame else ""  # such as a file's
            self.examples[number] = f"row {number}{named}: {frame['reason'].iloc[row]}"
        self.rows += len(frame)
        self.bad += int(bad.sum())

        def columns(name: str) -> list[pd.Series]:
            names = (f"{name}_{target}" if target else name for target in targets)
            return [frame[one] for one in names if one in frame]

        self.clipped += _count(values > 0 for values in columns("n_clipped"))
        self.imputed += _count(values > 0 for values in columns("n_imputed"))
        self.judged += _count(values.notna() for values in columns("ood_score"))
        self.outside += _count(~bad & ~values for values in columns("in_domain"))
        self.new_elements += _count(values != "" for values in columns("unseen_elements"))
        bounds = zip(columns("upper"), columns("lower"), strict=True)
        if wide := [(high - low).eq(float("inf")) for high, low in bounds]:  # classes have none
            self.unbounded += _count(wide)

    def add_notes(self, materials: Materials) -> None:
        """Count what is odd about the structures of a piece, before `add` counts its rows."""
        if materials.structures is None:
            return
        for row in np.flatnonzero((materials.notes != "") & (materials.reasons == "")).tolist():
            for kind in note_kinds(materials.notes[row]):
                self.structures[kind] += 1
                self.odd.setdefault(kind, f"row {self.rows + row + 1} (id {materials.ids[row]})")

    @property
    def first(self) -> str:
        """The first bad row and its reason; an empty text if there is none."""
        return next(iter(self.examples.values()), "")

    def error(self, message: str) -> FormulaError:
        """Return the error that the first bad row is, with a message."""
        error = FormulaError(message)
        error.row = next(iter(self.examples), None)
        error.remedy = self.first.rpartition("; ")[2] if "; " in self.first else None
        return error


def _count(masks: Iterable[ArrayLike]) -> int:
    """Return the number of rows of which any mask is true."""
    return int(np.any([np.asarray(mask) for mask in masks], axis=0).sum())


def predict_file(
    predictor: AnyPredictor,
    source: Path,
    out: Path,
    *,
    strict: bool = False,
    on_weights: Callable[[PredictionCounts], None] | None = None,
    progress: Progress = NO_PROGRESS,
) -> PredictionCounts:
    """Write the rows of a file, in order, with the columns of predictions added.

    Parameters
    ----------
    predictor : TablePredictor or SeveralPredictor
        The model and the kind of intervals; weights for intervals are estimated from the file.
    source, out : Path
        Input, and a .csv or .parquet file that appears once it is complete.
    strict : bool
        Whether a bad row is an error.
    on_weights : callable, optional
        Called once the weights of weighted intervals are known, before the predictions.
    progress : Progress
        Reports what was read as what, and the number of rows done.

    Raises
    ------
    DataError
        If a file cannot be read or written.
    FormulaError
        If a row is bad (`strict`), or all are.
    """
    check_output(out, source)
    counts = PredictionCounts()
    predictor = predictor.for_file(source)
    targets = ("",) if isinstance(predictor, TablePredictor) else predictor.models.targets
    progress.say(f"Reading {source}")

    def pieces() -> Iterator[RawTable]:
        return iter_raw(source, CHUNK_ROWS, predictor.reading)

    if isinstance(predictor, TablePredictor) and predictor.intervals == "weighted":
        shift = learn_shift(predictor, pieces(), source)
        predictor = replace(predictor, shift=shift)
        counts.effective_sample_size = shift.effective_sample_size
        counts.calibration_rows = len(shift.known)
        if on_weights is not None:
            on_weights(counts)
    with open_writer(out, predictor.units()) as writer, progress.task("predict", None) as task:
        for raw in pieces():
            if not counts.rows:
                progress.say(f"  {_brief(predictor, raw, source)}")
            materials = predictor.read(raw, str(source))
            result, _ = predictor.predict_table(raw, str(source), materials)
            counts.add_notes(materials)
            counts.add(result, targets)
            if strict and counts.first:
                raise counts.error(counts.first)
            writer.write(result)
            task.advance(len(raw))
    if counts.rows and counts.bad == counts.rows:
        raise counts.error(f"no row of {source} could be predicted; {counts.first}")
    return counts


def predict_database(
    predictor: AnyPredictor,
    source: str,
    filter: str,  # noqa: A002 - the word of the databases
    out: Path,
    *,
    limit: int | None = None,
    strict: bool = False,
    on_fetched: Callable[[Fetched], None] | None = None,
    on_weights: Callable[[PredictionCounts], None] | None = None,
    progress: Progress = NO_PROGRESS,
) -> PredictionCounts:
    """Predict the structures of a database; their table is as `fetch_structures` writes it.

    Where they come from stands in ``OUT.source.json``. What was received is kept for a day, so that
    a command that was interrupted continues.

    Parameters
    ----------
    predictor
        As in `predict_file`.
    source, filter, limit
        See `xtalshift.data.optimade.fetch_structures`.
    out, strict, on_weights, progress
        As in `predict_file`.
    on_fetched : callable, optional
        Called with what was fetched, before the predictions.

    Raises
    ------
    FetchError
        If the database does not answer.
    DataError, FormulaError
        As in `predict_file`.
    """
    from xtalshift.data.optimade import fetch_structures  # a file needs no network

    check_writable(out)
    with TemporaryDirectory() as folder:
        table = Path(folder) / _TABLE
        found = fetch_structures(source, filter, table, limit=limit, progress=progress)
        notes = out.with_name(f"{out.name}.source.json")
        if on_fetched is not None:
            on_fetched(replace(found, path=out, notes=notes))
        counts = predict_file(
            predictor, table, out, strict=strict, on_weights=on_weights, progress=progress
        )
        replace_file(notes, found.notes.read_text(encoding="utf-8"))
    return counts


def _brief(predictor: AnyPredictor, raw: RawTable, source: Path) -> str:
    """Return what of a table was read as what, in one line."""
    with naming_table(source):
        reading = reading_of(raw, predictor.reading, predictor.notation, source.name)
    one = predictor if isinstance(predictor, TablePredictor) else predictor.one
    usual = one.model.card.formula_col
    other = usual and reading.options.get("formula_col") != usual
    return reading.brief() + (f" (in training: {usual!r})" if other else "")
