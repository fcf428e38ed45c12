"""Bounds in the loss (Tobit) against bounds replaced by what fits expect.

``python benchmarks/tobit.py [METHODS] [SEEDS]``: 600 materials with five features and the truth
``2 x0 + x1 / 2``, values with errors of 0.5, the 30 % lowest of which are written as below their
limit; tested on 600 others against the truth. METHODS are of ``erm`` and ``lightgbm`` (squared
loss). ``replaced`` is what ``--bounds use`` does, with boosted trees in place of the network.

The Tobit loss of a value is that of the method. That of a bound is ``-s^2 ln P``, where P is the
probability of the side under a normal law around the prediction (Tobin, Econometrica 26, 24, 1958)
and s the standard deviation of the errors of boosted trees, so that both have one unit. Validation
rows have replaced bounds in either case.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_ndtr
from torch import Tensor

from xtalshift.estimators import IRNetRegressor, LightGBMRegressor
from xtalshift.estimators.base import FitData, Labelled, Regressor, deal_folds
from xtalshift.estimators.bounds import settle
from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.rows import weighted_mean
from xtalshift.nn.settings import ERMConfig

FloatArray = NDArray[np.float64]
N = 600


def main(methods: list[str], seeds: int) -> None:
    """Print the error of each way of treating the bounds, of all test rows and of the low ones."""
    for method in methods:
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            X = rng.uniform(-1, 1, (2 * N, 5))
            truth = 2 * X[:, 0] + 0.5 * X[:, 1]
            values = (truth + 0.5 * rng.normal(size=2 * N))[:N]
            low = truth[N:] < np.quantile(truth[N:], 0.3)
            for way, predicted in _ways(method, X, values, seed):
                errors = np.abs(predicted - truth[N:])
                print(
                    f"{method:9} seed {seed} {way:9} all {errors.mean():.4f}, low "
                    f"{errors[low].mean():.4f}",
                    flush=True,
                )


def _ways(method: str, X: FloatArray, values: FloatArray, seed: int) -> Any:
    limit = np.quantile(values, 0.3)
    below = values < limit
    seen = np.maximum(values, limit)
    trees = LightGBMRegressor(random_state=seed)
    own = LightGBMRegressor(loss="squared", random_state=seed)
    network = IRNetRegressor(random_state=seed)
    plain: Regressor = network if method == "erm" else own
    folds = deal_folds(np.arange(N).astype(str), 5, np.random.default_rng(seed))
    lower = np.where(below, -np.inf, seen)

    def unseen(regressor: Regressor, targets: FloatArray) -> FloatArray:
        rows = Labelled(X[:N], targets)
        rng = np.random.default_rng(seed + 1)
        return regressor.cross_fit(FitData(rows, rows, None, rng), folds).predictions

    stand_in = trees if method == "erm" else own
    replaced = settle(seen, lower, seen, lambda targets: unseen(stand_in, targets))
    errors = (replaced - unseen(stand_in, replaced))[~below]
    held_out = np.random.default_rng(seed).permutation(N) < N // 10
    for way, targets, kept in (
        ("known", values, held_out | True),
        ("dropped", values, ~below),
        ("replaced", replaced, held_out | True),
    ):
        train, aside = ~held_out & kept, held_out & kept
        plain.fit(X[:N][train], targets[train], X_val=X[:N][aside], y_val=targets[aside])
        yield way, plain.predict(X[N:])
    train = ~held_out
    rows = X[:N][train], seen[train], below[train]
    aside = X[:N][held_out], replaced[held_out]
    spread = float(np.sqrt(np.mean(errors**2)))
    if method == "erm":
        tobit = TobitNetwork(below=rows[2], spread=spread, random_state=seed)
        yield "tobit", tobit.fit(*rows[:2], X_val=aside[0], y_val=aside[1]).predict(X[N:])
    else:
        yield "tobit", boost_tobit(*rows, *aside, spread, seed)(X[N:])


@dataclass(eq=False, repr=False, kw_only=True)
class TobitNetwork(IRNetRegressor):
    """A network trained on values and on limits that targets are below."""

    below: Any = None
    """Shape (n,). Which training rows have limits."""
    spread: float = 1.0
    """s, in the unit of the target."""

    def _training(self, model: Any, data: Any, **how: Any) -> ERMTraining:
        training = _Tobit(model, data.train, self._values_of(ERMConfig), **how)
        training.below = torch.as_tensor(self.below)
        training.spread = self.spread / self.target_scale_
        return training


class _Tobit(ERMTraining):
    below: Tensor
    spread: float

    def loss(self, indices: Tensor, epoch: int) -> Tensor:  # noqa: ARG002
        batch = self.rows.take(indices)
        outputs = self.model(batch.x, self.generator)
        side = -(self.spread**2) * torch.special.log_ndtr((batch.y - outputs) / self.spread)
        values = self.criterion.rows(outputs, batch.y)
        return weighted_mean(torch.where(self.below[indices], side, values), batch.weights).sum()


def boost_tobit(
    X: FloatArray,
    y: FloatArray,
    below: NDArray[np.bool_],
    X_val: FloatArray,
    y_val: FloatArray,
    spread: float,
    seed: int,
) -> Any:
    """Return what predicts: boosted trees on squared errors of values and on limits."""
    start = float(y.mean())

    def gradients(outputs: FloatArray, _: Any) -> tuple[FloatArray, FloatArray]:
        first, second = outputs - (y - start), np.ones(len(y))
        z = -first[below] / spread
        ratio = np.exp(-np.square(z) / 2 - np.log(2 * np.pi) / 2 - log_ndtr(z))
        first[below], second[below] = spread * ratio, np.maximum(ratio * (ratio + z), 1e-3)
        return first, second

    settings = {  # those of LightGBMRegressor
        "metric": "l2", "learning_rate": 0.05, "num_leaves": 63, "min_data_in_leaf": 20,
        "feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1, "seed": seed,
        "deterministic": True, "force_row_wise": True, "num_threads": 1, "verbosity": -1,
    }  # fmt: skip
    rows = lightgbm.Dataset(X, y - start, init_score=np.zeros(len(y)))
    aside = lightgbm.Dataset(X_val, y_val - start, reference=rows, init_score=np.zeros(len(y_val)))
    booster = lightgbm.train(
        {**settings, "objective": gradients},
        rows,
        2000,
        valid_sets=[aside],
        callbacks=[lightgbm.early_stopping(50, verbose=False)],
    )
    return lambda rows: booster.predict(rows) + start


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0].split(",") if given else ["lightgbm", "erm"], int(given[1]) if given[1:] else 3)
