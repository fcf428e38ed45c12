"""``xtalshift predict``: a saved model on a file of any length, or on formulas at the prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xtalshift.cli import options
from xtalshift.cli.output import open_writer
from xtalshift.cli.progress import make_progress
from xtalshift.errors import DataError, FormulaError

if TYPE_CHECKING:
    import pandas as pd

    from xtalshift.estimators import FormulaRegressor

__all__ = ["predict_command"]

CHUNK_ROWS = 20_000
COLUMNS = ("prediction", "n_clipped", "status", "reason")


def predict_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a saved model.")],
    inputs: Annotated[
        list[str], typer.Argument(metavar="IN", help="One file, or formulas such as GaN LiFePO4.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help=".csv or .parquet file.", metavar="OUT")
    ] = None,
    formula_col: options.FormulaCol = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--with", help="Feature column of formulas: temperature=300.", metavar="N=V"),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Make a bad row an error.")] = False,
    device: options.Device = None,
    threads: options.Threads = None,
) -> None:
    """Predict every row of a file (input columns are kept), or formulas at the prompt."""
    from xtalshift.estimators import load_model

    if threads is not None:
        options.limit_threads(threads)
    predictor = load_model(model, device=device)
    is_file = len(inputs) == 1 and (Path(inputs[0]).exists() or out is not None)
    if not is_file:
        looks_like_path = [
            text for text in inputs if "/" in text or "." in text[-8:].strip("0123456789")
        ]
        if looks_like_path and not Path(looks_like_path[0]).exists() and len(inputs) == 1:
            raise DataError(f"there is no file {looks_like_path[0]}")
        _predict_formulas(predictor, inputs, given or [], out)
        return
    if out is None:
        raise DataError("a file of predictions needs a place: -o OUT.csv or -o OUT.parquet")
    _predict_file(predictor, Path(inputs[0]), out, formula_col, strict=strict)


def _predict_formulas(
    model: FormulaRegressor, formulas: list[str], given: list[str], out: Path | None
) -> None:
    import numpy as np
    import pandas as pd

    values = dict(text.partition("=")[::2] for text in given)
    extra = None
    if model.card_.feature_cols:
        missing = [name for name in model.card_.feature_cols if name not in values]
        if missing:
            raise DataError(f"the model needs {', '.join(missing)}: give --with {missing[0]}=VALUE")
        try:
            row = [float(values[name]) for name in model.card_.feature_cols]
        except ValueError as error:
            raise DataError(f"--with: {error}") from error
        extra = np.tile(row, (len(formulas), 1))
    result = model.predict_rows(formulas, extra)
    if out is not None:
        frame = pd.DataFrame({"formula": formulas})
        with open_writer(out) as writer:
            writer.write(_add_columns(frame, result))
        typer.echo(f"Predictions: {out}")
        return
    name = f"{model.card_.target_name}{f' ({model.card_.unit})' if model.card_.unit else ''}"
    width = max(len("formula"), *(len(formula) for formula in formulas))
    typer.echo(f"{'formula':<{width}}  {name}")
    for formula, value, clipped, reason in zip(
        formulas, result.prediction, result.n_clipped, result.reason, strict=True
    ):
        note = f"  ({clipped} features far outside the training range)" if clipped else ""
        typer.echo(f"{formula:<{width}}  {reason or f'{value:.6g}{note}'}")
    if (result.reason != "").all():
        raise typer.Exit(1)


def _predict_file(
    model: FormulaRegressor, source: Path, out: Path, formula_col: str | None, *, strict: bool
) -> None:
    import numpy as np

    from xtalshift.data import find_formula_column, iter_frames, table_from_frame

    if out.exists() and out.samefile(source):
        raise DataError(f"{out} is the input; choose another output")
    rows = bad = clipped = 0
    first = ""
    text_columns = [formula_col] if formula_col else []
    with open_writer(out) as writer, make_progress().task("predict", None) as task:
        for frame in iter_frames(source, CHUNK_ROWS, text_columns=text_columns):
            column = find_formula_column(frame.columns, formula_col)
            taken = [name for name in COLUMNS if name in frame.columns]
            if taken:
                raise DataError(f"{source} has a column {taken[0]!r} already; rename it")
            extra = None
            if model.card_.feature_cols:
                table = table_from_frame(frame, target=None, formula_col=column)
                extra = np.column_stack(
                    [table.parse_extra(name)[0] for name in model.card_.feature_cols]
                )
            result = model.predict_rows(frame[column].tolist(), extra)
            faulty = np.flatnonzero(result.reason != "")
            if faulty.size:
                first = first or f"row {rows + faulty[0] + 1}: {result.reason[faulty[0]]}"
                if strict:
                    raise FormulaError(first)
            writer.write(_add_columns(frame, result))
            rows += len(frame)
            bad += faulty.size
            clipped += int(np.sum(result.n_clipped > 0))
            task.advance(len(frame))
    typer.echo(f"{rows - bad:,} of {rows:,} rows predicted; {bad:,} with an error. {first}".strip())
    if clipped:
        typer.echo(f"{clipped:,} rows have features far outside the training range (n_clipped)")
    typer.echo(f"Predictions: {out}")


def _add_columns(frame: pd.DataFrame, result: Any) -> pd.DataFrame:
    import numpy as np

    return frame.assign(
        prediction=result.prediction,
        n_clipped=result.n_clipped,
        status=np.where(result.reason == "", "ok", "error"),
        reason=result.reason,
    )
