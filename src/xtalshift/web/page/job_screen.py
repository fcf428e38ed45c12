"""The screens of a job: its progress, then its result; and how it ended, if it has none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from xtalshift.data.catalog import list_datasets
from xtalshift.jsonio import Plain, read_json
from xtalshift.web.job_results import shown
from xtalshift.web.job_runner import JobRunner
from xtalshift.web.job_store import DIGEST, Job, JobStore
from xtalshift.web.models import Shelf
from xtalshift.web.page.screens import Screens, go_to
from xtalshift.web.tables import TableStore

_REPORT = "report.html"


@dataclass(frozen=True)
class _JobScreen:
    screens: Screens
    tables: TableStore
    jobs: JobStore
    shelf: Shelf

    def show(self, request: Request, job: Job) -> Response:
        """Return the screen of a job in its present state."""
        said = shown(job, self.jobs)
        values: Plain = {"job": said, "created": job.created, "places": self._places(job)}
        if not job.ended:
            ahead = [one for one in self.jobs.all() if not one.ended and one.created < job.created]
            return self.screens.show(request, "watch.html.j2", **values, ahead=len(ahead))
        if job.state != "done":
            return self.screens.show(request, "ended.html.j2", **values)
        files = self.jobs.files(job)
        values["files"] = [(name, path.stat().st_size) for name, path in files.items()]
        if DIGEST in files:
            digest = read_json(files[DIGEST])
            return self.screens.show(
                request, "read.html.j2", **values, d=digest, page=_REPORT in files
            )
        return self.screens.show(request, "result.html.j2", **values)

    def _places(self, job: Job) -> dict[str, str]:
        """Return the addresses of the other steps of the work."""
        places = {}
        table = json.loads(job.asked).get("table", "")
        if table in list_datasets() or table in {one.id for one in self.tables.all()}:
            places["Table"] = f"/tables/{table}"
            if job.kind in {"run", "train"}:
                places["Choose"] = f"/tables/{table}/new?job={job.id}"
        if job.state == "done" and job.name in self.shelf.folders():
            places["Predict"] = f"/models/{quote(job.name, '')}"
        return places


def job_screen_routes(
    screens: Screens, tables: TableStore, jobs: JobStore, shelf: Shelf, runner: JobRunner
) -> APIRouter:
    """Return the routes of the screens of a job."""
    router = APIRouter(include_in_schema=False)
    screen = _JobScreen(screens, tables, jobs, shelf)

    @router.get("/jobs/{id}")
    def job(id: str, request: Request) -> Response:  # noqa: A002 - the word of the interface
        return screen.show(request, jobs.get(id))

    @router.post("/jobs/{id}/cancel")
    def cancel(id: str) -> Response:  # noqa: A002
        found = jobs.get(id)
        if not found.ended:
            runner.cancel(found)
        return go_to(f"/jobs/{id}")

    @router.post("/jobs/{id}/delete")
    def delete(id: str) -> Response:  # noqa: A002
        jobs.delete(jobs.get(id))
        return go_to("/#jobs")

    return router
