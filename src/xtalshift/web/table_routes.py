"""REST: tables that clients send, and data sets that there are by name."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from xtalshift.config import Settings
from xtalshift.data.catalog import get_entry, list_datasets
from xtalshift.jsonio import Plain
from xtalshift.web.bodies import JSON, query_parameters, read_query, read_settings, save_body
from xtalshift.web.described import TableId, schema_of
from xtalshift.web.model_routes import problems
from xtalshift.web.scratch import Disk
from xtalshift.web.settings import ServeConfig
from xtalshift.web.table_settings import TableSettings, preview_of
from xtalshift.web.tables import TableStore, suffix_of
from xtalshift.web.unpacked import check_unpacked


class TableName(Settings):
    """What a table is called."""

    name: str = "table.csv"
    """Its name, whose end says what it is: .csv, .tsv, .json or .jsonl, also with .gz; .parquet or
    .xlsx; a structure file (.cif, .extxyz); or an archive of these (.zip, .tar.gz)."""


def table_routes(tables: TableStore, disk: Disk, config: ServeConfig) -> APIRouter:
    """Return the routes of tables and data sets."""
    router = APIRouter()

    @router.get("/datasets", summary="List the data sets that there are by name", tags=["tables"])
    def datasets() -> list[Plain]:
        entries = map(get_entry, list_datasets())
        return [
            {
                "name": entry.name,
                "rows": entry.n_rows,
                "target": entry.target,
                "unit": entry.units.get(entry.target, ""),
                "title": entry.title,
                "licence": entry.licence,
                "citation": entry.citation,
            }
            for entry in entries
        ]

    @router.get("/tables", summary="List the tables that were sent", tags=["tables"])
    def all_tables() -> list[Plain]:
        return [asdict(one) for one in tables.all()]

    @router.post(
        "/tables",
        summary="Send a table",
        tags=["tables"],
        status_code=HTTPStatus.CREATED,
        openapi_extra={
            "parameters": query_parameters(TableName),
            "requestBody": {
                "required": True,
                "content": {
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                    "text/csv": {"schema": {"type": "string"}, "example": "formula,gap\nGaN,3.4\n"},
                },
            },
        },
        responses=problems(408, 413, 422, 507),
    )
    async def send(request: Request) -> Response:
        name = read_query(request, TableName).name
        sent = f"sent{suffix_of(name)}"
        with disk.removed_on_error() as folder:
            await save_body(request, folder / sent, disk.room())
            await run_in_threadpool(check_unpacked, folder / sent, config)
            found = tables.add(folder / sent, name)
            folder.rmdir()
        place = {"Location": f"{request.url.path}/{found.id}"}
        return JSONResponse(asdict(found), HTTPStatus.CREATED, place)

    @router.get(
        "/tables/{id}",
        summary="One table: what was said of it, its first rows, and what they are read as",
        tags=["tables"],
        responses=problems(404, 422),
    )
    def one_table(id: TableId) -> Plain:  # noqa: A002 - the word of the interface
        found = tables.get(id)
        said = TableSettings.from_dict(found.reading)
        return {**asdict(found), "preview": preview_of(tables, found, said)}

    @router.put(
        "/tables/{id}/reading",
        summary="Say how a table is read, and its target; what is left out is found",
        tags=["tables"],
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    JSON: {
                        "schema": schema_of(TableSettings),
                        "example": {"target": "gap", "unit": "eV", "separator": ";"},
                    }
                },
            }
        },
        responses=problems(404, 413, 422),
    )
    async def say(id: TableId, request: Request) -> Plain:  # noqa: A002
        said = await read_settings(request, TableSettings)
        return asdict(await run_in_threadpool(tables.say, id, said.said))

    @router.delete(
        "/tables/{id}",
        summary="Delete a table; jobs keep their copy",
        tags=["tables"],
        status_code=HTTPStatus.NO_CONTENT,
        responses=problems(404),
    )
    def delete(id: TableId) -> None:  # noqa: A002 - the word of the interface
        tables.delete(id)

    return router
