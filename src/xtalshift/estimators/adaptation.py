"""Networks adapted to a target domain, as scikit-learn regressors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from xtalshift.cal.adaptation import ADAPTATIONS, AdaptConfig, adapt_network
from xtalshift.errors import ConfigError
from xtalshift.estimators.base import FitData, Labelled, Regressor
from xtalshift.estimators.irnet import IRNetBase
from xtalshift.nn.device import resolve_device
from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.irnet import IRNet
from xtalshift.nn.rows import TrainingData
from xtalshift.nn.settings import ERMConfig
from xtalshift.progress import NO_PROGRESS, Progress
from xtalshift.seeding import as_generator

TARGET_LABELS = "target labels (y_target)"


@dataclass(eq=False, repr=False, kw_only=True)
class TargetedCALRegressor(IRNetBase):
    """IRNet trained on source rows, then adapted to a target domain (arXiv:2408.09297).

    `fit` does both; `adapt` starts from a fitted network. Without target rows, `fit` is plain
    training.

    Parameters
    ----------
    method : str, default "targeted-cal"
        ``"targeted-cal"``, or one of its controls: ``"targeted-cal-eps0"``, ``"joint"``,
        ``"fine-tune"``, ``"l2-sp"``, ``"head-only"``. See `xtalshift.cal.adaptation.AdaptConfig`.
    settings : mapping, optional
        Other values of `AdaptConfig`.
    source : mapping, optional
        Values of `xtalshift.nn.ERMConfig` for the training on source rows.
    architecture, dropout, n_members, bootstrap, weights, clip, bf16, device
        As in `IRNetRegressor`; ``best`` has the smallest error on held-out target labels.
    validation_fraction : float, default 0.2
        Share of the target labels that is held out for selection; also of the source rows if `fit`
        is given no validation rows.
    random_state : int, Generator or None
        Seed.

    Attributes
    ----------
    start_val_mae_, val_mae_, dummy_val_mae_ : float
        Error on the validation rows before and after the adaptation, and of the mean of the
        training labels. With fewer than 10 labels, all of them serve as both.
    n_validation_ : int
        Number of validation rows.
    """

    method: str = field(default="targeted-cal", kw_only=False)
    settings: Mapping[str, Any] | None = field(default=None, kw_only=False)
    source: Mapping[str, Any] | None = field(default=None, kw_only=False)
    validation_fraction: float = 0.2

    uses = frozenset({"X_target", "y_target"})

    def adapt(
        self,
        model: Regressor,
        X_target: ArrayLike,
        y_target: ArrayLike | None = None,
        X: ArrayLike | None = None,
        y: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        source_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        source_groups: ArrayLike | None = None,
        progress: Progress = NO_PROGRESS,
    ) -> Self:
        """Adapt a fitted network, which does not change.

        Architecture, scaling, members and initial parameters are those of `model`.

        Parameters
        ----------
        model : IRNetBase
            A network fitted on source rows.
        X_target : array_like of float, shape (k, d)
            Features of the target domain.
        y_target : array_like of float, shape (k,), optional
            Target labels, for methods that use them.
        X, y : array_like of float, shapes (n, d) and (n,), optional
            Labelled source rows to replay. Without them, only target labels are used.
        sample_weight, source_weight : array_like of float, shapes (k,) and (n,), optional
            Weight of each target label, and of each source row, in the loss.
        groups : array_like of str, shape (k,), optional
            Reduced formulas of the target labels: no formula is in both training and validation.
        source_groups : array_like of str, shape (n,), optional
            Reduced formulas of the source rows: those of validation labels are not replayed.
        progress : Progress
            Reports the progress of the adaptation.

        Returns
        -------
        self

        Raises
        ------
        ConfigError
            If `model` is not an `IRNet`, or rows that the method needs are missing.
        sklearn.exceptions.NotFittedError
            If `model` is not fitted.
        ValueError
            If shapes do not fit.
        """
        if (X is None) != (y is None):
            raise ValueError("give both X and y, or neither")
        if not isinstance(model, IRNetBase):
            raise ConfigError(f"only IRNets can be adapted, not a {type(model).__name__}")
        check_is_fitted(model)
        adaptation = ADAPTATIONS[self._config().method]
        if adaptation.needs_source:
            self._require(X, "source rows (X and y; --source FILE on the command line)")
        if adaptation.uses_labels:
            self._require(y_target, TARGET_LABELS)
        self._check_settings()
        self.n_features_in_ = model.n_features_in_
        for name in ("scaler_", "target_mean_", "target_scale_", "widths_", "dropout_"):
            setattr(self, name, getattr(model, name))
        # without the second head that heteroscedastic models have
        own = self._network([torch.Generator()] * model.n_members).state_dict()
        start = model.states_[model.weights]
        self.states_ = {self.weights: {name: start[name] for name in own}}
        self.history_ = []
        source = None if X is None else self._check_rows(X, y, source_groups, source_weight)
        target = self._check_rows(X_target, y_target, groups, sample_weight)
        self._adapt(source, target, as_generator(self.random_state), progress)
        return self

    def _require(self, rows: ArrayLike | None, what: str) -> None:
        if rows is None:
            raise ConfigError(f"method = {self.method!r} needs {what}")

    def _config(self) -> AdaptConfig:
        return AdaptConfig.from_dict({"method": self.method, **(self.settings or {})})

    def _fit(self, data: FitData) -> None:
        adaptation = ADAPTATIONS[self._config().method]  # wrong settings fail before the training
        if data.target is not None and adaptation.uses_labels:
            self._require(None if np.isnan(data.target.y).all() else data.target.y, TARGET_LABELS)
        super()._fit(data)
        if data.target is not None:
            self._adapt(data.train, data.target, data.rng, data.progress)

    def _training(self, model: IRNet, data: TrainingData, **how: Any) -> ERMTraining:
        config = ERMConfig.from_dict(dict(self.source or {}))
        return ERMTraining(model, data.train, config, **how)

    def _adapt(
        self,
        source: Labelled | None,
        target: Labelled,
        rng: np.random.Generator,
        progress: Progress,
    ) -> None:
        """Continue from the parameters in `states_`."""
        config = self._config()
        if source is not None and not ADAPTATIONS[config.method].uses_labels:
            source, validation = self._hold_out(source, source.groups, rng)
            labels = source.y
        else:
            target, validation = self._hold_out(target, target.groups, rng)
            labels = target.y
            source = _leave_out(source, validation)
        device = resolve_device(self.device)
        model = self._build(self.states_[self.weights]).to(device)
        model.bf16 = self.bf16
        self.start_val_mae_ = self._error(validation)
        self.dummy_val_mae_ = float(np.abs(validation.y - labels.mean()).mean())
        self.n_validation_ = len(validation.y)
        result = adapt_network(
            model,
            None if source is None else self._rows(source, device),
            self._rows(target, device),
            self._rows(validation, device),
            config,
            torch.Generator(device).manual_seed(int(rng.integers(2**62))),
            progress=progress,
        )
        self._keep(result)
        self.val_mae_ = self._error(validation)

    def _error(self, rows: Labelled) -> float:
        """Return the mean absolute error of the parameters that `predict` uses."""
        return float(np.abs(self._predict(rows.X) - rows.y).mean())


def _leave_out(source: Labelled | None, validation: Labelled) -> Labelled | None:
    """Return the source rows with formulas that no validation row has; None if there are none."""
    if source is None or source.groups is None or validation.groups is None:
        return source
    kept = source.take(~np.isin(source.groups, validation.groups))
    return kept if len(kept.y) else None
