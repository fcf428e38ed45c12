"""``xtalshift split``: which rows a scheme holds out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xtalshift.cli import options
from xtalshift.cli.output import refuse_input, write_frame

__all__ = ["split_command"]


def split_command(
    source: Annotated[str, typer.Argument(metavar="IN", help="File, or name of a data set.")],
    scheme: Annotated[
        str, typer.Option(help="random | covariate | prior | family | relation.", metavar="NAME")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help=".parquet or .csv file.", metavar="OUT")],
    config: options.ConfigFile = None,
    assign: options.Set = None,
    target: options.Target = None,
    formula_col: options.FormulaCol = None,
    id_col: options.IdCol = None,
    hydrates: options.Hydrates = None,
    family: Annotated[str | None, typer.Option(help="Element of the held-out family.")] = None,
    tail: Annotated[str | None, typer.Option(help="Prior shift: high | low | both.")] = None,
    relation_flag: Annotated[str | None, typer.Option(metavar="COL", help="Flag column.")] = None,
    relation_file: Annotated[str | None, typer.Option(metavar="FILE", help="Formulas.")] = None,
    seed: options.Seed = None,
) -> None:
    """Write id, formula, fold and part (train, val, test) of every row."""
    settings = options.build_config(
        config,
        assign,
        {
            "seed": seed,
            "data.dataset": source,
            "data.target": target,
            "data.formula_col": formula_col,
            "data.id_col": id_col,
            "data.hydrates": hydrates,
            "split.schemes": [scheme],
            "split.family": family,
            "split.tail": tail,
            "split.relation_flag": relation_flag,
            "split.relation_file": relation_file,
        },
    )
    from xtalshift.benchmark.parts import assign_parts, read_rows

    refuse_input(Path(source), out)
    parts = assign_parts(read_rows(settings.data, scheme), scheme, settings)
    write_frame(parts, out)
    counts = parts["part"].replace("", "unusable").value_counts()
    typer.echo(", ".join(f"{name} {count:,}" for name, count in counts.items()))
    typer.echo(f"Split: {out}")
