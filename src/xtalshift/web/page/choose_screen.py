"""The screen that chooses what is learned from a table, and for which materials."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal, Self

from fastapi import APIRouter, Request
from pydantic import Field, field_validator
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from xtalshift.config import Settings
from xtalshift.data.catalog import get_entry, list_datasets
from xtalshift.errors import DataError, XtalshiftError
from xtalshift.jsonio import Plain
from xtalshift.web.bodies import FormRoute
from xtalshift.web.job_kinds import KINDS
from xtalshift.web.job_routes import JobDesk
from xtalshift.web.job_runner import JobRunner
from xtalshift.web.job_store import JobStore
from xtalshift.web.method_routes import list_methods
from xtalshift.web.page.screens import Screens, go_to
from xtalshift.web.page.table_checks import said_of
from xtalshift.web.table_settings import TableSettings, preview_of
from xtalshift.web.tables import TableDesk, TableStore

_FIRST = ("auto", "lightgbm", "ridge", "erm", "cal")
"""Methods that are shown at once; the others are one click away."""
_MINUTES = 5.0


class Choices(Settings):
    """What a person chooses."""

    target: str = ""
    unit: str = Field(default="", max_length=100)
    task: Literal["auto", "regression", "classification", "ordinal"] = "auto"
    transform: Literal["none", "clip", "log1p", "log"] = "none"
    """Scale of the target in the training."""
    method: str = "auto"
    minutes: float | None = Field(default=None, gt=0)
    """Wall minutes that a fit of auto may take."""
    expect: tuple[Literal["covariate", "prior", "family"], ...] = ()
    """How the new materials differ from those of the table."""
    family: str = ""
    """Element that the table has, or several joined by +, and that stands for the new family."""
    tail: Literal["high", "low", "both"] = "high"
    candidates: str = ""
    """Id of a table of the new materials."""
    name: str = ""
    """Name of the model."""
    kind: Literal["run", "train"] = "run"

    @field_validator("minutes", mode="before")
    @classmethod
    def _no_limit(cls, value: object) -> object:
        return None if value == "" else value

    @classmethod
    def of_request(cls, kind: str, asked: Plain) -> Self:
        """Return the choices that led to a request, to change some of them."""
        settings = asked.get("settings", {})
        schemes = settings.get("split.schemes", ["random", "covariate", "prior", "family"])
        methods = settings.get("methods", ["auto"])
        values: Plain = {
            **{key: asked[key] for key in ("target", "unit", "name", "candidates") if key in asked},
            "task": settings.get("data.task", "auto"),
            "transform": settings.get("data.transform", "none"),
            "method": asked.get("method", methods[-1]),
            "minutes": asked.get("minutes", settings.get("minutes")),
            "expect": tuple(one for one in schemes if one != "random"),
            "family": settings.get("split.family") or "",
            "tail": settings.get("split.tail", "high"),
            "kind": kind,
        }
        return cls.from_dict(values)

    def shown(self) -> Plain:
        """Return the choices as the fields of the form show them."""
        minutes = "" if self.minutes is None else f"{self.minutes:g}"
        return {**self.model_dump(), "minutes": minutes}

    def request(self, table: str, said: TableSettings) -> Plain:
        """Return the request for a job about a table that is read as was said."""
        named = said.model_copy(
            update={"target": self.target or None, "unit": self.unit, "task": self.task}
        )
        asked = named.asked(table)
        settings: Plain = asked.pop("settings", {})
        if self.name:
            asked["name"] = self.name
        if self.transform != "none":
            settings["data.transform"] = self.transform
        # other methods keep no budget, and a training by them refuses one
        if self.minutes is not None and self.method == "auto":
            (asked if self.kind == "train" else settings)["minutes"] = self.minutes
        if self.kind == "train":
            asked["method"] = self.method
        else:
            settings["methods"] = ["dummy", self.method]
            settings["split.schemes"] = ["random", *self.expect]
            if "family" in self.expect and self.family.strip():
                settings["split.family"] = self.family.strip()
            if "prior" in self.expect:
                settings["split.tail"] = self.tail
            if self.candidates:
                asked["candidates"] = self.candidates
        return {**asked, "settings": settings}


@dataclass(frozen=True)
class _ChooseScreen:
    screens: Screens
    tables: TableStore
    table_desk: TableDesk
    desk: JobDesk
    jobs: JobStore
    runner: JobRunner

    def show(
        self, request: Request, id_: str, typed: Plain | None = None, problem: Plain | None = None
    ) -> Response:
        """Return the screen, after a form with the values `typed` had a problem, if it had."""
        table = _catalogued(id_) if id_ in list_datasets() else self._sent(id_)
        problem = problem or table["problem"]
        job = request.query_params.get("job", "")
        chosen = Choices(
            target=table["target"], unit=table["unit"], task=table["task"], minutes=_MINUTES,
            expect=("family", "prior", "covariate"),
        )  # fmt: skip
        if job:
            before = self.jobs.get(job)
            chosen = Choices.of_request(before.kind, json.loads(before.asked))
        methods = list_methods()
        return self.screens.show(
            request,
            "choose.html.j2",
            200 if problem is None else problem["status"],
            table=table,
            chosen={**chosen.shown(), **(typed or {})},
            first=[one for name in _FIRST for one in methods if one["name"] == name],
            others=[one for one in methods if one["name"] not in {*_FIRST, "dummy"}],
            lists=[one for one in self.tables.all() if one.id != id_],
            problem=problem,
        )

    def _sent(self, id_: str) -> Plain:
        stored = self.tables.get(id_)
        said = said_of(stored)
        found = preview_of(self.tables, stored, said)
        names = [one["name"] for one in found["columns"]]
        return {
            "id": id_, "name": stored.name, "columns": names, "candidates": found["candidates"],
            "target": found["target"], "unit": found["unit"], "task": said.task,
            "classes": found["classes"], "problem": found["problem"],
        }  # fmt: skip

    def begin(self, request: Request, id_: str, form: FormData) -> Response:
        """Begin the job that a form describes; if it is wrong, show the form with what is wrong."""
        typed = _typed(form)
        try:
            sent = form.get("list")
            if isinstance(sent, UploadFile) and sent.filename:  # kept: no form brings a file back
                typed["candidates"] = self.table_desk.keep(sent.file, sent.filename).id
            chosen = Choices.from_dict(typed)
            said = TableSettings()
            if id_ not in list_datasets():
                said = said_of(self.tables.get(id_))
            asked = chosen.request(id_, said)
            self._check(id_, asked, said)
            job = self.desk.add(chosen.kind, KINDS[chosen.kind].request.from_dict(asked), {})
        except XtalshiftError as error:
            return self.show(request, id_, typed, self.screens.problem(error))
        self.runner.wake()
        return go_to(f"/jobs/{job.id}")

    def _check(self, id_: str, asked: Plain, said: TableSettings) -> None:
        """Raise `DataError` if the target is missing or cannot be read, before a job finds out."""
        target = asked.get("target")
        if id_ in list_datasets():
            return
        if target is None:
            raise DataError("what should be predicted? Choose a column (--target)")
        settings = {
            **said.said,
            "target": target,
            "task": asked["settings"].get("data.task", "auto"),
        }
        read = TableSettings.from_dict(settings)
        found = preview_of(self.tables, self.tables.get(id_), read)
        if found["problem"] is not None:
            raise DataError(found["problem"]["detail"])


def choose_routes(
    screens: Screens,
    tables: TableStore,
    table_desk: TableDesk,
    desk: JobDesk,
    jobs: JobStore,
    runner: JobRunner,
) -> APIRouter:
    """Return the routes of the choices."""
    router = APIRouter(include_in_schema=False, route_class=FormRoute)
    screen = _ChooseScreen(screens, tables, table_desk, desk, jobs, runner)

    @router.get("/tables/{id}/new")
    def choose(id: str, request: Request) -> Response:  # noqa: A002 - the word of the interface
        return screen.show(request, id)

    @router.post("/tables/{id}/new")
    async def begin(id: str, request: Request) -> Response:  # noqa: A002
        async with request.form() as form:
            return await run_in_threadpool(screen.begin, request, id, form)

    return router


def _typed(form: FormData) -> Plain:
    """Return what a form says, as it was typed."""
    values = {key: str(form[key]) for key in form if key in Choices.model_fields}
    return {**values, "expect": tuple(map(str, form.getlist("expect")))}


def _catalogued(name: str) -> Plain:
    entry = get_entry(name)
    return {
        "id": name, "name": name, "columns": list(entry.columns),
        "candidates": [one for one in entry.columns if one not in {entry.formula, entry.id}],
        "target": entry.target, "unit": entry.units.get(entry.target, ""), "task": "auto",
        "classes": (), "problem": None,
    }  # fmt: skip
