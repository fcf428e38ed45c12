"""Judge candidates: which method to take, what error to expect, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.benchmark.answer import Answer, ProxyResult
from xtalshift.benchmark.verdict import decide, grounds_of
from xtalshift.data import Dataset, clean_table
from xtalshift.data.materials import Materials, as_materials
from xtalshift.errors import ConfigError, DataError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.blocks import Blocks, with_structures
from xtalshift.jobs.imitate import (
    CANDIDATES,
    MOST_CANDIDATES,
    Forecast,
    Imitation,
    imitate,
    to_measure,
)
from xtalshift.jobs.judge_settings import JudgeConfig
from xtalshift.methods import MethodSettings
from xtalshift.metrics.ranking import spearman
from xtalshift.model import FittedClassifier, FittedModel, Predictions, fit
from xtalshift.model.intervals import MIN_CALIBRATION, Scored, join_scores, predictive, score_rows
from xtalshift.parallel import Executor, make_executor
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.splits.audit.shift_measures import sample, two_sample
from xtalshift.uncertainty.conformal import Calibration
from xtalshift.uncertainty.expected_error import Expected, Hold, ProxyError, expect_error
from xtalshift.uncertainty.settings import LEVEL, IntervalConfig
from xtalshift.words import name_crystal, plural

FloatArray = NDArray[np.float64]
M = TypeVar("M", FittedModel, FittedClassifier)

ADDED = ("measured", "rank", "measure_rank")
"""Columns that `rank_candidates` adds to those of predictions."""
WIDER = 1.25
"""Intervals are wider by this factor than the proxies need, because candidates are often less like
the table than its proxies; see docs/science/judging.md."""
LEVEL_MARGIN = 1.05
"""Methods within this factor of the smallest error count as level."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """The answer about candidates, the recommended model, and its predictions."""

    answer: Answer
    model: FittedModel
    """Fitted to the whole table; its intervals are those that hold on the proxies."""
    predictions: Predictions
    """One row for each candidate, in order."""
    measured: FloatArray
    """Shape (n,). Values of candidates that are in the table; NaN for the others."""
    imitation: Imitation
    """The forecasts behind the answer."""

    @property
    def frame(self) -> pd.DataFrame:
        """The predictions with what `rank_candidates` adds."""
        return rank_candidates(self.answer, self.predictions.frame, self.measured)


def judge(
    data: Dataset,
    candidates: Dataset | Materials | Sequence[str],
    config: JudgeConfig | None = None,
    *,
    features: Blocks | None = None,
    transform: str = "none",
    settings: MethodSettings | None = None,
    executor: Executor | None = None,
    seed: int = 0,
    folder: Path | None = None,
    progress: Progress = NO_PROGRESS,
) -> Judgement:
    """Say how far predictions of candidates can be believed, and make them.

    Materials of the table that imitate the step to the candidates (proxies) are held out in turn.
    The method with the smallest error there is fitted to the whole table; its intervals, the error
    to expect and the verdict follow from what happened on the proxies.

    Parameters
    ----------
    data : Dataset
        Labelled materials, at least about 40.
    candidates : Dataset, Materials or sequence of str
        Materials without a value; unreadable ones get a reason instead of a prediction.
    config : JudgeConfig, optional
        Methods to compare, and proxies.
    features, transform, settings
        As in `xtalshift.fit`, for all methods.
    executor : Executor, optional
        Runs the fits; by default one process per core. A script needs
        ``if __name__ == "__main__":`` around its work then.
    seed : int
        Seed of all draws.
    folder : Path, optional
        Keeps finished fits, so that the same call continues after an interruption.
    progress : Progress
        Reports the progress.

    Returns
    -------
    Judgement

    Raises
    ------
    DataError
        If there are no targets, or no candidate can be predicted.
    ConfigError
        If the targets are classes.
    SplitError
        If no hold-out of the table imitates the candidates.
    """
    config, settings = config or JudgeConfig(), settings or MethodSettings()
    executor = executor or make_executor()
    settings = settings.model_copy(update={"threads": executor.threads})
    if data.intake is None:
        data = clean_table(data)
    if data.classes is not None:
        raise ConfigError(
            "xs.judge is for numbers; the command `xtalshift run --candidates` judges classes too"
        )
    whole, data = data, data.take(~data.bounded)  # bounds have no error, but train the model
    say_bounds(whole, progress)
    if data.materials.structures is not None:
        features = with_structures(features)
    candidates = as_materials(candidates, data.materials.notation)
    if candidates.extra.shape[1] != data.materials.extra.shape[1]:
        names = ", ".join(data.materials.extra_names) or "no extra columns"
        raise DataError(f"the table has the feature columns {names}; give the candidates the same")
    imitation = imitate(
        data, usable(candidates, data), config, executor,
        featurizer_of=partial(_featurizer, data), features=features, transform=transform,
        settings=settings, seed=seed, folder=folder, progress=progress,
    )  # fmt: skip
    method = imitation.method
    progress.say(f"Fitting {method}, which has the smallest error on the proxies, to all rows")
    model = fit(
        whole,
        method,
        features=features,
        transform=transform,
        settings=settings,
        intervals=IntervalConfig(method="none"),
        seed=seed,
        progress=progress,
    )
    model = calibrate_by_proxies(model, imitation, data)
    predictions = model.predict(candidates)
    answer = answer_of(imitation, data, model, candidates, predictions, config)
    return Judgement(answer, model, predictions, measured_values(data, candidates), imitation)


def say_bounds(data: Dataset, progress: Progress) -> None:
    """Say what becomes of the rows of a table of which only bounds of the target are known."""
    n = int(data.bounded.sum())
    if n:
        progress.say(
            f"{plural(n, 'row', 'has', 'have')} bounds, and so no error: they train the "
            "recommended method, and are no part of the proxies"
        )


def _featurizer(data: Dataset, blocks: Blocks) -> CompositionFeaturizer:
    notation = data.materials.notation
    return CompositionFeaturizer(blocks, hydrates=notation.hydrates, amounts=notation.amounts)


def usable(candidates: Materials, data: Dataset | None = None) -> Materials:
    """Return the candidates that can be read and have their feature columns.

    Raises
    ------
    DataError
        If there is none, the message names the first reason; or if all are in the table.
    """
    good = (candidates.reasons == "") & np.isfinite(candidates.extra).all(axis=1)
    if not len(candidates):
        raise DataError("there are no candidates")
    if not good.any():
        reason = candidates.reasons[0] or "a feature column is missing or no number"
        raise DataError(
            f"no candidate can be predicted; the first, {candidates.formulas[0]!r}: {reason}"
        )
    found = candidates.take(good)
    if data is not None and np.isin(found.keys, data.materials.keys).all():
        raise DataError(
            f"all {len(found):,} candidates are in the table already, with their values; give "
            "materials without a value"
        )
    return found


def calibrate_by_proxies(model: M, imitation: Imitation, data: Dataset) -> M:
    """Return a model with the intervals, or probabilities and sets, that hold on the proxies."""
    if isinstance(model, FittedClassifier):
        from xtalshift.jobs.judge_classes import calibration_of_classes

        return replace(model, calibration=calibration_of_classes(model, imitation, data))
    return replace(model, calibration=_calibration(model, imitation, data, CANDIDATES))


def _calibration(
    model: FittedModel, imitation: Imitation, data: Dataset, target: str
) -> Calibration | None:
    """Return the widened scores of all proxies but the target; None if they are too few."""
    method = imitation.method
    places = [place for place in imitation.rows if place != target]
    counts = [len(imitation.rows[place]) for place in places]
    if sum(counts) < MIN_CALIBRATION:
        return None
    rows = np.concatenate([imitation.rows[place] for place in places])
    parts: list[tuple[NDArray[np.int64], Scored]] = [
        (np.arange(end - count, end), _scored(imitation.forecasts[place, method]))
        for place, end, count in zip(places, np.cumsum(counts), counts, strict=True)
    ]
    found = join_scores(
        parts,
        model.features_of(data.materials.take(rows)),
        model.scale.forward(data.y[rows]),
        origin="proxies",
        families=data.materials.families[rows],
    )
    outside = found.scores > 0  # what lies between two quantiles has a negative score
    return replace(found, scores=np.where(outside, WIDER, 1.0) * found.scores)


def _scored(forecast: Forecast) -> Scored:
    assert forecast.scored is not None, "a forecast of numbers"
    return forecast.scored


def answer_of(
    imitation: Imitation,
    data: Dataset,
    model: FittedModel,
    candidates: Materials,
    predictions: Predictions,
    config: JudgeConfig,
) -> Answer:
    """Return the answer: the error to expect, the verdict, and what to measure.

    Parameters
    ----------
    imitation : Imitation
        The proxies.
    data : Dataset
        The table.
    model : FittedModel
        The recommended method, fitted to it and calibrated by the proxies.
    candidates : Materials
        All candidates.
    predictions : Predictions
        Those of the model.
    config : JudgeConfig
        Settings.
    """
    expected = expected_error(imitation)
    proxies = tuple(_proxy_result(imitation, data, model, place) for place in imitation.rows)
    grounds = grounds_of(proxies, expected.mae)

    good = predictions.reason == ""

    def spread(X: FloatArray) -> FloatArray | None:
        return score_rows(model.regressor, X).spread

    return Answer(
        **situation_of(imitation, data, model, candidates, good, spread, config),
        verdict=decide(grounds),
        expected_mae=expected.mae,
        expected_low=expected.low,
        expected_high=expected.high,
        coverage=grounds.coverage if np.isfinite(grounds.coverage) else None,
        proxies=proxies,
        measured_ratio=grounds.measured if np.isfinite(grounds.measured) else None,
    )


def situation_of(
    imitation: Imitation,
    data: Dataset,
    model: FittedModel | FittedClassifier,
    candidates: Materials,
    good: NDArray[np.bool_],
    spread: Callable[[FloatArray], FloatArray | None],
    config: JudgeConfig,
) -> dict[str, Any]:
    """Return the fields of `xtalshift.benchmark.answer.Situation`.

    Parameters
    ----------
    imitation, data, model, candidates, config
        As in `answer_of`.
    good : ndarray of bool, shape (m,)
        Which candidates can be predicted.
    spread : callable
        Returns how uncertain the predictions of rows of features are, or None if all are the same.
    """
    method, errors, encoder = imitation.method, imitation.errors, imitation.encoder
    own = errors[method]
    level = tuple(
        name
        for name, one in errors.items()
        if name != method
        and np.mean([np.log(one[place] / own[place]) for place in own]) < np.log(LEVEL_MARGIN)
    )
    known_rows = np.isin(candidates.keys, data.materials.keys)
    rows = np.flatnonzero(good & ~known_rows)
    known = {frozenset(symbols) for symbols in _systems(data.materials)}
    landscape = imitation.landscape
    step = landscape.step
    chosen = rows[:0]
    if len(rows) and config.n_measure:
        rows = rows[sample(len(rows), MOST_CANDIDATES, seed=0)]
        X = model.features_of(candidates.take(rows))
        count = min(config.n_measure, len(rows))
        chosen = rows[to_measure(spread(X), X, count)]
    enough = min(len(landscape.points), len(landscape.places)) >= 10  # noqa: PLR2004
    return {
        "method": method,
        "level_with": level,
        "n": len(candidates),
        "n_usable": int(good.sum()),
        "known": tuple(candidates.formulas[good & known_rows].tolist()),
        "n_seen": 0 if encoder is None else int(encoder.knows(candidates.groups[good]).sum()),
        "n_seen_rows": 0 if encoder is None else int(encoder.knows(data.groups).sum()),
        "distance_ratio": step.distance_ratio,
        "separability": two_sample(landscape.points, landscape.places, seed=0).auc
        if enough
        else None,
        "new_elements": step.new_elements,
        "n_new": step.n_new,
        "n_new_systems": sum(
            frozenset(symbols) not in known for symbols in _systems(candidates.take(good))
        ),
        "measure": tuple(_names(candidates.take(chosen))),
        "measure_rows": tuple(int(row) for row in chosen),
    }


def expected_error(imitation: Imitation) -> Expected:
    """Return the error to expect for the candidates, from the errors on the proxies."""
    holds, proxies = place_holds(imitation), []
    for place, rows in imitation.rows.items():
        prediction = imitation.forecasts[place, imitation.method].prediction
        mae = imitation.errors[imitation.method][place]
        deviation = float(np.abs(prediction - imitation.y[rows]).std())
        proxies.append(ProxyError(mae, deviation / mae, holds[place]))
    return expect_error(proxies, holds[CANDIDATES])


def place_holds(imitation: Imitation) -> dict[str, Hold]:
    """Return what is known without targets about each proxy, and the candidates."""
    middle = float(np.median(imitation.y))
    return {place: _hold(imitation, place, middle) for place in [*imitation.rows, CANDIDATES]}


def _hold(imitation: Imitation, place: str, middle: float) -> Hold:
    """Return what is known without targets about the predictions of some materials."""
    found = imitation.forecasts[place, imitation.method]
    together = np.stack([imitation.forecasts[place, name].prediction for name in imitation.methods])
    return Hold(
        disagreement=float(together.std(axis=0).mean()) if len(together) > 1 else np.nan,
        level=float(np.abs(found.prediction - middle).mean()),
        n=len(found.prediction),
    )


def _proxy_result(
    imitation: Imitation, data: Dataset, model: FittedModel, place: str
) -> ProxyResult:
    proxy = next(one for one in imitation.proxies if one.name == place)
    found, y = imitation.forecasts[place, imitation.method], data.y[imitation.rows[place]]
    coverage = covered = None
    calibration = _calibration(model, imitation, data, place)
    by_prediction, by_target = _fifths(found.prediction), _fifths(y)
    if calibration is not None:
        low, high = predictive(_scored(found), calibration, model.scale).interval(LEVEL)
        held = (low <= y) & (y <= high)
        coverage, covered = float(held.mean()), _both(held[rows].mean() for rows in by_prediction)
    varies = np.ptp(y) > 0 and np.ptp(found.prediction) > 0
    measured = imitation.measured.get(place)
    return ProxyResult(
        name=place,
        reason=proxy.reason,
        n=len(y),
        distance_ratio=proxy.distance_ratio,
        mae=imitation.errors[imitation.method][place],
        mae_dummy=float(np.abs(found.constant - y).mean()),
        mae_own_median=float(np.abs(np.median(y) - y).mean()),
        spearman=spearman(y, found.prediction) if varies else None,
        coverage=coverage,
        found=_both(
            np.isin(rows, right).mean()
            for rows, right in zip(by_prediction, by_target, strict=True)
        ),
        covered=covered,
        n_measured=measured.n if measured else 0,
        mae_before=measured.before if measured else None,
        mae_after=measured.after if measured else None,
        methods={name: one[place] for name, one in imitation.errors.items()},
    )


def _fifths(values: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of the lowest and of the highest fifth of values, at least one each."""
    order, n = np.argsort(values, kind="stable"), max(1, round(len(values) / 5))
    return order[:n], order[-n:]


def _both(shares: Iterable[np.floating[Any]]) -> tuple[float, float]:
    low, high = map(float, shares)
    return low, high


def _names(materials: Materials) -> list[str]:
    """Return the formulas, with the ids of crystals: polymorphs have one formula."""
    formulas = [str(name) for name in materials.formulas]
    if materials.structures is None:
        return formulas
    return list(map(name_crystal, formulas, materials.ids.tolist()))


def measured_values(data: Dataset, candidates: Materials) -> FloatArray:
    """Return the mean value of each candidate that is in the table, shape (n,); NaN for others."""
    means = pd.Series(data.y).groupby(data.materials.keys).mean()
    return np.asarray(means.reindex(candidates.keys), dtype=np.float64)


def _systems(materials: Materials) -> list[tuple[int, ...]]:
    """Return the atomic numbers of each material."""
    compositions = materials.compositions
    return [
        tuple(part.tolist())
        for part in np.split(compositions.z, np.cumsum(compositions.sizes)[:-1])
    ]


def rank_candidates(answer: Answer, frame: pd.DataFrame, measured: FloatArray) -> pd.DataFrame:
    """Return a table of candidates with three columns, missing where they do not apply.

    ``measured`` is the value of a candidate that is in the table, see `measured_values`. ``rank``
    orders the candidates by it, or else by the prediction; 1 is the largest. ``measure_rank``
    orders those to measure first.
    """
    good = (frame["status"] == "ok").to_numpy()
    value = frame["prediction"].where(np.isnan(measured), measured).where(good)
    rank = value.rank(ascending=False, method="first")
    places = np.full(len(frame), np.nan)
    places[list(answer.measure_rows)] = np.arange(1, len(answer.measure_rows) + 1)
    measure = pd.Series(places, index=frame.index)
    return frame.assign(
        measured=measured, rank=rank.astype("Int64"), measure_rank=measure.astype("Int64")
    )
