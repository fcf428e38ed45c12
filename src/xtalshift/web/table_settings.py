"""What a person has said of a table that was sent: how it is read, and what is its target."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import Field

from xtalshift.data.settings import DataConfig
from xtalshift.errors import XtalshiftError
from xtalshift.jobs.preview import preview_table
from xtalshift.jsonio import Plain
from xtalshift.web.predicting import SentReading, cells_are_content
from xtalshift.web.problems import problem_of
from xtalshift.web.tables import StoredTable, TableStore


class TableSettings(SentReading):
    """How a table is read, and its target; what is left out is found."""

    target: str | None = None
    """Column to predict."""
    unit: str = Field(default="", max_length=100)
    """Its unit, if the header does not say it."""
    task: Literal["auto", "regression", "classification", "ordinal"] = "auto"
    """Whether the target is a number or a class."""

    @property
    def said(self) -> Plain:
        """What was said, without what is left out."""
        found: Plain = self.model_dump(mode="json", exclude_defaults=True)
        return found

    def config(self, path: Path) -> DataConfig:
        """Return the settings with which a file is read."""
        return DataConfig.from_dict({**self.said, "dataset": str(path)})

    def asked(self, table: str) -> Plain:
        """Return what the request for a job says of a table with these settings."""
        said = self.said
        own: Plain = {name: said.pop(name) for name in ("target", "unit") if name in said}
        settings = {f"data.{name}": value for name, value in said.items()}
        return {"table": table, **own, **({"settings": settings} if settings else {})}


def preview_of(tables: TableStore, table: StoredTable, said: TableSettings) -> Plain:
    """Return the first rows of a table and what they are read as, see `preview_table`.

    Messages call the table as its owner does.

    Raises
    ------
    DataError
        If no rows can be read.
    """
    path = tables.path(table.id)
    try:
        with cells_are_content():
            found = preview_table(said.config(path))
    except XtalshiftError as error:
        error.args = (_own_words(str(error), path, table),)
        raise
    plain = asdict(found)
    plain["problem"] = None
    if found.problem is not None:
        told = problem_of(found.problem, [tables.store])
        plain["problem"] = {**told, "detail": _own_words(told["detail"], path, table)}
    return plain


def _own_words(text: str, path: Path, table: StoredTable) -> str:
    for name in (str(path), path.name):
        text = text.removeprefix(f"{name}: ").replace(name, table.name)
    return text
