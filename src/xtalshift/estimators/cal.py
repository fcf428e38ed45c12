"""Crystal Adversarial Learning as a scikit-learn regressor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from xtalshift.cal import CALConfig, train_cal
from xtalshift.estimators.base import REGRESSORS
from xtalshift.estimators.network import NetworkRegressor, WeightsChoice
from xtalshift.nn import IRNet, TrainingData, TrainResult
from xtalshift.progress import Progress
from xtalshift.seeding import Seed

__all__ = ["CALRegressor"]


@REGRESSORS.register("CALRegressor")
class CALRegressor(NetworkRegressor):
    """IRNet trained by Crystal Adversarial Learning (arXiv:2408.09297).

    Parameters
    ----------
    preset : str, default "paper"
        Set of settings, see `xtalshift.cal.PRESETS`.
    settings : mapping, optional
        Values of `xtalshift.cal.CALConfig` that override the preset.
    architecture, dropout, weights, validation_fraction, clip, device, random_state
        As in `IRNetRegressor`.
    """

    def __init__(
        self,
        preset: str = "paper",
        settings: Mapping[str, Any] | None = None,
        architecture: str | Sequence[int] = "auto",
        dropout: float | None = None,
        weights: WeightsChoice = "best",
        validation_fraction: float = 0.1,
        clip: float = 10.0,
        device: str = "auto",
        random_state: Seed = None,
    ) -> None:
        self.preset = preset
        self.settings = settings
        self.architecture = architecture
        self.dropout = dropout
        self.weights = weights
        self.validation_fraction = validation_fraction
        self.clip = clip
        self.device = device
        self.random_state = random_state

    def _train(
        self, model: IRNet, data: TrainingData, generator: torch.Generator, progress: Progress
    ) -> TrainResult:
        config = CALConfig.from_dict({"preset": self.preset, **(self.settings or {})})
        return train_cal(model, data, config, generator, progress=progress)
