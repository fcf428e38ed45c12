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

from xtalshift.benchmark.records import RESULTS_FILE
from xtalshift.errors import DataError
from xtalshift.report.audit.figures import KINDS as AUDIT_KINDS
from xtalshift.report.benchmark.figures import KINDS, build_benchmark_figures, curve_styles
from xtalshift.report.benchmark.payload import SUMMARY_FILE, benchmark_payload, holds_benchmark
from xtalshift.report.benchmark.text import format_p
from xtalshift.report.run.payload import build_payload
from xtalshift.report.run.trust_figures import split_styles
from xtalshift.report.shared.figures import ROLE_COLOURS, build_figures, method_colours
from xtalshift.report.shared.text import (
    format_number,
    format_percent,
    format_ratio,
    format_seconds,
    format_spread,
)

__all__ = ["render_benchmark", "render_page", "render_report", "write_report", "write_text"]

_FILE_NAME = "report.html"


def write_report(folder: Path) -> Path:
    """Write ``report.html`` beside the results of a run or of a benchmark.

    Parameters
    ----------
    folder : Path
        Holds ``summary.json`` of a benchmark (as `benchmark_payload` reads it), or
        ``results.json`` of a run (as `build_payload` reads it).

    Returns
    -------
    Path
        The file, replaced at once or not at all; equal results give equal bytes.

    Raises
    ------
    DataError
        If the folder holds neither, or the results cannot be read.
    """
    if holds_benchmark(folder):
        text = render_benchmark(benchmark_payload(folder))
    elif (folder / RESULTS_FILE).exists():
        text = render_report(build_payload(folder))
    else:
        raise DataError(
            f"{folder} holds neither {RESULTS_FILE} nor {SUMMARY_FILE}; give the folder that "
            "`xtalshift run` or `xtalshift benchmark` wrote"
        )
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
        split_styles=split_styles(payload["columns"]),
    )


def render_benchmark(payload: dict[str, Any]) -> str:
    """Return the page of the payload of a benchmark, as `render_report` that of a run."""
    sections = build_benchmark_figures(payload)
    curves = [one for curve in payload["curves"] for one in curve["methods"]]
    return render_page(
        "benchmark.html.j2",
        (panel for panels in sections.values() for panel in panels),
        p=payload,
        sections=sections,
        kinds=KINDS,
        labels=AUDIT_KINDS,
        styles=curve_styles(one["label"] for one in curves if not one["variant"]),
        board_places=[
            [payload["places"][i] for i in board["columns"]] for board in payload["boards"]
        ],
        seen_labels={
            label for one in payload["drill"] for fold in one["folds"] for label in fold["labels"]
        },
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
        "key": _sort_key,
        "p": format_p,
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


def _sort_key(value: float | None) -> str:
    """Write a number for a script that sorts, nothing where it is missing."""
    return "" if value is None else f"{value:.7g}"
