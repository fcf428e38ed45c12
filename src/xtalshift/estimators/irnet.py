"""Plain training (ERM) of an IRNet."""

from __future__ import annotations

from collections.abc import Sequence

from xtalshift.estimators.base import REGRESSORS, FitData
from xtalshift.estimators.network import NetworkRegressor, TrainingOptions, WeightsChoice
from xtalshift.nn import ERMConfig, IRNet, TrainingData, TrainResult, train_erm
from xtalshift.seeding import Seed

__all__ = ["IRNetRegressor"]


@REGRESSORS.register("IRNetRegressor")
class IRNetRegressor(NetworkRegressor):
    """IRNet trained by empirical risk minimisation, the control of every adversarial method.

    Parameters
    ----------
    architecture : str or sequence of int, default "auto"
        ``"irnet3"``, ``"irnet-cpu"``, widths, or ``"auto"`` by device.
    dropout : float, optional
        Default: 0.5 for ``irnet3``, 0.1 for ``irnet-cpu``, 0 for widths.
    epochs, patience, batch_size, learning_rate, weight_decay, ema_decay
        As in `xtalshift.nn.ERMConfig`.
    n_members : int, default 1
        Size of an ensemble that is trained as one model; `predict` returns its mean.
    bootstrap : bool, default False
        Whether each member of an ensemble has its own sample of the rows, with replacement.
    weights : {"best", "last", "ema"}, default "best"
        Parameters that `predict` uses; best is by validation error.
    validation_fraction : float, default 0.1
        Share of the rows held out where `fit` is given no validation rows.
    clip : float, default 10
        Features are clipped at this many standard deviations.
    bf16 : bool, default False
        Whether matrix products of the training are in bfloat16: faster where the hardware has it.
        Predictions are in double precision in any case.
    device : str, default "auto"
        ``"auto"``, ``"cpu"``, ``"cuda"`` ...
    random_state : int, Generator or None
        Seed of the initial parameters, batches and dropout.
    """

    def __init__(  # noqa: PLR0917 - the settings of an estimator
        self,
        architecture: str | Sequence[int] = "auto",
        dropout: float | None = None,
        epochs: int = 80,
        patience: int = 80,
        batch_size: int = 256,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        ema_decay: float = 0.995,
        n_members: int = 1,
        bootstrap: bool = False,  # noqa: FBT001, FBT002 - scikit-learn settings are plain
        weights: WeightsChoice = "best",
        validation_fraction: float = 0.1,
        clip: float = 10.0,
        bf16: bool = False,  # noqa: FBT001, FBT002
        device: str = "auto",
        random_state: Seed = None,
    ) -> None:
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
        self,
        model: IRNet,
        data: TrainingData,
        fit: FitData,  # noqa: ARG002
        how: TrainingOptions,
    ) -> TrainResult:
        names = ERMConfig.model_fields
        config = ERMConfig.from_dict({name: getattr(self, name) for name in names})
        return train_erm(model, data, config, how.generator, **how.keywords())
