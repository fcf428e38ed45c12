"""Networks that state a standard deviation: by a second head, or by dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ConfigError
from xtalshift.estimators.base import REGRESSORS, FitData, in_pieces
from xtalshift.estimators.irnet import IRNetRegressor
from xtalshift.estimators.network import DROPOUT, TrainingOptions, WeightsChoice
from xtalshift.nn import (
    ERMConfig,
    GaussianIRNet,
    HeteroscedasticTraining,
    IRNet,
    TrainingData,
    TrainResult,
    run_training,
    thin_network,
)
from xtalshift.seeding import Seed

__all__ = ["HeteroscedasticRegressor", "MCDropoutRegressor"]

_PIECE = 16_384


@REGRESSORS.register("HeteroscedasticRegressor")
class HeteroscedasticRegressor(IRNetRegressor):
    """IRNet with a second head: how far targets scatter about the prediction, row by row.

    Trained by the weighted likelihood of `xtalshift.nn.heteroscedastic.beta_nll`. The scatter is
    that of the training targets (noise, polymorphs of one formula); it says little of materials
    unlike them, for which members of an ensemble (`n_members`) may disagree: their variance is
    added (Lakshminarayanan et al., NeurIPS 2017, section 2.4).

    Parameters
    ----------
    architecture, dropout, epochs, patience, batch_size, learning_rate, weight_decay, ema_decay,
    n_members, bootstrap, weights, validation_fraction, clip, bf16, device, random_state
        As in `IRNetRegressor`.
    """

    def _network(self, generators: Sequence[torch.Generator]) -> GaussianIRNet:
        return GaussianIRNet(
            int(self.scaler_.kept_.sum()),
            self.widths_,
            self.dropout_,
            generators if len(generators) > 1 else generators[0],
        )

    def _train(
        self,
        model: IRNet,
        data: TrainingData,
        fit: FitData,  # noqa: ARG002
        how: TrainingOptions,
    ) -> TrainResult:
        names = ERMConfig.model_fields
        config = ERMConfig.from_dict({name: getattr(self, name) for name in names})
        return run_training(
            HeteroscedasticTraining(model, data.train, config, how.generator, sample=how.sample),
            data.validation,
            epochs=config.epochs,
            patience=config.patience,
            name="heteroscedastic",
            progress=how.progress,
            checkpoint=how.checkpoint,
        )

    def predict_std(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the standard deviation of a new target, shape (n,), in the unit of the target.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features; NaN means missing.
        """
        return np.asarray(self.predict_with_std(X)[1])

    def predict_with_std(self, X: ArrayLike) -> tuple[NDArray[np.float64], Any]:
        """Return what both heads say, shapes (n,), in the unit of the target."""
        mean, std = in_pieces(self._both_heads, self._check_features(X), _PIECE)
        return mean * self.target_scale_ + self.target_mean_, std * self.target_scale_

    def _both_heads(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        model, dtype = self._predictor(self.weights)
        assert isinstance(model, GaussianIRNet)
        device = next(model.parameters()).device
        x = torch.as_tensor(self.scaler_.transform(X), dtype=dtype, device=device)
        with torch.no_grad():
            mean, std = (part.reshape(-1, len(x)) for part in model.mean_and_std(x))
        variance = std.square().mean(dim=0) + mean.var(dim=0, correction=0)
        return torch.stack([mean.mean(dim=0), variance.sqrt()]).cpu().numpy().astype(np.float64)


@REGRESSORS.register("MCDropoutRegressor")
class MCDropoutRegressor(IRNetRegressor):
    """IRNet whose spread is that of networks thinned by dropout (Gal and Ghahramani, ICML 2016).

    The prediction is that of the whole network. Cheaper to train than an ensemble and mostly less
    telling; as many passes to predict.

    Parameters
    ----------
    n_samples : int, default 16
        Thinned networks, the same for all rows, see `xtalshift.nn.dropout_ensemble.thin_network`.
    architecture, dropout, epochs, patience, batch_size, learning_rate, weight_decay, ema_decay,
    weights, validation_fraction, clip, bf16, device, random_state
        As in `IRNetRegressor`; dropout must not be 0, and is 0.1 by default for widths.
    """

    n_members = 1
    bootstrap = False

    def __init__(  # noqa: PLR0917 - the settings of an estimator
        self,
        n_samples: int = 16,
        architecture: str | Sequence[int] = "auto",
        dropout: float | None = None,
        epochs: int = 80,
        patience: int = 80,
        batch_size: int = 256,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        ema_decay: float = 0.995,
        weights: WeightsChoice = "best",
        validation_fraction: float = 0.1,
        clip: float = 10.0,
        bf16: bool = False,  # noqa: FBT001, FBT002
        device: str = "auto",
        random_state: Seed = None,
    ) -> None:
        self.n_samples = n_samples
        self.architecture = architecture
        self.dropout = dropout
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.ema_decay = ema_decay
        self.weights = weights
        self.validation_fraction = validation_fraction
        self.clip = clip
        self.bf16 = bf16
        self.device = device
        self.random_state = random_state

    def _check_settings(self) -> None:
        super()._check_settings()
        if self.n_samples < 2:  # noqa: PLR2004 - one has no spread
            raise ConfigError(f"n_samples = {self.n_samples}; expected at least 2")

    def _resolve_dropout(self, device: torch.device) -> float:
        if self.dropout == 0:
            raise ConfigError("dropout = 0: without dropout there is no spread; set 0.1, say")
        return super()._resolve_dropout(device) or DROPOUT["irnet-cpu"]

    def predict_std(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the standard deviation of the thinned networks' predictions, shape (n,).

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features; NaN means missing.
        """
        return in_pieces(self._std, self._check_features(X), _PIECE)

    def _std(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        whole, dtype = self._predictor(self.weights)
        device = next(whole.parameters()).device
        state = thin_network(
            self.states_[self.weights],
            self.dropout_,
            self.n_samples,
            torch.Generator().manual_seed(0),
        )
        model = self._build(state).to(device, dtype)
        x = torch.as_tensor(self.scaler_.transform(X), dtype=dtype, device=device)
        with torch.no_grad():
            spread = model(x).std(dim=0)
        return np.asarray(spread.cpu().numpy().astype(np.float64) * self.target_scale_)
