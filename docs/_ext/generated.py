"""Sphinx extension: writes the pages that are made from the package before the sources are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from api_pages import api_pages
from command_pages import command_pages
from rest_page import rest_page
from settings_pages import settings_pages
from sphinx.application import Sphinx
from sphinx.config import Config

PAGES: tuple[Callable[[], dict[str, str]], ...] = (
    api_pages,
    command_pages,
    rest_page,
    settings_pages,
)


def write_pages(folder: Path) -> None:
    """Write the pages below a folder; what has not changed is not touched, what is gone is deleted.

    Sphinx then reads again only what is new.
    """
    texts = {path: text for pages in PAGES for path, text in pages().items()}
    for path, text in texts.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
    for parent in {(folder / path).parent for path in texts}:
        for file in parent.iterdir():
            path = file.relative_to(folder).as_posix()
            if file.suffix in {".md", ".rst"} and path not in texts and parent.name != "reference":
                file.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages as soon as the settings of the docs are known."""

    def write(app: Sphinx, _: Config) -> None:
        write_pages(Path(app.srcdir))

    app.connect("config-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
