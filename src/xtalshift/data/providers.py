"""The databases with an OPTIMADE interface that are known by name; see ``providers.toml``."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from xtalshift.config import Settings
from xtalshift.data.database_names import OPTIMADE
from xtalshift.data.optimade_server import Server
from xtalshift.errors import FetchError, UsageError
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.registry import Registry

_SEE = "see the provider"


class Provider(Settings):
    """A provider of one database, or of several."""

    name: str
    title: str
    url: str = ""
    """Address of its database, without ``/v1``."""
    index: str = ""
    """Address of its list of databases, if `url` is empty."""
    licence: str = _SEE
    citation: str = _SEE


def get_provider(source: str) -> Provider:
    """Return the provider of ``optimade:NAME`` or ``optimade:https://...``.

    Raises
    ------
    NotFoundError
        If the name is unknown; the message names the known ones.
    UsageError
        If there is no name.
    """
    name = source.removeprefix(OPTIMADE).strip()
    if not name:
        raise UsageError(f"{OPTIMADE} needs a provider: {', '.join(_providers())}, or an address")
    if "://" in name:
        base = name.rstrip("/").removesuffix("/v1")
        return Provider(name=base, title=base, url=base)
    return _providers()[name]


def find_database(
    provider: Provider,
    *,
    progress: Progress = NO_PROGRESS,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Return the address of the provider's database, without ``/v1``.

    Parameters
    ----------
    provider : Provider
        The provider.
    progress, sleep
        See `xtalshift.data.optimade_server.Server`.

    Raises
    ------
    UsageError
        If it has several databases; the message lists them.
    FetchError
        If its list cannot be read, or is empty.
    """
    if provider.url:
        return provider.url
    address = f"{provider.index}/v1/links"
    with Server(provider.index, progress=progress, sleep=sleep) as server:
        links = server.ask(address)["data"]
    found = []
    for link in links:
        about = link.get("attributes") if isinstance(link, dict) else None
        if isinstance(about, dict) and about.get("link_type") == "child":
            base = about.get("base_url")
            url = base.get("href") if isinstance(base, dict) else base
            if isinstance(url, str) and url:
                found.append((url.rstrip("/"), str(about.get("name", ""))))
    if not found:
        raise FetchError(f"{address} lists no database of {provider.title}")
    if len(found) > 1:
        listed = "; ".join(f"{OPTIMADE}{url} ({name})" for url, name in found)
        raise UsageError(f"{provider.title} has {len(found)} databases; give one: {listed}")
    return found[0][0]


@cache
def _providers() -> Registry[Provider]:
    registry = Registry[Provider]("OPTIMADE provider")
    text = Path(__file__).with_suffix(".toml").read_text("utf-8")
    for name, values in tomllib.loads(text).items():
        registry.add(name, Provider.from_dict({"name": name, **values}))
    return registry
