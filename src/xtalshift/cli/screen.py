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
from xtalshift.words import plural

if TYPE_CHECKING:
    from xtalshift.screening.inputs import FormulaSource
    from xtalshift.screening.settings import ScreenSettings, TopSettings
    from xtalshift.screening.store import ScreenSummary

STDIN = "-"
_TOP = "Table of the best"
_SHOWN = 10
"""Rows of the table that are printed."""
_PRINTED = (
    "hypervolume_share",
    "prediction",
    "lower",
    "upper",
    "probability",
    "in_domain",
    "nearest_formula",
    "nearest_id",
    "nearest_target",
    "plausibility",
    "energy_above_known_hull",
    "n_known_in_system",
)
"""Columns that are printed, if there are such."""
_WIDTH = 200
_ENOUGH = 5
"""Rows of the top from which its share means something."""


@options.reads_table
def screen_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=options.MODEL)],
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
    goal: Annotated[
        str | None,
        typer.Option(
            help="Models of several targets: max | min | - (does not matter) for each, in their "
            "order: max,min,-. The best are K rows of the front, which no other row beats.",
            rich_help_panel=_TOP,
            metavar="GOALS",
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
    of_class: Annotated[
        str | None,
        typer.Option(
            "--class",
            help="Of a model of classes: rank by the probability of this one.",
            rich_help_panel=_TOP,
            metavar="NAME",
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
    diverse: Annotated[
        str | None,
        typer.Option(
            help="chemsys | family: few rows of each chemical system (Fe-Li-O) or chemical family "
            "(oxide).",
            rich_help_panel=_TOP,
        ),
    ] = None,
    per_group: Annotated[
        int | None,
        typer.Option(
            help="With --diverse: rows of each group (default 1).",
            min=1,
            rich_help_panel=_TOP,
            metavar="N",
        ),
    ] = None,
    min_plausibility: Annotated[
        float | None,
        typer.Option(
            help="Only compositions that are at least so plausible (0 to 1, see enumerate; 0.01 "
            "leaves out most that no known compound resembles).",
            rich_help_panel=_TOP,
            metavar="P",
        ),
    ] = None,
    stability: Annotated[
        Path | None,
        typer.Option(
            help="Saved model of formation energies per atom, or formation-energy, the ready one: "
            "adds them, and the energy above the hull of known compounds.",
            rich_help_panel=_TOP,
            metavar="MODEL",
        ),
    ] = None,
    stability_table: Annotated[
        Path | None,
        typer.Option(
            help="Table of known formation energies (default: what that model was trained on).",
            rich_help_panel=_TOP,
            metavar="FILE",
        ),
    ] = None,
    max_above_hull: Annotated[
        float | None,
        typer.Option(
            help="Only rows predicted to be at most so far above that hull.",
            rich_help_panel=_TOP,
            metavar="X",
        ),
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
    from xtalshift.jobs.screen_options import TopOptions
    from xtalshift.screening.settings import ScreenSettings

    best = TopOptions.from_dict({
        "top": top, "by": by, "goal": goal, "lowest": lowest, "threshold": threshold,
        "class": of_class, "in_domain": in_domain, "max_ood": max_ood, "diverse": diverse,
        "per_group": per_group, "min_plausibility": min_plausibility,
        "max_above_hull": max_above_hull,
    })  # fmt: skip
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
        **best.settings_of(model),
    }
    settings = options.merge_settings(ScreenSettings, {}, None, flags)
    extra = [path for path in (stability, stability_table) if path is not None]
    check_output(out, model, *extra, *inputs)
    if resume and overwrite:
        raise ConfigError("--resume and --overwrite contradict each other")
    if resume and not (out / "checkpoint" / "journal.jsonl").exists():
        raise ConfigError(f"nothing to resume: {out} holds no screening")
    from xtalshift.screening.store import TOP_FILE
    from xtalshift.screening.stream import screen

    summary = screen(
        model,
        [_stdin() if name == STDIN else name for name in _check_inputs(inputs)],
        out,
        settings,
        stability=stability,
        stability_table=stability_table,
        executor=make_executor(
            executor, workers=workers, threads=settings.threads, address=address
        ),
        overwrite=overwrite,
        progress=make_progress(),
    )
    typer.echo(_describe(summary))
    if settings.top is not None:
        _print_top(out / TOP_FILE, model, settings)
        for line in (*_refusals(summary, settings.top), *_evidence(summary, settings.top)):
            typer.echo(line)
    typer.echo(f"Results: {out}")
    summary.require_some(out)


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
    text = f"{counts['ok']:,} of {plural(counts['rows'], 'row')} predicted"
    if counts["errors"]:
        text += f", {counts['errors']:,} with an error"
    if counts["duplicates"]:
        text += f", {plural(counts['duplicates'], 'duplicate')}"
    if counts["ok"]:
        text += f"; {counts['in_domain']:,} in the domain of the model"
    if summary.rows_per_second:
        text += f"; {summary.rows_per_second:,.0f} rows/s"
    return text


def _refusals(summary: ScreenSummary, top: TopSettings) -> Iterator[str]:
    """Yield how many rows did not enter the table although they were good enough."""
    number = summary.counts["implausible"]
    if top.min_plausibility is not None:
        yield (
            f"{plural(number, 'row')} that would have entered the table "
            f"{'was' if number == 1 else 'were'} refused: plausibility below "
            f"{top.min_plausibility:g}"
        )
    number = summary.counts["above_hull"]
    if top.max_above_hull is not None:
        yield (
            f"{plural(number, 'row')} that would have entered the table "
            f"{'was' if number == 1 else 'were'} refused: predicted to be more than "
            f"{top.max_above_hull:g} above the hull of known compounds"
        )


def _evidence(summary: ScreenSummary, top: TopSettings) -> Iterator[str]:
    """Yield how well the model ranks, if it is known."""
    known = summary.ranking
    if known is None:
        return
    side, name = (known.lowest, "lowest") if top.lowest else (known.highest, "highest")
    n_top = round(known.share * known.n_rows)
    text = f"The order of its predictions: Spearman {known.spearman:.2f} on {known.n_rows:,} rows "
    text += "that it was not trained on"
    if n_top >= _ENOUGH:
        text += (
            f"; of the {100 * known.share:g} % with the {name} predictions, "
            f"{100 * side.recall:.0f} % are among the {name} {100 * known.share:g} % "
            f"({side.enrichment:.1f} times chance)"
        )
    yield f"{text}. It says nothing of candidates unlike those rows"


def _print_top(path: Path, model: Path, settings: ScreenSettings) -> None:
    """Print the first rows of the table of the best."""
    if not path.exists():
        return
    import pandas as pd
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from xtalshift.data.formula_texts import find_formulas
    from xtalshift.data.spreadsheet import unmark_frame
    from xtalshift.model.card import first_model, saved_formula_col
    from xtalshift.model.ready import model_folder

    frame = unmark_frame(pd.read_csv(path, dtype=str, keep_default_na=False)).head(_SHOWN)
    if frame.empty:
        return
    names = list(frame.columns)
    own = saved_formula_col(first_model(model_folder(model)))
    if settings.formula_col is None and own in names:
        settings = settings.model_copy(update={"formula_col": own})
    if any(name.startswith("nearest_id") for name in names):
        lead: tuple[str, ...] = ("id", "formula")  # of crystals: polymorphs have one formula
    else:
        lead = find_formulas(names, settings, usual="at").names
        lead = lead if len(lead) == 1 else ("input_row",)
    several = [name for name in names if name.startswith("prediction_")]
    shown = [name for name in ("rank", *lead, *several, *_PRINTED) if name in names]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in shown:
        text = name in lead and name != "input_row"
        table.add_column(name, justify="left" if text else "right", overflow="fold")
    for row in frame[shown].itertuples(index=False):
        table.add_row(*map(escape, map(_short, row)))
    console = Console(highlight=False)
    if not console.is_terminal:  # a log has no width of its own
        console = Console(highlight=False, width=_WIDTH)
    console.print(table)


def _short(cell: str) -> str:
    """Return a number with four digits, and other text as it is."""
    try:
        return f"{float(cell):.4g}" if "." in cell else cell
    except ValueError:
        return cell
