"""What workers send to the driver, which loads neither models nor their libraries."""

from __future__ import annotations

from dataclasses import dataclass, field

from xtalshift.chem.formulas import Hydrates

__all__ = ["COUNTS", "ModelInfo", "Outcome"]

COUNTS = ("rows", "ok", "errors", "duplicates", "in_domain", "clipped")
"""What is counted of every block."""


@dataclass(frozen=True)
class ModelInfo:
    """What the driver, which does not load the model, has to know of it.

    Attributes
    ----------
    hydrates : {"refuse", "expand"}
        How formulas are read.
    feature_cols : tuple of str
        Columns it needs beside the formula.
    added : tuple of str
        Columns it adds.
    unit : str
        Of its predictions.
    has_intervals, has_domain : bool
        Whether it was calibrated, and knows its training data.
    one_width : bool
        Whether its plain intervals have one width for all materials.
    """

    hydrates: Hydrates
    feature_cols: tuple[str, ...]
    added: tuple[str, ...]
    unit: str
    has_intervals: bool
    has_domain: bool
    one_width: bool


@dataclass(frozen=True)
class Outcome:
    """What became of a block.

    Attributes
    ----------
    number : int
        Of the chunk.
    counts : dict of int
        The numbers of `COUNTS`.
    part : bytes or None
        Its rows as a Parquet file, if any are kept.
    best : bytes or None
        Its best rows as an Arrow stream, if any are wanted.
    """

    number: int
    counts: dict[str, int]
    part: bytes | None = field(repr=False)
    best: bytes | None = field(repr=False)
