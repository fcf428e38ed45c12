"""Fetch crystal structures and properties from a database of the web."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtalshift.data.database_names import MATERIALS_PROJECT, OPTIMADE
from xtalshift.data.materials_project import LICENCE, ask_summaries, read_summaries
from xtalshift.data.optimade_entries import PROPERTIES, Attributes, read_entries
from xtalshift.data.optimade_pages import Pages, Query, download, entry_id
from xtalshift.data.optimade_server import Server
from xtalshift.data.providers import Provider, find_database, get_provider
from xtalshift.data.structure_texts import pack
from xtalshift.data.writers import check_writable, open_writer
from xtalshift.errors import UsageError
from xtalshift.jsonio import write_json
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.structure.reading import ReadStructures

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("id", "formula", "structure", "elements", "nsites", "last_modified")
"""Columns of every table; the properties that were asked for follow."""

_PIECE = 1_000  # rows that are written together: pages of some servers have ten
_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Fetched:
    """What a fetch wrote."""

    path: Path
    notes: Path
    """JSON file beside the table: query, address, time, provider, licence, citation."""
    n_rows: int
    n_without_structure: int
    """Rows whose structure is a reason."""
    n_requests: int
    """Pages that the server was asked for; 0 if all were on disk."""
    n_matching: int | None
    """Structures that match the filter, as the server says."""
    absent: tuple[str, ...]
    """Properties that no row has."""


def fetch_structures(
    source: str,
    filter: str,  # noqa: A002 - the word of the standard
    out: Path,
    *,
    fields: Iterable[str] = (),
    limit: int | None = None,
    refresh: bool = False,
    progress: Progress = NO_PROGRESS,
    sleep: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Write the structures that match a filter to a table, one row for each.

    Parameters
    ----------
    source : str
        ``optimade:NAME`` of a provider, ``optimade:https://...``, or ``mp:`` for the Materials
        Project by its own interface, which needs a key.
    filter : str
        In the language of OPTIMADE, such as ``elements HAS ALL "Ga","N" AND nelements=2``; for
        ``mp:`` parameters such as ``elements=Ga,N&nelements=2``.
    out : Path
        .parquet or .csv file with `COLUMNS` and `fields`. ``structure`` holds the crystal
        structure with every digit, or why there is none. A file ``OUT.source.json`` beside it
        says where it comes from.
    fields : iterable of str
        Further properties, such as ``_mp_band_gap``: a column of numbers if all values are
        numbers, else of JSON.
    limit : int, optional
        Most rows.
    refresh : bool
        Whether to ask for pages that are less than a day old.
    progress : Progress
        Receives the number of structures.
    sleep : callable
        Waits between attempts.

    Raises
    ------
    FetchError
        If the server does not answer, or not as OPTIMADE has it. What was received is kept in
        the cache, and the message says how to continue.
    NotFoundError
        If the provider is unknown.
    UsageError
        If the whole database is asked for without a limit, or a field is no name.
    """
    fields = _check(filter, fields, limit)
    check_writable(out)
    if source.startswith(MATERIALS_PROJECT):
        provider, read = get_provider(f"{OPTIMADE}mp"), read_summaries
        provider = provider.model_copy(update={"licence": LICENCE})
        query: Query
        server: Server
        query, server = ask_summaries(filter, fields, progress=progress, sleep=sleep)
    else:
        provider, read = get_provider(source), read_entries
        base = find_database(provider, progress=progress, sleep=sleep)
        asked = (*PROPERTIES, *(one for one in fields if one not in PROPERTIES))
        query, server = Query(base, filter, asked), Server(base, progress=progress, sleep=sleep)
    with server:
        pages = download(query, server, limit=limit, refresh=refresh, progress=progress)
    kinds = _kinds(pages, fields, limit)
    n_rows = n_bad = 0
    with open_writer(out) as writer:
        for entries in _rows(pages, limit):
            table, bad = _table(entries, read, fields, kinds)
            writer.write(table)
            n_rows, n_bad = n_rows + len(entries), n_bad + bad
    notes = out.with_name(f"{out.name}.source.json")
    write_json(notes, _describe(provider, query, fields, limit, pages, n_rows, n_bad))
    absent = tuple(name for name in fields if n_rows and kinds[name] is None)
    return Fetched(out, notes, n_rows, n_bad, pages.n_requests, pages.n_matching, absent)


def _check(text: str, fields: Iterable[str], limit: int | None) -> tuple[str, ...]:
    """Return the fields, each once."""
    if not text.strip() and limit is None:
        raise UsageError(
            "this asks for the whole database; give a filter, such as "
            "'elements HAS \"Ga\" AND nelements=2' (for mp: 'elements=Ga'), or a limit"
        )
    if limit is not None and limit < 1:
        raise UsageError(f"the limit must be 1 or more, not {limit}")
    names = tuple(dict.fromkeys(one.strip() for one in fields if one.strip()))
    for name in names:
        if not _NAME.fullmatch(name) or name in {"formula", "structure"}:
            raise UsageError(
                f"{name!r} is no property of a database; they look like _mp_band_gap or nelements"
            )
    return tuple(name for name in names if name not in COLUMNS)


def _rows(pages: Pages, limit: int | None) -> Iterator[list[tuple[str, Attributes]]]:
    """Yield ids and properties in pieces; an id that was there before is left out."""
    seen: set[str] = set()
    found: list[tuple[str, Attributes]] = []
    for page in pages:
        for entry in page.entries:
            name = entry_id(entry, page.url)
            if name in seen or (limit is not None and len(seen) >= limit):
                continue
            seen.add(name)
            about = entry.get("attributes")
            found.append((name, about if isinstance(about, dict) else {}))
        if len(found) >= _PIECE:
            yield found
            found = []
    if found or not seen:  # a table without rows has columns, too
        yield found


def _kinds(pages: Pages, fields: tuple[str, ...], limit: int | None) -> dict[str, type | None]:
    """Return for each field float if it holds numbers only, else str; None if no row has it."""
    kinds: dict[str, type | None] = dict.fromkeys(fields)
    if not fields:
        return kinds
    for entries in _rows(pages, limit):
        for _, about in entries:
            for name in fields:
                value = about.get(name)
                if value is not None and kinds[name] is not str:
                    kinds[name] = float if _is_number(value) else str
    return kinds


def _table(
    entries: list[tuple[str, Attributes]],
    read_all: Callable[[list[Attributes]], ReadStructures],
    fields: tuple[str, ...],
    kinds: dict[str, type | None],
) -> tuple[pa.Table, int]:
    """Return some rows, and the number of those without a structure."""
    import pyarrow as pa

    abouts = [about for _, about in entries]
    read = read_all(abouts)
    columns = {
        "id": pa.array([_text(name) for name, _ in entries], pa.string()),
        "formula": _texts(abouts, "chemical_formula_reduced"),
        "structure": pa.array([_text(one) for one in pack(read)], pa.string()),
        "elements": pa.array([_elements(about.get("elements")) for about in abouts], pa.string()),
        "nsites": pa.array([_count(about.get("nsites")) for about in abouts], pa.int64()),
        "last_modified": _texts(abouts, "last_modified"),
    }
    for name in fields:
        if kinds[name] is str:
            columns[name] = _texts(abouts, name)
        else:
            values = [about.get(name) for about in abouts]
            numbers = [None if one is None else float(one) for one in values]
            columns[name] = pa.array(numbers, pa.float64())
    return pa.table(columns), int((read.reasons != "").sum())


def _texts(abouts: list[Attributes], name: str) -> pa.Array:
    import pyarrow as pa

    return pa.array([_text(about.get(name)) for about in abouts], pa.string())


def _text(value: Any) -> str | None:
    """Return a value as text that can be written: no half of a pair of UTF-16."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _SURROGATE.sub("\ufffd", text)


def _elements(value: Any) -> str | None:
    return _text(",".join(map(str, value))) if isinstance(value, list) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**31 else None


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _describe(
    provider: Provider,
    query: Query,
    fields: tuple[str, ...],
    limit: int | None,
    pages: Pages,
    n_rows: int,
    n_bad: int,
) -> dict[str, Any]:
    """Return what must be known to cite and to repeat a fetch."""
    return {
        "provider": provider.name,
        "title": provider.title,
        "licence": provider.licence,
        "citation": provider.citation,
        "database": query.base,
        "url": query.url(),
        "filter": query.filter,
        "fields": list(fields),
        "limit": limit,
        "received": [one.isoformat(timespec="seconds") for one in pages.times],
        "rows": n_rows,
        "rows_without_structure": n_bad,
        "structures_that_match": pages.n_matching,
    }
