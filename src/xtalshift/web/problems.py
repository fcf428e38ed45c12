"""Errors as problem details (RFC 9457), in the words of the command line."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from xtalshift.errors import (
    ConfigError,
    FetchError,
    ModelFormatError,
    NotFoundError,
    XtalshiftError,
)
from xtalshift.jsonio import Plain, finite

PROBLEM = "application/problem+json"
_TYPE = "urn:xtalshift:error:{}"
_LONGEST = 3000
_STATUS: tuple[tuple[type[XtalshiftError], HTTPStatus], ...] = (
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (FetchError, HTTPStatus.BAD_GATEWAY),
    (ModelFormatError, HTTPStatus.CONFLICT),
    (XtalshiftError, HTTPStatus.UNPROCESSABLE_ENTITY),
)
"""The status of each error: of the first class that it belongs to."""

_log = logging.getLogger(__name__)


class RequestError(ConfigError):
    """The server does not take a request.

    Attributes
    ----------
    status : HTTPStatus
        Status of the answer.
    headers : dict of str to str
        Further headers of the answer.
    """

    def __init__(
        self, status: HTTPStatus, message: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


def problem_of(error: Exception, hidden: Sequence[Path] = ()) -> Plain:
    """Return the problem details of an error.

    Its ``title`` is the class of the error, which `xtalshift.Client` raises again, and ``detail``
    is the line that the command line prints. Where the error has them, ``row``, ``value`` and
    ``remedy`` are members of their own.

    Parameters
    ----------
    error : Exception
        Any error.
    hidden : sequence of Path
        Folders of the server, which a message does not tell.
    """
    if isinstance(error, XtalshiftError):
        status = next(code for kind, code in _STATUS if isinstance(error, kind))
        if isinstance(error, RequestError):
            status = error.status
        name, detail = type(error).__name__, str(error)
        more = {
            key: value
            for key in ("row", "value", "remedy")
            if (value := getattr(error, key, None)) is not None
        }
    elif isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        name, detail, more = "RequestError", str(error.detail), {}
    elif isinstance(error, MemoryError):
        status = HTTPStatus.INSUFFICIENT_STORAGE
        name, more = "MemoryError", {}
        detail = "memory ran out; send fewer rows, or ask again later"
    else:
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        name, more = "UnexpectedError", {}
        which = type(error).__name__
        detail = f"unexpected {which}. This is a bug in xtalshift; its log shows where"
    kebab = re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
    plain: Plain = {
        "type": _TYPE.format(kebab),
        "title": name,
        "status": int(status),
        "detail": _shown(_without(detail, hidden)),
        **more,
    }
    found: Plain = finite(plain)
    return found


def deleted_meanwhile(error: Exception, folders: Sequence[Path]) -> Exception:
    """Return `NotFoundError` for a file of some folders that has gone, else the error itself.

    Requests look at what there is before they use it, and another request may delete it between.
    """
    names = {error.filename, error.filename2} if isinstance(error, FileNotFoundError) else set()
    for name in names - {None}:
        if any(Path(os.fsdecode(name)).is_relative_to(folder) for folder in folders):
            return NotFoundError("what was asked for has been deleted meanwhile; look again")
    return error


def answer_of(error: Exception, hidden: Sequence[Path] = ()) -> Response:
    """Return the answer to a request that failed with an error, see `problem_of`."""
    plain = problem_of(error, hidden)
    headers = dict(getattr(error, "headers", None) or {})
    return JSONResponse(plain, plain["status"], headers, PROBLEM)


def add_problems(
    app: FastAPI,
    answer: Callable[[Request, Exception], Response],
    folders: Sequence[Path] = (),
) -> None:
    """Let an application answer every error, also one that nobody expected.

    Parameters
    ----------
    app : FastAPI
        The application.
    answer : callable
        Makes the answer to a request that failed, see `answer_of`.
    folders : sequence of Path
        Those in which requests may delete what others read.
    """

    async def known(request: Request, error: Exception) -> Response:
        # the framework says of all that happens in a form that it cannot be read
        refused = isinstance(error.__cause__, RequestError)
        if isinstance(error, FileNotFoundError):
            error = deleted_meanwhile(error, folders)
            if isinstance(error, FileNotFoundError):
                return await unexpected(request, error)
        return answer(request, error.__cause__ if refused else error)  # type: ignore[arg-type]

    async def unexpected(request: Request, error: Exception) -> Response:
        _log.error("%s %s", request.method, request.url.path, exc_info=error)
        return answer(request, error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(request, ConfigError("; ".join(map(_one_line, error.errors()))))

    for kind in (XtalshiftError, HTTPException, MemoryError, FileNotFoundError):
        app.add_exception_handler(kind, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, unexpected)


def _one_line(found: Any) -> str:
    *_, name = found["loc"]
    return f"{name!r} = {str(found.get('input'))[:100]!r}: {found['msg']}"


def _without(text: str, folders: Sequence[Path]) -> str:
    """Return a text without the paths of folders, and of temporary folders and jobs in them."""
    for folder in folders:
        inner = rf"{re.escape(str(folder))}(/(scratch|jobs|tables|predictions)/[0-9a-z-]+)?/"
        text = re.sub(inner, "", text)
    return text


def _shown(text: str) -> str:
    """Return a message in one line, without a long end and what cannot be printed."""
    text = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in " ".join(text.split()))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
