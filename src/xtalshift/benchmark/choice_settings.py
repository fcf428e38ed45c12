"""The settings of the choice among methods."""

from __future__ import annotations

from pydantic import Field

from xtalshift.config import Settings


class ChoiceConfig(Settings):
    """How `run` chooses the method that it fits to all rows, see docs/science/main-job.md."""

    small: int = Field(default=1000, ge=0)
    """Number of rows outside all test sets below which they are cross-fitted; from there on each
    method is judged by the validation rows of its training."""
    folds: int = Field(default=5, ge=2, le=1000)
    repeats: int = Field(default=3, ge=1, le=100)
    """`folds`, `repeats`: of the cross-fit; it takes as many further trainings as their product. A
    stack is judged by its own folds."""
