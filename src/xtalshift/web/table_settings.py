"""What a person has said of a table that was sent: how it is read, and what is its target."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import Field

from xtalshift.data.settings import DataConfig, ReadingOptions
from xtalshift.errors import DataError, NotFoundError, XtalshiftError
from xtalshift.jobs.preview import preview_table
from xtalshift.jsonio import Plain
from xtalshift.web.predicting import cells_are_content
from xtalshift.web.problems import problem_of
from xtalshift.web.tables import StoredTable, TableStore

_OWN = ("target", "unit", "structures")
"""What a request says by fields of its own, not by settings."""


class TableSettings(ReadingOptions):
    """How a table is read, and its target; what is left out is found."""

    structures: str | None = Field(default=None, pattern=r"^table-[0-9a-f]{12}$")
    """Id of an archive of structure files that was sent; the cells of `structure_col`, by default
    of the column of ids, name them."""
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

    def config(self, path: Path, archive: Path | None) -> DataConfig:
        """Return the settings with which a file is read, and the archive of its structures."""
        places = {"dataset": str(path), "structures": None if archive is None else str(archive)}
        return DataConfig.from_dict({**self.said, **places})

    def asked(self, table: str) -> Plain:
        """Return what the request for a job says of a table with these settings."""
        said = self.said
        own: Plain = {name: said.pop(name) for name in _OWN if name in said}
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
    path, names = tables.path(table.id), {}
    archive = None if said.structures is None else _archive(tables, said.structures)
    if archive is not None:
        names = {str(tables.path(archive.id)): archive.name}
    names |= {str(path): table.name, path.name: table.name}
    try:
        with cells_are_content():
            found = preview_table(
                said.config(path, None if archive is None else tables.path(archive.id))
            )
    except XtalshiftError as error:
        error.args = (_own_words(str(error), names, table),)
        raise
    plain = asdict(found)
    plain["reading"] = {
        label: _own_words(text, names, table) for label, text in found.reading.items()
    }
    plain["problem"] = None
    if found.problem is not None:
        told = problem_of(found.problem)
        plain["problem"] = {**told, "detail": _own_words(told["detail"], names, table)}
    return plain


def _archive(tables: TableStore, id_: str) -> StoredTable:
    """Return the archive of the structures of a table."""
    try:
        return tables.get(id_)
    except NotFoundError as error:
        raise DataError(
            "the archive of its crystal structures was deleted; send it again, or leave it out "
            "(--structures)"
        ) from error


def _own_words(text: str, names: dict[str, str], table: StoredTable) -> str:
    """Return a message in which files are called as their owner does."""
    for name, own in names.items():
        text = text.replace(name, own)
    return text.removeprefix(f"{table.name}: ")
