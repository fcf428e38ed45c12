"""The screen of a table: its first rows, what was read as what, what is odd, and mending it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from pathlib import PurePath

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from xtalshift.data.catalog import get_entry, list_datasets
from xtalshift.errors import XtalshiftError
from xtalshift.jsonio import Plain
from xtalshift.structure.archives import is_archive
from xtalshift.structure.structure_files import is_structure_file
from xtalshift.web.bodies import FormRoute
from xtalshift.web.job_store import JobStore
from xtalshift.web.page.screens import Screens, go_to
from xtalshift.web.page.table_checks import TableChecks, said_of
from xtalshift.web.table_settings import TableSettings, preview_of
from xtalshift.web.tables import StoredTable, TableDesk, TableStore

_FIXED = "fixed.csv"
"""The corrected table among the files of a check."""
_STAY = {
    *("formula_col", "target", "unit", "task", "amounts", "hydrates", "composition_columns"),
    *("structures", "structure_col"),
}
"""What is also true of the corrected table; it has another separator, and plain numbers."""


@dataclass(frozen=True)
class _TableScreen:
    screens: Screens
    tables: TableStore
    desk: TableDesk
    jobs: JobStore
    checks: TableChecks

    def show(
        self,
        request: Request,
        table: StoredTable,
        problem: Plain | None = None,
        asked: Plain | None = None,
    ) -> Response:
        """Return the screen, after a form with the fields `asked` had a problem, if it had."""
        status = HTTPStatus.OK if problem is None else problem["status"]
        refused = problem is not None
        preview: Plain = {}
        try:
            preview = preview_of(self.tables, table, said_of(table))
        except XtalshiftError as error:
            problem = problem or self.screens.problem(error)
        return self.screens.show(
            request,
            "table.html.j2",
            status,
            table=table,
            preview=preview,
            problem=problem or preview.get("problem"),
            refused=refused,
            said=table.reading if asked is None else asked,
            archives=[one for one in self.tables.all() if is_archive(one.name)],
            is_structures=is_archive(table.name) or is_structure_file(table.name),
            job=self.checks.shown(table),
        )

    def read_again(
        self, id_: str, request: Request, asked: Plain, archive: UploadFile | None
    ) -> Response:
        """Keep what a form says and brings, and check the table as it is read now."""
        table = self.tables.get(id_)
        try:
            if archive is not None and archive.filename:
                asked["structures"] = self.desk.keep(archive.file, archive.filename).id
            table = self.tables.say(id_, TableSettings.from_dict(asked).said)
            self.checks.begin(table)
        except XtalshiftError as error:
            return self.show(request, table, self.screens.problem(error), asked)
        return go_to(f"/tables/{id_}")

    def use_corrected(self, id_: str) -> Response:
        """Keep the corrected table of a check as a table of its own."""
        table = self.tables.get(id_)
        job = self.checks.latest(table)
        path = None if job is None else self.jobs.files(job).get(_FIXED)
        if path is None:
            return go_to(f"/tables/{id_}#findings")
        with path.open("rb") as file:
            new = self.desk.keep(file, f"{PurePath(table.name).stem} (corrected).csv")
        said = {name: value for name, value in table.reading.items() if name in _STAY}
        new = self.tables.say(new.id, said)
        self.checks.begin(new)
        return go_to(f"/tables/{new.id}")


def table_screen_routes(
    screens: Screens, tables: TableStore, desk: TableDesk, jobs: JobStore, checks: TableChecks
) -> APIRouter:
    """Return the routes of the screen of a table."""
    router = APIRouter(include_in_schema=False, route_class=FormRoute)
    screen = _TableScreen(screens, tables, desk, jobs, checks)

    @router.get("/tables/{id}")
    def table(id: str, request: Request) -> Response:  # noqa: A002 - the word of the interface
        if id in list_datasets():
            return screens.show(request, "dataset.html.j2", entry=get_entry(id))
        return screen.show(request, tables.get(id))

    @router.get("/tables/{id}/findings")
    def findings(id: str, request: Request) -> Response:  # noqa: A002
        found = tables.get(id)
        return screens.show(request, "_findings.html.j2", table=found, job=checks.shown(found))

    @router.post("/tables/{id}/check")
    def check(id: str) -> Response:  # noqa: A002
        checks.begin(tables.get(id))
        return go_to(f"/tables/{id}#findings")

    @router.post("/tables/{id}/reading")
    async def say(id: str, request: Request) -> Response:  # noqa: A002
        async with request.form() as form:
            asked, sent = _given(form), form.get("archive")
            archive = sent if isinstance(sent, UploadFile) else None
            return await run_in_threadpool(screen.read_again, id, request, asked, archive)

    @router.post("/tables/{id}/corrected")
    def use_corrected(id: str) -> Response:  # noqa: A002
        return screen.use_corrected(id)

    return router


def _given(form: FormData) -> Plain:
    """Return what a form says; an empty field leaves it to the reader of tables."""
    known = TableSettings.model_fields
    return {name: str(value) for name, value in form.items() if name in known and value != ""}
