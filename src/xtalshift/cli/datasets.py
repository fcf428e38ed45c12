"""``xtalshift datasets``: list, describe and download the named data sets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xtalshift.cli import options
from xtalshift.data.database_names import DATABASES

if TYPE_CHECKING:
    from xtalshift.data.optimade import Fetched

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
def fetch_command(
    name: Annotated[
        str,
        typer.Argument(
            help="A name from 'xtalshift datasets list'; optimade:PROVIDER (mp, oqmd, cod, aflow, "
            "jarvis, ...) or optimade:https://... for the structures of a database; mp: for the "
            "Materials Project with the key in MP_API_KEY."
        ),
    ],
    filter_: Annotated[
        str,
        typer.Argument(
            metavar="[FILTER]",
            help="Which structures, in the language of OPTIMADE: 'elements HAS \"Ga\"'; for mp: "
            "as 'elements=Ga&band_gap_min=1'.",
            show_default=False,
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="database: .parquet or .csv file.", metavar="OUT"),
    ] = None,
    fields: Annotated[
        str,
        typer.Option(help="database: further properties, such as _mp_band_gap,nelements."),
    ] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="database: most structures.", show_default=False)
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="database: ask again for what was received today.")
    ] = False,
    overwrite: options.OverwriteTable = False,
) -> None:
    """Download and verify a data set, or structures of a database; print the path of the file."""
    from xtalshift.cli.progress import make_progress
    from xtalshift.errors import UsageError

    if name.startswith(DATABASES):
        if out is None:
            raise UsageError(f"{name} needs a file for the structures: -o OUT.parquet")
        _fetch_structures(name, filter_, out, fields, limit, refresh, overwrite)
        return
    if filter_ or out or fields or limit or refresh or overwrite:
        raise UsageError(
            f"a filter and options are for a database (optimade:PROVIDER), not for {name!r}"
        )
    from xtalshift.data.catalog import dataset_path, get_entry

    entry = get_entry(name)
    typer.echo(f"{name}: {entry.url or 'a file of this package'}", err=True)
    typer.echo(dataset_path(name, progress=make_progress()))


def _fetch_structures(
    name: str,
    filter_: str,
    out: Path,
    fields: str,
    limit: int | None,
    refresh: bool,
    overwrite: bool,
) -> None:
    from xtalshift.cli.progress import make_progress
    from xtalshift.data.optimade import COLUMNS, fetch_structures
    from xtalshift.data.writers import check_output, refuse_loss

    check_output(out)
    refuse_loss(out, COLUMNS, overwrite=overwrite)
    found = fetch_structures(
        name,
        filter_,
        out,
        fields=fields.split(","),
        limit=limit,
        refresh=refresh,
        progress=make_progress(),
    )
    say_fetched(found)
    typer.echo(found.path)


def say_fetched(found: Fetched) -> None:
    """Say what a database gave."""
    from xtalshift.words import plural

    total = "" if found.n_matching is None else f" of {found.n_matching:,} that match"
    asked = plural(found.n_requests, "request") if found.n_requests else "all were on disk"
    without = f"; without a structure: {found.n_without_structure:,}, with the reason in its place"
    typer.echo(
        f"{plural(found.n_rows, 'structure')}{total} ({asked})"
        f"{without if found.n_without_structure else ''}. "
        f"Source, licence and citation: {found.notes}",
        err=True,
    )
    if found.absent:
        typer.echo(f"no structure has {', '.join(found.absent)}: the columns are empty", err=True)
