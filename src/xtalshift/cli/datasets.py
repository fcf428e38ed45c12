"""``xtalshift datasets``: list, describe and download the named data sets."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

app = typer.Typer(help="List, describe or download the named data sets.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(help="A name from 'xtalshift datasets list'.")]


@app.command("list")
def list_command() -> None:
    """List the data sets: name, rows, default target with its unit, content."""
    from xtalshift.data.catalog import get_entry, list_datasets

    rows = []
    for name in list_datasets():
        entry = get_entry(name)
        unit = entry.units.get(entry.target, "")
        target = f"{entry.target} ({unit})" if unit not in {"", "1"} else entry.target
        rows.append((name, str(entry.n_rows), target, entry.title))
    if not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "rows", "target (unit)", "content", highlight=False)
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    Console().print(table)


@app.command("info")
def info_command(name: _Name) -> None:
    """Describe a data set: source, checksum, columns, units, conditions, licence, citation."""
    from xtalshift.data.catalog import get_entry

    for key, value in get_entry(name).to_dict().items():
        if isinstance(value, dict):
            value = "; ".join(f"{column}: {unit}" for column, unit in value.items())  # noqa: PLW2901
        text = ", ".join(value) if isinstance(value, list) else str(value)
        if text:
            typer.echo(f"{key}: {text}")


@app.command("fetch")
def fetch_command(name: _Name) -> None:
    """Download and verify a data set; print the path of the file."""
    from xtalshift.cli.progress import make_progress
    from xtalshift.data.catalog import dataset_path, get_entry

    entry = get_entry(name)
    typer.echo(f"{name}: {entry.url or 'a file of this package'}", err=True)
    typer.echo(dataset_path(name, progress=make_progress()))
