"""``xtalshift train``: a model of all rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress

__all__ = ["train_command"]


def train_command(
    source: Annotated[str, typer.Argument(metavar="IN", help="File, or name of a data set.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the model.", metavar="MODEL")],
    target: options.Target = None,
    method: Annotated[
        str, typer.Option(help="dummy | ridge | lightgbm | erm | cal | cal-eps0.", metavar="NAME")
    ] = "erm",
    config: options.ConfigFile = None,
    assign: options.Set = None,
    formula_col: options.FormulaCol = None,
    id_col: options.IdCol = None,
    unit: options.Unit = None,
    feature_cols: options.FeatureCols = None,
    features: options.Features = None,
    transform: options.Transform = None,
    duplicates: options.Duplicates = None,
    hydrates: options.Hydrates = None,
    strict: options.Strict = None,
    seed: options.Seed = None,
    device: options.Device = None,
    threads: options.Threads = None,
) -> None:
    """Train one method on all rows (a tenth of them chooses the parameters) and save it."""
    settings = options.build_config(
        config,
        assign,
        {
            "seed": seed,
            "methods": [method],
            "device": device,
            "threads": threads,
            "data.dataset": source,
            "data.target": target,
            "data.formula_col": formula_col,
            "data.id_col": id_col,
            "data.unit": unit,
            "data.feature_cols": options.split_names(feature_cols),
            "data.features": features,
            "data.transform": transform,
            "data.duplicates": duplicates,
            "data.hydrates": hydrates,
            "data.strict": strict,
        },
    )
    options.limit_threads(settings.threads)
    from xtalshift.benchmark.train import train
    from xtalshift.estimators.persist import check_model_folder, save_model

    check_model_folder(out)
    trained = train(settings, method, progress=make_progress())
    save_model(trained.model, out)
    unit = trained.model.card_.unit
    typer.echo(
        f"{method}: validation MAE {trained.val_mae:.4g}{f' {unit}' if unit else ''} "
        f"(the mean: {trained.val_mae_dummy:.4g}), {trained.n_train:,} training and "
        f"{trained.n_validation:,} validation rows "
        "(materials like the training data)"
    )
    typer.echo(f"Model: {out}")
