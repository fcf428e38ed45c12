"""What ``model.json`` holds, typed: nothing else is read from a saved model."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from xtalshift.chem.formulas import Hydrates
from xtalshift.chem.mixtures import Amounts
from xtalshift.estimators.saved import STRICT, SavedRegressor
from xtalshift.uncertainty.conformal import ScoreKind, ScoreOrigin


class Pipeline(BaseModel):
    """Settings of `CompositionFeatures`, and the name of the `TargetTransform`."""

    model_config = STRICT

    features: str
    transform: str
    impute_nan: bool
    hydrates: Hydrates
    amounts: Amounts | None = None  # models of earlier versions lack it
    encoder: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """SHA-256 of the encoder that `features` name, in models of version 4 and before."""


class SavedCard(BaseModel):
    """A `ModelCard`; what its provenance says is not used, and may be any plain value."""

    model_config = STRICT | ConfigDict(allow_inf_nan=True)

    target_name: str
    unit: str
    conditions: str
    source: str
    feature_cols: list[str]
    provenance: dict[str, JsonValue]
    formula_col: str = ""


class SavedCalibration(BaseModel):
    """What a `Calibration` has beside its arrays."""

    model_config = STRICT

    kind: ScoreKind
    origin: ScoreOrigin


class Description(BaseModel):
    """Everything of a saved model but its arrays and checksums."""

    model_config = STRICT

    format: str
    format_version: int
    arrays_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    pipeline: Pipeline
    encoder: dict[str, JsonValue] | None = None
    """Card of the encoder of the block ``pretrained``, whose arrays are those of the model."""
    feature_names: list[str]
    regressor: SavedRegressor
    card: SavedCard
    calibration: SavedCalibration | None
    has_domain: bool
