"""``xtalshift benchmark``: compare methods on many splits, on one or many machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.data.writers import check_output
from xtalshift.errors import ConfigError, UsageError
from xtalshift.parallel import make_executor


def benchmark_command(
    spec: Annotated[
        str | None,
        typer.Argument(help="TOML file, or name of a benchmark (--list).", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder (default runs/NAME).", metavar="DIR"),
    ] = None,
    assign: options.Set = None,
    methods: Annotated[
        str | None,
        typer.Option(help="Comma-separated, instead of those of the benchmark.", metavar="NAMES"),
    ] = None,
    tables: Annotated[
        str | None,
        typer.Option(help="Comma-separated: only these tables of the benchmark.", metavar="NAMES"),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(help="Number of seeds, instead of that of the benchmark.", min=1, max=1000),
    ] = None,
    show: Annotated[
        bool, typer.Option("--list", help="List the benchmarks and methods, and exit.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the number of tasks, and exit.")
    ] = False,
    executor: options.Executor = "local",
    address: options.Address = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Tasks at once (default: cores / threads).", min=1, rich_help_panel=options.RUN
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Threads of each task (default 1); results depend on it.",
            min=1,
            rich_help_panel=options.RUN,
        ),
    ] = None,
    limit_time: Annotated[
        float | None,
        typer.Option(
            help="Start no task after this time.",
            min=0,
            rich_help_panel=options.RUN,
            metavar="MINUTES",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            help="Run part K of N, as 2/5; merge later.", rich_help_panel=options.RUN, metavar="K/N"
        ),
    ] = None,
    merge: Annotated[
        list[Path] | None,
        typer.Option(
            help="Add the records of another folder (repeatable).",
            rich_help_panel=options.RUN,
            metavar="DIR",
        ),
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Run failed tasks again.", rich_help_panel=options.RUN)
    ] = False,
    resume: options.Resume = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the records in the folder.")
    ] = False,
) -> None:
    """Compare methods on tables, features, splits, seeds and numbers of target labels.

    Appends one record per task (also per failed task) to records.jsonl, so that the same command
    continues after any interruption, and writes summary.json and report.html.
    """
    if show or spec is None:
        _list()
        return
    from xtalshift.benchmark.spec import BenchmarkSpec, read_spec

    values, folder = read_spec(spec)
    flags = {"methods": options.split_names(methods), "seeds": seeds, "threads": threads}
    settings = options.merge_settings(BenchmarkSpec, values, assign, flags)
    if chosen := options.split_names(tables):
        settings = settings.only(chosen)
    place = out or Path("runs") / Path(spec).name.removesuffix(".toml")
    given = [spec] if Path(spec).is_file() else []  # else the name of a benchmark of the package
    check_output(place, *given, *(one.dataset for one in settings.data.values()))
    if resume and not (place / "records.jsonl").exists():
        raise ConfigError(f"nothing to resume: {place} holds no records.jsonl")
    progress = make_progress()
    from xtalshift.nn.device import limit_threads

    threads = settings.threads or 1
    workplace = make_executor(executor, workers=workers, threads=threads, address=address)
    limit_threads(threads)
    from xtalshift.benchmark.engine import RunOptions, count_tasks, run_benchmark

    if plan:
        typer.echo(count_tasks(settings, folder, progress))
        return
    done = run_benchmark(
        settings,
        place,
        workplace,
        folder=folder,
        options=RunOptions(
            overwrite=overwrite,
            retry=retry,
            limit_seconds=None if limit_time is None else 60 * limit_time,
            shard=_read_shard(shard),
            merge=tuple(merge or ()),
        ),
        progress=progress,
    )
    from xtalshift.benchmark.summary_records import read_summary
    from xtalshift.cli.tables import print_leaderboard
    from xtalshift.report import write_report

    summary = done.summary
    print_leaderboard(read_summary(place))
    typer.echo(f"Report: {write_report(place)}")
    if summary.n_failed and not summary.n_done:
        typer.echo("No task succeeded; see the reasons above and in records.jsonl", err=True)
        raise typer.Exit(1)


def _read_shard(text: str | None) -> tuple[int, int]:
    if text is None:
        return 1, 1
    part, _, whole = text.partition("/")
    if not (part.isdecimal() and whole.isdecimal() and 1 <= int(part) <= int(whole)):
        raise UsageError(f"--shard {text!r}: expected K/N with K from 1 to N, such as 2/5")
    return int(part), int(whole)


def _list() -> None:
    from xtalshift.benchmark.spec import canonical_specs
    from xtalshift.methods import METHODS

    typer.echo("Benchmarks:")
    for name, title in canonical_specs().items():
        typer.echo(f"  {name:<22}{title}")
    typer.echo("\nMethods, by what they see of the target domain:")
    words = {"source": "nothing", "features": "its features", "labels": "some labels"}
    for access, what in words.items():
        names = [
            f"{name}*" if METHODS[name].experimental else name
            for name in METHODS
            if METHODS[name].target_access == access
        ]
        typer.echo(f"  {what}: {', '.join(names)}")
    typer.echo("  * experimental: behind its control in every benchmark so far")
    typer.echo("\nTo use other features: ridge@fractions, ridge@magpie+fractions")
