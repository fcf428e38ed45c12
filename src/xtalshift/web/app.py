"""The application: what the server answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware

from xtalshift._version import __version__
from xtalshift.model.ready.recipe import SHIPPED
from xtalshift.web.explaining import explain_routes
from xtalshift.web.guard import HEALTH, Guard
from xtalshift.web.job_kinds import QUICK, RESUMED
from xtalshift.web.job_results import result_routes
from xtalshift.web.job_routes import JobDesk, job_routes
from xtalshift.web.job_runner import JobRunner
from xtalshift.web.job_store import JobStore
from xtalshift.web.method_routes import method_routes
from xtalshift.web.model_routes import Turns, model_routes
from xtalshift.web.models import Shelf
from xtalshift.web.page.choose_screen import choose_routes
from xtalshift.web.page.job_screen import job_screen_routes
from xtalshift.web.page.login import login_routes
from xtalshift.web.page.model_screen import ModelScreen, model_screen_routes
from xtalshift.web.page.next_screen import NextScreen, next_screen_routes
from xtalshift.web.page.prediction_screen import prediction_screen_routes
from xtalshift.web.page.screens import Screens
from xtalshift.web.page.start import start_routes
from xtalshift.web.page.static_files import StaticFiles
from xtalshift.web.page.table_checks import TableChecks
from xtalshift.web.page.table_screen import table_screen_routes
from xtalshift.web.page.why_screen import why_routes
from xtalshift.web.prediction_store import PredictionStore
from xtalshift.web.problems import add_problems
from xtalshift.web.scratch import Disk
from xtalshift.web.settings import ServeConfig
from xtalshift.web.table_routes import table_routes
from xtalshift.web.tables import TableDesk, TableStore
from xtalshift.web.wrong_tokens import WrongTokens

API = "/api/v1"


def create_app(models: Path | None, store: Path, config: ServeConfig) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    models : Path, optional
        Folder of saved models, or of one; the ready models are served besides.
    store : Path
        Folder for jobs, tables and temporary files; made if it does not exist.
    config : ServeConfig
        Limits and whom it serves.
    """
    store = store.resolve()
    models = None if models is None else models.resolve()
    disk = Disk(store, config)
    jobs = JobStore(store, resumes=RESUMED)
    tables, shelf = TableStore(store), Shelf(models, jobs.models)
    runner = JobRunner(jobs, store, config, quick=QUICK)

    files = StaticFiles()
    hidden = [store, SHIPPED] if models is None else [store, models, SHIPPED]
    screens, wrong = Screens(config, files, hidden), WrongTokens()

    @asynccontextmanager
    async def run_jobs(_: FastAPI) -> AsyncIterator[None]:
        runner.start()
        yield
        await run_in_threadpool(runner.stop)
        jobs.close()

    app = FastAPI(
        title="xtalshift",
        version=__version__,
        description="Predictions for materials unlike the training data. Errors are problem "
        "details (RFC 9457) with the words of the command line.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # their pages load scripts from other sites
        redoc_url=None,
        lifespan=run_jobs,
        middleware=[Middleware(Guard, config=config, answer=screens.answer, wrong=wrong)],
    )
    add_problems(app, screens.answer, hidden)
    turns = Turns(config)
    desk = JobDesk(jobs, tables, shelf, disk, config)
    for routes in (
        model_routes(shelf, disk, config, turns),
        explain_routes(shelf, turns),
        table_routes(tables, disk, config),
        method_routes(),
        job_routes(desk, jobs, runner),
        result_routes(jobs),
    ):
        app.include_router(routes, prefix=API)

    app.include_router(files.routes())
    predictions = PredictionStore(store, config.max_disk_mb, shelf.checksum)
    jobs.when_deleted = predictions.forget
    model_screen = ModelScreen(screens, shelf, jobs, predictions, disk, config)
    table_desk, checks = TableDesk(tables, disk, config), TableChecks(desk, jobs, runner)
    for screen in (
        login_routes(screens, config, wrong),
        start_routes(screens, tables, table_desk, jobs, shelf, checks),
        table_screen_routes(screens, tables, table_desk, jobs, checks),
        choose_routes(screens, tables, table_desk, desk, jobs, runner),
        job_screen_routes(screens, tables, jobs, shelf, runner),
        why_routes(screens, shelf, turns),
        model_screen_routes(model_screen, turns),
        prediction_screen_routes(model_screen),
        next_screen_routes(NextScreen(model_screen, tables, table_desk, desk, runner)),
    ):
        app.include_router(screen)

    @app.get(HEALTH, summary="Whether the server runs")
    async def healthz() -> dict[str, str]:
        return {"status": "ok", "version": __version__}

    return app
