"""The payload to one self-contained HTML file that works offline and prints."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from xtalshift.report.figures import ROLE_COLOURS, build_figures, method_colours
from xtalshift.report.payload import build_payload
from xtalshift.report.text import (
    format_number,
    format_percent,
    format_ratio,
    format_seconds,
    format_spread,
)

__all__ = ["render_page", "render_report", "write_report", "write_text"]

_FILE_NAME = "report.html"


def write_report(folder: Path) -> Path:
    """Write ``report.html`` beside the results of a benchmark.

    Parameters
    ----------
    folder : Path
        As `build_payload` reads it.

    Returns
    -------
    Path
        The file, replaced at once or not at all; equal results give equal bytes.

    Raises
    ------
    DataError
        If the results cannot be read.
    """
    text = render_report(build_payload(folder))
    path = folder / _FILE_NAME
    write_text(path, text)
    return path


def write_text(path: Path, text: str) -> None:
    """Write a file that appears at once or not at all, with equal bytes on every platform."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, path)  # noqa: PTH105 (replaces on every platform, and says so)


def render_report(payload: dict[str, Any]) -> str:
    """Return the page of a payload; it loads nothing, and its policy forbids it to."""
    sections = build_figures(payload)
    return render_page(
        "report.html.j2",
        (panel for panels in sections.values() for panel in panels),
        p=payload,
        sections=sections,
        colours=method_colours([method["name"] for method in payload["methods"]]),
        roles=ROLE_COLOURS,
    )


def render_page(template: str, panels: Iterable[dict[str, Any]], **values: Any) -> str:
    """Return a page with its figures and Plotly inside.

    Parameters
    ----------
    template : str
        Name of a file in ``templates``.
    panels : iterable of dict
        All panels of the page; the template must have a div for the ``id`` of each.
    **values : object
        What the template shows; markup in any text is escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("xtalshift.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "number": format_number,
        "percent": format_percent,
        "ratio": format_ratio,
        "seconds": format_seconds,
        "json": _pretty,
    }
    environment.globals["spread"] = format_spread
    figures = {panel["id"]: panel["figure"] for panel in panels}
    return environment.get_template(template).render(
        **values,
        figures=_inline_json(figures),
        plotly=Markup(get_plotlyjs()),  # noqa: S704 (the library itself)
    )


def _inline_json(value: Any) -> Markup:
    """Return JSON that cannot close the script element around it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 (every sign of markup is escaped above)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
