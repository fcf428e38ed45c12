"""REST: models and their predictions."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import asdict
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from xtalshift.data.spreadsheet import rows_as_csv
from xtalshift.data.writers import write_frame
from xtalshift.errors import XtalshiftError
from xtalshift.jobs.predict import PredictionCounts
from xtalshift.jsonio import Plain, finite
from xtalshift.model.persist import saved_card
from xtalshift.model.ready.recipe import SHIPPED
from xtalshift.model.several import FittedModels
from xtalshift.model.several_folder import holds_several, saved_cards
from xtalshift.web.bodies import (
    CSV,
    JSON,
    PARQUET,
    TABLES,
    answer_type,
    content_type,
    query_parameters,
    read_query,
    read_settings,
    save_body,
)
from xtalshift.web.described import ModelName, schema_of
from xtalshift.web.models import AnyModel, Shelf
from xtalshift.web.predicting import (
    FormulaPredictions,
    Limits,
    PredictOptions,
    PredictRequest,
    TableQuery,
    json_rows,
    predict_formulas,
    predict_table,
)
from xtalshift.web.problems import PROBLEM, RequestError
from xtalshift.web.scratch import Disk
from xtalshift.web.settings import ServeConfig

_SECONDS = 0.2
"""How often it is asked whether the client still waits."""

T = TypeVar("T")


class Turns:
    """Lets some predictions run at the same time, and some wait; refuses the rest."""

    def __init__(self, config: ServeConfig) -> None:
        self.config = config
        """The limits."""
        self._running = asyncio.Semaphore(config.predictions)
        self._most, self._inside = config.predictions + config.max_waiting, 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn.

        Raises
        ------
        RequestError
            With status 429, if too many wait.
        """
        if self._inside >= self._most:
            raise RequestError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{self._inside} predictions run or wait; ask again in a second",
                {"Retry-After": "1"},
            )
        self._inside += 1
        try:
            async with self._running:
                yield
        finally:
            self._inside -= 1


def model_routes(shelf: Shelf, disk: Disk, config: ServeConfig, turns: Turns) -> APIRouter:
    """Return the routes of models."""
    router = APIRouter(tags=["models"])
    predictor = _Predictor(shelf, disk, config, turns)

    @router.get("/models", summary="List the models", responses={200: _example(_LIST)})
    def models() -> list[Plain]:
        return [summary_of(name, folder) for name, folder in shelf.folders().items()]

    @router.get("/models/{name}", summary="The card of a model", responses=problems(404, 409))
    def model(name: ModelName) -> Plain:
        folder = shelf.folder(name)
        if holds_several(folder):
            cards = {target: asdict(card) for target, card in saved_cards(folder).items()}
            several: Plain = finite({"name": name, "targets": cards})
            return several
        card: Plain = finite(asdict(saved_card(folder)))
        return {"name": name, **card}

    @router.post(
        "/models/{name}/predict",
        summary="Predict formulas, or a table of any length",
        description="JSON: formulas and options. CSV or Parquet: a table with a column of "
        "formulas; its columns are kept, in order, and the options are in the query. The answer "
        "is JSON, CSV or Parquet by `Accept`, by default of the type of the body. In JSON, null "
        "stands for no value and for an infinite bound.",
        openapi_extra=_PREDICT,
        responses={200: _PREDICTED, **problems(404, 406, 408, 409, 413, 415, 422, 429, 503, 507)},
        response_class=Response,
    )
    async def predict(name: ModelName, request: Request) -> Response:
        kind = content_type(request.headers)
        if kind == JSON:
            return await predictor.formulas(name, request)
        if kind in TABLES:
            return await predictor.table(name, request, kind)
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type {kind[:100]!r}: send {JSON}, {CSV} or {PARQUET}",
        )

    return router


class _Predictor:
    """Answers requests for predictions."""

    def __init__(self, shelf: Shelf, disk: Disk, config: ServeConfig, turns: Turns) -> None:
        self._shelf = shelf
        self._disk = disk
        self._config = config
        self._turns = turns

    async def formulas(self, name: str, request: Request) -> Response:
        """Answer a JSON body."""
        if request.query_params:
            raise RequestError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "options of formulas stand in the JSON body, not in the query "
                f"({', '.join(request.query_params)[:200]})",
            )
        answer = answer_type(request, JSON)
        asked = await read_settings(request, PredictRequest)
        if len(asked.formulas) > self._config.max_formulas:
            raise RequestError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{len(asked.formulas):,} formulas; at most {self._config.max_formulas:,} are "
                "taken as JSON: send a CSV or Parquet body",
            )
        limits = Limits(self._config)
        work = partial(self._answer_formulas, name, asked, answer, limits)
        async with self._turns.turn():
            return await while_connected(request, work, limits)

    def _answer_formulas(
        self, name: str, asked: PredictRequest, answer: str, limits: Limits
    ) -> Response:
        model = self._shelf.load(name)
        found = predict_formulas(model, asked, limits)
        if answer == JSON:
            return JSONResponse({**_head(name, model, asked), "predictions": finite(found.rows())})
        if answer == CSV:
            return Response(rows_as_csv(found.rows()), media_type=CSV)
        return Response(_parquet(found, model.column_units, self._disk), media_type=PARQUET)

    async def table(self, name: str, request: Request, kind: str) -> Response:
        """Answer a CSV or Parquet body."""
        query = read_query(request, TableQuery)
        answer = answer_type(request, kind)
        self._shelf.folder(name)  # before the table is sent
        with self._disk.removed_on_error() as folder:
            source = folder / f"table{TABLES[kind]}"
            await save_body(request, source, self._disk.room())
            out = folder / ("predictions.csv" if answer == CSV else "predictions.parquet")
            limits = Limits(self._config)

            def work() -> tuple[AnyModel, PredictionCounts]:
                found = self._shelf.load(name)
                return found, predict_table(found, source, out, query, limits)

            async with self._turns.turn():
                model, counts = await while_connected(request, work, limits)
            removed = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
            headers = {
                "Xtalshift-Rows": str(counts.rows),
                "Xtalshift-Bad-Rows": str(counts.bad),
            }
            if answer != JSON:
                return FileResponse(out, headers=headers, media_type=answer, background=removed)
            rows = json_rows(out, _head(name, model, query))
            return StreamingResponse(rows, headers=headers, media_type=JSON, background=removed)


def _parquet(found: FormulaPredictions, units: dict[str, str], disk: Disk) -> bytes:
    folder = disk.folder()
    try:
        path = folder / "predictions.parquet"
        write_frame(found.frame, path, units)
        return path.read_bytes()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def while_connected(request: Request, work: Callable[[], T], limits: Limits) -> T:
    """Return the result of work in a thread, which ends soon if the client goes.

    The time begins now: who has waited for a turn has not used any.
    """
    limits.began = time.monotonic()
    task = asyncio.get_running_loop().run_in_executor(None, partial(copy_context().run, work))
    try:
        while not (await asyncio.wait({task}, timeout=_SECONDS))[0]:
            if await request.is_disconnected():
                limits.gone.set()
    finally:
        limits.gone.set()
    return await task


def _head(name: str, model: AnyModel, query: PredictOptions) -> Plain:
    """Return what stands before the predictions: of several targets, each with its unit."""
    if isinstance(model, FittedModels):
        units = {target: one.card.unit for target, one in model.models.items()}
        return {"model": name, "targets": units, "level": query.level}
    card = model.card
    return {"model": name, "target": card.target_name, "unit": card.unit, "level": query.level}


def summary_of(name: str, folder: Path) -> Plain:
    """Return what lists of models say of one, or its problem, if it cannot be read."""
    try:
        if holds_several(folder):
            cards = saved_cards(folder)
            targets = [{"target": target, "unit": one.unit} for target, one in cards.items()]
            own: Plain = {"targets": targets}
            card = next(iter(cards.values()))
        else:
            card = saved_card(folder)
            own = {"target": card.target_name, "unit": card.unit}
    except XtalshiftError as error:  # one damaged model does not hide the others
        return {"name": name, "problem": str(error).replace(str(folder), name)}
    return {
        "name": name,
        **own,
        "method": card.provenance.get("method"),
        "source": card.source,
        "feature_cols": list(card.feature_cols),
        "ready": folder.parent == SHIPPED,
    }


def _example(value: Any) -> dict[str, Any]:
    return {"content": {JSON: {"example": value}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of answers that are problem details."""
    shape = {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "row": {"type": "integer"},
            "value": {"type": "string"},
            "remedy": {"type": "string"},
        },
    }
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {PROBLEM: {"schema": shape}}}
        for status in statuses
    }


_LIST = [
    {
        "name": "gaps",
        "target": "gap",
        "unit": "eV",
        "method": "auto",
        "source": "gaps.csv",
        "feature_cols": [],
        "ready": False,
    }
]
_PREDICT = {
    "parameters": query_parameters(TableQuery),
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": schema_of(PredictRequest),
                "example": {"formulas": ["GaN", "LiFePO4"], "level": 0.9},
            },
            CSV: {"schema": {"type": "string"}, "example": "formula\nGaN\nLiFePO4\n"},
            PARQUET: {"schema": {"type": "string", "format": "binary"}},
        },
    },
}
_PREDICTED = {
    "description": "A row for each formula, with the columns that `xtalshift predict` writes.",
    "content": {
        JSON: {
            "example": {
                "model": "gaps",
                "target": "gap",
                "unit": "eV",
                "level": 0.9,
                "predictions": [
                    {"formula": "GaN", "prediction": 2.1, "lower": 1.2, "upper": 3.3,
                     "in_domain": True, "status": "ok", "reason": ""}
                ],
            }
        },
        CSV: {"schema": {"type": "string"}},
        PARQUET: {"schema": {"type": "string", "format": "binary"}},
    },
}  # fmt: skip
