"""Sphinx extension: the built pages load nothing from a foreign host.

They are read without a network, and nobody learns who reads them. Links that a reader follows may
lead anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

_TAG = re.compile(
    r"<(?!a\b)\w+\b[^>]*\b(?:src|srcset|href|data|poster)=[\"']((?:https?:)?//[^\"']+)"
)
_STYLE = re.compile(r"(?:url\(\s*|@import\s+)[\"']?((?:https?:)?//[^\"')\s]+)")
_CANONICAL = re.compile(r"<link rel=\"(?:canonical|next|prev|search)\"[^>]*>")


def loaded_from(text: str, suffix: str) -> list[str]:
    """Return the foreign addresses that a page (``.html``) or a style (``.css``) loads."""
    if suffix == ".css":
        return _STYLE.findall(text)
    return [*_TAG.findall(_CANONICAL.sub("", text)), *_STYLE.findall(text)]


def foreign_files(folder: Path) -> Iterator[str]:
    """Yield each page or style below a folder that loads from a foreign host, with the address."""
    for file in sorted(folder.rglob("*")):
        if file.suffix in {".html", ".css"}:
            for address in loaded_from(file.read_text(encoding="utf-8"), file.suffix):
                yield f"{file.relative_to(folder)}: {address}"


def setup(app: Sphinx) -> dict[str, Any]:
    """Look at the pages when they are written."""

    def check(app: Sphinx, error: Exception | None) -> None:
        if error is None and app.builder.format == "html":
            found = list(foreign_files(Path(app.outdir)))
            if found:
                raise ExtensionError("pages load from foreign hosts:\n" + "\n".join(found[:20]))

    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
