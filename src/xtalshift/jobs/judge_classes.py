"""Judge candidates of a table of classes: what probabilities are worth, and what to measure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xtalshift.benchmark.answer import ClassAnswer, ClassProxy
from xtalshift.data import Dataset
from xtalshift.data.materials import Materials
from xtalshift.jobs.imitate import Imitation
from xtalshift.jobs.judge import situation_of
from xtalshift.jobs.judge_settings import JudgeConfig
from xtalshift.metrics.classification import log_loss
from xtalshift.model import ClassPredictions, FittedClassifier
from xtalshift.model.intervals import MIN_CALIBRATION
from xtalshift.uncertainty.class_calibration import ClassCalibration
from xtalshift.uncertainty.expected_error import expect_loss
from xtalshift.uncertainty.prediction_sets import SetCalibration
from xtalshift.uncertainty.settings import LEVEL

FloatArray = NDArray[np.float64]


def calibration_of_classes(
    model: FittedClassifier, imitation: Imitation, data: Dataset
) -> ClassCalibration | None:
    """Return the calibration by all proxies; None if they have too few rows."""
    rows = np.concatenate(list(imitation.rows.values()))
    if len(rows) < MIN_CALIBRATION:
        return None
    raw = [imitation.forecasts[place, imitation.method].prediction for place in imitation.rows]
    return ClassCalibration.of(
        np.concatenate(raw),
        data.y[rows].astype(np.int64),
        origin="proxies",
        X=model.features_of(data.materials.take(rows)),
        groups=data.groups[rows],
    )


def class_answer_of(
    imitation: Imitation,
    data: Dataset,
    model: FittedClassifier,
    candidates: Materials,
    predictions: ClassPredictions,
    config: JudgeConfig,
) -> ClassAnswer:
    """Return the answer: the log loss to expect, what the sets held, and what to measure.

    Arguments as in `xtalshift.jobs.judge.answer_of`. Uncertain are candidates whose probabilities
    have a large entropy.
    """

    def entropy(X: FloatArray) -> FloatArray:
        p = model.predict_features(X)
        return np.asarray(-(p * np.log(np.maximum(p, np.finfo(np.float64).tiny))).sum(axis=1))

    told = imitation.told(imitation.method)
    proxies = tuple(_proxy(imitation, place, told[place]) for place in imitation.rows)
    expected = expect_loss([one.log_loss for one in proxies])
    covered = [one.coverage for one in proxies if one.coverage is not None]
    good = predictions.reason == ""
    return ClassAnswer(
        **situation_of(imitation, data, model, candidates, good, entropy, config),
        expected_log_loss=expected.log_loss,
        expected_low=expected.low,
        expected_high=expected.high,
        constant=_geometric(np.array([one.log_loss_dummy for one in proxies])),
        coverage=float(np.mean(covered)) if covered else None,
        proxies=proxies,
    )


def _geometric(values: FloatArray) -> float:
    return float(np.exp(np.log(np.maximum(values, np.finfo(np.float64).tiny)).mean()))


def _proxy(imitation: Imitation, place: str, told: FloatArray) -> ClassProxy:
    """Return what happened on one proxy."""
    proxy = next(one for one in imitation.proxies if one.name == place)
    found = imitation.forecasts[place, imitation.method]
    y = imitation.y[imitation.rows[place]].astype(np.int64)
    coverage = size = None
    others = [name for name in imitation.rows if name != place]
    if sum(len(imitation.rows[name]) for name in others) >= MIN_CALIBRATION:
        known = np.concatenate([imitation.y[imitation.rows[name]] for name in others])
        raw = [imitation.forecasts[name, imitation.method].prediction for name in others]
        sets = SetCalibration.of(np.concatenate(raw), known.astype(np.int64)).sets(
            found.prediction, LEVEL
        )
        coverage = float(sets[np.arange(len(y)), y].mean())
        size = float(sets.sum(axis=1).mean())
    return ClassProxy(
        name=place,
        reason=proxy.reason,
        n=len(y),
        distance_ratio=proxy.distance_ratio,
        log_loss=imitation.errors[imitation.method][place],
        log_loss_dummy=log_loss(y, np.tile(found.constant, (len(y), 1))),
        accuracy=float(np.mean(np.argmax(told, axis=1) == y)),
        coverage=coverage,
        set_size=size,
        methods={name: one[place] for name, one in imitation.errors.items()},
    )


def add_measured(
    answer: ClassAnswer, frame: pd.DataFrame, data: Dataset, keys: NDArray[np.object_]
) -> pd.DataFrame:
    """Return a table of candidates with two columns, missing where they do not apply.

    ``measured`` is the class of a candidate that is in the table, ``measure_rank`` orders those to
    measure first.
    """
    known = dict(zip(data.materials.keys.tolist(), data.labels.tolist(), strict=True))
    places = np.full(len(frame), np.nan)
    places[list(answer.measure_rows)] = np.arange(1, len(answer.measure_rows) + 1)
    measure = pd.Series(places, index=frame.index).astype("Int64")
    measured = [known.get(key, "") for key in keys.tolist()]
    return frame.assign(measured=measured, measure_rank=measure)
