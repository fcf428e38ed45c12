"""``xtalshift adapt``: adapt a trained model to a new region with a few labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.data.writers import check_output
from xtalshift.errors import ConfigError
from xtalshift.methods import adapting_methods
from xtalshift.parallel import count_cores, limited_threads

if TYPE_CHECKING:
    from xtalshift.cal.adaptation import AdaptConfig
    from xtalshift.jobs.adapt import Adapted


@options.reads_labels
def adapt_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a trained model.")],
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
            help="Number of further adaptations, each without a part of the labels, to calibrate "
            "the intervals of the new region; 0: no intervals. auto needs none.",
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

    auto tries corrections of the model, fitted to parts of the labels, and combines them. If that
    is no better on the other labels, the predictions stay as they are. The other methods train a
    network further; a fifth of the labels selects the parameters and measures the error.
    """
    from xtalshift.data.settings import DataConfig
    from xtalshift.jobs.adapt import adapt, source_like
    from xtalshift.model import load_model, save_model
    from xtalshift.model.persist import check_model_folder

    check_output(out, model, labelled, source, replaces_model=True)
    check_model_folder(out, overwrite=overwrite)
    config = _settings(method, assign or [])
    rows = DataConfig.from_dict({"dataset": labelled, **labels})
    replay = None
    if source is not None:
        replay = source_like(rows, source, source_target)
    cores = threads or count_cores()
    # the adaptations of the folds share the cores, one each; a single one has them all
    with limited_threads(1 if calibration_folds and config is not None else cores):
        adapted = adapt(
            load_model(model, device=device),
            rows,
            config,
            source=replay,
            calibration_folds=calibration_folds,
            seed=seed or 0,
            workers=cores,
            progress=make_progress(),
        )
    save_model(adapted.model, out)
    typer.echo(
        f"{method}: {adapted.n_target:,} target rows"
        + (f", {adapted.n_source:,} source rows replayed" if adapted.n_source else "")
    )
    typer.echo(_describe_stack(adapted) if config is None else _describe_network(adapted, config))
    typer.echo(options.describe_intervals(adapted.model))
    typer.echo(f"Model: {out}")


def _settings(method: str, assign: list[str]) -> AdaptConfig | None:
    """Return the settings of an adaptation of a network, or None for ``auto``."""
    if method == "auto":
        if assign:
            raise ConfigError(f"--method auto has no settings; leave out --set {assign[0]}")
        return None
    from xtalshift.cal.adaptation import AdaptConfig
    from xtalshift.config import parse_assignment, set_nested

    values: dict[str, Any] = {"method": method}
    for text in assign:
        set_nested(values, *parse_assignment(text))
    return AdaptConfig.from_dict(values)


def _describe_stack(adapted: Adapted) -> str:
    """Return the errors before and after, and the members."""
    card = adapted.model.card
    shown = f" {card.unit}" if card.unit else ""
    error = adapted.standard_error
    gain = "" if error is None else f"; the difference is uncertain by {error:.2g}"
    errors = (
        f"MAE on {adapted.n_validation:,} labels, each held out in turn: "
        f"{adapted.before:.4g}{shown} before, {adapted.after:.4g}{shown} after "
        f"(the mean of the other labels: {adapted.constant:.4g}{'' if adapted.kept else gain})"
    )
    if adapted.kept:
        return (
            f"{errors}\nThe predictions stay as they are: no correction lowered the error by more "
            "than chance would"
        )
    return f"{errors}\n{options.describe_members(card.provenance['members'])}"


def _describe_network(adapted: Adapted, config: AdaptConfig) -> str:
    """Return the errors before and after, and a warning if they increased."""
    from xtalshift.cal.adaptation import ADAPTATIONS

    card, scale = adapted.model.card, adapted.model.scale.name
    scaled = "" if scale == "none" else f" (of the {scale} scale)"
    shown = f" {card.unit}" if card.unit and not scaled else ""
    # with too few labels to hold any out, all of them served for both
    uses_labels = ADAPTATIONS[config.method].uses_labels
    held_out = adapted.n_validation < adapted.n_target or not uses_labels
    apart = "held-out " if held_out else "fitted "
    chose = (
        " (which selected the parameters)" if held_out else " (too few to hold any out: no test)"
    )
    kind = "target" if uses_labels else "source"
    text = (
        f"MAE on {adapted.n_validation:,} {apart}{kind} rows{scaled}{chose}: "
        f"{adapted.before:.4g}{shown} before, {adapted.after:.4g}{shown} after "
        f"(the mean of the labels: {adapted.constant:.4g})"
    )
    if kind == "target" and adapted.after > adapted.before:
        text += (
            "\nwarning: the adaptation increased the error; keep the first model, or try --method "
            "auto, a smaller --set learning_rate=1e-4 or more labels"
        )
    return text
