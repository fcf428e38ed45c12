"""What ``model.json`` holds, typed: nothing else is read from a saved model."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from xtalshift.chem.formulas import Hydrates
from xtalshift.chem.mixtures import Amounts
from xtalshift.errors import DataError
from xtalshift.estimators.saved import STRICT, SavedRegressor
from xtalshift.jsonio import read_json
from xtalshift.metrics.ranking import RankEvidence, TopScores
from xtalshift.uncertainty.class_calibration import ClassCalibration
from xtalshift.uncertainty.conformal import Calibration, ScoreKind, ScoreOrigin
from xtalshift.uncertainty.prediction_sets import SetKind
from xtalshift.uncertainty.probabilities import ProbabilityKind


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


class SavedTop(BaseModel):
    """A `TopScores`."""

    model_config = STRICT

    recall: float = Field(ge=0, le=1)
    enrichment: float = Field(ge=0)


class SavedRanking(BaseModel):
    """A `RankEvidence`."""

    model_config = STRICT

    n_rows: int = Field(ge=1)
    spearman: float = Field(ge=-1, le=1)
    share: float = Field(gt=0, le=1)
    highest: SavedTop
    lowest: SavedTop

    @classmethod
    def of(cls, evidence: RankEvidence) -> Self:
        """Return what is saved."""
        sides = {"highest": evidence.highest, "lowest": evidence.lowest}
        tops = {name: SavedTop(**found._asdict()) for name, found in sides.items()}
        return cls(n_rows=evidence.n_rows, spearman=evidence.spearman, share=evidence.share, **tops)

    def evidence(self) -> RankEvidence:
        """Return what was saved."""
        highest, lowest = (
            TopScores(side.recall, side.enrichment) for side in (self.highest, self.lowest)
        )
        return RankEvidence(self.n_rows, self.spearman, self.share, highest, lowest)


class SavedCalibration(BaseModel):
    """What a `Calibration` has beside its arrays."""

    model_config = STRICT

    kind: ScoreKind
    origin: ScoreOrigin
    ranking: SavedRanking | None = None  # models of earlier versions lack it

    @classmethod
    def of(cls, calibration: Calibration) -> Self:
        """Return what is saved."""
        known = calibration.ranking
        ranking = None if known is None else SavedRanking.of(known)
        return cls(kind=calibration.kind, origin=calibration.origin, ranking=ranking)

    def make(self, arrays: dict[str, NDArray[Any]]) -> Calibration:
        """Return the calibration with its arrays, after a check."""
        ranking = None if self.ranking is None else self.ranking.evidence()
        return Calibration.from_state(arrays, kind=self.kind, origin=self.origin, ranking=ranking)


class SavedClassCalibration(BaseModel):
    """What a `ClassCalibration` has beside its arrays."""

    model_config = STRICT

    probabilities: ProbabilityKind
    sets: SetKind
    origin: ScoreOrigin

    @classmethod
    def of(cls, calibration: ClassCalibration) -> Self:
        """Return what is saved."""
        return cls(
            probabilities=calibration.probabilities.kind,
            sets=calibration.sets.kind,
            origin=calibration.origin,
        )

    def make(self, arrays: dict[str, NDArray[Any]], n_classes: int) -> ClassCalibration:
        """Return the calibration with its arrays, after a check."""
        return ClassCalibration.from_state(arrays, n_classes=n_classes, **dict(self))


def saved_ranking(folder: Path) -> RankEvidence | None:
    """Return how well a saved model ranks rows that it was not trained on, without loading it.

    It is None if the model does not say it, or is none, as loading it then tells.
    """
    with suppress(DataError, KeyError, TypeError, ValidationError):
        saved = SavedCalibration(**read_json(folder / "model.json")["calibration"])
        return None if saved.ranking is None else saved.ranking.evidence()
    return None


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
    task: Literal["regression", "classification", "ordinal"] = "regression"
    classes: list[str] | None = Field(default=None, min_length=2, max_length=1000)
    """`task`, `classes`: models of version 6 and before predict numbers."""
    regressor: SavedRegressor
    card: SavedCard
    calibration: SavedCalibration | None
    class_calibration: SavedClassCalibration | None = None
    """`calibration`, `class_calibration`: of a model of numbers, or of classes."""
    has_domain: bool
