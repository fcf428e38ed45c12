"""What all screens have in common: their templates, their policy, and how they tell an error."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import jinja2
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from xtalshift._version import __version__
from xtalshift.data.units import name_with_unit
from xtalshift.jsonio import Plain
from xtalshift.report.shared import text as words
from xtalshift.web.guard import HEALTH, LOGIN, STATIC
from xtalshift.web.page.form_fields import CHOICES, LABELS, fields_of, in_words_of_page
from xtalshift.web.page.number_marks import WAYS, marks_of
from xtalshift.web.page.static_files import StaticFiles
from xtalshift.web.problems import answer_of, problem_of
from xtalshift.web.settings import ServeConfig
from xtalshift.words import plural

_MAY = {
    "default-src": "'none'",
    "script-src": "'self'",
    # Plotly writes the style of each text into its elements; no style can run anything
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",  # of figures that are saved
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
_HEADERS = {
    "Content-Security-Policy": "; ".join(f"{what} {whence}" for what, whence in _MAY.items()),
    # without any referrer a browser calls the origin of a form null, and the guard refuses it
    "Referrer-Policy": "same-origin",
}
_KB = 1000
_SEE_OTHER = HTTPStatus.SEE_OTHER


class Screens:
    """Renders the templates of the page."""

    def __init__(self, config: ServeConfig, files: StaticFiles, hidden: Sequence[Path]) -> None:
        """Read the templates; messages do not tell the folders `hidden`."""
        self._hidden = hidden
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("xtalshift.web.page"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        self._environment.globals |= {
            "file": files.address,
            "ways": list(WAYS.values()),
            "version": __version__,
            "guarded": config.token is not None,
            "max_bytes": int(config.max_body_mb * 1e6),
            "plural": plural,
            "labels": LABELS,
            "choices": CHOICES,
        }
        written: dict[str, Callable[..., str]] = {
            "number": words.format_number,
            "percent": words.format_percent,
            "ratio": words.format_ratio,
            "seconds": words.format_seconds,
            "count": words.format_count,
            "size": format_size,
            "said": str,
        }
        self._environment.filters |= {name: _local(write) for name, write in written.items()}
        self._environment.filters |= {
            "json": _plain_json,
            "fields_of": fields_of,
            "field_of": lambda text: next(iter(fields_of(text)), ""),
            "in_words_of_page": in_words_of_page,
            "address": lambda text: quote(text, ""),
            "path": quote,
            "with_unit": name_with_unit,
            "first_up": lambda text: f"{text[:1].upper()}{text[1:]}",
            "iso": lambda seconds: _time(seconds).isoformat(timespec="seconds"),
            "day": lambda seconds: f"{_time(seconds):%Y-%m-%d %H:%M} UTC",
        }

    def show(
        self,
        request: Request,
        template: str,
        status: int = HTTPStatus.OK,
        /,
        **values: object,
    ) -> HTMLResponse:
        """Return a screen, or a part of one.

        Parameters
        ----------
        request : Request
            Says how numbers are written, and where its reader is.
        template : str
            Name of a file in ``templates``.
        status : int
            Status of the answer.
        **values : object
            What the template shows; markup in any text is escaped.
        """
        text = self._environment.get_template(template).render(
            marks=marks_of(request), here=request.url.path, **values
        )
        return HTMLResponse(text, status, _HEADERS)

    def problem(self, error: Exception) -> Plain:
        """Return an error as templates show it."""
        return problem_of(error, self._hidden)

    def answer(self, request: Request, error: Exception) -> Response:
        """Answer a request that failed: with a screen, or a program with problem details."""
        if not is_of_page(request.url.path):
            return answer_of(error, self._hidden)
        problem = self.problem(error)
        if problem["status"] == HTTPStatus.UNAUTHORIZED:
            return _ask_for_token(request)
        return self.show(request, "problem.html.j2", problem["status"], problem=problem)


def _ask_for_token(request: Request) -> Response:
    """Lead a browser to the form for the token, and from there to the screen where it was."""
    part = request.headers.get("HX-Request") == "true"
    here = request.url
    if part or request.method not in {"GET", "HEAD"}:  # neither is a screen to come back to
        said = request.headers.get("HX-Current-URL" if part else "referer", "")
        try:
            here = URL(said).replace(scheme="", netloc="")
        except ValueError:
            here = URL("/")
    path = here.path or "/"
    address = f"{LOGIN}?next={quote(f'{path}?{here.query}' if here.query else path)}"
    if part:  # a part of a screen would show the form in its place
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": address})
    return go_to(address)


def is_of_page(path: str) -> bool:
    """Return whether a person asks for a path, and not a program."""
    return not path.startswith(("/api/", STATIC, HEALTH))


def go_to(address: str) -> Response:
    """Return an answer that leads to a screen, after a form was sent."""
    return RedirectResponse(address, _SEE_OTHER)


def format_size(size: float) -> str:
    """Write a number of bytes.

    Examples
    --------
    >>> format_size(512), format_size(1536), format_size(3_400_000)
    ('512 bytes', '1.5 kB', '3.4 MB')
    """
    if size < _KB:
        return f"{size:g} bytes"
    size, unit = (size / _KB, "kB") if size < _KB**2 else (size / _KB**2, "MB")
    return f"{size:.1f} {unit}" if size < 10 else f"{size:,.0f} {unit}"  # noqa: PLR2004


def _local(write: Callable[..., str]) -> Callable[..., str]:
    """Return a filter that writes a value with the marks of the reader."""

    @jinja2.pass_context
    def written(context: jinja2.runtime.Context, value: object) -> str:
        rewrite: Callable[[str], str] = context["marks"].rewrite
        return rewrite(write(value)).replace(" %", "\u00a0%")

    return written


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _plain_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
