"""Run a screening: cut the input into blocks, hand them to workers, write results in order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xtalshift.data.files import check_feature_columns, check_new_columns, naming_table
from xtalshift.data.formula_texts import find_formulas, name_structures, prefer_column
from xtalshift.data.spreadsheet import mark_frame
from xtalshift.errors import (
    ConfigError,
    DataError,
    NotConformalizedError,
    WorkerDiedError,
    XtalshiftError,
)
from xtalshift.featurize.blocks import needs_structures
from xtalshift.metrics.pareto import refuse_class_goals
from xtalshift.model.card import first_model, saved_features, saved_formula_col
from xtalshift.model.class_predictions import place_of
from xtalshift.model.negative_values import warn_of_negative
from xtalshift.model.ready import model_folder
from xtalshift.parallel import Executor, InProcessExecutor, Outcome, Policy, Workers
from xtalshift.progress import CONTINUE, NO_PROGRESS, Progress, resumable
from xtalshift.screening.distinct import SeenHashes, hash_rows
from xtalshift.screening.inputs import Block, FormulaSource, Inputs
from xtalshift.screening.screener import (
    PLAUSIBILITY_KINDS,
    ModelInfo,
    Screened,
    Screener,
    Sources,
    given_plausibility,
)
from xtalshift.screening.settings import ScreenSettings, TopSettings
from xtalshift.screening.store import Header, ScreenStore, ScreenSummary
from xtalshift.screening.top import TOP_COLUMNS, Floor, TopTable, top_frame
from xtalshift.words import plural


def screen(
    model: str | Path,
    inputs: Sequence[str | Path | FormulaSource],
    out: str | Path,
    settings: ScreenSettings | None = None,
    *,
    stability: str | Path | None = None,
    stability_table: str | Path | None = None,
    executor: Executor | None = None,
    overwrite: bool = False,
    progress: Progress = NO_PROGRESS,
) -> ScreenSummary:
    """Predict all rows of some inputs, of any length, in bounded memory.

    Parameters
    ----------
    model : str or Path
        Folder of a saved model, or name of a ready one.
    inputs : sequence of (str, Path or FormulaSource)
        Table files, or sources of formulas; all with the same columns.
    out : str or Path
        Folder of the result: ``parts/*.parquet`` (rows in order with the columns of predictions),
        ``top.csv`` and ``screen.json``. A screening that was begun there is continued, and ends
        with the same bytes as one without interruption.
    settings : ScreenSettings, optional
        Settings.
    stability : str or Path, optional
        Saved (or ready) model of formation energies per atom: rows of ``top.csv`` get the columns
        of `xtalshift.model.stability.StabilityProxy`.
    stability_table : str or Path, optional
        Table of known formation energies; by default the training materials of `stability`.
    executor : Executor, optional
        Where the model runs; by default in this process. Its number of threads replaces that of the
        settings; otherwise the result does not depend on it.
    overwrite : bool
        Whether to replace an earlier screening.
    progress : Progress
        Receives the state of the work.

    Returns
    -------
    ScreenSummary
        Counts and rate.

    Raises
    ------
    ConfigError
        If `out` holds another screening, or another process writes there; or if settings contradict
        each other or the models.
    DataError
        If an input cannot be read or lacks a column. An invalid formula becomes a row with a
        reason.
    ModelFormatError
        If the model cannot be read.
    NotConformalizedError
        If the settings ask for intervals that the model does not have.
    WorkerDiedError
        If a worker died twice on the same block.
    """
    settings = settings or ScreenSettings()
    executor = executor or InProcessExecutor(settings.threads)
    settings = settings.model_copy(update={"threads": executor.threads})
    out, table = Path(out), None if stability_table is None else Path(stability_table)
    energies = None if stability is None else model_folder(stability)
    sources = Sources(model_folder(model), energies, table)
    _check_stability(sources, settings.top)
    if isinstance(inputs[0], str | Path):
        one = first_model(sources.model)
        settings = prefer_column(Path(inputs[0]), settings, saved_formula_col(one))
        if needs_structures(saved_features(one)):
            settings = name_structures(Path(inputs[0]), settings)
    rows = Inputs(inputs, settings)
    with naming_table(rows.inputs[0].source.layout.source):
        # only their names: what the numbers of elements are, the model may know
        column = find_formulas(rows.columns, settings, usual="at")
    formulas, files = column.names, rows.structure_files(column, settings.chunk_rows)
    header = Header.of(sources, rows.describe(), settings, files)
    with (
        ScreenStore.open(out, header, overwrite=overwrite) as store,
        resumable(lambda: CONTINUE if store.chunks else ""),
    ):
        if store.chunks and not rows.repeatable:
            raise DataError(
                f"{out} holds a screening of formulas that cannot be read again from the start; "
                "give --overwrite to start again, or write the formulas to a file first"
            )
        summary = store.summary
        if summary is not None:
            progress.say(f"{out} is already finished; give --overwrite to start again")
            return summary
        with _open(executor, sources, settings) as workers:
            (described,) = workers.map(_describe, [sources.model])
            info = described.value
            _check_columns(rows, formulas, info, settings)
            if settings.top is not None:
                _check_top(settings.top, info, settings)
            run = _Run(store, rows, settings, info, formulas, progress)
            run.drive(workers)
        return store.finish(run.top_csv())


def _open(executor: Executor, sources: Sources, settings: ScreenSettings) -> Workers:
    """Return workers that have loaded the models."""
    if executor.shares_files:
        setup = partial(Screener, sources, settings)
    else:
        setup = partial(Screener.from_files, sources.files(), settings)
    gpu = settings.device.startswith("cuda")
    return executor.open(setup, Policy(gpu=gpu, preload=("xtalshift.model.persist",)))


def _describe(screener: Screener, model: Path) -> ModelInfo:  # noqa: ARG001 - the item
    return screener.info


class _Run:
    """One session of a screening."""

    def __init__(
        self,
        store: ScreenStore,
        rows: Inputs,
        settings: ScreenSettings,
        info: ModelInfo,
        formulas: tuple[str, ...],
        progress: Progress,
    ) -> None:
        self.store = store
        self.rows = rows
        self.settings = settings
        self.info = info
        self.formulas = formulas
        self.progress = progress
        self.top = None
        if settings.top is not None:
            self.top = TopTable(settings.top, store.read_top(), info.targets)
        self.floor: Floor | None = None
        self.seen: SeenHashes | None = None
        self.new_hashes: dict[int, NDArray[np.uint64]] = {}  # of the blocks that workers have
        if settings.distinct:
            self.seen = SeenHashes()
            self.seen.add(store.read_hashes())

    def drive(self, workers: Workers) -> None:
        """Screen the blocks that are left, and write them in order."""
        store = self.store
        if store.chunks:
            self.progress.say(
                f"continuing behind row {store.rows:,}, {plural(store.chunks, 'chunk')}"
            )
        clock = _Clock(store.rows)
        blocks = self._blocks()
        with self.progress.task("screen", self._rows_left()) as task:
            more = True
            while more:
                end = self._begin_stage()
                stage = islice(blocks, None if end is None else end - store.chunks)
                with closing(workers.map(Screener.screen, stage)) as outcomes:
                    for outcome in outcomes:
                        self._add(outcome.item, _screened(outcome), clock)
                        rate = clock.rate(store.rows)
                        task.advance(
                            outcome.item.rows,
                            rows_per_s=f"{rate:,.0f}",
                            errors=store.counts["errors"],
                        )
                more = store.chunks == end

    def _begin_stage(self) -> int | None:
        """Settle the floor of the next blocks; return the number of the block behind them.

        What is looked at more closely depends on the floor. It is the last row of the table at the
        blocks 1, 2, 4, 8 ..., each of which waits for all before it, so that the counts depend
        neither on the number of workers nor on interruptions.
        """
        if self.top is None:
            return None
        number = self.store.chunks
        begins = number & (number - 1) == 0
        self.floor = self.top.floor if begins else self.store.floor
        return 1 << number.bit_length()

    def _add(self, block: Block, screened: Screened, clock: _Clock) -> None:
        """Write a block."""
        changed = self.top is not None and self.top.add(_read_stream(screened.best))
        self.store.add(
            screened,
            block.end,
            clock.lap(),
            hashes=self.new_hashes.pop(block.number, None),
            top=self.top.table if self.top is not None and changed else None,
            floor=block.floor,
        )

    def top_csv(self) -> bytes | None:
        """Return the table of the best rows."""
        if self.top is None or self.top.table is None or self.settings.top is None:
            return None
        frame = top_frame(self.top.table, self.settings.top, self.info.targets)
        frame = frame.to_pandas(integer_object_nulls=True)
        if frame.empty:
            self.progress.say("warning: no row meets the conditions of top.csv; it is empty")
        elif len(frame) < self.settings.top.k:
            self.progress.say(
                f"top.csv has {plural(len(frame), 'row')}: no others meet its conditions"
            )
        for column, name in self.info.never_negative.items():
            for warning in warn_of_negative(frame[column], name):
                self.progress.say(f"top.csv: {warning}")
        text: str = mark_frame(frame).to_csv(index=False, lineterminator="\n")
        return text.encode()

    def _rows_left(self) -> int | None:
        total = self.rows.n_rows
        limit = self.settings.limit_rows
        if limit is not None:
            total = limit if total is None else min(total, limit)
        return None if total is None else max(total - self.store.rows, 0)

    def _blocks(self) -> Iterator[Block]:
        """Yield the blocks that are left; if rows must be distinct, with repeated ones marked."""
        blocks = self.rows.blocks(
            self.settings.chunk_rows,
            limit=self.settings.limit_rows,
            number=self.store.chunks,
            first=self.store.rows,
            start=self.store.end,
        )
        if self.seen is None:
            for block in blocks:
                yield replace(block, floor=self.floor)
            return
        features = self.info.feature_cols
        for block in blocks:
            _, part = block.parse(dict.fromkeys([*self.formulas, *features]))
            hashes, readable = hash_rows(part, self.settings, features, self.info.notation)
            new = self.seen.add(hashes[readable])
            repeated = np.zeros(block.rows, dtype=np.bool_)
            repeated[readable] = ~new
            self.new_hashes[block.number] = hashes[readable][new]
            yield replace(block, repeated=repeated, floor=self.floor)


class _Clock:
    """Times of blocks, and the rate of this session."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._begun = self._last = time.monotonic()

    def lap(self) -> float:
        """Return the seconds since the last lap."""
        before, self._last = self._last, time.monotonic()
        return self._last - before

    def rate(self, rows: int) -> float:
        """Return the rows per second up to the last lap."""
        return (rows - self._rows) / (self._last - self._begun)


def _screened(outcome: Outcome[Block, Screened]) -> Screened:
    """Return the result of a block; errors name the block."""
    where = outcome.item.where
    try:
        return outcome.value
    except WorkerDiedError as error:
        raise WorkerDiedError(f"{where}: {error}, or smaller --chunk-rows") from error
    except XtalshiftError:  # names it already
        raise
    except Exception as error:
        raise RuntimeError(f"{where}: {type(error).__name__}: {error}") from error


def _check_columns(
    rows: Inputs, formulas: tuple[str, ...], info: ModelInfo, settings: ScreenSettings
) -> None:
    name = rows.inputs[0].source.layout.source
    check_feature_columns(info.feature_cols, rows.columns, name)
    for column in set(formulas) & set(info.feature_cols):
        raise DataError(f"column {column!r} cannot be both formula and feature")
    added = info.added
    if (top := settings.top) is not None:
        judged = top.min_plausibility is not None and not given_plausibility(top, rows.columns)
        added = (
            *added,
            *TOP_COLUMNS,
            *([top.diverse] if top.diverse else []),
            *(PLAUSIBILITY_KINDS if judged else ()),
            *info.said,
        )
    check_new_columns(added, rows.columns, name)


def _check_stability(sources: Sources, top: TopSettings | None) -> None:
    if sources.stability is not None and top is None:
        raise ConfigError("--stability is about the rows of top.csv: give --top K")
    if sources.stability is None and sources.stability_table is not None:
        raise ConfigError("--stability-table needs a model of formation energies: --stability")
    if sources.stability is None and top is not None and top.max_above_hull is not None:
        raise ConfigError("--max-above-hull needs a model of formation energies: --stability")


def _check_top(top: TopSettings, info: ModelInfo, settings: ScreenSettings) -> None:
    if (top.goals is not None) != bool(info.targets):
        raise ConfigError(
            f"--top: the models are of {', '.join(info.targets)}: say which values are good, such "
            "as --goal max,min"
            if info.targets
            else "--goal is for models of several targets; leave it out"
        )
    if top.goals is not None:
        if len(top.goals) != len(info.targets):
            raise ConfigError(f"{len(top.goals)} goals for {len(info.targets)} targets")
        refuse_class_goals(top.goals, info.targets, info.numbers)
    if info.classes is not None:
        if top.of_class is None:
            raise ConfigError(
                "the model predicts classes; rank by the probability of one: --class "
                f"{' | '.join(info.classes)}"
            )
        place_of(top.of_class, info.classes)
    elif top.of_class is not None:
        raise ConfigError(
            "--class is for models of classes, and this one predicts numbers; use --threshold"
        )
    elif top.by != "prediction" and not info.has_intervals:
        raise NotConformalizedError(
            f"--by {top.by}: the model was saved without calibration; train it again"
        )
    if top.by == "uncertainty" and info.one_width and settings.intervals == "plain":
        raise ConfigError(
            "--by uncertainty: the intervals of this model all have the same width; train "
            "with --method lightgbm-quantile or ensemble, or give --intervals family"
        )
    if (top.in_domain or top.max_ood is not None) and not info.has_domain:
        raise ConfigError(
            "--in-domain and --max-ood: the model was saved without its domain; train it again"
        )


def _read_stream(data: bytes | None) -> pa.Table:
    with pa.ipc.open_stream(data or b"") as reader:
        return reader.read_all()
