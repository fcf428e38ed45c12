"""The files that the page loads: its own, htmx, and Plotly from the installed package."""

from __future__ import annotations

import hashlib
from pathlib import Path

import plotly
from fastapi import APIRouter
from starlette.responses import FileResponse

from xtalshift.errors import NotFoundError
from xtalshift.web.guard import STATIC

_OWN = Path(__file__).parent / "static"
_PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_FOR_GOOD = {"Cache-Control": "private, max-age=31536000, immutable"}


class StaticFiles:
    """Files by name; the address of each says which version it is, so that browsers may keep it."""

    def __init__(self) -> None:
        own = {path.name: path for path in _OWN.iterdir() if path.suffix in _TYPES}
        self.paths = {**own, _PLOTLY.name: _PLOTLY}
        self._versions = {
            name: hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            for name, path in self.paths.items()
        }

    def address(self, name: str) -> str:
        """Return the address of a file."""
        return f"{STATIC}{name}?v={self._versions[name]}"

    def routes(self) -> APIRouter:
        """Return the route of the files."""
        router = APIRouter(include_in_schema=False)

        @router.get(f"{STATIC}{{name}}")
        def file(name: str) -> FileResponse:
            path = self.paths.get(name)
            if path is None:
                raise NotFoundError(f"there is no file {name[:100]!r}")
            return FileResponse(path, media_type=_TYPES[path.suffix], headers=_FOR_GOOD)

        return router
