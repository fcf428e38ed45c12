"""``xtalshift train``: train a model on a table."""

from __future__ import annotations

import os
from collections.abc import Mapping
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
from xtalshift.words import plural

if TYPE_CHECKING:
    from xtalshift.data.settings import DataConfig
    from xtalshift.jobs.adversarial import AdversarialTable
    from xtalshift.jobs.run_settings import RunConfig
    from xtalshift.jobs.train import Trained, TrainedClasses, TrainedOnFidelities
    from xtalshift.methods import MethodSettings


@options.reads_targets
def train_command(
    source: Annotated[str, typer.Argument(metavar="IN", help="File, or name of a data set.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the model.", metavar="MODEL")],
    target: options.Targets = None,
    method: Annotated[
        str,
        typer.Option(
            help=" | ".join(saved_methods()) + ", or your own: FILE.py:NAME, a regressor of this "
            "package in the file, or a function that returns one (scikit-learn's cannot be saved).",
            metavar="NAME",
        ),
    ] = "auto",
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Start from a ready model ('xtalshift models list') or a saved one: corrections "
            "of its predictions are fitted to the rows of IN, and kept if they lower the error on "
            "rows held out in turn, as 'xtalshift adapt MODEL IN' does.",
            metavar="MODEL",
        ),
    ] = None,
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
    fidelity_col: options.FidelityCol = None,
    fidelity: options.Fidelity = None,
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
    """Train a model on a table and save it; several targets (A,B) give one model for each.

    auto, the default, combines methods and holds out no rows: its folds choose the weights and
    calibrate the intervals. Other methods hold out a tenth of the rows to select the parameters,
    and another tenth to calibrate the intervals. A model at -o is replaced only with --overwrite.
    The same command continues an interrupted training.
    """
    if start is not None:
        fixed = {
            "--method": method,
            "--intervals": intervals,
            "--split": split,
            "--save-adversarial": save_adversarial,
            "--minutes": minutes,
            "--config": config,
            "--set": assign,
            "--feature-cols": feature_cols,
            "--features": features,
            "--transform": transform,
            "--bounds": bounds,
            "--task": reading.get("task"),
            "--class-order": reading.get("class_order"),
            "--fidelity-col": fidelity_col,
        }
        labels = {
            "target": target,
            "id_col": id_col,
            "weight_col": weight_col,
            "uncertainty_col": uncertainty_col,
            "unit": unit,
            "duplicates": duplicates,
            "strict": strict,
            **reading,
        }
        _train_from(start, source, out, fixed, labels, seed, device, threads, overwrite=overwrite)
        return
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
            "data.feature_cols": options.join_lists(feature_cols),
            "data.features": features,
            "data.transform": transform,
            "data.duplicates": duplicates,
            "data.bounds": bounds,
            **options.in_data(reading),
            "data.strict": strict,
            "fidelity.column": fidelity_col,
            "fidelity.values": options.split_names(fidelity),
        },
    )
    from xtalshift.data.readers import check_source
    from xtalshift.data.several import check_columns, settings_of_targets

    check_source(source)  # before PyTorch is imported, which takes seconds
    check_columns(settings.data, out)
    check_output(out, source, split, config, replaces_model=True)
    from xtalshift.jobs.train import TrainedClasses, method_to_save, train
    from xtalshift.model.persist import check_model_folder, save_model

    targets = settings_of_targets(settings.data)
    if len(targets) > 1:
        _refuse_for_several(
            {"--save-adversarial": save_adversarial, "--fidelity-col": settings.fidelity.column}
        )
        _train_several(settings, method, targets, out, split, fold, minutes, overwrite=overwrite)
        return
    settings = settings.model_copy(update={"data": next(iter(targets.values()))})
    check_model_folder(out, overwrite=overwrite)
    if settings.fidelity.column is not None:
        _refuse_beside("--fidelity-col", {"--split": split, "--save-adversarial": save_adversarial})
    read = (source, split, config)
    crystals = _check_adversarial(
        save_adversarial, out, method, settings, read, overwrite=overwrite
    )
    method = method_to_save(method, settings, minutes=minutes)
    checkpoint = _checkpoint(out)
    if settings.fidelity.column is not None:
        _train_on_fidelities(settings, method, out, checkpoint, minutes)
        return
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
    _say_trained(trained, method)
    typer.echo(f"Model: {out}")
    if save_adversarial is not None:
        _say_adversarial(adversarial, save_adversarial, crystals)


def _say_trained(trained: Trained | TrainedClasses, method: str) -> None:
    """Print what a training has found."""
    from xtalshift.jobs.train import TrainedClasses

    if isinstance(trained, TrainedClasses):
        _print_classes(trained, method)
        return
    _say_errors(trained, method)
    typer.echo(options.describe_intervals(trained.model))


def _say_adversarial(found: AdversarialTable | None, file: Path, crystals: Path | None) -> None:
    shown = ""
    if found is not None:
        frame = found.frame
        moved = int((frame["displacement_rms"] > 0).sum())
        shown = f" ({moved:,} of {len(frame):,} moved)"
        if crystals is not None:
            shown += f"; as CIF files: {crystals}/"
    typer.echo(f"Adversarial rows: {file}{shown}")


def _checkpoint(out: Path) -> Path:
    """Return a hidden file next to the model: after a kill, the same command continues."""
    place = Path(os.path.abspath(out))  # noqa: PTH100 - "missing/../folder" is the folder
    return place.with_name(f".{place.name}.checkpoint")


def _refuse_for_several(given: Mapping[str, object]) -> None:
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"{name} is for one target; name it alone")


def _train_several(
    settings: RunConfig,
    method: str,
    targets: Mapping[str, DataConfig],
    out: Path,
    split: Path | None,
    fold: int,
    minutes: float | None,
    *,
    overwrite: bool,
) -> None:
    """Train and save a model of several targets, and say how good it is for each."""
    from xtalshift.jobs.train import method_to_save
    from xtalshift.jobs.train_several import kept_of, train_several
    from xtalshift.model.several_folder import check_models_folder, save_models

    check_models_folder(out, overwrite=overwrite)
    method = method_to_save(method, settings, minutes=minutes)
    checkpoint = _checkpoint(out)
    with resumable(lambda: "".join(map(_describe_kept, kept_of(checkpoint)))):
        trained = train_several(
            settings,
            method,
            targets,
            split=split,
            fold=fold,
            minutes=minutes,
            progress=make_progress(),
            checkpoint=checkpoint,
        )
        save_models(trained.models, out)
        for kept in kept_of(checkpoint):
            kept.unlink()
    for name, part in trained.parts.items():
        typer.echo(f"Target {name}")
        _say_trained(part, method)
    typer.echo(options.describe_joint(trained.models))
    typer.echo(f"Models: {out}")


def _say_errors(trained: Trained, method: str) -> None:
    """Print the error of rows that the model was not fitted to, and its members."""
    unit = trained.model.card.unit
    members = trained.model.card.provenance.get("members")
    errors = (
        f"MAE {trained.val_mae:.4g}{f' {unit}' if unit else ''} "
        f"(training mean: {trained.val_mae_dummy:.4g})"
    )
    if members:
        where = f"of {plural(trained.n_validation, 'row')}, each predicted by fits to others"
    else:
        where = f"{trained.n_train:,} training and {plural(trained.n_validation, 'validation row')}"
    kind = "cross-fit" if members else "validation"
    where += _seen(trained)
    typer.echo(f"{method}: {kind} {errors}, {where} (materials like the training data)")
    if trained.val_mae >= trained.val_mae_dummy and method != "dummy":
        typer.echo(
            "warning: this is no better than predicting the mean of the training targets: the rows "
            "are too few, or their composition does not tell the target",
            err=True,
        )
    if members:
        typer.echo(options.describe_members(members))


def _seen(trained: Trained | TrainedClasses) -> str:
    """Return why some rows were not judged, an empty text if none was left out."""
    seen = trained.model.card.provenance.get("pretrained")
    known = seen["seen"] if isinstance(seen, dict) else 0
    number = min(known, len(trained.inputs.data) - trained.n_validation)
    if number < 1 or not trained.model.card.provenance.get("members"):
        return ""
    return (
        f" ({plural(number, 'row', 'is', 'are')} not among them, because the pretrained features "
        "have seen the material: they train, and judge nothing)"
    )


def _refuse_beside(option: str, others: Mapping[str, Path | None]) -> None:
    """Refuse options that do not go with another one."""
    given = next((name for name, path in others.items() if path is not None), None)
    if given is not None:
        raise ConfigError(f"{option} and {given} do not go together; leave one out")


def _train_on_fidelities(
    settings: RunConfig,
    method: str,
    out: Path,
    checkpoint: Path,
    minutes: float | None,
) -> None:
    """Train on values of two fidelities, save the model and print its errors."""
    from xtalshift.jobs.train import train_on_fidelities
    from xtalshift.model.persist import save_model

    with resumable(lambda: _describe_kept(checkpoint)):
        both = train_on_fidelities(
            settings,
            method,
            minutes=minutes,
            progress=make_progress(),
            checkpoint=checkpoint,
        )
    save_model(both.fitted.model, out)
    checkpoint.unlink(missing_ok=True)
    _say_fidelities(both, method)
    typer.echo(f"Model: {out}")


def _say_fidelities(both: TrainedOnFidelities, method: str) -> None:
    """Print what the rows of both fidelities are worth."""
    fitted, (high, low) = both.fitted, both.names
    card, found = fitted.model.card, fitted.found
    unit = f" {card.unit}" if card.unit else ""
    if found is None:
        typer.echo(f"{method}: trained on the {fitted.n_high:,} rows of {high!r} alone")
    else:
        alone = "" if fitted.alone is None else f"{fitted.alone:.4g} from {high!r} alone, "
        typer.echo(
            f"{method}: {high!r} from {plural(fitted.n_high, 'row')} of it and {fitted.n_low:,} of "
            f"{low!r}: MAE {found.after:.4g}{unit} of {plural(found.n, 'row')}, each predicted by "
            f"fits to others ({alone}{found.before:.4g} by the model of {low!r} as it is, "
            f"{found.constant:.4g} by the mean)"
        )
        if found.kept:
            typer.echo(
                f"warning: the predictions are those of {low!r}: nothing lowered their error on "
                f"{high!r}",
                err=True,
            )
    members = card.provenance.get("members")
    if members:
        typer.echo(options.describe_members(members))
    typer.echo(options.describe_intervals(fitted.model))


def _print_classes(trained: TrainedClasses, method: str) -> None:
    """Print what a training of classes has found."""
    scores, model = trained.scores, trained.model
    members = model.card.provenance.get("members")
    where = f"{trained.n_train:,} training and {plural(trained.n_validation, 'validation row')}"
    if members:
        where = f"{plural(trained.n_validation, 'row')}, each predicted by fits to others"
    where += _seen(trained)
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


def _train_from(
    start: str,
    source: str,
    out: Path,
    fixed: Mapping[str, object],
    labels: Mapping[str, object],
    seed: int | None,
    device: str | None,
    threads: int | None,
    *,
    overwrite: bool,
) -> None:
    """Adapt a saved model to a table; `fixed` are options that the saved model decides."""
    from xtalshift.cli.adapt import adapt_to_file
    from xtalshift.data.settings import DataConfig
    from xtalshift.model import load_model
    from xtalshift.model.persist import check_model_folder

    for name, value in fixed.items():
        if value and (name, value) != ("--method", "auto"):
            raise ConfigError(
                f"{name} is not for --from: {start} keeps its features, its scale and its method. "
                "Leave it out, or train without --from"
            )
    check_output(out, start, source, replaces_model=True)
    check_model_folder(out, overwrite=overwrite)
    rows = {name: value for name, value in labels.items() if value is not None}
    model = load_model(start, device=device)
    card, column = model.card, rows.get("target")
    unit = f" in {card.unit}" if card.unit else ""
    typer.echo(
        f"From {start}: {card.target_name}{unit}, {card.conditions or 'conditions not stated'}. "
        f"Corrections of its predictions are fitted to the rows of {source}; the model itself is "
        "not trained again"
    )
    if column not in {None, card.target_name}:
        typer.echo(
            f"{source}: the column {column!r} is taken for the same property"
            + ("" if rows.get("unit") or not card.unit else f",{unit} (--unit states another)")
            + ". If it is another one, train without --from"
        )
    data = DataConfig.from_dict({"dataset": source, **rows})
    adapt_to_file(model, data, out, seed=seed or 0, threads=threads)


def _check_adversarial(
    file: Path | None,
    out: Path,
    method: str,
    settings: MethodSettings,
    read: tuple[str | Path | None, ...],
    *,
    overwrite: bool,
) -> Path | None:
    """Refuse, before the work, what cannot be written; return the folder of crystals, if any."""
    if file is None:
        return None
    check_output(file, *read)
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
