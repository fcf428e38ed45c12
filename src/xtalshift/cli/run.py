"""``xtalshift run``: the main job, from a table to a report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.data.writers import check_output
from xtalshift.methods import saved_methods

if TYPE_CHECKING:
    from xtalshift.benchmark.run_results import RunResults
    from xtalshift.data.settings import DataConfig
    from xtalshift.jobs.run_settings import RunConfig
    from xtalshift.parallel import Executor
    from xtalshift.progress import Progress

_SPLITS = "Splits"
_CANDIDATES = "Candidates"


@options.reads_targets
def run_command(
    table: options.Table = None,
    config: options.ConfigFile = None,
    dataset: options.Dataset = None,
    target: options.Targets = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for the results (default: runs/NAME).", metavar="DIR"
        ),
    ] = None,
    assign: options.Set = None,
    candidates: Annotated[
        Path | None,
        typer.Option(
            help="File of materials, or folder of structures, to judge: their predictions, the "
            "error to expect and a verdict. --structures serves a file of ids too.",
            rich_help_panel=_CANDIDATES,
            metavar="FILE",
        ),
    ] = None,
    proxies: Annotated[
        str | None,
        typer.Option(
            help="Hold-outs that imitate the candidates, comma-separated: elements, nearest, "
            "cluster-K (default: found).",
            rich_help_panel=_CANDIDATES,
            metavar="NAMES",
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated, of "
            + ", ".join(saved_methods())
            + ", or your own, FILE.py:NAME (default: dummy,ridge,lightgbm,erm,cal,cal-eps0,auto).",
            metavar="NAMES",
        ),
    ] = None,
    id_col: options.IdCol = None,
    weight_col: options.WeightCol = None,
    uncertainty_col: options.UncertaintyCol = None,
    unit: options.Unit = None,
    feature_cols: options.FeatureCols = None,
    features: options.Features = None,
    transform: options.Transform = None,
    duplicates: options.Duplicates = None,
    bounds: options.Bounds = None,
    strict: options.Strict = None,
    fidelity_col: options.FidelityCol = None,
    fidelity: options.Fidelity = None,
    splits: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated (default all): random,covariate,prior,family; relation is added "
            "if it is declared.",
            rich_help_panel=_SPLITS,
            metavar="NAMES",
        ),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(
            help="Element of the held-out family (default F; if a file has no such row, one "
            "with about a tenth of the rows), or several joined by +.",
            rich_help_panel=_SPLITS,
        ),
    ] = None,
    tail: Annotated[
        str | None,
        typer.Option(
            help="Prior shift: high (default) | low | both. With low, the scores of a search for "
            "extremes refer to the lowest targets.",
            rich_help_panel=_SPLITS,
        ),
    ] = None,
    relation_flag: Annotated[
        str | None,
        typer.Option(
            help="Column that flags materials with another relation of composition and target.",
            rich_help_panel=_SPLITS,
            metavar="COL",
        ),
    ] = None,
    relation_file: Annotated[
        str | None,
        typer.Option(
            help="File with the formulas of such materials.",
            rich_help_panel=_SPLITS,
            metavar="FILE",
        ),
    ] = None,
    separate: Annotated[
        bool | None,
        typer.Option("--separate", help="Train once per split.", rich_help_panel=_SPLITS),
    ] = None,
    seed: options.Seed = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            help="Number of seeds (default 1).", min=1, max=1000, rich_help_panel="Training"
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Wall minutes that each fit of auto may take; members that there is "
            "no time for are left out and named. Its results then depend on the speed of the "
            "machine.",
            rich_help_panel="Training",
            metavar="M",
            min=1e-5,
        ),
    ] = None,
    device: options.Device = None,
    threads: options.Threads = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another run in the folder.")
    ] = False,
    *,
    reading: options.Reading,
) -> None:
    """Compare methods on held-out materials like and unlike the training data.

    Several targets (A,B) are a run of each, and one page and results.json of all.

    Reads a table of formulas, holds out a random set and shifted sets, trains every method, and
    writes results.json, predictions.parquet, report.html and a model: the method with the smallest
    error on rows that no test set holds, fitted to all rows. With --candidates it also says how
    far predictions of these materials can be believed, and writes candidates.parquet. The same
    command continues an interrupted run.
    """
    settings = options.build_config(
        config,
        assign,
        {
            "seed": seed,
            "n_seeds": seeds,
            "methods": options.split_names(methods),
            "minutes": minutes,
            "candidates": None if candidates is None else str(candidates),
            "judge.proxies": options.split_names(proxies),
            "device": device,
            "threads": threads,
            "data.dataset": options.one_table(table, dataset),
            "data.target": target,
            "data.id_col": id_col,
            "data.weight_col": weight_col,
            "data.uncertainty_col": uncertainty_col,
            "data.unit": unit,
            "data.feature_cols": options.join_lists(feature_cols),
            "data.features": features,
            "data.transform": transform,
            "data.duplicates": duplicates,
            "data.bounds": bounds,
            **options.in_data(reading),
            "data.strict": strict,
            "fidelity.column": fidelity_col,
            "fidelity.values": options.split_names(fidelity),
            "split.schemes": options.split_names(splits),
            "split.family": family,
            "split.tail": tail,
            "split.relation_flag": relation_flag,
            "split.relation_file": relation_file,
            "split.separate": separate,
        },
    )
    from xtalshift.data.readers import check_source
    from xtalshift.data.several import check_columns, settings_of_targets
    from xtalshift.parallel import make_executor

    folder = out or Path("runs") / Path(settings.data.dataset).name.split(".")[0]
    check_source(settings.data.dataset)  # before PyTorch is imported, which takes seconds
    check_columns(settings.data, folder)
    check_output(
        folder, settings.data.dataset, config, settings.split.relation_file, settings.candidates
    )
    from xtalshift.jobs.run import run

    progress = make_progress()
    executor = make_executor(workers=settings.threads)
    targets = settings_of_targets(settings.data)
    if len(targets) > 1:
        _run_several(settings, targets, folder, executor, progress, overwrite=overwrite)
        return
    settings = settings.model_copy(update={"data": next(iter(targets.values()))})
    results = run(settings, folder, executor, progress=progress, overwrite=overwrite)
    _print_run(folder, results)


def _run_several(
    settings: RunConfig,
    targets: Mapping[str, DataConfig],
    folder: Path,
    executor: Executor,
    progress: Progress,
    *,
    overwrite: bool,
) -> None:
    """Run each of several targets, write a page for each and one for all, and print the errors."""
    from xtalshift.cli.tables import print_errors, print_overall
    from xtalshift.jobs.run_several import run_several
    from xtalshift.report import build_run_report, write_report

    results = run_several(
        settings, targets, folder, executor, progress=progress, overwrite=overwrite
    )
    for target in results.targets:
        report = build_run_report(folder / target.folder)
        write_report(folder / target.folder, report)
        typer.echo(f"Target {target.name}")
        print_errors(report)
        for sentence in report.model:
            typer.echo(f"  {sentence}")
    print_overall(results)
    if (folder / "model").exists():
        typer.echo(f"Models: {folder / 'model'}")
    typer.echo(f"Report: {write_report(folder)}")
    if all(one.status == "failed" for one in results.records if one.method != "dummy"):
        typer.echo("Every method failed; see the reasons above and in results.json", err=True)
        raise typer.Exit(1)


def _print_run(folder: Path, results: RunResults) -> None:
    """Write the page of a run, and print what it found."""
    from xtalshift.cli.answer import print_answer, print_class_answer
    from xtalshift.cli.tables import print_cautions, print_coverage, print_errors, print_search
    from xtalshift.report import build_run_report, write_report

    report = build_run_report(folder)
    page = write_report(folder, report)
    print_errors(report)
    print_search(report)
    print_coverage(report)
    print_cautions(report)
    if results.model and results.model.failure is None:
        typer.echo(f"Model:  {folder / 'model'}")
    for sentence in report.model:
        typer.echo(f"  {sentence}")
    if results.answer is not None and report.candidates is not None:
        print_answer(report.candidates, results.unit)
    if report.class_candidates is not None:
        print_class_answer(report.class_candidates)
    if report.candidates is not None or report.class_candidates is not None:
        typer.echo(f"Candidates: {folder / 'candidates.csv'} (also .parquet)")
    typer.echo(f"Report: {page}")
    compared = [record for record in results.records if record.method != "dummy"]
    if compared and all(record.status == "failed" for record in compared):
        typer.echo("Every method failed; see the reasons above and in results.json", err=True)
        raise typer.Exit(1)
