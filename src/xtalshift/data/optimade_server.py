"""Ask one OPTIMADE server, patiently, and say clearly why it gave no answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin

import httpx

from xtalshift._version import __version__
from xtalshift.errors import FetchError
from xtalshift.progress import NO_PROGRESS, Progress

LARGEST_REPLY = 256 * 2**20
"""Bytes of one reply, unpacked; longer ones are refused."""

LONGEST_WAIT = 600.0
"""Seconds: if a server asks for a longer pause, the fetch ends."""

_TIMEOUT = 60.0  # seconds to wait for the server, which has to search
_REDIRECTS = 5
_OK, _REDIRECT, _BAD, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 200, 300, 400, 401, 403, 404
_UNPROCESSABLE, _SERVER_ERROR, _NOT_IMPLEMENTED = 422, 500, 501
_RETRY_STATUS = frozenset({408, 425, 429})
_QUOTED = 300


class ForbiddenError(FetchError):
    """The server answered 403, which may mean that the pages asked for are too long."""


class _RetryableError(Exception):
    """A failed attempt; another one, after a pause in seconds if it is known, may succeed."""

    def __init__(self, cause: str, pause: float | None = None) -> None:
        super().__init__(cause)
        self.pause = pause


class Server:
    """One server, whose replies are JSON objects.

    Parameters
    ----------
    base : str
        Any address of the server; it is not asked anything at another host.
    progress : Progress
        Hears of failed attempts.
    retries : int
        Attempts after the first one, 1, 2, 4, ... seconds apart unless the server names a pause.
    sleep : callable
        Waits between attempts.
    headers : dict of str, optional
        Sent with each request, such as a key; no other host gets them.
    """

    def __init__(
        self,
        base: str,
        *,
        progress: Progress = NO_PROGRESS,
        retries: int = 4,
        sleep: Callable[[float], None] = time.sleep,
        headers: dict[str, str] | None = None,
    ) -> None:
        self._base = _parse(base)
        self._progress = progress
        self._retries = retries
        self._sleep = sleep
        self._client = httpx.Client(
            timeout=_TIMEOUT,
            headers={
                "Accept": "application/json",
                "User-Agent": f"xtalshift/{__version__}",
                **(headers or {}),
            },
        )

    def __enter__(self) -> Self:
        """Return the server."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self._client.close()

    def follow(self, url: str, link: str) -> str:
        """Return the address of a link in the reply of `url`, in full.

        A link with http to a server that is known by https, as servers behind a proxy write it,
        is one with https, and a server may lead from http to https.

        Raises
        ------
        FetchError
            If it leads to another server.
        """
        try:
            found = _parse(urljoin(url, link))
        except (FetchError, ValueError) as error:
            raise FetchError(f"{url} leads nowhere: {error}") from error
        base = self._base
        usual = found.port is None and base.port is None
        if usual and (found.scheme, base.scheme) == ("http", "https"):
            found = found.copy_with(scheme="https")
        if (found.host, found.port) != (base.host, base.port) or (
            found.scheme != base.scheme and not usual
        ):
            raise FetchError(
                f"{url} leads to another server, {found}, which is not asked; if you trust it, "
                "give its address: optimade:https://..."
            )
        return str(found)

    def ask(self, url: str) -> dict[str, Any]:
        """Return the JSON object at an address.

        Raises
        ------
        FetchError
            If there is none; the message has the address, the server's own words and the remedy.
        """
        for attempt in range(self._retries + 1):
            try:
                return self._attempt(url)
            except _RetryableError as error:
                cause, pause = str(error), error.pause
            if attempt == self._retries:
                break
            wait = 2.0**attempt if pause is None else pause
            if wait > LONGEST_WAIT:
                raise FetchError(f"{url}: {cause}; the server asks to wait {wait:.0f} s")
            self._progress.say(
                f"attempt {attempt + 1} of {self._retries + 1} failed: {cause}; waiting {wait:g} s"
            )
            self._sleep(wait)
        raise FetchError(f"{url}: {self._retries + 1} attempts failed, last: {cause}")

    def _attempt(self, url: str) -> dict[str, Any]:
        place = url
        for _ in range(_REDIRECTS):
            try:
                reply, body = self._get(place)
            except httpx.HTTPError as error:
                raise _RetryableError(f"{type(error).__name__}: {error}") from error
            if _REDIRECT <= reply.status_code < _BAD and "Location" in reply.headers:
                place = self.follow(place, reply.headers["Location"])
                continue
            if reply.status_code != _OK:
                self.refuse(place, reply, body)
            return _decode(place, body)
        raise FetchError(f"{url}: more than {_REDIRECTS} redirections")

    def refuse(self, url: str, reply: httpx.Response, body: bytes) -> None:
        """Raise what a status means."""
        status, cause = reply.status_code, describe_status(reply, body)
        if status != _NOT_IMPLEMENTED and (status >= _SERVER_ERROR or status in _RETRY_STATUS):
            raise _RetryableError(cause, _pause(reply.headers.get("Retry-After", "")))
        if status in {_BAD, _UNPROCESSABLE, _NOT_IMPLEMENTED}:
            raise FetchError(
                f"the server does not understand the filter: {cause}. Correct it, or see which "
                f"properties the provider offers; asked: {url}"
            )
        if status == _UNAUTHORIZED:
            raise FetchError(
                f"{url}: {cause}; the provider asks for a login, which is not supported"
            )
        if status == _FORBIDDEN:
            raise ForbiddenError(
                f"{url}: {cause}; the provider refuses access: ask for it there, or try later"
            )
        if status == _NOT_FOUND:
            raise FetchError(f"{url}: {cause}; is this the address of an OPTIMADE database?")
        raise FetchError(f"{url}: {cause}")

    def _get(self, url: str) -> tuple[httpx.Response, bytes]:
        parts, size = [], 0
        with self._client.stream("GET", url) as reply:
            for block in reply.iter_bytes():
                parts.append(block)
                size += len(block)
                if size > LARGEST_REPLY:
                    raise FetchError(
                        f"{url}: the reply has more than {LARGEST_REPLY / 2**20:.0f} MiB"
                    )
        return reply, b"".join(parts)


def _parse(url: str) -> httpx.URL:
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise FetchError(f"{url!r} is no address: {error}") from error
    if found.scheme not in {"http", "https"} or not found.host:
        raise FetchError(f"{url!r} is no address of a web server (https://...)")
    return found


def describe_status(reply: httpx.Response, body: bytes) -> str:
    """Return a status in words, with those of the server."""
    said = _message(body)
    return f"HTTP {reply.status_code} {reply.reason_phrase}{f' ({said})' if said else ''}"


def _message(body: bytes) -> str:
    """Return the words of an error of OPTIMADE, or of FastAPI; an empty text if there are none."""
    try:
        found = json.loads(body)
        errors = found.get("errors", found.get("detail", found.get("message", "")))
        listed = errors if isinstance(errors, list) else [errors]
        words = [one if isinstance(one, str) else _words(one) for one in listed]
    except (ValueError, RecursionError, TypeError, AttributeError):
        return ""
    text = " ".join("; ".join(filter(None, words)).split())
    return text if len(text) <= _QUOTED else f"{text[: _QUOTED - 3]}..."


def _words(error: dict[str, Any]) -> str:
    place = error.get("loc")
    where = f"{place[-1]}: " if isinstance(place, list) and place else ""
    return where + str(error.get("detail") or error.get("title") or error.get("msg") or "")


def _pause(header: str) -> float | None:
    """Return the seconds of a header ``Retry-After``: a number or a date."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    now = datetime.now(UTC)
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())


def _decode(url: str, body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        if body.lstrip()[:1] == b"{":
            raise _RetryableError(f"the reply is cut or damaged JSON ({error})") from error
        begins = " ".join(body[:200].decode("utf-8", "replace").split())[:40]
        raise FetchError(
            f"{url}: the reply is no JSON (it begins {begins!r}); is this the address of an "
            "OPTIMADE database?"
        ) from error
    if not isinstance(found, dict) or not isinstance(found.get("data"), list):
        raise FetchError(
            f'{url}: the reply is JSON, but not of OPTIMADE: it needs a list "data"; is this the '
            "address of an OPTIMADE database?"
        )
    return found
