"""What a stack has finished, in a file: a killed fit continues with the next member."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from xtalshift.errors import DataError, ModelFormatError, XtalshiftError
from xtalshift.estimators.base import Choice
from xtalshift.estimators.predictors import PREDICTORS
from xtalshift.estimators.saved import SavedRegressor
from xtalshift.progress import Progress
from xtalshift.saved_arrays import check_layout

if TYPE_CHECKING:
    from xtalshift.nn.checkpoint import Checkpoint

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Finished:
    """The cross-fit of a member."""

    predictions: FloatArray
    """Shape (m,). Of the rows of the folds, in the unit of the target and within bounds; of classes
    their probabilities, shape (m, classes)."""
    choice: Choice
    seconds: float
    """Wall time that it took."""


class StackState:
    """What a stack has finished so far.

    Parameters
    ----------
    checkpoint : Checkpoint or None
        Read now, and written by `save`.
    n_rows : int
        Number m of rows of the folds.
    members : mapping of (str, int)
        By name of each member: class of its regressor, number of its features.
    device : str
        Where networks predict.
    classes : int
        Number of classes; 0 for a regression.

    Attributes
    ----------
    finished : dict of Finished
        By name of the member.
    failures : dict of str
        Why cross-fits failed.
    fitted : dict of Learned
        Members that were fitted to all rows.
    seconds : float
        Wall time up to the last `save`.

    Raises
    ------
    TrainingError
        If the file is damaged or belongs to another fit.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | None,
        n_rows: int,
        members: Mapping[str, tuple[str, int]],
        device: str,
        classes: int = 0,
    ) -> None:
        self.checkpoint, self.members = checkpoint, members
        self.shape = (n_rows, classes) if classes else (n_rows,)
        self.finished: dict[str, Finished] = {}
        self.failures: dict[str, str] = {}
        self.fitted: dict[str, Any] = {}
        self.seconds = 0.0
        if checkpoint is None:
            return
        import torch  # a stack without networks and without a file does not need it

        saved = checkpoint.load(torch.device("cpu"))
        if saved is None:
            return
        try:
            self._take(saved, device)
        except (XtalshiftError, ValidationError, KeyError, TypeError) as why:
            raise checkpoint.damaged(why) from why

    def save(self, seconds: float, progress: Progress) -> None:
        """Write the file; if that fails, say so and go on without one."""
        self.seconds = seconds
        if self.checkpoint is None:
            return
        import torch

        def put(arrays: Mapping[str, Any]) -> dict[str, Any]:
            return {name: torch.tensor(np.asarray(value)) for name, value in arrays.items()}

        finished = {
            name: {
                **put({"predictions": one.predictions, "choice": _numbers(one.choice)}),
                "seconds": one.seconds,
            }
            for name, one in self.finished.items()
        }
        fitted = {}
        for name, one in self.fitted.items():
            with suppress(ModelFormatError):  # one that cannot be saved is fitted again
                arrays = put(one._get_state())  # noqa: SLF001
                described = SavedRegressor.of(one).model_dump(by_alias=True)
                fitted[name] = {"regressor": described, "arrays": arrays}
        parts = {"finished": finished, "fitted": fitted, "failures": self.failures}
        try:
            self.checkpoint.save({**parts, "seconds": seconds})
        except DataError as reason:  # a full disk must not end a fit
            progress.say(f"cannot write a checkpoint ({reason}); the fit continues")
            self.checkpoint = None

    def remove(self) -> None:
        """Delete the file, once the fit is done."""
        if self.checkpoint is not None:
            self.checkpoint.remove()

    def _take(self, saved: Any, device: str) -> None:
        """Take over what a file holds, after a check."""
        import torch

        from xtalshift.nn.checkpoint import check_state

        parts = dict.fromkeys(("finished", "fitted", "failures", "seconds"))
        check_state(saved, parts, shallow=True)
        for name, one in saved["finished"].items():
            like = {
                "predictions": torch.zeros(self.shape, dtype=torch.float64),
                "choice": torch.zeros(2, dtype=torch.int64),
                "seconds": 0.0,
            }
            check_state(one, like, name)
            choice = Choice(*(int(value) for value in one["choice"]))
            if min(choice.seed, choice.number, one["seconds"]) < 0:
                raise DataError(f"{name} has a negative number")
            self.finished[name] = Finished(one["predictions"].numpy(), choice, one["seconds"])
        for name, text in saved["failures"].items():
            check_state(text, "", name)
            self.failures[name] = text
        check_state(saved["seconds"], 0.0, "seconds")
        self.seconds = saved["seconds"]
        for name, one in saved["fitted"].items():
            check_state(one, dict.fromkeys(("regressor", "arrays")), name, shallow=True)
            self.fitted[name] = _restore(one, *self.members[name], device)
        for name in {*self.finished, *self.failures} - self.members.keys():
            raise DataError(f"the stack has no member {name!r}")


def _numbers(choice: Choice) -> NDArray[np.int64]:
    return np.array([choice.seed, choice.number], dtype=np.int64)


def _restore(saved: Any, kind: str, n_features: int, device: str) -> Any:
    """Return the predictor that a file holds, which must be of a class."""
    described = SavedRegressor(**saved["regressor"])
    if described.class_name != kind:
        raise ModelFormatError(f"a {described.class_name} where a {kind} is expected")
    arrays = {name: value.numpy() for name, value in saved["arrays"].items()}
    check_layout(arrays, PREDICTORS[kind]._saved(arrays))  # noqa: SLF001
    predictor = described.make(device)
    predictor._set_state(arrays)  # noqa: SLF001
    if predictor.n_features_in_ != n_features:
        raise ModelFormatError(
            f"a {kind} of {predictor.n_features_in_} features where {n_features} are expected"
        )
    return predictor
