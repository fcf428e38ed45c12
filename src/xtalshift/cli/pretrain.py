"""``xtalshift pretrain``: train an encoder of compositions on several tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.data.writers import check_output, refuse_existing
from xtalshift.parallel import count_cores, limited_threads


def pretrain_command(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the encoder.", metavar="FOLDER")
    ],
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TABLE...", help="Files or data sets with a target, or those of --config."
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="File or data set whose formulas are left out, so that it can test methods that "
            "use the encoder. Repeatable.",
            metavar="TABLE",
        ),
    ] = None,
    config: options.ConfigFile = None,
    assign: options.Set = None,
    seed: options.Seed = None,
    threads: options.Threads = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Train an encoder of compositions for the features 'pretrained:FOLDER'.

    A small network learns the targets of all tables at once; its last layer is the features. The
    file of --config may say more about each of its [[tables]]: column, property, licence, citation.
    """
    from xtalshift.featurize.encoder import ARRAYS_FILE, CARD_FILE
    from xtalshift.jobs.pretrain import PretrainConfig, describe_encoder, pretrain

    settings = options.build_settings(
        PretrainConfig,
        config,
        assign,
        {
            "tables": [{"dataset": table} for table in tables] if tables else None,
            "without": without,
            "seed": seed,
        },
    )
    check_output(out, config, *(one.dataset for one in settings.tables), *settings.without)
    refuse_existing(out, (CARD_FILE, ARRAYS_FILE), "an encoder", overwrite=overwrite)
    with limited_threads(threads or count_cores()):
        encoder = pretrain(settings, out, progress=make_progress())
    for line in describe_encoder(encoder):
        typer.echo(line)
    typer.echo(f"Encoder: {out} (--features magpie+fractions+pretrained:{out})")
