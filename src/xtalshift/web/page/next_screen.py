"""The screen of what to measure next: suggestions, measured values, and what they changed."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.responses import JSONResponse, Response

from xtalshift.chem.formulas import is_formula
from xtalshift.data.spreadsheet import rows_as_csv
from xtalshift.errors import DataError, NotFoundError, XtalshiftError
from xtalshift.jsonio import Plain
from xtalshift.model.several import FittedModels
from xtalshift.report.shared.figure_rows import figure_rows
from xtalshift.web.bodies import CSV, FormRoute
from xtalshift.web.job_kinds import KINDS
from xtalshift.web.job_requests import LONGEST_NAME
from xtalshift.web.job_results import shown
from xtalshift.web.job_routes import JobDesk
from xtalshift.web.job_runner import JobRunner
from xtalshift.web.job_store import UNFINISHED, Job
from xtalshift.web.models import AnyModel
from xtalshift.web.page.model_facts import made_by
from xtalshift.web.page.model_screen import ModelScreen, columns_needed, places_of
from xtalshift.web.page.number_marks import NumberMarks, marks_of
from xtalshift.web.page.prediction_view import Target, targets_of
from xtalshift.web.page.screens import go_to
from xtalshift.web.tables import TableDesk, TableStore

_MOST_TYPED = 200
_COUNTED = 2
_TYPED = "measured for "
"""Begins the name of a table of values that were typed."""
_BEFORE, _AFTER, _CONSTANT = "#adb5bd", "#0072b2", "#d9dee3"
LEAST_LABELS = 5
"""Values that an adaptation needs."""


@dataclass(frozen=True)
class NextScreen:
    """Gathers what the screen shows, and begins its jobs."""

    model: ModelScreen
    tables: TableStore
    table_desk: TableDesk
    desk: JobDesk
    runner: JobRunner

    def show(
        self, request: Request, name: str, problem: Plain | None = None, asked: Plain | None = None
    ) -> Response:
        """Return the screen; a form with the values `asked` had a problem, if it had."""
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
            "suggestion": suggestion,
            "rows": _suggested(
                suggestion, targets, model, self._measured(adaptation, targets, marks_of(request))
            ),
            "adaptation": adaptation,
            "changes": _changes(adaptation, targets),
            "figures": _figures(adaptation, targets),
            "tables": self.tables.all(),
            "known": self._known(job),
            "new_name": self._free_name(name),
            "problem": problem,
            "asked": defaultdict(str, asked or {}),
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
        files = self._labels_or_table(wanted, asked, sent, "candidates.csv")
        return self._begin("suggest", wanted, files)

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
        typed = _typed(asked, targets_of(model), columns_needed(model), marks)
        wanted: Plain = {"model": name, "name": asked.get("name", "")}
        files: dict[str, UploadFile] = {}
        if typed:
            wanted["table"] = self.table_desk.keep_text(typed, f"{_TYPED}{name}.csv").id
        else:
            files = self._labels_or_table(wanted, asked, sent, "measured.csv")
        if typed and not isinstance(model, FittedModels):
            wanted["target"] = model.card.target_name
        return self._begin("adapt", wanted, files)

    def _labels_or_table(
        self, wanted: Plain, asked: Mapping[str, str], sent: UploadFile | None, name: str
    ) -> dict[str, UploadFile]:
        """Put the table that a form names or brings into a request; return what is to be sent."""
        if sent is not None and sent.filename:
            return {"table": sent}
        text = asked.get("pasted", "").strip()
        if text:
            first = text.splitlines()[0].strip()
            table = f"formula\n{text}\n" if is_formula(first) else f"{text}\n"
            wanted["table"] = self.table_desk.keep_text(table, name).id
        elif asked.get("table_id"):
            wanted["table"] = asked["table_id"]
        else:
            raise DataError(
                "no materials were given; write them, choose a file, or a table that was sent"
            )
        return {}

    def _begin(self, kind: str, wanted: Plain, files: Mapping[str, UploadFile]) -> Job:
        asked = KINDS[kind].request.from_dict(wanted)
        job = self.desk.add(kind, asked, files)
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
        with self.tables.path(table).open(encoding="utf-8", newline="") as file:
            found = {}
            for row in csv.DictReader(file):
                for one in targets:
                    text = row.get(one.name) or ""
                    shown = text if one.classes else text.replace(".", marks.decimal)
                    found[str(row.get("formula")), one.name] = shown
        return found

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


def _suggested(
    job: Plain | None,
    targets: Sequence[Target],
    model: AnyModel,
    measured: Mapping[tuple[str, str], str],
) -> list[Plain]:
    """Return the suggestions as the template shows them."""
    if job is None or job["state"] != "done":
        return []
    rows = []
    several = isinstance(model, FittedModels)
    result = job["result"]
    for one, formula in zip(result["suggestions"], result["formulas"], strict=True):
        inside = all(one.get(target.column("in_domain"), True) for target in targets)
        rows.append({
            "rank": one["rank"],
            "name": formula,
            "id": str(one.get("id", "")),
            "score": one["score"],
            "inside": inside,
            "nearest": "" if several else one.get("nearest_formula", ""),
            "nearest_target": None if several else one.get("nearest_target"),
            "given": {name: one[name] for name in columns_needed(model) if name in one},
            "cells": [
                {"prediction": one.get(target.column("prediction")),
                 "lower": one.get(target.column("lower")),
                 "upper": one.get(target.column("upper")),
                 "measured": measured.get((formula, target.name), "")}
                for target in targets
            ],
        })  # fmt: skip
    return rows


def _typed(
    asked: Mapping[str, str], targets: Sequence[Target], extra: Sequence[str], marks: NumberMarks
) -> str:
    """Return the values of a form as CSV; empty if none was typed.

    Raises
    ------
    DataError
        If a value is no number.
    """
    rows: list[list[str]] = []
    for number in range(1, _MOST_TYPED + 1):
        formula = asked.get(f"formula-{number}")
        if formula is None:
            break
        values = [
            _value(asked.get(f"value-{number}-{place}", ""), target, number, formula, marks)
            for place, target in enumerate(targets)
        ]
        if any(values):
            given = [asked.get(f"given-{number}-{name}", "") for name in extra]
            rows.append([formula, *given, *values])
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["formula", *extra, *(target.name for target in targets)])
    writer.writerows(rows)
    return text.getvalue()


def _value(text: str, target: Target, row: int, formula: str, marks: NumberMarks) -> str:
    """Return a typed value as text that is read as the same number everywhere."""
    text = text.strip()
    if target.classes or not text:
        return text
    number, doubtful = marks.read(text)
    if doubtful or not math.isfinite(number):
        why = (
            f"in which {marks.thousands!r} parts thousands; write {marks.decimal!r} before "
            "decimals, and nothing between thousands"
            if doubtful
            else f"no number; write it as {marks.example}, without its unit"
        )
        error = DataError(f"the value of {formula[:60]} is {text[:60]!r}, {why}")
        error.row, error.value = row, text[:60]
        raise error
    return repr(number)


def _changes(job: Plain | None, targets: Sequence[Target]) -> list[Plain]:
    """Return the errors before and after an adaptation, a row for each target."""
    if job is None or job["state"] != "done":
        return []
    result, units = job["result"], {one.name: one.unit for one in targets}
    parts = result.get("targets") or {targets[0].name: result}
    return [
        {"name": name, "unit": units.get(name, ""), "n": part["n_target"], **(part["found"] or {})}
        for name, part in parts.items()
    ]


def _figures(job: Plain | None, targets: Sequence[Target]) -> list[Plain]:
    """Return a figure of the errors before and after for each target."""
    figures = []
    for number, one in enumerate(_changes(job, targets)):
        if "before" not in one:
            continue
        unit = f" ({one['unit']})" if one["unit"] not in {"", "1"} else ""
        names = ["a constant", "before", "after"]
        values = [one["constant"], one["before"], one["after"]]
        error = [None, None, one["standard_error"]]
        figures.append({
            "id": f"figure-adapted-{number}",
            "group": "adapted",
            "title": f"{one['name']}: the error before and after",
            "note": "Mean error on the labels, each predicted without itself. The bar of the last "
            "is the standard error of the difference.",
            "data": [{
                "type": "bar", "orientation": "h", "x": values, "y": names,
                "marker": {"color": [_CONSTANT, _BEFORE, _AFTER]},
                "error_x": {"type": "data", "array": error, "color": "#2b2f33", "thickness": 1.5},
            }],
            "layout": {
                "height": 220,
                "margin": {"l": 90, "r": 24, "t": 12, "b": 48},
                "paper_bgcolor": "#ffffff",
                "plot_bgcolor": "#ffffff",
                "font": {"color": "#2b2f33", "size": 13},
                "xaxis": {"title": {"text": f"mean error{unit}"}, "gridcolor": "#e3e6e9",
                          "rangemode": "tozero"},
                "yaxis": {"autorange": "reversed", "automargin": True},
                "showlegend": False,
            },
        })  # fmt: skip
    return figures


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

    @router.get("/models/{name}/next/figures.json")
    def figures(name: str, adapt: str) -> Response:
        return JSONResponse({"figures": _figures_of(screen, name, adapt)})

    @router.get("/models/{name}/next/figures/{figure}")
    def figure(name: str, figure: str, adapt: str) -> Response:
        known = {one["id"]: one for one in _figures_of(screen, name, adapt)}
        if figure not in known:
            raise NotFoundError(f"there is no figure {figure[:50]!r}")
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(figure)}.csv"}
        return Response(rows_as_csv(figure_rows(known[figure])), media_type=CSV, headers=headers)

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
        return screen.show(request, name, screen.model.screens.problem(error), asked)
    return go_to(f"/models/{quote(name, '')}/next?suggest={job.id}#suggestions")


def _adapt(
    screen: NextScreen, request: Request, name: str, asked: Plain, sent: UploadFile | None
) -> Response:
    try:
        job = screen.adapt(name, asked, sent, marks_of(request))
    except XtalshiftError as error:
        return screen.show(request, name, screen.model.screens.problem(error), asked)
    before = f"suggest={quote(asked['suggest'], '')}&" if asked.get("suggest") else ""
    return go_to(f"/models/{quote(name, '')}/next?{before}adapt={job.id}#adapted")


def _figures_of(screen: NextScreen, name: str, job: str) -> list[Plain]:
    targets = targets_of(screen.model.shelf.load(name))
    return _figures(screen._job(job, "adapt", name), targets)  # noqa: SLF001 - of this module
