"""Suggest which candidates of a table to measure next, with goals for several targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.acquisition.hypervolume_improvement import (
    choose_batch,
    draw_values,
    expected_improvement,
)
from xtalshift.chem.writing import readable_key
from xtalshift.data import RawTable, iter_raw, read_raw
from xtalshift.data.formula_texts import refuse_other_folder
from xtalshift.data.materials import Materials
from xtalshift.domain.applicability import SAME
from xtalshift.errors import ConfigError, DataError, NotConformalizedError
from xtalshift.metrics.pareto import (
    Front,
    Goal,
    reference_point,
    refuse_class_goals,
    upward,
)
from xtalshift.model.negative_values import warn_of_negative
from xtalshift.model.several import FittedModels, SeveralPredictions, suffixed
from xtalshift.model.several_tables import SeveralPredictor
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.uncertainty.conformal import ONE_SIGMA
from xtalshift.words import plural

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

CHUNK_ROWS = 20_000
KEPT = 1000
"""Candidates that a batch is chosen from: those with the largest expected improvement alone."""
SAMPLES = 128
"""Samples of the values of each candidate."""
_UNUSED = ("n_clipped", "n_imputed", "unseen_elements", "nearest_distance")
ADDED = ("rank", "score", "utility")


@dataclass(frozen=True)
class SeveralRequest:
    """What to suggest."""

    n: int
    """Number of candidates."""
    goals: tuple[Goal, ...]
    """Which values of each target are good."""
    reference: tuple[float, ...] | None = None
    """The value of each target that counts that a material must reach for it to count at all; by
    default a tenth of the range below the front of the known materials."""
    in_domain_only: bool = False
    """Whether to leave out candidates outside the domain of the model of any goal."""
    seed: int = 0
    """Draws the samples."""


@dataclass(frozen=True)
class SeveralSuggestions:
    """Chosen rows, and what they are to improve."""

    frame: pd.DataFrame
    """Rank, input columns, predictions, ``score`` and ``utility``, in the order of choice."""
    reference: dict[str, float]
    """The reference point, in the units of the targets."""
    known: int
    """Number of known materials with all goals."""
    front: pd.DataFrame
    """The known materials that none beats: formula and the values of the goals."""


def suggest_several(
    models: FittedModels | SeveralPredictor,
    candidates: Path | str | pd.DataFrame | Sequence[str],
    request: SeveralRequest,
    *,
    measured: Sequence[Path] = (),
    progress: Progress = NO_PROGRESS,
) -> SeveralSuggestions:
    """Choose the candidates of which most improvement is expected over all known materials.

    The improvement is that of the hypervolume, see
    `xtalshift.acquisition.hypervolume_improvement`. Unreadable rows, repeated materials, and those
    whose goals are all known are left out. A file is read once, piece by piece; the 1,000
    candidates with the largest expected improvement are kept, and all reduced formulas so far.

    Parameters
    ----------
    models : FittedModels or SeveralPredictor
        Models of at least two targets.
    candidates : Path, str, pandas.DataFrame or sequence of str
        A file, a table, or formulas.
    request : SeveralRequest
        What to suggest.
    measured : sequence of Path
        Files of measured materials with columns of the targets.
    progress : Progress
        Receives what was left out.

    Raises
    ------
    NotConformalizedError
        If a model has no intervals.
    ConfigError
        If there are more than three goals, or nothing is known to improve on.
    DataError
        If a column is missing, or nothing is left to choose from.
    """
    predictor = models if isinstance(models, SeveralPredictor) else SeveralPredictor.of(models)
    if isinstance(candidates, Path | str):
        predictor = predictor.for_file(Path(candidates))
    names = _goals_of(predictor.models, request)
    known = _known(predictor, measured, names, progress)
    values = upward(known[list(names)].to_numpy(dtype=np.float64), _only(request.goals))
    reference = _reference(values, request, names)
    front = Front(values, reference)
    pool = _Pool(predictor, request, names, front, frozenset(known["key"]))
    source, tables = _pieces(candidates, predictor)
    with progress.task("candidates", None) as task:
        for raw in tables:
            pool.add(raw, source)
            task.advance(len(raw))
    frame, samples, predictions = pool.close(source, progress)
    batch = choose_batch(front, samples, predictions, request.n)
    chosen = frame.iloc[batch.rows].reset_index(drop=True)
    dropped = [
        column
        for name in predictor.models.targets
        for unused in _UNUSED
        if (column := suffixed(unused, name)) in chosen.columns
    ]
    chosen = chosen.drop(columns=[*dropped, "status", "reason"])
    chosen = chosen.assign(score=batch.score, utility=batch.utility)
    chosen.insert(0, "rank", np.arange(1, len(chosen) + 1))
    for name in names:
        if not predictor.models.numbers[name].may_be_negative:
            for text in warn_of_negative(chosen[suffixed("prediction", name)], name):
                progress.say(text)
    if len(chosen) < request.n:
        progress.say(f"{len(chosen):,} instead of {request.n:,} are suggested: there are no more")
    signs = upward(np.ones(len(names)), _only(request.goals))
    best = front.rows
    on_front = known[[any((row == one).all() for one in best) for row in values]]
    return SeveralSuggestions(
        chosen,
        dict(zip(names, (signs * reference).tolist(), strict=True)),
        len(known),
        on_front.drop(columns="key").reset_index(drop=True),
    )


def _goals_of(models: FittedModels, request: SeveralRequest) -> tuple[str, ...]:
    """Return the targets that count; all must be numbers with intervals."""
    refuse_class_goals(request.goals, models.targets, tuple(models.numbers))
    names = tuple(
        name for name, goal in zip(models.targets, request.goals, strict=True) if goal != "-"
    )
    for name in names:
        if models[name].calibration is None:
            raise NotConformalizedError(
                f"the model of {name!r} has no intervals, which say what improvement to expect; "
                "train it again (not with --intervals none)"
            )
    if request.reference is not None and len(request.reference) != len(names):
        raise ConfigError(
            f"--reference has {len(request.reference)} values for {len(names)} goals: "
            f"{', '.join(names)}"
        )
    return names


def _only(goals: Sequence[Goal]) -> tuple[Goal, ...]:
    return tuple(goal for goal in goals if goal != "-")


def _known(
    predictor: SeveralPredictor,
    measured: Sequence[Path],
    names: tuple[str, ...],
    progress: Progress,
) -> pd.DataFrame:
    """Return the materials of which all goals are known: key, formula and values."""
    columns: dict[str, dict[str, float]] = {name: {} for name in names}
    for name in names:
        domain = predictor.models[name].domain
        if domain is not None:
            for formula, value in zip(
                domain.formulas_.tolist(), domain.targets_.tolist(), strict=True
            ):
                columns[name].setdefault(readable_key(formula), value)
    for path in measured:
        own = predictor.one.for_other(path)
        raw = read_raw(path, own.reading)
        materials = own.read(raw, str(path))
        refuse_other_folder(materials, path, own.reading)
        keys = _keys(materials)
        for name in names:
            if name not in raw.frame.columns:
                continue
            for key, value in zip(keys, raw.numbers(name)[0].tolist(), strict=True):
                if key and np.isfinite(value):
                    columns[name][key] = value
        progress.say(f"{path}: {plural(len(keys), 'row')} of measured materials")
    first, *others = columns.values()
    both = [key for key in first if all(key in other for other in others)]
    frame = pd.DataFrame({"key": both, "formula": both})
    for name in names:
        frame[name] = [columns[name][key] for key in both]
    return frame


def _keys(materials: Materials) -> list[str]:
    """Return a readable reduced formula for each row, empty for bad ones."""
    return [readable_key(key) if key else "" for key in materials.groups.tolist()]


def _reference(values: FloatArray, request: SeveralRequest, names: tuple[str, ...]) -> FloatArray:
    if request.reference is not None:
        return upward(np.array(request.reference), _only(request.goals))
    if not len(values):
        raise ConfigError(
            f"no known material has {' and '.join(names)}: give --measured FILE, or name the "
            "least values that count (--reference)"
        )
    return reference_point(values)


def _pieces(
    candidates: Path | str | pd.DataFrame | Sequence[str], predictor: SeveralPredictor
) -> tuple[str, Iterable[RawTable]]:
    if isinstance(candidates, pd.DataFrame):
        return "the table", [RawTable(candidates.reset_index(drop=True))]
    if not isinstance(candidates, Path | str):
        return "the list", [RawTable(pd.DataFrame({"formula": list(candidates)}))]
    return str(candidates), iter_raw(Path(candidates), CHUNK_ROWS, predictor.reading)


class _Pool:
    """Takes candidates piece by piece, and keeps those of which most improvement is expected."""

    def __init__(
        self,
        predictor: SeveralPredictor,
        request: SeveralRequest,
        names: tuple[str, ...],
        front: Front,
        known: frozenset[str],
    ) -> None:
        self._predictor = predictor
        self._request = request
        self._names = names
        self._front = front
        self._known = known
        self._seen: set[str] = set()
        self._left_out: Counter[str] = Counter()
        self._rows = self._found = self._piece = 0
        self._frames: list[pd.DataFrame] = []
        self._samples: list[FloatArray] = []
        self._predictions: list[FloatArray] = []
        self._worth: list[FloatArray] = []

    def add(self, raw: RawTable, source: str) -> None:
        """Predict the new materials of a piece and keep the best."""
        for name in ADDED:
            if name in raw.frame.columns:
                raise DataError(f"{source} already has a column {name!r}; rename it")
        materials = self._predictor.read(raw, source)
        keys = materials.keys
        new = np.ones(len(keys), dtype=np.bool_)
        for row, key in enumerate(keys.tolist()):
            if key:
                new[row] = key not in self._seen
                self._seen.add(key)
        self._rows += len(raw)
        self._left_out["repeated"] += int(np.sum(~new))
        materials = materials.take(new)
        frame, found = self._predictor.predict_table(raw.take(new), source, materials)
        rows = np.flatnonzero(self._fits(frame, found, materials))
        self._found += len(rows)
        self._piece += 1
        if not rows.size:
            return
        distributions = []
        for name in self._names:
            own = found[name].distribution
            assert own is not None
            distributions.append(own.take(rows))
        goals = _only(self._request.goals)
        samples = draw_values(distributions, goals, SAMPLES, self._request.seed + self._piece)
        centers = np.column_stack([found[name].prediction[rows] for name in self._names])
        self._frames.append(frame.iloc[rows])
        self._samples.append(samples)
        self._predictions.append(upward(centers, goals))
        self._worth.append(expected_improvement(self._front, samples))
        self._shrink()

    def _fits(self, frame: pd.DataFrame, found: SeveralPredictions, materials: Materials) -> Mask:
        fits = np.ones(len(frame), dtype=np.bool_)

        def leave_out(why: str, wrong: Mask) -> None:
            self._left_out[why] += int(np.sum(fits & wrong))
            fits[wrong] = False

        leave_out("unreadable", (frame["status"] != "ok").to_numpy())
        keys = np.array(_keys(materials), dtype=object)
        models = self._predictor.models
        trained = np.ones(len(frame), dtype=np.bool_)
        for name in self._names:
            part = found[name]
            if models[name].domain is None:
                trained[:] = False
            near = part.nearest_distance < SAME
            trained &= near & (part.nearest_formula == keys)
        if not models.first.card.feature_cols:  # under other conditions it is another measurement
            trained |= np.array([key in self._known for key in keys], dtype=np.bool_)
        leave_out("with all goals known", trained)
        if self._request.in_domain_only:
            for name in self._names:
                leave_out("outside the domain", ~found[name].in_domain)
        for name in self._names:
            own = found[name].distribution
            if own is None:
                leave_out("without a finite interval", np.ones(len(frame), dtype=np.bool_))
            else:
                bounded = np.isfinite(own.interval(ONE_SIGMA)).all(axis=0)
                leave_out("without a finite interval", np.asarray(~bounded))
        return fits

    def _shrink(self) -> None:
        if sum(map(len, self._worth)) <= KEPT:
            return
        frame, samples, predictions, worth = self._joined()
        best = np.sort(np.argsort(-worth, kind="stable")[:KEPT])
        self._frames = [frame.iloc[best]]
        self._samples = [samples[:, best]]
        self._predictions, self._worth = [predictions[best]], [worth[best]]

    def _joined(self) -> tuple[pd.DataFrame, FloatArray, FloatArray, FloatArray]:
        return (
            pd.concat(self._frames),
            np.concatenate(self._samples, axis=1),
            np.concatenate(self._predictions),
            np.concatenate(self._worth),
        )

    def close(self, source: str, progress: Progress) -> tuple[pd.DataFrame, FloatArray, FloatArray]:
        """Return the candidates, samples and predictions, and say what was left out."""
        parts = [f"{count:,} {why}" for why, count in self._left_out.items() if count]
        text = f"{plural(self._rows, 'row')}: " + "".join(f"{part}, " for part in parts)
        text += plural(self._found, "candidate")
        if not self._found:
            raise DataError(f"{source} has no candidate to choose from. {text}")
        progress.say(text)
        if self._found > KEPT:
            progress.say(f"The batch is chosen from the {KEPT:,} of the largest improvement alone")
        frame, samples, predictions, _ = self._joined()
        return frame, samples, predictions
