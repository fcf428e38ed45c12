"""Networks trained for a worst case, for several environments, or on mixed rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from xtalshift.cal import CALConfig
from xtalshift.cal.environments import assign_environments
from xtalshift.estimators.base import REGRESSORS, FitData
from xtalshift.estimators.network import NetworkRegressor, TrainingOptions, WeightsChoice
from xtalshift.nn import (
    IRNet,
    RobustConfig,
    RobustTraining,
    Rows,
    TrainingData,
    TrainResult,
    run_training,
)
from xtalshift.nn.objectives.robust import GROUPED, Objective
from xtalshift.seeding import Seed

__all__ = ["RobustRegressor"]


@REGRESSORS.register("RobustRegressor")
class RobustRegressor(NetworkRegressor):
    """IRNet trained for another objective than the mean loss, at about the same cost.

    Parameters
    ----------
    objective : {"cvar", "chi2", "kl", "group-dro", "v-rex", "c-mixup"}, default "cvar"
        What is minimised, see `xtalshift.nn.RobustConfig`.
    strength : float, optional
        Its number: the share of the rows (``cvar``), the radius (``chi2``, ``kl``), the step of the
        weights (``group-dro``), the factor of the variance (``v-rex``), the width in standard
        deviations of the target (``c-mixup``). Default: that of the objective.
    n_environments : int, default 8
        Of ``group-dro`` and ``v-rex`` where `fit` is given none: k-means clusters of the
        standardised features.
    architecture, dropout, n_members, bootstrap, weights, validation_fraction, clip, bf16, device
        As in `IRNetRegressor`.
    epochs, patience, batch_size, learning_rate, weight_decay, ema_decay
        As in `xtalshift.nn.ERMConfig`; the best parameters are those with the lowest (mean)
        validation error in any case.
    random_state : int, Generator or None
        Seed of the initial parameters, batches, environments and dropout.

    Attributes
    ----------
    extras_ : dict of Tensor
        Of ``group-dro``: ``"group_weights"``, shape (environments,) or (members, environments), in
        the order of the sorted labels.
    """

    uses = frozenset({"environments"})

    def __init__(  # noqa: PLR0917 - the settings of an estimator
        self,
        objective: Objective = "cvar",
        strength: float | None = None,
        n_environments: int = 8,
        architecture: str | Sequence[int] = "auto",
        dropout: float | None = None,
        epochs: int = 80,
        patience: int = 80,
        batch_size: int = 256,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        ema_decay: float = 0.995,
        n_members: int = 1,
        bootstrap: bool = False,  # noqa: FBT001, FBT002
        weights: WeightsChoice = "best",
        validation_fraction: float = 0.1,
        clip: float = 10.0,
        bf16: bool = False,  # noqa: FBT001, FBT002
        device: str = "auto",
        random_state: Seed = None,
    ) -> None:
        self.objective = objective
        self.strength = strength
        self.n_environments = n_environments
        self.architecture = architecture
        self.dropout = dropout
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.ema_decay = ema_decay
        self.n_members = n_members
        self.bootstrap = bootstrap
        self.weights = weights
        self.validation_fraction = validation_fraction
        self.clip = clip
        self.bf16 = bf16
        self.device = device
        self.random_state = random_state

    def _config(self) -> RobustConfig:
        names = RobustConfig.model_fields
        return RobustConfig.from_dict({name: getattr(self, name) for name in names})

    def _source_rows(self, data: FitData, device: torch.device) -> Rows:
        rows = super()._source_rows(data, device)
        if self._config().objective not in GROUPED:
            return rows
        given = data.train.environments
        kind = "clusters" if given is None else "given"
        labels = assign_environments(
            CALConfig.from_dict({"environments": kind, "n_environments": self.n_environments}),
            rows.x.cpu().numpy(),
            given=given,
            seed=int(data.rng.integers(2**31)),
        )
        return replace(rows, environments=torch.as_tensor(labels, device=device))

    def _train(
        self,
        model: IRNet,
        data: TrainingData,
        fit: FitData,  # noqa: ARG002
        how: TrainingOptions,
    ) -> TrainResult:
        config = self._config()
        return run_training(
            RobustTraining(model, data.train, config, how.generator, sample=how.sample),
            data.validation,
            epochs=config.epochs,
            patience=config.patience,
            name=config.objective,
            progress=how.progress,
            checkpoint=how.checkpoint,
        )
