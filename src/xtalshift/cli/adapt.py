"""``xtalshift adapt``: adapt a trained network to a new region with a few labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.data.writers import check_output
from xtalshift.methods import adapting_methods
from xtalshift.parallel import count_cores, limited_threads


@options.reads_labels
def adapt_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a trained network.")],
    labelled: Annotated[
        str, typer.Argument(metavar="LABELLED", help="File with values of the new region.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the new model.", metavar="MODEL2")
    ],
    source: Annotated[
        str | None,
        typer.Option(
            help="File (or data set) the model was trained on; its rows are replayed so that the "
            "network does not forget them. The options below hold for it, too, as far as they fit.",
            metavar="FILE",
        ),
    ] = None,
    source_target: Annotated[
        str | None, typer.Option(help="Target column of --source.", metavar="COL")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help=" | ".join(adapting_methods()) + ".",
            metavar="NAME",
        ),
    ] = "targeted-cal",
    calibration_folds: Annotated[
        int,
        typer.Option(
            help="Number of further adaptations, each without a part of the labels, to calibrate "
            "the intervals of the new region; 0: no intervals.",
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
    *,
    labels: options.Reading,
) -> None:
    """Adapt a network to a new region, and print its error there before and after.

    A fifth of the labels is held out to select the parameters and to measure this error.
    """
    from xtalshift.cal.adaptation import ADAPTATIONS, AdaptConfig
    from xtalshift.config import parse_assignment, set_nested
    from xtalshift.data.settings import DataConfig
    from xtalshift.jobs.adapt import adapt, source_like
    from xtalshift.model import load_model, save_model
    from xtalshift.model.persist import check_model_folder

    check_output(out, model, labelled, source, replaces_model=True)
    check_model_folder(out)
    values: dict[str, Any] = {"method": method}
    for text in assign or []:
        set_nested(values, *parse_assignment(text))
    config = AdaptConfig.from_dict(values)
    rows = DataConfig.from_dict({"dataset": labelled, **labels})
    replay = None
    if source is not None:
        replay = source_like(rows, source, source_target)
    cores = threads or count_cores()
    # the adaptations of the folds share the cores, one each; a single one has them all
    with limited_threads(1 if calibration_folds else cores):
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
    unit = adapted.model.card.unit
    scaled = (
        "" if adapted.model.scale.name == "none" else f" (of the {adapted.model.scale.name} scale)"
    )
    typer.echo(
        f"{config.method}: {adapted.n_target:,} target rows"
        + (f", {adapted.n_source:,} source rows replayed" if adapted.n_source else "")
    )
    shown = f" {unit}" if unit and not scaled else ""
    # with too few labels to hold any out, all of them served for both
    uses_labels = ADAPTATIONS[config.method].uses_labels
    held_out = adapted.n_validation < adapted.n_target or not uses_labels
    apart = "held-out " if held_out else "fitted "
    chose = (
        " (which selected the parameters)" if held_out else " (too few to hold any out: no test)"
    )
    kind = "target" if uses_labels else "source"
    typer.echo(
        f"MAE on {adapted.n_validation:,} {apart}{kind} rows{scaled}{chose}: "
        f"{adapted.before:.4g}{shown} before, {adapted.after:.4g}{shown} after "
        f"(the mean of the labels: {adapted.constant:.4g})"
    )
    if kind == "target" and adapted.after > adapted.before:
        typer.echo(
            "warning: the adaptation increased the error; keep the first model, or try --method "
            "head-only, a smaller --set learning_rate=1e-4 or more labels"
        )
    typer.echo(options.describe_intervals(adapted.model))
    typer.echo(f"Model: {out}")
