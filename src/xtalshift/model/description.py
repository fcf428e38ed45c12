"""What ``model.json`` holds, typed: nothing else is read from a saved model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, create_model

from xtalshift.chem.formulas import Hydrates
from xtalshift.chem.mixtures import Amounts
from xtalshift.errors import ModelFormatError
from xtalshift.estimators.predictors import PREDICTORS, Predictor
from xtalshift.jsonio import Plain
from xtalshift.uncertainty.conformal import ScoreKind, ScoreOrigin

_STRICT = ConfigDict(
    frozen=True, strict=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True
)
ANY_MACHINE: Mapping[str, Any] = {"device": "auto", "threads": 0}
"""Parameters that belong to the machine, as they are saved: the model may predict on another."""


class Pipeline(BaseModel):
    """Settings of `CompositionFeatures`, and the name of the `TargetTransform`."""

    model_config = _STRICT

    features: str
    transform: str
    impute_nan: bool
    hydrates: Hydrates
    amounts: Amounts | None = None  # models of earlier versions lack it


class SavedRegressor(BaseModel):
    """Name of the class that was fitted, and its parameters."""

    model_config = _STRICT

    class_name: str = Field(alias="class")
    parameters: dict[str, JsonValue]

    def make(self, device: str | None) -> Predictor:
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
        known: Plain = {i.name: (types[i.name], ...) for i in fields(kind) if i.init}
        model: type[BaseModel] = create_model("Parameters", __config__=_STRICT, **known)
        try:
            model(**self.parameters)
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
        return kind(**{**self.parameters, **own})


class SavedCard(BaseModel):
    """A `ModelCard`; what its provenance says is not used, and may be any plain value."""

    model_config = _STRICT | ConfigDict(allow_inf_nan=True)

    target_name: str
    unit: str
    conditions: str
    source: str
    feature_cols: list[str]
    provenance: dict[str, JsonValue]
    formula_col: str = ""


class SavedCalibration(BaseModel):
    """What a `Calibration` has beside its arrays."""

    model_config = _STRICT

    kind: ScoreKind
    origin: ScoreOrigin


class Description(BaseModel):
    """Everything of a saved model but its arrays and checksums."""

    model_config = _STRICT

    format: str
    format_version: int
    arrays_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    pipeline: Pipeline
    feature_names: list[str]
    regressor: SavedRegressor
    card: SavedCard
    calibration: SavedCalibration | None
    has_domain: bool
