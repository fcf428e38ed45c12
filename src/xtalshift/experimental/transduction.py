"""Bilinear transduction: predict from a training row and the difference to it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils import gen_batches
from torch import Tensor, nn

from xtalshift.errors import ConfigError
from xtalshift.estimators.base import FitData, Labelled, check_count
from xtalshift.estimators.classical import ScaledRegressor
from xtalshift.nn.device import resolve_device
from xtalshift.nn.erm import erm_step
from xtalshift.nn.optimizer import make_adamw
from xtalshift.nn.rows import Rows
from xtalshift.nn.training import (
    EpochRecord,
    LossLog,
    Training,
    cosine_rate,
    predict_rows,
    run_training,
)

VALIDATION_ROWS = 512
"""So many validation rows choose the epoch; each takes as many predictions as it has anchors."""
PREDICT_PAIRS = 16_384
"""Pairs of a row and an anchor that are predicted at once."""
TIE = 1e-6
"""Squared distances per feature that differ by less are equal: rounding must not decide."""


class BilinearNetwork(nn.Module):
    """``y(x) = mean over anchors a of f(x - a) . g(a)``, with two multilayer perceptrons.

    Parameters
    ----------
    n_features : int
        Features d of a row.
    widths : sequence of int
        Hidden layers of `f` and of `g`.
    embedding : int
        Length k of what `f` and `g` return.
    generator : torch.Generator
        On the CPU; draws the initial parameters, uniform in +-1/sqrt(fan in).
    """

    def __init__(
        self, n_features: int, widths: Sequence[int], embedding: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.n_features = n_features
        sizes = [n_features, *widths, embedding]
        self.difference = _layers(sizes, generator)
        self.anchor = _layers(sizes, generator)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG002
        """Return predictions.

        Parameters
        ----------
        x : Tensor, shape (n, (1 + m) * d)
            Each row followed by its m anchors.
        generator : torch.Generator, optional
            Not used; all networks are called alike.

        Returns
        -------
        Tensor, shape (n,)
        """
        parts = x.view(len(x), -1, self.n_features)
        row, anchors = parts[:, :1], parts[:, 1:]
        products: Tensor = self.difference(row - anchors) * self.anchor(anchors)
        return products.sum(dim=-1).mean(dim=-1)


def _layers(sizes: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, width in itertools.pairwise(sizes):
        # without the usual start, which would draw from the global generator
        layer = nn.Linear(fan_in, width, device="meta").to_empty(device="cpu")
        bound = 1.0 / math.sqrt(fan_in)
        with torch.no_grad():
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@dataclass(frozen=True)
class Anchors:
    """Training rows that predictions may start from, and differences seen in training."""

    rows: NDArray[np.float64]
    """Shape (c, d). The candidates."""
    differences: NDArray[np.float64]
    """Shape (s, d). Differences of random pairs of training rows."""

    @classmethod
    def draw(
        cls, X: NDArray[np.float64], candidates: int, differences: int, rng: np.random.Generator
    ) -> Anchors:
        """Draw candidates without, and pairs with replacement from the rows `X`, shape (n, d)."""
        chosen = np.sort(rng.choice(len(X), min(candidates, len(X)), replace=False))
        ends = rng.integers(len(X), size=(2, differences))
        return cls(X[chosen], X[ends[0]] - X[ends[1]])

    def nearest(self, X: NDArray[np.float64], count: int) -> NDArray[np.int64]:
        """Return the candidates whose difference to each row is most like one seen in training.

        The squared distance of ``x - a`` to a difference ``s`` is
        ``|x - a|^2 + |s|^2 - 2 x.s + 2 a.s``: but for the sums of candidates and differences, made
        once, each row takes c s operations for any number of features.

        Parameters
        ----------
        X : ndarray of float64, shape (n, d)
            Standardised rows.
        count : int
            Candidates per row, m <= c.

        Returns
        -------
        ndarray of int64, shape (n, m)
            Numbers of candidates, the nearest first; equal ones in their order.
        """
        rows, seen = self.rows, self.differences
        pairs = 2.0 * rows @ seen.T + np.square(seen).sum(axis=1)
        own = euclidean_distances(X, rows, squared=True)
        toward = 2.0 * X @ seen.T
        found = np.empty((len(X), count), dtype=np.int64)
        unit = TIE * X.shape[1]
        buffer = np.empty_like(pairs)
        for i in range(len(X)):
            np.subtract(pairs, toward[i], out=buffer)
            squared = own[i] + buffer.min(axis=1)
            found[i] = np.argsort(np.rint(squared / unit), kind="stable")[:count]
        return found


class PairTraining(Training):
    """Minimise the loss of random rows, each predicted from one random anchor.

    Parameters
    ----------
    model : BilinearNetwork
        Trained in place.
    optimizer : torch.optim.Optimizer
        Of its parameters.
    rows : Rows
        Training rows.
    generator : torch.Generator
        Draws rows and anchors.
    epochs, steps, batch_size, learning_rate
        As in `BilinearTransductionRegressor`.
    """

    def __init__(
        self,
        model: BilinearNetwork,
        optimizer: torch.optim.Optimizer,
        rows: Rows,
        generator: torch.Generator,
        *,
        epochs: int,
        steps: int,
        batch_size: int,
        learning_rate: float,
    ) -> None:
        super().__init__(model, optimizer, rows, generator)
        self.epochs, self.steps, self.batch_size = epochs, steps, batch_size
        self.learning_rate = learning_rate

    def run_epoch(self, epoch: int) -> EpochRecord:
        """Take `steps` optimiser steps."""
        log = LossLog(self.loss_limit)
        device = self.rows.y.device
        for number in range(self.steps):
            step = epoch * self.steps + number
            self.set_rate(cosine_rate(self.learning_rate, step, self.epochs * self.steps))
            shape = (2, self.batch_size)
            drawn = torch.randint(len(self.rows), shape, generator=self.generator, device=device)
            rows = self.rows.take(drawn[0])
            pairs = Rows(torch.cat([rows.x, self.rows.x[drawn[1]]], dim=1), rows.y, rows.weights)
            log.add("pairs", erm_step(self.model, pairs, self.optimizer, None), self.batch_size)
        return {"train_loss": log.close(epoch)["pairs"]}


@dataclass(eq=False, repr=False, kw_only=True)
class BilinearTransductionRegressor(ScaledRegressor):
    """Bilinear transduction: extrapolate by combining a known row with a known difference.

    ``y(x) = f(x - a) . g(a)`` for a training row ``a``, the anchor, with two networks trained on
    random pairs of training rows. A row outside of training is often an anchor plus a difference
    that both were seen, though not together; the bilinear form carries over to such combinations.
    Source: Netanyahu et al., Learning to Extrapolate: A Transductive Approach, ICLR 2023
    (arXiv:2304.14329); for materials Segal et al., Known Unknowns: Out-of-Distribution Property
    Prediction in Materials and Molecules, AI4Mat workshop, NeurIPS 2024.

    ============================== ==================================
    in the papers                  here
    ============================== ==================================
    anchor                         a row of ``anchors_.rows``
    differences seen in training   ``anchors_.differences``, a sample
    embedding of the difference    ``BilinearNetwork.difference``, f
    embedding of the anchor        ``BilinearNetwork.anchor``, g
    ============================== ==================================

    A prediction is the mean over the `n_anchors` candidates whose difference to the row lies
    nearest to one seen in training, Euclidean and standardised. (The first paper draws one among
    those nearer than a threshold.)

    Parameters
    ----------
    embedding : int, default 32
        Length of what the two networks return.
    widths : sequence of int, default (128, 128)
        Their hidden layers, with ReLU.
    epochs : int, default 60
        Validation rows choose the best of so many.
    steps : int, default 50
        Optimiser steps per epoch, so that the time does not grow with the table.
    batch_size : int, default 256
        Pairs per step.
    learning_rate, weight_decay : float
        Of AdamW; the learning rate falls to 0 along half a cosine. The loss is smooth L1, weighted
        by the sample weight of the row that is predicted.
    n_anchors : int, default 64
        Anchors per prediction.
    candidates : int, default 256
        Training rows that may be anchors.
    differences : int, default 2048
        Differences of pairs of training rows that stand for all of them. A prediction takes
        ``candidates * differences`` operations.
    max_rows, clip, validation_fraction
        As in `ScaledRegressor`.
    device, random_state
        As in `IRNetRegressor`.

    Attributes
    ----------
    anchors_ : Anchors
        Candidates and differences.
    n_anchors_ : int
        Anchors per prediction: not more than candidates.
    state_ : dict of Tensor
        Parameters of the best epoch, on the CPU.
    best_epoch_ : int
        Epoch with the lowest validation error, from 0.
    history_ : list of dict
        One record per epoch; errors in units of the target.
    """

    embedding: int = 32
    widths: Sequence[int] = (128, 128)
    epochs: int = 60
    steps: int = 50
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    n_anchors: int = 64
    candidates: int = 256
    differences: int = 2048
    device: str = "auto"

    def _fit_scaled(self, data: FitData) -> None:
        self._check_settings()
        device = resolve_device(self.device)
        seeds = [int(seed) for seed in data.rng.integers(2**62, size=2)]
        self.anchors_ = Anchors.draw(data.train.X, self.candidates, self.differences, data.rng)
        self.n_anchors_ = check_count("n_anchors", self.n_anchors, len(self.anchors_.rows))
        start = torch.Generator().manual_seed(seeds[0])
        model = BilinearNetwork(data.train.X.shape[1], self.widths, self.embedding, start)
        model = model.to(device)
        optimizer = make_adamw(model.parameters(), self.learning_rate, self.weight_decay)
        training = PairTraining(
            model,
            optimizer,
            _rows(data.train, data.train.X, device),
            torch.Generator(device).manual_seed(seeds[1]),
            epochs=self.epochs,
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
        )
        result = run_training(
            training,
            self._validation(data, device),
            epochs=self.epochs,
            patience=self.epochs,
            name="bilinear",
            progress=data.progress,
        )
        self.state_ = {name: value.cpu() for name, value in result.states["best"].items()}
        self.best_epoch_ = result.best_epoch
        scale = self.target_scale_
        self.history_ = [{**item, "val_mae": item["val_mae"] * scale} for item in result.history]

    def _check_settings(self) -> None:
        for name in ("embedding", "epochs", "steps", "batch_size", "candidates", "differences"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)!r}; expected at least 1")
        if not all(width >= 1 for width in self.widths):
            raise ConfigError(f"widths = {self.widths}: every width must be at least 1")
        if not (self.learning_rate > 0 and self.weight_decay >= 0):
            raise ConfigError(
                f"learning_rate = {self.learning_rate}, weight_decay = {self.weight_decay}; "
                "expected a positive and a non-negative number"
            )

    def _validation(self, data: FitData, device: torch.device) -> Rows:
        """Return some validation rows with their anchors."""
        rows = data.validation
        if len(rows.y) > VALIDATION_ROWS:
            rows = rows.take(data.rng.choice(len(rows.y), VALIDATION_ROWS, replace=False))
        nearest = self.anchors_.nearest(rows.X, self.n_anchors_)
        return _rows(rows, self._with_anchors(rows.X, nearest), device)

    def _with_anchors(
        self, X: NDArray[np.float64], nearest: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return each row followed by its anchors, shape (n, (1 + m) * d)."""
        return np.concatenate([X[:, None], self.anchors_.rows[nearest]], axis=1).reshape(len(X), -1)

    def _predict_scaled(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        device = resolve_device(self.device)
        dtype = torch.float32 if device.type == "mps" else torch.float64
        model = BilinearNetwork(X.shape[1], self.widths, self.embedding, torch.Generator())
        model.load_state_dict(self.state_, strict=True)
        model = model.to(device, dtype)
        nearest = self.anchors_.nearest(X, self.n_anchors_)
        found = []
        for rows in gen_batches(len(X), max(1, PREDICT_PAIRS // self.n_anchors_)):
            pairs = self._with_anchors(X[rows], nearest[rows])
            found.append(predict_rows(model, torch.as_tensor(pairs, dtype=dtype, device=device)))
        return torch.cat(found).cpu().numpy().astype(np.float64)


def _rows(rows: Labelled, x: NDArray[np.float64], device: torch.device) -> Rows:
    def put(values: NDArray[np.float64]) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    return Rows(put(x), put(rows.y), None if rows.weights is None else put(rows.weights))
