"""REST: the progress of jobs and their results."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response, StreamingResponse

from xtalshift.data.spreadsheet import rows_as_csv
from xtalshift.errors import NotFoundError
from xtalshift.jsonio import Plain, read_json
from xtalshift.registry import near_miss
from xtalshift.report.shared.figure_rows import figure_rows
from xtalshift.web.bodies import CSV
from xtalshift.web.described import JobId
from xtalshift.web.job_events import read_events
from xtalshift.web.job_store import DIGEST, EVENTS, Job, JobStore
from xtalshift.web.model_routes import problems
from xtalshift.web.problems import RequestError

_POLL, _ALIVE = 0.25, 15.0
"""Seconds between looks for new events, and between signs of life."""
_MOST_LISTENERS = 100
_FileName: TypeAlias = Annotated[str, InPath(description="Name of a file, as the list has it.")]
_FigureName: TypeAlias = Annotated[str, InPath(description="Id of a figure of `digest.json`.")]


def shown(job: Job, jobs: JobStore) -> Plain:
    """Return a job as clients see it, with its result or its problem once it has ended."""
    found: Plain = {
        "id": job.id,
        "kind": job.kind,
        "name": job.name,
        "state": job.state,
        "created": _time(job.created),
        "started": _time(job.started),
        "finished": _time(job.finished),
        "reason": job.reason,
        "asked": json.loads(job.asked),
    }
    if job.ended:
        found |= jobs.outcome(job) or {}
    return found


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def result_routes(jobs: JobStore) -> APIRouter:
    """Return the routes of progress and results."""
    router = APIRouter(tags=["jobs"])

    @router.get("/jobs/{id}/files", summary="The result files of a job", responses=problems(404))
    def files(id: JobId) -> list[Plain]:  # noqa: A002
        found = jobs.files(jobs.get(id))
        return [{"name": name, "bytes": path.stat().st_size} for name, path in found.items()]

    @router.get(
        "/jobs/{id}/files/{name:path}",
        summary="A result file",
        responses={200: {"content": {"application/octet-stream": {}}}, **problems(404)},
        response_class=Response,
    )
    def file(id: JobId, name: _FileName) -> Response:  # noqa: A002
        found = jobs.files(jobs.get(id))
        if name not in found:
            names = ", ".join(list(found)[:20]) or "none yet"
            raise NotFoundError(
                f"job {id} has no file {name[:100]!r}{near_miss(name[:100], found)}. Files: {names}"
            )
        page = name.endswith(".html")
        return FileResponse(
            found[name],
            stat_result=found[name].stat(),
            filename=Path(name).name,
            content_disposition_type="inline" if page else "attachment",
            # what a table says must not act in the name of this server
            headers={"Content-Security-Policy": "sandbox allow-scripts allow-downloads"},
        )

    @router.get(
        "/jobs/{id}/figures/{name}",
        summary="The data of a figure of a run; `digest.json` among its files lists the figures",
        responses={200: {"content": {CSV: {}}}, **problems(404)},
        response_class=Response,
    )
    def figure(id: JobId, name: _FigureName) -> Response:  # noqa: A002
        path = jobs.files(jobs.get(id)).get(DIGEST)
        known = {} if path is None else {one["id"]: one for one in read_json(path)["figures"]}
        if name not in known:
            raise NotFoundError(f"job {id} has no figure {name[:100]!r}{near_miss(name, known)}")
        shown_as = {"Content-Disposition": f'attachment; filename="{id}-{name}.csv"'}
        return Response(rows_as_csv(figure_rows(known[name])), media_type=CSV, headers=shown_as)

    listeners = 0

    @router.get(
        "/jobs/{id}/events",
        summary="The progress of a job as server-sent events",
        description="`begin`, `advance` and `end` of a piece of work, `say` for a line of text, "
        "and `state` with the job whenever its state changes; the stream ends with the job. "
        "`Last-Event-ID` continues behind an event.",
        responses={200: {"content": {"text/event-stream": {}}}, **problems(404, 429)},
        response_class=Response,
    )
    async def events(id: JobId, request: Request) -> Response:  # noqa: A002
        nonlocal listeners
        await run_in_threadpool(jobs.get, id)
        if listeners >= _MOST_LISTENERS:
            raise RequestError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{listeners} clients listen already; ask for the job instead",
                {"Retry-After": "10"},
            )
        last = request.headers.get("last-event-id", "")
        at = int(last[:18]) if last.isascii() and last.isdecimal() else 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal listeners
            listeners += 1
            try:
                async for event in _stream(id, at, jobs):
                    yield event
            finally:
                listeners -= 1

        return StreamingResponse(counted(), media_type="text/event-stream")

    return router


async def _stream(id_: str, at: int, jobs: JobStore) -> AsyncIterator[bytes]:
    """Yield the events of a job as text, until it has ended."""
    state, said = "", time.monotonic()
    while True:
        job = await run_in_threadpool(_known, jobs, id_)
        if job is None:  # it was deleted
            return
        events = await run_in_threadpool(list, read_events(jobs.folder(job) / EVENTS, at))
        for place, event in events:
            at = place
            yield _event(str(event.pop("event", "say")), event, at)
        if job.state != state:
            state = job.state
            yield _event("state", await run_in_threadpool(shown, job, jobs), at)
        if job.ended:
            return
        if events:
            said = time.monotonic()
        elif time.monotonic() - said > _ALIVE:
            said = time.monotonic()
            yield b":\n\n"
        await asyncio.sleep(_POLL)


def _known(jobs: JobStore, id_: str) -> Job | None:
    try:
        return jobs.get(id_)
    except NotFoundError:
        return None


def _event(name: str, values: Plain, at: int) -> bytes:
    return f"id: {at}\nevent: {name}\ndata: {json.dumps(values)}\n\n".encode()
