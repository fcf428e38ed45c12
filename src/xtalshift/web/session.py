"""The cookie of a browser that has shown the token of the server.

It holds a value that is derived from the token, not the token: what a browser keeps on disk, or
sends to another program of this machine, cannot be used with ``Authorization: Bearer``.
"""

from __future__ import annotations

import hashlib
import hmac

from starlette.requests import cookie_parser
from starlette.responses import Response


def set_session(answer: Response, token: str, *, secure: bool) -> None:
    """Let a browser that has shown the token go on without it, until it is closed.

    Parameters
    ----------
    answer : Response
        Gets the cookie, which neither scripts nor pages of other sites can use.
    token : str
        Token of the server.
    secure : bool
        Whether the browser may send it over TLS only.
    """
    answer.set_cookie(
        _name(token), _value(token), httponly=True, samesite="strict", secure=secure, path="/"
    )


def end_session(answer: Response, token: str) -> None:
    """Let a browser forget its session."""
    answer.delete_cookie(_name(token), path="/", httponly=True, samesite="strict")


def names_session(cookies: str, token: str) -> bool:
    """Return whether the header ``Cookie`` holds a session of this server, right or wrong."""
    return _name(token) in cookie_parser(cookies)


def has_session(cookies: str, token: str) -> bool:
    """Return whether the header ``Cookie`` of a request holds the session of a token."""
    given = cookie_parser(cookies).get(_name(token), "")
    return hmac.compare_digest(given.encode(), _value(token).encode())


def _name(token: str) -> str:
    # cookies do not know ports: two servers of one machine must not end each other's sessions
    return f"xtalshift-{_derived(token, 'name')[:8]}"


def _value(token: str) -> str:
    return _derived(token, "session")


def _derived(token: str, use: str) -> str:
    return hmac.new(token.encode(), f"xtalshift {use}".encode(), hashlib.sha256).hexdigest()
