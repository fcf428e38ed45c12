"""What all network regressors share: scaling, devices, parameters and prediction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ConfigError
from xtalshift.estimators.base import Arrays, Labelled, Regressor, in_pieces
from xtalshift.featurize.scale import FeatureScaler
from xtalshift.nn import IRNet, Parameters, Rows, TrainingData, TrainResult, resolve_architecture
from xtalshift.nn.device import resolve_device
from xtalshift.nn.irnet import name_architecture
from xtalshift.nn.train import predict_rows
from xtalshift.progress import Progress

__all__ = ["NetworkRegressor", "WeightsChoice"]

WeightsChoice = Literal["best", "last", "ema"]

DROPOUT = {"irnet3": 0.5, "irnet-cpu": 0.1}
"""Dropout of the named architectures where none is given."""


class NetworkRegressor(Regressor):
    """An IRNet on standardised features and targets; a subclass says how it is trained.

    Attributes
    ----------
    scaler_ : FeatureScaler
        Scaling of the features.
    target_mean_, target_scale_ : float
        Mean and standard deviation of the training targets.
    widths_ : tuple of int
        Width of each block.
    dropout_ : float
        Probability that a unit is zeroed in training.
    states_ : dict of dict of Tensor
        Parameters ``"best"``, ``"last"`` and ``"ema"``, on the CPU.
    history_ : list of dict
        One record per epoch; errors in units of the target.
    best_epoch_ : int
        Epoch with the lowest validation error.
    """

    architecture: str | Sequence[int]
    dropout: float | None
    weights: WeightsChoice
    clip: float
    device: str

    @abstractmethod
    def _train(
        self, model: IRNet, data: TrainingData, generator: torch.Generator, progress: Progress
    ) -> TrainResult:
        """Train `model`; the only hook."""

    def predict_variants(self, X: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Return the usual prediction under ``""``, and those of the last and EMA parameters.

        Whatever `weights` says stands under ``""`` and not again under its own name.
        """
        others: list[WeightsChoice] = [name for name in ("last", "ema") if name != self.weights]
        checked = self._check_features(X)
        return {
            "": in_pieces(self._predict, checked),
            **{name: in_pieces(partial(self._predict_with, name), checked) for name in others},
        }

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row were clipped, shape (n,)."""
        return self.scaler_.n_clipped(X)

    def _fit(
        self,
        train: Labelled,
        validation: Labelled,
        rng: np.random.Generator,
        progress: Progress,
    ) -> None:
        if self.weights not in get_args(WeightsChoice):
            raise ConfigError(f"weights = {self.weights!r}; expected best, last or ema")
        device = resolve_device(self.device)
        seeds = rng.integers(2**62, size=2)
        self.scaler_ = FeatureScaler(self.clip).fit(train.X)
        self.target_mean_ = float(np.average(train.y, weights=train.weights))
        variance = np.average((train.y - self.target_mean_) ** 2, weights=train.weights)
        self.target_scale_ = float(np.sqrt(variance)) or 1.0
        self.widths_ = resolve_architecture(self.architecture, device)
        self.dropout_ = self._resolve_dropout(device)
        model = IRNet(
            int(self.scaler_.kept_.sum()),
            self.widths_,
            self.dropout_,
            torch.Generator().manual_seed(int(seeds[0])),
        ).to(device)
        data = TrainingData(self._rows(train, device), self._rows(validation, device))
        generator = torch.Generator(device).manual_seed(int(seeds[1]))
        result = self._train(model, data, generator, progress)
        self.states_ = {
            name: {key: value.cpu() for key, value in state.items()}
            for name, state in result.states.items()
        }
        self.best_epoch_ = result.best_epoch
        scale = self.target_scale_
        self.history_ = [{**item, "val_mae": item["val_mae"] * scale} for item in result.history]

    def _resolve_dropout(self, device: torch.device) -> float:
        if self.dropout is not None:
            if not 0 <= self.dropout < 1:
                raise ConfigError(f"dropout = {self.dropout}; expected a number in [0, 1)")
            return float(self.dropout)
        if not isinstance(self.architecture, str):
            return 0.0
        return DROPOUT[name_architecture(self.architecture, device)]

    def _rows(self, rows: Labelled, device: torch.device) -> Rows:
        def put(values: NDArray[Any]) -> torch.Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=device)

        return Rows(
            put(self.scaler_.transform(rows.X)),
            put((rows.y - self.target_mean_) / self.target_scale_),
            None if rows.weights is None else put(rows.weights),
        )

    def _predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._predict_with(self.weights, X)

    def _predict_with(self, weights: WeightsChoice, X: NDArray[np.float64]) -> NDArray[np.float64]:
        device = resolve_device(self.device)
        # in double precision a row has the same prediction alone and in a batch, to rounding
        dtype = torch.float32 if device.type == "mps" else torch.float64
        model = self._build(self.states_[weights]).to(device, dtype)
        x = torch.as_tensor(self.scaler_.transform(X), dtype=dtype, device=device)
        scaled = predict_rows(model, x).cpu().numpy().astype(np.float64)
        return np.asarray(scaled * self.target_scale_ + self.target_mean_)

    def _build(self, state: Parameters) -> IRNet:
        n_features = int(self.scaler_.kept_.sum())
        model = IRNet(n_features, self.widths_, self.dropout_, torch.Generator())
        model.load_state_dict(state, strict=True)
        return model

    def _get_state(self) -> Arrays:
        state: Arrays = {
            **self.scaler_.get_state(),
            "target": np.array([self.target_mean_, self.target_scale_]),
            "widths": np.array(self.widths_, dtype=np.int64),
            "dropout": np.array([self.dropout_]),
            "best_epoch": np.array([self.best_epoch_], dtype=np.int64),
        }
        for choice, parameters in self.states_.items():
            for name, value in parameters.items():
                state[f"net.{choice}.{name}"] = value.numpy()
        return state

    def _set_state(self, state: Arrays) -> None:
        self.scaler_ = FeatureScaler(self.clip).set_state(state)
        self.n_features_in_ = self.scaler_.n_features_in_
        self.target_mean_, self.target_scale_ = (float(value) for value in state["target"])
        self.widths_ = tuple(int(width) for width in state["widths"])
        self.dropout_ = float(state["dropout"][0])
        self.best_epoch_ = int(state["best_epoch"][0])
        self.history_ = []
        self.states_ = {choice: {} for choice in get_args(WeightsChoice)}
        for name, value in state.items():
            kind, _, rest = name.partition(".")
            if kind == "net":
                choice, _, parameter = rest.partition(".")
                self.states_[choice][parameter] = torch.from_numpy(value)
        for parameters in self.states_.values():
            self._build(parameters)  # refuses missing, extra and misshapen parameters
