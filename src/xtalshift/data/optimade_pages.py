"""The pages of an OPTIMADE query, kept on disk so that an interrupted fetch continues.

We do not use the client of optimade-python-tools (1.5): it holds all results in memory until the
end and keeps nothing on disk, turns every error into a text among the results, waits as it likes
and not as ``Retry-After`` says, and follows links to any host.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from filelock import FileLock

from xtalshift.data.fetch import cache_folder
from xtalshift.data.optimade_server import ForbiddenError, Server
from xtalshift.errors import FetchError
from xtalshift.files import explained, replace_file
from xtalshift.progress import NO_PROGRESS, Progress, Task

MOST_PAGES = 50_000
"""A query of more pages is taken for one that never ends."""

PAGE_ROWS = 100
"""Structures that are asked for at once; servers may give fewer."""

_KEPT = timedelta(days=1)


@dataclass(frozen=True)
class Query:
    """What is asked of one database."""

    base: str
    """Address of the database, without ``/v1``."""
    filter: str
    fields: tuple[str, ...]
    """Properties in the reply."""

    def url(self, *, sized: bool = True) -> str:
        """Return the address of the first page; `sized`: it names the length of the pages."""
        asked: dict[str, str | int] = {"filter": self.filter} if self.filter else {}
        asked["response_fields"] = ",".join(self.fields)
        if sized:
            asked["page_limit"] = PAGE_ROWS
        asked["response_format"] = "json"
        return f"{self.base}/v1/structures?{urlencode(asked, quote_via=quote)}"

    @property
    def folder(self) -> Path:
        """The folder of its pages in the cache."""
        text = json.dumps([self.base, self.filter, sorted(self.fields)])
        return cache_folder() / "optimade" / hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Page:
    """A page as it was received."""

    url: str
    time: datetime
    reply: dict[str, Any]

    @property
    def entries(self) -> list[Any]:
        """What it lists."""
        return list(self.reply["data"])

    @property
    def meta(self) -> dict[str, Any]:
        """What the server says about the reply."""
        found = self.reply.get("meta")
        return found if isinstance(found, dict) else {}

    @property
    def next(self) -> str:
        """The link to the next page as it is written; an empty text on the last page."""
        links = self.reply.get("links")
        link = links.get("next") if isinstance(links, dict) else None
        if isinstance(link, dict):
            link = link.get("href")
        return link if isinstance(link, str) else ""


@dataclass(frozen=True)
class Pages:
    """Pages on disk that hold the first structures of a query, or all."""

    paths: tuple[Path, ...]
    n_requests: int
    """Pages that were asked for, not found on disk."""
    times: tuple[datetime, datetime]
    """When the first and the last page were received."""
    n_matching: int | None
    """Structures that match, as the server says."""

    def __iter__(self) -> Iterator[Page]:
        """Yield the pages in their order."""
        for path in self.paths:
            page = _read(path)
            if page is None:
                raise FetchError(f"{path} is damaged; give --refresh to ask for it again")
            yield page


def download(
    query: Query,
    server: Server,
    *,
    limit: int | None = None,
    refresh: bool = False,
    progress: Progress = NO_PROGRESS,
) -> Pages:
    """Ask for all pages of a query that are not on disk, or that are older than a day.

    Parameters
    ----------
    query : Query
        What is asked.
    server : Server
        Answers.
    limit : int, optional
        Number of structures that are enough.
    refresh : bool
        Whether to ask for pages that are on disk.
    progress : Progress
        Receives the number of structures.

    Raises
    ------
    FetchError
        If a page cannot be had, or the pages do not end. Earlier pages are kept, and the message
        says how to continue.
    """
    folder = query.folder
    with _locked(folder), progress.task("structures", None) as task:
        walk = _Walk(folder, limit, task)
        if not refresh:
            walk.repeat()
        n_kept = len(walk.paths)
        try:
            while walk.goes_on:
                walk.add(_ask(query, server, walk.last))
        except FetchError as error:
            raise FetchError(f"{error}. {_kept(walk)}") from error
        except KeyboardInterrupt as stop:
            stop.add_note(_kept(walk))
            raise
        return Pages(
            tuple(walk.paths), len(walk.paths) - n_kept, (walk.times[0], walk.times[-1]), walk.total
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let other processes with the same query wait."""
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _ask(query: Query, server: Server, last: Page | None) -> Page:
    """Ask for the page after another one, or for the first one."""
    now = datetime.now(UTC)
    if last is not None:
        url = server.follow(last.url, last.next)
        return Page(url, now, server.ask(url))
    try:
        return Page(query.url(), now, server.ask(query.url()))
    except ForbiddenError:  # the code of the standard for pages that are too long
        url = query.url(sized=False)
        return Page(url, now, server.ask(url))


def _kept(walk: _Walk) -> str:
    """Say what is on disk and how to continue."""
    n = len(walk.ids)
    if not n:
        return "No structure was received"
    return (
        f"{n:,} structures were received and are kept for a day: the same command (without "
        f"--refresh) continues, and with --limit {n} it writes these"
    )


class _Walk:
    """The way from page to page, and where it must not go on."""

    def __init__(self, folder: Path, limit: int | None, task: Task) -> None:
        self.paths: list[Path] = []
        self.ids: set[str] = set()
        self.times: list[datetime] = []
        self.total: int | None = None
        self.last: Page | None = None
        self._folder = folder
        self._limit = limit
        self._task = task
        self._links: set[str] = set()
        self._replaced = False

    @property
    def goes_on(self) -> bool:
        """Whether there are more pages, and they are wanted."""
        if self.last is None:
            return True
        if self._limit is not None and len(self.ids) >= self._limit:
            return False
        if not self.last.next and self.last.meta.get("more_data_available") is True:
            raise FetchError(f"{self.last.url} says that there are more data, but not where")
        return bool(self.last.next)

    def repeat(self) -> None:
        """Walk over the pages on disk, unless the last of them is older than a day."""
        paths = sorted(self._folder.glob("*.json"))
        newest = _read(paths[-1]) if paths else None
        if newest is None or datetime.now(UTC) - newest.time > _KEPT:
            return
        for number, path in enumerate(paths):
            page = _read(path)
            if path != self._path(number) or page is None or not self.goes_on:
                return
            self._count(page)
            self.paths.append(path)

    def add(self, page: Page) -> None:
        """Keep a page that the server gave."""
        self._count(page)
        if not self._replaced:  # only now, so that a server that does not answer costs nothing
            for path in set(self._folder.glob("*.json")).difference(self.paths):
                path.unlink()
            self._replaced = True
        path = self._path(len(self.paths))
        values = {"url": page.url, "time": page.time.isoformat(), "reply": page.reply}
        replace_file(path, json.dumps(values))
        self.paths.append(path)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.json"

    def _count(self, page: Page) -> None:
        """Count the structures of the next page; refuse one that leads nowhere."""
        names = [entry_id(one, page.url) for one in page.entries]
        new = set(names) - self.ids
        if page.next and page.next in self._links:
            raise FetchError(f"{page.url}: the pages do not end: its next link was there before")
        if page.next and not new:
            raise FetchError(f"{page.url}: the pages do not end: this one has nothing new")
        if len(self.paths) >= MOST_PAGES:
            raise FetchError(
                f"{page.url}: the pages do not end: there are more than {MOST_PAGES:,}; ask for "
                "less with a narrower filter"
            )
        self._links.add(page.next)
        self.ids |= new
        self.last = page
        self.times.append(page.time)
        total = page.meta.get("data_returned")
        self.total = total if isinstance(total, int) else None
        self._task.advance(len(new), **({} if self.total is None else {"of": f"{self.total:,}"}))


def entry_id(entry: Any, url: str) -> str:
    """Return the id of an entry."""
    name = entry.get("id") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name:
        raise FetchError(f"{url}: the reply is not of OPTIMADE: an entry has no id")
    return name


def _read(path: Path) -> Page | None:
    """Return a page on disk; None if it is missing or damaged."""
    try:
        values = json.loads(path.read_bytes())
        return Page(values["url"], datetime.fromisoformat(values["time"]), values["reply"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
