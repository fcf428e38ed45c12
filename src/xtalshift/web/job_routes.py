"""REST: jobs, their progress and their results."""

from __future__ import annotations

import json
import os
import re
import shutil
import unicodedata
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response

from xtalshift.data.catalog import list_datasets
from xtalshift.errors import NotFoundError, UsageError
from xtalshift.jsonio import Plain
from xtalshift.registry import near_miss
from xtalshift.web.bodies import FORM, JSON, content_type, no_room, parse_settings, read_settings
from xtalshift.web.described import JobId, schema_of
from xtalshift.web.job_kinds import KINDS
from xtalshift.web.job_requests import MODELS, ROLES, Inputs
from xtalshift.web.job_requests import Request as AnyRequest
from xtalshift.web.job_results import shown
from xtalshift.web.job_runner import JobRunner
from xtalshift.web.job_store import Job, JobStore
from xtalshift.web.model_routes import problems
from xtalshift.web.models import Shelf
from xtalshift.web.problems import RequestError
from xtalshift.web.scratch import Disk
from xtalshift.web.settings import ServeConfig
from xtalshift.web.tables import TableStore, suffix_of
from xtalshift.web.unpacked import check_unpacked


class JobDesk:
    """Takes requests for jobs."""

    def __init__(
        self, jobs: JobStore, tables: TableStore, shelf: Shelf, disk: Disk, config: ServeConfig
    ) -> None:
        self._jobs = jobs
        self._tables = tables
        self._shelf = shelf
        self._disk = disk
        self._config = config

    async def submit(self, kind: str, request: Request) -> Job:
        """Take the request for a job, with the tables that it brings.

        Raises
        ------
        XtalshiftError
            If it is wrong, or there is no room for it.
        """
        what = KINDS[kind].request
        sent: dict[str, UploadFile] = {}
        given = content_type(request.headers)
        if given == FORM:
            async with request.form(max_files=len(ROLES), max_fields=1) as form:
                asked, sent = _read_form(dict(form), what)
                return await run_in_threadpool(self.add, kind, asked, sent)
        if given != JSON:
            raise RequestError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"Content-Type {given[:100]!r}: send {JSON}, or {FORM} with the table",
            )
        asked = await read_settings(request, what)
        return await run_in_threadpool(self.add, kind, asked, sent)

    def add(self, kind: str, asked: AnyRequest, sent: Mapping[str, UploadFile]) -> Job:
        """Take the request for a job, with its tables; errors as in `submit`."""
        name = getattr(asked, "name", "")
        if name in self._shelf.folders():
            raise RequestError(
                HTTPStatus.CONFLICT, f"there is a model {name!r}; choose another name"
            )
        folder = self._jobs.prepare(kind)
        try:
            inputs: dict[str, Any] = {
                role: self._inputs(role, getattr(asked, role, None), sent.get(role), folder)
                for role in ROLES
            }
            for role in MODELS:
                model = getattr(asked, role, None)
                inputs[role] = None if model is None else str(self._shelf.folder(model))
            _needed(inputs["table"])
            found = Inputs(**inputs)
            KINDS[kind].check(asked, found)
            plain = asked.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            task = {"kind": kind, "asked": plain, "inputs": vars(found)}
            return self._jobs.submit(folder, name, plain, task, self._config.max_jobs)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _inputs(self, role: str, named: Any, sent: UploadFile | None, folder: Path) -> Any:
        """Return the name of a table in the folder of a job, or those of several."""
        if role != "measured":
            return self._input(role, named, sent, folder)
        names = [None] if sent is not None else named or ()
        found = (self._input(f"{role}{number or ''}", one, sent, folder)
                 for number, one in enumerate(names))  # fmt: skip
        return tuple(one for one in found if one is not None)

    def _input(
        self, role: str, named: str | None, sent: UploadFile | None, folder: Path
    ) -> str | None:
        """Return the name of a table in the folder of a job, or of a data set."""
        if sent is not None:
            name = sent.filename or ""
            path = folder / _file_name(role, name)
            if (sent.size or 0) > self._disk.room():
                raise no_room()
            with path.open("wb") as file:
                shutil.copyfileobj(sent.file, file)
            check_unpacked(path, self._config)
            return path.name
        if named is None:
            return None
        known = {one.id: one for one in self._tables.all()}
        if named in known:
            path = folder / _file_name(role, known[named].name)
            os.link(self._tables.path(named), path)  # it stays when the table is deleted
            return path.name
        if named in list_datasets():
            return named
        hint = near_miss(named[:100], list_datasets())
        raise NotFoundError(
            f"{role} {named[:100]!r} is neither the id of a table nor a data set{hint}; send the "
            "table to /api/v1/tables first"
        )


def _needed(table: str | None) -> None:
    if table is None:
        raise UsageError(
            "which table? Give its id or the name of a data set as `table`, or send it as the part "
            "`table` of a form"
        )


def _read_form(
    form: dict[str, Any], kind: type[AnyRequest]
) -> tuple[AnyRequest, dict[str, UploadFile]]:
    """Return the request and the tables of a form.

    Raises
    ------
    UsageError
        If a part is unknown.
    """
    files = {name: part for name, part in form.items() if isinstance(part, UploadFile)}
    texts = {name: part for name, part in form.items() if name not in files}
    for name in (*files, *texts):
        if name not in (ROLES if name in files else ("request",)):
            raise UsageError(
                f"part {name[:100]!r} of the form is unknown; known are the files "
                f"{', '.join(ROLES)} and the text `request`"
            )
    asked = parse_settings(str(texts.get("request", "{}")).encode(), kind)
    twice = [name for name in files if getattr(asked, name, None)]
    if twice:
        raise UsageError(f"{twice[0]} is named in the request and sent with it; do one of them")
    unused = [name for name in files if name not in kind.model_fields]
    if unused:
        raise UsageError(f"this command takes no {unused[0]}")
    return asked, files


def _file_name(role: str, name: str) -> str:
    """Return the name of an input in the folder of a job, by which models call their source.

    Of what the client says only letters, those of all languages, digits and the type stay, so that
    it is no path.
    """
    suffix = suffix_of(name)
    letters = unicodedata.normalize("NFC", name[: -len(suffix)])  # some systems send u and its dots
    stem = re.sub(r"[^\w-]+", "_", letters)[-40:].strip("_-")
    return f"{role}-{stem}{suffix}" if role != "table" and stem else f"{stem or role}{suffix}"


def job_routes(desk: JobDesk, jobs: JobStore, runner: JobRunner) -> APIRouter:
    """Return the routes of jobs."""
    router = APIRouter(tags=["jobs"])
    for kind in KINDS:
        _add_submission(router, kind, desk, jobs, runner)

    @router.get("/jobs", summary="List the jobs, the newest first")
    def all_jobs() -> list[Plain]:
        return [shown(job, jobs) for job in jobs.all()]

    @router.get("/jobs/{id}", summary="One job", responses=problems(404))
    def one_job(id: JobId) -> Plain:  # noqa: A002 - the word of the interface
        return shown(jobs.get(id), jobs)

    @router.post("/jobs/{id}/cancel", summary="Cancel a job", responses=problems(404, 409))
    def cancel(id: JobId) -> Plain:  # noqa: A002
        job = jobs.get(id)
        if job.ended:
            raise RequestError(HTTPStatus.CONFLICT, f"job {id} has ended already: {job.state}")
        runner.cancel(job)
        return shown(jobs.get(id), jobs)

    @router.delete(
        "/jobs/{id}",
        summary="Delete a job that has ended, with its results",
        status_code=HTTPStatus.NO_CONTENT,
        responses=problems(404, 409),
    )
    def delete(id: JobId) -> None:  # noqa: A002
        jobs.delete(jobs.get(id))

    return router


def _add_submission(
    router: APIRouter, kind: str, desk: JobDesk, jobs: JobStore, runner: JobRunner
) -> None:
    what = KINDS[kind].request
    schema, example = schema_of(what), _EXAMPLES[kind]
    parts: Plain = {"request": {"type": "string", "description": "The request, as JSON."}}
    for name in ROLES:
        if name in what.model_fields:
            said = f"A file, in place of `{name}` in the request."
            parts[name] = {"type": "string", "format": "binary", "description": said}
    texts = {name: value for name, value in example.items() if name != "table"}
    form = {
        "schema": {"type": "object", "properties": parts},
        "example": {"request": json.dumps(texts), "table": "formula,gap\nGaN,3.4\n"},
    }

    @router.post(
        f"/jobs/{kind}",
        summary=(what.__doc__ or "").split("\n")[0],
        operation_id=f"submit_{kind}",
        status_code=HTTPStatus.ACCEPTED,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    JSON: {"schema": schema, "example": example},
                    FORM: form,
                },
            }
        },
        responses=problems(404, 408, 409, 413, 415, 422, 429, 507),
    )
    async def submit(request: Request) -> Response:
        job = await desk.submit(kind, request)
        runner.wake()
        place = request.url.path.removesuffix(kind) + job.id
        return JSONResponse(
            await run_in_threadpool(shown, job, jobs), HTTPStatus.ACCEPTED, {"Location": place}
        )


_EXAMPLES: dict[str, Plain] = {
    "check": {"table": "table-0123456789ab"},
    "train": {"table": "table-0123456789ab", "target": "gap", "unit": "eV", "name": "gaps"},
    "adapt": {"model": "gaps", "table": "table-0123456789ab", "target": "gap", "name": "gaps-2"},
    "run": {"table": "ricci_seebeck", "settings": {"seed": 1}},
    "calibrate": {"model": "gaps", "table": "table-0123456789ab", "name": "gaps-2"},
    "suggest": {"model": "gaps", "table": "table-0123456789ab", "n": 10, "toward": "high"},
    "screen": {"model": "gaps", "table": "table-0123456789ab", "top": 100, "in_domain": True},
}
"""A request for each command."""
