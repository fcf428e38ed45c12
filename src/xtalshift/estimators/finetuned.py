"""CHGNet with a new head, as a scikit-learn regressor on rows of the block ``sites``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from xtalshift.errors import ConfigError, ModelFormatError
from xtalshift.estimators.base import FitData, Labelled
from xtalshift.estimators.frozen_crystals import look_up, prepare
from xtalshift.estimators.irnet import ERMArguments
from xtalshift.estimators.network import NetworkRegressor
from xtalshift.estimators.predictors import Arrays
from xtalshift.featurize.chgnet_network import WEIGHTS, WIDTH, load_network
from xtalshift.featurize.scale import FeatureScaler, unscaled
from xtalshift.featurize.sites_block import SITES_NAMES, read_sites
from xtalshift.nn.crystal_head import CrystalHead, FineTuning
from xtalshift.nn.device import resolve_device
from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.irnet import IRNet, Parameters
from xtalshift.nn.rows import Rows, TrainingData
from xtalshift.nn.settings import ERMConfig
from xtalshift.saved_arrays import Layout, SavedArray, Schema, check_arrays

BLOCK = "sites"
_OWN: Schema = {
    "first_site": SavedArray(np.int64, (1,), low=0),
    "potential": SavedArray(np.uint8, (32,)),
}
_PIECE = 32  # crystals at once on a device other than the CPU


@dataclass(eq=False, repr=False, kw_only=True)
class FineTunedCHGNetRegressor(ERMArguments, NetworkRegressor):
    """CHGNet whose last convolution of atoms is trained together with a new head.

    The layers below, up to the third of four convolutions, stay as they are: what they make of a
    crystal is computed once and kept in memory (about 0.3 MB for 17 atoms). The convolution and the
    norm behind it are followed by the mean over the atoms, standardised by its values on the
    training rows before the training, a layer of `width` and a linear head.

    The columns of ``X`` are those of the block ``sites``, or ``blocks`` names them among others,
    which are not used.

    Parameters
    ----------
    width : int, default 64
        Width of the layer between the mean over the atoms and the head.
    pretrained_rate : float, default 0.1
        Learning rate of the pretrained layers over that of the new ones; 0 leaves them as they are.
    epochs, patience, batch_size, learning_rate, weight_decay, ema_decay
        As in `xtalshift.nn.ERMConfig`, with other defaults: 30, 8 and 16 for the first three.
    weights : {"best", "last", "ema"}, default "best"
        Parameters that `predict` uses; best is by validation error.
    validation_fraction : float, default 0.1
        Share of the rows held out if `fit` is given no validation rows.
    clip : float, default 10
        Of no use: crystals are not standardised.
    bf16, device
        As in `IRNetRegressor`.
    random_state : int, Generator or None
        Seed of the new parameters and of the batches.
    """

    width: int = 64
    pretrained_rate: float = 0.1
    epochs: int = 30
    patience: int = 8
    batch_size: int = 16

    uses = frozenset({"blocks"})

    def n_clipped(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return 0 for each row: nothing is standardised."""
        return np.zeros(len(np.asarray(X)), dtype=np.int64)

    def _fit(self, data: FitData) -> None:
        if not self.pretrained_rate >= 0:
            raise ConfigError(f"pretrained_rate = {self.pretrained_rate}; expected 0 or more")
        place = data.blocks.get(BLOCK)
        width = data.train.X.shape[1]
        if place is None and width != len(SITES_NAMES):
            raise ConfigError(
                "this method reads crystals, which the block sites writes, and its features have "
                "no such block; add it: --features +sites"
            )
        self.first_site_ = 0 if place is None else place.start
        rows = np.concatenate([self._sites(data.train.X), self._sites(data.validation.X)])
        read_sites(rows)
        prepare(np.unique(rows, axis=0), data.progress)
        super()._fit(data)

    def _sites(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return X[:, self.first_site_ : self.first_site_ + len(SITES_NAMES)]

    def _fit_scaler(self, X: NDArray[np.float64]) -> FeatureScaler:
        return unscaled(X.shape[1], self.clip)

    def _resolve_widths(self, device: torch.device) -> tuple[int, ...]:  # noqa: ARG002
        if self.width < 1:
            raise ConfigError(f"width = {self.width}; expected at least 1")
        return (self.width,)

    def _resolve_dropout(self, device: torch.device) -> float:  # noqa: ARG002
        return 0.0

    def _network(self, generators: Sequence[torch.Generator]) -> IRNet:
        convolution, norm = load_network(False).last_layers()
        net = CrystalHead(
            convolution.float(), norm.float(), look_up, WIDTH, self.widths_[0], generators[0]
        )
        return cast("IRNet", net)  # has every attribute that is used: members, bf16, embed, head

    def _training(self, model: IRNet, data: TrainingData, **how: Any) -> ERMTraining:
        config = self._values_of(ERMConfig)
        head = cast("CrystalHead", model)
        head.learn_scale(data.train.x)
        return FineTuning(head, data.train, config, pretrained_rate=self.pretrained_rate, **how)

    def _run(self, model: IRNet, rows: TrainingData, data: FitData, seed: int) -> None:
        if self.pretrained_rate == 0:  # what the head gets is the same in every epoch
            pool = cast("CrystalHead", model).pool
            with torch.no_grad():
                rows = TrainingData(
                    *(replace(part, x=pool(part.x)) for part in (rows.train, rows.validation))
                )
        super()._run(model, rows, data, seed)

    def _rows(self, rows: Labelled, device: torch.device) -> Rows:
        scaled = (rows.y - self.target_mean_) / self.target_scale_

        def put(values: NDArray[Any]) -> torch.Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=device)

        return Rows(
            torch.as_tensor(self._sites(rows.X), dtype=torch.float64, device=device),
            put(scaled),
            None if rows.weights is None else put(rows.weights),
        )

    def _evaluate(
        self,
        state: Parameters,
        X: NDArray[np.float64],
        outputs: Callable[[IRNet, torch.Tensor], torch.Tensor],
    ) -> NDArray[np.float64]:
        sites = self._sites(X)
        if len(sites):
            read_sites(sites)  # else the error would not name the row
        device = resolve_device(self.device)
        net = self._build(state).to(device, torch.float64)
        # on a CPU each crystal alone, so that its bits do not depend on the others
        size = 1 if device.type == "cpu" else _PIECE
        rows = torch.as_tensor(np.ascontiguousarray(sites), device=device)
        with torch.no_grad():
            found = [outputs(net, part) for part in torch.split(rows, size)]
        return torch.cat(found, dim=-1).cpu().numpy().astype(np.float64)

    def _contributions(self, x: Any, baselines: Any) -> Any:  # noqa: ARG002
        raise ConfigError(
            "its features are the coordinates of atoms, none of which has a meaning alone"
        )

    def _get_state(self) -> Arrays:
        return {
            **super()._get_state(),
            "first_site": np.array([self.first_site_], dtype=np.int64),
            "potential": np.frombuffer(bytes.fromhex(WEIGHTS), dtype=np.uint8),
        }

    def _set_state(self, state: Arrays) -> None:
        own = {name: state[name] for name in _OWN if name in state}
        check_arrays(own, _OWN)
        saved = own["potential"].tobytes().hex()
        if saved != WEIGHTS:
            raise ModelFormatError(
                f"it was trained on the weights {saved[:16]} of CHGNet, and this version has "
                f"{WEIGHTS[:16]}; train it again"
            )
        self.first_site_ = int(own["first_site"][0])
        super()._set_state({name: state[name] for name in state.keys() - own.keys()})
        if self.first_site_ + len(SITES_NAMES) > self.n_features_in_:
            raise ModelFormatError("the crystals are not among its features")

    @classmethod
    def _saved(cls, found: Layout) -> Schema:
        return {**super()._saved(found), **_OWN}
