"""Crystal Adversarial Learning as a scikit-learn regressor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from xtalshift.cal.attack import attack
from xtalshift.cal.composition_attack import attack_compositions
from xtalshift.cal.environments import assign_environments
from xtalshift.cal.loop import CALTraining
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.step import Attack
from xtalshift.cal.torch_features import TorchFeatures
from xtalshift.cal.weights import CALState
from xtalshift.errors import ConfigError
from xtalshift.estimators.base import FitData
from xtalshift.estimators.irnet import IRNetBase
from xtalshift.estimators.network import NetworkRegressor
from xtalshift.featurize import CompositionSource
from xtalshift.nn.device import resolve_device
from xtalshift.nn.irnet import IRNet
from xtalshift.nn.padded_compositions import Slots, join_slots, pad_compositions
from xtalshift.nn.rows import Rows, TrainingData, iterate_batches
from xtalshift.nn.training import predict_rows


@dataclass(eq=False, repr=False, kw_only=True)
class CALRegressor(IRNetBase):
    """IRNet trained by Crystal Adversarial Learning (arXiv:2408.09297).

    Parameters
    ----------
    preset : str, default "cal"
        Set of settings, see `xtalshift.cal.PRESETS`.
    settings : mapping, optional
        Values of `xtalshift.cal.CALConfig` that override the preset.
    architecture, dropout, n_members, bootstrap, weights, validation_fraction, clip, bf16, device
        As in `IRNetRegressor`.
    random_state : int, Generator or None
        Seed of the initial parameters, batches, environments and dropout.
    """

    preset: str = field(default="cal", kw_only=False)
    settings: Mapping[str, Any] | None = field(default=None, kw_only=False)

    uses = frozenset({"environments", "origin"})

    @property
    def needs_origin(self) -> bool:
        """Whether `fit` with these settings needs `origin`, the compositions."""
        config = self._config()
        return config.attack == "composition" or config.environments == "families"

    def _check_settings(self) -> None:
        super()._check_settings()
        config = self._config()
        if config.needs_ensemble and self.n_members == 1:
            raise ConfigError(
                f"objective = {config.objective!r} and labels = {config.labels!r} compare the "
                "members of an ensemble, and n_members = 1; set n_members = 5, for example"
            )
        if config.objective == "uncertainty" and self.bootstrap:
            raise ConfigError(
                "objective = 'uncertainty' gives all members the same batches; leave bootstrap = "
                "False"
            )

    def _config(self) -> CALConfig:
        return CALConfig.from_dict({"preset": self.preset, **(self.settings or {})})

    def _source_rows(self, data: FitData, device: torch.device) -> Rows:
        config, origin = self._config(), data.train.origin
        # only an attack on compositions needs the featurizer
        self.featurizer_ = origin.featurizer if origin and config.attack == "composition" else None
        return add_origin(self, super()._source_rows(data, device), data, config)

    def _training(self, model: IRNet, data: TrainingData, **how: Any) -> CALTraining:
        attacker: Attack = attack
        if self.featurizer_ is not None:
            attacker = attack_compositions(TorchFeatures(self.featurizer_, self.scaler_))
        return CALTraining(model, data, self._config(), attacker=attacker, **how)

    def attack_rows(
        self, X: ArrayLike, y: ArrayLike, origin: CompositionSource | None = None
    ) -> AdversarialRows:
        """Attack labelled rows of the fitted model, at the transport cost that it learned.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features.
        y : array_like of float, shape (n,)
            Targets.
        origin : CompositionSource of n rows, optional
            The compositions, for ``attack="composition"``.

        Returns
        -------
        AdversarialRows

        Raises
        ------
        ConfigError
            If compositions are needed and not given, or for an ensemble.
        """
        check_is_fitted(self)
        if self.n_members > 1:
            raise ConfigError("attack_rows works for n_members = 1 only")
        config = self._config()
        device = resolve_device(self.device)
        rows = self._rows(self._check_rows(X, y), device)
        attacker: Attack = attack
        if config.attack == "composition":
            checked = check_composition_attack(origin, self)
            start = pad_compositions(checked.compositions, dtype=rows.x.dtype, device=device)
            rows = replace(rows, compositions=start)
            attacker = attack_compositions(TorchFeatures(checked.featurizer, self.scaler_))
        weights = self.extras_["weights"].to(device)
        gamma = self.extras_["gamma"].to(device).squeeze()
        cost = CALState(weights, torch.zeros_like(weights, dtype=torch.bool), gamma)
        model = self._build(self.states_[self.weights]).to(device, rows.x.dtype)
        order = torch.arange(len(rows), device=device)
        batches = iterate_batches(order, config.batch_size)
        moved = [attacker(model, rows.take(batch), cost, config).rows for batch in batches]
        x_adv = torch.cat([part.x for part in moved])
        slots = [part.compositions for part in moved if part.compositions is not None]
        moves, before, after = (
            part.cpu().numpy().astype(np.float64)
            for part in (x_adv - rows.x, predict_rows(model, rows.x), predict_rows(model, x_adv))
        )
        joined = join_slots(slots) if slots else None
        return AdversarialRows(moves, self._in_units(before), self._in_units(after), joined)


@dataclass(frozen=True)
class AdversarialRows:
    """Labelled rows after an attack."""

    displacement: NDArray[np.float64]
    """Shape (n, d_kept). ``x_adv - x`` in standard deviations, for the features that vary."""
    prediction: NDArray[np.float64]
    adversarial_prediction: NDArray[np.float64]
    """Shape (n,). `prediction`, `adversarial_prediction`: predictions before and after the attack,
    in the unit of the target."""
    compositions: Slots | None
    """N rows. Compositions after the attack, if compositions were attacked."""


def add_origin(regressor: NetworkRegressor, rows: Rows, data: FitData, config: CALConfig) -> Rows:
    """Return training rows with the environments and compositions that the settings need."""
    train = data.train
    origin = train.origin
    labels = assign_environments(
        config.environments,
        rows.x.cpu().numpy(),
        n_clusters=config.n_environments,
        compositions=None if origin is None else origin.compositions,
        given=train.environments,
        seed=int(data.rng.integers(2**31)),
    )
    if labels is not None:
        environments = torch.as_tensor(labels, dtype=torch.int64, device=rows.y.device)
        rows = replace(rows, environments=environments)
    if config.attack == "composition":
        checked = check_composition_attack(origin, regressor)
        slots = pad_compositions(checked.compositions, dtype=rows.x.dtype, device=rows.y.device)
        rows = replace(rows, compositions=slots)
    return rows


def check_composition_attack(
    origin: CompositionSource | None, regressor: NetworkRegressor
) -> CompositionSource:
    """Return `origin`, or raise `ConfigError` if compositions cannot be attacked."""
    if origin is None:
        raise ConfigError(
            "attack = 'composition' needs formulas: give origin=CompositionSource(...) to fit, use "
            "FormulaRegressor, or choose attack = 'features'"
        )
    if regressor.n_members > 1:
        raise ConfigError("attack = 'composition' works for n_members = 1 only")
    width = len(origin.featurizer.names)
    if width != regressor.n_features_in_:
        raise ConfigError(
            f"attack = 'composition' moves the {width} composition features, but X has "
            f"{regressor.n_features_in_}; leave the extra feature columns out"
        )
    return origin
