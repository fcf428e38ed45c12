"""How much the server takes in at the same time."""

from __future__ import annotations

from http import HTTPStatus

from xtalshift.web.problems import RequestError

_AT_ONCE = 8
"""Bodies of the largest size that are taken in at the same time; of smaller ones more."""


class InFlight:
    """Counts the bytes of bodies whose requests have not ended.

    Each body has a limit; this is the limit of all of them together.
    """

    def __init__(self, largest: int) -> None:
        """Take in so many bytes as `_AT_ONCE` bodies of the size `largest` have."""
        self._most = _AT_ONCE * largest
        self._now = 0

    def take(self, size: int) -> None:
        """Count some bytes more.

        Raises
        ------
        RequestError
            With status 429, if they are too many.
        """
        if self._now + size > self._most:
            raise RequestError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"the server takes in {self._most / 1e6:g} MB already; send it again in a second",
                {"Retry-After": "1", "Connection": "close"},
            )
        self._now += size

    def give(self, size: int) -> None:
        """Forget some bytes, whose request has ended."""
        self._now -= size
