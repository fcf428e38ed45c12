"""The application: what the server answers."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.middleware import Middleware

from xtalshift._version import __version__
from xtalshift.web.guard import HEALTH, Guard
from xtalshift.web.model_routes import model_routes
from xtalshift.web.models import Shelf
from xtalshift.web.problems import add_problems
from xtalshift.web.scratch import Disk
from xtalshift.web.settings import ServeConfig

API = "/api/v1"


def create_app(models: Path | None, store: Path, config: ServeConfig) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    models : Path, optional
        Folder of saved models, or of one.
    store : Path
        Folder for jobs, tables and temporary files; made if it does not exist.
    config : ServeConfig
        Limits and whom it serves.
    """
    store = store.resolve()
    models = None if models is None else models.resolve()
    disk = Disk(store, config)
    shelf = Shelf(models)
    app = FastAPI(
        title="xtalshift",
        version=__version__,
        description="Predictions for materials unlike the training data. Errors are problem "
        "details (RFC 9457) with the words of the command line.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # their pages load scripts from other sites
        redoc_url=None,
        middleware=[Middleware(Guard, config=config)],
    )
    add_problems(app, [store] if models is None else [store, models])
    app.include_router(model_routes(shelf, disk, config), prefix=API)

    @app.get(HEALTH, summary="Whether the server runs")
    async def healthz() -> dict[str, str]:
        return {"status": "ok", "version": __version__}

    return app
