"""Which requests are refused before any work: strangers, pages of other sites, too large bodies."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xtalshift.web.bodies import FORM, TABLES, content_type
from xtalshift.web.in_flight import InFlight
from xtalshift.web.problems import RequestError
from xtalshift.web.session import has_session, names_session
from xtalshift.web.settings import ServeConfig
from xtalshift.web.wrong_tokens import WrongTokens

HEALTH, LOGIN, STATIC = "/healthz", "/login", "/static/"
"""What needs no token: that the server runs, the form for the token, and the files of the page."""

_SENT = "/api/v1/tables"
_TO_DISK = {*TABLES, FORM}
"""Address and types of bodies that are written to the disk as they come; memory holds others."""
_OPEN_BYTES, _OPEN_SECONDS = 65_536, 30.0
"""Size of a body that anyone may send, the form for the token, and the time to send it."""
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_USUAL_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Those of answers that do not say otherwise: the page, its files and results have their own."""


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        config: ServeConfig,
        answer: Callable[[Request, Exception], Response],
        wrong: WrongTokens,
    ) -> None:
        self._app = app
        self._config = config
        self._answer = answer
        self._wrong = wrong
        self._json = int(config.max_json_mb * 1e6)
        self._table = int(config.max_body_mb * 1e6)
        self._in_memory, self._on_disk = InFlight(self._json), InFlight(self._table)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, then pass it on with a body that is no longer than allowed."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                sent.update(_HEADERS)
                for name, value in _USUAL_HEADERS.items():
                    sent.setdefault(name, value)
            await send(message)

        try:
            check_host(headers, self._config)
            check_site(headers, scope["scheme"])
            path: str = scope["path"]
            is_open = path in {HEALTH, LOGIN} or path.startswith(STATIC)
            if not is_open:
                check_token(headers, self._config)
            on_disk = not is_open and (path == _SENT or content_type(headers) in _TO_DISK)
            limit = _OPEN_BYTES if is_open else self._table if on_disk else self._json
            check_length(headers, limit)
        except RequestError as error:
            if error.status == HTTPStatus.UNAUTHORIZED and _guesses(headers, self._config):
                await self._wrong.wait()
            await self._answer(Request(scope), error)(scope, receive, send_guarded)
            return
        seconds = self._config.max_seconds
        body = _Body(
            receive,
            limit,
            min(seconds, _OPEN_SECONDS) if is_open else seconds,
            self._on_disk if on_disk else self._in_memory,
        )
        try:
            await self._app(scope, body.receive, send_guarded)
        finally:
            body.end()


class _Body:
    """The body of a request, which may neither be too long nor take too long."""

    def __init__(self, receive: Receive, limit: int, seconds: float, in_flight: InFlight) -> None:
        self._receive = receive
        self._limit = limit
        self._seconds = seconds
        self._end = asyncio.get_running_loop().time() + seconds
        self._in_flight = in_flight
        self._received = 0
        self._complete = False

    async def receive(self) -> Message:
        """Return the next part."""
        if self._complete:  # what follows is the end of the connection, however late
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError as error:
            raise RequestError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the body was not complete after {self._seconds:g} s; send it faster or in parts",
                {"Connection": "close"},
            ) from error
        size = len(message.get("body", b""))
        self._in_flight.take(size)
        self._received += size
        self._complete = not message.get("more_body", False)
        if self._received > self._limit:
            raise _too_large(self._limit)
        return message

    def end(self) -> None:
        """Say that the request has ended, so that others may be taken in."""
        self._in_flight.give(self._received)


def check_host(headers: Headers, config: ServeConfig) -> None:
    """Refuse a host name that is not known: a page may have made it a name of this machine.

    An address cannot be such a name.

    Raises
    ------
    RequestError
        With status 421.
    """
    host = headers.get("host", "")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.removesuffix(".").lower()
    if name in {"localhost", config.host.lower(), *(one.lower() for one in config.names)}:
        return
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise RequestError(
            HTTPStatus.MISDIRECTED_REQUEST,
            f"this server does not answer to the name {name[:100]!r}; use its address, or start it "
            f"with --set 'names=[\"NAME\"]'",
        ) from None


def check_site(headers: Headers, scheme: str) -> None:
    """Refuse requests that a page of another site makes through the browser of a user.

    Raises
    ------
    RequestError
        With status 403.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    # before a proxy with TLS the page is an https one, which this server cannot see
    own = {f"{one}://{headers.get('host', '')}" for one in (scheme, "https")}
    if site not in {None, "same-origin", "none"} or origin not in {None, *own}:
        raise RequestError(
            HTTPStatus.FORBIDDEN,
            f"the request comes from a page of another site ({(origin or site or '')[:100]}); only "
            "pages of this server and programs may use it",
        )


def check_token(headers: Headers, config: ServeConfig) -> None:
    """Refuse a request without the token of the server, or a session, if it has one.

    Raises
    ------
    RequestError
        With status 401.
    """
    if config.token is None:
        return
    if has_session(headers.get("cookie", ""), config.token):
        return
    given = headers.get("authorization", "")
    if not hmac.compare_digest(given.encode("latin-1"), f"Bearer {config.token}".encode()):
        raise RequestError(
            HTTPStatus.UNAUTHORIZED,
            "this server needs its token: send the header 'Authorization: Bearer TOKEN'",
            {"WWW-Authenticate": "Bearer"},
        )


def _guesses(headers: Headers, config: ServeConfig) -> bool:
    """Return whether a request shows a token or a session at all."""
    assert config.token is not None
    cookies = headers.get("cookie", "")
    return "authorization" in headers or names_session(cookies, config.token)


def is_secure(request: Request) -> bool:
    """Return whether a browser reaches the server over TLS, perhaps that of a proxy before it.

    The origin of a form is one of this server, or it was refused.
    """
    passed = request.headers.get("x-forwarded-proto", "").strip().lower()
    origin = request.headers.get("origin", "")
    return "https" in {request.url.scheme, passed, origin.partition(":")[0]}


def check_length(headers: Headers, limit: int) -> None:
    """Refuse a body that says it is too long, before it is sent.

    Raises
    ------
    RequestError
        With status 413, or 400 if the length is no number.
    """
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdecimal()):
        raise RequestError(HTTPStatus.BAD_REQUEST, f"Content-Length is {length[:50]!r}, no number")
    if int(length) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> RequestError:
    return RequestError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than {limit / 1e6:g} MB; send it in parts (formulas as a CSV or "
        "Parquet body may be more than as JSON)",
        {"Connection": "close"},
    )
