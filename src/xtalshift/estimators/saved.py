"""What a saved model says about its regressor: the class that was fitted, and its parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self, get_type_hints

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, create_model

from xtalshift.errors import ModelFormatError
from xtalshift.estimators.predictors import PREDICTORS, Learned
from xtalshift.jsonio import Plain

STRICT = ConfigDict(
    frozen=True, strict=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True
)
"""How parts of a saved model are read: nothing is converted, and nothing else is allowed."""
ANY_MACHINE: Mapping[str, Any] = {"device": "auto", "threads": 0}
"""Parameters that belong to the machine, as they are saved: the model may predict on another."""
LATER = frozenset({"loss", "max_bin", "emphasis"})
"""Parameters that models of earlier versions lack; they have the default."""


class SavedRegressor(BaseModel):
    """Name of the class that was fitted, and its parameters."""

    model_config = STRICT

    class_name: str = Field(alias="class")
    parameters: dict[str, JsonValue]

    @classmethod
    def of(cls, predictor: Learned) -> Self:
        """Return what is saved of a predictor, without what belongs to the machine."""
        parameters = predictor._saved_parameters()  # noqa: SLF001
        if not isinstance(parameters["random_state"], int | np.integer):
            parameters["random_state"] = None
        parameters |= {name: value for name, value in ANY_MACHINE.items() if name in parameters}
        plain = json.loads(json.dumps(parameters, default=_plain_value))
        return cls(**{"class": predictor.regressor_name, "parameters": plain})

    def make(self, device: str | None) -> Any:
        """Return what predicts, without what it learned.

        Raises
        ------
        NotFoundError
            If there is no such class.
        ModelFormatError
            If a parameter is missing, unknown or of another type, or one of the machine is not as
            it is saved.
        """
        kind = PREDICTORS[self.class_name]
        types = get_type_hints(kind)
        known: Plain = {
            item.name: (types[item.name], item.default if item.name in LATER else ...)
            for item in fields(kind)
            if item.init
        }
        model: type[BaseModel] = create_model("Parameters", __config__=STRICT, **known)
        try:
            checked = model(**self.parameters)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ModelFormatError(
                f"{self.class_name}: {first['loc'][0]!r}: {first['msg']}"
            ) from error
        own = {name: ANY_MACHINE[name] for name in ANY_MACHINE if name in known}
        for name, value in own.items():
            if self.parameters[name] != value:
                raise ModelFormatError(f"{name} = {self.parameters[name]!r}; expected {value!r}")
        if device is not None and "device" in own:
            own["device"] = device
        return kind(**{**{name: getattr(checked, name) for name in known}, **own})


def _plain_value(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else dict(value)
