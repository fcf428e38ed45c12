"""``xtalshift featurize``: formulas to features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xtalshift.cli.progress import make_progress
from xtalshift.data.writers import open_writer, refuse_input

__all__ = ["featurize_command"]

ROW_GROUP = 3  # pieces of features that are written together


def featurize_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="CSV, Parquet, JSON or JSONL file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help=".parquet or .csv file.", metavar="OUT")],
    features: Annotated[
        str, typer.Option(help="magpie | fractions | magpie+fractions.")
    ] = "magpie",
    formula_col: Annotated[
        str | None, typer.Option(help="Column of formulas.", metavar="COL")
    ] = None,
    hydrates: Annotated[str, typer.Option(help="CuSO4*5H2O: refuse | expand.")] = "refuse",
    impute: Annotated[
        bool,
        typer.Option("--impute/--no-impute", help="Mean of the elements for a missing property."),
    ] = True,
    strict: Annotated[bool, typer.Option("--strict", help="Make a bad row an error.")] = False,
) -> None:
    """Write one column per feature, and formula, status and reason, for every row in order."""
    from concurrent.futures import Future, ThreadPoolExecutor
    from itertools import islice

    import pyarrow as pa

    from xtalshift.jobs.featurize import FeaturizeSettings, iter_feature_tables

    settings = FeaturizeSettings(features, impute, hydrates, formula_col, strict)  # type: ignore[arg-type]
    refuse_input(source, out)
    rows = bad = columns = 0
    pieces = iter_feature_tables(source, settings)
    with (
        open_writer(out) as writer,
        make_progress().task("featurize", None) as task,
        ThreadPoolExecutor(1) as thread,  # writes while the next rows are computed
    ):
        written: Future[None] | None = None
        while group := list(islice(pieces, ROW_GROUP)):
            table = pa.concat_tables(group)
            if written:
                written.result()
            written = thread.submit(writer.write, table)
            rows += table.num_rows
            bad += table["status"].to_pylist().count("error")
            columns = table.num_columns - 3
            task.advance(table.num_rows)
        if written:
            written.result()
    typer.echo(f"{rows:,} rows, {columns} features, {bad:,} rows with an error: {out}")
