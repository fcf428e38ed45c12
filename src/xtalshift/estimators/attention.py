"""Attention between the elements of a composition, as a scikit-learn regressor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from xtalshift.errors import ConfigError
from xtalshift.estimators.irnet import ERMArguments
from xtalshift.estimators.network import NetworkRegressor
from xtalshift.featurize.scale import FeatureScaler, unscaled
from xtalshift.nn.attention import AttentionNet
from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.irnet import IRNet
from xtalshift.nn.rows import TrainingData
from xtalshift.nn.settings import ERMConfig


@dataclass(eq=False, repr=False, kw_only=True)
class AttentionRegressor(ERMArguments, NetworkRegressor):
    """Transformer over the elements of a composition, on a table of fractions.

    The columns of ``X`` are elements, as in ``CompositionFeaturizer("fractions")``; they are not
    standardised. With 118 columns the network also sees elemental properties. For tables other than
    fractions see `xtalshift.nn.attention.AttentionNet`.

    Parameters
    ----------
    width : int, default 64
        Width of the vector of an element.
    n_blocks, n_heads : int, default 2 and 4
        Number of transformer blocks, and of heads per attention.
    dropout : float, default 0.1
        Probability that a unit of the output of a layer is zeroed.
    epochs, patience, batch_size, learning_rate, weight_decay, ema_decay
        As in `xtalshift.nn.ERMConfig`.
    weights : {"best", "last", "ema"}, default "best"
        Parameters that `predict` uses; best is by validation error.
    validation_fraction : float, default 0.1
        Share of the rows held out if `fit` is given no validation rows.
    clip : float, default 10
        Entries are clipped at +- this number, which does not affect fractions. Missing ones are 0.
    bf16, device
        As in `IRNetRegressor`.
    random_state : int, Generator or None
        Seed of the initial parameters, batches and dropout.
    """

    width: int = 64
    n_blocks: int = 2
    n_heads: int = 4
    dropout: float = 0.1

    def _fit_scaler(self, X: NDArray[np.float64]) -> FeatureScaler:
        return unscaled(X.shape[1], self.clip)

    def _resolve_widths(self, device: torch.device) -> tuple[int, ...]:  # noqa: ARG002
        return (self.width,) * self.n_blocks

    def _resolve_dropout(self, device: torch.device) -> float:  # noqa: ARG002
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout = {self.dropout}; expected a number in [0, 1)")
        return float(self.dropout)

    def _network(self, generators: Sequence[torch.Generator]) -> IRNet:
        net = AttentionNet(
            len(self.scaler_.kept_),
            self.widths_[0],
            len(self.widths_),
            self.n_heads,
            self.dropout_,
            generators[0],
        )
        return cast("IRNet", net)  # has every attribute that is used: members, bf16, embed, head

    def _training(self, model: IRNet, data: TrainingData, **how: Any) -> ERMTraining:
        training = ERMTraining(model, data.train, self._values_of(ERMConfig), **how)
        training.name = "attention"
        return training
