"""``xtalshift screen``: predict millions of formulas with a saved model, on many cores."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.data.writers import check_output
from xtalshift.errors import ConfigError, DataError
from xtalshift.parallel import make_executor
from xtalshift.uncertainty.settings import LEVEL

if TYPE_CHECKING:
    from xtalshift.screening.inputs import FormulaSource
    from xtalshift.screening.store import ScreenSummary

STDIN = "-"
_TOP = "Table of the best"


@options.reads_table
def screen_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a saved model.")],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN...",
            help="Table files; - for one formula per line of standard input.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder.", metavar="DIR")],
    level: options.Level = LEVEL,
    intervals: Annotated[
        str | None, typer.Option(help="plain (default) | family: calibrated by chemical family.")
    ] = None,
    distinct: Annotated[
        bool,
        typer.Option(
            "--distinct",
            help="Predict each reduced formula once; takes 8 to 20 bytes of memory per formula.",
        ),
    ] = False,
    keep: Annotated[
        str | None,
        typer.Option(help="Rows written: all (default) | ok | top (no parts, only top.csv)."),
    ] = None,
    limit_rows: Annotated[
        int | None, typer.Option(help="Stop after N rows.", min=1, metavar="N")
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(help="Write the best K rows to top.csv.", min=1, rich_help_panel=_TOP),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="prediction (default) | probability | lower | upper | uncertainty.",
            rich_help_panel=_TOP,
        ),
    ] = None,
    lowest: Annotated[
        bool, typer.Option("--lowest", help="Lowest are best.", rich_help_panel=_TOP)
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Rank by the probability to be above Y (below Y with --lowest).",
            rich_help_panel=_TOP,
            metavar="Y",
        ),
    ] = None,
    in_domain: Annotated[
        bool,
        typer.Option("--in-domain", help="Only rows in the domain.", rich_help_panel=_TOP),
    ] = False,
    max_ood: Annotated[
        float | None,
        typer.Option(help="Only rows with at most this OOD score.", rich_help_panel=_TOP),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes (default: cores / threads).", min=1, rich_help_panel=options.RUN
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Threads of each process (default 1).", min=1, rich_help_panel=options.RUN
        ),
    ] = None,
    chunk_rows: Annotated[
        int | None,
        typer.Option(
            help="Rows per chunk and per part (default 20,000).", rich_help_panel=options.RUN
        ),
    ] = None,
    device: options.Device = None,
    executor: options.Executor = "local",
    address: options.Address = None,
    resume: options.Resume = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is in the folder.")
    ] = False,
    *,
    reading: options.Reading,
) -> None:
    """Predict files of any length with a saved model, and list the best rows.

    Writes parts/*.parquet with all rows in order, top.csv and screen.json to DIR. The same command
    continues after any interruption; the files are then the same, byte for byte.
    """
    from xtalshift.screening.settings import ScreenSettings

    best = {
        "k": top,
        "by": by or ("probability" if threshold is not None else None),
        "lowest": lowest or None,
        "threshold": threshold,
        "in_domain": in_domain or None,
        "max_ood": max_ood,
    }
    if top is None and any(value is not None for value in best.values()):
        raise ConfigError("--by, --lowest, --threshold, --in-domain and --max-ood need --top K")
    flags: dict[str, object] = {
        **reading,
        "level": level,
        "intervals": intervals,
        "distinct": distinct or None,
        "keep": keep,
        "limit_rows": limit_rows,
        "threads": threads,
        "chunk_rows": chunk_rows,
        "device": device,
        **{f"top.{name}": value for name, value in best.items()},
    }
    settings = options.merge_settings(ScreenSettings, {}, None, flags)
    check_output(out, model, *inputs)
    if resume and overwrite:
        raise ConfigError("--resume and --overwrite contradict each other")
    if resume and not (out / "checkpoint" / "journal.jsonl").exists():
        raise ConfigError(f"nothing to resume: {out} holds no screening")
    from xtalshift.screening.stream import screen

    summary = screen(
        model,
        [_stdin() if name == STDIN else name for name in _check_inputs(inputs)],
        out,
        settings,
        executor=make_executor(
            executor, workers=workers, threads=settings.threads, address=address
        ),
        overwrite=overwrite,
        progress=make_progress(),
    )
    typer.echo(_describe(summary))
    typer.echo(f"Results: {out}")
    if summary.counts["rows"] and not summary.counts["ok"]:
        raise DataError(f"no row could be predicted; the column 'reason' of {out}/parts says why")


def _check_inputs(inputs: list[str]) -> list[str]:
    if STDIN in inputs and len(inputs) > 1:
        raise DataError("- (standard input) cannot be combined with files; give one or the other")
    return inputs


def _stdin() -> FormulaSource:
    from xtalshift.data.files import FORMULA_NAMES
    from xtalshift.screening.inputs import FormulaSource

    stream = sys.stdin
    if stream is None:
        raise DataError("standard input is closed; write formulas to it, or name a file")

    def lines() -> Iterator[str]:
        for number, line in enumerate(stream.buffer):
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if number or text.casefold() not in FORMULA_NAMES:  # the header of `enumerate`
                yield text

    return FormulaSource(lines, "standard input", repeatable=False)


def _describe(summary: ScreenSummary) -> str:
    counts = summary.counts
    text = f"{counts['ok']:,} of {counts['rows']:,} rows predicted"
    if counts["errors"]:
        text += f", {counts['errors']:,} with an error"
    if counts["duplicates"]:
        text += f", {counts['duplicates']:,} duplicates"
    if counts["ok"]:
        text += f"; {counts['in_domain']:,} in the domain of the model"
    if summary.rows_per_second:
        text += f"; {summary.rows_per_second:,.0f} rows/s"
    return text
