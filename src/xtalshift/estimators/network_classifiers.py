"""Networks of classes: the trainings of the regressors with k outputs and cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ConfigError
from xtalshift.estimators.base import Classifier, FitData
from xtalshift.estimators.cal import CALShape
from xtalshift.estimators.class_predictors import CLASSES, ClassPredictor, spread_out
from xtalshift.estimators.irnet import AlignedShape, ERMShape, RobustShape
from xtalshift.estimators.network import Network, WeightsChoice
from xtalshift.estimators.predictors import Arrays
from xtalshift.nn.irnet import IRNet, outputs_apart
from xtalshift.nn.losses import CROSS_ENTROPY, Loss
from xtalshift.rowwise import softmax
from xtalshift.saved_arrays import Layout, Schema

FloatArray = NDArray[np.float64]


@dataclass(eq=False, repr=False, kw_only=True)
class NetworkClassifier(Network, Classifier):
    """A network whose outputs are the logits of the classes; a subclass defines its training.

    Parameters
    ----------
    weights, validation_fraction, clip, bf16, device, random_state
        As in `Network`; the best parameters are those with the smallest validation log loss, which
        is ``val_log_loss`` of `history_`.
    """

    @property
    def criterion(self) -> Loss:
        """Cross-entropy, which also selects."""
        return CROSS_ENTROPY

    @property
    def outputs(self) -> int:
        """One logit per class that is present."""
        return len(self.present_)

    def predict_members(self, X: ArrayLike) -> FloatArray:
        """Return the probabilities of each member, whose mean `predict_proba` returns.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features; NaN means missing.

        Returns
        -------
        ndarray of float64, shape (n_members, n, k)
        """
        found = self._members(self.weights, self._check_features(X))
        k = len(self.classes_)
        return np.stack([spread_out(one.T, self.present_, k) for one in found])

    def predict_variants(self, X: ArrayLike) -> dict[str, FloatArray]:
        """Return the probabilities under ``""``, and those of ``last`` and ``ema``."""
        others: list[WeightsChoice] = [name for name in ("last", "ema") if name != self.weights]
        checked, k = self._check_features(X), len(self.classes_)
        return {
            "": self.predict_proba(X),
            **{name: spread_out(self._mean(name, checked), self.present_, k) for name in others},
        }

    def _shares(self, X: FloatArray) -> FloatArray:
        return self._mean(self.weights, X)

    def _mean(self, weights: WeightsChoice, X: FloatArray) -> FloatArray:
        """Return the mean probabilities of the members, shape (n, m)."""
        return np.ascontiguousarray(self._members(weights, X).mean(axis=0).T)

    def _members(self, weights: WeightsChoice, X: FloatArray) -> FloatArray:
        """Return the probabilities of each member, rows last, shape (members, m, n)."""
        return softmax(self._evaluate(self.states_[weights], X, _logits))

    def _contributions(self, x: FloatArray, baselines: FloatArray) -> FloatArray:
        return self._along_lines(
            x, baselines, lambda net, rows: _logits(net, rows).softmax(dim=-2).mean(dim=0)
        )

    def _fit_targets(self, data: FitData) -> None:
        """Nothing is learned: targets are numbers of classes."""

    def _scale_targets(self, y: FloatArray) -> FloatArray:
        return y

    def _target_state(self) -> Arrays:
        return ClassPredictor._get_state(self)  # noqa: SLF001

    def _set_target_state(self, own: Arrays) -> None:
        ClassPredictor._set_state(self, own)  # noqa: SLF001

    @classmethod
    def _target_schema(cls, found: Layout) -> Schema:  # noqa: ARG003
        return CLASSES


def _logits(net: IRNet, x: torch.Tensor) -> torch.Tensor:
    """Return the logits of each member, rows last, shape (members, m, n)."""
    found = outputs_apart(net, x)
    return found.reshape(-1, *found.shape[-2:])


@dataclass(eq=False, repr=False, kw_only=True)
class IRNetClassifier(ERMShape, NetworkClassifier):
    """IRNet of classes, trained by empirical risk minimisation.

    Parameters
    ----------
    architecture, dropout, n_members, bootstrap
        As in `IRNetShape`; an ensemble predicts the mean of its probabilities.
    epochs, patience, batch_size, learning_rate, weight_decay, ema_decay
        As in `xtalshift.nn.settings.ERMConfig`.
    weights, validation_fraction, clip, bf16, device, random_state
        As in `NetworkClassifier`.
    """

    architecture: str | Sequence[int] = field(default="auto", kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class RobustClassifier(RobustShape, IRNetClassifier):
    """IRNet of classes trained for a worst case or for several environments.

    Parameters
    ----------
    objective : {"cvar", "group-dro", "v-rex"}, default "cvar"
        As in `RobustRegressor`; mixtures of rows (``c-mixup``) are for numbers.
    strength, n_environments
        As in `RobustRegressor`.
    architecture, dropout, n_members, bootstrap, epochs, patience, batch_size, learning_rate,
    weight_decay, ema_decay, weights, validation_fraction, clip, bf16, device, random_state
        As in `IRNetClassifier`.
    """

    architecture: str | Sequence[int] = "auto"

    def _check_settings(self) -> None:
        super()._check_settings()
        if self.objective == "c-mixup":
            raise ConfigError(
                "objective = 'c-mixup' mixes targets, which are numbers; for classes use cvar, "
                "group-dro or v-rex"
            )


@dataclass(eq=False, repr=False, kw_only=True)
class AlignedClassifier(AlignedShape, IRNetClassifier):
    """IRNet of classes aligned with unlabelled rows of a target domain.

    Parameters
    ----------
    alignment, strength
        As in `AlignedRegressor`.
    architecture, dropout, n_members, bootstrap, epochs, patience, batch_size, learning_rate,
    weight_decay, ema_decay, weights, validation_fraction, clip, bf16, device, random_state
        As in `IRNetClassifier`.
    """

    architecture: str | Sequence[int] = "auto"


@dataclass(eq=False, repr=False, kw_only=True)
class CALClassifier(CALShape, NetworkClassifier):
    """IRNet of classes trained by Crystal Adversarial Learning (arXiv:2408.09297).

    The steps are those of `CALRegressor`; attack, parameter steps, ranking and stability loss use
    the cross-entropy of the logits.

    Parameters
    ----------
    preset, settings
        As in `CALRegressor`; ``attack = "features"`` and ``objective = "loss"`` only.
    architecture, dropout, n_members, bootstrap, weights, validation_fraction, clip, bf16, device
        As in `IRNetClassifier`.
    random_state : int, Generator or None
        Seed of the initial parameters, batches, environments and dropout.
    """

    preset: str = field(default="cal", kw_only=False)
    settings: Mapping[str, Any] | None = field(default=None, kw_only=False)

    def _check_settings(self) -> None:
        super()._check_settings()
        config = self._config()
        only = {"attack": "features", "objective": "loss", "labels": "own"}
        for name, value in only.items():
            if getattr(config, name) != value:
                raise ConfigError(
                    f"cal.{name} = {getattr(config, name)!r} is for numbers; for classes leave it "
                    f"at {value!r}"
                )
