"""What a person has said of a table that was sent: how it is read, and what is its target."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import Field

from xtalshift.data.settings import DataConfig
from xtalshift.jobs.preview import preview_table
from xtalshift.jsonio import Plain
from xtalshift.web.predicting import SentReading, cells_are_content
from xtalshift.web.problems import problem_of


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


def preview_of(path: Path, said: TableSettings, hidden: Path) -> Plain:
    """Return the first rows of a table and what they are read as, see `preview_table`.

    Parameters
    ----------
    path : Path
        The file.
    said : TableSettings
        How it is read.
    hidden : Path
        Folder that no message tells.

    Raises
    ------
    DataError
        If no rows can be read.
    """
    with cells_are_content():
        found = preview_table(said.config(path))
    plain = asdict(found)
    plain["problem"] = None if found.problem is None else _problem(found.problem, path, hidden)
    return plain


def _problem(error: Exception, path: Path, hidden: Path) -> Plain:
    plain = problem_of(error, [hidden])
    return {**plain, "detail": plain["detail"].removeprefix(f"{path.name}: ")}
