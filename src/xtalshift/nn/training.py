"""What all trainings share: epochs, selection, rollback of a diverged epoch, checkpoints."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from xtalshift.errors import DataError, TrainingError
from xtalshift.nn.checkpoint import Checkpoint, State, check_state, copy_state
from xtalshift.nn.irnet import Parameters, copy_parameters
from xtalshift.nn.losses import SMOOTH_L1, Loss
from xtalshift.nn.rows import Rows, draw_order, weighted_mean
from xtalshift.progress import NO_PROGRESS, Progress

PREDICT_ROWS = 16_384
EXPLOSION = 1000.0
"""A loss has exploded if it is more than this many times that of the mean prediction."""
ROLLBACK_SCALE = 0.1

EpochRecord: TypeAlias = dict[str, Any]
"""Figures of one epoch by name, as JSON holds them; `phase` and the like are text."""


@dataclass
class TrainResult:
    """The result of a training."""

    states: dict[str, Parameters]
    """Parameters ``"best"`` (lowest validation error), ``"last"`` and ``"ema"``."""
    best_epoch: int
    """Epoch of ``"best"``, from 0; for an ensemble that of the last member."""
    history: list[EpochRecord]
    """One record of plain numbers per epoch; for an ensemble the means over members."""
    extras: Parameters = field(default_factory=dict)
    """Other things that were learned, such as the covariate weights of CAL."""


class Schedule(Protocol):
    """The settings that every training has."""

    epochs: int
    patience: int


class Training(ABC):
    """A model in training. A subclass defines an epoch, and the state that one passes to the next.

    Parameters
    ----------
    model : torch.nn.Module
        Trained in place; called as ``model(x, generator)``.
    optimizer : torch.optim.Optimizer
        Optimizer of (some of) its parameters.
    rows : Rows
        Training rows; they also define when a loss has exploded.
    generator : torch.Generator
        The only source of randomness, on the device of the model.
    sample : Tensor of int64, shape (members, n), optional
        Bootstrap sample of each member of an ensemble.
    criterion : Loss
        What is minimised, and by what parameters are selected.
    """

    name: str
    """Name of the training in messages."""
    config: Schedule
    """Its settings."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        rows: Rows,
        generator: torch.Generator,
        *,
        sample: Tensor | None = None,
        criterion: Loss = SMOOTH_L1,
    ) -> None:
        self.model = model
        self.criterion = criterion
        self.optimizer = optimizer
        self.rows = rows
        self.generator = generator
        self.sample = sample
        self.members: int | None = getattr(model, "members", None)
        self.ema = copy_parameters(model)
        self.step_scale = 1.0
        self.loss_limit = EXPLOSION * max(float(criterion.constant(rows)), 1.0)

    @abstractmethod
    def run_epoch(self, epoch: int) -> EpochRecord:
        """Train for one epoch and return its record.

        Raises
        ------
        TrainingError
            If a loss is not finite or explodes, see `LossLog`.
        """

    def selection_error(self, validation: Rows, epoch: int, limit: float) -> Tensor:
        """Return the error that selects the parameters, shape () or (members,).

        Arguments and errors as in `validation_error`.
        """
        return validation_error(self.model, validation, epoch, limit, self.criterion)

    def extras(self) -> Parameters:
        """Return what was learned besides the parameters, by name."""
        return {}

    def may_select(self, epoch: int) -> bool:  # noqa: ARG002
        """Return whether the parameters after `epoch` may become the best ones."""
        return True

    def shuffled(self) -> Tensor:
        """Return the numbers of all rows (for an ensemble, of each sample) in a random order."""
        order = draw_order(len(self.rows), self.members, self.generator)
        return order if self.sample is None else self.sample.gather(-1, order)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.step_scale

    def get_state(self) -> State:
        """Return everything that the next epoch depends on (not copied)."""
        return {
            "model": dict(self.model.named_parameters()),
            "optimizer": self.optimizer.state_dict()["state"],
            "generator": self.generator.get_state(),
            "ema": self.ema,
            "step_scale": self.step_scale,
        }

    def check_state(self, state: State) -> None:
        """Raise `DataError` unless `get_state` of this training may return `state`."""
        check_state(state, {**self.get_state(), "optimizer": self._moments()})
        if not 0 < state["step_scale"] <= 1:
            raise DataError(f"step_scale is {state['step_scale']}; expected a number from 0 to 1")

    def _moments(self) -> dict[int, State]:
        """Return a state such as that of the optimizer after a step."""
        parameters = [one for group in self.optimizer.param_groups for one in group["params"]]
        return {
            number: {"step": torch.zeros(()), "exp_avg": one.data, "exp_avg_sq": one.data}
            for number, one in enumerate(parameters)
            if one.requires_grad
        }

    def set_state(self, state: State) -> None:
        """Restore what `get_state` returned."""
        self.model.load_state_dict(state["model"], strict=True)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state["optimizer"], "param_groups": groups})
        self.generator.set_state(state["generator"])
        self.ema = state["ema"]
        self.step_scale = state["step_scale"]


@dataclass
class LossLog:
    """The losses of the batches of an epoch, kept on the device until the epoch is over.

    Reading each loss would make a GPU wait. Checking them together still finds the first bad one.
    """

    limit: float
    _losses: dict[str, list[Tensor]] = field(default_factory=dict)
    _sizes: dict[str, list[int]] = field(default_factory=dict)
    _order: list[tuple[str, int]] = field(default_factory=list)

    def add(self, part: str, loss: Tensor, n_rows: int) -> None:
        """Add the mean loss of a batch, shape (), in a part of the algorithm."""
        losses = self._losses.setdefault(part, [])
        self._order.append((part, len(losses)))
        losses.append(loss.detach())
        self._sizes.setdefault(part, []).append(n_rows)

    def close(self, epoch: int, members: int = 1) -> dict[str, float]:
        """Return the mean loss of each part, over rows.

        Raises
        ------
        TrainingError
            If a loss is not finite or above the limit; the message names epoch, batch (of its
            part) and part of the first one.
        """
        values = {
            part: (torch.stack(losses) / members).double().cpu()
            for part, losses in self._losses.items()
        }
        for part, batch in self._order:
            value = float(values[part][batch])
            if not value <= self.limit:
                where = f"epoch {epoch}, batch {batch} ({part})"
                raise TrainingError(f"the loss became {value:.3g} in {where}")
        sizes = {part: torch.tensor(n, dtype=torch.float64) for part, n in self._sizes.items()}
        return {
            part: float(torch.dot(losses, sizes[part]) / sizes[part].sum())
            for part, losses in values.items()
        }


@dataclass
class Selection:
    """Keeps the parameters with the best validation error, per member, and decides when to stop."""

    patience: int
    best_error: Tensor | None = None
    best_epoch: Tensor | None = None
    best: Parameters = field(default_factory=dict)

    def update(self, epoch: int, error: Tensor, model: nn.Module) -> None:
        """Keep the parameters if the validation error of `epoch`, () or (members,), is better."""
        if self.best_error is None or self.best_epoch is None:
            self.best = copy_parameters(model)
            self.best_error, self.best_epoch = error.clone(), torch.full_like(error, epoch)
            return
        better = error < self.best_error
        if not bool(better.any()):
            return
        for name, value in model.named_parameters():
            mask = better.view(better.shape + (1,) * (value.ndim - better.ndim))
            self.best[name] = torch.where(mask, value.detach(), self.best[name])
        self.best_error = torch.where(better, error, self.best_error)
        self.best_epoch = torch.where(better, torch.full_like(error, epoch), self.best_epoch)

    def should_stop(self, epoch: int) -> bool:
        """Return whether `patience` epochs have passed since the best one of every member."""
        return self.best_epoch is not None and bool(epoch - self.best_epoch.max() >= self.patience)

    def get_state(self) -> State:
        """Return everything that is kept (not copied)."""
        return {"error": self.best_error, "epoch": self.best_epoch, "best": self.best}

    def check_state(self, state: State, error: Tensor, model: nn.Module) -> None:
        """Raise `DataError` unless `get_state` may return `state`, with errors such as `error`."""
        none = isinstance(state, dict) and state.get("error") is None
        best = {"error": error, "epoch": error, "best": dict(model.named_parameters())}
        check_state(state, Selection(0).get_state() if none else best, "selection")

    def set_state(self, state: State) -> None:
        """Restore what `get_state` returned."""
        self.best_error, self.best_epoch = state["error"], state["epoch"]
        self.best = state["best"]


def run_training(
    training: Training,
    validation: Rows,
    *,
    epochs: int,
    patience: int,
    name: str,
    progress: Progress = NO_PROGRESS,
    checkpoint: Checkpoint | None = None,
) -> TrainResult:
    """Run epochs until the last one or until patience is over.

    If a loss is not finite or explodes, the epoch is undone once, and training continues with steps
    a tenth as large; the second time is an error.

    Parameters
    ----------
    training : Training
        A training at its start; a checkpoint restores its state.
    validation : Rows
        Rows for selection and early stopping.
    epochs, patience : int
        Largest number of epochs; epochs without a better validation error before it stops.
    name : str
        Name of the progress line.
    progress : Progress
        Reports each epoch.
    checkpoint : Checkpoint, optional
        Loaded if it exists, written after epochs.

    Returns
    -------
    TrainResult

    Raises
    ------
    TrainingError
        If the loss diverges twice; the message names epoch, batch and part.
    """
    selection = Selection(patience)
    history: list[EpochRecord] = []
    unwritable = False

    def state() -> State:
        parts = {"training": training.get_state(), "selection": selection.get_state()}
        return {**parts, "history": list(history)}

    device = training.rows.y.device
    saved = checkpoint.load(device) if checkpoint else None
    if checkpoint is not None and saved is not None:
        _check_saved(saved, checkpoint, training, validation, epochs)
        training.set_state(saved["training"])
        selection.set_state(saved["selection"])
        history[:] = saved["history"]
    with progress.task(name, epochs) as task:
        task.advance(len(history))
        while len(history) < epochs and not (history and selection.should_stop(len(history) - 1)):
            epoch = len(history)
            good = copy_state(training.get_state())
            try:
                record = training.run_epoch(epoch)
                error = training.selection_error(validation, epoch, training.loss_limit)
            except TrainingError as reason:
                if training.step_scale < 1.0:
                    raise TrainingError(
                        f"{reason}, for the second time although the steps were now "
                        f"{ROLLBACK_SCALE:g} times as large; use a smaller learning_rate, or check "
                        "the targets and features for outliers"
                    ) from reason
                training.set_state(good)  # the rest is as it was: it changes after a good epoch
                training.step_scale = ROLLBACK_SCALE
                how = f"repeated with steps {ROLLBACK_SCALE:g} times as large"
                progress.say(f"{name}: {reason}; epoch {how}")
                continue
            if training.may_select(epoch):
                selection.update(epoch, error, training.model)
            mean = float(error.mean())
            criterion = training.criterion
            history.append({"epoch": epoch, **record, criterion.metric: mean})
            task.advance(1, **{"train_loss": record["train_loss"], criterion.shown: mean})
            if checkpoint and not unwritable:
                try:
                    checkpoint.save(state())
                except (
                    DataError,
                    SafetensorError,
                ) as reason:  # a full disk must not end a training
                    progress.say(
                        f"{name}: cannot write a checkpoint ({reason}); training continues"
                    )
                    unwritable = True
    states = {"best": selection.best, "last": copy_parameters(training.model), "ema": training.ema}
    latest = -1 if selection.best_epoch is None else int(selection.best_epoch.max())
    return TrainResult(states, latest, history, training.extras())


def _check_saved(
    saved: Any, checkpoint: Checkpoint, training: Training, validation: Rows, epochs: int
) -> None:
    """Raise `TrainingError` unless this training may have written a state."""
    try:
        check_state(saved, dict.fromkeys(("training", "selection", "history")), shallow=True)
        training.check_state(saved["training"])
        error = training.selection_error(validation, 0, math.inf)
        Selection(0).check_state(saved["selection"], error, training.model)
        _check_history(saved["history"], epochs, training.criterion.metric)
    except DataError as why:
        raise checkpoint.damaged(why) from why


def _check_history(history: Any, epochs: int, metric: str) -> None:
    """Raise `DataError` unless these are records of the first epochs."""
    if not isinstance(history, list) or not 0 < len(history) <= epochs:
        raise DataError(f"it does not hold the records of 1 to {epochs} epochs")
    for epoch, record in enumerate(history):
        plain = isinstance(record, dict) and all(
            isinstance(one, float | int | str | None) for one in record.values()
        )
        known = plain and all(type(record.get(name)) is float for name in ("train_loss", metric))
        if not known or record.get("epoch") != epoch:
            raise DataError(f"the record of epoch {epoch} is not one")


def cosine_rate(base: float, step: int, total: int) -> float:
    """Return the learning rate of `step` of `total`: half a cosine from `base` to 0."""
    return base * 0.5 * (1.0 + math.cos(math.pi * step / max(total, 1)))


def validation_error(
    model: nn.Module, rows: Rows, epoch: int, limit: float, criterion: Loss = SMOOTH_L1
) -> Tensor:
    """Return the (weighted) mean error of the criterion, shape () or (members,).

    That of numbers is the absolute error in standard deviations, that of classes the log loss.

    Raises
    ------
    TrainingError
        If it is not finite or the mean size of the predictions is above `limit`. Otherwise damage
        by the last step of an epoch would show only in the next epoch, too late to be undone.
    """
    predictions = predict_rows(model, rows.x)
    members = getattr(model, "members", None)
    labels = rows.labels if members is None else rows.labels.expand(members, *rows.labels.shape)
    errors = criterion.errors(predictions, labels)
    error = weighted_mean(errors, rows.weights)
    outputs = predictions.abs()
    if outputs.ndim > errors.ndim:  # several per row
        outputs = outputs.amax(dim=-1)
    size = weighted_mean(outputs, rows.weights)  # not of the errors: a target may be far out
    if not bool((torch.isfinite(error) & (size <= limit)).all()):
        worst = float(error.max())
        raise TrainingError(f"the validation error became {worst:.3g} in epoch {epoch}")
    return error


@torch.no_grad()
def predict_rows(model: nn.Module, x: Tensor) -> Tensor:
    """Return predictions without dropout, shape (..., n), computed in pieces to bound memory.

    A model with several outputs per row has them on a further axis.
    """
    rows = -1 if getattr(model, "outputs", None) is None else -2
    return torch.cat([model(piece) for piece in torch.split(x, PREDICT_ROWS)], dim=rows)


def descend(loss: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
    """Take one optimiser step on `loss`; return it, detached."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()


@torch.no_grad()
def update_ema(average: Parameters, model: nn.Module, decay: float) -> None:
    """Move `average` toward the parameters of `model`, in place.

    ``average <- decay * average + (1 - decay) * parameters``

    Parameters
    ----------
    average : dict of Tensor
        As `copy_parameters` returns it.
    model : torch.nn.Module
        The model in training.
    decay : float
        In [0, 1).
    """
    torch._foreach_lerp_(list(average.values()), list(model.parameters()), 1.0 - decay)
