"""The first screen: a table goes in, and what there is already is listed."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, File, Form, Request, UploadFile
from starlette.responses import Response

from xtalshift.data.catalog import get_entry, list_datasets
from xtalshift.errors import DataError, XtalshiftError
from xtalshift.web.bodies import FormRoute
from xtalshift.web.job_store import Job, JobStore
from xtalshift.web.model_routes import summary_of
from xtalshift.web.models import Shelf
from xtalshift.web.page.screens import Screens, go_to
from xtalshift.web.page.table_checks import TableChecks
from xtalshift.web.tables import TableDesk, TableStore

_SHOWN = 20
"""Jobs and tables of the lists, unless all are asked for."""
_PASTED = "pasted.csv"


def _listed(jobs: JobStore) -> list[Job]:
    """Return the jobs of the list: checks are shown with their table."""
    return [job for job in jobs.all() if job.kind != "check"]


def start_routes(
    screens: Screens,
    tables: TableStore,
    desk: TableDesk,
    jobs: JobStore,
    shelf: Shelf,
    checks: TableChecks,
) -> APIRouter:
    """Return the routes of the first screen."""
    router = APIRouter(include_in_schema=False, route_class=FormRoute)

    def show(request: Request, status: int = HTTPStatus.OK, **values: object) -> Response:
        kept, known = tables.all(), _listed(jobs)
        every = "all" in request.query_params
        return screens.show(
            request,
            "start.html.j2",
            status,
            **{"problem": None, "pasted": "", **values},
            tables=kept if every else kept[:_SHOWN],
            jobs=known if every else known[:_SHOWN],
            hidden=not every and max(len(kept), len(known)) > _SHOWN,
            models=[summary_of(name, folder) for name, folder in shelf.folders().items()],
            datasets=[get_entry(name) for name in list_datasets() if not get_entry(name).url],
        )

    @router.get("/")
    def start(request: Request) -> Response:
        return show(request)

    @router.get("/parts/jobs")
    def running(request: Request) -> Response:
        return screens.show(request, "_jobs.html.j2", jobs=_listed(jobs)[:_SHOWN])

    @router.post("/tables")
    def send(
        request: Request,
        table: Annotated[UploadFile | None, File()] = None,
        pasted: Annotated[str, Form()] = "",
    ) -> Response:
        try:
            if table is not None and table.filename:
                found = desk.keep(table.file, table.filename)
            elif pasted.strip():
                found = desk.keep_text(pasted, _PASTED)
            else:
                raise DataError("no table was chosen; choose a file, or paste rows with a header")
            checks.begin(found)
        except XtalshiftError as error:
            problem = screens.problem(error)
            return show(request, problem["status"], problem=problem, pasted=pasted)
        return go_to(f"/tables/{found.id}")

    @router.post("/tables/{id}/delete")
    def delete_table(id: str) -> Response:  # noqa: A002 - the word of the interface
        tables.delete(id)
        return go_to("/#tables")

    return router
