"""Multi-task networks: several targets by one network, as a scikit-learn regressor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_array, check_consistent_length, validate_data

from xtalshift.errors import ConfigError, DataError
from xtalshift.estimators.base import FitData, Labelled, mean_and_scale
from xtalshift.estimators.irnet import IRNetRegressor
from xtalshift.estimators.predictors import INSTEAD, Arrays
from xtalshift.nn.device import resolve_device
from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.multitask import MultiTaskIRNet, MultiTaskTraining, TargetRows
from xtalshift.nn.rows import TrainingData
from xtalshift.nn.settings import ERMConfig
from xtalshift.nn.training import TrainResult


@dataclass(eq=False, repr=False, kw_only=True)
class MultiTaskRegressor(IRNetRegressor):
    """IRNet with a head for each of several targets, of which rows may lack some.

    `fit` takes targets of shape (n, t), NaN where a value is not known; each is standardised by its
    known values. With targets of shape (n,) it is an `IRNetRegressor`, to the bit. `parts_` are
    regressors of one target each, which predict the same and can be saved.

    Parameters
    ----------
    architecture, dropout, epochs, patience, batch_size, learning_rate, weight_decay, ema_decay,
    weights, validation_fraction, clip, bf16, device, random_state
        As in `IRNetRegressor`. ``best`` parameters have the smallest mean over targets of the
        validation error, in standard deviations.

    Attributes
    ----------
    parts_ : tuple of IRNetRegressor
        The network with the head of each target, if it was fitted to several.
    """

    architecture: str | Sequence[int] = "auto"
    n_members: int = field(default=1, init=False)
    bootstrap: bool = field(default=False, init=False)

    @property
    def unsaved(self) -> str:
        """Why it cannot be saved: an empty text unless it was fitted to several targets."""
        if getattr(self, "parts_", ()):
            return f"a network of several targets is saved by its parts_, one for each; {INSTEAD}"
        return super().unsaved

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _validate(
        self, X: ArrayLike, y: ArrayLike, **options: Any
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if np.asarray(y).ndim != 2:  # noqa: PLR2004 - one target
            return super()._validate(X, y, **options)
        options.pop("y_numeric", None)
        features = np.asarray(
            validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", **options)
        )
        targets = np.asarray(check_array(y, dtype=np.float64, ensure_all_finite="allow-nan"))
        check_consistent_length(features, targets)
        return features, targets

    def _fit(self, data: FitData) -> None:
        y = data.train.y
        if y.ndim == 1:
            self.parts_: tuple[IRNetRegressor, ...] = ()
            super()._fit(data)
            return
        if data.train.bounds is not None:
            raise ConfigError("several targets are learned by their values: leave bounds out")
        known = np.isfinite(y)
        unknown = np.flatnonzero(~known.any(axis=0))
        if unknown.size:
            raise DataError(
                f"target {unknown[0] + 1} of {y.shape[1]} has no value in the training "
                "rows; leave it out"
            )
        self._check_settings()
        device = resolve_device(self.device)
        seeds = data.rng.integers(2**62, size=2)  # as one network of one target
        self.scaler_ = self._fit_scaler(data.train.X)
        self.widths_ = self._resolve_widths(device)
        self.dropout_ = self._resolve_dropout(device)
        scales = [mean_and_scale(_labelled(data.train, column)) for column in range(y.shape[1])]
        self.target_mean_, self.target_scale_ = 0.0, 1.0
        model = MultiTaskIRNet(
            int(self.scaler_.kept_.sum()),
            self.widths_,
            self.dropout_,
            torch.Generator().manual_seed(int(seeds[1])),
            y.shape[1],
        )
        model.bf16 = self.bf16
        rows = TrainingData(
            self._target_rows(data.train, scales, device),
            self._target_rows(data.validation, scales, device),
        )
        self._run(model.to(device), rows, data, int(seeds[0]))
        self.parts_ = tuple(self._part(column, *scale) for column, scale in enumerate(scales))

    def _training(self, model: Any, data: TrainingData, **how: Any) -> ERMTraining:
        kind = MultiTaskTraining if isinstance(data.train, TargetRows) else ERMTraining
        return kind(model, data.train, self._values_of(ERMConfig), **how)

    def _target_rows(
        self, rows: Labelled, scales: Sequence[tuple[float, float]], device: torch.device
    ) -> TargetRows:
        def put(values: NDArray[Any]) -> torch.Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=device)

        mean, scale = np.array(scales).T
        known = np.isfinite(rows.y).T
        weights = None
        if rows.weights is not None or not known.all():
            weights = put(known * (1.0 if rows.weights is None else rows.weights))
        standardised = ((rows.y - mean) / scale).T
        return TargetRows(
            put(self.scaler_.transform(rows.X)), put(np.where(known, standardised, 0.0)), weights
        )

    def _part(self, column: int, mean: float, scale: float) -> IRNetRegressor:
        """Return the fitted regressor of one target."""
        settings = {**self.get_params(deep=False), "n_members": 1, "bootstrap": False}
        part = IRNetRegressor(**settings)
        part.scaler_, part.n_features_in_ = self.scaler_, self.n_features_in_
        if hasattr(self, "feature_names_in_"):
            part.feature_names_in_ = self.feature_names_in_
        part.target_mean_, part.target_scale_ = mean, scale
        part.widths_, part.dropout_ = self.widths_, self.dropout_
        own = slice(column, column + 1)
        states = {
            choice: {
                name: value[..., own].clone() if name.startswith("head.") else value
                for name, value in state.items()
            }
            for choice, state in self.states_.items()
        }
        history = [{**one, "val_mae": one["val_mae"] * scale} for one in self.history_]
        part._keep(TrainResult(states, self.best_epoch_, [], {}))  # noqa: SLF001
        part.history_ = history
        return part

    def _predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self.parts_:
            return super()._predict(X)
        return np.column_stack([part._predict(X) for part in self.parts_])  # noqa: SLF001

    def _set_state(self, state: Arrays) -> None:
        super()._set_state(state)
        self.parts_ = ()

    def _check_settings(self) -> None:
        super()._check_settings()
        if self.n_members != 1:
            raise ConfigError("a multi-task network cannot be an ensemble: n_members must be 1")


def _labelled(rows: Labelled, column: int) -> Labelled:
    """Return the rows that have a value of a target."""
    known = np.isfinite(rows.y[:, column])
    found = rows.take(known)
    return Labelled(found.X, found.y[:, column], found.weights)
