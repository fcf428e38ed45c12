"""Drive a screening: read, hand out, collect in order, write."""

from __future__ import annotations

import io
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.chem.formulas import Hydrates
from xtalshift.data import find_formula_column
from xtalshift.data.columns import check_feature_columns, check_new_columns
from xtalshift.errors import ConfigError, DataError, NotConformalizedError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.registry import near_miss
from xtalshift.screening.blocks import Block, decode
from xtalshift.screening.distinct import SeenHashes, hash_rows
from xtalshift.screening.outcome import ModelInfo
from xtalshift.screening.plan import ScreenSettings, make_header
from xtalshift.screening.pools import LocalPool, Pool, SamePool
from xtalshift.screening.sources import FormulaSource, Inputs
from xtalshift.screening.store import ScreenStore
from xtalshift.screening.top import TOP_COLUMNS, TopTable, top_frame

__all__ = ["Where", "screen"]


@dataclass(frozen=True)
class Where:
    """Where a screening runs; the result does not depend on it.

    Attributes
    ----------
    executor : {"local", "ray"}
        Processes of this machine, or a Ray cluster.
    workers : int, optional
        Processes; by default 1 (this one), on Ray as many as there are processors.
    address : str, optional
        Of a running cluster.
    """

    executor: str = "local"
    workers: int | None = None
    address: str | None = None

    def open(self, model: Path, settings: ScreenSettings) -> Pool:
        """Return the running workers."""
        if self.executor == "ray":
            from xtalshift.screening.ray import RayPool

            return RayPool(model, settings, self.workers, self.address)
        if self.executor != "local":
            hint = near_miss(self.executor, ("local", "ray"))
            raise ConfigError(f"executor {self.executor!r}{hint}; there is: local, ray")
        if self.address is not None:
            raise ConfigError("--address is for --executor ray")
        if (self.workers or 1) == 1:
            return SamePool(model, settings)
        return LocalPool(model, settings, self.workers or 1)


def screen(
    model: str | Path,
    inputs: Sequence[str | Path | FormulaSource],
    out: str | Path,
    settings: ScreenSettings | None = None,
    *,
    where: Where | None = None,
    overwrite: bool = False,
    progress: Progress = NO_PROGRESS,
) -> dict[str, Any]:
    """Predict all rows of some inputs, of any length, in memory that does not grow with them.

    Parameters
    ----------
    model : str or Path
        Folder of a saved model.
    inputs : sequence of (str, Path or FormulaSource)
        CSV, JSON lines and Parquet files, or generators of formulas; all with the same columns.
    out : str or Path
        Folder of the result: ``parts/*.parquet`` (rows in order with the columns of predictions),
        ``top.csv`` and ``screen.json``. A screening that was begun there is continued, to the same
        bytes as one without interruption.
    settings : ScreenSettings, optional
        What is wanted.
    where : Where, optional
        Where it runs.
    overwrite : bool
        Begin anew.
    progress : Progress
        Told how far it is.

    Returns
    -------
    dict
        The content of ``screen.json``.

    Raises
    ------
    ConfigError
        If `out` holds another screening, or another process writes there.
    DataError
        If an input cannot be read or lacks a column. A bad formula is a row with a reason.
    ModelFormatError
        If the model cannot be read.
    NotConformalizedError
        If intervals are asked of a model that has none.
    """
    settings = settings or ScreenSettings()
    model, out = Path(model), Path(out)
    rows = Inputs(inputs)
    column = find_formula_column(rows.columns, settings.formula_col)
    header = make_header(model, rows.describe(), settings)
    with ScreenStore.open(out, header, overwrite=overwrite) as store:
        if store.chunks and not rows.repeatable:
            raise DataError(
                f"{out} holds a screening of formulas that cannot be read again from the start; "
                "give --overwrite to begin anew, or write the formulas to a file first"
            )
        summary = store.summary
        if summary is not None:
            progress.say(f"{out} is finished already; --overwrite begins anew")
            return summary
        pool = (where or Where()).open(model, settings)
        try:
            info = pool.info()
            _check_columns(rows.columns, column, info, settings)
            _check_model(info, settings)
            run = _Run(store, rows, settings, info, column, progress)
            run.drive(pool)
        finally:
            pool.close()
        summary = _summarize(header, store)
        top = None
        if run.top is not None and run.top.table is not None and settings.top is not None:
            frame = top_frame(run.top.table, settings.top).to_pandas()
            if frame.empty:
                progress.say("warning: no row fits what top.csv asks for: it has a header only")
            top = frame.to_csv(index=False, lineterminator="\n").encode()
        store.finish(summary, top)
        return summary


class _Run:
    """One session of a screening."""

    def __init__(
        self,
        store: ScreenStore,
        rows: Inputs,
        settings: ScreenSettings,
        info: ModelInfo,
        column: str,
        progress: Progress,
    ) -> None:
        self.store = store
        self.rows = rows
        self.settings = settings
        self.info = info
        self.column = column
        self.progress = progress
        self.top = None if settings.top is None else TopTable(settings.top, store.read_top())
        self.seen: SeenHashes | None = None
        if settings.distinct:
            self.seen = SeenHashes()
            self.seen.add(store.read_hashes())

    def drive(self, pool: Pool) -> None:
        """Screen what is left; what comes first is written first."""
        store = self.store
        if store.chunks:
            self.progress.say(f"continuing behind row {store.rows:,}, {store.chunks:,} chunks")
        blocks = self._blocks()
        waiting: deque[tuple[Block, NDArray[np.uint64] | None]] = deque()
        begun = last = time.monotonic()
        before = store.rows
        with self.progress.task("screen", self._rows_left()) as task:
            while True:
                while len(waiting) < pool.window:
                    item = next(blocks, None)
                    if item is None:
                        break
                    pool.submit(item[0])
                    waiting.append(item)
                if not waiting:
                    return
                block, hashes = waiting.popleft()
                outcome = pool.result(block)
                top = None
                if self.top is not None and self.top.add(_read_stream(outcome.best)):
                    top = self.top.table
                now = time.monotonic()
                store.add(
                    end=block.end,
                    counts=outcome.counts,
                    seconds=now - last,
                    part=outcome.part,
                    hashes=hashes,
                    top=top,
                )
                last = now
                rate = (store.rows - before) / (now - begun)
                task.advance(block.rows, rows_per_s=f"{rate:,.0f}", errors=store.counts["errors"])

    def _rows_left(self) -> int | None:
        total = self.rows.n_rows
        limit = self.settings.limit_rows
        if limit is not None:
            total = limit if total is None else min(total, limit)
        return None if total is None else max(total - self.store.rows, 0)

    def _blocks(self) -> Iterator[tuple[Block, NDArray[np.uint64] | None]]:
        """Yield what is left, with the hashes that each block brings."""
        blocks = self.rows.blocks(
            self.settings.chunk_rows,
            limit=self.settings.limit_rows,
            number=self.store.chunks,
            first=self.store.rows,
            start=self.store.end,
        )
        if self.seen is None:
            yield from ((block, None) for block in blocks)
            return
        hydrates: Hydrates = self.info.hydrates
        features = self.info.feature_cols
        for block in blocks:
            _, frame = decode(block, self.column, features)
            hashes, readable = hash_rows(frame, self.column, features, hydrates)
            new = self.seen.add(hashes[readable])
            repeated = np.zeros(block.rows, dtype=np.bool_)
            repeated[readable] = ~new
            yield replace(block, repeated=repeated), hashes[readable][new]


def _check_columns(
    columns: tuple[str, ...], column: str, info: ModelInfo, settings: ScreenSettings
) -> None:
    check_feature_columns(info.feature_cols, columns, "the input")
    if column in info.feature_cols:
        raise DataError(f"column {column!r} cannot be both formula and feature")
    added = (*info.added, *(TOP_COLUMNS if settings.top else ()))
    check_new_columns(added, columns, "the input")


def _check_model(info: ModelInfo, settings: ScreenSettings) -> None:
    top = settings.top
    if top is None:
        return
    if top.by != "prediction" and not info.has_intervals:
        raise NotConformalizedError(
            f"--by {top.by}: the model was saved without calibration; train it again"
        )
    if top.by == "uncertainty" and info.one_width and settings.intervals == "plain":
        raise ConfigError(
            "--by uncertainty: the intervals of this model have one width for all materials; train "
            "with --method lightgbm-quantile or ensemble, or give --intervals family"
        )
    if (top.in_domain or top.max_ood is not None) and not info.has_domain:
        raise ConfigError(
            "--in-domain and --max-ood: the model was saved without its domain; train it again"
        )


def _read_stream(data: bytes | None) -> Any:
    import pyarrow as pa

    with pa.ipc.open_stream(io.BytesIO(data or b"")) as reader:
        return reader.read_all()


def _summarize(header: dict[str, Any], store: ScreenStore) -> dict[str, Any]:
    seconds = store.seconds
    return {
        **header,
        "counts": dict(store.counts),
        "chunks": store.chunks,
        "host": {
            "seconds": round(seconds, 3),
            "rows_per_second": round(store.rows / seconds, 1) if seconds else None,
        },
    }
