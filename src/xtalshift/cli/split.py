"""``xtalshift split``: split a table by a scheme."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.data.writers import check_output, open_writer, refuse_loss

if TYPE_CHECKING:
    from xtalshift.splits import Fold

_SHOWN = 20


def _show_schemes(asked: bool) -> None:
    if not asked:
        return
    from xtalshift.splits.schemes import list_schemes

    for scheme in list_schemes():
        what = scheme.summary.replace("`", "")
        typer.echo(f"{scheme.name}\n    {what}\n    {scheme.params}")
    raise typer.Exit


@options.reads_targets
def split_command(
    source: Annotated[str, typer.Argument(metavar="IN", help="File, or name of a data set.")],
    scheme: Annotated[str, typer.Option(help="Name of a scheme, see --schemes.", metavar="NAME")],
    out: Annotated[Path, typer.Option("--out", "-o", help=".parquet or .csv file.", metavar="OUT")],
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            "-p",
            help="Parameter of the scheme: -p by=element -p values=F,Cl.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    schemes: Annotated[
        bool,
        typer.Option(
            "--schemes",
            help="List all schemes with their parameters, and exit.",
            is_eager=True,
            callback=_show_schemes,
        ),
    ] = False,
    inner: Annotated[
        str | None,
        typer.Option(help="Scheme of an inner cross-validation, for selection.", metavar="NAME"),
    ] = None,
    inner_param: Annotated[
        list[str] | None,
        typer.Option("--inner-param", help="Parameter of --inner.", metavar="NAME=VALUE"),
    ] = None,
    validation: Annotated[
        float | None,
        typer.Option(
            "--validation-share",
            help="Share of the training rows for model selection (default 0.1; 0: none).",
            min=0,
            max=1,
        ),
    ] = None,
    budgets: Annotated[
        str | None,
        typer.Option(help="Numbers of target labels: 16,32,64.", metavar="NUMBERS"),
    ] = None,
    min_distance: Annotated[
        float | None,
        typer.Option(
            help="Remove training rows within this composition distance (share of atoms that "
            "differ) of a test row."
        ),
    ] = None,
    thin: Annotated[
        float | None,
        typer.Option(help="Before the split, thin the table to this composition distance."),
    ] = None,
    config: options.ConfigFile = None,
    assign: options.Set = None,
    target: options.Target = None,
    id_col: options.IdCol = None,
    features: options.Features = None,
    seed: options.Seed = None,
    overwrite: options.OverwriteTable = False,
    *,
    reading: options.Reading,
) -> None:
    """Write id, formula, fold and part (train, val, target, test) of every row, fold by fold.

    No reduced formula is in two parts, except in a published protocol (matex) or with
    -p whole_formulas=false. `xtalshift audit` measures how far out of distribution the held-out
    rows are.
    """
    del schemes
    from xtalshift.data.readers import read_configured
    from xtalshift.data.several import check_columns
    from xtalshift.jobs.split import iter_parts, settle_split
    from xtalshift.splits import SPLITTERS
    from xtalshift.splits.fold_files import METADATA_KEY
    from xtalshift.splits.split_spec import SplitRecord, SplitSpec

    spec = options.build_settings(
        SplitSpec,
        config,
        assign,
        {
            "data.dataset": source,
            "data.target": target,
            "data.id_col": id_col,
            "data.features": features,
            **options.in_data(reading),
            "scheme": scheme,
            "params": options.read_params(param),
            "inner": inner,
            "inner_params": options.read_params(inner_param),
            "validation_share": validation,
            "budgets": options.read_numbers(budgets),
            "min_distance": min_distance,
            "thin": thin,
            "seed": seed,
        },
    )
    spec = settle_split(spec)
    check_columns(spec.data, out)
    check_output(out, source, config)
    refuse_loss(out, ("fold", "part"), ("prediction",), overwrite=overwrite)
    kinds = [SPLITTERS[name] for name in (spec.scheme, spec.inner) if name]
    table = read_configured(spec.data, need_target=any("y" in one.needs for one in kinds))
    progress = make_progress()
    if spec.data.target is None and table.target_name:
        progress.say(f"  target: {table.target_name}")
    folds: list[Fold] = []
    lines: list[str] = []
    unusable = 0
    with open_writer(out) as writer, progress.task("split", None) as task:
        for parts in iter_parts(table, spec, progress):
            writer.write(parts.frame)
            folds.append(parts.fold)
            unusable = int((parts.frame["status"][: len(table)] == "error").sum())
            lines.append(_describe(parts.fold, len(table) - unusable, len(parts.frame), len(table)))
            task.advance()
        notes = {fold.name: fold.note for fold in folds if fold.note}
        writer.describe(METADATA_KEY, json.dumps(SplitRecord.of(spec, notes).to_dict()))
    for line in lines[:_SHOWN]:
        typer.echo(line)
    if len(lines) > _SHOWN:
        typer.echo(f"... and {len(lines) - _SHOWN:,} more folds")
    if unusable:
        typer.echo(f"unusable {unusable:,} (see status and reason)")
    typer.echo(f"Split: {out}")


def _describe(fold: Fold, n_usable: int, n_written: int, n_table: int) -> str:
    counts = {name: len(rows) for name, rows in fold.parts.items()}
    counts["unused"] = n_usable - sum(counts.values())
    text = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
    n_inner = n_written // n_table - 1
    inner = f", {n_inner} inner folds" if n_inner else ""
    note = f"  ({fold.note})" if fold.note else ""
    return f"{fold.name + ': ' if fold.name else ''}{text}{inner}{note}"
