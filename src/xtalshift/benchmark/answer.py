"""The answer to "what should I believe about these candidates?", as records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["trust", "ranking", "measure", "no"]


@dataclass(frozen=True, kw_only=True)
class ProxyResult:
    """What happened on one hold-out that imitates the candidates; errors in the target's unit."""

    name: str
    """An element, ``nearest`` or ``cluster-K``, see `xtalshift.splits.proxies`."""
    reason: str
    """What it has in common with the candidates."""
    n: int
    """Number of materials held out."""
    distance_ratio: float
    """How far they are from the others, see `xtalshift.splits.proxies.Proxy`."""
    mae: float
    """Mean absolute error of the recommended method."""
    mae_dummy: float
    """The same of the mean of the training targets."""
    mae_own_median: float
    """The same of the median of the held-out targets themselves, which nobody knows beforehand."""
    spearman: float | None
    """Rank correlation of predictions and targets; None if one of the two does not vary."""
    coverage: float | None
    """Share of the targets inside 90 % intervals that the other proxies calibrated."""
    found: tuple[float, float]
    """Share of the fifth with the lowest, and of that with the highest predictions that is in the
    same fifth by the targets; 0.2 by chance."""
    covered: tuple[float, float] | None
    """`coverage` of these two fifths alone."""
    n_measured: int
    """How many of them were measured in a simulation; 0 for none."""
    mae_before: float | None
    mae_after: float | None
    """`mae_before`, `mae_after`: error for the materials that were not chosen for measurement,
    before and after the model was adapted to those that were."""
    methods: dict[str, float]
    """Mean absolute error of each method."""


@dataclass(frozen=True)
class CandidateCrystal:
    """The crystal structures of a candidate and of the nearest material of the table."""

    rank: int
    """The place of the candidate by its prediction, from 1."""
    structure: str
    nearest: str
    """`structure`, `nearest`: as `xtalshift.data.structure_texts.pack_rows` has them."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """How candidates differ from the table."""

    n: int
    n_usable: int
    """`n`, `n_usable`: candidates; those that can be predicted."""
    known: tuple[str, ...]
    """Candidates that the table has measured."""
    n_seen: int
    n_seen_rows: int
    """`n_seen`, `n_seen_rows`: candidates, and materials of the table, that a pretrained encoder of
    the features has seen; the latter judge no method."""
    distance_ratio: float
    """How far the candidates are from the table, as in `ProxyResult`."""
    separability: float | None
    """Area under the ROC curve of a classifier that tells candidates from the table, 0.5 to 1;
    None with fewer than 10 of either."""
    new_elements: tuple[str, ...]
    n_new: int
    """`new_elements`, `n_new`: elements that no material of the table has; candidates with one."""
    n_new_systems: int
    """Candidates whose set of elements no material of the table has."""
    method: str
    """The recommended method."""
    level_with: tuple[str, ...]
    """Methods whose error on the proxies is within 5 % of its error."""
    measure: tuple[str, ...]
    measure_rows: tuple[int, ...]
    """`measure`, `measure_rows`: the candidates to measure first, and their rows, from 0."""


@dataclass(frozen=True, kw_only=True)
class ClassProxy:
    """What happened on one hold-out of a table of classes."""

    name: str
    reason: str
    n: int
    distance_ratio: float
    """`name`, `reason`, `n`, `distance_ratio`: as in `ProxyResult`."""
    log_loss: float
    log_loss_dummy: float
    """`log_loss`, `log_loss_dummy`: of the recommended method, with the temperature of all
    hold-outs, and of the shares of the classes in training."""
    accuracy: float
    """Share of the materials whose class is predicted."""
    coverage: float | None
    set_size: float | None
    """`coverage`, `set_size`: share of the 90 % sets, calibrated by the other hold-outs, that hold
    the class, and mean number of classes in them."""
    methods: dict[str, float]
    """Log loss of each method."""


@dataclass(frozen=True, kw_only=True)
class ClassAnswer(Situation):
    """What to believe about predicted classes of the candidates."""

    expected_log_loss: float
    expected_low: float | None
    expected_high: float | None
    """`expected_log_loss`, `expected_low`, `expected_high`: geometric mean over the hold-outs, and
    a range that is to hold the log loss of the candidates in eight of ten cases, see
    `xtalshift.uncertainty.expected_error.expect_loss`; None with one hold-out."""
    constant: float
    """Geometric mean of the log loss of the shares of the classes."""
    coverage: float | None
    """Mean coverage of the 90 % sets on the hold-outs, each calibrated on the others."""
    proxies: tuple[ClassProxy, ...]

    @property
    def useful(self) -> bool:
        """Whether the probabilities are better than the shares of the classes."""
        return self.expected_log_loss < self.constant


@dataclass(frozen=True, kw_only=True)
class Answer(Situation):
    """What to believe about the candidates, and what to do."""

    verdict: Verdict
    """``trust``: use values and intervals. ``ranking``: use the order. ``measure``: measure some
    candidates first. ``no``: do not use the predictions."""
    expected_mae: float
    expected_low: float
    expected_high: float
    """`expected_mae`, `expected_low`, `expected_high`: the mean absolute error to expect for the
    candidates, and a range that is to hold it in eight of ten cases."""
    coverage: float | None
    """Mean coverage of 90 % intervals on the proxies, each calibrated on the others."""
    proxies: tuple[ProxyResult, ...]
    measured_ratio: float | None
    """What measuring as many materials left of the error on the proxies."""
    crystals: tuple[CandidateCrystal, ...] = ()
    """Candidates to draw, at both ends of the order; none if the table has no structures."""
