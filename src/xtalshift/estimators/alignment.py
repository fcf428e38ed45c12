"""Networks whose representation of source and target rows is made alike."""

from __future__ import annotations

from collections.abc import Sequence

from xtalshift.estimators.base import REGRESSORS, FitData
from xtalshift.estimators.network import NetworkRegressor, TrainingOptions, WeightsChoice
from xtalshift.nn import (
    AlignedConfig,
    AlignedTraining,
    IRNet,
    TrainingData,
    TrainResult,
    run_training,
    train_erm,
)
from xtalshift.nn.device import resolve_device
from xtalshift.nn.objectives.alignment import Alignment
from xtalshift.seeding import Seed

__all__ = ["AlignedRegressor"]


@REGRESSORS.register("AlignedRegressor")
class AlignedRegressor(NetworkRegressor):
    """IRNet trained on labelled source rows and aligned with unlabelled rows of a target domain.

    Without ``X_target`` in `fit` it is plain training, that of `IRNetRegressor` to the bit.

    Parameters
    ----------
    alignment : {"coral", "mmd"}, default "coral"
        What of the representations is made alike, see `xtalshift.nn.AlignedConfig`.
    strength : float, optional
        Factor of its loss beside the mean loss of the source rows. Default: that of the alignment.
    architecture, dropout, n_members, bootstrap, weights, validation_fraction, clip, bf16, device
        As in `IRNetRegressor`; ``best`` is by the validation rows, which are source rows.
    epochs, patience, batch_size, learning_rate, weight_decay, ema_decay
        As in `xtalshift.nn.ERMConfig`; a step has a batch of each domain.
    random_state : int, Generator or None
        Seed of the initial parameters, batches and dropout.
    """

    uses = frozenset({"X_target"})

    def __init__(  # noqa: PLR0917 - the settings of an estimator
        self,
        alignment: Alignment = "coral",
        strength: float | None = None,
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
        self.alignment = alignment
        self.strength = strength
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

    def _train(
        self, model: IRNet, data: TrainingData, fit: FitData, how: TrainingOptions
    ) -> TrainResult:
        names = AlignedConfig.model_fields
        config = AlignedConfig.from_dict({name: getattr(self, name) for name in names})
        if fit.target is None:
            return train_erm(model, data, config, how.generator, **how.keywords())
        target = self._rows(fit.target, resolve_device(self.device))
        return run_training(
            AlignedTraining(model, data.train, target, config, how.generator, sample=how.sample),
            data.validation,
            epochs=config.epochs,
            patience=config.patience,
            name=config.alignment,
            progress=how.progress,
            checkpoint=how.checkpoint,
        )
