"""Fit methods to a table without each of its proxies, and predict these and the candidates."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast, get_args
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from xtalshift._version import __version__
from xtalshift.acquisition.batch_selection import select_batch
from xtalshift.data import Dataset
from xtalshift.data.materials import Materials
from xtalshift.errors import TrainingError
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.blocks import Blocks
from xtalshift.featurize.encoder import Encoder
from xtalshift.featurize.pretrained import encoder_of
from xtalshift.files import replace_file
from xtalshift.importance.density_ratio import standardise
from xtalshift.jobs.judge_settings import JudgeConfig
from xtalshift.methods import MethodSettings, build_classifier, build_method, features_of
from xtalshift.metrics.classification import log_losses
from xtalshift.model import FittedClassifier, FittedModel, adapt, draw_rows, fit
from xtalshift.model.fitting import keeps_budget
from xtalshift.model.intervals import Scored, score_rows
from xtalshift.parallel import Executor, Outcome, Policy
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.provenance import hash_text
from xtalshift.seeding import derive_seed
from xtalshift.splits.audit.shift_measures import sample
from xtalshift.splits.proxies import Landscape, Proxy, find_proxies
from xtalshift.uncertainty.conformal import ScoreKind
from xtalshift.uncertainty.probabilities import MIN_ROWS, fit_probabilities
from xtalshift.uncertainty.settings import IntervalConfig

Rows = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Item = TypeVar("Item")
Value = TypeVar("Value")

SPACE: Blocks = "magpie"
"""Features in which distances are measured."""
Task = tuple[str, str]
"""The name of a proxy, or `CANDIDATES`, and a method."""
CANDIDATES = "the candidates"
"""Name of the fits to all rows, which predict the candidates."""
MEASURED = "-measured"
"""Part of the names of files with what measuring brings."""
MOST_CANDIDATES = 5000
"""Candidates that an imitation looks at; of more a random sample."""
TINY = float(np.finfo(np.float64).tiny)
_FEWEST_MEASURED = 5
"""Fewest materials that a simulated measurement adapts to."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a method, fitted without the materials of a proxy, predicts for them."""

    prediction: FloatArray
    """Shape (n,). In the unit of the target; of classes their probabilities, shape (n, k)."""
    scored: Scored | None
    """The same on the scale of the regressor, with what intervals need; None for classes."""
    constant: FloatArray
    """Mean of the training targets, shape (); of classes their shares in training, shape (k,)."""


class Measured(NamedTuple):
    """What measuring some materials of a proxy brings for the others."""

    before: float
    after: float
    """`before`, `after`: mean absolute error, in the unit of the target, for the materials that
    were not chosen for measurement, before and after the adaptation to those that were."""
    n: int
    """How many were chosen."""


@dataclass(frozen=True, eq=False)
class Imitation:
    """The proxies of candidates, and what each method predicted for them."""

    landscape: Landscape
    proxies: tuple[Proxy, ...]
    rows: dict[str, Rows]
    """Rows that judge each proxy, by name: without those that an encoder has seen."""
    forecasts: dict[Task, Forecast]
    """By name of the proxy (or `CANDIDATES`) and method; without those that failed."""
    failures: dict[Task, str]
    y: FloatArray
    """Targets of the table."""
    encoder: Encoder | None = None
    """The pretrained encoder of some features, if there is one."""
    measured: dict[str, Measured] = field(default_factory=dict)
    """What measuring brings with the recommended method, by name of the proxy."""

    @property
    def key(self) -> str:
        """Hash of all forecasts."""
        parts = (
            f"{place} {method} {one.prediction.tobytes().hex()}"
            for (place, method), one in self.forecasts.items()
        )
        return hash_text(parts)

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods that predicted every proxy and the candidates, in the order given."""
        wanted = [*self.rows, CANDIDATES]
        names = dict.fromkeys(method for _, method in self.forecasts)
        return tuple(
            name for name in names if all((place, name) in self.forecasts for place in wanted)
        )

    @cached_property
    def errors(self) -> dict[str, dict[str, float]]:
        """Return the mean absolute error of each method on each proxy, above 0.

        Of classes the log loss of probabilities with the temperature of the other proxies: without
        one the method that is best calibrated by chance would be recommended.
        """
        return {
            method: {
                place: max(float(self.row_errors(place, told[place]).mean()), TINY)
                for place in self.rows
            }
            for method in self.methods
            for told in [self.told(method)]
        }

    def told(self, method: str) -> dict[str, FloatArray]:
        """Return what a method says of each proxy: predictions, or calibrated probabilities.

        Probabilities have the temperature that the other proxies need; those of a single proxy the
        one that each half of its materials gives the other, if it has 20 or more.
        """
        raw = {place: self.forecasts[place, method].prediction for place in self.rows}
        first = next(iter(raw.values()))
        if first.ndim == 1:
            return raw
        p, y = np.concatenate(list(raw.values())), self.y[np.concatenate([*self.rows.values()])]
        sizes = [len(one) for one in raw.values()]
        parts = np.repeat(np.arange(len(sizes)), sizes)
        if len(sizes) == 1:
            parts = np.random.default_rng(0).permutation(len(y)) % 2
        told = np.empty_like(p)
        for part in np.unique(parts):
            own = parts == part
            told[own] = p[own]
            if np.count_nonzero(~own) >= MIN_ROWS:
                told[own] = fit_probabilities(p[~own], y[~own], "temperature").apply(p[own])
        ends = np.cumsum(sizes)[:-1]
        return dict(zip(raw, np.split(told, ends), strict=True))

    def row_errors(self, place: str, told: FloatArray) -> FloatArray:
        """Return the error of each row of a proxy, shape (n,)."""
        y = self.y[self.rows[place]]
        return np.abs(told - y) if told.ndim == 1 else log_losses(y.astype(np.int64), told)

    @property
    def method(self) -> str:
        """The recommended method: that with the smallest geometric mean of these errors."""
        means = {name: np.mean(np.log(list(one.values()))) for name, one in self.errors.items()}
        return min(means, key=lambda name: means[name])


@dataclass(frozen=True, eq=False)
class _State:
    """What all fits share."""

    data: Dataset
    X: Mapping[Blocks, FloatArray]
    X_candidates: Mapping[Blocks, FloatArray]
    featurizers: Mapping[Blocks, CompositionFeaturizer]
    features: Mapping[str, Blocks]
    rows: Mapping[str, Rows]
    out: Mapping[str, Rows]
    transform: str
    settings: MethodSettings
    config: JudgeConfig
    minutes: float | None
    seed: int


def imitate(
    data: Dataset,
    candidates: Materials,
    config: JudgeConfig,
    executor: Executor,
    *,
    featurizer_of: Callable[[Blocks], CompositionFeaturizer],
    features: Blocks | None = None,
    transform: str = "none",
    settings: MethodSettings,
    minutes: float | None = None,
    seed: int = 0,
    folder: Path | None = None,
    progress: Progress = NO_PROGRESS,
) -> Imitation:
    """Hold out the materials of a table that imitate candidates, and predict them with all methods.

    Parameters
    ----------
    data : Dataset
        A cleaned data set of n labelled materials.
    candidates : Materials
        m readable candidates, with the extra columns of the data set.
    config : JudgeConfig
        Methods and proxies.
    executor : Executor
        Runs the fits.
    featurizer_of : callable
        Returns the featurizer of some blocks.
    features : str, optional
        Features of all methods; by default each has those that it usually gets.
    transform : str
        As in `xtalshift.fit`.
    settings : MethodSettings
        Settings of all methods.
    minutes : float, optional
        Wall minutes of each fit of a stack.
    seed : int
        Seed of all draws.
    folder : Path, optional
        Keeps the forecasts, so that interrupted work continues.
    progress : Progress
        Reports the progress.

    Raises
    ------
    SplitError
        If no hold-out imitates the candidates.
    TrainingError
        If no method could be fitted everywhere.
    """
    own = {name: features_of(name, features) for name in config.methods}
    if len(candidates) > MOST_CANDIDATES:
        candidates = candidates.take(
            sample(len(candidates), MOST_CANDIDATES, derive_seed(seed, "candidates"))
        )
    X: dict[Blocks, FloatArray] = {}
    X_candidates: dict[Blocks, FloatArray] = {}
    featurizers: dict[Blocks, CompositionFeaturizer] = {}
    for blocks in dict.fromkeys([*own.values(), SPACE]):
        featurizer = featurizers[blocks] = featurizer_of(blocks)
        for place, materials in ((X, data.materials), (X_candidates, candidates)):
            found = featurizer.transform(materials)
            place[blocks] = np.hstack([found, materials.extra])
    landscape = Landscape.of(
        X[SPACE], data.groups, data.materials.compositions,
        X_candidates[SPACE], candidates.compositions, seed=derive_seed(seed, "landscape"),
    )  # fmt: skip
    encoder = next(filter(None, (encoder_of(one.blocks) for one in featurizers.values())), None)
    fresh = np.ones(len(data), dtype=np.bool_) if encoder is None else ~encoder.knows(data.groups)
    proxies = find_proxies(landscape, config.n_proxies, names=config.proxies, judges=fresh)
    rows = {proxy.name: proxy.rows[fresh[proxy.rows]] for proxy in proxies}
    state = _State(
        data, X, X_candidates, featurizers, own, rows, {one.name: one.rows for one in proxies},
        transform, settings, config, minutes, seed,
    )  # fmt: skip
    keep = None if folder is None else _Store(folder, state)
    forecasts, failures, models = _forecast(state, executor, keep, progress)
    done = Imitation(landscape, proxies, rows, forecasts, failures, data.y, encoder)
    if not done.methods:
        reason = next(iter(failures.values()), "")
        raise TrainingError(f"no method could be fitted without every proxy: {reason}")
    measured = _simulate(state, done, models, executor, keep, progress)
    return replace(done, measured=measured)


def _forecast(
    state: _State, executor: Executor, keep: _Store | None, progress: Progress
) -> tuple[dict[Task, Forecast], dict[Task, str], dict[Task, bytes | None]]:
    """Return the forecasts, why others failed, and the pickled models of those made now."""
    places = [*state.rows, CANDIDATES]
    # the dearest method first, so that no worker waits for it at the end
    tasks = [(place, method) for method in reversed(state.config.methods) for place in places]
    found = {} if keep is None else keep.read_forecasts(tasks)
    failures: dict[Task, str] = {}
    models: dict[Task, bytes | None] = {}
    for outcome in _map(
        _fit, [task for task in tasks if task not in found], "proxies", state, executor, progress
    ):
        task = outcome.item
        if outcome.error is None:
            found[task], models[task] = outcome.value
            if keep is not None:
                keep.write(task, _pack(found[task]))
        else:
            failures[task] = str(outcome.error)
            place, method = task
            progress.say(f"  {method} failed without {place}: {outcome.error}")
    order = [(place, method) for method in state.config.methods for place in places]
    return {task: found[task] for task in order if task in found}, failures, models


def _simulate(
    state: _State,
    done: Imitation,
    models: Mapping[Task, bytes | None],
    executor: Executor,
    keep: _Store | None,
    progress: Progress,
) -> dict[str, Measured]:
    """Return what measuring brings with the recommended method, by name of the proxy."""
    method = done.method
    places = [place for place, rows in done.rows.items() if _n_measured(state, rows)]
    found = {} if keep is None else keep.read_measured(places, method)
    tasks = [
        _ToMeasure(place, method, done.forecasts[place, method], models.get((place, method)))
        for place in places
        if place not in found
    ]
    for outcome in _map(_measure, tasks, "measuring", state, executor, progress):
        place = outcome.item.place
        if outcome.error is None:
            found[place] = outcome.value
            if keep is not None:
                keep.write((place, method), {"measured": np.array(outcome.value)}, MEASURED)
        else:
            progress.say(f"  measuring some of {place} could not be simulated: {outcome.error}")
    return {place: found[place] for place in places if place in found}


def _map(
    function: Callable[[_State, Item], Value],
    items: list[Item],
    title: str,
    state: _State,
    executor: Executor,
    progress: Progress,
) -> Iterator[Outcome[Item, Value]]:
    """Yield the outcomes of a function of the common state and an item, as they come."""
    if not items:
        return
    policy = Policy(gpu=state.settings.device.startswith("cuda"))
    outcomes = executor.map(
        function, items, setup=partial(_same, state), policy=policy, ordered=False
    )
    with progress.task(title, len(items)) as bar, closing(outcomes):
        for outcome in outcomes:
            yield outcome
            bar.advance()


def _same(state: _State) -> _State:
    return state


def _fit(state: _State, task: Task) -> tuple[Forecast, bytes | None]:
    """Fit a method without the materials of a proxy, and predict them.

    The model comes back pickled, for `_measure`; None if it cannot be pickled.
    """
    place, method = task
    model = _model(state, place, method)
    blocks, constant = state.features[method], _constant(state, _inside(state, place))
    if place == CANDIDATES:
        return Forecast(*_predict(model, state.X_candidates[blocks]), constant), None
    forecast = Forecast(*_predict(model, state.X[blocks][state.rows[place]]), constant)
    if not _n_measured(state, state.rows[place]):
        return forecast, None
    try:
        return forecast, pickle.dumps(model)
    except Exception:  # noqa: BLE001 - whatever the class of a user does
        return forecast, None


def _constant(state: _State, rows: Rows) -> FloatArray:
    """Return what predicts best without features, from some rows."""
    y, classes = state.data.y[rows], state.data.classes
    if classes is None:
        return np.array(y.mean())
    return np.bincount(y.astype(np.int64), minlength=len(classes)) / len(y)


def _model(state: _State, place: str, method: str) -> Any:
    """Return a method fitted without the materials of a proxy."""
    data, blocks, seed = state.data, state.features[method], derive_seed(state.seed, "proxy", place)
    build = build_method if data.classes is None else build_classifier
    budgeted = keeps_budget(build(method, state.settings, seed=None))
    labels = None if data.classes is None else data.y
    return fit(
        data,
        method,
        features=state.featurizers[blocks],
        transform=state.transform,
        settings=state.settings,
        intervals=IntervalConfig(method="none"),
        rows=draw_rows(data.groups, seed=seed, within=_inside(state, place), labels=labels),
        X=state.X[blocks],
        domain=False,
        seed=seed,
        minutes=state.minutes if budgeted else None,
    )


def _inside(state: _State, place: str) -> Rows:
    """Return the rows that train the models of a place."""
    inside = np.arange(len(state.data))
    if place != CANDIDATES:
        inside = np.setdiff1d(inside, state.out[place])
    if len(inside) <= state.config.max_rows:
        return inside
    rng = np.random.default_rng(derive_seed(derive_seed(state.seed, "proxy", place), "rows"))
    return np.sort(rng.permutation(inside)[: state.config.max_rows])


def _predict(
    model: FittedModel | FittedClassifier, X: FloatArray
) -> tuple[FloatArray, Scored | None]:
    if isinstance(model, FittedClassifier):
        return model.predict_features(X), None
    scored = score_rows(model.regressor, X)
    return model.scale.inverse(scored.center), scored


@dataclass(frozen=True, eq=False)
class _ToMeasure:
    """A proxy of which some materials are to be measured."""

    place: str
    method: str
    forecast: Forecast
    model: bytes | None
    """The pickled model behind the forecast; None if it has to be fitted again."""


def _n_measured(state: _State, rows: Rows) -> int:
    """Return how many of the materials of a proxy are measured; 0 if they are too few.

    Of classes none: whether chosen labels improve a model of classes was not tested.
    """
    if state.data.classes is not None:
        return 0
    count = min(state.config.n_measure, len(rows) // 2)
    return count if count >= _FEWEST_MEASURED else 0


def _measure(state: _State, task: _ToMeasure) -> Measured:
    """Adapt to the materials to measure first, and predict the others."""
    place, data, rows = task.place, state.data, state.rows[task.place]
    X = state.X[state.features[task.method]][rows]
    assert task.forecast.scored is not None, "only proxies of numbers are measured"
    chosen = to_measure(task.forecast.scored.spread, X, _n_measured(state, rows))
    rest = np.setdiff1d(np.arange(len(rows)), chosen)
    kept = task.model
    model = _model(state, place, task.method) if kept is None else pickle.loads(kept)  # noqa: S301 - our own
    adapted = adapt(
        model,
        data.take(rows[chosen]),
        source=data.take(_inside(state, place)),
        seed=derive_seed(state.seed, "m"),
    )
    before, after = task.forecast.prediction[rest], adapted.predict_features(X[rest])
    y = data.y[rows[rest]]
    old, new = (float(np.abs(one - y).mean()) for one in (before, after))
    return Measured(old, new, len(chosen))


def to_measure(spread: FloatArray | None, X: FloatArray, n: int) -> Rows:
    """Return which of some materials to measure: uncertain ones that differ from each other.

    Parameters
    ----------
    spread : ndarray of float64, shape (m,), optional
        How uncertain the prediction of each is; without it the distance from each other decides
        alone.
    X : ndarray of float64, shape (m, d)
        Their features.
    n : int
        How many.
    """
    (points,) = standardise(X)
    worth = np.ones(len(X)) if spread is None else spread
    batch = select_batch(worth, points, n, radius=np.inf if spread is None else None)
    return batch.rows


class _Store:
    """Keeps each forecast, and what measuring brings, as files named by what they depend on."""

    def __init__(self, folder: Path, state: _State) -> None:
        self._folder, self._state = folder, state
        self._common = [
            __version__, state.data.description.sha256, state.transform, state.seed,
            state.settings.to_dict(), state.config.max_rows, state.minutes,
        ]  # fmt: skip

    def read_forecasts(self, tasks: list[Task]) -> dict[Task, Forecast]:
        """Return the forecasts that are there; a damaged one is made again."""
        found = {}
        for task in tasks:
            with suppress(KeyError, ValueError):
                found[task] = _unpack(self._read(task))
        return found

    def read_measured(self, places: list[str], method: str) -> dict[str, Measured]:
        """Return what measuring brings, where it is known; a damaged file is made again."""
        found = {}
        for place in places:
            with suppress(KeyError, ValueError, TypeError):
                before, after, n = self._read((place, method), MEASURED)["measured"].tolist()
                found[place] = Measured(before, after, int(n))
        return found

    def write(self, task: Task, arrays: dict[str, NDArray[Any]], kind: str = "") -> None:
        """Write arrays completely or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **arrays)
        replace_file(self._path(task, kind), content.getvalue())

    def _read(self, task: Task, kind: str = "") -> dict[str, NDArray[Any]]:
        """Return the arrays of a file; none if it is not there or damaged."""
        with (
            suppress(OSError, ValueError, EOFError, BadZipFile),
            np.load(self._path(task, kind), allow_pickle=False) as held,
        ):
            return {name: held[name] for name in held.files}
        return {}

    def _path(self, task: Task, kind: str) -> Path:
        place, method = task
        state, own = self._state, self._state.features[method]
        told = state.X_candidates[own] if place == CANDIDATES else state.out[place]
        content = [*self._common, own, hashlib.sha256(told.tobytes()).hexdigest()]
        if kind:
            content.append(state.config.n_measure)
        key = hash_text([json.dumps(content, sort_keys=True, default=str)])[:16]
        return self._folder / f"{place.replace(' ', '-')}-{method}{kind}-{key}.npz"


def _pack(forecast: Forecast) -> dict[str, NDArray[Any]]:
    scored = forecast.scored
    arrays: dict[str, NDArray[Any]] = {
        "prediction": forecast.prediction,
        "constant": np.array(forecast.constant),
    }
    if scored is None:
        return arrays
    arrays |= {"center": scored.center, "kind": np.array(scored.kind)}
    if scored.spread is not None:
        arrays["spread"] = scored.spread
    if scored.quantiles is not None:
        arrays["quantiles"] = np.stack(scored.quantiles)
    return arrays


def _unpack(arrays: dict[str, NDArray[Any]]) -> Forecast:
    if arrays["prediction"].ndim > 1:  # of classes
        return Forecast(arrays["prediction"], None, arrays["constant"])
    kind = str(arrays["kind"])
    if kind not in get_args(ScoreKind):
        raise ValueError(kind)
    low_high = arrays.get("quantiles")
    scored = Scored(
        cast("ScoreKind", kind),
        arrays["center"],
        arrays.get("spread"),
        None if low_high is None else (low_high[0], low_high[1]),
    )
    return Forecast(arrays["prediction"], scored, arrays["constant"])
