"""``xtalshift check``: what is read as what, and what is odd, without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xtalshift.cli import options
from xtalshift.cli.progress import make_progress
from xtalshift.data.units import unit_of_header
from xtalshift.data.writers import check_output, check_writable, open_writer, refuse_loss
from xtalshift.errors import DataError, UsageError

if TYPE_CHECKING:
    from xtalshift.jobs.check import Checked


@options.reads_targets
def check_command(
    source: Annotated[str, typer.Argument(metavar="TABLE", help="File.")],
    fix: Annotated[
        Path | None,
        typer.Option(
            help="Write the table with everything corrected that has one likely correction, and "
            "columns that say what was changed and what is still a problem (.csv or .parquet).",
            metavar="OUT",
        ),
    ] = None,
    target: options.Targets = None,
    id_col: options.IdCol = None,
    weight_col: options.WeightCol = None,
    uncertainty_col: options.UncertaintyCol = None,
    unit: options.Unit = None,
    feature_cols: options.FeatureCols = None,
    bounds: options.Bounds = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail if a row cannot be used.")] = False,
    overwrite: options.OverwriteTable = False,
    *,
    reading: options.Reading,
) -> None:
    """Say what of a table is read as what, and what is odd about it; nothing is trained.

    Each finding has its number of rows, examples with row numbers (1 is the first below the
    header), and what to do.
    """
    from xtalshift.data.settings import DataConfig
    from xtalshift.data.several import check_columns, read_settings, settings_of_targets
    from xtalshift.jobs.check import check_table, fix_table

    data = {
        "dataset": source,
        "target": target,
        "id_col": id_col,
        "weight_col": weight_col,
        "uncertainty_col": uncertainty_col,
        "unit": unit,
        "feature_cols": options.join_lists(feature_cols),
        "bounds": bounds,
        **reading,
    }
    given = DataConfig.from_dict({name: value for name, value in data.items() if value is not None})
    if fix is not None:
        check_columns(given, fix)
        check_output(fix, source)
        check_writable(fix)
        refuse_loss(fix, ("changed", "problem"), overwrite=overwrite)
    targets = settings_of_targets(given)
    if len(targets) > 1 and (fix is not None or strict):
        raise UsageError("--fix and --strict are for one target; name it alone (--target)")
    if len(targets) > 1 and given.bounds != "drop":  # of those that are numbers
        from xtalshift.model.several_inputs import settings_of_kinds

        targets = settings_of_kinds(targets, read_settings(targets)[0])
    for name, own in targets.items():
        if len(targets) > 1:
            typer.echo(f"Target {name}")
        checked = check_table(own, make_progress())
        _say_checked(checked)
    rows, bad = len(checked.table), len(checked.inspection.bad)
    if fix is not None:
        fixed = fix_table(checked)
        with open_writer(fix) as writer:
            writer.write(fixed)
        changed, usable = (fixed["changed"] != "").sum(), (fixed["problem"] == "").sum()
        typer.echo(
            f"Corrected table: {fix} (rows changed: {changed:,}; usable: {usable:,} of {rows:,})"
        )
        table = checked.table
        if table.unit and table.unit != unit_of_header(table.target_name):
            typer.echo(f"It does not say the unit of {table.target_name!r}: --unit {table.unit}")
    if strict and bad:
        raise DataError(f"{source}: {bad:,} of {rows:,} rows cannot be used")


def _say_checked(checked: Checked) -> None:
    """Print what was read as what, and what is odd about it."""
    if checked.table.reading is not None:
        for label, text in checked.table.reading.lines():
            typer.echo(f"{label + ':':<10}{text}")
    rows, bad = len(checked.table), len(checked.inspection.bad)
    typer.echo(f"Rows:     {rows:,}, of which {rows - bad:,} can be used")
    typer.echo("\n".join(_describe_findings(checked)))


def _describe_findings(checked: Checked) -> list[str]:
    """Return the findings, each with its rows, and the advice."""
    lines = []
    for finding in checked.findings:
        lines.append(f"{'! ' if finding.warns else '- '}{finding.describe()}")
        lines += [f"    {line}" for line in finding.show()]
    lines += [f"- {text}" for text in checked.advice]
    return lines or ["Nothing odd was found."]
