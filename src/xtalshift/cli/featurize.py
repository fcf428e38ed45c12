"""``xtalshift featurize``: formulas to features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xtalshift.cli.progress import make_progress
from xtalshift.data.writers import open_writer, refuse_input

__all__ = ["featurize_command"]

CHUNK_ROWS = 20_000


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
    import numpy as np
    import pandas as pd

    from xtalshift.data import find_formula_column, iter_frames
    from xtalshift.data.settings import DataConfig
    from xtalshift.errors import FormulaError
    from xtalshift.featurize import CompositionFeaturizer

    data = DataConfig.from_dict({"features": features, "hydrates": hydrates})
    featurizer = CompositionFeaturizer(data.features, impute, data.hydrates)
    names = [str(name) for name in featurizer.get_feature_names_out()]
    rows = bad = 0
    text_columns = [formula_col] if formula_col else []
    refuse_input(source, out)
    with open_writer(out) as writer, make_progress().task("featurize", None) as task:
        for frame in iter_frames(source, CHUNK_ROWS, text_columns=text_columns):
            formulas = frame[find_formula_column(frame.columns, formula_col)]
            values, reasons = featurizer.featurize(formulas.tolist())
            faulty = np.flatnonzero(reasons != "")
            if strict and faulty.size:
                raise FormulaError(f"row {rows + faulty[0] + 1}: {reasons[faulty[0]]}")
            table = pd.DataFrame(values, columns=names)
            table.insert(0, "formula", formulas.to_numpy())
            table["status"] = np.where(reasons == "", "ok", "error")
            table["reason"] = reasons
            writer.write(table)
            rows += len(frame)
            bad += faulty.size
            task.advance(len(frame))
    typer.echo(f"{rows:,} rows, {len(names)} features, {bad:,} rows with an error: {out}")
