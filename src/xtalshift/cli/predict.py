"""``xtalshift predict``: predict a file of any length, or formulas at the prompt."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.data.database_names import DATABASES
from xtalshift.data.spreadsheet import mark
from xtalshift.data.units import name_with_unit
from xtalshift.data.writers import check_output, refuse_loss, write_frame
from xtalshift.errors import DataError, FormulaError, UsageError
from xtalshift.registry import near_miss
from xtalshift.uncertainty.settings import LEVEL

if TYPE_CHECKING:
    from xtalshift.jobs.predict import PredictionCounts
    from xtalshift.model.table_predictor import TablePredictor

ENOUGH = 0.8
"""Share of the calibration rows that needs no warning, however few they are."""


@options.reads_table
def predict_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a saved model.")],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN",
            help="One file; formulas such as GaN LiFePO4; or a database and a filter, as "
            "'xtalshift datasets fetch' takes them.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help=".csv or .parquet file.", metavar="OUT")
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--with", help="Feature column for formulas: temperature=300.", metavar="N=V"),
    ] = None,
    level: options.Level = LEVEL,
    intervals: Annotated[
        str,
        typer.Option(
            help="plain; family: each chemical family is calibrated separately; weighted: "
            "calibration rows are weighted by their similarity to the rows of IN.",
            metavar="NAME",
        ),
    ] = "plain",
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Add features out of range and the nearest materials."),
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail at a bad row.")] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="database: most structures.", show_default=False)
    ] = None,
    device: options.Device = None,
    threads: options.Threads = None,
    overwrite: options.OverwriteTable = False,
    *,
    reading: options.Reading,
) -> None:
    """Predict every row of a file (input columns are kept), or formulas at the prompt."""
    from xtalshift.data.settings import ReadingOptions
    from xtalshift.model import load_model

    how = ReadingOptions.from_dict({**reading})
    if out is not None:
        check_output(out, model, *inputs)
        refuse_loss(out, ("prediction",), ("utility",), overwrite=overwrite)
    loaded = load_model(model, device=device)
    if threads is not None:  # after loading: only loaded libraries can be limited
        from xtalshift.nn.device import limit_threads

        limit_threads(threads)
    from xtalshift.model.table_predictor import TablePredictor

    predictor = TablePredictor(loaded, level, intervals, explain, how)  # type: ignore[arg-type]
    if inputs[0].startswith(DATABASES):
        _predict_database(predictor, inputs, out, limit, strict=strict)
        return
    if limit is not None:
        raise UsageError(f"--limit is for a database (optimade:PROVIDER), not for {inputs[0]!r}")
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
        raise DataError("name the file for the predictions: -o OUT.csv or -o OUT.parquet")
    _predict_file(predictor, Path(files[0]), out, strict=strict)


def _is_file(text: str, predictor: TablePredictor) -> bool:
    """Return whether a text names a file, existing or missing, rather than a formula."""
    from xtalshift.chem.compositions import parse_formulas

    _, reasons, _ = parse_formulas([text], predictor.notation)
    if not text or reasons[0] == "":
        return False
    # known.cvs is a misspelt file, CuSO4.5H2O a hydrate
    return Path(text).exists() or "/" in text or Path(text).suffix[1:].isalpha()


def _predict_formulas(
    predictor: TablePredictor,
    formulas: list[str],
    given: list[str],
    out: Path | None,
    *,
    strict: bool,
) -> None:
    from xtalshift.data.materials import Materials

    if predictor.intervals == "weighted":
        raise DataError(
            f"{len(formulas)} formulas at the prompt: weighted intervals need a file of at least "
            "50 rows of the new region. Use plain intervals"
        )
    for name in predictor.reading.model_fields_set - {"hydrates", "amounts"}:
        option = f"--{name.replace('_', '-')}"
        raise DataError(f"{option} is for a file; at the prompt there are formulas only")
    card = predictor.model.card
    conditions = _read_conditions(given, card.feature_cols)
    materials = Materials.parse(
        formulas,
        notation=predictor.notation,
        extra=[conditions] * len(formulas),
        extra_names=card.feature_cols,
    )
    found = predictor.predict_materials(materials)
    rows = found.rows()
    bad = [row for row in rows if row["status"] != "ok"]
    if strict and bad:
        raise FormulaError(f"{bad[0]['formula']}: {bad[0]['reason']}")
    if out is not None:
        write_frame(found.frame, out, predictor.units())
        typer.echo(f"Predictions: {out}")
    elif _on_terminal():
        _print_table(rows, predictor)
    else:
        typer.echo(_as_csv(rows), nl=False)
    if len(bad) == len(formulas):
        raise FormulaError(f"no formula could be predicted; {formulas[0]}: {bad[0]['reason']}")


def _read_conditions(given: list[str], columns: tuple[str, ...]) -> list[float]:
    """Return the values of the feature columns that ``--with`` names, in order."""
    values = dict(text.partition("=")[::2] for text in given)
    for name in values:
        if name not in columns:
            raise DataError(
                f"--with {name!r}: the model has no such feature column"
                f"{near_miss(name, columns)}. Columns: {', '.join(columns) or 'none'}"
            )
    missing = [name for name in columns if name not in values]
    if missing:
        raise DataError(
            f"the model needs {', '.join(missing)} besides the formula: give --with "
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


def _as_csv(rows: list[dict[str, Any]]) -> str:
    """Return the text that pandas, which takes half a second to load, would write."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        shown = {name: "" if cell != cell else cell for name, cell in row.items()}  # noqa: PLR0124 - NaN
        writer.writerow({k: mark(v) if isinstance(v, str) else v for k, v in shown.items()})
    return text.getvalue()


def _print_table(rows: list[dict[str, Any]], predictor: TablePredictor) -> None:
    card, level, domain = predictor.model.card, predictor.level, predictor.model.domain
    limit = float("nan") if domain is None else domain.threshold_.threshold
    width = max(len(text) for text in ("formula", *(row["formula"] for row in rows)))
    typer.echo(f"{'formula':<{width}}  {name_with_unit(card.target_name, card.unit)}")
    for row in rows:
        if row["reason"]:
            typer.echo(f"{row['formula']:<{width}}  {row['reason']}")
            continue
        typer.echo(f"{row['formula']:<{width}}  {_shown(row)}{_notes(row, level, limit)}")
        if row.get("explanation"):
            typer.echo(f"{'':<{width}}    {row['explanation']}")


def _shown(row: dict[Any, Any]) -> str:
    """Return a number, or a class with its probability."""
    prediction = row["prediction"]
    if not isinstance(prediction, str):
        return f"{prediction:.6g}"
    from xtalshift.model.class_predictions import probability_column

    return f"{prediction} ({row[probability_column(prediction)]:.1%})"


def _notes(row: dict[Any, Any], level: float, limit: float) -> str:
    """Return what to show after a prediction: interval or set, domain, nearest material."""
    text = ""
    if row.get("prediction_set"):
        text += f"  {{{row['prediction_set'].replace('|', ', ')}}} at {100 * level:g} %"
    elif "lower" in row and row["lower"] == row["lower"]:  # not NaN
        text += f"  [{row['lower']:.4g}, {row['upper']:.4g}] at {100 * level:g} %"
    if row["unseen_elements"]:
        text += (
            f"  out of domain: no training material has {row['unseen_elements'].replace(' ', ', ')}"
        )
    elif row["nearest_formula"]:
        place = "in domain" if row["in_domain"] else "out of domain"
        text += f"  {place} (score {row['ood_score']:.2f}, limit {limit:.2f})"
    if row["nearest_formula"]:
        nearest = row["nearest_target"]
        shown = nearest if isinstance(nearest, str) else f"{nearest:.4g}"
        text += f"  nearest {row['nearest_formula']}: {shown}"
    if row["n_clipped"]:
        text += f"  ({row['n_clipped']} features far outside the training range)"
    if row["n_imputed"]:
        text += f"  ({row['n_imputed']} properties of its elements are not tabulated)"
    return text


def _predict_file(predictor: TablePredictor, source: Path, out: Path, *, strict: bool) -> None:
    from xtalshift.jobs.predict import predict_file

    counts = predict_file(
        predictor, source, out, strict=strict, on_weights=_say_weights, progress=make_progress()
    )
    for line in _describe(counts, predictor.level):
        typer.echo(line)
    typer.echo(f"Predictions: {out}")


def _predict_database(
    predictor: TablePredictor,
    inputs: list[str],
    out: Path | None,
    limit: int | None,
    *,
    strict: bool,
) -> None:
    from xtalshift.cli.datasets import say_fetched
    from xtalshift.jobs.predict import predict_database

    source, *filters = inputs
    if len(filters) > 1:
        raise UsageError(f"{source} takes one filter, in quotes; given are {len(filters)}")
    if out is None:
        raise UsageError("name the file for the predictions: -o OUT.csv or -o OUT.parquet")
    counts = predict_database(
        predictor,
        source,
        "".join(filters),
        out,
        limit=limit,
        strict=strict,
        on_fetched=say_fetched,
        on_weights=_say_weights,
        progress=make_progress(),
    )
    for line in _describe(counts, predictor.level):
        typer.echo(line)
    typer.echo(f"Predictions: {out}")


def _say_weights(counts: PredictionCounts) -> None:
    from xtalshift.uncertainty.weighted import MIN_EFFECTIVE

    size, rows = counts.effective_sample_size, counts.calibration_rows
    typer.echo(
        f"Weighted intervals: the {rows:,} calibration rows count as {size:.0f} rows of this region"
    )
    if size < min(MIN_EFFECTIVE, ENOUGH * rows):
        typer.echo(
            f"warning: {size:.0f} such rows are too few (at least {MIN_EFFECTIVE:g} are needed): "
            "the intervals may be infinite or contain too few of the true values; measure some of "
            "these materials and calibrate or adapt the model",
            err=True,
        )


def _describe(counts: PredictionCounts, level: float) -> list[str]:
    """Return the lines that end a prediction."""
    lines = [
        f"{counts.rows - counts.bad:,} of {counts.rows:,} rows predicted; {counts.bad:,} with an "
        f"error. {counts.first}".strip()
    ]
    if counts.judged:
        elements = ""
        if counts.new_elements:
            verb = "has" if counts.new_elements == 1 else "have"
            elements = f"; {counts.new_elements:,} {verb} elements that no training material has"
        lines.append(
            f"{_rows(counts.outside, 'is', 'are')} outside the domain of the model (in_domain), "
            f"where its predictions and intervals may be wrong{elements}"
        )
    if counts.unbounded:
        has = _rows(counts.unbounded, "has", "have")
        lines.append(f"{has} no finite {100 * level:g} % interval")
    if counts.clipped:
        has = _rows(counts.clipped, "has", "have")
        lines.append(f"{has} features far outside the training range (n_clipped)")
    if counts.imputed:
        has = _rows(counts.imputed, "has", "have")
        lines.append(
            f"{has} an element without some tabulated properties, which are replaced by means "
            "(n_imputed)"
        )
    return lines


def _rows(count: int, one: str, several: str) -> str:
    """Return a number of rows with the verb of it."""
    return f"{count:,} {f'row {one}' if count == 1 else f'rows {several}'}"
