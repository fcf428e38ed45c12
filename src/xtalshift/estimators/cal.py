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
from xtalshift.cal.crystal_features import check_features
from xtalshift.cal.environments import assign_environments
from xtalshift.cal.kept_attack import KeptStructureAttack
from xtalshift.cal.loop import CALTraining
from xtalshift.cal.row_ascent import within_ball
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.step import Attack
from xtalshift.cal.structure_attack import build_structure_attack
from xtalshift.cal.torch_features import TorchFeatures
from xtalshift.cal.weights import CALState
from xtalshift.errors import ConfigError
from xtalshift.estimators.base import FitData
from xtalshift.estimators.irnet import IRNetBase, IRNetShape
from xtalshift.estimators.network import Network
from xtalshift.featurize import CompositionSource
from xtalshift.nn.crystal_rows import CrystalRows
from xtalshift.nn.device import resolve_device
from xtalshift.nn.irnet import IRNet
from xtalshift.nn.padded_compositions import Slots, join_slots, pad_compositions
from xtalshift.nn.rows import Rows, TrainingData, iterate_batches, row_losses
from xtalshift.nn.training import predict_rows
from xtalshift.structure import Structures


@dataclass(eq=False, repr=False, kw_only=True)
class CALShape(IRNetShape):
    """The training of `CALRegressor`."""

    preset: str = field(default="cal", kw_only=False)
    settings: Mapping[str, Any] | None = field(default=None, kw_only=False)

    uses = frozenset({"environments", "origin"})

    @property
    def needs_origin(self) -> bool:
        """Whether `fit` with these settings needs `origin`, the compositions or structures."""
        config = self._config()
        return config.attack != "features" or config.environments == "families"

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
        # only attacks on materials need the featurizer
        self.featurizer_ = origin.featurizer if origin and config.attack != "features" else None
        return add_origin(self, super()._source_rows(data, device), data, config)

    def _training(self, model: IRNet, data: TrainingData, **how: Any) -> CALTraining:
        config, criterion = self._config(), self.criterion_of(data.train)
        attacker: Attack | None = None
        if self.featurizer_ is not None and config.attack == "composition":
            moves = TorchFeatures(self.featurizer_, self.scaler_)
            attacker = attack_compositions(moves, criterion.rows)
        elif self.featurizer_ is not None and config.attacks:
            mover = build_structure_attack(self.featurizer_, self.scaler_, config, criterion.rows)
            attacker = KeptStructureAttack(mover, data.train)
        return CALTraining(model, data, config, attacker=attacker, criterion=criterion, **how)


@dataclass(eq=False, repr=False, kw_only=True)
class CALRegressor(CALShape, IRNetBase):
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

    uses = CALShape.uses | {"bounds"}

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
            The materials, for ``attack="composition"`` and ``attack="structure"``.

        Returns
        -------
        AdversarialRows

        Raises
        ------
        ConfigError
            If materials are needed and not given, or for an ensemble.
        """
        check_is_fitted(self)
        if self.n_members > 1:
            raise ConfigError("attack_rows works for n_members = 1 only")
        config = self._config()
        device = resolve_device(self.device)
        rows = with_materials(self, self._rows(self._check_rows(X, y), device), origin, config)
        weights = self.extras_["weights"].to(device)
        gamma = self.extras_["gamma"].to(device).squeeze()
        model = self._build(self.states_[self.weights]).to(device, rows.x.dtype)
        slots = structures = None
        if rows.crystals is not None and origin is not None:
            x_adv, structures = rows.x, rows.crystals.structures
            if config.attacks:
                mover = build_structure_attack(origin.featurizer, self.scaler_, config)
                within = within_ball(config, weights)
                x_adv, structures = mover(model, rows, weights, float(gamma), within)
        else:
            attacker: Attack = attack
            if rows.compositions is not None and origin is not None:
                attacker = attack_compositions(TorchFeatures(origin.featurizer, self.scaler_))
            cost = CALState(weights, torch.zeros_like(weights, dtype=torch.bool), gamma)
            order = torch.arange(len(rows), device=device)
            batches = iterate_batches(order, config.batch_size)
            moved = [attacker(model, rows.take(batch), cost, config).rows for batch in batches]
            x_adv = torch.cat([part.x for part in moved])
            parts = [part.compositions for part in moved if part.compositions is not None]
            slots = join_slots(parts) if parts else None
        before, after = predict_rows(model, rows.x), predict_rows(model, x_adv)
        gain = row_losses(after, rows.y) - row_losses(before, rows.y)
        moves, prediction, adversarial, grown = (
            part.cpu().numpy().astype(np.float64) for part in (x_adv - rows.x, before, after, gain)
        )
        return AdversarialRows(
            moves,
            self._in_units(prediction),
            self._in_units(adversarial),
            grown,
            slots,
            structures,
        )


@dataclass(frozen=True)
class AdversarialRows:
    """Labelled rows after an attack."""

    displacement: NDArray[np.float64]
    """Shape (n, d_kept). ``x_adv - x`` in standard deviations, for the features that vary."""
    prediction: NDArray[np.float64]
    adversarial_prediction: NDArray[np.float64]
    """Shape (n,). `prediction`, `adversarial_prediction`: predictions before and after the attack,
    in the unit of the target."""
    loss_gain: NDArray[np.float64]
    """Shape (n,). Growth of the smooth L1 loss, for targets in standard deviations."""
    compositions: Slots | None
    """N rows. Compositions after the attack, if compositions were attacked."""
    structures: Structures | None
    """N rows. Crystals after the attack, if crystals were attacked."""


def add_origin(regressor: Network, rows: Rows, data: FitData, config: CALConfig) -> Rows:
    """Return training rows with the environments and materials that the settings need."""
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
    return with_materials(regressor, rows, origin, config)


def with_materials(
    regressor: Network, rows: Rows, origin: CompositionSource | None, config: CALConfig
) -> Rows:
    """Return rows with what the attack of the settings moves, numbered from 0.

    Raises
    ------
    ConfigError
        If it is not known, or cannot be attacked with these features.
    """
    if config.attack == "features":
        return rows
    named = f"attack = {config.attack!r}"
    if origin is None:
        what = "formulas" if config.attack == "composition" else "crystal structures"
        raise ConfigError(
            f"{named} needs {what}: give origin=CompositionSource(...) to fit, use "
            "FormulaRegressor, or choose attack = 'features'"
        )
    if regressor.n_members > 1:
        raise ConfigError(f"{named} works for n_members = 1 only")
    if config.attack == "structure":
        check_features(origin.featurizer)
        if origin.structures is None:
            raise ConfigError(
                f"{named} needs crystal structures, and there are only formulas: name their column "
                "(--structure-col) or their folder (--structures), or choose attack = 'composition'"
            )
        numbers = torch.arange(len(rows), device=rows.y.device)
        return replace(rows, crystals=CrystalRows(origin.structures, numbers))
    width = len(origin.featurizer.names)
    if width != regressor.n_features_in_:
        raise ConfigError(
            f"{named} moves the {width} composition features, but X has "
            f"{regressor.n_features_in_}; leave the extra feature columns out"
        )
    slots = pad_compositions(origin.compositions, dtype=rows.x.dtype, device=rows.y.device)
    return replace(rows, compositions=slots)
