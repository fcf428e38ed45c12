"""An application with two models, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partialmethod
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI

from integration.tables import make_rows, write_rows
from xtalshift.data import read_table
from xtalshift.data.materials import Materials
from xtalshift.model import fit, fit_several, save_model
from xtalshift.web.app import create_app
from xtalshift.web.settings import ServeConfig

ADDRESS = "http://127.0.0.1:8000"


@dataclass
class AppClient:
    """Asks an application in this process; an unexpected error is an answer, as for anyone."""

    app: FastAPI
    portal: BlockingPortal
    asked: httpx.AsyncClient

    def request(self, method: str, path: str, **how: Any) -> httpx.Response:
        if isinstance(how.get("content"), Iterator):
            how["content"] = _in_pieces(how["content"])
        return self.portal.call(lambda: self.asked.request(method, path, **how))

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    delete = partialmethod(request, "DELETE")


async def _in_pieces(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@contextmanager
def open_client(models: Path | None, store: Path, **settings: Any) -> Iterator[AppClient]:
    """Yield a client of a new application, which runs as long as the block."""
    app = create_app(models, store, ServeConfig(**settings))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    asked = httpx.AsyncClient(transport=transport, base_url=ADDRESS)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):
        yield AppClient(app, portal, asked)


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CSV of 60 rows."""
    return write_rows(tmp_path_factory.mktemp("table") / "gaps.csv", make_rows(60))


@pytest.fixture(scope="session")
def models(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of ridge models: `gaps`; `warm`, which needs a temperature; `kinds`; `both`.

    The last has two targets.
    """
    folder = tmp_path_factory.mktemp("models")
    data = read_table(table, target="gap", unit="eV")
    save_model(fit(data, "ridge"), folder / "gaps")
    warm = Materials.parse(
        data.materials.formulas.tolist(),
        extra=data.columns[["temperature"]].to_numpy(float),
        extra_names=("temperature",),
    )
    save_model(fit(replace(data, materials=warm), "ridge"), folder / "warm")
    kinds = replace(data, targets=(data.targets > 5).astype(float), classes=("low", "high"))
    save_model(fit(kinds, "ridge"), folder / "kinds")
    double = replace(data, targets=2 * data.targets, unit="meV", target_name="double")
    fit_several({"gap": data, "double": double}, "ridge").save(folder / "both")
    return folder


@pytest.fixture
def client(models: Path, tmp_path: Path) -> Iterator[AppClient]:
    """Return a client of an application with these models."""
    with open_client(models, tmp_path / "store") as found:
        yield found
