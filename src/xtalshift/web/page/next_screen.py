"""The screen of what to measure next: suggestions, measured values, and what they changed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from xtalshift.chem.formulas import is_formula
from xtalshift.errors import DataError, NotFoundError, XtalshiftError
from xtalshift.jsonio import Plain
from xtalshift.model.several import FittedModels
from xtalshift.web.bodies import FormRoute
from xtalshift.web.job_kinds import KINDS
from xtalshift.web.job_requests import LONGEST_NAME
from xtalshift.web.job_results import shown
from xtalshift.web.job_routes import JobDesk
from xtalshift.web.job_runner import JobRunner
from xtalshift.web.job_store import UNFINISHED, Job
from xtalshift.web.models import AnyModel
from xtalshift.web.page.measured_values import (
    FIRST_TYPED,
    LEAST_LABELS,
    read_typed,
    typed_table,
)
from xtalshift.web.page.model_facts import made_by
from xtalshift.web.page.model_screen import ModelScreen, columns_needed, needs_structures, places_of
from xtalshift.web.page.next_rows import changes_of, suggested_rows
from xtalshift.web.page.number_marks import NumberMarks, marks_of
from xtalshift.web.page.screens import go_to
from xtalshift.web.page.targets import Target, targets_of
from xtalshift.web.tables import TableDesk, TableStore

_COUNTED = 2
_TYPED = "measured for "
"""Begins the name of a table of values that were typed."""

_Table: TypeAlias = UploadFile | str | tuple[str, str]
"""A file, the id of a table that was sent, or the text and the name of a table."""


@dataclass(frozen=True)
class NextScreen:
    """Gathers what the screen shows, and begins its jobs."""

    model: ModelScreen
    tables: TableStore
    table_desk: TableDesk
    desk: JobDesk
    runner: JobRunner

    def show(
        self,
        request: Request,
        name: str,
        problem: Plain | None = None,
        asked: Plain | None = None,
        form: str = "",
    ) -> Response:
        """Return the screen; `form` with the values `asked` had a problem, if one had.

        It is ``suggest``, ``values`` (beside suggestions) or ``table`` (of measured values).
        """
        model = self.model.shelf.load(name)
        job = made_by(name, self.model.shelf.folder(name), self.model.jobs)
        given = request.query_params if asked is None else asked
        suggestion = self._job(given.get("suggest"), "suggest", name)
        adaptation = self._job(given.get("adapt"), "adapt", name)
        targets = targets_of(model)
        values: Plain = {
            "name": name,
            "targets": targets,
            "extra": columns_needed(model),
            "crystals": needs_structures(model),
            "suggestion": suggestion,
            "rows": suggested_rows(
                suggestion, targets, model, self._measured(adaptation, targets, marks_of(request))
            ),
            "adaptation": adaptation,
            "changes": changes_of(adaptation, targets),
            "tables": self.tables.all(),
            "known": self._known(job),
            "new_name": self._free_name(name),
            "problem": problem,
            "wrong": _wrong(problem, asked or {}, len(targets)),
            "asked": defaultdict(str, asked or {}),
            "form": form,
            "asked_of": lambda other: defaultdict(str, asked or {} if form == other else {}),
            "least": LEAST_LABELS,
            "places": places_of(name, job),
        }
        status = HTTPStatus.OK if problem is None else problem["status"]
        return self.model.screens.show(request, "next.html.j2", status, **values)

    def suggest(self, name: str, asked: Mapping[str, str], sent: UploadFile | None) -> Job:
        """Begin to choose what to measure.

        Raises
        ------
        XtalshiftError
            If no candidates were given, or a choice is wrong.
        """
        model = self.model.shelf.load(name)
        wanted: Plain = {"model": name, "n": asked.get("n") or 10, **_aim(model, asked)}
        if asked.get("in_domain"):
            wanted["in_domain"] = True
        if asked.get("measured"):
            wanted["measured"] = [asked["measured"]]
        return self._begin("suggest", wanted, _materials(asked, sent, "candidates.csv"))

    def adapt(
        self, name: str, asked: Mapping[str, str], sent: UploadFile | None, marks: NumberMarks
    ) -> Job:
        """Begin to adapt a model to measured values.

        Raises
        ------
        XtalshiftError
            If there are none, or one is no number.
        """
        model = self.model.shelf.load(name)
        typed = typed_table(asked, targets_of(model), columns_needed(model), marks)
        wanted: Plain = {"model": name, "name": asked.get("name", "")}
        if typed and not isinstance(model, FittedModels):
            wanted["target"] = model.card.target_name
        if typed:
            return self._begin("adapt", wanted, (typed, f"{_TYPED}{name}.csv"))
        return self._begin("adapt", wanted, _materials(asked, sent, "measured.csv"))

    def _begin(self, kind: str, wanted: Plain, table: _Table) -> Job:
        """Begin a job with a table."""
        known = {one.id for one in self.tables.all()}
        if isinstance(table, tuple):
            wanted["table"] = self.table_desk.keep_text(*table).id
        elif isinstance(table, str):
            wanted["table"] = table
        files = {"table": table} if isinstance(table, UploadFile) else {}
        try:
            job = self.desk.add(kind, KINDS[kind].request.from_dict(wanted), files)
        except XtalshiftError:
            if isinstance(table, tuple) and wanted["table"] not in known:
                self.tables.delete(wanted["table"])  # the form has it, and sends it once more
            raise
        self.runner.wake()
        return job

    def _job(self, id_: Any, kind: str, model: str) -> Plain | None:
        """Return a job of this model, as REST shows it; None if the address names none."""
        if not id_:
            return None
        found = shown(self.model.jobs.get(str(id_)), self.model.jobs)
        if found["kind"] != kind or found["asked"].get("model") != model:
            raise NotFoundError(f"job {str(id_)[:100]} is no {kind} of the model {model!r}")
        return found

    def _measured(
        self, job: Plain | None, targets: Sequence[Target], marks: NumberMarks
    ) -> dict[tuple[str, str], str]:
        """Return the values that were typed for an adaptation, by formula and target."""
        table = "" if job is None else str(job["asked"].get("table", ""))
        known = {one.id: one for one in self.tables.all()}
        if table not in known or not known[table].name.startswith(_TYPED):
            return {}
        return read_typed(self.tables.path(table), targets, marks)

    def _known(self, job: Job | None) -> str:
        """Return the table that a model was made from, if the server still has it."""
        if job is None:
            return ""
        table = str(shown(job, self.model.jobs)["asked"].get("table", ""))
        return table if table in {one.id for one in self.tables.all()} else ""

    def _free_name(self, name: str) -> str:
        stem, _, end = name.rpartition("-")
        counted = bool(stem) and end.isdecimal() and len(end) <= _COUNTED  # gaps-2, not gaps-1000
        stem, number = (stem, int(end)) if counted else (name, 1)
        stem = re.sub("[^A-Za-z0-9_-]+", "-", stem)[: LONGEST_NAME - 8].lstrip("-_") or "model"
        known = {*self.model.shelf.folders(), *(job.name for job in self.model.jobs.all())}
        while f"{stem}-{number + 1}" in known:
            number += 1
        return f"{stem}-{number + 1}"


def _wrong(problem: Plain | None, asked: Plain, targets: int) -> tuple[int, int] | None:
    """Return the row and the target of the typed value that a problem is about."""
    row, value = (problem or {}).get("row"), (problem or {}).get("value")
    typed = [asked.get(f"value-{row}-{place}", "").strip()[:60] for place in range(targets)]
    places = (place for place, text in enumerate(typed) if text == value)
    place = next(places, None)
    return None if row is None or place is None else (int(row), place)


def _materials(asked: Mapping[str, str], sent: UploadFile | None, name: str) -> _Table:
    """Return the table that a form brings or names; what was typed into it gets a name.

    Raises
    ------
    DataError
        If there is none.
    """
    if sent is not None and sent.filename:
        return sent
    text = asked.get("pasted", "").strip()
    if text:
        first = text.splitlines()[0].strip()
        return (f"formula\n{text}\n" if is_formula(first) else f"{text}\n"), name
    if asked.get("table_id"):
        return asked["table_id"]
    raise DataError("no materials were given; write them, choose a file, or a table that was sent")


def _aim(model: AnyModel, asked: Mapping[str, str]) -> Plain:
    """Return what is wanted, as the options of ``suggest``."""
    if isinstance(model, FittedModels):
        return {"goal": ",".join(asked.get(f"goal-{name}", "-") for name in model.targets)}
    aim = asked.get("aim", "")
    if aim.startswith("class:"):
        return {"class": aim.removeprefix("class:")}
    if aim in {"high", "low"}:
        return {"toward": aim}
    return {"rule": aim} if aim else {}


def next_screen_routes(screen: NextScreen) -> APIRouter:
    """Return the routes of the screen of what to measure next."""
    router = APIRouter(include_in_schema=False, route_class=FormRoute)

    @router.get("/models/{name}/next")
    def show(name: str, request: Request) -> Response:
        return screen.show(request, name)

    @router.get("/models/{name}/next/waiting/{id}")
    def waiting(name: str, id: str, request: Request) -> Response:  # noqa: A002
        jobs = screen.model.jobs
        job = shown(jobs.get(id), jobs)
        answer = screen.model.screens.show(request, "_waiting.html.j2", name=name, job=job)
        if job["state"] not in UNFINISHED:
            answer.headers["HX-Refresh"] = "true"
        return answer

    @router.post("/models/{name}/suggest")
    async def suggest(name: str, request: Request) -> Response:
        async with request.form() as form:
            asked, sent = _parts(form)
            return await run_in_threadpool(_suggest, screen, request, name, asked, sent)

    @router.post("/models/{name}/measured")
    async def measured(name: str, request: Request) -> Response:
        async with request.form(max_fields=2000) as form:
            asked, sent = _parts(form)
            return await run_in_threadpool(_adapt, screen, request, name, asked, sent)

    return router


def _parts(form: FormData) -> tuple[dict[str, str], UploadFile | None]:
    """Return the fields of a form, and its file."""
    texts = {name: part for name, part in form.items() if isinstance(part, str)}
    sent = form.get("table")
    return texts, sent if isinstance(sent, UploadFile) else None


def _suggest(
    screen: NextScreen, request: Request, name: str, asked: Plain, sent: UploadFile | None
) -> Response:
    try:
        job = screen.suggest(name, asked, sent)
    except XtalshiftError as error:
        problem = screen.model.screens.problem(error)
        return screen.show(request, name, problem, asked, "suggest")
    return go_to(f"/models/{quote(name, '')}/next?suggest={job.id}#suggestions")


def _adapt(
    screen: NextScreen, request: Request, name: str, asked: Plain, sent: UploadFile | None
) -> Response:
    try:
        job = screen.adapt(name, asked, sent, marks_of(request))
    except XtalshiftError as error:
        problem = screen.model.screens.problem(error)
        form = "values" if FIRST_TYPED in asked else "table"
        return screen.show(request, name, problem, asked, form)
    before = f"suggest={quote(asked['suggest'], '')}&" if asked.get("suggest") else ""
    return go_to(f"/models/{quote(name, '')}/next?{before}adapt={job.id}#adapted")
