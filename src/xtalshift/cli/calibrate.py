"""``xtalshift calibrate``: the intervals of any model for a new region, from labels there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.parallel import count_cores, limited_threads

__all__ = ["calibrate_command"]


def calibrate_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a trained model.")],
    labelled: Annotated[
        str, typer.Argument(metavar="LABELLED", help="File with values of the new region.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the new model.", metavar="MODEL2")
    ],
    target: options.Target = None,
    formula_col: options.FormulaCol = None,
    id_col: options.IdCol = None,
    unit: options.Unit = None,
    duplicates: options.Duplicates = None,
    strict: options.Strict = None,
    device: options.Device = None,
    threads: options.Threads = None,
) -> None:
    """Make the intervals of a model those of a new region, and say what the former ones held.

    The predictions stay as they are; `adapt` changes those of networks too. The labels should be
    a random sample of the region, at least 10.
    """
    from xtalshift.jobs.adapt import calibrate
    from xtalshift.model import load_model, save_model
    from xtalshift.model.persist import check_new_model

    check_new_model(model, out)
    rows = options.read_labelled(
        labelled, target, formula_col, id_col, unit, duplicates=duplicates, strict=strict
    )
    with limited_threads(threads or count_cores()):  # as `train` and `adapt`, of this command only
        found = calibrate(load_model(model, device=device), rows, make_progress())
    save_model(found.model, out)
    name = f" {found.model.card.unit}" if found.model.card.unit else ""
    typer.echo(
        f"MAE on {found.n:,} labels: {found.mae:.4g}{name} (the mean of the labels: "
        f"{found.constant:.4g})"
    )
    before, after = found.widths
    if found.before is not None:
        typer.echo(
            f"The 90 % intervals of the model held {100 * found.before:.0f} % of them; their "
            f"median width was {before:.4g}{name} and is {after:.4g}{name} now"
        )
    else:
        typer.echo(f"Median width of the 90 % intervals: {after:.4g}{name}")
    typer.echo(options.describe_intervals(found.model))
    typer.echo(f"Model: {out}")
