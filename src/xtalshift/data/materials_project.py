"""The Materials Project by its own interface, which has more properties than its OPTIMADE one.

We do not use the client `mp-api` (0.46): it brings boto3, deltalake and emmet-core, holds all
results in memory until the end, and keeps nothing of an interrupted query.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx

from xtalshift.data.optimade_entries import Attributes
from xtalshift.data.optimade_pages import Query
from xtalshift.data.optimade_server import Server, describe_status
from xtalshift.errors import FetchError, UsageError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.structure.reading import ReadStructures, read_structures

KEY = "MP_API_KEY"
"""Environment variable with the key of the user."""
PROPERTIES = ("material_id", "formula_pretty", "structure", "elements", "nsites", "last_updated")
"""What the table needs."""
LICENCE = (
    "CC BY 4.0; not for commercial use: materials whose builder_meta (--fields builder_meta) names "
    "the license BY-NC"
)

_ADDRESS = "MP_API_ENDPOINT"  # as the client of the project has it
_USUAL = "https://api.materialsproject.org"
_GET_KEY = "your key stands at https://next-gen.materialsproject.org/api when you are logged in"
_PAGE_ROWS = 250
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_VISIBLE = re.compile(r"[!-~]+")
_NAMES = {"formula_pretty": "chemical_formula_reduced", "last_updated": "last_modified"}
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_MISUNDERSTOOD = frozenset({400, 404, 422})


@dataclass(frozen=True)
class SummaryQuery(Query):
    """What is asked of the summaries of all materials."""

    def url(self, *, sized: bool = True) -> str:  # noqa: ARG002 - the server names its limits
        """Return the address of the first page."""
        asked = [*_parse(self.filter), ("_fields", ",".join(self.fields)), ("_limit", _PAGE_ROWS)]
        return f"{self.base}/materials/summary/?{urlencode(asked, quote_via=quote, safe=',*')}"


class SummaryServer(Server):
    """The server of the project, whose pages are given as those of OPTIMADE."""

    def ask(self, url: str) -> dict[str, Any]:
        """Return the page at an address; see `Server.ask`."""
        reply = super().ask(url)
        entries = reply["data"]
        meta = reply.get("meta")
        total = meta.get("total_doc") if isinstance(meta, dict) else None
        begin = int(dict(parse_qsl(urlsplit(url).query)).get("_skip", 0))
        end = begin + len(entries)
        if not isinstance(total, int):
            raise FetchError(f"{url}: the reply does not say how many materials match (total_doc)")
        more = bool(entries) and end < total
        return {
            "data": [_as_entry(one) for one in entries],
            "links": {"next": _skip(url, end) if more else None},
            "meta": {"data_returned": total, "more_data_available": more},
        }

    def refuse(self, url: str, reply: httpx.Response, body: bytes) -> None:
        """Raise what a status means."""
        status, cause = reply.status_code, describe_status(reply, body)
        if status in {_UNAUTHORIZED, _FORBIDDEN}:
            raise FetchError(f"{url}: {cause}; the key in {KEY} is not accepted: {_GET_KEY}")
        if status in _MISUNDERSTOOD:
            raise FetchError(
                f"the Materials Project does not understand the filter: {cause}. Its parameters "
                f"stand at {_USUAL}/docs, under materials/summary; asked: {url}"
            )
        super().refuse(url, reply, body)


def ask_summaries(
    text: str,
    fields: tuple[str, ...],
    *,
    progress: Progress = NO_PROGRESS,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[SummaryQuery, SummaryServer]:
    """Return the query of a filter, and the server that answers it.

    Parameters
    ----------
    text : str
        Parameters of ``materials/summary``, joined by ``&``: ``elements=Ga,N&band_gap_min=1``.
    fields : tuple of str
        Properties besides `PROPERTIES`.
    progress, sleep
        See `Server`.

    Raises
    ------
    UsageError
        If there is no key, or the filter is none.
    """
    key = os.environ.get(KEY, "").strip()
    if not _VISIBLE.fullmatch(key):
        cause = "is not set" if not key else "holds signs that no key has"
        raise UsageError(f"the environment variable {KEY} {cause}: {_GET_KEY}")
    _parse(text)
    base = os.environ.get(_ADDRESS, "").strip().rstrip("/") or _USUAL
    query = SummaryQuery(base, text, (*PROPERTIES, *(x for x in fields if x not in PROPERTIES)))
    return query, SummaryServer(base, progress=progress, sleep=sleep, headers={"X-API-KEY": key})


def read_summaries(entries: list[Attributes]) -> ReadStructures:
    """Read the structure of each of n summaries; one that has none has a reason."""
    return read_structures([entry.get("structure") for entry in entries])


def _parse(text: str) -> list[tuple[str, str | int]]:
    """Return the parameters of a filter."""
    found: list[tuple[str, str | int]] = []
    for part in filter(None, (part.strip() for part in text.split("&"))):
        name, _, value = (one.strip() for one in part.partition("="))
        if not _NAME.fullmatch(name) or not value:
            raise UsageError(
                f"{part!r} is no filter of the Materials Project; write parameters of its "
                "summaries, such as 'elements=Ga,N&nelements_max=3&energy_above_hull_max=0.05'"
            )
        found.append((name, value))
    return found


def _as_entry(summary: Any) -> dict[str, Any]:
    """Return a summary as an entry of OPTIMADE."""
    if not isinstance(summary, dict):
        return {}
    about = {_NAMES.get(name, name): value for name, value in summary.items()}
    return {"id": summary.get("material_id"), "attributes": about}


def _skip(url: str, rows: int) -> str:
    """Return the address of the page behind some rows."""
    parts = urlsplit(url)
    asked = [one for one in parse_qsl(parts.query) if one[0] != "_skip"]
    query = urlencode([*asked, ("_skip", str(rows))], quote_via=quote, safe=",*")
    return parts._replace(query=query).geturl()
