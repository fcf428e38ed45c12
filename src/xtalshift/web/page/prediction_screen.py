"""The screen of predictions: some rows at a time, their figure, drawings and downloads."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, JSONResponse, Response

from xtalshift.data.spreadsheet import mark_frame, rows_as_csv
from xtalshift.errors import NotFoundError, XtalshiftError
from xtalshift.jsonio import Plain
from xtalshift.report.shared.figure_rows import figure_rows
from xtalshift.uncertainty.settings import LEVEL
from xtalshift.web.bodies import CSV, PARQUET
from xtalshift.web.drawn_structures import MOST_DRAWN
from xtalshift.web.page.model_facts import card_facts, made_by
from xtalshift.web.page.model_screen import LEVELS, ModelScreen, places_of
from xtalshift.web.page.prediction_view import PER_PAGE, Query, View
from xtalshift.web.page.targets import Target, targets_of
from xtalshift.web.prediction_store import StoredPrediction

_MOST_ON_PAGE = 2000
_SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


@dataclass(frozen=True)
class _Predictions:
    model: ModelScreen

    def look(
        self, name: str, id_: str, query: Query
    ) -> tuple[StoredPrediction, list[Target], View]:
        """Return a prediction, the targets of its model, and its rows."""
        found = self.model.predictions.get(id_, name)
        targets = targets_of(self.model.shelf.load(name))
        return found, targets, View(self.model.predictions.path(found), targets, found.rows, query)

    def show(self, request: Request, name: str, id_: str) -> Response:
        """Return the screen of a prediction."""
        query, screen = _query(request), self.model
        found, targets, view = self.look(name, id_, query)
        job = made_by(name, screen.shelf.folder(name), screen.jobs)
        return screen.screens.show(
            request,
            "predictions.html.j2",
            name=name,
            found=found,
            level=found.asked.get("level", LEVEL),
            levels=LEVELS,
            targets=targets,
            view=view,
            rows=view.rows(),
            query=query,
            drawn=screen.drawn(found),
            most_drawn=MOST_DRAWN,
            figures=view.figures(),
            places=places_of(name, job),
        )

    def as_page(self, request: Request, name: str, id_: str) -> Response:
        """Return the rows as one file that needs no server."""
        screen = self.model
        found, targets, view = self.look(name, id_, _query(request))
        rows = view.every_row(_MOST_ON_PAGE)
        answer = screen.screens.show(
            request,
            "prediction_file.html.j2",
            name=name,
            found=found,
            targets=targets,
            view=view,
            rows=rows,
            facts=card_facts(screen.shelf.load(name)),
            level=found.asked.get("level", LEVEL),
            drawings=_drawings(screen, found, rows) if screen.drawn(found) else {},
        )
        answer.headers.update(_as_file(f"{name}-predictions.html"))
        return answer

    def as_table(self, name: str, id_: str, kind: str) -> Response:
        """Return all rows as a table; errors if there is no such kind."""
        found = self.model.predictions.get(id_, name)
        path = self.model.predictions.path(found)
        if kind == "parquet":
            return FileResponse(
                path,
                stat_result=path.stat(),
                filename=f"{name}-predictions.parquet",
                media_type=PARQUET,
            )
        if kind != "csv":
            raise NotFoundError(f"there is no download {kind[:20]!r}; csv, parquet or html")
        out = self.model.disk.folder()
        _write_csv(path, out / "predictions.csv")
        removed = BackgroundTask(shutil.rmtree, out, ignore_errors=True)
        return FileResponse(
            out / "predictions.csv",
            filename=f"{name}-predictions.csv",
            media_type=CSV,
            background=removed,
        )


def _query(request: Request) -> Query:
    given = request.query_params
    page = given.get("page", "1")
    return Query(
        given.get("sort", ""),
        given.get("order", "") == "down",
        domain if (domain := given.get("domain", "")) in {"in", "out"} else "",
        given.get("q", "")[:200],
        int(page) if page.isascii() and page.isdecimal() and len(page) < 9 else 1,  # noqa: PLR2004
    )


def prediction_screen_routes(model: ModelScreen) -> APIRouter:
    """Return the routes of the screen of predictions."""
    router = APIRouter(include_in_schema=False)
    screen = _Predictions(model)

    @router.get("/models/{name}/predictions/{id}")
    def predictions(name: str, id: str, request: Request) -> Response:  # noqa: A002
        return screen.show(request, name, id)

    @router.get("/models/{name}/predictions/{id}/figures.json")
    def figures(name: str, id: str, request: Request) -> Response:  # noqa: A002
        view = screen.look(name, id, _query(request))[2]
        return JSONResponse({"figures": view.figures()})

    @router.get("/models/{name}/predictions/{id}/figures/{number}")
    def figure(name: str, id: str, number: str, request: Request) -> Response:  # noqa: A002
        known = {one["id"]: one for one in screen.look(name, id, _query(request))[2].figures()}
        if number not in known:
            raise NotFoundError(f"there is no figure {number[:50]!r}")
        rows = rows_as_csv(figure_rows(known[number]))
        return Response(rows, media_type=CSV, headers=_as_file(f"{name}-{number}.csv"))

    @router.get("/models/{name}/predictions/{id}/crystals/{row}")
    def crystal(name: str, id: str, row: int) -> Response:  # noqa: A002
        found = model.predictions.get(id, name)
        svg = _crystal(model, found, row)
        headers = {"Content-Security-Policy": _SVG_POLICY, "Cache-Control": "private, max-age=3600"}
        return Response(svg, media_type="image/svg+xml", headers=headers)

    @router.get("/models/{name}/predictions/{id}/download.{kind}")
    def download(name: str, id: str, kind: str, request: Request) -> Response:  # noqa: A002
        if kind == "html":
            return screen.as_page(request, name, id)
        return screen.as_table(name, id, kind)

    return router


def _write_csv(path: Path, out: Path) -> None:
    """Write a Parquet file as CSV, some thousand rows at a time."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file, out.open("w", encoding="utf-8", newline="") as text:
        mark_frame(file.schema_arrow.empty_table().to_pandas()).to_csv(text, index=False)
        for batch in file.iter_batches(20_000):
            mark_frame(batch.to_pandas()).to_csv(
                text, index=False, header=False, lineterminator="\n"
            )


def _crystal(screen: ModelScreen, found: StoredPrediction, row: int) -> str:
    """Return the drawing of the structure of a row, counted from 1."""
    from xtalshift.structure.drawing import draw_crystal

    if not screen.drawn(found) or not 1 <= row <= MOST_DRAWN:
        raise NotFoundError(f"row {row} is not drawn; only the first {MOST_DRAWN} structures are")
    structures, place = screen.structures.find(screen.predictions.path(found, found.file), row)
    return draw_crystal(structures, place, name=f"c{row}")


def _drawings(screen: ModelScreen, found: StoredPrediction, rows: list[Plain]) -> dict[int, Markup]:
    """Return drawings of the first rows of a page that is one file."""
    drawn = {}
    for row in rows[:PER_PAGE]:
        try:
            svg = _crystal(screen, found, row["row"])
            drawn[row["row"]] = Markup(svg)  # noqa: S704 - it escapes names
        except XtalshiftError:  # no atoms, or too far down
            continue
    return drawn


def _as_file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
