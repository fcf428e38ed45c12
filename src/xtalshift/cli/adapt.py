"""``xtalshift adapt``: adapt a trained model to a new region with a few labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.data.writers import check_output
from xtalshift.errors import ConfigError, UsageError
from xtalshift.methods import adapting_methods
from xtalshift.parallel import count_cores, limited_threads
from xtalshift.registry import near_miss
from xtalshift.words import plural

if TYPE_CHECKING:
    from xtalshift.cal.adaptation import AdaptConfig
    from xtalshift.data.settings import DataConfig
    from xtalshift.jobs.adapt import Adapted
    from xtalshift.model import FittedClassifier, FittedModel
    from xtalshift.model.label_judges import CrossFit
    from xtalshift.model.several import AnyModel


@options.reads_labels
def adapt_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=options.MODEL)],
    labelled: Annotated[
        str, typer.Argument(metavar="LABELLED", help="File with values of the new region.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the new model.", metavar="MODEL2")
    ],
    source: Annotated[
        str | None,
        typer.Option(
            help="File (or data set) the model was trained on, whose rows are replayed. auto knows "
            "them, unless the model has extra columns; a network may forget them without this. The "
            "options below hold for it, too, as far as they fit.",
            metavar="FILE",
        ),
    ] = None,
    source_target: Annotated[
        str | None, typer.Option(help="Target column of --source.", metavar="COL")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="auto (for any model) | for networks: " + " | ".join(adapting_methods()) + ".",
            metavar="NAME",
        ),
    ] = "auto",
    calibration_folds: Annotated[
        int,
        typer.Option(
            help="Number of further adaptations, each without a part of the labels, that judge the "
            "adaptation and calibrate the intervals of the new region; 0: neither. auto needs "
            "none.",
            min=0,
            max=1000,
        ),
    ] = 5,
    assign: Annotated[
        list[str] | None,
        typer.Option("--set", help="Other settings: steps=800, cal.epsilon=0.2.", metavar="N=V"),
    ] = None,
    seed: options.Seed = None,
    device: options.Device = None,
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
    *,
    labels: options.Reading,
) -> None:
    """Adapt a model to a new region, and print its error there before and after.

    Of models of several targets, each that the file has a column of.

    auto tries corrections of the model, fitted to parts of the labels, and combines them. The other
    methods train a network further; a fifth of the labels that they see selects the parameters. If
    that is no better on labels that neither saw, the predictions stay as they are.
    """
    from xtalshift.data.readers import check_source
    from xtalshift.data.settings import DataConfig
    from xtalshift.data.several import check_columns

    config = _settings(method, assign or [])
    check_source(labelled)  # before PyTorch is imported, which takes seconds
    rows = DataConfig.from_dict({"dataset": labelled, **labels})
    check_columns(rows, out)
    check_output(out, model, labelled, source, replaces_model=True)
    from xtalshift.jobs.adapt import source_like
    from xtalshift.model import load_model
    from xtalshift.model.persist import check_model_folder
    from xtalshift.model.several_folder import check_models_folder, holds_several

    several = holds_several(model)
    (check_models_folder if several else check_model_folder)(out, overwrite=overwrite)
    how: dict[str, Any] = {
        "calibration_folds": calibration_folds,
        "seed": seed or 0,
        "threads": threads,
    }
    if several:
        _adapt_several(Path(model), rows, out, config, source, device, **how)
        return
    start, replay = load_model(model, device=device), None
    if source is not None:
        crystals = start.featurizer.needs_structures
        replay = source_like(rows, source, source_target, crystals=crystals)
    adapt_to_file(start, rows, out, config, source=replay, **how)


def adapt_to_file(
    model: FittedModel | FittedClassifier,
    rows: DataConfig,
    out: Path,
    config: AdaptConfig | None = None,
    *,
    source: DataConfig | None = None,
    calibration_folds: int = 0,
    seed: int = 0,
    threads: int | None = None,
) -> None:
    """Adapt a model to the rows of a file, save it, and say what became of the error."""
    from xtalshift.jobs.adapt import adapt
    from xtalshift.model import save_model

    cores = threads or count_cores()
    # the adaptations of the folds share the cores, one each; a single one has them all
    with limited_threads(1 if calibration_folds and config is not None else cores):
        adapted = adapt(
            model,
            rows,
            config,
            source=source,
            calibration_folds=calibration_folds,
            seed=seed,
            workers=cores,
            progress=make_progress(),
        )
    save_model(adapted.model, out)
    _say_adapted(adapted, config)
    typer.echo(f"Model: {out}")


def _adapt_several(
    model: Path,
    rows: DataConfig,
    out: Path,
    config: AdaptConfig | None,
    source: str | None,
    device: str | None,
    *,
    calibration_folds: int,
    seed: int,
    threads: int | None,
) -> None:
    """Adapt each of several targets that the file has a column of."""
    from xtalshift.jobs.adapt import adapt, source_like
    from xtalshift.jobs.several_labels import use_labels
    from xtalshift.model import load_models
    from xtalshift.model.several_folder import save_models

    cores, progress = threads or count_cores(), make_progress()

    def one(start: AnyModel, own: DataConfig) -> Adapted[Any]:
        replay, crystals = None, start.featurizer.needs_structures
        if source is not None:
            replay = source_like(own, source, own.target, crystals=crystals)
        return adapt(
            start,
            own,
            config,
            source=replay,
            calibration_folds=calibration_folds,
            seed=seed,
            workers=cores,
            progress=progress,
        )

    with limited_threads(1 if calibration_folds and config is not None else cores):
        adapted = use_labels(load_models(model, device=device), rows, one, progress)
    save_models(adapted.models, out)
    for name, part in adapted.parts.items():
        typer.echo(f"Target {name}")
        _say_adapted(part, config)
    typer.echo(options.describe_joint(adapted.models))
    typer.echo(f"Models: {out}")


def _say_adapted(adapted: Adapted[Any], config: AdaptConfig | None) -> None:
    """Print what became of a model."""
    from xtalshift.model import FittedClassifier

    method = "auto" if config is None else config.method
    typer.echo(
        f"{method}: {adapted.n_target:,} target rows"
        + (f", {adapted.n_source:,} source rows replayed" if adapted.n_source else "")
    )
    typer.echo(_describe(adapted, method))
    model = adapted.model
    typer.echo(
        options.describe_sets(model)
        if isinstance(model, FittedClassifier)
        else options.describe_intervals(model)
    )


def _settings(method: str, assign: list[str]) -> AdaptConfig | None:
    """Return the settings of an adaptation of a network, or None for ``auto``."""
    if method == "auto":
        if assign:
            raise ConfigError(f"--method auto has no settings; leave out --set {assign[0]}")
        return None
    known = adapting_methods()
    if method not in known:  # before PyTorch is imported
        hint = near_miss(method, known)
        raise UsageError(f"unknown method {method!r}{hint}. Known: auto, {', '.join(known)}")
    from xtalshift.cal.adaptation import AdaptConfig
    from xtalshift.config import parse_assignment, set_nested

    values: dict[str, Any] = {"method": method}
    for text in assign:
        set_nested(values, *parse_assignment(text))
    return AdaptConfig.from_dict(values)


def _describe(adapted: Adapted[Any], method: str) -> str:
    """Return the errors before and after, and what was decided."""
    from xtalshift.model import FittedClassifier

    found, card = adapted.found, adapted.model.card
    if found is None:
        return f"{method} was not judged by labels that it did not see; its error is unknown"
    shown = f" {card.unit}" if card.unit else ""
    error_name, constant = "MAE", "the mean of the other labels"
    if isinstance(adapted.model, FittedClassifier):
        error_name, constant = "Log loss", "the shares of the classes of the other labels"
    sizes = [f"{error:.4g}{shown}" for error in (found.before, found.after, found.constant)]
    if found.factors is not None:
        sizes = [
            f"{size} (typically a factor of {factor:.3g})"
            for size, factor in zip(sizes, found.factors, strict=True)
        ]
    if found.kept and found.before == found.after:  # no correction is worth naming
        return (
            f"{error_name} on {plural(found.n, 'label')}: {sizes[0]} ({constant}: {sizes[2]})\n"
            f"{_stays(found, method)}"
        )
    error = found.standard_error
    gain = "" if error is None else f"; the difference is uncertain by {error:.2g}{shown}"
    text = (
        f"{error_name} on {plural(found.n, 'label')}, each held out in turn: {sizes[0]} before, "
        f"{sizes[1]} after ({constant}: {sizes[2]}{gain})"
    )
    if found.kept:
        return f"{text}\n{_stays(found, method)}"
    members = card.provenance.get("members")
    return text if members is None else f"{text}\n{options.describe_members(members)}"


def _stays(found: CrossFit, method: str) -> str:
    where = " on the log scale" if found.factors is not None else ""
    return (
        f"The predictions stay as they are, and so does the domain: {method} did not lower the "
        f"error{where} by more than chance would. To use the labels, add them to the training "
        "table and train again; --measured keeps `suggest` from naming them"
    )
