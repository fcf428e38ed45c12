"""``xtalshift calibrate``: calibrate the intervals of a model on labels of a new region."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.data.writers import check_output
from xtalshift.parallel import count_cores, limited_threads
from xtalshift.words import plural

if TYPE_CHECKING:
    from xtalshift.data.settings import DataConfig
    from xtalshift.jobs.adapt import Calibrated, CalibratedClasses


@options.reads_labels
def calibrate_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=options.MODEL)],
    labelled: Annotated[
        str, typer.Argument(metavar="LABELLED", help="File with values of the new region.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the new model.", metavar="MODEL2")
    ],
    device: options.Device = None,
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
    *,
    labels: options.Reading,
) -> None:
    """Calibrate the intervals of a model on labels of a new region; predictions do not change.

    Of a model of classes, its probabilities and prediction sets.

    Give at least 10 labels that are a random sample of the region. For networks, `adapt` improves
    the predictions too.
    """
    from xtalshift.data.readers import check_source
    from xtalshift.data.settings import DataConfig
    from xtalshift.data.several import check_columns

    check_source(labelled)  # before PyTorch is imported, which takes seconds
    rows = DataConfig.from_dict({"dataset": labelled, **labels})
    check_columns(rows, out)
    check_output(out, model, labelled, replaces_model=True)
    from xtalshift.jobs.adapt import calibrate
    from xtalshift.model import load_model, save_model
    from xtalshift.model.persist import check_model_folder
    from xtalshift.model.several_folder import holds_several

    if holds_several(model):
        _calibrate_several(model, rows, out, device, threads, overwrite=overwrite)
        return
    check_model_folder(out, overwrite=overwrite)
    with limited_threads(threads or count_cores()):  # as `train` and `adapt`, of this command only
        found = calibrate(load_model(model, device=device), rows, make_progress())
    save_model(found.model, out)
    _print_found(found)
    typer.echo(f"Model: {out}")


def _calibrate_several(
    model: Path,
    rows: DataConfig,
    out: Path,
    device: str | None,
    threads: int | None,
    *,
    overwrite: bool,
) -> None:
    """Calibrate each of several targets that the file has a column of."""
    from xtalshift.jobs.adapt import calibrate
    from xtalshift.jobs.several_labels import use_labels
    from xtalshift.model import load_models
    from xtalshift.model.several_folder import check_models_folder, save_models

    check_models_folder(out, overwrite=overwrite)
    progress = make_progress()

    with limited_threads(threads or count_cores()):
        found = use_labels(
            load_models(model, device=device), rows, partial(calibrate, progress=progress), progress
        )
    save_models(found.models, out)
    for name, part in found.parts.items():
        typer.echo(f"Target {name}")
        _print_found(part)
    typer.echo(options.describe_joint(found.models))
    typer.echo(f"Models: {out}")


def _print_found(found: Calibrated | CalibratedClasses) -> None:
    from xtalshift.jobs.adapt import CalibratedClasses

    if isinstance(found, CalibratedClasses):
        _print_classes(found)
    else:
        _print_intervals(found)


def _print_intervals(found: Calibrated) -> None:
    name = f" {found.model.card.unit}" if found.model.card.unit else ""
    typer.echo(
        f"MAE on {plural(found.n, 'label')}: {found.mae:.4g}{name} (the mean of the labels: "
        f"{found.constant:.4g})"
    )
    before, after = found.widths
    if found.before is not None:
        typer.echo(
            f"The former 90 % intervals contained {100 * found.before:.0f} % of the labels; the "
            f"median width was {before:.4g}{name} and is now {after:.4g}{name}"
        )
    else:
        typer.echo(f"Median width of the 90 % intervals: {after:.4g}{name}")
    typer.echo(options.describe_intervals(found.model))


def _print_classes(found: CalibratedClasses) -> None:
    typer.echo(
        f"Accuracy on {plural(found.n, 'label')}: {100 * found.accuracy:.0f} %; log loss "
        f"{found.log_loss:.4g} (the shares of their classes: {found.constant:.4g})"
    )
    before, after = found.sizes
    if found.before is not None:
        typer.echo(
            f"The former 90 % sets contained the class of {100 * found.before:.0f} % of the "
            f"labels; they had {before:.3g} classes on average and now have {after:.3g}"
        )
    else:
        typer.echo(f"Classes in the 90 % sets on average: {after:.3g}")
    typer.echo(options.describe_sets(found.model))
