"""How good a ready model is: the errors of models like it on rows that they were not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

from xtalshift.config import Settings
from xtalshift.errors import ModelFormatError, UsageError
from xtalshift.jsonio import read_json

EVALUATION_FILE = "evaluation.json"


class HeldOut(Settings):
    """Scores on one held-out set of a model that was trained without it.

    The errors and the coverage are those of its kind, `HeldOutNumbers` or `HeldOutClasses`.
    """

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
    in_domain: float
    """Share of the rows inside the domain of the model."""
    coverage_inside: float | None = None
    coverage_outside: float | None = None
    """`coverage_inside`, `coverage_outside`: of the rows inside and outside the domain; None if
    there are none."""


class HeldOutNumbers(HeldOut):
    """Scores of a model of numbers."""

    mae: float
    dummy_mae: float
    """`mae`, `dummy_mae`: mean absolute errors of the model and of the training mean."""
    r2: float
    coverage_90: float
    median_width_90: float
    """`coverage_90`, `median_width_90`: of the 90 % intervals, in the unit of the target."""
    mae_inside: float | None = None
    mae_outside: float | None = None
    """`mae_inside`, `mae_outside`: of the rows inside and outside the domain, or None."""

    @property
    def error(self) -> float:
        """The error that judges it."""
        return self.mae

    @property
    def dummy_error(self) -> float:
        """That of the training mean."""
        return self.dummy_mae

    @property
    def error_inside(self) -> float | None:
        """The error of the rows inside the domain."""
        return self.mae_inside

    @property
    def error_outside(self) -> float | None:
        """The error of the others."""
        return self.mae_outside

    @property
    def coverage(self) -> float:
        """Share of the values that the 90 % intervals hold."""
        return self.coverage_90


class HeldOutClasses(HeldOut):
    """Scores of a model of classes."""

    log_loss: float
    dummy_log_loss: float
    """`log_loss`, `dummy_log_loss`: in nats, of the calibrated probabilities and of the shares of
    the classes in training."""
    balanced_accuracy: float
    balanced_accuracy_dummy: float
    """`balanced_accuracy`, `balanced_accuracy_dummy`: of the model and of the most frequent class
    in training."""
    set_coverage_90: float
    mean_set_size_90: float
    """`set_coverage_90`, `mean_set_size_90`: share of the 90 % prediction sets that hold the class,
    and their mean number of classes."""
    log_loss_inside: float | None = None
    log_loss_outside: float | None = None
    """`log_loss_inside`, `log_loss_outside`: of the rows inside and outside the domain, or None."""

    @property
    def error(self) -> float:
        """The error that judges it."""
        return self.log_loss

    @property
    def dummy_error(self) -> float:
        """That of the shares in training."""
        return self.dummy_log_loss

    @property
    def error_inside(self) -> float | None:
        """The error of the rows inside the domain."""
        return self.log_loss_inside

    @property
    def error_outside(self) -> float | None:
        """The error of the others."""
        return self.log_loss_outside

    @property
    def coverage(self) -> float:
        """Share of the classes that the 90 % sets hold."""
        return self.set_coverage_90


AnyHeldOut: TypeAlias = HeldOutNumbers | HeldOutClasses


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
    """`rows`, `materials`: rows of the table, and different formulas among them that were used."""
    table_sha256: str
    """Of the clean table."""
    held_out: tuple[AnyHeldOut, ...]

    def of(self, split: str) -> tuple[AnyHeldOut, ...]:
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
