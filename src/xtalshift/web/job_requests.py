"""What a client may ask for: the options of each command.

What is asked names no files of the server: tables are those that were sent, or of the catalogue,
and models those of the shelf.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import Field

from xtalshift.config import Settings
from xtalshift.jobs.screen_options import TopOptions
from xtalshift.jobs.suggest_options import SuggestOptions

LONGEST_NAME = 64
"""Characters of the name of a model."""
_NAME = rf"^([A-Za-z0-9][A-Za-z0-9_-]{{0,{LONGEST_NAME - 1}}})?$"


class Request(Settings):
    """What all requests about a table have in common."""

    table: str | None = Field(default=None, examples=["table-0123456789ab"])
    """Id of a table that was sent to /api/v1/tables, or name of a data set; not needed if the table
    is a part of this request."""
    structures: str | None = None
    """Id of an archive of structure files that was sent; the cells of a column of the table name
    them."""
    settings: dict[str, Any] = Field(default={})
    """Other settings, by the names of `--set` and of the configuration file, nested or with dots:
    ``{"seed": 1, "data.formula_col": "compound"}``."""


class LabelledRequest(Request):
    """About a table with a target."""

    target: str | None = None
    """Column to predict; where the command takes several, names with commas between them."""
    unit: str | None = None
    """Unit of the target."""


class CheckRequest(LabelledRequest):
    """Say what of a table is read as what, and what is odd, as ``xtalshift check --fix`` does."""


class TrainRequest(LabelledRequest):
    """Train a model, as ``xtalshift train`` does."""

    name: str = Field(default="", pattern=_NAME)
    """Name of the model; by default the id of the job."""
    method: str = "auto"
    """A method of ``xtalshift train``."""
    minutes: float | None = Field(default=None, gt=0)
    """Wall minutes that a fit of auto may take."""


class RunRequest(LabelledRequest):
    """Compare methods, as ``xtalshift run`` does."""

    name: str = Field(default="", pattern=_NAME)
    """Name of its model; by default the id of the job."""
    candidates: str | None = None
    """Id of a table of materials to judge."""


class CalibrateRequest(LabelledRequest):
    """Calibrate the intervals of a model on labels, as ``xtalshift calibrate`` does."""

    name: str = Field(default="", pattern=_NAME)
    """Name of the new model; by default the id of the job."""
    model: str = Field(examples=["gaps"])
    """Name of the model to calibrate. `settings` are those of the table (``data.``)."""


class AdaptRequest(LabelledRequest):
    """Adapt a model to the labels of a table, as ``xtalshift adapt`` does."""

    name: str = Field(default="", pattern=_NAME)
    """Name of the new model; by default the id of the job."""
    model: str = Field(examples=["gaps"])
    """Name of the model to adapt."""
    method: str = "auto"
    """A method of ``xtalshift adapt``. `settings` are those of the table (``data.``) and of the
    method."""
    source: str | None = None
    """Id of the table that the model was trained on, or name of a data set."""
    source_target: str | None = None
    """Its target column."""
    calibration_folds: int = Field(default=5, ge=0, le=1000)
    """Number of further adaptations that judge the adaptation and calibrate its intervals."""
    seed: int = Field(default=0, ge=0)
    """Seed of the adaptation."""


class SuggestRequest(SuggestOptions, Request):
    """Suggest which rows of a table to measure next, as ``xtalshift suggest`` does."""

    model: str = Field(examples=["gaps"])
    """Name of the model. `table` has the candidates, and `settings` say how it is read
    (``data.``)."""
    measured: tuple[str, ...] = ()
    """Ids of tables of measured materials, which are left out."""


class ScreenRequest(TopOptions, Request):
    """Predict all rows of a table and list the best, as ``xtalshift screen`` does."""

    model: str = Field(examples=["gaps"])
    """Name of the model. `settings` say how the table is read (``data.``), and the others of the
    command, such as ``chunk_rows``."""
    level: float | None = Field(default=None, gt=0, lt=1)
    """Coverage of the intervals."""
    intervals: str | None = None
    """plain, or family: calibrated by chemical family."""
    distinct: bool = False
    """Whether to predict each reduced formula once."""
    keep: str | None = None
    """Rows to write: all, ok, or top (only top.csv)."""
    limit_rows: int | None = Field(default=None, ge=1)
    """Stop after so many rows."""
    stability: str | None = None
    """Name of a model of formation energies per atom."""
    stability_table: str | None = None
    """Id of a table of known formation energies."""


ROLES = ("table", "structures", "candidates", "source", "measured", "stability_table")
"""Fields of requests that name tables, and parts of forms that are tables."""

MODELS = ("model", "stability")
"""Fields of requests that name models."""


@dataclass(frozen=True)
class Inputs:
    """Files in the folder of a job, where its process runs, or names of data sets; and models."""

    table: str
    structures: str | None = None
    candidates: str | None = None
    source: str | None = None
    measured: tuple[str, ...] = ()
    stability_table: str | None = None
    model: str | None = None
    stability: str | None = None
    """`model`, `stability`: folders of models."""
