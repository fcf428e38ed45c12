"""The screen that says why one formula is predicted as it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from starlette.datastructures import QueryParams
from starlette.responses import Response

from xtalshift.errors import XtalshiftError
from xtalshift.model.classifier import FittedClassifier
from xtalshift.model.explaining.record import Contribution, Explanation
from xtalshift.model.several import FittedModels
from xtalshift.uncertainty.settings import LEVEL
from xtalshift.web.explaining import ExplainRequest, explain_formulas
from xtalshift.web.model_routes import Turns, while_connected
from xtalshift.web.models import AnyModel, Shelf
from xtalshift.web.page.screens import Screens
from xtalshift.web.predicting import ExplanationLimits, PredictOptions

_SHOWN = 6
"""Families and features that are shown; the others are summed."""
_PREFIX = "MagpieData "  # of most features: says nothing about them
_WITH = "with-"
_HALF = 50.0
"""Percent of the width of the bars that a side has."""


@dataclass(frozen=True)
class _Row:
    """A line with a bar."""

    name: str
    part: Contribution
    start: float
    width: float
    """`start`, `width`: of the bar in percent; less is left of the middle, more is right."""


@dataclass(frozen=True)
class _View:
    """Lines of one view, and what they lack of its sum."""

    title: str
    rows: tuple[_Row, ...]
    rest: float | None
    left: float | None
    """`rest`, `left`: sum of the parts that are not shown, and what no part has; None for none."""
    reason: str


def _views(one: Explanation) -> list[_View]:
    """Return the views of an explanation, all bars on one scale."""
    every = (
        ("Elements", one.elements, one.no_elements, len(one.elements)),
        ("Kinds of features", one.families, one.no_features, _SHOWN),
        ("Single features", one.features, "", _SHOWN),
    )
    longest = max((abs(part.contribution) for _, parts, _, _ in every for part in parts), default=0)
    return [
        _View(
            title,
            tuple(_row(part, longest) for part in parts[:most]),
            sum(part.contribution for part in parts[most:]) if parts[most:] else None,
            one.left_over if parts is one.features and one.lacks else None,
            reason,
        )
        for title, parts, reason, most in every
        if parts or reason
    ]


def _row(part: Contribution, longest: float) -> _Row:
    width = _HALF * abs(part.contribution) / longest if longest > 0 else 0.0
    start = _HALF - width if part.contribution < 0 else _HALF
    return _Row(part.name.removeprefix(_PREFIX), part, round(start, 2), round(width, 2))


def why_routes(screens: Screens, shelf: Shelf, turns: Turns) -> APIRouter:
    """Return the route of the screen.

    `/models/NAME/why?formula=PbTe` with `with-COLUMN=VALUE` for each further column, `class` and
    `level`. What is wrong is said beside the form.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/models/{name}/why")
    async def why(name: str, request: Request) -> Response:
        query = request.query_params
        given = {
            key.removeprefix(_WITH): value
            for key, value in query.items()
            if key.startswith(_WITH) and value.strip()
        }

        def work() -> Response:
            model, level, problem = shelf.load(name), LEVEL, None
            found: Sequence[Explanation] = ()
            try:
                level = PredictOptions.from_dict({"level": query.get("level") or LEVEL}).level
                found = _explained(model, query, given, limits)
            except XtalshiftError as error:
                problem = screens.problem(error)
            return screens.show(
                request,
                "why.html.j2",
                HTTPStatus.OK if problem is None else problem["status"],
                name=name,
                problem=problem,
                formula=query.get("formula", "")[:200],
                explained=[(one, _views(one)) for one in found],
                columns=_columns(model),
                given=given,
                classes=_classes(model),
                chosen=query.get("class", ""),
                level=level,
                others=urlencode({f"{_WITH}{key}": value for key, value in given.items()}),
                exp=math.exp,
                places={"Predict": f"/models/{quote(name, '')}"},
            )

        limits = ExplanationLimits(turns.config)
        async with turns.turn():
            return await while_connected(request, work, limits)

    return router


def _explained(
    model: AnyModel, query: QueryParams, given: dict[str, str], limits: ExplanationLimits
) -> Sequence[Explanation]:
    """Return the explanations of the formula that the address names, of each target.

    Without a formula, or a value of each further column, there are none: the form asks for them.
    """
    formula = query.get("formula", "").strip()
    if not formula or any(column not in given for column in _columns(model)):
        return ()
    asked = {
        "formulas": [formula],
        "with": given,
        "level": query.get("level") or LEVEL,
        "class": query.get("class") or None,
    }
    return explain_formulas(model, ExplainRequest.from_dict(asked), limits)


def _columns(model: AnyModel) -> tuple[str, ...]:
    one = model.first if isinstance(model, FittedModels) else model
    return one.card.feature_cols


def _classes(model: AnyModel) -> tuple[str, ...]:
    return model.classes if isinstance(model, FittedClassifier) else ()
