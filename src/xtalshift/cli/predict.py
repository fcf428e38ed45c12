"""``xtalshift predict``: predict a file of any length, or formulas at the prompt."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.data.database_names import DATABASES
from xtalshift.data.spreadsheet import rows_as_csv
from xtalshift.data.units import name_with_unit
from xtalshift.data.writers import check_output, refuse_loss, write_frame
from xtalshift.errors import DataError, FormulaError, UsageError
from xtalshift.uncertainty.settings import LEVEL
from xtalshift.words import plural

if TYPE_CHECKING:
    from xtalshift.jobs.predict import AnyPredictor, PredictionCounts
    from xtalshift.model.several import SeveralPredictions
    from xtalshift.model.table_predictor import TablePredictor

ENOUGH = 0.8
"""Share of the calibration rows that needs no warning, however few they are."""


@options.reads_table
def predict_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=options.MODEL)],
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

    how = ReadingOptions.from_dict({**reading})
    if out is not None:
        check_output(out, model, *inputs)
        refuse_loss(out, _known_by(model), ("utility",), overwrite=overwrite)
    predictor = load_predictor(model, device, (level, intervals, explain, how))
    if threads is not None:  # after loading: only loaded libraries can be limited
        from xtalshift.nn.device import limit_threads

        limit_threads(threads)
    if inputs[0].startswith(DATABASES):
        _predict_database(predictor, inputs, out, limit, strict=strict)
        return
    if limit is not None:
        raise UsageError(f"--limit is for a database (optimade:PROVIDER), not for {inputs[0]!r}")
    files = [text for text in inputs if names_file(text, predictor)]
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


def load_predictor(model: Path, device: str | None, settings: Any) -> AnyPredictor:
    """Return a saved model, or those of several targets, with settings of predictions."""
    from xtalshift.model import load_model, load_models
    from xtalshift.model.several_folder import holds_several
    from xtalshift.model.several_tables import SeveralPredictor
    from xtalshift.model.table_predictor import TablePredictor

    if holds_several(model):
        return SeveralPredictor.of(load_models(model, device=device), *settings)
    return TablePredictor(load_model(model, device=device), *settings)


def _known_by(model: Path) -> tuple[str, ...]:
    """Return the columns by which the predictions of a model are known."""
    from xtalshift.model.several_folder import holds_several, saved_targets

    if not holds_several(model):
        return ("prediction",)
    return tuple(f"prediction_{name}" for name in saved_targets(model))


def names_file(text: str, predictor: AnyPredictor) -> bool:
    """Return whether a text names a file, existing or missing, rather than a formula."""
    from xtalshift.chem.compositions import parse_formulas

    _, reasons, _ = parse_formulas([text], predictor.notation)
    if not text or reasons[0] == "":
        return False
    # known.cvs is a misspelt file, CuSO4.5H2O a hydrate
    return Path(text).exists() or "/" in text or Path(text).suffix[1:].isalpha()


def refuse_table_options(predictor: AnyPredictor) -> None:
    """Raise `DataError` if an option says how a file is read, where there are formulas."""
    for name in predictor.reading.model_fields_set - {"hydrates", "amounts"}:
        option = f"--{name.replace('_', '-')}"
        raise DataError(f"{option} is for a file; at the prompt there are formulas only")


def _predict_formulas(
    predictor: AnyPredictor,
    formulas: list[str],
    given: list[str],
    out: Path | None,
    *,
    strict: bool,
) -> None:
    from xtalshift.model.several import SeveralPredictions
    from xtalshift.model.table_predictor import TablePredictor

    refuse_table_options(predictor)
    values = dict(text.partition("=")[::2] for text in given)
    found = predictor.predict_formulas(formulas, values)
    rows = found.rows()
    bad = [row for row in rows if row["status"] != "ok"]
    if strict and bad:
        raise FormulaError(f"{bad[0]['formula']}: {bad[0]['reason']}")
    if out is not None:
        write_frame(found.frame, out, predictor.units())
        typer.echo(f"Predictions: {out}")
    elif not _on_terminal():
        typer.echo(rows_as_csv(rows), nl=False)
    elif isinstance(found, SeveralPredictions):
        _print_targets(found, predictor)
    else:
        one = predictor if isinstance(predictor, TablePredictor) else predictor.one
        _print_table(rows, one)
    if len(bad) == len(formulas):
        raise FormulaError(f"no formula could be predicted; {formulas[0]}: {bad[0]['reason']}")


def _on_terminal() -> bool:
    return sys.stdout.isatty()


def _print_targets(found: SeveralPredictions, predictor: AnyPredictor) -> None:
    """Print a table of the predictions of each target."""
    from xtalshift.model.several_tables import SeveralPredictor

    assert isinstance(predictor, SeveralPredictor)
    for name, model in predictor.models.models.items():
        rows = found[name].rows()
        _print_table(rows, replace(predictor.one, model=model))


def _print_table(rows: list[dict[str, Any]], predictor: TablePredictor) -> None:
    card, level, domain = predictor.model.card, predictor.level, predictor.model.domain
    limit = float("nan") if domain is None else domain.threshold_.threshold
    width = max(len(text) for text in ("formula", *(row["formula"] for row in rows)))
    typer.echo(f"{'formula':<{width}}  {name_with_unit(card.target_name, card.unit)}")
    for row in rows:
        if row["reason"]:
            typer.echo(f"{row['formula']:<{width}}  {row['reason']}")
            continue
        place, notes = _place(row, limit), _notes(row, level)
        outside = bool(row["nearest_formula"]) and not row["in_domain"]
        # what to doubt is read before the number
        first, last = (f"{place}:  ", "") if outside else ("", f"  {place}" if place else "")
        typer.echo(f"{row['formula']:<{width}}  {first}{_shown(row)}{notes[0]}{last}{notes[1]}")
        if row.get("explanation"):
            typer.echo(f"{'':<{width}}    {row['explanation']}")


def _shown(row: dict[Any, Any]) -> str:
    """Return a number, or a class with its probability."""
    prediction = row["prediction"]
    if not isinstance(prediction, str):
        return f"{prediction:.6g}"
    from xtalshift.model.class_predictions import probability_column

    return f"{prediction} ({row[probability_column(prediction)]:.1%})"


def _place(row: dict[Any, Any], limit: float) -> str:
    """Return whether a row is in the domain and why, an empty text if that is not known."""
    if row["unseen_elements"]:
        unseen = row["unseen_elements"].replace(" ", ", ")
        return f"out of domain (no training material has {unseen})"
    if not row["nearest_formula"]:
        return ""
    place = "in domain" if row["in_domain"] else "out of domain"
    return f"{place} (score {row['ood_score']:.2f}, limit {limit:.2f})"


def _notes(row: dict[Any, Any], level: float) -> tuple[str, str]:
    """Return what to show after a prediction: its interval or set, and what else is known of it."""
    interval = text = ""
    if row.get("prediction_set"):
        interval = f"  {{{row['prediction_set'].replace('|', ', ')}}} at {100 * level:g} %"
    elif "lower" in row and row["lower"] == row["lower"]:  # not NaN
        interval = f"  [{row['lower']:.4g}, {row['upper']:.4g}] at {100 * level:g} %"
    if row["nearest_formula"]:
        nearest = row["nearest_target"]
        shown = nearest if isinstance(nearest, str) else f"{nearest:.4g}"
        text += f"  nearest {row['nearest_formula']}: {shown}"
    if row["n_clipped"]:
        text += f"  ({plural(int(row['n_clipped']), 'feature')} far outside the training range)"
    if row["n_imputed"]:
        n = int(row["n_imputed"])
        are = "is" if n == 1 else "are"
        text += f"  ({plural(n, 'property')} of its elements {are} not tabulated)"
    return interval, text


def _predict_file(predictor: AnyPredictor, source: Path, out: Path, *, strict: bool) -> None:
    from xtalshift.jobs.predict import predict_file

    counts = predict_file(
        predictor, source, out, strict=strict, on_weights=_say_weights, progress=make_progress()
    )
    for line in _describe(counts, predictor.level):
        typer.echo(line)
    typer.echo(f"Predictions: {out}")


def _predict_database(
    predictor: AnyPredictor,
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
    first, *others = [*counts.examples.values(), ""]
    lines = [
        f"{counts.rows - counts.bad:,} of {plural(counts.rows, 'row')} predicted; {counts.bad:,} "
        f"with an error. {first}".strip(),
        *(f"  {other}" for other in others if other),
    ]
    if counts.bad > len(counts.examples):
        lines.append(f"  and {counts.bad - len(counts.examples):,} more: see the column reason")
    lines += [
        f"{plural(number, 'structure')}: {kind} ({counts.odd[kind]})"
        for kind, number in counts.structures.most_common()
    ]
    if counts.judged:
        elements = ""
        if counts.new_elements:
            verb = "has" if counts.new_elements == 1 else "have"
            elements = f"; {counts.new_elements:,} {verb} elements that no training material has"
        lines.append(
            f"{plural(counts.outside, 'row', 'is', 'are')} outside the domain of the model "
            f"(in_domain), where its predictions and intervals may be wrong{elements}"
        )
    if counts.unbounded:
        has = plural(counts.unbounded, "row", "has", "have")
        lines.append(f"{has} no finite {100 * level:g} % interval")
    if counts.clipped:
        has = plural(counts.clipped, "row", "has", "have")
        lines.append(f"{has} features far outside the training range (n_clipped)")
    if counts.imputed:
        has = plural(counts.imputed, "row", "has", "have")
        lines.append(
            f"{has} an element without some tabulated properties, which are replaced by means "
            "(n_imputed)"
        )
    return lines
