"""How good a ready model is: the errors of models like it on rows that they were not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from xtalshift.config import Settings
from xtalshift.errors import ModelFormatError, UsageError
from xtalshift.jsonio import read_json

EVALUATION_FILE = "evaluation.json"


class HeldOut(Settings):
    """Scores on one held-out set of a model that was trained without it."""

    split: str
    """Name in the recipe."""
    scheme: str
    """As in ``xtalshift split``."""
    fold: int
    role: Literal["id", "ood"]
    """Whether the rows are like the training rows, or unlike them."""
    n_train: int
    n_test: int
    """`n_train`, `n_test`: numbers of formulas."""
    mae: float
    dummy_mae: float
    """`mae`, `dummy_mae`: mean absolute errors of the model and of the training mean."""
    r2: float
    coverage_90: float
    median_width_90: float
    """`coverage_90`, `median_width_90`: of the 90 % intervals, in the unit of the target."""
    in_domain: float
    """Share of the rows inside the domain of the model."""
    mae_inside: float | None = None
    mae_outside: float | None = None
    coverage_inside: float | None = None
    coverage_outside: float | None = None
    """`mae_inside`, `mae_outside`, `coverage_inside`, `coverage_outside`: of the rows inside and
    outside the domain; None if there are none."""


class Evaluation(Settings):
    """All held-out sets of a ready model, and where and when they were measured."""

    model: str
    """Name of the model."""
    date: str
    version: str
    versions: dict[str, str]
    """`date`, `version`, `versions`: day of the measurement, version of xtalshift and versions of
    the libraries."""
    rows: int
    materials: int
    """`rows`, `materials`: rows of the table, and different formulas among them."""
    table_sha256: str
    """Of the clean table."""
    held_out: tuple[HeldOut, ...]

    def of(self, split: str) -> tuple[HeldOut, ...]:
        """Return the folds of a split."""
        return tuple(one for one in self.held_out if one.split == split)


def read_evaluation(folder: Path) -> Evaluation | None:
    """Return the evaluation beside a saved model, None if there is none.

    Raises
    ------
    ModelFormatError
        If the file was altered.
    """
    path = folder / EVALUATION_FILE
    if not path.is_file():
        return None
    values: Any = read_json(path)
    try:
        return Evaluation.from_dict(values)
    except (TypeError, UsageError) as error:
        raise ModelFormatError(f"{path} is no evaluation of a model: {error}") from error
