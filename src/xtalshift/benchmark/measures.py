"""Measures of errors that records share: of numbers, and of classes in their place."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class ClassMeasures:
    """Measures of a target that is a class; None for one that is a number.

    All are of calibrated probabilities, see `xtalshift.metrics.classification_scores`.
    """

    log_loss: float | None = None
    brier: float | None = None
    balanced_accuracy: float | None = None
    accuracy: float | None = None
    roc_auc: float | None = None
    average_precision: float | None = None
    ece: float | None = None
    class_number_error: float | None = None
    """See `xtalshift.metrics.class_number_error`; for ordered classes."""
    set_coverage_90: float | None = None
    mean_set_size_90: float | None = None
    """`set_coverage_90`, `mean_set_size_90`: share of the 90 % prediction sets that hold the class,
    and their mean number of classes."""


CLASS_MEASURES = tuple(item.name for item in fields(ClassMeasures))
"""Names of the measures of a target that is a class."""


@dataclass(frozen=True, kw_only=True)
class Errors(ClassMeasures):
    """The error that ranks methods: mean absolute error, or log loss of classes."""

    mae: float | None = None
    """In the unit of the target; None for classes."""
    mae_over_dummy: float | None = None
    log_loss_over_dummy: float | None = None
    """`mae_over_dummy`, `log_loss_over_dummy`: over the error of the training mean, and over the
    log loss of the shares of the classes in training."""

    def either(self, number: float | None, of_classes: float | None) -> float | None:
        """Return a measure of a number, or the one that stands for it of classes."""
        return number if self.log_loss is None else of_classes

    @property
    def error_key(self) -> str:
        """Name of the error: ``mae`` or ``log_loss``."""
        return "mae" if self.log_loss is None else "log_loss"

    @property
    def error(self) -> float | None:
        """The error itself."""
        return self.either(self.mae, self.log_loss)

    @property
    def error_over_dummy(self) -> float | None:
        """The error over that of the dummy."""
        return self.either(self.mae_over_dummy, self.log_loss_over_dummy)
