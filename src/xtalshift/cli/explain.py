"""``xtalshift explain``: why a model predicts what it predicts for a material."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xtalshift.cli import options
from xtalshift.data.spreadsheet import rows_as_csv
from xtalshift.data.writers import check_output, refuse_loss, write_frame
from xtalshift.errors import DataError
from xtalshift.uncertainty.settings import LEVEL

if TYPE_CHECKING:
    from xtalshift.data.materials import Materials
    from xtalshift.jobs.predict import AnyPredictor


@options.reads_table
def explain_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=options.MODEL)],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="FORMULA", help="Formulas such as PbTe LiFePO4, or one file of a few rows."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help=".csv or .parquet file: a row for each contribution.", metavar="OUT"
        ),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--with", help="Feature column for formulas: temperature=300.", metavar="N=V"),
    ] = None,
    of_class: Annotated[
        str | None,
        typer.Option(
            "--class",
            help="Of a model of classes: the class to explain (default: the predicted one).",
            metavar="NAME",
        ),
    ] = None,
    substitutions: Annotated[
        int,
        typer.Option(
            min=0,
            help="Other elements to show: so many that raise, and that lower it.",
            metavar="N",
        ),
    ] = 3,
    top: Annotated[int, typer.Option(min=1, help="Features to show.", metavar="N")] = 6,
    level: options.Level = LEVEL,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail at a bad formula.")] = False,
    device: options.Device = None,
    threads: options.Threads = None,
    overwrite: options.OverwriteTable = False,
    *,
    reading: options.Reading,
) -> None:
    """Show what moves a prediction away from the mean of the training materials.

    Which elements, which properties of the elements, and which other element in the place of one
    would change it most. It shows what the model has learned, which need not be a cause. (For which
    features are out of range and what is nearest see 'predict --explain'.)
    """
    from xtalshift.data.settings import ReadingOptions

    if out is not None:
        check_output(out, model, *inputs)
        refuse_loss(out, ("kind", "contribution"), (), overwrite=overwrite)
    predictor = _load(model, device, level, ReadingOptions.from_dict({**reading}))
    if threads is not None:  # after loading: only loaded libraries can be limited
        from xtalshift.nn.device import limit_threads

        limit_threads(threads)
    from xtalshift.jobs.explain_prediction import explain_predictions

    found = explain_predictions(
        predictor,
        _materials(predictor, inputs, given or []),
        of_class=of_class,
        substitutions=substitutions,
        strict=strict,
    )
    if out is not None:
        from xtalshift.model.explaining.record import explanation_table

        write_frame(explanation_table(found), out)
        typer.echo(f"Explanations: {out}")
    elif as_json:
        typer.echo(json.dumps([one.plain() for one in found], indent=1, ensure_ascii=False))
    elif not _on_terminal():
        from xtalshift.model.explaining.record import table_rows

        typer.echo(rows_as_csv(table_rows(found)), nl=False)
    else:
        from xtalshift.cli.explanations import print_explanations

        print_explanations(found, level=level, top=top)


def _on_terminal() -> bool:
    return sys.stdout.isatty()


def _load(model: Path, device: str | None, level: float, reading: object) -> AnyPredictor:
    from xtalshift.cli.predict import load_predictor

    return load_predictor(model, device, (level, "plain", False, reading))


def _materials(predictor: AnyPredictor, inputs: Sequence[str], given: Sequence[str]) -> Materials:
    """Return what to explain: formulas at the prompt, or the rows of one file."""
    from xtalshift.cli.predict import names_file, refuse_table_options

    files = [text for text in inputs if names_file(text, predictor)]
    if not files:
        refuse_table_options(predictor)
        values = dict(text.partition("=")[::2] for text in given)
        from xtalshift.jobs.explain_prediction import reader

        return reader(predictor).parse_formulas(inputs, values)
    if len(inputs) > 1:
        raise DataError(f"{files[0]} is a file; give one file alone, or formulas only")
    if given:
        raise DataError(
            f"--with is for formulas at the prompt; put the column into {files[0]} instead"
        )
    if not Path(files[0]).exists():
        raise DataError(f"{files[0]} is neither a file nor a formula")
    from xtalshift.jobs.explain_prediction import read_few

    return read_few(predictor, Path(files[0]))
