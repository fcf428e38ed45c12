"""The settings of what explains the errors of a run."""

from __future__ import annotations

from pydantic import Field

from xtalshift.config import Settings


class ExplainConfig(Settings):
    """What `run` measures to explain the errors of the method that it has chosen."""

    learning: bool = True
    """Whether to measure the error with fewer training rows."""
    draws: int = Field(default=3, ge=1, le=100)
    """Random subsets of each size."""
    most_rows: int = Field(default=4000, ge=10)
    """Largest subset; the training rows of the table are measured by the comparison already."""
    drivers: bool = True
    """Whether to measure which features the predictions need."""
    driver_rows: int = Field(default=1000, ge=10)
    """Most held-out rows for that, ID and OOD together."""
    repeats: int = Field(default=3, ge=1, le=1000)
    """Times that each family of features is shuffled."""
    worst: int = Field(default=10, ge=0, le=1000)
    """Number of ID rows, and of OOD rows, with the largest errors that are listed."""
