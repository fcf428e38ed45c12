"""``xtalshift train``: train a model on a table."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.data.writers import check_output, open_writer, refuse_loss
from xtalshift.errors import ConfigError, DataError
from xtalshift.methods import saved_methods
from xtalshift.progress import resumable

if TYPE_CHECKING:
    from xtalshift.jobs.train import Trained, TrainedClasses
    from xtalshift.methods import MethodSettings


@options.reads_table
def train_command(
    source: Annotated[str, typer.Argument(metavar="IN", help="File, or name of a data set.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the model.", metavar="MODEL")],
    target: options.Target = None,
    method: Annotated[
        str,
        typer.Option(
            help=" | ".join(saved_methods()) + ", or your own: FILE.py:NAME, a regressor of this "
            "package in the file, or a function that returns one (scikit-learn's cannot be saved).",
            metavar="NAME",
        ),
    ] = "auto",
    intervals: Annotated[
        str | None,
        typer.Option(
            help="How to calibrate prediction intervals: held-out (a tenth of the rows) | cross (5 "
            "further trainings) | none | auto (default: cross below 1,000 rows, else held-out).",
            metavar="NAME",
        ),
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option(
            help="File that 'xtalshift split' wrote: train on its training rows and select on its "
            "validation rows only.",
            metavar="FILE",
        ),
    ] = None,
    fold: Annotated[int, typer.Option(help="Fold of --split.", min=0)] = 0,
    save_adversarial: Annotated[
        Path | None,
        typer.Option(
            help="Write the training rows after the attack of cal (.csv or .parquet); crystals "
            "also as CIF files, in the folder of that name without suffix.",
            metavar="FILE",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Wall minutes that the fit of auto may take (above 0); members that there is no "
            "time for are left out and named. The result then depends on the speed of the machine.",
            metavar="M",
            min=1e-5,
        ),
    ] = None,
    config: options.ConfigFile = None,
    assign: options.Set = None,
    id_col: options.IdCol = None,
    weight_col: options.WeightCol = None,
    uncertainty_col: options.UncertaintyCol = None,
    unit: options.Unit = None,
    task: options.Task = None,
    class_order: options.ClassOrder = None,
    feature_cols: options.FeatureCols = None,
    features: options.Features = None,
    transform: options.Transform = None,
    duplicates: options.Duplicates = None,
    bounds: options.Bounds = None,
    strict: options.Strict = None,
    seed: options.Seed = None,
    device: options.Device = None,
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
    *,
    reading: options.Reading,
) -> None:
    """Train a model on a table and save it.

    auto, the default, combines methods and holds out no rows: its folds choose the weights and
    calibrate the intervals. Other methods hold out a tenth of the rows to select the parameters,
    and another tenth to calibrate the intervals. A model at -o is replaced only with --overwrite.
    The same command continues an interrupted training.
    """
    settings = options.build_config(
        config,
        assign,
        {
            "seed": seed,
            "methods": [method],
            "device": device,
            "threads": threads,
            "intervals.method": intervals,
            "data.dataset": source,
            "data.target": target,
            "data.id_col": id_col,
            "data.weight_col": weight_col,
            "data.uncertainty_col": uncertainty_col,
            "data.unit": unit,
            "data.task": task,
            "data.class_order": class_order,
            "data.feature_cols": options.join_lists(feature_cols),
            "data.features": features,
            "data.transform": transform,
            "data.duplicates": duplicates,
            "data.bounds": bounds,
            **options.in_data(reading),
            "data.strict": strict,
        },
    )
    from xtalshift.jobs.train import TrainedClasses, method_to_save, train
    from xtalshift.model.persist import check_model_folder, save_model

    check_output(out, source, split, config, replaces_model=True)
    check_model_folder(out, overwrite=overwrite)
    crystals = None
    if save_adversarial is not None:
        check_output(save_adversarial, source, split, config)
        crystals = _check_adversarial(save_adversarial, out, method, settings, overwrite=overwrite)
    method = method_to_save(method, settings)
    # a hidden file next to the model: after a kill, the same command continues
    place = Path(os.path.abspath(out))  # noqa: PTH100 - "missing/../folder" is the folder
    checkpoint = place.with_name(f".{place.name}.checkpoint")
    # opened first, so that a bad place is found before the training
    with (
        open_writer(save_adversarial) if save_adversarial else nullcontext() as writer,
        resumable(lambda: _describe_kept(checkpoint)),
    ):
        trained = train(
            settings,
            method,
            split=split,
            fold=fold,
            minutes=minutes,
            progress=make_progress(),
            checkpoint=checkpoint,
            attack=save_adversarial is not None,
        )
        save_model(trained.model, out)
        checkpoint.unlink(missing_ok=True)  # of an earlier training that was stopped
        adversarial = None if isinstance(trained, TrainedClasses) else trained.adversarial
        if writer is not None and adversarial is not None:
            writer.write(adversarial.frame)
            if crystals is not None:
                adversarial.write_structures(crystals)
    if isinstance(trained, TrainedClasses):
        _print_classes(trained, method)
        typer.echo(f"Model: {out}")
        return
    _print_numbers(trained, method)
    typer.echo(f"Model: {out}")
    if save_adversarial is not None:
        shown = ""
        if trained.adversarial is not None:
            frame = trained.adversarial.frame
            moved = int((frame["displacement_rms"] > 0).sum())
            shown = f" ({moved:,} of {len(frame):,} moved)"
            if crystals is not None:
                shown += f"; as CIF files: {crystals}/"
        typer.echo(f"Adversarial rows: {save_adversarial}{shown}")


def _print_numbers(trained: Trained, method: str) -> None:
    """Print what a training of numbers has found."""
    unit = trained.model.card.unit
    members = trained.model.card.provenance.get("members")
    errors = (
        f"MAE {trained.val_mae:.4g}{f' {unit}' if unit else ''} "
        f"(training mean: {trained.val_mae_dummy:.4g})"
    )
    if members:
        where = f"of {trained.n_validation:,} rows, each predicted by fits to others"
    else:
        where = f"{trained.n_train:,} training and {trained.n_validation:,} validation rows"
    kind = "cross-fit" if members else "validation"
    typer.echo(f"{method}: {kind} {errors}, {where} (materials like the training data)")
    if trained.val_mae >= trained.val_mae_dummy and method != "dummy":
        typer.echo(
            "warning: this is no better than predicting the mean of the training targets: the rows "
            "are too few, or their composition does not tell the target",
            err=True,
        )
    if members:
        typer.echo(options.describe_members(members))
    typer.echo(options.describe_intervals(trained.model))


def _print_classes(trained: TrainedClasses, method: str) -> None:
    """Print what a training of classes has found."""
    scores, model = trained.scores, trained.model
    members = model.card.provenance.get("members")
    where = f"{trained.n_train:,} training and {trained.n_validation:,} validation rows"
    if members:
        where = f"{trained.n_validation:,} rows, each predicted by fits to others"
    typer.echo(f"Classes: {(' < ' if model.ordered else ', ').join(model.classes)}")
    typer.echo(
        f"{method}: {'cross-fit' if members else 'validation'} {options.describe_scores(scores)}; "
        f"{where} (materials like the training data)"
    )
    if scores.log_loss_over_dummy >= 1 and method != "dummy":
        typer.echo(
            "warning: this is no better than predicting the shares of the classes: the rows are "
            "too few, or their composition does not tell the class",
            err=True,
        )
    if members:
        typer.echo(options.describe_members(members))
    typer.echo(options.describe_sets(model))


def _check_adversarial(
    file: Path, out: Path, method: str, settings: MethodSettings, *, overwrite: bool
) -> Path | None:
    """Refuse, before the work, what cannot be written; return the folder of crystals, if any."""
    if file.resolve().is_relative_to(out.resolve()):
        raise ConfigError(f"{file} is in the folder of the model, {out}; choose another place")
    if not method.startswith("cal"):
        raise ConfigError(f"--save-adversarial needs --method cal; {method} has no attack")
    refuse_loss(file, ("displacement_rms",), overwrite=overwrite)
    if not method.startswith("cal-crystal") and settings.cal.attack != "structure":
        return None
    folder = file.with_suffix("")
    if folder.is_file() or (folder.exists() and not overwrite):
        raise DataError(
            f"{folder} exists, and the crystals go to a folder of this name; choose another place"
            + ("" if folder.is_file() else ", or give --overwrite")
        )
    return folder


def _describe_kept(checkpoint: Path) -> str:
    """Return where the training was kept that was stopped, an empty text if it had not begun."""
    if not checkpoint.exists():
        return ""
    return f"The training so far is kept in {checkpoint}; run the same command to continue it."
