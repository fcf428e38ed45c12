"""The data behind a figure as rows of a table."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from xtalshift.jsonio import Plain

_MARKUP = re.compile(r"<[^>]*>")


def figure_rows(figure: Plain) -> list[dict[str, Any]]:
    """Return the points of a figure, a row each.

    Parameters
    ----------
    figure : dict
        With ``data`` and ``layout``, as `xtalshift.report.shared.figures.Panel` has them.

    Returns
    -------
    list of dict
        Columns: ``series`` (if the figure has several), those of the axes by their titles,
        ``label`` (such as a formula) and, of points with intervals, ``lower`` and ``upper``.

    Examples
    --------
    >>> bars = {"data": [{"type": "bar", "x": [0.5], "y": ["oxide"]}], "layout": {}}
    >>> figure_rows(bars)
    [{'x': 0.5, 'y': 'oxide'}]
    """
    layout = figure["layout"]
    x, y = (_title(layout.get(f"{axis}axis", {}), axis) for axis in "xy")
    names = [x, y] if x != y or not x else ["x", "y"]
    rows: list[dict[str, Any]] = []
    for number, trace in enumerate(figure["data"], start=1):
        for row in _points(trace, names):
            series = {"series": trace.get("name", number)} if len(figure["data"]) > 1 else {}
            rows.append({**series, **row})
    columns = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in columns} for row in rows]


def _points(trace: Plain, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    x, y = names
    if "z" in trace:  # a table of values
        across, down = trace.get("x", []), trace.get("y", [])
        for place, values in enumerate(trace["z"]):
            for column, value in enumerate(values):
                yield {x: across[column], y: down[place], "value": value}
        return
    label = trace.get("text")
    columns = {
        x: _shifted(trace, "x"),
        y: _shifted(trace, "y"),
        "label": [_plain(one) for one in label] if isinstance(label, list) else [],
        **_bounds(trace),
        "value": _numbers(trace.get("marker", {}).get("color")),
        "note": [_plain(one) for one in trace.get("customdata") or [] if isinstance(one, str)],
    }
    known = {name: values for name, values in columns.items() if values and name}
    for values in zip_longest(*known.values()):
        yield dict(zip(known, values, strict=True))


def _shifted(trace: Plain, axis: str) -> list[Any]:
    """Return the values of an axis, with what bars begin at."""
    values = list(trace.get(axis) or [])
    base = trace.get("base")
    along = "x" if trace.get("orientation") == "h" else "y"
    return [value + base for value in values] if base and axis == along else values


def _bounds(trace: Plain) -> dict[str, list[float | None]]:
    axis = "x" if trace.get("error_x") else "y"
    error = trace.get(f"error_{axis}") or {}
    up, down = error.get("array"), error.get("arrayminus")
    if not up or not down:
        return {}
    values = trace[axis]
    return {
        # a bar of no length stands for an end that is not finite
        "lower": [value - less if less else None for value, less in zip(values, down, strict=True)],
        "upper": [value + more if more else None for value, more in zip(values, up, strict=True)],
    }


def _numbers(values: object) -> list[float]:
    return values if isinstance(values, list) and not any(map(_is_text, values)) else []


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _title(axis: Plain, usual: str) -> str:
    """Return the title of an axis; nothing for one that is not shown, such as of a map."""
    if axis.get("visible") is False:
        return ""
    title = axis.get("title") or {}
    return str(title.get("text") or usual) if isinstance(title, dict) else str(title)


def _plain(text: object) -> str:
    return html.unescape(_MARKUP.sub(" ", str(text)).strip())
