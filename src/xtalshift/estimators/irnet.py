"""IRNets as scikit-learn regressors: plain training and other objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from xtalshift.cal.environments import assign_environments
from xtalshift.errors import ConfigError
from xtalshift.estimators.base import FitData
from xtalshift.estimators.network import Network, NetworkRegressor
from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.heteroscedastic import GaussianIRNet, HeteroscedasticTraining
from xtalshift.nn.irnet import IRNet, thin_network
from xtalshift.nn.objectives.alignment import AlignedConfig, AlignedTraining, Alignment
from xtalshift.nn.objectives.robust import GROUPED, Objective, RobustConfig, RobustTraining
from xtalshift.nn.rows import Rows, TrainingData
from xtalshift.nn.settings import ERMConfig, name_architecture, resolve_architecture

DROPOUT = {"irnet3": 0.5, "irnet-cpu": 0.1}
"""Default dropout of the named architectures."""

_MOST_SAMPLES = 1000


@dataclass(eq=False, repr=False, kw_only=True)
class IRNetShape(Network):
    """An `IRNet`, of numbers or of classes; a subclass defines its training.

    Parameters
    ----------
    architecture : str or sequence of int, default "auto"
        ``"irnet3"``, ``"irnet-cpu"``, widths, or ``"auto"`` by device.
    dropout : float, optional
        Default: 0.5 for ``irnet3``, 0.1 for ``irnet-cpu``, 0 for widths.
    n_members : int, default 1
        Size of an ensemble that is trained as one model; `predict` returns its mean.
    bootstrap : bool, default False
        Whether each member of an ensemble gets its own sample of the rows, with replacement.
    weights, validation_fraction, clip, bf16, device, random_state
        As in `Network`.
    """

    architecture: str | Sequence[int] = "auto"
    dropout: float | None = None
    n_members: int = 1
    bootstrap: bool = False

    def _network(self, generators: Sequence[torch.Generator]) -> IRNet:
        return self._make(IRNet, generators)

    def _make(self, kind: type[IRNet], generators: Sequence[torch.Generator]) -> IRNet:
        n_features = int(self.scaler_.kept_.sum())
        one_or_many = generators if len(generators) > 1 else generators[0]
        how = {} if self.outputs is None else {"outputs": self.outputs}
        return kind(n_features, self.widths_, self.dropout_, one_or_many, **how)

    def _resolve_widths(self, device: torch.device) -> tuple[int, ...]:
        return resolve_architecture(self.architecture, device.type)

    def _resolve_dropout(self, device: torch.device) -> float:
        if self.dropout is not None:
            if not 0 <= self.dropout < 1:
                raise ConfigError(f"dropout = {self.dropout}; expected a number in [0, 1)")
            return float(self.dropout)
        if not isinstance(self.architecture, str):
            return 0.0
        return DROPOUT[name_architecture(self.architecture, device.type)]


@dataclass(eq=False, repr=False, kw_only=True)
class IRNetBase(IRNetShape, NetworkRegressor):
    """An `IRNet` of numbers; a subclass defines its training.

    Parameters
    ----------
    architecture, dropout, n_members, bootstrap, weights, validation_fraction, clip, bf16, device
        As in `IRNetShape`.
    random_state : int, Generator or None
        Seed.
    """


@dataclass(eq=False, repr=False, kw_only=True)
class ERMArguments:
    """The settings of plain training as arguments, see `xtalshift.nn.settings.ERMConfig`."""

    epochs: int = 80
    patience: int = 80
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    ema_decay: float = 0.995


@dataclass(eq=False, repr=False, kw_only=True)
class ERMShape(ERMArguments, IRNetShape):
    """An `IRNet` with plain training."""

    def _training(self, model: IRNet, data: TrainingData, **how: Any) -> ERMTraining:
        config = self._values_of(ERMConfig)
        criterion = self.criterion_of(data.train)
        return ERMTraining(model, data.train, config, criterion=criterion, **how)


@dataclass(eq=False, repr=False, kw_only=True)
class IRNetRegressor(ERMShape, IRNetBase):
    """IRNet trained by empirical risk minimisation, the control of every adversarial method.

    Parameters
    ----------
    architecture, dropout, n_members, bootstrap
        As in `IRNetBase`.
    epochs, patience, batch_size, learning_rate, weight_decay, ema_decay
        As in `xtalshift.nn.settings.ERMConfig`.
    weights, validation_fraction, clip, bf16, device, random_state
        As in `NetworkRegressor`.
    """

    architecture: str | Sequence[int] = field(default="auto", kw_only=False)

    uses = frozenset({"bounds"})


@dataclass(eq=False, repr=False, kw_only=True)
class HeteroscedasticRegressor(IRNetRegressor):
    """IRNet with a second output: the standard deviation of each target.

    The loss is `xtalshift.nn.heteroscedastic.beta_nll`, also of bounds: it learns the spread around
    them. The standard deviation describes the training targets (noise, polymorphs of one formula)
    and says little about materials unlike them. There the members of an ensemble (`n_members`) may
    disagree; their variance is added (Lakshminarayanan et al., NeurIPS 2017, section 2.4).

    Parameters
    ----------
    architecture, dropout, epochs, patience, batch_size, learning_rate, weight_decay, ema_decay,
    n_members, bootstrap, weights, validation_fraction, clip, bf16, device, random_state
        As in `IRNetRegressor`.
    """

    def _network(self, generators: Sequence[torch.Generator]) -> IRNet:
        return self._make(GaussianIRNet, generators)

    def _training(self, model: IRNet, data: TrainingData, **how: Any) -> ERMTraining:
        config, criterion = self._values_of(ERMConfig), self.criterion_of(data.train)
        return HeteroscedasticTraining(model, data.train, config, criterion=criterion, **how)

    def predict_std(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the standard deviation of a new target, shape (n,), in the unit of the target."""
        return np.asarray(self.predict_with_std(X)[1])

    def predict_with_std(self, X: ArrayLike) -> tuple[NDArray[np.float64], Any]:
        """Return mean and standard deviation, shapes (n,), in the unit of the target."""
        state, checked = self.states_[self.weights], self._check_features(X)
        mean, std = self._evaluate(state, checked, self._mean_and_std)
        return self._in_units(mean), std * self.target_scale_

    def _mean_and_std(self, net: IRNet, x: torch.Tensor) -> torch.Tensor:
        assert isinstance(net, GaussianIRNet)
        mean, std = (part.reshape(-1, len(x)) for part in net.mean_and_std(x))
        variance = std.square().mean(dim=0) + mean.var(dim=0, correction=0)
        return torch.stack([mean.mean(dim=0), variance.sqrt()])


@dataclass(eq=False, repr=False, kw_only=True)
class MCDropoutRegressor(IRNetRegressor):
    """IRNet with a standard deviation from Monte Carlo dropout (Gal and Ghahramani, ICML 2016).

    The prediction is that of the network without dropout, and the standard deviation that of
    networks thinned by dropout. Training takes less time than for an ensemble and prediction as
    many passes; the standard deviation is usually less informative.

    Parameters
    ----------
    n_samples : int, default 16
        Number of thinned networks, the same for all rows, see `xtalshift.nn.irnet.thin_network`.
    architecture, dropout, epochs, patience, batch_size, learning_rate, weight_decay, ema_decay,
    weights, validation_fraction, clip, bf16, device, random_state
        As in `IRNetRegressor`; dropout must not be 0, and is 0.1 by default for widths.
    """

    architecture: str | Sequence[int] = "auto"
    n_samples: int = 16
    n_members: int = field(default=1, init=False)
    bootstrap: bool = field(default=False, init=False)

    def _check_settings(self) -> None:
        super()._check_settings()
        # one network has no standard deviation, and each takes its memory
        if not 2 <= self.n_samples <= _MOST_SAMPLES:  # noqa: PLR2004
            raise ConfigError(f"n_samples = {self.n_samples}; expected 2 to {_MOST_SAMPLES}")

    def _resolve_dropout(self, device: torch.device) -> float:
        if self.dropout == 0:
            raise ConfigError(
                "dropout = 0: without dropout the standard deviation is 0; set 0.1, for example"
            )
        return super()._resolve_dropout(device) or DROPOUT["irnet-cpu"]

    def predict_std(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the standard deviation over the thinned networks, shape (n,)."""
        state = thin_network(
            self.states_[self.weights],
            self.dropout_,
            self.n_samples,
            torch.Generator().manual_seed(0),
        )
        checked = self._check_features(X)
        return self.target_scale_ * self._evaluate(state, checked, lambda net, x: net(x).std(dim=0))


@dataclass(eq=False, repr=False, kw_only=True)
class RobustShape(ERMShape):
    """The training of `RobustRegressor`."""

    architecture: str | Sequence[int] = "auto"
    objective: Objective = field(default="cvar", kw_only=False)
    strength: float | None = field(default=None, kw_only=False)
    n_environments: int = 8

    uses = frozenset({"environments"})

    def _source_rows(self, data: FitData, device: torch.device) -> Rows:
        rows = super()._source_rows(data, device)
        if self._values_of(RobustConfig).objective not in GROUPED:
            return rows
        given = data.train.environments
        labels = assign_environments(
            "clusters" if given is None else "given",
            rows.x.cpu().numpy(),
            n_clusters=self.n_environments,
            given=given,
            seed=int(data.rng.integers(2**31)),
        )
        return replace(rows, environments=torch.as_tensor(labels, device=device))

    def _training(self, model: IRNet, data: TrainingData, **how: Any) -> ERMTraining:
        config = self._values_of(RobustConfig)
        criterion = self.criterion_of(data.train)
        return RobustTraining(model, data.train, config, criterion=criterion, **how)


@dataclass(eq=False, repr=False, kw_only=True)
class RobustRegressor(RobustShape, IRNetRegressor):
    """IRNet trained with an objective other than the mean loss, at about the same cost.

    Parameters
    ----------
    objective : {"cvar", "group-dro", "v-rex", "c-mixup"}, default "cvar"
        Objective to minimise, see `xtalshift.nn.objectives.robust.RobustConfig`.
    strength : float, optional
        Number of the objective, as in `RobustConfig`.
    n_environments : int, default 8
        Environments of ``group-dro`` and ``v-rex`` if `fit` is given none: k-means clusters of the
        standardised features.
    architecture, dropout, n_members, bootstrap, weights, validation_fraction, clip, bf16, device
        As in `IRNetRegressor`.
    epochs, patience, batch_size, learning_rate, weight_decay, ema_decay
        As in `xtalshift.nn.settings.ERMConfig`; for all objectives the best parameters are those
        with the lowest (mean) validation error.
    random_state : int, Generator or None
        Seed of the initial parameters, batches, environments and dropout.

    Attributes
    ----------
    extras_ : dict of Tensor
        For ``group-dro``: ``"group_weights"``, shape (environments,) or (members, environments), in
        the order of the sorted labels.
    """

    uses = RobustShape.uses | {"bounds"}


@dataclass(eq=False, repr=False, kw_only=True)
class AlignedShape(ERMShape):
    """The training of `AlignedRegressor`."""

    architecture: str | Sequence[int] = "auto"
    alignment: Alignment = field(default="coral", kw_only=False)
    strength: float | None = field(default=None, kw_only=False)

    uses = frozenset({"X_target"})

    def _training(self, model: IRNet, data: TrainingData, **how: Any) -> ERMTraining:
        config = self._values_of(AlignedConfig)
        how["criterion"] = self.criterion_of(data.train)
        if data.target is None:
            return ERMTraining(model, data.train, config, **how)
        return AlignedTraining(model, data.train, data.target, config, **how)


@dataclass(eq=False, repr=False, kw_only=True)
class AlignedRegressor(AlignedShape, IRNetRegressor):
    """IRNet trained on labelled source rows and aligned with unlabelled rows of a target domain.

    Without ``X_target`` in `fit` the training is that of `IRNetRegressor`, to the bit.

    Parameters
    ----------
    alignment, strength
        As in `xtalshift.nn.objectives.alignment.AlignedConfig`.
    architecture, dropout, n_members, bootstrap, weights, validation_fraction, clip, bf16, device
        As in `IRNetRegressor`; ``best`` has the smallest error on validation rows of the source.
    epochs, patience, batch_size, learning_rate, weight_decay, ema_decay
        As in `xtalshift.nn.settings.ERMConfig`; a step takes a batch of each domain.
    random_state : int, Generator or None
        Seed of the initial parameters, batches and dropout.
    """

    uses = AlignedShape.uses | {"bounds"}
