"""``xtalshift featurize``: compute features of formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.data.writers import check_output, open_writer, refuse_loss
from xtalshift.words import plural

ROW_GROUP = 2  # pieces of features that are written together


@options.reads_table
def featurize_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Table file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help=".parquet or .csv file.", metavar="OUT")],
    features: Annotated[str, typer.Option(help=options.FEATURES)] = "magpie",
    impute: Annotated[
        bool,
        typer.Option("--impute/--no-impute", help="Mean over elements for missing properties."),
    ] = True,
    strict: Annotated[bool, typer.Option("--strict", help="Fail at a bad row.")] = False,
    overwrite: options.OverwriteTable = False,
    *,
    reading: options.Reading,
) -> None:
    """Write formula (and id of a structure), features, status and reason of every row, in order."""
    from concurrent.futures import Future, ThreadPoolExecutor
    from importlib import import_module
    from itertools import islice

    from xtalshift.data.settings import ReadingOptions
    from xtalshift.jobs.featurize import FeaturizeSettings, feature_table, iter_features

    settings = FeaturizeSettings(features, impute, ReadingOptions.from_dict({**reading}), strict)
    check_output(out, source)
    # other commands also tell the status of each row
    refuse_loss(out, ("status", "reason"), ("part", "prediction"), overwrite=overwrite)
    pieces = iter_features(source, settings)
    rows = bad = columns = 0
    with (
        open_writer(out) as writer,
        make_progress().task("featurize", None) as task,
        ThreadPoolExecutor(1) as thread,  # writes while the next rows are computed
    ):

        def write(group: list[Any]) -> None:
            import pyarrow as pa

            writer.write(pa.concat_tables([feature_table(*piece) for piece in group]))

        written: Future[Any] = thread.submit(import_module, "pyarrow.parquet")
        while group := list(islice(pieces, ROW_GROUP)):
            written.result()
            written = thread.submit(write, group)
            for formulas, found, _ in group:
                rows += len(formulas)
                bad += int((found.reasons != "").sum())
                columns = len(found.names)
                task.advance(len(formulas))
        written.result()
    typer.echo(
        f"{plural(rows, 'row')}, {plural(columns, 'feature')}, {plural(bad, 'row')} with an error: "
        f"{out}"
    )
