"""A table of candidates, read piece by piece; those that can be measured are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.acquisition.acquisition_rules import (
    RULES,
    Aim,
    Candidates,
    score_candidates,
    shortfall,
)
from xtalshift.chem.writing import readable_key
from xtalshift.data import RawTable, read_raw
from xtalshift.data.files import first_reason
from xtalshift.data.formula_texts import refuse_other_folder
from xtalshift.data.number_texts import NumberStyle
from xtalshift.data.numbers import parse_numbers
from xtalshift.data.ranges import in_range
from xtalshift.domain.applicability import SAME
from xtalshift.errors import ConfigError, DataError, UsageError
from xtalshift.model import FittedClassifier, FittedModel
from xtalshift.model.table_predictor import TablePredictor
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.registry import near_miss
from xtalshift.seeding import as_generator
from xtalshift.uncertainty.conformal import ONE_SIGMA
from xtalshift.uncertainty.predictive import PredictiveDistribution
from xtalshift.words import plural

FloatArray = NDArray[np.float64]
Points = NDArray[np.float32]
Mask = NDArray[np.bool_]

MOST = 200_000
"""Largest number of candidates to choose from: 116 MB of points (145 features), 1 GB in all."""

ADDED = ("rank", "score", "utility")


@dataclass(frozen=True)
class Request:
    """What to suggest."""

    n: int
    """Number of candidates."""
    rule: str = "uncertainty"
    """A name in `xtalshift.acquisition.acquisition_rules.RULES`."""
    aim: Aim = field(default_factory=Aim)
    """Which values are good; a missing `best` is taken from the training and measured values."""
    cost_col: str | None = None
    """Column with the cost of each measurement, above 0, in any unit."""
    budget: float | None = None
    """Largest total cost."""
    diversity: float | None = None
    """As in `xtalshift.acquisition.batch_selection.select_batch`; by default that of the rule."""
    in_domain_only: bool = False
    """Whether to leave out candidates outside the domain of the model."""
    seed: int = 0
    """Seed of rules that draw at random."""

    def __post_init__(self) -> None:
        RULES[self.rule]  # the error for an unknown name lists all rules
        if self.n < 1:
            raise UsageError(f"n = {self.n}: expected at least 1 candidate")
        if self.budget is not None and self.cost_col is None:
            raise ConfigError(
                f"budget = {self.budget:g} needs a column with the cost of each candidate"
            )
        if self.budget is not None and not 0 < self.budget < np.inf:
            raise UsageError(f"budget = {self.budget:g}: expected a finite total cost above 0")
        if self.diversity is not None and not 0 <= self.diversity < np.inf:
            raise UsageError(f"diversity = {self.diversity:g}: expected a number of at least 0")

    @property
    def needs_distribution(self) -> bool:
        """Whether the rule needs predictive distributions."""
        return "distribution" in RULES[self.rule].needs


class Measured(NamedTuple):
    """Materials that need no measurement."""

    keys: frozenset[str] = frozenset()
    """One key per material and conditions."""
    points: Points | None = None
    """Shape (m, d). Their standardised features."""
    targets: FloatArray = np.empty(0)
    """Shape (k,). Their known values, in the unit of the model."""


def read_measured(
    predictor: TablePredictor, paths: Sequence[Path], progress: Progress = NO_PROGRESS
) -> Measured:
    """Return the materials of files of measurements.

    Parameters
    ----------
    predictor : TablePredictor
        The model; its target column is read if a file has it, in the unit of the model.
    paths : sequence of Path
        Files with a column of formulas, and the feature columns of the model.
    progress : Progress
        Receives what was found.

    Raises
    ------
    DataError
        If a file cannot be read, a column is missing, or no formula is readable.
    """
    model, keys, points, values = predictor.model, set[str](), [], []
    for path in paths:
        own = predictor.for_other(path)
        raw = read_raw(path, own.reading)
        materials = own.read(raw, str(path))
        refuse_other_folder(materials, path, own.reading)
        features = model.featurize(materials)
        reasons, good = features.reasons, features.reasons == ""
        if not good.any():
            raise DataError(f"{path} has no readable material; {first_reason(reasons)}")
        keys.update(materials.take(good).keys)
        if model.domain is not None:
            points.append(_points(model, features.values[good]))
        text = f"{path}: {int(good.sum()):,} of {len(good):,} rows are measured materials"
        name = model.card.target_name
        if isinstance(model, FittedClassifier):  # no rule for classes asks for their values
            progress.say(text)
        elif name in raw.frame.columns:
            found = raw.numbers(name)[0][good]
            values.append(found[in_range(found)])
            progress.say(f"{text}, {len(values[-1]):,} with a value ({name})")
        else:
            progress.say(f"{text}; no column {name!r}, so their values are not known")
    return Measured(
        frozenset(keys),
        np.concatenate(points) if points else None,
        np.concatenate([*values, np.empty(0)]),
    )


@dataclass(eq=False)
class Kept:
    """Candidates that are kept."""

    frame: pd.DataFrame
    """N rows. Input columns and predictions."""
    worth: FloatArray
    """Shape (n,). Decides which candidates are kept if there are too many."""
    costs: FloatArray | None
    """Shape (n,). Costs of their measurements."""
    points: Points | None
    """Shape (n, d). Standardised features."""
    distribution: PredictiveDistribution | None
    """Their n predictive distributions; None for a model without calibration, and of classes."""
    probabilities: FloatArray | None = None
    """Shape (n, k). Their probabilities of k classes; None for numbers."""

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return the given rows, in that order."""
        return type(self)(
            self.frame.iloc[rows],
            self.worth[rows],
            None if self.costs is None else self.costs[rows],
            None if self.points is None else self.points[rows],
            None if self.distribution is None else self.distribution.take(rows),
            None if self.probabilities is None else self.probabilities[rows],
        )

    @classmethod
    def join(cls, parts: list[Self]) -> Self:
        """Return several parts as one."""

        def stack(arrays: list[Any]) -> Any:
            return None if arrays[0] is None else np.concatenate(arrays)

        given = [part.distribution for part in parts if part.distribution is not None]
        return cls(
            pd.concat([part.frame for part in parts]),
            stack([part.worth for part in parts]),
            stack([part.costs for part in parts]),
            stack([part.points for part in parts]),
            PredictiveDistribution.join(given) if given else None,
            stack([part.probabilities for part in parts]),
        )

    def described(self, known: Points | None = None) -> Candidates:
        """Return the candidates in the form that rules take."""
        n, mean = len(self.frame), None
        if self.probabilities is None:
            mean = self.frame["prediction"].to_numpy(dtype=np.float64)
        return Candidates(n, mean, self.distribution, self.points, known, self.probabilities)


class Pool:
    """Takes the candidates of a table piece by piece and keeps the best 200,000.

    Parameters
    ----------
    predictor : TablePredictor
        The model.
    source : str
        Name of the table in messages.
    request : Request
        What to suggest; its `aim` is complete.
    measured : Measured
        Materials to leave out.
    """

    def __init__(
        self, predictor: TablePredictor, source: str, request: Request, measured: Measured
    ) -> None:
        self._predictor = predictor
        self._source = source
        self._request = request
        self._measured = measured
        self._rule = RULES[request.rule]
        self._rng = as_generator(request.seed)
        self._seen: set[str] = set()
        self._pieces: list[Kept] = []
        self._rows = self._found = self._kept = 0
        self._left_out: Counter[str] = Counter()
        self._first_bad = ""
        diversity = self._rule.diversity if request.diversity is None else request.diversity
        wanted = diversity > 0 or "points" in self._rule.needs
        self._with_points = wanted and predictor.model.domain is not None

    def add(self, raw: RawTable) -> None:
        """Predict the new materials of a piece and keep those that can be measured."""
        model = self._predictor.model
        for name in ADDED:
            if name in raw.frame.columns:
                raise DataError(f"{self._source} already has a column {name!r}; rename it")
        materials = self._predictor.read(raw, self._source)
        keys = materials.keys
        new = self._is_new(keys)
        self._rows += len(raw)
        self._left_out["repeated"] += int(np.sum(~new))
        frame, predicted = self._predictor.predict_table(raw.take(new), self._source)
        materials, keys = materials.take(new), keys[new]
        of_classes = isinstance(model, FittedClassifier)
        distribution = None if of_classes else predicted.distribution
        fits, costs = self._judge(frame, distribution, keys, raw.style)
        rows = np.flatnonzero(fits)
        if not rows.size:
            return
        points = None
        if self._with_points:
            points = _points(model, model.features_of(materials.take(rows)))
        piece = Kept(
            frame.iloc[rows],
            np.empty(0),
            None if costs is None else costs[rows],
            points,
            None if distribution is None else distribution.take(rows),
            predicted.probabilities[rows] if of_classes else None,
        )
        piece.worth = self._worth(piece)
        self._pieces.append(piece)
        self._found += len(rows)
        self._kept += len(rows)
        if self._kept > MOST + MOST // 4:  # not every time, because it copies everything
            self._shrink()

    def close(self, progress: Progress) -> Kept:
        """Return the candidates, and say what was left out."""
        parts = [f"{count:,} {why}" for why, count in self._left_out.items() if count]
        text = f"{plural(self._rows, 'row')}: " + "".join(f"{part}, " for part in parts)
        text += plural(self._found, "candidate")
        if self._first_bad:
            text += f" (unreadable: {self._first_bad})"
        if not self._found:
            raise DataError(f"{self._source} has no candidate to choose from. {text}")
        progress.say(text)
        self._shrink()
        (piece,) = self._pieces
        if self._found > MOST:
            size = (
                ""
                if piece.points is None
                else f" (their points take {piece.points.nbytes / 1e6:.0f} MB)"
            )
            by = "distance" if "points" in self._rule.needs else "score"
            progress.say(f"Suggestions are chosen from the best {MOST:,} of them by {by}{size}")
        return piece

    def _is_new(self, keys: NDArray[np.object_]) -> Mask:
        new = np.ones(len(keys), dtype=bool)
        for row, key in enumerate(keys.tolist()):
            if key:
                new[row] = key not in self._seen
                self._seen.add(key)
        return new

    def _judge(
        self,
        frame: pd.DataFrame,
        distribution: PredictiveDistribution | None,
        keys: NDArray[np.object_],
        style: NumberStyle,
    ) -> tuple[Mask, FloatArray | None]:
        """Return which predicted rows can be chosen, and their costs."""
        fits = np.ones(len(frame), dtype=bool)

        def leave_out(why: str, mask: Any) -> None:
            wrong = np.asarray(mask, dtype=bool)
            self._left_out[why] += int(np.sum(fits & wrong))
            fits[wrong] = False

        bad = (frame["status"] != "ok").to_numpy()
        if bad.any() and not self._first_bad:
            row = int(bad.argmax())
            self._first_bad = f"row {frame.index[row] + 1}: {frame['reason'].iloc[row]}"
        leave_out("unreadable", bad)
        near = frame["nearest_distance"].to_numpy() < SAME
        # under other conditions (a temperature) it is another measurement; formulas are compared as
        # the frame has them: those that differ by rounding only are not `near` by their features
        same = np.array(
            [readable_key(key.partition("|")[0]) for key in keys.tolist()], dtype=object
        )
        leave_out("in the training set", near & (frame["nearest_formula"].to_numpy() == same))
        leave_out("measured", [key in self._measured.keys for key in keys.tolist()])
        if self._request.in_domain_only:
            leave_out("outside the domain", ~frame["in_domain"].to_numpy())
        if self._request.needs_distribution and distribution is not None:
            level = self._request.aim.level if self._request.rule == "ucb" else ONE_SIGMA
            bounded = np.isfinite(distribution.interval(level)).all(axis=0)
            leave_out("without a finite interval", ~bounded)
        if self._request.cost_col is None:
            return fits, None
        costs, problems = self._costs(frame, style)
        leave_out("without a cost", problems == "missing")
        wrong = np.flatnonzero(fits & ~((costs > 0) & (problems == "")))
        if wrong.size:
            row = int(wrong[0])
            cell = frame[self._request.cost_col].iloc[row]
            raise DataError(
                f"{self._source} row {frame.index[row] + 1} ({same[row]}): the cost is "
                f"{str(cell)!r}; expected a number above 0 in column {self._request.cost_col!r}"
            )
        return fits, costs

    def _costs(
        self, frame: pd.DataFrame, style: NumberStyle
    ) -> tuple[FloatArray, NDArray[np.object_]]:
        name = self._request.cost_col
        assert name is not None
        there = [str(column) for column in frame.columns]
        if name not in there:
            raise DataError(
                f"{self._source} has no column of costs {name!r}{near_miss(name, there)}"
            )
        return parse_numbers(frame[name], style)

    def _worth(self, piece: Kept) -> FloatArray:
        """Return the number that decides which candidates are kept."""
        if "points" in self._rule.needs:
            # all scores are 1; the farthest-first choice takes far candidates
            return np.asarray(piece.frame["nearest_distance"], dtype=np.float64)
        rule, aim = self._request.rule, self._request.aim
        given = piece.described()
        scores = score_candidates(rule, given, aim, rng=self._rng)
        missing = shortfall(rule, given, aim, scores)
        return np.where(
            missing > 0, -missing, scores
        )  # candidates with a negligible score come last

    def _shrink(self) -> None:
        piece = Kept.join(self._pieces)
        if len(piece.worth) > MOST:
            worth = piece.worth
            behind = (worth < 0) & (not self._rule.from_lowest)  # those with a negligible score
            relative = behind | self._rule.from_lowest
            merit = np.where(relative, worth - worth.min(), worth)
            merit /= 1.0 if piece.costs is None else piece.costs
            best = np.lexsort((-merit, behind))[:MOST]
            if relative.any() and worth.argmin() not in best:
                best[-1] = worth.argmin()  # a batch counts scores from the lowest one
            piece = piece.take(np.sort(best))
        self._pieces, self._kept = [piece], len(piece.worth)


def _points(model: FittedModel | FittedClassifier, X: FloatArray) -> Points:
    """Return rows of features scaled as the domain of the model measures distances."""
    assert model.domain is not None
    scaler = model.domain.novelty_.reference.scaler
    with np.errstate(over="ignore"):  # overflows are clipped
        return scaler.transform(X).astype(np.float32)
