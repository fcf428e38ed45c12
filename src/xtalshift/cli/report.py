"""``xtalshift report``: write the report of a finished run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report_command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of a finished run or benchmark.")
    ],
) -> None:
    """Write report.html from the results in a folder."""
    from xtalshift.report import write_report

    typer.echo(f"Report: {write_report(folder)}")
