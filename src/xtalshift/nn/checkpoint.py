"""The state of a training on disk, so that a killed training can continue."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from xtalshift.errors import DataError, TrainingError
from xtalshift.files import remove_file, replace_file
from xtalshift.jsonio import decode_json

FORMAT = 2
"""Changes whenever the state of a training gets other parts."""

_AGAIN = "delete it to start again"

State = dict[str, Any]
"""Nested dictionaries and lists of tensors and plain JSON values."""


@dataclass
class Checkpoint:
    """A file that holds the state of one training; nothing in it is unpickled.

    Parameters
    ----------
    path : Path
        The file; it is replaced in one step, so that a kill leaves either the old or the new one.
    key : str
        Identifies the training (settings and data); the file of another training is refused.
    seconds : float, default 20
        `save` writes at most this often.
    """

    path: Path
    key: str
    seconds: float = 20.0
    _written: float = field(default_factory=time.monotonic, init=False)

    def load(self, device: torch.device) -> State | None:
        """Return the saved state with its tensors on `device`, or None if there is no file.

        Raises
        ------
        TrainingError
            If the file is damaged or belongs to another training.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, "pt", device="cpu") as file:
                description = decode_json(file.metadata()["state"], self.path, _AGAIN)
                if (description["format"], description["key"]) != (FORMAT, self.key):
                    raise TrainingError(
                        f"{self.path} is the checkpoint of a training with other settings or data, "
                        f"or of another version; {_AGAIN}"
                    )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if description["sha256"] != _hash(description["state"], tensors):
                raise self.damaged("its checksum is that of other content")
            state: State = _insert(description["state"], tensors, device)
        except DataError as error:
            raise TrainingError(str(error)) from error
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise self.damaged(error) from error
        return state

    def damaged(self, why: object) -> TrainingError:
        """Return the error for a file with a content that cannot be that of this training."""
        return TrainingError(f"{self.path} is damaged ({why}); {_AGAIN}")

    def save(self, state: State) -> None:
        """Write `state` if the last one was written long enough ago."""
        if time.monotonic() - self._written < self.seconds:
            return
        tensors: dict[str, Tensor] = {}
        plain = _extract(state, tensors)
        checksum = _hash(plain, tensors)
        text = json.dumps({"format": FORMAT, "key": self.key, "sha256": checksum, "state": plain})
        replace_file(self.path, save(tensors, metadata={"state": text}))
        self._written = time.monotonic()

    def remove(self) -> None:
        """Delete the file, once the training is done and its result is safe."""
        remove_file(self.path)


def copy_state(state: State) -> State:
    """Return a copy that later steps do not change."""
    copied: State = _copy(state)
    return copied


def check_state(found: Any, like: Any, name: str = "state", *, shallow: bool = False) -> None:
    """Check that a state has the parts of another one: names, types, shapes, finite numbers.

    `shallow` checks only that it has the same names.

    Raises
    ------
    DataError
        At the first part that differs; a checksum tells an accident, not an intention.
    """
    if isinstance(like, Tensor):
        if not isinstance(found, Tensor) or (found.dtype, found.shape) != (like.dtype, like.shape):
            raise DataError(f"{name} is no {like.dtype} of shape {tuple(like.shape)}")
        if found.is_floating_point() and not bool(torch.isfinite(found).all()):
            raise DataError(f"{name} has numbers that are not finite")
        if found.dtype is torch.bool and bool((found.view(torch.uint8) > 1).any()):
            raise DataError(f"{name} has values that are neither true nor false")
    elif isinstance(like, Mapping):
        if not isinstance(found, Mapping) or found.keys() != like.keys():
            raise DataError(f"{name} does not have the parts {', '.join(map(str, like))}")
        for key, value in () if shallow else like.items():
            check_state(found[key], value, f"{name}.{key}")
    elif type(found) is not type(like) or (isinstance(like, float) and not math.isfinite(found)):
        raise DataError(f"{name} is no finite {type(like).__name__}")


def _hash(plain: Any, tensors: dict[str, Tensor]) -> str:
    return hashlib.sha256(json.dumps(plain).encode() + save(tensors)).hexdigest()


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    return value


def _extract(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return `value` with every tensor moved to `tensors` and its name in its place."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().contiguous()
        return {"tensor": name, "device": value.device.type}
    if isinstance(value, Mapping):
        return {"items": [[key, _extract(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_extract(item, tensors) for item in value]
    return value


def _insert(value: Any, tensors: dict[str, Tensor], device: torch.device) -> Any:
    if isinstance(value, list):
        return [_insert(item, tensors, device) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        tensor = tensors[value["tensor"]]
        # what was on the CPU (the state of a generator) stays there
        return tensor if value["device"] == "cpu" else tensor.to(device)
    return {key: _insert(item, tensors, device) for key, item in value["items"]}
