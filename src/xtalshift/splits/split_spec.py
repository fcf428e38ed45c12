"""The settings of a split, and what a file of folds states about how it was made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import Field, field_validator

from xtalshift._version import __version__
from xtalshift.config import Settings
from xtalshift.data.settings import DataConfig
from xtalshift.jsonio import Plain
from xtalshift.splits import SPLITTERS


class SplitSpec(Settings):
    """All settings of ``xtalshift split``."""

    data: DataConfig = DataConfig()
    """Rows; distances are measured in their `features`."""
    scheme: str = "random"
    """Name in `xtalshift.splits.SPLITTERS`."""
    params: Plain = Field(default_factory=dict)
    """Arguments of the splitter, see `xtalshift.splits.schemes.build_scheme`."""
    inner: str | None = None
    """Scheme of an inner cross-validation of the training rows, for model choice."""
    inner_params: Plain = Field(default_factory=dict)
    """Its arguments."""
    validation_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the training rows for model selection, if neither the scheme nor an inner
    cross-validation provides any; 0 for none."""
    budgets: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Numbers of target labels; the largest is taken from the held-out rows."""
    thin: float | None = Field(default=None, gt=0, le=1)
    """Composition distance to which the table is thinned before the split."""
    min_distance: float | None = Field(default=None, gt=0, le=1)
    """Training rows within this composition distance of a test row are not used."""
    seed: int = Field(default=0, ge=0)
    """Seed of everything random."""

    @field_validator("scheme", "inner")
    @classmethod
    def _known_scheme(cls, name: str | None) -> str | None:
        if name is not None:
            SPLITTERS[name]  # raises with the list of names
        return name


@dataclass(frozen=True)
class SplitRecord:
    """What a split file states about itself."""

    spec: SplitSpec
    """The settings."""
    whole_formulas: bool
    """Whether no formula of the test rows is in another part."""
    notes: dict[str, str] = field(default_factory=dict)
    """Fold name -> note."""
    version: str = __version__
    """Version of the package that wrote it."""

    @classmethod
    def of(cls, spec: SplitSpec, notes: dict[str, str]) -> Self:
        """Return the record of a split with these settings."""
        whole = bool(spec.params.get("whole_formulas", SPLITTERS[spec.scheme].whole_formulas))
        return cls(spec, whole, notes)

    def to_dict(self) -> Plain:
        """Return plain values for JSON, as `from_dict` reads them."""
        more = {"version": self.version, "whole_formulas": self.whole_formulas}
        return {**more, **self.spec.to_dict(), "notes": self.notes}

    @classmethod
    def from_dict(cls, values: Plain) -> Self:
        """Restore what `to_dict` returned."""
        settings = {key: value for key, value in values.items() if key in SplitSpec.model_fields}
        return cls(
            SplitSpec.from_dict(settings),
            bool(values["whole_formulas"]),
            values.get("notes", {}),
            values["version"],
        )
