"""The screen that asks for the token of the server, and the choice of how numbers are written."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from xtalshift.web.guard import LOGIN, is_secure
from xtalshift.web.page.number_marks import COOKIE, WAYS
from xtalshift.web.page.screens import Screens, go_to
from xtalshift.web.problems import RequestError
from xtalshift.web.session import end_session, set_session
from xtalshift.web.settings import ServeConfig
from xtalshift.web.wrong_tokens import WrongTokens

_YEAR = 365 * 24 * 3600


def login_routes(screens: Screens, config: ServeConfig, wrong: WrongTokens) -> APIRouter:
    """Return the routes of the login, and of the choice of numbers."""
    router = APIRouter(include_in_schema=False)

    @router.get(LOGIN)
    def ask(request: Request, next: str = "/") -> Response:  # noqa: A002 - the word of forms
        if config.token is None:
            return go_to("/")
        return screens.show(request, "login.html.j2", next=own_path(next), wrong=False)

    @router.post(LOGIN)
    async def enter(
        request: Request,
        token: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = "/",  # noqa: A002
    ) -> Response:
        given = token.strip().encode()
        if config.token is None:
            return go_to("/")
        if not hmac.compare_digest(given, config.token.encode()):
            await wrong.wait()
            return screens.show(
                request, "login.html.j2", HTTPStatus.UNAUTHORIZED, next=own_path(next), wrong=True
            )
        answer = go_to(own_path(next))
        set_session(answer, config.token, secure=is_secure(request))
        return answer

    @router.post("/logout")
    def leave() -> Response:
        answer = go_to(LOGIN)
        if config.token is not None:
            end_session(answer, config.token)
        return answer

    @router.post("/numbers")
    def choose(
        way: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = "/",  # noqa: A002
    ) -> Response:
        if way not in WAYS:
            raise RequestError(
                HTTPStatus.UNPROCESSABLE_ENTITY, f"numbers are written {' or '.join(WAYS)}"
            )
        answer = go_to(own_path(next))
        answer.set_cookie(COOKIE, way, max_age=_YEAR, samesite="strict", httponly=True)
        return answer

    return router


def own_path(path: str) -> str:
    """Return a path of this server; what could lead elsewhere leads to the start.

    Examples
    --------
    >>> own_path("/jobs/run-1?a=1"), own_path("//other.example"), own_path("https://other.example")
    ('/jobs/run-1?a=1', '/', '/')
    """
    own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if own else "/"
