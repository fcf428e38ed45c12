"""The settings of a split."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from xtalshift.config import Settings
from xtalshift.data.settings import DataConfig
from xtalshift.splits import SPLITTERS

__all__ = ["SplitSpec"]


class SplitSpec(Settings):
    """All settings of ``xtalshift split``.

    Attributes
    ----------
    data : DataConfig
        Rows; `features` are those in which distances are measured.
    scheme : str
        Name in `xtalshift.splits.SPLITTERS`.
    params : dict
        Arguments of the splitter, see `xtalshift.splits.schemes.build_scheme`.
    inner : str, optional
        Scheme of an inner cross-validation of the training rows, for model choice.
    inner_params : dict
        Its arguments.
    validation_share : float
        Share of the training rows for model selection where neither the scheme nor an inner
        cross-validation has some; 0 for none.
    budgets : list of int
        Numbers of target labels; the largest is taken from the held-out rows.
    thin : float, optional
        Composition distance to which the table is thinned first.
    min_distance : float, optional
        Training rows within this composition distance of a test row are left out.
    seed : int
        Of all that is random.
    """

    data: DataConfig = DataConfig()
    scheme: str = "random"
    params: dict[str, Any] = Field(default_factory=dict)
    inner: str | None = None
    inner_params: dict[str, Any] = Field(default_factory=dict)
    validation_share: float = Field(default=0.1, ge=0, lt=1)
    budgets: tuple[int, ...] = ()
    thin: float | None = Field(default=None, gt=0, le=1)
    min_distance: float | None = Field(default=None, gt=0, le=1)
    seed: int = Field(default=0, ge=0)

    @field_validator("scheme", "inner")
    @classmethod
    def _known_scheme(cls, name: str | None) -> str | None:
        if name is not None:
            SPLITTERS[name]  # raises with the list of names
        return name
