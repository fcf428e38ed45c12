"""Fit methods to a table without each of its proxies, and predict these and the candidates."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args
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
from xtalshift.featurize.pretrained import encoder_of
from xtalshift.files import replace_file
from xtalshift.importance.density_ratio import standardise
from xtalshift.jobs.judge_settings import JudgeConfig
from xtalshift.methods import MethodSettings, build_method, features_of
from xtalshift.model import FittedModel, adapt, draw_rows, fit
from xtalshift.model.fitting import keeps_budget
from xtalshift.model.intervals import Scored, score_rows
from xtalshift.parallel import Executor, Policy
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.provenance import hash_text
from xtalshift.seeding import derive_seed
from xtalshift.splits.audit.shift_measures import sample
from xtalshift.splits.proxies import Landscape, Proxy, find_proxies
from xtalshift.uncertainty.conformal import ScoreKind
from xtalshift.uncertainty.settings import IntervalConfig

Rows = NDArray[np.int64]
FloatArray = NDArray[np.float64]

SPACE: Blocks = "magpie"
"""Features in which distances are measured."""
CANDIDATES = "the candidates"
"""Name of the fits to all rows, which predict the candidates."""
MOST_CANDIDATES = 5000
"""Candidates that an imitation looks at; of more a random sample."""
_FEWEST_MEASURED = 5
"""Fewest materials that a simulated measurement adapts to."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a method, fitted without the materials of a proxy, predicts for them."""

    prediction: FloatArray
    """Shape (n,). In the unit of the target."""
    scored: Scored
    """The same on the scale of the regressor, with what intervals need."""
    constant: float
    """Mean of the training targets."""
    before: float = np.nan
    after: float = np.nan
    """`before`, `after`: mean absolute error for the materials that were not chosen for
    measurement, before and after the adaptation to those that were; NaN if it was not simulated."""


@dataclass(frozen=True, eq=False)
class Imitation:
    """The proxies of candidates, and what each method predicted for them."""

    landscape: Landscape
    proxies: tuple[Proxy, ...]
    rows: dict[str, Rows]
    """Rows that judge each proxy, by name: without those that an encoder has seen."""
    forecasts: dict[tuple[str, str], Forecast]
    """By name of the proxy (or `CANDIDATES`) and method; without those that failed."""
    failures: dict[tuple[str, str], str]

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
            found = featurizer.transform(materials.compositions)
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
    forecasts, failures = _run(state, executor, folder, progress)
    done = Imitation(landscape, proxies, rows, forecasts, failures)
    if not done.methods:
        reason = next(iter(failures.values()), "")
        raise TrainingError(f"no method could be fitted without every proxy: {reason}")
    return done


def _run(
    state: _State, executor: Executor, folder: Path | None, progress: Progress
) -> tuple[dict[tuple[str, str], Forecast], dict[tuple[str, str], str]]:
    places = [*state.rows, CANDIDATES]
    # the dearest method first, so that no worker waits for it at the end
    tasks = [(place, method) for method in reversed(state.config.methods) for place in places]
    keep = None if folder is None else _Store(folder, state)
    found = {} if keep is None else keep.read(tasks)
    failures: dict[tuple[str, str], str] = {}
    open_tasks = [task for task in tasks if task not in found]
    with progress.task("proxies", len(open_tasks)) as bar:
        outcomes = executor.map(
            _fit,
            open_tasks,
            setup=partial(_same, state),
            policy=Policy(gpu=state.settings.device.startswith("cuda")),
            ordered=False,
        )
        with closing(outcomes):
            for outcome in outcomes:
                if outcome.error is None:
                    found[outcome.item] = outcome.value
                    if keep is not None:
                        keep.write(outcome.item, outcome.value)
                else:
                    failures[outcome.item] = str(outcome.error)
                    place, method = outcome.item
                    progress.say(f"  {method} failed without {place}: {outcome.error}")
                bar.advance()
    order = [(place, method) for method in state.config.methods for place in places]
    return {task: found[task] for task in order if task in found}, failures


def _same(state: _State) -> _State:
    return state


def _fit(state: _State, task: tuple[str, str]) -> Forecast:
    """Fit a method without the materials of a proxy, and predict them."""
    place, method = task
    data, blocks = state.data, state.features[method]
    seed = derive_seed(state.seed, "proxy", place)
    out = state.out.get(place, np.zeros(0, dtype=np.int64))
    inside = np.setdiff1d(np.arange(len(data)), out)
    if len(inside) > state.config.max_rows:
        drawn = np.random.default_rng(derive_seed(seed, "rows")).permutation(inside)
        inside = np.sort(drawn[: state.config.max_rows])
    budgeted = keeps_budget(build_method(method, state.settings, seed=None))
    model = fit(
        data,
        method,
        features=state.featurizers[blocks],
        transform=state.transform,
        settings=state.settings,
        intervals=IntervalConfig(method="none"),
        rows=draw_rows(data.groups, seed=seed, within=inside),
        X=state.X[blocks],
        domain=False,
        seed=seed,
        minutes=state.minutes if budgeted else None,
    )
    if place == CANDIDATES:
        forecast = _predict(model, state.X_candidates[blocks])
        return Forecast(*forecast, float(data.y[inside].mean()))
    rows = state.rows[place]
    prediction, scored = _predict(model, state.X[blocks][rows])
    before, after = np.nan, np.nan
    count = min(state.config.n_measure, len(rows) // 2)
    if count >= _FEWEST_MEASURED:
        before, after = _measure(state, model, rows, inside, scored, prediction, blocks, count)
    return Forecast(prediction, scored, float(data.y[inside].mean()), before, after)


def _predict(model: FittedModel, X: FloatArray) -> tuple[FloatArray, Scored]:
    scored = score_rows(model.regressor, X)
    return model.scale.inverse(scored.center), scored


def _measure(
    state: _State,
    model: FittedModel,
    rows: Rows,
    inside: Rows,
    scored: Scored,
    prediction: FloatArray,
    blocks: Blocks,
    count: int,
) -> tuple[float, float]:
    """Return the errors for the rows that were not measured, before and after the adaptation."""
    data = state.data
    chosen = to_measure(scored, state.X[blocks][rows], count)
    rest = np.setdiff1d(np.arange(len(rows)), chosen)
    adapted = adapt(
        model, data.take(rows[chosen]), source=data.take(inside), seed=derive_seed(state.seed, "m")
    )
    after = adapted.predict_features(state.X[blocks][rows[rest]])
    y = data.y[rows[rest]]
    return float(np.abs(prediction[rest] - y).mean()), float(np.abs(after - y).mean())


def to_measure(scored: Scored, X: FloatArray, n: int) -> Rows:
    """Return which of some materials to measure: uncertain ones that differ from each other.

    Parameters
    ----------
    scored : Scored
        Their forecast. Without an uncertainty of each material the distance from each other
        decides alone.
    X : ndarray of float64, shape (m, d)
        Their features.
    n : int
        How many.
    """
    (points,) = standardise(X)
    worth = np.ones(len(X)) if scored.spread is None else scored.spread
    batch = select_batch(worth, points, n, radius=np.inf if scored.spread is None else None)
    return batch.rows


class _Store:
    """Keeps each forecast as a file, named by what it depends on."""

    def __init__(self, folder: Path, state: _State) -> None:
        self._folder, self._state = folder, state
        self._common = [
            __version__, state.data.description.sha256, state.transform, state.seed,
            state.settings.to_dict(), state.config.max_rows, state.config.n_measure,
            state.minutes,
        ]  # fmt: skip

    def read(self, tasks: list[tuple[str, str]]) -> dict[tuple[str, str], Forecast]:
        """Return the forecasts that are there; a damaged one is made again."""
        found = {}
        for task in tasks:
            with (
                suppress(OSError, ValueError, KeyError, EOFError, BadZipFile),
                np.load(self._path(task), allow_pickle=False) as held,
            ):
                found[task] = _unpack({name: held[name] for name in held.files})
        return found

    def write(self, task: tuple[str, str], forecast: Forecast) -> None:
        """Write a forecast completely or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **_pack(forecast))
        replace_file(self._path(task), content.getvalue())

    def _path(self, task: tuple[str, str]) -> Path:
        place, method = task
        state, own = self._state, self._state.features[method]
        told = state.X_candidates[own] if place == CANDIDATES else state.out[place]
        content = [*self._common, own, hashlib.sha256(told.tobytes()).hexdigest()]
        key = hash_text([json.dumps(content, sort_keys=True, default=str)])[:16]
        return self._folder / f"{place.replace(' ', '-')}-{method}-{key}.npz"


def _pack(forecast: Forecast) -> dict[str, NDArray[Any]]:
    scored = forecast.scored
    arrays: dict[str, NDArray[Any]] = {
        "prediction": forecast.prediction,
        "center": scored.center,
        "kind": np.array(scored.kind),
        "numbers": np.array([forecast.constant, forecast.before, forecast.after]),
    }
    if scored.spread is not None:
        arrays["spread"] = scored.spread
    if scored.quantiles is not None:
        arrays["quantiles"] = np.stack(scored.quantiles)
    return arrays


def _unpack(arrays: dict[str, NDArray[Any]]) -> Forecast:
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
    return Forecast(arrays["prediction"], scored, *map(float, arrays["numbers"]))
