"""``xtalshift predict``: a saved model on a file of any length, or on formulas at the prompt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xtalshift.cli import options
from xtalshift.cli.output import open_writer, refuse_input, write_frame
from xtalshift.cli.progress import make_progress
from xtalshift.errors import DataError, FormulaError
from xtalshift.registry import near_miss

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from xtalshift.estimators import FormulaPredictions, FormulaRegressor, ModelCard

__all__ = ["predict_command"]

CHUNK_ROWS = 20_000
FILE_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".pq", ".gz")
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
    hydrates: options.Hydrates = None,
    strict: Annotated[bool, typer.Option("--strict", help="Make a bad row an error.")] = False,
    device: options.Device = None,
    threads: options.Threads = None,
) -> None:
    """Predict every row of a file (input columns are kept), or formulas at the prompt."""
    from xtalshift.estimators import load_model

    predictor = load_model(model, device=device)
    if threads is not None:  # after loading: only libraries that are there can be limited
        from xtalshift.nn.device import limit_threads

        limit_threads(threads)
    if hydrates is not None:  # else as the model was trained
        if hydrates not in ("refuse", "expand"):
            raise DataError(f"--hydrates {hydrates}: expected refuse or expand")
        predictor.set_params(hydrates=hydrates)
    files = [text for text in inputs if _is_file(text, predictor)]
    if not files:
        _predict_formulas(predictor, inputs, given or [], out, strict=strict)
        return
    if len(inputs) > 1:
        raise DataError(f"{files[0]} is a file; give one file alone, or formulas only")
    if given:
        raise DataError(
            f"--with is for formulas at the prompt; put the column into {files[0]} instead"
        )
    if out is None:
        if not Path(files[0]).exists():
            raise DataError(f"{files[0]} is neither a file nor a formula")
        raise DataError("a file of predictions needs a place: -o OUT.csv or -o OUT.parquet")
    _predict_file(predictor, Path(files[0]), out, formula_col, strict=strict)


def _is_file(text: str, model: FormulaRegressor) -> bool:
    """Say whether a text names a file, there or missing, rather than a formula."""
    from xtalshift.chem.compositions import parse_formulas

    _, reasons, _ = parse_formulas([text], hydrates=model.hydrates)
    return reasons[0] != "" and (
        Path(text).exists() or "/" in text or Path(text).suffix.lower() in FILE_SUFFIXES
    )


def _predict_formulas(
    model: FormulaRegressor,
    formulas: list[str],
    given: list[str],
    out: Path | None,
    *,
    strict: bool,
) -> None:
    import numpy as np
    import pandas as pd

    conditions = _read_conditions(given, model.card_.feature_cols)
    extra = np.tile(conditions, (len(formulas), 1)) if conditions else None
    result = model.predict_rows(formulas, extra)
    bad = np.flatnonzero(result.reason != "")
    if strict and bad.size:
        raise FormulaError(f"{formulas[bad[0]]}: {result.reason[bad[0]]}")
    frame = _add_columns(pd.DataFrame({"formula": formulas}), result)
    if out is not None:
        write_frame(frame, out)
        typer.echo(f"Predictions: {out}")
    elif _on_terminal():
        _print_table(frame, model.card_)
    else:
        typer.echo(frame.to_csv(index=False), nl=False)
    if bad.size == len(formulas):
        raise FormulaError(f"no formula could be predicted; {formulas[0]}: {result.reason[0]}")


def _read_conditions(given: list[str], columns: tuple[str, ...]) -> list[float]:
    """Return the values of the feature columns that ``--with`` names, in order."""
    values = dict(text.partition("=")[::2] for text in given)
    for name in values:
        if name not in columns:
            raise DataError(
                f"--with {name!r}: the model has no such feature column{near_miss(name, columns)}; "
                f"there is: {', '.join(columns) or 'none'}"
            )
    missing = [name for name in columns if name not in values]
    if missing:
        raise DataError(
            f"the model needs {', '.join(missing)} beside the formula: give --with "
            f"{missing[0]}=VALUE"
        )
    numbers = []
    for name in columns:
        try:
            numbers.append(float(values[name]))
        except ValueError:
            raise DataError(f"--with {name}={values[name]}: expected a number") from None
    return numbers


def _on_terminal() -> bool:
    return sys.stdout.isatty()


def _print_table(frame: pd.DataFrame, card: ModelCard) -> None:
    width = max(len("formula"), *frame["formula"].str.len())
    unit = f" ({card.unit})" if card.unit else ""
    typer.echo(f"{'formula':<{width}}  {card.target_name}{unit}")
    shown = frame[["formula", "prediction", "n_clipped", "reason"]]
    for formula, value, clipped, reason in shown.itertuples(index=False, name=None):
        note = f"  ({clipped} features far outside the training range)" if clipped else ""
        typer.echo(f"{formula:<{width}}  {reason or f'{value:.6g}{note}'}")


def _predict_file(
    model: FormulaRegressor, source: Path, out: Path, formula_col: str | None, *, strict: bool
) -> None:
    import numpy as np

    from xtalshift.data import find_formula_column, iter_frames

    refuse_input(source, out)
    rows = bad = clipped = 0
    first = ""
    text_columns = [formula_col] if formula_col else []
    with open_writer(out) as writer, make_progress().task("predict", None) as task:
        for frame in iter_frames(source, CHUNK_ROWS, text_columns=text_columns):
            column = find_formula_column(frame.columns, formula_col)
            taken = [name for name in COLUMNS if name in frame.columns]
            if taken:
                raise DataError(f"{source} has a column {taken[0]!r} already; rename it")
            extra = _feature_columns(frame, model.card_.feature_cols, source)
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


def _feature_columns(
    frame: pd.DataFrame, names: tuple[str, ...], source: Path
) -> NDArray[np.float64] | None:
    """Return the columns of numbers that the model needs, shape (n, k); NaN where is none."""
    import numpy as np

    from xtalshift.data.numbers import parse_numbers

    if not names:
        return None
    columns = [str(name) for name in frame.columns]
    for name in names:
        if name not in columns:
            raise DataError(
                f"the model needs a column {name!r}, which {source} has not"
                f"{near_miss(name, columns)}; there is: {', '.join(columns)}"
            )
    comma = bool(frame.attrs.get("decimal_comma"))
    return np.column_stack([parse_numbers(frame[name], decimal_comma=comma)[0] for name in names])


def _add_columns(frame: pd.DataFrame, result: FormulaPredictions) -> pd.DataFrame:
    import numpy as np

    return frame.assign(
        prediction=result.prediction,
        n_clipped=result.n_clipped,
        status=np.where(result.reason == "", "ok", "error"),
        reason=result.reason,
    )
