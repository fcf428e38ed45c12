"""One self-contained HTML file per page that works offline and prints."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from xtalshift.jsonio import to_json
from xtalshift.report.shared import text as words
from xtalshift.report.shared.figures import Panel
from xtalshift.report.shared.glossary import explain_terms
from xtalshift.words import plural


def render_page(template: str, panels: Iterable[Panel], **values: object) -> str:
    """Return a page with its figures and Plotly inside; its policy forbids it to load anything.

    Parameters
    ----------
    template : str
        Name of a file in ``templates``.
    panels : iterable of Panel
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
        "number": words.format_number,
        "percent": words.format_percent,
        "ratio": words.format_ratio,
        "seconds": words.format_seconds,
        "count": words.format_count,
        "json": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
        "plain": to_json,
        "key": _sort_key,
        "p": words.format_p,
        "explain": explain_terms,
    }
    environment.globals |= {
        "spread": words.format_spread,
        "plural": plural,
        "infinity": math.inf,
    }
    figures = {panel.id: {"data": panel.data, "layout": panel.layout} for panel in panels}
    return environment.get_template(template).render(
        **values,
        figures=_inline_json(figures) if figures else "",
        plotly=Markup(get_plotlyjs()),  # noqa: S704 (the library itself)
    )


def _sort_key(value: float | None) -> str:
    """Write a number for a script that sorts, nothing for a missing one."""
    return "" if value is None else f"{min(value, 1e99):.7g}"


def _inline_json(value: object) -> Markup:
    """Return JSON that cannot close the script element around it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 (every sign of markup is escaped above)
