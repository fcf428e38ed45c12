"""What a request holds, and in which form it wants its answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from xtalshift.config import Settings
from xtalshift.errors import DataError, UsageError
from xtalshift.jsonio import Plain, decode_json
from xtalshift.web.described import schema_of
from xtalshift.web.problems import RequestError

JSON = "application/json"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
FORM = "multipart/form-data"
TABLES = {CSV: ".csv", PARQUET: ".parquet"}
"""Content types of tables, with the suffix of such files."""
MOST_VALUES = 100_000
"""Values of a JSON body: memory holds each of them, and perhaps what is wrong with it."""
_MOST_FILES, _MOST_FIELDS = 10, 100
"""Parts of a form: memory holds up to 10^6 bytes of each."""

S = TypeVar("S", bound=Settings)


def content_type(headers: Headers) -> str:
    """Return the type of the body by the headers of a request; JSON if they do not say it."""
    return headers.get("content-type", JSON).partition(";")[0].strip().lower()


def answer_type(request: Request, usual: str) -> str:
    """Return the type of the answer: JSON, CSV or Parquet, by ``Accept``.

    Parameters
    ----------
    request : Request
        The request.
    usual : str
        The answer to a client that takes any type.

    Raises
    ------
    RequestError
        With status 406, if the client takes none of them.
    """
    given = request.headers.get("accept", "*/*")
    wanted: list[tuple[float, str]] = []
    for part in given.split(","):
        kind, *parameters = (text.strip().lower() for text in part.split(";"))
        quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            wanted.append((float(quality), kind))
        except ValueError:
            continue
    for weight, kind in sorted(wanted, key=lambda one: -one[0]):
        if not weight > 0:
            continue
        if kind in {JSON, *TABLES}:
            return kind
        main, _, sub = kind.partition("/")
        if sub == "*" and main in {"*", usual.partition("/")[0]}:
            return usual
        if kind in {"application/*", "text/*"}:
            return JSON if main == "application" else CSV
    raise RequestError(
        HTTPStatus.NOT_ACCEPTABLE,
        f"Accept: {given[:200]}: answers are {JSON}, {CSV} or {PARQUET}",
    )


async def read_settings(request: Request, kind: type[S]) -> S:
    """Return the JSON body of a request as settings.

    Raises
    ------
    RequestError
        With status 415 if it says that it is no JSON, 413 if it has more than `MOST_VALUES`.
    DataError
        If it is not a JSON object.
    UsageError
        If a name is unknown or given twice, or a value is not allowed.
    """
    given = content_type(request.headers)
    if given != JSON:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type {given[:100]!r}: send {JSON}"
        )
    with _connected():
        text = await request.body()  # which `Guard` has limited
    return parse_settings(text, kind)


def parse_settings(text: bytes, kind: type[S]) -> S:
    """Return JSON as settings; errors as in `read_settings`."""
    if sum(map(text.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise RequestError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body has more than {MOST_VALUES:,} values; send formulas as CSV or Parquet",
        )
    values = decode_json(text, "the body of the request", "send a JSON object", once=True)
    if not isinstance(values, dict):
        raise DataError(f"the body of the request is {type(values).__name__}; send a JSON object")
    try:
        json.dumps(values, ensure_ascii=False).encode()  # files and databases hold no surrogates
    except UnicodeEncodeError as error:
        raise UsageError("the body has half a character (a lone surrogate)") from error
    return kind.from_dict(values)


def read_query(request: Request, kind: type[S]) -> S:
    """Return the query of a request as settings.

    Raises
    ------
    UsageError
        If a name is unknown, given twice, or a value is not allowed.
    """
    given = request.query_params.multi_items()
    values = dict(given)
    if len(values) < len(given):
        raise UsageError("an option is given twice in the query")
    return kind.from_dict(values)


def query_parameters(kind: type[Settings]) -> list[Plain]:
    """Return the description of what `read_query` takes, as OpenAPI has it."""
    return [
        {
            "in": "query",
            "name": name,
            "required": False,
            "description": shape.pop("description"),
            "schema": shape,
        }
        for name, shape in schema_of(kind)["properties"].items()
        if shape.get("type") != "null"
    ]


async def save_body(request: Request, path: Path, room: int) -> int:
    """Write the body of a request to a file, piece by piece; return its size in bytes.

    Parameters
    ----------
    request : Request
        The request.
    path : Path
        The file.
    room : int
        Number of bytes that the disk has room for.

    Raises
    ------
    RequestError
        With status 507, if there is no room.
    """
    size = 0
    with _connected(), path.open("wb") as file:
        async for piece in request.stream():
            size += len(piece)
            if size > room:
                raise no_room()
            await run_in_threadpool(file.write, piece)
    if not size:
        raise DataError("the body of the request is empty; send a table")
    return size


def no_room() -> RequestError:
    """Return the refusal of what the store has no room for."""
    return RequestError(
        HTTPStatus.INSUFFICIENT_STORAGE,
        "the store of the server is full; delete tables and jobs that are no longer needed, or "
        "start the server with a larger --set max_disk_mb=...",
    )


class FormRoute(APIRoute):
    """A route whose forms have a limited number of parts, unless it says another one itself."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            return await handle(_FormRequest(request.scope, request.receive))

        return answer


class _FormRequest(Request):
    def form(self, **limits: Any) -> Any:
        return super().form(**{"max_files": _MOST_FILES, "max_fields": _MOST_FIELDS, **limits})


@contextmanager
def _connected() -> Iterator[None]:
    """Turn the end of a connection in the middle of a body into a refusal that nobody reads."""
    try:
        yield
    except ClientDisconnect as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, "the body is incomplete") from error
