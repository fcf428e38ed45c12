"""REST: why a model predicts what it predicts."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from xtalshift.config import Settings
from xtalshift.jobs.explain_prediction import explain_predictions, reader
from xtalshift.model.explaining.explain import SWAPS
from xtalshift.model.explaining.record import Explanation
from xtalshift.uncertainty.settings import LEVEL
from xtalshift.web.bodies import JSON, answer_type, read_settings
from xtalshift.web.described import ModelName, schema_of
from xtalshift.web.model_routes import Turns, problems, while_connected
from xtalshift.web.models import AnyModel, Shelf
from xtalshift.web.predicting import (
    ExplanationLimits,
    PredictOptions,
    cells_are_content,
    predictor_of,
)
from xtalshift.web.problems import RequestError

MOST_FORMULAS = 20
"""Formulas of one request: each takes about a second."""
_MOST_SWAPS = 20


class ExplainRequest(Settings):
    """Formulas to explain."""

    formulas: tuple[str, ...] = Field(min_length=1)
    """Chemical formulas, at most 20."""
    given: dict[str, float | str] = Field(default={}, alias="with")
    """Value of each further column of the model, the same for all formulas."""
    level: float = Field(default=LEVEL, gt=0, lt=1)
    """Share of the true values that intervals should contain."""
    of_class: str | None = Field(default=None, alias="class")
    """Of a model of classes: the class to explain; by default the predicted one."""
    substitutions: int = Field(default=SWAPS, ge=0, le=_MOST_SWAPS)
    """Other elements: so many that raise the prediction, and that lower it."""
    strict: bool = False
    """Whether a bad formula is an error."""


def explain_routes(shelf: Shelf, turns: Turns) -> APIRouter:
    """Return the route of explanations."""
    router = APIRouter(tags=["models"])

    @router.post(
        "/models/{name}/explain",
        summary="Explain the predictions of formulas",
        description="What each element, family of features and feature contributes to a "
        "prediction, and which element in the place of one changes it most.",
        openapi_extra=_EXPLAIN,
        responses={200: _EXPLAINED, **problems(404, 406, 408, 409, 413, 415, 422, 429, 503)},
        response_class=Response,
    )
    async def explain(name: ModelName, request: Request) -> Response:
        if answer_type(request, JSON) != JSON:
            raise RequestError(HTTPStatus.NOT_ACCEPTABLE, f"explanations are {JSON}")
        asked = await read_settings(request, ExplainRequest)
        if len(asked.formulas) > MOST_FORMULAS:
            raise RequestError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{len(asked.formulas):,} formulas; at most {MOST_FORMULAS} are explained at once",
            )

        limits = ExplanationLimits(turns.config)

        def work() -> JSONResponse:
            found = explain_formulas(shelf.load(name), asked, limits)
            plain = [one.plain() for one in found]
            return JSONResponse({"model": name, "level": asked.level, "explanations": plain})

        async with turns.turn():
            return await while_connected(request, work, limits)

    return router


def explain_formulas(
    model: AnyModel, asked: ExplainRequest, limits: ExplanationLimits
) -> list[Explanation]:
    """Return the explanations of formulas; bad ones have a reason.

    Raises
    ------
    RequestError
        If it takes too long, or the client has gone.
    DataError, FormulaError, ConfigError
        As `xtalshift.jobs.explain_prediction.explain_predictions`.
    """
    predictor = predictor_of(model, PredictOptions(level=asked.level))
    with cells_are_content():
        materials = reader(predictor).parse_formulas(asked.formulas, asked.given)
        return explain_predictions(
            predictor,
            materials,
            of_class=asked.of_class,
            substitutions=asked.substitutions,
            strict=asked.strict,
            progress=limits,
        )


_PART: dict[str, Any] = {
    "kind": "element", "name": "Ga", "contribution": -0.4, "value": 0.5, "usual": None, "family": ""
}  # fmt: skip
_EXPLAIN = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": schema_of(ExplainRequest),
                "example": {"formulas": ["GaN"], "substitutions": 3},
            }
        },
    }
}
_EXPLAINED = {
    "description": "An explanation of each formula, of several targets of each target: the base "
    "plus the contributions of the elements, or of the families, or of the features, is the value.",
    "content": {
        JSON: {
            "example": {
                "model": "gaps",
                "level": 0.9,
                "explanations": [
                    {"formula": "GaN", "target": "gap", "unit": "eV", "scale": "unit", "base": 3.1,
                     "value": 2.7, "elements": [_PART], "reason": ""}
                ],
            }
        }
    },
}  # fmt: skip
