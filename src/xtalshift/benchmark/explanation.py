"""What explains the errors of the method that a run has chosen, as typed records."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NearRow:
    """A training material, its target, and its distance in standard deviations of the features."""

    formula: str
    target: float
    distance: float
    structure: str = ""
    """Its crystal structure, see `xtalshift.data.structure_texts.pack_rows`; ``""`` if the table
    has none."""


@dataclass(frozen=True, kw_only=True)
class WorstRow:
    """A held-out row with a large error, and what the training data hold around it.

    `target`, `prediction`, `lower` and `upper` (of the 90 % interval) have the unit of the target;
    the bounds are None without intervals or where they are infinite. `unseen` are its elements that
    no training material has. `in_domain` is None without a domain.
    """

    split: str
    role: str
    id: str
    formula: str
    target: float
    prediction: float
    lower: float | None = None
    upper: float | None = None
    in_domain: bool | None = None
    unseen: tuple[str, ...] = ()
    neighbours: tuple[NearRow, ...] = ()
    """The nearest training materials, nearest first."""
    structure: str = ""
    """As that of `NearRow`."""


@dataclass(frozen=True)
class CurvePoint:
    """Mean absolute error on one set of test rows after a training on `n_train` rows."""

    split: str
    role: str
    draw: int
    n_train: int
    mae: float


@dataclass(frozen=True)
class LearningCurve:
    """Errors with fewer training rows. All trainings of one draw are on parts of each other."""

    learner: str
    """The method: the chosen one, or a faster one in its place."""
    n_train: int
    """All training rows, the largest size."""
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class Driver:
    """How much worse predictions get if a family of features says nothing.

    `rise` is the increase of the mean absolute error, on the scale of the training, over the error
    itself, averaged over repetitions; `spread` is their standard deviation, None for one.
    """

    family: str
    n_features: int
    role: str
    rise: float
    spread: float | None = None


@dataclass(frozen=True)
class Drivers:
    """Permutation importance of all families of features on held-out rows."""

    repeats: int
    n_id: int
    n_ood: int
    """`n_id`, `n_ood`: numbers of rows."""
    found: tuple[Driver, ...]


@dataclass(frozen=True)
class Explanation:
    """What explains the errors of one method, of the first seed; None where it was not measured."""

    method: str
    worst: tuple[WorstRow, ...] = ()
    learning: LearningCurve | None = None
    drivers: Drivers | None = None
    failures: tuple[str, ...] = ()
    """What could not be measured, and why; a repeated run tries again."""
