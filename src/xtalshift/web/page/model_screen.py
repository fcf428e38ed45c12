"""The screen of a model: what it is, what it knows, and predictions with it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path, PurePath
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Request, UploadFile
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import Response

from xtalshift.data.writers import write_frame
from xtalshift.errors import DataError, NotFoundError, XtalshiftError
from xtalshift.jsonio import Plain
from xtalshift.model.several import FittedModels
from xtalshift.structure.archives import is_archive
from xtalshift.structure.structure_files import is_structure_file
from xtalshift.uncertainty.settings import LEVEL
from xtalshift.web.bodies import FormRoute, no_room
from xtalshift.web.drawn_structures import DrawnStructures
from xtalshift.web.job_store import Job, JobStore
from xtalshift.web.model_routes import Turns
from xtalshift.web.models import AnyModel, Shelf
from xtalshift.web.page.coverage import Coverage, coverage_of
from xtalshift.web.page.model_facts import card_facts, errors_of, made_by
from xtalshift.web.page.screens import Screens, go_to
from xtalshift.web.page.targets import targets_of
from xtalshift.web.predicting import (
    Limits,
    PredictRequest,
    TableQuery,
    predict_formulas,
    predict_table,
)
from xtalshift.web.prediction_store import PREDICTED, PredictionStore, StoredPrediction
from xtalshift.web.scratch import Disk
from xtalshift.web.settings import ServeConfig
from xtalshift.web.tables import suffix_of
from xtalshift.web.unpacked import check_unpacked

_TYPED = "typed.parquet"
_MOST_SHOWN = 100_000
"""Characters of a field that are shown again."""
LEVELS = (0.5, 0.68, 0.8, 0.9, 0.95, 0.99)
"""Levels of intervals that are offered."""


@dataclass
class ModelScreen:
    """Gathers what the screens of models show."""

    screens: Screens
    shelf: Shelf
    jobs: JobStore
    predictions: PredictionStore
    disk: Disk
    config: ServeConfig
    structures: DrawnStructures = field(default_factory=DrawnStructures)
    _known: dict[str, tuple[AnyModel, Coverage | None]] = field(default_factory=dict)

    def show(
        self, request: Request, name: str, problem: Plain | None = None, **asked: object
    ) -> Response:
        """Return the screen of a model, after a form with the values `asked` had a problem."""
        folder, model = self.shelf.folder(name), self.shelf.load(name)
        job, targets = made_by(name, folder, self.jobs), targets_of(model)
        values = {
            "name": name,
            "targets": targets,
            "facts": card_facts(model),
            "errors": errors_of(folder, job, self.jobs, targets[0].unit),
            "job": job,
            "coverage": self.coverage(name, model),
            "element": self.element(request, name, model),
            "extra": columns_needed(model),
            "crystals": needs_structures(model),
            "levels": LEVELS,
            "problem": problem,
            "asked": {"formulas": "", "level": LEVEL, "given": {}, "file": "", **asked},
            "places": places_of(name, job),
        }
        status = HTTPStatus.OK if problem is None else problem["status"]
        return self.screens.show(request, "model.html.j2", status, **values)

    def coverage(self, name: str, model: AnyModel) -> Coverage | None:
        """Return what a model knows of each element, which is counted once."""
        known = self._known.get(name)
        if known is None or known[0] is not model:
            known = self._known[name] = (model, coverage_of(model))
            for old in list(self._known)[:-8]:
                del self._known[old]
        return known[1]

    def element(self, request: Request, name: str, model: AnyModel) -> object:
        """Return the element that the address names, if there is one."""
        coverage = self.coverage(name, model)
        symbol = request.query_params.get("element", "")
        return None if coverage is None else coverage.elements.get(symbol)

    def predict(
        self, name: str, formulas: str, sent: UploadFile | None, asked: Plain, given: Plain
    ) -> StoredPrediction:
        """Predict what a form brings, and keep it.

        Raises
        ------
        XtalshiftError
            If it cannot be read, or no row can be predicted.
        """
        model = self.shelf.load(name)
        query = TableQuery.from_dict({**asked, "explain": True})
        texts = [line.strip() for line in formulas.splitlines() if line.strip()]
        with self.disk.removed_on_error() as folder:
            if sent is not None and sent.filename:
                file = self._keep(sent, sent.filename, folder)

                def work(place: Path) -> tuple[int, int]:
                    limits = Limits(self.config)
                    found = predict_table(model, place / file, place / PREDICTED, query, limits)
                    return found.rows, found.bad

                source = PurePath(sent.filename).name[-200:]
            elif texts:
                file, source = _TYPED, ""
                if len(texts) > self.config.max_formulas:
                    raise DataError(
                        f"{len(texts):,} formulas; at most {self.config.max_formulas:,} are taken "
                        "from the field: send a file"
                    )
                plain = {"formulas": texts, "level": query.level, "explain": True, "with": given}
                wanted = PredictRequest.from_dict(plain)

                def work(place: Path) -> tuple[int, int]:
                    _write_typed(place / file, texts, given)
                    found = predict_formulas(model, wanted, Limits(self.config))
                    write_frame(found.frame, place / PREDICTED, model.column_units)
                    return len(texts), int((found.reason != "").sum())
            else:
                raise DataError(
                    "nothing to predict; write formulas, one a line, or choose a file (.csv, "
                    ".xlsx, .parquet, .cif, .zip of structures)"
                )
            return self.predictions.add(
                folder, work, model=name, source=source, file=file, asked=query.model_dump(
                    mode="json", exclude_defaults=True
                ),
            )  # fmt: skip

    def _keep(self, sent: UploadFile, name: str, folder: Path) -> str:
        file = f"table{suffix_of(name)}"
        if (sent.size or 0) > self.disk.room():
            raise no_room()
        if not sent.size:
            raise DataError(f"{name[-100:]!r} is empty; choose a file with a header and rows")
        with (folder / file).open("wb") as out:
            shutil.copyfileobj(sent.file, out)
        check_unpacked(folder / file, self.config)
        return file

    def drawn(self, found: StoredPrediction) -> bool:
        """Return whether the rows of a prediction can be drawn: they are structures."""
        return is_archive(found.file) or is_structure_file(found.file)


def columns_needed(model: AnyModel) -> tuple[str, ...]:
    """Return the further columns that a model needs."""
    one = model.first if isinstance(model, FittedModels) else model
    return one.card.feature_cols


def needs_structures(model: AnyModel) -> bool:
    """Return whether a model reads crystal structures, and formulas do not do."""
    one = model.first if isinstance(model, FittedModels) else model
    return one.featurizer.needs_structures


def places_of(name: str, job: Job | None) -> dict[str, str]:
    """Return the addresses of the other steps of the work."""
    places = {"Predict": f"/models/{quote(name, '')}", "Next": f"/models/{quote(name, '')}/next"}
    if job is not None and job.kind in {"run", "train"}:
        places["Read"] = f"/jobs/{job.id}"
    return places


def model_screen_routes(screen: ModelScreen, turns: Turns) -> APIRouter:
    """Return the routes of the screens of models and predictions."""
    router = APIRouter(include_in_schema=False, route_class=FormRoute)
    screens = screen.screens

    @router.get("/models/{name}")
    def model(name: str, request: Request) -> Response:
        return screen.show(request, name)

    @router.get("/models/{name}/elements/{symbol}")
    def element(name: str, symbol: str, request: Request) -> Response:
        known = screen.coverage(name, screen.shelf.load(name))
        if known is None or symbol not in known.elements:
            raise NotFoundError(f"there is no element {symbol[:20]!r}")
        targets = targets_of(screen.shelf.load(name))
        return screens.show(
            request,
            "_element.html.j2",
            element=known.elements[symbol],
            coverage=known,
            targets=targets,
        )

    @router.post("/models/{name}/predictions")
    async def predict(
        name: str,
        request: Request,
        formulas: Annotated[str, Form()] = "",
        level: Annotated[str, Form()] = "",
        table: Annotated[UploadFile | None, File()] = None,
    ) -> Response:
        await run_in_threadpool(screen.shelf.folder, name)
        given = _given(await request.form())
        asked: Plain = {"level": level} if level else {}
        try:
            async with turns.turn():
                found = await run_in_threadpool(screen.predict, name, formulas, table, asked, given)
        except XtalshiftError as error:
            shown = partial(
                screen.show,
                formulas=formulas[:_MOST_SHOWN],
                level=level or LEVEL,
                given=given,
                file="" if table is None else table.filename,
            )
            return await run_in_threadpool(shown, request, name, screens.problem(error))
        return go_to(f"/models/{quote(name, '')}/predictions/{found.id}")

    @router.post("/models/{name}/predictions/{id}/again")
    async def again(name: str, id: str, level: Annotated[str, Form()]) -> Response:  # noqa: A002
        def work() -> StoredPrediction:
            old = screen.predictions.get(id, name)
            return _again(screen, old, level)

        async with turns.turn():
            found = await run_in_threadpool(work)
        return go_to(f"/models/{quote(name, '')}/predictions/{found.id}")

    return router


def _given(form: FormData) -> Plain:
    """Return the values of further columns that a form has."""
    return {
        key.removeprefix("with-"): str(value)
        for key, value in form.items()
        if key.startswith("with-") and str(value).strip()
    }


def _again(screen: ModelScreen, old: StoredPrediction, level: str) -> StoredPrediction:
    """Predict the same input once more, with intervals of another level."""
    model = screen.shelf.load(old.model)
    query = TableQuery.from_dict({**old.asked, "level": level})
    with screen.disk.removed_on_error() as folder:
        file = old.file
        shutil.copyfile(screen.predictions.path(old, file), folder / file)

        def work(place: Path) -> tuple[int, int]:
            found = predict_table(
                model, place / file, place / PREDICTED, query, Limits(screen.config)
            )
            return found.rows, found.bad

        asked = query.model_dump(mode="json", exclude_defaults=True)
        return screen.predictions.add(
            folder, work, model=old.model, source=old.source, file=file, asked=asked
        )


def _write_typed(out: Path, formulas: Sequence[str], given: Plain) -> None:
    """Keep formulas that were typed, and the values with them, as a table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: [str(value)] * len(formulas) for name, value in given.items()}
    pq.write_table(pa.table({"formula": list(formulas), **columns}), out)
