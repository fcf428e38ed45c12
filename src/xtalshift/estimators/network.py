"""What all networks share: scaling, devices, parameters and prediction; those of numbers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from xtalshift.config import Settings
from xtalshift.errors import ConfigError, ModelFormatError
from xtalshift.estimators.base import (
    FitData,
    Labelled,
    Learner,
    Regressor,
    fingerprint,
    mean_and_scale,
)
from xtalshift.estimators.line_shares import line_shares
from xtalshift.estimators.predictors import Arrays
from xtalshift.featurize.scale import SCALER, FeatureScaler
from xtalshift.nn.checkpoint import Checkpoint
from xtalshift.nn.device import resolve_device
from xtalshift.nn.irnet import IRNet, Parameters
from xtalshift.nn.losses import SMOOTH_L1, TOBIT, Loss
from xtalshift.nn.rows import Rows, TrainingData
from xtalshift.nn.training import EpochRecord, Training, TrainResult, run_training
from xtalshift.rowwise import in_blocks, in_pieces
from xtalshift.saved_arrays import Layout, SavedArray, Schema, check_arrays

WeightsChoice = Literal["best", "last", "ema"]

PIECE_ROWS = 16_384
"""Rows at once on a device other than the CPU."""
_WIDEST = 2**20
_SAVED: Schema = {
    **SCALER,
    "widths": SavedArray(np.int64, ("blocks",), low=1, high=_WIDEST),
    "dropout": SavedArray(np.float64, (1,), low=0.0, high=1.0),
    "best_epoch": SavedArray(np.int64, (1,), low=0),
}
_TARGET: Schema = {"target": SavedArray(np.float64, (2,))}
T = TypeVar("T", bound=Settings)


@dataclass(eq=False, repr=False, kw_only=True)
class Network(Learner):
    """A network on standardised features; a subclass defines it, its training and its targets.

    Parameters
    ----------
    weights : {"best", "last", "ema"}, default "best"
        Parameters that `predict` uses; best is by validation error.
    validation_fraction : float, default 0.1
        Share of the rows held out if `fit` is given no validation rows.
    clip : float, default 10
        Features are clipped at this many standard deviations.
    bf16 : bool, default False
        Whether training computes matrix products in bfloat16, which is faster on hardware that has
        it. Predictions are always in double precision.
    device : str, default "auto"
        ``"auto"``, ``"cpu"``, ``"cuda"`` ...
    random_state : int, Generator or None
        Seed of the initial parameters, batches and dropout.

    Attributes
    ----------
    scaler_ : FeatureScaler
        Scaling of the features.
    widths_ : tuple of int
        Width of each block.
    dropout_ : float
        Probability that a unit is zeroed in training.
    states_ : dict of dict of Tensor
        Parameters ``"best"``, ``"last"`` and ``"ema"``, on the CPU; those of an ensemble have a
        leading axis.
    extras_ : dict of Tensor
        Other things learned: ``"weights"`` and ``"gamma"``, the transport cost of CAL.
    history_ : list of dict
        One record per epoch, with the validation error.
    best_epoch_ : int
        Epoch with the lowest validation error.
    """

    weights: WeightsChoice = "best"
    clip: float = 10.0
    bf16: bool = False
    device: str = "auto"

    n_members = 1
    bootstrap = False

    @property
    def outputs(self) -> int | None:
        """Number of outputs of the network per row; None for one without an axis."""
        return None

    @property
    def selects(self) -> bool:
        """Whether `predict` uses the parameters with the smallest validation error."""
        return self.weights == "best"

    @abstractmethod
    def _network(self, generators: Sequence[torch.Generator]) -> IRNet:
        """Return a network with new parameters, an ensemble for several generators."""

    @abstractmethod
    def _resolve_widths(self, device: torch.device) -> tuple[int, ...]:
        """Return the width of each block."""

    @abstractmethod
    def _resolve_dropout(self, device: torch.device) -> float:
        """Return the probability that a unit is zeroed in training."""

    @abstractmethod
    def _training(
        self,
        model: IRNet,
        data: TrainingData,
        *,
        generator: torch.Generator,
        sample: torch.Tensor | None,
    ) -> Training:
        """Return the training of `model`, not yet started; it has a `config` and a `name`."""

    @property
    @abstractmethod
    def criterion(self) -> Loss:
        """What the trainings minimise, and by what they select."""

    def criterion_of(self, rows: Rows) -> Loss:  # noqa: ARG002
        """Return the loss for rows of a training, of which some targets may be bounds."""
        return self.criterion

    @abstractmethod
    def _fit_targets(self, data: FitData) -> None:
        """Learn what `_scale_targets` needs."""

    @abstractmethod
    def _scale_targets(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return targets as the trainings take them, shape (n,)."""

    @abstractmethod
    def _target_state(self) -> Arrays:
        """Return what `_fit_targets` has learned, for `_get_state`."""

    @abstractmethod
    def _set_target_state(self, own: Arrays) -> None:
        """Restore what `_target_state` returned."""

    @classmethod
    @abstractmethod
    def _target_schema(cls, found: Layout) -> Schema:
        """Return what the arrays of `_target_state` must be."""

    def _record(self, item: EpochRecord) -> EpochRecord:
        """Return the record of an epoch in the unit of the target."""
        return item

    def _values_of(self, settings: type[T]) -> T:
        """Return settings with the values of the arguments of this estimator."""
        return settings.from_dict({name: getattr(self, name) for name in settings.model_fields})

    def embed(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the input of the last layer, for the parameters that `predict` uses.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features; NaN means missing.

        Returns
        -------
        ndarray of float64, shape (n, width), or (members, n, width) for an ensemble
        """
        state, checked = self.states_[self.weights], self._check_features(X)
        found = self._evaluate(state, checked, lambda net, x: net.embed(x).transpose(-1, -2))
        return np.ascontiguousarray(found.swapaxes(-1, -2))

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return how many features of each row were clipped, shape (n,)."""
        return self.scaler_.n_clipped(X)

    def _fit(self, data: FitData) -> None:
        self._check_settings()
        device = resolve_device(self.device)
        train = data.train
        seeds = data.rng.integers(2**62, size=1 + self.n_members)
        self.scaler_ = self._fit_scaler(train.X)
        self._fit_targets(data)
        self.widths_ = self._resolve_widths(device)
        self.dropout_ = self._resolve_dropout(device)
        model = self._network([torch.Generator().manual_seed(int(seed)) for seed in seeds[1:]])
        model.bf16 = self.bf16
        target = None if data.target is None else self._rows(data.target, device)
        validation = self._rows(data.validation, device)
        rows = TrainingData(self._source_rows(data, device), validation, target)
        self._run(model.to(device), rows, data, int(seeds[0]))

    def _check_settings(self) -> None:
        if self.weights not in get_args(WeightsChoice):
            raise ConfigError(f"weights = {self.weights!r}; expected best, last or ema")
        if self.n_members < 1:
            raise ConfigError(f"n_members = {self.n_members}; expected at least 1")

    def _run(self, model: IRNet, rows: TrainingData, data: FitData, seed: int) -> None:
        """Train `model` and keep the result."""
        device = rows.train.y.device
        sample = None
        if self.bootstrap and model.members is not None:
            n = len(rows.train)
            drawn = data.rng.integers(n, size=(model.members, n))
            sample = torch.as_tensor(drawn, dtype=torch.int64, device=device)
        checkpoint = None
        if data.checkpoint is not None:
            checkpoint = Checkpoint(data.checkpoint, self._fingerprint(data, seed))
        generator = torch.Generator(device).manual_seed(seed)
        training = self._training(model, rows, generator=generator, sample=sample)
        result = run_training(
            training,
            rows.validation,
            epochs=training.config.epochs,
            patience=training.config.patience,
            name=training.name,
            progress=data.progress,
            checkpoint=checkpoint,
        )
        self._keep(result)
        if checkpoint is not None:
            checkpoint.remove()

    def _keep(self, result: TrainResult) -> None:
        self.states_ = {
            name: {key: value.cpu() for key, value in state.items()}
            for name, state in result.states.items()
        }
        self.extras_ = {name: value.cpu() for name, value in result.extras.items()}
        self.best_epoch_ = result.best_epoch
        self.history_ = [self._record(item) for item in result.history]

    def _fingerprint(self, data: FitData, seed: int) -> str:
        """Return a hash that identifies this training."""
        # the seed instead of random_state, because the repr of a generator changes
        without = {"random_state", "device"}
        settings = {k: v for k, v in self.get_params().items() if k not in without}
        device = resolve_device(self.device).type
        what = f"{type(self).__name__} {settings} {seed} {device}"
        return fingerprint(what, data)

    def _source_rows(self, data: FitData, device: torch.device) -> Rows:
        """Return the training rows; a subclass may add what its training needs."""
        return self._rows(data.train, device)

    def _fit_scaler(self, X: NDArray[np.float64]) -> FeatureScaler:
        return FeatureScaler(self.clip).fit(X)

    def _rows(self, rows: Labelled, device: torch.device) -> Rows:
        def put(values: NDArray[Any]) -> torch.Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=device)

        return Rows(
            put(self.scaler_.transform(rows.X)),
            put(self._scale_targets(rows.y)),
            None if rows.weights is None else put(rows.weights),
        )

    def _evaluate(
        self,
        state: Parameters,
        X: NDArray[np.float64],
        outputs: Callable[[IRNet, torch.Tensor], torch.Tensor],
    ) -> NDArray[np.float64]:
        """Return the outputs of a network, shape (..., n); on a CPU no row depends on the others.

        Parameters
        ----------
        state : dict of Tensor
            Parameters of the network.
        X : ndarray of float64, shape (n, d)
            Features.
        outputs : callable
            Takes the network and standardised rows, and returns the outputs, rows last.
        """
        device = resolve_device(self.device)
        dtype = torch.float32 if device.type == "mps" else torch.float64
        net = self._build(state).to(device, dtype)

        def evaluate(rows: NDArray[np.float64]) -> NDArray[np.float64]:
            # copied to where PyTorch aligns it: the kernel may depend on that
            x = torch.tensor(self.scaler_.transform(rows), dtype=dtype, device=device)
            return outputs(net, x).cpu().numpy().astype(np.float64)

        with torch.no_grad():
            if device.type == "cpu":
                return in_blocks(evaluate, X)
            return in_pieces(evaluate, X, PIECE_ROWS)

    def _along_lines(
        self,
        x: NDArray[np.float64],
        baselines: NDArray[np.float64],
        outputs: Callable[[IRNet, torch.Tensor], torch.Tensor],
    ) -> NDArray[np.float64]:
        """Return how each feature moves k outputs from each baseline to a row, (k, m, d).

        `outputs` takes the network and standardised rows, and returns the outputs, shape (k, m).
        """
        device = resolve_device(self.device)
        dtype = torch.float32 if device.type == "mps" else torch.float64
        net = self._build(self.states_[self.weights]).to(device, dtype).requires_grad_(False)

        def gradient(rows: NDArray[np.float64]) -> NDArray[np.float64]:
            at = torch.tensor(rows, dtype=dtype, device=device, requires_grad=True)
            found = [
                torch.autograd.grad(one.sum(), at, retain_graph=True)[0] for one in outputs(net, at)
            ]
            return torch.stack(found).cpu().numpy().astype(np.float64)

        row, others = self.scaler_.transform(x[None])[0], self.scaler_.transform(baselines)
        return self.scaler_.spread(line_shares(gradient, row, others))

    def _build(self, state: Parameters) -> IRNet:
        """Return the network with given parameters; their shape gives the number of members."""
        members = len(state["head.bias"]) if state["head.bias"].ndim > 1 else 1
        model = self._network([torch.Generator()] * members)
        model.load_state_dict(state, strict=True)
        return model

    def _get_state(self) -> Arrays:
        state: Arrays = {
            **self.scaler_.get_state(),
            **self._target_state(),
            "widths": np.array(self.widths_, dtype=np.int64),
            "dropout": np.array([self.dropout_]),
            "best_epoch": np.array([self.best_epoch_], dtype=np.int64),
        }
        for choice, parameters in self.states_.items():
            for name, value in parameters.items():
                state[f"net.{choice}.{name}"] = value.numpy()
        for name, value in self.extras_.items():
            state[f"extra.{name}"] = np.atleast_1d(value.numpy())
        return state

    def _set_state(self, state: Arrays) -> None:
        self._check_settings()
        networks = {name: state[name] for name in state if name.startswith("net.")}
        extras = {name: state[name] for name in state if name.startswith("extra.")}
        own = {name: state[name] for name in state.keys() - networks.keys() - extras.keys()}
        lengths = check_arrays(own, {**_SAVED, **self._target_schema(own)})
        self.scaler_ = FeatureScaler(self.clip).set_state(own)
        self.n_features_in_ = self.scaler_.n_features_in_
        self._set_target_state(own)
        if not 0 < lengths["blocks"] <= len(networks):
            raise ModelFormatError(f"the network has {lengths['blocks']} blocks; expected some")
        self.widths_ = tuple(own["widths"].tolist())
        self.dropout_ = float(own["dropout"][0])
        self.best_epoch_ = int(own["best_epoch"][0])
        self.history_ = []
        check_arrays(networks, self._saved_networks())
        check_arrays(extras, _saved_extras(extras, self._lead), kept=lengths["kept"])
        self.states_ = {
            choice: {
                name.removeprefix(f"net.{choice}."): torch.from_numpy(value)
                for name, value in networks.items()
                if name.startswith(f"net.{choice}.")
            }
            for choice in get_args(WeightsChoice)
        }
        self.extras_ = {
            name.removeprefix("extra."): torch.from_numpy(value) for name, value in extras.items()
        }

    @classmethod
    def _saved(cls, found: Layout) -> Schema:
        """Return what the arrays must be; the widths of the network are not known before reading.

        The three sets of parameters have the same shapes.
        """
        parameters = {
            name.removeprefix("net.best."): SavedArray(np.float32, found[name].shape)
            for name in found
            if name.startswith("net.best.")
        }
        networks = {
            f"net.{choice}.{name}": saved
            for choice in get_args(WeightsChoice)
            for name, saved in parameters.items()
        }
        head = parameters.get("head.bias")
        members = () if head is None else head.shape[:-1]
        own = {**_SAVED, **cls._target_schema(found)}
        return {**own, **networks, **_saved_extras(found, members)}

    @property
    def _lead(self) -> tuple[int, ...]:
        """Leading axis of the parameters: that of the members, if there are several."""
        return () if self.n_members == 1 else (self.n_members,)

    def _saved_networks(self) -> Schema:
        """Return what the parameters must be, from the architecture; nothing is allocated."""
        with torch.device("meta"):
            parameters = self._network([torch.Generator()]).state_dict()
        return {
            f"net.{choice}.{name}": SavedArray(np.float32, (*self._lead, *value.shape))
            for choice in get_args(WeightsChoice)
            for name, value in parameters.items()
        }


@dataclass(eq=False, repr=False, kw_only=True)
class NetworkRegressor(Network, Regressor):
    """A network on standardised features and targets; a subclass defines it and its training.

    Parameters
    ----------
    weights, validation_fraction, clip, bf16, device, random_state
        As in `Network`.

    Attributes
    ----------
    target_mean_, target_scale_ : float
        Mean and standard deviation of the training targets; ``val_mae`` of `history_` is in their
        unit. With bounds in `fit` it is ``val_tobit``, in squares of that standard deviation.
    """

    @property
    def criterion(self) -> Loss:
        """The smooth L1 loss; the mean absolute error selects."""
        return SMOOTH_L1

    def criterion_of(self, rows: Rows) -> Loss:
        """Return `criterion`, or the Tobit loss if some targets are bounds."""
        return self.criterion if rows.bounds is None else TOBIT

    def predict_members(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the prediction of each member; `predict` is their mean.

        Parameters
        ----------
        X : array_like of float, shape (n, d)
            Features; NaN means missing.

        Returns
        -------
        ndarray of float64, shape (n_members, n)
        """
        return self._in_units(
            self._evaluate(self.states_[self.weights], self._check_features(X), _members)
        )

    def predict_variants(self, X: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Return the prediction of `predict` under ``""``, and those of ``last`` and ``ema``.

        The parameters named by `weights` are under ``""`` only.
        """
        others: list[WeightsChoice] = [name for name in ("last", "ema") if name != self.weights]
        checked = self._check_features(X)
        return {
            "": self._predict(checked),
            **{name: self._mean(name, checked) for name in others},
        }

    def predict_std(self, X: ArrayLike) -> NDArray[np.float64] | None:
        """Return the standard deviation of the members, shape (n,); None for a single network."""
        return None if self.n_members == 1 else self.predict_with_std(X)[1]

    def predict_with_std(self, X: ArrayLike) -> tuple[NDArray[np.float64], Any]:
        """Return mean and standard deviation of the members, shapes (n,), from one pass."""
        if self.n_members == 1:
            return super().predict_with_std(X)
        state, checked = self.states_[self.weights], self._check_features(X)
        mean, std = self._evaluate(state, checked, self._mean_and_std)
        return self._in_units(mean), std * self.target_scale_

    def _fit_targets(self, data: FitData) -> None:
        self.target_mean_, self.target_scale_ = mean_and_scale(data.train)

    def _scale_targets(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        return (y - self.target_mean_) / self.target_scale_

    def _rows(self, rows: Labelled, device: torch.device) -> Rows:
        found = super()._rows(rows, device)
        if rows.bounds is None:
            return found
        known = rows.bounds.scaled(self.target_mean_, self.target_scale_).stacked()
        bounds = torch.as_tensor(known, dtype=found.y.dtype, device=device)
        return replace(found, bounds=bounds)

    def _record(self, item: EpochRecord) -> EpochRecord:
        if "val_mae" not in item:  # of bounds, which have no error
            return item
        return {**item, "val_mae": item["val_mae"] * self.target_scale_}

    def _target_state(self) -> Arrays:
        return {"target": np.array([self.target_mean_, self.target_scale_])}

    def _set_target_state(self, own: Arrays) -> None:
        self.target_mean_, self.target_scale_ = (float(value) for value in own["target"])
        if not self.target_scale_ > 0:
            raise ModelFormatError(
                f"the targets have the scale {self.target_scale_:g}; expected a positive number"
            )

    @classmethod
    def _target_schema(cls, found: Layout) -> Schema:  # noqa: ARG003
        return _TARGET

    def _predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._mean(self.weights, X)

    def _contributions(
        self, x: NDArray[np.float64], baselines: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        found = self._along_lines(x, baselines, lambda net, rows: _members(net, rows).mean(0)[None])
        return np.asarray(self.target_scale_ * found[0])

    def _mean(self, weights: WeightsChoice, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of the members, shape (n,)."""
        found = self._evaluate(
            self.states_[weights], X, lambda net, x: _members(net, x).mean(dim=0)
        )
        return self._in_units(found)

    def _mean_and_std(self, net: IRNet, x: torch.Tensor) -> torch.Tensor:
        """Return the standardised mean and standard deviation, shape (2, n)."""
        members = _members(net, x)
        return torch.stack([members.mean(dim=0), members.std(dim=0)])

    def _in_units(self, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        return scaled * self.target_scale_ + self.target_mean_


def _saved_extras(names: Iterable[str], members: tuple[Any, ...]) -> Schema:
    """Return what other things learned must be; which there are depends on the training."""
    shapes: dict[str, tuple[int | str, ...]] = {
        "extra.weights": (*members, "kept"),
        "extra.gamma": members or (1,),
        "extra.group_weights": (*members, "environments"),
    }
    return {name: SavedArray(np.float32, shapes[name]) for name in shapes if name in names}


def _members(net: IRNet, x: torch.Tensor) -> torch.Tensor:
    """Return the standardised prediction of each member, shape (members, n)."""
    found: torch.Tensor = net(x)
    return found.reshape(-1, len(x))
